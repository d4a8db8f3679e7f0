//! The page as each target is sent it, whole. The expected texts are in `snapshots/`, to be read.

#![cfg(test)]

mod shared;

use judges::with_links;
use model::page;
use model::record::Record;
use model::render::{card, html, slack, text};
use model::result::{HighlightsResult, StoredResult};
use model::rules::{News, NewsOutcome, Received, Rules};
use serde_json::json;
use shared::check_file;
use shared::pages::{NOW, documented, opened, received, result, session};

/// Compares what every target is sent of the record with the files of this name.
fn check(name: &str, record: &Record) {
    let result = record.unpack_result().unwrap();
    let page = with_links(|links| page::of(record, result.as_ref(), links));
    let card = json!({ "type": "AdaptiveCard", "version": "1.4", "body": card::body(&page) });
    check_file(&format!("{name}.md"), &slack::write(&page));
    // A line for each block, so that it can be read.
    let html = html::write(&page).replace("</p>", "</p>\n").replace("</li>", "</li>\n");
    check_file(&format!("{name}.html"), &html);
    check_file(&format!("{name}.json"), &(serde_json::to_string_pretty(&card).unwrap() + "\n"));
    check_file(&format!("{name}.txt"), &text::write(&page));
}

fn ready(body: &str, result: &HighlightsResult) -> Record {
    received(&opened(body), NewsOutcome::Ready(StoredResult::pack(result).unwrap()))
}

#[test]
fn the_documented_example() {
    let body = r#"{"userEmail":"alice@example.com","question":"Why did checkout fail?"}"#;
    check("documented", &ready(body, &documented()));
}

#[test]
fn ten_long_sessions() {
    let text = "# What happened\n\nThe user **waits** & _leaves_.\n\n3. pays\n4. waits\n   - again\n\n\
                > <b>Sorry</b>\n\n```\nTypeError {\n    at <pay>\n}\n```\n\nSee [the error](https://app.logrocket.com/org/app/s/5-a/0?t=1&x=2).";
    let sessions = (0..10).map(|number| session("5-a", number, text)).collect();
    let result = result("Overview\n===\nMuch of\nthe same at https://shop.example.com/pay.", sessions);
    check("ten_long_sessions", &ready(r#"{"userID":"42"}"#, &result));
}

#[test]
fn one_session() {
    let result = result("The user pays.", vec![session("5-a", 0, "Pays.")]);
    check("one_session", &ready(r#"{"userID":"42"}"#, &result));
}

#[test]
fn no_sessions() {
    let result = result("No sessions were found for this user.", Vec::new());
    check("no_sessions", &ready(r#"{"userID":"42"}"#, &result));
}

#[test]
fn scripts_other_than_latin() {
    let sessions = vec![
        session("5-a", 0, "لا يستطيع المستخدم **الدفع** مقابل `checkout`."),
        session("5-b", 0, "המשתמש **לא הצליח** לשלם: «שגיאה»."),
        session("5-c", 0, "用户**无法付款**，然后离开。ユーザーは_再試行_します。"),
        session("5-d", 0, "지불 ❤️ 👩‍💻 🇩🇪"),
        session("5-e", 0, "کاربر می‌خواهد پرداخت کند."),
    ];
    let result = result("Пользователь _не смог_ оплатить: «ошибка».", sessions);
    check("scripts", &ready(r#"{"userID":"小林","question":"なぜ失敗したのですか？\n早く！"}"#, &result));
}

#[test]
fn failed() {
    let news =
        News { opened: NOW, attempt: 1, log_rocket_request_id: "0cc1".into(), outcome: NewsOutcome::Failed };
    let rules = Rules { max_attempts: 1, ..Rules::default() };
    let Received::Changed(failed) = opened(r#"{"userID":"42"}"#).receive(&news, NOW, &rules) else {
        panic!("not received")
    };
    check("failed", &failed);
}

#[test]
fn expired() {
    check("expired", &opened(r#"{"userID":"42"}"#).expire(NOW, &Rules::default()).unwrap());
}
