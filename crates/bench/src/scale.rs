//! How the functions scale: by copies of them, and by what is due and stored.

use crate::backlog::{self, Backlog, Idle, Plan};
use crate::copies::{self, Copies, Manner};
use crate::machine::Circumstances;
use crate::options::Options;
use crate::paths::Path;
use crate::process;
use crate::run::{self, Ground, progress};
use local::table;
use serde::Serialize;
use std::time::Duration;

/// A run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    #[serde(flatten)]
    pub circumstances: Circumstances,
    pub copies: Vec<Copies>,
    pub idle_sweeps: Vec<Idle>,
    pub sweeps: Vec<Backlog>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("the table does not do what it is to")]
    Table(#[from] table::Error),
    #[error("a sweep: {0}")]
    Sweep(String),
    #[error("nothing was measured")]
    Nothing,
}

pub fn measure(options: &Options) -> Result<Scale, Error> {
    let ground = Ground::new()?;
    let (seconds, most, stored) = if options.quick { (1, 10, 1_000) } else { (3, 50, 100_000) };
    let mut scale = Scale {
        circumstances: Circumstances::here(),
        copies: Vec::new(),
        idle_sweeps: Vec::new(),
        sweeps: Vec::new(),
    };
    let at_once = [1, 2, 5, 10, 20, 50].map(|copies| (copies, Manner::AtOnce));
    let others =
        [(1, Manner::InTurn), (50, Manner::InTurn), (1, Manner::AtOnceLive), (10, Manner::AtOnceLive)];
    for (copies, manner) in at_once.into_iter().chain(others).filter(|(copies, _)| *copies <= most) {
        let driven = copies::drive(&ground, options, copies, manner, Duration::from_secs(seconds))?;
        for one in &driven.functions {
            progress(&format!("  {}: {:.0} a second on one core", one.function, one.per_cpu_second));
        }
        scale.copies.push(driven);
    }
    for plan in plans(options.quick, stored) {
        let (idle, backlog) = backlog::sweep(&ground, options, plan)?;
        progress(&format!("  {:.2} s, {} sweeps", backlog.seconds, backlog.sweeps.len()));
        let is_new = |known: &Idle| (known.function, known.stored) != (idle.function, idle.stored);
        if scale.idle_sweeps.iter().all(is_new) {
            scale.idle_sweeps.push(idle);
        }
        scale.sweeps.push(backlog);
    }
    Ok(scale)
}

fn plans(quick: bool, stored: usize) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (path, most) in [(Path::RequestSweepFull, 100_000), (Path::WebhookSweepFull, 10_000)] {
        let plan = |due, stored, at_once| Plan { path, due, stored, at_once };
        plans.extend([plan(10, 0, 1), plan(10, 0, 4)]);
        plans.extend([plan(1_000, 0, 1), plan(1_000, stored, 1), plan(1_000, 0, 4)]);
        if !quick {
            // What four at once have in common shows with a tenth of it.
            plans.extend([plan(most, 0, 1), plan(most, stored, 1), plan(10_000, 0, 4)]);
        }
    }
    plans
}

/// How many of something come in a second.
pub fn per_second(count: usize, of: Duration) -> f64 {
    crate::measure::count(count) / of.as_secs_f64()
}
