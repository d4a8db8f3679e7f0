//! Over the embedded table and its HTTP endpoint; the function is a script, the emulated echo, or a stub of
//! `cargo lambda watch`.

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::State as Shelf;
use axum::http::StatusCode;
use axum::routing::post;

use super::*;
use crate::lambda::Function;
use crate::lambda::tests::echo_binary;
use crate::serve::Server;
use crate::table::tests::call;
use crate::template::Template;

/// Long enough for a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

const TEMPLATE: &str = r#"
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: requests
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: requestID, AttributeType: S }]
      KeySchema: [{ AttributeName: requestID, KeyType: HASH }]
      StreamSpecification: { StreamViewType: NEW_IMAGE }
      TimeToLiveSpecification: { AttributeName: expiresAt, Enabled: true }
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref WebhookFunction
      EventSourceArn: !GetAtt Table.StreamArn
      StartingPosition: LATEST
      FunctionResponseTypes: [ReportBatchItemFailures]
      DestinationConfig: { OnFailure: { Destination: !GetAtt FailedEvents.Arn } }
"#;

const HINTED: &str =
    r#"{"eventName":["INSERT","MODIFY"],"dynamodb":{"NewImage":{"streamHint":{"S":["webhook"]}}}}"#;

struct World {
    table: Table,
    source: EventSource,
}

impl World {
    /// With the template's mapping as `adjust` leaves it, and a function that answers as `answer` says to the n-th
    /// invocation, counted from 1.
    async fn start(
        adjust: impl FnOnce(&mut Mapping),
        answer: impl Fn(usize, &Value) -> Result<Value, FunctionError> + Send + Sync + 'static,
    ) -> Self {
        let count = Mutex::new(0);
        let invoker = Invoker::closure(move |event| {
            let number = {
                let mut count = lock(&count);
                *count += 1;
                *count
            };
            std::future::ready(answer(number, &event))
        });
        Self::with_invoker(adjust, invoker).await
    }

    async fn with_invoker(adjust: impl FnOnce(&mut Mapping), invoker: Invoker) -> Self {
        let (table, mut mapping) = parts().await;
        adjust(&mut mapping);
        let source = EventSource::start(&table, mapping, invoker).unwrap();
        Self { table, source }
    }

    async fn put(&self, item: Value) {
        put(&self.table, item).await;
    }

    /// Puts them so that they are read at once, and waits until they are handled.
    async fn put_together(&self, ids: &[&str]) {
        self.source.pause();
        for id in ids {
            self.put(json!({"requestID": {"S": id}})).await;
        }
        self.source.resume();
        self.settle().await;
    }

    async fn settle(&self) {
        assert!(self.source.caught_up(PATIENCE).await, "{:?}", self.source);
    }

    /// The ids of each invocation's records.
    fn delivered(&self) -> Vec<Vec<String>> {
        self.source.invocations().iter().map(ids).collect()
    }
}

async fn parts() -> (Table, Mapping) {
    let template = Template::parse(TEMPLATE).unwrap();
    let table = Table::from_template(&template).await.unwrap();
    (table, Mapping::from_template(&template).unwrap().unwrap())
}

async fn put(table: &Table, item: Value) {
    let (status, answer) = call(table, "PutItem", json!({"TableName": "requests", "Item": item})).await;
    assert_eq!(status, 200, "{answer}");
}

fn ids(event: &Value) -> Vec<String> {
    let id = |record: &Value| record["dynamodb"]["Keys"]["requestID"]["S"].as_str().unwrap().to_owned();
    event["Records"].as_array().unwrap().iter().map(id).collect()
}

