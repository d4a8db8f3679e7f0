//! The happy path, by each way of asking.

use local::gateway::HttpCall;
use local::logrocket::{Behaviour, Outcome};
use local::proxy::{Fault, Match};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use stories::{Answer, BEARER, World};

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

    // 4. LogRocket's id finds it too.
    assert_eq!(world.read(&log_rocket_id).await["requestID"], id);
}

#[tokio::test]
async fn a_request_signed_for_iam_goes_its_whole_way() {
    let world = World::with(&[("API_AUTH", "iam")]).await;
    let signed_by = |user_arn: &str| {
        let mut event = post_event(&json!({ "userID": "user-1" })).http_api_event();
        event["headers"]["idempotency-key"] = json!("iam-1");
        event["requestContext"]["authorizer"] = json!({ "iam": {
            "accessKey": "AKIAIOSFODNN7EXAMPLE", "accountId": "123456789012", "callerId": "AIDA",
            "cognitoIdentity": null, "principalOrgId": "o-1", "userArn": user_arn, "userId": "AIDA",
        }});
        event
    };

    // 1. The gateway has checked the signature, and names the principal.
    let role = "arn:aws:sts::123456789012:assumed-role/support";
    let answer = http(&world, signed_by(&format!("{role}/session-1"))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let id = id_of(&answer.json());

    // 2. READY, and read back by the same principal.
    let get = || {
        let mut event = HttpCall::new(Method::GET, &format!("/highlights/{id}")).http_api_event();
        event["requestContext"]["authorizer"] =
            signed_by(&format!("{role}/session-2"))["requestContext"]["authorizer"].clone();
        event
    };
    let request = read_until_ready(|| http(&world, get())).await;
    assert_eq!(request["userID"], "user-1");

    // 3. Another session of the same role repeats the request; another role's key is another's.
    let again = http(&world, signed_by(&format!("{role}/session-2"))).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(id_of(&again.json()), id);
    let other = http(&world, signed_by("arn:aws:sts::123456789012:assumed-role/sales/session-1")).await;
    assert_ne!(id_of(&other.json()), id);
    assert_eq!(world.log_rocket.posts().len(), 2);

    // 4. Who is not signed is not let in, not even with an API token.
    for headers in [&[("authorization", BEARER)][..], &[]] {
        let answer = world.call(Method::POST, "/highlights", headers, json!({ "userID": "user-1" })).await;
        answer.problem(401);
    }
    world.call(Method::GET, &format!("/highlights/{id}"), &[], json!(null)).await.problem(401);
}

#[tokio::test]
async fn a_request_signed_for_iam_at_a_rest_api_goes_its_whole_way() {
    let world = World::with(&[("API_AUTH", "iam")]).await;
    let signed = |call: &HttpCall| {
        let mut event = call.rest_api_event();
        event["requestContext"]["identity"]["userArn"] = json!("arn:aws:iam::123456789012:user/support-tool");
        event
    };

    let post = post_event(&json!({ "userEmail": "bob@example.com" }));
    let answer = http(&world, signed(&post)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let id = id_of(&answer.json());
    let get = HttpCall::new(Method::GET, &format!("/highlights/{id}"));
    let request = read_until_ready(|| http(&world, signed(&get))).await;
    assert_eq!(request["userEmail"], "bob@example.com");

    http(&world, post.rest_api_event()).await.problem(401);
    http(&world, get.rest_api_event()).await.problem(401);
}

#[tokio::test]
async fn a_request_through_a_rest_api_goes_its_whole_way() {
    let world = World::start().await;
    let with_token = |call: HttpCall| call.header(AUTHORIZATION, BEARER.parse().unwrap()).rest_api_event();

    // 1. Asked, twice with one key.
    let post = || {
        let call = post_event(&json!({ "userEmail": "bob@example.com", "question": "What now?" }));
        let mut event = with_token(call);
        event["headers"]["Idempotency-Key"] = json!("rest-1");
        event["multiValueHeaders"]["Idempotency-Key"] = json!(["rest-1"]);
        event
    };
    let answer = http(&world, post()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let id = id_of(&answer.json());
    assert_eq!(answer.header("location"), format!("/highlights/{id}"));
    assert_eq!(id_of(&http(&world, post()).await.json()), id);
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 2. Read back and listed through the same API.
    let get = || with_token(HttpCall::new(Method::GET, &format!("/highlights/{id}")));
    let request = read_until_ready(|| http(&world, get())).await;
    assert_eq!(request["question"], "What now?");
    let list = with_token(HttpCall::new(Method::GET, "/highlights?userEmail=bob%40example.com&limit=5"));
    let listed = http(&world, list).await.json();
    assert_eq!(listed["requests"][0]["requestID"], id);

    // 3. A stranger is told so in the same form.
    let stranger = post_event(&json!({ "userID": "1" })).rest_api_event();
    http(&world, stranger).await.problem(401);
}

#[tokio::test]
async fn a_direct_invocation_goes_its_whole_way() {
    let world = World::start().await;

    // 1. The payload is the body, the answer plain JSON.
    let body = json!({ "userID": "user-7", "question": "Which errors?", "metadata": { "account": "a-1" } });
    let receipt = world.request.invoke_with_request_id(body.clone(), "lambda-1").await.unwrap();
    let id = id_of(&receipt);
    assert_eq!(receipt["id"], id);
    assert_eq!(receipt["status"], "PENDING");

    // 2. READY, and read back.
    let request = world.wait_for(&id, "READY").await;
    assert_eq!(request["userID"], "user-7");
    assert_eq!(request["metadata"], json!({ "account": "a-1" }));

    // 3. Lambda repeats an asynchronous invocation under its own id: the same request.
    let again = world.request.invoke_with_request_id(body.clone(), "lambda-1").await.unwrap();
    assert_eq!(id_of(&again), id);
    assert_eq!(again["status"], "READY");
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 4. Another invocation asks anew.
    let other = world.request.invoke_with_request_id(body, "lambda-2").await.unwrap();
    assert_ne!(id_of(&other), id);
    assert_eq!(world.log_rocket.posts().len(), 2);
}

#[tokio::test]
async fn a_bad_direct_invocation_fails_by_a_name_that_a_state_machine_can_match() {
    let world = World::start().await;
    let fails = async |payload: Value| world.invoke(payload).await.unwrap_err();

    // 1. Invalid: every bad field is named.
    let error = fails(json!({ "userMail": "x", "question": 5 })).await;
    assert_eq!(error.error_type, "InvalidRequest");
    for field in ["#/userMail", "#/question", "#/userEmail"] {
        assert!(error.error_message.contains(field), "{error}");
    }
    for payload in [json!("text"), json!([1]), json!(null), json!({}), json!({ "job": "clean" })] {
        assert_eq!(fails(payload).await.error_type, "InvalidRequest");
    }
    assert_eq!(world.log_rocket.posts().len(), 0);
    assert_eq!(world.table.items().unwrap(), [] as [Value; 0]);

    // 2. LogRocket says no.
    world.log_rocket.next(Behaviour::status(402));
    let error = fails(json!({ "userID": "user-1" })).await;
    assert_eq!(error.error_type, "LogRocketRefused");
    assert!(error.error_message.contains("plan"), "{error}");

    // 3. The table is not there.
    world.table_calls.on(Match::any(), Fault::throttled());
    assert_eq!(fails(json!({ "userID": "user-1" })).await.error_type, "Unavailable");
}

#[tokio::test]
async fn a_workflow_and_its_retry_ask_once_and_the_new_token_is_waited_for_too() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let task = |token: &str| {
        json!({
            "userID": "user-4712",
            "idempotencyKey": "arn:aws:states:us-east-1:123456789012:execution:review:1",
            "destinations": [{ "type": "stepFunctions", "taskToken": token }],
        })
    };

    // 1. The task asks.
    let receipt = world.invoke(task("task-token-one")).await.unwrap();
    let id = id_of(&receipt);

    // 2. Its Retry brings a new token: the same request, and one POST.
    let again = world.invoke(task("task-token-two")).await.unwrap();
    assert_eq!(id_of(&again), id);
    assert_eq!(again["status"], "PENDING");
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 3. Both tokens are kept to be answered, and the one that is repeated is kept once.
    world.invoke(task("task-token-two")).await.unwrap();
    let tokens: Vec<_> = world.item(&id)["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|destination| destination["taskToken"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(tokens, ["task-token-one", "task-token-two"]);

    // 4. READY, read back; no answer shows a token.
    let log_rocket_id = world.log_rocket.posts()[0].logrocket_request_id.clone().unwrap();
    assert_eq!(world.log_rocket.send_callback(&log_rocket_id, Outcome::Ready).await.unwrap(), 200);
    let request = world.wait_for(&id, "READY").await;
    assert_eq!(request["deliveries"].as_array().unwrap().len(), 2);
    let list = world.get("/highlights?userID=user-4712").await.text;
    for answer in [receipt.to_string(), again.to_string(), request.to_string(), list] {
        assert!(!answer.contains("task-token"), "{answer}");
    }
}

#[tokio::test]
async fn an_event_of_eventbridge_goes_its_whole_way() {
    let world = World::start().await;
    let event = |id: &str, detail: Value| {
        json!({
            "version": "0", "id": id, "detail-type": "NPS Response Received", "source": "com.example.survey",
            "account": "123456789012", "time": "2026-11-22T17:32:22Z", "region": "us-east-1", "resources": [],
            "detail": detail,
        })
    };
    let good = || event("6a7e8feb-b491-4cf7-a9f1-bf3703467718", json!({ "userEmail": "dave@example.com" }));

    // 1. Taken, READY, read back.
    let id = id_of(&world.invoke(good()).await.unwrap());
    assert_eq!(world.wait_for(&id, "READY").await["userEmail"], "dave@example.com");

    // 2. Delivered again: the same request.
    assert_eq!(id_of(&world.invoke(good()).await.unwrap()), id);
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 3. A bad one fails the invocation by name.
    let error = world.invoke(event("2", json!({ "userEmail": "" }))).await.unwrap_err();
    assert_eq!(error.error_type, "InvalidRequest");
    assert!(error.error_message.contains("#/userEmail"), "{error}");
}

#[tokio::test]
async fn a_notification_of_sns_goes_its_whole_way() {
    let world = World::start().await;
    let event = |message: &str| {
        json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": {
            "Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e", "Subject": null,
            "Message": message, "Timestamp": "2026-11-22T17:32:22.412Z", "MessageAttributes": {},
        }}]})
    };
    let good = || event(r#"{"userEmail":"erin@example.com","question":"What was tried?"}"#);

    // 1. Taken, READY, read back.
    let id = id_of(&world.invoke(good()).await.unwrap()[0]);
    assert_eq!(world.wait_for(&id, "READY").await["question"], "What was tried?");

    // 2. Delivered again: the same request.
    assert_eq!(id_of(&world.invoke(good()).await.unwrap()[0]), id);
    assert_eq!(world.log_rocket.posts().len(), 1);

    // 3. A bad one fails the invocation by name.
    for bad in ["{}", "no JSON", ""] {
        assert_eq!(world.invoke(event(bad)).await.unwrap_err().error_type, "InvalidRequest");
    }
}

