//! What machines are sent: LogRocket's own payload with `requestID` ours, and beside it LogRocket's id, the metadata
//! and, where there is no result, why.

use crate::record::Record;
use crate::result::{HighlightsResult, Session};
use crate::settings::App;
use serde_json::{Value, json};

/// The whole payload.
pub fn whole(record: &Record, result: Option<&HighlightsResult>, app: &App) -> Value {
    let mut payload = without_result(record, app);
    payload["result"] = json!(result);
    payload
}

/// The payload as JSON of at most `max` bytes: where the whole is longer, its sessions go out without their texts, and
/// if that is not enough, as many of them, and as much of the highlights, as fit. Then `truncated` is `true`.
/// `max` must leave room for all but the result, 8 KB at the most.
pub fn within(record: &Record, result: Option<&HighlightsResult>, app: &App, max: usize) -> String {
    let json = whole(record, result, app).to_string();
    let Some(result) = result.filter(|_| json.len() > max) else { return json };
    let mut payload = without_result(record, app);
    payload["truncated"] = json!(true);
    payload["result"] = json!({ "highlights": "", "sessions": [] });
    let mut room = max.saturating_sub(payload.to_string().len());
    // The highlights are over all sessions, and go first.
    let highlights = cut(&result.highlights, room);
    room = room.saturating_sub(json_bytes(highlights));
    let mut sessions = Vec::new();
    for Session { recording_id, session_id, .. } in &result.sessions {
        let session = json!({ "recordingID": recording_id, "sessionID": session_id });
        let Some(left) = room.checked_sub(session.to_string().len() + 1) else { break };
        room = left;
        sessions.push(session);
    }
    payload["result"] = json!({ "highlights": highlights, "sessions": sessions });
    payload.to_string()
}

fn without_result(record: &Record, app: &App) -> Value {
    let mut payload = json!({
        "requestID": record.request_id.as_str(),
        "appID": app.as_str(),
        "status": record.status,
        "result": null,
        "logRocketRequestID": record.log_rocket_request_id,
        "metadata": record.request.metadata,
    });
    if let Some(failure) = &record.failure {
        payload["failure"] = json!(failure);
    }
    payload
}

/// As much of the text as takes at most `room` bytes between the quotes of JSON.
fn cut(text: &str, room: usize) -> &str {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += json_bytes(c.encode_utf8(&mut [0; 4]));
        if taken > room {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// What a text takes between the quotes of JSON.
fn json_bytes(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callback::Report;
    use crate::id::RequestId;
    use crate::request::{NewRequest, RequestRules};
    use crate::result::SessionId;
    use crate::rules::{News, Origin, Received, Rules};
    use crate::time::Time;

    const NOW: Time = Time(1_715_481_030_000);

    fn ready(highlights: &str, sessions: usize) -> (Record, HighlightsResult, App) {
        let body = r#"{"userID":"u","metadata":{"nps":"3"}}"#;
        let new = NewRequest::parse(body.as_bytes(), &RequestRules::default()).unwrap();
        let origin = Origin { caller: "ops".into(), opening: "1".into() };
        let record = Record::open(RequestId::for_key("a", "b"), origin, new, None, NOW, &Rules::default());
        let session = json!({ "recordingID": "5-3cde", "sessionID": 0, "highlights": "text ".repeat(100) });
        let report = json!({
            "requestID": "0cc1", "status": "READY",
            "result": { "highlights": highlights, "sessions": vec![session; sessions] },
        });
        let report = Report::parse(report.to_string().as_bytes()).unwrap();
        let news = News {
            opened: NOW,
            attempt: 1,
            log_rocket_request_id: report.log_rocket_request_id,
            outcome: report.outcome.into(),
        };
        let Received::Changed(record) = record.receive(&news, NOW, &Rules::default()) else { panic!() };
        let result = record.unpack_result().unwrap().unwrap();
        (*record, result, App::parse("org/app").unwrap())
    }

    #[test]
    fn it_is_logrockets_own_with_our_id_and_what_was_given_along() {
        let (record, result, app) = ready("The user checks out.", 1);
        let payload = whole(&record, Some(&result), &app);
        assert_eq!(payload["requestID"], record.request_id.as_str());
        assert_eq!(payload["logRocketRequestID"], "0cc1");
        assert_eq!((&payload["status"], &payload["appID"]), (&json!("READY"), &json!("org/app")));
        assert_eq!(payload["metadata"], json!({ "nps": "3" }));
        assert_eq!(payload["result"]["sessions"][0]["sessionID"], 0);
        assert!(payload.get("failure").is_none() && payload.get("truncated").is_none());
        // What reads LogRocket's callbacks reads this.
        let report = Report::parse(payload.to_string().as_bytes()).unwrap();
        assert_eq!(report.outcome, crate::callback::Outcome::Ready(result));
    }

    #[test]
    fn over_the_limit_it_says_that_it_is_not_all_and_fits() {
        let (record, result, app) = ready("The user checks out.", 1000);
        let json = within(&record, Some(&result), &app, 262_144);
        assert!(json.len() <= 262_144);
        let payload: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(payload["truncated"], true);
        assert_eq!(payload["result"]["highlights"], "The user checks out.");
        assert_eq!(payload["result"]["sessions"].as_array().unwrap().len(), 1000);
        assert_eq!(payload["result"]["sessions"][0], json!({ "recordingID": "5-3cde", "sessionID": 0 }));

        let (record, mut result, app) = ready(&"é\"\n\u{1}".repeat(200_000), 3);
        result.sessions[0].session_id = SessionId::Text("x".repeat(300_000));
        let json = within(&record, Some(&result), &app, 262_144);
        assert!(json.len() <= 262_144 && json.len() > 262_100, "{}", json.len());
        let payload: Value = serde_json::from_str(&json).unwrap();
        assert!(result.highlights.starts_with(payload["result"]["highlights"].as_str().unwrap()));

        let whole_json = whole(&record, Some(&result), &app).to_string();
        assert_eq!(within(&record, Some(&result), &app, whole_json.len()), whole_json);
    }
}
