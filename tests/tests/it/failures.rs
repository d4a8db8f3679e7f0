//! LogRocket fails: it is down, nobody knows whether it took the request, or it says a clear no.

use futures::future::join_all;
use local::logrocket::{Behaviour, LogRocket, Options};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stories::World;
use tokio::net::TcpSocket;
use tokio::time::Instant;

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com" })
}

fn gap(world: &World, id: &str) -> u64 {
    let posts = world.posts_of(id);
    posts[1].1.at_ms - posts[0].1.at_ms
}

/// Asks once for each of these behaviours, all at once; each is answered 202.
async fn ask_for_each(world: &World, behaviours: &[Behaviour]) -> Vec<String> {
    for behaviour in behaviours {
        world.log_rocket.next(behaviour.clone());
    }
    join_all(behaviours.iter().map(|_| world.ask(alice()))).await
}

#[tokio::test]
async fn a_post_that_logrocket_did_not_take_goes_through_later_as_the_same_attempt() {
    let world = World::start().await;

    // 1. LogRocket does not take it; the callers have their 202 all the same, and no attempt is counted.
    let ids = ask_for_each(&world, &[500, 503, 429].map(Behaviour::status)).await;
    for id in &ids {
        let request = world.read(id).await;
        assert_eq!((&request["status"], &request["attempts"]), (&json!("PENDING"), &json!([])));
    }

    // 2. It goes through later, under the same number, and only that one counts.
    world.sweep_until_all(&ids, "READY").await;
    for id in &ids {
        assert_eq!(world.attempts_posted(id), [1, 1]);
        assert_eq!(world.read(id).await["attempts"].as_array().unwrap().len(), 1);
        assert!(gap(&world, id) >= 800, "asked again after {} ms", gap(&world, id));
    }
}

#[tokio::test]
async fn logrockets_retry_after_is_waited_for() {
    let world = World::start().await;

    // 1. One is told to wait for three seconds, the other until a date, which has whole seconds.
    let date = SystemTime::now() + Duration::from_secs(4);
    let retry_after = [
        Behaviour::status(429).retry_after(3),
        Behaviour::status(503).retry_after(httpdate::fmt_http_date(date)),
    ];
    let ids = ask_for_each(&world, &retry_after).await;

    // 2. Both go through, and no sooner.
    world.sweep_until_all(&ids, "READY").await;
    for id in &ids {
        assert_eq!(world.attempts_posted(id), [1, 1]);
        let posts = world.posts_of(id);
        let not_before = match posts[0].1.status {
            Some(429) => posts[0].1.at_ms + 3000,
            _ => date.duration_since(UNIX_EPOCH).unwrap().as_secs() * 1000,
        };
        assert!(posts[1].1.at_ms >= not_before, "{} ms too soon", not_before - posts[1].1.at_ms);
    }
}

