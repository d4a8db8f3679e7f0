//! The same request asked again: the key is the identity.

use futures::future::join_all;
use local::logrocket::{Behaviour, Outcome};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use stories::{Answer, OTHER_TOKEN, World};

async fn ask(world: &World, key: &str, body: Value) -> Answer {
    world.post_with(&[("idempotency-key", key)], body).await
}

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com", "question": "Why did checkout fail?" })
}

fn id_of(answer: &Answer) -> String {
    answer.json()["requestID"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was_and_asks_logrocket_nothing() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());

    // 1. The first.
    let first = ask(&world, "ticket-1", alice()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    assert_eq!(first.header("idempotent-replayed"), "");
    let id = id_of(&first);
    let stored = world.item(&id);

    // 2. Repeats while it is PENDING: by header, by the body's own field, with other spaces and order of keys.
    let reordered = r#"{ "question":"Why did checkout fail?" , "userEmail" : "alice@example.com" }"#;
    let in_body = json!({ "idempotencyKey": "ticket-1", "userEmail": "alice@example.com",
        "question": "Why did checkout fail?" });
    for answer in [
        ask(&world, "ticket-1", alice()).await,
        ask(&world, "ticket-1", Value::from(reordered)).await,
        world.post(in_body).await,
    ] {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.header("idempotent-replayed"), "true");
        assert_eq!(answer.header("location"), format!("/highlights/{id}"));
        assert_eq!(answer.json(), first.json());
    }
    assert_eq!(world.item(&id), stored);

    // 3. Repeats after READY get 200, and the status as it is.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let answer = ask(&world, "ticket-1", alice()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!((id_of(&answer), &answer.json()["status"]), (id.clone(), &json!("READY")));
    assert_eq!(answer.header("idempotent-replayed"), "true");
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn twenty_at_once_are_one_request_and_one_post() {
    let world = World::start().await;
    world.log_rocket.usually(Behaviour::manual().slow(Duration::from_millis(300)));
    let answers = join_all((0..20).map(|_| ask(&world, "ticket-1", alice()))).await;

    // 1. All are answered alike, and one of them made the request.
    let ids: BTreeSet<String> = answers.iter().map(id_of).collect();
    assert_eq!(ids.len(), 1);
    assert!(answers.iter().all(|answer| answer.status == 202));
    let firsts = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty());
    assert_eq!(firsts.count(), 1);

    // 2. LogRocket was asked once, and its result is everyone's.
    let id = ids.first().unwrap();
    assert_eq!(world.tell(id, 1, Outcome::Ready).await, 200);
    assert_eq!(world.read(id).await["status"], "READY");
    assert_eq!(world.attempts_posted(id), [1]);
    assert_eq!(world.log_rocket.posts().len(), 1);
    assert_eq!(world.table.items().unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let world = World::start().await;
    let id = id_of(&ask(&world, "ticket-1", alice()).await);
    world.wait_for(&id, "READY").await;
    let stored = world.item(&id);

    for body in [
        json!({ "userEmail": "bob@example.com", "question": "Why did checkout fail?" }),
        json!({ "userID": "alice@example.com", "question": "Why did checkout fail?" }),
        json!({ "userEmail": "alice@example.com" }),
        json!({ "userEmail": "alice@example.com", "question": "Why did checkout fail?", "metadata": { "a": "b" } }),
        json!({ "userEmail": "alice@example.com", "question": "Why did checkout fail?",
            "timeRange": { "startMs": 1, "endMs": 2 } }),
    ] {
        let problem = ask(&world, "ticket-1", body).await.problem(422);
        assert!(problem["type"].as_str().unwrap().contains("key-reused"), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&id) && !detail.contains("example.com"), "{detail}");
    }
    assert_eq!(world.item(&id), stored);
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn two_bodies_at_once_under_one_key_are_one_request() {
    let world = World::start().await;
    let bob = json!({ "userEmail": "bob@example.com" });
    let bodies = [alice(), bob.clone(), alice(), bob.clone(), alice(), bob];
    let answers = join_all(bodies.into_iter().map(|body| ask(&world, "ticket-1", body))).await;

    let refused = answers.iter().filter(|answer| answer.status == 422).count();
    let taken: BTreeSet<String> = answers.iter().filter(|answer| answer.status != 422).map(id_of).collect();
    assert_eq!((refused, taken.len()), (3, 1));
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn keys_of_other_callers_and_other_keys_are_other_requests() {
    let world = World::start().await;
    let other = format!("Bearer {OTHER_TOKEN}");

    // 1. One key of two callers, another key, and no key twice.
    let ids: BTreeSet<String> = [
        ask(&world, "ticket-1", alice()).await,
        world.post_with(&[("idempotency-key", "ticket-1"), ("authorization", &other)], alice()).await,
        ask(&world, "ticket-2", alice()).await,
        ask(&world, "TICKET-1", alice()).await,
        world.post(alice()).await,
        world.post(alice()).await,
    ]
    .iter()
    .map(|answer| {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.header("idempotent-replayed"), "");
        id_of(answer)
    })
    .collect();
    assert_eq!(ids.len(), 6);
    assert_eq!(world.log_rocket.posts().len(), 6);

    // 2. A direct invocation is another caller again: its other body under that key is a request of its own.
    let bob = json!({ "userEmail": "bob@example.com", "idempotencyKey": "ticket-1" });
    let answer = world.invoke(bob).await.unwrap();
    assert!(!ids.contains(answer["requestID"].as_str().unwrap()));
}

#[tokio::test]
async fn a_repeat_of_what_failed_or_was_deleted_is_told_so_or_is_new() {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;

    // 1. LogRocket failed: a repeat is told that, and asks nothing.
    world.log_rocket.next(Behaviour::failed());
    let id = id_of(&ask(&world, "ticket-1", alice()).await);
    world.wait_for(&id, "FAILED").await;
    let answer = ask(&world, "ticket-1", alice()).await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("FAILED")));
    assert_eq!(world.attempts_posted(&id), [1]);

    // 2. Deleted, the key is free again.
    let authorization = format!("Bearer {}", stories::API_TOKEN);
    let path = format!("/highlights/{id}");
    let headers = [("authorization", authorization.as_str())];
    assert_eq!(world.call(reqwest::Method::DELETE, &path, &headers, Value::Null).await.status, 204);
    assert_eq!(world.get(&path).await.status, 404);
    let answer = ask(&world, "ticket-1", alice()).await;
    assert_eq!((answer.status, id_of(&answer)), (StatusCode::ACCEPTED, id.clone()));
    world.wait_for(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 1]);
}
