//! The steps: who may do what, and what becomes of it. Between two of them anything else may happen.

use crate::mutants::Mutant;
use crate::properties;
use crate::row::{Eyes, Row};
use crate::scopes::{Manner, Scope};
use crate::table::{Changed, Receipt};
use crate::world::{Answer, Begun, Keys, Past, Post, Reply, Said, Stage, Trying, Worker, Workers, World};
use model::answer::Refusal;
use model::delivery::{Delivery, DeliveryAnswer, DeliveryKey, DeliveryState, OutcomeKind, Progress};
use model::destination::{Destination, parse_defaults};
use model::id::RequestId;
use model::record::{Attempt, AttemptState, Record, Status};
use model::request::{NewRequest, RequestRules};
use model::result::{ResultTooLarge, StoredResult};
use model::rules::{News, NewsOutcome, Origin, Work};
use model::time::Time;
use model::token::CallbackKeys;
use stateright::{Model, Property};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const START: Time = Time(1_715_481_030_000);
const APP: &str = "org/app";
/// `request::post`: a POST is not begun with less time than this.
const SHORTEST_POST: Duration = Duration::from_millis(500);
/// What a stranger would like to be believed.
const FORGED: &str = "forged";

/// A scope, with or without a fault put in.
pub struct Protocol {
    pub scope: Scope,
    pub mutant: Option<Mutant>,
    pub(crate) eyes: Eyes,
    pub(crate) start: Time,
    id: RequestId,
    asked: NewRequest,
    joining: Vec<Destination>,
    keys: CallbackKeys,
    /// What each forged token was found to be: that takes a while, and is always the same.
    forged: Mutex<BTreeMap<(u32, ForgedToken, Time), Option<Time>>>,
}

/// The scope's own texts cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadScope;

/// One step of somebody. Workers, posts and tries are named by their place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The caller asks, again or for the first time.
    Ask,
    /// `maxAge` finds the request, and adds destinations.
    Join,
    Redeliver,
    Delete,
    /// A sweep of request λ finds the record due and claims it.
    SweepWork,
    /// A sweep of webhook λ does.
    SweepDeliveries,
    /// The stream hands a record over to webhook λ.
    Stream,
    /// The worker's next step; it has no choice.
    Step(usize),
    /// The worker's POST, and what becomes of it.
    Post(usize, Posting),
    /// The worker's poll, whose answer is lost.
    LosePoll(usize),
    /// The worker makes one of its tries.
    HandOver(usize, usize, Reply),
    /// The worker writes down how one of its tries ended.
    Mark(usize, usize),
    /// The worker is no more.
    Crash(usize),
    LogRocket(usize, Said),
    /// LogRocket's callback about what it ended.
    Callback(usize),
    /// A callback by a stranger who knows every token but the one that would fit.
    Forge {
        attempt: u32,
        token: ForgedToken,
        said: Said,
    },
    /// Nothing happens until the next date.
    Wait,
    /// Nothing happens until the retention is over.
    OutliveRetention,
}

/// How a POST goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Posting {
    Accepted,
    TakenUnheard,
    Lost,
    NotTaken,
    Refused,
}

/// A token that was not made for what it is presented with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ForgedToken {
    Made,
    OfAttempt(u32),
    OfOpening(Time),
}

