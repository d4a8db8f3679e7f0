//! API Gateway's HTTP API in front of the two functions: each request becomes an event of payload format 2.0, and the
//! function's answer an HTTP answer.

mod event;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub use event::HttpCall;

use crate::lambda::Function;
use crate::serve::{Server, now_ms};

/// The gateway's limit on a request's body, in bytes.
const LARGEST_BODY: usize = 10 * 1024 * 1024;
/// The gateway's limit on an integration.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A running HTTP API on a free local port; dropping it closes the port and lets go of the functions.
pub struct Gateway {
    server: Server,
    functions: Arc<OnceLock<Functions>>,
}

struct Functions {
    request: Arc<Function>,
    webhook: Arc<Function>,
}

impl Gateway {
    /// Takes a port, so that the URL is known before the functions that are told it exist. Until
    /// [`Gateway::serve`], requests get 503.
    ///
    /// # Errors
    /// When no port can be taken.
    pub async fn bind() -> io::Result<Gateway> {
        let functions = Arc::new(OnceLock::new());
        let router = Router::new().fallback(handle).with_state(Arc::clone(&functions));
        Ok(Gateway { server: Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await?, functions })
    }

    /// [`Gateway::bind`] and [`Gateway::serve`] in one.
    ///
    /// # Errors
    /// When no port can be taken.
    pub async fn start(request: Arc<Function>, webhook: Arc<Function>) -> io::Result<Gateway> {
        let gateway = Gateway::bind().await?;
        gateway.serve(request, webhook);
        Ok(gateway)
    }

    /// Routes `POST /webhook` to `webhook` and all else to `request`. Only the first call has an effect.
    pub fn serve(&self, request: Arc<Function>, webhook: Arc<Function>) {
        let _ = self.functions.set(Functions { request, webhook });
    }

    /// `http://127.0.0.1:PORT`, with no slash at its end.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The webhook's whole route, as `WEBHOOK_URL` has it.
    pub fn webhook_url(&self) -> String {
        format!("{}/webhook", self.url())
    }
}

