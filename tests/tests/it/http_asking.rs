//! The HTTP contract of asking: bad fields, keys, `maxAge`, the limits.

use local::logrocket::{Behaviour, Outcome};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use stories::{Answer, OTHER_TOKEN, World};

/// The greatest that every reader of JSON takes for the same.
const MAX_INTEGER: i64 = (1 << 53) - 1;

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let world = World::with(&[("KNOWN_DESTINATIONS", "slack,zendesk")]).await;

    // 1. Fields of the wrong form, and unknown ones, by name.
    let answer = world
        .post(json!({
            "userEmail": "alice@example.com",
            "userID": "1",
            "question": 5,
            "timeRange": { "startMs": 2, "endMs": 1, "zone": "UTC" },
            "destinations": [
                { "type": "slack" },
                { "type": "teams", "webhook": "support" },
                { "type": "zendesk", "ticketID": 1, "public": true },
                { "type": "pager" },
            ],
            "webhookURL": "ftp://example.com",
            "metadata": { "nps": 3, "a/b": null },
            "idempotencyKey": "two words",
            "maxAge": -1,
            "userMail": "x",
            "a/b~c": 1,
        }))
        .await;
    let mut pointers = answer.pointers();
    pointers.sort();
    assert_eq!(
        pointers,
        [
            "#/a~1b~0c",
            "#/destinations/0/channel",
            "#/destinations/1/type",
            "#/destinations/2/public",
            "#/destinations/3/type",
            "#/idempotencyKey",
            "#/maxAge",
            "#/metadata/a~1b",
            "#/metadata/nps",
            "#/question",
            "#/timeRange/endMs",
            "#/timeRange/zone",
            "#/userID",
            "#/userMail",
            "#/webhookURL",
        ]
    );
    let unknown =
        answer.json()["errors"].as_array().unwrap().iter().find(|e| e["pointer"] == "#/userMail").cloned();
    assert!(unknown.unwrap()["detail"].as_str().unwrap().contains("userEmail"));

    // 2. One bad field each.
    let cases = [
        (json!({}), "#/userEmail"),
        (json!({ "userEmail": " " }), "#/userEmail"),
        (json!({ "userID": 5 }), "#/userID"),
        (json!({ "userID": "1", "timeRange": {} }), "#/timeRange/startMs"),
        (json!({ "userID": "1", "timeRange": [1, 2] }), "#/timeRange"),
        (json!({ "userID": "1", "timeRange": { "startMs": 1.5, "endMs": 2 } }), "#/timeRange/startMs"),
        (json!({ "userID": "1", "timeRange": { "startMs": 1, "endMs": 1 } }), "#/timeRange/endMs"),
        (json!({ "userID": "1", "timeRange": { "startMs": "1", "endMs": 2 } }), "#/timeRange/startMs"),
        (json!({ "userID": "1", "destinations": {} }), "#/destinations"),
        (json!({ "userID": "1", "destinations": vec![json!({}); 11] }), "#/destinations"),
        (json!({ "userID": "1", "metadata": [] }), "#/metadata"),
        (json!({ "userID": "1", "metadata": { "k": "v".repeat(2048) } }), "#/metadata"),
        (json!({ "userID": "1", "maxAge": "900" }), "#/maxAge"),
        (json!({ "userID": "1", "idempotencyKey": "" }), "#/idempotencyKey"),
        (json!({ "userID": "1", "question": "?".repeat(4001) }), "#/question"),
        (json!({ "userID": "1".repeat(1025) }), "#/userID"),
        (json!({ "userID": "1", "webhookURL": "/relative" }), "#/webhookURL"),
    ];
    for (body, pointer) in cases {
        let shown = body.to_string().chars().take(80).collect::<String>();
        assert!(world.post(body).await.pointers().iter().any(|named| named == pointer), "{shown}: {pointer}");
    }

    // 3. Nothing came of it.
    assert_eq!(world.log_rocket.posts().len(), 0);
    assert_eq!(world.table.items().unwrap(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_key_makes_a_repeat_the_same_request() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let key = [("idempotency-key", "ticket-35436")];
    let body =
        json!({ "userEmail": "alice@example.com", "question": "Why?", "metadata": { "a": "1", "b": "2" } });

    // 1. The first time, and again while it is under way.
    let first = world.post_with(&key, body.clone()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    assert_eq!(first.header("idempotent-replayed"), "");
    let again = world.post_with(&key, body.clone()).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::ACCEPTED, "true"));
    assert_eq!(again.text, first.text);
    assert_eq!(again.header("location"), first.header("location"));

    // 2. Keys in another order, the key in the body instead, or both alike: the same.
    let text = r#"{"metadata":{"b":"2","a":"1"},"question":"Why?","userEmail":"alice@example.com"}"#;
    assert_eq!(world.post_with(&key, json!(text)).await.text, first.text);
    let mut with_key = body.clone();
    with_key["idempotencyKey"] = json!("ticket-35436");
    assert_eq!(world.post(with_key.clone()).await.text, first.text);
    assert_eq!(world.post_with(&key, with_key.clone()).await.text, first.text);

    // 3. The header and the body with different keys: which is meant?
    let answer = world.post_with(&[("idempotency-key", "other")], with_key).await;
    assert_eq!(answer.pointers(), ["#/idempotencyKey"]);

    // 4. Another body under the same key.
    for (field, value) in
        [("question", json!("How?")), ("maxAge", json!(5)), ("metadata", json!({ "a": "1" }))]
    {
        let mut other = body.clone();
        other[field] = value;
        let answer = world.post_with(&key, other).await;
        let problem = answer.problem(422);
        assert_eq!(problem["type"], "urn:galileo-highlights:problem:key-reused");
        assert!(problem["detail"].as_str().unwrap().contains(&id_of(&first)), "{problem}");
    }
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 5. Another caller's key is another's.
    let other_caller = format!("Bearer {OTHER_TOKEN}");
    let headers = [key[0], ("authorization", &other_caller)];
    let other = world.post_with(&headers, body.clone()).await;
    assert_ne!(id_of(&other), id_of(&first));

    // 6. READY: 200, and still no second POST of it.
    let log_rocket_id = world.log_rocket.posts()[0].logrocket_request_id.clone().unwrap();
    world.log_rocket.send_callback(&log_rocket_id, Outcome::Ready).await.unwrap();
    let ready = world.post_with(&key, body).await;
    assert_eq!((ready.status, ready.header("idempotent-replayed")), (StatusCode::OK, "true"));
    assert_eq!(ready.json()["status"], "READY");
    assert_eq!(ready.header("location"), format!("/highlights/{}", id_of(&first)));
    assert_eq!(world.log_rocket.posts().len(), 2);
}

