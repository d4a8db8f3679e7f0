//! What goes wrong, and how often it did: at LogRocket, at the destinations, at the table, in the stream, and to the
//! functions themselves.

use super::dice::Dice;
use super::plan::{Plan, StreamTrouble, TOO_LATE};
use crate::World;
use local::destinations::{Behaviour as Answer, Kind};
use local::hold::Hold;
use local::logrocket::{Behaviour, Post};
use local::proxy::{Call, Fault, Match, Point};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where killing waits for a call, and a destination that is told rarely might never have one.
const OFTEN_TOLD: [(u32, Kind); 4] =
    [(1, Kind::Webhook), (1, Kind::Slack), (1, Kind::Zendesk), (1, Kind::StepFunctions)];

/// What all sources of faults share.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// From then on nothing goes wrong any more.
    calm: AtomicBool,
    injected: Mutex<BTreeMap<String, usize>>,
    kills: Mutex<usize>,
    /// When LogRocket has said all that it was told to say.
    all_said: Mutex<Option<Instant>>,
}

impl Faults {
    /// Puts them in everywhere.
    pub(super) fn unleash(&self, world: &World, plan: &mut Plan, seed: u64) {
        let (faults, mut posts) = (self.clone(), PlannedPosts::new(std::mem::take(&mut plan.posts)));
        world.log_rocket.choose(move |post| {
            let (name, behaviour) = posts.next(post).filter(|_| !faults.is_calm())?;
            if !name.is_empty() {
                faults.count("LogRocket", name);
            }
            if name == "callback too late" {
                *lock(&faults.0.all_said) = Some(Instant::now() + TOO_LATE + Duration::from_millis(500));
            }
            Some(behaviour)
        });
        let (faults, mut dice) = (self.clone(), Dice::new(seed, "polls"));
        world.log_rocket_calls.choose(move |call| faults.of_poll(call, &mut dice));
        let (faults, mut source) = (self.clone(), TableFaults::new(seed));
        world.table_calls.choose(move |_| {
            source.next().filter(|_| !faults.is_calm()).map(|(name, fault)| {
                faults.count("the table", name);
                fault
            })
        });
        let (faults, mut dice) = (self.clone(), HashMap::new());
        world.destinations.choose(move |call| {
            let kind = call.kind;
            let dice = dice.entry(kind).or_insert_with(|| Dice::new(seed, &format!("{kind:?}")));
            let (name, answer) = answer(dice, kind)?;
            if faults.is_calm() {
                return None;
            }
            faults.count("destinations", name);
            Some(answer)
        });
    }

    /// Everything works from now on; what was told to be late still is.
    pub(super) fn calm(&self, world: &World) {
        self.0.calm.store(true, Ordering::SeqCst);
        world.table_calls.clear();
        world.log_rocket_calls.clear();
        if let Some(stream) = &world.stream {
            stream.delay(Duration::ZERO);
            stream.resume();
        }
    }

    fn is_calm(&self) -> bool {
        self.0.calm.load(Ordering::SeqCst)
    }

    fn count(&self, whose: &str, name: &str) {
        *lock(&self.0.injected).entry(format!("{whose}: {name}")).or_default() += 1;
    }

    pub(super) fn injected(&self) -> BTreeMap<String, usize> {
        lock(&self.0.injected).clone()
    }

    pub(super) fn kills(&self) -> usize {
        *lock(&self.0.kills)
    }

    pub(super) fn is_all_said(&self) -> bool {
        lock(&self.0.all_said).is_none_or(|at| at < Instant::now())
    }

