//! Why a destination was not told: what the answers of vendors and of AWS mean, in words without a secret.

use aws::outgoing::{Answer, SendError};
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use model::answer::{parse_retry_after, words};
use model::delivery::Progress;
use model::secrets::BadSecret;
use std::time::Duration;

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
    /// The credentials are not accepted: newer ones may be, else it is given up.
    Unauthorized,
    /// The same of credentials that are missing or malformed.
    NotConfigured,
    /// It would be refused again.
    Refuse,
    Again {
        retry_after: Option<Duration>,
    },
}

impl Failure {
    pub(super) fn new(decision: Decision, error: impl Into<String>) -> Self {
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
    pub(super) fn of_answer(vendor: &str, answer: &Answer, hidden: &[&str]) -> Self {
        Self::of_words(vendor, answer, &said(&answer.body, hidden))
    }

    /// The same in other words, with nothing secret in them.
    pub(super) fn of_words(vendor: &str, answer: &Answer, said: &str) -> Self {
        let decision = match answer.status {
            401 => Decision::Unauthorized,
            408 | 425 | 429 | 500.. => Decision::Again { retry_after: retry_after(answer) },
            _ => Decision::Refuse,
        };
        let colon = if said.is_empty() { "" } else { ": " };
        Self::new(decision, format!("{vendor} answered {}{colon}{said}", answer.status))
    }

    /// The same where the URL is the secret: if there is nothing behind it, there may be a newer one.
    pub(super) fn of_secret_url(vendor: &str, answer: &Answer, url: &str) -> Self {
        let failure = Self::of_answer(vendor, answer, &secret_pieces(url));
        match answer.status {
            403 | 404 | 410 => Self { decision: Decision::Unauthorized, ..failure },
            _ => failure,
        }
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
        Self::new(Decision::NotConfigured, format!("not configured: {error}"))
    }
}

/// How long the vendor asks to wait.
pub(super) fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.retry_after.as_deref().and_then(|text| parse_retry_after(text, aws::clock::now()))
}

/// Why a call of an AWS SDK was in vain. Nothing of the request is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum AwsError {
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
            // A success that cannot be read may be none of the service's.
            SdkError::ServiceError(answer)
                if error.code().is_none() && answer.raw().status().is_success() =>
            {
                Self::NoAnswer
            }
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
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Answered { code, .. } => Some(code),
            Self::NotMade | Self::NotSent | Self::NoAnswer => None,
        }
    }

    /// What it means, by the errors that all services have in common
    /// (<https://docs.aws.amazon.com/eventbridge/latest/APIReference/CommonErrors.html>). `access` is what to mend
    /// where access is denied: AWS's own words are long, and name the account and the role. `hidden` is taken out of
    /// the words.
    pub(super) fn failure(self, service: &str, access: &str, hidden: &[&str]) -> Failure {
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
pub(super) fn said(body: &[u8], hidden: &[&str]) -> String {
    let body = without(hidden, &String::from_utf8_lossy(body));
    without(hidden, &words(body.as_bytes()))
}

/// The URL, and those of its pieces that are long enough to be a secret.
pub(super) fn secret_pieces(url: &str) -> Vec<&str> {
    const SECRET: usize = 16;
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let pieces = path.split(['/', '?', '&', '=', '#']).filter(|piece| piece.len() >= SECRET);
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
