//! A process held to a share of a processor, as Lambda holds a function by its memory: 128 MB get a twelfth of one.
//!
//! Lambda's own means is the scheduler's quota of a control group, over periods of 20 ms: once a period's share is
//! used up, the process stands still until the next one begins. Where this machine lets a group be made (`cpu.max` of
//! version 2, or version 1's `cpu.cfs_quota_us`), that is used; else the same is done by hand, with `SIGSTOP` and
//! `SIGCONT`. The hand is kinder: of a thread that runs, the system tells the time at its ticks, so that it stops late.

use crate::process::cpu_of;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(20);
const SHARE: Duration = Duration::from_micros(1_667);
/// How often the hand looks.
const LOOK: Duration = Duration::from_micros(100);

const GROUPS: &str = "/sys/fs/cgroup";

/// By which means processes are held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    GroupV2,
    GroupV1,
    Signals,
}

impl Means {
    /// The best that this machine has.
    pub fn here() -> Self {
        let probe = |means: Means| means.make("probe").map(fs::remove_dir);
        [Self::GroupV2, Self::GroupV1]
            .into_iter()
            .find(|means| probe(*means).is_ok())
            .unwrap_or(Self::Signals)
    }

    /// As results have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GroupV2 => "cgroup v2 cpu.max",
            Self::GroupV1 => "cgroup v1 cpu.cfs_quota_us",
            Self::Signals => "SIGSTOP and SIGCONT",
        }
    }

    /// Holds a process from now on, until the hold is dropped; the process should have ended by then.
    pub fn hold(self, process: u32) -> io::Result<Hold> {
        if self == Self::Signals {
            return Ok(Hold::ByHand { _hand: Hand::start(process)? });
        }
        let group = self.make(&process.to_string())?;
        fs::write(group.join("cgroup.procs"), process.to_string())?;
        Ok(Hold::Group(group))
    }

    /// A group that is held.
    fn make(self, name: &str) -> io::Result<PathBuf> {
        let (period, share) = (PERIOD.as_micros(), SHARE.as_micros());
        let name = format!("bench-{}-{name}", std::process::id());
        let (group, settings) = match self {
            Self::GroupV2 => (Path::new(GROUPS).join(name), vec![("cpu.max", format!("{share} {period}"))]),
            _ => {
                let settings =
                    vec![("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", share.to_string())];
                (Path::new(GROUPS).join("cpu").join(name), settings)
            }
        };
        fs::create_dir(&group)?;
        for (file, value) in settings {
            // Not created: a file of that name is there if the group is one that can be held.
            let set = fs::OpenOptions::new().write(true).open(group.join(file));
            if let Err(error) = set.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes())) {
                let _ = fs::remove_dir(&group);
                return Err(error);
            }
        }
        Ok(group)
    }
}

/// A process that is held.
#[derive(Debug)]
pub enum Hold {
    Group(PathBuf),
    ByHand { _hand: Hand },
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Self::Group(group) = self else { return };
        // A process that has just ended is in its group for a moment longer.
        let until = Instant::now() + Duration::from_secs(1);
        while fs::remove_dir(&*group).is_err() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The thread that stops a process and lets it go on.
#[derive(Debug)]
pub struct Hand {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Hand {
    fn start(process: u32) -> io::Result<Self> {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut known = BTreeMap::new();
            let mut used = cpu_of(process, &mut known)?;
            while !ends.load(Ordering::Relaxed) {
                let (until, allowed) = (Instant::now() + PERIOD, used + SHARE);
                while Instant::now() < until && used < allowed {
                    thread::sleep(LOOK);
                    used = cpu_of(process, &mut known)?;
                }
                kill_process(pid, Signal::STOP)?;
                thread::sleep(until.saturating_duration_since(Instant::now()));
                kill_process(pid, Signal::CONT)?;
            }
            Ok(())
        });
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // That the process has ended is no fault.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    /// A process that takes all that it is given.
    struct Busy(Child);

    impl Busy {
        fn start() -> Self {
            let loops = ["-c", "while :; do :; done"];
            Self(Command::new("sh").args(loops).stdin(Stdio::null()).spawn().unwrap())
        }

        /// Looks until this is so.
        fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
            let until = Instant::now() + Duration::from_secs(20);
            loop {
                let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
                let state = stat.rsplit(") ").next().unwrap().get(..1).unwrap();
                if is_so(state) {
                    return;
                }
                assert!(Instant::now() < until, "waited for a process that {what}: {stat}");
                thread::sleep(LOOK);
            }
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn by_hand_a_process_stands_still_and_goes_on_again_and_again() {
        let busy = Busy::start();
        let hold = Means::Signals.hold(busy.0.id()).unwrap();
        for _ in 0..3 {
            busy.until("stands still", |state| state == "T");
            busy.until("goes on", |state| state != "T");
        }
        drop(hold);
        busy.until("is let go", |state| state == "R");
    }

    #[test]
    fn in_a_group_the_scheduler_does_it() {
        let means = Means::here();
        if means == Means::Signals {
            return;
        }
        let busy = Busy::start();
        let hold = means.hold(busy.0.id()).unwrap();
        let Hold::Group(group) = &hold else { panic!("{means:?} holds by hand") };
        let group = group.clone();
        let stood_still = |_: &str| {
            let told = fs::read_to_string(group.join("cpu.stat")).unwrap();
            let times = told.lines().find_map(|line| line.strip_prefix("nr_throttled "));
            times.is_some_and(|times| times != "0")
        };
        busy.until("is throttled", stood_still);
        drop(busy);
        drop(hold);
        assert!(!group.exists());
    }
}
