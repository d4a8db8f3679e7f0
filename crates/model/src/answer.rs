//! What an answer of LogRocket's API means: a decision, not a status code.

use crate::callback::{Report, is_log_rocket_id};
use crate::json::mended;
use crate::time::Time;
use serde_json::Value;
use std::time::Duration;

/// No wait that a server asks for is honoured beyond this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_MESSAGE_CHARS: usize = 300;

/// What became of an attempt's POST.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PostAnswer {
    /// LogRocket works on it.
    Accepted { log_rocket_request_id: String },
    /// A clear no: nothing was begun, and the same POST would be refused again.
    Refused(Refusal),
    /// LogRocket surely did not take it; the same POST may work later.
    NotTaken { retry_after: Option<Duration> },
    /// Nobody knows whether LogRocket works on it.
    Unknown,
}

/// LogRocket's clear no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// LogRocket's own words, cut short, without control characters; may be empty.
    pub message: String,
}

impl Refusal {
    /// Whether a new key, right or plan would mend it: then somebody who was promised an answer waits for
    /// that.
    pub fn is_about_the_key(&self) -> bool {
        matches!(self.status, 401..=403)
    }

    /// What it means and what to mend, for people.
    pub fn advice(&self) -> String {
        let advice = match self.status {
            400 => "LogRocket found the request wrong.",
            401 => "LogRocket did not accept the API key: check logRocketAPIKey in the secret.",
            402 => {
                "LogRocket wants the plan changed: Highlights are not part of it, or its limit is reached."
            }
            403 => {
                "The API key may not ask for highlights of this app: check logRocketAPIKey and LOGROCKET_APP_ID."
            }
            404 => "LogRocket does not know this app: check LOGROCKET_APP_ID and LOGROCKET_API_URL.",
            300..=399 => "LogRocket's address redirects elsewhere: check LOGROCKET_API_URL.",
            _ => "LogRocket refused the request.",
        };
        if self.message.is_empty() {
            format!("{advice} (HTTP {})", self.status)
        } else {
            format!("{advice} (HTTP {}: {})", self.status, self.message)
        }
    }
}

/// What a poll brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PollAnswer {
    Report(Report),
    /// The key was not accepted; a refreshed one may be.
    Unauthorized,
    /// No answer that can be believed; ask again later.
    Nothing {
        retry_after: Option<Duration>,
    },
}

impl PostAnswer {
    pub fn read(status: u16, retry_after: Option<&str>, body: &[u8], now: Time) -> Self {
        let retry_after = retry_after.and_then(|text| parse_retry_after(text, now));
        match status {
            200..=299 => match accepted_id(body) {
                Some(log_rocket_request_id) => Self::Accepted { log_rocket_request_id },
                None => Self::Unknown,
            },
            // 408 and 425 say that the request was not dealt with.
            408 | 425 | 429 | 500 | 503 => Self::NotTaken { retry_after },
            300..=499 => Self::Refused(Refusal { status, message: words(body) }),
            _ => Self::Unknown,
        }
    }
}

impl PollAnswer {
    /// `log_rocket_request_id` is the id that was asked for: an answer about another one is not believed.
    pub fn read(
        status: u16,
        retry_after: Option<&str>,
        body: &[u8],
        log_rocket_request_id: &str,
        now: Time,
    ) -> Self {
        let nothing =
            Self::Nothing { retry_after: retry_after.and_then(|text| parse_retry_after(text, now)) };
        match status {
            200..=299 => match Report::parse(body) {
                Ok(report) if report.log_rocket_request_id == log_rocket_request_id => Self::Report(report),
                _ => nothing,
            },
            401..=403 => Self::Unauthorized,
            _ => nothing,
        }
    }
}

/// Reads `Retry-After`: seconds or an HTTP date, at most [`MAX_RETRY_AFTER`]; `None` for anything else.
pub fn parse_retry_after(text: &str, now: Time) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean longer than anybody waits.
        text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Time(i64::try_from(since_epoch.as_millis()).ok()?).since(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn accepted_id(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_str(&mended(body)).ok()?;
    body.get("id")?.as_str().filter(|id| is_log_rocket_id(id)).map(str::to_owned)
}

/// What the body of an error says, for people: of JSON the fields in which LogRocket (whose errors are not documented)
/// and the vendors of destinations say it, of anything else the text. Cut short, without control characters.
pub fn words(body: &[u8]) -> String {
    let text = mended(body);
    let said = match serde_json::from_str(&text) {
        Ok(json) => words_in(&json, 0).join(": "),
        // A page meant for browsers explains nothing.
        Err(_) if text.trim_start().starts_with('<') => String::new(),
        Err(_) => text.into_owned(),
    };
    let printable = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MAX_MESSAGE_CHARS).collect::<String>().trim().to_owned()
}

/// A body nests what it says no deeper than this.
const MAX_WORDS_DEPTH: u8 = 3;