    fn of_poll(&self, call: &Call, dice: &mut Dice) -> Option<Fault> {
        if !call.operation.starts_with("GET ") {
            return None;
        }
        let answer = |status| Fault::Answer { status, body: r#"{"error":"chaos"}"#.to_owned() };
        let delay = Fault::Delay(Duration::from_millis(dice.between(50, 800) as u64));
        let garbage = Fault::Answer { status: 200, body: r#"{"requestID": "0cc1"#.to_owned() };
        let (name, fault) = dice.pick(&[
            (70, None),
            (6, Some(("poll: 429", answer(429)))),
            (6, Some(("poll: 500", answer(500)))),
            (6, Some(("poll: cut", Fault::CutBefore))),
            (3, Some(("poll: answer lost", Fault::CutAfter))),
            (3, Some(("poll: broken answer", garbage))),
            (6, Some(("poll: slow", delay))),
        ])?;
        if self.is_calm() {
            return None;
        }
        self.count("LogRocket", name);
        Some(fault)
    }

    pub(super) fn trouble(&self, world: &World, trouble: StreamTrouble) {
        let Some(stream) = &world.stream else { return };
        let name = match trouble {
            StreamTrouble::Drop(records) => {
                stream.drop_next(records);
                "records lost"
            }
            StreamTrouble::Duplicate(records) => {
                stream.duplicate_next(records);
                "records twice"
            }
            StreamTrouble::Delay(delay) => {
                stream.delay(delay);
                if delay.is_zero() {
                    return;
                }
                "records late"
            }
            StreamTrouble::Pause => {
                stream.pause();
                "disabled"
            }
            StreamTrouble::Resume => return stream.resume(),
        };
        self.count("the stream", name);
    }

    /// Kills a function with SIGKILL, again and again, each time at a call that the seed names by its number.
    pub(super) async fn kill(&self, world: &World, seed: u64) {
        let mut dice = Dice::new(seed, "kills");
        loop {
            let is_request = dice.chance(50);
            let point = dice.pick(&[(1, Point::Before), (1, Point::After)]);
            let goes_on = dice.chance(50);
            let nth = dice.between(40, 260);
            let (at, hold) = match dice.between(0, 9) {
                0..=6 => ("a table's call", world.table_calls.hold(Match::any().nth(nth), point)),
                7..=8 => {
                    ("a call to LogRocket", world.log_rocket_calls.hold(Match::any().nth(nth / 20), point))
                }
                _ => ("a delivery", world.destinations.hold_next(dice.pick(&OFTEN_TOLD))),
            };
            let (name, function) = match at {
                "a delivery" => ("webhook λ", &world.webhook),
                "a call to LogRocket" => ("request λ", &world.request),
                _ if is_request => ("request λ", &world.request),
                _ => ("webhook λ", &world.webhook),
            };
            if hold.arrived().await.is_err() {
                continue;
            }
            function.kill().await;
            *lock(&self.0.kills) += 1;
            self.count("SIGKILL", &format!("{name} at {at}"));
            end(hold, goes_on);
            // Its processes start again meanwhile, and some of what was killed is asked again.
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Bytes that were on the wire when their sender died arrive, or do not.
fn end(hold: Hold, arrives: bool) {
    if arrives {
        hold.release();
    } else {
        hold.discard();
    }
}

/// What LogRocket does with each POST: the n-th for a subject meets the n-th that was planned for it.
struct PlannedPosts(Vec<std::vec::IntoIter<(&'static str, Behaviour)>>);

impl PlannedPosts {
    fn new(planned: Vec<Vec<(&'static str, Behaviour)>>) -> Self {
        Self(planned.into_iter().map(Vec::into_iter).collect())
    }

    fn next(&mut self, post: &Post) -> Option<(&'static str, Behaviour)> {
        let subject = ["userEmail", "userID"].into_iter().find_map(|field| post.body[field].as_str())?;
        self.0.get_mut(number_of(subject)?)?.next()
    }
}

/// `chaos-17@example.com`, as [`super::callers`] calls subjects.
fn number_of(subject: &str) -> Option<usize> {
    subject.split(['-', '@']).nth(1)?.parse().ok()
}

/// The table's n-th call meets the n-th of these. Some come in a row: the SDK tries again by itself, and is to fail.
struct TableFaults {
    dice: Dice,
    row: Option<(usize, (&'static str, Fault))>,
}

impl TableFaults {
    fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed, "table"), row: None }
    }

    fn next(&mut self) -> Option<(&'static str, Fault)> {
        if let Some((left, fault)) = self.row.take() {
            self.row = (left > 1).then(|| (left - 1, fault.clone()));
            return Some(fault);
        }
        let dice = &mut self.dice;
        if !dice.chance(4) {
            return None;
        }
        let delay = Fault::Delay(Duration::from_millis(dice.between(20, 400) as u64));
        let fault = dice.pick(&[
            (25, ("throttled", Fault::throttled())),
            (20, ("500", Fault::internal_error())),
            (15, ("cut before", Fault::CutBefore)),
            (20, ("cut after", Fault::CutAfter)),
            (20, ("slow", delay)),
        ]);
        if fault.0 != "slow" && dice.chance(20) {
            self.row = Some((dice.between(6, 20), fault.clone()));
        }
        Some(fault)
    }
}

/// How a destination answers instead of well.
fn answer(dice: &mut Dice, kind: Kind) -> Option<(&'static str, Answer)> {
    let slow = Answer::Slow(Duration::from_millis(dice.between(50, 800) as u64));
    dice.pick(&[
        (72, None),
        (6, Some(("429", Answer::RateLimited(1)))),
        (6, Some(("5xx", Answer::Failure))),
        (4, Some(("cut before", Answer::CutBefore))),
        (3, Some(("cut after", Answer::CutAfter))),
        (6, Some(("slow", slow))),
        (3, Some(("refused", Answer::Refused))),
    ])
    // That a task is gone is taken for our own answer, the one that was cut: nobody is left to tell either way.
    .filter(|(name, _)| kind != Kind::StepFunctions || *name != "refused")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A JSON value's text; empty where it is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
