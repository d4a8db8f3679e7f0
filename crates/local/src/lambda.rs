//! Runs a real function binary as AWS Lambda does: processes that poll the Lambda Runtime API, one invocation
//! at a time in each, more of them as more is asked at once, killed on a time-out, started again when they are gone.

mod environment;
mod invoke_api;
mod runtime_api;

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::serve::lock;
use environment::{Environment, Launch, Output};

pub use environment::{trace_id, variables};
pub use invoke_api::InvokeApi;

/// What a function may use; the default is that of the deployed request λ.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// From the invocation's hand-over to its answer; then the process is killed.
    pub timeout: Duration,
    /// From the process's start to its first poll.
    pub init_timeout: Duration,
    /// Processes at once. More invocations than that wait; Lambda would answer 429.
    pub environments: usize,
    /// Told to the function, not enforced.
    pub memory_mb: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            timeout: Duration::from_secs(30),
            init_timeout: Duration::from_secs(10),
            environments: 20,
            memory_mb: 256,
        }
    }
}

/// What Lambda's `Invoke` answers with `X-Amz-Function-Error`: the function's own error, or one of the runtime's
/// (`Runtime.ExitError`, `Sandbox.Timedout`, `Runtime.InvalidEntrypoint`, …).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {error_message}")]
pub struct FunctionError {
    /// `errorType`: what a state machine's `Retry` and `Catch` match.
    pub error_type: String,
    /// `errorMessage`.
    pub error_message: String,
}

impl FunctionError {
    fn new(error_type: &str, error_message: impl Into<String>) -> Self {
        FunctionError { error_type: error_type.to_owned(), error_message: error_message.into() }
    }
}

/// A function: its binary and the environments that run it. Dropping it kills its processes.
pub struct Function {
    shared: Arc<Shared>,
}

impl Function {
    /// A function with default [`Limits`], named after its binary. Processes start at the first invocation, with a
    /// clean environment: what Lambda sets, then `env`.
    pub fn start<N, V>(binary: &Path, env: impl IntoIterator<Item = (N, V)>) -> Function
    where
        N: Into<String>,
        V: Into<String>,
    {
        Function::start_with(binary, env, Limits::default())
    }

    /// [`Function::start`] with other limits.
    pub fn start_with<N, V>(binary: &Path, env: impl IntoIterator<Item = (N, V)>, limits: Limits) -> Function
    where
        N: Into<String>,
        V: Into<String>,
    {
        let name = binary.file_stem().unwrap_or(binary.as_os_str());
        let launch = Launch {
            name: name.to_string_lossy().into_owned(),
            binary: binary.to_owned(),
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            limits,
        };
        Function {
            shared: Arc::new(Shared {
                free: Semaphore::new(launch.limits.environments),
                launch,
                output: Output::default(),
                pool: Mutex::new(Pool { idle: Vec::new(), killer: watch::Sender::new(false) }),
            }),
        }
    }

    /// As Lambda knows it.
    pub fn name(&self) -> &str {
        &self.shared.launch.name
    }

    /// Invokes the function and waits for its answer. The invocation goes on when the caller stops waiting.
    ///
    /// # Errors
    /// What the function reports, or how its process ended instead.
    pub async fn invoke(&self, payload: Value) -> Result<Value, FunctionError> {
        self.invoke_with_request_id(payload, &Uuid::new_v4().to_string()).await
    }

    /// [`Function::invoke`] under a given request id: Lambda keeps it when it repeats an asynchronous invocation.
    ///
    /// # Errors
    /// As [`Function::invoke`].
    pub async fn invoke_with_request_id(
        &self,
        payload: Value,
        request_id: &str,
    ) -> Result<Value, FunctionError> {
        self.invoke_bytes(payload.to_string(), request_id).await
    }

    /// [`Function::invoke_with_request_id`] with a payload that is handed over byte for byte: JSON that no [`Value`]
    /// can hold, such as an object that has a name twice.
    ///
    /// # Errors
    /// As [`Function::invoke`].
    pub async fn invoke_bytes(
        &self,
        payload: impl Into<Vec<u8>>,
        request_id: &str,
    ) -> Result<Value, FunctionError> {
        let shared = Arc::clone(&self.shared);
        let (payload, request_id) = (payload.into(), request_id.to_owned());
        in_background(async move { shared.invoke(payload, &request_id).await }).await?
    }

