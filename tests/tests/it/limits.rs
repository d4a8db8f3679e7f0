//! What has a limit: the size of a result, and the month's budget of POSTs.

use local::logrocket::{Behaviour, Outcome, Shape};
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com" })
}

fn of_bytes(bytes: usize, incompressible: bool) -> Shape {
    Shape { bytes, incompressible, ..Shape::default() }
}

/// How many POSTs the month's counter holds.
fn counted(world: &World) -> i64 {
    let items = world.table.items().unwrap();
    let counters = items.iter().filter(|item| item["requestID"].as_str().unwrap().starts_with("budget#"));
    counters.map(|counter| counter["posts"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn a_large_result_is_stored_and_read_back_whole() {
    let world = World::start().await;
    for (behaviour, sweeping) in [(Behaviour::ready(), false), (Behaviour::lost(), true)] {
        // 1. A megabyte of highlights, by callback and by poll.
        world.log_rocket.next(behaviour.result(of_bytes(1_000_000, false)));
        let id = world.ask(alice()).await;
        let request =
            if sweeping { world.sweep_until(&id, "READY").await } else { world.wait_for(&id, "READY").await };

        // 2. Every byte of it is read back, though it takes far less room in the table.
        let log_rocket_id = world.post_of(&id, 1).logrocket_request_id.unwrap();
        let payload = world.log_rocket.payload(&log_rocket_id, Outcome::Ready).unwrap();
        assert!(request["result"]["highlights"].as_str().unwrap().len() >= 1_000_000);
        assert!(request["result"] == payload["result"], "the result is not what was sent");
        let item = world.item(&id);
        assert_eq!(item["result"], Value::Null);
        assert!(item["resultGzip"].as_str().unwrap().len() < 100_000);
    }
}

#[tokio::test]
async fn a_result_that_is_too_large_is_refused_and_marked_until_a_smaller_one_comes() {
    let world = World::start().await;

    // 1. Nothing is heard of the first attempt; the second's result is too large to be stored.
    world.log_rocket.next(Behaviour::manual().answering(local::logrocket::Answer::Cut).taken(true));
    world.log_rocket.next(Behaviour::ready().result(of_bytes(700_000, true)));
    let id = world.ask(alice()).await;
    let request = world.sweep_until(&id, "FAILED").await;
    world.log_rocket.wait_for_callbacks(1).await.unwrap();
    assert_eq!(world.log_rocket.callbacks()[0].status, Some(413));
    assert_eq!(request["failure"]["code"], "RESULT_TOO_LARGE");
    assert!(request["failure"]["message"].as_str().unwrap().contains("timeRange"));
    assert_eq!(request["result"], Value::Null);

    // 2. The same again: 413, and nothing changes; no attempt follows.
    let failed = world.item(&id);
    assert!(failed["webhookDueAt"].is_number());
    assert_eq!((&failed["requestDueAt"], &failed["resultGzip"]), (&Value::Null, &Value::Null));
    assert_eq!(world.tell(&id, 2, Outcome::Ready).await, 413);
    world.sweep_for(Duration::from_millis(300)).await;
    assert_eq!(world.item(&id), failed);
    assert_eq!(world.attempts_posted(&id), [1, 2]);

    // 3. The first attempt comes after all, and fits.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let request = world.read(&id).await;
    assert_eq!((&request["status"], &request["failure"]), (&json!("READY"), &Value::Null));
    assert!(request["result"]["highlights"].is_string());

    // 4. Then the one that is too large changes nothing.
    let ready = world.item(&id);
    assert_eq!(world.tell(&id, 2, Outcome::Ready).await, 413);
    assert_eq!(world.item(&id), ready);
}

#[tokio::test]
async fn a_poll_too_finds_a_result_that_is_too_large() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::lost().result(of_bytes(700_000, true)));
    let id = world.ask(alice()).await;
    let request = world.sweep_until(&id, "FAILED").await;
    assert_eq!(request["failure"]["code"], "RESULT_TOO_LARGE");
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_retry_over_the_months_budget_ends_the_request() {
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "1")]).await;

    // 1. The month's one POST fails, and there is none left for the next attempt.
    world.log_rocket.usually(Behaviour::failed());
    let id = world.ask(alice()).await;
    assert_eq!(counted(&world), 1);
    let request = world.sweep_until(&id, "FAILED").await;
    assert_eq!(request["failure"]["code"], "BUDGET");
    assert!(request["failure"]["message"].as_str().unwrap().contains("MONTHLY_REQUEST_LIMIT"));
    assert_eq!(world.attempts_posted(&id), [1]);
    assert!(world.item(&id)["webhookDueAt"].is_number());

    // 2. Nor for another request, which is refused and leaves nothing behind.
    let answer = world.post(alice()).await;
    let problem = answer.problem(429);
    assert!(problem["detail"].as_str().unwrap().contains("MONTHLY_REQUEST_LIMIT"));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(world.table.items().unwrap().len(), 2, "the request and the counter");
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 3. The first attempt is READY after all.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    assert_eq!(world.read(&id).await["status"], "READY");
    assert_eq!(counted(&world), 1);
}

#[tokio::test]
async fn a_post_that_was_not_taken_gives_its_share_of_the_budget_back() {
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "1")]).await;

    // 1. Refused, or not taken: the counter is where it was.
    world.log_rocket.next(Behaviour::status(401));
    world.post(alice()).await.problem(502);
    assert_eq!(counted(&world), 0);
    world.log_rocket.next(Behaviour::status(503));
    let id = world.ask(alice()).await;
    assert_eq!(counted(&world), 0);

    // 2. The POST that is taken counts, once.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 1]);
    assert_eq!(counted(&world), 1);
    world.post(alice()).await.problem(429);
    assert_eq!(counted(&world), 1);
}

#[tokio::test]
async fn what_was_given_back_may_be_used_up_by_another() {
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "1")]).await;

    // 1. One request waits for its retry, another takes the month's last POST.
    world.log_rocket.next(Behaviour::status(503));
    let waiting = world.ask(alice()).await;
    let other = world.ask(alice()).await;

    // 2. The retry is over budget.
    let request = world.sweep_until(&waiting, "FAILED").await;
    assert_eq!(request["failure"]["code"], "BUDGET");
    assert_eq!(request["attempts"], json!([]));
    world.wait_for(&other, "READY").await;
    assert_eq!((world.attempts_posted(&waiting), world.attempts_posted(&other)), (vec![1], vec![1]));
    assert_eq!(counted(&world), 1);
}

#[tokio::test]
async fn requests_at_once_share_the_budget_and_none_is_counted_twice() {
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "3")]).await;

    // 1. Eight at once, room for three.
    let answers = futures::future::join_all((0..8).map(|_| world.post(alice()))).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!((accepted, refused), (3, 5));
    assert_eq!(world.log_rocket.posts().len(), 3);
    assert_eq!(counted(&world), 3);

    // 2. A repeat is no POST: it is answered whatever the budget.
    let ask = async || world.post_with(&[("idempotency-key", "k")], alice()).await;
    ask().await.problem(429);
    assert_eq!(counted(&world), 3);
}
