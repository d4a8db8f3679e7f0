//! What is to happen: who asks for what, how, and what LogRocket makes of it. All of it from one seed.

use super::dice::Dice;
use local::logrocket::{Behaviour, Dialect, Outcome, Shape, Step};
use std::time::Duration;

/// After this LogRocket still answers a POST of which nobody waits any more: its request has expired.
pub(super) const TOO_LATE: Duration = Duration::from_millis(13_000);
/// LogRocket misbehaves in so many POSTs of a subject at most; from then on it does well.
const BAD_POSTS: usize = 4;
/// Messages that a queue hands over at once, at most.
const BATCH: usize = 3;

/// One who asks, and waits until he is promised something or refused.
pub(super) struct Asker {
    pub(super) source: Source,
    /// Several only where the source has batches.
    pub(super) asks: Vec<Ask>,
    /// Asks twice at once with the same key.
    pub(super) twice: bool,
    /// What happens to the stream just before.
    pub(super) stream: Option<StreamTrouble>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Http,
    Direct,
    EventBridge,
    Sns,
    Sqs,
}

#[derive(Clone)]
pub(super) struct Ask {
    pub(super) number: usize,
    /// The number of the first ask of this subject.
    pub(super) subject: usize,
    pub(super) by_email: bool,
    pub(super) max_age: bool,
    pub(super) targets: Vec<Target>,
    /// Whether people are told of failures, and of empty results.
    pub(super) told_all: bool,
    pub(super) then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Slack,
    SlackWebhook,
    Zendesk,
    Intercom,
    Hubspot,
    Salesforce,
    Teams,
    Webhook,
    EventBridge,
    StepFunctions,
}

/// What the caller does once he has his promise, after that long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    AskAgain(Duration),
    Redeliver(Duration),
    Delete(Duration),
}

#[derive(Clone, Copy)]
pub(super) enum StreamTrouble {
    Drop(usize),
    Duplicate(usize),
    Delay(Duration),
    Pause,
    Resume,
}

pub(super) struct Plan {
    pub(super) askers: Vec<Asker>,
    /// By subject: what becomes of each POST for it, one after the other, and how that is called in the table.
    pub(super) posts: Vec<Vec<(&'static str, Behaviour)>>,
}

impl Plan {
    pub(super) fn new(dice: &mut Dice, requests: usize) -> Self {
        let mut plan = Self { askers: Vec::new(), posts: Vec::new() };
        let mut number = 0;
        while number < requests {
            let source = dice.pick(&[
                (60, Source::Http),
                (15, Source::Direct),
                (10, Source::Sqs),
                (10, Source::EventBridge),
                (5, Source::Sns),
            ]);
            let batch = if source == Source::Sqs { dice.between(1, BATCH).min(requests - number) } else { 1 };
            let asks: Vec<Ask> =
                (number..number + batch).map(|number| plan.ask(dice, source, number)).collect();
            number += batch;
            let stream = dice.chance(10).then(|| stream_trouble(dice));
            // His twin might still be asking when he deletes it, and would make it anew.
            let deletes = |ask: &Ask| matches!(ask.then, Then::Delete(_));
            let twice = dice.chance(5) && !asks.iter().any(deletes);
            plan.askers.push(Asker { source, asks, twice, stream });
        }
        plan
    }

