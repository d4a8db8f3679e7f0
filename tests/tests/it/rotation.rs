//! Secrets from Secrets Manager, rotated while the functions are warm. (Those of destinations: `conformance/credentials`.)

use local::logrocket::{Behaviour, Outcome};
use local::secrets::{Secret, SecretsManager};
use reqwest::StatusCode;
use serde_json::{Value, json};
use stories::World;

/// 32 bytes, in base64.
const NEW_KEY: &str = "bmV3IGNhbGxiYWNrIGtleSAwMTIzNDU2Nzg5YWJjZGU=";
const STRANGER: (&str, &str) = ("authorization", "Bearer a stranger's");

/// A world whose functions are both warm, and have read each secret once.
async fn warm(own: impl FnOnce(&mut Value)) -> (World, SecretsManager) {
    let (world, manager) = World::with_secrets_manager(&[]).await;
    let mut secret = world.own_secrets();
    own(&mut secret);
    manager.put("own", &secret);
    world.sweep().await;
    world.sweep_deliveries().await;
    assert_eq!((manager.calls_for("own"), manager.calls_for("generated")), (2, 2));
    (world, manager)
}

/// Who asks with an unknown token has request λ read the secrets again.
async fn refresh_request(world: &World) {
    world.post_with(&[STRANGER], json!({ "userID": "1" })).await.problem(401);
}

fn user() -> Value {
    json!({ "userID": "1" })
}

#[tokio::test]
async fn a_token_that_was_added_while_the_function_is_warm_works_at_once() {
    // 1. The function has read an old token.
    let (world, manager) = warm(|own| own["apiTokens"] = json!({ "ops": "an old token" })).await;
    let old = [("authorization", "Bearer an old token")];
    assert_eq!(world.post_with(&old, user()).await.status, StatusCode::ACCEPTED);

    // 2. The token is rotated; who asks with the new one is let in, and who asks with the old one no more.
    manager.put("own", &world.own_secrets());
    let id = world.ask(user()).await;
    world.wait_for(&id, "READY").await;
    world.post_with(&old, user()).await.problem(401);

    // 3. Strangers make nobody read them again within the minute.
    let reads = manager.calls();
    for _ in 0..3 {
        world.post_with(&[STRANGER], user()).await.problem(401);
    }
    assert_eq!(manager.calls(), reads);
}

#[tokio::test]
async fn a_key_that_logrocket_refuses_is_read_again_and_the_post_made_once_more() {
    // 1. The function has read a key that LogRocket does not take any more; it was rotated since.
    let (world, manager) = warm(|own| own["logRocketAPIKey"] = json!("acme:shop:old")).await;
    manager.put("own", &world.own_secrets());

    // 2. Of several that are asked at once, one reads the secrets again, and all go through.
    let message =
        |n: u32| json!({ "eventSource": "aws:sqs", "messageId": n.to_string(), "body": r#"{"userID":"1"}"# });
    let records: Vec<Value> = (0..4).map(message).collect();
    let answer = world.invoke(json!({ "Records": records })).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    let posts = world.log_rocket.posts();
    assert_eq!(posts.iter().filter(|post| post.authorized).count(), 4);
    assert!(posts.iter().any(|post| !post.authorized), "the old key was tried");
    assert_eq!(manager.calls_for("own"), 3);
}

#[tokio::test]
async fn a_new_callback_key_may_reach_either_function_first() {
    let (world, manager) = warm(|_| {}).await;
    world.log_rocket.usually(Behaviour::manual());

    // 1. One request is asked with the old key. Then there is a new one, and request λ is the first to know.
    let before = world.ask(user()).await;
    let mut own = world.own_secrets();
    own["callbackKeys"] = json!([NEW_KEY]);
    manager.put("own", &own);
    refresh_request(&world).await;
    let after = world.ask(user()).await;

    // 2. Webhook λ, which has the old one still, reads them again for a token that it does not know.
    let reads = manager.calls_for("own");
    assert_eq!(world.tell(&after, 1, Outcome::Ready).await, 200);
    assert_eq!(manager.calls_for("own"), reads + 1);

    // 3. What was signed with the old key is let in as before.
    assert_eq!(world.tell(&before, 1, Outcome::Ready).await, 200);
    for id in [&before, &after] {
        assert_eq!(world.read(id).await["status"], "READY");
    }

    // 4. Forged tokens make nobody read them again within the minute.
    let forged = format!("{}?request={before}&attempt=1&token=1.AAAA", world.gateway.webhook_url());
    for _ in 0..3 {
        world.callback(&forged, json!({})).await.problem(401);
    }
    assert_eq!(manager.calls_for("own"), reads + 1);

    // 5. The old one is dropped: once that was read, its tokens are good no more, and the new one's still are.
    let last = world.ask(user()).await;
    manager.put("generated", &json!({}));
    let late = world.post_of(&before, 1);
    world.webhook.kill().await;
    let body = json!({ "requestID": late.logrocket_request_id, "status": "PENDING" });
    world.callback(late.webhook_url().unwrap(), body).await.problem(401);
    assert_eq!(world.tell(&last, 1, Outcome::Ready).await, 200);
}

#[tokio::test]
async fn while_secrets_manager_is_down_what_was_read_serves_on() {
    let (world, manager) = warm(|_| {}).await;
    world.log_rocket.usually(Behaviour::manual());
    manager.set_down(true);

    // 1. Strangers are turned away, not told of trouble, and make nobody ask again within the minute.
    refresh_request(&world).await;
    let id = world.ask(user()).await;
    let forged = format!("{}?request={id}&attempt=1&token=1.AAAA", world.gateway.webhook_url());
    world.callback(&forged, json!({})).await.problem(401);
    let reads = manager.calls();
    refresh_request(&world).await;
    world.callback(&forged, json!({})).await.problem(401);
    assert_eq!(manager.calls(), reads);

    // 2. Who has a right to is served, the whole way.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    assert_eq!(world.read(&id).await["status"], "READY");
    assert_eq!(manager.calls(), reads);
    assert!(world.output().contains("the secrets cannot be refreshed"));
}

#[tokio::test]
async fn a_rotation_gone_wrong_is_no_reason_to_forget_what_was_right() {
    for secret in [
        Secret::Text("canary, no JSON".to_owned()),
        Secret::Text(json!({ "callbackKey": "canary" }).to_string()),
        Secret::Binary(b"canary".to_vec()),
        Secret::Refused("DecryptionFailure"),
    ] {
        let (world, manager) = warm(|_| {}).await;
        manager.put_as("own", secret);
        refresh_request(&world).await;
        world.ask(user()).await;
        assert!(world.output().contains("the secrets cannot be refreshed"), "{}", world.output());
        assert!(!world.output().contains("canary"), "{}", world.output());
    }
}
