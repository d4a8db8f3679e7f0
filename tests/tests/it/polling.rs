//! Callbacks that do not come: LogRocket is polled, what it answers is believed or not, and waiting ends.

use local::logrocket::{Behaviour, Outcome, PollAnswer, Step};
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com" })
}

/// When this request was polled for, in epoch milliseconds.
fn polled_at(world: &World, id: &str) -> Vec<i64> {
    let log_rocket_id = world.post_of(id, 1).logrocket_request_id;
    let polls = world.log_rocket.polls().into_iter().filter(|poll| poll.id == log_rocket_id);
    polls.map(|poll| i64::try_from(poll.at_ms).unwrap()).collect()
}

#[tokio::test]
async fn a_lost_callback_is_settled_by_a_poll() {
    let world = World::start().await;

    // 1. Two callbacks are lost, one of a result and one of a failure.
    world.log_rocket.next(Behaviour::lost());
    let lost = world.ask(alice()).await;
    world.log_rocket.next(Behaviour::steps([Step::new(Outcome::Failed).without_callback()]));
    let failed = world.ask(alice()).await;

    // 2. A poll, not before its time, finds the result, whole; no second POST is made.
    let request = world.sweep_until(&lost, "READY").await;
    assert!(request["result"]["highlights"].is_string());
    assert_eq!(request["result"]["sessions"].as_array().unwrap().len(), 3);
    assert_eq!(world.attempts_posted(&lost), [1]);
    let polls = polled_at(&world, &lost);
    assert_eq!(polls.len(), 1);
    let started_at = world.item(&lost)["attempts"]["1"]["startedAt"].as_i64().unwrap();
    assert!(polls[0] >= started_at + 1000, "polled after {} ms", polls[0] - started_at);
    assert!(world.log_rocket.polls().iter().all(|poll| poll.authorized && poll.status == Some(200)));

    // 3. A poll finds the failure too; the next attempt is made.
    world.sweep_until(&failed, "READY").await;
    assert_eq!(world.attempts_posted(&failed), [1, 2]);
}

#[tokio::test]
async fn poll_answers_that_cannot_be_believed_change_nothing_but_the_next_polls_time() {
    let world = World::start().await;
    let answers = [
        PollAnswer::OtherId,
        PollAnswer::Status(401),
        PollAnswer::Status(404),
        PollAnswer::Status(500),
        PollAnswer::Garbage,
        PollAnswer::Cut,
        PollAnswer::Pending,
    ];

    // 1. Every callback is lost, and the first poll for each request goes wrong in another way.
    world.log_rocket.usually(Behaviour::lost());
    world.log_rocket.usually_poll(PollAnswer::Pending);
    let mut ids = Vec::new();
    for answer in &answers {
        world.log_rocket.next_poll(answer.clone());
        ids.push(world.ask(alice()).await);
    }
    let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
    while world.log_rocket.polls().len() < answers.len() {
        assert!(tokio::time::Instant::now() < give_up, "no polls: {}", world.output());
        world.sweep().await;
    }
    world.log_rocket.usually_poll(PollAnswer::Truth);

    // 2. None was believed, and each is polled for again after twice the wait.
    for id in &ids {
        let item = world.item(id);
        assert_eq!((&item["status"], &item["attempts"]["1"]["state"]), (&json!("PENDING"), &json!("open")));
        let next = item["attempts"]["1"]["nextAt"].as_i64().unwrap();
        assert_eq!(item["requestDueAt"], next);
        let polls = polled_at(&world, id);
        assert_eq!(polls.len(), 1);
        assert!((2000..4000).contains(&(next - polls[0])), "{} ms", next - polls[0]);
    }

    // 3. The next polls are answered truly.
    world.sweep_until_all(&ids, "READY").await;
    for id in &ids {
        let polls = polled_at(&world, id);
        assert_eq!(polls.len(), 2);
        assert!(polls[1] - polls[0] >= 2000, "polled again after {} ms", polls[1] - polls[0]);
        assert_eq!(world.attempts_posted(id), [1]);
    }
}