#[tokio::test]
async fn max_age_finds_what_was_asked_lately() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let range = json!({ "startMs": 1, "endMs": 2 });
    let body = json!({ "userEmail": "alice@example.com", "question": "Why?", "timeRange": range });
    let with = |changes: Value| {
        let mut body = body.clone();
        body["maxAge"] = json!(900);
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };

    // 1. One is PENDING, and is answered instead of a new one; its destinations are joined.
    let first = world.ask(with(json!({ "destinations": [{ "type": "zendesk", "ticketID": 1 }] }))).await;
    let more = json!({ "destinations": [
        { "type": "zendesk", "ticketID": 1 }, { "type": "slack", "channel": "C1" },
    ]});
    let found = world.post(with(more)).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.text);
    assert_eq!(id_of(&found), first);
    assert_eq!(found.json()["status"], "PENDING");
    assert_eq!(found.header("idempotent-replayed"), "");
    assert_eq!(found.header("location"), format!("/highlights/{first}"));
    let types = async || {
        let request = world.read(&first).await;
        let deliveries = request["deliveries"].as_array().unwrap().clone();
        deliveries.iter().map(|it| it["destination"]["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types().await, ["zendesk", "slack"]);

    // 2. Another subject, question or time range, or none of them, is another request.
    for other in [
        json!({ "userEmail": "bob@example.com" }),
        json!({ "userEmail": null, "userID": "alice@example.com" }),
        json!({ "question": "How?" }),
        json!({ "question": null }),
        json!({ "timeRange": { "startMs": 1, "endMs": 3 } }),
        json!({ "timeRange": null }),
        json!({ "maxAge": 0 }),
        json!({ "maxAge": null }),
    ] {
        let answer = world.post(with(other.clone())).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{other}: {}", answer.text);
        assert_ne!(id_of(&answer), first, "{other}");
    }
    assert_eq!(world.log_rocket.posts().len(), 9);

    // 3. Of two, the newest is found; READY is found too, however long it may be ago, and heard of by those who
    //    come late.
    let listed = world.get("/highlights?userEmail=alice%40example.com").await.json();
    let newest = listed["requests"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["question"] == "Why?" && it["timeRange"] == range);
    let newest = newest.unwrap()["requestID"].as_str().unwrap().to_owned();
    world.wait_for(&newest, "READY").await;
    let found = world
        .post(with(json!({ "maxAge": MAX_INTEGER, "destinations": [{ "type": "slack", "channel": "C2" }] })))
        .await;
    assert_eq!((found.status, id_of(&found)), (StatusCode::OK, newest.clone()));
    assert_eq!(found.json()["status"], "READY");
    assert_eq!(world.read(&newest).await["deliveries"][0]["destination"]["channel"], "C2");

    // 4. What is older is not found.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let answer = world.post(with(json!({ "maxAge": 1 }))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(world.log_rocket.posts().len(), 10);
}

#[tokio::test]
async fn max_age_does_not_find_what_failed_or_was_deleted() {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;
    let body = || json!({ "userID": "1", "maxAge": 900 });

    world.log_rocket.next(Behaviour::failed());
    let failed = world.ask(body()).await;
    world.wait_for(&failed, "FAILED").await;
    let next = world.ask(body()).await;
    assert_ne!(next, failed);
    assert_eq!(id_of(&world.post(body()).await), next);

    let path = format!("/highlights/{next}");
    let deleted =
        world.call(reqwest::Method::DELETE, &path, &[("authorization", stories::BEARER)], json!(null)).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_ne!(world.ask(body()).await, next);
}

#[tokio::test]
async fn max_age_and_a_key_answer_the_keys_own_request_first() {
    let world = World::start().await;
    let body = || json!({ "userID": "1", "maxAge": 900 });
    let keyed = world.post_with(&[("idempotency-key", "k")], body()).await;
    let newer = world.ask(json!({ "userID": "1" })).await;

    let again = world.post_with(&[("idempotency-key", "k")], body()).await;
    assert_eq!((id_of(&again), again.header("idempotent-replayed")), (id_of(&keyed), "true"));
    assert_eq!(id_of(&world.post(body()).await), newer);
}

#[tokio::test]
async fn what_is_as_large_as_allowed_goes_through_to_its_result() {
    let world = World::start().await;
    let email = "\u{1F600}".repeat(1024);
    let question = "\u{1F4A9}".repeat(4000);
    let metadata: Value = json!({ "k": "\u{e9}".repeat(1023), "\u{1}": "" });
    let destinations: Vec<Value> = (0..10)
        .map(|n| json!({ "type": "webhook", "url": format!("https://example.com/{n}/{}", "x".repeat(1900)) }))
        .collect();
    let id = world
        .ask(json!({
            "userEmail": email, "question": question, "metadata": metadata, "destinations": destinations,
            "timeRange": { "startMs": 0, "endMs": MAX_INTEGER },
        }))
        .await;
    let posted = &world.log_rocket.posts()[0].body;
    assert_eq!(posted["userEmail"], email);
    assert_eq!(posted["question"], question);

    let request = world.wait_for(&id, "READY").await;
    assert_eq!(request["userEmail"], email);
    assert_eq!(request["question"], question);
    assert_eq!(request["metadata"], metadata);
    assert_eq!(request["timeRange"]["endMs"], MAX_INTEGER);
    assert!(request["result"]["highlights"].as_str().unwrap().contains(&question));
    assert_eq!(request["deliveries"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn what_a_client_of_logrocket_sends_is_understood() {
    let world = World::start().await;
    let id = world
        .ask(json!({
            "userID": "1", "question": null, "timeRange": null,
            "webhookURL": "https://example.com/hook?secret=canary",
        }))
        .await;
    // LogRocket is given our own callback URL, and the caller's becomes a destination, shown without its query.
    let posted = world.log_rocket.posts()[0].webhook_url().unwrap().to_owned();
    assert!(posted.starts_with(&world.gateway.webhook_url()));
    let request = world.wait_for(&id, "READY").await;
    assert_eq!(
        request["deliveries"][0]["destination"],
        json!({ "type": "webhook", "url": "https://example.com/hook?…" })
    );
}

fn id_of(answer: &Answer) -> String {
    answer.json()["requestID"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}
