//! Handing an outcome over to its destinations: who gets it, when each is due, and what became of each try.
//!
//! A destination has one delivery for each outcome: of `FAILED` or `EXPIRED`, and then perhaps of `READY`. Its mark
//! is first written by the claim; until then it is due since the outcome came, so that what brings the outcome (a
//! callback, in one blind update) need not know who is to get it.

use crate::answer::MAX_RETRY_AFTER;
use crate::destination::{Target, WhenEmpty};
use crate::record::{Record, Status};
use crate::rules::{Rules, kept_until};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The waits after each try that did not succeed; when they are used up, the delivery is given up.
const BACKOFF_SECONDS: [u64; 8] = [10, 60, 5 * 60, 15 * 60, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600];
/// One try more than there are waits.
pub const MAX_TRIES: u32 = 9;
/// What a destination says of a refusal is kept up to here, in bytes: the marks share an item with the result.
pub const MAX_ERROR_BYTES: usize = 200;
/// An id longer than this is not kept, in bytes.
const MAX_EXTERNAL_ID_BYTES: usize = 80;

/// Names one delivery of a record: which of its destinations, and which outcome.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DeliveryKey {
    /// The index in [`Record::destinations`], which only grows.
    pub destination: usize,
    pub outcome: OutcomeKind,
}

/// What is delivered. A later failure after `EXPIRED` is no news to anybody who was told of the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OutcomeKind {
    Failure,
    Result,
}

impl OutcomeKind {
    /// `None` while there is no outcome.
    pub fn of(status: Status) -> Option<Self> {
        match status {
            Status::Pending => None,
            Status::Expired | Status::Failed => Some(Self::Failure),
            Status::Ready => Some(Self::Result),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Failure => Self::Result,
            Self::Result => Self::Failure,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Result => "result",
        }
    }
}

/// `0-result`
impl fmt::Display for DeliveryKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.destination, self.outcome.as_str())
    }
}

impl From<DeliveryKey> for String {
    fn from(key: DeliveryKey) -> Self {
        key.to_string()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the key of a delivery")]
pub struct NoDeliveryKey;

impl FromStr for DeliveryKey {
    type Err = NoDeliveryKey;

    fn from_str(text: &str) -> Result<Self, NoDeliveryKey> {
        let (destination, outcome) = text.split_once('-').ok_or(NoDeliveryKey)?;
        let outcome = match outcome {
            "failure" => OutcomeKind::Failure,
            "result" => OutcomeKind::Result,
            _ => return Err(NoDeliveryKey),
        };
        Ok(Self { destination: destination.parse().map_err(|_| NoDeliveryKey)?, outcome })
    }
}

impl TryFrom<String> for DeliveryKey {
    type Error = NoDeliveryKey;

    fn try_from(text: String) -> Result<Self, NoDeliveryKey> {
        text.parse()
    }
}

/// The mark of one delivery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    pub state: DeliveryState,
    /// Tries that were begun.
    pub tries: u32,
    /// Not tried again before.
    pub next_at: Time,
    /// Since when it has been due; unlike `next_at` not moved by claims, so that what is stuck looks old.
    pub due_since: Time,
    /// Somebody is at it until then; others leave it alone. It also names the try: no two of a record share it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_flight_until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delivered_at: Option<Time>,
    /// Why it failed last, was given up or skipped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    #[serde(flatten)]
    pub progress: Progress,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How a delivery stands. All but `Pending` are final but for [`Record::redeliver`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// Given up.
    Failed,
    /// Not wanted; `last_error` says why.
    Skipped,
}

/// One try that a claim took: to be made, and ended by [`Record::end_delivery`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Try {
    pub key: DeliveryKey,
    /// See [`Delivery::in_flight_until`].
    pub until: Time,
    /// See [`Delivery::tries`]: this one is counted.
    pub tries: u32,
    /// What earlier tries got done.
    pub progress: Progress,
}

/// What a destination made of a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryAnswer {
    Delivered {
        external_id: Option<String>,
    },
    /// It would be refused again: given up at once.
    Refused {
        error: String,
        progress: Progress,
    },
    /// It may work later.
    Again {
        error: String,
        retry_after: Option<Duration>,
        progress: Progress,
    },
}

