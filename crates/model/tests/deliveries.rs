//! Deliveries: who is told what and when, and that nothing that happens in between loses or doubles one.

#![cfg(test)]

use model::callback::Report;
use model::delivery::{
    Delivery, DeliveryAnswer, DeliveryKey, DeliveryState, MAX_ERROR_BYTES, MAX_TRIES, OutcomeKind, Progress,
    Try,
};
use model::destination::parse_defaults;
use model::id::RequestId;
use model::record::{Record, Status};
use model::request::{NewRequest, RequestRules};
use model::rules::{News, NewsOutcome, Origin, Received, Rules, kept_until};
use model::time::Time;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const START: Time = Time(1_715_481_030_000);
const LEASE: u64 = 60;

fn after(seconds: u64) -> Time {
    START.plus(Duration::from_secs(seconds))
}

fn rules() -> Rules {
    Rules { max_attempts: 1, ..Rules::default() }
}

fn opened(destinations: &str) -> Record {
    let body = format!(r#"{{"userID":"u","destinations":{destinations}}}"#);
    let new = NewRequest::parse(body.as_bytes(), &RequestRules::default()).unwrap();
    let origin = Origin { caller: "ops".into(), opening: "run".into() };
    Record::open(RequestId::for_key("ops", "1"), origin, new, None, START, &rules())
}

fn ready_news(sessions: usize) -> News {
    let session = json!({ "recordingID": "5-3cde", "sessionID": 0, "highlights": "x" });
    let report = json!({
        "requestID": "id1", "status": "READY",
        "result": { "highlights": "The user checks out.", "sessions": vec![session; sessions] },
    });
    let report = Report::parse(report.to_string().as_bytes()).unwrap();
    news(NewsOutcome::from(report.outcome))
}

fn news(outcome: NewsOutcome) -> News {
    News { opened: START, attempt: 1, log_rocket_request_id: "id1".into(), outcome }
}

fn received(record: &Record, news: &News, now: Time) -> Record {
    match record.receive(news, now, &rules()) {
        Received::Changed(next) => *next,
        other => panic!("{other:?}"),
    }
}

fn ready(destinations: &str) -> Record {
    received(&opened(destinations), &ready_news(1), START)
}

fn failed(destinations: &str) -> Record {
    received(&opened(destinations), &news(NewsOutcome::Failed), START)
}

fn claimed(record: &Record, now: Time) -> (Record, Vec<Try>) {
    record.claim_deliveries(now, &rules()).expect("something is due")
}

fn result_of(destination: usize) -> DeliveryKey {
    DeliveryKey { destination, outcome: OutcomeKind::Result }
}

fn failure_of(destination: usize) -> DeliveryKey {
    DeliveryKey { destination, outcome: OutcomeKind::Failure }
}

fn delivered() -> DeliveryAnswer {
    DeliveryAnswer::Delivered { external_id: Some("42".into()) }
}

fn again() -> DeliveryAnswer {
    DeliveryAnswer::Again { error: "503".into(), retry_after: None, progress: Progress::default() }
}

fn refused(error: &str) -> DeliveryAnswer {
    DeliveryAnswer::Refused { error: error.into(), progress: Progress::default() }
}

fn mark(record: &Record, key: DeliveryKey) -> &Delivery {
    record.deliveries.get(&key).expect("a mark")
}

const SLACK: &str = r#"[{"type":"slack","channel":"C1"}]"#;
const TWO: &str = r#"[{"type":"slack","channel":"C1"},{"type":"webhook","url":"https://example.com"}]"#;
const TOKEN: &str = r#"[{"type":"stepFunctions","taskToken":"t"}]"#;

#[test]
fn a_result_is_due_at_once_and_a_claim_counts_the_try_before_it_is_made() {
    let record = ready(SLACK);
    assert_eq!((record.webhook_due_at, record.stream_hint.as_deref()), (Some(START), Some("webhook")));
    let (record, tries) = claimed(&record, START);
    assert_eq!(tries.len(), 1);
    assert_eq!((tries[0].key, tries[0].until), (result_of(0), after(LEASE)));
    assert_eq!(mark(&record, result_of(0)).tries, 1);
    // Invokes nothing any more, and is nobody else's while the lease holds.
    assert_eq!((record.stream_hint.as_deref(), record.webhook_due_at), (None, Some(after(LEASE))));
    assert_eq!(record.webhook_due_since, Some(START));
    assert!(record.claim_deliveries(after(LEASE - 1), &rules()).is_none());
}

#[test]
fn what_was_delivered_is_marked_and_nothing_is_due() {
    let (record, tries) = claimed(&ready(SLACK), START);
    let record = record.end_delivery(&tries[0], &delivered(), 0.5, after(2)).unwrap();
    let mark = mark(&record, result_of(0));
    assert_eq!((mark.state, mark.delivered_at), (DeliveryState::Delivered, Some(after(2))));
    assert_eq!(mark.progress.external_id.as_deref(), Some("42"));
    assert_eq!((record.webhook_due_at, record.webhook_due_since), (None, None));
    assert!(record.end_delivery(&tries[0], &again(), 0.5, after(3)).is_none());
}

#[test]
fn a_try_that_nobody_ended_is_made_again_when_its_lease_is_over() {
    let (record, _) = claimed(&ready(SLACK), START);
    let (record, tries) = claimed(&record, after(LEASE));
    assert_eq!((tries.len(), mark(&record, result_of(0)).tries), (1, 2));
    // It looks as old as it is.
    assert_eq!(record.webhook_due_since, Some(START));
}

#[test]
fn the_waits_grow_from_ten_seconds_to_half_a_day_give_or_take_a_fifth_and_then_it_is_given_up() {
    let (mut record, mut now, mut waits) = (ready(SLACK), START, Vec::new());
    while let Some(due) = record.webhook_due_at {
        now = due.max(now);
        let (next, tries) = claimed(&record, now);
        record = next.end_delivery(&tries[0], &again(), 0.5, now).unwrap();
        waits.extend(record.webhook_due_at.map(|due| due.since(now).as_secs()));
    }
    assert_eq!(waits, [10, 60, 300, 900, 3_600, 10_800, 21_600, 43_200]);
    let given_up = mark(&record, result_of(0));
    assert_eq!((given_up.state, given_up.tries), (DeliveryState::Failed, MAX_TRIES));
    assert_eq!(given_up.last_error.as_deref(), Some("503"));

    let (record, tries) = claimed(&ready(SLACK), START);
    let due = |jitter| record.end_delivery(&tries[0], &again(), jitter, START).unwrap().webhook_due_at;
    assert_eq!((due(0.0), due(1.0)), (Some(after(8)), Some(after(12))));
}

#[test]
fn the_wait_is_the_later_of_backoff_and_retry_after_a_day_at_most() {
    let (record, tries) = claimed(&ready(SLACK), START);
    let due = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        let answer =
            DeliveryAnswer::Again { error: "429".into(), retry_after, progress: Progress::default() };
        record.end_delivery(&tries[0], &answer, 0.5, START).unwrap()
    };
    assert_eq!(due(3).webhook_due_at, Some(after(10)));
    assert_eq!(due(90).webhook_due_at, Some(after(90)));
    let late = due(1_000_000);
    assert_eq!(late.webhook_due_at, Some(after(86_400)));
    assert!(late.expires_at >= kept_until(after(86_400)));
}