    /// Kills every process with SIGKILL and returns when they are gone: invocations in flight fail with
    /// `Runtime.ExitError`. The next invocation starts the function again.
    pub async fn kill(&self) {
        self.shared.kill().await;
    }

    /// [`Function::kill`], then starts one process and waits until it polls.
    ///
    /// # Errors
    /// When the process cannot be started, ends or is not ready in time.
    pub async fn restart(&self) -> Result<(), FunctionError> {
        self.kill().await;
        let shared = Arc::clone(&self.shared);
        in_background(async move {
            let environment = shared.ready_environment(&Uuid::new_v4().to_string()).await?;
            shared.put_back(environment).await;
            Ok(())
        })
        .await?
    }

    /// The most memory, in bytes, that a process which now waits for an invocation ever had resident. `None` if none
    /// waits, or where the system does not tell: Linux does.
    pub fn peak_memory(&self) -> Option<u64> {
        self.shared.pool().idle.iter().filter_map(Environment::peak_memory).max()
    }

    /// The lines that the function's processes wrote to standard output and standard error, oldest first.
    pub fn output(&self) -> Vec<String> {
        self.shared.output.lines()
    }

    /// Waits for a line that contains `text`; `None` when none has come `within` the time.
    pub async fn wait_for_output(&self, text: &str, within: Duration) -> Option<String> {
        let until = Instant::now() + within;
        loop {
            let found = self.output().into_iter().find(|line| line.contains(text));
            if found.is_some() || Instant::now() >= until {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let mut pool = self.shared.pool();
        pool.killer.send_replace(true);
        // Dropping an environment kills its process.
        pool.idle.clear();
    }
}

struct Shared {
    launch: Launch,
    output: Output,
    /// One permit for each environment that may run.
    free: Semaphore,
    pool: Mutex<Pool>,
}

struct Pool {
    idle: Vec<Environment>,
    /// Each environment holds a receiver: `true` tells it to die, and when all are dropped all processes are gone.
    killer: watch::Sender<bool>,
}

impl Shared {
    fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.pool)
    }

    async fn invoke(&self, payload: Vec<u8>, request_id: &str) -> Result<Value, FunctionError> {
        // The semaphore is never closed; were it, running one more process would be the lesser harm.
        let _permit = self.free.acquire().await.ok();
        let environment = self.ready_environment(request_id).await?;
        let (environment, result) = environment.run(&self.launch, request_id, payload).await;
        if let Some(environment) = environment {
            self.put_back(environment).await;
        }
        result
    }

    /// An idle environment whose process lives, else a new one that has polled.
    async fn ready_environment(&self, request_id: &str) -> Result<Environment, FunctionError> {
        loop {
            let idle = self.pool().idle.pop();
            let Some(mut environment) = idle else { break };
            if environment.is_usable() {
                return Ok(environment);
            }
            environment.kill().await;
        }
        let killed = self.pool().killer.subscribe();
        let environment = Environment::start(&self.launch, &self.output, killed).await.map_err(|error| {
            let binary = self.launch.binary.display();
            FunctionError::new(
                "Runtime.InvalidEntrypoint",
                format!("RequestId: {request_id} Error: cannot start {binary}: {error}"),
            )
        })?;
        environment.initialise(&self.launch.limits, request_id).await
    }

    /// Keeps the environment for the next invocation, unless the function was killed meanwhile.
    async fn put_back(&self, environment: Environment) {
        let rejected = {
            let mut pool = self.pool();
            // Looked at under the lock that `kill` empties the pool with: no environment slips in behind it.
            if environment.is_killed() {
                Some(environment)
            } else {
                pool.idle.push(environment);
                None
            }
        };
        if let Some(environment) = rejected {
            environment.kill().await;
        }
    }

    async fn kill(&self) {
        let (killer, idle) = {
            let mut pool = self.pool();
            let killer = std::mem::replace(&mut pool.killer, watch::Sender::new(false));
            killer.send_replace(true);
            (killer, std::mem::take(&mut pool.idle))
        };
        for environment in idle {
            environment.kill().await;
        }
        killer.closed().await;
    }
}

/// In a task of its own: an invocation does not end because its caller lost interest.
async fn in_background<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, FunctionError> {
    tokio::spawn(work).await.map_err(|error| FunctionError::new("Runtime.Unknown", error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests;
