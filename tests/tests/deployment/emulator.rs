//! ministack: AWS on this machine, which runs what is deployed to it.

use local::localhost::Localhost;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use stories::project;
use tokio::time::sleep;

/// As `make tools` puts it there.
const MINISTACK: &str = ".tools/ministack/bin/ministack";
const REGION: &str = "us-east-1";
/// The account's root to the emulator, which looks at no signature of it. Every other principal is held to its policies.
const ROOT_KEY: &str = "test";

/// A running emulator. Dropping it ends it, and with it the functions that it runs: none outlives its Runtime API.
pub struct Emulator {
    process: Child,
    url: String,
    /// Its state, its functions' code and what it prints.
    directory: PathBuf,
    pub http: Client,
}

/// What one invocation of a function logged.
#[derive(Debug)]
pub struct Invocation(Vec<Value>);

impl Display for Invocation {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Invocation {
    /// Whether it logged that, of whatever request.
    pub fn says(&self, message: &str) -> bool {
        self.0.iter().any(|line| line["message"] == message)
    }

    /// Whether it logged that of this request.
    pub fn says_of(&self, id: &str, message: &str) -> bool {
        self.0.iter().any(|line| line["message"] == message && line["requestID"] == id)
    }

    /// How often it logged that.
    pub fn count(&self, message: &str) -> usize {
        self.0.iter().filter(|line| line["message"] == message).count()
    }

    pub fn is_sweep(&self) -> bool {
        self.says("swept")
    }
}

impl Emulator {
    pub async fn start() -> Self {
        let http = local::client().dns_resolver(Localhost);
        let http = http.timeout(Duration::from_secs(60)).build().expect("an HTTP client");
        // Somebody else may take the port meanwhile.
        for _ in 0..3 {
            let mut emulator = Self::on_a_free_port(http.clone());
            if emulator.is_ready().await {
                return emulator;
            }
            eprintln!("{}", emulator.output());
        }
        panic!("{MINISTACK} does not start");
    }