/// What has been got done of a delivery that is made in several messages.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// How many of them have been sent: a repeat goes on behind them.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub sent: u32,
    /// What the first is called there; of a delivery that is done, what it is called.
    #[serde(rename = "externalID", skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
}

impl Delivery {
    fn new(due_since: Time, now: Time) -> Self {
        Self {
            state: DeliveryState::Pending,
            tries: 0,
            next_at: now,
            due_since,
            in_flight_until: None,
            delivered_at: None,
            last_error: None,
            progress: Progress::default(),
        }
    }

    /// When somebody may take it.
    pub fn due_at(&self) -> Time {
        self.in_flight_until.map_or(self.next_at, |until| until.max(self.next_at))
    }

    fn is_pending(&self) -> bool {
        self.state == DeliveryState::Pending
    }

    fn is_in_flight(&self, now: Time) -> bool {
        self.is_pending() && self.in_flight_until.is_some_and(|until| until > now)
    }

    fn advance(&mut self, progress: &Progress) {
        if progress.sent > self.progress.sent {
            let external_id = progress.external_id.clone().filter(|id| fits(id));
            self.progress = Progress { sent: progress.sent, external_id };
        }
    }

    fn end(&mut self, state: DeliveryState, reason: Option<&str>) {
        self.state = state;
        self.in_flight_until = None;
        self.last_error = reason.map(short);
    }
}

impl Record {
    /// Takes the deliveries that are due, writes down those that nobody wants, and counts each try before it is made.
    /// `None` if there is nothing to take or write down.
    pub fn claim_deliveries(&self, now: Time, rules: &Rules) -> Option<(Self, Vec<Try>)> {
        let due_at = self.webhook_due_at?;
        let outcome = OutcomeKind::of(self.status)?;
        // Work that has just appeared is due, whatever the clock of him who wrote it says.
        let now = if self.stream_hint.is_some() { now.max(due_at) } else { now };
        if due_at > now {
            return None;
        }
        let (mut record, mut taken) = (self.clone(), Vec::new());
        record.stream_hint = None;
        let due_since = self.webhook_due_since.unwrap_or(due_at);
        // Later than every other of the record: it names the tries of this claim.
        let last = self.deliveries.values().filter_map(|delivery| delivery.in_flight_until).max();
        let until = now.plus(rules.lease).max(last.map_or(now, |last| last.plus(Duration::from_millis(1))));
        // Unpacked once, and only for those who ask.
        let has_no_sessions = OnceCell::new();
        let has_no_sessions = || *has_no_sessions.get_or_init(|| self.has_no_sessions());
        for index in 0..self.destinations.len() {
            if outcome == OutcomeKind::Result {
                record.drop_failure(index, now);
            }
            if record.blocked_until(index, outcome, now).is_some() {
                continue;
            }
            let key = DeliveryKey { destination: index, outcome };
            let delivery = record.deliveries.entry(key).or_insert_with(|| Delivery::new(due_since, now));
            if !delivery.is_pending() || delivery.due_at() > now {
                continue;
            }
            if let Some(reason) = self.unwanted(index, outcome, has_no_sessions) {
                delivery.end(DeliveryState::Skipped, Some(reason));
            } else if delivery.tries >= MAX_TRIES {
                let reason = delivery.last_error.take().unwrap_or_else(|| "no try ended in time".to_owned());
                delivery.end(DeliveryState::Failed, Some(&reason));
            } else {
                delivery.tries += 1;
                delivery.next_at = now.plus(backoff(delivery.tries));
                delivery.in_flight_until = Some(until);
                let (tries, progress) = (delivery.tries, delivery.progress.clone());
                taken.push(Try { key, until, tries, progress });
            }
        }
        record.plan_deliveries(now);
        (record != *self).then(|| (record.next(), taken))
    }

