//! One execution environment: one process of the function, and its Runtime API.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fmt, io};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::runtime_api::{Invocation, Report, RuntimeApi};
use super::{FunctionError, Limits};
use crate::serve::{lock, now_ms};

/// What every environment of a function is started with.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) name: String,
    pub(super) binary: PathBuf,
    pub(super) env: Vec<(String, String)>,
    pub(super) limits: Limits,
}

/// The lines that a function's processes wrote, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    pub(super) fn lines(&self) -> Vec<String> {
        lock(&self.0).clone()
    }

    fn push(&self, line: String) {
        lock(&self.0).push(line);
    }
}

pub(super) struct Environment {
    api: RuntimeApi,
    process: Child,
    readers: [JoinHandle<()>; 2],
    /// Becomes true when the function is killed; closed when its handle is dropped.
    killed: watch::Receiver<bool>,
    initialised: bool,
}

/// How the wait for a report ended without one.
enum Stop {
    Exited(io::Result<ExitStatus>),
    Killed,
    OutOfTime,
}

impl Environment {
    /// Starts the process in an environment that holds what Lambda sets, what `launch` gives, and nothing else.
    pub(super) async fn start(
        launch: &Launch,
        output: &Output,
        killed: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let api = RuntimeApi::start().await?;
        let mut process = Command::new(&launch.binary)
            .env_clear()
            .envs(variables(&launch.name, &launch.binary, launch.limits.memory_mb))
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let readers = [
            collect_lines(process.stdout.take(), output.clone()),
            collect_lines(process.stderr.take(), output.clone()),
        ];
        Ok(Environment { api, process, readers, killed, initialised: false })
    }

    /// False when its process is gone or is to be.
    pub(super) fn is_usable(&mut self) -> bool {
        !self.is_killed() && matches!(self.process.try_wait(), Ok(None))
    }

    /// `VmHWM`, in bytes.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()?)).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kilobytes: u64 = peak.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
        Some(kilobytes * 1024)
    }

    pub(super) fn is_killed(&self) -> bool {
        *self.killed.borrow() || self.killed.has_changed().is_err()
    }

    /// Waits until the process asks for its first invocation.
    pub(super) async fn initialise(
        mut self,
        limits: &Limits,
        request_id: &str,
    ) -> Result<Self, FunctionError> {
        if self.initialised {
            return Ok(self);
        }
        let until = Instant::now() + limits.init_timeout;
        match self.report(until).await {
            Ok(Report::Polled) => {
                self.initialised = true;
                Ok(self)
            }
            Ok(Report::Failed { error_type, error_message }) => {
                self.kill().await;
                Err(FunctionError { error_type, error_message })
            }
            Ok(Report::Answered(_) | Report::TooLarge(_)) => {
                self.kill().await;
                Err(FunctionError::new("Runtime.Unknown", "answered before it asked for an invocation"))
            }
            Err(stop) => Err(self.stopped(stop, limits.init_timeout, request_id).await),
        }
    }

    /// Runs one invocation; the environment comes back if it can take another.
    pub(super) async fn run(
        mut self,
        launch: &Launch,
        request_id: &str,
        payload: Vec<u8>,
    ) -> (Option<Self>, Result<Value, FunctionError>) {
        let allowed = launch.limits.timeout;
        let until = Instant::now() + allowed;
        // The receiver lives as long as the listener: a process that is gone shows as its exit below.
        let _ = self.api.invocations.send(Invocation {
            request_id: request_id.to_owned(),
            payload,
            deadline: now_ms().saturating_add(u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX)),
            function_arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{}", launch.name),
            trace_id: trace_id(),
        });
        loop {
            let result = match self.report(until).await {
                Ok(Report::Polled) => continue,
                Ok(Report::Answered(body)) => serde_json::from_slice(&body).map_err(|error| {
                    FunctionError::new("Runtime.InvalidResponse", format!("the answer is not JSON: {error}"))
                }),
                Ok(Report::Failed { error_type, error_message }) => {
                    Err(FunctionError { error_type, error_message })
                }
                Ok(Report::TooLarge(size)) => Err(FunctionError::new(
                    "Function.ResponseSizeTooLarge",
                    format!(
                        "Response payload size ({size} bytes) exceeded maximum allowed payload size (6291556 bytes)."
                    ),
                )),
                Err(stop) => {
                    let error = self.stopped(stop, allowed, request_id).await;
                    return (None, Err(error));
                }
            };
            return (Some(self), result);
        }
    }

    /// SIGKILL; returns when the process is gone and its last lines are collected.
    pub(super) async fn kill(mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill().await;
        self.collect_last_lines().await;
    }

    /// What the process says next. A report that has come is taken even if the process has ended since.
    async fn report(&mut self, until: Instant) -> Result<Report, Stop> {
        tokio::select! {
            biased;
            Some(report) = self.api.reports.recv() => Ok(report),
            _ = self.killed.wait_for(|killed| *killed) => Err(Stop::Killed),
            status = self.process.wait() => Err(Stop::Exited(status)),
            () = sleep_until(until) => Err(Stop::OutOfTime),
        }
    }

    async fn stopped(mut self, stop: Stop, allowed: Duration, request_id: &str) -> FunctionError {
        let status = match stop {
            Stop::OutOfTime => {
                self.kill().await;
                return FunctionError::new(
                    "Sandbox.Timedout",
                    format!(
                        "RequestId: {request_id} Error: Task timed out after {:.2} seconds",
                        allowed.as_secs_f64()
                    ),
                );
            }
            Stop::Killed => {
                let _ = self.process.start_kill();
                self.process.wait().await
            }
            Stop::Exited(status) => status,
        };
        self.collect_last_lines().await;
        FunctionError::new(
            "Runtime.ExitError",
            format!("RequestId: {request_id} Error: {}", ExitReason(status)),
        )
    }

    /// Bounded, for a child of the process may hold its output open.
    async fn collect_last_lines(&mut self) {
        for reader in &mut self.readers {
            let _ = timeout(Duration::from_secs(1), reader).await;
        }
    }
}

