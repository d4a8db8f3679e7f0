use crate::{NOW, as_text};
use model::answer::{MAX_RETRY_AFTER, PollAnswer, PostAnswer, parse_retry_after};
use model::callback::{Outcome, Report, is_log_rocket_id};
use model::result::{HighlightsResult, SessionId, StoredResult};
use model::time::Time;
use serde_json::{Value, json};
use std::time::Duration;

/// A callback's body in either dialect, or in both: what is read of it is read again of what is written of it.
pub fn callback(bytes: &[u8]) {
    let report = match Report::parse(bytes) {
        Ok(report) => report,
        Err(unreadable) => {
            // It is logged and answered: of the body it says at most where.
            let said = unreadable.to_string();
            assert!(said.is_ascii() && said.len() < 100, "{said:?}");
            return;
        }
    };
    assert!(is_log_rocket_id(&report.log_rocket_request_id));
    for dialect in [documented, published] {
        let body = dialect(&report).to_string();
        assert_eq!(Report::parse(body.as_bytes()).as_ref(), Ok(&report), "{body}");
    }
    if let Outcome::Ready(result) = &report.outcome
        && let Ok(stored) = StoredResult::pack(result)
    {
        assert_eq!(stored.unpack().unwrap(), *result);
    }
}

/// As LogRocket's page has it.
fn documented(report: &Report) -> Value {
    let sessions = |result: &HighlightsResult| -> Vec<Value> {
        let session = result.sessions.iter().map(|session| {
            json!({
                "recordingID": session.recording_id,
                "sessionID": session.session_id,
                "highlights": session.highlights,
            })
        });
        session.collect()
    };
    let (status, result) = match &report.outcome {
        Outcome::Pending => ("PENDING", Value::Null),
        Outcome::Failed => ("FAILED", Value::Null),
        Outcome::Ready(result) => {
            ("READY", json!({ "highlights": result.highlights, "sessions": sessions(result) }))
        }
    };
    json!({ "requestID": report.log_rocket_request_id, "appID": "org/app", "status": status, "result": result })
}

/// As the published AsyncAPI has it.
fn published(report: &Report) -> Value {
    let mut body = documented(report);
    if let Outcome::Ready(result) = &report.outcome {
        body["status"] = json!("COMPLETE");
        for (session, written) in
            result.sessions.iter().zip(body["result"]["sessions"].as_array_mut().unwrap())
        {
            let id = match &session.session_id {
                SessionId::Number(number) => number.to_string(),
                SessionId::Text(text) => text.clone(),
            };
            let written = written.as_object_mut().unwrap();
            written.remove("sessionID");
            written.insert("sessionId".into(), json!(id));
        }
    }
    body
}

/// What LogRocket answers to a POST and to a poll: `{status} {Retry-After}`, a line feed, and the body.
pub fn answers(bytes: &[u8]) {
    let head = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let body = bytes.get(head.len() + 1..).unwrap_or_default();
    let head = as_text(head);
    let (status, retry_after) = match head.split_once(' ') {
        Some((status, retry_after)) => (status, Some(retry_after)),
        None => (&*head, None),
    };
    let status = status.parse().unwrap_or(200);
    let within = |wait: Option<Duration>| assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER));

    match PostAnswer::read(status, retry_after, body, NOW) {
        PostAnswer::Accepted { log_rocket_request_id: id } => {
            assert!((200..300).contains(&status) && is_log_rocket_id(&id), "{status} {id:?}");
            let again = json!({ "id": id }).to_string();
            let accepted = PostAnswer::Accepted { log_rocket_request_id: id };
            assert_eq!(PostAnswer::read(status, None, again.as_bytes(), NOW), accepted);
        }
        PostAnswer::Refused(refusal) => {
            assert!((300..500).contains(&status) && refusal.status == status);
            assert!(refusal.message.chars().count() <= 300, "{refusal:?}");
            assert!(!refusal.advice().contains(char::is_control), "{refusal:?}");
        }
        PostAnswer::NotTaken { retry_after } => within(retry_after),
        PostAnswer::Unknown => assert!(!(300..500).contains(&status)),
    }

    let named = Report::parse(body).map(|report| report.log_rocket_request_id);
    let ids = named.as_deref().ok().into_iter().chain(["0cc1"]);
    for id in ids {
        match PollAnswer::read(status, retry_after, body, id, NOW) {
            PollAnswer::Report(report) => {
                assert!((200..300).contains(&status));
                assert_eq!(report.log_rocket_request_id, id);
            }
            PollAnswer::Unauthorized => assert!((401..404).contains(&status)),
            PollAnswer::Nothing { retry_after } => within(retry_after),
        }
    }
}

/// `Retry-After`: a wait of at most a day, that is not longer the later it is read.
pub fn retry_after(bytes: &[u8]) {
    let text = as_text(bytes);
    let times = [i64::MIN, 0, NOW.0 - 86_400_000, NOW.0, NOW.0 + 1, NOW.0 + 86_400_000, i64::MAX];
    let waits = times.map(|now| parse_retry_after(&text, Time(now)));
    assert!(waits.is_sorted_by(|earlier, later| earlier >= later), "{text:?} {waits:?}");
    assert!(waits.iter().flatten().all(|wait| *wait <= MAX_RETRY_AFTER), "{text:?} {waits:?}");
    assert!(waits.iter().all(Option::is_some) || waits.iter().all(Option::is_none), "{text:?} {waits:?}");
    if let Ok(seconds) = text.parse::<u32>()
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        let wait = Duration::from_secs(seconds.into()).min(MAX_RETRY_AFTER);
        assert_eq!(waits, [Some(wait); 7], "{text:?}");
    }
}
