//! Records and results that pages are made of.

use model::id::RequestId;
use model::record::Record;
use model::request::{NewRequest, RequestRules};
use model::result::{HighlightsResult, Session, SessionId};
use model::rules::{News, NewsOutcome, Origin, Received, Rules};
use model::time::Time;
use serde_json::json;

pub const NOW: Time = Time(1_715_481_030_123);
const ID: &str = "9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31";

pub fn opened(body: &str) -> Record {
    let new = NewRequest::parse(body.as_bytes(), &RequestRules::default()).unwrap();
    let origin = Origin { caller: "ops".into(), opening: "run".into() };
    Record::open(RequestId::parse(ID).unwrap(), origin, new, None, NOW, &Rules::default())
}

pub fn received(record: &Record, outcome: NewsOutcome) -> Record {
    let news = News { opened: NOW, attempt: 1, log_rocket_request_id: "0cc1".into(), outcome };
    match record.receive(&news, Time(NOW.0 + 60_000), &Rules::default()) {
        Received::Changed(next) => *next,
        other => panic!("{other:?}"),
    }
}

pub fn session(recording: &str, number: u64, highlights: &str) -> Session {
    let session_id = SessionId::Number(number);
    Session { recording_id: recording.into(), session_id, highlights: highlights.into() }
}

pub fn result(highlights: &str, sessions: Vec<Session>) -> HighlightsResult {
    HighlightsResult { highlights: highlights.into(), sessions }
}

/// As LogRocket's documentation has it.
pub fn documented() -> HighlightsResult {
    let documented = json!({
        "highlights": "The user [checks out their cart](https://app.logrocket.com/org/app/s/5-14de/0?t=1715564734801) and [encounters an error](https://app.logrocket.com/org/app/s/5-3cde/0?t=1715564554783).",
        "sessions": [{
            "recordingID": "5-3cde",
            "sessionID": 0,
            "highlights": "The user [encounters an error](https://app.logrocket.com/org/app/s/5-3cde/0?t=1715564554783).",
        }],
    });
    serde_json::from_value(documented).unwrap()
}