    /// The deliveries that came to their end since `before` without a try of their own: nobody wants them, or none of their
    /// tries was ever marked.
    pub fn ended_since<'a>(
        &'a self,
        before: &'a Self,
    ) -> impl Iterator<Item = (&'a DeliveryKey, &'a Delivery)> {
        self.deliveries.iter().filter(|(key, delivery)| {
            !delivery.is_pending() && before.deliveries.get(key).is_none_or(Delivery::is_pending)
        })
    }

    /// Writes down what became of a try; `jitter` is from 0 to 1. `None` if the mark does not wait for it any more: the
    /// lease ran out and somebody else took it, or the request was asked anew.
    pub fn end_delivery(&self, this: &Try, answer: &DeliveryAnswer, jitter: f64, now: Time) -> Option<Self> {
        let mut record = self.clone();
        let delivery = record.deliveries.get_mut(&this.key)?;
        let is_ours = delivery.in_flight_until == Some(this.until);
        // That it was delivered stays true, even if another try has begun since.
        let counts = is_ours || matches!(answer, DeliveryAnswer::Delivered { .. });
        if !delivery.is_pending() || !counts {
            return None;
        }
        match answer {
            DeliveryAnswer::Delivered { external_id } => {
                delivery.end(DeliveryState::Delivered, None);
                delivery.delivered_at = Some(now);
                let external_id = external_id.clone().filter(|id| fits(id));
                delivery.progress = Progress { sent: 0, external_id };
            }
            DeliveryAnswer::Refused { error, progress } => {
                delivery.advance(progress);
                delivery.end(DeliveryState::Failed, Some(error));
            }
            DeliveryAnswer::Again { error, progress, .. } if delivery.tries >= MAX_TRIES => {
                delivery.advance(progress);
                delivery.end(DeliveryState::Failed, Some(error));
            }
            DeliveryAnswer::Again { error, retry_after, progress } => {
                delivery.advance(progress);
                let wait = backoff(delivery.tries).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
                let wait = wait.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
                delivery.in_flight_until = None;
                delivery.next_at = now.plus(wait);
                delivery.due_since = delivery.next_at;
                delivery.last_error = Some(short(error));
            }
        }
        record.plan_deliveries(now);
        Some(record.next())
    }

    /// Makes the failed deliveries of the outcome due again, and at once those that wait for their next try. `None` if
    /// there are none.
    pub fn redeliver(&self, now: Time) -> Option<Self> {
        let outcome = OutcomeKind::of(self.status)?;
        let mut record = self.clone();
        let mut any = false;
        for (_, delivery) in record.deliveries.iter_mut().filter(|(key, _)| key.outcome == outcome) {
            match delivery.state {
                DeliveryState::Failed => {
                    delivery.state = DeliveryState::Pending;
                    delivery.tries = 0;
                }
                DeliveryState::Pending if delivery.due_at() > now && !delivery.is_in_flight(now) => {}
                _ => continue,
            }
            delivery.next_at = now;
            delivery.due_since = now;
            any = true;
        }
        if !any {
            return None;
        }
        record.set_webhook_due(now);
        record.expires_at = record.expires_at.max(kept_until(now));
        Some(record.next())
    }

    /// Forgets the deliveries of an outcome that is undone. A try that is on its way, and a workflow that was told, stay
    /// known: neither can be undone.
    pub(crate) fn forget_deliveries(&mut self, now: Time) {
        let Self { deliveries, destinations, .. } = self;
        deliveries.retain(|key, delivery| {
            let spent = delivery.state == DeliveryState::Delivered
                && destinations.get(key.destination).is_some_and(|each| is_spent_once(&each.target));
            spent || delivery.is_in_flight(now)
        });
    }

    /// Computes the due date from the marks: whoever closes a piece of work does so, and what came in meanwhile is not
    /// stranded.
    fn plan_deliveries(&mut self, now: Time) {
        let (Some(known), Some(outcome)) = (self.webhook_due_at, OutcomeKind::of(self.status)) else {
            return;
        };
        let since = self.webhook_due_since.unwrap_or(known);
        let mut open: Vec<(Time, Time)> = Vec::new();
        for destination in 0..self.destinations.len() {
            let (due, since) = match self.deliveries.get(&DeliveryKey { destination, outcome }) {
                Some(delivery) if delivery.is_pending() => (delivery.due_at(), delivery.due_since),
                Some(_) => continue,
                // Nobody has looked at it yet: due since the outcome came.
                None => (known.min(now), since),
            };
            let blocked_until = self.blocked_until(destination, outcome, now);
            open.push((blocked_until.map_or(due, |until| until.max(due)), since));
        }
        self.webhook_due_at = open.iter().map(|(due, _)| *due).min();
        self.webhook_due_since = open.iter().map(|(_, since)| *since).min();
        // It says that the due date is a present: a claim by another clock trusts it.
        if self.webhook_due_at.is_none_or(|due| due > now) {
            self.stream_hint = None;
        }
        if let Some(due) = self.webhook_due_at {
            self.expires_at = self.expires_at.max(kept_until(due));
        }
    }

    /// What was to be said of a failure is no longer true once there is a result.
    fn drop_failure(&mut self, destination: usize, now: Time) {
        let key = DeliveryKey { destination, outcome: OutcomeKind::Failure };
        if let Some(delivery) = self.deliveries.get_mut(&key)
            && !delivery.is_in_flight(now)
        {
            if delivery.is_pending() {
                delivery.end(DeliveryState::Skipped, Some("a result came first"));
            }
            // Room for what is said of the result.
            if delivery.state == DeliveryState::Failed {
                delivery.last_error = None;
            }
        }
    }

    /// Until when the destination is being told of the other outcome: it must not be told of both out of order.
    fn blocked_until(&self, destination: usize, outcome: OutcomeKind, now: Time) -> Option<Time> {
        let other = self.deliveries.get(&DeliveryKey { destination, outcome: outcome.other() })?;
        other.in_flight_until.filter(|_| other.is_in_flight(now))
    }

    /// Why the destination is not to be told.
    fn unwanted(
        &self,
        index: usize,
        outcome: OutcomeKind,
        has_no_sessions: impl Fn() -> bool,
    ) -> Option<&'static str> {
        let destination = self.destinations.get(index)?;
        match outcome {
            OutcomeKind::Failure => (!destination.on_failure).then_some("onFailure is false"),
            OutcomeKind::Result => {
                let told =
                    self.deliveries.get(&DeliveryKey { destination: index, outcome: OutcomeKind::Failure });
                let told = told.is_some_and(|delivery| delivery.state == DeliveryState::Delivered);
                if told && is_spent_once(&destination.target) {
                    return Some("the task token was used up by the failure");
                }
                let skips = destination.when_empty == WhenEmpty::Skip && has_no_sessions();
                skips.then_some("there are no sessions, and whenEmpty is skip")
            }
        }
    }

    /// A result that cannot be read is not taken for an empty one.
    fn has_no_sessions(&self) -> bool {
        self.unpack_result().is_ok_and(|result| result.is_some_and(|result| result.sessions.is_empty()))
    }
}

/// Whether it can be told but once, whatever the outcome.
fn is_spent_once(target: &Target) -> bool {
    matches!(target, Target::StepFunctions { .. })
}

/// The wait after this many tries.
fn backoff(tries: u32) -> Duration {
    let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let longest = BACKOFF_SECONDS.last().copied().unwrap_or_default();
    Duration::from_secs(BACKOFF_SECONDS.get(index).copied().unwrap_or(longest))
}

fn fits(id: &str) -> bool {
    id.len() <= MAX_EXTERNAL_ID_BYTES
}

/// One line of at most [`MAX_ERROR_BYTES`].
fn short(text: &str) -> String {
    let mut line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > MAX_ERROR_BYTES {
        line.truncate(line.floor_char_boundary(MAX_ERROR_BYTES - '…'.len_utf8()));
        line.push('…');
    }
    line
}
