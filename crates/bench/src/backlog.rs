//! Sweeps with much to do, beside much that is not to be done: what a sweep takes must grow with what is due, and not
//! with what is stored. Each sweep has the time that its function has, and the next one begins when it has ended, until
//! everything is done; once by one at a time, and once by four, as when a minute's sweep meets the one before it.
//!
//! The records are one that the functions made, with other ids and dates, and are put into the table directly: to make
//! 100,000 by the functions would take minutes.

use crate::front::Tally;
use crate::measure::{Calls, calls};
use crate::options::Options;
use crate::paths::{Launches, Path};
use crate::process::{self, Answer, Process, own_cpu};
use crate::run::{self, Ground, binary, progress};
use crate::scale::{Error, per_second};
use crate::world::World;
use model::id::RequestId;
use model::record::SHARDS;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SWEEP: &[u8] = br#"{"job":"sweep"}"#;
const HOUR: Duration = Duration::from_secs(3_600);

/// What is due, and beside what, and for how many sweeps at once.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub path: Path,
    pub due: usize,
    /// One half waits in the function's index for a later day, the other is settled.
    pub stored: usize,
    pub at_once: usize,
}

/// What was due, and what it took until all of it was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    pub function: &'static str,
    pub due: usize,
    pub stored: usize,
    pub at_once: usize,
    pub seconds: f64,
    pub records_per_second: f64,
    /// Of the functions' processes, as all that follows.
    pub cpu_seconds: f64,
    pub peak_bytes: u64,
    pub instrument_cpu_seconds: f64,
    /// To the table, for one record.
    pub table: Calls,
    /// To the destination, for one record.
    pub destination: Calls,
    pub sweeps: Vec<Sweep>,
}

/// One sweep.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// Those of one round run at once.
    pub round: usize,
    pub seconds: f64,
    pub due: u64,
    pub claimed: u64,
}

/// A sweep that finds nothing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    pub function: &'static str,
    pub stored: usize,
    pub microseconds: f64,
    pub table: Calls,
}

/// Both: before the records that are due are there, and with them.
pub fn sweep(ground: &Ground, options: &Options, plan: Plan) -> Result<(Idle, Backlog), Error> {
    let Plan { path, due, stored, at_once } = plan;
    let function = path.function();
    progress(&format!("{function} sweep, {due} due beside {stored}, {at_once} at once"));
    let world = ground.world(path.name())?;
    let launches = launches(ground, options, &world, path)?;
    let launch = if function == "request" { &launches.request } else { &launches.webhook };
    let mut processes =
        (0..at_once).map(|_| Process::start(launch, ground.directory())).collect::<Result<Vec<_>, _>>()?;
    let samples = Samples::make(path, &world, &launches, &mut processes)?;
    world.table.fill((0..stored).map(|number| samples.not_due(number)))?;

    let idle = idle(function, stored, &world, &mut processes)?;
    world.table.fill((0..due).map(|number| samples.due(number)))?;

    world.take();
    let before = cpu(&mut processes)?;
    let (own_before, begun) = (own_cpu(), Instant::now());
    let sweeps = until_done(due, &mut processes)?;
    let (seconds, own) = (begun.elapsed(), own_cpu().saturating_sub(own_before));
    let cpu_seconds = cpu(&mut processes)?.saturating_sub(before).as_secs_f64();
    let tallies = world.take();
    samples.all_done_once(due, &world, &tallies.destination)?;
    let peaks = processes.iter().map(Process::peak_memory).collect::<Result<Vec<_>, _>>()?;
    let backlog = Backlog {
        function,
        due,
        stored,
        at_once,
        seconds: seconds.as_secs_f64(),
        records_per_second: per_second(due, seconds),
        cpu_seconds,
        peak_bytes: peaks.into_iter().max().unwrap_or_default(),
        instrument_cpu_seconds: own.as_secs_f64(),
        table: calls(tallies.table, due),
        destination: calls(tallies.destination, due),
        sweeps,
    };
    Ok((idle, backlog))
}

