//! The functions are killed with SIGKILL after the caller has his 202: request λ in the sweep, webhook λ at the
//! callback.

use local::hold::Hold;
use local::logrocket::{Behaviour, Outcome, PollAnswer};
use local::proxy::{Match, Point};
use serde_json::{Value, json};
use stories::World;

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com" })
}

fn update() -> Match {
    Match::operation("UpdateItem")
}

/// A request whose first attempt has failed: the sweep makes the next.
async fn with_a_retry_due(world: &World) -> String {
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(alice()).await;
    assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
    id
}

/// LogRocket tells a result while webhook λ is killed at the call that is held.
async fn tell_and_kill(world: &World, id: &str, hold: &Hold) {
    let killing = async {
        hold.arrived().await.unwrap();
        world.webhook.kill().await;
    };
    let (status, ()) = tokio::join!(world.tell(id, 1, Outcome::Ready), killing);
    assert_eq!(status, 500);
}

#[tokio::test]
async fn a_sweep_killed_after_its_claim_leaves_the_work_to_the_next() {
    let world = World::start().await;
    let id = with_a_retry_due(&world).await;
    let before = world.item(&id);

    // 1. The claim took effect: the date is pushed forward by the lease, and the try is counted.
    let hold = world.table_calls.hold(update(), Point::After);
    world.sweep_and_kill(&hold).await;
    drop(hold);
    let claimed = world.item(&id);
    assert_eq!((&before["requestTries"], &claimed["requestTries"]), (&json!(0), &json!(1)));
    let due = |item: &Value| item["requestDueAt"].as_i64().unwrap();
    assert!(due(&claimed) >= due(&before) + 2000);
    assert_eq!(claimed["requestDueSince"], before["requestDueSince"], "what is stuck looks old");
    assert_eq!(claimed["attempt"], 1);

    // 2. Nobody takes it before the lease is over; then it is done.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
    let started = world.item(&id)["attempts"]["2"]["startedAt"].as_i64().unwrap();
    assert!(started >= due(&claimed), "taken {} ms before the lease was over", due(&claimed) - started);
}

#[tokio::test]
async fn a_sweep_killed_before_its_claim_has_changed_nothing() {
    let world = World::start().await;
    let id = with_a_retry_due(&world).await;
    let before = world.item(&id);
    let hold = world.table_calls.hold(update(), Point::Before);
    world.sweep_and_kill(&hold).await;
    hold.discard();
    assert_eq!(world.item(&id), before);

    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);
}

#[tokio::test]
async fn a_sweep_killed_when_the_attempt_is_written_makes_the_one_after_it() {
    let world = World::start().await;
    let id = with_a_retry_due(&world).await;

    // 1. The second attempt is written down, and not posted.
    let hold = world.table_calls.hold(update().nth(2), Point::After);
    world.sweep_and_kill(&hold).await;
    drop(hold);
    let item = world.item(&id);
    assert_eq!((&item["attempt"], &item["attempts"]["2"]["state"]), (&json!(2), &json!("unknown")));

    // 2. Nobody knows that: the third is the next, and the last.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 3]);
    assert_eq!(world.item(&id)["attempts"]["2"]["state"], "abandoned");
}

#[tokio::test]
async fn a_sweep_killed_during_its_post_waits_for_the_callback_or_asks_again() {
    let world = World::start().await;

    // 1. LogRocket takes it: the callback settles it.
    let id = with_a_retry_due(&world).await;
    let hold = world.log_rocket.hold_next_post();
    world.sweep_and_kill(&hold).await;
    hold.release();
    world.wait_for(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2]);

    // 2. LogRocket never hears of it: the third attempt.
    let id = with_a_retry_due(&world).await;
    let hold = world.log_rocket.hold_next_post();
    world.sweep_and_kill(&hold).await;
    hold.discard();
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 2, 3]);
}

