//! Request λ is killed while somebody asks.

use super::{ASKED, Afterwards, Path, alice, ask, asked, everywhere, settle, warm};
use local::logrocket::Behaviour;
use serde_json::{Value, json};
use stories::World;

/// Who was not answered was promised nothing.
const WISHED: Path = Path { is_wish: true, ..ASKED };

fn keyed(world: &World) -> Value {
    let mut body = alice(world);
    body["idempotencyKey"] = json!("ticket-35436");
    body
}

/// Asks with `maxAge`, for another receiver than the first request's.
fn recent(world: &World) -> Value {
    let mut body = alice(world);
    body["webhookURL"] = json!(world.hook("desk"));
    body["maxAge"] = json!(600);
    body
}

async fn warmed(world: &World) -> String {
    warm(world).await;
    String::new()
}

#[tokio::test]
async fn asking() {
    let path = Path { name: "asking", least: 3, ..WISHED };
    everywhere(&path, warmed, async |world: &World, _: &str| ask(world, &keyed(world)).await).await;
}

#[tokio::test]
async fn asking_a_cold_function() {
    let path = Path { name: "asking a cold function", least: 4, ..WISHED };
    let cold = async |_: &World| String::new();
    everywhere(&path, cold, async |world: &World, _: &str| ask(world, &keyed(world)).await).await;
}

#[tokio::test]
async fn asking_within_a_months_limit() {
    let path = Path {
        name: "asking within a month's limit",
        changes: &[("MONTHLY_REQUEST_LIMIT", "3")],
        least: 3,
        ..WISHED
    };
    everywhere(&path, warmed, async |world: &World, _: &str| ask(world, &keyed(world)).await).await;
}

#[tokio::test]
async fn asking_for_what_logrocket_does_not_take_at_once() {
    let path = Path {
        name: "asking when LogRocket does not take it",
        changes: &[("MONTHLY_REQUEST_LIMIT", "3")],
        least: 3,
        ..WISHED
    };
    let arrange = async |world: &World| {
        world.log_rocket.next(Behaviour::status(503));
        warmed(world).await
    };
    everywhere(&path, arrange, async |world: &World, _: &str| ask(world, &keyed(world)).await).await;
}

#[tokio::test]
async fn asking_what_was_asked_just_now() {
    let joins = async |world: &World, id: &str| {
        let receipt = ask(world, &recent(world)).await?;
        assert_eq!(receipt["requestID"], id);
        Ok(receipt)
    };
    let pending = Path { name: "joining a request that waits", least: 3, ..WISHED };
    everywhere(&pending, async |world: &World| asked(world, &alice(world)).await, joins).await;
    let ready = Path { name: "joining a request that is done", ..pending };
    let done = async |world: &World| {
        let id = asked(world, &alice(world)).await;
        settle(world).await;
        id
    };
    everywhere(&ready, done, joins).await;
}

#[tokio::test]
async fn asking_again_what_was_refused() {
    let path = Path {
        name: "asking again what was refused",
        changes: &[("MONTHLY_REQUEST_LIMIT", "3")],
        least: 4,
        ..WISHED
    };
    let refused = async |world: &World| {
        world.log_rocket.next(Behaviour::status(400));
        world.post(keyed(world)).await.problem(502);
        String::new()
    };
    everywhere(&path, refused, async |world: &World, _: &str| ask(world, &keyed(world)).await).await;
}

#[tokio::test]
async fn asking_in_a_batch_of_sqs() {
    // A queue hands over again what was not taken; a batch may have been taken in part.
    let path = Path {
        name: "asking by SQS",
        least: 6,
        ends: &["READY", "READY"],
        afterwards: &[Afterwards::Repeated],
        ..ASKED
    };
    let batch = async |world: &World, _: &str| {
        let message =
            |id: &str| json!({ "eventSource": "aws:sqs", "messageId": id, "body": alice(world).to_string() });
        let answer = world.invoke(json!({ "Records": [message("1"), message("2")] })).await?;
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        Ok(answer)
    };
    everywhere(&path, warmed, batch).await;
}