#[test]
fn a_refusal_is_given_up_at_once_with_its_words_cut_short() {
    let (record, tries) = claimed(&ready(SLACK), START);
    let record =
        record.end_delivery(&tries[0], &refused(&"no such\nchannel ".repeat(50)), 0.5, START).unwrap();
    let mark = mark(&record, result_of(0));
    let words = mark.last_error.as_deref().unwrap();
    assert_eq!(mark.state, DeliveryState::Failed);
    assert!(words.starts_with("no such channel") && words.len() <= MAX_ERROR_BYTES && words.ends_with('…'));
    assert_eq!(record.webhook_due_at, None);
}

#[test]
fn words_and_ids_are_kept_up_to_their_limits() {
    let (record, tries) = claimed(&ready(SLACK), START);
    let ended = |answer: &DeliveryAnswer| {
        mark(&record.end_delivery(&tries[0], answer, 0.5, START).unwrap(), result_of(0)).clone()
    };
    for (length, kept) in [
        (MAX_ERROR_BYTES - 1, "e".repeat(MAX_ERROR_BYTES - 1)),
        (MAX_ERROR_BYTES, "e".repeat(MAX_ERROR_BYTES)),
        (MAX_ERROR_BYTES + 1, format!("{}…", "e".repeat(MAX_ERROR_BYTES - 3))),
    ] {
        assert_eq!(ended(&refused(&"e".repeat(length))).last_error, Some(kept), "{length}");
    }
    let cut = ended(&refused(&"é".repeat(101))).last_error.unwrap();
    assert_eq!(cut, format!("{}…", "é".repeat(98)));
    for (length, kept) in [(80, true), (81, false)] {
        let answer = DeliveryAnswer::Delivered { external_id: Some("x".repeat(length)) };
        assert_eq!(ended(&answer).progress.external_id.is_some(), kept, "{length}");
    }
}

