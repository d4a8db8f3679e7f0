//! From an event to its answer.

use crate::app::App;
use crate::event::{Event, Job};
use crate::{callback, stream};
use aws::function::{self, FunctionError, json, serve, unreadable};
use aws::http::{self, path, problem};
use futures::FutureExt;
use lambda_http::http::{HeaderValue, Method, Response, StatusCode, header};
use lambda_http::{Body, Request, RequestExt};
use lambda_runtime::{Context, LambdaEvent};
use model::problem::{Kind, Problem};
use serde_json::json;
use serde_json::value::RawValue;
use tracing::Instrument;

/// Handles one invocation, whatever it came from.
pub async fn handle(app: &App, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, FunctionError> {
    let span = aws::telemetry::invocation_span(&event.context);
    let lambda_request_id = event.context.request_id.clone();
    let answer = dispatch(app, &event.payload, event.context).instrument(span.clone()).await;
    if let Err(error) = &answer {
        span.in_scope(|| tracing::error!(errorType = error.error_type, "the invocation fails"));
    }
    aws::metrics::flush(&lambda_request_id);
    answer
}

async fn dispatch(app: &App, payload: &RawValue, context: Context) -> Result<Box<RawValue>, FunctionError> {
    let deadline = function::deadline(&context);
    // Boxed: one future that held the states of all of them would be as large as the largest, for each event.
    match Event::read(payload.get()) {
        Event::Http(request) => serve(*request, context, |request| respond(app, request)).boxed().await,
        Event::UnreadableHttp => json(&unreadable()),
        Event::Stream(changes) => json(&stream::take(app, changes, deadline).boxed().await),
        Event::Job(Job::Sweep) => json(&app.sweep(deadline).boxed().await.map_err(FunctionError::from)?),
        Event::Job(Job::Try { destination }) => json(&app.try_out(&destination, deadline).boxed().await?),
        Event::Other => Err(FunctionError::invalid(
            "The event is neither an HTTP request nor of the table's stream, and no job: {\"job\":\"sweep\"} or \
             {\"job\":\"try\",\"destination\":{…}}.",
        )),
    }
}

async fn respond(app: &App, request: Request) -> Response<Body> {
    match route(app, &request).await {
        Ok(taken) => http::json(StatusCode::OK, &json!({ "callback": taken.as_str() })),
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
