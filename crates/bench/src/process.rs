//! One process of a function, started and invoked as Lambda does, and what the system says of it.

use crate::runtime_api::{Call, Received, RuntimeApi};
use crate::tls::{BUNDLE, ROOTS};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a deployed function has (template.yaml).
const MEMORY_MB: u32 = 256;
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The function's.
    pub name: String,
    pub binary: PathBuf,
    pub env: Vec<(String, String)>,
    /// What runs it, and that one's arguments; nothing, as a rule.
    pub under: Vec<String>,
    /// How much longer than Lambda it is waited for.
    pub patience: u32,
}

impl Launch {
    /// What it trusts, by each variable that it is told that by.
    pub fn trust(&mut self, roots: &Path) {
        let bundles = self.env.iter().any(|(name, _)| name == BUNDLE);
        self.set(ROOTS, roots);
        if bundles {
            self.set(BUNDLE, roots);
        }
    }

    /// Another value for a variable that names a file.
    pub fn set(&mut self, name: &str, file: &Path) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), file.display().to_string()));
    }
}

/// A process that is ready.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    api: RuntimeApi,
    /// What it prints. A reader would take a processor's time in the middle of what is measured.
    output: PathBuf,
    /// Where it waits for its next invocation.
    waits_at: usize,
    invoked: u64,
    /// From its start to its first question for an invocation.
    pub init: Duration,
    /// The processor's time of each of its threads, in nanoseconds, as it was last seen: threads end.
    cpu: BTreeMap<String, u64>,
}

/// What a function answered.
#[derive(Debug)]
pub struct Answer {
    /// From the hand-over of the event to the answer's last byte.
    pub took: Duration,
    pub json: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{binary} cannot be started")]
    Start { binary: PathBuf, source: io::Error },
    #[error("{function} does not speak with its Runtime API; it printed:\n{output}")]
    Silent { function: String, output: String, source: io::Error },
    #[error("{function} {what}; it printed:\n{output}")]
    Unexpected { function: String, what: String, output: String },
    #[error("the system does not tell of process {0}")]
    Untold(u32, #[source] io::Error),
}

impl Process {
    /// Starts it with a clean environment and waits until it asks for an invocation. What it prints stands in
    /// `directory`.
    pub fn start(launch: &Launch, directory: &Path) -> Result<Self, Error> {
        let cannot = |source| Error::Start { binary: launch.binary.clone(), source };
        let api = RuntimeApi::listen().map_err(cannot)?;
        let address = api.address().map_err(cannot)?;
        let output = directory.join(format!("{}-{}.log", launch.name, address.port()));
        let printed = File::create(&output).map_err(cannot)?;
        let mut words = launch.under.iter().map(String::as_str).chain(launch.binary.to_str());
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .env_clear()
            .envs(local::lambda::variables(&launch.name, &launch.binary, MEMORY_MB))
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(launch.binary.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(printed.try_clone().map_err(cannot)?)
            .stderr(printed);
        let started = Instant::now();
        let child = command.spawn().map_err(cannot)?;
        let (launch, cpu) = (launch.clone(), BTreeMap::new());
        let mut this =
            Self { launch, child, api, output, waits_at: 0, invoked: 0, init: Duration::ZERO, cpu };
        this.wait_for_next()?;
        this.init = started.elapsed();
        Ok(this)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// One invocation, to its end: until the process asks for the next.
    pub fn invoke(&mut self, event: &[u8]) -> Result<Answer, Error> {
        self.invoked += 1;
        let head = self.head();
        let begun = Instant::now();
        let handed = self.api.hand_over(self.waits_at, &head, event);
        let received = handed.and_then(|()| self.receive());
        let took = begun.elapsed();
        let Received { connection, call } = received.map_err(|error| self.silent(error))?;
        let answered = self.api.accept(connection);
        answered.map_err(|error| self.silent(error))?;
        let body = match call {
            Call::Answered(body) => body,
            Call::Failed(body) => {
                return Err(self.unexpected(format!("failed: {}", String::from_utf8_lossy(&body))));
            }
            Call::Next => return Err(self.unexpected("asked for more before it answered".to_owned())),
        };
        self.wait_for_next()?;
        let json = serde_json::from_slice(&body).map_err(|error| self.unexpected(error.to_string()))?;
        Ok(Answer { took, json })
    }

    /// The same, where it is an HTTP event that is to be answered with this status.
    pub fn call(&mut self, event: &[u8], status: u16) -> Result<Answer, Error> {
        let answer = self.invoke(event)?;
        if answer.json["statusCode"] != status {
            return Err(self.unexpected(format!("answered {} instead of {status}", answer.json)));
        }
        Ok(answer)
    }

    /// The processor's time that all its threads have taken until now.
    pub fn cpu(&mut self) -> Result<Duration, Error> {
        cpu_of(self.id(), &mut self.cpu).map_err(|error| Error::Untold(self.id(), error))
    }

    /// The most memory that it ever had resident, in bytes (`VmHWM`).
    pub fn peak_memory(&self) -> Result<u64, Error> {
        let untold = |error| Error::Untold(self.id(), error);
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).map_err(untold)?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        let kilobytes = peak.and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| untold(io::ErrorKind::InvalidData.into()))
    }

