//! From an event to its answer.

use crate::app::App;
use crate::callback;
use aws::function::{self, FunctionError, Http, serve, unreadable};
use aws::http::{json, path, problem};
use lambda_http::http::{HeaderValue, Method, Response, StatusCode, header};
use lambda_http::{Body, Request, RequestExt};
use lambda_runtime::LambdaEvent;
use model::problem::{Kind, Problem};
use serde_json::json;
use serde_json::value::RawValue;
use tracing::Instrument;

/// Handles one invocation: LogRocket's callback over HTTP is the only kind there is.
pub async fn handle(app: &App, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, FunctionError> {
    let span = aws::telemetry::invocation_span(&event.context);
    async {
        match Http::read(event.payload.get()) {
            Http::Request(request) => serve(*request, event.context, |request| respond(app, request)).await,
            Http::Unreadable => function::json(&unreadable()),
            Http::Other => {
                tracing::error!("the event is no HTTP request");
                Err(FunctionError::invalid("The event is no HTTP request."))
            }
        }
    }
    .instrument(span)
    .await
}

async fn respond(app: &App, request: Request) -> Response<Body> {
    match route(app, &request).await {
        Ok(taken) => json(StatusCode::OK, &json!({ "callback": taken.as_str() })),
        Err(refused) => {
            let mut response = problem(&refused);
            if refused.kind == Kind::MethodNotAllowed {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            response
        }
    }
}

async fn route(app: &App, request: &Request) -> Result<callback::Taken, Problem> {
    if path(request) != "/webhook" {
        return Err(Problem::new(Kind::NotFound, "There is nothing at this path."));
    }
    if request.method() != Method::POST {
        return Err(Problem::new(Kind::MethodNotAllowed, "This path takes POST."));
    }
    callback::take(app, &request.query_string_parameters(), request.body()).await
}
