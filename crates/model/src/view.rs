//! What callers are shown of a record. No secret, task token or callback token is in it.

use crate::delivery::{Delivery, DeliveryKey, DeliveryState, OutcomeKind};
use crate::destination::Destination;
use crate::page;
use crate::record::{AttemptState, Record, Status, Summary};
use crate::render::{self, Links};
use crate::result::{HighlightsResult, MAX_JSON_BYTES, escaped_bytes};
use crate::time::Time;
use serde_json::{Value, json};

/// The answer to a request: its id, under both names, and how it stands.
pub fn receipt(summary: &Summary) -> Value {
    json!({
        "requestID": summary.request_id.as_str(),
        "id": summary.request_id.as_str(),
        "status": summary.status,
        "createdAt": summary.created_at.to_string(),
    })
}

/// One entry of a list.
pub fn listed(summary: &Summary) -> Value {
    let (subject, name) = summary.request.subject.as_field();
    // An attempt that LogRocket surely did not take is not one that it was asked.
    let attempts: Vec<Value> = summary
        .attempts
        .values()
        .filter(|attempt| attempt.state != AttemptState::NotTaken)
        .map(|attempt| {
            json!({
                "logRocketRequestID": attempt.log_rocket_request_id,
                "startedAt": attempt.started_at.to_string(),
            })
        })
        .collect();
    json!({
        "requestID": summary.request_id.as_str(),
        "status": summary.status,
        subject: name,
        "question": summary.request.question,
        "timeRange": summary.request.time_range,
        "metadata": summary.request.metadata,
        "createdAt": summary.created_at.to_string(),
        "completedAt": summary.completed_at.map(|at| at.to_string()),
        "failure": summary.failure,
        "attempts": attempts,
    })
}

/// The entries of a list: all, or as many of the first as an answer carries.
pub fn list(summaries: &[Summary]) -> Vec<Value> {
    let mut room = MAX_JSON_BYTES;
    let fits = |entry: &Value| {
        let left = room.checked_sub(escaped_bytes(&entry.to_string()) + 1);
        room = left.unwrap_or(0);
        left.is_some()
    };
    summaries.iter().map(listed).take_while(fits).collect()
}

/// The whole request, with its unpacked result.
pub fn whole(record: &Record, result: Option<&HighlightsResult>) -> Value {
    let mut view = listed(&Summary::from(record));
    view["result"] = json!(result);
    view["deliveries"] = deliveries(record);
    view
}

/// How a request's deliveries stand.
pub fn redelivery(record: &Record) -> Value {
    json!({
        "requestID": record.request_id.as_str(),
        "status": record.status,
        "deliveries": deliveries(record),
    })
}

/// One delivery, as it is shown.
pub(crate) struct ShownDelivery<'a> {
    pub destination: &'a Destination,
    /// `None` while there is no outcome to be delivered.
    pub outcome: Option<OutcomeKind>,
    /// `None` if it has not been looked at yet.
    pub mark: Option<&'a Delivery>,
    pub next_at: Option<Time>,
}

impl ShownDelivery<'_> {
    pub fn state(&self) -> DeliveryState {
        self.mark.map_or(DeliveryState::Pending, |mark| mark.state)
    }

    fn to_json(&self) -> Value {
        let mark = self.mark;
        json!({
            "destination": self.destination.target.to_public_json(),
            "outcome": self.outcome.map(OutcomeKind::as_str),
            "status": self.state(),
            "attempts": mark.map_or(0, |mark| mark.tries),
            "deliveredAt": mark.and_then(|mark| mark.delivered_at).map(|at| at.to_string()),
            "nextAttemptAt": self.next_at.map(|at| at.to_string()),
            "lastError": mark.and_then(|mark| mark.last_error.as_deref()),
            "externalID": mark.and_then(|mark| mark.progress.external_id.as_deref()),
        })
    }
}

fn deliveries(record: &Record) -> Value {
    shown_deliveries(record).iter().map(ShownDelivery::to_json).collect()
}

/// For each destination the delivery of the outcome that is, and behind it that of a failure before. A destination
/// without a mark yet has its delivery coming; none where the caller was told of a refusal himself.
pub(crate) fn shown_deliveries<'a>(record: &'a Record) -> Vec<ShownDelivery<'a>> {
    let current = OutcomeKind::of(record.status);
    let is_coming = record.status == Status::Pending || record.webhook_due_at.is_some();
    let mut all = Vec::new();
    for (index, destination) in record.destinations.iter().enumerate() {
        let mark = |outcome| record.deliveries.get(&DeliveryKey { destination: index, outcome });
        let mut show = |outcome, mark: Option<&'a Delivery>| {
            let next_at = match mark {
                Some(mark) => (mark.state == DeliveryState::Pending).then(|| mark.due_at()),
                None => record.webhook_due_at,
            };
            all.push(ShownDelivery { destination, outcome, mark, next_at });
        };
        match current.map(mark) {
            Some(Some(delivery)) => show(current, Some(delivery)),
            _ if is_coming => show(current, None),
            _ => {}
        }
        if current != Some(OutcomeKind::Failure)
            && let Some(before) = mark(OutcomeKind::Failure)
        {
            show(Some(OutcomeKind::Failure), Some(before));
        }
    }
    all
}

