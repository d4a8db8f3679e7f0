//! The one table that is printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// So many of those that were lost, or broke a rule, are named.
const NAMED: usize = 20;

/// What came of one run.
#[derive(Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub requests: usize,
    /// Repeats by callers who were told nothing, or 5xx.
    pub repeats: usize,
    /// Asks that LogRocket refused, as the callers were told.
    pub refusals: usize,
    pub deleted: usize,
    /// Records by status, and by the failure's code.
    pub statuses: BTreeMap<String, usize>,
    /// Marks by state.
    pub deliveries: BTreeMap<&'static str, usize>,
    /// Messages that a destination took in once more.
    pub twice: usize,
    /// Requests that callers had delivered once more, and those whose waits the quiet phase brought forward.
    pub redelivered: usize,
    pub brought_forward: usize,
    /// POSTs to LogRocket for each request, and those of them that it took.
    pub posts: Vec<usize>,
    pub posts_taken: Vec<usize>,
    pub kills: usize,
    /// Faults by kind.
    pub injected: BTreeMap<String, usize>,
    /// What was promised and not kept.
    pub lost: Vec<String>,
    /// What should hold at rest and does not.
    pub broken: Vec<String>,
    pub asking: Duration,
    pub quiet: Duration,
}

impl Report {
    /// Whether nothing was lost and no rule broken.
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.broken.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &dyn fmt::Display| writeln!(out, "{name:<44}{value:>12}");
        row("seed", &self.seed)?;
        row("requests", &self.requests)?;
        row("  repeated by callers", &self.repeats)?;
        row("  refusals told to callers", &self.refusals)?;
        row("  deleted by callers", &self.deleted)?;
        row("records at rest", &self.statuses.values().sum::<usize>())?;
        for (status, count) in &self.statuses {
            row(&format!("  {status}"), count)?;
        }
        row("deliveries", &self.deliveries.values().sum::<usize>())?;
        let states = [
            ("delivered", "DELIVERED"),
            ("given up", "FAILED"),
            ("skipped", "SKIPPED"),
            ("still waiting", "PENDING"),
        ];
        for (name, state) in states {
            row(&format!("  {name}"), &self.deliveries.get(state).unwrap_or(&0))?;
        }
        row("duplicates (taken in once more)", &self.twice)?;
        row("redelivered by callers", &self.redelivered)?;
        row("redelivered to bring waits forward", &self.brought_forward)?;
        for (name, posts) in
            [("POSTs per request", &self.posts), ("  that LogRocket took", &self.posts_taken)]
        {
            let most = posts.iter().max().unwrap_or(&0);
            row(name, &format!("{:.2}, max {most}", mean(posts)))?;
        }
        row("kills", &self.kills)?;
        row("faults", &self.injected.values().sum::<usize>())?;
        for (name, count) in &self.injected {
            row(&format!("  {name}"), count)?;
        }
        row("seconds", &format!("{:.0} + {:.0}", self.asking.as_secs_f64(), self.quiet.as_secs_f64()))?;
        row("rules broken", &self.broken.len())?;
        row("lost", &self.lost.len())?;
        for (name, all) in [("broken", &self.broken), ("lost", &self.lost)] {
            for what in all.iter().take(NAMED) {
                writeln!(out, "{name}: {what}")?;
            }
        }
        if !self.is_good() {
            let (seed, requests) = (self.seed, self.requests);
            writeln!(out, "Repeat it with: make chaos SEED={seed} REQUESTS={requests}")?;
        }
        Ok(())
    }
}

fn mean(numbers: &[usize]) -> f64 {
    numbers.iter().sum::<usize>() as f64 / numbers.len().max(1) as f64
}
