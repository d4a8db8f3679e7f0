//! The destinations: how each one is told, built from its vendor's documentation, a file for each.

mod event_bridge;
mod failure;
#[cfg(test)]
mod fixtures;
mod hubspot;
mod intercom;
mod salesforce;
mod slack;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod stand_in;
mod step_functions;
mod teams;
mod webhook;
mod zendesk;

pub use failure::{Decision, Failure};

use aws::outgoing::{Answer, Outgoing};
use aws::tls::Tls;
use aws_config::SdkConfig;
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use failure::{AwsError, retry_after, said, secret_pieces};
use model::delivery::{Progress, Try};
use model::destination::Target;
use model::page;
use model::record::Record;
use model::render::{Document, Links};
use model::result::HighlightsResult;
use model::secrets::DestinationSecrets;
use model::settings::WebhookSettings;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// No answer of a vendor that matters is longer.
const MAX_ANSWER: usize = 64 * 1024;
/// Nor one of those that repeat what they were sent, with all else that is in its place.
const MAX_LONG_ANSWER: usize = 8 * 1024 * 1024;
/// How long to wait where a day's calls are used up and nobody says till when: with the backoff, nine tries then last
/// longer than the day.
const WAIT_FOR_THE_NEXT_DAY: Duration = Duration::from_secs(3_600);

/// The clients of all vendors.
pub struct Vendors {
    settings: WebhookSettings,
    /// For the APIs and URLs that an operator configured.
    trusted: Outgoing,
    /// For the URLs that callers give.
    guarded: Outgoing,
    config: SdkConfig,
    salesforce: salesforce::Sessions,
    /// These two are made when they are first needed: most stacks never do.
    event_bridge: OnceLock<aws_sdk_eventbridge::Client>,
    step_functions: OnceLock<aws_sdk_sfn::Client>,
}

/// What a destination is given.
pub struct Handover<'a> {
    pub record: &'a Record,
    pub result: Option<&'a HighlightsResult>,
    /// For people.
    pub page: &'a Document,
    pub links: &'a Links<'a>,
    pub target: &'a Target,
    /// The same for every try of this delivery, and for no other: see [`delivery_id`].
    pub delivery_id: String,
    /// Whether an earlier try may have got something done that we never heard of. (Redelivery counts tries anew.)
    pub is_repeat: bool,
    /// What earlier tries got done.
    pub progress: &'a Progress,
    /// By when it has to end.
    pub ends_at: Instant,
}

impl Vendors {
    pub fn new(settings: &WebhookSettings, config: SdkConfig, tls: &Tls) -> Result<Self, reqwest::Error> {
        Ok(Self {
            trusted: Outgoing::trusted(tls)?,
            guarded: Outgoing::guarded(tls, settings.allow_private, settings.runtime_api.as_deref())?,
            settings: settings.clone(),
            config,
            salesforce: salesforce::Sessions::default(),
            event_bridge: OnceLock::new(),
            step_functions: OnceLock::new(),
        })
    }

    /// Tells one destination; what it is called there, if the vendor says.
    pub async fn deliver(
        &self,
        handover: &Handover<'_>,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        match handover.target {
            Target::SlackChannel { channel, thread_ts } => {
                self.slack_channel(handover, channel, thread_ts.as_deref(), secrets).await
            }
            Target::SlackWebhook { webhook } => self.slack_webhook(handover, webhook, secrets).await,
            Target::Zendesk { ticket_id } => self.zendesk(handover, ticket_id, secrets).await,
            Target::Intercom { conversation_id } => self.intercom(handover, conversation_id, secrets).await,
            Target::Teams { webhook } => self.teams(handover, webhook, secrets).await,
            Target::Hubspot { object, object_id } => {
                self.hubspot(handover, *object, object_id, secrets).await
            }
            Target::Salesforce { record_id } => self.salesforce(handover, record_id, secrets).await,
            Target::EventBridge { bus } => self.event_bridge(handover, bus.as_deref()).await,
            Target::StepFunctions { task_token } => self.step_functions(handover, task_token).await,
            Target::Webhook { url } => self.webhook(handover, url, secrets).await,
        }
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.trusted.request(method, url)
    }

    /// A request with a JSON body. Slack wants to be told the charset.
    fn json(&self, method: Method, url: &str, body: &Value) -> RequestBuilder {
        let request = self.request(method, url).header(CONTENT_TYPE, "application/json; charset=utf-8");
        request.body(body.to_string())
    }

    /// Sends a request to a vendor, and reads its answer.
    async fn send(&self, handover: &Handover<'_>, request: RequestBuilder) -> Result<Answer, Failure> {
        Ok(self.trusted.send(request, MAX_ANSWER, handover.time_left()).await?)
    }

    /// The same where a vendor answers with the whole ticket or conversation.
    async fn send_long(&self, handover: &Handover<'_>, request: RequestBuilder) -> Result<Answer, Failure> {
        Ok(self.trusted.send(request, MAX_LONG_ANSWER, handover.time_left()).await?)
    }
}

