//! The rules by which a record changes. Each is a pure function from a record and the time to the next record; the
//! table writes what they say, on condition that the record is still the one that they were asked about.

use crate::answer::{MAX_RETRY_AFTER, Refusal};
use crate::callback::Outcome;
use crate::destination::{self, Destination};
use crate::id::RequestId;
use crate::record::{Attempt, AttemptState, Failure, FailureCode, Record, SHARDS, Status};
use crate::request::{NewRequest, destinations_bytes};
use crate::result::{ResultTooLarge, StoredResult};
use crate::time::Time;
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use std::time::Duration;

/// No wait between two tries of the same thing grows beyond this.
const MAX_BACKOFF: Duration = Duration::from_secs(600);
/// A record outlives its last due date by this, so that what is due is never deleted before it is done.
const KEPT_AFTER_DUE: Duration = Duration::from_secs(2 * DAY);
const DAY: u64 = 24 * 60 * 60;
/// The value of [`Record::stream_hint`]; the template's stream filter names it.
pub const STREAM_HINT: &str = "webhook";

/// The waits and limits; the defaults are the README's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// LogRocket bills every POST.
    pub max_attempts: u32,
    /// Before a POST that was not taken, or failed, is made again.
    pub retry_after: Duration,
    /// How long a claim holds; longer than a function may run.
    pub lease: Duration,
    /// Before a callback that has not come is asked after.
    pub poll_after: Duration,
    /// From an attempt's start until one of which nothing is known is given up.
    pub unknown_grace: Duration,
    /// From the request until it expires.
    pub pending_timeout: Duration,
    pub retention_days: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            retry_after: Duration::from_secs(30),
            lease: Duration::from_secs(60),
            poll_after: Duration::from_secs(180),
            unknown_grace: Duration::from_secs(300),
            pending_timeout: Duration::from_secs(3600),
            retention_days: 30,
        }
    }
}

/// A report of LogRocket as the table can take it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// When the request that it belongs to was opened: [`Record::created_at`].
    pub opened: Time,
    pub attempt: u32,
    pub log_rocket_request_id: String,
    pub outcome: NewsOutcome,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NewsOutcome {
    Pending,
    Failed,
    Ready(StoredResult),
    TooLarge(ResultTooLarge),
}

impl NewsOutcome {
    /// LogRocket's word for it: a result is READY, however large.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Failed => "FAILED",
            Self::Ready(_) | Self::TooLarge(_) => "READY",
        }
    }
}

impl From<Outcome> for NewsOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Pending => Self::Pending,
            Outcome::Failed => Self::Failed,
            Outcome::Ready(result) => match StoredResult::pack(&result) {
                Ok(stored) => Self::Ready(stored),
                Err(too_large) => Self::TooLarge(too_large),
            },
        }
    }
}

/// Who asked, and by which asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    pub caller: String,
    /// See [`Record::opening`].
    pub opening: String,
}

/// What news means to a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// The record changes; this is the next one.
    Changed(Box<Record>),
    /// It was known, or changes nothing.
    Known,
    /// The attempt has another id at LogRocket: not about this attempt.
    OtherId,
    /// The record, or the attempt in it, is no longer there.
    Gone,
}

/// What request λ is to do about a record now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Work {
    /// Nothing more: it is settled, or due later.
    Wait,
    /// Make this attempt's POST.
    Start {
        attempt: u32,
    },
    /// Ask LogRocket what became of the attempt; if it knows nothing and `last`, expire.
    Poll {
        attempt: u32,
        log_rocket_request_id: String,
        last: bool,
    },
    Expire,
    /// No attempt is left.
    Fail,
}

impl Work {
    /// As the log has it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Start { .. } => "start",
            Self::Poll { .. } => "poll",
            Self::Expire => "expire",
            Self::Fail => "fail",
        }
    }
}

/// More destinations than a record has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a request gathers at most {} destinations, {} bytes together",
    destination::MAX_IN_RECORD,
    destination::MAX_BYTES_IN_RECORD
)]
pub struct TooManyDestinations;