async fn handle(State(functions): State<Arc<OnceLock<Functions>>>, request: Request) -> Response {
    let Some(functions) = functions.get() else {
        return message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let mut call = HttpCall {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    add_gateway_headers(&mut call.headers, call.body.len());
    let event = call.http_api_event();
    let function = match event["routeKey"].as_str() {
        Some("POST /webhook") => &functions.webhook,
        _ => &functions.request,
    };
    match tokio::time::timeout(INTEGRATION_TIMEOUT, function.invoke(event)).await {
        Ok(Ok(answer)) => http_answer(answer).unwrap_or_else(internal_server_error),
        Ok(Err(_)) => internal_server_error(),
        Err(_) => message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

/// What the gateway adds for the function to see.
fn add_gateway_headers(headers: &mut HeaderMap, body_length: usize) {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body_length));
    headers.remove(header::TRANSFER_ENCODING);
    headers.append("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
    headers.insert("x-forwarded-port", HeaderValue::from_static("443"));
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    let trace_id = format!("Root=1-{:08x}-{}", now_ms() / 1000, &Uuid::new_v4().simple().to_string()[..24]);
    if let Ok(trace_id) = HeaderValue::from_str(&trace_id) {
        headers.insert("x-amzn-trace-id", trace_id);
    }
}

/// A function's answer in payload format 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// `None` where the gateway would answer 500. An answer without `statusCode` is the body of a 200.
fn http_answer(answer: Value) -> Option<Response> {
    if answer.get("statusCode").is_none() {
        let headers = [(header::CONTENT_TYPE, "application/json")];
        return Some((headers, answer.to_string()).into_response());
    }
    let answer: Answer = serde_json::from_value(answer).ok()?;
    let body = answer.body.unwrap_or_default();
    let body = if answer.is_base64_encoded {
        Bytes::from(BASE64_STANDARD.decode(body).ok()?)
    } else {
        Bytes::from(body)
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status_code).ok()?;
    let headers = response.headers_mut();
    for (name, value) in answer.headers.into_iter().flatten() {
        let value = match value {
            Value::String(value) => value,
            other => other.to_string(),
        };
        let name = HeaderName::try_from(name).ok()?;
        // The length is that of what is sent.
        if name != header::CONTENT_LENGTH {
            headers.insert(name, HeaderValue::try_from(value).ok()?);
        }
    }
    for cookie in answer.cookies.into_iter().flatten() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().simple().to_string()) {
        headers.insert("apigw-requestid", id);
    }
    Some(response)
}

fn internal_server_error() -> Response {
    message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({ "message": text }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::tests::echo_binary;

    /// A gateway whose two functions are the echo, told apart by a variable.
    async fn gateway() -> Gateway {
        let function = |name: &str| Arc::new(Function::start(&echo_binary(), [("ROLE", name)]));
        Gateway::start(function("request"), function("webhook")).await.unwrap()
    }

    fn client() -> reqwest::Client {
        crate::client().build().unwrap()
    }

    #[tokio::test]
    async fn a_request_reaches_the_function_as_an_event() {
        let gateway = gateway().await;
        let answer = client()
            .get(format!("{}/highlights/r1?a=1", gateway.url()))
            .header("X-Upper", "Yes")
            .send()
            .await
            .unwrap();

        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        let answer: Value = answer.json().await.unwrap();
        let event = &answer["event"];
        assert_eq!(event["routeKey"], "GET /highlights/{requestID}");
        assert_eq!(event["rawQueryString"], "a=1");
        assert_eq!(event["headers"]["x-upper"], "Yes");
        assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
        assert_eq!(event["pathParameters"]["requestID"], "r1");
    }

    #[tokio::test]
    async fn only_a_post_to_webhook_reaches_webhook() {
        let gateway = gateway().await;
        let role = async |method: reqwest::Method| {
            let request = client().request(method, gateway.webhook_url());
            let answer = request.send().await.unwrap();
            answer.json::<Value>().await.unwrap()["role"].clone()
        };
        assert_eq!(role(reqwest::Method::POST).await, "webhook");
        assert_eq!(role(reqwest::Method::GET).await, "request");
    }

    #[tokio::test]
    async fn an_error_of_the_function_is_a_bare_500() {
        let gateway = gateway().await;
        let request = client().get(gateway.url()).header("x-do", "fail");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 500);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body, json!({ "message": "Internal Server Error" }));
    }

    #[tokio::test]
    async fn a_body_over_ten_megabytes_is_refused() {
        let gateway = gateway().await;
        let request = client().post(gateway.url()).body(vec![b'a'; LARGEST_BODY + 1]);
        assert_eq!(request.send().await.unwrap().status(), 413);
    }

    #[tokio::test]
    async fn a_bound_gateway_answers_503_until_it_serves() {
        let gateway = Gateway::bind().await.unwrap();
        assert_eq!(client().get(gateway.url()).send().await.unwrap().status(), 503);
        let function = Arc::new(Function::start(&echo_binary(), [("ROLE", "both")]));
        gateway.serve(Arc::clone(&function), function);
        assert_eq!(client().get(gateway.url()).send().await.unwrap().status(), 200);
    }

    async fn body_of(response: Response) -> Bytes {
        to_bytes(response.into_body(), usize::MAX).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_has_its_status_headers_cookies_and_body() {
        let response = http_answer(json!({
            "statusCode": 202,
            "headers": { "Location": "/highlights/r1", "content-type": "application/json", "content-length": 999 },
            "cookies": ["a=1", "b=2"],
            "body": "{}",
        }))
        .unwrap();
        assert_eq!(response.status(), 202);
        assert_eq!(response.headers()["location"], "/highlights/r1");
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(body_of(response).await, "{}");
    }

    #[tokio::test]
    async fn a_base64_body_is_decoded_and_nonsense_is_none() {
        let response = http_answer(json!({ "statusCode": 200, "body": "/w==", "isBase64Encoded": true }));
        assert_eq!(body_of(response.unwrap()).await, &[0xff][..]);
        assert!(http_answer(json!({ "statusCode": "abc" })).is_none());
        assert!(http_answer(json!({ "statusCode": 200, "body": "?", "isBase64Encoded": true })).is_none());
        assert!(http_answer(json!({ "statusCode": 200, "body": {} })).is_none());
    }
}
