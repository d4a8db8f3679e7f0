//! Whom an event source invokes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::Client;
use serde_json::Value;

use crate::lambda::{Function, FunctionError};

type Answer = Pin<Box<dyn Future<Output = Result<Value, FunctionError>> + Send>>;

/// What is invoked with the records: a function, one that `cargo lambda watch` serves, or a closure.
pub struct Invoker(Kind);

enum Kind {
    Function(Arc<Function>),
    Endpoint { client: Client, url: String },
    Closure(Box<dyn Fn(Value) -> Answer + Send + Sync>),
}

/// How an invocation ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered(Value),
    Failed(FunctionError),
    /// The function did not hear of it.
    NotInvoked,
}

impl fmt::Debug for Invoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Function(_) => "Invoker::Function",
            Kind::Endpoint { .. } => "Invoker::Endpoint",
            Kind::Closure(_) => "Invoker::Closure",
        })
    }
}

impl Invoker {
    /// A function that runs here.
    pub fn function(function: Arc<Function>) -> Self {
        Self(Kind::Function(function))
    }

    /// A function behind Lambda's `Invoke`, as `cargo lambda watch` serves it on `url`:
    /// `POST {url}/2015-03-31/functions/{function}/invocations`.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn endpoint(url: &str, function: &str) -> Result<Self, reqwest::Error> {
        // No time-out: the first invocation waits until the function is built.
        let client = crate::client().build()?;
        let url = format!("{}/2015-03-31/functions/{function}/invocations", url.trim_end_matches('/'));
        Ok(Self(Kind::Endpoint { client, url }))
    }

    /// Anything that takes an event.
    pub fn closure<F, A>(invoke: F) -> Self
    where
        F: Fn(Value) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Value, FunctionError>> + Send + 'static,
    {
        Self(Kind::Closure(Box::new(move |event| Box::pin(invoke(event)))))
    }

    pub(super) async fn invoke(&self, event: Value, request_id: &str) -> Outcome {
        let answer = match &self.0 {
            Kind::Function(function) => function.invoke_with_request_id(event, request_id).await,
            Kind::Closure(closure) => closure(event).await,
            Kind::Endpoint { client, url } => return invoke_over_http(client, url, &event).await,
        };
        answer.map_or_else(Outcome::Failed, Outcome::Answered)
    }
}

/// AWS tells a function's error by a header, `cargo lambda watch` by a 500 with the error's fields.
async fn invoke_over_http(client: &Client, url: &str, event: &Value) -> Outcome {
    let Ok(response) = client.post(url).json(event).send().await else { return Outcome::NotInvoked };
    let status = response.status();
    let is_error = response.headers().contains_key("x-amz-function-error");
    let Ok(body) = response.bytes().await else {
        // The function was invoked and its answer is lost: a failure, for what it did is not known.
        return Outcome::Failed(error("Runtime.Unknown", "the answer broke off"));
    };
    let body = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice::<Value>(&body) };
    match body {
        Ok(body) if is_error || (!status.is_success() && body["errorType"].is_string()) => {
            let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            Outcome::Failed(error(&field("errorType"), &field("errorMessage")))
        }
        Ok(answer) if status.is_success() => Outcome::Answered(answer),
        Err(_) if status.is_success() => {
            Outcome::Failed(error("Runtime.InvalidResponse", "the answer is not JSON"))
        }
        Ok(_) | Err(_) => Outcome::NotInvoked,
    }
}

fn error(error_type: &str, error_message: &str) -> FunctionError {
    FunctionError { error_type: error_type.to_owned(), error_message: error_message.to_owned() }
}
