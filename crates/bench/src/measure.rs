//! The measuring: several processes side by side, in turns, so that whatever else the machine does meets them all.

use crate::front::Tally;
use crate::hold::Means;
use crate::paths::{Events, Path};
use crate::process::{self, Launch, Process};
use crate::statistics::Spread;
use crate::world::{Tallies, World};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// Invocations before those that count, and how many of one process follow each other.
pub const WARM_UP: usize = 50;
pub const TURN: usize = 25;

/// Who is measured on a path, and by which events.
pub struct Contestant {
    pub launch: Launch,
    pub events: Events,
}

/// From a process's start to its first answer.
#[derive(Debug, Clone, Serialize)]
pub struct Starts {
    /// To the first question for an invocation, in milliseconds.
    #[serde(rename = "initMs")]
    pub init: Spread,
    /// To the first answer, in milliseconds.
    #[serde(rename = "answerMs")]
    pub answer: Spread,
    /// The processor's time of all threads for that, in milliseconds.
    #[serde(rename = "cpuMs")]
    pub cpu: Spread,
}

/// What a warm invocation takes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warm {
    /// From the hand-over to the answer.
    pub microseconds: Spread,
    /// The processor's time of all threads, from the hand-over until the process asks for more; a mean.
    pub cpu_microseconds: f64,
    /// The most that the process ever had resident.
    pub peak_bytes: u64,
    pub table: Calls,
    pub log_rocket: Calls,
    pub secrets: Calls,
    pub destination: Calls,
}

/// What AWS would bill for one invocation, beside its time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// Write request units.
    pub written_units: f64,
    /// Of these, each index's.
    pub written_units_by_index: BTreeMap<String, f64>,
    /// Read request units.
    pub read_units: f64,
    /// Of log and metrics.
    pub log_bytes: u64,
}

/// Calls for one invocation, means all.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    pub calls: f64,
    pub by_operation: BTreeMap<String, f64>,
    pub bytes_sent: f64,
    pub bytes_received: f64,
    /// What the stand-in took for its answers: part of what the function waits for.
    pub stand_in_microseconds: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("{function} cannot be held to a share of a processor")]
    Hold { function: String, source: io::Error },
    #[error("nothing was measured")]
    Nothing,
}

/// Starts each contestant `samples` times, in turns, and hands it one event; `held` to a share of a processor from when
/// it asks for that, as Lambda does.
pub fn starts(
    contestants: &mut [Contestant],
    path: Path,
    samples: usize,
    held: Option<Means>,
    directory: &std::path::Path,
) -> Result<Vec<Starts>, Error> {
    let mut taken = vec![(Vec::new(), Vec::new(), Vec::new()); contestants.len()];
    // The first round is for the machine: it reads the binaries from the disk.
    for round in 0..=samples {
        for (Contestant { launch, events }, (inits, answers, cpus)) in contestants.iter_mut().zip(&mut taken)
        {
            let mut process = Process::start(launch, directory)?;
            let hold = held.map(|means| means.hold(process.id())).transpose();
            let hold = hold.map_err(|source| Error::Hold { function: launch.name.clone(), source })?;
            let answer = events.invoke(&mut process, path)?;
            if round > 0 {
                inits.push(milliseconds(process.init));
                answers.push(milliseconds(process.init + answer.took));
                cpus.push(milliseconds(process.cpu()?));
            }
            drop(process);
            drop(hold);
        }
    }
    let spread = |samples| Spread::of(samples).ok_or(Error::Nothing);
    let results = taken.into_iter().map(|(inits, answers, cpus)| {
        Ok(Starts { init: spread(inits)?, answer: spread(answers)?, cpu: spread(cpus)? })
    });
    results.collect()
}

