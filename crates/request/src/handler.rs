//! From an event to its answer.

use crate::app::{App, Invocation};
use crate::event::Event;
use crate::{http, sources};
use aws::function::{FunctionError, json, serve, unreadable};
use futures::FutureExt;
use lambda_runtime::{Context, LambdaEvent};
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
    let invocation = Invocation::begin(&context);
    // Boxed: one future that held the states of all of them would be as large as the largest, for each event.
    match Event::read(payload).map_err(|error| FunctionError::unreadable(&error))? {
        Event::Http(request) => {
            serve(*request, context, |request| http::respond(app, request, &invocation)).boxed().await
        }
        Event::UnreadableHttp => json(&unreadable()),
        Event::Sqs(messages) => json(&sources::sqs(app, messages, &invocation).boxed().await),
        Event::Sns(messages) => json(&sources::sns(app, messages, &invocation).boxed().await?),
        Event::EventBridge(message) => json(&sources::event_bridge(app, message, &invocation).boxed().await?),
        Event::Job(job) if job == "sweep" => {
            json(&app.sweep(&invocation).boxed().await.map_err(FunctionError::from)?)
        }
        Event::Job(_) => Err(FunctionError::invalid("The only job is sweep.")),
        Event::Direct(body) => json(&sources::direct(app, body, &invocation).boxed().await?),
    }
}
