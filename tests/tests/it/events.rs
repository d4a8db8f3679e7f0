//! Every sample in `events/`, run against its function. A sample without a story fails, and so does one that the
//! table of `events/README.md` lacks.

use futures::stream::{self, StreamExt};
use local::logrocket::Behaviour;
use model::id::RequestId;
use model::secrets::SecretDocument;
use model::time::Time;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use stories::{API_TOKEN, Answer, CALLBACK_KEY, World, project};

#[tokio::test]
async fn every_sample_gets_the_answer_that_its_event_deserves() {
    let run = async |file: String| match file.as_str() {
        "request-http-post.json" => http_post(&file).await,
        "request-http-post-iam.json" => http_post_iam(&file).await,
        "request-http-get.json" => http_get(&file).await,
        "request-http-list.json" => http_list(&file).await,
        "request-http-delete.json" => http_delete(&file).await,
        "request-rest-post.json" => post_by(&file, "bob@example.com").await,
        "request-alb-post.json" => post_by(&file, "grace@example.com").await,
        "request-function-url-post.json" => post_by(&file, "heidi@example.com").await,
        "request-direct.json" => direct(&file).await,
        "request-step-functions.json" => step_functions(&file).await,
        "request-eventbridge.json" => event_bridge(&file).await,
        "request-sns.json" => sns(&file).await,
        "request-sqs.json" => sqs(&file).await,
        "request-sweep.json" => sweep(&file).await,
        "webhook-http-ready.json" => callback_ready(&file).await,
        "webhook-http-complete.json" => callback_complete(&file).await,
        "webhook-http-failed.json" => callback_failed(&file).await,
        "webhook-stream.json" => stream_of_the_table(&file).await,
        "webhook-sweep.json" => sweep_of_deliveries(&file).await,
        "webhook-try.json" => try_out(&file).await,
        _ => panic!("{file} has no story"),
    };
    stream::iter(samples()).map(run).buffer_unordered(4).collect::<Vec<_>>().await;
}

#[tokio::test]
async fn a_sample_whose_placeholders_are_not_filled_is_refused() {
    let world = World::start().await;
    for file in samples() {
        let text = text(&file);
        if placeholders(&text).is_empty() || file == "webhook-stream.json" {
            continue;
        }
        let event: Value = serde_json::from_str(&text).unwrap();
        let function = if file.starts_with("webhook-") { &world.webhook } else { &world.request };
        Answer::of_event(&function.invoke(event).await.unwrap()).problem(401);
    }
    assert_eq!(world.table_calls.calls().len(), 0);
}

#[tokio::test]
async fn a_change_of_no_request_is_passed_over() {
    let world = World::start().await;
    let event: Value = serde_json::from_str(&text("webhook-stream.json")).unwrap();
    let answer = world.webhook.invoke(event).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!(world.table_calls.calls().len(), 0);
}

#[test]
fn the_readme_has_one_row_for_each_sample_with_its_placeholders() {
    let readme = text("README.md");
    let mut named = Vec::new();
    let mut explained = BTreeSet::new();
    let mut before = BTreeSet::new();
    for line in readme.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, first, _, rest @ ..] = cells.as_slice() else { continue };
        let first = first.trim_matches('`');
        if first.starts_with('{') {
            explained.insert(first.to_owned());
        }
        if !first.ends_with(".json") {
            continue;
        }
        let told = rest.first().copied().unwrap_or_default();
        let told = if told == "the same" { before } else { placeholders(told) };
        assert_eq!(told, placeholders(&text(first)), "{first}");
        assert!(told.is_subset(&explained), "{first} has a placeholder that is not explained");
        before = told;
        named.push(first.to_owned());
    }
    named.sort();
    assert_eq!(named, samples());
}

async fn http_post(file: &str) {
    let world = World::start().await;
    let filled = sample(file, &[("{apiToken}", API_TOKEN)]);

    let answer = Answer::of_event(&world.invoke(filled.clone()).await.unwrap());
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let id = id_of(&answer.json());
    assert_eq!(answer.header("location"), format!("/highlights/{id}"));
    let request = world.wait_for(&id, "READY").await;
    assert_eq!(request["question"], "Why did checkout fail?");
    assert_eq!(request["deliveries"][0]["destination"], json!({ "type": "zendesk", "ticketID": "35436" }));

    // Its Idempotency-Key makes the same event the same request.
    let again = Answer::of_event(&world.invoke(filled).await.unwrap());
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::OK, "true"));
    assert_eq!(id_of(&again.json()), id);
    assert_eq!(world.log_rocket.posts().len(), 1);
}

/// A READY request whose result nobody has been told of yet.
async fn with_a_delivery_due() -> (World, String) {
    let world = World::start().await;
    let url = format!("{}/hook/crm", world.destinations.url());
    let id = world.ask(json!({ "userID": "1", "webhookURL": url })).await;
    world.wait_for(&id, "READY").await;
    (world, id)
}