impl Record {
    /// A new request's record, with its first attempt written down before the POST is made.
    /// `reserved` is the month whose budget the attempt is counted in, where a limit is set.
    pub fn open(
        request_id: RequestId,
        origin: Origin,
        new: NewRequest,
        reserved: Option<String>,
        now: Time,
        rules: &Rules,
    ) -> Self {
        let shard = request_id.shard(SHARDS).to_string();
        let pending_until = now.plus(rules.pending_timeout);
        let mut record = Self {
            version: 0,
            status: Status::Pending,
            caller: origin.caller,
            opening: origin.opening,
            fingerprint: new.fingerprint,
            subject_hash: new.question.subject.hash(),
            ask_hash: new.question.hash(),
            request: new.question,
            webhook_shard: (!new.destinations.is_empty()).then(|| shard.clone()),
            destinations: new.destinations,
            created_at: now,
            pending_until,
            promised: false,
            completed_at: None,
            failure: None,
            result: None,
            result_gzip: None,
            attempt: 1,
            attempts: BTreeMap::new(),
            log_rocket_request_id: None,
            request_shard: shard,
            request_due_at: None,
            request_due_since: None,
            request_tries: 0,
            webhook_due_at: None,
            webhook_due_since: None,
            stream_hint: None,
            deliveries: BTreeMap::new(),
            expires_at: expiry(now, last_due(pending_until, rules), rules),
            request_id,
        };
        record.begin(1, reserved, now, rules);
        record.next()
    }

    /// A refused request that is asked again: the one way back to `PENDING`. `None` if it was not refused, or has
    /// no room for `more`: each repeat of a workflow's task brings a new token.
    pub fn reopen(
        &self,
        opening: &str,
        more: Vec<Destination>,
        reserved: Option<String>,
        now: Time,
        rules: &Rules,
    ) -> Option<Self> {
        if !self.is_refused() {
            return None;
        }
        let mut record = self.clone();
        record.opening = opening.to_owned();
        destination::join(&mut record.destinations, more);
        if record.destinations.len() > self.destinations.len() && !fits(&record.destinations) {
            return None;
        }
        if !record.destinations.is_empty() {
            record.webhook_shard = Some(record.request_shard.clone());
        }
        // Who was promised an outcome, and has not been told of this one yet, is told of the next.
        record.promised = self.promised && self.webhook_due_at.is_some();
        // There is no outcome any more to deliver; the next one is due when it comes.
        record.webhook_due_at = None;
        record.webhook_due_since = None;
        record.stream_hint = None;
        record.forget_deliveries(now);
        record.status = Status::Pending;
        record.failure = None;
        record.completed_at = None;
        record.pending_until = now.plus(rules.pending_timeout);
        record.expires_at = expiry(now, last_due(record.pending_until, rules), rules);
        record.request_tries = 0;
        record.begin(self.attempt, reserved, now, rules);
        Some(record.next())
    }

    /// The attempt that [`Work::Start`] names, written down before its POST.
    pub fn start(&self, attempt: u32, reserved: Option<String>, now: Time, rules: &Rules) -> Self {
        let mut record = self.clone();
        record.begin(attempt, reserved, now, rules);
        record.next()
    }

    /// LogRocket took the attempt and gave it an id. `None` if that was known.
    ///
    /// The id is always added; the due date moves only if the attempt is still open, for a callback may have
    /// come before LogRocket's own answer.
    pub fn confirm(&self, attempt: u32, log_rocket_request_id: &str, rules: &Rules) -> Option<Self> {
        let mut record = self.clone();
        let entry = record.attempts.get_mut(&attempt)?;
        if entry.log_rocket_request_id.is_some() {
            return None;
        }
        entry.log_rocket_request_id = Some(log_rocket_request_id.to_owned());
        let still_open = entry.state == AttemptState::Unknown;
        if still_open {
            entry.state = AttemptState::Open;
            entry.next_at = entry.started_at.plus(rules.poll_after).min(record.pending_until);
        }
        if attempt == record.attempt {
            record.log_rocket_request_id = Some(log_rocket_request_id.to_owned());
            if still_open && record.status == Status::Pending {
                record.request_tries = 0;
                record.set_due();
            }
        }
        Some(record.next())
    }

