//! Callbacks that LogRocket did not send, or that make no sense: nothing of them is stored, and who has no token
//! does not even reach the table.

use local::gateway::HttpCall;
use local::logrocket::{Answer, Behaviour, Outcome};
use model::id::RequestId;
use model::secrets::SecretDocument;
use model::time::Time;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use stories::{API_TOKEN, CALLBACK_KEY, World};

/// 32 bytes each, in base64.
const NEW_KEY: &str = "bmV3IGNhbGxiYWNrIGtleSAwMTIzNDU2Nzg5YWJjZGU=";
const OLD_KEY: &str = "b2xkIGNhbGxiYWNrIGtleSAwMTIzNDU2Nzg5YWJjZGU=";
const DROPPED_KEY: &str = "ZHJvcHBlZCBjYWxsYmFjayBrZXkgMDEyMzQ1Njc4OWE=";

fn alice() -> Value {
    json!({ "userEmail": "alice@example.com" })
}

/// A request whose attempt 1 LogRocket works on, and says nothing of by itself.
async fn asked(world: &World) -> String {
    world.log_rocket.next(Behaviour::manual());
    world.ask(alice()).await
}

fn url_of(world: &World, id: &str, attempt: u32) -> String {
    world.post_of(id, attempt).webhook_url().unwrap().to_owned()
}

fn token_of(url: &str) -> &str {
    url.split_once("&token=").unwrap().1
}

/// What LogRocket would say of the request's first attempt.
fn payload(world: &World, id: &str, outcome: Outcome) -> Value {
    let log_rocket_id = world.post_of(id, 1).logrocket_request_id.unwrap();
    world.log_rocket.payload(&log_rocket_id, outcome).unwrap()
}

/// A token that somebody with these secrets would make.
fn sign(world: &World, secrets: &Value, app: &str, id: &str, attempt: u32) -> String {
    let opened = Time(world.item(id)["createdAt"].as_i64().unwrap());
    let mut document = SecretDocument::default();
    document.merge("test", &secrets.to_string()).unwrap();
    document.for_webhook().unwrap().callback_keys.sign(app, &RequestId::parse(id).unwrap(), attempt, opened)
}

#[tokio::test]
async fn without_the_attempts_own_token_a_callback_does_not_reach_the_table() {
    let world = World::start().await;
    let (id, other) = (asked(&world).await, asked(&world).await);
    let (url, app) = (url_of(&world, &id, 1), world.log_rocket.app_id());
    let (token, others_token) = (token_of(&url), token_of(&url_of(&world, &other, 1)).to_owned());
    let ours = json!({ "callbackKey": CALLBACK_KEY });
    let stranger = json!({ "callbackKey": "a key that a stranger made up, of 40 bytes" });

    // 0. The token is made as these would have to be.
    assert_eq!(sign(&world, &ours, app, &id, 1), token);

    // 1. Every way of not having it.
    let with = |id: &str, attempt: &str, token: &str| {
        format!("{}?request={id}&attempt={attempt}&token={token}", world.gateway.webhook_url())
    };
    let base = world.gateway.webhook_url();
    let (opened, mac) = token.split_once('.').unwrap();
    let flipped = format!("{opened}.{}{}", if mac.starts_with('A') { 'B' } else { 'A' }, &mac[1..]);
    let earlier = opened.parse::<i64>().unwrap() - 1;
    let upper = id.to_uppercase();
    let tables_own = "budget%232026-11";
    let forgeries = [
        ("forged", with(&id, "1", &sign(&world, &stranger, app, &id, 1))),
        ("one character off", with(&id, "1", &flipped)),
        ("of an earlier opening", with(&id, "1", &format!("{earlier}.{mac}"))),
        ("without its opening", with(&id, "1", mac)),
        ("truncated", with(&id, "1", &token[..token.len() - 1])),
        ("extended", with(&id, "1", &format!("{token}A"))),
        ("padded", with(&id, "1", &format!("{token}="))),
        ("in the wrong case", with(&id, "1", &token.to_lowercase())),
        ("empty", with(&id, "1", "")),
        ("no base64", with(&id, "1", "%F0%9F%9A%80")),
        ("of another request", with(&id, "1", &others_token)),
        ("for another request", with(&other, "1", token)),
        ("of another attempt", with(&id, "1", &sign(&world, &ours, app, &id, 2))),
        ("for another attempt", with(&id, "2", token)),
        ("of another app", with(&id, "1", &sign(&world, &ours, "acme/other", &id, 1))),
        ("attempt 01", with(&id, "01", token)),
        ("attempt +1", with(&id, "%2B1", token)),
        ("attempt 0", with(&id, "0", &sign(&world, &ours, app, &id, 0))),
        ("no number", with(&id, "one", token)),
        ("upper-cased id", with(&upper, "1", token)),
        ("no request's id", with(tables_own, "1", token)),
        ("no parameters", base.clone()),
        ("no token", format!("{base}?request={id}&attempt=1")),
        ("no attempt", format!("{base}?request={id}&token={token}")),
        ("no request", format!("{base}?attempt=1&token={token}")),
        ("two tokens", format!("{url}&token={token}")),
        ("two tokens, one forged", format!("{url}&token={flipped}")),
        ("two requests", format!("{url}&request={other}")),
        ("two attempts", format!("{url}&attempt=1")),
    ];
    let (before, others) = (world.item(&id), world.item(&other));
    let calls = world.table_calls.calls().len();
    for (what, forgery) in &forgeries {
        for outcome in [Outcome::Ready, Outcome::Failed, Outcome::Pending] {
            let answer = world.callback(forgery, payload(&world, &id, outcome)).await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.text);
            answer.problem(401);
            assert!(!answer.text.contains(token), "{what}");
        }
    }

    // 2. Nor does a bad body tell anything to who has no token.
    let unread = world.callback(&with(&id, "1", &flipped), json!("not JSON")).await;
    assert_eq!(unread.json(), world.callback(&base, alice()).await.json());
    unread.problem(401);

    // 3. The table heard nothing, and no log line shows a token.
    assert_eq!(world.table_calls.calls().len(), calls);
    assert_eq!((world.item(&id), world.item(&other)), (before, others));
    for secret in [token, &flipped, &others_token] {
        assert!(!world.output().contains(secret));
    }

    // 4. The right one is let in.
    assert_eq!(world.callback(&url, payload(&world, &id, Outcome::Ready)).await.status, 200);
    assert_eq!(world.read(&id).await["status"], "READY");
    assert_eq!(world.read(&other).await["status"], "PENDING");
}

