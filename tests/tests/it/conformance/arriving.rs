//! What arrives: a result, a failure, the end of waiting, a result without sessions, any script.

use super::seen::PAGE;
use super::{CASES, Case, Round, Told, request, result, world, world_with};
use local::destinations::Kind;
use local::logrocket::Outcome;
use serde_json::{Value, json};

/// Asserts that each of these follows the one before.
#[track_caller]
fn assert_in_order(name: &str, text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("{name}: {part:?} is not in its place: {text}") };
        rest = &rest[at + part.len()..];
    }
}

#[tokio::test]
async fn a_result_arrives_whole_at_the_first_try_in_its_place() {
    let world = world().await;
    let round = Round::ask_all(&world).await.result(&result()).await;
    for told in round.ended().await {
        told.assert_delivered(1);
        let name = told.name();
        assert_eq!(told.calls.len(), 1, "{name}: {:#?}", told.calls);
        assert_eq!(told.calls[0].complaint, None, "{name}");
        let id = if told.case.has_id { json!(told.messages[0].id) } else { Value::Null };
        assert_eq!(told.delivery["externalID"], id, "{name}");
        assert_eq!(told.delivery["externalID"].is_string(), told.case.has_id, "{name}");
        if told.case.is_people_facing() {
            assert_reads_well(&told);
        } else {
            assert_eq!(told.payloads()[0], payload(&told, &world.read(&told.id).await), "{name}");
        }
    }
    // Both of Salesforce's cases came at once, and shared a token.
    assert_eq!(world.destinations.wait_for(Kind::SalesforceToken, 1).await.unwrap().len(), 1);
    let event =
        world.destinations.wait_for(Kind::EventBridge, 1).await.unwrap()[0].body["Entries"][0].clone();
    assert_eq!(
        (&event["Source"], &event["DetailType"]),
        (&json!("galileo-highlights"), &json!("Highlights Status Change"))
    );
}

/// Whose highlights, the question, the answer, the sessions with a link each, all sessions, the page, the requestID.
fn assert_reads_well(told: &Told) {
    let (name, mut seen) = (told.name(), told.seen().remove(0));
    seen.text.retain(|c| c != '\u{200c}');
    let parts = [
        "Highlights of",
        "alice@example.com",
        "Why did checkout fail?",
        "The user checks out their cart",
        "and gives up behind",
        "an error",
        "timeout",
        "Sessions",
        "Session 1",
        "encounters an error",
        "Session 2",
        "reloads the page twice.",
        "All sessions of this user",
        "Open in the browser",
        &told.id,
    ];
    assert_in_order(name, &seen.text, &parts);
    assert!(
        !seen.text.contains("**") && !seen.text.contains("]("),
        "{name}: Markdown is left: {}",
        seen.text
    );
    assert_eq!(seen.active, [""; 0], "{name}");
    let (_, page) = seen.links.pop().unwrap();
    assert!(page.starts_with(&format!("{PAGE}{}?expires=", told.id)), "{name}: {page}");
    let urls: Vec<&str> = seen.links.iter().map(|(_, url)| url.as_str()).collect();
    let app = "https://app.logrocket.com/acme/shop";
    let expected = [
        format!("{app}/s/5-14de/0?t=1715564734801"),
        format!("{app}/s/5-3cde/1?t=1715564554783"),
        format!("{app}/s/5-3cde/1"),
        format!("{app}/s/5-3cde/1?t=1715564554783"),
        format!("{app}/s/5-14de/0"),
        format!("{app}/sessions?e=alice%40example.com"),
    ];
    assert_eq!(urls, expected, "{name}");
    if told.case.kind != Kind::Salesforce {
        let texts: Vec<&str> = seen.links.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(
            texts[2..],
            ["Session 1", "encounters an error", "Session 2", "All sessions of this user"],
            "{name}"
        );
    }
}

/// LogRocket's own payload, with our id and what was given along.
fn payload(told: &Told, read: &Value) -> Value {
    json!({
        "requestID": told.id,
        "appID": "acme/shop",
        "status": "READY",
        "result": result(),
        "logRocketRequestID": read["attempts"][0]["logRocketRequestID"],
        "metadata": { "nps": "3", "note": "é" },
    })
}

#[tokio::test]
async fn a_failure_and_the_end_of_waiting_are_said_in_words() {
    let world = world_with(&[("MAX_ATTEMPTS", "1"), ("PENDING_TIMEOUT_SECONDS", "1")]).await;
    let wanted = json!({ "onFailure": true });

    // 1. LogRocket fails, and everybody hears of it who wants to.
    let failed = Round::ask(&world, CASES, &request(), &wanted).await;
    let unwanted =
        Round::ask(&world, CASES.iter().filter(|case| case.is_people_facing()), &request(), &Value::Null)
            .await;
    for id in failed.ids().iter().chain(&unwanted.ids()) {
        assert_eq!(world.tell(id, 1, Outcome::Failed).await, 200);
    }
    for told in unwanted.ended().await {
        assert_eq!(
            (told.status(), told.attempts(), told.last_error()),
            ("SKIPPED", 0, "onFailure is false"),
            "{}",
            told.name()
        );
    }
    // What is seen in all places is of those who want it.
    for told in failed.ended().await {
        assert_says(&told, "FAILED", &world.read(&told.id).await);
    }

    // 2. Nothing comes of it in time.
    let expired = Round::ask(&world, CASES, &request(), &wanted).await;
    world.sweep_until_all(&expired.ids(), "EXPIRED").await;
    for told in expired.ended().await {
        assert_says(&told, "EXPIRED", &world.read(&told.id).await);
    }
}