impl<'a> Handover<'a> {
    pub fn new(
        record: &'a Record,
        result: Option<&'a HighlightsResult>,
        (page, links): (&'a Document, &'a Links<'a>),
        this: &'a Try,
        ends_at: Instant,
    ) -> Option<Self> {
        let mark = record.deliveries.get(&this.key);
        Some(Self {
            target: &record.destinations.get(this.key.destination)?.target,
            delivery_id: delivery_id(record, this),
            is_repeat: this.tries > 1 || mark.is_some_and(|mark| mark.last_error.is_some()),
            progress: &this.progress,
            record,
            result,
            page,
            links,
            ends_at,
        })
    }

    /// The same behind what has been got done since.
    pub fn going_on<'b>(&self, done: &'b Progress) -> Handover<'b>
    where
        'a: 'b,
    {
        let progress = if done.sent > self.progress.sent { done } else { self.progress };
        Handover { progress, delivery_id: self.delivery_id.clone(), ..*self }
    }

    /// The page in messages of at most `max` each, by `measure`.
    fn parts(&self, max: usize, measure: impl Fn(&Document) -> usize) -> Vec<Document> {
        page::parts(self.page.clone(), &self.record.request_id, self.links, max, measure)
    }

    /// Sends, one after the other, those of several messages that earlier tries did not; `send` is told what the first
    /// one is called, and answers what its own is called. What was sent stays known if one fails.
    ///
    /// The future of `send` is of one type, whatever it borrows: that of an `AsyncFnMut` is not known to be `Send`.
    async fn send_all<'m, T, F: Future<Output = Result<Option<String>, Failure>>>(
        &self,
        messages: &'m [T],
        mut send: impl FnMut(&'m T, Option<String>) -> F,
    ) -> Result<Option<String>, Failure> {
        let mut progress = self.progress.clone();
        let done = usize::try_from(progress.sent).unwrap_or(usize::MAX);
        for message in messages.iter().skip(done) {
            match send(message, progress.external_id.clone()).await {
                Ok(id) => {
                    progress.sent += 1;
                    progress.external_id = progress.external_id.or(id);
                }
                Err(failure) => return Err(Failure { progress, ..failure }),
            }
        }
        Ok(progress.external_id)
    }

    /// Makes a call of an AWS SDK, if it comes to an end in time.
    async fn call<T, E: ProvideErrorMetadata>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, AwsError> {
        timeout(self.time_left(), call).await.map_err(|_| AwsError::NoAnswer)?.map_err(AwsError::from)
    }

    pub fn time_left(&self) -> Duration {
        self.ends_at.saturating_duration_since(Instant::now())
    }
}

/// `{requestID}_1f0c9b2e_0-result`. The opening stands in it because a key whose request was deleted, or refused, is used
/// again: what is told then is no repeat.
fn delivery_id(record: &Record, this: &Try) -> String {
    let opening = record.opening.get(..8).unwrap_or(&record.opening);
    format!("{}_{opening}_{}", record.request_id, this.key)
}

/// What the answer of a vendor that made something calls it.
fn made(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Made {
        id: String,
    }
    serde_json::from_slice::<Made>(&answer.body).ok().map(|made| made.id)
}

/// In the units that products in Java and JavaScript count characters in.
fn utf16_units(text: &str) -> usize {
    text.encode_utf16().count()
}
