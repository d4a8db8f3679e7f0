//! A world for stories: the two real binaries, each run as Lambda runs it, behind a gateway, with an embedded
//! DynamoDB and a LogRocket simulator, a fault proxy before each. Every world is its own; they run side by side.

// A story that cannot go on is a failed test, and says why.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod chaos;

use local::destinations::{self, Destinations};
use local::gateway::Gateway;
use local::hold::Hold;
use local::lambda::{Function, FunctionError, Limits};
use local::logrocket::{LogRocket, Options, Outcome, Post};

use local::proxy::Proxy;
use local::secrets::{Secret, SecretsManager};
use local::stream::{EventSource, Invoker, Mapping};
use local::table::Table;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::redirect::Policy;
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
    /// Between webhook λ and whoever is told.
    pub destinations: Destinations,
    /// Feeds webhook λ, in a world that [`World::delivering`] made.
    pub stream: Option<EventSource>,
    /// In a world that [`World::watched`] made.
    pub watched: Option<Watched>,
    /// Of both functions.
    env: Vec<(String, String)>,
    http: Client,
}

/// The proxies before all else that a function calls. Not every world has them: an answer that does not end, which some
/// stories want of a destination, does not pass a proxy.
pub struct Watched {
    /// Between webhook λ and the destinations.
    pub destination_calls: Proxy,
    /// Between the functions and Secrets Manager.
    pub secret_calls: Proxy,
    _manager: SecretsManager,
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
        Self::build(changes, &Limits::default(), false).await
    }

    /// With a proxy before everything that a function calls; its secrets are in Secrets Manager, as they are when it is
    /// deployed.
    pub async fn watched(changes: &[(&str, &str)]) -> Self {
        Self::build(changes, &Limits::default(), true).await
    }

    async fn build(changes: &[(&str, &str)], limits: &Limits, is_watched: bool) -> Self {
        let table = Table::start(&project().join("template.yaml")).await.expect("the table");
        let table_calls = Proxy::start(table.endpoint()).await.expect("the table's proxy");
        let log_rocket = LogRocket::start(Options::default()).await.expect("LogRocket");
        let log_rocket_calls = Proxy::start(&log_rocket.url()).await.expect("LogRocket's proxy");
        let gateway = Gateway::bind().await.expect("the gateway");
        let destinations = Destinations::start(destinations::Options::default()).await.expect("the vendors");
        let mut secrets = own_secrets(&log_rocket, &destinations);
        secrets["callbackKey"] = json!(CALLBACK_KEY);
        let mut env: Vec<(String, String)> = [
            ("TABLE_NAME", table.name()),
            ("AWS_ENDPOINT_URL_DYNAMODB", &table_calls.url()),
            ("AWS_REGION", "us-east-1"),
            ("LOGROCKET_APP_ID", log_rocket.app_id()),
            ("LOGROCKET_API_URL", &log_rocket_calls.url()),
            ("WEBHOOK_URL", &gateway.webhook_url()),
            ("PUBLIC_URL", &gateway.url()),
            ("SECRETS_JSON", &secrets.to_string()),
            ("ALLOW_PRIVATE_DESTINATIONS", "true"),
            ("RETRY_AFTER_SECONDS", "1"),
            ("POLL_AFTER_SECONDS", "1"),
            ("UNKNOWN_GRACE_SECONDS", "2"),
            ("LEASE_SECONDS", "2"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        env.extend(destinations.environment().into_iter().map(|(name, value)| (name.to_owned(), value)));
        let watched = if is_watched { Some(Watched::start(&destinations, &mut env).await) } else { None };
        change(&mut env, changes);
        let function = |name| Arc::new(Function::start_with(&binary(name), env.clone(), limits.clone()));
        let (request, webhook) = (function("request"), function("webhook"));
        gateway.serve(request.clone(), webhook.clone());
        // An answer that leads on is an answer.
        let http = local::client().redirect(Policy::none()).build();
        let http = http.expect("an HTTP client");
        let stream = None;
        Self {
            table,
            table_calls,
            log_rocket,
            log_rocket_calls,
            request,
            webhook,
            gateway,
            destinations,
            stream,
            watched,
            env,
            http,
        }
    }

    /// With its secrets in Secrets Manager: `own` is what people edit, `generated` what the stack makes.
    pub async fn with_secrets_manager(changes: &[(&str, &str)]) -> (Self, SecretsManager) {
        let manager = SecretsManager::start().await.expect("Secrets Manager");
        let url = manager.url();
        let there = [in_secrets_manager("own,generated", &url).as_slice(), changes].concat();
        let world = Self::with(&there).await;
        manager.put("own", &world.own_secrets());
        manager.put("generated", &json!({ "callbackKey": CALLBACK_KEY }));
        (world, manager)
    }

    /// What people have to write into the secret, as LogRocket and the vendors know it now.
    pub fn own_secrets(&self) -> Value {
        own_secrets(&self.log_rocket, &self.destinations)
    }

    /// With the table's stream, by which deliveries begin at once; in other worlds they wait for a sweep.
    pub async fn delivering(changes: &[(&str, &str)]) -> Self {
        Self::delivering_within(changes, Limits::default().timeout).await
    }

    /// The same, where both functions have that long for an invocation.
    pub async fn delivering_within(changes: &[(&str, &str)], timeout: Duration) -> Self {
        let mut world = Self::build(changes, &Limits { timeout, ..Limits::default() }, false).await;
        world.stream = Some(world.connect_stream(Invoker::function(world.webhook.clone())));
        world
    }

    /// The table's stream, as the template maps it, to anybody.
    pub fn connect_stream(&self, invoker: Invoker) -> EventSource {
        let mapping = Mapping::read(&project().join("template.yaml")).expect("a readable template");
        let mapping = mapping.expect("a mapping of the table's stream");
        EventSource::start(&self.table, mapping, invoker).expect("the stream")
    }

    /// A webhook λ beside the world's own, for sweeps and streams: `changes` override its environment, too.
    pub fn another_webhook(&self, changes: &[(&str, &str)], timeout: Duration) -> Arc<Function> {
        let mut env = self.env.clone();
        change(&mut env, changes);
        Arc::new(Function::start_with(&binary("webhook"), env, Limits { timeout, ..Limits::default() }))
    }

    /// The URL of a receiver of signed webhooks.
    pub fn hook(&self, name: &str) -> String {
        let watched = self.watched.as_ref().map(|watched| watched.destination_calls.url());
        format!("{}/hook/{name}", watched.unwrap_or_else(|| self.destinations.url()))
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

    /// `POST /highlights` with the API token and any bytes.
    pub async fn post_bytes(&self, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        let url = format!("{}/highlights", self.gateway.url());
        let mut request = self.http.post(url).header("authorization", BEARER).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the gateway answers");
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.expect("the gateway's answer is read"),
        }
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

    /// One sweep of the deliveries, as the schedule makes it each minute.
    pub async fn sweep_deliveries(&self) -> Value {
        self.webhook.invoke(json!({ "job": "sweep" })).await.expect("the sweep of the deliveries")
    }

    /// Reads until each of the request's deliveries has ended, without a sweep; answers them.
    pub async fn wait_for_deliveries(&self, id: &str) -> Vec<Value> {
        self.until_delivered(id, false).await
    }

    /// Sweeps and reads until each of the request's deliveries has ended.
    pub async fn sweep_until_delivered(&self, id: &str) -> Vec<Value> {
        self.until_delivered(id, true).await
    }

    async fn until_delivered(&self, id: &str, sweeping: bool) -> Vec<Value> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if sweeping {
                self.sweep_deliveries().await;
            }
            let deliveries = self.deliveries(id).await;
            if !deliveries.is_empty() && deliveries.iter().all(|delivery| delivery["status"] != "PENDING") {
                return deliveries;
            }
            assert!(
                Instant::now() < give_up,
                "waited for the deliveries: {deliveries:#?}\n{}",
                self.output()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The request's deliveries, as they are read back.
    pub async fn deliveries(&self, id: &str) -> Vec<Value> {
        self.read(id).await["deliveries"].as_array().cloned().unwrap_or_default()
    }

    /// `POST /highlights/{requestID}/redeliver` with the API token.
    pub async fn redeliver(&self, id: &str) -> Answer {
        let path = format!("/highlights/{id}/redeliver");
        self.call(Method::POST, &path, &[("authorization", BEARER)], Value::Null).await
    }

    /// Kills webhook λ with SIGKILL at the call that is held, which stays so.
    pub async fn kill_webhook_at(&self, hold: &Hold) {
        hold.arrived().await.expect("the call to be held");
        self.webhook.kill().await;
    }

    /// A direct invocation of request λ.
    pub async fn invoke(&self, payload: Value) -> Result<Value, FunctionError> {
        self.request.invoke(payload).await
    }

    /// The table's item, as plain JSON.
    pub fn item(&self, id: &str) -> Value {
        self.table.item(id).expect("the table").unwrap_or(Value::Null)
    }

    /// What the destinations are told as the name of this delivery.
    pub fn delivery_id(&self, id: &str, delivery: &str) -> String {
        let item = self.item(id);
        let opening = item["opening"].as_str().and_then(|opening| opening.get(..8)).expect("an opening");
        format!("{id}_{opening}_{delivery}")
    }

    /// The attempts that LogRocket was asked for, one for each POST of this request.
    pub fn attempts_posted(&self, id: &str) -> Vec<u32> {
        self.posts_of(id).into_iter().map(|(attempt, _)| attempt).collect()
    }

    /// The POSTs of this request, each with its attempt.
    pub fn posts_of(&self, id: &str) -> Vec<(u32, Post)> {
        let start = format!("{}?request={id}&attempt=", self.gateway.webhook_url());
        let of_it = |post: Post| {
            let (attempt, _) = post.webhook_url()?.strip_prefix(&start)?.split_once("&token=")?;
            let attempt = attempt.parse().expect("an attempt's number");
            Some((attempt, post))
        };
        self.log_rocket.posts().into_iter().filter_map(of_it).collect()
    }

    /// The last POST of this attempt.
    pub fn post_of(&self, id: &str, attempt: u32) -> Post {
        let posts = self.posts_of(id);
        let found = posts.into_iter().rfind(|(number, _)| *number == attempt);
        found.unwrap_or_else(|| panic!("attempt {attempt} of {id} was not posted")).1
    }

    /// LogRocket tells that this is what the attempt came to, and answers how the callback was answered.
    pub async fn tell(&self, id: &str, attempt: u32, outcome: Outcome) -> u16 {
        let log_rocket_id = self.post_of(id, attempt).logrocket_request_id.expect("LogRocket took it");
        self.log_rocket.send_callback(&log_rocket_id, outcome).await.expect("the callback is answered")
    }

    /// Sweeps until all of these requests have this status.
    pub async fn sweep_until_all(&self, ids: &[String], status: &str) {
        for id in ids {
            self.sweep_until(id, status).await;
        }
    }

    /// Sweeps for that long, as the schedule does, only more often.
    pub async fn sweep_for(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.sweep().await;
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks while request λ is killed with SIGKILL at the call that is held; the caller is told nothing but 500.
    /// The call stays held.
    pub async fn ask_and_kill(&self, body: Value, hold: &Hold) {
        let killing = async {
            hold.arrived().await.expect("the call to be held");
            self.request.kill().await;
        };
        let (answer, ()) = tokio::join!(self.post(body), killing);
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.text);
    }

    /// Sweeps while request λ is killed with SIGKILL at the call that is held. The call stays held.
    pub async fn sweep_and_kill(&self, hold: &Hold) {
        let killing = async {
            hold.arrived().await.expect("the call to be held");
            self.request.kill().await;
        };
        let sweeping = async {
            loop {
                match self.invoke(json!({ "job": "sweep" })).await {
                    Ok(_) => sleep(Duration::from_millis(50)).await,
                    Err(killed) => break killed,
                }
            }
        };
        let (killed, ()) = tokio::join!(sweeping, killing);
        assert_eq!(killed.error_type, "Runtime.ExitError", "{killed}");
    }

    /// Overwrites one attribute of an item, as somebody at the console can.
    pub async fn damage(&self, id: &str, attribute: &str, value: Value) {
        self.table_call(
            "UpdateItem",
            json!({
                "TableName": self.table.name(), "Key": { "requestID": { "S": id } },
                "UpdateExpression": "SET #attribute = :value",
                "ExpressionAttributeNames": { "#attribute": attribute },
                "ExpressionAttributeValues": { ":value": value },
            }),
        )
        .await;
    }

    /// The table's item in DynamoDB's own JSON, as a stream carries it.
    pub async fn raw_item(&self, id: &str) -> Value {
        let key = json!({ "TableName": self.table.name(), "Key": { "requestID": { "S": id } } });
        self.table_call("GetItem", key).await["Item"].take()
    }

    async fn table_call(&self, operation: &str, body: Value) -> Value {
        let scope = "Credential=local/20260101/us-east-1/dynamodb/aws4_request";
        let request = self
            .http
            .post(self.table.endpoint())
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
            .body(body.to_string());
        let response = request.send().await.expect("the table answers");
        let (status, text) = (response.status(), response.text().await.expect("the table's answer is read"));
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Posts to a callback URL as LogRocket would.
    pub async fn callback(&self, url: &str, body: Value) -> Answer {
        let path = url.strip_prefix(&self.gateway.url()).expect("one of our callback URLs");
        self.call(Method::POST, path, &[("content-type", "application/json")], body).await
    }

    /// What both functions have printed, each line a JSON object.
    pub fn lines(&self) -> Vec<Value> {
        let printed = [self.request.output(), self.webhook.output()].concat();
        let read =
            |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        printed.iter().map(read).collect()
    }

    /// Every value that was told of a metric with these dimensions, its stack's aside.
    pub fn metric(&self, name: &str, dimensions: &[(&str, &str)]) -> Vec<f64> {
        let mut names: Vec<&str> = dimensions.iter().map(|(dimension, _)| *dimension).collect();
        names.insert(0, "Stack");
        let lines = self.lines().into_iter().filter(|line| {
            line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == json!([names])
                && dimensions.iter().all(|(dimension, value)| line[dimension] == *value)
        });
        let values = |line: Value| match &line[name] {
            Value::Array(values) => values.iter().filter_map(Value::as_f64).collect(),
            value => Vec::from_iter(value.as_f64()),
        };
        lines.flat_map(values).collect()
    }

    /// Waits until so many values were told: a function prints them at its invocation's end, when what it did can be read.
    pub async fn metric_of(&self, name: &str, dimensions: &[(&str, &str)], values: usize) -> Vec<f64> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let told = self.metric(name, dimensions);
            if told.len() >= values || Instant::now() >= give_up {
                assert_eq!(told.len(), values, "{name} {dimensions:?}: {told:?}");
                return told;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so much was counted, and asserts that it is not more.
    pub async fn assert_count(&self, name: &str, dimensions: &[(&str, &str)], count: u32) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let told: f64 = self.metric(name, dimensions).iter().sum();
            if told >= f64::from(count) || Instant::now() >= give_up {
                assert!(
                    (told - f64::from(count)).abs() < f64::EPSILON,
                    "{name} {dimensions:?}: {told}, not {count}"
                );
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What both functions have printed.
    pub fn output(&self) -> String {
        [self.request.output(), self.webhook.output()].concat().join("\n")
    }
}

impl Watched {
    /// Whatever leads to the destinations leads to their proxy, and the secrets move to Secrets Manager.
    async fn start(destinations: &Destinations, env: &mut Vec<(String, String)>) -> Self {
        let destination_calls = Proxy::start(destinations.url()).await.expect("the destinations' proxy");
        for (_, value) in env.iter_mut() {
            *value = value.replace(&destinations.url(), &destination_calls.url());
        }
        let manager = SecretsManager::start().await.expect("Secrets Manager");
        let secrets = env.iter().find(|(name, _)| name == "SECRETS_JSON").map(|(_, json)| json.clone());
        manager.put_as("own", Secret::Text(secrets.expect("the functions' secrets")));
        let secret_calls = Proxy::start(manager.url()).await.expect("Secrets Manager's proxy");
        change(env, &in_secrets_manager("own", &secret_calls.url()));
        Self { destination_calls, secret_calls, _manager: manager }
    }
}

pub const BEARER: &str = "Bearer canary-api-token-0123456789abcdef0123456789";

impl Answer {
    /// What a function answered to an HTTP event of either payload format, as its gateway passes it on.
    pub fn of_event(answer: &Value) -> Self {
        let mut headers = HeaderMap::new();
        // A REST API is given lists of values.
        let all = ["headers", "multiValueHeaders"].into_iter().filter_map(|part| answer[part].as_object());
        for (name, value) in all.flatten() {
            let name = HeaderName::try_from(name).expect("a header's name");
            let value = value.as_str().or_else(|| value[0].as_str()).expect("a header's value");
            headers.insert(name, value.parse().expect("a header's value"));
        }
        let status = answer["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
        Self {
            status: StatusCode::from_u16(status.expect("a statusCode")).expect("a status"),
            headers,
            text: answer["body"].as_str().unwrap_or_default().to_owned(),
        }
    }

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

fn own_secrets(log_rocket: &LogRocket, destinations: &Destinations) -> Value {
    json!({
        "logRocketAPIKey": log_rocket.api_key(),
        "apiTokens": { "ops": API_TOKEN, "zendesk": OTHER_TOKEN },
        "destinations": destinations.secrets(),
    })
}

/// The secrets of these ids instead of `SECRETS_JSON`.
fn in_secrets_manager<'a>(ids: &'a str, url: &'a str) -> [(&'a str, &'a str); 3] {
    [("SECRETS_JSON", ""), ("SECRET_IDS", ids), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)]
}

/// Whether CloudWatch makes metrics of a printed line; the others are the log.
pub fn is_of_metrics(line: &Value) -> bool {
    line.get("_aws").is_some()
}

/// An empty value unsets.
fn change(env: &mut Vec<(String, String)>, changes: &[(&str, &str)]) {
    for (name, value) in changes {
        env.retain(|(known, _)| known != name);
        env.push(((*name).to_owned(), (*value).to_owned()));
    }
}

pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A binary of the workspace, in the profile that this program was built in.
pub fn binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    // target/{profile}/deps/{test}, or target/{profile}/{program}.
    let beside = this.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    let found = beside.into_iter().find(|binary| binary.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: cargo build --workspace --bins"))
}
