//! The record: the table's item for one request. Field names are the item's attribute names.
//!
//! What a callback must decide on stands in scalars and in a map that is addressed by key, for a DynamoDB
//! expression can neither search a list of maps nor branch. Whether there is anybody to deliver to is such a
//! decision, and it is made in advance: `webhookShard` is written only where there are destinations, so a
//! callback may always set `webhookDueAt`, and the item enters the sparse index `webhookWork` only if it has both.

use crate::delivery::{Delivery, DeliveryKey};
use crate::destination::Destination;
use crate::id::RequestId;
use crate::request::Question;
use crate::result::{CorruptResult, HighlightsResult, StoredResult};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;

/// Work is spread over this many partitions of the work indexes; an idle sweep costs one query for each.
pub const SHARDS: u8 = 4;

/// Everything that is known about one request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    #[serde(rename = "requestID")]
    pub request_id: RequestId,
    /// Raised by every write.
    pub version: u64,
    pub status: Status,
    /// Who asked; a key means a request only together with its caller.
    pub caller: String,
    /// A fresh id of the asking that opened the record, or opened it again. A write whose answer was lost is repeated
    /// by the SDK and then meets itself; this tells it from a twin's.
    pub opening: String,
    /// See [`crate::request::NewRequest::parse`].
    pub fingerprint: String,
    pub request: Question,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub destinations: Vec<Destination>,
    /// Partition key of the index `bySubject`.
    pub subject_hash: String,
    /// What `maxAge` looks for.
    pub ask_hash: String,
    pub created_at: Time,
    /// When waiting ends and the request expires.
    pub pending_until: Time,
    /// Somebody who does not wait for LogRocket's answer himself was told that the request is taken: a refusal is
    /// delivered, for he would never hear of it else.
    #[serde(skip_serializing_if = "is_false", default)]
    pub promised: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub completed_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    /// The result as JSON, if it is short …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<String>,
    /// … and compressed, if it is long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result_gzip: Option<ByteBuf>,

    /// The number of the latest attempt; only this one may be open.
    pub attempt: u32,
    /// By number.
    pub attempts: BTreeMap<u32, Attempt>,
    /// The id of the latest attempt that has one. Partition key of the index `byLogRocketRequestID`.
    #[serde(rename = "logRocketRequestID", skip_serializing_if = "Option::is_none", default)]
    pub log_rocket_request_id: Option<String>,

    /// Partition key of the index `requestWork`; never changes.
    pub request_shard: String,
    /// When request λ has work to do; its sort key. Absent: no work, not in the index.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_due_at: Option<Time>,
    /// The same, but not moved by claims: what is stuck looks old.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_due_since: Option<Time>,
    /// Claims since the work last got on.
    pub request_tries: u32,

    /// Partition key of the index `webhookWork`; there only if there are destinations.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub webhook_shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub webhook_due_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub webhook_due_since: Option<Time>,
    /// Set when webhook work appears, removed by the claim: what the stream is filtered on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream_hint: Option<String>,
    /// The marks, from the first claim on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub deliveries: BTreeMap<DeliveryKey, Delivery>,

    /// Epoch seconds, DynamoDB's TTL. Reads treat the record as gone from then on.
    pub expires_at: i64,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Shows how it stands, never the highlights or what was asked.
impl std::fmt::Debug for Record {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Record")
            .field("request_id", &self.request_id)
            .field("version", &self.version)
            .field("status", &self.status)
            .field("attempts", &self.attempts)
            .field("request_due_at", &self.request_due_at)
            .field("webhook_due_at", &self.webhook_due_at)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

/// How a request stands. A lattice: it only climbs, whatever order the news comes in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Pending,
    Expired,
    Failed,
    Ready,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Expired => "EXPIRED",
            Self::Failed => "FAILED",
            Self::Ready => "READY",
        }
    }
}

/// One POST to LogRocket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub started_at: Time,
    pub state: AttemptState,
    #[serde(rename = "logRocketRequestID", skip_serializing_if = "Option::is_none", default)]
    pub log_rocket_request_id: Option<String>,
    /// When something is to be done about this attempt, if nothing is heard.
    pub next_at: Time,
    /// The month's budget counter that this attempt is counted in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reserved: Option<String>,
}

/// What is known of an attempt. `Unknown` and `Open` are open: LogRocket may be at work on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttemptState {
    /// Written before the POST; nobody knows yet whether LogRocket took it.
    Unknown,
    /// LogRocket gave it an id.
    Open,
    /// LogRocket surely did not take it: it does not count, and its number is used again.
    NotTaken,
    /// LogRocket says that it failed.
    Failed,
    /// Nothing was heard of it in time, and another attempt was begun.
    Abandoned,
    /// Its result is the request's.
    Done,
}

/// Why there is no result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub code: FailureCode,
    /// For people: what it means and what to mend.
    pub message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// LogRocket said a clear no.
    #[serde(rename = "LOGROCKET_REFUSED")]
    LogRocketRefused,
    /// LogRocket took it and reported failure, as often as it was asked.
    #[serde(rename = "LOGROCKET_FAILED")]
    LogRocketFailed,
    ResultTooLarge,
    /// The month's budget left no room for another attempt.
    Budget,
    /// No outcome came in time.
    Expired,
}

impl FailureCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogRocketRefused => "LOGROCKET_REFUSED",
            Self::LogRocketFailed => "LOGROCKET_FAILED",
            Self::ResultTooLarge => "RESULT_TOO_LARGE",
            Self::Budget => "BUDGET",
            Self::Expired => "EXPIRED",
        }
    }
}

impl Record {
    /// Whether its retention is over, though DynamoDB deletes it days later.
    pub fn is_gone(&self, now: Time) -> bool {
        self.expires_at <= now.0.div_euclid(1000)
    }

    /// The latest attempt.
    pub fn latest(&self) -> Option<&Attempt> {
        self.attempts.get(&self.attempt)
    }

    pub fn unpack_result(&self) -> Result<Option<HighlightsResult>, CorruptResult> {
        let stored = match (&self.result, &self.result_gzip) {
            (Some(json), _) => StoredResult::Json(json.clone()),
            (None, Some(bytes)) => StoredResult::Gzip(bytes.to_vec()),
            (None, None) => return Ok(None),
        };
        stored.unpack().map(Some)
    }

    /// Whether a caller that was told of the refusal may have the same request tried again.
    pub fn is_refused(&self) -> bool {
        let code = self.failure.as_ref().map(|failure| failure.code);
        self.status == Status::Failed && code == Some(FailureCode::LogRocketRefused)
    }
}

/// What the index `bySubject` carries of a record: what a list shows.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    #[serde(rename = "requestID")]
    pub request_id: RequestId,
    pub status: Status,
    pub request: Question,
    pub created_at: Time,
    #[serde(default)]
    pub completed_at: Option<Time>,
    #[serde(default)]
    pub failure: Option<Failure>,
    pub attempts: BTreeMap<u32, Attempt>,
    /// Epoch seconds, as in [`Record`].
    pub expires_at: i64,
}

impl From<&Record> for Summary {
    fn from(record: &Record) -> Self {
        Self {
            request_id: record.request_id.clone(),
            status: record.status,
            request: record.request.clone(),
            created_at: record.created_at,
            completed_at: record.completed_at,
            failure: record.failure.clone(),
            attempts: record.attempts.clone(),
            expires_at: record.expires_at,
        }
    }
}
