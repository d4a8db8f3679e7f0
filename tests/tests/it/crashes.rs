//! request λ is killed with SIGKILL while somebody asks. Whatever was stored is driven to its outcome.

use local::logrocket::{Behaviour, Outcome};
use local::proxy::{Match, Point};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;

const KEY: &str = "ticket-35436";

fn keyed() -> Value {
    json!({ "userEmail": "alice@example.com", "idempotencyKey": KEY })
}

/// The one request there is.
fn only(world: &World) -> (String, Value) {
    let mut items = world.table.items().unwrap();
    assert_eq!(items.len(), 1, "{items:#?}");
    let item = items.remove(0);
    (item["requestID"].as_str().unwrap().to_owned(), item)
}

fn put() -> Match {
    Match::operation("PutItem")
}

fn update() -> Match {
    Match::operation("UpdateItem")
}

#[tokio::test]
async fn killed_before_the_put_nothing_is_stored_and_the_same_key_works() {
    let world = World::start().await;

    // 1. Killed while the put is on its way; it never arrives.
    let hold = world.table_calls.hold(put(), Point::Before);
    world.ask_and_kill(keyed(), &hold).await;
    hold.discard();
    assert_eq!(world.table.items().unwrap(), Vec::<Value>::new());
    assert!(world.log_rocket.posts().is_empty());

    // 2. The caller, who was told nothing, repeats it.
    let answer = world.post(keyed()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let (id, _) = only(&world);
    world.wait_for(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn killed_between_put_and_post_the_sweep_asks_logrocket() {
    let world = World::start().await;

    // 1. Killed when the record is stored; LogRocket was not asked.
    let hold = world.table_calls.hold(put(), Point::After);
    world.ask_and_kill(keyed(), &hold).await;
    drop(hold);
    let (id, item) = only(&world);
    assert_eq!((&item["status"], &item["attempts"]["1"]["state"]), (&json!("PENDING"), &json!("unknown")));
    assert!(world.log_rocket.posts().is_empty());

    // 2. The caller's repeat is promised the same request, and asks LogRocket no sooner: nobody knows.
    let answer = world.post(keyed()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(answer.header("idempotent-replayed"), "true");
    assert_eq!(answer.json()["requestID"], id);
    assert!(world.log_rocket.posts().is_empty());

    // 3. When the grace is over, the next attempt is made.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [2]);
}

#[tokio::test]
async fn killed_during_a_post_that_logrocket_took_the_callback_settles_it() {
    let world = World::start().await;

    // 1. Killed while LogRocket has the POST before it; it takes it all the same.
    let hold = world.log_rocket.hold_next_post();
    world.ask_and_kill(keyed(), &hold).await;
    hold.release();

    // 2. The callback teaches LogRocket's id, and nothing is asked twice.
    let (id, _) = only(&world);
    let request = world.wait_for(&id, "READY").await;
    assert_eq!(
        request["attempts"][0]["logRocketRequestID"],
        world.post_of(&id, 1).logrocket_request_id.unwrap()
    );
    world.sweep_for(Duration::from_millis(2500)).await;
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn killed_during_a_post_that_logrocket_did_not_take_the_next_attempt_is_made() {
    let world = World::start().await;
    let hold = world.log_rocket.hold_next_post();
    world.ask_and_kill(keyed(), &hold).await;
    hold.discard();

    let (id, _) = only(&world);
    let request = world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
    assert_eq!(world.post_of(&id, 1).logrocket_request_id, None);
    assert_eq!(request["attempts"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn killed_before_logrockets_id_is_written_down_the_callback_brings_it() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());

    // 1. LogRocket has answered with its id, and the update with it never arrives.
    let hold = world.table_calls.hold(update(), Point::Before);
    world.ask_and_kill(keyed(), &hold).await;
    hold.discard();
    let (id, item) = only(&world);
    assert_eq!(item["attempts"]["1"]["state"], "unknown");
    assert_eq!(item["attempts"]["1"]["logRocketRequestID"], Value::Null);

    // 2. The callback comes before the grace is over.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    world.sweep_for(Duration::from_millis(2500)).await;
    let request = world.read(&id).await;
    assert_eq!(request["status"], "READY");
    assert_eq!(
        request["attempts"][0]["logRocketRequestID"],
        world.post_of(&id, 1).logrocket_request_id.unwrap()
    );
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn killed_before_logrockets_id_is_written_down_and_the_callback_lost_the_next_attempt_is_made() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::lost());
    let hold = world.table_calls.hold(update(), Point::Before);
    world.ask_and_kill(keyed(), &hold).await;
    hold.discard();

    // Without its id, LogRocket cannot be polled for the first.
    let (id, _) = only(&world);
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
    assert!(world.log_rocket.polls().is_empty());
}

#[tokio::test]
async fn an_update_of_a_killed_function_that_arrives_late_does_no_harm() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());

    // 1. Killed before the update; its bytes are on the wire, and the callback overtakes them.
    let hold = world.table_calls.hold(update(), Point::Before);
    world.ask_and_kill(keyed(), &hold).await;
    let (id, _) = only(&world);
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let ready = world.item(&id);
    assert_eq!(ready["status"], "READY");

    // 2. They arrive, and meet another version.
    hold.release();
    let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
    let refused = |world: &World| {
        let calls = world.table_calls.calls();
        calls.iter().any(|call| call.operation == "UpdateItem" && call.upstream == Some(400))
    };
    while !refused(&world) {
        assert!(tokio::time::Instant::now() < give_up, "the late update never arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.item(&id), ready);
}

#[tokio::test]
async fn killed_after_the_last_update_took_effect_the_request_goes_its_way() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::lost());

    // 1. All is written, and the caller not answered.
    let hold = world.table_calls.hold(update(), Point::After);
    world.ask_and_kill(keyed(), &hold).await;
    drop(hold);
    let (id, item) = only(&world);
    assert_eq!(item["attempts"]["1"]["state"], "open");

    // 2. His repeat is the same request.
    let answer = world.post(keyed()).await;
    assert_eq!((answer.status, &answer.json()["requestID"]), (StatusCode::ACCEPTED, &json!(id)));

    // 3. The lost callback is settled by a poll, as if nothing had been.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn killed_again_and_again_logrocket_is_asked_no_more_often_than_is_allowed() {
    let world = World::with(&[
        ("MAX_ATTEMPTS", "2"),
        ("PENDING_TIMEOUT_SECONDS", "8"),
        ("UNKNOWN_GRACE_SECONDS", "1"),
    ])
    .await;

    // 1. Killed during each POST; LogRocket took none of them.
    let hold = world.log_rocket.hold_next_post();
    world.ask_and_kill(keyed(), &hold).await;
    hold.discard();
    let (id, _) = only(&world);
    let hold = world.log_rocket.hold_next_post();
    world.sweep_and_kill(&hold).await;
    hold.discard();

    // 2. No attempt is left, and LogRocket may be at work on the last: waiting goes on, and ends.
    let request = world.sweep_until(&id, "EXPIRED").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
    assert_eq!(request["attempts"].as_array().unwrap().len(), 2);
    let item = world.item(&id);
    assert!(item["completedAt"].as_i64() >= item["pendingUntil"].as_i64());
    assert_eq!(item["requestDueAt"], Value::Null);
}