#[test]
fn one_that_fails_delays_no_other() {
    let (record, tries) = claimed(&ready(TWO), START);
    assert_eq!(tries.len(), 2);
    let record = record.end_delivery(&tries[1], &delivered(), 0.5, after(1)).unwrap();
    assert_eq!(record.webhook_due_at, Some(after(LEASE)));
    let record = record.end_delivery(&tries[0], &again(), 0.5, after(2)).unwrap();
    assert_eq!(record.webhook_due_at, Some(after(12)));
    let (_, tries) = claimed(&record, after(12));
    assert_eq!(tries.iter().map(|one| one.key).collect::<Vec<_>>(), [result_of(0)]);
}

#[test]
fn people_are_spared_failures_and_empty_results_and_machines_are_not() {
    let (record, tries) = claimed(&failed(TWO), START);
    assert_eq!(tries.iter().map(|one| one.key).collect::<Vec<_>>(), [failure_of(1)]);
    let skipped = mark(&record, failure_of(0));
    assert_eq!(skipped.state, DeliveryState::Skipped);
    assert_eq!(skipped.last_error.as_deref(), Some("onFailure is false"));

    let empty = received(&opened(TWO), &ready_news(0), START);
    let (record, tries) = claimed(&empty, START);
    assert_eq!(tries.iter().map(|one| one.key).collect::<Vec<_>>(), [result_of(1)]);
    assert_eq!(mark(&record, result_of(0)).state, DeliveryState::Skipped);

    let wants = r#"[{"type":"slack","channel":"C1","onFailure":true,"whenEmpty":"send"}]"#;
    assert_eq!(claimed(&failed(wants), START).1.len(), 1);
    assert_eq!(claimed(&received(&opened(wants), &ready_news(0), START), START).1.len(), 1);
    let skips = r#"[{"type":"webhook","url":"https://example.com","whenEmpty":"skip"}]"#;
    let (record, tries) = claimed(&received(&opened(skips), &ready_news(0), START), START);
    assert_eq!((tries.len(), record.webhook_due_at), (0, None));
}

