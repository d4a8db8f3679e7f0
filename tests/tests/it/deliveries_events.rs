//! webhook λ's events made by hand: changes of the table's stream, samples to try a destination out, and nonsense.

use local::destinations::{Behaviour, Kind};
use local::lambda::FunctionError;
use local::proxy::{Fault, Match};
use local::stream::Invoker;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stories::World;

fn none() -> Value {
    json!({ "batchItemFailures": [] })
}

fn failed(sequence_numbers: &[&Value]) -> Value {
    let failures = sequence_numbers.iter().map(|number| json!({ "itemIdentifier": number }));
    json!({ "batchItemFailures": failures.collect::<Vec<_>>() })
}

/// A world whose stream is written down instead of being delivered by.
struct Stream {
    world: World,
    source: local::stream::EventSource,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Stream {
    async fn start() -> Self {
        let world = World::start().await;
        let taken = Arc::<Mutex<Vec<Value>>>::default();
        let taking = taken.clone();
        let source = world.connect_stream(Invoker::closure(move |event| {
            let records = event["Records"].as_array().cloned().unwrap_or_default();
            taking.lock().unwrap().extend(records);
            async { Ok::<_, FunctionError>(json!({ "batchItemFailures": [] })) }
        }));
        Self { world, source, taken }
    }

    /// The change by which this request's result came, in DynamoDB's own words.
    async fn change(&self, name: &str) -> (String, Value) {
        let id = self.world.ask(json!({ "userID": "1", "webhookURL": self.world.hook(name) })).await;
        self.world.wait_for(&id, "READY").await;
        assert!(self.source.caught_up(Duration::from_secs(20)).await);
        let taken = self.taken.lock().unwrap();
        let change = taken.iter().rfind(|record| record["dynamodb"]["Keys"]["requestID"]["S"] == *id);
        (id, change.expect("the change").clone())
    }

    async fn invoke(&self, records: &[Value]) -> Result<Value, FunctionError> {
        self.world.webhook.invoke(json!({ "Records": records })).await
    }

    fn calls(&self) -> usize {
        self.world.destinations.received().len()
    }

    async fn tries(&self, id: &str) -> (Value, Value) {
        let delivery = self.world.deliveries(id).await.remove(0);
        (delivery["status"].clone(), delivery["attempts"].clone())
    }
}

fn number(change: &Value) -> &Value {
    &change["dynamodb"]["SequenceNumber"]
}

fn delivered() -> (Value, Value) {
    (json!("DELIVERED"), json!(1))
}

#[tokio::test]
async fn of_a_batch_only_those_are_handed_back_that_could_not_be_begun() {
    let stream = Stream::start().await;
    let mut changes = Vec::new();
    for n in 0..4 {
        changes.push(stream.change(&format!("crm{n}")).await);
    }
    let records: Vec<Value> = changes.iter().map(|(_, change)| change.clone()).collect();

    // 1. The table is down for two of them.
    for n in [1, 3] {
        let update = Match::operation("UpdateItem").containing(&changes[n].0);
        stream.world.table_calls.on(update, Fault::internal_error());
    }
    let answer = stream.invoke(&records).await.unwrap();
    assert_eq!(answer, failed(&[number(&records[1]), number(&records[3])]));
    assert_eq!(stream.calls(), 2);
    for (n, (id, _)) in changes.iter().enumerate() {
        let expected = if n % 2 == 0 { delivered() } else { (json!("PENDING"), json!(0)) };
        assert_eq!(stream.tries(id).await, expected);
    }

    // 2. Lambda hands over all from the first of them on: it is back, and nobody is told twice.
    stream.world.table_calls.clear();
    assert_eq!(stream.invoke(&records[1..]).await.unwrap(), none());
    for (id, _) in &changes {
        assert_eq!(stream.tries(id).await, delivered());
    }
    assert_eq!(stream.calls(), 4);

    // 3. A destination's refusal is none of the stream's.
    let (id, change) = stream.change("gone").await;
    stream.world.destinations.next(Kind::Webhook, Behaviour::status(503));
    assert_eq!(stream.invoke(&[change]).await.unwrap(), none());
    assert_eq!(stream.tries(&id).await, (json!("PENDING"), json!(1)));
}

#[tokio::test]
async fn what_is_no_request_is_passed_over_and_what_cannot_be_read_is_read_from_the_table() {
    let stream = Stream::start().await;
    let (id, change) = stream.change("crm").await;
    let with = |path: &str, value: Value| {
        let mut changed = change.clone();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };

    // 1. A month's counter; a key that is none of ours; no key.
    let counter = json!({ "requestID": { "S": "budget#2026-11" }, "posts": { "N": "7" } });
    let mut others = vec![with("/dynamodb/NewImage", counter.clone()), change.clone()];
    others[0]["dynamodb"]["Keys"] = json!({ "requestID": { "S": "budget#2026-11" } });
    for keys in [json!({ "requestID": { "S": "../x" } }), json!({ "requestID": { "N": "7" } }), json!({})] {
        others.push(with("/dynamodb/Keys", keys));
    }
    others.remove(1);
    let reads = stream.world.table_calls.count("GetItem");
    assert_eq!(stream.invoke(&others).await.unwrap(), none());
    assert_eq!((stream.calls(), stream.world.table_calls.count("GetItem")), (0, reads));

    // 2. The table is down for one that cannot be read from its image: that one is handed back.
    let unreadable = with("/dynamodb/NewImage/status", json!({ "N": "7" }));
    stream.world.table_calls.on(Match::operation("GetItem"), Fault::throttled());
    let answer = stream.invoke(&[others[0].clone(), unreadable.clone()]).await.unwrap();
    assert_eq!(answer, failed(&[number(&unreadable)]));
    stream.world.table_calls.clear();

    // 3. It is back.
    assert_eq!(stream.invoke(&[others[0].clone(), unreadable]).await.unwrap(), none());
    assert_eq!(stream.tries(&id).await, delivered());

    // 4. Without an image, or with that of another form.
    for image in [Value::Null, json!({}), json!({ "destinations": { "S": "none" } })] {
        let (id, mut change) = stream.change("crm").await;
        change["dynamodb"]["NewImage"] = image;
        assert_eq!(stream.invoke(&[change]).await.unwrap(), none());
        assert_eq!(stream.tries(&id).await, delivered());
    }
    assert_eq!(stream.calls(), 4);
}

#[tokio::test]
async fn a_change_of_long_ago_does_nothing_that_was_done_or_undone_since() {
    let stream = Stream::start().await;
    let bearer = [("authorization", stories::BEARER)];
    let delete = async |id: &str| {
        let path = format!("/highlights/{id}");
        stream.world.call(reqwest::Method::DELETE, &path, &bearer, Value::Null).await
    };

    // 1. Delivered by the sweep since, or given up.
    let (done, change) = stream.change("crm").await;
    stream.world.sweep_deliveries().await;
    stream.world.destinations.next(Kind::Webhook, Behaviour::status(410));
    let (refused, other) = stream.change("gone").await;
    stream.world.sweep_deliveries().await;
    let items = [&done, &refused].map(|id| stream.world.item(id));
    assert_eq!(stream.invoke(&[change.clone(), other, change]).await.unwrap(), none());
    assert_eq!([&done, &refused].map(|id| stream.world.item(id)), items);
    assert_eq!(stream.calls(), 2);

    // 2. Deleted since.
    let (gone, change) = stream.change("crm").await;
    delete(&gone).await;
    assert_eq!(stream.invoke(&[change]).await.unwrap(), none());
    assert_eq!((stream.calls(), stream.world.item(&gone)), (2, Value::Null));

    // 3. The same twice in one batch.
    let (twice, change) = stream.change("crm").await;
    assert_eq!(stream.invoke(&[change.clone(), change.clone()]).await.unwrap(), none());
    assert_eq!((stream.calls(), stream.tries(&twice).await), (3, delivered()));
}

#[tokio::test]
async fn what_is_no_event_fails_by_name_and_does_nothing() {
    let stream = Stream::start().await;
    let (id, change) = stream.change("crm").await;
    let before = stream.world.item(&id);
    let without = |path: &str, name: &str| {
        let mut changed = change.clone();
        changed.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(name);
        json!({ "Records": [change, changed] })
    };
    let mut of_another = change.clone();
    of_another["eventSource"] = json!("aws:kinesis");
    for event in [
        without("", "dynamodb"),
        without("", "eventSource"),
        without("/dynamodb", "Keys"),
        without("/dynamodb", "SequenceNumber"),
        json!({ "Records": [change, of_another] }),
        json!({ "Records": {} }),
        json!({ "Records": [7] }),
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": "{}" }] }),
        json!({ "userID": "1" }),
        json!({ "job": "sleep" }),
        json!({ "job": ["sweep"] }),
        json!({ "job": "try" }),
        json!({}),
        json!([]),
        json!(null),
        json!("sweep"),
    ] {
        let error = stream.world.webhook.invoke(event.clone()).await.unwrap_err();
        assert_eq!(error.error_type, "InvalidRequest", "{event}");
        assert!(error.error_message.contains("{\"job\":\"sweep\"}"), "{error}");
    }
    assert_eq!((stream.calls(), stream.world.item(&id)), (0, before));
    assert_eq!(stream.invoke(&[]).await.unwrap(), none());
    assert_eq!(stream.invoke(&[change]).await.unwrap(), none());
    assert_eq!(stream.tries(&id).await, delivered());
}

fn try_out(destination: Value) -> Value {
    json!({ "job": "try", "destination": destination })
}

#[tokio::test]
async fn a_destination_is_tried_out_with_a_sample_and_without_the_table() {
    let world = World::start().await;
    let id = world.ask(json!({ "userID": "1", "webhookURL": world.hook("crm") })).await;
    world.wait_for(&id, "READY").await;
    let before = (world.table.items().unwrap(), world.table_calls.calls().len());
    world.table_calls.on(Match::any(), Fault::CutBefore);
    let hook =
        || try_out(json!({ "type": "webhook", "url": world.hook("crm?token=canary-0123456789abcdef") }));

    // 1. It is there, and gets what a request's destinations get.
    let tried = world.webhook.invoke(hook()).await.unwrap();
    let well = json!({ "delivered": true, "externalID": null, "error": null, "wouldBeRetried": false });
    assert_eq!(tried, well);
    let sample = &world.destinations.received()[0];
    assert!(sample.accepted, "{sample:#?}");
    let result = &sample.body["result"];
    assert!(result["highlights"].as_str().unwrap().contains("This is a sample"), "{result}");
    assert_eq!((&sample.body["status"], result["sessions"].as_array().unwrap().len()), (&json!("READY"), 1));
    // Each sample is another: a receiver that tells repeats by the id takes it.
    world.webhook.invoke(hook()).await.unwrap();
    let ids = world.destinations.received();
    assert_ne!(ids[0].headers["webhook-id"], ids[1].headers["webhook-id"]);

    // 2. It refuses, or is down: why, and whether it would be tried again.
    for (behaviour, error, again) in [
        (Behaviour::status(404), "the webhook answered 404", false),
        (Behaviour::status(410).body(r#"{"error":"gone"}"#), "the webhook answered 410: gone", false),
        (Behaviour::status(503).body("busy"), "the webhook answered 503: busy", true),
        (Behaviour::CutBefore, "no answer", true),
        (
            Behaviour::status(400).body("no canary-0123456789abcdef"),
            "the webhook answered 400: no (secret)",
            false,
        ),
    ] {
        world.destinations.next(Kind::Webhook, behaviour);
        let tried = world.webhook.invoke(hook()).await.unwrap();
        let badly =
            json!({ "delivered": false, "externalID": null, "error": error, "wouldBeRetried": again });
        assert_eq!(tried, badly);
    }
    // What would be skipped is tried all the same: it is asked for.
    let skipping = try_out(json!({ "type": "webhook", "url": world.hook("crm"), "whenEmpty": "skip" }));
    assert_eq!(world.webhook.invoke(skipping).await.unwrap(), well);

    // 3. The table has heard nothing of all this.
    assert_eq!((world.table.items().unwrap(), world.table_calls.calls().len()), before);
    assert!(!world.output().contains("canary-0123456789"));
}

#[tokio::test]
async fn what_is_no_destination_cannot_be_tried_out_and_its_bad_field_is_named() {
    let world = World::start().await;
    for (destination, named) in [
        (json!({ "type": "webhook" }), "url is missing"),
        (json!({ "type": "webhook", "url": "crm" }), "url must be an absolute URL"),
        (json!({ "type": "webhook", "url": "ftp://example.com/" }), "url must be an https URL"),
        (json!({ "type": "webhook", "url": "https://user:canary@example.com/" }), "url must not carry"),
        (
            json!({ "type": "webhook", "url": world.hook("crm"), "onFailure": false }),
            "onFailure must not be false",
        ),
        (json!({ "type": "webhook", "url": world.hook("crm"), "colour": "red" }), "colour"),
        (json!({ "type": "zendesk", "ticketID": "canary" }), "ticketID"),
        (json!({ "type": "fax" }), "type is unknown"),
        (json!({ "url": world.hook("crm") }), "type is missing"),
        (json!({}), "type is missing"),
        (json!(null), "destinations/0"),
        (json!("canary"), "destinations/0"),
        (json!([{ "type": "webhook", "url": world.hook("crm") }]), "destinations/0"),
    ] {
        let error = world.webhook.invoke(try_out(destination.clone())).await.unwrap_err();
        assert_eq!(error.error_type, "InvalidRequest", "{destination}");
        assert!(error.error_message.contains(named), "{destination}: {error}");
        assert!(!error.error_message.contains("canary"), "{error}");
    }
    assert!(world.destinations.received().is_empty() && world.table.items().unwrap().is_empty());

    // One that is not configured is, but nobody is called.
    let secrets = json!({ "callbackKey": stories::CALLBACK_KEY, "apiTokens": { "ops": stories::API_TOKEN } });
    let bare = world.another_webhook(&[("SECRETS_JSON", &secrets.to_string())], Duration::from_secs(30));
    let hook = json!({ "type": "webhook", "url": world.hook("crm") });
    let tried = bare.invoke(try_out(hook)).await.unwrap();
    assert_eq!(tried["error"], "not configured: destinations.webhook is missing from the secret");
    assert_eq!((&tried["delivered"], &tried["wouldBeRetried"]), (&json!(false), &json!(false)));
    assert!(world.destinations.received().is_empty());
}
