//! Everything that runs: the table and its stream, LogRocket, the destinations, the two functions, their sweeps.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use local::destinations::{self, Destinations};
use local::logrocket::{self, LogRocket};
use local::stream::{self, EventSource, Invoker, Mapping, MappingError};
use local::table::{self, Table};
use local::template::{self, Template};
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::terminal::{Step, say};
use crate::watch::{self, End, Watch};

/// How long the built functions get to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The simulated LogRocket's time to work, so that there is a PENDING to see.
const CALLBACK_AFTER: Duration = Duration::from_secs(3);
/// Where `dev` listens if it can, so that a shell's history stays useful: the API, and the destinations with their page.
const DEV_PORTS: (u16, u16) = (9000, 9001);

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
    /// Of the stand-in destinations; a page for people stands there.
    pub destinations_url: String,
    /// How `cargo lambda` is called in any shell.
    pub cargo_lambda: String,
    pub app_id: String,
    pub log_file: PathBuf,
}

/// The running whole.
pub struct Stack {
    pub access: Access,
    pub watch: Watch,
    pub destinations: Destinations,
    sweeps: JoinSet<()>,
    stream: EventSource,
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
    #[error("the template cannot be read")]
    Template(#[from] template::Error),
    #[error("the table did not start")]
    Table(#[from] table::Error),
    #[error("the template does not say how the table's stream feeds webhook")]
    Mapping(#[from] MappingError),
    #[error("the template has no event source mapping of the table's stream")]
    NoMapping,
    #[error("the table's stream cannot be read")]
    Stream(#[from] stream::Error),
    #[error("the LogRocket simulator did not start")]
    Simulator(#[from] logrocket::Error),
    #[error("the stand-in destinations did not start")]
    Destinations(#[from] destinations::Error),
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
        let template = Template::read(&root.join("template.yaml"))?;
        let mapping = Mapping::from_template(&template)?.ok_or(StackError::NoMapping)?;
        let table = Table::from_template(&template).await?;
        step.done(format!("DynamoDB, in memory, with the table of template.yaml: {}", table.endpoint()));

        let step = Step::begin();
        let options = logrocket::Options { callback_after: CALLBACK_AFTER, ..Default::default() };
        let simulator = LogRocket::start(options).await?;
        step.done(format!("LogRocket's simulator: {}", simulator.url()));

        let step = Step::begin();
        let port_of_destinations = port(mode, DEV_PORTS.1).map_err(StackError::Port)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port_of_destinations));
        let options = destinations::Options { address, ..Default::default() };
        let destinations = Destinations::start(options).await?;
        step.done(format!("Stand-ins for Slack, Zendesk and the like: {}", destinations.url()));

        build(&root).await?;

        let port = port(mode, DEV_PORTS.0).map_err(StackError::Port)?;
        let access = Access {
            client: local::client().timeout(Duration::from_secs(30)).build()?,
            url: format!("http://127.0.0.1:{port}"),
            token: random_key(),
            simulator_url: simulator.url(),
            destinations_url: destinations.url(),
            cargo_lambda: cargo_lambda(&root),
            app_id: simulator.app_id().to_owned(),
            log_file: scratch.join("functions.log"),
        };
        let env_file = scratch.join("functions.env");
        write_env_file(&env_file, &environment(mode, &access, &table, &simulator, &destinations))
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

        let step = Step::begin();
        let invoker = Invoker::endpoint(&access.url, WEBHOOK.function)?;
        let stream = EventSource::start(&table, mapping, invoker)?;
        let sweeps = start_sweeps(&access);
        step.done("The table's stream feeds webhook, and both are swept each second");

        Ok(Stack { access, watch, destinations, sweeps, stream, _table: table, _simulator: simulator })
    }

    /// Ends all of it.
    pub async fn stop(self) {
        let step = Step::begin();
        drop((self.sweeps, self.stream));
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

/// `make tools` puts it where no shell looks for it.
fn cargo_lambda(root: &Path) -> String {
    let tool = root.join(".tools/bin/cargo-lambda");
    if tool.is_file() { format!("'{}' lambda", tool.display()) } else { "cargo lambda".to_owned() }
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

/// A port that is free now: whoever it is for takes it a moment later.
fn port(mode: Mode, dev_port: u16) -> io::Result<u16> {
    let free = |port| {
        TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?.local_addr().map(|at| at.port())
    };
    match mode {
        Mode::Dev => free(dev_port).or_else(|_| free(0)),
        Mode::Demo => free(0),
    }
}

/// 64 hexadecimal digits from the system's random source.
fn random_key() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// What the functions are told, with waits so short that a lost callback is polled in seconds.
fn environment(
    mode: Mode,
    access: &Access,
    table: &Table,
    simulator: &LogRocket,
    destinations: &Destinations,
) -> Vec<(&'static str, String)> {
    let secrets = json!({
        "destinations": destinations.secrets(),
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
    let mut variables = destinations.environment();
    variables.extend(fixed.map(|(name, value)| (name, value.to_owned())));
    variables.extend([
        ("AWS_ENDPOINT_URL_DYNAMODB", table.endpoint().to_owned()),
        ("LOGROCKET_API_URL", simulator.url()),
        ("LOGROCKET_APP_ID", simulator.app_id().to_owned()),
        ("SECRETS_JSON", secrets.to_string()),
        ("TABLE_NAME", table.name().to_owned()),
        ("WEBHOOK_URL", format!("{}/webhook", access.url)),
    ]);
    // Nobody could open a link to a page that ends with the demo.
    if mode == Mode::Dev {
        variables.push(("PUBLIC_URL", access.url.clone()));
    }
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

/// EventBridge Scheduler's stand-in: the minute's sweeps, every second, until it is dropped.
fn start_sweeps(access: &Access) -> JoinSet<()> {
    let mut sweeps = JoinSet::new();
    // Each for itself: webhook's takes long when a destination does not answer.
    for Probe { function, .. } in [REQUEST, WEBHOOK] {
        let client = access.client.clone();
        let url = format!("{}/2015-03-31/functions/{function}/invocations", access.url);
        sweeps.spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                // A sweep that fails is in the function's log, and the next one is a second away.
                let sweep = client.post(&url).header("content-type", "application/json").body(SWEEP);
                let _ = sweep.send().await;
            }
        });
    }
    sweeps
}