#[test]
fn a_result_after_a_failure_is_told_too_and_an_untold_failure_no_more() {
    let (record, tries) = claimed(&failed(TWO), START);
    let record = record.end_delivery(&tries[0], &delivered(), 0.5, START).unwrap();
    let record = received(&record, &ready_news(1), after(5));
    let (record, tries) = claimed(&record, after(5));
    assert_eq!(tries.iter().map(|one| one.key).collect::<Vec<_>>(), [result_of(0), result_of(1)]);
    assert_eq!(mark(&record, failure_of(1)).state, DeliveryState::Delivered);

    let (record, tries) = claimed(&failed(TWO), START);
    let record = record.end_delivery(&tries[0], &again(), 0.5, START).unwrap();
    let record = received(&record, &ready_news(1), after(5));
    let (record, tries) = claimed(&record, after(5));
    assert_eq!(tries.len(), 2);
    let untold = mark(&record, failure_of(1));
    assert_eq!(
        (untold.state, untold.last_error.as_deref()),
        (DeliveryState::Skipped, Some("a result came first"))
    );
}

#[test]
fn nobody_is_told_of_a_result_while_he_is_being_told_of_the_failure() {
    let (record, tries) = claimed(&failed(TWO), START);
    let record = received(&record, &ready_news(1), after(5));
    let (record, more) = claimed(&record, after(5));
    assert_eq!(more.iter().map(|one| one.key).collect::<Vec<_>>(), [result_of(0)]);
    // It ends, and the result is due at once.
    let told = record.end_delivery(&tries[0], &delivered(), 0.5, after(6)).unwrap();
    assert!(told.webhook_due_at <= Some(after(6)));
    assert_eq!(claimed(&told, after(6)).1.iter().map(|one| one.key).collect::<Vec<_>>(), [result_of(1)]);
    // It never ends: the result waits for the lease.
    assert_eq!(record.webhook_due_at, Some(after(LEASE)));
    assert_eq!(claimed(&record, after(LEASE)).1.len(), 1);
}

#[test]
fn a_task_token_is_used_once() {
    let (record, tries) = claimed(&failed(TOKEN), START);
    let record = record.end_delivery(&tries[0], &delivered(), 0.5, START).unwrap();
    let record = received(&record, &ready_news(1), after(5));
    let (record, tries) = claimed(&record, after(5));
    assert!(tries.is_empty());
    let skipped = mark(&record, result_of(0));
    assert_eq!(skipped.state, DeliveryState::Skipped);
    assert_eq!(skipped.last_error.as_deref(), Some("the task token was used up by the failure"));
    assert_eq!(record.webhook_due_at, None);
}

#[test]
fn a_late_end_does_not_undo_what_came_after_it() {
    let (record, first) = claimed(&ready(SLACK), START);
    let (record, second) = claimed(&record, after(LEASE));
    // The first worker's failure says nothing about the second's try.
    assert!(record.end_delivery(&first[0], &again(), 0.5, after(LEASE)).is_none());
    assert!(record.end_delivery(&first[0], &refused("no"), 0.5, after(LEASE)).is_none());
    // But its success stays true.
    let told = record.end_delivery(&first[0], &delivered(), 0.5, after(LEASE)).unwrap();
    assert_eq!(mark(&told, result_of(0)).state, DeliveryState::Delivered);
    assert!(told.end_delivery(&second[0], &again(), 0.5, after(LEASE)).is_none());
    assert!(record.end_delivery(&second[0], &again(), 0.5, after(LEASE)).is_some());
}

#[test]
fn redeliver_makes_what_failed_due_again_and_brings_forward_what_waits() {
    let three = r#"[{"type":"slack","channel":"C1"},{"type":"zendesk","ticketID":1},{"type":"webhook","url":"https://e.com"}]"#;
    let (record, tries) = claimed(&ready(three), START);
    let record = record.end_delivery(&tries[0], &refused("no"), 0.5, START).unwrap();
    let record = record.end_delivery(&tries[1], &again(), 0.5, START).unwrap();
    let record = record.end_delivery(&tries[2], &delivered(), 0.5, START).unwrap();
    let record = record.redeliver(after(1)).unwrap();
    assert_eq!((record.webhook_due_at, record.stream_hint.as_deref()), (Some(after(1)), Some("webhook")));
    let (record, tries) = claimed(&record, after(1));
    assert_eq!(tries.iter().map(|one| one.key).collect::<Vec<_>>(), [result_of(0), result_of(1)]);
    assert_eq!((mark(&record, result_of(0)).tries, mark(&record, result_of(1)).tries), (1, 2));
    // What is in flight, or delivered, is left alone.
    assert!(record.redeliver(after(2)).is_none());
    assert!(opened(SLACK).redeliver(START).is_none());
}