    /// LogRocket surely did not take the attempt: the same number is tried again, later each time.
    /// `jitter` is from 0 to 1. `None` if news of the attempt came meanwhile.
    pub fn not_taken(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        jitter: f64,
        now: Time,
        rules: &Rules,
    ) -> Option<Self> {
        let mut record = self.clone();
        let wait = backoff(rules.retry_after, self.request_tries).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
        let wait = wait.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
        let next_at = now.plus(wait).min(record.pending_until);
        let entry = record.unanswered(attempt)?;
        entry.state = AttemptState::NotTaken;
        entry.next_at = next_at;
        entry.reserved = None;
        record.set_due();
        Some(record.next())
    }

    /// LogRocket said a clear no. The caller who is waiting is told; whoever was `promised` an outcome, before or
    /// meanwhile, is told by the destinations. `None` if news of the attempt came meanwhile.
    pub fn refuse(
        &self,
        attempt: u32,
        refusal: &Refusal,
        promised: bool,
        now: Time,
        rules: &Rules,
    ) -> Option<Self> {
        let mut record = self.clone();
        let entry = record.unanswered(attempt)?;
        entry.state = AttemptState::NotTaken;
        entry.reserved = None;
        let failure = Failure { code: FailureCode::LogRocketRefused, message: refusal.advice() };
        record.settle(Status::Failed, Some(failure), now, rules);
        record.promised |= promised;
        if record.promised {
            record.set_webhook_due(now);
        }
        Some(record.next())
    }

    /// News of an attempt, by callback or by poll, in any order and any number.
    pub fn receive(&self, news: &News, now: Time, rules: &Rules) -> Received {
        let entry = match self.attempts.get(&news.attempt) {
            Some(entry) if news.opened == self.created_at && !self.is_gone(now) => entry,
            // Deleted or over, perhaps with another request of the same key in its place.
            _ => return Received::Gone,
        };
        let other_id =
            entry.log_rocket_request_id.as_ref().is_some_and(|known| *known != news.log_rocket_request_id);
        if other_id {
            return Received::OtherId;
        }
        let mut record = self.clone();
        let state = match &news.outcome {
            // Nothing changes a READY.
            _ if self.status == Status::Ready => return Received::Known,
            NewsOutcome::Pending => return Received::Known,
            NewsOutcome::Ready(result) => {
                record.settle(Status::Ready, None, now, rules);
                record.set_webhook_due(now);
                match result {
                    StoredResult::Json(json) => record.result = Some(json.clone()),
                    StoredResult::Gzip(bytes) => record.result_gzip = Some(ByteBuf::from(bytes.clone())),
                }
                AttemptState::Done
            }
            NewsOutcome::TooLarge(too_large) => {
                let code = FailureCode::ResultTooLarge;
                if self.failure.as_ref().is_some_and(|failure| failure.code == code) {
                    return Received::Known;
                }
                let failure = Failure { code, message: format!("{too_large}. Ask for a shorter timeRange.") };
                record.settle(Status::Failed, Some(failure), now, rules);
                record.set_webhook_due(now);
                AttemptState::Done
            }
            // Only the latest attempt's failure says anything about what is to be done.
            NewsOutcome::Failed if news.attempt < self.attempt => return Received::Known,
            NewsOutcome::Failed if entry.state == AttemptState::Failed => return Received::Known,
            NewsOutcome::Failed if news.attempt >= rules.max_attempts => {
                if self.status == Status::Failed {
                    return Received::Known;
                }
                record.settle(Status::Failed, Some(Failure::log_rocket_failed()), now, rules);
                record.set_webhook_due(now);
                AttemptState::Failed
            }
            NewsOutcome::Failed => {
                if self.status != Status::Pending {
                    return Received::Known;
                }
                AttemptState::Failed
            }
        };
        let retry_at = now.plus(rules.retry_after);
        if let Some(entry) = record.attempts.get_mut(&news.attempt) {
            entry.log_rocket_request_id = Some(news.log_rocket_request_id.clone());
            entry.state = state;
            if record.status == Status::Pending {
                entry.next_at = retry_at;
            }
        }
        if news.attempt == record.attempt {
            record.log_rocket_request_id = Some(news.log_rocket_request_id.clone());
        }
        if record.status == Status::Pending {
            record.request_tries = 0;
            record.set_due();
        }
        Received::Changed(Box::new(record.next()))
    }

