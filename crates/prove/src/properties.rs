//! What must hold in every state, and what must have been seen so that this says something.

use crate::protocol::{Protocol, log_rocket_id, result_of};
use crate::scopes::Scope;
use crate::table::has_been_told;
use crate::world::{Keys, Said, Stage, Trying, World};
use model::delivery::{DeliveryKey, DeliveryState, MAX_TRIES, OutcomeKind};
use model::record::{AttemptState, FailureCode, Record, Status};
use stateright::Property;
use std::collections::BTreeSet;

pub const READY_STAYS: &str = "READY stays READY, with its result";
pub const CLIMBS: &str = "the status only climbs";
pub const NOT_FORGED: &str = "no outcome is forged";
pub const ATTEMPTS: &str = "one live attempt, and no more than MAX_ATTEMPTS";
pub const ONE_WORKER: &str = "a claim is one worker's";
pub const ONLY_WAITING: &str = "what waits is due, and nothing else is";
pub const MARK_STAYS: &str = "a delivered mark is never unmade";
pub const MARK_TRUE: &str = "what is marked as delivered was delivered";
pub const ONE_TRY: &str = "a destination is told by one at a time";
pub const FORWARDS: &str = "nobody is told of the failure behind the result";
pub const SETTLED: &str = "at rest, it is settled, and every destination told or given up";
pub const REACHED: &str = "a READY that reached us is the outcome";
pub const POLLED: &str = "at rest, a READY that could be polled in time is the outcome";
pub const PROMISED: &str = "what was promised is stored";
pub const BUDGET: &str = "the month's limit is kept";
pub const REFUSAL_HEARD: &str = "at rest, who was promised an outcome has heard of a refusal";

/// More claims in a row than any wait here needs: work that is claimed again and again would get nowhere.
const MANY_CLAIMS: u32 = 12;

type Condition = fn(&Protocol, &World) -> bool;

const ALWAYS: [(&str, Condition); 16] = [
    (READY_STAYS, ready_stays),
    (CLIMBS, climbs),
    (NOT_FORGED, not_forged),
    (ATTEMPTS, attempts_are_few),
    (ONE_WORKER, claims_have_one_worker),
    (ONLY_WAITING, only_what_waits_is_due),
    (MARK_STAYS, marks_stay),
    (MARK_TRUE, marks_are_true),
    (ONE_TRY, one_tells),
    (FORWARDS, |protocol, world| !ends_within_its_lease(protocol) || !world.past.told_backwards),
    (SETTLED, |protocol, world| !protocol.is_at_rest(world) || is_settled(world)),
    (REACHED, |_, world| !world.past.reached || status(world) == Some(Status::Ready)),
    (POLLED, polled),
    (PROMISED, |_, world| !world.past.promised || world.row.is_some()),
    (REFUSAL_HEARD, refusal_is_heard),
    (BUDGET, budget_is_kept),
];

const SEEN: [(&str, Condition); 14] = [
    ("READY at rest", |protocol, world| rests_as(protocol, world, Status::Ready)),
    ("FAILED at rest", |protocol, world| rests_as(protocol, world, Status::Failed)),
    ("EXPIRED at rest", |protocol, world| rests_as(protocol, world, Status::Expired)),
    ("a callback before LogRocket's answer", |_, world| {
        status(world) == Some(Status::Ready)
            && world.workers.0.iter().any(|worker| matches!(worker.stage, Stage::Answered { .. }))
    }),
    ("READY of an attempt that was given up", |_, world| {
        let is_done = |row: &Record| {
            row.attempts.range(..row.attempt).any(|(_, entry)| entry.state == AttemptState::Done)
        };
        world.row.as_ref().is_some_and(|row| is_done(row))
    }),
    ("two attempts at work at LogRocket", |_, world| {
        world.posts.iter().filter(|post| post.outcome.is_none()).count() > 1
    }),
    ("a result after a failure was told", |_, world| {
        let failure = DeliveryKey { destination: 0, outcome: OutcomeKind::Failure };
        status(world) == Some(Status::Ready) && world.took.contains(failure)
    }),
    ("two workers of request λ", |_, world| {
        world.workers.0.iter().filter(|worker| matches!(worker.stage, Stage::Claimed(_))).count() > 1
    }),
    ("two workers of webhook λ", |_, world| {
        world.workers.0.iter().filter(|worker| matches!(worker.stage, Stage::Deliver { .. })).count() > 1
    }),
    ("a delivery given up after its last try", |_, world| {
        let tried = |row: &Record| {
            row.deliveries.values().any(|mark| mark.state == DeliveryState::Failed && mark.tries == MAX_TRIES)
        };
        world.row.as_ref().is_some_and(|row| tried(row))
    }),
    ("a destination that joined is told", |protocol, world| {
        let last = protocol.scope.manners.len().saturating_sub(1);
        world.took.contains(DeliveryKey { destination: last, outcome: OutcomeKind::Result })
    }),
    ("asked again after a refusal, and READY", |protocol, world| {
        status(world) == Some(Status::Ready)
            && world.left.refused < protocol.scope.left.refused
            && world.left.asks < protocol.scope.left.asks
            && world.past.ready.is_some()
    }),
    ("the key of a request that is gone is used again", |_, world| {
        world.posts.iter().any(|post| world.row.as_ref().is_some_and(|row| row.created_at != post.opened))
    }),
    ("over budget", |_, world| failure(world) == Some(FailureCode::Budget)),
];

