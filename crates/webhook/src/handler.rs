//! From an event to its answer.

use crate::app::App;
use crate::callback;
use aws::function::{FunctionError, serve};
use aws::http::{json, path, problem};
use lambda_http::http::{HeaderValue, Method, Response, StatusCode, header};
use lambda_http::request::LambdaRequest;
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
        let request: LambdaRequest = serde_json::from_str(event.payload.get()).map_err(|error| {
            tracing::error!("the event is no HTTP request");
            FunctionError::unreadable(&error)
        })?;
        serve(request, event.context, |request| respond(app, request)).await
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
