//! What an invocation answers: JSON, an HTTP response, or an error with a name.

use futures::FutureExt;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, IntoResponse, Request, Response, Service, service_fn};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use model::problem::{Kind, Problem};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, from_str, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// An error that Step Functions' `Retry` and `Catch` can match by its name.
#[derive(Debug)]
pub struct FunctionError {
    pub error_type: &'static str,
    pub message: String,
}

impl FunctionError {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { error_type: "InvalidRequest", message: message.into() }
    }

    /// Only where the trouble is: serde's own words may quote what was sent.
    pub fn unreadable(error: &serde_json::Error) -> Self {
        let place = format!("line {} column {}", error.line(), error.column());
        Self::invalid(format!("The event cannot be read, at {place}."))
    }
}

impl From<Problem> for FunctionError {
    fn from(problem: Problem) -> Self {
        let error_type = match problem.kind {
            Kind::LogRocketRefused => "LogRocketRefused",
            Kind::Unavailable | Kind::Gone => "Unavailable",
            Kind::OverBudget => "OverBudget",
            _ => "InvalidRequest",
        };
        let fields: Vec<String> =
            problem.errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect();
        let message = if fields.is_empty() { problem.detail } else { fields.join("; ") };
        Self { error_type, message }
    }
}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self { error_type: error.error_type.to_owned(), error_message: error.message }
    }
}

/// The answer as the runtime takes it.
pub fn json(answer: &impl Serialize) -> Result<Box<RawValue>, FunctionError> {
    to_raw_value(answer).map_err(|error| FunctionError::unreadable(&error))
}

/// What has to be left of the invocation for its answer to get out.
const MARGIN: Duration = Duration::from_millis(500);
const WITHOUT_DEADLINE: Duration = Duration::from_secs(30);

/// By when an invocation must have done its work: a little before Lambda ends it.
pub fn deadline(context: &Context) -> Instant {
    // A deadline that has passed before the start is none: `cargo lambda watch` sends a moment in 1970.
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or(WITHOUT_DEADLINE);
    Instant::now() + left.saturating_sub(MARGIN)
}

/// An event, as far as it is HTTP.
pub enum Http {
    Request(Box<LambdaRequest>),
    /// HTTP, but nothing that a gateway makes; [`unreadable`] is its answer.
    Unreadable,
    Other,
}

/// What only HTTP events have, each in its form.
#[derive(Deserialize)]
struct HttpSigns {
    #[serde(rename = "requestContext")]
    request_context: ContextSigns,
    #[serde(rename = "httpMethod")]
    http_method: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ContextSigns {
    http: Option<IgnoredAny>,
    elb: Option<IgnoredAny>,
}

impl Http {
    pub fn read(event: &str) -> Self {
        // All of them have it, and to look for a word takes less than to read six megabytes of another event.
        if !event.contains("\"requestContext\"") {
            return Self::Other;
        }
        // Each by its own reader, the usual form first: lambda_http's tries them all in turn, on a copy. This one wants
        // `requestContext.http.method`, which no other form has.
        if let Ok(request) = from_str(event) {
            return Self::Request(Box::new(LambdaRequest::ApiGatewayV2(request)));
        }
        let Ok(signs) = from_str::<HttpSigns>(event) else { return Self::Other };
        let request = match (signs.request_context, signs.http_method) {
            (ContextSigns { http: Some(_), .. }, _) => None,
            (_, None) => return Self::Other,
            (ContextSigns { elb: Some(_), .. }, _) => from_str(event).ok().map(LambdaRequest::Alb),
            _ => from_str(event).ok().map(LambdaRequest::ApiGatewayV1),
        };
        let request = request.or_else(|| by_hand(event));
        request.map_or(Self::Unreadable, |request| Self::Request(Box::new(request)))
    }
}

/// A REST event that was made by hand often lacks what lambda_http knows REST by. Only its outline is read: an event
/// may be nothing but six megabytes of brackets.
fn by_hand(event: &str) -> Option<LambdaRequest> {
    type Outline = BTreeMap<String, Box<RawValue>>;
    let mut event: Outline = from_str(event).ok()?;
    let method = event.get("httpMethod")?.clone();
    let mut context: Outline = from_str(event.get("requestContext")?.get()).ok()?;
    context.entry("httpMethod".to_owned()).or_insert(method);
    event.insert("requestContext".to_owned(), to_raw_value(&context).ok()?);
    from_str(&serde_json::to_string(&event).ok()?).ok()
}

/// Answers an HTTP event of any of the forms that API Gateway and load balancers have.
pub async fn serve<F, R>(
    event: LambdaRequest,
    context: Context,
    mut respond: F,
) -> Result<Box<RawValue>, FunctionError>
where
    F: FnMut(Request) -> R,
    R: Future<Output = Response<Body>> + Send,
{
    let mut is_read = false;
    let service = service_fn(|request| {
        is_read = true;
        respond(request).map(|response| Ok::<_, Infallible>(Answer(response)))
    });
    let event = LambdaEvent::new(event, context);
    // lambda_http panics at an event whose body is not the base64 that it claims, or whose path or query is none.
    let answer = AssertUnwindSafe(async { Adapter::from(service).call(event).await }).catch_unwind().await;
    match answer {
        Ok(Ok(response)) => json(&response),
        Ok(Err(never)) => match never {},
        Err(_) if is_read => Err(FunctionError {
            error_type: "Panicked",
            message: "The function panicked; its log says where.".to_owned(),
        }),
        Err(_) => json(&unreadable()),
    }
}

/// A response whose text is UTF-8. Of another, lambda_http would look up the charset, with the tables of all there are.
struct Answer(Response<Body>);

impl IntoResponse for Answer {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        ready(self.0).boxed()
    }
}

/// The answer to an HTTP request that could not even be made of its event, in the form that every gateway takes.
pub fn unreadable() -> Value {
    let problem =
        Problem::new(Kind::Malformed, "The host, path, query or body of the request cannot be read.");
    json!({
        "statusCode": problem.kind.status(),
        "headers": { "content-type": "application/problem+json", "cache-control": "no-store" },
        "body": problem.to_json().to_string(),
        "isBase64Encoded": false,
    })
}