/// Keeps a process of each contestant and invokes them in turns, `rounds` of [`TURN`] invocations.
pub fn warm(
    contestants: &mut [Contestant],
    path: Path,
    world: &World,
    rounds: usize,
    directory: &std::path::Path,
) -> Result<Vec<Warm>, Error> {
    let mut running = Vec::new();
    for Contestant { launch, events } in contestants {
        let mut process = Process::start(launch, directory)?;
        for _ in 0..WARM_UP {
            events.invoke(&mut process, path)?;
        }
        running.push(Running::new(process, events));
    }
    for _ in 0..rounds {
        for contestant in &mut running {
            contestant.turn(path, world, TURN)?;
        }
    }
    running.into_iter().map(Running::result).collect()
}

/// The first invocation of a process: what a full sweep takes, of which there is one for all that was prepared.
pub fn once(
    contestant: Contestant,
    path: Path,
    world: &World,
    directory: &std::path::Path,
) -> Result<Warm, Error> {
    let Contestant { launch, mut events } = contestant;
    let process = Process::start(&launch, directory)?;
    world.take();
    let mut running = Running::new(process, &mut events);
    running.turn(path, world, 1)?;
    running.result()
}

/// The second invocation of a process, of two for which all was prepared: the first may say what only a first one does.
pub fn bill(
    contestant: Contestant,
    path: Path,
    world: &World,
    directory: &std::path::Path,
) -> Result<Bill, Error> {
    let Contestant { launch, mut events } = contestant;
    let mut process = Process::start(&launch, directory)?;
    events.invoke(&mut process, path)?;
    let printed = process.printed_bytes()?;
    world.table.units();
    events.invoke(&mut process, path)?;
    let units = world.table.units();
    Ok(Bill {
        written_units: units.written,
        written_units_by_index: units.written_by_index,
        read_units: units.read,
        log_bytes: process.printed_bytes()? - printed,
    })
}

struct Running<'a> {
    process: Process,
    events: &'a mut Events,
    took: Vec<f64>,
    cpu: Duration,
    tallies: Tallies,
}

impl<'a> Running<'a> {
    fn new(process: Process, events: &'a mut Events) -> Self {
        Self { process, events, took: Vec::new(), cpu: Duration::ZERO, tallies: Tallies::default() }
    }

    fn turn(&mut self, path: Path, world: &World, invocations: usize) -> Result<(), Error> {
        world.take();
        let before = self.process.cpu()?;
        for _ in 0..invocations {
            let answer = self.events.invoke(&mut self.process, path)?;
            self.took.push(answer.took.as_secs_f64() * 1e6);
        }
        self.cpu += self.process.cpu()?.saturating_sub(before);
        self.tallies.add(world.take());
        Ok(())
    }

    fn result(self) -> Result<Warm, Error> {
        let invocations = self.took.len();
        Ok(Warm {
            microseconds: Spread::of(self.took).ok_or(Error::Nothing)?,
            cpu_microseconds: self.cpu.as_secs_f64() * 1e6 / count(invocations),
            peak_bytes: self.process.peak_memory()?,
            table: calls(self.tallies.table, invocations),
            log_rocket: calls(self.tallies.log_rocket, invocations),
            secrets: calls(self.tallies.secrets, invocations),
            destination: calls(self.tallies.destination, invocations),
        })
    }
}

/// A tally's calls for each of so many.
pub fn calls(tally: Tally, of: usize) -> Calls {
    let count = count(of);
    let by_operation: BTreeMap<String, f64> =
        tally.calls.into_iter().map(|(operation, calls)| (operation, float(calls) / count)).collect();
    Calls {
        calls: by_operation.values().fold(0.0, |sum, calls| sum + calls),
        by_operation,
        bytes_sent: float(tally.bytes_in) / count,
        bytes_received: float(tally.bytes_out) / count,
        stand_in_microseconds: tally.busy.as_secs_f64() * 1e6 / count,
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub fn count(samples: usize) -> f64 {
    float(u64::try_from(samples).unwrap_or(u64::MAX))
}

/// Exact below 2^53, which nothing here reaches.
#[expect(clippy::cast_precision_loss, reason = "no count here is near 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
