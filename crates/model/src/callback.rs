//! What LogRocket says about an attempt, by callback or by poll: the body is the same.
//!
//! Two dialects are known: `READY` with `recordingID` and an integer `sessionID` (LogRocket's documentation), and
//! `COMPLETE` with a string `sessionId` (the published AsyncAPI description). Unknown fields are passed over.

use crate::fields::natural_number;
use crate::json::{is_gzip, mended};
use crate::result::{HighlightsResult, Session, SessionId};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// LogRocket's ids have 64 characters; index keys have room for many more.
pub const MAX_LOGROCKET_ID_CHARS: usize = 256;

/// One answer of LogRocket about one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// LogRocket's own id of the attempt.
    pub log_rocket_request_id: String,
    pub outcome: Outcome,
}

/// How far LogRocket is with an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Pending,
    Failed,
    Ready(HighlightsResult),
}

/// The body says nothing that can be acted on; the text says why, without quoting it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// Either spelling may be there, or both: an answer that speaks two dialects is read like any other.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "requestID", default)]
    request_id: Option<String>,
    #[serde(rename = "requestId", default)]
    request_id_too: Option<String>,
    status: String,
    /// Looked at only where the status says that there is one.
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ResultBody {
    highlights: String,
    #[serde(default)]
    sessions: Option<Vec<SentSession>>,
}

#[derive(Deserialize)]
struct SessionBody {
    #[serde(rename = "recordingID", default)]
    recording_id: Option<String>,
    #[serde(rename = "recordingId", default)]
    recording_id_too: Option<String>,
    #[serde(rename = "sessionID", default)]
    session_id: SentId,
    #[serde(rename = "sessionId", default)]
    session_id_too: SentId,
    #[serde(default)]
    highlights: Option<String>,
}

impl Report {
    /// Reads a callback's body, or the answer to a poll. What is unknown in it is passed over, however deep or long it
    /// is; nothing is built of it.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        if is_gzip(body) {
            return Err(Unreadable("compressed, where plain JSON is awaited".into()));
        }
        let text = mended(body);
        let body: Body<'_> = serde_json::from_str(&text).map_err(unreadable)?;
        let id = body.request_id.or(body.request_id_too).filter(|id| is_log_rocket_id(id));
        let Some(log_rocket_request_id) = id else {
            return Err(Unreadable("requestID is missing, empty, too long or not plain text".into()));
        };
        let outcome = match body.status.as_str() {
            "READY" | "COMPLETE" => Outcome::Ready(parse_result(body.result)?),
            "FAILED" => Outcome::Failed,
            "PENDING" => Outcome::Pending,
            _ => return Err(Unreadable("status is none of READY, COMPLETE, FAILED, PENDING".into())),
        };
        Ok(Self { log_rocket_request_id, outcome })
    }
}

/// Whether this can be an id of LogRocket's: visible ASCII, of a length that an index key holds.
pub fn is_log_rocket_id(text: &str) -> bool {
    (1..=MAX_LOGROCKET_ID_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn parse_result(result: Option<&RawValue>) -> Result<HighlightsResult, Unreadable> {
    let Some(result) = result else {
        return Err(Unreadable("the status says that there is a result, but there is none".into()));
    };
    let result: ResultBody = serde_json::from_str(result.get()).map_err(unreadable)?;
    let sessions =
        result.sessions.unwrap_or_default().into_iter().map(|SentSession(session)| session).collect();
    Ok(HighlightsResult { highlights: result.highlights, sessions })
}

/// Read as one at a time, and of an object alone: a struct that serde derives is also made of `[]`, and two million of
/// them fit into one callback.
struct SentSession(Session);

const NO_RECORDING: &str = "a session has no recordingID";

impl<'de> Deserialize<'de> for SentSession {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(SentSessionVisitor)
    }
}

struct SentSessionVisitor;

impl<'de> Visitor<'de> for SentSessionVisitor {
    type Value = SentSession;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a session")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SentSession, A::Error> {
        let body = SessionBody::deserialize(MapAccessDeserializer::new(map))?;
        body.read().map(SentSession).ok_or_else(|| A::Error::custom(NO_RECORDING))
    }
}

