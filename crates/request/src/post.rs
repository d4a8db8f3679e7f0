//! One attempt's POST, and the record's change by its answer.

use crate::app::App;
use aws::clock;
use aws::table::{Changed, TableError};
use model::answer::{PostAnswer, Refusal};
use model::problem::Problem;
use model::record::Record;
use tokio::time::Instant;

/// Whether somebody waits for the answer to his request, or was promised one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    Waiting,
    Promised,
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
    /// what LogRocket answered. Errors of that last write are logged, not returned: the record stands, and the
    /// sweep will find out.
    pub async fn post(&self, record: Record, audience: Audience, until: Instant) -> Result<Posted, Problem> {
        let attempt = record.attempt;
        let answer = self.ask_log_rocket(&record, until).await?;
        let rules = &self.settings.shared.rules;
        let now = clock::now();
        let id = record.request_id.clone();
        let written = match &answer {
            PostAnswer::Accepted { log_rocket_request_id } => {
                tracing::info!(
                    requestID = id.as_str(),
                    attempt,
                    logRocketRequestID = log_rocket_request_id,
                    "LogRocket took it"
                );
                let rule = |record: &Record| record.confirm(attempt, log_rocket_request_id, rules);
                self.table.change(record, rule).await
            }
            PostAnswer::Refused(refusal) if audience == Audience::Promised && refusal.is_about_the_key() => {
                tracing::error!(
                    requestID = id.as_str(),
                    attempt,
                    status = refusal.status,
                    "LogRocket refuses the key; it is tried again later"
                );
                self.not_taken(record, None).await
            }
            PostAnswer::Refused(refusal) => {
                tracing::error!(
                    requestID = id.as_str(),
                    attempt,
                    status = refusal.status,
                    "LogRocket refused it"
                );
                let deliver = audience == Audience::Promised;
                let rule = |record: &Record| record.refuse(attempt, refusal, deliver, now, rules);
                let written = self.table.change(record, rule).await;
                if matches!(written, Ok(Changed::Written(_)) | Err(_)) {
                    log_failed_write(id.as_str(), written);
                    return Ok(Posted::Refused(refusal.clone()));
                }
                written
            }
            PostAnswer::NotTaken { retry_after } => {
                tracing::warn!(
                    requestID = id.as_str(),
                    attempt,
                    "LogRocket did not take it; it is tried again later"
                );
                self.not_taken(record, *retry_after).await
            }
            PostAnswer::Unknown => {
                tracing::warn!(
                    requestID = id.as_str(),
                    attempt,
                    "nobody knows whether LogRocket took it; its callback is waited for"
                );
                return Ok(Posted::Promised);
            }
        };
        log_failed_write(id.as_str(), written);
        Ok(Posted::Promised)
    }

    async fn not_taken(
        &self,
        record: Record,
        retry_after: Option<std::time::Duration>,
    ) -> Result<Changed, TableError> {
        let (attempt, rules, now, jitter) =
            (record.attempt, &self.settings.shared.rules, clock::now(), jitter());
        let rule = |record: &Record| record.not_taken(attempt, retry_after, jitter, now, rules);
        self.table.change(record, rule).await
    }

    /// The POST itself; where the key is not accepted, once more with a key that was rotated meanwhile.
    async fn ask_log_rocket(&self, record: &Record, until: Instant) -> Result<PostAnswer, Problem> {
        let secrets = self.secrets().await?;
        let callback_url = {
            let app = self.settings.shared.app.as_str();
            let (id, attempt) = (&record.request_id, record.attempt);
            let token = secrets.callback_keys.sign(app, id, attempt, record.created_at);
            format!("{}?request={id}&attempt={attempt}&token={token}", self.settings.webhook_url)
        };
        // Longer than this and the attempt would be given up while its POST is under way.
        let left = || {
            let left = until.saturating_duration_since(Instant::now());
            left.min(self.settings.shared.rules.unknown_grace)
        };
        let key = &secrets.log_rocket_api_key;
        let answer = self.log_rocket.post(key, &record.request, &callback_url, left()).await;
        match &answer {
            PostAnswer::Refused(refusal) if refusal.is_about_the_key() => {
                let Some(secrets) = self.secrets.refresh(clock::now()).await else { return Ok(answer) };
                let key = &secrets.log_rocket_api_key;
                Ok(self.log_rocket.post(key, &record.request, &callback_url, left()).await)
            }
            _ => Ok(answer),
        }
    }
}

/// From 0 to 1.
fn jitter() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    f64::from(random) / f64::from(u32::MAX)
}

fn log_failed_write(request_id: &str, written: Result<Changed, TableError>) {
    if let Err(error) = written {
        let error = aws::telemetry::chain(&error);
        tracing::error!(
            requestID = request_id,
            error,
            "LogRocket's answer could not be written down; the sweep will find out"
        );
    }
}
