//! The table is down, throttles, or does its work and is not heard: nothing is half-written, nothing is promised
//! that is not stored, nothing that is stored is lost.

use local::logrocket::{Behaviour, Outcome};
use local::proxy::{Fault, Match};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;
use tokio::time::Instant;

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com", "idempotencyKey": "ticket-1" })
}

fn faults() -> [Fault; 3] {
    [Fault::CutBefore, Fault::throttled(), Fault::internal_error()]
}

#[tokio::test]
async fn without_the_table_nothing_is_promised_and_logrocket_is_not_asked() {
    let world = World::start().await;
    for fault in faults() {
        // 1. The put does not reach the table.
        world.table_calls.on(Match::operation("PutItem"), fault);
        let answer = world.post(alice()).await;
        let problem = answer.problem(503);
        assert!(problem["detail"].as_str().unwrap().contains("Try again"));
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
        assert!(world.log_rocket.posts().is_empty());
        assert_eq!(world.table.items().unwrap(), Vec::<Value>::new());
        world.table_calls.clear();
    }

    // 2. The table is back, and the same key works.
    let id = world.ask(alice()).await;
    world.wait_for(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_meets_itself() {
    let world = World::start().await;

    // 1. The put takes effect, its answer is lost, and the repeat of it is no twin.
    world.table_calls.on(Match::operation("PutItem").times(1), Fault::CutAfter);
    let answer = world.post(alice()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.header("idempotent-replayed"), "");
    assert_eq!(world.table_calls.count("PutItem"), 2);
    let id = answer.json()["requestID"].as_str().unwrap().to_owned();
    world.wait_for(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_put_of_which_nothing_is_heard_is_driven_to_its_outcome_all_the_same() {
    let world = World::start().await;

    // 1. It takes effect, but every answer is lost: the caller is promised nothing.
    world.table_calls.on(Match::operation("PutItem"), Fault::CutAfter);
    world.post(alice()).await.problem(503);
    world.table_calls.clear();
    assert!(world.log_rocket.posts().is_empty());
    let items = world.table.items().unwrap();
    assert_eq!(items.len(), 1);
    let id = items[0]["requestID"].as_str().unwrap().to_owned();

    // 2. His repeat finds it, and the sweep asks LogRocket, once.
    assert_eq!(world.ask(alice()).await, id);
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id).len(), 1);
}

#[tokio::test]
async fn a_table_that_fails_at_the_last_update_costs_the_caller_nothing() {
    for fault in faults() {
        let world = World::start().await;
        world.log_rocket.next(Behaviour::manual());

        // 1. LogRocket took it, and its id cannot be written down: the caller has his 202, in time.
        world.table_calls.on(Match::operation("UpdateItem"), fault);
        let asked = Instant::now();
        let id = world.ask(alice()).await;
        assert!(asked.elapsed() < Duration::from_secs(9), "202 after {:?}", asked.elapsed());
        world.table_calls.clear();
        assert_eq!(world.item(&id)["attempts"]["1"]["state"], "unknown");

        // 2. The callback brings the id and the result.
        assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
        let request = world.read(&id).await;
        assert_eq!(request["status"], "READY");
        assert!(request["attempts"][0]["logRocketRequestID"].is_string());
        world.sweep().await;
        assert_eq!(world.attempts_posted(&id), [1]);
    }
}

#[tokio::test]
async fn a_last_update_whose_answer_is_lost_is_written_once() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::lost());
    world.table_calls.on(Match::operation("UpdateItem").times(1), Fault::CutAfter);
    let id = world.ask(alice()).await;

    // The put and this: two versions.
    let item = world.item(&id);
    assert_eq!((&item["version"], &item["attempts"]["1"]["state"]), (&json!(2), &json!("open")));
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_callback_that_cannot_be_stored_is_no_200_and_its_repeat_is_stored() {
    let world = World::start().await;
    for (outcome, state) in [(Outcome::Ready, "done"), (Outcome::Failed, "failed")] {
        for fault in faults() {
            world.log_rocket.next(Behaviour::manual());
            let id = world.ask(json!({ "userID": "u-1" })).await;
            let before = world.item(&id);
            let post = world.post_of(&id, 1);
            let payload = world.log_rocket.payload(&post.logrocket_request_id.unwrap(), outcome).unwrap();
            let url = post.body["webhookURL"].as_str().unwrap();

            // 1. The table does not take it: 503, and nothing of it is written.
            world.table_calls.on(Match::operation("UpdateItem"), fault);
            let answer = world.callback(url, payload.clone()).await;
            answer.problem(503);
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
            assert_eq!(world.item(&id), before);
            world.table_calls.clear();

            // 2. It does now.
            assert_eq!(world.callback(url, payload).await.status, 200);
            assert_eq!(world.item(&id)["attempts"]["1"]["state"], state);
        }
    }
}

#[tokio::test]
async fn a_callback_that_is_stored_unheard_is_known_when_it_is_repeated() {
    let world = World::start().await;
    world.log_rocket.usually(Behaviour::manual());
    for outcome in [Outcome::Ready, Outcome::Failed] {
        // 1. The first answer of the table is lost; the SDK's repeat finds the news there.
        let id = world.ask(json!({ "userID": "u-1" })).await;
        let before = world.item(&id)["version"].as_i64().unwrap();
        world.table_calls.on(Match::operation("UpdateItem").times(1), Fault::CutAfter);
        assert_eq!(world.tell(&id, 1, outcome).await, 200);
        assert_eq!(world.item(&id)["version"], before + 1);

        // 2. Every answer of the table is lost: LogRocket hears 503, and 200 when it repeats it.
        let id = world.ask(json!({ "userID": "u-1" })).await;
        world.table_calls.on(Match::operation("UpdateItem"), Fault::CutAfter);
        assert_eq!(world.tell(&id, 1, outcome).await, 503);
        world.table_calls.clear();
        let stored = world.item(&id);
        assert_eq!(stored["version"], before + 1);
        assert_eq!(world.tell(&id, 1, outcome).await, 200);
        assert_eq!(world.item(&id), stored);
    }
}

#[tokio::test]
async fn a_sweep_that_the_table_fails_is_made_up_for_by_the_next() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(alice()).await;
    assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);

    // 1. What is due cannot be seen: the sweep fails by name, for its schedule to count.
    world.table_calls.on(Match::operation("Query"), Fault::throttled());
    let failed = world.invoke(json!({ "job": "sweep" })).await.unwrap_err();
    assert_eq!(failed.error_type, "Unavailable");
    world.table_calls.clear();

    // 2. What is due cannot be claimed: it stays due.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let before = world.item(&id);
    world.table_calls.on(Match::operation("UpdateItem"), Fault::CutBefore);
    assert_eq!(world.sweep().await["failed"], 1);
    assert_eq!(world.item(&id), before);
    world.table_calls.clear();

    // 3. The next sweep does it.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
}