impl Protocol {
    pub fn new(scope: Scope, mutant: Option<Mutant>) -> Result<Self, BadScope> {
        let rules = RequestRules::default();
        let body = format!(r#"{{"userID":"u","destinations":{}}}"#, scope.destinations);
        let asked = NewRequest::parse(body.as_bytes(), &rules).map_err(|_| BadScope)?;
        let joining = parse_defaults(scope.joining, &rules.destinations).map_err(|_| BadScope)?;
        if asked.destinations.len() + joining.len() != scope.manners.len() {
            return Err(BadScope);
        }
        let keys = CallbackKeys::new(vec![vec![7u8; 32].into()]).ok_or(BadScope)?;
        let id = RequestId::for_key("ops", "1");
        Ok(Self {
            scope,
            mutant,
            eyes: Eyes::Plain,
            start: START,
            id,
            asked,
            joining,
            keys,
            forged: Mutex::default(),
        })
    }

    /// The same, with states told apart by everything.
    #[must_use]
    pub fn sharp(self) -> Self {
        Self { eyes: Eyes::Sharp, ..self }
    }

    /// A world of a sharp protocol, as a plain one sees it.
    pub fn plain(&self, world: &World) -> World {
        let plain = |row: &Row| Row::new(Record::clone(row), self.start, Eyes::Plain);
        let mut seen = world.clone();
        seen.row = world.row.as_ref().map(plain);
        for worker in &mut seen.workers.0 {
            if let Stage::Claimed(row) = &mut worker.stage {
                *row = plain(row);
            }
        }
        seen
    }

    pub(crate) fn opened(&self, now: Time) -> Record {
        let origin = Origin { caller: "ops".to_owned(), opening: "asking".to_owned() };
        Record::open(self.id.clone(), origin, self.asked.clone(), self.reserved(now), now, &self.scope.rules)
    }

    fn reserved(&self, now: Time) -> Option<String> {
        self.scope.limit.map(|_| now.month())
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether nothing goes on by itself: nobody is at work, nothing will be found by a sweep, and no date is waited for.
    /// What LogRocket or the stream could still say does not count: it may be lost.
    pub fn is_at_rest(&self, world: &World) -> bool {
        world.workers.0.is_empty()
            && !self.work_is_due(world)
            && !self.deliveries_are_due(world)
            && self.next_date(world).is_none()
    }

    fn work_is_due(&self, world: &World) -> bool {
        let due = world.row.as_ref().and_then(|row| row.request_due_at);
        !self.is(Mutant::NoSweep) && due.is_some_and(|due| due <= world.now)
    }

    fn deliveries_are_due(&self, world: &World) -> bool {
        if self.is(Mutant::NoSweep) || self.is(Mutant::StreamOnly) {
            return false;
        }
        // The index holds what has both.
        let due = |row: &Record| {
            row.webhook_shard.is_some() && row.webhook_due_at.is_some_and(|due| due <= world.now)
        };
        let rules = &self.scope.rules;
        world.row.as_ref().is_some_and(|row| due(row) && row.claim_deliveries(world.now, rules).is_some())
    }

    /// The next date at which something can be different: somebody's work becomes due, or waiting ends.
    fn next_date(&self, world: &World) -> Option<Time> {
        let row = world.row.as_ref()?;
        let waits = (row.status == Status::Pending).then_some(row.pending_until);
        // Also of a mark that is not due any more, but in the way of others for as long as it is in flight.
        let counts = |mark: &&Delivery| {
            mark.state == DeliveryState::Pending
                && (mark.in_flight_until.is_some() || row.webhook_due_at.is_some())
        };
        let marks = row.deliveries.values().filter(counts).map(Delivery::due_at);
        let webhook = row.webhook_due_at.filter(|_| row.webhook_shard.is_some());
        let lives = world.workers.0.iter().map(|worker| worker.until).min();
        let dates = row.request_due_at.into_iter().chain(waits).chain(webhook).chain(marks);
        let next = dates.filter(|date| *date > world.now).min()?;
        lives.is_none_or(|until| next <= until).then_some(next)
    }

    fn at_work(world: &World, on_deliveries: bool) -> usize {
        let is_that = |worker: &&Worker| matches!(worker.stage, Stage::Deliver { .. }) == on_deliveries;
        world.workers.0.iter().filter(is_that).count()
    }

    fn spawn(&self, world: &mut World, stage: Stage) {
        let until = world.now.plus(self.scope.life);
        world.workers.0.push(Worker { until, stage });
    }

    /// LogRocket's report about what it ended.
    fn news(&self, world: &World, post: usize) -> Option<News> {
        let Post { opened, attempt, outcome, .. } = world.posts.get(post)?;
        let id = log_rocket_id(post);
        let outcome = outcome_of((*outcome)?, &id);
        Some(News { opened: *opened, attempt: *attempt, log_rocket_request_id: id, outcome })
    }

    fn ask(&self, world: &mut World) -> Option<()> {
        world.left.asks = world.left.asks.checked_sub(1)?;
        let now = world.now;
        match world.row.clone().filter(|row| !row.is_gone(now)) {
            None if self.is(Mutant::RecordAfterPost) => {
                let begun = Begun { opened: now, attempt: 1, started_at: now, waiting: true };
                self.spawn(world, Stage::Post(begun));
            }
            None => {
                if !self.open(world, now) {
                    return None;
                }
                self.spawn_post(world, true);
            }
            Some(twin) if twin.is_refused() => {
                let more = self.asked.destinations.clone();
                let reserved = self.reserved(now);
                let rule = |row: &Record| row.reopen("asking", more, reserved, now, &self.scope.rules);
                match self.change(world, twin.created_at, rule) {
                    Changed::Written => self.spawn_post(world, true),
                    _ => return None,
                }
            }
            Some(twin) => {
                let rule = |row: &Record| row.join(&[], now, &self.scope.rules).ok().flatten();
                let is_written = !self.is(Mutant::PromiseNotWritten)
                    && matches!(self.change(world, twin.created_at, rule), Changed::Written);
                if world.past.promised && !is_written {
                    return None;
                }
                world.past.promised = true;
            }
        }
        Some(())
    }

    fn spawn_post(&self, world: &mut World, waiting: bool) {
        if let Some(begun) = world.row.as_ref().and_then(|row| begun(row, waiting)) {
            self.spawn(world, Stage::Post(begun));
        }
    }

    /// A worker's POST. What comes back is the next stage; nothing, if no answer came.
    fn post(&self, world: &mut World, begun: Begun, how: Posting) -> Option<Stage> {
        let Begun { opened, attempt, waiting, .. } = begun;
        if matches!(how, Posting::Accepted | Posting::TakenUnheard) {
            let token = self.keys.sign(APP, &self.id, attempt, opened);
            // Verifying asks nothing but the token: it is the same whenever the callback comes.
            let verified = self.keys.verify(APP, self.id.as_str(), attempt, &token);
            world.posts.push(Post { verified, opened, attempt, outcome: None });
        }
        let answer = match how {
            Posting::Accepted => Answer::Accepted { id: log_rocket_id(world.posts.len() - 1) },
            Posting::NotTaken => Answer::NotTaken,
            Posting::Refused => Answer::Refused,
            Posting::TakenUnheard | Posting::Lost if self.unrecorded(world, opened) => {
                return Some(Stage::Open { opened, id: None });
            }
            Posting::TakenUnheard | Posting::Lost => {
                world.past.promised |= waiting && is_there(world, opened);
                return None;
            }
        };
        if self.unrecorded(world, opened) {
            let id = match answer {
                Answer::Accepted { id } => Some(id),
                _ => None,
            };
            return Some(Stage::Open { opened, id });
        }
        Some(Stage::Answered { begun, answer })
    }

    fn unrecorded(&self, world: &World, opened: Time) -> bool {
        self.is(Mutant::RecordAfterPost) && world.row.as_ref().is_none_or(|row| row.created_at != opened)
    }

    /// `App::write_down`, and what the caller is told.
    fn write_down(&self, world: &mut World, begun: &Begun, answer: &Answer) {
        let (now, rules) = (world.now, &self.scope.rules);
        let Begun { opened, attempt, waiting, .. } = *begun;
        let mut refused = false;
        match answer {
            Answer::Accepted { id } => {
                self.change(world, opened, |row| row.confirm(attempt, id, rules));
            }
            Answer::NotTaken => {
                self.change(world, opened, |row| row.not_taken(attempt, None, 0.5, now, rules));
            }
            Answer::Refused => {
                let refusal = Refusal { status: 404, message: String::new() };
                let rule = |row: &Record| row.refuse(attempt, &refusal, !waiting, now, rules);
                refused = matches!(self.change(world, opened, rule), Changed::Written);
            }
        }
        world.past.promised |= waiting && !refused && is_there(world, opened);
    }

    /// `App::work_on`, behind the claim: the decision, and what it does first.
    fn work(&self, world: &mut World, row: &Record, poll_is_lost: bool) -> Option<Stage> {
        let (now, rules, opened) = (world.now, &self.scope.rules, row.created_at);
        match row.work(now, rules) {
            Work::Wait => {
                self.change(world, opened, |row| row.release(now));
            }
            Work::Start { attempt } => {
                let reserved = self.reserved(now);
                let rule = |row: &Record| {
                    let needed = row.work(now, rules) == Work::Start { attempt };
                    let is_next = self.is(Mutant::NumberNotReused) && attempt == row.attempt;
                    let number = if is_next { attempt + 1 } else { attempt };
                    (needed || self.is(Mutant::AttemptNotRechecked))
                        .then(|| row.start(number, reserved, now, rules))
                };
                return match self.change(world, opened, rule) {
                    Changed::Written => world.row.as_ref().and_then(|row| begun(row, false)).map(Stage::Post),
                    Changed::OverBudget => Some(Stage::OverBudget { opened }),
                    Changed::Unchanged(current) if current.status == Status::Pending => {
                        Some(Stage::Release { opened })
                    }
                    Changed::Unchanged(_) | Changed::Gone => None,
                };
            }
            decided @ Work::Poll { last: true, .. } if self.is(Mutant::NoLastPoll) => {
                return self.expire(world, opened, &decided);
            }
            Work::Poll { attempt, log_rocket_request_id, last } => {
                let post = (0..world.posts.len()).find(|post| log_rocket_id(*post) == log_rocket_request_id);
                let heard = post.filter(|post| {
                    !poll_is_lost && world.posts.get(*post).is_some_and(|post| post.outcome.is_some())
                });
                return Some(Stage::Polled { opened, attempt, last, id: log_rocket_request_id, heard });
            }
            Work::Expire => return self.expire(world, opened, &Work::Expire),
            Work::Fail => {
                self.change(world, opened, |row| row.fail(now, rules));
            }
        }
        None
    }

    /// `App::expire`.
    fn expire(&self, world: &mut World, opened: Time, decided: &Work) -> Option<Stage> {
        let (now, rules) = (world.now, &self.scope.rules);
        let rule = |row: &Record| {
            let needed = row.work(now, rules) == *decided || self.is(Mutant::ExpiryNotRechecked);
            needed.then(|| row.expire(now, rules)).flatten()
        };
        match self.change(world, opened, rule) {
            Changed::Unchanged(current) if current.status == Status::Pending => {
                Some(Stage::Release { opened })
            }
            _ => None,
        }
    }

    /// A callback whose token was found good for this opening, or a poll's answer.
    fn take_in(&self, world: &mut World, news: &News, is_first_call: bool) -> Receipt {
        let receipt = self.receive(world, news, is_first_call);
        let is_ready = matches!(news.outcome, NewsOutcome::Ready(_));
        // Gone with nobody having taken it away: lost.
        let is_owed = receipt == Receipt::Gone && self.scope.left.deletions == 0 && !self.scope.retention;
        let is_taken = matches!(receipt, Receipt::Stored | Receipt::Known);
        world.past.reached |= is_ready && (is_taken || is_owed);
        receipt
    }

    fn callback(&self, world: &mut World, post: usize) -> Option<()> {
        let mut news = self.news(world, post)?;
        news.opened = world.posts.get(post)?.verified?;
        let before = (world.row.clone(), world.past.clone());
        if self.take_in(world, &news, true) == Receipt::Undecided {
            if Self::at_work(world, false) > self.scope.at_once {
                return None;
            }
            self.spawn(world, Stage::Receive { post, polled: false });
            return Some(());
        }
        (before != (world.row.clone(), world.past.clone())).then_some(())
    }

    fn forge(&self, world: &mut World, attempt: u32, token: ForgedToken, said: Said) -> Option<()> {
        let row = world.row.as_ref()?;
        let opened = row.created_at;
        let verified = match self.verify_forged(attempt, token, opened) {
            None if self.is(Mutant::TokenNotChecked) => Some(opened),
            verified => verified,
        };
        // The stranger knows the attempt's id at LogRocket, if there is one.
        let id = row.attempts.get(&attempt).and_then(|entry| entry.log_rocket_request_id.clone());
        let id = id.unwrap_or_else(|| FORGED.to_owned());
        let outcome = match said {
            Said::Ready => NewsOutcome::Ready(StoredResult::Json(FORGED.to_owned())),
            said => outcome_of(said, FORGED),
        };
        let news = News { opened: verified?, attempt, log_rocket_request_id: id, outcome };
        matches!(self.receive(world, &news, false), Receipt::Stored).then_some(())
    }

    fn verify_forged(&self, attempt: u32, token: ForgedToken, opened: Time) -> Option<Time> {
        let verify = || {
            let text = match token {
                ForgedToken::Made => format!("{}.{}", opened.0, "A".repeat(43)),
                ForgedToken::OfAttempt(other) => self.keys.sign(APP, &self.id, other, opened),
                ForgedToken::OfOpening(earlier) => self.keys.sign(APP, &self.id, attempt, earlier),
            };
            self.keys.verify(APP, self.id.as_str(), attempt, &text)
        };
        let mut known = self.forged.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry((attempt, token, opened)).or_insert_with(verify)
    }

    fn deliver(&self, world: &mut World) -> Option<()> {
        let opened = world.row.as_ref()?.created_at;
        let tries = self.claim_deliveries(world)?;
        if !tries.is_empty() {
            let tries = tries.into_iter().map(|this| Trying { this, said: None }).collect();
            self.spawn(world, Stage::Deliver { opened, tries });
        }
        Some(())
    }

    fn hand_over(&self, world: &mut World, opened: Time, trying: &mut Trying, reply: Reply) {
        trying.said = Some(reply);
        let key = trying.this.key;
        if matches!(reply, Reply::TakenUnheard | Reply::NotNow) && self.manner(key) == Some(Manner::Moody) {
            world.left.moods = world.left.moods.saturating_sub(1);
        }
        if !is_there(world, opened) {
            return;
        }
        let result = DeliveryKey { outcome: OutcomeKind::Result, ..key };
        let is_told = world.took.contains(result);
        world.past.told_backwards |=
            key.outcome == OutcomeKind::Failure && is_told && trying.this.until > world.now;
        if matches!(reply, Reply::Taken | Reply::TakenUnheard) {
            world.took.insert(key);
        }
    }

    fn mark(&self, world: &mut World, opened: Time, trying: &Trying) -> Option<()> {
        let now = world.now;
        let progress = Progress::default;
        let answer = match trying.said? {
            Reply::Taken => DeliveryAnswer::Delivered { external_id: None },
            Reply::TakenUnheard | Reply::NotNow => {
                DeliveryAnswer::Again { error: String::new(), retry_after: None, progress: progress() }
            }
            Reply::Never => DeliveryAnswer::Refused { error: String::new(), progress: progress() },
        };
        self.change(world, opened, |row| {
            let next = row.end_delivery(&trying.this, &answer, 0.5, now);
            match self.mutant {
                Some(Mutant::MarkOverwritten) if next.is_none() => {
                    let mut blind = row.clone();
                    let mark = blind.deliveries.get_mut(&trying.this.key)?;
                    mark.state = DeliveryState::Pending;
                    mark.in_flight_until = Some(trying.this.until);
                    blind.end_delivery(&trying.this, &answer, 0.5, now)
                }
                Some(Mutant::DueDateDropped) => next.map(|mut next| {
                    next.webhook_due_at = None;
                    next
                }),
                _ => next,
            }
        });
        Some(())
    }

    fn manner(&self, key: DeliveryKey) -> Option<Manner> {
        self.scope.manners.get(key.destination).copied()
    }

    /// The worker's next step.
    fn step(&self, world: &mut World, worker: Worker, action: Action) -> Option<()> {
        let (now, rules) = (world.now, &self.scope.rules);
        let next = match worker.stage {
            Stage::Post(begun) => match action {
                Action::Post(_, how) => {
                    let left = match how {
                        Posting::Accepted => None,
                        Posting::TakenUnheard | Posting::Lost => Some(&mut world.left.unanswered),
                        Posting::NotTaken => Some(&mut world.left.not_taken),
                        Posting::Refused => Some(&mut world.left.refused),
                    };
                    if let Some(left) = left {
                        *left = left.checked_sub(1)?;
                    }
                    self.post(world, begun, how)
                }
                // There is no time left for it.
                _ => Some(Stage::Answered { begun, answer: Answer::NotTaken }),
            },
            Stage::Open { opened, id } => {
                self.open(world, opened);
                if let Some(id) = id {
                    self.change(world, opened, |row| row.confirm(1, &id, rules));
                }
                world.past.promised = true;
                None
            }
            Stage::Answered { begun, answer } => {
                self.write_down(world, &begun, &answer);
                None
            }
            Stage::Claimed(row) => {
                let is_lost = matches!(action, Action::LosePoll(_));
                if is_lost {
                    world.left.lost_polls = world.left.lost_polls.checked_sub(1)?;
                }
                self.work(world, &row, is_lost)
            }
            Stage::Polled { opened, attempt, last, id, heard } => {
                match heard.and_then(|post| Some((post, self.news(world, post)?))) {
                    Some((post, news)) => match self.take_in(world, &news, true) {
                        Receipt::Undecided => Some(Stage::Receive { post, polled: true }),
                        Receipt::Known => Some(Stage::Release { opened }),
                        Receipt::Stored | Receipt::Gone => None,
                    },
                    None if last => {
                        let decided = Work::Poll { attempt, log_rocket_request_id: id, last };
                        self.expire(world, opened, &decided)
                    }
                    None => {
                        self.change(world, opened, |row| row.poll_again(attempt, None, now, rules));
                        None
                    }
                }
            }
            Stage::Receive { post, polled } => {
                let news = self.news(world, post)?;
                let opened = news.opened;
                let receipt = self.take_in(world, &news, false);
                (polled && receipt == Receipt::Known).then_some(Stage::Release { opened })
            }
            Stage::OverBudget { opened } => {
                self.change(world, opened, |row| row.over_budget(now, rules));
                None
            }
            Stage::Release { opened } => {
                self.change(world, opened, |row| row.release(now));
                None
            }
            Stage::Deliver { opened, mut tries } => {
                match action {
                    Action::HandOver(_, at, reply) => {
                        self.hand_over(world, opened, tries.get_mut(at)?, reply)
                    }
                    Action::Mark(_, at) => {
                        let trying = tries.get(at)?.clone();
                        self.mark(world, opened, &trying)?;
                        tries.remove(at);
                    }
                    _ => return None,
                }
                (!tries.is_empty()).then_some(Stage::Deliver { opened, tries })
            }
        };
        if let Some(stage) = next {
            world.workers.0.push(Worker { until: worker.until, stage });
        }
        Some(())
    }

    fn worker_actions(&self, world: &World, at: usize, worker: &Worker, actions: &mut Vec<Action>) {
        match &worker.stage {
            Stage::Post(begun) => {
                let given_up = begun.started_at.plus(self.scope.rules.unknown_grace);
                let is_too_late = given_up.since(world.now) < SHORTEST_POST;
                let left = &world.left;
                let ways = [
                    (Posting::Accepted, 1),
                    (Posting::TakenUnheard, left.unanswered),
                    (Posting::Lost, left.unanswered),
                    (Posting::NotTaken, left.not_taken),
                    (Posting::Refused, left.refused),
                ];
                let ways = ways.into_iter().filter(|(_, left)| !is_too_late && *left > 0);
                actions.extend(ways.map(|(how, _)| Action::Post(at, how)));
                actions.extend(is_too_late.then_some(Action::Step(at)));
            }
            Stage::Claimed(row) => {
                actions.push(Action::Step(at));
                let polls = matches!(row.work(world.now, &self.scope.rules), Work::Poll { .. });
                if polls && world.left.lost_polls > 0 {
                    actions.push(Action::LosePoll(at));
                }
            }
            Stage::Deliver { tries, .. } => {
                for (which, trying) in tries.iter().enumerate() {
                    if trying.said.is_some() {
                        actions.push(Action::Mark(at, which));
                        continue;
                    }
                    let replies: &[Reply] = match self.manner(trying.this.key) {
                        Some(Manner::Moody) if world.left.moods > 0 => {
                            &[Reply::Taken, Reply::TakenUnheard, Reply::NotNow]
                        }
                        Some(Manner::Takes | Manner::Moody) => &[Reply::Taken],
                        Some(Manner::Refuses) => &[Reply::Never],
                        Some(Manner::Down) | None => &[Reply::NotNow],
                    };
                    actions.extend(replies.iter().map(|reply| Action::HandOver(at, which, *reply)));
                }
            }
            _ => actions.push(Action::Step(at)),
        }
        if world.left.crashes > 0 {
            actions.push(Action::Crash(at));
        }
    }

    fn forgeries(world: &World, actions: &mut Vec<Action>) {
        let Some(row) = &world.row else { return };
        let openings = world.posts.iter().map(|post| post.opened).filter(|opened| *opened != row.created_at);
        let openings: Vec<_> = openings.map(ForgedToken::OfOpening).collect();
        for attempt in 1..=row.attempt {
            let others = (1..=row.attempt + 1).filter(|other| *other != attempt);
            let tokens = std::iter::once(ForgedToken::Made).chain(others.map(ForgedToken::OfAttempt));
            for token in tokens.chain(openings.iter().copied()) {
                let said = [Said::Ready, Said::Failed];
                actions.extend(said.map(|said| Action::Forge { attempt, token, said }));
            }
        }
    }

    /// What a property asks about the past and no write shows.
    fn remember(&self, world: &mut World) {
        let Some(row) = &world.row else { return };
        if row.status != Status::Pending || world.now >= row.pending_until {
            return;
        }
        let is_ready = |entry: &Attempt| {
            let id = entry.log_rocket_request_id.as_ref();
            let is_open = entry.state == AttemptState::Open;
            let mut posts = world.posts.iter().enumerate();
            is_open
                && posts.any(|(at, post)| post.outcome == Some(Said::Ready) && Some(&log_rocket_id(at)) == id)
        };
        let could_be_polled = row.latest().is_some_and(is_ready);
        world.past.could_be_polled |= could_be_polled;
    }
}

fn is_there(world: &World, opened: Time) -> bool {
    world.row.as_ref().is_some_and(|row| row.created_at == opened)
}

/// LogRocket's id of its nth POST.
pub(crate) fn log_rocket_id(post: usize) -> String {
    format!("id{post}")
}

/// The result of the POST that has this id.
pub(crate) fn result_of(id: &str) -> String {
    format!(r#"{{"highlights":"{id}","sessions":[{{"recordingID":"5","sessionID":0,"highlights":"x"}}]}}"#)
}

fn outcome_of(said: Said, id: &str) -> NewsOutcome {
    match said {
        Said::Ready => NewsOutcome::Ready(StoredResult::Json(result_of(id))),
        Said::Failed => NewsOutcome::Failed,
        Said::TooLarge => NewsOutcome::TooLarge(ResultTooLarge::Stored { bytes: 400_000 }),
    }
}

/// The POST that the record's latest attempt stands for.
fn begun(row: &Record, waiting: bool) -> Option<Begun> {
    Some(Begun {
        opened: row.created_at,
        attempt: row.attempt,
        started_at: row.latest()?.started_at,
        waiting,
    })
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            now: self.start,
            row: None,
            workers: Workers::default(),
            posts: Vec::new(),
            streamed: false,
            took: Keys::default(),
            counted: 0,
            left: self.scope.left,
            past: Past::default(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let left = &world.left;
        let callers = [
            (Action::Ask, left.asks),
            (Action::Join, left.joins),
            (Action::Redeliver, left.redeliveries),
            (Action::Delete, left.deletions),
        ];
        actions.extend(callers.into_iter().filter(|(_, left)| *left > 0).map(|(action, _)| action));
        for (at, worker) in world.workers.0.iter().enumerate() {
            self.worker_actions(world, at, worker, actions);
        }
        if Self::at_work(world, false) < self.scope.at_once && self.work_is_due(world) {
            actions.push(Action::SweepWork);
        }
        if Self::at_work(world, true) < self.scope.at_once {
            if self.deliveries_are_due(world) {
                actions.push(Action::SweepDeliveries);
            }
            if world.streamed {
                actions.push(Action::Stream);
            }
        }
        for (at, post) in world.posts.iter().enumerate() {
            if post.outcome.is_some() {
                actions.push(Action::Callback(at));
                continue;
            }
            let ends = [(Said::Ready, 1), (Said::Failed, left.failed), (Said::TooLarge, left.too_large)];
            let ends = ends.into_iter().filter(|(_, left)| *left > 0);
            actions.extend(ends.map(|(said, _)| Action::LogRocket(at, said)));
        }
        if self.scope.forged {
            Self::forgeries(world, actions);
        }
        if self.next_date(world).is_some() {
            actions.push(Action::Wait);
        } else if self.is_at_rest(world)
            && world.row.as_ref().is_some_and(|row| self.scope.retention && !row.is_gone(world.now))
        {
            actions.push(Action::OutliveRetention);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut next = last.clone();
        let world = &mut next;
        let now = world.now;
        match action {
            Action::Ask => self.ask(world)?,
            Action::Join => {
                world.left.joins = world.left.joins.checked_sub(1)?;
                let found = world.row.as_ref()?;
                // What `maxAge` finds.
                if found.is_gone(now) || !matches!(found.status, Status::Pending | Status::Ready) {
                    return None;
                }
                let (opened, more) = (found.created_at, &self.joining);
                let rule = |row: &Record| row.join(more, now, &self.scope.rules).ok().flatten();
                match self.change(world, opened, rule) {
                    Changed::Written => world.past.promised = true,
                    _ => return None,
                }
            }
            Action::Redeliver => {
                world.left.redeliveries = world.left.redeliveries.checked_sub(1)?;
                let opened = world.row.as_ref()?.created_at;
                match self.change(world, opened, |row| row.redeliver(now)) {
                    Changed::Written => {}
                    _ => return None,
                }
            }
            Action::Delete => {
                world.left.deletions = world.left.deletions.checked_sub(1)?;
                world.row.take()?;
                world.past = Past::default();
                // Nobody deletes and asks again within one millisecond.
                world.now = now.plus(Duration::from_millis(1));
            }
            Action::SweepWork => {
                let row = self.claim(world)?;
                self.spawn(world, Stage::Claimed(row));
            }
            Action::SweepDeliveries | Action::Stream => self.deliver(world)?,
            Action::Crash(at) => {
                world.left.crashes = world.left.crashes.checked_sub(1)?;
                world.workers.0.remove(at);
            }
            Action::Step(at)
            | Action::Post(at, _)
            | Action::LosePoll(at)
            | Action::HandOver(at, ..)
            | Action::Mark(at, _) => {
                let worker = world.workers.0.remove(at);
                self.step(world, worker, action)?;
            }
            Action::LogRocket(at, said) => {
                let left = match said {
                    Said::Ready => None,
                    Said::Failed => Some(&mut world.left.failed),
                    Said::TooLarge => Some(&mut world.left.too_large),
                };
                if let Some(left) = left {
                    *left = left.checked_sub(1)?;
                }
                world.posts.get_mut(at)?.outcome = Some(said);
            }
            Action::Callback(at) => self.callback(world, at)?,
            Action::Forge { attempt, token, said } => self.forge(world, attempt, token, said)?,
            Action::Wait => world.now = self.next_date(world)?,
            Action::OutliveRetention => {
                let over = world.row.as_ref()?.expires_at;
                world.now = Time(over.saturating_mul(1000));
                world.past = Past::default();
            }
        }
        self.remember(world);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.scope)
    }
}