#[tokio::test]
async fn a_sweep_killed_before_logrockets_answer_is_written_down_asks_no_second_time() {
    let world = World::start().await;
    let id = with_a_retry_due(&world).await;
    world.log_rocket.next(Behaviour::manual());

    // 1. Claim and attempt are written; the third update, with LogRocket's id, never arrives.
    let hold = world.table_calls.hold(update().nth(3), Point::Before);
    world.sweep_and_kill(&hold).await;
    hold.discard();
    assert_eq!(world.item(&id)["attempts"]["2"]["state"], "unknown");

    // 2. The callback brings both.
    assert_eq!(world.tell(&id, 2, Outcome::Ready).await, 200);
    assert_eq!(world.sweep_until(&id, "READY").await["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(world.attempts_posted(&id), [1, 2]);
}

#[tokio::test]
async fn a_sweep_killed_during_a_poll_polls_again() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::lost());
    let id = world.ask(alice()).await;

    // 1. Killed while LogRocket looks it up.
    world.log_rocket.next_poll(PollAnswer::Hang);
    let hold = world
        .log_rocket_calls
        .hold(Match::operation("GET /v1/orgs/acme/apps/shop/highlights"), Point::Before);
    world.sweep_and_kill(&hold).await;
    hold.release();
    world.log_rocket.wait_for_polls(1).await.unwrap();
    assert_eq!(world.item(&id)["requestTries"], 1);

    // 2. The next one finds the result.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.log_rocket.polls().len(), 2);
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_sweep_killed_before_a_polled_result_is_stored_polls_again() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::lost());
    let id = world.ask(alice()).await;
    let hold = world.table_calls.hold(update().nth(2), Point::Before);
    world.sweep_and_kill(&hold).await;
    hold.discard();
    assert_eq!(world.item(&id)["status"], "PENDING");

    world.sweep_until(&id, "READY").await;
    assert_eq!(world.log_rocket.polls().len(), 2);
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_sweep_killed_among_many_records_strands_none() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(with_a_retry_due(&world).await);
    }

    // 1. Killed in the middle of the work on all of them.
    let hold = world.log_rocket.hold_next_post();
    world.sweep_and_kill(&hold).await;
    hold.discard();

    // 2. Each is settled, and asked for no more often than is allowed.
    world.sweep_until_all(&ids, "READY").await;
    for id in &ids {
        let posted = world.attempts_posted(id);
        assert!(posted.len() <= 3 && posted.is_sorted(), "{posted:?}");
        assert_eq!(world.item(id)["requestDueAt"], Value::Null);
    }
}

#[tokio::test]
async fn a_callback_that_killed_the_function_before_its_update_is_stored_by_a_repeat() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(alice()).await;
    let before = world.item(&id);

    // 1. Killed before the update arrives: not 200, and nothing stored.
    let hold = world.table_calls.hold(update(), Point::Before);
    tell_and_kill(&world, &id, &hold).await;
    hold.discard();
    assert_eq!(world.item(&id), before);

    // 2. LogRocket's repeat is stored.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let request = world.read(&id).await;
    assert_eq!(request["status"], "READY");
    assert!(request["result"]["highlights"].is_string());
}

#[tokio::test]
async fn a_callback_that_killed_the_function_and_is_not_repeated_is_settled_by_a_poll() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(alice()).await;
    let hold = world.table_calls.hold(update(), Point::Before);
    tell_and_kill(&world, &id, &hold).await;
    hold.discard();

    world.sweep_until(&id, "READY").await;
    assert_eq!(world.log_rocket.polls().len(), 1);
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_callback_that_killed_the_function_after_its_update_is_known_when_repeated() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(alice()).await;

    // 1. Killed when the result was stored; LogRocket hears no 200.
    let hold = world.table_calls.hold(update(), Point::After);
    tell_and_kill(&world, &id, &hold).await;
    drop(hold);
    let ready = world.item(&id);
    assert_eq!(ready["status"], "READY");

    // 2. Its repeat gets one, and changes nothing.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    assert_eq!(world.item(&id), ready);
}