#[tokio::test]
async fn a_payload_that_names_another_id_is_a_conflict_and_is_not_stored() {
    let world = World::start().await;
    let (id, other) = (asked(&world).await, asked(&world).await);
    let url = url_of(&world, &id, 1);
    let before = world.item(&id);

    // 1. With a token that is right, the words of another attempt's, or of none.
    for outcome in [Outcome::Ready, Outcome::Failed] {
        let mut of_none = payload(&world, &id, outcome);
        of_none["requestID"] = json!("0cc12cad");
        for body in [payload(&world, &other, outcome), of_none] {
            world.callback(&url, body).await.problem(409);
            assert_eq!(world.item(&id), before);
        }
    }

    // 2. An attempt that was never made has a token of its own only with our key; there is nothing to bind it to.
    let ours = json!({ "callbackKey": CALLBACK_KEY });
    let token = sign(&world, &ours, world.log_rocket.app_id(), &id, 2);
    let unmade = format!("{}?request={id}&attempt=2&token={token}", world.gateway.webhook_url());
    world.callback(&unmade, payload(&world, &id, Outcome::Ready)).await.problem(410);
    assert_eq!(world.item(&id), before);

    // 3. READY stays READY, and another id is a conflict still.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let ready = world.item(&id);
    world.callback(&url, payload(&world, &other, Outcome::Ready)).await.problem(409);
    assert_eq!(world.item(&id), ready);
}

#[tokio::test]
async fn an_unreadable_callback_changes_nothing_and_the_poll_settles_it() {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::lost());
    let id = world.ask(alice()).await;
    let url = url_of(&world, &id, 1);
    let before = world.item(&id);
    let log_rocket_id = world.post_of(&id, 1).logrocket_request_id.unwrap();

    // 1. Bodies that say nothing that could be acted on; no answer and no log quotes them.
    for body in [
        json!("canary-body"),
        json!("{\"requestID\": \"canary-body"),
        json!(["canary-body"]),
        json!({ "status": "READY", "result": { "highlights": "canary-body" } }),
        json!({ "requestID": log_rocket_id, "status": "canary-body" }),
        json!({ "requestID": log_rocket_id, "status": "READY" }),
        json!({ "requestID": log_rocket_id, "status": "READY", "result": null }),
        json!({ "requestID": log_rocket_id, "status": "READY", "result": { "highlights": ["canary-body"] } }),
        json!({ "requestID": log_rocket_id, "status": "COMPLETE",
            "result": { "highlights": "", "sessions": [{ "highlights": "canary-body" }] } }),
        json!({ "requestID": "", "status": "FAILED" }),
        json!({ "requestID": 7, "status": "FAILED" }),
        Value::Null,
    ] {
        let answer = world.callback(&url, body).await;
        answer.problem(400);
        assert!(!answer.text.contains("canary-body"), "{}", answer.text);
        assert_eq!(world.item(&id), before);
    }
    assert!(!world.output().contains("canary-body"));

    // 2. The poll finds the result.
    world.sweep_until(&id, "READY").await;
    assert_eq!(world.log_rocket.polls().len(), 1);
    assert_eq!(world.attempts_posted(&id), [1]);
}

#[tokio::test]
async fn a_callback_that_says_pending_is_heard_and_changes_nothing() {
    let world = World::start().await;
    let id = asked(&world).await;
    let before = world.item(&id);
    assert_eq!(world.tell(&id, 1, Outcome::Pending).await, 200);
    assert_eq!(world.item(&id), before);
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let ready = world.item(&id);
    assert_eq!(world.tell(&id, 1, Outcome::Pending).await, 200);
    assert_eq!(world.item(&id), ready);
}

