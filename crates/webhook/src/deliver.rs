//! Delivering: claim first, then each destination side by side, and each one's mark when it ends.

use crate::app::App;
use crate::destinations::{Decision, Failure, Handover};
use aws::clock;
use aws::metrics::{self, DeliveryEnd};
use aws::secrets::SecretsError;
use aws::table::{Changed, Claimed, TableError};
use futures::future::join_all;
use model::delivery::{DeliveryAnswer, DeliveryKey, DeliveryState, Progress, Try};
use model::page;
use model::record::Record;
use model::render::{Document, Links, SafeUrl};
use model::request::Subject;
use model::result::HighlightsResult;
use model::secrets::WebhookSecrets;
use model::settings::Settings;
use model::view_link::ViewLink;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

/// The longest that a destination is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What is left for the mark when a destination has been waited for.
const LAST_WRITE: Duration = Duration::from_secs(3);
/// A delivery that has less time than this is not begun.
const LEAST_TIME: Duration = Duration::from_secs(5);
/// Between two tries to write a mark down.
const MARK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How the deliveries of one claim ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ends {
    pub delivered: usize,
    /// To be tried again.
    pub postponed: usize,
    pub given_up: usize,
}

/// What is delivered of a request.
pub struct Contents {
    result: Option<HighlightsResult>,
    /// For people.
    page: Document,
    /// By which a browser opens the page; the one that stands in it.
    link: Option<SafeUrl>,
}

/// Nothing was begun; what was due stays due.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

/// Whether there is time to begin a delivery, and to write down how it ended.
pub fn may_begin(deadline: Instant) -> bool {
    deadline.saturating_duration_since(Instant::now()) >= LEAST_TIME
}

impl App {
    /// Makes the deliveries of a record that are due; `None` if somebody else has them, there are none, or there is no
    /// time left. The record may be as it was read some time ago.
    pub async fn deliver(&self, record: Record, deadline: Instant) -> Result<Option<Ends>, Undelivered> {
        if !may_begin(deadline) {
            return Ok(None);
        }
        // Before the claim: a try that is counted has to be one.
        let secrets = self.secrets.get(clock::now()).await?;
        let rules = &self.settings.shared.rules;
        let Some(claimed) = self.table.claim_deliveries(record, clock::now(), rules).await? else {
            return Ok(None);
        };
        let ended = report_claim(&claimed);
        let Claimed { record, tries, .. } = claimed;
        let contents = self.contents(&record, self.page_link(&record, &secrets));
        // One after the other, each with what the one before left: else they would only get in each other's way.
        let current = Mutex::new(record.clone());
        let works = tries.iter().map(|this| async {
            let answer = self.make(&record, contents.as_ref(), this, &secrets, deadline).await;
            // Lambda would end all that goes on beyond it, the marks of others among them.
            let marked = timeout_at(deadline, self.mark(&current, this, &answer)).await;
            marked.unwrap_or_else(|_| {
                let (id, delivery) = (record.request_id.as_str(), this.key.to_string());
                tracing::error!(requestID = id, delivery, "a mark is not written in time");
                None
            })
        });
        let mut states = join_all(works).await;
        states.extend(ended.into_iter().map(Some));
        let count = |state| states.iter().filter(|end| **end == Some(state)).count();
        Ok(Some(Ends {
            delivered: count(DeliveryState::Delivered),
            postponed: count(DeliveryState::Pending),
            given_up: count(DeliveryState::Failed),
        }))
    }

    /// Unpacks and reads what is to be delivered, once for all; `None` if the stored result cannot be read.
    /// `link` opens the request's page in a browser.
    pub fn contents(&self, record: &Record, link: Option<SafeUrl>) -> Option<Contents> {
        let unpacked = record.unpack_result().inspect_err(|error| {
            let error = aws::telemetry::chain(error);
            tracing::error!(requestID = record.request_id.as_str(), error, "the result cannot be delivered");
        });
        let result = unpacked.ok()?;
        let page = page::of(record, result.as_ref(), &self.links(link.clone()));
        Some(Contents { page, result, link })
    }

