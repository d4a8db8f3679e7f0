//! What a caller may ask: each rule of the body at, under and over its limit.

#![cfg(test)]

use model::destination::{Destination, KnownDestinations, Target, WhenEmpty, parse_defaults};
use model::problem::{Kind, Problem};
use model::request::{MAX_BODY_BYTES, NewRequest, RequestRules, Subject};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

fn parse(body: &Value) -> Result<NewRequest, Problem> {
    NewRequest::parse(body.to_string().as_bytes(), &RequestRules::default())
}

fn parsed(body: &Value) -> NewRequest {
    parse(body).unwrap_or_else(|problem| panic!("{body}: {problem:?}"))
}

/// The body of a request by `userID`, with more fields.
fn with(more: &Value) -> Value {
    let mut body = json!({ "userID": "u" });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The pointers of everything that is wrong with the body.
fn wrong(body: &Value) -> Vec<String> {
    match parse(body) {
        Ok(_) => Vec::new(),
        Err(problem) => {
            assert_eq!(problem.kind, Kind::Invalid, "{body}");
            let mut pointers: Vec<String> = problem.errors.into_iter().map(|error| error.pointer).collect();
            pointers.sort();
            pointers
        }
    }
}

fn to(destination: Value) -> Value {
    with(&json!({ "destinations": [destination] }))
}

fn target(destination: Value) -> Destination {
    parsed(&to(destination)).destinations.remove(0)
}

#[test]
fn the_smallest_request_is_one_subject() {
    let request = parsed(&json!({ "userEmail": "alice@example.com" }));
    assert!(matches!(&request.question.subject, Subject::Email(email) if email == "alice@example.com"));
    assert!(request.destinations.is_empty() && request.max_age.is_none());
    let request = parsed(&json!({ "userID": "u", "userEmail": null }));
    assert!(matches!(&request.question.subject, Subject::Id(id) if id == "u"));
}

#[test]
fn a_subject_is_exactly_one_and_not_too_long() {
    for (body, pointer) in [
        (json!({}), "#/userEmail"),
        (json!({ "userEmail": null, "userID": null }), "#/userEmail"),
        (json!({ "userEmail": "a@b", "userID": "u" }), "#/userID"),
        (json!({ "userEmail": "" }), "#/userEmail"),
        (json!({ "userID": " \t" }), "#/userID"),
        (json!({ "userID": 7 }), "#/userID"),
        (json!({ "userID": "é".repeat(1025) }), "#/userID"),
        (json!({ "userEmail": "é".repeat(1025) }), "#/userEmail"),
    ] {
        assert_eq!(wrong(&body), [pointer], "{body}");
    }
    assert!(wrong(&json!({ "userID": "é".repeat(1024) })).is_empty());
    assert!(wrong(&json!({ "userEmail": "é".repeat(1024) })).is_empty());
}

#[test]
fn a_question_has_at_most_4000_characters() {
    assert!(wrong(&with(&json!({ "question": "é".repeat(4000) }))).is_empty());
    assert_eq!(wrong(&with(&json!({ "question": "é".repeat(4001) }))), ["#/question"]);
    assert_eq!(wrong(&with(&json!({ "question": ["why"] }))), ["#/question"]);
}

#[test]
fn a_time_range_has_two_integers_in_order() {
    let range = |range: Value| wrong(&with(&json!({ "timeRange": range })));
    assert!(range(json!({ "startMs": 0, "endMs": 1 })).is_empty());
    for (value, pointers) in [
        (json!([]), vec!["#/timeRange"]),
        (json!({}), vec!["#/timeRange/endMs", "#/timeRange/startMs"]),
        (json!({ "startMs": 1 }), vec!["#/timeRange/endMs"]),
        (json!({ "startMs": null, "endMs": 1 }), vec!["#/timeRange/startMs"]),
        (json!({ "startMs": "1", "endMs": 2.5 }), vec!["#/timeRange/endMs", "#/timeRange/startMs"]),
        (json!({ "startMs": -1, "endMs": 1 }), vec!["#/timeRange/startMs"]),
        (json!({ "startMs": 1, "endMs": 1 }), vec!["#/timeRange/endMs"]),
        (json!({ "startMs": 2, "endMs": 1 }), vec!["#/timeRange/endMs"]),
        (json!({ "startMs": 0, "endMs": u64::MAX }), vec!["#/timeRange/endMs"]),
        (json!({ "startMs": 0, "endMs": 9_007_199_254_740_991_u64 }), vec![]),
        (json!({ "startMs": 0, "endMs": 9_007_199_254_740_992_u64 }), vec!["#/timeRange/endMs"]),
        (json!({ "startMs": 2, "endMs": 1, "x": 1 }), vec!["#/timeRange/endMs", "#/timeRange/x"]),
    ] {
        assert_eq!(range(value.clone()), pointers, "{value}");
    }
}

#[test]
fn metadata_is_strings_of_at_most_2_kb_together() {
    let metadata = |metadata: Value| wrong(&with(&json!({ "metadata": metadata })));
    assert!(metadata(json!({ "nps": "3", "empty": "" })).is_empty());
    assert!(metadata(json!({ "n": "x".repeat(2047) })).is_empty());
    assert_eq!(metadata(json!({ "n": "x".repeat(2048) })), ["#/metadata"]);
    assert_eq!(metadata(json!({ "n": "é".repeat(1024) })), ["#/metadata"], "bytes, not characters");
    assert_eq!(metadata(json!("nps")), ["#/metadata"]);
    let pointers = ["#/metadata/", "#/metadata/a~1b~0c", "#/metadata/nps"];
    assert_eq!(metadata(json!({ "nps": 3, "a/b~c": null, "": "x" })), pointers);
}

#[test]
fn a_key_is_1_to_255_visible_ascii_characters() {
    for key in ["k".to_owned(), "k".repeat(255), "!~".to_owned()] {
        let request = parsed(&with(&json!({ "idempotencyKey": key })));
        assert_eq!(request.idempotency_key.unwrap().as_str(), key);
    }
    for key in [json!(""), json!("k".repeat(256)), json!("a b"), json!("é"), json!("a\n"), json!(7)] {
        assert_eq!(wrong(&with(&json!({ "idempotencyKey": key }))), ["#/idempotencyKey"], "{key}");
    }
}

#[test]
fn max_age_is_seconds_from_0_on() {
    for (age, seconds) in [(json!(0), 0), (json!(900), 900)] {
        assert_eq!(parsed(&with(&json!({ "maxAge": age }))).max_age, Some(Duration::from_secs(seconds)));
    }
    for age in [json!(-1), json!(1.5), json!("900"), json!(true)] {
        assert_eq!(wrong(&with(&json!({ "maxAge": age }))), ["#/maxAge"], "{age}");
    }
}

#[test]
fn null_is_absent() {
    let fields =
        ["question", "timeRange", "destinations", "webhookURL", "metadata", "idempotencyKey", "maxAge"];
    let mut body = json!({ "userID": "u", "userEmail": null });
    for field in fields {
        body[field] = Value::Null;
    }
    assert_eq!(parsed(&body), parsed(&json!({ "userID": "u" })));
    let plain = target(json!({ "type": "slack", "channel": "C1" }));
    let nulls = json!({ "type": "slack", "channel": "C1", "threadTs": null, "webhook": null, "onFailure": null, "whenEmpty": null });
    assert_eq!(target(nulls), plain);
}

#[test]
fn every_bad_field_is_named_at_once() {
    let body = json!({
        "question": "x".repeat(4001),
        "timeRange": { "startMs": "now", "endMs": -1, "zone": "UTC" },
        "destinations": [
            { "type": "zendesk", "ticketID": "x", "onFailure": 1, "colour": "red" },
            { "type": "pigeon", "onFailure": "yes", "whenEmpty": 5, "coop": 1 },
            { "onFailure": "yes", "whenEmpty": "never" },
            { "type": "slack", "channel": 5, "threadTs": "soon" },
            7,
        ],
        "webhookURL": "ftp://example.com",
        "metadata": { "nps": 3 },
        "idempotencyKey": "",
        "maxAge": -1,
        "colour": "red",
    });
    assert_eq!(
        wrong(&body),
        [
            "#/colour",
            "#/destinations/0/colour",
            "#/destinations/0/onFailure",
            "#/destinations/0/ticketID",
            "#/destinations/1/onFailure",
            "#/destinations/1/type",
            "#/destinations/1/whenEmpty",
            "#/destinations/2/onFailure",
            "#/destinations/2/type",
            "#/destinations/2/whenEmpty",
            "#/destinations/3/channel",
            "#/destinations/3/threadTs",
            "#/destinations/4",
            "#/idempotencyKey",
            "#/maxAge",
            "#/metadata/nps",
            "#/question",
            "#/timeRange/endMs",
            "#/timeRange/startMs",
            "#/timeRange/zone",
            "#/userEmail",
            "#/webhookURL",
        ]
    );
}

#[test]
fn unknown_fields_are_refused_by_name_and_the_known_ones_told() {
    let problem = parse(&with(&json!({ "user/ID~": 1 }))).unwrap_err();
    assert_eq!(problem.errors[0].pointer, "#/user~1ID~0");
    assert!(problem.errors[0].detail.contains("userEmail, userID, question, timeRange"));
    for body in [json!(null), json!([]), json!("x"), json!(1)] {
        assert_eq!(wrong(&body), ["#"], "{body}");
    }
}

#[test]
fn each_destination_takes_its_own_fields() {
    let token = "t".repeat(2048);
    for destination in [
        json!({ "type": "slack", "channel": "C1" }),
        json!({ "type": "slack", "channel": "C1", "threadTs": "1715481030.000100" }),
        json!({ "type": "slack", "webhook": "nps" }),
        json!({ "type": "zendesk", "ticketID": "35436" }),
        json!({ "type": "intercom", "conversationID": "215" }),
        json!({ "type": "hubspot", "contactID": "1" }),
        json!({ "type": "hubspot", "companyID": "1" }),
        json!({ "type": "hubspot", "dealID": "1" }),
        json!({ "type": "hubspot", "ticketID": "1" }),
        json!({ "type": "salesforce", "recordID": "001A000001m1c2X" }),
        json!({ "type": "salesforce", "recordID": "001A000001m1c2XAAA" }),
        json!({ "type": "teams", "webhook": "support" }),
        json!({ "type": "webhook", "url": "https://example.com/hook" }),
        json!({ "type": "eventBridge" }),
        json!({ "type": "eventBridge", "bus": "arn:aws:events:eu-west-1:1:event-bus/x" }),
    ] {
        assert_eq!(target(destination.clone()).target.to_public_json(), destination);
    }
    assert_eq!(
        target(json!({ "type": "zendesk", "ticketID": 35436 })).target.to_public_json()["ticketID"],
        "35436"
    );
    let shown = target(json!({ "type": "stepFunctions", "taskToken": token })).target.to_public_json();
    assert_eq!(shown, json!({ "type": "stepFunctions" }));
}

#[test]
fn a_bad_destination_is_named_by_its_field() {
    for (destination, field) in [
        (json!({ "channel": "C1" }), "type"),
        (json!({ "type": "" }), "type"),
        (json!({ "type": "Slack", "channel": "C1" }), "type"),
        (json!({ "type": "slackWebhook", "webhook": "nps" }), "type"),
        (json!({ "type": "slack" }), "channel"),
        (json!({ "type": "slack", "channel": "c".repeat(81) }), "channel"),
        (json!({ "type": "slack", "channel": "C1", "webhook": "nps" }), "webhook"),
        (json!({ "type": "slack", "channel": "C1", "threadTs": "1715481030" }), "threadTs"),
        (json!({ "type": "slack", "webhook": "nps", "threadTs": "1.2" }), "threadTs"),
        (json!({ "type": "slack", "webhook": "https://hooks.slack.com/x" }), "webhook"),
        (json!({ "type": "slack", "channel": "C1", "url": "x" }), "url"),
        (json!({ "type": "zendesk" }), "ticketID"),
        (json!({ "type": "zendesk", "ticketID": -1 }), "ticketID"),
        (json!({ "type": "zendesk", "ticketID": 1.5 }), "ticketID"),
        (json!({ "type": "zendesk", "ticketID": "1/../2" }), "ticketID"),
        (json!({ "type": "zendesk", "ticketID": "1".repeat(21) }), "ticketID"),
        (json!({ "type": "intercom", "conversationID": "" }), "conversationID"),
        (json!({ "type": "hubspot" }), "contactID"),
        (json!({ "type": "hubspot", "contactID": "1", "dealID": "2" }), "dealID"),
        (json!({ "type": "salesforce" }), "recordID"),
        (json!({ "type": "salesforce", "recordID": "001A000001m1c2" }), "recordID"),
        (json!({ "type": "salesforce", "recordID": "001A000001m1c2/A" }), "recordID"),
        (json!({ "type": "teams" }), "webhook"),
        (json!({ "type": "webhook" }), "url"),
        (json!({ "type": "webhook", "url": "/hook" }), "url"),
        (json!({ "type": "webhook", "url": "http://example.com" }), "url"),
        (json!({ "type": "webhook", "url": "javascript:alert(1)" }), "url"),
        (json!({ "type": "webhook", "url": "https://user:password@example.com/" }), "url"),
        (json!({ "type": "webhook", "url": "https://10.0.0.1/" }), "url"),
        (json!({ "type": "webhook", "url": format!("https://e.com/{}", "x".repeat(2035)) }), "url"),
        (json!({ "type": "eventBridge", "bus": "a b" }), "bus"),
        (json!({ "type": "stepFunctions" }), "taskToken"),
        (json!({ "type": "stepFunctions", "taskToken": "t".repeat(2049) }), "taskToken"),
        (json!({ "type": "webhook", "url": "https://e.com", "onFailure": false }), "onFailure"),
        (json!({ "type": "zendesk", "ticketID": 1, "whenEmpty": "maybe" }), "whenEmpty"),
    ] {
        assert_eq!(wrong(&to(destination.clone())), [format!("#/destinations/0/{field}")], "{destination}");
    }
    let longest = format!("https://e.com/{}", "x".repeat(2034));
    assert!(wrong(&to(json!({ "type": "webhook", "url": longest }))).is_empty());
}

#[test]
fn people_are_spared_failures_and_empty_results_and_machines_are_not() {
    let people = target(json!({ "type": "zendesk", "ticketID": 1 }));
    assert_eq!((people.on_failure, people.when_empty), (false, WhenEmpty::Skip));
    let asked = target(json!({ "type": "zendesk", "ticketID": 1, "onFailure": true, "whenEmpty": "send" }));
    assert_eq!((asked.on_failure, asked.when_empty), (true, WhenEmpty::Send));
    let machine = target(json!({ "type": "eventBridge" }));
    assert_eq!((machine.on_failure, machine.when_empty), (true, WhenEmpty::Send));
    let skips = target(json!({ "type": "eventBridge", "whenEmpty": "skip" }));
    assert_eq!(skips.when_empty, WhenEmpty::Skip);
}

#[test]
fn destinations_are_at_most_ten_and_equal_ones_count_once() {
    let tickets = |count: u32| -> Vec<Value> {
        (1..=count).map(|n| json!({ "type": "zendesk", "ticketID": n })).collect()
    };
    assert_eq!(parsed(&with(&json!({ "destinations": tickets(10) }))).destinations.len(), 10);
    assert_eq!(wrong(&with(&json!({ "destinations": tickets(11) }))), ["#/destinations"]);
    assert_eq!(wrong(&with(&json!({ "destinations": {} }))), ["#/destinations"]);
    let twice = json!({ "webhookURL": "https://e.com", "destinations": [
        { "type": "webhook", "url": "https://e.com/" }, { "type": "webhook", "url": "HTTPS://E.com:443" },
        { "type": "zendesk", "ticketID": 5 }, { "type": "zendesk", "ticketID": "5" },
    ] });
    assert_eq!(parsed(&with(&twice)).destinations.len(), 2);
}

#[test]
fn destinations_are_at_most_20_000_bytes_together_even_without_a_subject() {
    let hooks: Vec<Value> = (0..10)
        .map(|n| json!({ "type": "webhook", "url": format!("https://e.com/{n}{}", "x".repeat(2000)) }))
        .collect();
    assert_eq!(wrong(&json!({ "destinations": hooks })), ["#/destinations", "#/userEmail"]);
}

#[test]
fn configured_destinations_are_added_once_and_never_beyond_twenty() {
    let rules = |json: &str| RequestRules {
        defaults: parse_defaults(json, &RequestRules::default().destinations).unwrap(),
        ..RequestRules::default()
    };
    let two = rules(r#"[{"type":"zendesk","ticketID":1},{"type":"eventBridge"}]"#);
    let body = to(json!({ "type": "zendesk", "ticketID": 1, "onFailure": true })).to_string();
    let request = NewRequest::parse(body.as_bytes(), &two).unwrap();
    assert_eq!(request.destinations.len(), 2);
    assert!(request.destinations[0].on_failure, "the caller's own comes first and counts");
    assert_eq!(request.fingerprint, parsed(&serde_json::from_str(&body).unwrap()).fingerprint);

    let tickets = |from: u32| -> Vec<Value> {
        (from..from + 10).map(|n| json!({ "type": "zendesk", "ticketID": n })).collect()
    };
    let ten = rules(&json!(tickets(100)).to_string());
    let mut body = with(&json!({ "destinations": tickets(1) }));
    let request = NewRequest::parse(body.to_string().as_bytes(), &ten).unwrap();
    assert_eq!(request.destinations.len(), 20);
    body["webhookURL"] = json!("https://e.com");
    let problem = NewRequest::parse(body.to_string().as_bytes(), &ten).unwrap_err();
    assert_eq!(problem.errors[0].pointer, "#/destinations");
}

#[test]
fn only_what_is_configured_is_known() {
    let mut rules = RequestRules::default();
    rules.destinations.known = KnownDestinations::parse(Some("slack, slack:nps,webhook,,"));
    let problem = |destination: Value| {
        let parsed = NewRequest::parse(to(destination).to_string().as_bytes(), &rules);
        parsed.err().map(|problem| problem.errors[0].detail.clone())
    };
    assert_eq!(problem(json!({ "type": "slack", "channel": "C1" })), None);
    assert_eq!(problem(json!({ "type": "slack", "webhook": "nps" })), None);
    assert_eq!(problem(json!({ "type": "eventBridge" })), None, "the stack's own needs no secret");
    assert_eq!(problem(json!({ "type": "stepFunctions", "taskToken": "t" })), None);
    let refusal = problem(json!({ "type": "slack", "webhook": "csat" })).unwrap();
    assert!(refusal.contains("slack:csat is not configured here"), "{refusal}");
    assert!(problem(json!({ "type": "zendesk", "ticketID": 1 })).is_some());

    rules.destinations.known = KnownDestinations::parse(Some(""));
    let body = with(&json!({ "webhookURL": "https://e.com" })).to_string();
    let problem = NewRequest::parse(body.as_bytes(), &rules).unwrap_err();
    assert_eq!(problem.errors[0].pointer, "#/webhookURL");
}

#[test]
fn private_http_is_taken_in_local_runs_only() {
    let mut rules = RequestRules::default();
    rules.destinations.allow_private = true;
    let body = with(&json!({ "webhookURL": "http://127.0.0.1:9/hook" }));
    let request = NewRequest::parse(body.to_string().as_bytes(), &rules).unwrap();
    assert!(
        matches!(&request.destinations[0].target, Target::Webhook { url } if url == "http://127.0.0.1:9/hook")
    );
    assert_eq!(wrong(&body), ["#/webhookURL"]);
}

#[test]
fn a_url_that_may_not_be_called_says_why_and_is_not_quoted() {
    let private = "must not be a private or reserved address, or localhost";
    let credentials = "must not carry a user or password";
    for (url, detail) in [
        ("https://169.254.169.254/hush", private),
        ("https://0x7f.1/hush", private),
        ("https://[::ffff:127.0.0.1]/hush", private),
        ("https://LOCALHOST/hush", private),
        ("https://localhost./hush", private),
        ("https://a.localhost:8443/hush", private),
        ("https://user@example.com/hush", credentials),
        ("https://:hush@example.com/", credentials),
        ("https://%FF@example.com/hush", credentials),
        ("http://user:hush@127.0.0.1/", "must be an https URL"),
        ("https://256.1.1.1/hush", "must be an absolute URL"),
    ] {
        let problem = parse(&with(&json!({ "webhookURL": url }))).unwrap_err();
        let errors: Vec<_> =
            problem.errors.iter().map(|error| (error.pointer.as_str(), error.detail.as_str())).collect();
        assert_eq!(errors, [("#/webhookURL", detail)], "{url}");
        assert!(!format!("{problem:?}").contains("hush"));
    }
    for url in [
        "https://8.8.8.8:8443/",
        "https://[2606:4700::1]/",
        "https://localhost.example.com/",
        "https://@e.com/",
    ] {
        assert_eq!(wrong(&with(&json!({ "webhookURL": url }))), [""; 0], "{url}");
    }

    let mut rules = RequestRules::default();
    rules.destinations.allow_private = true;
    let body = with(&json!({ "webhookURL": "http://user:hush@127.0.0.1/" })).to_string();
    let problem = NewRequest::parse(body.as_bytes(), &rules).unwrap_err();
    assert_eq!(problem.errors[0].detail, credentials);
}

#[test]
fn credentials_that_an_older_record_holds_are_not_shown() {
    let target = Target::Webhook { url: "https://hush:hush@e.com/hook?hush#hush".to_owned() };
    assert_eq!(format!("{target:?}"), r#"{"type":"webhook","url":"https://e.com/hook?…"}"#);
}

#[test]
fn the_same_body_has_the_same_fingerprint_however_it_is_written() {
    let same = |one: &str, other: &str| {
        let of =
            |body: &str| NewRequest::parse(body.as_bytes(), &RequestRules::default()).unwrap().fingerprint;
        assert_eq!(of(one), of(other), "{one} {other}");
    };
    same(r#"{"userID":"u","question":"q"}"#, r#"{ "question": "q", "userID": "\u0075" }"#);
    same(
        r#"{"userID":"u","metadata":{"a":"1","b":"2"},"timeRange":{"startMs":1,"endMs":2}}"#,
        r#"{"timeRange":{"endMs":2,"startMs":1},"metadata":{"b":"2","a":"1"},"userID":"u"}"#,
    );
    same(r#"{"userID":"u"}"#, r#"{"userID":"u","destinations":[],"metadata":{},"question":null}"#);
    same(r#"{"userID":"u"}"#, r#"{"userID":"u","idempotencyKey":"k"}"#);
    same(
        r#"{"userID":"u","webhookURL":"https://e.com"}"#,
        r#"{"userID":"u","destinations":[{"url":"https://e.com/","type":"webhook"}]}"#,
    );
    same(
        r#"{"userID":"u","destinations":[{"type":"slack","channel":"C1"},{"type":"eventBridge"}]}"#,
        r#"{"userID":"u","destinations":[{"type":"eventBridge","onFailure":true,"whenEmpty":"send"},
            {"type":"slack","channel":"C1","onFailure":false,"whenEmpty":"skip"}]}"#,
    );
    same(
        r#"{"userID":"u","destinations":[{"type":"stepFunctions","taskToken":"one"}]}"#,
        r#"{"userID":"u","destinations":[{"type":"stepFunctions","taskToken":"another"}]}"#,
    );
}

#[test]
fn anything_else_is_another_body() {
    let bodies = [
        json!({ "userID": "u" }),
        json!({ "userID": "U" }),
        json!({ "userID": "u " }),
        json!({ "userEmail": "u" }),
        with(&json!({ "question": "q" })),
        with(&json!({ "timeRange": { "startMs": 1, "endMs": 2 } })),
        with(&json!({ "timeRange": { "startMs": 1, "endMs": 3 } })),
        with(&json!({ "metadata": { "q": "q" } })),
        with(&json!({ "metadata": { "q": "r" } })),
        with(&json!({ "maxAge": 1 })),
        with(&json!({ "maxAge": 2 })),
        with(&json!({ "webhookURL": "https://e.com/a" })),
        with(&json!({ "webhookURL": "https://e.com/b" })),
        to(json!({ "type": "zendesk", "ticketID": 1 })),
        to(json!({ "type": "zendesk", "ticketID": 1, "onFailure": true })),
        to(json!({ "type": "zendesk", "ticketID": 1, "whenEmpty": "send" })),
        to(json!({ "type": "intercom", "conversationID": 1 })),
        to(json!({ "type": "stepFunctions", "taskToken": "t" })),
    ];
    let prints: std::collections::BTreeSet<String> =
        bodies.iter().map(|body| parsed(body).fingerprint).collect();
    assert_eq!(prints.len(), bodies.len());
}

#[test]
fn maxage_looks_for_what_logrocket_would_answer_alike() {
    let plain = parsed(&with(&json!({}))).question.hash();
    assert_eq!(parsed(&with(&json!({ "metadata": { "a": "b" }, "maxAge": 5 }))).question.hash(), plain);
    assert_ne!(parsed(&with(&json!({ "question": "q" }))).question.hash(), plain);
    assert_ne!(parsed(&json!({ "userEmail": "u" })).question.hash(), plain);
}

#[test]
fn what_is_not_json_is_malformed_and_what_is_too_long_too_large() {
    let kind = |body: &[u8]| NewRequest::parse(body, &RequestRules::default()).unwrap_err().kind;
    let deep = format!(r#"{{"userID":{}"#, "[".repeat(60_000));
    for body in [
        b"".as_slice(),
        b"{",
        b"\0",
        b"{\"userID\":\"\0\"}",
        b"{\"userID\":\"\xff\"}",
        br#"{"userID":"\ud800"}"#,
        b"\xfe\xff\0{",
        deep.as_bytes(),
    ] {
        assert_eq!(kind(body), Kind::Malformed, "{}", String::from_utf8_lossy(body));
    }
    let mut longest = br#"{"userID":"u"}"#.to_vec();
    longest.resize(MAX_BODY_BYTES, b' ');
    assert!(NewRequest::parse(&longest, &RequestRules::default()).is_ok());
    longest.push(b' ');
    assert_eq!(kind(&longest), Kind::TooLarge);
}

/// JSON that looks like a request as often as not.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        2 => proptest::sample::select(vec![
            "userEmail", "userID", "question", "timeRange", "startMs", "endMs", "destinations", "type", "channel",
            "webhook", "url", "webhookURL", "metadata", "idempotencyKey", "maxAge", "onFailure", "whenEmpty",
            "ticketID", "taskToken", "contactID", "recordID", "bus",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let text = prop_oneof![
        any::<String>(),
        proptest::sample::select(vec![
            "slack",
            "hubspot",
            "webhook",
            "https://e.com",
            "\u{feff}",
            "\0",
            "1.2"
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..8)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

fn check_total(body: &[u8]) {
    if let Err(problem) = NewRequest::parse(body, &RequestRules::default()) {
        assert_eq!(problem.kind == Kind::Invalid, !problem.errors.is_empty(), "{problem:?}");
        assert!(
            problem.errors.iter().all(|error| error.pointer.starts_with('#') && !error.detail.is_empty())
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_a_request_or_says_what_is_wrong(json in any_json()) {
        check_total(json.to_string().as_bytes());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_total(&bytes);
        let _ = model::callback::Report::parse(&bytes);
    }
}
