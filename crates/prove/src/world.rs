//! One state: the table, those who are at work, and everybody outside.

use crate::row::Row;
use model::delivery::{DeliveryKey, OutcomeKind, Try};
use model::record::Status;
use model::time::Time;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One state of everything.
#[derive(Clone, PartialEq, Hash, Debug)]
pub struct World {
    pub now: Time,
    /// The table's item, if there is one.
    pub row: Option<Row>,
    pub workers: Workers,
    /// What LogRocket took, oldest first.
    pub posts: Vec<Post>,
    /// A write was published that the stream's filter lets through. From then on its record may be handed over.
    pub streamed: bool,
    /// What each destination was handed over.
    pub took: Keys,
    /// POSTs that the month's counter counts.
    pub counted: u64,
    pub left: Left,
    pub past: Past,
}

/// How often each thing may still happen: what makes the number of states finite.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Left {
    /// Askings with the one key.
    pub asks: u8,
    /// Ends of a worker between two of its steps.
    pub crashes: u8,
    /// POSTs that get no answer, whether LogRocket took them or not.
    pub unanswered: u8,
    /// POSTs that LogRocket surely does not take.
    pub not_taken: u8,
    /// POSTs that it refuses.
    pub refused: u8,
    /// Attempts that it ends with FAILED.
    pub failed: u8,
    /// Results that are too large to be stored.
    pub too_large: u8,
    /// Polls that bring no answer.
    pub lost_polls: u8,
    /// Tries that a moody destination does not take now, or takes without saying so.
    pub moods: u8,
    pub joins: u8,
    pub redeliveries: u8,
    pub deletions: u8,
}

/// One POST that LogRocket took. It may work on it for ever.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Post {
    /// What its callback's token says when it is verified; `None` if it does not fit.
    pub verified: Option<Time>,
    /// The request that it was made for.
    pub opened: Time,
    pub attempt: u32,
    pub outcome: Option<Said>,
}

/// What LogRocket says of an attempt. From then on its callback may come, never, once or many times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Said {
    Ready,
    Failed,
    TooLarge,
}

/// An invocation that is between two of its awaits. A crash, or its time-out, is that it is not there any more.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Worker {
    /// When its time is over.
    pub until: Time,
    pub stage: Stage,
}

/// What a worker does next, and all that it knows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stage {
    /// The attempt stands in the table as unknown: its POST.
    Post(Begun),
    /// Only in [`crate::Mutant::RecordAfterPost`]: the record of a POST that was made.
    Open { opened: Time, id: Option<String> },
    /// To write down what LogRocket answered.
    Answered { begun: Begun, answer: Answer },
    /// The record is claimed, and this is how it stood: what is due?
    Claimed(Row),
    /// A poll was answered; of what LogRocket said, if it said anything.
    Polled { opened: Time, attempt: u32, last: bool, id: String, heard: Option<usize> },
    /// News that the first call could not take in: the old item came back, and the rule wants it changed.
    Receive { post: usize, polled: bool },
    /// There was no room in the budget.
    OverBudget { opened: Time },
    /// The work is given back.
    Release { opened: Time },
    /// Handing over, side by side.
    Deliver { opened: Time, tries: Vec<Trying> },
}

/// An attempt whose POST is one worker's to make.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Begun {
    pub opened: Time,
    pub attempt: u32,
    pub started_at: Time,
    /// Whether somebody waits for the answer, or was promised one before.
    pub waiting: bool,
}

/// What LogRocket answered to a POST, if anything came.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    Accepted { id: String },
    NotTaken,
    Refused,
}

/// One try of a delivery.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Trying {
    pub this: Try,
    /// What the destination said; then only the mark is left.
    pub said: Option<Reply>,
}

/// What a destination makes of a try.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reply {
    Taken,
    /// It took it, and the answer was lost.
    TakenUnheard,
    NotNow,
    Never,
}

/// Workers have no names: worlds that differ in their order only are one.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Workers(pub Vec<Worker>);

impl Workers {
    /// Which write each worker's claim of work is.
    pub fn claims(&self) -> impl Iterator<Item = (Time, u64)> {
        self.0.iter().filter_map(|worker| match &worker.stage {
            Stage::Claimed(row) => Some((row.created_at, row.version)),
            _ => None,
        })
    }
}

impl Hash for Workers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let digest = |worker: &Worker| {
            let mut hasher = DefaultHasher::new();
            worker.hash(&mut hasher);
            hasher.finish()
        };
        let mut digests: Vec<u64> = self.0.iter().map(digest).collect();
        digests.sort_unstable();
        // Which version a claim wrote is not in its row's digest, but that two workers have one claim must show.
        (digests, self.claims().collect::<BTreeSet<_>>().len()).hash(state);
    }
}

/// A set of deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Keys(u32);

impl Keys {
    fn bit(key: DeliveryKey) -> u32 {
        let outcome = usize::from(key.outcome == OutcomeKind::Result);
        u32::try_from(key.destination * 2 + outcome).ok().and_then(|bit| 1u32.checked_shl(bit)).unwrap_or(0)
    }

    pub fn insert(&mut self, key: DeliveryKey) {
        self.0 |= Self::bit(key);
    }

    pub fn contains(self, key: DeliveryKey) -> bool {
        self.0 & Self::bit(key) != 0
    }

    /// Whether all of these are in `others`.
    pub fn are_in(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }
}

/// What has happened to the request that the table holds, as far as a property asks for it. No worker reads it.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Past {
    /// The result that made it READY.
    pub ready: Option<String>,
    /// The highest status that it had.
    pub highest: Option<Status>,
    /// The deliveries that were marked as made.
    pub delivered: Keys,
    /// Somebody was told that it is taken.
    pub promised: bool,
    /// A READY of LogRocket's reached us: its callback was answered, or a poll's answer was written down.
    pub reached: bool,
    /// While it waited, and before its time was over, LogRocket had a READY under an id that stood in the record.
    pub could_be_polled: bool,
    /// A destination was told of the failure behind the result, by a try within its lease.
    pub told_backwards: bool,
}
