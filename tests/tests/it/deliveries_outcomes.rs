//! Who is told of what: results, failures, empty results; who is told by default, twice over, or later.

use local::destinations::{Behaviour, Kind, Received};
use local::logrocket::{self, Outcome};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use stories::World;
use tokio::net::TcpSocket;

const SOON: Duration = Duration::from_secs(20);

/// What the receivers got, in order.
fn webhooks(world: &World) -> Vec<Received> {
    world.destinations.received().into_iter().filter(|call| call.kind == Kind::Webhook).collect()
}

fn calls_of(world: &World, name: &str) -> usize {
    let path = format!("/hook/{name}");
    webhooks(world).iter().filter(|call| call.path == path).count()
}

/// Of which outcome each delivery is, its status, and why.
fn ends(deliveries: &[Value]) -> Vec<(&str, &str, &str)> {
    fn text<'a>(delivery: &'a Value, field: &str) -> &'a str {
        delivery[field].as_str().unwrap_or_default()
    }
    deliveries
        .iter()
        .map(|each| (text(each, "outcome"), text(each, "status"), text(each, "lastError")))
        .collect()
}

#[tokio::test]
async fn machines_are_told_of_a_failure_and_of_the_result_that_comes_after_all_and_people_of_the_result_alone()
 {
    let world = World::delivering(&[("MAX_ATTEMPTS", "1")]).await;
    world.log_rocket.next(logrocket::Behaviour::manual());
    let id = world
        .ask(json!({ "userID": "1", "metadata": { "nps": "3" }, "destinations": [
            { "type": "webhook", "url": world.hook("crm") },
            { "type": "zendesk", "ticketID": 35436 },
            { "type": "slack", "channel": "C0123456789", "onFailure": false },
        ]}))
        .await;
    assert_eq!(ends(&world.deliveries(&id).await), [("", "PENDING", ""); 3]);

    // 1. LogRocket fails.
    assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
    let deliveries = world.wait_for_deliveries(&id).await;
    let skipped = ("failure", "SKIPPED", "onFailure is false");
    assert_eq!(ends(&deliveries), [("failure", "DELIVERED", ""), skipped, skipped]);
    let told = &webhooks(&world)[0];
    assert_eq!(told.headers["webhook-id"], world.delivery_id(&id, "0-failure"));
    let request = world.read(&id).await;
    assert_eq!(request["failure"]["code"], "LOGROCKET_FAILED");
    for (field, value) in [
        ("requestID", &json!(id)),
        ("status", &json!("FAILED")),
        ("result", &Value::Null),
        ("failure", &request["failure"]),
        ("metadata", &json!({ "nps": "3" })),
        ("logRocketRequestID", &request["attempts"][0]["logRocketRequestID"]),
    ] {
        assert_eq!(&told.body[field], value, "{field}");
        assert!(told.body.get(field).is_some(), "{field}");
    }
    assert_eq!(world.destinations.received().len(), 1, "no person hears of it");
    assert_eq!(deliveries[1]["attempts"], 0);

    // 2. A result comes after all.
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    let deliveries = world.wait_for_deliveries(&id).await;
    let ends = ends(&deliveries);
    assert_eq!(ends[..2], [("result", "DELIVERED", ""), ("failure", "DELIVERED", "")]);
    let told = &webhooks(&world)[1];
    assert_eq!(told.headers["webhook-id"], world.delivery_id(&id, "0-result"));
    assert_eq!((&told.body["status"], told.body.get("failure")), (&json!("READY"), None));
    assert_eq!(told.body["result"], world.read(&id).await["result"]);
    assert!(told.body["result"]["highlights"].is_string());
    // What was skipped stays on record beside what people are told now.
    assert_eq!((ends[2].0, ends[3], ends[4].0, ends[5]), ("result", skipped, "result", skipped));
    assert!(ends[2].1 != "SKIPPED" && ends[4].1 != "SKIPPED", "{ends:?}");

    // 3. Nothing that comes later changes anything.
    for outcome in [Outcome::Ready, Outcome::Failed] {
        assert_eq!(world.tell(&id, 1, outcome).await, 200);
    }
    assert_eq!(world.sweep_deliveries().await["due"], 0);
    assert_eq!(webhooks(&world).len(), 2);
}

