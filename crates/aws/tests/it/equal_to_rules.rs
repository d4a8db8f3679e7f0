//! What the table does is what the pure rules say, over any history: each step is applied to a record in memory and to
//! the table, and the two records and the two answers must be equal.

use crate::given;
use crate::world::{MONTH, World, assert_same, new_request, origin, token};
use aws::table::{Changed, NewsReceipt, Opened, Settlement, Table};
use model::answer::Refusal;
use model::budget::{self, BudgetChange};
use model::id::RequestId;
use model::record::{Record, Status, Summary};
use model::request::{Question, Subject};
use model::result::{ResultTooLarge, StoredResult};
use model::rules::{News, NewsOutcome, Origin, Received, Rules};
use model::time::Time;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const CASES: u32 = 50;

#[derive(Clone, Debug)]
enum Step {
    /// Asked with the same key; `again`: the SDK repeats the opening whose answer was lost.
    Open {
        again: bool,
        reserves: bool,
        destinations: usize,
    },
    News {
        attempt: Which,
        id: Id,
        /// Of a request that stood there before, and was deleted.
        earlier: bool,
        outcome: NewsOutcome,
    },
    /// By a writer who saw the record as it stands, or an earlier one of its versions.
    Change {
        rule: Rule,
        stale: Option<Index>,
    },
    /// By a sweep that found it due; `waits`: not before it is.
    Claim {
        due: Due,
        waits: bool,
    },
    /// And perhaps asked again with the same key.
    Delete {
        opens: bool,
    },
    Wait(Wait),
}

#[derive(Clone, Debug)]
enum Rule {
    Confirm { attempt: Which, id: Id },
    NotTaken { attempt: Which, retry_after: Option<u64>, jitter: f64 },
    Refuse { attempt: Which, status: u16, deliver: bool },
    Reopen { destination: usize, reserves: bool },
    Start { next: bool, reserves: bool },
    PollAgain { attempt: Which, retry_after: Option<u64> },
    Expire,
    OverBudget,
    Fail,
    Release,
    Join { first: usize, count: usize },
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Latest,
    Number(u32),
}

#[derive(Clone, Copy, Debug)]
enum Id {
    Own,
    Strange,
}

#[derive(Clone, Debug)]
enum Due {
    Right,
    Stale(Index),
    Never,
}

#[derive(Clone, Debug)]
enum Wait {
    Seconds(u64),
    /// Until this many milliseconds around the moment.
    UntilDue(i64),
    UntilPendingEnds(i64),
    UntilKeptForTheLease(i64),
    UntilGone(i64),
}

fn histories() -> impl Strategy<Value = (Rules, Question, Vec<Step>)> {
    let rules =
        (1..=4u32, 1..=3u32, 60..4000u64, 0..3u64).prop_map(|(max_attempts, days, timeout, retry)| Rules {
            max_attempts,
            retention_days: days,
            pending_timeout: Duration::from_secs(timeout),
            retry_after: Duration::from_secs(retry * 30),
            ..Rules::default()
        });
    (rules, given::questions(), vec(steps(), 25))
}

