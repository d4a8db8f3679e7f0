//! Promises that are easily broken at the edges: nothing stored that cannot be asked, one POST for one key, answers in time.

use local::gateway::HttpCall;
use local::logrocket::{Behaviour, Outcome};
use local::proxy::{Match, Point};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Duration;
use stories::{API_TOKEN, Answer, BEARER, CALLBACK_KEY, World};

#[tokio::test]
async fn without_a_key_for_logrocket_nothing_is_stored_that_could_not_be_asked() {
    let secrets = json!({ "callbackKey": CALLBACK_KEY, "apiTokens": { "ops": API_TOKEN } });
    let world = World::with(&[("SECRETS_JSON", &secrets.to_string())]).await;
    let body = json!({ "userID": "1", "idempotencyKey": "ticket-35436" });
    let message =
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body.to_string() }] });
    for _ in 0..2 {
        assert_eq!(world.invoke(body.clone()).await.unwrap_err().error_type, "Unavailable");
        let failures = &world.invoke(message.clone()).await.unwrap()["batchItemFailures"];
        assert_eq!(failures, &json!([{ "itemIdentifier": "m" }]));
    }
    assert_eq!(world.table.items().unwrap(), Vec::<Value>::new());
}

#[tokio::test]
async fn messages_of_one_batch_with_the_same_key_are_one_post() {
    let world = World::start().await;
    for batch in 0..10 {
        let body = json!({ "userID": "1", "idempotencyKey": format!("ticket-{batch}") }).to_string();
        let records: Vec<Value> = (0..8)
            .map(|n| json!({ "eventSource": "aws:sqs", "messageId": format!("{batch}-{n}"), "body": body }))
            .collect();
        let answer = world.invoke(json!({ "Records": records })).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        assert_eq!(world.log_rocket.posts().len(), batch + 1);
    }
}

#[tokio::test]
async fn logrockets_words_about_the_user_are_not_passed_on() {
    let world = World::start().await;
    let words = json!({ "error": "no email alice@example.com" }).to_string();
    world.log_rocket.next(Behaviour::status(400).body(words));
    let problem = world.post(json!({ "userEmail": "alice@example.com" })).await.problem(502);
    assert!(problem["detail"].as_str().unwrap().contains("no email (the user)"), "{problem}");
    let failure = world.table.items().unwrap()[0]["failure"]["message"].to_string();
    assert!(!failure.contains("alice"), "{failure}");
}

#[tokio::test]
async fn a_request_is_accepted_though_logrocket_is_slow_and_its_answer_cannot_be_written_down() {
    let world = World::with(&[("UNKNOWN_GRACE_SECONDS", "300")]).await;
    world.log_rocket.next(Behaviour::ready().slow(Duration::from_millis(6_500)));
    let held = world.table_calls.hold(Match::operation("UpdateItem"), Point::Before);
    let answer = world.post(json!({ "userID": "1" })).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    held.release();
}

#[tokio::test]
async fn what_another_version_wrote_into_a_record_is_passed_over_and_stays() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("it") })).await;

    // 1. A later version knows more; an earlier one did not know what is there only where it is needed.
    let later = json!({ "M": { "of": { "S": "a later version" } } });
    world.damage(&id, "later", later).await;
    assert!(world.item(&id).get("promised").is_none());

    // 2. It is read, taken in, claimed and delivered, and what is not known of it is left alone.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    assert_eq!(world.sweep_until_delivered(&id).await[0]["status"], "DELIVERED");
    assert_eq!(world.read(&id).await["status"], "READY");
    assert_eq!(world.item(&id)["later"], json!({ "of": "a later version" }));
}

#[tokio::test]
async fn who_joins_a_request_that_is_then_refused_is_delivered_the_failure() {
    let world = World::start().await;
    let held = world.log_rocket.hold_next_post();
    world.log_rocket.next(Behaviour::status(400));
    let first = world.post(json!({ "userID": "1" }));
    let joining = async {
        // 1. While LogRocket thinks about the first, another joins it with his own webhook.
        held.arrived().await.unwrap();
        let body = json!({ "userID": "1", "maxAge": 900, "webhookURL": "http://127.0.0.1:9/hook" });
        let joined = world.post(body).await;
        held.release();
        joined
    };
    let (first, joined) = tokio::join!(first, joining);
    first.problem(502);
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.text);

    // 2. He was promised an outcome, and it is due.
    let id = joined.json()["requestID"].as_str().unwrap().to_owned();
    let item = world.item(&id);
    assert_eq!(item["status"], "FAILED");
    assert!(item["webhookDueAt"].is_number(), "{item:#}");
    assert_eq!(world.read(&id).await["deliveries"][0]["status"], "PENDING");
}

