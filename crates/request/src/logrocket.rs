//! LogRocket's Highlights API: <https://docs.logrocket.com/docs/session-highlights-api>.

use aws::clock;
use aws::outgoing::{Answer, Outgoing, SendError};
use aws::telemetry::chain;
use aws::tls::Tls;
use model::answer::{PollAnswer, PostAnswer, Refusal};
use model::request::{Question, Subject};
use model::settings::App;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::time::Duration;

/// Answers to a POST are an id or an error.
const MAX_POST_ANSWER: usize = 64 * 1024;
/// A polled result; one that is longer would not fit a callback either.
const MAX_POLL_ANSWER: usize = 8 * 1024 * 1024;

/// A client for one app.
pub struct LogRocket {
    outgoing: Outgoing,
    /// `…/v1/orgs/{org}/apps/{app}/highlights`, without the slash that the POST wants.
    url: String,
}

impl LogRocket {
    pub fn new(tls: &Tls, api_url: &str, app: &App) -> Result<Self, reqwest::Error> {
        let (org, app) = app.org_and_app();
        let url = format!("{api_url}/v1/orgs/{org}/apps/{app}/highlights");
        Ok(Self { outgoing: Outgoing::trusted(tls)?, url })
    }

    /// Connects, for the calls to come.
    pub async fn connect(&self) {
        self.outgoing.connect(&self.url).await;
    }

    /// Asks for highlights, to be posted to `callback_url`.
    pub async fn post(
        &self,
        key: &SecretString,
        question: &Question,
        callback_url: &str,
        within: Duration,
    ) -> PostAnswer {
        let request = self
            .outgoing
            .request(Method::POST, &format!("{}/", self.url))
            .json(&body(question, callback_url));
        match self.send(request, key, MAX_POST_ANSWER, within).await {
            Ok(mut answer) => {
                let retry_after = answer.retry_after.as_deref();
                let hidden = hidden(key, question, callback_url);
                if !answer.is_success() {
                    answer.body = without(&hidden, &String::from_utf8_lossy(&answer.body)).into_bytes();
                }
                match PostAnswer::read(answer.status, retry_after, &answer.body, clock::now()) {
                    // Once more: JSON may have spelt them with escapes.
                    PostAnswer::Refused(Refusal { status, message }) => {
                        PostAnswer::Refused(Refusal { status, message: without(&hidden, &message) })
                    }
                    other => other,
                }
            }
            Err(error @ (SendError::NotSent(_) | SendError::Forbidden(_))) => {
                tracing::warn!(error = chain(&error), "no connection to LogRocket");
                PostAnswer::NotTaken { retry_after: None }
            }
            Err(error @ SendError::NoAnswer(_)) => {
                tracing::warn!(error = chain(&error), "no answer from LogRocket");
                PostAnswer::Unknown
            }
        }
    }

    /// Asks what became of an attempt.
    pub async fn poll(&self, key: &SecretString, id: &str, within: Duration) -> PollAnswer {
        let request = self.outgoing.request(Method::GET, &self.url).query(&[("id", id)]);
        match self.send(request, key, MAX_POLL_ANSWER, within).await {
            Ok(answer) => {
                let retry_after = answer.retry_after.as_deref();
                PollAnswer::read(answer.status, retry_after, &answer.body, id, clock::now())
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "no answer from LogRocket to a poll");
                PollAnswer::Nothing { retry_after: None }
            }
        }
    }

    async fn send(
        &self,
        mut request: RequestBuilder,
        key: &SecretString,
        max_body: usize,
        within: Duration,
    ) -> Result<Answer, SendError> {
        // The secret was read as visible ASCII, so this cannot fail.
        if let Ok(mut value) = HeaderValue::from_str(&format!("token {}", key.expose_secret())) {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        self.outgoing.send(request, max_body, within).await
    }
}

fn body(question: &Question, callback_url: &str) -> Value {
    let (subject, name) = question.subject.as_field();
    let mut body = json!({ subject: name, "webhookURL": callback_url });
    if let Some(question) = &question.question {
        body["question"] = json!(question);
    }
    if let Some(range) = &question.time_range {
        body["timeRange"] = json!(range);
    }
    body
}

/// What LogRocket's words may quote as they complain about it, and what stands there instead.
fn hidden<'a>(
    key: &'a SecretString,
    question: &'a Question,
    callback_url: &'a str,
) -> Vec<(&'a str, &'static str)> {
    let token = callback_url.rsplit_once("token=").map(|(_, token)| (token, "(its token)"));
    let email = match &question.subject {
        Subject::Email(email) => Some((email.as_str(), "(the user)")),
        Subject::Id(_) => None,
    };
    let always = [(key.expose_secret(), "(the key)"), (callback_url, "(the callback URL)")];
    always.into_iter().chain(token).chain(email).collect()
}

/// Done before the words are cut short: half a key would not be found.
fn without(hidden: &[(&str, &str)], words: &str) -> String {
    hidden.iter().fold(words.to_owned(), |words, (text, instead)| words.replace(text, instead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_logrocket_quotes_of_us_is_taken_out_of_its_words() {
        let subject = Subject::Email("alice@example.com".into());
        let question = Question { subject, question: None, time_range: None, metadata: BTreeMap::new() };
        let (key, url) =
            (SecretString::from("org:app:key"), "https://x/webhook?request=1&attempt=1&token=7.mac");
        let words = "org:app:key may not call https://x/webhook?request=1&attempt=1&token=7.mac (7.mac) for alice@example.com";
        let said = without(&hidden(&key, &question, url), words);
        assert_eq!(said, "(the key) may not call (the callback URL) ((its token)) for (the user)");
    }
}