fn steps() -> impl Strategy<Value = Step> {
    let id = || prop_oneof![6 => Just(Id::Own), 1 => Just(Id::Strange)];
    let opened = (prop::bool::weighted(0.3), any::<bool>(), 0..3usize)
        .prop_map(|(again, reserves, destinations)| Step::Open { again, reserves, destinations });
    let news = (which(), id(), prop::bool::weighted(0.1), outcomes())
        .prop_map(|(attempt, id, earlier, outcome)| Step::News { attempt, id, earlier, outcome });
    let change = (changes(), option::weighted(0.2, any::<Index>()))
        .prop_map(|(rule, stale)| Step::Change { rule, stale });
    let claim =
        prop_oneof![6 => Just(Due::Right), 1 => any::<Index>().prop_map(Due::Stale), 1 => Just(Due::Never)];
    let around = || -1100..=1100i64;
    let wait = prop_oneof![
        3 => (0..400u64).prop_map(Wait::Seconds),
        6 => around().prop_map(Wait::UntilDue),
        1 => around().prop_map(Wait::UntilPendingEnds),
        1 => around().prop_map(Wait::UntilKeptForTheLease),
        4 => around().prop_map(Wait::UntilGone),
    ];
    prop_oneof![
        4 => opened,
        16 => news,
        30 => change,
        10 => (claim, prop::bool::weighted(0.7)).prop_map(|(due, waits)| Step::Claim { due, waits }),
        4 => prop::bool::weighted(0.8).prop_map(|opens| Step::Delete { opens }),
        8 => wait.prop_map(Step::Wait),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![2 => Just(Which::Latest), 1 => (1..=4u32).prop_map(Which::Number)]
}

fn outcomes() -> impl Strategy<Value = NewsOutcome> {
    let gzip = vec(any::<u8>(), 0..200).prop_map(|bytes| NewsOutcome::Ready(StoredResult::Gzip(bytes)));
    prop_oneof![
        1 => Just(NewsOutcome::Pending),
        7 => Just(NewsOutcome::Failed),
        1 => given::text().prop_map(|json| NewsOutcome::Ready(StoredResult::Json(json))),
        1 => gzip,
        1 => (1..9usize).prop_map(|bytes| NewsOutcome::TooLarge(ResultTooLarge::Stored { bytes })),
    ]
}

fn changes() -> impl Strategy<Value = Rule> {
    let retry_after = || option::of(0..100_000u64);
    prop_oneof![
        6 => (which(), prop::bool::weighted(0.9)).prop_map(|(attempt, own)| Rule::Confirm {
            attempt,
            id: if own { Id::Own } else { Id::Strange },
        }),
        4 => (which(), retry_after(), 0.0..=1.0)
            .prop_map(|(attempt, retry_after, jitter)| Rule::NotTaken { attempt, retry_after, jitter }),
        2 => (which(), select(vec![302, 400, 401, 404]), any::<bool>())
            .prop_map(|(attempt, status, deliver)| Rule::Refuse { attempt, status, deliver }),
        5 => (0..4usize, any::<bool>())
            .prop_map(|(destination, reserves)| Rule::Reopen { destination, reserves }),
        10 => (prop::bool::weighted(0.7), any::<bool>())
            .prop_map(|(next, reserves)| Rule::Start { next, reserves }),
        2 => (which(), retry_after())
            .prop_map(|(attempt, retry_after)| Rule::PollAgain { attempt, retry_after }),
        1 => Just(Rule::Expire),
        1 => Just(Rule::OverBudget),
        1 => Just(Rule::Fail),
        2 => Just(Rule::Release),
        2 => (0..25usize, 0..4usize).prop_map(|(first, count)| Rule::Join { first, count }),
    ]
}

/// What happens dozens of times: if one of it is missing, the histories are not what they were meant to be.
const HAPPENS: [&str; 16] = [
    "change: Gone, seen stale",
    "change: Unchanged",
    "change: Unchanged, seen stale",
    "change: Written",
    "change: Written, seen stale",
    "claim: None",
    "claim: Some",
    "get: gone",
    "open: New, by its own repeat",
    "open: Twin",
    "receive: Gone",
    "receive: Known",
    "receive: OtherId",
    "receive: Failed of the latest attempt",
    "receive: Pending of the latest attempt",
    "receive: Ready of the latest attempt",
];

/// What was seen to happen, so that a history that never gets anywhere is noticed.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<String, u32>>);

impl Seen {
    fn count(&self, what: impl Into<String>) {
        *self.0.lock().unwrap().entry(what.into()).or_default() += 1;
    }
}

struct Machine<'a> {
    table: &'a Table,
    seen: &'a Seen,
    case: u32,
    id: RequestId,
    rules: Rules,
    question: Question,
    now: Time,
    invocations: u32,
    /// What the rules say that the table holds, even past its retention.
    record: Option<Record>,
    /// Every earlier version, of all that lived under this id.
    earlier: Vec<Record>,
    last_opening: Option<Record>,
    counted: i64,
}