/// The properties of a scope.
pub(crate) fn of(scope: &Scope) -> Vec<Property<Protocol>> {
    let always = ALWAYS.iter().map(|(name, condition)| Property::always(name, *condition));
    let seen = SEEN.iter().filter(|(name, _)| scope.seen.contains(name));
    always.chain(seen.map(|(name, condition)| Property::sometimes(name, *condition))).collect()
}

/// Whether a scope asks for something that no property is called.
pub fn is_known(seen: &str) -> bool {
    SEEN.iter().any(|(name, _)| *name == seen)
}

/// The names of what must always hold.
pub fn always() -> impl Iterator<Item = &'static str> {
    ALWAYS.iter().map(|(name, _)| *name)
}

fn status(world: &World) -> Option<Status> {
    world.row.as_ref().map(|row| row.status)
}

fn failure(world: &World) -> Option<FailureCode> {
    world.row.as_ref()?.failure.as_ref().map(|failure| failure.code)
}

fn rests_as(protocol: &Protocol, world: &World, as_status: Status) -> bool {
    status(world) == Some(as_status) && protocol.is_at_rest(world)
}

fn ready_stays(_: &Protocol, world: &World) -> bool {
    let Some(first) = &world.past.ready else { return true };
    world.row.as_ref().is_some_and(|row| row.status == Status::Ready && row.result.as_ref() == Some(first))
}

fn climbs(_: &Protocol, world: &World) -> bool {
    world.row.as_ref().is_none_or(|row| Some(row.status) >= world.past.highest)
}

/// What the record says of an attempt, LogRocket said of a POST for this request and attempt.
fn not_forged(_: &Protocol, world: &World) -> bool {
    let Some(row) = &world.row else { return true };
    let ours = || world.posts.iter().enumerate().filter(|(_, post)| post.opened == row.created_at);
    let said = |said| ours().any(|(_, post)| post.outcome == Some(said));
    let result_is_right = row.result.as_ref().is_none_or(|result| {
        ours().any(|(at, post)| post.outcome == Some(Said::Ready) && result_of(&log_rocket_id(at)) == *result)
    });
    let failure_is_right = match row.failure.as_ref().map(|failure| failure.code) {
        Some(FailureCode::LogRocketFailed) => said(Said::Failed),
        Some(FailureCode::ResultTooLarge) => said(Said::TooLarge),
        _ => true,
    };
    result_is_right
        && failure_is_right
        && row.attempts.iter().all(|(number, entry)| {
            let of_this = || ours().filter(|(_, post)| post.attempt == *number);
            let id_is_right = entry
                .log_rocket_request_id
                .as_ref()
                .is_none_or(|id| of_this().any(|(at, _)| log_rocket_id(at) == *id));
            let state_is_right = match entry.state {
                AttemptState::Failed => of_this().any(|(_, post)| post.outcome == Some(Said::Failed)),
                AttemptState::Done => of_this().any(|(_, post)| post.outcome.is_some()),
                _ => true,
            };
            id_is_right && state_is_right
        })
}