#[test]
fn a_repeat_goes_on_behind_what_was_sent() {
    let (record, tries) = claimed(&ready(SLACK), START);
    assert_eq!(tries[0].progress, Progress::default());
    let progress = Progress { sent: 2, external_id: Some("171.1".into()) };
    let answer = DeliveryAnswer::Again { error: "cut".into(), retry_after: None, progress: progress.clone() };
    let record = record.end_delivery(&tries[0], &answer, 0.5, START).unwrap();
    let (record, tries) = claimed(&record, after(10));
    assert_eq!(tries[0].progress, progress);
    // A try of which nothing got done does not set it back.
    let record = record.end_delivery(&tries[0], &again(), 0.5, after(10)).unwrap();
    assert_eq!(mark(&record, result_of(0)).progress, progress);
}

#[test]
fn a_destination_that_joins_a_settled_request_is_told() {
    let (record, tries) = claimed(&ready(SLACK), START);
    let record = record.end_delivery(&tries[0], &delivered(), 0.5, START).unwrap();
    let more = parse_defaults(TOKEN, &RequestRules::default().destinations).unwrap();
    let record = record.join(&more, after(9), &rules()).unwrap().unwrap();
    let (_, tries) = claimed(&record, after(9));
    assert_eq!(tries.iter().map(|one| one.key).collect::<Vec<_>>(), [result_of(1)]);
}

#[test]
fn a_claim_by_a_clock_that_is_behind_takes_what_has_just_appeared() {
    let record = received(&opened(SLACK), &ready_news(1), after(1));
    assert_eq!(claimed(&record, START).1.len(), 1);
}

