//! What is not the caller's fault: the budget, LogRocket's no, a table or a secret that is not to be had, a
//! configuration that cannot work.

use local::logrocket::{Answer as LogRocketAnswer, Behaviour};
use local::proxy::{Fault, Match};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use stories::{API_TOKEN, Answer, BEARER, CALLBACK_KEY, World};

#[tokio::test]
async fn over_the_months_budget_is_429_until_the_next_month() {
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "2")]).await;
    let ask = async |key: &str| world.post_with(&[("idempotency-key", key)], json!({ "userID": "1" })).await;

    // 1. Two are taken, the third is not.
    assert_eq!(ask("one").await.status, StatusCode::ACCEPTED);
    assert_eq!(ask("two").await.status, StatusCode::ACCEPTED);
    let answer = ask("three").await;
    assert!(answer.problem(429)["detail"].as_str().unwrap().contains("MONTHLY_REQUEST_LIMIT"));
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=31 * 24 * 3600).contains(&seconds), "{seconds}");

    // 2. Nothing is left of it; what was taken may be repeated and read.
    assert_eq!(world.log_rocket.posts().len(), 2);
    assert_eq!(world.table.items().unwrap().len(), 3);
    assert_eq!(ask("one").await.header("idempotent-replayed"), "true");

    // 3. A direct invocation is told by name.
    assert_eq!(world.invoke(json!({ "userID": "1" })).await.unwrap_err().error_type, "OverBudget");

    // 4. What LogRocket surely did not take is not counted.
    let world = World::with(&[("MONTHLY_REQUEST_LIMIT", "1")]).await;
    world.log_rocket.next(Behaviour::status(401));
    world.post(json!({ "userID": "1" })).await.problem(502);
    world.ask(json!({ "userID": "1" })).await;
    world.post(json!({ "userID": "1" })).await.problem(429);
}

#[tokio::test]
async fn logrockets_no_is_502_and_says_what_to_mend_but_never_the_key() {
    let world = World::start().await;
    let key = world.log_rocket.api_key().to_owned();
    let in_json = json!({ "error": format!("no such key: {key}") }).to_string();
    let in_text = format!("the key {key} is none");
    // The key stands where a long message is cut short.
    let at_the_cut = format!("{}{key}", "x".repeat(295));
    let escaped = json!({ "message": key }).to_string().replace(':', "\\u003a");
    let page = format!("<html>{key}</html>");
    let bodies = [in_json, in_text, at_the_cut, escaped, page, String::new()];

    for (status, mend) in [
        (400, "found the request wrong"),
        (401, "logRocketAPIKey"),
        (402, "plan"),
        (403, "LOGROCKET_APP_ID"),
        (404, "LOGROCKET_APP_ID"),
        (301, "LOGROCKET_API_URL"),
        (308, "LOGROCKET_API_URL"),
    ] {
        for body in &bodies {
            world.log_rocket.next(Behaviour::status(status).body(body.clone()));
            let before = world.log_rocket.posts().len();
            let answer = world.post(json!({ "userID": "1" })).await;
            let problem = answer.problem(502);
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(mend) && detail.contains(&status.to_string()), "{detail}");
            assert_no_key(&answer.text, &key);
            assert_eq!(world.log_rocket.posts().len(), before + 1, "a refusal is not repeated by itself");
        }
    }

    // The record says so too, nobody is owed anything, and its key may be tried again.
    let keyed = json!({ "userID": "2", "idempotencyKey": "k" });
    world.log_rocket.next(Behaviour::status(401).body(&bodies[0]));
    world.post(keyed.clone()).await.problem(502);
    let list = world.get("/highlights?userID=2").await;
    let refused = &list.json()["requests"][0];
    assert_eq!(refused["status"], "FAILED");
    assert_eq!(refused["failure"]["code"], "LOGROCKET_REFUSED");
    assert_no_key(&list.text, &key);
    assert_eq!(world.sweep().await["due"], 0);
    let again = world.post(keyed).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::ACCEPTED, "true"));
    assert_eq!(again.json()["requestID"], refused["requestID"]);
    world.wait_for(refused["requestID"].as_str().unwrap(), "READY").await;
    assert_no_key(&world.output(), &key);
    for item in world.table.items().unwrap() {
        assert_no_key(&item.to_string(), &key);
    }
}

