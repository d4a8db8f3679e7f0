//! Requests that do not come over HTTP: their errors fail the invocation, or the one message, by name.

use crate::app::{App, Invocation};
use crate::ask::{Asked, Caller};
use crate::event::Message;
use aws::function::FunctionError;
use futures::future::join_all;
use model::problem::Problem;
use model::request::IdempotencyKey;
use model::view;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A direct invocation. Lambda repeats an asynchronous one under the same id, so that is its key.
pub async fn direct(app: &App, body: &RawValue, invocation: &Invocation) -> Result<Value, FunctionError> {
    let id = &invocation.lambda_request_id;
    let asked = app.ask(body.get().as_bytes(), caller("invoke", id, invocation)).await?;
    Ok(view::receipt(&asked.summary))
}

pub async fn event_bridge(
    app: &App,
    message: Message,
    invocation: &Invocation,
) -> Result<Value, FunctionError> {
    let asked = take(app, "eventBridge", &message, invocation).await?;
    Ok(view::receipt(&asked.summary))
}

/// Lambda is given one message at a time; an event with several fails if one of them does, and is repeated.
pub async fn sns(app: &App, messages: Vec<Message>, invocation: &Invocation) -> Result<Value, FunctionError> {
    let answers = join_all(messages.iter().map(|message| take(app, "sns", message, invocation))).await;
    let asked = answers.into_iter().collect::<Result<Vec<Asked>, Problem>>()?;
    Ok(asked.iter().map(|asked| view::receipt(&asked.summary)).collect())
}

/// Each message that fails is given back to the queue, and no other with it.
pub async fn sqs(app: &App, messages: Vec<Message>, invocation: &Invocation) -> Value {
    let answers = join_all(messages.iter().map(|message| take(app, "sqs", message, invocation))).await;
    let failures: Vec<Value> = messages
        .iter()
        .zip(answers)
        .filter_map(|(message, answer)| {
            let error = FunctionError::from(answer.err()?);
            tracing::error!(
                messageID = message.id,
                errorType = error.error_type,
                "a message of the queue fails"
            );
            Some(json!({ "itemIdentifier": message.id }))
        })
        .collect();
    json!({ "batchItemFailures": failures })
}

async fn take(
    app: &App,
    source: &'static str,
    message: &Message,
    invocation: &Invocation,
) -> Result<Asked, Problem> {
    app.ask(message.body.as_bytes(), caller(source, &message.id, invocation)).await
}

fn caller<'a>(source: &'static str, id: &str, invocation: &'a Invocation) -> Caller<'a> {
    Caller { name: source.to_owned(), source_key: IdempotencyKey::parse(id), invocation }
}
