//! Callbacks that come early, twice and out of order: whichever comes last, the record ends the same.

use local::logrocket::{Behaviour, Dialect, Outcome, Shape};
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com" })
}

fn manual(dialect: Dialect) -> Behaviour {
    Behaviour::manual().result(Shape { dialect, extra_fields: true, ..Shape::default() })
}

#[tokio::test]
async fn a_result_may_come_before_logrocket_has_answered_the_post() {
    let world = World::start().await;

    // 1. LogRocket posts the result, hears our 200, and only then answers the POST.
    world.log_rocket.next(Behaviour::ready().early());
    let id = world.ask(alice()).await;
    assert_eq!(world.log_rocket.callbacks()[0].status, Some(200));

    // 2. The result stands when the caller has his 202, and LogRocket's id with it.
    let request = world.read(&id).await;
    assert_eq!(request["status"], "READY");
    let log_rocket_id = world.post_of(&id, 1).logrocket_request_id.unwrap();
    assert_eq!(request["attempts"][0]["logRocketRequestID"], log_rocket_id);
    assert_eq!(world.read(&log_rocket_id).await["requestID"], id);

    // 3. LogRocket's late answer to the POST has put nothing back to work.
    let settled = world.item(&id);
    assert_eq!(settled["requestDueAt"], Value::Null);
    world.sweep_for(Duration::from_millis(1500)).await;
    assert_eq!(world.item(&id), settled);
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_failure_may_come_before_logrocket_has_answered_the_post() {
    let world = World::start().await;

    // 1. FAILED is known before the POST is answered; the answer does not open the attempt again.
    world.log_rocket.next(Behaviour::failed().early());
    let id = world.ask(alice()).await;
    assert_eq!(world.log_rocket.callbacks()[0].status, Some(200));
    assert_eq!(world.read(&id).await["status"], "PENDING");
    assert_eq!(world.item(&id)["attempts"]["1"]["state"], "failed");

    // 2. The next attempt is made when its wait is over, and brings the result.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
    let (first, second) = (world.log_rocket.callbacks()[0].at_ms, world.post_of(&id, 2).at_ms);
    assert!(second >= first + 1000, "asked again after {} ms", second - first);
}

#[tokio::test]
async fn a_repeated_callback_is_answered_alike_and_changes_nothing() {
    let world = World::start().await;
    world.log_rocket.usually(Behaviour::manual());
    let (ready, failed) = (world.ask(alice()).await, world.ask(alice()).await);

    // 1. FAILED twice: one attempt has failed, once.
    assert_eq!(world.tell(&failed, 1, Outcome::Failed).await, 200);
    let before = world.item(&failed);
    assert_eq!(world.tell(&failed, 1, Outcome::Failed).await, 200);
    assert_eq!(world.item(&failed), before);

    // 2. READY three times, the last with other words: the first result stands.
    assert_eq!(world.tell(&ready, 1, Outcome::Ready).await, 200);
    let before = world.item(&ready);
    let result = world.read(&ready).await["result"].clone();
    assert!(result["highlights"].is_string());
    assert_eq!(world.tell(&ready, 1, Outcome::Ready).await, 200);
    let post = world.post_of(&ready, 1);
    let mut payload =
        world.log_rocket.payload(post.logrocket_request_id.as_ref().unwrap(), Outcome::Ready).unwrap();
    payload["result"]["highlights"] = json!("other words");
    assert_eq!(world.callback(post.webhook_url().unwrap(), payload).await.status, 200);
    assert_eq!(world.item(&ready), before);
    assert_eq!(world.read(&ready).await["result"], result);
}

#[tokio::test]
async fn failed_and_ready_of_one_attempt_end_ready_in_either_order_and_dialect() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for dialect in [Dialect::Ready, Dialect::Complete] {
        for first in [Outcome::Failed, Outcome::Ready] {
            // 1. One outcome, then the other.
            world.log_rocket.next(manual(dialect));
            let id = world.ask(alice()).await;
            let second = if first == Outcome::Failed { Outcome::Ready } else { Outcome::Failed };
            assert_eq!(world.tell(&id, 1, first).await, 200);
            let between = world.read(&id).await;
            assert_eq!(between["status"], if first == Outcome::Failed { "PENDING" } else { "READY" });
            assert_eq!(world.tell(&id, 1, second).await, 200);

            // 2. READY, with a result that is the same in both dialects.
            let request = world.read(&id).await;
            assert_eq!((&request["status"], &request["failure"]), (&json!("READY"), &Value::Null));
            assert_eq!(request["result"]["sessions"][1]["sessionID"], 1, "{dialect:?}");
            assert_eq!(world.item(&id)["attempts"]["1"]["state"], "done");
            ids.push(id);
        }
    }

    // 3. No failure that came first is tried again.
    world.sweep_for(Duration::from_millis(1500)).await;
    for id in ids {
        assert_eq!(world.attempts_posted(&id), [1]);
    }
}

