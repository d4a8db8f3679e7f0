//! How many calls each operation takes, and what it makes of calls that fail.

use crate::world::{
    MONTH, START, World, after, assert_same, id, news, opened, opened_by, ready, refused, settled, token,
};
use aws::clients::OPERATION_TIMEOUT;
use aws::table::{Changed, NewsReceipt, Opened, Owner, Settlement, TableError};
use local::proxy::{Fault, Match};
use model::record::{Record, SHARDS, Status};
use model::result::{ResultTooLarge, StoredResult};
use model::rules::{NewsOutcome, Rules};
use model::time::Time;
use std::time::{Duration, Instant};

const STILL_PENDING: NewsReceipt = NewsReceipt::Stored(Settlement::StillPending);

#[tokio::test(flavor = "multi_thread")]
async fn a_new_request_is_one_put() {
    let world = World::start().await;
    assert!(matches!(world.table.open(&opened("k"), START).await.unwrap(), Opened::New));
    assert_eq!(world.operations(), ["PutItem"]);
    let twin = opened_by("k", "another run", None);
    assert!(matches!(world.table.open(&twin, START).await.unwrap(), Opened::Twin(_)));
    assert_eq!(world.operations(), ["PutItem"], "and so is its repeat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_request_within_a_budget_is_one_transaction() {
    let world = World::with_limit(Some(5)).await;
    let new = opened_by("k", "run", Some(MONTH));
    assert!(matches!(world.table.open(&new, START).await.unwrap(), Opened::New));
    assert_eq!(world.operations(), ["TransactWriteItems"]);
    assert_eq!(world.counted(MONTH), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_the_latest_attempt_is_one_update_and_so_is_its_duplicate() {
    let world = World::start().await;
    let (table, rules) = (&world.table, Rules::default());
    let gzip = NewsOutcome::Ready(StoredResult::Gzip(vec![1, 2, 3]));
    let last = Rules { max_attempts: 1, ..Rules::default() };
    for (key, outcome, rules, expected) in [
        ("ready", ready(), &rules, settled(Status::Ready)),
        ("gzip", gzip, &rules, settled(Status::Ready)),
        ("failed", NewsOutcome::Failed, &rules, STILL_PENDING),
        ("failed for good", NewsOutcome::Failed, &last, settled(Status::Failed)),
    ] {
        let record = world.given(opened(key)).await;
        let news = news(1, outcome);
        assert_eq!(table.receive(&record.request_id, &news, after(1), rules).await.unwrap(), expected);
        assert_eq!(world.operations(), ["UpdateItem"], "{key}");
        let stored = world.stored(&record.request_id).await;
        let again = table.receive(&record.request_id, &news, after(2), rules).await.unwrap();
        assert_eq!(again, NewsReceipt::Known);
        assert_eq!(world.operations(), ["UpdateItem"], "{key}, again");
        assert_same(world.stored(&record.request_id).await.as_ref(), stored.as_ref());
    }
    let unknown = table.receive(&id("unknown"), &news(1, ready()), after(1), &rules).await.unwrap();
    assert_eq!(unknown, NewsReceipt::Gone);
    assert_eq!(world.operations(), ["UpdateItem"], "of no request");
}

#[tokio::test(flavor = "multi_thread")]
async fn news_is_taken_until_the_second_in_which_the_record_is_gone() {
    let world = World::start().await;
    let last = Rules { max_attempts: 1, ..Rules::default() };
    for (n, (outcome, rules)) in
        [(ready(), &last), (NewsOutcome::Failed, &last), (NewsOutcome::Failed, &Rules::default())]
            .into_iter()
            .enumerate()
    {
        let record = world.given(opened(&n.to_string())).await;
        let (id, news) = (&record.request_id, news(1, outcome));
        let gone = record.expires_at * 1000;
        assert_eq!(world.table.receive(id, &news, Time(gone), rules).await.unwrap(), NewsReceipt::Gone);
        assert_same(world.stored(id).await.as_ref(), Some(&record));
        let receipt = world.table.receive(id, &news, Time(gone - 1), rules).await.unwrap();
        assert!(matches!(receipt, NewsReceipt::Stored(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_or_claimed_is_one_call() {
    let world = World::start().await;
    let (table, rules) = (&world.table, Rules::default());
    assert_eq!(table.due(Owner::Request, 0, 50, after(9_999)).await.unwrap(), []);
    assert_eq!(world.operations(), ["Query"], "an idle shard");
    let record = world.given(opened("k")).await;
    table.get(&record.request_id, START).await.unwrap().unwrap();
    assert_eq!(world.operations(), ["GetItem"]);
    let due = record.request_due_at.unwrap();
    table.claim(&record.request_id, due, due, &rules).await.unwrap().unwrap();
    assert_eq!(world.operations(), ["UpdateItem"]);
    assert!(table.claim(&record.request_id, due, due, &rules).await.unwrap().is_none());
    assert_eq!(world.operations(), ["UpdateItem"], "somebody else's");
    assert!(table.claim(&record.request_id, after(600), START, &rules).await.unwrap().is_none());
    assert!(world.operations().is_empty(), "not due yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_comes_days_late_keeps_the_record_for_the_lease() {
    let world = World::start().await;
    let rules = Rules { retention_days: 1, ..Rules::default() };
    let new = crate::world::new_request(crate::world::asked("user"), Vec::new());
    let record = Record::open(id("k"), crate::world::origin("run"), new, None, START, &rules);
    let record = world.given(record).await;
    let (due, late) = (record.request_due_at.unwrap(), after(2 * 24 * 60 * 60 + 3_700));
    let claimed = world.table.claim(&record.request_id, due, late, &rules).await.unwrap().unwrap();
    assert_eq!(world.operations(), ["UpdateItem", "UpdateItem"]);
    assert!(claimed.expires_at > record.expires_at);
    assert_same(Some(&claimed), record.claim(late, &rules).as_ref());
    assert_same(world.stored(&record.request_id).await.as_ref(), Some(&claimed));
}

/// The next write takes effect, and its answer is lost; the SDK makes it again.
fn lose_an_answer(world: &World, operation: &str) {
    world.proxy.on(Match::operation(operation).times(1), Fault::CutAfter);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_whose_answer_was_lost_is_not_its_own_twin() {
    let world = World::start().await;
    lose_an_answer(&world, "PutItem");
    let new = opened("k");
    assert!(matches!(world.table.open(&new, START).await.unwrap(), Opened::New));
    assert_eq!(world.operations(), ["PutItem", "PutItem"]);
    assert_same(world.stored(&new.request_id).await.as_ref(), Some(&new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counted_opening_whose_answer_was_lost_counts_once() {
    let world = World::with_limit(Some(1)).await;
    lose_an_answer(&world, "TransactWriteItems");
    let new = opened_by("k", "run", Some(MONTH));
    assert!(matches!(world.table.open(&new, START).await.unwrap(), Opened::New));
    assert_eq!(world.operations(), ["TransactWriteItems", "TransactWriteItems"]);
    assert_eq!(world.counted(MONTH), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_whose_answer_was_lost_is_stored_or_known() {
    let world = World::start().await;
    let last = Rules { max_attempts: 1, ..Rules::default() };
    let too_large = NewsOutcome::TooLarge(ResultTooLarge::Stored { bytes: 1 });
    for (key, outcome, rules, status) in [
        ("ready", ready(), Rules::default(), Status::Ready),
        ("failed", NewsOutcome::Failed, Rules::default(), Status::Pending),
        ("failed for good", NewsOutcome::Failed, last, Status::Failed),
        ("too large", too_large, Rules::default(), Status::Failed),
    ] {
        let record = world.given(opened(key)).await;
        lose_an_answer(&world, "UpdateItem");
        let news = news(1, outcome);
        let answer = world.table.receive(&record.request_id, &news, after(1), &rules).await.unwrap();
        assert!(matches!(answer, NewsReceipt::Stored(_) | NewsReceipt::Known), "{key}: {answer:?}");
        let stored = world.stored(&record.request_id).await.unwrap();
        assert_eq!((stored.status, stored.version), (status, 2), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_lost_is_written_once() {
    let world = World::start().await;
    let rules = Rules::default();
    let record = world.given(opened("k")).await;
    let expected = record.join(&[token(1)], after(1), &rules).unwrap().unwrap();
    lose_an_answer(&world, "UpdateItem");
    let rule = |record: &Record| record.join(&[token(1)], after(1), &rules).unwrap();
    let changed = world.table.change(record, rule).await.unwrap();
    assert!(matches!(changed, Changed::Written(written) if *written == expected));
    assert_eq!(world.operations(), ["UpdateItem", "UpdateItem"]);
    assert_same(world.stored(&expected.request_id).await.as_ref(), Some(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reopening_whose_answer_was_lost_is_its_own() {
    let world = World::with_limit(Some(5)).await;
    let rules = Rules::default();
    for (key, reserved, operation) in
        [("free", None, "UpdateItem"), ("counted", Some(MONTH.to_owned()), "TransactWriteItems")]
    {
        let record = world.given(refused(&opened(key))).await;
        lose_an_answer(&world, operation);
        let reopen = |record: &Record| record.reopen("mine", Vec::new(), reserved.clone(), after(9), &rules);
        let changed = world.table.change(record, reopen).await.unwrap();
        assert!(matches!(changed, Changed::Written(written) if written.opening == "mine"), "{key}");
        assert_eq!(world.operations(), [operation, operation]);
    }
    assert_eq!(world.counted(MONTH), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_not_taken_whose_answer_was_lost_is_returned_once() {
    let world = World::with_limit(Some(5)).await;
    let rules = Rules::default();
    world.given(opened_by("another", "run", Some(MONTH))).await;
    let record = world.given(opened_by("k", "run", Some(MONTH))).await;
    lose_an_answer(&world, "TransactWriteItems");
    let not_taken = |record: &Record| record.not_taken(1, None, 0.5, after(1), &rules);
    let changed = world.table.change(record, not_taken).await.unwrap();
    assert!(matches!(changed, Changed::Written(_)));
    assert_eq!(world.counted(MONTH), 1);
}

/// Its repeat cannot tell the claim from one that another sweep made in the same millisecond, and leaves it: two POSTs
/// would be worse than one lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_is_due_again_after_the_lease() {
    let world = World::start().await;
    let rules = Rules::default();
    let record = world.given(opened("k")).await;
    let due = record.request_due_at.unwrap();
    lose_an_answer(&world, "UpdateItem");
    assert!(world.table.claim(&record.request_id, due, due, &rules).await.unwrap().is_none());
    assert_eq!(world.operations(), ["UpdateItem", "UpdateItem"]);
    let claimed = record.claim(due, &rules).unwrap();
    assert_same(world.stored(&record.request_id).await.as_ref(), Some(&claimed));
    let again = due.plus(rules.lease);
    let found =
        world.table.due(Owner::Request, record.request_id.shard(SHARDS), 1, again).await.unwrap().remove(0);
    assert!(world.table.claim(&found.request_id, found.due_at, again, &rules).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_is_unavailable_in_time_and_nothing_is_written() {
    for fault in [
        Fault::throttled(),
        Fault::exception("ThrottlingException"),
        Fault::internal_error(),
        Fault::CutBefore,
        Fault::Delay(Duration::from_secs(60)),
    ] {
        let world = World::with_limit(Some(5)).await;
        let rules = Rules::default();
        let record = world.given(opened("there")).await;
        let (id, due) = (record.request_id.clone(), record.request_due_at.unwrap());
        let subject = record.request.subject.clone();
        let before = world.emulator.items().unwrap();
        world.proxy.on(Match::any(), fault.clone());

        let (table, counted) = (&world.table, opened_by("counted", "run", Some(MONTH)));
        let (new, late, ready) = (opened("new"), after(9_999), news(1, ready()));
        let begun = Instant::now();
        let errors = futures::join!(
            async { table.open(&new, START).await.err() },
            async { table.open(&counted, START).await.err() },
            async { table.receive(&id, &ready, after(1), &rules).await.err() },
            async { table.change(record, |record| record.expire(late, &rules)).await.err() },
            async { table.claim(&id, due, due, &rules).await.err() },
            async { table.delete(&id, START).await.err() },
            async { table.get(&id, START).await.err() },
            async { table.due(Owner::Request, 0, 50, late).await.err() },
            async { table.list(&subject, 10, None, START).await.err() },
            async { table.find_by_log_rocket_id("id-1", START).await.err() },
        );
        let took = begun.elapsed();
        let (a, b, c, d, e, f, g, h, i, j) = errors;
        for (n, error) in [a, b, c, d, e, f, g, h, i, j].into_iter().enumerate() {
            assert!(matches!(error, Some(TableError::Unavailable(_))), "{fault:?}: call {n} {error:?}");
        }
        assert!(took < OPERATION_TIMEOUT * 4, "{fault:?} took {took:?}");
        assert_eq!(world.emulator.items().unwrap(), before, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_once_is_made_again_and_nobody_notices() {
    for fault in [Fault::throttled(), Fault::internal_error(), Fault::CutBefore] {
        let world = World::start().await;
        world.proxy.on(Match::any().times(1), fault.clone());
        assert!(matches!(world.table.open(&opened("k"), START).await.unwrap(), Opened::New), "{fault:?}");
        assert_eq!(world.operations(), ["PutItem", "PutItem"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_shows_anything_of_an_item() {
    let world = World::start().await;
    let record = world.given(opened("k")).await;
    for body in [
        r#"{"Item":{"requestID":{"S":"canary"#,
        r#"{"Item":{"requestID":{"S":"canary"}}}"#,
        r#"{"Item":{"result":{"S":"canary"},"status":{"S":"canary"}}}"#,
        "canary",
    ] {
        world.proxy.on(Match::operation("GetItem"), Fault::Answer { status: 200, body: body.to_owned() });
        let error = world.table.get(&record.request_id, START).await.unwrap_err();
        let shown = format!("{error:?} {error} {}", aws::telemetry::chain(&error));
        assert!(!shown.contains("canary"), "{body}: {shown}");
        world.proxy.clear();
    }
}