/// The functions as they are deployed, but for whom they may call. Where it is request λ's work that is wanted, LogRocket
/// does not say whether it took a request: there is nothing to ask it about then.
fn launches<'a>(
    ground: &'a Ground,
    options: &Options,
    world: &World,
    path: Path,
) -> Result<Launches<'a>, run::Error> {
    let url = world.destination.url();
    let silent = [("LOGROCKET_API_URL", url.as_str())];
    let changes = if path.function() == "request" { &silent } else { path.changes() };
    Ok(Launches {
        request: world.launch("request", binary(options, "request")?, changes),
        webhook: world.launch("webhook", binary(options, "webhook")?, changes),
        directory: ground.directory(),
    })
}

/// The second of two: the first makes the connections.
fn idle(
    function: &'static str,
    stored: usize,
    world: &World,
    processes: &mut [Process],
) -> Result<Idle, Error> {
    let mut last = None;
    for process in processes {
        for _ in 0..2 {
            world.take();
            let Answer { took, json } = process.invoke(SWEEP)?;
            if json["due"] != 0 {
                return Err(process.unexpected(format!("answered {json}")).into());
            }
            last = Some(Idle {
                function,
                stored,
                microseconds: took.as_secs_f64() * 1e6,
                table: calls(world.take().table, 1),
            });
        }
    }
    last.ok_or(Error::Nothing)
}