#[tokio::test]
async fn waiting_ends_and_a_late_result_is_taken_all_the_same() {
    let world = World::with(&[("PENDING_TIMEOUT_SECONDS", "2"), ("RETRY_AFTER_SECONDS", "1")]).await;
    world.log_rocket.usually(Behaviour::manual());

    // 1. LogRocket says PENDING to every poll, until waiting ends.
    let id = world.ask(alice()).await;
    let request = world.sweep_until(&id, "EXPIRED").await;
    assert_eq!(request["failure"]["code"], "EXPIRED");
    assert!(!request["failure"]["message"].as_str().unwrap().is_empty());
    assert!(request["completedAt"].is_string());
    assert_eq!(request["result"], Value::Null);
    let expired = world.item(&id);
    assert!(expired["completedAt"].as_i64() >= expired["pendingUntil"].as_i64());
    assert!(expired["webhookDueAt"].is_number(), "the failure is to be delivered");

    // 2. It was polled at the end once more, and then no more.
    let polls = polled_at(&world, &id);
    assert!(*polls.last().unwrap() >= expired["pendingUntil"].as_i64().unwrap());
    world.sweep_for(Duration::from_millis(500)).await;
    assert_eq!(polled_at(&world, &id), polls);

    // 3. A failure that comes now makes no new attempt.
    assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
    world.sweep_for(Duration::from_millis(1500)).await;
    assert_eq!(world.item(&id), expired);
    assert_eq!(world.attempts_posted(&id), [1]);

    // 4. A result that comes now is taken, and is to be delivered.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let request = world.read(&id).await;
    assert_eq!((&request["status"], &request["failure"]), (&json!("READY"), &Value::Null));
    assert!(request["result"]["highlights"].is_string());
    assert!(world.item(&id)["webhookDueAt"].as_i64() > expired["webhookDueAt"].as_i64());
}

#[tokio::test]
async fn the_last_poll_saves_a_result_whose_callback_was_lost() {
    let world = World::with(&[("PENDING_TIMEOUT_SECONDS", "2"), ("POLL_AFTER_SECONDS", "60")]).await;

    // 1. The first poll would come long after waiting has ended.
    world.log_rocket.next(Behaviour::lost());
    let id = world.ask(alice()).await;
    world.log_rocket.next(Behaviour::steps([Step::new(Outcome::Failed).without_callback()]));
    let failed = world.ask(alice()).await;

    // 2. So there is one at its end, and it finds the result.
    world.sweep_until(&id, "READY").await;
    let polls = polled_at(&world, &id);
    assert_eq!(polls.len(), 1);
    assert!(polls[0] >= world.item(&id)["pendingUntil"].as_i64().unwrap());

    // 3. Where it finds a failure, there is no time for another attempt.
    let request = world.sweep_until(&failed, "EXPIRED").await;
    assert_eq!(request["failure"]["code"], "EXPIRED");
    assert_eq!(world.attempts_posted(&failed), [1]);
}

#[tokio::test]
async fn waiting_ends_whatever_it_is_waited_for() {
    let world = World::with(&[
        ("PENDING_TIMEOUT_SECONDS", "3"),
        ("UNKNOWN_GRACE_SECONDS", "60"),
        ("MAX_ATTEMPTS", "2"),
    ])
    .await;

    // 1. LogRocket wants an hour's pause, cuts the connection, and fails at once.
    world.log_rocket.next(Behaviour::status(429).retry_after(3600));
    let paused = world.ask(alice()).await;
    world.log_rocket.next(Behaviour::cut());
    let unknown = world.ask(alice()).await;
    // 2. It refuses the key to a request that was accepted while LogRocket was down.
    world.log_rocket.next(Behaviour::status(503));
    let refused = world.ask(alice()).await;
    world.log_rocket.usually(Behaviour::status(401));

    // 3. All end EXPIRED, the first two without another POST.
    let ids = [paused, unknown, refused];
    world.sweep_until_all(&ids, "EXPIRED").await;
    for id in &ids {
        let item = world.item(id);
        assert_eq!(item["failure"]["code"], "EXPIRED");
        assert!(item["completedAt"].as_i64() >= item["pendingUntil"].as_i64());
        assert!(item["webhookDueAt"].is_number(), "the failure is to be delivered");
        assert_eq!(item["requestDueAt"], Value::Null);
    }
    assert_eq!(world.attempts_posted(&ids[0]), [1]);
    assert_eq!(world.attempts_posted(&ids[1]), [1]);
    let tries = world.attempts_posted(&ids[2]);
    assert!((2..=3).contains(&tries.len()) && tries.iter().all(|attempt| *attempt == 1), "{tries:?}");
}
