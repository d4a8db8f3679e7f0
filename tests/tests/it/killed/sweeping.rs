//! Request λ is killed while it sweeps.

use super::{ASKED, Afterwards, Path, alice, asked, everywhere, request_is_due, rest, sweep, tell_attempt};
use local::logrocket::{Behaviour, Outcome, PollAnswer, Step};
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;

/// A sweep is not repeated by anybody but the next.
const SWEPT: Path = Path { afterwards: &[Afterwards::Alone], ..ASKED };

async fn sweeps(world: &World, _: &str) -> Result<Value, local::lambda::FunctionError> {
    sweep(world).await
}

/// A request with work due.
async fn due(world: &World) -> String {
    let id = asked(world, &alice(world)).await;
    request_is_due(world, &id).await;
    id
}

/// A request whose first attempt has failed, and whose next is due.
async fn failed(world: &World) -> String {
    let failed = Behaviour::steps([Step::new(Outcome::Failed).without_callback()]);
    world.log_rocket.next(failed.after(Duration::ZERO));
    let id = asked(world, &alice(world)).await;
    tell_attempt(world, &id, 1, Outcome::Failed).await.unwrap();
    request_is_due(world, &id).await;
    id
}

#[tokio::test]
async fn the_next_attempt() {
    // The callback of the POST that the dead made may come, or may not.
    let path = Path { name: "the next attempt", least: 8, ..ASKED };
    everywhere(&path, failed, sweeps).await;
    let changes = &[("MONTHLY_REQUEST_LIMIT", "9")];
    let path = Path { name: "the next attempt within a month's limit", changes, least: 8, ..SWEPT };
    everywhere(&path, failed, sweeps).await;
}

#[tokio::test]
async fn what_was_not_taken() {
    let changes = &[("MONTHLY_REQUEST_LIMIT", "9")];
    let path = Path { name: "what was not taken", changes, least: 8, ..SWEPT };
    let not_taken = async |world: &World| {
        world.log_rocket.next(Behaviour::status(503));
        due(world).await
    };
    everywhere(&path, not_taken, sweeps).await;
}

#[tokio::test]
async fn a_poll_that_finds_the_result() {
    let path = Path { name: "a poll that finds the result", least: 7, ..SWEPT };
    everywhere(&path, due, sweeps).await;
}

#[tokio::test]
async fn a_poll_that_finds_nothing() {
    let path = Path { name: "a poll that finds nothing", least: 7, ..SWEPT };
    let arrange = async |world: &World| {
        world.log_rocket.next_poll(PollAnswer::Pending);
        due(world).await
    };
    everywhere(&path, arrange, sweeps).await;
}

#[tokio::test]
async fn the_end_of_waiting() {
    let changes = &[("PENDING_TIMEOUT_SECONDS", "2")];
    let path = Path { name: "the end of waiting", changes, least: 7, ends: &["EXPIRED EXPIRED"], ..SWEPT };
    let arrange = async |world: &World| {
        world.log_rocket.next(Behaviour::manual());
        let id = asked(world, &alice(world)).await;
        rest(Duration::from_secs(2)).await;
        id
    };
    everywhere(&path, arrange, sweeps).await;
}

#[tokio::test]
async fn over_the_months_limit() {
    let changes = &[("MONTHLY_REQUEST_LIMIT", "1")];
    let path = Path { name: "over the month's limit", changes, least: 7, ends: &["FAILED BUDGET"], ..SWEPT };
    everywhere(&path, failed, sweeps).await;
}

#[tokio::test]
async fn no_attempt_left() {
    let changes = &[("MAX_ATTEMPTS", "1")];
    let ends = &["FAILED LOGROCKET_FAILED"];
    let path = Path { name: "no attempt left", changes, least: 6, ends, ..SWEPT };
    // As it is where MAX_ATTEMPTS was lowered since the attempt failed.
    let arrange = async |world: &World| {
        let id = asked(world, &alice(world)).await;
        let number = |value: &Value| json!({ "N": value.to_string() });
        let attempt = &world.item(&id)["attempts"]["1"];
        let failed = json!({ "M": {
            "state": { "S": "failed" },
            "startedAt": number(&attempt["startedAt"]), "nextAt": number(&attempt["startedAt"]),
            "logRocketRequestID": { "S": attempt["logRocketRequestID"] },
        } });
        world.damage(&id, "attempts", json!({ "M": { "1": failed } })).await;
        request_is_due(world, &id).await;
        id
    };
    everywhere(&path, arrange, sweeps).await;
}
