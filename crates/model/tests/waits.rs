//! The exact waits, and what a record keeps room for.

#![cfg(test)]

use model::answer::{MAX_RETRY_AFTER, Refusal};
use model::delivery::DeliveryAnswer;
use model::destination::{Destination, MAX_IN_RECORD, parse_defaults};
use model::id::RequestId;
use model::record::{FailureCode, Record, Status};
use model::request::{NewRequest, RequestRules};
use model::rules::{News, NewsOutcome, Origin, Received, Rules, TooManyDestinations, Work};
use model::time::Time;
use std::time::Duration;

const START: Time = Time(1_715_481_030_000);

fn after(seconds: u64) -> Time {
    START.plus(Duration::from_secs(seconds))
}

fn opened(rules: &Rules) -> Record {
    let new = NewRequest::parse(br#"{"userID":"u"}"#, &RequestRules::default()).unwrap();
    let origin = Origin { caller: "ops".into(), opening: "run".into() };
    Record::open(RequestId::for_key("ops", "1"), origin, new, None, START, rules)
}

fn failed(record: &Record, attempt: u32, now: Time, rules: &Rules) -> Record {
    let (opened, log_rocket_request_id) = (record.created_at, format!("id{attempt}"));
    let news = News { opened, attempt, log_rocket_request_id, outcome: NewsOutcome::Failed };
    match record.receive(&news, now, rules) {
        Received::Changed(next) => *next,
        other => panic!("{other:?}"),
    }
}

fn tokens(range: std::ops::Range<usize>) -> Vec<Destination> {
    let one = |n| {
        let json = format!(r#"[{{"type":"stepFunctions","taskToken":"{n}"}}]"#);
        parse_defaults(&json, &RequestRules::default().destinations).unwrap()
    };
    range.flat_map(one).collect()
}

fn refusal() -> Refusal {
    Refusal { status: 404, message: String::new() }
}

#[test]
fn an_attempt_of_which_nothing_is_known_is_given_its_grace() {
    let rules = Rules::default();
    let record = opened(&rules);
    assert_eq!(record.request_due_at, Some(after(300)));
    assert_eq!(record.work(after(299), &rules), Work::Wait);
    assert_eq!(record.work(after(300), &rules), Work::Start { attempt: 2 });
}

#[test]
fn polls_begin_after_three_minutes_and_double_to_ten() {
    let rules = Rules::default();
    let mut record = opened(&rules).confirm(1, "id1", &rules).unwrap();
    let mut waits = Vec::new();
    let mut now = START;
    while record.status == Status::Pending {
        let due = record.request_due_at.unwrap();
        waits.push(due.since(now).as_secs());
        now = due;
        record = record.claim(now, &rules).unwrap();
        let Work::Poll { attempt, last, .. } = record.work(now, &rules) else { panic!() };
        record = match last {
            true => record.expire(now, &rules).unwrap(),
            false => record.poll_again(attempt, None, now, &rules).unwrap(),
        };
    }
    assert_eq!(waits, [180, 360, 600, 600, 600, 600, 600, 60]);
    assert_eq!(now, record.pending_until);
}

#[test]
fn a_post_not_taken_is_repeated_after_half_a_minute_doubling_to_ten_give_or_take_a_fifth() {
    let rules = Rules::default();
    let mut record = opened(&rules);
    let mut now = START;
    let mut waits = Vec::new();
    for _ in 0..7 {
        record = record.not_taken(1, None, 0.5, now, &rules).unwrap();
        let due = record.request_due_at.unwrap();
        waits.push(due.since(now).as_secs());
        now = due;
        record = record.claim(now, &rules).unwrap();
        assert_eq!(record.work(now, &rules), Work::Start { attempt: 1 });
        record = record.start(1, None, now, &rules);
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600]);
    let record = opened(&rules);
    let due = |jitter| record.not_taken(1, None, jitter, START, &rules).unwrap().request_due_at;
    assert_eq!((due(0.0), due(1.0)), (Some(after(24)), Some(after(36))));
}

#[test]
fn retry_after_is_honoured_if_it_is_later_until_waiting_ends() {
    let rules = Rules::default();
    let record = opened(&rules);
    let due = |seconds| {
        let wait = Some(Duration::from_secs(seconds));
        record.not_taken(1, wait, 0.5, START, &rules).unwrap().request_due_at
    };
    assert_eq!(due(5), Some(after(30)));
    assert_eq!(due(90), Some(after(90)));
    assert_eq!(due(MAX_RETRY_AFTER.as_secs()), Some(after(3600)));
    let record = record.confirm(1, "id1", &rules).unwrap();
    let polled = record.poll_again(1, Some(Duration::from_secs(900)), START, &rules).unwrap();
    assert_eq!(polled.request_due_at, Some(after(900)));
}

#[test]
fn a_failed_attempt_is_followed_by_the_next_and_the_last_one_settles() {
    let rules = Rules::default();
    let mut record = opened(&rules);
    let mut now = START;
    for attempt in 1..3 {
        record = failed(&record, attempt, now, &rules);
        assert_eq!(
            (record.status, record.request_due_at),
            (Status::Pending, Some(now.plus(rules.retry_after)))
        );
        now = now.plus(rules.retry_after);
        assert_eq!(record.work(now, &rules), Work::Start { attempt: attempt + 1 });
        record = record.start(attempt + 1, None, now, &rules);
    }
    record = failed(&record, 3, now, &rules);
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.failure.map(|failure| failure.code), Some(FailureCode::LogRocketFailed));
}

