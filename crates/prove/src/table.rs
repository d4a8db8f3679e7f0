//! The table: the three ways of writing of `aws::table::changes`, each as one step.

use crate::mutants::Mutant;
use crate::protocol::Protocol;
use crate::row::Row;
use crate::world::{Keys, Past, World};
use model::budget::{self, BudgetChange};
use model::delivery::{Delivery, DeliveryKey, DeliveryState, OutcomeKind, Try};
use model::record::{Record, Status};
use model::rules::{News, NewsOutcome, Received};
use model::time::Time;

/// What became of a change.
pub enum Changed {
    Written,
    Unchanged(Row),
    Gone,
    OverBudget,
}

/// What became of news.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is in the record, and was not before.
    Stored,
    Known,
    Gone,
    /// The first call could not decide; a second is needed.
    Undecided,
}

impl Protocol {
    /// `Table::open`, where the key's item is absent or its retention is over: `false` if the budget has no room.
    pub fn open(&self, world: &mut World, opened: Time) -> bool {
        let next = self.opened(opened);
        if !count(self.scope.limit, world, None, &next) {
            return false;
        }
        world.past = Past::default();
        world.took = Keys::default();
        world.streamed = false;
        self.write(world, next);
        true
    }

    /// `Table::change`, from a rule's first look at a current record on. Looks at a stale one that come before do not
    /// write: see the crate's documentation.
    pub fn change(
        &self,
        world: &mut World,
        opened: Time,
        rule: impl FnOnce(&Record) -> Option<Record>,
    ) -> Changed {
        let Some(row) = world.row.clone().filter(|row| row.created_at == opened) else {
            return Changed::Gone;
        };
        let Some(next) = rule(&row) else { return Changed::Unchanged(row) };
        if !count(self.scope.limit, world, Some(&row), &next) {
            return Changed::OverBudget;
        }
        self.write(world, next);
        Changed::Written
    }

    /// `Table::receive`. Its first call decides about the latest attempt at once; of an older one it brings the item, and
    /// what the rule wants changed then is a second call.
    pub fn receive(&self, world: &mut World, news: &News, is_first_call: bool) -> Receipt {
        let Some(row) = world.row.clone() else { return Receipt::Gone };
        let next = match self.received(&row, news, world.now) {
            Received::Changed(next) => next,
            Received::Known => return Receipt::Known,
            // The callback is answered with an error, and not stored.
            Received::OtherId | Received::Gone => return Receipt::Gone,
        };
        let is_blind = news.attempt == row.attempt && !matches!(news.outcome, NewsOutcome::TooLarge(_));
        if is_first_call && !is_blind {
            return Receipt::Undecided;
        }
        self.write(world, *next);
        Receipt::Stored
    }

    /// `Table::claim` of work that a query has seen: answers the record as it was claimed.
    pub fn claim(&self, world: &mut World) -> Option<Row> {
        let row = world.row.as_ref()?;
        if self.mutant == Some(Mutant::NoWorkClaim) {
            return row.request_due_at.is_some_and(|due| due <= world.now).then(|| row.clone());
        }
        let next = row.claim(world.now, &self.scope.rules)?;
        self.write(world, next);
        world.row.clone()
    }

    /// `Table::claim_deliveries`.
    pub fn claim_deliveries(&self, world: &mut World) -> Option<Vec<Try>> {
        let row = world.row.as_ref()?;
        let (next, tries) = match self.mutant {
            Some(Mutant::OutcomesSideBySide) => {
                let mut blind = Record::clone(row);
                let outcome = OutcomeKind::of(row.status);
                blind.deliveries.retain(|key, _| Some(key.outcome) == outcome);
                blind.claim_deliveries(world.now, &self.scope.rules)?
            }
            _ => row.claim_deliveries(world.now, &self.scope.rules)?,
        };
        if self.mutant != Some(Mutant::NoDeliveryClaim) {
            self.write(world, next);
        }
        Some(tries)
    }

    /// Puts the next record down: whatever the table is made to hold goes through here, and history is written by it.
    fn write(&self, world: &mut World, next: Record) {
        let is_reopened = next.status == Status::Pending
            && world.past.highest.is_some_and(|highest| highest > Status::Pending)
            && world.row.as_ref().is_some_and(|row| row.is_refused());
        let past = &mut world.past;
        if is_reopened {
            let is_kept = world.row.as_ref().is_none_or(|row| has_been_told(row, world.took));
            *past = Past { promised: past.promised && !is_kept, reached: past.reached, ..Past::default() };
        }
        past.highest = past.highest.max(Some(next.status));
        if next.status == Status::Ready && past.ready.is_none() {
            past.ready.clone_from(&next.result);
        }
        for (key, mark) in &next.deliveries {
            if mark.state == DeliveryState::Delivered {
                past.delivered.insert(*key);
            }
        }
        // The stream's filter; a record of it always finds work, as long as nobody was quicker.
        world.streamed |= next.stream_hint.is_some() && next.webhook_shard.is_some();
        world.row = Some(Row::new(next, self.start, self.eyes));
    }

    fn received(&self, record: &Record, news: &News, now: Time) -> Received {
        let rules = &self.scope.rules;
        match self.mutant {
            Some(Mutant::NoRankGuard) if record.status == Status::Ready => {
                let mut bare = record.clone();
                bare.status = Status::Pending;
                bare.receive(news, now, rules)
            }
            Some(Mutant::OpeningNotCompared) => {
                let news = News { opened: record.created_at, ..news.clone() };
                record.receive(&news, now, rules)
            }
            Some(Mutant::LatestAttemptOnly) if news.attempt != record.attempt => Received::Known,
            _ => record.receive(news, now, rules),
        }
    }
}

/// Whether nobody waits to hear of a refusal: each destination got it, was given up, or does not want it.
pub(crate) fn has_been_told(row: &Record, took: Keys) -> bool {
    (0..row.destinations.len()).all(|destination| {
        let key = DeliveryKey { destination, outcome: OutcomeKind::Failure };
        let is_final = |mark: &Delivery| mark.state != DeliveryState::Pending;
        took.contains(key) || row.deliveries.get(&key).is_some_and(is_final)
    })
}

/// The counter's part of a write, both or neither; `false` if there is no room.
fn count(limit: Option<u64>, world: &mut World, old: Option<&Record>, new: &Record) -> bool {
    match (budget::change(old, new), limit) {
        (Some(BudgetChange::Reserve { .. }), Some(limit)) => {
            let room = world.counted < limit;
            world.counted += u64::from(room);
            room
        }
        (Some(BudgetChange::Return { .. }), _) => {
            world.counted = world.counted.saturating_sub(1);
            true
        }
        _ => true,
    }
}
