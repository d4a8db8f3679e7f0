//! Request λ is killed while somebody reads, lists, deletes, or has something delivered again.

use super::{ASKED, Path, alice, asked, everywhere, http, settle};
use local::destinations::{Behaviour, Kind};
use reqwest::Method;
use serde_json::Value;
use stories::World;

/// A request that waits for its outcome.
async fn waiting(world: &World) -> String {
    asked(world, &alice(world)).await
}

#[tokio::test]
async fn reading() {
    let path = Path { name: "reading", ..ASKED };
    let read = async |world: &World, id: &str| {
        http(world, Method::GET, &format!("/highlights/{id}"), &Value::Null).await
    };
    everywhere(&path, waiting, read).await;

    let path = Path { name: "reading by LogRocket's id", least: 2, ..ASKED };
    let read = async |world: &World, id: &str| {
        let log_rocket_id = world.post_of(id, 1).logrocket_request_id.unwrap();
        let request = http(world, Method::GET, &format!("/highlights/{log_rocket_id}"), &Value::Null).await?;
        assert_eq!(request["requestID"], id);
        Ok(request)
    };
    everywhere(&path, waiting, read).await;
}

#[tokio::test]
async fn listing() {
    let path = Path { name: "listing", ..ASKED };
    let list = async |world: &World, id: &str| {
        let page = http(world, Method::GET, "/highlights?userEmail=alice@example.com", &Value::Null).await?;
        assert_eq!(page["requests"][0]["requestID"], id);
        Ok(page)
    };
    everywhere(&path, waiting, list).await;
}

#[tokio::test]
async fn deleting() {
    let path = Path { name: "deleting", ends: &[], is_wish: true, ..ASKED };
    let delete = async |world: &World, id: &str| {
        http(world, Method::DELETE, &format!("/highlights/{id}"), &Value::Null).await
    };
    everywhere(&path, waiting, delete).await;
}

#[tokio::test]
async fn delivering_again() {
    let path = Path { name: "delivering again", least: 2, is_wish: true, ..ASKED };
    let given_up = async |world: &World| {
        world.destinations.next(Kind::Webhook, Behaviour::status(410));
        let id = waiting(world).await;
        settle(world).await;
        id
    };
    let again = async |world: &World, id: &str| {
        http(world, Method::POST, &format!("/highlights/{id}/redeliver"), &Value::Null).await
    };
    everywhere(&path, given_up, again).await;
}