#[test]
fn after_expired_there_is_no_new_attempt() {
    let rules = Rules::default();
    let expired = opened(&rules).expire(after(3600), &rules).unwrap();
    let log_rocket_request_id = "id1".into();
    let news = News { opened: START, attempt: 1, log_rocket_request_id, outcome: NewsOutcome::Failed };
    assert_eq!(expired.receive(&news, after(3601), &rules), Received::Known);
    assert_eq!(expired.work(after(9000), &rules), Work::Wait);
    assert_eq!(expired.over_budget(after(3601), &rules), None);
}

#[test]
fn a_last_failure_that_comes_after_expired_ends_as_one_that_came_before() {
    let rules = Rules { max_attempts: 1, ..Rules::default() };
    let record = opened(&rules);
    let before = failed(&record, 1, after(3599), &rules);
    assert_eq!(before.expire(after(3600), &rules), None);
    let later = failed(&record.expire(after(3600), &rules).unwrap(), 1, after(3601), &rules);
    assert_eq!((later.status, &later.failure), (Status::Failed, &before.failure));
    assert_eq!(later.webhook_due_at, Some(after(3601)));
}

#[test]
fn a_max_attempts_that_was_lowered_fails_what_has_used_them_up() {
    let rules = Rules::default();
    let record = failed(&opened(&rules), 1, START, &rules);
    let lowered = Rules { max_attempts: 1, ..rules };
    assert_eq!(record.work(after(30), &lowered), Work::Fail);
}

#[test]
fn news_with_another_id_of_another_attempt_or_too_late_changes_nothing() {
    let rules = Rules::default();
    let record = opened(&rules).confirm(1, "id1", &rules).unwrap();
    let receive = |attempt, id: &str, now| {
        let log_rocket_request_id = id.into();
        let news = News { opened: START, attempt, log_rocket_request_id, outcome: NewsOutcome::Failed };
        record.receive(&news, now, &rules)
    };
    let of_a_deleted_one = News {
        opened: Time(START.0 - 60_000),
        attempt: 1,
        log_rocket_request_id: "id1".into(),
        outcome: NewsOutcome::Failed,
    };
    assert_eq!(record.receive(&of_a_deleted_one, after(60), &rules), Received::Gone);
    assert_eq!(receive(1, "other", after(60)), Received::OtherId);
    assert_eq!(receive(2, "id2", after(60)), Received::Gone);
    assert_eq!(receive(1, "id1", Time(record.expires_at * 1000)), Received::Gone);
    assert!(matches!(receive(1, "id1", Time(record.expires_at * 1000 - 1)), Received::Changed(_)));
}