/// The highlights as a Markdown document, or what there is to say instead. Nothing in it is active but links into
/// LogRocket's app.
pub fn markdown(record: &Record, result: Option<&HighlightsResult>, links: &Links<'_>) -> String {
    render::markdown::write(&page::of(record, result, links))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Refusal;
    use crate::id::RequestId;
    use crate::request::{NewRequest, RequestRules};
    use crate::result::{Session, SessionId};
    use crate::rules::{News, NewsOutcome, Origin, Received, Rules};
    use crate::time::Time;

    const NOW: Time = Time(1_715_481_030_123);
    const RULES: fn() -> Rules = Rules::default;

    fn opened(body: &str) -> Record {
        let new = NewRequest::parse(body.as_bytes(), &RequestRules::default()).unwrap();
        let origin = Origin { caller: "ops".into(), opening: "run".into() };
        Record::open(RequestId::for_key("ops", "1"), origin, new, None, NOW, &RULES())
    }

    fn received(record: &Record, outcome: NewsOutcome) -> Record {
        let news = News { opened: NOW, attempt: 1, log_rocket_request_id: "0cc1".into(), outcome };
        match record.receive(&news, Time(NOW.0 + 60_000), &RULES()) {
            Received::Changed(next) => *next,
            other => panic!("{other:?}"),
        }
    }

    fn result() -> HighlightsResult {
        let session = |recording: &str, session_id| Session {
            recording_id: recording.into(),
            session_id,
            highlights: " The user encounters an error. \n".into(),
        };
        HighlightsResult {
            highlights: "The user checks out.\n".into(),
            sessions: vec![
                session("5-3cde", SessionId::Number(0)),
                session("5-4", SessionId::Text("a\n# b".into())),
            ],
        }
    }

    fn ready(record: &Record) -> Record {
        received(record, NewsOutcome::Ready(crate::result::StoredResult::pack(&result()).unwrap()))
    }

    #[test]
    fn a_pending_request_is_shown_whole_with_nulls() {
        let record = opened(r#"{"userEmail":"alice@example.com","destinations":[]}"#);
        let id = record.request_id.as_str();
        let expected = json!({
            "requestID": id,
            "status": "PENDING",
            "userEmail": "alice@example.com",
            "question": null,
            "timeRange": null,
            "metadata": {},
            "createdAt": "2024-05-12T02:30:30.123Z",
            "completedAt": null,
            "failure": null,
            "attempts": [{ "logRocketRequestID": null, "startedAt": "2024-05-12T02:30:30.123Z" }],
            "result": null,
            "deliveries": [],
        });
        assert_eq!(whole(&record, None), expected);
        let expected = json!({ "requestID": id, "id": id, "status": "PENDING", "createdAt": "2024-05-12T02:30:30.123Z" });
        assert_eq!(receipt(&Summary::from(&record)), expected);
    }

    #[test]
    fn a_ready_request_shows_its_result_as_logrocket_sent_it() {
        let record = ready(&opened(
            r#"{"userID":"u","question":"q","timeRange":{"startMs":1,"endMs":2},"metadata":{"nps":"3"}}"#,
        ));
        let shown = whole(&record, record.unpack_result().unwrap().as_ref());
        assert_eq!(shown["status"], "READY");
        assert_eq!((&shown["userID"], &shown["question"]), (&json!("u"), &json!("q")));
        assert_eq!(shown["timeRange"], json!({ "startMs": 1, "endMs": 2 }));
        assert_eq!(shown["metadata"], json!({ "nps": "3" }));
        assert_eq!(shown["completedAt"], "2024-05-12T02:31:30.123Z");
        assert_eq!(shown["attempts"][0]["logRocketRequestID"], "0cc1");
        assert_eq!(shown["result"]["highlights"], "The user checks out.\n");
        assert_eq!(shown["result"]["sessions"][0]["recordingID"], "5-3cde");
        assert_eq!(shown["result"]["sessions"][0]["sessionID"], 0);
        assert!(shown.get("userEmail").is_none());
    }

    #[test]
    fn a_list_shows_neither_result_nor_deliveries() {
        let record = ready(&opened(r#"{"userID":"u","webhookURL":"https://e.com"}"#));
        let (listed, whole) = (listed(&Summary::from(&record)), whole(&record, None));
        let fields = |view: &Value| view.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let left_out: Vec<_> = fields(&whole).into_iter().filter(|name| listed.get(name).is_none()).collect();
        assert_eq!(left_out, ["deliveries", "result"]);
        assert!(fields(&listed).iter().all(|name| whole[name] == listed[name]));
    }

    #[test]
    fn a_failure_says_why_and_counts_no_attempt_that_was_not_taken() {
        let refusal = Refusal { status: 401, message: String::new() };
        let record = opened(r#"{"userID":"u"}"#).refuse(1, &refusal, false, NOW, &RULES()).unwrap();
        let shown = whole(&record, None);
        assert_eq!((&shown["status"], &shown["attempts"]), (&json!("FAILED"), &json!([])));
        assert_eq!(shown["failure"]["code"], "LOGROCKET_REFUSED");
    }

    #[test]
    fn no_secret_is_shown() {
        let record = ready(&opened(
            r#"{"userID":"u","idempotencyKey":"hush-key","webhookURL":"https://e.com/hook?token=hush#hush",
                "destinations":[{"type":"stepFunctions","taskToken":"hush"},{"type":"slack","channel":"C1"}]}"#,
        ));
        let shown = whole(&record, None);
        assert!(!shown.to_string().contains("hush"), "{shown}");
        assert!(!format!("{record:?}").contains("hush"));
        assert!(!format!("{record:?}").contains("checks out"));
        let destinations: Vec<&Value> =
            shown["deliveries"].as_array().unwrap().iter().map(|delivery| &delivery["destination"]).collect();
        let expected = [
            json!({ "type": "stepFunctions" }),
            json!({ "type": "slack", "channel": "C1" }),
            json!({ "type": "webhook", "url": "https://e.com/hook?…" }),
        ];
        assert_eq!(destinations, expected.iter().collect::<Vec<_>>());
        for field in ["status", "attempts", "deliveredAt", "nextAttemptAt", "lastError"] {
            assert!(shown["deliveries"][0].get(field).is_some(), "{field}");
        }
    }
}
