//! Whatever happens to a request, in whatever order: what must hold of its record. The histories here are made of
//! the crate's own functions only; nothing of a rule is written down twice.

#![cfg(test)]

use model::answer::Refusal;
use model::destination::{MAX_IN_RECORD, parse_defaults};
use model::id::RequestId;
use model::record::{AttemptState, FailureCode, Record, Status};
use model::request::{NewRequest, RequestRules};
use model::result::{ResultTooLarge, StoredResult};
use model::rules::{News, NewsOutcome, Origin, Received, Rules, Work};
use model::time::Time;
use proptest::prelude::*;
use std::time::Duration;

const START: Time = Time(1_715_481_030_123);
const TWO_DAYS_MS: i64 = 2 * 24 * 60 * 60 * 1000;

/// What LogRocket says of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Pending,
    Failed,
    Ready(u8),
    TooLarge(usize),
}

#[derive(Clone, Debug)]
enum Step {
    Report {
        attempt: u32,
        said: Said,
        id: &'static str,
    },
    Confirm {
        attempt: u32,
    },
    NotTaken {
        retry_after: u64,
    },
    Refused {
        deliver: bool,
    },
    /// A claim and nothing more.
    Crash,
    Sweep {
        poll: Option<Said>,
    },
    OverBudget,
    Reopen {
        destination: u8,
    },
    Join {
        destination: u8,
    },
    Wait {
        seconds: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Claim,
    Reopen,
    Other,
}

#[derive(Clone)]
struct World {
    record: Record,
    rules: Rules,
    now: Time,
    /// The caller was told of the refusal, so that there is nothing to deliver.
    told: bool,
}

fn news(attempt: u32, said: Said, id: &str) -> News {
    let outcome = match said {
        Said::Pending => NewsOutcome::Pending,
        Said::Failed => NewsOutcome::Failed,
        Said::Ready(n) if n % 2 == 0 => NewsOutcome::Ready(StoredResult::Json(format!("result {n}"))),
        Said::Ready(n) => NewsOutcome::Ready(StoredResult::Gzip(vec![n])),
        Said::TooLarge(bytes) => NewsOutcome::TooLarge(ResultTooLarge::Stored { bytes }),
    };
    News { opened: START, attempt, log_rocket_request_id: format!("{id}{attempt}"), outcome }
}

fn destination(n: u8) -> Vec<model::destination::Destination> {
    let json = format!(r#"[{{"type":"stepFunctions","taskToken":"{n}"}}]"#);
    parse_defaults(&json, &RequestRules::default().destinations).unwrap()
}

fn opened(rules: &Rules, body: &str) -> Record {
    let new = NewRequest::parse(body.as_bytes(), &RequestRules::default()).unwrap();
    let origin = Origin { caller: "ops".into(), opening: "run".into() };
    Record::open(RequestId::for_key("ops", "1"), origin, new, None, START, rules)
}

impl World {
    fn open(rules: Rules, with_destination: bool) -> Self {
        let body = if with_destination {
            r#"{"userID":"u","webhookURL":"https://example.com"}"#
        } else {
            r#"{"userID":"u"}"#
        };
        let record = opened(&rules, body);
        let world = Self { record, rules, now: START, told: false };
        world.check(Kind::Other);
        world
    }

    fn step(&mut self, step: &Step) {
        let (now, rules) = (self.now, self.rules.clone());
        match step {
            Step::Wait { seconds } => self.now = now.plus(Duration::from_secs(*seconds)),
            Step::Report { attempt, said, id } => self.report(*attempt, *said, id),
            Step::Confirm { attempt } => {
                self.change(self.record.confirm(*attempt, &format!("id{attempt}"), &rules), Kind::Other);
            }
            Step::NotTaken { retry_after } => {
                let wait = Some(Duration::from_secs(*retry_after));
                let next = self.record.not_taken(self.record.attempt, wait, 0.5, now, &rules);
                self.change(next, Kind::Other);
            }
            Step::Refused { deliver } => {
                let refusal = Refusal { status: 404, message: String::new() };
                let next = self.record.refuse(self.record.attempt, &refusal, *deliver, now, &rules);
                self.told |= next.is_some() && !deliver;
                self.change(next, Kind::Other);
            }
            Step::OverBudget => self.change(self.record.over_budget(now, &rules), Kind::Other),
            Step::Reopen { destination: n } => {
                let next = self.record.reopen("again", destination(*n), None, now, &rules);
                self.told &= next.is_none();
                self.change(next, Kind::Reopen);
            }
            Step::Join { destination: n } => {
                let next = self.record.join(&destination(*n), now, &rules);
                self.change(next.unwrap_or(None), Kind::Other);
            }
            Step::Crash => self.change(self.record.claim(now, &rules), Kind::Claim),
            Step::Sweep { poll } => self.sweep(*poll),
        }
    }

    /// One pass of request λ's sweep. A POST that it makes is one of which nothing is known yet.
    fn sweep(&mut self, poll: Option<Said>) {
        let (now, rules) = (self.now, self.rules.clone());
        let Some(claimed) = self.record.claim(now, &rules) else { return };
        self.change(Some(claimed), Kind::Claim);
        match self.record.work(now, &rules) {
            Work::Wait => self.change(self.record.release(now), Kind::Other),
            Work::Start { attempt } => {
                self.change(Some(self.record.start(attempt, None, now, &rules)), Kind::Other);
            }
            Work::Poll { attempt, log_rocket_request_id, last } => {
                assert_eq!(log_rocket_request_id, format!("id{attempt}"));
                let version = self.record.version;
                if let Some(said) = poll {
                    self.report(attempt, said, "id");
                }
                if self.record.version == version {
                    let next = match last {
                        true => self.record.expire(now, &rules),
                        false => self.record.poll_again(attempt, None, now, &rules),
                    };
                    self.change(next, Kind::Other);
                }
            }
            Work::Expire => self.change(self.record.expire(now, &rules), Kind::Other),
            Work::Fail => self.change(self.record.fail(now, &rules), Kind::Other),
        }
    }

    fn report(&mut self, attempt: u32, said: Said, id: &str) {
        let news = news(attempt, said, id);
        let (latest, before) = (self.record.attempt, self.record.status);
        let Received::Changed(next) = self.record.receive(&news, self.now, &self.rules) else { return };
        assert_ne!(said, Said::Pending, "PENDING is a no-op");
        assert!(said != Said::Failed || attempt == latest, "an older attempt's failure says nothing");
        assert_ne!(before, Status::Ready, "nothing changes a READY");
        self.told = false;
        self.change(Some(*next), Kind::Other);
        let again = self.record.receive(&news, self.now, &self.rules);
        assert_eq!(again, Received::Known, "the same news twice");
    }

    fn change(&mut self, next: Option<Record>, kind: Kind) {
        let Some(next) = next else { return };
        let before = std::mem::replace(&mut self.record, next);
        let after = &self.record;
        assert_eq!(after.version, before.version + 1);
        if kind == Kind::Reopen {
            assert!(before.is_refused() && after.status == Status::Pending);
        } else {
            assert!(after.status >= before.status, "{:?} fell to {:?}", before.status, after.status);
        }
        if before.status == Status::Ready {
            assert_eq!((after.status, &after.failure), (Status::Ready, &None));
            assert_eq!((&after.result, &after.result_gzip), (&before.result, &before.result_gzip));
        }
        if kind == Kind::Claim {
            assert_eq!(after.request_due_since, before.request_due_since, "a claim hides nothing");
            assert_eq!(after.request_due_at, Some(self.now.plus(self.rules.lease)));
        }
        self.check(kind);
    }

    /// What holds of every record at any time.
    fn check(&self, kind: Kind) {
        let (record, rules) = (&self.record, &self.rules);
        let open = |state| matches!(state, AttemptState::Unknown | AttemptState::Open);
        let open = record.attempts.values().filter(|attempt| open(attempt.state)).count();
        assert!(open <= 1, "{open} open attempts");
        assert!(record.attempts.len() <= usize::try_from(rules.max_attempts).unwrap());
        assert!(record.attempt <= rules.max_attempts);

        let pending = record.status == Status::Pending;
        assert_eq!(record.request_due_at.is_some(), pending);
        assert_eq!(record.request_due_since.is_some(), pending);
        assert_eq!(record.completed_at.is_none(), pending);
        assert_eq!(record.failure.is_some(), matches!(record.status, Status::Expired | Status::Failed));
        let results = [record.result.is_some(), record.result_gzip.is_some()];
        let expected = usize::from(record.status == Status::Ready);
        assert_eq!(results.iter().filter(|there| **there).count(), expected);

        if let Some(due) = record.request_due_at {
            let latest = record.pending_until.plus(rules.retry_after);
            if kind != Kind::Claim {
                assert!(due <= latest.max(self.now.plus(rules.lease.max(rules.retry_after))));
            }
            // A failure that comes when the sweep has long been late is the exception: the claim mends it.
            if due <= latest || kind == Kind::Claim {
                assert!(record.expires_at * 1000 >= due.0 + TWO_DAYS_MS, "deleted before it is done");
            }
        }
        if let Some(due) = record.webhook_due_at {
            assert!(record.expires_at * 1000 >= due.0 + TWO_DAYS_MS, "deleted before it is delivered");
        }
        assert_eq!(record.webhook_due_since.is_some(), record.webhook_due_at.is_some());
        assert_eq!(record.webhook_shard.is_some(), !record.destinations.is_empty());
        assert!(record.destinations.len() <= MAX_IN_RECORD);
        if pending {
            assert!(record.webhook_due_at.is_none() && record.stream_hint.is_none());
        } else if !record.destinations.is_empty() && !self.told {
            assert!(record.webhook_due_at.is_some() && record.stream_hint.is_some());
        }
    }
}

/// How LogRocket behaves for as long as a request waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LogRocket {
    /// Nobody knows whether it takes anything.
    Unknown,
    /// Takes everything and says no more.
    Silent,
    /// Takes everything, and is still at work on it whenever it is asked.
    StillAtWork,
    Overloaded,
    /// Takes everything and calls back with a failure.
    CallsBackFailed,
    /// Takes everything and says that it failed when it is asked.
    AnswersFailed,
}

impl World {
    /// Sweeps until the record is settled; gives the number of passes.
    fn run(&mut self, log_rocket: LogRocket, crash_every: usize) -> usize {
        for pass in 1..=200 {
            let Some(due) = self.record.request_due_at else { return pass };
            self.now = self.now.max(due);
            if pass % crash_every == 0 {
                self.step(&Step::Crash);
                continue;
            }
            let attempt = self.record.attempt;
            let poll = match log_rocket {
                LogRocket::AnswersFailed => Some(Said::Failed),
                LogRocket::StillAtWork => Some(Said::Pending),
                _ => None,
            };
            let started = self.record.latest().map(|latest| latest.started_at);
            self.sweep(poll);
            let posted =
                self.record.attempt != attempt || self.record.latest().map(|l| l.started_at) != started;
            if posted {
                self.answer(log_rocket);
            }
        }
        panic!("not settled after 200 passes: {:?}", self.record);
    }

