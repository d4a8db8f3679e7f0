//! Secrets from Secrets Manager, rotated while the functions are warm.

use local::proxy::{Fault, Match, Proxy};
use serde_json::{Value, json};
use stories::{API_TOKEN, CALLBACK_KEY, World};

/// Secrets Manager with one secret in it.
struct Manager(Proxy);

impl Manager {
    /// And a world whose functions are warm, and have read it.
    async fn with_world(log_rocket_api_key: &str, token: &str) -> (Self, World) {
        let manager = Self(Proxy::start("http://127.0.0.1:9").await.unwrap());
        manager.holds(log_rocket_api_key, token);
        let world = World::with(&[
            ("SECRETS_JSON", ""),
            ("SECRET_IDS", "own"),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &manager.0.url()),
        ])
        .await;
        world.sweep().await;
        assert_eq!(manager.0.count("GetSecretValue"), 1);
        (manager, world)
    }

    fn holds(&self, log_rocket_api_key: &str, token: &str) {
        let secret = json!({
            "logRocketAPIKey": log_rocket_api_key,
            "callbackKey": CALLBACK_KEY,
            "apiTokens": { "ops": token },
        });
        let body = json!({ "Name": "own", "SecretString": secret.to_string() }).to_string();
        self.0.clear();
        self.0.on(Match::any(), Fault::Answer { status: 200, body });
    }
}

#[tokio::test]
async fn a_token_that_was_added_while_the_function_is_warm_works_at_once() {
    // 1. The function has read an old token.
    let (manager, world) = Manager::with_world("acme:shop:secret", "an old token").await;

    // 2. The token is rotated; who asks with the new one is let in.
    manager.holds("acme:shop:secret", API_TOKEN);
    let id = world.ask(json!({ "userID": "1" })).await;
    world.wait_for(&id, "READY").await;

    // 3. Strangers make nobody read them again within the minute.
    let reads = manager.0.count("GetSecretValue");
    for _ in 0..3 {
        world
            .post_with(&[("authorization", "Bearer a stranger's")], json!({ "userID": "1" }))
            .await
            .problem(401);
    }
    assert_eq!(manager.0.count("GetSecretValue"), reads);
}

#[tokio::test]
async fn a_key_that_logrocket_refuses_is_read_again_and_the_post_made_once_more() {
    // 1. The function has read a key that LogRocket does not take any more; it was rotated since.
    let (manager, world) = Manager::with_world("acme:shop:old", API_TOKEN).await;
    manager.holds(world.log_rocket.api_key(), API_TOKEN);

    // 2. Of several that are asked at once, one reads the secrets again, and all go through.
    let message =
        |n: u32| json!({ "eventSource": "aws:sqs", "messageId": n.to_string(), "body": r#"{"userID":"1"}"# });
    let records: Vec<Value> = (0..4).map(message).collect();
    let answer = world.invoke(json!({ "Records": records })).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    let posts = world.log_rocket.posts();
    assert_eq!(posts.iter().filter(|post| post.authorized).count(), 4);
    assert!(posts.iter().any(|post| !post.authorized), "the old key was tried");
}