    /// Makes one try.
    pub async fn make(
        &self,
        record: &Record,
        contents: Option<&Contents>,
        this: &Try,
        secrets: &Arc<WebhookSecrets>,
        deadline: Instant,
    ) -> DeliveryAnswer {
        let refused =
            |error: &str| DeliveryAnswer::Refused { error: error.to_owned(), progress: Progress::default() };
        let Some(Contents { result, page, link }) = contents else {
            return refused("the stored result cannot be read");
        };
        let links = self.links(link.clone());
        let ends_at = (Instant::now() + ANSWER_WITHIN).min(deadline - LAST_WRITE);
        match Handover::new(record, result.as_ref(), (page, &links), this, ends_at) {
            Some(handover) => answer(self.hand_over(&handover, secrets).await, &record.request.subject),
            None => refused("the destination is gone"),
        }
    }

    fn links(&self, page: Option<SafeUrl>) -> Links<'_> {
        let shared = &self.settings.shared;
        Links::new(&shared.log_rocket_app_url, &shared.app).with_page(page)
    }

    /// Opens the request's page in a browser; none where nobody said what the API is called outside. It is the same for
    /// an hour from the outcome on, and so are the first tries of a delivery: what is told twice can be seen to be.
    fn page_link(&self, record: &Record, secrets: &WebhookSecrets) -> Option<SafeUrl> {
        let Settings { public_url, view_link_lives, .. } = &self.settings.shared;
        let outcome_at = record.completed_at.unwrap_or(record.created_at);
        let hours = clock::now().since(outcome_at).as_secs() / 3_600;
        let told_at = outcome_at.plus(Duration::from_secs(hours * 3_600));
        let (id, opened, kept_until) = (&record.request_id, record.created_at, record.expires_at);
        let link = ViewLink::view(id, opened, kept_until, *view_link_lives, told_at);
        Some(link.url(public_url.as_ref()?, &secrets.callback_keys))
    }

    /// Where the credentials are refused or missing, once more with those that were put there meanwhile.
    async fn hand_over(
        &self,
        handover: &Handover<'_>,
        secrets: &Arc<WebhookSecrets>,
    ) -> Result<Option<String>, Failure> {
        let first = self.vendors.deliver(handover, &secrets.destinations).await;
        let Err(Failure { decision, progress: done, .. }) = &first else { return first };
        let current = match decision {
            Decision::NotConfigured => self.secrets.beyond(secrets, clock::now()).await,
            Decision::Unauthorized => match self.secrets.refresh(clock::now()).await {
                Some(refreshed) => refreshed,
                // Another delivery may just have done it.
                None => match self.secrets.get(clock::now()).await {
                    Ok(current) => current,
                    Err(_) => return first,
                },
            },
            Decision::Refuse | Decision::Again { .. } => return first,
        };
        if Arc::ptr_eq(&current, secrets) {
            return first;
        }
        self.vendors.deliver(&handover.going_on(done), &current.destinations).await
    }

    /// Writes down how a try ended, however often the table has to be asked: a delivery that is not marked is made
    /// again. Answers how the delivery stands; `None` if it is not this try's to say.
    async fn mark(
        &self,
        current: &Mutex<Record>,
        this: &Try,
        answer: &DeliveryAnswer,
    ) -> Option<DeliveryState> {
        let mut current = current.lock().await;
        let jitter = jitter();
        loop {
            let now = clock::now();
            let rule = |record: &Record| record.end_delivery(this, answer, jitter, now);
            let id = current.request_id.as_str().to_owned();
            match self.table.change(current.clone(), rule).await {
                Ok(Changed::Written(record)) => {
                    *current = *record;
                    return report(&current, this);
                }
                Ok(Changed::Unchanged(record)) => {
                    tracing::warn!(requestID = id, delivery = %this.key, "the end of a try came too late");
                    *current = *record;
                    return None;
                }
                Ok(Changed::Gone | Changed::OverBudget) => {
                    tracing::info!(requestID = id, delivery = %this.key, "the request was deleted meanwhile");
                    return None;
                }
                Err(error) => {
                    let error = aws::telemetry::chain(&error);
                    tracing::error!(requestID = id, delivery = %this.key, error, "a mark is not written");
                    sleep(MARK_AGAIN_AFTER).await;
                }
            }
        }
    }
}