#[test]
fn keys_have_one_spelling_each() {
    for key in [result_of(0), failure_of(19)] {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    assert_eq!(result_of(3).to_string(), "3-result");
    for text in ["", "3", "3-", "x-result", "3-outcome", "-result"] {
        assert!(text.parse::<DeliveryKey>().is_err(), "{text}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Failed,
    Ready,
    Claim,
    /// A try that was begun ends, however long ago that was.
    End {
        which: usize,
        answer: DeliveryAnswer,
    },
    Redeliver,
    Join(u8),
}

fn steps() -> impl Strategy<Value = Step> {
    let progress = (0..4u32).prop_map(|sent| Progress { sent, external_id: Some(format!("{sent}")) });
    let answers = prop_oneof![
        2 => Just(delivered()),
        1 => Just(refused("no")),
        3 => (prop::option::of((0..90_000u64).prop_map(Duration::from_secs)), progress).prop_map(
            |(retry_after, progress)| DeliveryAnswer::Again { error: "x".into(), retry_after, progress }),
    ];
    prop_oneof![
        3 => (0..200u64).prop_map(Step::Wait),
        1 => (0..50_000u64).prop_map(Step::Wait),
        1 => Just(Step::Failed),
        1 => Just(Step::Ready),
        5 => Just(Step::Claim),
        5 => (0..8usize, answers).prop_map(|(which, answer)| Step::End { which, answer }),
        1 => Just(Step::Redeliver),
        1 => (0..3u8).prop_map(Step::Join),
    ]
}

/// Everybody who was ever told something stays told, and nobody is told by two at once.
struct World {
    record: Record,
    now: Time,
    begun: Vec<Try>,
}

impl World {
    fn step(&mut self, step: &Step) {
        let (now, rules) = (self.now, rules());
        let next = match step {
            Step::Wait(seconds) => {
                self.now = now.plus(Duration::from_secs(*seconds));
                return;
            }
            Step::Failed | Step::Ready => {
                let news =
                    if matches!(step, Step::Ready) { ready_news(1) } else { news(NewsOutcome::Failed) };
                match self.record.receive(&news, now, &rules) {
                    Received::Changed(next) => Some(*next),
                    _ => None,
                }
            }
            Step::Claim => match self.record.claim_deliveries(now, &rules) {
                None => None,
                Some((next, tries)) => {
                    for this in &tries {
                        let others = self.begun.iter().filter(|other| other.until > now);
                        let live = |other: &&Try| other.key.destination == this.key.destination;
                        let ended = |other: &Try| {
                            self.record.deliveries[&other.key].in_flight_until != Some(other.until)
                        };
                        assert!(others.filter(live).all(ended), "two at once: {this:?}\n{:#?}", self.record);
                    }
                    self.begun.extend(tries);
                    Some(next)
                }
            },
            Step::End { which, answer } => {
                let last = self.begun.len().checked_sub(1 + which).and_then(|index| self.begun.get(index));
                last.and_then(|this| self.record.end_delivery(this, answer, 0.5, now))
            }
            Step::Redeliver => self.record.redeliver(now),
            Step::Join(n) => {
                let json = format!(r#"[{{"type":"zendesk","ticketID":{n}}}]"#);
                let more = parse_defaults(&json, &RequestRules::default().destinations).unwrap();
                self.record.join(&more, now, &rules).unwrap()
            }
        };
        if let Some(next) = next {
            self.check(&next);
            self.record = next;
        }
    }

    fn check(&self, next: &Record) {
        let old = &self.record;
        assert_eq!(next.version, old.version + 1);
        for (key, before) in &old.deliveries {
            let after = &next.deliveries[key];
            if matches!(before.state, DeliveryState::Delivered | DeliveryState::Skipped) {
                assert_eq!(after.state, before.state, "{key} was unmade");
            }
            assert!(after.tries <= MAX_TRIES);
        }
        let Some(outcome) = OutcomeKind::of(next.status) else { return };
        let open = (0..next.destinations.len()).any(|destination| {
            let mark = next.deliveries.get(&DeliveryKey { destination, outcome });
            mark.is_none_or(|mark| mark.state == DeliveryState::Pending)
        });
        assert_eq!(next.webhook_due_at.is_some() && !next.destinations.is_empty(), open, "{next:#?}");
        assert_eq!(next.webhook_due_at.is_some(), next.webhook_due_since.is_some());
        if let Some(due) = next.webhook_due_at {
            assert!(next.expires_at >= kept_until(due));
        }
    }
}

proptest! {
    #[test]
    fn every_destination_is_told_or_given_up_in_the_end(
        tokens in any::<bool>(),
        history in prop::collection::vec(steps(), 0..40),
        ready_last in any::<bool>(),
    ) {
        let record = opened(if tokens { TOKEN } else { TWO });
        let mut world = World { record, now: START, begun: Vec::new() };
        for step in &history {
            world.step(step);
        }
        world.step(if ready_last { &Step::Ready } else { &Step::Failed });
        // From here on the sweep comes, and every destination takes what it is given.
        let mut rounds = 0;
        while let Some(due) = world.record.webhook_due_at {
            world.now = world.now.max(due);
            world.step(&Step::Claim);
            let begun = world.begun.len();
            for which in 0..begun {
                world.step(&Step::End { which, answer: delivered() });
            }
            rounds += 1;
            prop_assert!(rounds < 20, "{:#?}", world.record);
        }
        let outcome = OutcomeKind::of(world.record.status).unwrap();
        prop_assert_eq!(outcome == OutcomeKind::Result, world.record.status == Status::Ready);
        let told: BTreeMap<_, _> = (0..world.record.destinations.len())
            .map(|destination| (destination, mark(&world.record, DeliveryKey { destination, outcome }).state))
            .collect();
        prop_assert!(told.values().all(|state| *state != DeliveryState::Pending), "{:?}", told);
        prop_assert!(world.record.deliveries.values().all(|mark| mark.in_flight_until.is_none()
            || mark.state == DeliveryState::Pending));
    }
}