#[tokio::test]
async fn while_logrocket_cannot_be_reached_requests_are_accepted_and_go_through_later() {
    // 1. A port that is taken, but where nobody listens: connections are refused.
    let closed = TcpSocket::new_v4().unwrap();
    closed.set_reuseaddr(true).unwrap();
    closed.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = closed.local_addr().unwrap();
    let world = World::with(&[("LOGROCKET_API_URL", &format!("http://{address}"))]).await;

    // 2. Requests are accepted meanwhile, and sweeps change nothing about that.
    let ids = [world.ask(alice()).await, world.ask(alice()).await];
    world.sweep_for(Duration::from_millis(1500)).await;
    for id in &ids {
        let request = world.read(id).await;
        assert_eq!((&request["status"], &request["attempts"]), (&json!("PENDING"), &json!([])));
    }

    // 3. LogRocket is there again: each is asked once, as attempt 1.
    let log_rocket = LogRocket::start(Options { address, ..Options::default() }).await.unwrap();
    world.sweep_until_all(&ids, "READY").await;
    let posts = log_rocket.posts();
    assert_eq!(posts.len(), 2);
    for id in &ids {
        let of_it = format!("request={id}&attempt=1&");
        assert!(posts.iter().any(|post| post.webhook_url().unwrap().contains(&of_it)));
        assert_eq!(world.read(id).await["attempts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn where_nobody_knows_whether_logrocket_took_it_the_callback_settles_it() {
    let world = World::start().await;

    // 1. LogRocket takes each of these, and gives no answer that says so.
    let ids = ask_for_each(
        &world,
        &[
            Behaviour::status(502).taken(true),
            Behaviour::status(504).taken(true),
            Behaviour::garbage(),
            Behaviour::without_id(),
            Behaviour::cut().taken(true),
            Behaviour::hang().taken(true),
        ],
    )
    .await;

    // 2. The callback brings the result, and LogRocket's id.
    for id in &ids {
        let request = world.wait_for(id, "READY").await;
        let log_rocket_id = world.post_of(id, 1).logrocket_request_id.unwrap();
        assert_eq!(request["attempts"][0]["logRocketRequestID"], log_rocket_id);
        assert_eq!(world.read(&log_rocket_id).await["requestID"], *id);
    }

    // 3. Nothing is asked twice.
    world.sweep_for(Duration::from_millis(2500)).await;
    for id in &ids {
        assert_eq!(world.attempts_posted(id), [1]);
    }
    assert!(world.log_rocket.polls().is_empty());
}

#[tokio::test]
async fn where_nobody_knows_and_nothing_comes_the_next_attempt_is_made_after_the_grace() {
    let world = World::start().await;

    // 1. LogRocket took none of these, and its answers do not say so.
    let ids = ask_for_each(
        &world,
        &[
            Behaviour::status(502),
            Behaviour::status(504),
            Behaviour::garbage().taken(false),
            Behaviour::without_id().taken(false),
            Behaviour::cut(),
            Behaviour::hang(),
        ],
    )
    .await;

    // 2. The next attempt is made once the grace is over, and not before.
    world.sweep_until_all(&ids, "READY").await;
    for id in &ids {
        assert_eq!(world.attempts_posted(id), [1, 2]);
        let attempts = world.item(id)["attempts"].clone();
        let started = |attempt: &str| attempts[attempt]["startedAt"].as_i64().unwrap();
        assert!(started("2") - started("1") >= 2000, "{attempts:#}");
        assert_eq!(attempts["1"]["state"], "abandoned");

        // 3. It may have been billed, so it is shown.
        let request = world.read(id).await;
        assert_eq!(request["attempts"].as_array().unwrap().len(), 2);
        assert_eq!(request["attempts"][0]["logRocketRequestID"], Value::Null);
        assert!(request["attempts"][1]["logRocketRequestID"].is_string());
    }
}

#[tokio::test]
async fn a_logrocket_that_does_not_answer_keeps_no_caller_longer_than_nine_seconds() {
    let world = World::with(&[("UNKNOWN_GRACE_SECONDS", "60")]).await;

    // 1. LogRocket takes it and says nothing for as long as one waits.
    world.log_rocket.next(Behaviour::hang().taken(true).after(Duration::from_secs(8)));
    let asked = Instant::now();
    let id = world.ask(alice()).await;
    assert!(asked.elapsed() < Duration::from_secs(9), "202 after {:?}", asked.elapsed());
    assert!(asked.elapsed() > Duration::from_secs(4), "given up after {:?}", asked.elapsed());

    // 2. What the caller was promised comes.
    world.wait_for(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_refusal_is_told_at_once_and_the_same_key_may_try_again() {
    let world = World::start().await;
    for (status, mend) in [
        (400, "wrong"),
        (401, "logRocketAPIKey"),
        (402, "plan"),
        (403, "LOGROCKET_APP_ID"),
        (404, "LOGROCKET_APP_ID"),
        (301, "LOGROCKET_API_URL"),
    ] {
        // 1. LogRocket says a clear no; its words are passed on, without the key that they quote.
        let (api_key, key) = (world.log_rocket.api_key(), format!("ticket-{status}"));
        let words = json!({ "error": format!("no, {api_key}, no") }).to_string();
        world.log_rocket.next(Behaviour::status(status).body(words));
        let ask = async || world.post_with(&[("idempotency-key", &key)], alice()).await;
        let answer = ask().await;
        let detail = answer.problem(502)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(mend) && detail.contains("no, (the key), no"), "{detail}");
        assert!(!world.output().contains(api_key));

        // 2. The record says so; nothing is due, nothing is delivered, no attempt is counted.
        let post = world.log_rocket.posts().pop().unwrap();
        let id = post.webhook_url().unwrap().split("request=").nth(1).unwrap()[..36].to_owned();
        let refused = world.item(&id);
        assert_eq!(
            (&refused["status"], &refused["failure"]["code"]),
            (&json!("FAILED"), &json!("LOGROCKET_REFUSED"))
        );
        for absent in ["requestDueAt", "requestDueSince", "webhookDueAt", "webhookDueSince", "streamHint"] {
            assert_eq!(refused[absent], Value::Null, "{absent}");
        }
        let request = world.read(&id).await;
        assert_eq!(request["attempts"], json!([]));
        assert!(request["failure"]["message"].as_str().unwrap().contains(mend));
        world.sweep().await;
        assert_eq!(world.item(&id), refused);

        // 3. What was wrong is mended: the same key is the same request, and goes through.
        let answer = ask().await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!((&answer.json()["requestID"], &answer.json()["status"]), (&json!(id), &json!("PENDING")));
        let request = world.wait_for(&id, "READY").await;
        assert_eq!(request["failure"], Value::Null);
        assert_eq!(world.attempts_posted(&id), [1, 1]);
        assert_eq!(request["attempts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn several_who_repeat_a_refused_request_ask_logrocket_once() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::status(401));
    world.log_rocket.usually(Behaviour::ready().slow(Duration::from_millis(300)));
    let ask = async || world.post_with(&[("idempotency-key", "ticket-1")], alice()).await;
    ask().await.problem(502);

    let answers = join_all((0..8).map(|_| ask())).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.json()["requestID"], answers[0].json()["requestID"]);
    }
    let id = answers[0].json()["requestID"].as_str().unwrap().to_owned();
    world.wait_for(&id, "READY").await;
    assert_eq!(world.attempts_posted(&id), [1, 1]);
}

#[tokio::test]
async fn a_key_that_is_refused_in_the_sweep_fails_nobody() {
    let world = World::start().await;

    // 1. The callers have their 202 already when the key stops working.
    let ids = ask_for_each(&world, &[503, 503, 503].map(Behaviour::status)).await;
    for status in [401, 402, 403] {
        world.log_rocket.next(Behaviour::status(status));
    }
    let give_up = Instant::now() + Duration::from_secs(20);
    while ids.iter().any(|id| world.attempts_posted(id).len() < 2) {
        assert!(Instant::now() < give_up, "{}", world.output());
        world.sweep().await;
    }

    // 2. Nothing failed; they wait, longer than before, and no attempt is counted.
    for id in &ids {
        let request = world.read(id).await;
        assert_eq!((&request["status"], &request["failure"]), (&json!("PENDING"), &Value::Null));
        assert_eq!(request["attempts"], json!([]));
    }

    // 3. The key works again.
    world.sweep_until_all(&ids, "READY").await;
    for id in &ids {
        assert_eq!(world.attempts_posted(id), [1, 1, 1]);
        let posts = world.posts_of(id);
        let wait = posts[2].1.at_ms - posts[1].1.at_ms;
        assert!(wait >= 1600, "asked again after {wait} ms");
    }
}

#[tokio::test]
async fn a_clear_no_in_the_sweep_ends_the_request_and_is_to_be_delivered() {
    let world = World::start().await;
    let ids = ask_for_each(&world, &[503, 503].map(Behaviour::status)).await;
    for status in [404, 400] {
        world.log_rocket.next(Behaviour::status(status));
    }
    world.sweep_until_all(&ids, "FAILED").await;
    for id in &ids {
        let request = world.read(id).await;
        assert_eq!(request["failure"]["code"], "LOGROCKET_REFUSED");
        assert_eq!(request["attempts"], json!([]));
        assert_eq!(world.attempts_posted(id), [1, 1]);
        let item = world.item(id);
        assert_eq!(item["requestDueAt"], Value::Null);
        assert!(item["webhookDueAt"].is_number());
    }
}