    /// Takes the work that is due: pushes its date forward by the lease and counts the try, so that a crash
    /// anywhere means that the date passes and the next sweep takes it, counted. `None` if nothing is due.
    pub fn claim(&self, now: Time, rules: &Rules) -> Option<Self> {
        self.request_due_at.filter(|due| *due <= now)?;
        let mut record = self.clone();
        let due = now.plus(rules.lease);
        record.request_due_at = Some(due);
        record.expires_at = record.expires_at.max(kept_until(due));
        record.request_tries += 1;
        Some(record.next())
    }

    /// What there is to do now.
    pub fn work(&self, now: Time, rules: &Rules) -> Work {
        let latest = match self.latest() {
            Some(latest) if self.status == Status::Pending => latest,
            _ => return Work::Wait,
        };
        let expired = now >= self.pending_until;
        let due = now >= latest.next_at || expired;
        let (attempt, more) = (self.attempt, self.attempt < rules.max_attempts);
        match (latest.state, &latest.log_rocket_request_id) {
            _ if !due => Work::Wait,
            (AttemptState::Open, Some(id)) => {
                Work::Poll { attempt, log_rocket_request_id: id.clone(), last: expired }
            }
            (AttemptState::Failed, _) if !more => Work::Fail,
            _ if expired => Work::Expire,
            (AttemptState::NotTaken, _) => Work::Start { attempt },
            _ if more => Work::Start { attempt: attempt + 1 },
            // The last attempt, of which nobody knows: a callback may still come.
            _ => Work::Wait,
        }
    }

    /// Gives the work back after [`Work::Wait`], due when there is something to do about it: where only a callback
    /// can help, when waiting ends. `None` if it is not to be done any more. Work that could not be done (no
    /// secret, no budget's answer) is not released: its lease runs out, and the next sweep tries it.
    pub fn release(&self, now: Time) -> Option<Self> {
        if self.status != Status::Pending {
            return None;
        }
        let mut record = self.clone();
        let pending_until = record.pending_until;
        let latest = record.attempts.get_mut(&self.attempt)?;
        if latest.next_at <= now {
            latest.next_at = pending_until;
        }
        record.set_due();
        Some(record.next())
    }

    /// The poll brought nothing: the next one comes after twice the wait, to ten minutes.
    pub fn poll_again(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        now: Time,
        rules: &Rules,
    ) -> Option<Self> {
        if self.status != Status::Pending || attempt != self.attempt {
            return None;
        }
        let mut record = self.clone();
        let wait = backoff(rules.poll_after, self.request_tries).max(retry_after.unwrap_or_default());
        let pending_until = record.pending_until;
        let latest = record.attempts.get_mut(&attempt)?;
        latest.next_at = now.plus(wait).min(pending_until);
        record.set_due();
        Some(record.next())
    }

    /// Ends the wait. `None` if it has ended.
    pub fn expire(&self, now: Time, rules: &Rules) -> Option<Self> {
        let message = "LogRocket gave no outcome in time. A late one is still taken.".to_owned();
        self.give_up(Status::Expired, Failure { code: FailureCode::Expired, message }, now, rules)
    }

    /// The month's budget has no room for the attempt that is due. `None` if none is.
    pub fn over_budget(&self, now: Time, rules: &Rules) -> Option<Self> {
        let message = "Another attempt was due, but MONTHLY_REQUEST_LIMIT is reached.".to_owned();
        self.give_up(Status::Failed, Failure { code: FailureCode::Budget, message }, now, rules)
    }

    /// No attempt is left after the one that failed. `None` if that is settled.
    pub fn fail(&self, now: Time, rules: &Rules) -> Option<Self> {
        self.give_up(Status::Failed, Failure::log_rocket_failed(), now, rules)
    }

    /// Somebody else asks the same, and is told how it stands. His destinations are added; with an outcome already
    /// there, they are due at once. While LogRocket may still refuse the POST that another one waits for, the promise
    /// is written down. `None` if all that is there.
    pub fn join(
        &self,
        more: &[Destination],
        now: Time,
        rules: &Rules,
    ) -> Result<Option<Self>, TooManyDestinations> {
        let mut record = self.clone();
        destination::join(&mut record.destinations, more.iter().cloned());
        let brings_more = record.destinations.len() > self.destinations.len();
        if brings_more && !fits(&record.destinations) {
            return Err(TooManyDestinations);
        }
        if brings_more {
            record.webhook_shard = Some(record.request_shard.clone());
        }
        if brings_more && record.status != Status::Pending {
            record.set_webhook_due(now);
            record.expires_at = record.expires_at.max(expiry(now, now, rules));
        }
        let may_be_refused = record.unanswered(record.attempt).is_some();
        record.promised |= may_be_refused;
        let is_news = brings_more || record.promised != self.promised;
        Ok(is_news.then(|| record.next()))
    }

