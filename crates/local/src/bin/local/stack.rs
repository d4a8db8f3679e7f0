//! Everything that runs: the table, the simulator, the two functions, the sweep.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use local::logrocket::{self, LogRocket, Options};
use local::table::{self, Table};
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::terminal::{Step, say};
use crate::watch::{self, End, Watch};

/// How long the built functions get to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The simulated LogRocket's time to work, so that there is a PENDING to see.
const CALLBACK_AFTER: Duration = Duration::from_secs(3);
/// Where `dev` listens if it can, so that a shell's history stays useful.
const DEV_PORT: u16 = 9000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    Demo,
    Dev,
}

/// What a caller needs.
pub struct Access {
    pub client: reqwest::Client,
    /// Of the API, with no slash at its end.
    pub url: String,
    pub token: String,
    pub simulator_url: String,
    pub app_id: String,
    pub log_file: PathBuf,
}

/// The running whole.
pub struct Stack {
    pub access: Access,
    pub watch: Watch,
    sweep: Sweep,
    _table: Table,
    _simulator: LogRocket,
}

#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("no template.yaml here or above: run it inside the project")]
    NoProject,
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("no free port")]
    Port(#[source] io::Error),
    #[error("the table did not start")]
    Table(#[from] table::Error),
    #[error("the LogRocket simulator did not start")]
    Simulator(#[from] logrocket::Error),
    #[error("cannot make an HTTP client")]
    Client(#[from] reqwest::Error),
    #[error("cannot run cargo")]
    Cargo(#[source] io::Error),
    #[error("the functions do not build ({0})")]
    Build(ExitStatus),
    #[error(
        "`cargo lambda watch` ended ({0}); is cargo-lambda installed (`make tools`, and `make demo` or `make dev`)?"
    )]
    Watch(String),
    #[error("{function} ended at its start; {log} says why")]
    FunctionEnded { function: &'static str, log: PathBuf },
    #[error("{function} did not answer as expected within {READY_WITHIN:?} (last: {last}); see {log}")]
    NotReady { function: &'static str, last: String, log: PathBuf },
}

impl Stack {
    /// Starts all of it, telling the user step by step.
    pub async fn start(mode: Mode) -> Result<Stack, StackError> {
        let root = project_root()?;
        let scratch = root.join(".local");
        std::fs::create_dir_all(&scratch)
            .map_err(|source| StackError::Write { path: scratch.clone(), source })?;

        let step = Step::begin();
        let table = Table::start(&root.join("template.yaml")).await?;
        step.done(format!("DynamoDB, in memory, with the table of template.yaml: {}", table.endpoint()));

        let step = Step::begin();
        let options = Options { callback_after: CALLBACK_AFTER, ..Options::default() };
        let simulator = LogRocket::start(options).await?;
        step.done(format!("LogRocket's simulator: {}", simulator.url()));

        build(&root).await?;

        let port = port(mode).map_err(StackError::Port)?;
        let access = Access {
            client: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?,
            url: format!("http://127.0.0.1:{port}"),
            token: random_key(),
            simulator_url: simulator.url(),
            app_id: simulator.app_id().to_owned(),
            log_file: scratch.join("functions.log"),
        };
        let env_file = scratch.join("functions.env");
        write_env_file(&env_file, &environment(&access, &table, &simulator))
            .map_err(|source| StackError::Write { path: env_file.clone(), source })?;

        let step = Step::begin();
        let mut watch = Watch::start(&watch::Options {
            root: &root,
            port,
            env_file: &env_file,
            log_file: &access.log_file,
            reload: mode == Mode::Dev,
            show_log: mode == Mode::Dev,
        })
        .map_err(StackError::Cargo)?;
        for function in [REQUEST, WEBHOOK] {
            if let Err(error) = ready(function, &access, &mut watch).await {
                watch.show_log_tail();
                return Err(error);
            }
        }
        step.done(format!("request and webhook, under cargo lambda watch: {}", access.url));
        say(format!("    (their log: {})", access.log_file.display()));

        Ok(Stack { sweep: Sweep::start(&access), access, watch, _table: table, _simulator: simulator })
    }

    /// Ends all of it.
    pub async fn stop(self) {
        let step = Step::begin();
        drop(self.sweep);
        self.watch.stop().await;
        step.done("Everything stopped");
    }
}

/// The directory of template.yaml, here or above.
fn project_root() -> Result<PathBuf, StackError> {
    let here = std::env::current_dir().map_err(|_| StackError::NoProject)?;
    let is_root = |directory: &&Path| {
        directory.join("template.yaml").is_file() && directory.join("Cargo.toml").is_file()
    };
    here.ancestors().find(is_root).map(Path::to_owned).ok_or(StackError::NoProject)
}

/// Builds what `cargo lambda watch` will run, in the same way, so that its errors and its progress are seen here.
async fn build(root: &Path) -> Result<(), StackError> {
    say("  … building the functions (a first build takes some minutes)");
    let step = Step::begin();
    let status = Command::new("cargo")
        .args(["build", "--bin", "request", "--bin", "webhook"])
        .current_dir(root)
        .kill_on_drop(true)
        .status()
        .await
        .map_err(StackError::Cargo)?;
    if !status.success() {
        return Err(StackError::Build(status));
    }
    step.done("The functions are built");
    Ok(())
}

/// A port that is free now: `cargo lambda watch` takes it a moment later.
fn port(mode: Mode) -> io::Result<u16> {
    let free = |port| {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?.local_addr().map(|at| at.port())
    };
    match mode {
        Mode::Dev => free(DEV_PORT).or_else(|_| free(0)),
        Mode::Demo => free(0),
    }
}

/// 64 hexadecimal digits from the system's random source.
fn random_key() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// What the functions are told, with waits so short that a lost callback is polled in seconds.
fn environment(access: &Access, table: &Table, simulator: &LogRocket) -> Vec<(&'static str, String)> {
    let secrets = json!({
        "logRocketAPIKey": simulator.api_key(),
        "callbackKey": random_key(),
        "apiToken": access.token,
    });
    let fixed = [
        ("ALLOW_PRIVATE_DESTINATIONS", "true"),
        ("API_AUTH", "token"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("PENDING_TIMEOUT_SECONDS", "600"),
        ("POLL_AFTER_SECONDS", "8"),
        ("RETRY_AFTER_SECONDS", "2"),
        ("UNKNOWN_GRACE_SECONDS", "10"),
    ];
    let mut variables: Vec<(&'static str, String)> =
        fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    variables.extend([
        ("AWS_ENDPOINT_URL_DYNAMODB", table.endpoint().to_owned()),
        ("LOGROCKET_API_URL", simulator.url()),
        ("LOGROCKET_APP_ID", simulator.app_id().to_owned()),
        ("SECRETS_JSON", secrets.to_string()),
        ("TABLE_NAME", table.name().to_owned()),
        ("WEBHOOK_URL", format!("{}/webhook", access.url)),
    ]);
    variables
}

/// One `NAME='value'` a line, readable by its owner alone: there are keys in it, though of this run only.
fn write_env_file(path: &Path, variables: &[(&str, String)]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    for (name, value) in variables {
        writeln!(file, "{name}='{value}'")?;
    }
    Ok(())
}

/// How it is seen that a function answers.
#[derive(Clone, Copy)]
struct Probe {
    function: &'static str,
    path: &'static str,
    body: &'static str,
    status: u16,
}

const REQUEST: Probe = Probe {
    function: "request",
    path: "/2015-03-31/functions/request/invocations",
    body: SWEEP,
    status: 200,
};
/// A callback without a token is refused before anything else is looked at.
const WEBHOOK: Probe = Probe { function: "webhook", path: "/webhook", body: "{}", status: 401 };
const SWEEP: &str = r#"{"job":"sweep"}"#;

/// Waits until the function answers as it should; gives up when it, or what runs it, has ended.
async fn ready(probe: Probe, access: &Access, watch: &mut Watch) -> Result<(), StackError> {
    let mut last = "no answer".to_owned();
    let until = Instant::now() + READY_WITHIN;
    while Instant::now() < until {
        let ask = access
            .client
            .post(format!("{}{}", access.url, probe.path))
            .header("content-type", "application/json")
            .body(probe.body)
            .send();
        tokio::select! {
            answer = ask => match answer {
                Ok(answer) if answer.status().as_u16() == probe.status => return Ok(()),
                Ok(answer) => {
                    let status = answer.status();
                    last = format!("{status} {}", answer.text().await.unwrap_or_default());
                }
                // Not listening yet.
                Err(error) if error.is_connect() => {}
                Err(error) => last = error.to_string(),
            },
            end = watch.failed() => return Err(match end {
                End::Watch(status) => StackError::Watch(status),
                End::Function => StackError::FunctionEnded {
                    function: probe.function,
                    log: access.log_file.clone(),
                },
            }),
        }
        sleep(Duration::from_millis(200)).await;
    }
    Err(StackError::NotReady { function: probe.function, last, log: access.log_file.clone() })
}

/// EventBridge Scheduler's stand-in: the minute's sweep, every second.
struct Sweep(JoinHandle<()>);

impl Sweep {
    fn start(access: &Access) -> Sweep {
        let client = access.client.clone();
        let url = format!("{}{}", access.url, REQUEST.path);
        Sweep(tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                // A sweep that fails is in the function's log, and the next one is a second away.
                let _ = client.post(&url).header("content-type", "application/json").body(SWEEP).send().await;
            }
        }))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.0.abort();
    }
}
