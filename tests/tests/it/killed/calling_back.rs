//! Webhook λ is killed while LogRocket calls back. LogRocket may call back again, or may not.

use super::{ASKED, Path, Victim, alice, asked, everywhere, request_is_due, sweep, tell_attempt};
use local::logrocket::{Behaviour, Outcome, Shape, Step};
use serde_json::Value;
use std::time::Duration;
use stories::World;

const CALLED: Path = Path { victim: Victim::Webhook, ..ASKED };

/// FAILED, to be told by the test.
fn failed() -> Behaviour {
    Behaviour::steps([Step::new(Outcome::Failed).without_callback()]).after(Duration::ZERO)
}

async fn waiting(world: &World) -> String {
    asked(world, &alice(world)).await
}

/// With webhook λ started: it has swept.
async fn warmed(world: &World) -> String {
    world.sweep_deliveries().await;
    waiting(world).await
}

#[tokio::test]
async fn ready() {
    let path = Path { name: "a callback READY", ..CALLED };
    let ready = async |world: &World, id: &str| tell_attempt(world, id, 1, Outcome::Ready).await;
    everywhere(&path, warmed, ready).await;
    let path = Path { name: "a callback READY to a cold function", least: 2, ..CALLED };
    everywhere(&path, waiting, ready).await;
}

#[tokio::test]
async fn failed_and_to_be_tried_again() {
    fails(&Path { name: "a callback FAILED", ..CALLED }).await;
}

#[tokio::test]
async fn failed_for_the_last_time() {
    fails(&Path {
        name: "a callback FAILED of the last attempt",
        changes: &[("MAX_ATTEMPTS", "1")],
        ends: &["FAILED LOGROCKET_FAILED"],
        ..CALLED
    })
    .await;
}

async fn fails(path: &Path) {
    let arrange = async |world: &World| {
        world.log_rocket.next(failed());
        warmed(world).await
    };
    let tell = async |world: &World, id: &str| tell_attempt(world, id, 1, Outcome::Failed).await;
    everywhere(path, arrange, tell).await;
}

#[tokio::test]
async fn too_large() {
    let path = Path { name: "a callback that is too large", ends: &["FAILED RESULT_TOO_LARGE"], ..CALLED };
    let arrange = async |world: &World| {
        let shape = Shape { bytes: 500_000, incompressible: true, ..Shape::default() };
        world.log_rocket.next(Behaviour::lost().after(Duration::ZERO).result(shape));
        warmed(world).await
    };
    let tell = async |world: &World, id: &str| {
        let answer: Value = tell_attempt(world, id, 1, Outcome::Ready).await?;
        assert_eq!(answer["statusCode"], 413);
        Ok(answer)
    };
    everywhere(&path, arrange, tell).await;
}

#[tokio::test]
async fn ready_of_an_older_attempt() {
    let path = Path { name: "a callback READY of an older attempt", least: 2, ..CALLED };
    let arrange = async |world: &World| {
        world.log_rocket.next(failed());
        let id = warmed(world).await;
        tell_attempt(world, &id, 1, Outcome::Failed).await.unwrap();
        request_is_due(world, &id).await;
        sweep(world).await.unwrap();
        assert_eq!(world.attempts_posted(&id), [1, 2]);
        id
    };
    let tell = async |world: &World, id: &str| tell_attempt(world, id, 1, Outcome::Ready).await;
    everywhere(&path, arrange, tell).await;
}