    fn on_a_free_port(http: Client) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("a free port").port();
        drop(free);
        let directory = std::env::temp_dir().join(format!("deployment-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let output = File::create(directory.join("output")).expect("a file for its output");
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(project().join(MINISTACK));
        alone(&mut command, &directory, &url);
        let process = command
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            // Functions run by their roles.
            .env("AUTH", "true")
            .env("TMPDIR", &directory)
            .env("STATE_DIR", directory.join("state"))
            .env("S3_DATA_DIR", directory.join("s3"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file for its output"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{MINISTACK}, which `make tools` installs: {error}"));
        Self { process, url, directory, http }
    }

    async fn is_ready(&mut self) -> bool {
        for _ in 0..300 {
            if self.process.try_wait().expect("its status").is_some() {
                return false;
            }
            let health = self.http.get(format!("{}/_ministack/health", self.url)).send().await;
            if health.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// `sam` with this cloud for an account, run in the project; answers what it printed.
    pub async fn sam(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("sam");
        alone(&mut command, &self.directory, &self.url);
        command.args(arguments).current_dir(project()).stdin(Stdio::null());
        let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it is run");
        let ran = ran.unwrap_or_else(|error| panic!("sam, which `make tools` installs: {error}"));
        let printed =
            [ran.stdout, ran.stderr].map(|part| String::from_utf8_lossy(&part).into_owned()).concat();
        assert!(ran.status.success(), "sam {arguments:?}: {}\n{printed}", ran.status);
        printed
    }

    /// One call of a service that speaks JSON; `target` is `X-Amz-Target`.
    pub async fn aws(&self, service: &str, target: &str, body: Value) -> Value {
        let request = self.http.post(&self.url).header("x-amz-target", target);
        let request = request.header("content-type", "application/x-amz-json-1.0").body(body.to_string());
        read(target, self.signed(service, request)).await
    }

    /// One call of a service that speaks REST.
    pub async fn rest(&self, service: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        read(path, self.signed(service, request)).await
    }

    /// One call of a service that takes a form and answers in XML.
    pub async fn query(&self, service: &str, form: &[(&str, &str)]) -> String {
        let request = self.signed(service, self.http.post(&self.url).form(form));
        let answer = request.send().await.expect("the emulator answers");
        let (status, text) = (answer.status(), answer.text().await.expect("the emulator's answer is read"));
        assert!(status.is_success(), "{form:?}: {status} {text}");
        text
    }

    /// As whoever holds the account.
    pub fn signed(&self, service: &str, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let scope = format!("Credential={ROOT_KEY}/20260101/{REGION}/{service}/aws4_request");
        request
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
    }

    /// Every invocation whose log stands in that group. The emulator gives each a stream of its own.
    pub async fn invocations(&self, group: &str) -> Vec<Invocation> {
        const LOGS: &str = "Logs_20140328";
        let mut streams = Vec::new();
        let mut query = json!({ "logGroupName": group });
        loop {
            let page = self.aws("logs", &format!("{LOGS}.DescribeLogStreams"), query.clone()).await;
            streams.extend(page["logStreams"].as_array().cloned().unwrap_or_default());
            let Some(next) = page.get("nextToken").filter(|next| next.is_string()) else { break };
            query["nextToken"] = next.clone();
        }
        let mut invocations = Vec::new();
        for stream in streams {
            let query = json!({ "logGroupName": group, "logStreamName": stream["logStreamName"],
                "startFromHead": true, "limit": 10_000 });
            let events = self.aws("logs", &format!("{LOGS}.GetLogEvents"), query).await;
            let events = events["events"].as_array().cloned().unwrap_or_default();
            let messages: Vec<&str> = events.iter().filter_map(|event| event["message"].as_str()).collect();
            let begun = messages.iter().filter(|message| message.starts_with("START ")).count();
            assert_eq!(begun, 1, "an invocation has a stream of its own: {messages:#?}");
            // Beside the function's own lines stand Lambda's, which are no JSON.
            let lines = messages.iter().filter_map(|message| serde_json::from_str(message).ok());
            invocations.push(Invocation(lines.collect()));
        }
        invocations
    }

    /// Every record of a table's stream so far.
    pub async fn stream_records(&self, arn: &str) -> Vec<Value> {
        const STREAMS: &str = "DynamoDBStreams_20120810";
        let call =
            async |operation: &str, body| self.aws("dynamodb", &format!("{STREAMS}.{operation}"), body).await;
        let stream = call("DescribeStream", json!({ "StreamArn": arn })).await;
        let mut records = Vec::new();
        for shard in stream["StreamDescription"]["Shards"].as_array().cloned().unwrap_or_default() {
            let from =
                json!({ "StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON" });
            let mut iterator = call("GetShardIterator", from).await["ShardIterator"].take();
            while iterator.is_string() {
                let mut page = call("GetRecords", json!({ "ShardIterator": iterator })).await;
                let Value::Array(more) = page["Records"].take() else { break };
                if more.is_empty() {
                    break;
                }
                records.extend(more);
                iterator = page["NextShardIterator"].take();
            }
        }
        records
    }

    /// How many records of streams the emulator has handed to functions, which it tells in its output alone.
    pub fn handed_over(&self) -> usize {
        let output = self.output();
        let told = output.lines().filter_map(|line| line.split_once(" DynamoDB stream records from "));
        told.map(|(before, _)| {
            let number = before.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
            number.expect("a number of records")
        })
        .sum()
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        let output = fs::read(self.directory.join("output")).unwrap_or_default();
        String::from_utf8_lossy(&output).into_owned()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.output());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Gives it nothing of this process's environment but where programs are: functions inherit the emulator's, and are to
/// know what is deployed and no more. Nobody's account is to be in it either.
fn alone(command: &mut Command, directory: &PathBuf, url: &str) {
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", directory)
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", ROOT_KEY)
        .env("AWS_SECRET_ACCESS_KEY", "none")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("SAM_CLI_TELEMETRY", "0")
        .env("COLUMNS", "250");
}

async fn read(what: &str, request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("the emulator answers");
    let (status, text) = (answer.status(), answer.text().await.expect("the emulator's answer is read"));
    assert!(status.is_success(), "{what}: {status} {text}");
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"))
}
