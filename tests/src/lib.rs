//! A world for stories: the two real binaries, each run as Lambda runs it, behind a gateway, with an embedded
//! DynamoDB and a LogRocket simulator, a fault proxy before each. Every world is its own; they run side by side.

// A story that cannot go on is a failed test, and says why.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use local::gateway::Gateway;
use local::lambda::{Function, FunctionError};
use local::logrocket::{LogRocket, Options};
use local::proxy::Proxy;
use local::table::Table;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub const API_TOKEN: &str = "canary-api-token-0123456789abcdef0123456789";
pub const OTHER_TOKEN: &str = "canary-other-token-0123456789abcdef01234567";
pub const CALLBACK_KEY: &str = "canary-callback-key-0123456789abcdef01234567";
/// No story waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that a request meets on its way.
pub struct World {
    pub table: Table,
    /// Between the functions and the table.
    pub table_calls: Proxy,
    pub log_rocket: LogRocket,
    /// Between request λ and LogRocket.
    pub log_rocket_calls: Proxy,
    pub request: Arc<Function>,
    pub webhook: Arc<Function>,
    pub gateway: Gateway,
    http: Client,
}

/// An HTTP answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl World {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// `changes` override the functions' environment; an empty value unsets.
    pub async fn with(changes: &[(&str, &str)]) -> Self {
        let table = Table::start(&project().join("template.yaml")).await.expect("the table");
        let table_calls = Proxy::start(table.endpoint()).await.expect("the table's proxy");
        let log_rocket = LogRocket::start(Options::default()).await.expect("LogRocket");
        let log_rocket_calls = Proxy::start(&log_rocket.url()).await.expect("LogRocket's proxy");
        let gateway = Gateway::bind().await.expect("the gateway");
        let secrets = json!({
            "logRocketAPIKey": log_rocket.api_key(),
            "callbackKey": CALLBACK_KEY,
            "apiTokens": { "ops": API_TOKEN, "zendesk": OTHER_TOKEN },
        });
        let mut env: Vec<(String, String)> = [
            ("TABLE_NAME", table.name()),
            ("AWS_ENDPOINT_URL_DYNAMODB", &table_calls.url()),
            ("AWS_REGION", "us-east-1"),
            ("LOGROCKET_APP_ID", log_rocket.app_id()),
            ("LOGROCKET_API_URL", &log_rocket_calls.url()),
            ("WEBHOOK_URL", &gateway.webhook_url()),
            ("SECRETS_JSON", &secrets.to_string()),
            ("ALLOW_PRIVATE_DESTINATIONS", "true"),
            ("RETRY_AFTER_SECONDS", "1"),
            ("POLL_AFTER_SECONDS", "1"),
            ("UNKNOWN_GRACE_SECONDS", "2"),
            ("LEASE_SECONDS", "2"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in changes {
            env.retain(|(known, _)| known != name);
            env.push(((*name).to_owned(), (*value).to_owned()));
        }
        let request = Arc::new(Function::start(&binary("request"), env.clone()));
        let webhook = Arc::new(Function::start(&binary("webhook"), env));
        gateway.serve(request.clone(), webhook.clone());
        let http = Client::builder().no_proxy().build().expect("an HTTP client");
        Self { table, table_calls, log_rocket, log_rocket_calls, request, webhook, gateway, http }
    }

    /// One HTTP call to the gateway; a JSON string is sent as it stands, `Null` sends no body.
    pub async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.gateway.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = match body {
            Value::Null => request,
            Value::String(text) => request.body(text),
            json => request.body(json.to_string()),
        };
        let response = request.send().await.expect("the gateway answers");
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.expect("the gateway's answer is read"),
        }
    }

    /// `POST /highlights` with the API token.
    pub async fn post(&self, body: Value) -> Answer {
        self.post_with(&[], body).await
    }

    pub async fn post_with(&self, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            all.push(("authorization", const { BEARER }));
        }
        all.extend_from_slice(headers);
        self.call(Method::POST, "/highlights", &all, body).await
    }

    /// Asks, and answers the `requestID` of the 202.
    pub async fn ask(&self, body: Value) -> String {
        let answer = self.post(body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        answer.json()["requestID"].as_str().expect("a requestID").to_owned()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[("authorization", BEARER)], Value::Null).await
    }

    /// The request as it is read back.
    pub async fn read(&self, id: &str) -> Value {
        let answer = self.get(&format!("/highlights/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// Reads until the request has this status, without a sweep.
    pub async fn wait_for(&self, id: &str, status: &str) -> Value {
        self.until(id, status, false).await
    }

    /// Sweeps and reads until the request has this status.
    pub async fn sweep_until(&self, id: &str, status: &str) -> Value {
        self.until(id, status, true).await
    }

    async fn until(&self, id: &str, status: &str, sweeping: bool) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if sweeping {
                self.sweep().await;
            }
            let request = self.read(id).await;
            if request["status"] == status {
                return request;
            }
            assert!(Instant::now() < give_up, "waited for {status}: {request:#}\n{}", self.output());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// One sweep, as the schedule makes it each minute.
    pub async fn sweep(&self) -> Value {
        self.invoke(json!({ "job": "sweep" })).await.expect("the sweep")
    }

    /// A direct invocation of request λ.
    pub async fn invoke(&self, payload: Value) -> Result<Value, FunctionError> {
        self.request.invoke(payload).await
    }

    /// The table's item, as plain JSON.
    pub fn item(&self, id: &str) -> Value {
        self.table.item(id).expect("the table").unwrap_or(Value::Null)
    }

    /// Posts to a callback URL as LogRocket would.
    pub async fn callback(&self, url: &str, body: Value) -> Answer {
        let path = url.strip_prefix(&self.gateway.url()).expect("one of our callback URLs");
        self.call(Method::POST, path, &[("content-type", "application/json")], body).await
    }

    /// What both functions have printed.
    pub fn output(&self) -> String {
        [self.request.output(), self.webhook.output()].concat().join("\n")
    }
}

const BEARER: &str = "Bearer canary-api-token-0123456789abcdef0123456789";

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a readable header"))
    }

    /// Asserts that this is a `problem+json` of this status, and answers it.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        problem
    }

    /// The pointers of a problem's errors.
    #[track_caller]
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().expect("a pointer").to_owned()).collect()
    }
}

pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A binary of the workspace, in the profile that this test was built in.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.ancestors().nth(2).expect("target/{profile}/deps/{test}");
    let binary = profile.join(name);
    assert!(binary.exists(), "{} is not built: cargo build --workspace --bins", binary.display());
    binary
}