    pub(crate) fn next(mut self) -> Self {
        self.version += 1;
        self
    }

    fn begin(&mut self, attempt: u32, reserved: Option<String>, now: Time, rules: &Rules) {
        if attempt != self.attempt {
            if let Some(latest) = self.attempts.get_mut(&self.attempt)
                && latest.state == AttemptState::Unknown
            {
                latest.state = AttemptState::Abandoned;
            }
            self.attempt = attempt;
            self.request_tries = 0;
        }
        let entry = Attempt {
            started_at: now,
            state: AttemptState::Unknown,
            log_rocket_request_id: None,
            next_at: now.plus(rules.unknown_grace).min(self.pending_until),
            reserved,
        };
        self.attempts.insert(attempt, entry);
        self.set_due();
    }

    /// The attempt, if its POST is the latest and nothing is known of it yet.
    fn unanswered(&mut self, attempt: u32) -> Option<&mut Attempt> {
        if self.status != Status::Pending || attempt != self.attempt {
            return None;
        }
        self.attempts.get_mut(&attempt).filter(|entry| entry.state == AttemptState::Unknown)
    }

    /// The due date is the latest attempt's, always: whoever closes a piece of work computes it anew from the
    /// record, so that what came in meanwhile is not stranded.
    fn set_due(&mut self) {
        self.request_due_at = self.latest().map(|latest| latest.next_at);
        self.request_due_since = self.request_due_at;
    }

    pub(crate) fn set_webhook_due(&mut self, now: Time) {
        self.webhook_due_at = Some(now);
        self.webhook_due_since.get_or_insert(now);
        self.stream_hint = Some(STREAM_HINT.to_owned());
    }

    fn settle(&mut self, status: Status, failure: Option<Failure>, now: Time, rules: &Rules) {
        self.status = status;
        self.failure = failure;
        self.completed_at = Some(now);
        self.request_due_at = None;
        self.request_due_since = None;
        self.request_tries = 0;
        self.expires_at = expiry(now, now, rules);
    }

    fn give_up(&self, status: Status, failure: Failure, now: Time, rules: &Rules) -> Option<Self> {
        if self.status != Status::Pending {
            return None;
        }
        let mut record = self.clone();
        record.settle(status, Some(failure), now, rules);
        record.set_webhook_due(now);
        Some(record.next())
    }
}

impl Failure {
    /// LogRocket reported failure of the last attempt.
    pub fn log_rocket_failed() -> Self {
        let message = "LogRocket reported failure as often as it was asked. Ask again with a new key.";
        Self { code: FailureCode::LogRocketFailed, message: message.to_owned() }
    }
}

fn fits(destinations: &[Destination]) -> bool {
    destinations.len() <= destination::MAX_IN_RECORD
        && destinations_bytes(destinations) <= destination::MAX_BYTES_IN_RECORD
}

/// The latest date that a record which waits until `pending_until` is due: an attempt may fail at the last moment.
fn last_due(pending_until: Time, rules: &Rules) -> Time {
    pending_until.plus(rules.retry_after)
}

/// When a record whose last due date is `due` is gone, in epoch seconds.
pub fn expiry(now: Time, due: Time, rules: &Rules) -> i64 {
    let retention = Duration::from_secs(u64::from(rules.retention_days) * DAY);
    now.plus(retention).ceil_seconds().max(kept_until(due))
}

/// Until when a record with work due then is kept at least, in epoch seconds.
pub fn kept_until(due: Time) -> i64 {
    due.plus(KEPT_AFTER_DUE).ceil_seconds()
}

/// `base`, doubled with each try, to ten minutes (or `base`, if that is longer).
fn backoff(base: Duration, tries: u32) -> Duration {
    base.saturating_mul(1u32.checked_shl(tries).unwrap_or(u32::MAX)).min(MAX_BACKOFF.max(base))
}
