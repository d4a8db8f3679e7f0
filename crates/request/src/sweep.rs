//! The minute's pass over records that have work due. It is the guarantee: whatever failed before, a record
//! that is not settled has a due date, and is found here once that has passed.

use crate::app::{App, Invocation, table_unavailable};
use crate::post::{Audience, Until};
use aws::clock;
use aws::metrics::{self, Count, Sweep};
use aws::table::{Changed, Due, DueItem, NewsReceipt, Owner, ShardOrder, TableError};
use model::answer::PollAnswer;
use model::callback::Outcome;
use model::problem::Problem;
use model::record::{Record, Status};
use model::rules::{News, NewsOutcome, Work};
use model::time::Time;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// Records of one shard that are looked at in one go.
const BATCH: i32 = 50;
/// Records that are worked on side by side.
const AT_ONCE: usize = 10;
/// The longest that LogRocket is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(7);
/// What one record's work takes at the longest: LogRocket, and the table before and after it. What cannot be begun
/// so long before the function's end is left due; of a function with little time, the first half is for beginning.
const WORK_TAKES: Duration = Duration::from_secs(13);
/// What is left for the table when LogRocket has been waited for.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// What one sweep did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Records that were found due.
    due: usize,
    /// Those of them that this sweep worked on.
    claimed: usize,
    /// Those of them that could not be brought on, and stay due.
    failed: usize,
    /// How long the oldest of them had been due.
    oldest_due_seconds: u64,
}

impl App {
    /// Works on what is due, a shard after the other, the longest due first in each, while there is time.
    pub async fn sweep(&self, invocation: &Invocation) -> Result<Swept, Problem> {
        let mut swept = Swept::default();
        let left = invocation.deadline.saturating_duration_since(Instant::now());
        let begin_until = invocation.deadline - WORK_TAKES.min(left / 2);
        let order = ShardOrder::random();
        loop {
            let due = self
                .table
                .all_due(Owner::Request, BATCH, clock::now())
                .await
                .map_err(|error| table_unavailable(&error))?;
            swept.count_due(&due);
            let is_much = due.is_much();
            let work = |item| self.work_on_one(item, begin_until, invocation.deadline);
            let claimed = swept.count_ends(&due.work(order, AT_ONCE, work).await);
            // A round in which nothing could be claimed finds the same again.
            if !is_much || claimed == 0 || Instant::now() >= begin_until {
                break;
            }
        }
        metrics::swept(
            "request",
            Sweep {
                due: swept.due,
                claimed: swept.claimed,
                failed: swept.failed,
                oldest_due_seconds: swept.oldest_due_seconds,
            },
        );
        self.measure_budget().await;
        tracing::info!(
            due = swept.due,
            claimed = swept.claimed,
            failed = swept.failed,
            oldestDueSeconds = swept.oldest_due_seconds,
            "swept"
        );
        Ok(swept)
    }

    /// One read, where a limit is set. That it fails is told by the alarm on what is missing, and stops no sweep.
    async fn measure_budget(&self) {
        let Some(limit) = self.settings.monthly_request_limit else { return };
        match self.table.posts_of_month(clock::now()).await {
            Ok(posts) => metrics::budget_used(posts, limit),
            Err(error) => {
                tracing::warn!(error = aws::telemetry::chain(&error), "the month's budget cannot be read");
            }
        }
    }

    /// `None` if it was not begun: there is no time left, or somebody else has it.
    async fn work_on_one(&self, item: DueItem, begin_until: Instant, deadline: Instant) -> Option<End> {
        if Instant::now() >= begin_until {
            return None;
        }
        match self.work_on(&item, deadline).await {
            Ok(true) => Some(End::Done),
            Ok(false) => None,
            Err(error) => {
                let (id, error) = (item.request_id.as_str(), aws::telemetry::chain(&error));
                tracing::error!(requestID = id, error, "the work stays due");
                Some(End::Failed)
            }
        }
    }

