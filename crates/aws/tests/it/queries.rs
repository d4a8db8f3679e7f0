//! What the indexes find.

use crate::world::{
    START, World, after, asked, id, new_request, news, opened, origin, ready, refused, settled, token,
};
use aws::table::{Claimed, Cursor, Due, DueItem, Owner, ShardOrder, Table};
use model::record::{Record, SHARDS, Status, Summary};
use model::request::Question;
use model::rules::{News, NewsOutcome, Rules};
use model::time::Time;
use std::collections::BTreeSet;
use std::future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn record_of(question: &Question, key: &str, now: Time, rules: &Rules) -> Record {
    Record::open(id(key), origin("run"), new_request(question.clone(), Vec::new()), None, now, rules)
}

async fn pages(table: &Table, question: &Question, limit: usize, now: Time) -> Vec<Vec<Summary>> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = table.list(&question.subject, limit, after.as_ref(), now).await.unwrap();
        pages.push(page.requests);
        let Some(next) = page.next else { return pages };
        after = Some(Cursor::decode(&next.encode()).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_every_request_once_newest_first_whatever_the_page() {
    let world = World::start().await;
    let short = Rules { retention_days: 1, pending_timeout: Duration::ZERO, ..Rules::default() };
    let now = after(5 * 24 * 60 * 60);
    for count in 0..=7 {
        let question = asked(&format!("user-{count}"));
        let mut expected = Vec::new();
        for n in 0..count {
            let key = |kind| format!("{kind}-{count}-{n}");
            let at = after(10 * n);
            let record = record_of(&question, &key("kept"), at, &Rules::default());
            expected.insert(0, Summary::from(&world.given(record).await));
            // Between them, some whose retention is over, and another's.
            for m in 0..n % 3 {
                let gone =
                    record_of(&question, &format!("{}-{m}", key("gone")), after(10 * n + 1 + m), &short);
                assert!(gone.is_gone(now));
                world.given(gone).await;
            }
            world.given(record_of(&asked("other"), &key("other"), at, &Rules::default())).await;
        }
        for limit in 1..=8 {
            let pages = pages(world.direct(), &question, limit, now).await;
            assert_eq!(pages.len(), expected.len().div_ceil(limit).max(1), "{count} by {limit}");
            assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "{count} by {limit}");
            assert_eq!(pages.concat(), expected, "{count} by {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_the_same_millisecond_are_neither_lost_nor_shown_twice() {
    let world = World::start().await;
    let question = asked("user");
    let mut expected = Vec::new();
    for n in 0..7 {
        let record = record_of(&question, &n.to_string(), after(n / 4), &Rules::default());
        expected.push(world.given(record).await.request_id);
    }
    expected.sort();
    for limit in 1..=7 {
        let listed = pages(world.direct(), &question, limit, START).await.concat();
        assert!(listed.windows(2).all(|pair| pair[0].created_at >= pair[1].created_at));
        let mut ids: Vec<_> = listed.into_iter().map(|entry| entry.request_id).collect();
        ids.sort();
        assert_eq!(ids, expected, "by {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_is_found_while_it_is_new_enough_and_not_failed() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    let question = asked("user");
    let find = async |since: Time, now: Time| {
        let found = table.find_same(&question, since, now).await.unwrap();
        found.map(|summary| summary.request_id)
    };
    assert_eq!(find(START, START).await, None);

    let first = world.given(record_of(&question, "first", START, &rules)).await;
    let second = world.given(record_of(&question, "second", after(10), &rules)).await;
    let another = Question { question: Some("another".into()), ..question.clone() };
    world.given(record_of(&another, "another", after(20), &rules)).await;
    world.given(record_of(&asked("somebody else"), "else", after(20), &rules)).await;

    assert_eq!(find(START, after(20)).await, Some(second.request_id.clone()), "the newest");
    assert_eq!(find(after(10), after(20)).await, Some(second.request_id.clone()), "at the limit");
    assert_eq!(find(Time(after(10).0 + 1), after(20)).await, None, "too old");

    // The metadata is the caller's own, and nothing that LogRocket is asked.
    let mut noted = question.clone();
    noted.metadata.insert("nps".into(), "3".into());
    let found = table.find_same(&noted, START, after(20)).await.unwrap();
    assert_eq!(found, Some(Summary::from(&second)));

    let failed = refused(&second);
    table.change(second.clone(), |_| Some(failed.clone())).await.unwrap();
    assert_eq!(find(START, after(20)).await, Some(first.request_id.clone()), "not the failed one");
    table.receive(&first.request_id, &news(1, ready()), after(30), &rules).await.unwrap();
    assert_eq!(find(START, after(40)).await, Some(first.request_id.clone()), "a ready one");
    assert_eq!(find(START, Time(i64::MAX)).await, None, "not past its retention");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_by_log_rockets_id_of_its_latest_attempt() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    let record = world.given(opened("k")).await;
    assert_eq!(table.find_by_log_rocket_id("id-1", START).await.unwrap(), None);

    table.receive(&record.request_id, &news(1, NewsOutcome::Failed), after(1), &rules).await.unwrap();
    let first = world.stored(&record.request_id).await.unwrap();
    assert_eq!(table.find_by_log_rocket_id("id-1", after(1)).await.unwrap(), Some(first.clone()));
    assert_eq!(table.find_by_log_rocket_id("id-1", Time(first.expires_at * 1000)).await.unwrap(), None);

    let start = |record: &Record| Some(record.start(2, None, after(40), &rules));
    table.change(first, start).await.unwrap();
    assert!(
        table.find_by_log_rocket_id("id-1", after(40)).await.unwrap().is_some(),
        "until there is another"
    );
    table.receive(&record.request_id, &news(2, ready()), after(50), &rules).await.unwrap();
    assert_eq!(table.find_by_log_rocket_id("id-1", after(50)).await.unwrap(), None);
    let second = world.stored(&record.request_id).await;
    assert_eq!(table.find_by_log_rocket_id("id-2", after(50)).await.unwrap(), second);
}

#[tokio::test(flavor = "multi_thread")]
async fn due_is_what_has_work_in_this_shard_by_now_the_longest_due_first() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    let mut pending = Vec::new();
    for n in 0..80 {
        let new = record_of(&asked("user"), &format!("due-{n}"), after(n * 7 % 80), &rules);
        let record = world.given(new).await;
        if n % 4 == 0 {
            let news = News { opened: record.created_at, ..news(1, ready()) };
            let answer = table.receive(&record.request_id, &news, after(1), &rules).await.unwrap();
            assert_eq!(answer, settled(Status::Ready));
        } else {
            pending.push(record);
        }
    }
    pending.sort_by_key(|record| record.request_due_at);

    let now = after(300 + 40);
    for shard in 0..SHARDS {
        let expected: Vec<DueItem> = pending
            .iter()
            .filter(|record| record.request_id.shard(SHARDS) == shard)
            .filter(|record| record.request_due_at.is_some_and(|due| due <= now))
            .map(|record| DueItem {
                request_id: record.request_id.clone(),
                due_at: record.request_due_at.unwrap(),
                due_since: record.request_due_since.unwrap(),
            })
            .collect();
        assert!(expected.len() > 2);
        assert_eq!(table.due(Owner::Request, shard, 50, now).await.unwrap(), expected);
        assert_eq!(table.due(Owner::Request, shard, 2, now).await.unwrap(), expected[..2]);
        assert_eq!(table.due(Owner::Request, shard, 50, after(299)).await.unwrap(), []);
    }
}

/// What is due, five of each shard, and what was found of it: 60 records, some in each shard.
async fn much_due(world: &World) -> (Due<'_>, Vec<Vec<DueItem>>) {
    let (table, rules) = (world.direct(), Rules::default());
    for n in 0..60 {
        world.given(record_of(&asked("user"), &format!("due-{n}"), after(n), &rules)).await;
    }
    let mut found = Vec::new();
    for shard in 0..SHARDS {
        found.push(table.due(Owner::Request, shard, 5, after(1_000)).await.unwrap());
    }
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [5; SHARDS as usize]);
    (table.all_due(Owner::Request, 5, after(1_000)).await.unwrap(), found)
}

fn shard(item: &DueItem) -> u8 {
    item.request_id.shard(SHARDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_works_shard_by_shard_and_passes_over_what_another_has_claimed_meanwhile() {
    let world = World::start().await;
    let (due, found) = much_due(&world).await;
    assert!(due.is_much());
    assert_eq!((due.count(), due.longest(after(1_000))), (20, Duration::from_secs(700)));
    let (table, rules, is_first) = (world.direct(), Rules::default(), AtomicBool::new(true));
    let work = |item: DueItem| {
        let (found, rules, is_first) = (&found, &rules, &is_first);
        async move {
            // Another claims the other shards as far as both have seen them: the sweep goes on behind that.
            if is_first.swap(false, Ordering::SeqCst) {
                for other in found.iter().flatten().filter(|other| shard(other) != shard(&item)) {
                    let claimed = table.claim(&other.request_id, other.due_at, after(1_000), rules).await;
                    assert!(claimed.unwrap().is_some());
                }
            }
            Some(item)
        }
    };
    let worked = due.work(ShardOrder::random(), 1, work).await;
    let turns: Vec<&[DueItem]> = worked.chunks(5).collect();
    assert!(turns.iter().all(|turn| turn.iter().all(|item| shard(item) == shard(&turn[0]))));
    assert_eq!(turns.iter().map(|turn| shard(&turn[0])).collect::<BTreeSet<_>>().len(), 4);
    assert_eq!(turns[0], found[usize::from(shard(&turns[0][0]))]);
    let behind = turns.iter().skip(1).flat_map(|turn| turn.iter());
    assert!(behind.clone().all(|item| found.iter().all(|found| !found.contains(item))));
    assert_eq!(behind.count(), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_a_shard_to_whoever_wins_its_claims_and_comes_back_to_it_in_the_end() {
    let world = World::start().await;
    let (due, found) = much_due(&world).await;
    let tried = Mutex::new(Vec::new());
    let work = |item: DueItem| {
        let mut tried = tried.lock().unwrap();
        tried.push(item.clone());
        // The first claim is won, and all others in its shard are lost.
        let is_of_the_first = shard(&item) == shard(&tried[0]);
        let is_won = !is_of_the_first || tried.len() == 1;
        future::ready(is_won.then_some(()))
    };
    let won = due.work(ShardOrder::random(), 1, work).await;
    assert_eq!(won.len(), 1 + 15);
    let tried = tried.into_inner().unwrap();
    let first = shard(&tried[0]);
    // 1. One is won and two are lost; 2. the other shards; 3. all of the first, whoever is there.
    let of_the_first: Vec<bool> = tried.iter().map(|item| shard(item) == first).collect();
    assert_eq!(of_the_first, [vec![true; 3], vec![false; 15], vec![true; 5]].concat());
    assert_eq!(tried[18..], found[usize::from(first)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_little_is_due_nobody_is_asked_again() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    for n in 0..8 {
        world.given(record_of(&asked("user"), &format!("due-{n}"), after(n), &rules)).await;
    }
    let due = table.all_due(Owner::Request, 50, after(1_000)).await.unwrap();
    assert!(!due.is_much());
    for n in 0..8 {
        assert!(table.delete(&id(&format!("due-{n}")), after(0)).await.unwrap());
    }
    let worked = due.work(ShardOrder::random(), 10, |item| future::ready(Some(item))).await;
    assert_eq!(worked.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_moves_the_due_date_and_not_since_when() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    let record = world.given(opened("k")).await;
    let shard = record.request_id.shard(SHARDS);
    let now = after(300);
    let found = table.due(Owner::Request, shard, 1, now).await.unwrap().remove(0);
    assert!(table.claim(&found.request_id, found.due_at, now, &rules).await.unwrap().is_some());
    assert_eq!(table.due(Owner::Request, shard, 1, now).await.unwrap(), []);
    let again = table.due(Owner::Request, shard, 1, after(360)).await.unwrap().remove(0);
    assert_eq!((again.due_at, again.due_since), (after(360), found.due_since));
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_due_from_the_outcome_until_they_are_claimed_and_again_when_the_lease_is_over() {
    let world = World::start().await;
    let (table, rules) = (world.direct(), Rules::default());
    let mut new = record_of(&asked("user"), "with", START, &rules);
    new = new.join(&[token(0)], START, &rules).unwrap().unwrap();
    let told = world.given(new).await;
    let nobody = world.given(record_of(&asked("user"), "without", START, &rules)).await;
    let shard = told.request_id.shard(SHARDS);
    assert_eq!(table.due(Owner::Webhook, shard, 10, after(9)).await.unwrap(), []);
    for record in [&told, &nobody] {
        table.receive(&record.request_id, &news(1, ready()), after(9), &rules).await.unwrap();
    }
    let due = |now| async move { table.due(Owner::Webhook, shard, 10, now).await.unwrap() };
    assert_eq!(due(after(8)).await, []);
    let found = DueItem { request_id: told.request_id.clone(), due_at: after(9), due_since: after(9) };
    assert_eq!(due(after(9)).await, [found]);
    // Nobody is to be told of the other: it never stands in the index.
    let other = nobody.request_id.shard(SHARDS);
    assert!(
        table
            .due(Owner::Webhook, other, 10, after(9))
            .await
            .unwrap()
            .iter()
            .all(|item| item.request_id != nobody.request_id)
    );

    let read = world.stored(&told.request_id).await.unwrap();
    let Claimed { tries, .. } = table.claim_deliveries(read, after(10), &rules).await.unwrap().unwrap();
    assert_eq!(tries.len(), 1);
    assert_eq!(due(after(69)).await, []);
    let again = DueItem { request_id: told.request_id.clone(), due_at: after(70), due_since: after(9) };
    assert_eq!(due(after(70)).await, [again]);
}

#[test]
fn a_cursor_that_is_none_is_not_read() {
    for text in ["", "e30", "not base64!", "eyJpZCI6Im5vIGlkIiwiYXQiOjF9"] {
        assert_eq!(Cursor::decode(text), None, "{text}");
    }
}
