//! Asking: record first, then LogRocket, then the record again.

use crate::app::{App, Invocation, TRY_AGAIN_AFTER, table_unavailable};
use crate::post::{Audience, Posted, Until};
use aws::clock;
use aws::metrics::{self, Count};
use aws::table::{Changed, Opened};
use model::budget;
use model::destination::{Destination, Target};
use model::id::RequestId;
use model::problem::{Kind, Problem};
use model::record::{Record, Status, Summary};
use model::request::{IdempotencyKey, NewRequest};
use model::rules::Origin;
use model::time::Time;
use std::time::Duration;
use tokio::time::timeout_at;
use uuid::Uuid;

/// A request that was taken: stored, and driven to its outcome.
#[derive(Debug)]
pub struct Asked {
    pub summary: Summary,
    pub how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    New,
    /// The same request was asked before, by its key.
    Replayed,
    /// `maxAge` found one that asked the same.
    Found,
}

/// Who asks, and the key that his source gives the request if the body has none.
pub struct Caller<'a> {
    pub name: String,
    pub source_key: Option<IdempotencyKey>,
    pub invocation: &'a Invocation,
}

/// What is left to do for a request whose record is as it should be.
enum Prepared {
    /// Nothing: this is the answer.
    Answered(Box<Asked>),
    /// The POST of its latest attempt, which the table holds as unknown.
    ToPost { record: Box<Record>, how: How },
}

impl App {
    pub async fn ask(&self, body: &[u8], caller: Caller<'_>) -> Result<Asked, Problem> {
        let new = NewRequest::parse(body, &self.settings.request_rules)?;
        self.ask_parsed(new, caller).await
    }

    pub async fn ask_parsed(&self, new: NewRequest, caller: Caller<'_>) -> Result<Asked, Problem> {
        let until = Until { answered: caller.invocation.wait_until(), written: caller.invocation.answer_by };
        // First of all: without them there is no POST, and a record without one would be a promise not meant.
        let secrets = self.secrets().await?;
        let prepared = timeout_at(until.answered, self.prepare(new, caller)).await;
        match prepared.map_err(|_| too_slow())?? {
            Prepared::Answered(asked) => Ok(*asked),
            Prepared::ToPost { record, how } => {
                let summary = Summary::from(&*record);
                match self.post(*record, &secrets, Audience::Waiting, until).await {
                    Posted::Promised => Ok(Asked { summary, how }),
                    Posted::Refused(refusal) => Err(Problem::new(Kind::LogRocketRefused, refusal.advice())),
                }
            }
        }
    }

    /// Finds or writes the request's record.
    async fn prepare(&self, new: NewRequest, caller: Caller<'_>) -> Result<Prepared, Problem> {
        let key = new.idempotency_key.clone().or(caller.source_key);
        let id = match &key {
            Some(key) => RequestId::for_key(&caller.name, key.as_str()),
            None => RequestId::from_uuid(Uuid::now_v7()),
        };
        let origin = Origin { caller: caller.name, opening: Uuid::new_v4().to_string() };
        if let Some(max_age) = new.max_age
            && let Some(found) = self.find_recent(&new, &id, key.is_some(), max_age, &origin).await?
        {
            return Ok(found);
        }
        let now = clock::now();
        let rules = &self.settings.shared.rules;
        let record = Record::open(id, origin.clone(), new.clone(), self.reserved(), now, rules);
        match self.table.open(&record, now).await.map_err(|error| table_unavailable(&error))? {
            Opened::New => {
                // A principal's name may be an e-mail address.
                let caller = record.caller.split('@').next().unwrap_or_default();
                metrics::count(Count::Asked);
                tracing::info!(requestID = record.request_id.as_str(), caller, "asked");
                Ok(Prepared::ToPost { record: Box::new(record), how: How::New })
            }
            Opened::Twin(twin) => self.replay(*twin, new, &origin).await,
            Opened::OverBudget => Err(self.over_budget(&record.request_id)),
        }
    }

    /// What `maxAge` finds: the key's own request before any other.
    async fn find_recent(
        &self,
        new: &NewRequest,
        id: &RequestId,
        keyed: bool,
        max_age: Duration,
        origin: &Origin,
    ) -> Result<Option<Prepared>, Problem> {
        let now = clock::now();
        let unavailable = |error| table_unavailable(&error);
        if keyed && let Some(twin) = self.table.get(id, now).await.map_err(unavailable)? {
            return self.replay(twin, new.clone(), origin).await.map(Some);
        }
        let max_age = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        let since = Time(now.0.saturating_sub(max_age));
        let found = self.table.find_same(&new.question, since, now).await.map_err(unavailable)?;
        let Some(found) = found else { return Ok(None) };
        // The index may be a moment behind.
        let found = self.table.get(&found.request_id, now).await.map_err(unavailable)?;
        let Some(found) = found.filter(|found| matches!(found.status, Status::Pending | Status::Ready))
        else {
            return Ok(None);
        };
        match self.join(found, &new.destinations).await {
            Ok((record, joined)) => {
                metrics::count(Count::AskedAgain);
                let (id, status) = (record.request_id.as_str(), record.status.as_str());
                tracing::info!(requestID = id, status, joined, "a recent request was found");
                let asked = Asked { summary: Summary::from(&record), how: How::Found };
                Ok(Some(Prepared::Answered(Box::new(asked))))
            }
            Err(problem) if problem.kind == Kind::Unavailable => Err(problem),
            // No room for more destinations there, or it went meanwhile: a new request has room.
            Err(_) => Ok(None),
        }
    }

