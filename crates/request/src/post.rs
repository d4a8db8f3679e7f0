//! One attempt's POST, and the record's change by its answer.

use crate::app::App;
use aws::clock;
use aws::metrics::{self, Count};
use aws::table::{Changed, TableError};
use model::answer::{PostAnswer, Refusal};
use model::record::Record;
use model::secrets::RequestSecrets;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A POST is not begun with less time than this: it would be counted as one of which nobody knows.
const SHORTEST_POST: Duration = Duration::from_millis(500);

/// Whether somebody waits for the answer to his request, or was promised one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    Waiting,
    Promised,
}

/// Until when LogRocket is waited for, and until when its answer is written down.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    pub answered: Instant,
    pub written: Instant,
}

/// How a POST ended, as far as the one who made it has to know.
#[derive(Debug)]
pub enum Posted {
    /// The record will be driven to its outcome.
    Promised,
    /// LogRocket said a clear no, and the record says so.
    Refused(Refusal),
}

impl App {
    /// Makes the POST of the record's latest attempt, which the table already holds as unknown, and writes down
    /// what LogRocket answered. If that last write fails it is logged and no error: the record stands, and the
    /// sweep will find out.
    pub async fn post(
        &self,
        record: Record,
        secrets: &RequestSecrets,
        audience: Audience,
        until: Until,
    ) -> Posted {
        let answer = self.ask_log_rocket(&record, secrets, until.answered).await;
        let id = record.request_id.clone();
        let write = self.write_down(record, &answer, audience);
        let refused = match timeout_at(until.written, write).await {
            Ok(Ok(refused)) => refused,
            Ok(Err(error)) => {
                let error = aws::telemetry::chain(&error);
                tracing::error!(
                    requestID = id.as_str(),
                    error,
                    "LogRocket's answer could not be written down"
                );
                // The caller is there to be told, whatever the record says.
                audience == Audience::Waiting
            }
            Err(_) => {
                tracing::error!(
                    requestID = id.as_str(),
                    "LogRocket's answer could not be written down in time"
                );
                audience == Audience::Waiting
            }
        };
        match answer {
            PostAnswer::Refused(refusal) if refused => Posted::Refused(refusal),
            _ => Posted::Promised,
        }
    }

    /// Changes the record by LogRocket's answer; answers whether it ended as refused.
    async fn write_down(
        &self,
        record: Record,
        answer: &PostAnswer,
        audience: Audience,
    ) -> Result<bool, TableError> {
        let (id, attempt) = (record.request_id.clone(), record.attempt);
        let (now, rules) = (clock::now(), &self.settings.shared.rules);
        match answer {
            PostAnswer::Accepted { log_rocket_request_id } => {
                tracing::info!(
                    requestID = id.as_str(),
                    attempt,
                    logRocketRequestID = log_rocket_request_id,
                    "LogRocket took it"
                );
                let rule = |record: &Record| record.confirm(attempt, log_rocket_request_id, rules);
                self.table.change(record, rule).await?;
            }
            PostAnswer::Refused(refusal) if audience == Audience::Promised && refusal.is_about_the_key() => {
                metrics::count(Count::KeyRefused);
                tracing::error!(
                    requestID = id.as_str(),
                    attempt,
                    httpStatus = refusal.status,
                    "LogRocket refuses the key; it is tried again later"
                );
                self.not_taken(record, None).await?;
            }
            PostAnswer::Refused(refusal) => {
                metrics::count(Count::RefusedByLogRocket);
                if refusal.is_about_the_key() {
                    metrics::count(Count::KeyRefused);
                }
                tracing::error!(
                    requestID = id.as_str(),
                    attempt,
                    httpStatus = refusal.status,
                    "LogRocket refused it"
                );
                let promised = audience == Audience::Promised;
                let rule = |record: &Record| record.refuse(attempt, refusal, promised, now, rules);
                let Changed::Written(refused) = self.table.change(record, rule).await? else {
                    return Ok(false);
                };
                // Of one that only its caller heard of, nobody waits for an outcome.
                if refused.promised {
                    metrics::settled(refused.status, refused.created_at, now);
                }
                return Ok(true);
            }
            PostAnswer::NotTaken { retry_after } => {
                metrics::count(Count::NotTaken);
                tracing::warn!(
                    requestID = id.as_str(),
                    attempt,
                    "LogRocket did not take it; it is tried again later"
                );
                self.not_taken(record, *retry_after).await?;
            }
            PostAnswer::Unknown => {
                tracing::warn!(
                    requestID = id.as_str(),
                    attempt,
                    "nobody knows whether LogRocket took it; its callback is waited for"
                );
            }
        }
        Ok(false)
    }

    async fn not_taken(&self, record: Record, retry_after: Option<Duration>) -> Result<Changed, TableError> {
        let (attempt, rules, now, jitter) =
            (record.attempt, &self.settings.shared.rules, clock::now(), jitter());
        let rule = |record: &Record| record.not_taken(attempt, retry_after, jitter, now, rules);
        self.table.change(record, rule).await
    }

    /// The POST itself; where the key is not accepted, once more with a key that was rotated meanwhile.
    async fn ask_log_rocket(&self, record: &Record, secrets: &RequestSecrets, until: Instant) -> PostAnswer {
        let answer = self.post_once(record, secrets, until).await;
        match &answer {
            Some(PostAnswer::Refused(refusal)) if refusal.is_about_the_key() => {
                let Some(secrets) = self.with_rotated_key(secrets).await else {
                    return answer.unwrap_or(NOT_SENT);
                };
                self.post_once(record, &secrets, until).await.or(answer).unwrap_or(NOT_SENT)
            }
            _ => answer.unwrap_or(NOT_SENT),
        }
    }

    /// `None` if there is no time left for it.
    async fn post_once(
        &self,
        record: &Record,
        secrets: &RequestSecrets,
        until: Instant,
    ) -> Option<PostAnswer> {
        let (id, attempt) = (&record.request_id, record.attempt);
        let token =
            secrets.callback_keys.sign(self.settings.shared.app.as_str(), id, attempt, record.created_at);
        let callback_url =
            format!("{}?request={id}&attempt={attempt}&token={token}", self.settings.webhook_url);
        // Beyond its grace the attempt may be given up and the next begun: two would be open.
        let given_up = record.latest()?.started_at.plus(self.settings.shared.rules.unknown_grace);
        let left = until.saturating_duration_since(Instant::now()).min(given_up.since(clock::now()));
        if left < SHORTEST_POST {
            return None;
        }
        let key = &secrets.log_rocket_api_key;
        metrics::count(Count::Posts);
        Some(self.log_rocket.post(key, &record.request, &callback_url, left).await)
    }
}

/// What was not even sent, LogRocket surely did not take.
const NOT_SENT: PostAnswer = PostAnswer::NotTaken { retry_after: None };

/// From 0 to 1.
fn jitter() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    f64::from(random) / f64::from(u32::MAX)
}
