//! The destinations: how each one is told, built from its vendor's documentation, a file for each.

mod webhook;

use aws::outgoing::{Answer, Outgoing, SendError};
use aws_config::SdkConfig;
use model::answer::{parse_retry_after, words};
use model::delivery::{Progress, Try};
use model::destination::Target;
use model::page;
use model::record::Record;
use model::render::{Document, Links};
use model::result::HighlightsResult;
use model::secrets::{BadSecret, DestinationSecrets};
use model::settings::WebhookSettings;
use reqwest::{Method, RequestBuilder};
use std::time::Duration;
use tokio::time::Instant;

/// No answer of a vendor that matters is longer.
const MAX_ANSWER: usize = 64 * 1024;

/// The clients of all vendors.
pub struct Vendors {
    settings: WebhookSettings,
    /// For the APIs and URLs that an operator configured.
    trusted: Outgoing,
    /// For the URLs that callers give.
    guarded: Outgoing,
    config: SdkConfig,
}

/// What a destination is given.
pub struct Handover<'a> {
    pub record: &'a Record,
    pub result: Option<&'a HighlightsResult>,
    /// For people.
    pub page: &'a Document,
    pub links: &'a Links<'a>,
    pub target: &'a Target,
    /// The same for every try of this delivery, and for no other: `{requestID}_0-result`.
    pub delivery_id: String,
    /// What earlier tries got done.
    pub progress: &'a Progress,
    /// By when it has to end.
    pub ends_at: Instant,
}

/// Why a destination was not told, and what is to be done about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub decision: Decision,
    /// For people: the destination's own words in it, less what is secret.
    pub error: String,
    pub progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The credentials are missing or not accepted: newer ones may be, else it is given up.
    Unauthorized,
    /// It would be refused again.
    Refuse,
    Again {
        retry_after: Option<Duration>,
    },
}

impl Vendors {
    pub fn new(settings: &WebhookSettings, config: SdkConfig) -> Result<Self, reqwest::Error> {
        Ok(Self {
            trusted: Outgoing::trusted()?,
            guarded: Outgoing::guarded(settings.allow_private, settings.runtime_api.as_deref())?,
            settings: settings.clone(),
            config,
        })
    }

    /// Tells one destination; what it is called there, if the vendor says.
    pub async fn deliver(
        &self,
        handover: &Handover<'_>,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        match handover.target {
            Target::Webhook { url } => self.webhook(handover, url, secrets).await,
            _ => Err(Failure::refused("not built yet")),
        }
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.trusted.request(method, url)
    }

    /// Sends a request to a vendor, and reads its answer.
    async fn send(&self, handover: &Handover<'_>, request: RequestBuilder) -> Result<Answer, Failure> {
        Ok(self.trusted.send(request, MAX_ANSWER, handover.time_left()).await?)
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
        Some(Self {
            target: &record.destinations.get(this.key.destination)?.target,
            delivery_id: format!("{}_{}", record.request_id, this.key),
            progress: &this.progress,
            record,
            result,
            page,
            links,
            ends_at,
        })
    }

    /// The page in messages of at most `max` each, by `measure`.
    fn parts(&self, max: usize, measure: impl Fn(&Document) -> usize) -> Vec<Document> {
        page::parts(self.page.clone(), &self.record.request_id, self.links, max, measure)
    }

    /// Sends, one after the other, those of several messages that earlier tries did not; `send` is told what the first
    /// one is called, and answers what its own is called. What was sent stays known if one fails.
    async fn send_all<T>(
        &self,
        messages: &[T],
        mut send: impl AsyncFnMut(&T, Option<&str>) -> Result<Option<String>, Failure>,
    ) -> Result<Option<String>, Failure> {
        let mut progress = self.progress.clone();
        let done = usize::try_from(progress.sent).unwrap_or(usize::MAX);
        for message in messages.iter().skip(done) {
            match send(message, progress.external_id.as_deref()).await {
                Ok(id) => {
                    progress.sent += 1;
                    progress.external_id = progress.external_id.or(id);
                }
                Err(failure) => return Err(Failure { progress, ..failure }),
            }
        }
        Ok(progress.external_id)
    }

    pub fn time_left(&self) -> Duration {
        self.ends_at.saturating_duration_since(Instant::now())
    }
}

impl Failure {
    fn new(decision: Decision, error: impl Into<String>) -> Self {
        Self { decision, error: error.into(), progress: Progress::default() }
    }

    pub fn refused(error: impl Into<String>) -> Self {
        Self::new(Decision::Refuse, error)
    }

    pub fn unauthorized(error: impl Into<String>) -> Self {
        Self::new(Decision::Unauthorized, error)
    }

    pub fn again(error: impl Into<String>) -> Self {
        Self::new(Decision::Again { retry_after: None }, error)
    }

    /// What an answer's status means, for vendors that say nothing else; `hidden` is taken out of its words.
    fn of_answer(vendor: &str, answer: &Answer, hidden: &[&str]) -> Self {
        let retry_after = answer.retry_after.as_deref();
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, aws::clock::now()));
        let decision = match answer.status {
            401 => Decision::Unauthorized,
            408 | 425 | 429 | 500.. => Decision::Again { retry_after },
            _ => Decision::Refuse,
        };
        let said = without(hidden, &words(&answer.body));
        let said = if said.is_empty() { said } else { format!(": {said}") };
        Self::new(decision, format!("{vendor} answered {}{said}", answer.status))
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Forbidden(forbidden) => Self::refused(forbidden.to_string()),
            SendError::NotSent(_) | SendError::NoAnswer(_) => Self::again(error.to_string()),
        }
    }
}

/// What is not configured may be so by now.
impl From<BadSecret> for Failure {
    fn from(error: BadSecret) -> Self {
        Self::unauthorized(format!("not configured: {error}"))
    }
}

/// The words less what is secret in them. To be done before they are cut short: half a secret would not be found.
fn without(hidden: &[&str], words: &str) -> String {
    let secrets = hidden.iter().filter(|secret| !secret.is_empty());
    secrets.fold(words.to_owned(), |words, secret| words.replace(secret, "(secret)"))
}