/// Rounds of one sweep of each process, until so many records are done.
fn until_done(due: usize, processes: &mut [Process]) -> Result<Vec<Sweep>, Error> {
    let mut sweeps: Vec<Sweep> = Vec::new();
    let (mut done, mut round) = (0, 0);
    while done < due {
        round += 1;
        let answers: Vec<Result<Answer, process::Error>> = thread::scope(|scope| {
            let threads: Vec<_> =
                processes.iter_mut().map(|process| scope.spawn(|| process.invoke(SWEEP))).collect();
            let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut claimed_now = 0;
        for answer in answers {
            let Answer { took, json } = answer?;
            let number = |name: &str| json[name].as_u64().unwrap_or_default();
            let claimed = number("claimed");
            if number("failed") > 0 {
                return Err(Error::Sweep(json.to_string()));
            }
            claimed_now += claimed;
            sweeps.push(Sweep { round, seconds: took.as_secs_f64(), due: number("due"), claimed });
        }
        if claimed_now == 0 {
            return Err(Error::Sweep(format!("{done} of {due} were done, and no more are found")));
        }
        done += usize::try_from(claimed_now).unwrap_or(usize::MAX);
    }
    Ok(sweeps)
}

fn cpu(processes: &mut [Process]) -> Result<Duration, process::Error> {
    processes.iter_mut().map(Process::cpu).sum()
}

/// A record that the functions made, with their work before it, and the same when that was done.
struct Samples {
    path: Path,
    open: Value,
    settled: Value,
    /// In milliseconds since 1970, as dates are.
    now: u128,
}

impl Samples {
    fn make(
        path: Path,
        world: &World,
        launches: &Launches,
        processes: &mut [Process],
    ) -> Result<Self, Error> {
        path.leave_work(world, launches)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let only = |what: &str| {
            let items = world.table.items()?;
            items.into_values().next().ok_or_else(|| Error::Sweep(format!("there is no record {what}")))
        };
        let open = only("with work")?;
        let mut samples = Self { path, open: open.clone(), settled: open, now };
        // In the place of the one that was made, whose time has not come.
        let id = samples.open["requestID"]["S"].as_str().unwrap_or_default().to_owned();
        world.table.fill([samples.dated(samples.open.clone(), &id, now - HOUR.as_millis())])?;
        until_done(1, processes.get_mut(..1).unwrap_or_default())?;
        samples.settled = only("that is settled")?;
        Ok(samples)
    }

    fn due(&self, number: usize) -> Value {
        let ago = HOUR.as_millis() + u128::try_from(number).unwrap_or_default();
        self.dated(self.open.clone(), &id("due", number), self.now - ago)
    }

    fn not_due(&self, number: usize) -> Value {
        let item = if number.is_multiple_of(2) { &self.open } else { &self.settled };
        self.dated(item.clone(), &id("stored", number), self.now + 24 * HOUR.as_millis())
    }

    /// The same record of another request, whose work is due then, if there is some.
    fn dated(&self, mut item: Value, id: &str, due: u128) -> Value {
        let number = |number: u128| json!({ "N": number.to_string() });
        let created = due.min(self.now) - HOUR.as_millis();
        let function = self.path.function();
        let shard = RequestId::parse(id).map_or(0, |id| id.shard(SHARDS)).to_string();
        for (name, value) in [
            ("requestID", json!({ "S": id })),
            ("createdAt", number(created)),
            ("pendingUntil", number(due)),
            ("requestShard", json!({ "S": shard })),
            ("webhookShard", json!({ "S": shard })),
            (&format!("{function}DueAt"), number(due)),
            (&format!("{function}DueSince"), number(due)),
        ] {
            if let Some(field) = item.get_mut(name) {
                *field = value;
            }
        }
        for path in ["/attempts/M/1/M/startedAt", "/attempts/M/1/M/nextAt"] {
            if let Some(field) = item.pointer_mut(path) {
                *field = number(if path.ends_with("nextAt") { due } else { created });
            }
        }
        for path in ["/logRocketRequestID", "/attempts/M/1/M/logRocketRequestID"] {
            if let Some(field) = item.pointer_mut(path) {
                *field = json!({ "S": id.replace('-', "").repeat(2) });
            }
        }
        item
    }

    /// Every record that was due has been done, and none twice.
    fn all_done_once(&self, due: usize, world: &World, destination: &Tally) -> Result<(), Error> {
        let version = |item: &Value| item["version"].as_u64();
        let settled = self.settled["version"]["N"].as_str().and_then(|number| number.parse::<u64>().ok());
        let mut done = 0;
        let due_ids: HashSet<String> = (0..due).map(|number| id("due", number)).collect();
        world.table.each(|item| {
            let is_due = item["requestID"].as_str().is_some_and(|id| due_ids.contains(id));
            let is_done = match self.path.function() {
                "request" => item["status"] == "EXPIRED",
                _ => {
                    item["deliveries"]["0-result"]["state"] == "DELIVERED"
                        && item["deliveries"]["0-result"]["tries"] == 1
                }
            };
            // Each write raises the version: as often as for the one that was done alone.
            done += usize::from(is_due && is_done && version(&item) == settled);
        })?;
        let told: u64 = destination.calls.values().sum();
        let to_tell = if self.path.function() == "request" { 0 } else { due };
        if done != due || usize::try_from(told) != Ok(to_tell) {
            return Err(Error::Sweep(format!("{done} of {due} were done once, {told} of {to_tell} told")));
        }
        Ok(())
    }
}

/// An id that is spread over the shards as all are.
fn id(kind: &str, number: usize) -> String {
    RequestId::for_key(kind, &number.to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_becomes_another_request_whose_work_is_due_or_is_not() {
        let open = json!({
            "requestID": { "S": "00000000-0000-4000-8000-000000000000" }, "version": { "N": "1" },
            "createdAt": { "N": "1" }, "pendingUntil": { "N": "2" }, "requestShard": { "S": "0" },
            "requestDueAt": { "N": "2" }, "requestDueSince": { "N": "2" },
            "attempts": { "M": { "1": { "M": { "startedAt": { "N": "1" }, "nextAt": { "N": "2" } } } } },
        });
        let mut settled = open.clone();
        let fields = settled.as_object_mut().unwrap();
        fields.retain(|name, _| !name.starts_with("requestDue"));
        let samples = Samples { path: Path::RequestSweepFull, open, settled, now: 1_795_000_000_000 };
        let due_at = |item: &Value| item["requestDueAt"]["N"].as_str().map(|at| at.parse::<u128>().unwrap());

        let due: Vec<Value> = (0..100).map(|number| samples.due(number)).collect();
        assert!(due.iter().all(|item| due_at(item).unwrap() < samples.now));
        assert!(due.iter().all(|item| item["pendingUntil"] == item["requestDueAt"]));
        let ids: HashSet<&str> = due.iter().map(|item| item["requestID"]["S"].as_str().unwrap()).collect();
        let shards: HashSet<&str> =
            due.iter().map(|item| item["requestShard"]["S"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), shards.len()), (100, usize::from(SHARDS)));

        // Every second one waits, the others have nothing to wait for.
        let stored = [samples.not_due(0), samples.not_due(1)];
        assert!(due_at(&stored[0]).unwrap() > samples.now);
        assert_eq!(due_at(&stored[1]), None);
        assert_ne!(stored[0]["requestID"], due[0]["requestID"]);
    }
}