    /// Claims one record and does what is due; `false` if somebody else has it.
    async fn work_on(&self, item: &DueItem, deadline: Instant) -> Result<bool, WorkError> {
        let rules = &self.settings.shared.rules;
        let Some(record) = self.table.claim(&item.request_id, item.due_at, clock::now(), rules).await? else {
            return Ok(false);
        };
        let work = record.work(clock::now(), rules);
        let (id, attempt) = (record.request_id.as_str(), record.attempt);
        tracing::info!(
            requestID = id,
            attempt,
            work = work.as_str(),
            tries = record.request_tries,
            "claimed"
        );
        match work {
            Work::Wait => self.release(record).await?,
            Work::Start { attempt } => self.start_attempt(record, attempt, deadline).await?,
            Work::Poll { attempt, log_rocket_request_id, last } => {
                self.poll(record, attempt, &log_rocket_request_id, last, deadline).await?;
            }
            Work::Expire => self.expire(record, &Work::Expire).await?,
            Work::Fail => {
                let now = clock::now();
                if let Changed::Written(failed) =
                    self.table.change(record, |record| record.fail(now, rules)).await?
                {
                    settled(&failed, now);
                    tracing::warn!(requestID = failed.request_id.as_str(), "failed: no attempt is left");
                }
            }
        }
        Ok(true)
    }

    async fn start_attempt(&self, record: Record, attempt: u32, deadline: Instant) -> Result<(), WorkError> {
        // Before the attempt is written: without them its POST could not be made.
        let secrets = self.secrets().await.map_err(WorkError::Problem)?;
        let (now, rules, reserved) = (clock::now(), &self.settings.shared.rules, self.reserved());
        let rule = |record: &Record| {
            // Asked again of what another writer left: the attempt may be needless by then.
            let needed = record.work(now, rules) == Work::Start { attempt };
            needed.then(|| record.start(attempt, reserved.clone(), now, rules))
        };
        let id = record.request_id.clone();
        match self.table.change(record.clone(), rule).await? {
            Changed::Written(started) => {
                tracing::info!(requestID = id.as_str(), attempt, "the next attempt");
                let until = Until { answered: Instant::now() + answer_within(deadline), written: deadline };
                self.post(*started, &secrets, Audience::Promised, until).await;
                Ok(())
            }
            Changed::OverBudget => {
                metrics::count(Count::OverBudget);
                let changed = self.table.change(record, |record| record.over_budget(now, rules)).await?;
                if let Changed::Written(failed) = changed {
                    settled(&failed, now);
                    tracing::warn!(requestID = id.as_str(), "failed: over the month's budget");
                }
                Ok(())
            }
            Changed::Unchanged(current) => self.release(*current).await,
            Changed::Gone => Ok(()),
        }
    }

    async fn poll(
        &self,
        record: Record,
        attempt: u32,
        id: &str,
        last: bool,
        deadline: Instant,
    ) -> Result<(), WorkError> {
        let request_id = record.request_id.as_str();
        let retry_after = match self.poll_log_rocket(id, deadline).await? {
            PollAnswer::Report(report) if report.outcome != Outcome::Pending => {
                let news = News {
                    opened: record.created_at,
                    attempt,
                    log_rocket_request_id: report.log_rocket_request_id,
                    outcome: NewsOutcome::from(report.outcome),
                };
                return self.receive(record, &news).await;
            }
            PollAnswer::Report(_) => {
                tracing::info!(
                    requestID = request_id,
                    attempt,
                    outcome = "PENDING",
                    receipt = "pending",
                    "polled"
                );
                None
            }
            PollAnswer::Unauthorized => {
                metrics::count(Count::KeyRefused);
                tracing::error!(requestID = request_id, attempt, "LogRocket refuses the key to a poll");
                None
            }
            PollAnswer::Nothing { retry_after } => {
                tracing::info!(requestID = request_id, attempt, receipt = "nothing", "polled");
                retry_after
            }
        };
        if last {
            let log_rocket_request_id = id.to_owned();
            return self.expire(record, &Work::Poll { attempt, log_rocket_request_id, last }).await;
        }
        let (now, rules) = (clock::now(), &self.settings.shared.rules);
        self.table.change(record, |record| record.poll_again(attempt, retry_after, now, rules)).await?;
        Ok(())
    }