/// In the record, and of what LogRocket took, and bills.
fn attempts_are_few(protocol: &Protocol, world: &World) -> bool {
    let max = protocol.scope.rules.max_attempts;
    let numbers: BTreeSet<_> = world.posts.iter().map(|post| (post.opened, post.attempt)).collect();
    let is_open = |state| matches!(state, AttemptState::Unknown | AttemptState::Open);
    let in_record = world.row.as_ref().is_none_or(|row| {
        let open = row.attempts.values().filter(|entry| is_open(entry.state)).count();
        open <= 1 && row.attempts.len() == usize::try_from(row.attempt).unwrap_or(0) && row.attempt <= max
    });
    in_record && numbers.len() == world.posts.len() && world.posts.iter().all(|post| post.attempt <= max)
}

fn claims_have_one_worker(_: &Protocol, world: &World) -> bool {
    world.workers.claims().collect::<BTreeSet<_>>().len() == world.workers.claims().count()
}

fn only_what_waits_is_due(_: &Protocol, world: &World) -> bool {
    world.row.as_ref().is_none_or(|row| {
        let waits = row.status == Status::Pending;
        row.request_due_at.is_some() == waits
            && (!waits || row.webhook_due_at.is_none())
            && row.request_tries <= MANY_CLAIMS
            && row.deliveries.values().all(|mark| mark.tries <= MAX_TRIES)
    })
}

fn marked(row: &Record) -> Keys {
    let mut keys = Keys::default();
    for (key, mark) in &row.deliveries {
        if mark.state == DeliveryState::Delivered {
            keys.insert(*key);
        }
    }
    keys
}

fn marks_stay(_: &Protocol, world: &World) -> bool {
    world.past.delivered.are_in(world.row.as_ref().map(|row| marked(row)).unwrap_or_default())
}

fn marks_are_true(_: &Protocol, world: &World) -> bool {
    world.row.as_ref().is_none_or(|row| marked(row).are_in(world.took))
}

/// Of the tries that are still to be made or under way, and within their lease, no two are of one destination.
fn one_tells(protocol: &Protocol, world: &World) -> bool {
    if !ends_within_its_lease(protocol) {
        return true;
    }
    let opened = world.row.as_ref().map(|row| row.created_at);
    let tries = |stage: &Stage| match stage {
        Stage::Deliver { opened: of, tries } if Some(*of) == opened => tries.clone(),
        _ => Vec::new(),
    };
    let live = |trying: &Trying| trying.said.is_none() && trying.this.until > world.now;
    let tries = world.workers.0.iter().flat_map(|worker| tries(&worker.stage)).filter(live);
    let told: Vec<_> = tries.map(|trying| trying.this.key.destination).collect();
    told.iter().collect::<BTreeSet<_>>().len() == told.len()
}

/// A worker that lives on may say of its try that it was delivered when the next one has begun. That is believed, and so
/// the next outcome may be told beside that try. A function's time-out is shorter than the lease, so that none does.
fn ends_within_its_lease(protocol: &Protocol) -> bool {
    protocol.scope.life < protocol.scope.rules.lease
}

fn is_settled(world: &World) -> bool {
    let Some(row) = &world.row else { return true };
    let Some(outcome) = OutcomeKind::of(row.status) else { return false };
    // The one who asked was told himself. What of those who were promised an outcome: see REFUSAL_HEARD.
    let was_told = row.is_refused() && row.webhook_due_at.is_none();
    let is_final = |destination| {
        let mark = row.deliveries.get(&DeliveryKey { destination, outcome });
        mark.is_some_and(|mark| mark.state != DeliveryState::Pending)
    };
    was_told || (0..row.destinations.len()).all(is_final)
}

/// A 202 was answered, and the record ends refused: then it was delivered.
fn refusal_is_heard(protocol: &Protocol, world: &World) -> bool {
    let Some(row) = &world.row else { return true };
    let is_owed = world.past.promised && row.is_refused() && protocol.is_at_rest(world);
    !is_owed || has_been_told(row, world.took)
}

fn polled(protocol: &Protocol, world: &World) -> bool {
    // Too large a result of another attempt is an outcome, too.
    let is_owed = world.past.could_be_polled
        && world.left.lost_polls == protocol.scope.left.lost_polls
        && failure(world) != Some(FailureCode::ResultTooLarge);
    !is_owed || status(world) == Some(Status::Ready) || !protocol.is_at_rest(world)
}

/// What LogRocket took is counted, and no more than that is allowed.
fn budget_is_kept(protocol: &Protocol, world: &World) -> bool {
    let Some(limit) = protocol.scope.limit else { return true };
    let taken = u64::try_from(world.posts.len()).unwrap_or(u64::MAX);
    taken <= world.counted && world.counted <= limit
}
