//! Deliveries: from the outcome to the destination, whatever fails on the way.

use local::destinations::{Behaviour, Kind};
use serde_json::json;
use stories::World;

#[tokio::test]
async fn the_stream_delivers_a_result_at_once() {
    let world = World::delivering(&[]).await;
    let url = format!("{}/hook/crm", world.destinations.url());
    let id = world.ask(json!({ "userID": "1", "webhookURL": url, "metadata": { "nps": "3" } })).await;
    let deliveries = world.wait_for_deliveries(&id).await;
    assert_eq!(deliveries[0]["status"], "DELIVERED", "{deliveries:?}");
    assert_eq!(deliveries[0]["attempts"], 1);
    assert!(deliveries[0]["deliveredAt"].is_string() && deliveries[0]["nextAttemptAt"].is_null());

    let calls = world.destinations.wait_for(Kind::Webhook, 1).await.unwrap();
    let sent = &calls[0].body;
    let request = world.read(&id).await;
    assert_eq!((&sent["requestID"], &sent["status"]), (&json!(id), &json!("READY")));
    assert_eq!(sent["result"], request["result"]);
    assert_eq!(sent["metadata"], json!({ "nps": "3" }));
    assert_eq!(sent["logRocketRequestID"], request["attempts"][0]["logRocketRequestID"]);
    // One invocation for one outcome: the claim took the hint away, and no other write invoked anything.
    assert!(world.stream.as_ref().unwrap().invocations().len() == 1);
}

#[tokio::test]
async fn without_the_stream_the_sweep_delivers() {
    let world = World::start().await;
    let url = format!("{}/hook/crm", world.destinations.url());
    let id = world.ask(json!({ "userID": "1", "webhookURL": url })).await;
    world.wait_for(&id, "READY").await;
    assert_eq!(world.deliveries(&id).await[0]["status"], "PENDING");
    let swept = world.sweep_deliveries().await;
    assert_eq!((&swept["due"], &swept["delivered"]), (&json!(1), &json!(1)), "{swept}");
    assert_eq!(world.deliveries(&id).await[0]["status"], "DELIVERED");
    assert_eq!(world.sweep_deliveries().await["due"], 0);
    assert_eq!(world.destinations.received().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_given_up_at_once_in_the_destinations_words_and_redeliver_tries_it_again() {
    let world = World::delivering(&[]).await;
    let gone = Behaviour::status(410).body(r#"{"error":"this hook was removed"}"#);
    world.destinations.next(Kind::Webhook, gone);
    let url = format!("{}/hook/crm", world.destinations.url());
    let id = world.ask(json!({ "userID": "1", "webhookURL": url })).await;
    let deliveries = world.wait_for_deliveries(&id).await;
    assert_eq!(deliveries[0]["status"], "FAILED");
    assert_eq!(deliveries[0]["lastError"], "the webhook answered 410: this hook was removed");

    let path = format!("/highlights/{id}/redeliver");
    let bearer = ("authorization", stories::BEARER);
    let answer = world.call(reqwest::Method::POST, &path, &[bearer], json!(null)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json()["deliveries"][0]["status"], "PENDING");
    assert_eq!(world.wait_for_deliveries(&id).await[0]["status"], "DELIVERED");

    // Nothing has failed any more.
    assert_eq!(world.call(reqwest::Method::POST, &path, &[bearer], json!(null)).await.status, 200);
    world.call(reqwest::Method::POST, &path, &[], json!(null)).await.problem(401);
    world.call(reqwest::Method::GET, &path, &[bearer], json!(null)).await.problem(405);
    let unknown = "/highlights/00000000-0000-0000-0000-000000000000/redeliver";
    world.call(reqwest::Method::POST, unknown, &[bearer], json!(null)).await.problem(404);
}
