//! The happy path, by each way of asking.

use reqwest::StatusCode;
use serde_json::json;
use stories::World;

#[tokio::test]
async fn a_request_over_http_goes_its_whole_way() {
    let world = World::start().await;

    // 1. Asked, with a question, a time range and metadata.
    let answer = world
        .post(json!({
            "userEmail": "alice@example.com",
            "question": "Why did checkout fail?",
            "timeRange": { "startMs": 1715481030000i64, "endMs": 1715567430000i64 },
            "metadata": { "nps": "3" },
        }))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let receipt = answer.json();
    let id = receipt["requestID"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/highlights/{id}"));
    assert_eq!(receipt["id"], receipt["requestID"]);
    assert_eq!(receipt["status"], "PENDING");

    // 2. LogRocket was asked the same, with our callback URL.
    let posts = world.log_rocket.posts();
    assert_eq!(posts.len(), 1);
    let body = &posts[0].body;
    assert_eq!(body["userEmail"], "alice@example.com");
    assert_eq!(body["question"], "Why did checkout fail?");
    assert_eq!(body["timeRange"]["startMs"], 1715481030000i64);
    assert!(
        body["webhookURL"]
            .as_str()
            .unwrap()
            .starts_with(&format!("{}?request={id}&attempt=1&token=", world.gateway.webhook_url()))
    );

    // 3. The callback comes, and the result is read back.
    let request = world.wait_for(id, "READY").await;
    assert_eq!(request["userEmail"], "alice@example.com");
    assert_eq!(request["metadata"], json!({ "nps": "3" }));
    assert_eq!(request["failure"], json!(null));
    assert!(request["result"]["highlights"].as_str().unwrap().contains("https://app.logrocket.com/"));
    assert!(!request["result"]["sessions"].as_array().unwrap().is_empty());
    let log_rocket_id = posts[0].logrocket_request_id.clone().unwrap();
    assert_eq!(request["attempts"][0]["logRocketRequestID"], log_rocket_id);

    // 4. LogRocket's id finds it too, and Markdown is to be had.
    assert_eq!(world.read(&log_rocket_id).await["requestID"], id);
}
