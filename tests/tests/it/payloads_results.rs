//! What LogRocket can send at its limits and beyond them, by callback and by poll: a result is kept if it can be read
//! at all, and read back whole.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use local::gateway::HttpCall;
use local::logrocket::{Behaviour, Outcome, PollAnswer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stories::{Answer, BEARER, World};

/// A request that LogRocket works on, the callback URL of its attempt, and LogRocket's id of it.
async fn asked(world: &World, body: Value) -> (String, String, String) {
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(body).await;
    let post = world.post_of(&id, 1);
    (id, post.webhook_url().unwrap().to_owned(), post.logrocket_request_id.unwrap())
}

fn ready(log_rocket_id: &str, highlights: &str) -> String {
    format!(
        r#"{{"requestID":"{log_rocket_id}","status":"READY","result":{{"highlights":{highlights},"sessions":[]}}}}"#
    )
}

#[tokio::test]
async fn half_a_surrogate_pair_in_the_highlights_loses_no_result() {
    let world = World::delivering(&[]).await;
    let mended = "cut \u{fffd} and \\ud83d \u{1f600} \0";
    let sent = r#""cut \ud83d and \\ud83d \ud83d\ude00 \u0000""#;

    // 1. By callback: stored, shown, and delivered as Unicode that everybody takes.
    let hook = json!({ "userID": "1", "webhookURL": world.hook("surrogates") });
    let (id, url, log_rocket_id) = asked(&world, hook).await;
    let answer = world.callback(&url, Value::String(ready(&log_rocket_id, sent))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(world.read(&id).await["result"]["highlights"], mended);
    assert_eq!(world.wait_for_deliveries(&id).await[0]["status"], "DELIVERED");

    // 2. The same again is known, and so is what it was mended to.
    for again in [sent.to_owned(), json!(mended).to_string()] {
        let answer = world.callback(&url, Value::String(ready(&log_rocket_id, &again))).await;
        assert_eq!(answer.text, r#"{"callback":"known"}"#);
    }

    // 3. By poll.
    world.log_rocket.next(Behaviour::lost());
    let id = world.ask(json!({ "userID": "1" })).await;
    let log_rocket_id = world.post_of(&id, 1).logrocket_request_id.unwrap();
    world.log_rocket.usually_poll(PollAnswer::Body(ready(&log_rocket_id, sent)));
    let request = world.sweep_until(&id, "READY").await;
    assert_eq!(request["result"]["highlights"], mended);
}

#[tokio::test]
async fn what_cannot_be_read_is_400_says_why_and_is_left_to_the_poll() {
    let world = World::start().await;
    let (id, url, log_rocket_id) = asked(&world, json!({ "userID": "1" })).await;
    let nested = ["[".repeat(200), "]".repeat(200)].concat();
    for (body, said) in [
        ("\u{feff}".to_owned(), "not JSON"),
        ("{\"requestID\":\"\0\"}".to_owned(), "not JSON, at line 1"),
        (nested, "the JSON lacks requestID"),
        (ready(&log_rocket_id, r#""h","highlights":"i""#), "highlights twice"),
        (
            format!(r#"{{"requestID":"{log_rocket_id}","requestID":"x","status":"FAILED"}}"#),
            "requestID twice",
        ),
        (ready(&"f".repeat(257), r#""h""#), "too long"),
        (
            format!(r#"{{"requestID":"{log_rocket_id}","status":"{}"}}"#, "X".repeat(1_000_000)),
            "status is none",
        ),
    ] {
        let answer = world.callback(&url, Value::String(body)).await;
        let problem = answer.problem(400);
        assert!(problem["detail"].as_str().unwrap().contains(said), "{said}: {problem}");
        assert!(answer.text.len() < 500);
    }
    // Compressed, it comes as base64.
    let mut call = HttpCall::new(Method::POST, url.strip_prefix(&world.gateway.url()).unwrap());
    call.headers.insert("content-encoding", "gzip".parse().unwrap());
    call.body = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec().into();
    let answer = Answer::of_event(&world.webhook.invoke(call.http_api_event()).await.unwrap());
    assert!(answer.problem(400)["detail"].as_str().unwrap().contains("compressed"), "{}", answer.text);

    // Nothing of it was taken; plain JSON in base64 is a callback like any other.
    assert_eq!(world.read(&id).await["status"], "PENDING");
    let mut event = call.http_api_event();
    event["body"] = json!(BASE64_STANDARD.encode(format!("\u{feff}{}", ready(&log_rocket_id, r#""h""#))));
    let answer = Answer::of_event(&world.webhook.invoke(event).await.unwrap());
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(world.read(&id).await["result"]["highlights"], "h");
}

#[tokio::test]
async fn what_is_unknown_may_be_as_deep_and_as_long_as_it_likes() {
    let world = World::start().await;
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    let long = "x".repeat(3_000_000);
    for extra in [deep.clone(), json!(long).to_string(), format!(r#"{{"a":1,"a":{{"b":{deep}}}}}"#)] {
        let (id, url, log_rocket_id) = asked(&world, json!({ "userID": "1" })).await;
        let body = format!(
            r#"{{"extra":{extra},"requestID":"{log_rocket_id}","status":"READY","result":{{"extra":{deep},
                "highlights":"h","sessions":[{{"extra":{deep},"recordingID":"5-1","sessionID":{deep}}}]}}}}"#
        );
        let answer = world.callback(&url, Value::String(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let session = &world.read(&id).await["result"]["sessions"][0];
        assert_eq!(*session, json!({ "recordingID": "5-1", "sessionID": 0, "highlights": "" }));
    }
}

#[tokio::test]
async fn the_largest_result_is_read_back_and_one_byte_more_is_refused() {
    let world = World::start().await;
    // A result as JSON takes this much beside its highlights, its quotes counted twice.
    let beside = r#"{"highlights":"","sessions":[]}"#.len() + 6;
    let room = 5_000_000 - beside;
    // 1. Letters, and quotes: each of those takes four bytes where an answer is carried.
    for (letter, count) in [("a", room), ("\\\"", room / 4)] {
        let (id, url, log_rocket_id) =
            asked(&world, json!({ "userID": "1", "question": "\u{1}".repeat(4000) })).await;
        let highlights = |count| format!("\"{}\"", letter.repeat(count));
        let over = world.callback(&url, Value::String(ready(&log_rocket_id, &highlights(count + 1)))).await;
        assert!(over.problem(413)["detail"].as_str().unwrap().contains("at most 5000000"), "{}", over.text);
        let request = world.read(&id).await;
        assert_eq!(
            (&request["status"], &request["failure"]["code"]),
            (&json!("FAILED"), &json!("RESULT_TOO_LARGE"))
        );

        let fits = world.callback(&url, Value::String(ready(&log_rocket_id, &highlights(count)))).await;
        assert_eq!(fits.status, StatusCode::OK, "{}", fits.text);
        let request = world.read(&id).await;
        assert_eq!(request["result"]["highlights"].as_str().unwrap().len(), count);

        // 2. As Markdown, whose own words come on top, it is a page or says how else to read it.
        let accept = [("authorization", BEARER), ("accept", "text/markdown")];
        let page = world.call(Method::GET, &format!("/highlights/{id}"), &accept, Value::Null).await;
        match letter {
            "a" => assert!(page.problem(413)["detail"].as_str().unwrap().contains("read it as JSON")),
            _ => assert_eq!(page.text.matches('"').count(), count, "{:.500}", page.text),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_event_of_the_fullest_items_delivers_each() {
    // Written and read as slowly as a test's table does it, they take longer than the other stories' lease.
    let world = World::with(&[("LEASE_SECONDS", "10")]).await;
    // 1. Results that hardly pack, each near what an item holds.
    let mut ids = Vec::new();
    for n in 0..5 {
        let body = json!({ "userID": "1", "destinations": [{ "type": "webhook", "url": world.hook(&format!("n{n}")) }] });
        world.log_rocket.next(Behaviour::manual().result(local::logrocket::Shape {
            bytes: 420_000,
            incompressible: true,
            ..Default::default()
        }));
        let id = world.ask(body).await;
        assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
        ids.push(id);
    }
    // 2. Their changes come as one event; a damaged one beside them hides none.
    let mut records = Vec::new();
    for (id, number) in ids.iter().zip(0..) {
        let key = json!({ "requestID": { "S": id } });
        let image = world.raw_item(id).await;
        records.push(json!({ "eventSource": "aws:dynamodb",
            "dynamodb": { "SequenceNumber": number.to_string(), "Keys": key, "NewImage": image } }));
    }
    records.insert(3, json!({ "eventSource": "aws:dynamodb", "dynamodb": {
        "SequenceNumber": "x", "Keys": { "requestID": { "N": "7" } }, "NewImage": { "status": { "BOOL": true } } } }));
    let event = json!({ "Records": records });
    let bytes = event.to_string().len();
    assert!((2_000_000..6_000_000).contains(&bytes), "{bytes}");
    // A busy machine's table may not answer in time: those are given back, and come again, as the stream does it.
    for _ in 0..20 {
        let answer = world.webhook.invoke(event.clone()).await.unwrap();
        let failed = answer["batchItemFailures"].as_array().unwrap();
        assert!(failed.iter().all(|failure| failure["itemIdentifier"] != "x"), "{answer}");
        if failed.is_empty() {
            break;
        }
    }
    for id in ids {
        let delivery = &world.sweep_until_delivered(&id).await[0];
        assert_eq!(delivery["status"], "DELIVERED", "{delivery:#}");
    }
}