fn assert_says(told: &Told, status: &str, read: &Value) {
    let name = told.name();
    told.assert_delivered(1);
    if told.case.is_people_facing() {
        let seen = told.seen().remove(0);
        let words = read["failure"]["message"].as_str().unwrap();
        let parts = [
            "Why did checkout fail?",
            status,
            words,
            "All sessions of this user",
            "Open in the browser",
            &told.id,
        ];
        assert_in_order(name, &seen.text, &parts);
        assert_eq!(seen.active, [""; 0], "{name}");
        return;
    }
    let payload = told.payloads().remove(0);
    assert_eq!((&payload["status"], &payload["result"]), (&json!(status), &Value::Null), "{name}");
    assert_eq!(payload["failure"], read["failure"], "{name}");
    assert_eq!(payload["metadata"]["nps"], "3", "{name}");
    if told.case.kind == Kind::StepFunctions {
        // What a workflow's `Catch` matches.
        assert_eq!(told.calls[0].body["error"], status);
        assert!(told.messages[0].text.starts_with("failed\n"), "{}", told.messages[0].text);
    }
}

#[tokio::test]
async fn a_result_without_sessions_is_sent_to_whom_it_is_to_be_and_to_nobody_else() {
    let world = world().await;
    let empty = json!({ "highlights": "There is nothing to see.", "sessions": [] });
    let skip =
        Round::ask(&world, CASES, &request(), &json!({ "whenEmpty": "skip" })).await.result(&empty).await;
    for told in skip.ended().await {
        let ended = (told.status(), told.attempts(), told.last_error());
        assert_eq!(ended, ("SKIPPED", 0, "there are no sessions, and whenEmpty is skip"), "{}", told.name());
        assert!(told.calls.is_empty(), "{}", told.name());
    }
    let send =
        Round::ask(&world, CASES, &request(), &json!({ "whenEmpty": "send" })).await.result(&empty).await;
    for told in send.ended().await {
        told.assert_delivered(1);
        if told.case.is_people_facing() {
            let seen = told.seen().remove(0);
            let parts = [
                "Why did checkout fail?",
                "There is nothing to see.",
                "All sessions of this user",
                "Open in the browser",
                &told.id,
            ];
            assert_in_order(told.name(), &seen.text, &parts);
            assert!(
                !seen.text.contains("Session 1") && seen.links.len() == 2,
                "{}: {}",
                told.name(),
                seen.text
            );
        } else {
            assert_eq!(told.payloads()[0]["result"], empty, "{}", told.name());
        }
    }
    // Who says nothing of it: people are spared, machines are told.
    let usual = Round::ask(&world, CASES, &request(), &Value::Null).await.result(&empty).await;
    for told in usual.ended().await {
        let status = if told.case.is_people_facing() { "SKIPPED" } else { "DELIVERED" };
        assert_eq!(told.status(), status, "{}", told.name());
    }
}

/// With what goes astray first: joiners, signs that combine, characters of two UTF-16 units, letters from right to
/// left, and punctuation that looks like ours.
const SCRIPTS: [&str; 12] = [
    "ユーザーは購入手続きを進め、エラーに遭遇します。",
    "用户结账时遇到错误：“支付失败”。𠮷野家",
    "사용자가 결제 중에 오류를 만납니다",
    "يواجه المستخدم خطأً عند الدفع",
    "کاربر می‌خواهد پرداخت کند",
    "המשתמש נתקל בשגיאה בתשלום",
    "उपयोगकर्ता भुगतान करते समय क्ष त्रुटि देखता है",
    "ผู้ใช้พบข้อผิดพลาดระหว่างชำระเงิน",
    "Ο χρήστης αντιμετωπίζει σφάλμα",
    "Пользователь сталкивается с ошибкой",
    "Zoë naı̈ve café Łódź ﬁn ẞ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇺🇦 ❤️",
];

#[tokio::test]
async fn every_script_arrives_unharmed() {
    let world = world().await;
    let text = SCRIPTS.join("\n\n");
    let asked = json!({ "userID": SCRIPTS[0], "question": SCRIPTS[4], "metadata": { "ключ": SCRIPTS[11] } });
    let link = |text: &str| format!("[{text}](https://app.logrocket.com/acme/shop/s/5-14de/0)");
    let answer = json!({
        "highlights": text,
        "sessions": [{ "recordingID": "5-14de", "sessionID": 0, "highlights": link(SCRIPTS[3]) }],
    });
    let round = Round::ask(&world, CASES, &asked, &Value::Null).await.result(&answer).await;
    for told in round.ended().await {
        told.assert_delivered(1);
        let case: &Case = told.case;
        if !case.is_people_facing() {
            let payload = told.payloads().remove(0);
            assert_eq!(
                (&payload["result"], &payload["metadata"]),
                (&answer, &asked["metadata"]),
                "{}",
                case.name
            );
            continue;
        }
        let seen = told.seen().remove(0);
        assert_in_order(case.name, &seen.text, &[SCRIPTS[0], SCRIPTS[4]]);
        assert_in_order(case.name, &seen.text, &SCRIPTS);
        assert_in_order(case.name, &seen.text, &[SCRIPTS[11], SCRIPTS[3]]);
        assert_eq!(seen.active, [""; 0], "{}", case.name);
        // As its vendor shows it, too.
        for script in SCRIPTS {
            assert!(
                told.messages[0].text.contains(script),
                "{}: {script}: {}",
                case.name,
                told.messages[0].text
            );
        }
    }
}
