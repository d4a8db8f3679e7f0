//! When and where something was measured, and of which commit.

use serde::Serialize;
use std::fs;
use std::process::Command;
use time::OffsetDateTime;

/// What stands above all figures.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Circumstances {
    /// UTC, to the minute.
    pub date: String,
    /// A `+` at its end: and what was changed since.
    pub commit: String,
    /// As the functions' `Architecture` has it.
    pub processor: &'static str,
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    /// How many processes wanted to run at once in the minute before; none is best.
    pub load: String,
}

impl Circumstances {
    pub fn here() -> Self {
        let now = OffsetDateTime::now_utc();
        let (date, hour, minute) = (now.date(), now.hour(), now.minute());
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let cpu =
            cpus.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        Self {
            date: format!(
                "{}-{:02}-{:02}T{hour:02}:{minute:02}Z",
                date.year(),
                u8::from(date.month()),
                date.day()
            ),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            processor: if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" },
            cpu: cpu.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    // What was measured before is no change of what is measured.
    let kept =
        [":!bench/results.json", ":!bench/results.svg", ":!bench/instructions.json", ":!bench/scale.json"];
    let changes = git(&[&["status", "--porcelain", "--", "."], &kept[..]].concat())?;
    Some(if changes.is_empty() { commit } else { commit + "+" })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
