//! Lambda's `Invoke`, for functions that run here, as the AWS SDKs and the AWS CLI call it.
//!
//! - `POST /2015-03-31/functions/{function}/invocations`, the function by its name or any form of its ARN. The answer is
//!   a 200 with what the function answered; where it failed, with its error's fields and the header
//!   `X-Amz-Function-Error`.
//! - With `X-Amz-Invocation-Type: Event` it is a 202 at once, and the function is invoked under one request id until it
//!   does not fail, three times at most. No time passes between them.
//! - A function that is not there is a 404 `ResourceNotFoundException`, a payload that is not JSON a 400
//!   `InvalidRequestContentException`; both by the header `X-Amzn-ErrorType`.
//!
//! Signatures are not checked. Sources: botocore 1.44.5 (`lambda/2015-03-31`),
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>. Not verified: the texts of the errors.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::de::IgnoredAny;
use serde_json::json;
use uuid::Uuid;

use super::Function;
use crate::serve::{Server, Tasks};

/// Lambda's limit on a payload, in bytes.
const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;
/// How often an asynchronous invocation is tried.
const TRIES: usize = 3;

const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The running endpoint. Dropping it frees its port, ends what it invokes asynchronously, and lets go of the functions.
pub struct InvokeApi {
    server: Server,
    asynchronous: Tasks,
}

#[derive(Clone)]
struct Shared {
    functions: Arc<BTreeMap<String, Arc<Function>>>,
    asynchronous: Tasks,
}

impl InvokeApi {
    /// Serves these functions by their names, on a free local port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(functions: impl IntoIterator<Item = Arc<Function>>) -> io::Result<Self> {
        let functions =
            functions.into_iter().map(|function| (function.name().to_owned(), function)).collect();
        let asynchronous = Tasks::new();
        let router = Router::new()
            .route("/2015-03-31/functions/{function}/invocations", post(invoke))
            .layer(DefaultBodyLimit::max(LARGEST_PAYLOAD))
            .with_state(Shared { functions: Arc::new(functions), asynchronous: asynchronous.clone() });
        let server = Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await?;
        Ok(Self { server, asynchronous })
    }

    /// What `AWS_ENDPOINT_URL_LAMBDA` is set to.
    pub fn url(&self) -> String {
        self.server.url()
    }
}

impl Drop for InvokeApi {
    fn drop(&mut self) {
        self.asynchronous.close();
    }
}

async fn invoke(
    State(shared): State<Shared>,
    Path(identifier): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response {
    let Some(function) = shared.functions.get(name_of(&identifier)).cloned() else {
        let message = format!("Function not found: {identifier}");
        return refusal(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message);
    };
    // No payload at all is an empty object.
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
        let message = format!("Could not parse request body into json: {error}");
        return refusal(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
    }
    let request_id = Uuid::new_v4().to_string();
    let kind = headers.get("x-amz-invocation-type").map_or(&b"RequestResponse"[..], |kind| kind.as_bytes());
    match kind {
        b"RequestResponse" => {
            let invoked = function.invoke_bytes(payload, &request_id).await;
            let told = [(REQUEST_ID, request_id)];
            match invoked {
                Ok(answer) => (told, answer.to_string()).into_response(),
                Err(error) => {
                    let fields =
                        json!({ "errorType": error.error_type, "errorMessage": error.error_message });
                    (told, [(FUNCTION_ERROR, "Unhandled")], fields.to_string()).into_response()
                }
            }
        }
        b"Event" => {
            let told = [(REQUEST_ID, request_id.clone())];
            shared.asynchronous.spawn(async move {
                for _ in 0..TRIES {
                    if function.invoke_bytes(payload.clone(), &request_id).await.is_ok() {
                        break;
                    }
                }
            });
            (StatusCode::ACCEPTED, told).into_response()
        }
        _ => {
            refusal(StatusCode::BAD_REQUEST, "InvalidParameterValueException", "Not emulated: InvocationType")
        }
    }
}

/// Of `name`, `name:alias`, `account:function:name`, `arn:aws:lambda:region:account:function:name:alias` and their like.
fn name_of(identifier: &str) -> &str {
    let named = identifier.split_once("function:").map_or(identifier, |(_, named)| named);
    named.split(':').next().unwrap_or(named)
}

fn refusal(status: StatusCode, name: &'static str, message: &str) -> Response {
    (status, [(ERROR_TYPE, name)], json!({ "Message": message }).to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::tests::echo_binary;
    use serde_json::Value;

    async fn echo() -> (Arc<Function>, InvokeApi) {
        let function = Arc::new(Function::start(&echo_binary(), [("ROLE", "echo")]));
        (Arc::clone(&function), InvokeApi::start([function]).await.unwrap())
    }

    async fn call(api: &InvokeApi, function: &str, kind: &str, payload: &'static str) -> reqwest::Response {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", api.url());
        let client = crate::client().build().unwrap();
        client.post(url).header("x-amz-invocation-type", kind).body(payload).send().await.unwrap()
    }

    #[tokio::test]
    async fn a_function_answers_by_each_of_its_names() {
        let (function, api) = echo().await;
        let name = function.name();
        let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
        for identifier in
            [name, &format!("{name}:live"), &arn, &format!("{arn}:live"), &arn.replace(':', "%3A")]
        {
            let answer = call(&api, identifier, "RequestResponse", r#"{"a":1}"#).await;
            assert_eq!(answer.status(), 200, "{identifier}");
            assert!(!answer.headers().contains_key(FUNCTION_ERROR));
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["event"], json!({ "a": 1 }), "{identifier}");
        }
    }

    #[tokio::test]
    async fn an_error_of_the_function_is_a_200_with_its_header() {
        let (function, api) = echo().await;
        let answer = call(&api, function.name(), "RequestResponse", r#"{"do":"fail"}"#).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[FUNCTION_ERROR], "Unhandled");
        assert!(answer.headers().contains_key(REQUEST_ID));
        let error: Value = answer.json().await.unwrap();
        assert!(error["errorType"].is_string() && error["errorMessage"].is_string(), "{error}");
    }

    #[tokio::test]
    async fn what_is_none_is_refused_by_name() {
        let (function, api) = echo().await;
        for (name, kind, payload, status, error) in [
            ("other", "RequestResponse", "{}", 404, "ResourceNotFoundException"),
            (function.name(), "RequestResponse", "{", 400, "InvalidRequestContentException"),
            (function.name(), "Later", "{}", 400, "InvalidParameterValueException"),
        ] {
            let answer = call(&api, name, kind, payload).await;
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers()[ERROR_TYPE], error);
        }
    }

    #[tokio::test]
    async fn an_asynchronous_invocation_is_tried_until_it_does_not_fail_and_three_times_at_most() {
        for (what, line, tries) in [("panic", "told to panic", 3), ("log", "a line on standard output", 1)] {
            let (function, api) = echo().await;
            let payload = if what == "panic" { r#"{"do":"panic"}"# } else { r#"{"do":"log"}"# };
            let answer = call(&api, function.name(), "Event", payload).await;
            assert_eq!((answer.status().as_u16(), answer.text().await.unwrap()), (202, String::new()));
            let count = || function.output().iter().filter(|printed| printed.contains(line)).count();
            for _ in 0..500 {
                if count() >= tries {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            // Whatever is to come has its turn before these.
            for _ in 0..5 {
                function.invoke(json!({})).await.unwrap();
            }
            assert_eq!(count(), tries, "{what}");
        }
    }
}