async fn stream_of_the_table(file: &str) {
    let (world, id) = with_a_delivery_due().await;
    let event = sample(file, &[("{requestID}", &id)]);
    let answer = world.webhook.invoke(event.clone()).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert_eq!(world.deliveries(&id).await[0]["status"], "DELIVERED");
    // Again, as after a time-out of the function: there is nothing left to do.
    world.webhook.invoke(event).await.unwrap();
    assert_eq!(world.destinations.received().len(), 1);
}

async fn sweep_of_deliveries(file: &str) {
    let (world, id) = with_a_delivery_due().await;
    let swept = world.webhook.invoke(sample(file, &[])).await.unwrap();
    assert_eq!((&swept["due"], &swept["delivered"]), (&json!(1), &json!(1)));
    assert_eq!(world.deliveries(&id).await[0]["status"], "DELIVERED");
}

async fn try_out(file: &str) {
    let world = World::start().await;
    let tried = world.webhook.invoke(sample(file, &[])).await.unwrap();
    assert_eq!(tried["delivered"], true, "{tried}");
    assert_eq!(world.destinations.messages().len(), 1);
    assert_eq!(world.table_calls.calls().len(), 0);
}

async fn http_post_iam(file: &str) {
    let world = World::with(&[("API_AUTH", "iam")]).await;
    let answer = Answer::of_event(&world.invoke(sample(file, &[])).await.unwrap());
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    assert_eq!(
        world.item(&id_of(&answer.json()))["caller"],
        "iam:arn:aws:iam::123456789012:user/support-tool"
    );

    // Where callers have tokens, a signature is none.
    let world = World::start().await;
    Answer::of_event(&world.invoke(sample(file, &[])).await.unwrap()).problem(401);
}

async fn http_get(file: &str) {
    let world = World::start().await;
    let id = world.ask(json!({ "userID": "1" })).await;
    world.wait_for(&id, "READY").await;
    let filled = |id: &str| sample(file, &[("{apiToken}", API_TOKEN), ("{requestID}", id)]);
    let answer = Answer::of_event(&world.invoke(filled(&id)).await.unwrap());
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), world.read(&id).await);

    let other = "019f3a52-7a1c-7000-8000-000000000000";
    Answer::of_event(&world.invoke(filled(other)).await.unwrap()).problem(404);
}

async fn http_list(file: &str) {
    let world = World::start().await;
    let id = world.ask(json!({ "userEmail": "alice@example.com" })).await;
    world.ask(json!({ "userEmail": "bob@example.com" })).await;
    let answer = world.invoke(sample(file, &[("{apiToken}", API_TOKEN)])).await.unwrap();
    let answer = Answer::of_event(&answer);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let requests = answer.json()["requests"].as_array().cloned().unwrap();
    assert_eq!(requests.iter().map(id_of).collect::<Vec<_>>(), [id]);
}

async fn http_delete(file: &str) {
    let world = World::start().await;
    let id = world.ask(json!({ "userID": "1" })).await;
    let filled = sample(file, &[("{apiToken}", API_TOKEN), ("{requestID}", &id)]);
    let answer = Answer::of_event(&world.invoke(filled.clone()).await.unwrap());
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(world.item(&id), Value::Null);
    Answer::of_event(&world.invoke(filled).await.unwrap()).problem(404);
}

async fn post_by(file: &str, email: &str) {
    let world = World::start().await;
    let filled = sample(file, &[("{apiToken}", API_TOKEN)]);
    let answer = Answer::of_event(&world.invoke(filled.clone()).await.unwrap());
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let id = id_of(&answer.json());
    assert_eq!(world.wait_for(&id, "READY").await["userEmail"], email);
    let again = Answer::of_event(&world.invoke(filled).await.unwrap());
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(id_of(&again.json()), id);
}

async fn direct(file: &str) {
    let world = World::start().await;
    let receipt = world.invoke(sample(file, &[])).await.unwrap();
    let request = world.wait_for(&id_of(&receipt), "READY").await;
    assert_eq!(request["metadata"]["account"], "0015g00000ExAmPLE");
}

async fn step_functions(file: &str) {
    let world = World::start().await;
    let receipt = world.invoke(sample(file, &[])).await.unwrap();
    let request = world.wait_for(&id_of(&receipt), "READY").await;
    assert_eq!(request["timeRange"]["endMs"], 1795368742000i64);
    assert_eq!(request["deliveries"][0]["destination"], json!({ "type": "stepFunctions" }));
    assert_eq!(id_of(&world.invoke(sample(file, &[])).await.unwrap()), id_of(&receipt));
    assert_eq!(world.log_rocket.posts().len(), 1);
}

async fn event_bridge(file: &str) {
    let world = World::start().await;
    let id = id_of(&world.invoke(sample(file, &[])).await.unwrap());
    let request = world.wait_for(&id, "READY").await;
    assert_eq!(request["userEmail"], "dave@example.com");
    assert_eq!(request["deliveries"][0]["destination"]["channel"], "C0123456789");
    assert_eq!(id_of(&world.invoke(sample(file, &[])).await.unwrap()), id);
    assert_eq!(world.log_rocket.posts().len(), 1);
}