    fn answer(&mut self, log_rocket: LogRocket) {
        let attempt = self.record.attempt;
        match log_rocket {
            LogRocket::Unknown => {}
            LogRocket::Overloaded => self.step(&Step::NotTaken { retry_after: 0 }),
            LogRocket::Silent | LogRocket::StillAtWork | LogRocket::AnswersFailed => {
                self.step(&Step::Confirm { attempt });
            }
            LogRocket::CallsBackFailed => {
                self.report(attempt, Said::Failed, "id");
                self.step(&Step::Confirm { attempt });
            }
        }
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let seconds = |range: std::ops::RangeInclusive<u64>| range.prop_map(Duration::from_secs);
    let waits =
        (seconds(1..=120), seconds(10..=120), seconds(1..=700), seconds(10..=600), seconds(60..=7200));
    (1..=4u32, waits, 1..=40u32).prop_map(|(max_attempts, waits, retention_days)| {
        let (retry_after, lease, poll_after, unknown_grace, pending_timeout) = waits;
        Rules { max_attempts, retry_after, lease, poll_after, unknown_grace, pending_timeout, retention_days }
    })
}

fn any_said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Said::Pending),
        Just(Said::Failed),
        (0..3u8).prop_map(Said::Ready),
        (400_000..400_003usize).prop_map(Said::TooLarge),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let id = prop_oneof![9 => Just("id"), 1 => Just("other")];
    prop_oneof![
        // Failures come often: they are what makes further attempts.
        3 => (1..=5u32, any_said(), id).prop_map(|(attempt, said, id)| Step::Report { attempt, said, id }),
        4 => (1..=4u32).prop_map(|attempt| Step::Report { attempt, said: Said::Failed, id: "id" }),
        3 => (1..=4u32).prop_map(|attempt| Step::Confirm { attempt }),
        2 => (0..=9000u64).prop_map(|retry_after| Step::NotTaken { retry_after }),
        1 => any::<bool>().prop_map(|deliver| Step::Refused { deliver }),
        1 => Just(Step::Crash),
        6 => proptest::option::of(any_said()).prop_map(|poll| Step::Sweep { poll }),
        1 => Just(Step::OverBudget),
        1 => any::<u8>().prop_map(|destination| Step::Reopen { destination }),
        1 => any::<u8>().prop_map(|destination| Step::Join { destination }),
        6 => (0..=400u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => (0..=400_000u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// What happened to a request before the test begins.
#[derive(Clone, Debug)]
struct History {
    rules: Rules,
    with_destination: bool,
    steps: Vec<Step>,
}

impl History {
    fn play(self) -> World {
        let mut world = World::open(self.rules, self.with_destination);
        for step in &self.steps {
            world.step(step);
        }
        world
    }
}

fn any_history() -> impl Strategy<Value = History> {
    (any_rules(), any::<bool>(), proptest::collection::vec(any_step(), 0..40))
        .prop_map(|(rules, with_destination, steps)| History { rules, with_destination, steps })
}

/// One that most likely still waits in the end.
fn any_waiting_history() -> impl Strategy<Value = History> {
    let settles = |said: &Said| matches!(said, Said::Ready(_) | Said::TooLarge(_));
    let goes_on = move |step: &Step| match step {
        Step::Report { said, .. } | Step::Sweep { poll: Some(said) } => !settles(said),
        Step::Refused { .. } | Step::OverBudget => false,
        Step::Wait { seconds } => *seconds <= 400,
        _ => true,
    };
    any_history().prop_map(move |mut history| {
        history.steps.retain(goes_on);
        history
    })
}

/// What is said of which attempt, counted back from the latest one.
type Order = Vec<(u32, Said)>;

/// The same news in two orders, once and with repetitions.
fn any_two_orders() -> impl Strategy<Value = (Order, Order)> {
    // One result only: of two different ones the first wins, by the rule that nothing changes a READY.
    let said = prop_oneof![
        3 => Just(Said::Failed),
        1 => Just(Said::Ready(0)),
        1 => Just(Said::TooLarge(400_000)),
        1 => Just(Said::TooLarge(500_000)),
        1 => Just(Said::Pending),
    ];
    let back = prop_oneof![2 => Just(0), 1 => 0..4u32];
    proptest::collection::vec((back, said), 1..5).prop_flat_map(|once: Order| {
        let thrice = once.repeat(3);
        (Just(once).prop_shuffle(), Just(thrice).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_global_rejects: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every change is checked where it is made, in [`World::change`].
    #[test]
    fn a_record_keeps_the_rules_whatever_happens_to_it(history in any_history()) {
        history.play();
    }

    #[test]
    fn the_same_news_in_any_order_ends_the_same(
        (one, other) in any_two_orders(),
        history in prop_oneof![any_history(), any_waiting_history()],
    ) {
        let world = history.play();
        let end = |order: Order| {
            let mut world = world.clone();
            for (back, said) in order {
                let attempt = world.record.attempt - back % world.record.attempt;
                world.report(attempt, said, "id");
                world.now = world.now.plus(Duration::from_secs(1));
            }
            let record = world.record;
            let code = record.failure.as_ref().map(|failure| failure.code);
            (record.status, record.result, record.result_gzip, code)
        };
        prop_assert_eq!(end(one), end(other));
    }

    #[test]
    fn sweeping_while_logrocket_gives_no_outcome_ends_expired(
        history in any_waiting_history(),
        log_rocket in prop_oneof![
            Just(LogRocket::Unknown), Just(LogRocket::Silent), Just(LogRocket::StillAtWork), Just(LogRocket::Overloaded),
        ],
        crash_every in 2..9usize,
    ) {
        let mut world = history.play();
        prop_assume!(world.record.status == Status::Pending);
        // A last attempt's failure is an outcome, though the record be still pending.
        let failed = world.record.latest().is_some_and(|latest| latest.state == AttemptState::Failed);
        prop_assume!(!failed || world.record.attempt < world.rules.max_attempts);
        world.run(log_rocket, crash_every);
        prop_assert_eq!(world.record.status, Status::Expired);
        prop_assert_eq!(world.record.failure.map(|failure| failure.code), Some(FailureCode::Expired));
    }

    #[test]
    fn sweeping_while_logrocket_fails_ends_failed_after_every_attempt(
        rules in any_rules(),
        answers in any::<bool>(),
        crash_every in 2..9usize,
    ) {
        let wait = rules.poll_after + rules.retry_after + rules.lease * 4;
        let rules = Rules { pending_timeout: wait * (rules.max_attempts + 1), ..rules };
        let log_rocket = if answers { LogRocket::AnswersFailed } else { LogRocket::CallsBackFailed };
        let mut world = World::open(rules, true);
        world.answer(log_rocket);
        world.run(log_rocket, crash_every);
        prop_assert_eq!(world.record.status, Status::Failed);
        prop_assert_eq!(world.record.attempts.len(), usize::try_from(world.rules.max_attempts).unwrap());
        let code = world.record.failure.map(|failure| failure.code);
        prop_assert_eq!(code, Some(FailureCode::LogRocketFailed));
    }

    #[test]
    fn a_late_result_lifts_whatever_has_ended(history in any_history(), attempt in any::<u32>()) {
        let mut world = history.play();
        prop_assume!(world.record.status != Status::Ready && !world.record.is_gone(world.now));
        let attempt = attempt % world.record.attempt + 1;
        let id = world.record.attempts[&attempt].log_rocket_request_id.clone().unwrap_or_default();
        prop_assume!(!id.starts_with("other"));
        world.report(attempt, Said::Ready(0), "id");
        prop_assert_eq!(world.record.status, Status::Ready);
    }

    #[test]
    fn a_record_survives_being_written_down(history in any_history()) {
        let world = history.play();
        let json = serde_json::to_string(&world.record).unwrap();
        prop_assert!(serde_json::from_str::<Record>(&json).unwrap() == world.record);
    }
}
