//! What every destination is sent of the same outcomes, whole. The expected bodies are in `tests/snapshots`, to be read.

use super::fixtures::{LATER, NOW, hand_over, opened};
use super::stand_in::StandIn;
use local::destinations::{Kind, Received as Call};
use model::destination::{HubspotObject, Target};
use model::record::Record;
use model::result::{HighlightsResult, Session, SessionId, StoredResult};
use model::rules::{News, NewsOutcome, Received, Rules};
use serde_json::{Map, Value, json};
use std::{env, fs, path::PathBuf};

fn targets(stand_in: &StandIn) -> Vec<Target> {
    vec![
        Target::SlackChannel { channel: "C0123456789".into(), thread_ts: None },
        Target::SlackWebhook { webhook: "nps".into() },
        Target::Zendesk { ticket_id: "35436".into() },
        Target::Intercom { conversation_id: "525".into() },
        Target::Hubspot { object: HubspotObject::Contact, object_id: "101".into() },
        Target::Salesforce { record_id: "0035g00000ABCDEAA4".into() },
        Target::Teams { webhook: "support".into() },
        Target::Webhook { url: format!("{}/hook/crm", stand_in.there.url()) },
        Target::EventBridge { bus: Some("highlights".into()) },
        Target::StepFunctions { task_token: stand_in.there.issue_token() },
    ]
}

/// Compares what every destination is sent of the record's outcome with the file of this name.
fn check(name: &str, record: &Record) {
    let stand_in = StandIn::start();
    let mut sent = Map::new();
    for target in targets(&stand_in) {
        let before = stand_in.there.received().len();
        let delivered = hand_over(record, |handover| stand_in.deliver(handover, &target));
        assert!(delivered.is_ok(), "{target:?}: {delivered:?}");
        let calls = stand_in.there.received().split_off(before);
        let calls: Vec<Value> =
            calls.iter().filter(|call| call.kind != Kind::SalesforceToken).map(shown).collect();
        let name = match &target {
            Target::SlackWebhook { .. } => "slack webhook",
            target => target.type_name(),
        };
        sent.insert(name.to_owned(), Value::Array(calls));
    }
    check_file(name, &(serde_json::to_string_pretty(&sent).unwrap() + "\n"));
}

/// The call, with JSON in texts unfolded, and without what is another in every run.
fn shown(call: &Call) -> Value {
    let unfolded = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
    let mut body = call.body.clone();
    match call.kind {
        Kind::EventBridge => {
            let detail: Value = unfolded(&body["Entries"][0]["Detail"]);
            body["Entries"][0]["Detail"] = detail;
        }
        Kind::StepFunctions => {
            body["taskToken"] = json!("(its token)");
            for field in ["output", "cause"] {
                if body[field].is_string() {
                    body[field] = unfolded(&body[field]);
                }
            }
        }
        Kind::Slack if body["thread_ts"].is_string() => body["thread_ts"] = json!("(the first one's)"),
        _ => {}
    }
    json!({ "call": format!("{} {}", call.method, call.path), "body": body })
}

fn check_file(name: &str, written: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.json"));
    if env::var("UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
        fs::write(&path, written).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(written.lines()).find(|(old, new)| old != new);
    assert!(
        expected == written,
        "{} differs: {differs:#?}\n\nIf it is to be so: UPDATE_SNAPSHOTS=1 cargo test -p webhook, and read the diff.",
        path.display(),
    );
}

fn session(recording: &str, highlights: &str) -> Session {
    let session_id = SessionId::Number(0);
    Session { recording_id: recording.into(), session_id, highlights: highlights.into() }
}

fn ready(body: Value, highlights: &str, sessions: Vec<Session>) -> Record {
    let result = HighlightsResult { highlights: highlights.into(), sessions };
    received(body, NewsOutcome::Ready(StoredResult::pack(&result).unwrap()))
}

fn received(body: Value, outcome: NewsOutcome) -> Record {
    let news = News { opened: NOW, attempt: 1, log_rocket_request_id: "0cc1".into(), outcome };
    let rules = Rules { max_attempts: 1, ..Rules::default() };
    match opened(body).receive(&news, LATER, &rules) {
        Received::Changed(record) => *record,
        other => panic!("{other:?}"),
    }
}

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com", "question": "Why did checkout fail?", "metadata": { "nps": "3" } })
}

const CART: &str = "[checks out their cart](https://app.logrocket.com/org/app/s/5-14de/0?t=1715564734801)";
const ERROR: &str = "[encounters an error](https://app.logrocket.com/org/app/s/5-3cde/0?t=1715564554783)";

#[test]
fn the_documented_example() {
    let session = session("5-3cde", &format!("The user {ERROR}."));
    check("documented", &ready(alice(), &format!("The user {CART} and {ERROR}."), vec![session]));
}

#[test]
fn ten_long_sessions() {
    let text = format!("The user {CART}, waits and tries again.\n\n- {ERROR}\n- leaves\n\n").repeat(6);
    let sessions = (0..10).map(|n| session(&format!("5-{n}"), &text)).collect();
    check("ten_long_sessions", &ready(alice(), &text, sessions));
}

#[test]
fn no_sessions() {
    check("no_sessions", &ready(alice(), "No sessions were found for this user.", Vec::new()));
}

#[test]
fn one_session() {
    let body = json!({ "userID": "42" });
    check("one_session", &ready(body, "The user pays.", vec![session("5-a", "Pays.")]));
}

#[test]
fn scripts_other_than_latin() {
    let sessions = vec![
        session("5-a", "لا يستطيع المستخدم **الدفع** مقابل `checkout`."),
        session("5-b", "המשתמש **לא הצליח** לשלם: «שגיאה»."),
        session("5-c", "用户**无法付款**，然后离开。ユーザーは_再試行_します。 👩\u{200d}💻"),
    ];
    let body = json!({ "userID": "小林", "question": "なぜ失敗したのですか？" });
    check("scripts", &ready(body, "Пользователь _не смог_ оплатить.", sessions));
}

#[test]
fn a_failure() {
    check("failed", &received(alice(), NewsOutcome::Failed));
}

#[test]
fn an_expiry() {
    check("expired", &opened(alice()).expire(LATER, &Rules::default()).unwrap());
}