fn sequence(event: &Value, id: &str) -> String {
    let records = event["Records"].as_array().unwrap();
    let record = records.iter().find(|record| record["dynamodb"]["Keys"]["requestID"]["S"] == id).unwrap();
    record["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned()
}

/// The answer that says so of those of `failing` that the event has.
fn failures(event: &Value, failing: &[&str]) -> Value {
    let failing = ids(event).into_iter().filter(|id| failing.contains(&id.as_str()));
    let failures: Vec<_> = failing.map(|id| json!({"itemIdentifier": sequence(event, &id)})).collect();
    json!({"batchItemFailures": failures})
}

fn broken() -> FunctionError {
    FunctionError { error_type: "Broken".to_owned(), error_message: "told to".to_owned() }
}

fn strings(batches: &[&[&str]]) -> Vec<Vec<String>> {
    batches.iter().map(|batch| batch.iter().map(|&id| id.to_owned()).collect()).collect()
}

#[tokio::test]
async fn a_record_arrives_in_awss_shape() {
    let world = World::start(|_| {}, |_, _| Ok(Value::Null)).await;
    let before = now_ms() / 1000;
    let item = json!({
        "requestID": {"S": "r-1"}, "version": {"N": "12"}, "result": {"B": "AAEC/w=="}, "known": {"SS": ["b", "a"]},
        "sizes": {"NS": ["2", "1"]}, "blobs": {"BS": ["AQ==", "AA=="]}, "failure": {"NULL": true},
        "done": {"BOOL": false}, "attempts": {"L": [{"M": {"startedAt": {"N": "1795000000123"}}}, {"S": "ü"}]},
        "none": {"M": {}},
    });
    world.put(item.clone()).await;
    world.settle().await;

    let mut events = world.source.invocations();
    assert_eq!(events.len(), 1);
    let mut event = events.remove(0);
    let record = &mut event["Records"][0];
    // What is drawn anew each time.
    let id = record["eventID"].take();
    let id = id.as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let at = record["dynamodb"]["ApproximateCreationDateTime"].take();
    assert!((before..=now_ms() / 1000).contains(&at.as_u64().unwrap()), "{at}");
    let sequence = record["dynamodb"]["SequenceNumber"].take();
    let sequence = sequence.as_str().unwrap();
    assert!(sequence.len() == 21 && sequence.bytes().all(|byte| byte.is_ascii_digit()), "{sequence}");
    let arn = record["eventSourceARN"].take();
    let label =
        arn.as_str().unwrap().strip_prefix("arn:aws:dynamodb:us-east-1:000000000000:table/requests/stream/");
    let label = label.unwrap();
    assert!(label.len() == "2016-12-01T00:00:00.000".len() && label.starts_with("20"), "{label}");

    // Sets come sorted, numbers in an order of DynamoDB's own.
    let mut image = item;
    image["known"] = json!({"SS": ["a", "b"]});
    image["blobs"] = json!({"BS": ["AA==", "AQ=="]});
    let mut numbers: Vec<Value> =
        serde_json::from_value(record["dynamodb"]["NewImage"]["sizes"]["NS"].take()).unwrap();
    numbers.sort_by_key(Value::to_string);
    record["dynamodb"]["NewImage"]["sizes"]["NS"] = json!(numbers);
    image["sizes"] = json!({"NS": ["1", "2"]});
    let keys = json!({"requestID": {"S": "r-1"}});
    let size = record["dynamodb"]["SizeBytes"].take();
    assert!(size.as_u64().unwrap() > 24, "{size}");
    assert_eq!(
        event,
        json!({"Records": [{
            "eventID": null, "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1", "eventSourceARN": null,
            "dynamodb": {
                "ApproximateCreationDateTime": null, "Keys": keys, "NewImage": image, "SequenceNumber": null,
                "SizeBytes": null, "StreamViewType": "NEW_IMAGE",
            },
        }]})
    );
}

#[tokio::test]
async fn a_records_size_is_that_of_its_keys_and_its_image() {
    let world = World::start(|_| {}, |_, _| Ok(Value::Null)).await;
    world.put(json!({"requestID": {"S": "r-1"}, "streamHint": {"S": "webhook"}})).await;
    world.settle().await;

    let record = &world.source.invocations()[0]["Records"][0]["dynamodb"];
    let key = "requestID".len() + "r-1".len();
    assert_eq!(record["SizeBytes"], key + key + "streamHint".len() + "webhook".len());
}

#[tokio::test]
async fn only_what_the_filter_takes_arrives() {
    let filter = |mapping: &mut Mapping| mapping.filters = vec![Filter::parse(HINTED).unwrap()];
    let world = World::start(filter, |_, _| Ok(Value::Null)).await;
    let update = async |expression: &str, values: Value| {
        let update = json!({
            "TableName": "requests", "Key": {"requestID": {"S": "r-1"}}, "UpdateExpression": expression,
            "ExpressionAttributeValues": values,
        });
        let (status, answer) = call(&world.table, "UpdateItem", update).await;
        assert_eq!(status, 200, "{answer}");
        world.settle().await;
    };
    world.put(json!({"requestID": {"S": "r-1"}, "version": {"N": "1"}})).await;
    update("SET streamHint = :hint", json!({":hint": {"S": "webhook"}})).await;
    update("SET version = :two REMOVE streamHint", json!({":two": {"N": "2"}})).await;
    update("SET streamHint = :hint", json!({":hint": {"S": "request"}})).await;
    call(&world.table, "DeleteItem", json!({"TableName": "requests", "Key": {"requestID": {"S": "r-1"}}}))
        .await;
    world.put(json!({"requestID": {"S": "r-2"}, "streamHint": {"S": "webhook"}})).await;
    world.settle().await;

    let events = world.source.invocations();
    assert_eq!(events.iter().map(ids).collect::<Vec<_>>(), strings(&[&["r-1"], &["r-2"]]));
    assert_eq!(events[0]["Records"][0]["eventName"], "MODIFY");
    assert_eq!(events[1]["Records"][0]["eventName"], "INSERT");
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_no_record() {
    let (table, mapping) = parts().await;
    put(&table, json!({"requestID": {"S": "old"}, "known": {"SS": ["a", "b"]}})).await;
    let source =
        EventSource::start(&table, mapping, Invoker::closure(|_| async { Ok(Value::Null) })).unwrap();
    let world = World { table, source };

    world.put(json!({"requestID": {"S": "old"}, "known": {"SS": ["b", "a"]}})).await;
    world.put(json!({"requestID": {"S": "new"}})).await;
    world.put(json!({"requestID": {"S": "new"}})).await;
    let key = json!({"requestID": {"S": "new"}});
    let touch = json!({
        "TableName": "requests", "Key": key, "UpdateExpression": "REMOVE streamHint",
    });
    call(&world.table, "UpdateItem", touch).await;
    call(&world.table, "DeleteItem", json!({"TableName": "requests", "Key": key})).await;
    call(&world.table, "DeleteItem", json!({"TableName": "requests", "Key": key})).await;
    world.put(json!({"requestID": {"S": "new"}})).await;
    world.settle().await;

    let events = world.source.invocations();
    let records = events.iter().flat_map(|event| event["Records"].as_array().unwrap());
    let names: Vec<_> = records.map(|record| record["eventName"].as_str().unwrap()).collect();
    assert_eq!(names, ["INSERT", "REMOVE", "INSERT"]);
}

#[tokio::test]
async fn an_expiry_carries_dynamodbs_identity_and_a_deletion_none() {
    let world = World::start(|_| {}, |_, _| Ok(Value::Null)).await;
    world.put(json!({"requestID": {"S": "expired"}, "expiresAt": {"N": "1"}})).await;
    world.put(json!({"requestID": {"S": "deleted"}})).await;
    world.settle().await;
    let seen = world.delivered().len();

    assert_eq!(world.table.database().sweep_ttl().unwrap(), 1);
    world.settle().await;
    call(
        &world.table,
        "DeleteItem",
        json!({"TableName": "requests", "Key": {"requestID": {"S": "deleted"}}}),
    )
    .await;
    world.settle().await;

    let events = world.source.invocations();
    let [expiry, deletion] = [&events[seen]["Records"][0], &events[seen + 1]["Records"][0]];
    assert_eq!((&expiry["eventName"], &deletion["eventName"]), (&json!("REMOVE"), &json!("REMOVE")));
    assert_eq!(expiry["userIdentity"], json!({"type": "Service", "principalId": "dynamodb.amazonaws.com"}));
    assert_eq!(deletion.get("userIdentity"), None);
    assert_eq!(expiry["dynamodb"].get("NewImage"), None);
    assert_eq!(expiry["dynamodb"]["Keys"], json!({"requestID": {"S": "expired"}}));
}

/// Each of ten items is counted up ten times, all items at once.
async fn count_up(table: &Table) {
    let counting = (0..10).map(|item| async move {
        for _ in 0..10 {
            let update = json!({
                "TableName": "requests", "Key": {"requestID": {"S": format!("r-{item}")}},
                "UpdateExpression": "ADD version :one", "ExpressionAttributeValues": {":one": {"N": "1"}},
            });
            assert_eq!(call(table, "UpdateItem", update).await.0, 200);
        }
    });
    all_at_once(counting).await;
}

/// Runs them in this task, so that they may borrow.
async fn all_at_once(all: impl IntoIterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// The versions of each item in the order that they came in.
fn versions(events: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in events.iter().flat_map(|event| event["Records"].as_array().unwrap()) {
        let change = &record["dynamodb"];
        let id = change["Keys"]["requestID"]["S"].as_str().unwrap().to_owned();
        let version = change["NewImage"]["version"]["N"].as_str().unwrap().parse().unwrap();
        versions.entry(id).or_default().push(version);
    }
    versions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_of_writers_at_once_come_in_the_order_of_the_writes() {
    let world = World::start(|mapping| mapping.batch_size = 7, |_, _| Ok(Value::Null)).await;
    count_up(&world.table).await;
    world.settle().await;

    let events = world.source.invocations();
    let versions = versions(&events);
    assert_eq!(versions.len(), 10);
    assert!(versions.values().all(|versions| versions.iter().copied().eq(1..=10)), "{versions:?}");
    let records = events.iter().flat_map(|event| event["Records"].as_array().unwrap());
    let sequences: Vec<_> =
        records.map(|record| record["dynamodb"]["SequenceNumber"].as_str().unwrap()).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    assert!(events.iter().all(|event| event["Records"].as_array().unwrap().len() <= 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_batches_keep_each_items_order_and_do_not_wait_for_each_other() {
    let (others, seen) = watch::channel(0);
    let invoker = Invoker::closure(move |event| {
        let (others, mut seen) = (others.clone(), seen.clone());
        async move {
            if ids(&event).contains(&"slow".to_owned()) {
                seen.wait_for(|seen| *seen >= 3).await.unwrap();
            } else {
                others.send_modify(|others| *others += 1);
            }
            Ok(Value::Null)
        }
    });
    let world =
        World::with_invoker(|mapping| (mapping.parallelization, mapping.batch_size) = (10, 1), invoker).await;
    world.put(json!({"requestID": {"S": "slow"}, "version": {"N": "1"}})).await;
    count_up(&world.table).await;
    world.settle().await;

    let mut versions = versions(&world.source.invocations());
    assert_eq!(versions.remove("slow"), Some(vec![1]));
    assert_eq!(versions.len(), 10);
    assert!(versions.values().all(|versions| versions.iter().copied().eq(1..=10)), "{versions:?}");
}

#[test]
fn an_answer_is_read_as_lambda_reads_it() {
    let record = |sequence: &str| Record {
        sequence: sequence.to_owned(),
        written_at: 0,
        item: 0,
        size: 0,
        event: Value::Null,
    };
    let batch = [record("101"), record("102"), record("103")];
    let failed = |identifiers: Value| {
        let failures: Vec<_> =
            identifiers.as_array().unwrap().iter().map(|id| json!({"itemIdentifier": id})).collect();
        json!({"batchItemFailures": failures})
    };
    let table = [
        (Value::Null, Verdict::Done),
        (json!({}), Verdict::Done),
        (json!({"batchItemFailures": null}), Verdict::Done),
        (json!({"batchItemFailures": []}), Verdict::Done),
        (json!({"statusCode": 200}), Verdict::Done),
        (failed(json!(["102"])), Verdict::FailedFrom(1)),
        (failed(json!(["103", "102"])), Verdict::FailedFrom(1)),
        (failed(json!(["101", "103"])), Verdict::FailedFrom(0)),
        (failed(json!([""])), Verdict::Failed),
        (failed(json!([null])), Verdict::Failed),
        (failed(json!([102])), Verdict::Failed),
        (failed(json!(["103", "999"])), Verdict::Failed),
        (json!({"batchItemFailures": [{"itemIdentifer": "102"}]}), Verdict::Failed),
        (json!({"batchItemFailures": ["102"]}), Verdict::Failed),
        (json!({"batchItemFailures": "102"}), Verdict::Failed),
        (json!("ok"), Verdict::Failed),
        (json!([]), Verdict::Failed),
    ];
    for (answer, expected) in table {
        assert_eq!(verdict(&answer, &batch), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_partial_answer_is_retried_from_the_lowest_failure() {
    let answer = |number, event: &Value| match number {
        1 => Ok(failures(event, &["r-4", "r-2"])),
        2 => Ok(failures(event, &["r-4"])),
        _ => Ok(json!({"batchItemFailures": []})),
    };
    let world = World::start(|mapping| mapping.retries = Some(2), answer).await;
    world.put_together(&["r-1", "r-2", "r-3", "r-4"]).await;

    let expected = [&["r-1", "r-2", "r-3", "r-4"][..], &["r-2", "r-3", "r-4"], &["r-4"]];
    assert_eq!(world.delivered(), strings(&expected));
    assert_eq!(world.source.on_failure(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_partial_answer_counts_only_where_it_is_switched_on() {
    let answer = |_, event: &Value| Ok(failures(event, &["r-1"]));
    let world = World::start(|mapping| mapping.reports_failures = false, answer).await;
    world.put_together(&["r-1"]).await;
    assert_eq!(world.delivered(), strings(&[&["r-1"]]));
}

#[tokio::test]
async fn an_unreadable_answer_fails_the_whole_batch() {
    let answer = |number, _: &Value| Ok(if number == 1 { json!("ok") } else { Value::Null });
    let world = World::start(|_| {}, answer).await;
    world.put_together(&["r-1", "r-2"]).await;
    assert_eq!(world.delivered(), strings(&[&["r-1", "r-2"], &["r-1", "r-2"]]));
}

#[tokio::test]
async fn what_fails_to_the_end_is_told_to_the_destination_and_the_next_batch_goes_on() {
    let answer = |number, _: &Value| if number <= 3 { Err(broken()) } else { Ok(Value::Null) };
    let limits = |mapping: &mut Mapping| (mapping.retries, mapping.batch_size) = (Some(2), 2);
    let world = World::start(limits, answer).await;
    world.put_together(&["r-1", "r-2", "r-3"]).await;

    let (two, one) = (&["r-1", "r-2"][..], &["r-3"][..]);
    assert_eq!(world.delivered(), strings(&[two, two, two, one]));
    let event = &world.source.invocations()[0];
    let mut messages = world.source.on_failure();
    assert_eq!(messages.len(), 1);
    let message = &mut messages[0];
    let id = message["requestContext"]["requestId"].take();
    assert_eq!(id.as_str().unwrap().len(), 36);
    let at = message["timestamp"].take();
    assert_eq!(at.as_str().unwrap().len(), "2019-11-14T00:13:49.717Z".len());
    let arrived: Vec<_> = (0..2)
        .map(|n| {
            iso_seconds(event["Records"][n]["dynamodb"]["ApproximateCreationDateTime"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        *message,
        json!({
            "requestContext": {
                "requestId": null, "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:WebhookFunction",
                "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 3,
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": null,
            "DDBStreamBatchInfo": {
                "shardId": "shardId-00000001-requests",
                "startSequenceNumber": sequence(event, "r-1"),
                "endSequenceNumber": sequence(event, "r-2"),
                "approximateArrivalOfFirstRecord": arrived[0],
                "approximateArrivalOfLastRecord": arrived[1],
                "batchSize": 2,
                "streamArn": event["Records"][0]["eventSourceARN"],
            },
        })
    );
}

#[tokio::test]
async fn of_a_partial_failure_the_rest_alone_is_given_up() {
    let answer = |_, event: &Value| Ok(failures(event, &["r-2"]));
    let world = World::start(|mapping| mapping.retries = Some(1), answer).await;
    world.put_together(&["r-1", "r-2", "r-3"]).await;

    assert_eq!(world.delivered(), strings(&[&["r-1", "r-2", "r-3"], &["r-2", "r-3"]]));
    let messages = world.source.on_failure();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["DDBStreamBatchInfo"]["batchSize"], 2);
    assert_eq!(messages[0]["responseContext"], json!({"statusCode": 200, "executedVersion": "$LATEST"}));
}

#[tokio::test]
async fn without_a_destination_nothing_is_told() {
    let limits = |mapping: &mut Mapping| (mapping.retries, mapping.on_failure) = (Some(0), None);
    let world = World::start(limits, |_, _| Err(broken())).await;
    world.put_together(&["r-1"]).await;
    assert_eq!(world.delivered(), strings(&[&["r-1"]]));
    assert_eq!(world.source.on_failure(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_batch_with_a_bad_record_is_split_until_that_one_alone_is_given_up() {
    let answer = |_, event: &Value| {
        if ids(event).contains(&"bad".to_owned()) { Err(broken()) } else { Ok(Value::Null) }
    };
    let limits = |mapping: &mut Mapping| (mapping.retries, mapping.bisect) = (Some(1), true);
    let world = World::start(limits, answer).await;
    world.put_together(&["r-1", "r-2", "bad", "r-4", "r-5"]).await;

    let expected = [
        &["r-1", "r-2", "bad", "r-4", "r-5"][..],
        &["r-1", "r-2", "bad"],
        &["r-1", "r-2"],
        &["bad"],
        &["bad"],
        &["r-4", "r-5"],
    ];
    assert_eq!(world.delivered(), strings(&expected));
    let messages = world.source.on_failure();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["DDBStreamBatchInfo"]["batchSize"], 1);
    let bad = sequence(&world.source.invocations()[0], "bad");
    assert_eq!(messages[0]["DDBStreamBatchInfo"]["startSequenceNumber"], bad);
}

#[tokio::test]
async fn a_partial_answer_splits_where_it_says_and_uses_up_no_retry() {
    let answer = |number, event: &Value| Ok(failures(event, if number == 1 { &["r-3"] } else { &[] }));
    let limits = |mapping: &mut Mapping| (mapping.retries, mapping.bisect) = (Some(0), true);
    let world = World::start(limits, answer).await;
    world.put_together(&["r-1", "r-2", "r-3", "r-4"]).await;

    assert_eq!(world.delivered(), strings(&[&["r-1", "r-2", "r-3", "r-4"], &["r-3", "r-4"]]));
    assert_eq!(world.source.on_failure(), Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_too_old_is_given_up_without_an_invocation() {
    let world =
        World::start(|mapping| mapping.record_age = Some(Duration::ZERO), |_, _| Ok(Value::Null)).await;
    world.source.delay(Duration::from_millis(2100));
    world.put_together(&["r-1", "r-2"]).await;

    assert_eq!(world.delivered(), Vec::<Vec<String>>::new());
    let messages = world.source.on_failure();
    let message = &messages[0];
    assert_eq!(message["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(message["requestContext"]["approximateInvokeCount"], 0);
    assert_eq!(message.get("responseContext"), None);
}

#[tokio::test]
async fn paused_it_delivers_nothing_and_resumed_all_of_it() {
    let world = World::start(|_| {}, |_, _| Ok(Value::Null)).await;
    world.source.pause();
    world.put(json!({"requestID": {"S": "r-1"}})).await;
    world.put(json!({"requestID": {"S": "r-2"}})).await;
    assert!(!world.source.caught_up(Duration::from_millis(100)).await);
    assert_eq!(world.delivered(), Vec::<Vec<String>>::new());

    world.source.resume();
    world.settle().await;
    assert_eq!(world.delivered(), strings(&[&["r-1", "r-2"]]));
}

#[tokio::test]
async fn a_mapping_that_is_not_enabled_starts_paused() {
    let world = World::start(|mapping| mapping.enabled = false, |_, _| Ok(Value::Null)).await;
    world.put(json!({"requestID": {"S": "r-1"}})).await;
    assert!(!world.source.caught_up(Duration::from_millis(100)).await);
    world.source.resume();
    world.settle().await;
    assert_eq!(world.delivered(), strings(&[&["r-1"]]));
}

#[tokio::test]
async fn records_are_lost_and_doubled_on_demand() {
    let world = World::start(|_| {}, |_, _| Ok(Value::Null)).await;
    world.source.drop_next(1);
    world.source.duplicate_next(2);
    world.put_together(&["r-1", "r-2", "r-3", "r-4"]).await;
    assert_eq!(world.delivered(), strings(&[&["r-2", "r-3", "r-4"], &["r-2", "r-3"]]));
}

#[tokio::test]
async fn a_window_gathers_records_until_the_batch_is_full() {
    let window = |mapping: &mut Mapping| {
        (mapping.batch_size, mapping.batching_window) = (3, Duration::from_secs(300));
    };
    let world = World::start(window, |_, _| Ok(Value::Null)).await;
    for id in ["r-1", "r-2"] {
        world.put(json!({"requestID": {"S": id}})).await;
    }
    assert!(!world.source.caught_up(Duration::from_millis(100)).await);
    world.put(json!({"requestID": {"S": "r-3"}})).await;
    world.settle().await;
    assert_eq!(world.delivered(), strings(&[&["r-1", "r-2", "r-3"]]));
}

#[tokio::test]
async fn a_batch_is_no_larger_than_an_event_may_be() {
    let world = World::start(|_| {}, |_, _| Ok(Value::Null)).await;
    let text = "x".repeat(390_000);
    world.source.pause();
    for number in 0..20 {
        world.put(json!({"requestID": {"S": format!("r-{number}")}, "text": {"S": text}})).await;
    }
    world.source.resume();
    world.settle().await;

    let sizes: Vec<_> = world.delivered().iter().map(Vec::len).collect();
    assert_eq!(sizes, [16, 4]);
    assert!(world.source.invocations().iter().all(|event| event.to_string().len() <= LARGEST_EVENT));
}

#[tokio::test]
async fn it_starts_at_the_latest_record_or_at_the_first() {
    let (table, mapping) = parts().await;
    put(&table, json!({"requestID": {"S": "before"}})).await;
    for (position, expected) in
        [(Position::Latest, &["after"][..]), (Position::TrimHorizon, &["before", "after"])]
    {
        let mapping = Mapping { position, ..mapping.clone() };
        let source =
            EventSource::start(&table, mapping, Invoker::closure(|_| async { Ok(Value::Null) })).unwrap();
        assert!(source.caught_up(PATIENCE).await);
        put(&table, json!({"requestID": {"S": "after"}, "at": {"S": format!("{position:?}")}})).await;
        assert!(source.caught_up(PATIENCE).await);
        let delivered: Vec<_> = source.invocations().iter().flat_map(ids).collect();
        assert_eq!(delivered[..1], expected[..1]);
        assert_eq!(delivered.last().map(String::as_str), Some("after"));
    }
}

#[tokio::test]
async fn a_real_function_is_invoked_under_the_id_that_the_destination_is_told() {
    let function = Arc::new(Function::start(&echo_binary(), [("ROLE", "webhook")]));
    let world = World::with_invoker(|_| {}, Invoker::function(function)).await;
    world.put_together(&["r-1"]).await;
    // The echo's answer has no `batchItemFailures`.
    assert_eq!(world.delivered(), strings(&[&["r-1"]]));

    let missing = Arc::new(Function::start(std::path::Path::new("no/such/binary"), [("ROLE", "webhook")]));
    let world = World::with_invoker(|mapping| mapping.retries = Some(1), Invoker::function(missing)).await;
    world.put_together(&["r-1"]).await;
    assert_eq!(world.delivered(), strings(&[&["r-1"], &["r-1"]]));
    let message = &world.source.on_failure()[0];
    let id = message["requestContext"]["requestId"].as_str().unwrap();
    let errors = world.source.errors();
    assert!(errors.len() == 2 && errors[1].error_message.contains(id), "{errors:?}");
}

type Answers = Arc<Mutex<VecDeque<(StatusCode, &'static str)>>>;

/// Gives the next answer of the script, and 200 when there is none left.
async fn next_answer(Shelf(answers): Shelf<Answers>) -> (StatusCode, &'static str) {
    lock(&answers).pop_front().unwrap_or((StatusCode::OK, "null"))
}

#[tokio::test]
async fn over_http_a_functions_error_uses_up_a_retry_and_a_busy_server_none() {
    let error = r#"{"errorType":"Broken","errorMessage":"told to"}"#;
    let answers = Answers::new(Mutex::new(VecDeque::from([
        (StatusCode::NOT_FOUND, r#"{"title":"Missing function"}"#),
        (StatusCode::SERVICE_UNAVAILABLE, ""),
        (StatusCode::INTERNAL_SERVER_ERROR, error),
        (StatusCode::TOO_MANY_REQUESTS, ""),
        (StatusCode::OK, r#"{"batchItemFailures":[]}"#),
    ])));
    let path = "/2015-03-31/functions/webhook/invocations";
    let router = Router::new().route(path, post(next_answer)).with_state(Arc::clone(&answers));
    let server = Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await.unwrap();
    let invoker = Invoker::endpoint(&server.url(), "webhook").unwrap();
    let world = World::with_invoker(|mapping| mapping.retries = Some(1), invoker).await;
    world.put_together(&["r-1"]).await;

    assert_eq!(world.delivered(), strings(&[&["r-1"], &["r-1"]]));
    assert_eq!(world.source.errors(), [broken()]);
    assert_eq!(world.source.on_failure(), Vec::<Value>::new());
    assert!(lock(&answers).is_empty());
}

#[tokio::test]
async fn a_table_that_is_not_there_or_has_no_stream_is_refused() {
    let (_, mapping) = parts().await;
    let text = TEMPLATE.replace("      StreamSpecification: { StreamViewType: NEW_IMAGE }\n", "");
    let table = Table::from_template(&Template::parse(&text).unwrap()).await.unwrap();
    let start =
        |mapping| EventSource::start(&table, mapping, Invoker::closure(|_| async { Ok(Value::Null) }));
    assert!(matches!(start(mapping.clone()), Err(Error::NoStream(_))));
    assert!(matches!(start(Mapping { table: "Other".to_owned(), ..mapping }), Err(Error::NoStream(_))));
}

#[tokio::test]
async fn dropping_it_ends_it() {
    let held = Arc::new(());
    let watched = Arc::downgrade(&held);
    let invoker = Invoker::closure(move |_| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    let world = World::with_invoker(|_| {}, invoker).await;
    world.put(json!({"requestID": {"S": "r-1"}})).await;
    drop(world);

    let ended = async {
        while watched.strong_count() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}
