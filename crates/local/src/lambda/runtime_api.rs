//! The Lambda Runtime API of one execution environment, as documented in
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.
//!
//! Each environment has a listener of its own, as it has in Lambda: who polls there is that process.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use crate::serve::{Server, lock};

/// Lambda's limit on what a function answers, in bytes.
const LARGEST_ANSWER: usize = 6_291_556;

/// What `/runtime/invocation/next` hands to the process.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    pub(super) payload: Vec<u8>,
    /// Milliseconds since the epoch.
    pub(super) deadline: u64,
    pub(super) function_arn: String,
    pub(super) trace_id: String,
}

/// What the process says.
#[derive(Debug)]
pub(super) enum Report {
    /// It asks for the next invocation: initialised, and done with the one before.
    Polled,
    Answered(Bytes),
    Failed {
        error_type: String,
        error_message: String,
    },
    TooLarge(usize),
}

/// One environment's listener and the two ends that its owner talks through.
pub(super) struct RuntimeApi {
    pub(super) invocations: mpsc::UnboundedSender<Invocation>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    server: Server,
}

impl RuntimeApi {
    pub(super) async fn start() -> io::Result<RuntimeApi> {
        let (invocations, incoming) = mpsc::unbounded_channel();
        let (outgoing, reports) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            invocations: Mutex::new(incoming),
            current: std::sync::Mutex::new(None),
            reports: outgoing,
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(failed))
            .route("/2018-06-01/runtime/init/error", post(init_failed))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared);
        Ok(RuntimeApi {
            server: Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await?,
            invocations,
            reports,
        })
    }

    /// `host:port`, as `AWS_LAMBDA_RUNTIME_API` has it.
    pub(super) fn address(&self) -> String {
        self.server.url().replace("http://", "")
    }
}

struct Shared {
    invocations: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    /// The invocation that the process is working on.
    current: std::sync::Mutex<Option<String>>,
    reports: mpsc::UnboundedSender<Report>,
}

impl Shared {
    fn begin(&self, request_id: &str) {
        *lock(&self.current) = Some(request_id.to_owned());
    }

    /// True exactly once for the invocation that is being worked on.
    fn end(&self, request_id: &str) -> bool {
        let mut current = lock(&self.current);
        let known = current.as_deref() == Some(request_id);
        if known {
            *current = None;
        }
        known
    }

    fn report(&self, report: Report) {
        // Nobody listens any more when the environment has been given up.
        let _ = self.reports.send(report);
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.report(Report::Polled);
    let Some(invocation) = shared.invocations.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    shared.begin(&invocation.request_id);
    (
        [
            ("lambda-runtime-aws-request-id", invocation.request_id),
            ("lambda-runtime-deadline-ms", invocation.deadline.to_string()),
            ("lambda-runtime-invoked-function-arn", invocation.function_arn),
            ("lambda-runtime-trace-id", invocation.trace_id),
            (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
        ],
        invocation.payload,
    )
        .into_response()
}

async fn answered(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> Response {
    if !shared.end(&id) {
        return unknown_request_id();
    }
    if body.len() > LARGEST_ANSWER {
        let size = body.len();
        shared.report(Report::TooLarge(size));
        return error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            &format!("Exceeded maximum allowed payload size ({LARGEST_ANSWER} bytes)."),
        );
    }
    shared.report(Report::Answered(body));
    accepted()
}

async fn failed(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !shared.end(&id) {
        return unknown_request_id();
    }
    shared.report(failure(&headers, &body));
    accepted()
}

async fn init_failed(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    shared.report(failure(&headers, &body));
    accepted()
}

/// The body names the error; the header does where the body does not.
fn failure(headers: &HeaderMap, body: &[u8]) -> Report {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let from_header = || {
        let value = headers.get("lambda-runtime-function-error-type")?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Report::Failed {
        error_type: text("errorType").or_else(from_header).unwrap_or_else(|| "Runtime.Unknown".to_owned()),
        error_message: text("errorMessage").unwrap_or_default(),
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({ "status": "OK" }))).into_response()
}

fn unknown_request_id() -> Response {
    error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn error(status: StatusCode, error_type: &str, error_message: &str) -> Response {
    let body = json!({ "errorType": error_type, "errorMessage": error_message });
    (status, axum::Json(body)).into_response()
}