/// Logs what was taken, and what the claim itself ended: what nobody wants, and what was tried often enough though no try
/// was ever marked. Answers the states of those.
fn report_claim(Claimed { before, record, tries }: &Claimed) -> Vec<DeliveryState> {
    let id = record.request_id.as_str();
    if !tries.is_empty() {
        let deliveries: Vec<String> = tries.iter().map(|this| this.key.to_string()).collect();
        let (status, deliveries) = (record.status.as_str(), deliveries.join(","));
        tracing::info!(requestID = id, status, deliveries, "deliveries claimed");
    }
    let mut ended = Vec::new();
    for (key, mark) in record.ended_since(before) {
        let (delivery, destination, error) =
            (key.to_string(), type_of(record, key), mark.last_error.as_deref());
        if mark.state == DeliveryState::Skipped {
            metrics::delivery(DeliveryEnd::Skipped, destination);
            tracing::info!(requestID = id, delivery, destination, reason = error, "skipped");
        } else {
            metrics::delivery(DeliveryEnd::GivenUp, destination);
            tracing::warn!(requestID = id, delivery, destination, error, "given up");
        }
        ended.push(mark.state);
    }
    ended
}

fn type_of(record: &Record, key: &DeliveryKey) -> &'static str {
    record.destinations.get(key.destination).map_or("none", |each| each.target.type_name())
}

/// Logs how the delivery stands after a try.
fn report(record: &Record, this: &Try) -> Option<DeliveryState> {
    let mark = record.deliveries.get(&this.key)?;
    let (id, delivery, destination) =
        (record.request_id.as_str(), this.key.to_string(), type_of(record, &this.key));
    let error = mark.last_error.as_deref();
    match mark.state {
        DeliveryState::Delivered => {
            let outcome = record.completed_at.unwrap_or(record.created_at);
            let after = mark.delivered_at.unwrap_or(outcome).since(outcome);
            metrics::delivery(DeliveryEnd::Delivered(after), destination);
            tracing::info!(requestID = id, delivery, destination, "delivered");
        }
        DeliveryState::Pending => {
            metrics::delivery(DeliveryEnd::Postponed, destination);
            let next = mark.next_at.to_string();
            tracing::warn!(requestID = id, delivery, destination, error, nextAttemptAt = next, "postponed");
        }
        DeliveryState::Failed | DeliveryState::Skipped => {
            metrics::delivery(DeliveryEnd::GivenUp, destination);
            tracing::warn!(requestID = id, delivery, destination, error, "given up");
        }
    }
    Some(mark.state)
}

/// What becomes of it. Errors are logged, and a vendor's words may name whom they are about.
fn answer(handed_over: Result<Option<String>, Failure>, about: &Subject) -> DeliveryAnswer {
    let without = |error: String| match about {
        Subject::Email(email) => error.replace(email, "(the user)"),
        Subject::Id(_) => error,
    };
    match handed_over {
        Ok(external_id) => DeliveryAnswer::Delivered { external_id },
        Err(Failure { decision, error, progress }) => match decision {
            Decision::Unauthorized | Decision::NotConfigured | Decision::Refuse => {
                DeliveryAnswer::Refused { error: without(error), progress }
            }
            Decision::Again { retry_after } => {
                DeliveryAnswer::Again { error: without(error), retry_after, progress }
            }
        },
    }
}

/// From 0 to 1, enough to keep many deliveries of one moment from coming back in one moment.
fn jitter() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}