#[tokio::test]
async fn an_older_attempts_failure_changes_nothing_and_its_result_is_taken() {
    let world = World::start().await;
    for dialect in [Dialect::Ready, Dialect::Complete] {
        // 1. The first attempt fails, the second is under way.
        world.log_rocket.usually(manual(dialect));
        let id = world.ask(alice()).await;
        assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
        let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
        while world.item(&id)["attempts"]["2"]["state"] != "open" {
            assert!(tokio::time::Instant::now() < give_up, "no second attempt: {:#}", world.item(&id));
            world.sweep().await;
        }

        // 2. Its failure is told again: the second attempt stays as it is.
        let payload = |attempt, outcome| {
            let log_rocket_id = world.post_of(&id, attempt).logrocket_request_id.unwrap();
            world.log_rocket.payload(&log_rocket_id, outcome).unwrap()
        };
        let url = |attempt| world.post_of(&id, attempt).webhook_url().unwrap().to_owned();
        let before = world.item(&id);
        assert_eq!(world.callback(&url(1), payload(1, Outcome::Failed)).await.status, 200);
        let after = world.item(&id);
        assert_eq!(after["attempts"], before["attempts"]);
        assert_eq!((&after["status"], &after["attempt"]), (&json!("PENDING"), &json!(2)));

        // 3. Its result comes after all, and is the request's.
        assert_eq!(world.callback(&url(1), payload(1, Outcome::Ready)).await.status, 200);
        let ready = world.item(&id);
        assert_eq!(ready["status"], "READY");
        assert_eq!(ready["attempts"]["1"]["state"], "done");
        let result = world.read(&id).await["result"].clone();
        assert_eq!(result["highlights"], payload(1, Outcome::Ready)["result"]["highlights"]);

        // 4. What the second attempt comes to, and what else is said of the first, changes nothing any more.
        for (attempt, outcome) in [(2, Outcome::Failed), (2, Outcome::Ready), (1, Outcome::Failed)] {
            assert_eq!(world.callback(&url(attempt), payload(attempt, outcome)).await.status, 200);
            assert_eq!(world.item(&id), ready);
        }
        world.sweep_for(Duration::from_millis(300)).await;
        assert_eq!(world.item(&id), ready);
        assert_eq!(world.attempts_posted(&id), [1, 2]);
    }
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_a_later_one_that_is_ready() {
    let world = World::start().await;

    // 1. The first fails, the second is READY.
    world.log_rocket.next(Behaviour::failed());
    let id = world.ask(alice()).await;
    let request = world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
    assert_eq!(request["attempts"].as_array().unwrap().len(), 2);

    // 2. A failure of the older attempt, told late, changes nothing.
    let ready = world.item(&id);
    assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
    assert_eq!(world.item(&id), ready);
    // 3. Either id of LogRocket's is shown; the latest finds the request.
    let of = |attempt| world.post_of(&id, attempt).logrocket_request_id.unwrap();
    assert_eq!(request["attempts"][0]["logRocketRequestID"], of(1));
    assert_eq!(request["attempts"][1]["logRocketRequestID"], of(2));
    assert_eq!(world.read(&of(2)).await["requestID"], id);
}

#[tokio::test]
async fn as_many_failures_as_attempts_end_failed_until_any_attempt_is_ready() {
    let world = World::with(&[("MAX_ATTEMPTS", "2")]).await;
    world.log_rocket.usually(Behaviour::failed());

    // 1. LogRocket fails whatever it is asked.
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(world.ask(alice()).await);
    }
    world.sweep_until_all(&ids, "FAILED").await;

    // 2. It was asked exactly so often, and that is said.
    world.sweep_for(Duration::from_millis(1500)).await;
    for id in &ids {
        assert_eq!(world.attempts_posted(id), [1, 2]);
        let request = world.read(id).await;
        assert_eq!(request["failure"]["code"], "LOGROCKET_FAILED");
        assert!(!request["failure"]["message"].as_str().unwrap().is_empty());
        assert_eq!(request["result"], Value::Null);
        assert!(request["completedAt"].is_string());
        assert_eq!(request["attempts"].as_array().unwrap().len(), 2);
        assert!(world.item(id)["webhookDueAt"].is_number(), "the failure is to be delivered");
    }

    // 3. READY of either attempt lifts it, and is to be delivered.
    for (id, attempt) in ids.iter().zip([1, 2]) {
        let failed = world.item(id);
        assert_eq!(world.tell(id, attempt, Outcome::Ready).await, 200);
        let request = world.read(id).await;
        assert_eq!((&request["status"], &request["failure"]), (&json!("READY"), &Value::Null));
        assert!(request["result"]["highlights"].is_string());
        let ready = world.item(id);
        assert!(ready["webhookDueAt"].as_i64() > failed["webhookDueAt"].as_i64());
        assert_eq!(ready["streamHint"], "webhook");
    }
}