async fn sns(file: &str) {
    let world = World::start().await;
    let id = id_of(&world.invoke(sample(file, &[])).await.unwrap()[0]);
    assert_eq!(world.wait_for(&id, "READY").await["userEmail"], "erin@example.com");
    assert_eq!(id_of(&world.invoke(sample(file, &[])).await.unwrap()[0]), id);
    assert_eq!(world.log_rocket.posts().len(), 1);
}

async fn sqs(file: &str) {
    let world = World::start().await;
    for _ in 0..2 {
        let answer = world.invoke(sample(file, &[])).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    assert_eq!(world.log_rocket.posts().len(), 2);
    let list = world.get("/highlights?userID=user-4713").await.json();
    let request = world.wait_for(&id_of(&list["requests"][0]), "READY").await;
    assert_eq!(request["metadata"]["queue"], "imports");
}

async fn sweep(file: &str) {
    let world = World::start().await;
    world.log_rocket.next(Behaviour::status(503));
    let id = world.ask(json!({ "userID": "1" })).await;
    for _ in 0..50 {
        let swept = world.invoke(sample(file, &[])).await.unwrap();
        assert_eq!(swept["failed"], 0);
        if swept["claimed"] == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    world.wait_for(&id, "READY").await;
}

async fn callback_ready(file: &str) {
    let world = World::start().await;
    let (id, filled) = awaited(&world, file).await;
    let call = async || Answer::of_event(&world.webhook.invoke(filled.clone()).await.unwrap());
    let answer = call().await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "callback": "stored" })));
    let request = world.read(&id).await;
    assert_eq!(request["status"], "READY");
    assert_eq!(request["result"]["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(request["result"]["sessions"][0]["sessionID"], 0);

    let again = call().await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, json!({ "callback": "known" })));
    assert_eq!(world.read(&id).await, request);
}

async fn callback_complete(file: &str) {
    let world = World::start().await;
    let (id, filled) = awaited(&world, file).await;
    let answer = Answer::of_event(&world.webhook.invoke(filled).await.unwrap());
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "callback": "stored" })));
    let request = world.read(&id).await;
    assert_eq!(request["status"], "READY");
    assert_eq!(request["result"]["sessions"][0]["sessionID"], 0);
    assert_eq!(request["result"]["sessions"][0]["recordingID"], "5-3cde1f27-70a4-4d0b-8f52-6c7e9b0a1d3f");
}

async fn callback_failed(file: &str) {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;
    let (id, filled) = awaited(&world, file).await;
    let answer = Answer::of_event(&world.webhook.invoke(filled).await.unwrap());
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "callback": "stored" })));
    let request = world.read(&id).await;
    assert_eq!(request["status"], "FAILED");
    assert_eq!(request["failure"]["code"], "LOGROCKET_FAILED");
    assert_eq!(request["result"], Value::Null);
}

/// A request whose callback is still to come, and the callback's event, filled in for it.
async fn awaited(world: &World, file: &str) -> (String, Value) {
    world.log_rocket.next(Behaviour::manual());
    let id = world.ask(json!({ "userID": "1" })).await;
    let token = callback_token(world, &id);
    let post = world.log_rocket.posts().remove(0);
    assert!(post.webhook_url().unwrap().ends_with(&format!("&token={token}")));
    let log_rocket_id = post.logrocket_request_id.unwrap();
    let fills = [("{requestID}", id.as_str()), ("{logRocketRequestID}", &log_rocket_id), ("{token}", &token)];
    let filled = sample(file, &fills);
    (id, filled)
}

/// The token of the first attempt's callback URL, made as anybody with the key can make it.
fn callback_token(world: &World, id: &str) -> String {
    let mut document = SecretDocument::default();
    document.merge("the world's secret", &json!({ "callbackKey": CALLBACK_KEY }).to_string()).unwrap();
    let keys: model::token::CallbackKeys = document.for_webhook().unwrap().callback_keys;
    let opened = Time(world.item(id)["createdAt"].as_i64().unwrap());
    keys.sign(world.log_rocket.app_id(), &RequestId::parse(id).unwrap(), 1, opened)
}

/// The names of the samples, sorted.
fn samples() -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir(project().join("events"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn text(file: &str) -> String {
    std::fs::read_to_string(project().join("events").join(file)).unwrap()
}

/// The sample with its placeholders filled in, as plain text.
fn sample(file: &str, fills: &[(&str, &str)]) -> Value {
    let mut text = text(file);
    for (placeholder, value) in fills {
        assert!(text.contains(placeholder), "{file} has no {placeholder}");
        text = text.replace(placeholder, value);
    }
    assert_eq!(placeholders(&text), BTreeSet::new(), "{file}");
    serde_json::from_str(&text).unwrap()
}

/// What stands in braces and is none of JSON's.
fn placeholders(text: &str) -> BTreeSet<String> {
    let inner = text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(inner, _)| inner));
    let names = inner.filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()));
    names.map(|name| format!("{{{name}}}")).collect()
}

fn id_of(receipt: &Value) -> String {
    receipt["requestID"].as_str().unwrap_or_else(|| panic!("{receipt}")).to_owned()
}