fn words_in(json: &Value, depth: u8) -> Vec<&str> {
    const SAID: [&str; 7] =
        ["error", "errorCode", "code", "message", "error_description", "description", "detail"];
    if depth > MAX_WORDS_DEPTH {
        return Vec::new();
    }
    let Value::Object(fields) = json else {
        return json.get(0).map(|first| words_in(first, depth + 1)).unwrap_or_default();
    };
    let said: Vec<&str> = SAID.iter().filter_map(|name| fields.get(*name)?.as_str()).collect();
    if !said.is_empty() {
        return said;
    }
    let inner = ["error", "errors"].iter().filter_map(|name| fields.get(*name));
    inner.map(|inner| words_in(inner, depth + 1)).find(|said| !said.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_715_481_030_000);

    fn post(status: u16, body: &str) -> PostAnswer {
        PostAnswer::read(status, None, body.as_bytes(), NOW)
    }

    #[test]
    fn an_answer_with_an_id_is_an_attempt_under_way() {
        let accepted = PostAnswer::Accepted { log_rocket_request_id: "0cc1".into() };
        assert_eq!(post(200, r#"{"id":"0cc1","more":1}"#), accepted);
        assert_eq!(post(202, r#"{"id":"0cc1"}"#), accepted);
    }

    #[test]
    fn without_a_readable_id_nobody_knows() {
        for body in ["", "ok", "{}", r#"{"id":7}"#, r#"{"id":""}"#, r#"{"id":"a b"}"#, "[1"] {
            assert_eq!(post(200, body), PostAnswer::Unknown, "{body}");
        }
        for status in [502, 504, 501, 520, 100] {
            assert_eq!(post(status, ""), PostAnswer::Unknown, "{status}");
        }
    }

    #[test]
    fn a_clear_no_is_refused_with_advice() {
        for status in [301, 302, 308, 400, 401, 402, 403, 404, 405, 422] {
            match post(status, r#"{"error":"bad\nkey"}"#) {
                PostAnswer::Refused(refusal) => {
                    assert_eq!(refusal.message, "bad key");
                    assert_eq!(refusal.is_about_the_key(), (401..=403).contains(&status));
                    assert!(refusal.advice().contains(&status.to_string()));
                }
                other => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn overload_is_not_taken_and_says_when() {
        for status in [408, 425, 429, 500, 503] {
            let answer = PostAnswer::read(status, Some("7"), b"", NOW);
            assert_eq!(answer, PostAnswer::NotTaken { retry_after: Some(Duration::from_secs(7)) });
        }
    }

    #[test]
    fn error_messages_come_in_many_forms() {
        for (body, message) in [
            (r#"{"message":"no"}"#, "no"),
            (r#"{"error":{"message":"deep"}}"#, "deep"),
            (r#"{"error":"invalid_client","error_description":"bad secret"}"#, "invalid_client: bad secret"),
            (r#"{"type":"error.list","errors":[{"code":"not_found","message":"No"}]}"#, "not_found: No"),
            (r#"[{"message":"No such id","errorCode":"INVALID_ID"}]"#, "INVALID_ID: No such id"),
            (r#"{"other":1}"#, ""),
            (r#"[[[[[["deep"]]]]]]"#, ""),
            ("[]", ""),
            ("plain text", "plain text"),
            ("<html>long page</html>", ""),
            ("", ""),
        ] {
            assert_eq!(words(body.as_bytes()), message, "{body}");
        }
        assert_eq!(words("é".repeat(1000).as_bytes()).chars().count(), MAX_MESSAGE_CHARS);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_within_a_day() {
        let seconds = Duration::from_secs;
        for (text, wait) in [
            ("0", Some(seconds(0))),
            (" 120 ", Some(seconds(120))),
            ("99999999", Some(MAX_RETRY_AFTER)),
            ("99999999999999999999999999", Some(MAX_RETRY_AFTER)),
            ("Sun, 12 May 2024 02:31:30 GMT", Some(seconds(60))),
            ("Sun, 12 May 2024 02:00:00 GMT", Some(seconds(0))),
            ("Wed, 12 May 2094 02:00:00 GMT", Some(MAX_RETRY_AFTER)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse_retry_after(text, NOW), wait, "{text}");
        }
    }

    #[test]
    fn a_poll_about_another_id_is_not_believed() {
        let body = br#"{"requestID":"other","status":"FAILED","result":null}"#;
        let nothing = PollAnswer::Nothing { retry_after: None };
        assert_eq!(PollAnswer::read(200, None, body, "mine", NOW), nothing);
        assert!(matches!(PollAnswer::read(200, None, body, "other", NOW), PollAnswer::Report(_)));
        assert_eq!(PollAnswer::read(404, None, body, "other", NOW), nothing);
        assert_eq!(PollAnswer::read(401, None, body, "other", NOW), PollAnswer::Unauthorized);
    }
}
