//! Webhook λ is killed while it delivers, by the table's stream or in its sweep. A delivery that was killed is due again
//! after ten seconds, and not before.

use super::{ASKED, Afterwards, PATIENCE, Path, Victim, asked, everywhere, is_due, tell_attempt, warm};
use local::lambda::FunctionError;
use local::logrocket::{Behaviour, Outcome, Shape};
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;

const DELIVERED: Path = Path { victim: Victim::Webhook, afterwards: &[Afterwards::Alone], ..ASKED };

/// A long page goes to Slack in three messages, the later ones in the thread of the first.
const LONG: usize = 25_000;

/// A result that is there for these destinations, with the stream, if there is one, paused.
async fn ready(world: &World, destinations: Value, bytes: usize) -> String {
    warm(world).await;
    if let Some(stream) = &world.stream {
        stream.pause();
    }
    let shape = Shape { bytes, ..Shape::default() };
    world.log_rocket.next(Behaviour::lost().after(Duration::ZERO).result(shape));
    let id = asked(world, &json!({ "userID": "1", "destinations": destinations })).await;
    tell_attempt(world, &id, 1, Outcome::Ready).await.unwrap();
    id
}

/// The stream hands over what came, and again what was not taken; answers how the first invocation ended.
async fn streams(world: &World, _: &str) -> Result<Value, FunctionError> {
    let stream = world.stream.as_ref().unwrap();
    stream.resume();
    assert!(stream.caught_up(PATIENCE).await);
    stream.errors().into_iter().next().map_or(Ok(Value::Null), Err)
}

/// By the stream, to one destination of which webhook λ makes so many calls.
async fn by_the_stream(name: &'static str, calls: usize, bytes: usize, to: impl AsyncFn(&World) -> Value) {
    // And the claim and the mark, which are the same for all: `to_slack_in_three_messages` dies there.
    let path = Path { name, streams: true, least: calls + 2, doors: &["the destinations"], ..DELIVERED };
    let arrange = async |world: &World| ready(world, json!([to(world).await]), bytes).await;
    everywhere(&path, arrange, streams).await;
}

#[tokio::test]
async fn to_slack_in_three_messages() {
    let path = Path { name: "to Slack", streams: true, least: 5, ..DELIVERED };
    let to = json!([{ "type": "slack", "channel": "C0123456789" }]);
    let arrange = async |world: &World| ready(world, to.clone(), LONG).await;
    everywhere(&path, arrange, streams).await;
}

#[tokio::test]
async fn to_slacks_incoming_webhook() {
    by_the_stream("to Slack's webhook", 3, LONG, async |_| json!({ "type": "slack", "webhook": "nps" }))
        .await;
}

#[tokio::test]
async fn to_zendesk() {
    by_the_stream("to Zendesk", 1, 0, async |_| json!({ "type": "zendesk", "ticketID": "35436" })).await;
}

#[tokio::test]
async fn to_salesforce() {
    let record = "003000000000001AAA";
    by_the_stream("to Salesforce", 2, 0, async |_| json!({ "type": "salesforce", "recordID": record })).await;
}

#[tokio::test]
async fn to_hubspot() {
    by_the_stream("to HubSpot", 1, 0, async |_| json!({ "type": "hubspot", "contactID": "101" })).await;
}

#[tokio::test]
async fn to_intercom() {
    by_the_stream("to Intercom", 1, 0, async |_| json!({ "type": "intercom", "conversationID": "525" }))
        .await;
}

#[tokio::test]
async fn to_teams() {
    by_the_stream("to Teams", 1, 0, async |_| json!({ "type": "teams", "webhook": "support" })).await;
}

#[tokio::test]
async fn to_a_signed_webhook() {
    by_the_stream("to a webhook", 1, 0, async |world| json!({ "type": "webhook", "url": world.hook("crm") }))
        .await;
}

#[tokio::test]
async fn to_event_bridge() {
    by_the_stream("to EventBridge", 1, 0, async |_| json!({ "type": "eventBridge" })).await;
}

#[tokio::test]
async fn to_step_functions() {
    by_the_stream(
        "to Step Functions",
        1,
        0,
        async |world| json!({ "type": "stepFunctions", "taskToken": world.destinations.issue_token() }),
    )
    .await;
}

#[tokio::test]
async fn in_the_sweep_to_several_side_by_side() {
    let path = Path { name: "in the sweep", least: 4 + 1 + 1 + 5 + 3, ..DELIVERED };
    let arrange = async |world: &World| {
        let to = json!([
            { "type": "slack", "channel": "C0123456789" },
            { "type": "zendesk", "ticketID": "35436" },
            { "type": "webhook", "url": world.hook("crm") },
        ]);
        let id = ready(world, to, LONG).await;
        is_due(world, &id, "webhookDueAt").await;
        id
    };
    let sweeps = async |world: &World, _: &str| world.webhook.invoke(json!({ "job": "sweep" })).await;
    everywhere(&path, arrange, sweeps).await;
}
