//! AWS Step Functions: `SendTaskSuccess` and `SendTaskFailure`.
//!
//! - JSON 1.0, `X-Amz-Target: AWSStepFunctions.…`; `taskToken` (2,048), `output` (JSON, 262,144 bytes of UTF-8), or
//!   `error` (256 characters) and `cause` (32,768). 200 `{}`.
//! - 400 with `__type` `com.amazonaws.swf.service.v2.model#…`: `InvalidToken` for one that never was, `TaskTimedOut`
//!   for one that has expired or is answered already, `TaskDoesNotExist`, `InvalidOutput` for what is no JSON;
//!   `ValidationException` for what is too long.
//!
//! Sources: botocore 1.44.5 (`stepfunctions/2016-11-23`),
//! <https://github.com/aws-samples/amazon-mwaa-examples/issues/61> (the text of `TaskTimedOut`).
//! Not verified: the texts of `InvalidOutput` and `TaskDoesNotExist`; that `ValidationException` carries no prefix.

use serde_json::{Value, json};

use super::World;
use super::behaviour::Place;
use super::text;
use super::vendor::{
    Call, Effect, Kind, Refusal, Reply, Sight, Taken, Verdict, aws_error, aws_operation, place, units,
};

/// Bytes of an output.
const OUTPUT_LIMIT: usize = 262_144;

/// A task that waits for its answer, or has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Waiting,
    Answered,
}

pub(super) fn check(call: &Call, world: &World) -> Verdict {
    let operation = aws_operation(call, "states", "AWSStepFunctions", "1.0")?;
    let Some(body) = call.json().filter(Value::is_object) else {
        return Err(error("SerializationException").because("no JSON object"));
    };
    let text_of = |name: &str| match &body[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(error("SerializationException").because(format!("{name} is no string"))),
    };
    let token = text_of("taskToken")?.ok_or_else(|| too("taskToken", "not be null"))?;
    if token.is_empty() || units(&token) > 2048 {
        return Err(too("taskToken", "have length between 1 and 2048"));
    }
    let shown = match operation {
        "SendTaskSuccess" => {
            let output = text_of("output")?.ok_or_else(|| too("output", "not be null"))?;
            if output.len() > OUTPUT_LIMIT {
                return Err(too("output", "have length less than or equal to 262144"));
            }
            let Ok(output) = serde_json::from_str::<Value>(&output) else {
                return Err(error("InvalidOutput").because("output is no JSON"));
            };
            format!("succeeded\n{}", text::from_payload(&output))
        }
        "SendTaskFailure" => {
            let (error, cause) = (text_of("error")?, text_of("cause")?);
            if error.as_deref().is_some_and(|error| units(error) > 256) {
                return Err(too("error", "have length less than or equal to 256"));
            }
            if cause.as_deref().is_some_and(|cause| units(cause) > 32_768) {
                return Err(too("cause", "have length less than or equal to 32768"));
            }
            let parts = [error, cause].map(|part| text::from_plain(&part.unwrap_or_default()));
            format!("failed\n{}", parts.join("\n"))
        }
        _ => return Err(error("UnknownOperationException").because("no operation of this stand-in")),
    };
    match (world.tasks.get(&token), place(world, Kind::StepFunctions, &token, Place::Open)) {
        (None, _) | (_, Place::Foreign) => {
            Err(error("InvalidToken").because("a token that was never issued"))
        }
        (_, Place::Missing) => Err(error("TaskDoesNotExist").because("the task does not exist")),
        (Some(Task::Answered), _) => Err(error("TaskTimedOut").because("the task is answered already")),
        (_, Place::Closed) => Err(error("TaskTimedOut").because("the task has timed out")),
        (Some(Task::Waiting), Place::Open) => {
            let reply = Reply::json(200, json!({})).of_type("application/x-amz-json-1.0");
            Ok(Taken::new(reply)
                .seen(Sight::new("task", shown.trim_end()))
                .doing(Effect::TaskAnswered(token)))
        }
    }
}

fn too(name: &str, constraint: &str) -> Refusal {
    let message = format!(
        "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must {constraint}"
    );
    aws_error(400, "ValidationException", &message).of_type("application/x-amz-json-1.0").because(message)
}

pub(super) fn error(code: &str) -> Reply {
    let (status, prefixed, message) = match code {
        "InvalidToken" => (400, true, "Invalid Token: 'Invalid token'"),
        "TaskTimedOut" => (400, true, "Task Timed Out: 'Provided task does not exist anymore'"),
        "TaskDoesNotExist" => (400, true, "Task Does Not Exist: 'Task does not exist'"),
        "InvalidOutput" => (400, true, "Invalid Output: 'Output is not valid JSON'"),
        "ThrottlingException" => (400, false, "Rate exceeded"),
        "InternalFailure" => (500, false, "Internal failure"),
        "ServiceUnavailable" => (503, false, "Service unavailable"),
        _ => (400, false, "The request could not be processed."),
    };
    let kind = if prefixed { format!("com.amazonaws.swf.service.v2.model#{code}") } else { code.to_owned() };
    aws_error(status, &kind, message).of_type("application/x-amz-json-1.0")
}