    fn ask(&mut self, dice: &mut Dice, source: Source, number: usize) -> Ask {
        let posts = (0..BAD_POSTS).map(|_| post(dice)).collect();
        self.posts.push(posts);
        let mut targets = vec![
            Target::Slack,
            Target::SlackWebhook,
            Target::Zendesk,
            Target::Intercom,
            Target::Hubspot,
            Target::Salesforce,
            Target::Teams,
            Target::Webhook,
            Target::EventBridge,
            Target::StepFunctions,
        ];
        dice.shuffle(&mut targets);
        targets.truncate(dice.between(0, 3));
        let wait = Duration::from_millis(dice.between(100, 2_500) as u64);
        let then = dice.pick(&[
            (80, Then::Nothing),
            (8, Then::AskAgain(wait)),
            (8, Then::Redeliver(wait)),
            (4, Then::Delete(wait)),
        ]);
        let mut ask = Ask {
            number,
            subject: number,
            by_email: dice.chance(50),
            max_age: false,
            targets,
            told_all: dice.chance(70),
            then,
        };
        // The one before may be the same question: it is joined, if it is found.
        let before = self.askers.last().and_then(|asker| asker.asks.last());
        if let Some(before) = before
            && source == Source::Http
            && !matches!(before.then, Then::Delete(_))
            && !matches!(ask.then, Then::Delete(_))
            && dice.chance(12)
        {
            (ask.subject, ask.by_email, ask.max_age) = (before.subject, before.by_email, true);
        }
        ask
    }
}

fn stream_trouble(dice: &mut Dice) -> StreamTrouble {
    let records = dice.between(1, 4);
    let delay = Duration::from_millis(dice.between(50, 1_500) as u64);
    dice.pick(&[
        (30, StreamTrouble::Drop(records)),
        (25, StreamTrouble::Duplicate(records)),
        (15, StreamTrouble::Delay(delay)),
        (10, StreamTrouble::Delay(Duration::ZERO)),
        (8, StreamTrouble::Pause),
        (12, StreamTrouble::Resume),
    ])
}

/// What becomes of one POST, and how that is called in the table.
fn post(dice: &mut Dice) -> (&'static str, Behaviour) {
    let soon = Duration::from_millis(dice.between(20, 400) as u64);
    let later = soon + Duration::from_millis(dice.between(100, 600) as u64);
    let taken = dice.chance(50);
    let not_taken = dice.pick(&[(1, 429), (1, 500), (1, 503)]);
    let unknown = dice.pick(&[(1, 502), (1, 504)]);
    let refusal = dice.pick(&[(1, 400), (1, 401), (1, 402), (1, 403), (1, 404)]);
    let ready = Behaviour::ready().after(soon);
    let failed_then_ready = Behaviour::failed().after(later).then(Step::new(Outcome::Ready).after(soon));
    let ready_then_failed = Behaviour::ready().after(soon).then(Step::new(Outcome::Failed).after(later));
    let too_large = Shape { bytes: 500_000, incompressible: true, ..Shape::default() };
    let (name, behaviour) = dice.pick(&[
        (300, ("", ready.clone())),
        (70, ("callback early", ready.clone().early())),
        (70, ("callback twice", ready.clone().twice())),
        (70, ("callback lost", Behaviour::lost().after(soon))),
        (60, ("callbacks reordered", failed_then_ready)),
        (30, ("FAILED after READY", ready_then_failed)),
        (80, ("FAILED", Behaviour::failed().after(soon))),
        (80, ("429, 500, 503", Behaviour::status(not_taken))),
        (20, ("429 with Retry-After", Behaviour::status(429).retry_after(2))),
        (40, ("502, 504", Behaviour::status(unknown).taken(taken))),
        (40, ("cut", Behaviour::cut().taken(taken))),
        (20, ("broken answer", Behaviour::garbage().after(soon))),
        (20, ("answer without id", Behaviour::without_id().after(soon))),
        (40, ("slow answer", ready.clone().slow(later))),
        (10, ("answer slower than the grace", ready.clone().slow(Duration::from_millis(2_500)))),
        (40, ("callback late", Behaviour::ready().after(Duration::from_millis(1_800)))),
        (10, ("callback too late", Behaviour::ready().after(TOO_LATE))),
        (10, ("never settled", Behaviour::manual())),
        (50, ("refused", Behaviour::status(refusal))),
        (5, ("result too large", ready.result(too_large))),
    ]);
    if name == "result too large" {
        return (name, behaviour);
    }
    let shape = Shape {
        dialect: dice.pick(&[(1, Dialect::Ready), (1, Dialect::Complete)]),
        sessions: dice.between(0, 4),
        extra_fields: dice.chance(30),
        bytes: dice.pick(&[(8, 0), (1, 12_000), (1, 30_000)]),
        incompressible: false,
    };
    (name, behaviour.result(shape))
}