#[tokio::test]
async fn who_repeats_a_key_that_is_then_refused_is_delivered_the_failure() {
    let world = World::start().await;
    let held = world.log_rocket.hold_next_post();
    world.log_rocket.next(Behaviour::status(400));
    let body = json!({ "userID": "1", "idempotencyKey": "ticket-35436", "webhookURL": world.hook("it") });
    let first = world.post(body.clone());
    let repeating = async {
        // 1. While LogRocket thinks about it, the same is asked again, and promised.
        held.arrived().await.unwrap();
        let repeated = world.post(body.clone()).await;
        held.release();
        repeated
    };
    let (first, repeated) = tokio::join!(first, repeating);
    first.problem(502);
    assert_eq!(repeated.status, StatusCode::ACCEPTED, "{}", repeated.text);

    // 2. He hears of the refusal from his destination.
    let id = repeated.json()["requestID"].as_str().unwrap().to_owned();
    let deliveries = world.sweep_until_delivered(&id).await;
    assert_eq!(
        (&deliveries[0]["status"], &deliveries[0]["outcome"]),
        (&json!("DELIVERED"), &json!("failure"))
    );

    // 3. Asked again, and refused again: who asks now is told by the answer, and nobody else.
    world.log_rocket.next(Behaviour::status(400));
    world.post(body).await.problem(502);
    assert_eq!(world.item(&id)["webhookDueAt"], Value::Null);
}

#[tokio::test]
async fn of_several_who_open_a_refused_workflow_again_each_has_his_token_answered() {
    let world = World::start().await;
    let ask = async |token: &str| {
        let destination = json!([{ "type": "stepFunctions", "taskToken": token }]);
        let key = "execution-1";
        world.invoke(json!({ "userID": "1", "idempotencyKey": key, "destinations": destination })).await
    };
    world.log_rocket.next(Behaviour::status(401));
    ask("first").await.unwrap_err();

    // 1. Four at once; one of them asks LogRocket.
    world.log_rocket.usually(Behaviour::ready().slow(Duration::from_millis(300)));
    let answers = tokio::join!(ask("second"), ask("third"), ask("fourth"), ask("fifth"));
    let ids = [answers.0, answers.1, answers.2, answers.3].map(|answer| answer.unwrap()["requestID"].clone());
    let id = ids[0].as_str().unwrap().to_owned();
    assert!(ids.iter().all(|other| *other == id), "{ids:?}");
    world.wait_for(&id, "READY").await;

    // 2. Each waits for an answer to his own token.
    let deliveries = world.sweep_until_delivered(&id).await;
    assert_eq!(deliveries.len(), 5, "{deliveries:#?}");
}

#[tokio::test]
async fn rest_events_made_by_hand_are_answered_and_unreadable_ones_get_400() {
    let world = World::start().await;
    let call = HttpCall::new(Method::POST, "/highlights")
        .header("authorization".parse().unwrap(), BEARER.parse().unwrap())
        .json(&json!({ "userID": "1" }));
    let mut by_hand = call.rest_api_event();
    by_hand["requestContext"] = json!({ "stage": "prod" });
    assert_eq!(world.invoke(by_hand).await.unwrap()["statusCode"], 202);
    let mut staged = call.http_api_event();
    staged["requestContext"]["stage"] = json!("prod");
    staged["rawPath"] = json!("/prod/highlights");
    assert_eq!(world.invoke(staged).await.unwrap()["statusCode"], 202);
    let mut broken = call.http_api_event();
    broken["headers"]["authorization"] = json!(7);
    Answer::of_event(&world.invoke(broken).await.unwrap()).problem(400);
}

#[tokio::test]
async fn token_mode_without_a_token_in_the_secret_says_so() {
    let secrets = json!({ "logRocketAPIKey": "k", "callbackKey": CALLBACK_KEY });
    let world = World::with(&[("SECRETS_JSON", &secrets.to_string())]).await;
    world.post(json!({ "userID": "1" })).await.problem(503);
    assert!(world.output().contains("apiTokens is missing from the secret"));
}

#[tokio::test]
async fn a_request_costs_two_calls_of_the_table_and_one_post_and_all_else_costs_one() {
    let world = World::start().await;
    let seen = Cell::new(0);
    // Those since the last look.
    let operations = || {
        let calls = world.table_calls.calls();
        let before = seen.replace(calls.len());
        calls.into_iter().skip(before).map(|call| call.operation).collect::<Vec<_>>()
    };
    let body = json!({ "userID": "1", "idempotencyKey": "ticket-35436" });

    // 1. A new request, and the same again.
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(body.clone()).await;
    assert_eq!(operations(), ["PutItem", "UpdateItem"]);
    assert_eq!(world.ask(body).await, id);
    assert_eq!(operations(), ["PutItem"]);
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 2. The callback, and the reading.
    let url = world.post_of(&id, 1).webhook_url().unwrap().to_owned();
    let log_rocket_id = world.post_of(&id, 1).logrocket_request_id.unwrap();
    let ready = world.log_rocket.payload(&log_rocket_id, Outcome::Ready).unwrap();
    assert_eq!(world.callback(&url, ready).await.status, 200);
    assert_eq!(operations(), ["UpdateItem"]);
    assert_eq!(world.read(&id).await["status"], "READY");
    assert_eq!(operations(), ["GetItem"]);

    // 3. A sweep that finds nothing: one query for each shard.
    world.sweep().await;
    assert_eq!(operations(), ["Query"; 4]);
}