#[tokio::test]
async fn machines_are_told_that_waiting_ended_and_of_the_result_that_comes_after_all() {
    let world =
        World::delivering(&[("PENDING_TIMEOUT_SECONDS", "1"), ("KNOWN_DESTINATIONS", "webhook")]).await;
    world.log_rocket.next(logrocket::Behaviour::manual());
    let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("crm") })).await;
    world.sweep_until(&id, "EXPIRED").await;
    let deliveries = world.wait_for_deliveries(&id).await;
    assert_eq!(ends(&deliveries), [("failure", "DELIVERED", "")]);
    let told = &webhooks(&world)[0].body;
    assert_eq!((&told["status"], &told["result"]), (&json!("EXPIRED"), &Value::Null));
    assert_eq!(told["failure"]["code"], "EXPIRED");

    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    world.wait_for_deliveries(&id).await;
    let told: Vec<Value> = webhooks(&world).into_iter().map(|call| call.body["status"].clone()).collect();
    assert_eq!(told, ["EXPIRED", "READY"]);
}

#[tokio::test]
async fn a_result_overtakes_the_failure_that_could_not_be_told() {
    let world = World::delivering(&[("MAX_ATTEMPTS", "1"), ("LEASE_SECONDS", "60")]).await;
    world.log_rocket.usually(logrocket::Behaviour::manual());

    // 1. The failure waits for its next try, or was given up: there is no use in it any more.
    for (status, reason, given_up) in [(503, "a result came first", "SKIPPED"), (410, "", "FAILED")] {
        world.destinations.next(Kind::Webhook, Behaviour::status(status));
        let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("crm") })).await;
        assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
        assert!(world.stream.as_ref().unwrap().caught_up(SOON).await);
        assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
        let deliveries = world.wait_for_deliveries(&id).await;
        assert_eq!(ends(&deliveries), [("result", "DELIVERED", ""), ("failure", given_up, reason)]);
        assert_eq!(world.redeliver(&id).await.status, StatusCode::OK, "there is nothing to redeliver");
    }

    // 2. The failure is being told just now: the result waits, and comes after it.
    let held = world.destinations.hold_next(Kind::Webhook);
    let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("slow") })).await;
    assert_eq!(world.tell(&id, 1, Outcome::Failed).await, 200);
    held.arrived().await.unwrap();
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    world.sweep_deliveries().await;
    assert_eq!(world.sweep_deliveries().await["claimed"], 0);
    assert_eq!(calls_of(&world, "slow"), 1);
    held.release();
    let deliveries = world.wait_for_deliveries(&id).await;
    assert_eq!(ends(&deliveries), [("result", "DELIVERED", ""), ("failure", "DELIVERED", "")]);
    let told: Vec<Value> = webhooks(&world).into_iter().map(|call| call.body["status"].clone()).collect();
    assert_eq!(told[4..], ["FAILED", "READY"]);
}

#[tokio::test]
async fn a_result_without_sessions_is_told_to_machines_and_to_whoever_wants_it() {
    let world = World::delivering(&[]).await;
    world.log_rocket.next(logrocket::Behaviour::manual());
    let id = world
        .ask(json!({ "userID": "1", "destinations": [
            { "type": "webhook", "url": world.hook("all") },
            { "type": "webhook", "url": world.hook("some"), "whenEmpty": "skip" },
            { "type": "slack", "channel": "C0123456789" },
            { "type": "zendesk", "ticketID": 35436, "onFailure": true },
        ]}))
        .await;
    let post = world.post_of(&id, 1);
    let empty = json!({
        "requestID": post.logrocket_request_id, "appID": "acme/shop", "status": "READY",
        "result": { "highlights": "There is nothing.", "sessions": [] },
    });
    assert_eq!(world.callback(post.webhook_url().unwrap(), empty).await.status, StatusCode::OK);
    let deliveries = world.wait_for_deliveries(&id).await;
    let skipped = ("result", "SKIPPED", "there are no sessions, and whenEmpty is skip");
    assert_eq!(ends(&deliveries), [("result", "DELIVERED", ""), skipped, skipped, skipped]);
    assert_eq!(world.destinations.received().len(), 1);
    assert_eq!(webhooks(&world)[0].body["result"]["sessions"], json!([]));
    // What is skipped is not failed.
    assert_eq!(world.redeliver(&id).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_logrocket_refused_is_told_to_the_caller_alone() {
    let world = World::delivering(&[]).await;
    world.log_rocket.next(logrocket::Behaviour::status(400));
    world.post(json!({ "userID": "1", "webhookURL": world.hook("crm") })).await.problem(502);
    let id = world.table.items().unwrap()[0]["requestID"].as_str().unwrap().to_owned();
    assert_eq!(world.read(&id).await["failure"]["code"], "LOGROCKET_REFUSED");
    assert_eq!(world.sweep_deliveries().await["due"], 0);
    assert_eq!(world.redeliver(&id).await.status, StatusCode::OK);
    assert_eq!(world.deliveries(&id).await, Vec::<Value>::new());
    assert!(world.stream.as_ref().unwrap().caught_up(SOON).await);
    assert!(world.destinations.received().is_empty());
}

#[tokio::test]
async fn default_destinations_are_told_of_every_request_and_equal_ones_once() {
    // A receiver that is known before the world is.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", socket.local_addr().unwrap());
    let default = json!([{ "type": "webhook", "url": format!("{base}/hook/everything") }]).to_string();
    let world = World::delivering(&[("DEFAULT_DESTINATIONS", &default)]).await;
    let upstream = world.destinations.url().strip_prefix("http://").unwrap().to_owned();
    let listener = socket.listen(16).unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });

    // 1. With no destination of its own, and with some, among them the same twice and the default itself.
    let alone = world.ask(json!({ "userID": "1" })).await;
    assert_eq!(ends(&world.wait_for_deliveries(&alone).await), [("result", "DELIVERED", "")]);
    let several = json!({ "userID": "1", "webhookURL": world.hook("crm"), "destinations": [
        { "type": "webhook", "url": world.hook("crm") },
        { "type": "webhook", "url": world.hook("crm"), "whenEmpty": "skip" },
        { "type": "webhook", "url": format!("{base}/hook/everything") },
        { "type": "webhook", "url": world.hook("crm?team=a") },
    ]});
    let several = world.ask(several).await;
    assert_eq!(ends(&world.wait_for_deliveries(&several).await), [("result", "DELIVERED", ""); 3]);
    assert_eq!((calls_of(&world, "everything"), calls_of(&world, "crm")), (2, 2));
    assert_eq!(webhooks(&world).len(), 4);
}