impl Machine<'_> {
    async fn step(&mut self, step: &Step) {
        // No two lives of one id begin in the same millisecond.
        self.now = Time(self.now.0 + 1);
        match step {
            Step::Open { again, reserves, destinations } => self.open(*again, *reserves, *destinations).await,
            Step::News { attempt, id, earlier, outcome } => {
                self.receive(*attempt, *id, *earlier, outcome.clone()).await
            }
            Step::Change { rule, stale } => self.change(rule, *stale).await,
            Step::Claim { due, waits } => {
                if *waits {
                    self.wait(&Wait::UntilDue(0));
                }
                self.claim(due).await;
            }
            Step::Delete { opens } => {
                self.delete().await;
                if *opens {
                    self.open(false, true, 0).await;
                }
            }
            Step::Wait(wait) => self.wait(wait),
        }
        let stored = self.table.get(&self.id, Time(0)).await.unwrap();
        assert_same(stored.as_ref(), self.record.as_ref());
        let end = stored.map(|record| Time(record.expires_at * 1000));
        if end.is_some_and(|end| self.now.plus(Duration::from_secs(2)) > end) {
            let kept = self.record.as_ref().filter(|record| !record.is_gone(self.now));
            assert_same(self.table.get(&self.id, self.now).await.unwrap().as_ref(), kept);
            self.seen.count(format!("get: {}", if kept.is_some() { "almost gone" } else { "gone" }));
        }
    }

    async fn open(&mut self, again: bool, reserves: bool, destinations: usize) {
        let same_life = |record: &Record| {
            self.record.as_ref().is_some_and(|current| current.created_at == record.created_at)
        };
        let repeated = self.last_opening.clone().filter(|record| again && same_life(record));
        let new = repeated.unwrap_or_else(|| {
            let new = new_request(self.question.clone(), (0..destinations).map(token).collect());
            let reserved = self.reserved(reserves);
            Record::open(self.id.clone(), self.origin(), new, reserved, self.now, &self.rules)
        });
        let answer = self.table.open(&new, self.now).await.unwrap();
        let current = self.record.clone().filter(|record| !record.is_gone(self.now));
        match (current, answer) {
            (None, Opened::New) => {
                self.seen.count("open: New");
                self.last_opening = Some(new.clone());
                self.count(None, &new);
                self.earlier.extend(self.record.replace(new));
            }
            (Some(twin), Opened::New) => {
                self.seen.count("open: New, by its own repeat");
                assert_eq!((&twin.opening, twin.created_at), (&new.opening, new.created_at));
            }
            (Some(twin), Opened::Twin(found)) => {
                self.seen.count("open: Twin");
                assert_ne!((&twin.opening, twin.created_at), (&new.opening, new.created_at));
                assert_same(Some(&found), Some(&twin));
            }
            (current, answer) => panic!("{answer:?} where {current:?} is"),
        }
    }

    async fn receive(&mut self, attempt: Which, id: Id, earlier: bool, outcome: NewsOutcome) {
        let attempt = self.number(attempt);
        let created_at = self.record.as_ref().map_or(self.now, |record| record.created_at);
        let opened = Time(created_at.0 - i64::from(earlier));
        let news = News { opened, attempt, log_rocket_request_id: self.log_rocket_id(id, attempt), outcome };
        let answer = self.table.receive(&self.id, &news, self.now, &self.rules).await.unwrap();
        let received = match &self.record {
            Some(record) => record.receive(&news, self.now, &self.rules),
            None => Received::Gone,
        };
        let expected = match received {
            Received::Changed(next) => {
                let latest = if attempt == next.attempt { "latest" } else { "older" };
                self.seen.count(format!("receive: {:?} of the {latest} attempt", next.status));
                let settlement = match next.status {
                    Status::Pending => Settlement::StillPending,
                    status => Settlement::Settled(status),
                };
                self.write(*next);
                NewsReceipt::Stored(settlement)
            }
            Received::Known => NewsReceipt::Known,
            Received::OtherId => NewsReceipt::OtherId,
            Received::Gone => NewsReceipt::Gone,
        };
        self.seen.count(format!("receive: {expected:?}"));
        assert_eq!(answer, expected, "{news:?}");
    }

    async fn change(&mut self, rule: &Rule, stale: Option<Index>) {
        let stale = stale.filter(|_| !self.earlier.is_empty()).map(|index| index.get(&self.earlier).clone());
        let Some(seen) = stale.or_else(|| self.record.clone()) else { return };
        let rule = self.bound(rule);
        let answer = self.table.change(seen.clone(), &rule).await.unwrap();
        let (name, record) = match answer {
            Changed::Written(record) => ("Written", Some(*record)),
            Changed::Unchanged(record) => ("Unchanged", Some(*record)),
            Changed::OverBudget => ("OverBudget", None),
            Changed::Gone => ("Gone", None),
        };
        let (expected_name, expected) = match (rule(&seen), self.record.clone()) {
            (None, _) => ("Unchanged", Some(seen.clone())),
            (Some(_), None) => ("Gone", None),
            (Some(_), Some(current)) if current.created_at != seen.created_at => ("Gone", None),
            (Some(next), Some(current)) if next == current => ("Written", Some(current)),
            (Some(_), Some(current)) => match rule(&current) {
                None => ("Unchanged", Some(current)),
                Some(next) => ("Written", Some(next)),
            },
        };
        assert_eq!(name, expected_name, "of {seen:?} with {:?}", self.record);
        assert_same(record.as_ref(), expected.as_ref());
        let is_stale = self.record.as_ref() != Some(&seen);
        self.seen.count(format!("change: {name}{}", if is_stale { ", seen stale" } else { "" }));
        if let Some(next) = expected.filter(|_| name == "Written") {
            self.write(next);
        }
    }

    async fn claim(&mut self, due: &Due) {
        let current = self.record.as_ref().and_then(|record| record.request_due_at);
        let past: Vec<Time> = self.earlier.iter().filter_map(|record| record.request_due_at).collect();
        let seen_due = match due {
            Due::Right => current,
            Due::Stale(index) if !past.is_empty() => Some(*index.get(&past)),
            Due::Stale(_) => None,
            Due::Never => Some(Time(self.now.0 - 1)),
        };
        let Some(seen_due) = seen_due else { return };
        let claimed = self.table.claim(&self.id, seen_due, self.now, &self.rules).await.unwrap();
        let still_due = self.record.as_ref().filter(|_| current == Some(seen_due));
        let expected = still_due.and_then(|record| record.claim(self.now, &self.rules));
        assert_same(claimed.as_ref(), expected.as_ref());
        self.seen.count(format!("claim: {}", if claimed.is_some() { "Some" } else { "None" }));
        if let Some(next) = expected {
            if self.record.as_ref().is_some_and(|record| record.expires_at < next.expires_at) {
                self.seen.count("claim: Some, and kept for longer");
            }
            self.write(next);
        }
    }

    async fn delete(&mut self) {
        let deleted = self.table.delete(&self.id, self.now).await.unwrap();
        let record = self.record.take();
        assert_eq!(deleted, record.as_ref().is_some_and(|record| !record.is_gone(self.now)));
        self.earlier.extend(record);
    }

    fn wait(&mut self, wait: &Wait) {
        let Some(record) = &self.record else { return };
        let kept = record.expires_at * 1000;
        let two_days = 2 * 24 * 60 * 60 * 1000;
        let lease = i64::try_from(self.rules.lease.as_millis()).unwrap();
        let until = match wait {
            Wait::Seconds(seconds) => self.now.plus(Duration::from_secs(*seconds)).0,
            Wait::UntilDue(around) => record.request_due_at.map_or(0, |due| due.0) + around,
            Wait::UntilPendingEnds(around) => record.pending_until.0 + around,
            Wait::UntilKeptForTheLease(around) => kept - two_days - lease + around,
            Wait::UntilGone(around) => kept + around,
        };
        self.now = self.now.max(Time(until));
    }

    /// The rule as its caller would bind it: to the attempt and the time that he saw.
    fn bound(&mut self, rule: &Rule) -> impl Fn(&Record) -> Option<Record> + use<> {
        let (now, rules, rule) = (self.now, self.rules.clone(), rule.clone());
        let opening = self.origin().opening;
        let latest = self.number(Which::Latest);
        let number = move |which| if let Which::Number(number) = which { number } else { latest };
        let case = self.case;
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let month = self.month();
        let reserved = move |reserves: bool| reserves.then(|| month.clone());
        move |record: &Record| match &rule {
            Rule::Confirm { attempt, id } => {
                let attempt = number(*attempt);
                record.confirm(attempt, &log_rocket_id(case, *id, attempt), &rules)
            }
            Rule::NotTaken { attempt, retry_after, jitter } => {
                record.not_taken(number(*attempt), seconds(*retry_after), *jitter, now, &rules)
            }
            Rule::Refuse { attempt, status, deliver } => {
                let refusal = Refusal { status: *status, message: "no".into() };
                record.refuse(number(*attempt), &refusal, *deliver, now, &rules)
            }
            Rule::Reopen { destination, reserves } => {
                let more = vec![token(*destination)];
                record.reopen(&opening, more, reserved(*reserves), now, &rules)
            }
            Rule::Start { next, reserves } => {
                let attempt = record.attempt + u32::from(*next);
                let possible = record.status == Status::Pending && attempt <= rules.max_attempts;
                possible.then(|| record.start(attempt, reserved(*reserves), now, &rules))
            }
            Rule::PollAgain { attempt, retry_after } => {
                record.poll_again(number(*attempt), seconds(*retry_after), now, &rules)
            }
            Rule::Expire => record.expire(now, &rules),
            Rule::OverBudget => record.over_budget(now, &rules),
            Rule::Fail => record.fail(now, &rules),
            Rule::Release => record.release(now),
            Rule::Join { first, count } => {
                let more: Vec<_> = (*first..first + count).map(token).collect();
                record.join(&more, now, &rules).ok().flatten()
            }
        }
    }

    fn write(&mut self, next: Record) {
        let old = self.record.replace(next);
        if let (Some(old), Some(new)) = (&old, self.record.clone()) {
            self.count(Some(old), &new);
        }
        self.earlier.extend(old);
    }

    fn count(&mut self, old: Option<&Record>, new: &Record) {
        self.counted += match budget::change(old, new) {
            Some(BudgetChange::Reserve { .. }) => 1,
            Some(BudgetChange::Return { .. }) => -1,
            None => 0,
        };
    }

    fn number(&self, which: Which) -> u32 {
        match which {
            Which::Latest => self.record.as_ref().map_or(1, |record| record.attempt),
            Which::Number(number) => number,
        }
    }

    fn origin(&mut self) -> Origin {
        self.invocations += 1;
        origin(&format!("run-{}", self.invocations))
    }

    /// A month of its own for each case, so that its counter is too.
    fn month(&self) -> String {
        format!("{MONTH}-{}", self.case)
    }

    fn reserved(&self, reserves: bool) -> Option<String> {
        reserves.then(|| self.month())
    }

    fn log_rocket_id(&self, id: Id, attempt: u32) -> String {
        log_rocket_id(self.case, id, attempt)
    }
}

