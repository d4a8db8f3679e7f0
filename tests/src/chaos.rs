//! Chaos: many requests at once in one world in which everything misbehaves, and at the end a table that says whether
//! anything was lost.
//!
//! LogRocket answers late, wrongly or not at all, and its callbacks come early, twice, out of order or never; the table
//! and the destinations fail before and after they did what they were asked to; the stream loses and repeats records; the
//! functions are killed with SIGKILL at calls that are on their way. Callers repeat what was not answered. Then
//! everything works again and both functions sweep, until there is nothing left to do; waits of deliveries that are
//! minutes long are brought forward as an operator would, by `redeliver`.
//!
//! All decisions come from one seed: who asks for what and does what afterwards, what LogRocket does with the n-th POST
//! for a subject, what the n-th call of the table or of a destination meets, at the how-manieth call a function is
//! killed. So the *plan* is the same for the same seed. Its *interleaving* is not: which request makes the n-th call
//! is for the scheduler and the clock to say. A run that fails is likely to fail again by its seed, not sure to.

mod audit;
mod callers;
mod dice;
mod faults;
mod plan;
mod report;

pub use report::Report;

use crate::World;
use callers::Told;
use dice::Dice;
use faults::{Faults, text};
use futures::stream::{self, StreamExt};
use local::lambda::Function;
use plan::Plan;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// Askers at once. Fewer than a function's environments, so that sweeps find one, as they do at AWS.
const AT_ONCE: usize = 8;
/// Waits of deliveries that are brought forward at once, and those that are not worth it.
const FORWARD_AT_ONCE: usize = 8;
const SHORT_WAIT_MS: u64 = 1_500;
/// How long an invocation may take: shorter than the lease, as it is where it is deployed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Short, so that minutes are seconds.
const WAITS: [(&str, &str); 5] = [
    ("RETRY_AFTER_SECONDS", "1"),
    ("POLL_AFTER_SECONDS", "1"),
    ("UNKNOWN_GRACE_SECONDS", "2"),
    ("LEASE_SECONDS", "11"),
    ("PENDING_TIMEOUT_SECONDS", "12"),
];
/// Between two sweeps.
const SWEEP_AFTER: Duration = Duration::from_millis(300);
/// Where none more comes to rest for so long, what is left is lost. However slow the machine is, as long as it goes on,
/// it is waited for.
const QUIET: Duration = Duration::from_secs(60);

/// A seed for who names none.
pub fn any_seed() -> u64 {
    now_ms() % 1_000_000
}

/// Makes so many requests, and tells what became of them.
pub async fn run(seed: u64, requests: usize) -> Report {
    let world = World::delivering_within(&WAITS, TIMEOUT).await;
    let mut plan = Plan::new(&mut Dice::new(seed, "plan"), requests);
    let faults = Faults::default();
    faults.unleash(&world, &mut plan, seed);

    let started = Instant::now();
    let told = chaos(&world, &faults, &plan, seed).await;
    faults.calm(&world);
    let calm_since = Instant::now();
    let brought_forward = settle(&world, &faults).await;

    let mut report = Report {
        seed,
        requests,
        brought_forward: brought_forward.len(),
        kills: faults.kills(),
        injected: faults.injected(),
        asking: calm_since - started,
        quiet: calm_since.elapsed(),
        ..Report::default()
    };
    audit::audit(&world, &told, &brought_forward, &mut report).await;
    report
}

/// All callers, as many at once as may be, while the functions sweep and are killed.
async fn chaos(world: &World, faults: &Faults, plan: &Plan, seed: u64) -> Vec<Told> {
    let asking = stream::iter(&plan.askers)
        .map(|asker| callers::ask(world, faults, asker))
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>();
    let told = tokio::select! {
        told = asking => told,
        () = sweep(world) => unreachable!("the sweeps go on"),
        () = faults.kill(world, seed) => unreachable!("the killing goes on"),
    };
    told.into_iter().flatten().collect()
}

/// Both functions' schedules, without end. A sweep that fails is repeated by the next.
async fn sweep(world: &World) {
    let schedule = async |function: &Function| {
        loop {
            let _ = function.invoke(json!({ "job": "sweep" })).await;
            sleep(SWEEP_AFTER).await;
        }
    };
    tokio::join!(schedule(&world.request), schedule(&world.webhook));
}

/// Sweeps until there is nothing left to do. Answers the requests whose deliveries were brought forward.
async fn settle(world: &World, faults: &Faults) -> BTreeSet<String> {
    let mut brought_forward = BTreeSet::new();
    let (mut fewest, mut since) = (usize::MAX, Instant::now());
    let settled = async {
        loop {
            let items = world.table.items().expect("the table");
            let open: Vec<&Value> = items.iter().filter(|item| !is_at_rest(item)).collect();
            if open.len() < fewest {
                (fewest, since) = (open.len(), Instant::now());
            }
            if (open.is_empty() && faults.is_all_said()) || since.elapsed() > QUIET {
                return;
            }
            let waiting = open.into_iter().filter(|item| waits_long(item));
            let redelivered = stream::iter(waiting.map(|item| text(&item["requestID"])))
                .map(async |id| callers::redeliver(world, id).await.then(|| id.to_owned()))
                .buffer_unordered(FORWARD_AT_ONCE)
                .collect::<Vec<_>>();
            brought_forward.extend(redelivered.await.into_iter().flatten());
            sleep(SWEEP_AFTER).await;
        }
    };
    tokio::select! {
        () = settled => {}
        () = sweep(world) => {}
    }
    brought_forward
}

/// Whether a delivery's next try is not to be waited for. One that is under way is left alone; of one whose function was
/// killed the lease is over, and the wait goes on.
fn waits_long(item: &Value) -> bool {
    let now = now_ms();
    let is_after = |at: &Value, then: u64| at.as_u64().is_some_and(|at| at > then);
    let marks = item["deliveries"].as_object().into_iter().flat_map(|marks| marks.values());
    let mut waiting =
        marks.filter(|mark| mark["state"] == "PENDING" && !is_after(&mark["inFlightUntil"], now));
    waiting.any(|mark| is_after(&mark["nextAt"], now + SHORT_WAIT_MS))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whether neither function has anything to do about it.
fn is_at_rest(item: &Value) -> bool {
    let has_nobody_to_tell = item["webhookShard"].is_null() || item["webhookDueAt"].is_null();
    item["status"] != "PENDING" && item["requestDueAt"].is_null() && has_nobody_to_tell
}