    /// The poll itself; where the key is not accepted, once more with a key that was rotated meanwhile.
    async fn poll_log_rocket(&self, id: &str, deadline: Instant) -> Result<PollAnswer, WorkError> {
        let secrets = self.secrets().await.map_err(WorkError::Problem)?;
        let key = &secrets.log_rocket_api_key;
        let answer = self.log_rocket.poll(key, id, answer_within(deadline)).await;
        if answer != PollAnswer::Unauthorized {
            return Ok(answer);
        }
        let Some(secrets) = self.with_rotated_key(&secrets).await else { return Ok(answer) };
        let key = &secrets.log_rocket_api_key;
        Ok(self.log_rocket.poll(key, id, answer_within(deadline)).await)
    }

    async fn receive(&self, record: Record, news: &News) -> Result<(), WorkError> {
        let rules = &self.settings.shared.rules;
        let received = self.table.receive(&record.request_id, news, clock::now(), rules).await?;
        let (id, attempt, outcome) = (record.request_id.as_str(), news.attempt, news.outcome.as_str());
        let (receipt, status) = (received.as_str(), received.status().map(Status::as_str));
        let settled = metrics::received(received, news.opened, clock::now());
        tracing::info!(requestID = id, attempt, outcome, receipt, status, settledAfterMs = settled, "polled");
        match received {
            NewsReceipt::Stored(_) | NewsReceipt::Gone => Ok(()),
            // The record was changed meanwhile; its due date is computed anew.
            NewsReceipt::Known | NewsReceipt::OtherId => self.release(record).await,
        }
    }

    /// Ends the wait, if what was decided is still what there is to do: meanwhile LogRocket's id may have come, which is
    /// to be polled, or the request may have been asked again, and waits anew.
    async fn expire(&self, record: Record, decided: &Work) -> Result<(), WorkError> {
        let (now, rules) = (clock::now(), &self.settings.shared.rules);
        let rule = |record: &Record| {
            let needed = record.work(now, rules) == *decided;
            needed.then(|| record.expire(now, rules)).flatten()
        };
        match self.table.change(record, rule).await? {
            Changed::Written(expired) => {
                settled(&expired, now);
                tracing::warn!(requestID = expired.request_id.as_str(), "expired");
                Ok(())
            }
            Changed::Unchanged(current) => self.release(*current).await,
            Changed::OverBudget | Changed::Gone => Ok(()),
        }
    }

    async fn release(&self, record: Record) -> Result<(), WorkError> {
        let now = clock::now();
        self.table.change(record, |record| record.release(now)).await?;
        Ok(())
    }
}

fn settled(record: &Record, now: Time) {
    metrics::settled(record.status, record.created_at, now);
}

/// How long LogRocket is waited for, so that the table can still be written.
fn answer_within(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    ANSWER_WITHIN.min(left.saturating_sub(LAST_WRITE.min(left / 2)))
}

/// The work could not be done; the claim's lease passes, and the next sweep takes it.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("{}", .0.detail)]
    Problem(Problem),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Failed,
}

impl Swept {
    fn count_due(&mut self, due: &Due<'_>) {
        self.due += due.count();
        self.oldest_due_seconds = self.oldest_due_seconds.max(due.longest(clock::now()).as_secs());
    }

    /// Answers how many of them were claimed.
    fn count_ends(&mut self, ends: &[End]) -> usize {
        self.failed += ends.iter().filter(|end| **end == End::Failed).count();
        self.claimed += ends.len();
        ends.len()
    }
}
