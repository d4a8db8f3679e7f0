//! The record as the table holds it, and what tells two of them apart.

use model::delivery::{Delivery, DeliveryState};
use model::record::{Attempt, Record, Status};
use model::time::Time;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// No clock comes here, but in scopes whose retention is shorter.
const FAR_IN_SECONDS: i64 = 10 * 24 * 60 * 60;

/// How closely records are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Eyes {
    /// By what a rule or a property can still read.
    Plain,
    /// By everything. Only to show that [`Eyes::Plain`] overlooks nothing.
    Sharp,
}

/// One version of the record, shared by all states and workers that hold it.
#[derive(Clone)]
pub struct Row(Arc<Shared>);

struct Shared {
    record: Record,
    digest: u64,
}

impl Row {
    pub(crate) fn new(record: Record, start: Time, eyes: Eyes) -> Self {
        let mut hasher = DefaultHasher::new();
        digest(&record, start, eyes, &mut hasher);
        Self(Arc::new(Shared { digest: hasher.finish(), record }))
    }
}

impl Deref for Row {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.0.record
    }
}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}

impl Eq for Row {}

impl fmt::Debug for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.record.fmt(out)
    }
}

/// Every field is named here, so that a new one is not forgotten. `Plain` leaves out what no rule decides by:
///
/// - what a scope never changes: who asked, what, and under which key;
/// - what is only shown: `completedAt`, the `…DueSince`, errors, external ids, LogRocket's latest id (the attempt has it);
/// - `version`: a write is conditional on it, and all that this does is to make the rule be asked of the current record;
/// - of a request that does not wait any more: the dates of its waiting. `reopen` sets them anew;
/// - of an attempt that is not the latest: its dates. Only the latest is ever polled, repeated or confirmed as open;
/// - of a mark that is final: its tries and dates. `redeliver` sets them anew;
/// - how long the record is kept, beyond what any clock here reaches.
fn digest(record: &Record, start: Time, eyes: Eyes, to: &mut impl Hasher) {
    let Record {
        request_id: _,
        version,
        status,
        caller: _,
        opening: _,
        fingerprint: _,
        request: _,
        destinations,
        subject_hash: _,
        ask_hash: _,
        created_at,
        pending_until,
        promised,
        completed_at,
        failure,
        result,
        result_gzip,
        attempt,
        attempts,
        log_rocket_request_id,
        request_shard: _,
        request_due_at,
        request_due_since,
        request_tries,
        webhook_shard,
        webhook_due_at,
        webhook_due_since,
        stream_hint,
        deliveries,
        expires_at,
    } = record;
    let sharp = eyes == Eyes::Sharp;
    let waits = sharp || *status == Status::Pending;
    (status, created_at, attempt, request_due_at, webhook_due_at).hash(to);
    // A scope's destinations come in one order.
    (destinations.len(), webhook_shard.is_some(), stream_hint.is_some()).hash(to);
    failure.as_ref().map(|failure| failure.code).hash(to);
    (result, result_gzip.as_ref().map(|bytes| bytes.len())).hash(to);
    // A refused request may wait again.
    promised.hash(to);
    if waits {
        (pending_until, request_tries).hash(to);
    }
    (attempts.len(), deliveries.len()).hash(to);
    for (number, Attempt { started_at, state, log_rocket_request_id, next_at, reserved }) in attempts {
        (number, state, log_rocket_request_id, reserved.is_some()).hash(to);
        if sharp || (waits && number == attempt) {
            (started_at, next_at).hash(to);
        }
    }
    for (key, mark) in deliveries {
        let Delivery {
            state,
            tries,
            next_at,
            due_since,
            in_flight_until,
            delivered_at,
            last_error,
            progress,
        } = mark;
        (key, state, in_flight_until, progress.sent).hash(to);
        if sharp || *state == DeliveryState::Pending {
            (tries, next_at).hash(to);
        }
        if sharp {
            (due_since, delivered_at, last_error, &progress.external_id).hash(to);
        }
    }
    expires_at.min(&(start.ceil_seconds() + FAR_IN_SECONDS)).hash(to);
    if sharp {
        (version, completed_at, log_rocket_request_id, request_due_since, webhook_due_since, expires_at)
            .hash(to);
        failure.as_ref().map(|failure| &failure.message).hash(to);
    }
}