    /// How many bytes it has printed: what CloudWatch Logs is sent, beside Lambda's own lines.
    pub fn printed_bytes(&self) -> Result<u64, Error> {
        let untold = |error| Error::Untold(self.id(), error);
        fs::metadata(&self.output).map(|file| file.len()).map_err(untold)
    }

    /// Asks it to end, and waits until it has.
    pub fn end(mut self) -> Result<(), Error> {
        use rustix::process::{Pid, Signal, kill_process};
        // An error means that it has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.child.wait().map_err(|error| Error::Untold(self.child.id(), error))?;
        Ok(())
    }

    /// What it does that it should not.
    pub fn unexpected(&self, what: String) -> Error {
        Error::Unexpected { function: self.launch.name.clone(), what, output: self.printed() }
    }

    fn wait_for_next(&mut self) -> Result<(), Error> {
        match self.receive() {
            Ok(Received { connection, call: Call::Next }) => {
                self.waits_at = connection;
                Ok(())
            }
            Ok(Received { call, .. }) => Err(self.unexpected(format!("said {call:?}"))),
            Err(error) => Err(self.silent(error)),
        }
    }

    fn receive(&mut self) -> io::Result<Received> {
        self.api.receive(Instant::now() + TIMEOUT * self.launch.patience)
    }

    fn head(&self) -> String {
        let deadline = SystemTime::now() + TIMEOUT * self.launch.patience;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let (id, name) = (self.invoked, &self.launch.name);
        format!(
            "content-type: application/json\r\n\
             lambda-runtime-aws-request-id: {:08x}-0000-4000-8000-{id:012x}\r\n\
             lambda-runtime-deadline-ms: {deadline}\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:{name}\r\n\
             lambda-runtime-trace-id: {}\r\n",
            self.id(),
            local::lambda::trace_id(),
        )
    }

    fn silent(&self, source: io::Error) -> Error {
        Error::Silent { function: self.launch.name.clone(), output: self.printed(), source }
    }

    /// Its last words.
    fn printed(&self) -> String {
        const WORDS: usize = 2_000;
        let printed = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(printed.get(printed.len().saturating_sub(WORDS)..).unwrap_or_default())
            .into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor's time of this process, the stand-ins' and the table's with it.
pub fn own_cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// The processor's time of each thread that is or was, in nanoseconds, added up.
pub fn cpu_of(process: u32, known: &mut BTreeMap<String, u64>) -> io::Result<Duration> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?;
        // One that ends as it is read has been seen before, or did next to nothing.
        let Ok(line) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        let nanoseconds = line.split(' ').next().and_then(|first| first.parse().ok());
        let nanoseconds = nanoseconds.ok_or(io::ErrorKind::InvalidData)?;
        known.insert(thread.file_name().to_string_lossy().into_owned(), nanoseconds);
    }
    Ok(Duration::from_nanos(known.values().sum()))
}
