//! The destinations: how each one is told, built from its vendor's documentation, a file for each.

mod event_bridge;
#[cfg(test)]
mod fixtures;
mod hubspot;
mod intercom;
mod salesforce;
mod slack;
#[cfg(test)]
mod stand_in;
mod step_functions;
mod teams;
mod webhook;
mod zendesk;

use aws::outgoing::{Answer, Outgoing, SendError};
use aws_config::SdkConfig;
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use model::answer::{parse_retry_after, words};
use model::delivery::{Progress, Try};
use model::destination::Target;
use model::page;
use model::record::Record;
use model::render::{Document, Links};
use model::result::HighlightsResult;
use model::secrets::{BadSecret, DestinationSecrets};
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
    /// The same for every try of this delivery, and for no other: `{requestID}_0-result`.
    pub delivery_id: String,
    /// Whether an earlier try may have got something done that we never heard of. (Redelivery counts tries anew.)
    pub is_repeat: bool,
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
            delivery_id: format!("{}_{}", record.request_id, this.key),
            is_repeat: this.tries > 1 || mark.is_some_and(|mark| mark.last_error.is_some()),
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
        Self::of_words(vendor, answer, &said(&answer.body, hidden))
    }

    /// The same in other words, with nothing secret in them.
    fn of_words(vendor: &str, answer: &Answer, said: &str) -> Self {
        let decision = match answer.status {
            401 => Decision::Unauthorized,
            408 | 425 | 429 | 500.. => Decision::Again { retry_after: retry_after(answer) },
            _ => Decision::Refuse,
        };
        let colon = if said.is_empty() { "" } else { ": " };
        Self::new(decision, format!("{vendor} answered {}{colon}{said}", answer.status))
    }

    /// The same where the URL is the secret: if there is nothing behind it, there may be a newer one.
    fn of_secret_url(vendor: &str, answer: &Answer, url: &str) -> Self {
        let failure = Self::of_answer(vendor, answer, &secret_pieces(url));
        match answer.status {
            403 | 404 | 410 => Self { decision: Decision::Unauthorized, ..failure },
            _ => failure,
        }
    }
}

/// How long the vendor asks to wait.
fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.retry_after.as_deref().and_then(|text| parse_retry_after(text, aws::clock::now()))
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

/// Why a call of an AWS SDK was in vain. Nothing of the request is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum AwsError {
    Answered {
        status: u16,
        code: String,
        message: String,
    },
    /// For want of settings: nothing was sent.
    NotMade,
    /// For want of credentials, or of a connection; it may have broken only after the call was sent.
    NotSent,
    NoAnswer,
}

impl<E: ProvideErrorMetadata> From<SdkError<E>> for AwsError {
    fn from(error: SdkError<E>) -> Self {
        let said = |text: Option<&str>| text.unwrap_or_default().to_owned();
        match &error {
            SdkError::ConstructionFailure(_) => Self::NotMade,
            SdkError::DispatchFailure(failure) if !failure.is_timeout() => Self::NotSent,
            SdkError::ServiceError(answer) => Self::Answered {
                status: answer.raw().status().as_u16(),
                code: said(error.code()),
                message: said(error.message()),
            },
            _ => Self::NoAnswer,
        }
    }
}

impl AwsError {
    /// As AWS spells it.
    fn code(&self) -> Option<&str> {
        match self {
            Self::Answered { code, .. } => Some(code),
            Self::NotMade | Self::NotSent | Self::NoAnswer => None,
        }
    }

    /// What it means, by the errors that all services have in common
    /// (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/CommonErrors.html>). `access` is what to mend
    /// where access is denied: AWS's own words are long, and name the account and the role. `hidden` is taken out of
    /// the words.
    fn failure(self, service: &str, access: &str, hidden: &[&str]) -> Failure {
        let (status, code, message) = match self {
            Self::NotMade => return Failure::refused(format!("no call of {service} can be made")),
            Self::NotSent => return Failure::again("no connection, or no credentials"),
            Self::NoAnswer => return Failure::again("no answer"),
            Self::Answered { status, code, message } => (status, code, message),
        };
        let said =
            if code == "AccessDeniedException" { access.to_owned() } else { without(hidden, &message) };
        let colon = if said.is_empty() { "" } else { ": " };
        let error = match code.as_str() {
            "" => format!("{service} answered {status}{colon}{said}"),
            code => format!("{service} answered {code}{colon}{said}"),
        };
        let passes = matches!(status, 408 | 429 | 500..) || PASSING.contains(&code.as_str());
        if passes { Failure::again(error) } else { Failure::refused(error) }
    }
}

/// The codes of AWS that a later call may not meet, whatever their status: too many calls, trouble of its own, and
/// credentials that ran out or are not known everywhere yet.
const PASSING: [&str; 12] = [
    "ThrottlingException",
    "KmsThrottlingException",
    "TooManyRequestsException",
    "InternalException",
    "InternalFailure",
    "ServiceUnavailable",
    "RequestTimeoutException",
    "RequestAbortedException",
    "RequestExpired",
    "ExpiredToken",
    "ExpiredTokenException",
    "UnrecognizedClientException",
];

/// The words of an answer's body, less what is secret in them: before they are cut short, since half a secret would
/// not be found, and when they are read, since JSON may write it otherwise.
fn said(body: &[u8], hidden: &[&str]) -> String {
    let body = without(hidden, &String::from_utf8_lossy(body));
    without(hidden, &words(body.as_bytes()))
}

/// The URL, and those of its pieces that are long enough to be a secret.
fn secret_pieces(url: &str) -> Vec<&str> {
    const SECRET: usize = 16;
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let pieces = path.split(['/', '?', '&', '=']).filter(|piece| piece.len() >= SECRET);
    [url, path].into_iter().chain(pieces).collect()
}

/// The words less what is secret in them. To be done before they are cut short: half a secret would not be found.
fn without(hidden: &[&str], words: &str) -> String {
    let secrets = hidden.iter().filter(|secret| !secret.is_empty());
    secrets.fold(words.to_owned(), |words, secret| words.replace(secret, "(secret)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_aws_service_says_is_a_decision() {
        let answered = |status, code: &str, message: &str| AwsError::Answered {
            status,
            code: code.into(),
            message: message.into(),
        };
        let again = Decision::Again { retry_after: None };
        let denied = "User: arn:aws:sts::1:assumed-role/r is not authorized";
        for (error, decision, words) in [
            (AwsError::NotMade, Decision::Refuse, "no call of X can be made"),
            (AwsError::NotSent, again, "no connection, or no credentials"),
            (AwsError::NoAnswer, again, "no answer"),
            (answered(400, "ThrottlingException", "Slow"), again, "X answered ThrottlingException: Slow"),
            (answered(500, "InternalException", ""), again, "X answered InternalException"),
            (answered(503, "", ""), again, "X answered 503"),
            (answered(403, "ExpiredTokenException", ""), again, "X answered ExpiredTokenException"),
            (
                answered(400, "AccessDeniedException", denied),
                Decision::Refuse,
                "X answered AccessDeniedException: mend the role",
            ),
            (
                answered(400, "InvalidOutput", "of hush"),
                Decision::Refuse,
                "X answered InvalidOutput: of (secret)",
            ),
            (answered(302, "", ""), Decision::Refuse, "X answered 302"),
        ] {
            let failure = error.failure("X", "mend the role", &["hush"]);
            assert_eq!((failure.decision, failure.error.as_str()), (decision, words));
        }
    }
}
