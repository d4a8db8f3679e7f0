//! Several writers at once: one of them wins, the others are told, and nothing is lost.

use crate::world::{MONTH, START, World, after, id, news, opened, opened_by, ready, refused, token};
use aws::table::{Changed, Claimed, NewsReceipt, Opened, TableError};
use model::delivery::{DeliveryAnswer, DeliveryState};
use model::record::{AttemptState, Record, Status};
use model::rules::{NewsOutcome, Rules};

/// Runs them side by side; the answers are in their order.
async fn at_once<F>(count: usize, one: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(one(n))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

async fn open_all(world: &World, records: Vec<Record>) -> Vec<Opened> {
    let count = records.len();
    at_once(count, |n| {
        let (table, record) = (world.direct().clone(), records[n].clone());
        async move { table.open(&record, START).await.unwrap() }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_openings_of_one_key_one_is_new_and_the_others_are_its_twins() {
    let world = World::start().await;
    let records: Vec<_> = (0..20).map(|n| opened_by("k", &format!("run-{n}"), None)).collect();
    let answers = open_all(&world, records.clone()).await;
    let stored = world.stored(&id("k")).await.unwrap();
    let mut new = Vec::new();
    for (record, answer) in records.iter().zip(answers) {
        match answer {
            Opened::New => new.push(record),
            Opened::Twin(twin) => assert!(*twin == stored),
            Opened::OverBudget => panic!("there is no budget"),
        }
    }
    assert!(matches!(new.as_slice(), [winner] if **winner == stored), "{} were new", new.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_claims_one_gets_the_work() {
    let world = World::start().await;
    let record = world.given(opened("k")).await;
    let due = record.request_due_at.unwrap();
    let claims = at_once(20, |_| {
        let (table, id) = (world.direct().clone(), record.request_id.clone());
        async move { table.claim(&id, due, due, &Rules::default()).await.unwrap() }
    })
    .await;
    assert_eq!(claims.iter().flatten().count(), 1);
    assert_eq!(world.stored(&record.request_id).await.unwrap().request_tries, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_late_claims_one_gets_the_work() {
    let world = World::start().await;
    let record = world.given(opened("k")).await;
    let due = record.request_due_at.unwrap();
    let late = after(29 * 24 * 60 * 60);
    let claims = at_once(20, |_| {
        let (table, id) = (world.direct().clone(), record.request_id.clone());
        async move { table.claim(&id, due, late, &Rules::default()).await.unwrap() }
    })
    .await;
    assert_eq!(claims.iter().flatten().count(), 1);
    assert_eq!(world.stored(&record.request_id).await, record.claim(late, &Rules::default()));
}

/// A settled request with this many to tell.
async fn told(world: &World, destinations: usize) -> Record {
    let all: Vec<_> = (0..destinations).map(token).collect();
    let record = opened("k").join(&all, START, &Rules::default()).unwrap().unwrap();
    let record = world.given(record).await;
    world.direct().receive(&record.request_id, &news(1, ready()), START, &Rules::default()).await.unwrap();
    world.stored(&record.request_id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_claims_of_deliveries_in_one_millisecond_one_gets_them() {
    let world = World::start().await;
    let record = told(&world, 2).await;
    let claims = at_once(20, |_| {
        let (table, record) = (world.direct().clone(), record.clone());
        async move { table.claim_deliveries(record, after(1), &Rules::default()).await.unwrap() }
    })
    .await;
    let won: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(won.iter().map(|claimed| claimed.tries.len()).collect::<Vec<_>>(), [2]);
    let stored = world.stored(&record.request_id).await.unwrap();
    assert!(stored == won[0].record && stored.deliveries.values().all(|delivery| delivery.tries == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ends_of_all_deliveries_are_written_whatever_else_is_written_meanwhile() {
    let world = World::start().await;
    let record = told(&world, 8).await;
    let rules = Rules::default();
    let Claimed { record, tries, .. } =
        world.direct().claim_deliveries(record, after(1), &rules).await.unwrap().unwrap();
    at_once(9, |n| {
        let (table, record, this) = (world.direct().clone(), record.clone(), tries.get(n).cloned());
        async move {
            let delivered = DeliveryAnswer::Delivered { external_id: None };
            let rule = |record: &Record| match &this {
                Some(this) => record.end_delivery(this, &delivered, 0.5, after(2)),
                None => record.join(&[token(99)], after(2), &Rules::default()).unwrap(),
            };
            assert!(matches!(table.change(record, rule).await.unwrap(), Changed::Written(_)));
        }
    })
    .await;
    let stored = world.stored(&record.request_id).await.unwrap();
    let states: Vec<_> = stored.deliveries.values().map(|delivery| delivery.state).collect();
    assert_eq!(states, [DeliveryState::Delivered; 8]);
    // The one that joined is not stranded.
    assert!(stored.webhook_due_at.is_some_and(|due| due <= after(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_reopenings_one_is_written_and_the_others_see_it() {
    let world = World::start().await;
    let record = world.given(refused(&opened("k"))).await;
    let answers = at_once(20, |n| {
        let (table, record) = (world.direct().clone(), record.clone());
        async move {
            let opening = format!("again-{n}");
            let reopen = |record: &Record| record.reopen(&opening, vec![], None, after(9), &Rules::default());
            table.change(record, reopen).await.unwrap()
        }
    })
    .await;
    let stored = world.stored(&record.request_id).await.unwrap();
    let mut written = Vec::new();
    for (n, answer) in answers.into_iter().enumerate() {
        match answer {
            Changed::Written(record) => written.push((format!("again-{n}"), *record)),
            Changed::Unchanged(current) => assert!(*current == stored),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(written, [(stored.opening.clone(), stored)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_beats_what_comes_with_it_in_any_order() {
    let world = World::start().await;
    for round in 0..30 {
        let record = world.given(opened(&round.to_string())).await;
        let rules = Rules { max_attempts: 1 + round % 2, ..Rules::default() };
        at_once(3, |n| {
            let (table, record, rules) = (world.direct().clone(), record.clone(), rules.clone());
            async move {
                let outcome = match (n + usize::try_from(round).unwrap()) % 3 {
                    0 => Some(ready()),
                    1 => Some(NewsOutcome::Failed),
                    _ => None,
                };
                match outcome {
                    Some(outcome) => {
                        let news = news(1, outcome);
                        table.receive(&record.request_id, &news, after(2), &rules).await.unwrap();
                    }
                    None => {
                        let confirm = |record: &Record| record.confirm(1, "id-1", &rules);
                        table.change(record, confirm).await.unwrap();
                    }
                }
            }
        })
        .await;
        let stored = world.stored(&record.request_id).await.unwrap();
        assert_eq!(stored.status, Status::Ready);
        assert_eq!(stored.attempts[&1].state, AttemptState::Done);
        assert_eq!(stored.log_rocket_request_id.as_deref(), Some("id-1"));
        assert!(stored.result.is_some() && stored.failure.is_none() && stored.request_due_at.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_at_once_is_not_lost() {
    let world = World::start().await;
    let record = world.given(opened("k")).await;
    let add = |n: usize, record: Record| {
        let table = world.direct().clone();
        async move {
            let add = |record: &Record| record.join(&[token(n)], after(1), &Rules::default()).ok().flatten();
            table.change(record, add).await
        }
    };
    // In each round of the race at least one gets through.
    let answers = at_once(10, |n| add(n, record.clone())).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Changed::Written(_)))), "{answers:?}");
    let stored = world.stored(&record.request_id).await.unwrap();
    assert_eq!((stored.destinations.len(), stored.version), (10, 11));

    // More than that may be told that there were too many; they are told so, and nothing else is said.
    let more = at_once(10, |n| add(10 + n, record.clone())).await;
    let written = more.iter().filter(|answer| matches!(answer, Ok(Changed::Written(_)))).count();
    assert!(
        more.iter().all(|answer| matches!(answer, Ok(Changed::Written(_)) | Err(TableError::Contended))),
        "{more:?}"
    );
    assert_eq!(world.stored(&record.request_id).await.unwrap().destinations.len(), 10 + written);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knew_a_deleted_record_does_not_change_the_one_that_was_opened_after_it() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    let old = world.given(opened("k")).await;
    assert!(table.delete(&old.request_id, after(1)).await.unwrap());
    let confirm = |record: &Record| record.confirm(1, "id-of-the-old", &rules);
    assert!(matches!(table.change(old.clone(), confirm).await.unwrap(), Changed::Gone));

    let mut new = opened_by("k", "another run", None);
    new.created_at = after(2);
    let new = world.given(new).await;
    assert_eq!(new.version, old.version);
    assert!(matches!(table.change(old, confirm).await.unwrap(), Changed::Gone));
    assert_eq!(world.stored(&new.request_id).await, Some(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_ten_lets_ten_of_thirty_through_and_answers_their_repeats() {
    let world = World::with_limit(Some(10)).await;
    let records: Vec<_> = (0..30).map(|n| opened_by(&n.to_string(), "run", Some(MONTH))).collect();
    let answers = open_all(&world, records.clone()).await;
    let new = answers.iter().filter(|answer| matches!(answer, Opened::New)).count();
    let over = answers.iter().filter(|answer| matches!(answer, Opened::OverBudget)).count();
    assert_eq!((new, over, world.counted(MONTH)), (10, 20, 10));

    // A repeat is answered whatever the budget; what was over it left nothing behind.
    for (n, answer) in answers.iter().enumerate() {
        let repeat = opened_by(&n.to_string(), "another run", Some(MONTH));
        let repeated = world.direct().open(&repeat, START).await.unwrap();
        match answer {
            Opened::New => assert!(matches!(repeated, Opened::Twin(twin) if *twin == records[n])),
            _ => assert!(matches!(repeated, Opened::OverBudget)),
        }
    }
    assert_eq!(world.counted(MONTH), 10);
    assert_eq!(world.emulator.items().unwrap().len(), 10 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_none_lets_none_through() {
    let world = World::with_limit(Some(0)).await;
    let answers = open_all(&world, vec![opened_by("k", "run", Some(MONTH))]).await;
    assert!(matches!(answers.as_slice(), [Opened::OverBudget]));
    assert_eq!(world.emulator.items().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_comes_back_with_a_post_that_was_not_taken_and_is_made_again() {
    let world = World::with_limit(Some(2)).await;
    let (table, rules) = (world.direct(), Rules::default());
    let month = || Some(MONTH.to_owned());
    let record = world.given(opened_by("k", "run", Some(MONTH))).await;
    world.given(opened_by("another", "run", Some(MONTH))).await;
    assert_eq!(world.counted(MONTH), 2);

    // 1. Two hear that the POST was not taken: it is returned once.
    let answers = at_once(2, |n| {
        let (table, record, rules) = (table.clone(), record.clone(), rules.clone());
        let jitter = if n == 0 { 0.2 } else { 0.7 };
        async move {
            table.change(record, |record| record.not_taken(1, None, jitter, after(1), &rules)).await.unwrap()
        }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Changed::Written(_))).count(), 1);
    assert_eq!(world.counted(MONTH), 1);

    // 2. It is made again, and counted again.
    let record = world.stored(&record.request_id).await.unwrap();
    let started = table.change(record, |record| Some(record.start(1, month(), after(40), &rules))).await;
    let Ok(Changed::Written(started)) = started else { panic!("{started:?}") };
    assert_eq!(world.counted(MONTH), 2);

    // 3. It fails; for the next attempt there is no room.
    let failed = news(1, NewsOutcome::Failed);
    let receipt = table.receive(&started.request_id, &failed, after(50), &rules).await.unwrap();
    assert!(matches!(receipt, NewsReceipt::Stored(_)));
    let record = world.stored(&started.request_id).await.unwrap();
    let start = |record: &Record| Some(record.start(2, month(), after(90), &rules));
    assert!(matches!(table.change(record.clone(), start).await.unwrap(), Changed::OverBudget));
    assert_eq!(world.stored(&record.request_id).await, Some(record.clone()), "nothing of it is written");

    // 4. Nor for a refused request that is asked again, whose own POST came back.
    let other = world.stored(&id("another")).await.unwrap();
    let refused = table.change(other, |record| Some(refused(record))).await.unwrap();
    let Changed::Written(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(world.counted(MONTH), 1);
    let Ok(Changed::Written(_)) = table.change(record, start).await else { panic!("there is room again") };
    assert_eq!(world.counted(MONTH), 2);
    let reopen = |record: &Record| record.reopen("again", vec![], month(), after(99), &rules);
    assert!(matches!(table.change(*refused, reopen).await.unwrap(), Changed::OverBudget));
    assert_eq!(world.counted(MONTH), 2);
}