#[test]
fn a_record_is_kept_for_its_retention_and_two_days_after_it_was_last_due() {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let rules = Rules::default();
    assert_eq!(opened(&rules).expires_at, START.plus(days(30)).ceil_seconds());

    let short = Rules { retention_days: 1, ..Rules::default() };
    let record = opened(&short);
    assert_eq!(record.expires_at, after(3600 + 30).plus(days(2)).ceil_seconds());
    // The sweep was off for two days: what it takes up then is not deleted under its hands.
    let late = START.plus(days(2));
    let claimed = record.claim(late, &short).unwrap();
    assert_eq!(claimed.expires_at, late.plus(short.lease).plus(days(2)).ceil_seconds());
}

#[test]
fn a_record_gathers_at_most_twenty_destinations() {
    let rules = Rules::default();
    let full = opened(&rules).join(&tokens(0..MAX_IN_RECORD), START, &rules).unwrap().unwrap();
    assert_eq!(full.join(&tokens(0..1), START, &rules), Ok(None));
    assert_eq!(full.join(&tokens(50..51), START, &rules), Err(TooManyDestinations));
    let refused = full.refuse(1, &refusal(), true, START, &rules).unwrap();
    assert_eq!(refused.reopen("again", tokens(50..51), None, START, &rules), None);
    assert!(refused.reopen("again", tokens(0..1), None, START, &rules).is_some());
}

#[test]
fn a_refused_request_that_is_asked_again_has_nothing_to_deliver_yet() {
    let rules = Rules::default();
    let record = opened(&rules).join(&tokens(0..1), START, &rules).unwrap().unwrap();
    let refused = record.refuse(1, &refusal(), true, START, &rules).unwrap();
    assert!(refused.stream_hint.is_some());
    let again = refused.reopen("again", Vec::new(), None, after(60), &rules).unwrap();
    assert_eq!((again.status, again.attempt, again.webhook_due_at), (Status::Pending, 1, None));
    assert_eq!((again.pending_until, &again.stream_hint), (after(60 + 3600), &None));
    assert_eq!(again.reopen("again", Vec::new(), None, after(61), &rules), None);
}

#[test]
fn who_joins_while_logrocket_may_refuse_hears_of_it_from_the_destinations() {
    let rules = Rules::default();
    let join = |record: &Record| record.join(&[], START, &rules).unwrap();
    let refuse = |record: &Record| record.refuse(1, &refusal(), false, after(1), &rules).unwrap();

    // 1. Whoever asked first is told by the answer; one who joins meanwhile is not.
    let alone = opened(&rules);
    assert_eq!(refuse(&alone).webhook_due_at, None);
    let joined = join(&alone).unwrap();
    assert_eq!(join(&joined), None);
    assert_eq!(refuse(&joined).webhook_due_at, Some(after(1)));

    // 2. Once LogRocket has taken it there is nothing that it could still refuse to him.
    let confirmed = alone.confirm(1, "id1", &rules).unwrap();
    assert_eq!(join(&confirmed), None);
}

#[test]
fn a_promise_outlives_a_refusal_that_was_not_told_yet_and_no_other() {
    let rules = Rules::default();
    let refuse = |record: &Record| record.refuse(1, &refusal(), false, after(1), &rules).unwrap();
    let reopen = |record: &Record| record.reopen("again", Vec::new(), None, after(2), &rules).unwrap();

    // 1. Asked again before anybody was told: the next refusal is told, too.
    let joined = opened(&rules).join(&tokens(0..1), START, &rules).unwrap().unwrap();
    let refused = refuse(&joined);
    assert_eq!(refuse(&reopen(&refused)).webhook_due_at, Some(after(1)));

    // 2. Asked again after that: whoever asks now is told by the answer.
    let (claimed, tries) = refused.claim_deliveries(after(1), &rules).unwrap();
    let delivered = DeliveryAnswer::Delivered { external_id: None };
    let told = claimed.end_delivery(&tries[0], &delivered, 0.5, after(1)).unwrap();
    assert_eq!(told.webhook_due_at, None);
    assert_eq!(refuse(&reopen(&told)).webhook_due_at, None);
}