#[tokio::test]
async fn of_a_batch_of_sqs_only_the_bad_message_goes_back_to_the_queue() {
    let world = World::start().await;
    let message = |id: &str, body: &str| {
        json!({
            "messageId": id, "receiptHandle": "AQEB", "body": body, "attributes": {}, "messageAttributes": {},
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:asked",
            "awsRegion": "us-east-1",
        })
    };
    let batch = || {
        json!({ "Records": [
            message("good-1", r#"{"userEmail":"frank@example.com"}"#),
            message("bad-1", r#"{"userEmail":"frank@example.com","userID":"both"}"#),
            message("good-2", r#"{"userID":"user-4713"}"#),
        ]})
    };

    // 1. Two are taken, one is given back.
    let answer = world.invoke(batch()).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "bad-1" }] }));
    let frank = world.get("/highlights?userEmail=frank%40example.com").await.json();
    let other = world.get("/highlights?userID=user-4713").await.json();
    assert_eq!(frank["requests"].as_array().unwrap().len(), 1);

    // 2. Both are READY, and read back.
    for list in [frank, other] {
        world.wait_for(&id_of(&list["requests"][0]), "READY").await;
    }

    // 3. The queue delivers the batch again: no new request.
    let again = world.invoke(batch()).await.unwrap();
    assert_eq!(again, answer);
    assert_eq!(world.log_rocket.posts().len(), 2);
    assert_eq!(world.table.items().unwrap().len(), 2);

    // 4. Where nothing can be stored, everything is given back.
    world.table_calls.on(Match::any(), Fault::throttled());
    let answer = world.invoke(batch()).await.unwrap();
    assert_eq!(answer["batchItemFailures"].as_array().unwrap().len(), 3);
}

fn post_event(body: &Value) -> HttpCall {
    HttpCall::new(Method::POST, "/highlights").json(body)
}

/// An HTTP event straight to request λ.
async fn http(world: &World, event: Value) -> Answer {
    Answer::of_event(&world.invoke(event).await.unwrap())
}

fn id_of(receipt: &Value) -> String {
    receipt["requestID"].as_str().unwrap_or_else(|| panic!("{receipt}")).to_owned()
}

async fn read_until_ready<R: Future<Output = Answer>>(read: impl Fn() -> R) -> Value {
    for _ in 0..100 {
        let answer = read().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let request = answer.json();
        if request["status"] == "READY" {
            return request;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited for READY");
}