    /// The same key again: the same answer, unless LogRocket had refused it.
    async fn replay(&self, twin: Record, new: NewRequest, origin: &Origin) -> Result<Prepared, Problem> {
        if twin.fingerprint != new.fingerprint {
            let detail = format!(
                "This idempotency key belongs to request {}, which asked something else. Use a new key.",
                twin.request_id
            );
            return Err(Problem::new(Kind::KeyReused, detail));
        }
        if twin.is_refused() {
            return self.reopen(twin, new, origin).await;
        }
        self.repeated(twin, new).await
    }

    /// A repeat that changes nothing but who is to hear of the outcome.
    async fn repeated(&self, twin: Record, new: NewRequest) -> Result<Prepared, Problem> {
        // A workflow's retry brings a new token, and its own alone is waited for.
        let tokens: Vec<Destination> = new
            .destinations
            .into_iter()
            .filter(|destination| matches!(destination.target, Target::StepFunctions { .. }))
            .collect();
        let (record, joined) = self.join(twin, &tokens).await?;
        metrics::count(Count::AskedAgain);
        let (id, status) = (record.request_id.as_str(), record.status.as_str());
        tracing::info!(requestID = id, status, joined, "asked again");
        let asked = Asked { summary: Summary::from(&record), how: How::Replayed };
        Ok(Prepared::Answered(Box::new(asked)))
    }

    /// Opens a refused request again; of several who do so at once, one asks LogRocket.
    async fn reopen(&self, twin: Record, new: NewRequest, origin: &Origin) -> Result<Prepared, Problem> {
        let (now, rules, reserved) = (clock::now(), &self.settings.shared.rules, self.reserved());
        let rule = |record: &Record| {
            let more = new.destinations.clone();
            record.reopen(&origin.opening, more, reserved.clone(), now, rules)
        };
        let id = twin.request_id.clone();
        match self.table.change(twin, rule).await.map_err(|error| table_unavailable(&error))? {
            Changed::Written(record) => {
                metrics::count(Count::AskedAgain);
                tracing::info!(requestID = id.as_str(), "a refused request is tried again");
                Ok(Prepared::ToPost { record, how: How::Replayed })
            }
            // Another one has opened it again.
            Changed::Unchanged(record) => self.repeated(*record, new).await,
            Changed::OverBudget => Err(self.over_budget(&id)),
            Changed::Gone => Err(deleted_meanwhile()),
        }
    }

    /// Answers the record, and whether it changed by that: another destination hears of it, or somebody was promised an
    /// outcome that may yet be refused.
    async fn join(&self, record: Record, more: &[Destination]) -> Result<(Record, bool), Problem> {
        let (now, rules) = (clock::now(), &self.settings.shared.rules);
        record
            .join(more, now, rules)
            .map_err(|too_many| Problem::new(Kind::Invalid, format!("{too_many}.")))?;
        let rule = |record: &Record| record.join(more, now, rules).ok().flatten();
        match self.table.change(record, rule).await.map_err(|error| table_unavailable(&error))? {
            Changed::Written(record) => Ok((*record, true)),
            Changed::Unchanged(record) => Ok((*record, false)),
            Changed::OverBudget | Changed::Gone => Err(deleted_meanwhile()),
        }
    }

    /// The month that the next POST is counted in, where a limit is set.
    pub fn reserved(&self) -> Option<String> {
        self.settings.monthly_request_limit.map(|_| clock::now().month())
    }

    fn over_budget(&self, id: &RequestId) -> Problem {
        metrics::count(Count::OverBudget);
        tracing::warn!(requestID = id.as_str(), "over the month's budget");
        budget::spent(self.settings.monthly_request_limit.unwrap_or(0), clock::now())
    }
}

fn too_slow() -> Problem {
    tracing::error!("the table took too long");
    let detail = "The table is slow; the request may or may not be stored. Try again, with a key.";
    Problem::new(Kind::Unavailable, detail).retry_after(TRY_AGAIN_AFTER)
}

fn deleted_meanwhile() -> Problem {
    Problem::new(Kind::Gone, "The request was deleted while it was asked again. Ask once more.")
}
