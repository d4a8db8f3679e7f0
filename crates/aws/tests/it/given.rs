//! Generated records: any value in any field that the table can hold, whether or not a history leads there.

use model::delivery::{Delivery, DeliveryKey, DeliveryState, OutcomeKind, Progress};
use model::destination::{Destination, HubspotObject, Target, WhenEmpty};
use model::id::RequestId;
use model::record::{Attempt, AttemptState, Failure, FailureCode, Record, Status};
use model::request::{Question, Subject, TimeRange};
use model::time::Time;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9.]{0,12}", "\\PC{0,24}", Just("\"\\\n\u{0}🚀 = :v0".to_owned())]
}

fn time() -> impl Strategy<Value = Time> {
    (1_700_000_000_000..1_900_000_000_000i64).prop_map(Time)
}

pub fn questions() -> impl Strategy<Value = Question> {
    let subject = (any::<bool>(), text())
        .prop_map(|(is_email, text)| if is_email { Subject::Email(text) } else { Subject::Id(text) });
    let range =
        (0..1_000_000i64, 1_000_000..i64::MAX).prop_map(|(start_ms, end_ms)| TimeRange { start_ms, end_ms });
    // A name is never empty: DynamoDB would refuse it, and so does the parser.
    let names = text().prop_filter("a name", |name| !name.is_empty());
    (subject, option::of(text()), option::of(range), btree_map(names, text(), 0..4)).prop_map(
        |(subject, question, time_range, metadata)| Question { subject, question, time_range, metadata },
    )
}

pub fn destinations() -> impl Strategy<Value = Destination> {
    let objects =
        vec![HubspotObject::Contact, HubspotObject::Company, HubspotObject::Deal, HubspotObject::Ticket];
    let target = prop_oneof![
        (text(), option::of(text()))
            .prop_map(|(channel, thread_ts)| Target::SlackChannel { channel, thread_ts }),
        text().prop_map(|webhook| Target::SlackWebhook { webhook }),
        text().prop_map(|ticket_id| Target::Zendesk { ticket_id }),
        text().prop_map(|conversation_id| Target::Intercom { conversation_id }),
        (select(objects), text()).prop_map(|(object, object_id)| Target::Hubspot { object, object_id }),
        text().prop_map(|record_id| Target::Salesforce { record_id }),
        text().prop_map(|webhook| Target::Teams { webhook }),
        text().prop_map(|url| Target::Webhook { url }),
        option::of(text()).prop_map(|bus| Target::EventBridge { bus }),
        text().prop_map(|task_token| Target::StepFunctions { task_token }),
    ];
    let when_empty = select(vec![WhenEmpty::Skip, WhenEmpty::Send]);
    (target, any::<bool>(), when_empty).prop_map(|(target, on_failure, when_empty)| Destination {
        target,
        on_failure,
        when_empty,
    })
}

/// The marks of a few deliveries, in any state.
fn deliveries() -> impl Strategy<Value = BTreeMap<DeliveryKey, Delivery>> {
    let key = (0..20usize, select(vec![OutcomeKind::Failure, OutcomeKind::Result]))
        .prop_map(|(destination, outcome)| DeliveryKey { destination, outcome });
    let states =
        vec![DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Skipped];
    let times = (time(), time(), option::of(time()), option::of(time()));
    let rest = (option::of(text()), option::of(text()), any::<u32>());
    let delivery = (select(states), any::<u32>(), times, rest).prop_map(|(state, tries, times, rest)| {
        let (next_at, due_since, in_flight_until, delivered_at) = times;
        let (last_error, external_id, sent) = rest;
        let progress = Progress { sent, external_id };
        Delivery { state, tries, next_at, due_since, in_flight_until, delivered_at, last_error, progress }
    });
    btree_map(key, delivery, 0..4)
}

fn statuses() -> impl Strategy<Value = Status> {
    select(vec![Status::Pending, Status::Expired, Status::Failed, Status::Ready])
}

fn failures() -> impl Strategy<Value = Failure> {
    let codes = select(vec![
        FailureCode::LogRocketRefused,
        FailureCode::LogRocketFailed,
        FailureCode::ResultTooLarge,
        FailureCode::Budget,
        FailureCode::Expired,
    ]);
    (codes, text()).prop_map(|(code, message)| Failure { code, message })
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let states = select(vec![
        AttemptState::Unknown,
        AttemptState::Open,
        AttemptState::NotTaken,
        AttemptState::Failed,
        AttemptState::Abandoned,
        AttemptState::Done,
    ]);
    (time(), states, option::of(text()), time(), option::of("2026-(0[1-9]|1[0-2])")).prop_map(
        |(started_at, state, log_rocket_request_id, next_at, reserved)| Attempt {
            started_at,
            state,
            log_rocket_request_id,
            next_at,
            reserved,
        },
    )
}

/// A record of this id, created then.
pub fn record(request_id: RequestId, created_at: Time) -> impl Strategy<Value = Record> {
    let shard = request_id.shard(model::record::SHARDS).to_string();
    let asked = (questions(), vec(destinations(), 0..6), text(), text(), text());
    let stands = (
        statuses(),
        option::of(failures()),
        option::of(text()),
        option::of(vec(any::<u8>(), 0..300)),
        option::of(time()),
        time(),
    );
    let works = (
        vec(attempts(), 1..5),
        option::of("[!-~]{1,64}"),
        option::of((time(), time())),
        any::<u32>(),
        option::of((time(), time())),
        (any::<bool>(), any::<bool>(), deliveries()),
        1_700_000_000..1_900_000_000i64,
        1..u64::MAX,
    );
    (asked, stands, works).prop_map(move |(asked, stands, works)| {
        let (request, destinations, caller, opening, fingerprint) = asked;
        let (status, failure, result, gzip, completed_at, pending_until) = stands;
        let (attempts, log_rocket_request_id, request_due, tries, webhook_due, delivering, ..) = works;
        let (.., expires_at, version) = works;
        let (hint, promised, deliveries) = delivering;
        Record {
            request_id: request_id.clone(),
            version,
            status,
            caller,
            opening,
            fingerprint,
            subject_hash: request.subject.hash(),
            ask_hash: request.hash(),
            request,
            webhook_shard: (!destinations.is_empty()).then(|| shard.clone()),
            destinations,
            created_at,
            pending_until,
            promised,
            completed_at,
            failure,
            result,
            result_gzip: gzip.map(ByteBuf::from),
            attempt: u32::try_from(attempts.len()).unwrap(),
            attempts: (1..).zip(attempts).collect(),
            log_rocket_request_id,
            request_shard: shard.clone(),
            request_due_at: request_due.map(|(at, _)| at),
            request_due_since: request_due.map(|(_, since)| since),
            request_tries: tries,
            webhook_due_at: webhook_due.map(|(at, _)| at),
            webhook_due_since: webhook_due.map(|(_, since)| since),
            stream_hint: hint.then(|| "webhook".to_owned()),
            deliveries,
            expires_at,
        }
    })
}