fn log_rocket_id(case: u32, id: Id, attempt: u32) -> String {
    match id {
        Id::Own => format!("id-{case}-{attempt}"),
        Id::Strange => format!("strange-{case}"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn runner(cases: u32) -> TestRunner {
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 100, ..Default::default() };
    TestRunner::new(config)
}

#[test]
fn over_any_history_the_table_ends_and_answers_as_the_rules_say() {
    let runtime = runtime();
    let world = runtime.block_on(World::with_limit(Some(1_000_000)));
    let (seen, cases) = (Seen::default(), AtomicU32::new(0));
    let run = |(rules, mut question, steps): (Rules, Question, Vec<Step>)| {
        let case = cases.fetch_add(1, Ordering::SeqCst);
        question.metadata.insert("case".into(), case.to_string());
        let mut machine = Machine {
            table: world.direct(),
            seen: &seen,
            case,
            id: crate::world::id(&format!("case-{case}")),
            rules,
            question,
            now: crate::world::START,
            invocations: 0,
            record: None,
            earlier: Vec::new(),
            last_opening: None,
            counted: 0,
        };
        runtime.block_on(async {
            machine.open(false, false, 1).await;
            for step in &steps {
                machine.step(step).await;
            }
        });
        assert_eq!(world.counted(&machine.month()), machine.counted, "the month's counter");
        Ok(())
    };
    runner(CASES).run(&histories(), run).unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.0.into_inner().unwrap();
    let missing: Vec<_> = HAPPENS.iter().filter(|what| !seen.contains_key(**what)).collect();
    assert!(missing.is_empty(), "no history got to {missing:?}; they got to {seen:#?}");
}

#[test]
fn any_record_comes_back_as_it_was_put_and_the_list_shows_its_summary() {
    let runtime = runtime();
    let world = runtime.block_on(World::start());
    let (table, keys) = (world.direct(), AtomicU32::new(0));
    let created_at = crate::world::START;
    let run = |given: Record| {
        // Under an id and a subject of its own: the list shows it alone, and shrinking may put it again.
        let key = format!("any-{}", keys.fetch_add(1, Ordering::SeqCst));
        let mut record = given;
        record.request_id = crate::world::id(&key);
        record.request.subject = match record.request.subject {
            Subject::Email(text) => Subject::Email(text + &key),
            Subject::Id(text) => Subject::Id(text + &key),
        };
        record.subject_hash = record.request.subject.hash();
        runtime.block_on(async {
            world.given(record.clone()).await;
            assert_same(world.stored(&record.request_id).await.as_ref(), Some(&record));
            let page = table.list(&record.request.subject, 10, None, Time(0)).await.unwrap();
            assert!(page.next.is_none());
            assert_eq!(page.requests, [Summary::from(&record)]);
        });
        Ok(())
    };
    let records = given::record(crate::world::id("any"), created_at);
    runner(CASES).run(&records, run).unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_change_from_any_record_to_any_other_writes_all_that_differs() {
    let runtime = runtime();
    let world = runtime.block_on(World::start());
    let keys = AtomicU32::new(0);
    let created_at = crate::world::START;
    let any = || given::record(crate::world::id("any"), created_at);
    let run = |(mut old, mut new): (Record, Record)| {
        let key = keys.fetch_add(1, Ordering::SeqCst);
        old.request_id = crate::world::id(&format!("any-{key}"));
        new.request_id = old.request_id.clone();
        new.version = old.version.wrapping_add(1);
        runtime.block_on(async {
            world.given(old.clone()).await;
            let changed = world.direct().change(old.clone(), |_| Some(new.clone())).await.unwrap();
            assert!(matches!(changed, Changed::Written(written) if *written == new));
            assert_same(world.stored(&new.request_id).await.as_ref(), Some(&new));
        });
        Ok(())
    };
    runner(CASES).run(&(any(), any()), run).unwrap_or_else(|failure| panic!("{failure}"));
}
