//! The Markdown page that people read, whole.

#![cfg(test)]

mod shared;

use judges::with_links;
use model::answer::Refusal;
use model::page::{MAX_PARTS, of, parts};
use model::record::Record;
use model::render::{Document, SafeUrl, markdown};
use model::result::{HighlightsResult, SessionId, StoredResult};
use model::rules::{News, NewsOutcome, Received, Rules};
use model::token::CallbackKeys;
use model::view;
use model::view_link::ViewLink;
use secrecy::SecretSlice;
use serde_json::json;
use shared::pages::{NOW, documented, opened, received, result, session};
use std::time::Duration;

fn page(record: &Record) -> String {
    let result = record.unpack_result().unwrap();
    with_links(|links| view::markdown(record, result.as_ref(), links))
}

fn ready(body: &str, result: &HighlightsResult) -> String {
    page(&received(&opened(body), NewsOutcome::Ready(StoredResult::pack(result).unwrap())))
}

#[test]
fn the_documented_example() {
    let result = documented();
    let shown = ready(r#"{"userEmail":"alice@example.com","question":"Why did checkout fail?"}"#, &result);
    assert_eq!(
        shown,
        "\
# Highlights of `alice@example.com`

> Why did checkout fail?

The user [checks out their cart](https://app.logrocket.com/org/app/s/5-14de/0?t=1715564734801) and \
[encounters an error](https://app.logrocket.com/org/app/s/5-3cde/0?t=1715564554783).

## Sessions

- [Session 1](https://app.logrocket.com/org/app/s/5-3cde/0): \
The user [encounters an error](https://app.logrocket.com/org/app/s/5-3cde/0?t=1715564554783).

[All sessions of this user](https://app.logrocket.com/org/app/sessions?e=alice%40example.com)

_Request 9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31_
"
    );
}

#[test]
fn ten_sessions_of_several_blocks_each() {
    let text =
        "# What happened\n\nThe user **waits**.\n\n1. pays\n2. waits\n   - again\n\n```\nTypeError\n```";
    let sessions = (0..10).map(|number| session("5-a", number, text)).collect();
    let mut expected = "\
# Highlights of 42

### Overview

Much of the same.

## Sessions
"
    .to_owned();
    for number in 0..10 {
        expected.push_str(&format!(
            "
- [Session {}](https://app.logrocket.com/org/app/s/5-a/{number})

  ### What happened

  The user **waits**.

  1. pays
  2. waits
     - again

  ```
  TypeError
  ```
",
            number + 1
        ));
    }
    expected.push_str(
        "
[All sessions of this user](https://app.logrocket.com/org/app/sessions?u=42)

_Request 9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31_
",
    );
    assert_eq!(ready(r#"{"userID":"42"}"#, &result("Overview\n===\nMuch of\nthe same.", sessions)), expected);
}

#[test]
fn one_line_for_each_short_session() {
    let sessions = vec![session("5-a", 0, "Pays."), session("5-b", 1, "Leaves.\n"), session("5-c", 2, " ")];
    assert_eq!(
        ready(r#"{"userID":"42"}"#, &result("Pays and leaves.", sessions)),
        "\
# Highlights of 42

Pays and leaves.

## Sessions

- [Session 1](https://app.logrocket.com/org/app/s/5-a/0): Pays.
- [Session 2](https://app.logrocket.com/org/app/s/5-b/1): Leaves.
- [Session 3](https://app.logrocket.com/org/app/s/5-c/2)

[All sessions of this user](https://app.logrocket.com/org/app/sessions?u=42)

_Request 9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31_
"
    );
}

#[test]
fn no_sessions() {
    let without = |said: &str| {
        format!(
            "\
# Highlights of 42

{said}

[All sessions of this user](https://app.logrocket.com/org/app/sessions?u=42)

_Request 9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31_
"
        )
    };
    let shown = ready(r#"{"userID":"42"}"#, &result("No sessions were found for this user.", Vec::new()));
    assert_eq!(shown, without("No sessions were found for this user."));
    let shown = ready(r#"{"userID":"42"}"#, &result(" \n", Vec::new()));
    assert_eq!(shown, without("LogRocket found nothing to say."));
}

#[test]
fn scripts_other_than_latin() {
    let sessions = vec![
        session("5-а", 0, "用户**无法付款**，然后离开。"),
        session("5-b", 0, "کاربر می‌خواهد **پرداخت** کند."),
        session("5-c", 0, "उपयोगकर्ता **भुगतान** नहीं कर सका। 👩‍💻 ❤️"),
    ];
    let result = result("Пользователь _не смог_ оплатить: «ошибка».", sessions);
    assert_eq!(
        ready(r#"{"userID":"小林","question":"なぜ失敗したのですか？\n早く！"}"#, &result),
        "\
# Highlights of 小林

> なぜ失敗したのですか？\\
> 早く！

Пользователь _не смог_ оплатить: «ошибка».

## Sessions

- [Session 1](https://app.logrocket.com/org/app/s/5-%D0%B0/0): 用户**无法付款**，然后离开。
- [Session 2](https://app.logrocket.com/org/app/s/5-b/0): کاربر می‌خواهد **پرداخت** کند.
- [Session 3](https://app.logrocket.com/org/app/s/5-c/0): उपयोगकर्ता **भुगतान** नहीं कर सका। 👩‍💻 ❤️

[All sessions of this user](https://app.logrocket.com/org/app/sessions?u=%E5%B0%8F%E6%9E%97)

_Request 9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31_
"
    );
}

#[test]
fn pending_refused_failed_and_expired_say_so() {
    let said = |record: &Record| {
        let shown = page(record);
        let (title, rest) = shown.split_once("\n\n").unwrap();
        assert_eq!(title, "# Highlights of 42");
        let (said, rest) = rest.split_once("\n\n").unwrap();
        assert_eq!(
            rest,
            "\
[All sessions of this user](https://app.logrocket.com/org/app/sessions?u=42)

_Request 9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31_
"
        );
        said.to_owned()
    };
    let record = opened(r#"{"userID":"42"}"#);
    assert_eq!(said(&record), "LogRocket is at work on them: ask again in a minute.");
    let message = |record: &Record| record.failure.as_ref().unwrap().message.clone();
    let expired = record.expire(NOW, &Rules::default()).unwrap();
    assert_eq!(said(&expired), format!("EXPIRED: {}", message(&expired)));
    let news =
        News { opened: NOW, attempt: 1, log_rocket_request_id: "0cc1".into(), outcome: NewsOutcome::Failed };
    let rules = Rules { max_attempts: 1, ..Rules::default() };
    let Received::Changed(failed) = record.receive(&news, NOW, &rules) else { panic!("not received") };
    assert_eq!(said(&failed), format!("FAILED: {}", message(&failed)));
    // Somebody else's words are in this one.
    let refusal = Refusal { status: 400, message: "<b>no</b> [x](javascript:x) https://evil.com".into() };
    let refused = record.refuse(1, &refusal, false, NOW, &Rules::default()).unwrap();
    let refused = said(&refused);
    assert!(refused.contains(r"\<b\>no\</b\> \[x\](javascript:x) `https://evil.com`"), "{refused}");
}

#[test]
fn what_the_caller_and_the_ids_say_is_text() {
    let mut hostile = session("a](https://evil.com)/..", 0, "x");
    hostile.session_id = SessionId::Text("<i>".into());
    let dots = session("..", 0, "y");
    let body = json!({ "userID": "u\n# [x](https://evil.com)", "question": "why\n\n# y?\n- z\u{202e}" });
    assert_eq!(
        ready(&body.to_string(), &result("<script>", vec![hostile, dots])),
        "\
# Highlights of u \\# \\[x\\](`https://evil.com`)

> why
>
> \\# y?\\
> \\- z

\\<script\\>

## Sessions

- [Session 1](https://app.logrocket.com/org/app/s/a%5D%28https:%2F%2Fevil.com%29%2F../%3Ci%3E): x
- Session 2 (../0): y

[All sessions of this user](https://app.logrocket.com/org/app/sessions?u=u%0A%23%20%5Bx%5D%28https%3A%2F%2Fevil.com%29)

_Request 9a2d0bd4-37f8-575f-8e2e-9e67a9b6be31_
"
    );
}

#[test]
fn a_long_page_comes_in_parts_that_say_which_they_are_and_where_the_rest_is() {
    let record = opened(r#"{"userID":"42"}"#);
    let parts_of = |words: usize| {
        let result = result(&"The user checks out. ".repeat(words), vec![session("5-3cde", 0, "x")]);
        let record = received(&record, NewsOutcome::Ready(StoredResult::pack(&result).unwrap()));
        with_links(|links| {
            let page = of(&record, Some(&result), links);
            let measure = |document: &Document| markdown::write(document).len();
            let parts = parts(page, &record.request_id, links, 1_000, measure);
            parts.iter().map(markdown::write).collect::<Vec<_>>()
        })
    };
    assert_eq!(parts_of(20).len(), 1);
    for words in [60, 200, 500, 5_000] {
        let parts = parts_of(words);
        assert!(parts.iter().all(|part| part.len() <= 1_000));
        assert!(parts[0].starts_with("# Highlights of 42\n"));
        for (index, part) in parts.iter().enumerate().skip(1) {
            assert!(part.starts_with(&format!("_Part {} of {}_\n", index + 1, parts.len())), "{part}");
        }
        let all = parts.last().unwrap().ends_with(&format!("_Request {}_\n", record.request_id));
        let more =
            format!("_There is more than fits here: GET /highlights/{} has all of it._", record.request_id);
        assert_eq!(parts.concat().contains(&more), !all);
        assert_eq!(parts.len() == MAX_PARTS, !all, "{words}");
    }
}

/// A link of ours, as messages carry it.
fn page_link(record: &Record) -> SafeUrl {
    let keys = CallbackKeys::new(vec![SecretSlice::from(vec![7; 32])]).unwrap();
    let week = Duration::from_secs(7 * 86_400);
    let link = ViewLink::view(&record.request_id, record.created_at, record.expires_at, week, NOW);
    link.url(&"https://highlights.example.com".parse().unwrap(), &keys)
}

#[test]
fn the_link_to_the_page_stands_where_we_put_it_and_no_text_can_link_to_our_host() {
    let record = opened(r#"{"userID":"https://highlights.example.com/view/1"}"#);
    let link = page_link(&record);
    let own = link.as_str();
    let hostile = format!("[a]({own}) <{own}> {own}\n\n[b](https://highlights.example.com/view/1)");
    let result = result(&hostile, vec![session("5-3cde", 0, &hostile)]);
    let record = received(&record, NewsOutcome::Ready(StoredResult::pack(&result).unwrap()));
    let shown = with_links(|links| {
        let links = links.clone().with_page(Some(link.clone()));
        markdown::write(&of(&record, Some(&result), &links))
    });
    let expected = format!("\n[Open in the browser]({own})\n\n_Request ");
    assert!(shown.contains(&expected), "{shown}");
    assert_eq!(shown.matches("](https://highlights.example.com").count(), 1, "{shown}");
    assert!(shown.contains("\na `") && shown.contains("\nb\n"), "{shown}");
}

#[test]
fn the_last_part_of_a_page_that_is_too_long_links_to_all_of_it() {
    let result = result(&"The user checks out. ".repeat(5_000), Vec::new());
    let record =
        received(&opened(r#"{"userID":"42"}"#), NewsOutcome::Ready(StoredResult::pack(&result).unwrap()));
    let link = page_link(&record);
    with_links(|links| {
        let links = links.clone().with_page(Some(link.clone()));
        let measure = |document: &Document| markdown::write(document).len();
        let parts = parts(of(&record, Some(&result), &links), &record.request_id, &links, 1_000, measure);
        assert!(parts.iter().all(|part| measure(part) <= 1_000));
        let last = markdown::write(parts.last().unwrap());
        let rest = format!(
            "There is more than fits here: [the page in the browser has all of it]({})",
            link.as_str()
        );
        assert!(last.contains(&rest), "{last}");
    });
}