#[tokio::test]
async fn a_logrocket_that_hangs_keeps_nobody_waiting_for_more_than_nine_seconds() {
    // As deployed: with the other stories' short grace it would be given up sooner.
    let world = World::with(&[("UNKNOWN_GRACE_SECONDS", "300")]).await;
    world.log_rocket.next(Behaviour::hang());
    let asked_at = Instant::now();
    let answer = world.post(json!({ "userID": "1" })).await;
    let took = asked_at.elapsed();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert!((Duration::from_secs(5)..Duration::from_secs(9)).contains(&took), "{took:?}");
    let request = world.read(answer.json()["requestID"].as_str().unwrap()).await;
    assert_eq!(request["status"], "PENDING");
    assert_eq!(request["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_endless_error_page_is_a_refusal_like_any_other() {
    let world = World::start().await;
    let body = Some("y".repeat(5 * 1024 * 1024));
    let endless = LogRocketAnswer::Status { status: 400, retry_after: None, body };
    world.log_rocket.next(Behaviour::ready().answering(endless));
    let answer = world.post(json!({ "userID": "1" })).await;
    answer.problem(502);
    assert!(answer.text.len() < 1000, "{}", answer.text.len());
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_503_on_every_route() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(json!({ "userID": "1" })).await;
    let posts = world.log_rocket.posts();
    let log_rocket_id = posts[0].logrocket_request_id.clone().unwrap();
    let outcome = local::logrocket::Outcome::Ready;
    let payload = world.log_rocket.payload(&log_rocket_id, outcome).unwrap();
    let before = world.table.items().unwrap();

    for fault in [Fault::throttled(), Fault::internal_error(), Fault::exception("ResourceNotFoundException")]
    {
        world.table_calls.on(Match::any(), fault);
        for (method, path) in [
            (Method::POST, "/highlights".to_owned()),
            (Method::GET, "/highlights?userID=1".to_owned()),
            (Method::GET, format!("/highlights/{id}")),
            (Method::GET, format!("/highlights/{log_rocket_id}")),
            (Method::DELETE, format!("/highlights/{id}")),
        ] {
            let answer =
                world.call(method, &path, &[("authorization", BEARER)], json!({ "userID": "1" })).await;
            assert_try_again(&answer);
        }
        assert_try_again(&world.callback(posts[0].webhook_url().unwrap(), payload.clone()).await);
        world.table_calls.clear();
    }

    // Nothing was asked, nothing stored, nothing broken.
    assert_eq!(world.log_rocket.posts().len(), 1);
    assert_eq!(world.table.items().unwrap(), before);
    assert_eq!(world.callback(posts[0].webhook_url().unwrap(), payload).await.status, StatusCode::OK);
    assert_eq!(world.read(&id).await["status"], "READY");
}

#[tokio::test]
async fn secrets_that_cannot_be_read_are_503_and_the_functions_go_on() {
    let key = json!({ "callbackKey": CALLBACK_KEY });
    let malformed = json!({ "logRocketAPIKey": 5, "callbackKey": CALLBACK_KEY, "apiToken": API_TOKEN });
    let short = json!({ "logRocketAPIKey": "k", "callbackKey": "canary-short" });
    for (secrets, named, webhook_reads_it) in [
        (key.to_string(), "logRocketAPIKey", false),
        (malformed.to_string(), "logRocketAPIKey", false),
        (short.to_string(), "callbackKey", true),
        ("canary, no JSON".to_owned(), "SECRETS_JSON", true),
    ] {
        let world = World::with(&[("SECRETS_JSON", &secrets)]).await;
        for _ in 0..3 {
            let before = world.request.output().len();
            assert_try_again(&world.post(json!({ "userID": "1" })).await);
            // Said once at the start and once for each caller who could not be served.
            let said: Vec<_> = world.request.output()[before..]
                .iter()
                .filter(|line| line.contains("invocation"))
                .cloned()
                .collect();
            assert_eq!(said.iter().filter(|line| line.contains(named)).count(), 1, "{said:#?}");
            let failed = world.invoke(json!({ "userID": "1" })).await.unwrap_err();
            assert_eq!(failed.error_type, "Unavailable");
        }
        // What needs no secret is served, by the process that has run from the first.
        world.get("/nowhere").await.problem(404);
        let starts = world.request.output().iter().filter(|line| !line.contains("lambdaRequestID")).count();
        assert_eq!(starts, 1, "{:#?}", world.request.output());

        let url = format!(
            "{}?request=019f3a52-7a1c-7000-8000-000000000000&attempt=1&token=x",
            world.gateway.webhook_url()
        );
        let callback = world.callback(&url, json!({})).await;
        if webhook_reads_it {
            assert_try_again(&callback);
            assert!(world.webhook.output().iter().any(|line| line.contains(named)));
        } else {
            callback.problem(401);
        }
        assert!(!world.output().contains("canary"), "{}", world.output());
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_work_stops_the_function_and_is_named_in_one_line() {
    let bad_for_both = [
        ("TABLE_NAME", ""),
        ("LOGROCKET_APP_ID", ""),
        ("LOGROCKET_APP_ID", "canary"),
        ("SECRETS_JSON", ""),
        ("MAX_ATTEMPTS", "0"),
        ("LEASE_SECONDS", "a minute"),
        ("RETENTION_DAYS", "-1"),
    ];
    let bad_for_request = [
        ("WEBHOOK_URL", ""),
        ("WEBHOOK_URL", "example.com/webhook"),
        ("LOGROCKET_API_URL", "nowhere"),
        ("API_AUTH", "none"),
        ("MONTHLY_REQUEST_LIMIT", "many"),
        ("DEFAULT_DESTINATIONS", r#"[{"type":"pager"}]"#),
    ];
    for (index, (variable, value)) in bad_for_both.into_iter().chain(bad_for_request).enumerate() {
        let world = World::with(&[(variable, value)]).await;
        let functions = if index < bad_for_both.len() { 2 } else { 1 };
        for function in [&world.request, &world.webhook].into_iter().take(functions) {
            let error = function.invoke(json!({ "job": "sweep" })).await.unwrap_err();
            assert_eq!(error.error_type, "Runtime.ExitError", "{variable}={value}: {error}");
            let output = function.output();
            let [line] = output.as_slice() else { panic!("{variable}={value}: {output:#?}") };
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["level"], "ERROR");
            // Without SECRETS_JSON, which is for local runs, it is the other that is missed.
            let named = if variable == "SECRETS_JSON" { "SECRET_IDS" } else { variable };
            assert!(line.to_string().contains(named), "{line}");
        }
    }
}

fn assert_try_again(answer: &Answer) {
    answer.problem(503);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

/// Not even a part of it that is worth anything.
#[track_caller]
fn assert_no_key(text: &str, key: &str) {
    for part in 5..=key.len() {
        assert!(!text.contains(&key[..part]), "{text}");
    }
}