/// The variables that Lambda sets in an OS-only runtime, and credentials of nobody. `AWS_LAMBDA_RUNTIME_API` is for
/// whoever listens there to add.
pub fn variables(name: &str, binary: &Path, memory_mb: u32) -> Vec<(&'static str, String)> {
    let root = binary.parent().unwrap_or(binary);
    let fixed = [
        ("_HANDLER", "bootstrap"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", "local"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        ("TZ", ":UTC"),
    ];
    let mut variables: Vec<(&'static str, String)> =
        fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    variables.extend([
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", Uuid::new_v4().simple().to_string()),
        ("LAMBDA_TASK_ROOT", root.display().to_string()),
    ]);
    variables
}

fn collect_lines(stream: Option<impl AsyncRead + Unpin + Send + 'static>, output: Output) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(stream) = stream else { return };
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
            output.push(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned());
            line.clear();
        }
    })
}

/// X-Ray's form, not sampled.
pub fn trace_id() -> String {
    let id = Uuid::new_v4().simple().to_string();
    let seconds = now_ms() / 1000;
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &id[..24], &id[16..])
}

/// Lambda's words for how a runtime ended.
struct ExitReason(io::Result<ExitStatus>);

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match &self.0 {
            Ok(status) if status.success() => {
                return f.write_str("Runtime exited without providing a reason");
            }
            Ok(status) => status,
            Err(error) => return write!(f, "Runtime exited with error: {error}"),
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => write!(f, "Runtime exited with error: exit status {code}"),
            (None, Some(6)) => f.write_str("Runtime exited with error: signal: aborted"),
            (None, Some(9)) => f.write_str("Runtime exited with error: signal: killed"),
            (None, Some(11)) => f.write_str("Runtime exited with error: signal: segmentation fault"),
            (None, signal) => write!(f, "Runtime exited with error: signal: {}", signal.unwrap_or_default()),
        }
    }
}
