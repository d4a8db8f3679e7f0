//! The fullest record: everything at its limit at once still fits into an item.

use crate::world::{START, World, after, config, id, new_request, origin};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use model::delivery::{
    Delivery, DeliveryAnswer, DeliveryKey, DeliveryState, MAX_ERROR_BYTES, OutcomeKind, Progress,
};
use model::destination::{Destination, MAX_BYTES_IN_RECORD, MAX_IN_RECORD, parse_defaults};
use model::record::{Attempt, AttemptState, Record, Status};
use model::request::{Question, RequestRules, Subject, TimeRange};
use model::result::MAX_STORED_BYTES;
use model::rules::Rules;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// As many destinations as a record gathers, and nearly as long.
fn destinations() -> Vec<Destination> {
    let one = |n| {
        let json = json!([{ "type": "stepFunctions", "taskToken": format!("{n:02}{}", "t".repeat(900)) }]);
        parse_defaults(&json.to_string(), &RequestRules::default().destinations).unwrap()
    };
    let all: Vec<_> = (0..MAX_IN_RECORD).flat_map(one).collect();
    let bytes = serde_json::to_string(&all).unwrap().len();
    assert!(bytes <= MAX_BYTES_IN_RECORD && bytes > MAX_BYTES_IN_RECORD - 1_500, "{bytes}");
    all
}

fn fullest() -> Record {
    let wide = |count| "\u{1f680}".repeat(count);
    let question = Question {
        subject: Subject::Email(wide(1024)),
        question: Some(wide(4000)),
        time_range: Some(TimeRange { start_ms: 0, end_ms: i64::MAX }),
        metadata: BTreeMap::from([("name".to_owned(), "v".repeat(2_030))]),
    };
    let rules = Rules { max_attempts: 20, ..Rules::default() };
    let new = new_request(question, destinations());
    let mut record = Record::open(id("full"), origin("run"), new, Some("2026-11".into()), START, &rules);
    let log_rocket_id = "f".repeat(256);
    record.attempt = rules.max_attempts;
    let attempt = Attempt {
        started_at: START,
        state: AttemptState::Abandoned,
        log_rocket_request_id: Some(log_rocket_id.clone()),
        next_at: START,
        reserved: Some("2026-11".into()),
    };
    record.attempts = (1..=rules.max_attempts).map(|number| (number, attempt.clone())).collect();
    record.log_rocket_request_id = Some(log_rocket_id);
    record.status = Status::Ready;
    record.completed_at = Some(START);
    record.result_gzip = Some(ByteBuf::from(vec![7; MAX_STORED_BYTES]));
    record.webhook_due_at = Some(START);
    record.webhook_due_since = Some(START);
    for destination in 0..MAX_IN_RECORD {
        let told = Delivery {
            state: DeliveryState::Failed,
            tries: 9,
            next_at: START,
            due_since: START,
            in_flight_until: None,
            delivered_at: None,
            last_error: Some("e".repeat(MAX_ERROR_BYTES)),
            progress: Progress::default(),
        };
        record.deliveries.insert(DeliveryKey { destination, outcome: OutcomeKind::Failure }, told);
    }
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_everything_at_its_limit_is_delivered_and_marked() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    let record = world.given(fullest()).await;
    let aws::table::Claimed { mut record, tries, .. } =
        table.claim_deliveries(record, after(1), &rules).await.unwrap().unwrap();
    assert_eq!(tries.len(), MAX_IN_RECORD);
    let progress = Progress { sent: 9, external_id: Some("x".repeat(80)) };
    let error = "e".repeat(1_000);
    for this in &tries {
        let answer = DeliveryAnswer::Refused { error: error.clone(), progress: progress.clone() };
        let changed = table.change(record, |record| record.end_delivery(this, &answer, 0.5, after(2))).await;
        let aws::table::Changed::Written(written) = changed.unwrap() else { panic!("not written") };
        record = *written;
    }
    assert!(world.stored(&record.request_id).await.unwrap() == record);
}

/// All names in it, at every depth, that expressions spell out: those with a capital inside.
fn spelled_out(json: &Value, names: &mut BTreeSet<String>) {
    for (name, value) in json.as_object().into_iter().flatten() {
        if name.bytes().all(|letter| letter.is_ascii_alphabetic())
            && name.bytes().any(|letter| letter.is_ascii_uppercase())
        {
            names.insert(name.clone());
        }
        spelled_out(value, names);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_that_is_spelled_out_is_reserved() {
    let mut names = BTreeSet::from(["requestDueAt", "requestDueSince", "streamHint"].map(str::to_owned));
    spelled_out(&serde_json::to_value(fullest()).unwrap(), &mut names);
    assert!(["createdAt", "logRocketRequestID", "nextAt"].iter().all(|name| names.contains(*name)));
    let world = World::start().await;
    let client = Client::new(&config(world.emulator.endpoint()));
    let read = async |name: &str| {
        let read = client.get_item().table_name(world.emulator.name()).projection_expression(name);
        read.key("requestID", AttributeValue::S("none".to_owned())).send().await
    };
    assert!(read("status").await.is_err());
    for name in names {
        assert!(read(&name).await.is_ok(), "{name}");
    }
}