#[tokio::test]
async fn a_callback_for_a_deleted_request_is_gone_and_brings_nothing_back() {
    let world = World::start().await;
    let id = asked(&world).await;
    let authorization = format!("Bearer {API_TOKEN}");
    let headers = [("authorization", authorization.as_str())];
    let deleted = world.call(Method::DELETE, &format!("/highlights/{id}"), &headers, Value::Null).await;
    assert_eq!(deleted.status, 204);

    for outcome in [Outcome::Ready, Outcome::Failed] {
        world.callback(&url_of(&world, &id, 1), payload(&world, &id, outcome)).await.problem(410);
        assert_eq!(world.table.items().unwrap(), Vec::<Value>::new());
    }
    world.sweep_for(Duration::from_millis(300)).await;
    assert_eq!(world.get(&format!("/highlights/{id}")).await.status, 404);
}

#[tokio::test]
async fn webhook_has_one_path_and_one_method() {
    let world = World::start().await;
    let id = asked(&world).await;
    let url = url_of(&world, &id, 1);
    let query = url.split_once('?').unwrap().1;
    let (before, calls) = (world.item(&id), world.table_calls.calls().len());
    let invoke = async |method: Method, path: &str| {
        let call =
            HttpCall::new(method, &format!("{path}?{query}")).json(&payload(&world, &id, Outcome::Ready));
        world.webhook.invoke(call.http_api_event()).await.unwrap()
    };

    // 1. Whatever a gateway might route here by mistake.
    for path in ["/", "/webhooks", "/webhook/", "/webhook/1", "/highlights", "//webhook"] {
        assert_eq!(invoke(Method::POST, path).await["statusCode"], 404, "{path}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        let answer = invoke(method.clone(), "/webhook").await;
        assert_eq!(
            (&answer["statusCode"], &answer["headers"]["allow"]),
            (&json!(405), &json!("POST")),
            "{method}"
        );
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    }

    // 2. What is no HTTP event fails by name, and the function lives on.
    for event in [json!({}), json!({ "job": "nothing" }), json!([]), json!("text"), Value::Null] {
        assert_eq!(world.webhook.invoke(event).await.unwrap_err().error_type, "InvalidRequest");
    }
    assert_eq!(world.table_calls.calls().len(), calls);
    assert_eq!(world.item(&id), before);
    assert_eq!(invoke(Method::POST, "/webhook").await["statusCode"], 200);
    assert_eq!(world.read(&id).await["status"], "READY");
}

#[tokio::test]
async fn while_keys_are_rotated_the_old_ones_tokens_work_and_a_dropped_ones_do_not() {
    let secrets = json!({
        "logRocketAPIKey": "acme:shop:secret",
        "callbackKeys": [NEW_KEY, OLD_KEY],
        "apiTokens": { "ops": API_TOKEN },
    });
    let world = World::with(&[("SECRETS_JSON", &secrets.to_string())]).await;
    let with_key = |key: &str| json!({ "callbackKeys": [key] });
    let url = |id: &str, key: &str| {
        let token = sign(&world, &with_key(key), world.log_rocket.app_id(), id, 1);
        format!("{}?request={id}&attempt=1&token={token}", world.gateway.webhook_url())
    };

    // 1. New attempts are signed with the new key.
    let (new, old) = (asked(&world).await, asked(&world).await);
    assert_eq!(url_of(&world, &new, 1), url(&new, NEW_KEY));

    // 2. A callback whose URL was signed before the rotation is let in; one of a dropped key is not.
    for (id, key) in [(&new, NEW_KEY), (&old, OLD_KEY)] {
        let calls = world.table_calls.calls().len();
        let ready = payload(&world, id, Outcome::Ready);
        world.callback(&url(id, DROPPED_KEY), ready.clone()).await.problem(401);
        assert_eq!(world.table_calls.calls().len(), calls);
        assert_eq!(world.callback(&url(id, key), ready).await.status, 200);
        assert_eq!(world.read(id).await["status"], "READY");
    }
}

#[tokio::test]
async fn a_late_callback_of_a_deleted_request_does_not_reach_the_one_that_has_its_key_now() {
    let world = World::start().await;
    let with_key = |email: &str| json!({ "userEmail": email, "idempotencyKey": "ticket-35436" });

    // 1. Alice's request is under way, and is deleted.
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(with_key("alice@example.com")).await;
    let (alices, ready) = (url_of(&world, &id, 1), payload(&world, &id, Outcome::Ready));
    let path = format!("/highlights/{id}");
    let bearer = [("authorization", stories::BEARER)];
    assert_eq!(world.call(Method::DELETE, &path, &bearer, Value::Null).await.status, 204);

    // 2. Bob's has the same key, and so the same id and attempt; LogRocket's answer to it is not known.
    world.log_rocket.next(Behaviour::manual().answering(Answer::Cut).taken(true));
    assert_eq!(world.ask(with_key("bob@example.com")).await, id);
    let before = world.item(&id);

    // 3. Alice's highlights come to nobody.
    world.callback(&alices, ready).await.problem(410);
    assert_eq!(world.item(&id), before);
}
