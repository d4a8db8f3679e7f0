//! `cargo lambda watch` as a child: its log, its readiness, its end.
//!
//! It starts the functions in process groups of their own, so its own group is not all there is to stop.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::terminal::say;

/// How long `cargo lambda watch` gets to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines of the log that are kept to be shown.
const TAIL: usize = 25;

/// What it is started with.
pub struct Options<'a> {
    /// The workspace.
    pub root: &'a Path,
    pub port: u16,
    pub env_file: &'a Path,
    pub log_file: &'a Path,
    /// Build again and restart when a source file changes.
    pub reload: bool,
    /// Show the log as well as write it.
    pub show_log: bool,
}

/// The running child. Dropping it kills it and its functions.
pub struct Watch {
    child: Child,
    log: Log,
}

/// What ended by itself.
pub enum End {
    Watch(String),
    Function,
}

impl Watch {
    pub fn start(options: &Options<'_>) -> io::Result<Watch> {
        let log = Log::create(options.log_file, options.show_log)?;
        let mut command = Command::new("cargo");
        command
            // The API has no CORS either.
            .args(["lambda", "watch", "--disable-cors", "--invoke-address", "127.0.0.1"])
            .arg("--invoke-port")
            .arg(options.port.to_string())
            .arg("--env-file")
            .arg(options.env_file)
            .current_dir(options.root)
            .env("NO_COLOR", "1")
            // A proxy is not to stand between the functions and what runs beside them.
            .env("NO_PROXY", "127.0.0.1,localhost")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if !options.reload {
            command.arg("--ignore-changes");
        }
        // The functions inherit this environment: nobody's account, profile or Lambda is to be in it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn()?;
        log.follow(child.stdout.take());
        log.follow(child.stderr.take());
        Ok(Watch { child, log })
    }

    /// Waits for an end that nobody asked for.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Waits for the end of it or of a function: one ends at its start when its configuration is wrong.
    pub async fn failed(&mut self) -> End {
        let log = self.log.clone();
        let function_lost = async {
            while !log.lines().function_lost {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            status = self.ended() => End::Watch(status),
            () = function_lost => End::Function,
        }
    }

    pub fn show_log_tail(&self) {
        self.log.show_tail();
    }

    /// Ends it and its functions; nothing of them is left afterwards.
    pub async fn stop(mut self) {
        let functions = self.functions();
        self.signal_group(Signal::TERM);
        let _ = timeout(PATIENCE, self.child.wait()).await;
        self.signal_group(Signal::KILL);
        send(Signal::TERM, &functions);
        let until = Instant::now() + PATIENCE;
        while functions.iter().any(|pid| is_running(*pid)) && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
        send(Signal::KILL, &functions);
    }

    /// The processes that it started, and theirs.
    fn functions(&self) -> Vec<Pid> {
        self.child.id().map(descendants).unwrap_or_default()
    }

    /// To what is left of the group, until its leader has been waited for.
    fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.child.id().and_then(to_pid) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let functions = self.functions();
        self.signal_group(Signal::KILL);
        send(Signal::KILL, &functions);
    }
}

fn send(signal: Signal, processes: &[Pid]) {
    for pid in processes {
        // One that is gone needs no signal.
        let _ = kill_process(*pid, signal);
    }
}

/// Two a second would push everything else off the screen, and out of the tail.
fn is_idle_sweep(line: &str) -> bool {
    line.contains(r#""message":"swept","due":0"#)
}

fn is_running(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// All processes below `root`, as `ps` tells them; none where there is no `ps`.
fn descendants(root: u32) -> Vec<Pid> {
    let listing = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
    let listing = listing.map(|output| output.stdout).unwrap_or_default();
    descendants_in(&String::from_utf8_lossy(&listing), root).into_iter().filter_map(to_pid).collect()
}

fn descendants_in(listing: &str, root: u32) -> Vec<u32> {
    let pairs: Vec<(u32, u32)> = listing
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .collect();
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, _) in pairs.iter().filter(|(pid, ppid)| *ppid == parent && *pid != parent) {
            found.push(*pid);
            parents.push(*pid);
        }
    }
    found
}

/// What the child and its functions write: into a file, and the last lines kept.
#[derive(Clone)]
struct Log(Arc<Mutex<Lines>>);

struct Lines {
    path: PathBuf,
    file: File,
    tail: VecDeque<String>,
    show: bool,
    function_lost: bool,
}

impl Log {
    fn create(path: &Path, show: bool) -> io::Result<Log> {
        Ok(Log(Arc::new(Mutex::new(Lines {
            path: path.to_owned(),
            file: File::create(path)?,
            tail: VecDeque::new(),
            show,
            function_lost: false,
        }))))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, stream: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(stream) = stream else { return };
        let log = self.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
                log.push(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        });
    }

    fn push(&self, line: &str) {
        let mut lines = self.lines();
        // A full disk is no reason to stop reading: the child would stand still.
        let _ = writeln!(lines.file, "{line}");
        if is_idle_sweep(line) {
            return;
        }
        if lines.show {
            say(line);
        }
        // How `cargo lambda watch` tells it; it goes on and waits for a source file to change.
        lines.function_lost |= line.contains("command exited") || line.contains("command killed");
        lines.tail.push_back(line.to_owned());
        if lines.tail.len() > TAIL {
            lines.tail.pop_front();
        }
    }

    fn show_tail(&self) {
        let lines = self.lines();
        eprintln!("\nThe last lines of {}:", lines.path.display());
        for line in &lines.tail {
            eprintln!("  {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_over_generations() {
        let listing = "  1 0\n 10 1\n 11 10\n 12 11\n 20 1\n garbage\n";
        assert_eq!(descendants_in(listing, 10), [11, 12]);
        assert!(descendants_in(listing, 20).is_empty());
    }

    /// A child that starts a process in a group of its own, as `cargo lambda watch` starts the functions.
    fn stand_in(directory: &Path) -> Watch {
        let script = "set -m; sleep 300 & echo started; wait";
        let mut child = Command::new("bash")
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Log::create(&directory.join("functions.log"), false).unwrap();
        log.follow(child.stdout.take());
        Watch { child, log }
    }

    async fn processes_of(watch: &Watch) -> Vec<Pid> {
        while watch.log.lines().tail.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let found = watch.functions();
        assert_eq!(found.len(), 1);
        found
    }

    /// Gone, or a zombie that waits for an `init` to reap it.
    async fn assert_gone(processes: &[Pid]) {
        for _ in 0..100 {
            let alive = |pid: &Pid| {
                let state = std::process::Command::new("ps")
                    .args(["-o", "stat=", "-p", &pid.as_raw_nonzero().to_string()])
                    .output()
                    .unwrap();
                let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
                !state.is_empty() && !state.starts_with('Z')
            };
            if !processes.iter().any(alive) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{processes:?} are still there");
    }

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("local-watch-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[tokio::test]
    async fn stopping_leaves_no_process_of_another_group() {
        let directory = scratch("stop");
        let watch = stand_in(&directory);
        let processes = processes_of(&watch).await;
        watch.stop().await;
        assert_gone(&processes).await;
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[tokio::test]
    async fn dropping_leaves_none_either() {
        let directory = scratch("drop");
        let watch = stand_in(&directory);
        let processes = processes_of(&watch).await;
        drop(watch);
        assert_gone(&processes).await;
        std::fs::remove_dir_all(directory).unwrap();
    }
}