impl SessionBody {
    fn read(self) -> Option<Session> {
        Some(Session {
            recording_id: self.recording_id.or(self.recording_id_too)?,
            session_id: self.session_id.0.or(self.session_id_too.0).unwrap_or(SessionId::Number(0)),
            highlights: self.highlights.unwrap_or_default(),
        })
    }
}

/// A number, however it is written; one that is missing or unreadable is a recording's first session. `None` only for
/// a value that is not there.
#[derive(Default)]
struct SentId(Option<SessionId>);

impl<'de> Deserialize<'de> for SentId {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(SentIdVisitor)
    }
}

struct SentIdVisitor;

impl SentIdVisitor {
    const UNREADABLE: SentId = SentId(Some(SessionId::Number(0)));

    fn number<E>(value: &Value) -> Result<SentId, E> {
        let number = natural_number(value).unwrap_or(0);
        Ok(SentId(Some(SessionId::Number(number))))
    }
}

impl<'de> Visitor<'de> for SentIdVisitor {
    type Value = SentId;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a session's number or id")
    }

    fn visit_unit<E: Error>(self) -> Result<SentId, E> {
        Ok(SentId(None))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<SentId, E> {
        Ok(Self::UNREADABLE)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<SentId, E> {
        Self::number(&value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<SentId, E> {
        Self::number(&value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<SentId, E> {
        Self::number(&value.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SentId, E> {
        Ok(SentId(Some(match text.parse() {
            Ok(number) => SessionId::Number(number),
            Err(_) => SessionId::Text(text.to_owned()),
        })))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SentId, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::UNREADABLE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SentId, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::UNREADABLE)
    }
}

/// Only where the trouble is: serde's own words may quote the text, which must not reach a log.
fn unreadable(error: serde_json::Error) -> Unreadable {
    use serde_json::error::Category;
    Unreadable(match error.classify() {
        // The name is one of ours.
        Category::Data if error.to_string().starts_with("duplicate field") => {
            let said = error.to_string();
            format!("the JSON has {} twice", said.split('`').nth(1).unwrap_or("a field"))
        }
        Category::Data if error.to_string().starts_with(NO_RECORDING) => NO_RECORDING.into(),
        Category::Data => "the JSON lacks requestID, status or a readable result".into(),
        _ => format!("not JSON, at line {} column {}", error.line(), error.column()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(body: &str) -> HighlightsResult {
        match Report::parse(body.as_bytes()).unwrap().outcome {
            Outcome::Ready(result) => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_the_documented_dialect_and_unknown_fields() {
        let result = ready(
            r#"{"requestID":"0cc1","appID":"org/app","status":"READY","new":1,"result":{"highlights":"h","x":{},
                "sessions":[{"recordingID":"5-3cde","sessionID":2,"highlights":"s","y":null}]}}"#,
        );
        assert_eq!(result.highlights, "h");
        assert_eq!(result.sessions[0].session_id, SessionId::Number(2));
    }

    #[test]
    fn reads_the_asyncapi_dialect_as_the_same() {
        let result = ready(
            r#"{"requestID":"0cc1","status":"COMPLETE","result":{"highlights":"h",
                "sessions":[{"recordingID":"5-3cde","sessionId":"2","highlights":"s"},{"recordingID":"5-4","sessionId":"a"}]}}"#,
        );
        assert_eq!(result.sessions[0].session_id, SessionId::Number(2));
        assert_eq!(result.sessions[1].session_id, SessionId::Text("a".into()));
    }

    #[test]
    fn an_answer_in_both_dialects_at_once_is_read_like_any_other() {
        let result = ready(
            r#"{"requestID":"0","requestId":"0","status":"READY","result":{"highlights":"h","sessions":[
                {"recordingID":"a","recordingId":"a","sessionID":1,"sessionId":"1"},
                {"recordingId":"b","sessionID":2.0},{"recordingID":"c","sessionID":{}},{"recordingID":"d"}]}}"#,
        );
        let numbers: Vec<_> = result.sessions.into_iter().map(|session| session.session_id).collect();
        assert_eq!(numbers, [1, 2, 0, 0].map(SessionId::Number));
    }

    #[test]
    fn a_number_is_the_same_in_both_dialects_up_to_the_greatest() {
        for number in [9_007_199_254_740_993, i64::MAX as u64 + 1, u64::MAX] {
            for id in [format!(r#""sessionID":{number}"#), format!(r#""sessionId":"{number}""#)] {
                let result = ready(&format!(
                    r#"{{"requestID":"0","status":"READY","result":{{"highlights":"h","sessions":[{{"recordingID":"a",{id}}}]}}}}"#
                ));
                assert_eq!(result.sessions[0].session_id, SessionId::Number(number), "{id}");
            }
        }
    }

    #[test]
    fn a_user_without_sessions_has_a_result_too() {
        let body = r#"{"requestID":"0","status":"READY","result":{"highlights":"","sessions":null}}"#;
        assert!(ready(body).sessions.is_empty());
    }

    #[test]
    fn what_is_unknown_is_passed_over_however_deep_it_is() {
        let deep = ["[".repeat(10_000), "]".repeat(10_000)].concat();
        let body = format!(
            r#"{{"x":{deep},"requestID":"0","status":"READY","result":{{"x":{deep},"highlights":"h","sessions":[
                {{"x":{deep},"recordingID":"a","sessionID":{{"x":{deep}}}}}]}}}}"#
        );
        assert_eq!(ready(&body).sessions[0].session_id, SessionId::Number(0));
    }

    #[test]
    fn half_a_surrogate_pair_loses_no_result() {
        let result = ready(
            r#"{"requestID":"0","\udfff":"\ud800","status":"READY","result":{"highlights":"a\ud83d\ude00\ud83d\u0000",
                "sessions":[{"recordingID":"5\ud800","highlights":"\udc00\\ud800"}]}}"#,
        );
        assert_eq!(result.highlights, "a\u{1f600}\u{fffd}\0");
        assert_eq!(result.sessions[0].recording_id, "5\u{fffd}");
        assert_eq!(result.sessions[0].highlights, "\u{fffd}\\ud800");
        // Nor do bytes that are no UTF-8.
        let cut = b"{\"requestID\":\"0\",\"status\":\"READY\",\"result\":{\"highlights\":\"\xf0\x9f\x98\"}}";
        assert!(
            matches!(Report::parse(cut).unwrap().outcome, Outcome::Ready(it) if it.highlights == "\u{fffd}")
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (body, reason) in [
            (&b"\x1f\x8b\x08"[..], "compressed, where plain JSON is awaited"),
            (br#"{"requestID":"0","status":"READY","status":"FAILED"}"#, "the JSON has status twice"),
            (br#"{"requestID":"0","requestID":"1","status":"FAILED"}"#, "the JSON has requestID twice"),
            (
                br#"{"requestID":"0","status":"READY","result":{"highlights":"h","sessions":[{}]}}"#,
                "a session has no recordingID",
            ),
            (b"{\n\"requestID\":", "not JSON, at line 2 column 12"),
        ] {
            assert_eq!(Report::parse(body).unwrap_err().to_string(), reason);
        }
        // A name that means nothing may stand there as often as it likes.
        assert!(Report::parse(br#"{"requestID":"0","status":"FAILED","x":1,"x":2}"#).is_ok());
    }

    #[test]
    fn failed_and_pending_need_no_result() {
        for (status, outcome) in [("FAILED", Outcome::Failed), ("PENDING", Outcome::Pending)] {
            let body = format!("\u{feff}{{\"requestID\":\"0\",\"status\":\"{status}\",\"result\":null}}");
            assert_eq!(Report::parse(body.as_bytes()).unwrap().outcome, outcome);
        }
    }

    #[test]
    fn what_cannot_be_acted_on_is_unreadable_and_not_quoted() {
        for body in [
            "",
            "[]",
            "secret",
            r#"{"status":"READY"}"#,
            r#"{"requestID":"0","status":"secret"}"#,
            r#"{"requestID":"","status":"FAILED"}"#,
            r#"{"requestID":"0","status":"READY"}"#,
            r#"{"requestID":"0","status":"READY","result":null}"#,
            r#"{"requestID":"0","status":"READY","result":"secret"}"#,
            r#"{"requestID":"0","status":"READY","result":{"highlights":{"secret":1}}}"#,
            r#"{"requestID":"0","status":"READY","result":{"highlights":"h","sessions":[{"sessionID":1}]}}"#,
        ] {
            let error = Report::parse(body.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