#[tokio::test]
async fn who_joins_a_request_by_max_age_is_told_at_once_or_with_the_others() {
    let world = World::delivering(&[]).await;
    let ask = |name: &str| json!({ "userID": "1", "maxAge": 900, "webhookURL": world.hook(name) });
    world.log_rocket.next(logrocket::Behaviour::manual());

    // 1. While it is pending.
    let id = world.ask(ask("first")).await;
    assert_eq!(world.post(ask("second")).await.json()["requestID"], id);
    assert_eq!(world.tell(&id, 1, Outcome::Ready).await, 200);
    assert_eq!(ends(&world.wait_for_deliveries(&id).await), [("result", "DELIVERED", ""); 2]);

    // 2. When it is ready: at once, without a sweep, and without telling the others again.
    let answer = world.post(ask("third")).await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("READY")));
    assert_eq!(ends(&world.wait_for_deliveries(&id).await), [("result", "DELIVERED", ""); 3]);

    // 3. Who asks again has been told.
    assert_eq!(world.post(ask("third")).await.status, StatusCode::OK);
    assert_eq!(world.deliveries(&id).await.len(), 3);

    // 4. Without the stream, the sweep tells him.
    world.stream.as_ref().unwrap().pause();
    world.post(ask("fourth")).await;
    assert_eq!(world.sweep_deliveries().await["delivered"], 1);
    assert_eq!(["first", "second", "third", "fourth"].map(|name| calls_of(&world, name)), [1; 4]);
    assert_eq!(world.log_rocket.posts().len(), 1);
}

#[tokio::test]
async fn a_repeat_under_the_same_key_tells_nobody_twice_but_the_workflows_new_task() {
    let world = World::delivering(&[]).await;
    let body = |token: &str| {
        json!({ "userID": "1", "idempotencyKey": "execution-1", "destinations": [
            { "type": "webhook", "url": world.hook("crm") },
            { "type": "stepFunctions", "taskToken": token },
        ]})
    };
    let first = body(&world.destinations.issue_token());
    let id = world.invoke(first.clone()).await.unwrap()["requestID"].as_str().unwrap().to_owned();
    assert_eq!(world.wait_for_deliveries(&id).await.len(), 2);

    // 1. The same again, as Step Functions' Retry has it.
    for _ in 0..2 {
        assert_eq!(world.invoke(first.clone()).await.unwrap()["requestID"], id);
    }
    assert_eq!(world.deliveries(&id).await.len(), 2);
    assert_eq!(world.sweep_deliveries().await["due"], 0);

    // 2. The task was begun anew: its token is another, and is answered too.
    let second = body(&world.destinations.issue_token());
    assert_eq!(world.invoke(second).await.unwrap()["requestID"], id);
    let deliveries = world.wait_for_deliveries(&id).await;
    let types: Vec<_> = deliveries.iter().map(|delivery| &delivery["destination"]["type"]).collect();
    assert_eq!(types, ["webhook", "stepFunctions", "stepFunctions"]);
    assert_eq!(calls_of(&world, "crm"), 1);
    assert_eq!(world.log_rocket.posts().len(), 1);
}
