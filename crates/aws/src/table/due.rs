//! What is due: found shard by shard, and shared by the sweeps that run side by side.
//!
//! Nothing says which sweep has which shard. Each takes them in an order of its own, and leaves one in which it loses more
//! claims than it wins to whoever wins them: else two that meet would try for the same records from then on, each claim of
//! one in vain, and a claim in vain is paid for, too.

use super::queries::entries;
use super::{Table, TableError, unavailable};
use crate::clock;
use crate::expression::{Expression, number, string};
use crate::telemetry::chain;
use futures::future::{ready, try_join_all};
use futures::stream::{self, Stream, StreamExt};
use model::id::RequestId;
use model::record::SHARDS;
use model::time::Time;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use std::vec;

/// Whose work is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    Request,
    Webhook,
}

impl Owner {
    /// The index, its partition key and its sort key.
    fn index(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Request => ("requestWork", "requestShard", "requestDueAt"),
            Self::Webhook => ("webhookWork", "webhookShard", "webhookDueAt"),
        }
    }
}

/// A record with work due.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DueItem {
    #[serde(rename = "requestID")]
    pub request_id: RequestId,
    #[serde(alias = "requestDueAt", alias = "webhookDueAt")]
    pub due_at: Time,
    /// Since when, whatever claims were made.
    #[serde(alias = "requestDueSince", alias = "webhookDueSince")]
    pub due_since: Time,
}

/// In which order a sweep takes the shards.
#[derive(Clone, Copy, Debug)]
pub struct ShardOrder([u8; 16]);

impl ShardOrder {
    /// Any.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    fn place(&self, shard: u8) -> u8 {
        self.0.get(usize::from(shard)).copied().unwrap_or(u8::MAX)
    }
}

/// What was found due for one function, of each shard what is due the longest.
pub struct Due<'a> {
    table: &'a Table,
    owner: Owner,
    /// Of each shard.
    limit: i32,
    shards: Vec<Vec<DueItem>>,
}

impl Table {
    /// What is due for one function, at most `limit` of each shard.
    pub async fn all_due(&self, owner: Owner, limit: i32, now: Time) -> Result<Due<'_>, TableError> {
        let shards = try_join_all((0..SHARDS).map(|shard| self.due(owner, shard, limit, now))).await?;
        Ok(Due { table: self, owner, limit, shards })
    }

    /// What is due for one function in one shard, at most `limit`, the longest due first.
    pub async fn due(
        &self,
        owner: Owner,
        shard: u8,
        limit: i32,
        now: Time,
    ) -> Result<Vec<DueItem>, TableError> {
        let (index, partition, due_at) = owner.index();
        let mut key = Expression::default();
        key.require_equal(partition, string(shard.to_string()));
        key.compare(due_at, "<=", number(now.0));
        let answer = self.query(index, key).limit(limit).send().await.map_err(unavailable)?;
        let mut due: Vec<DueItem> = entries(answer.items.unwrap_or_default());
        due.sort_by_key(|item| item.due_since);
        Ok(due)
    }
}

impl Due<'_> {
    pub fn count(&self) -> usize {
        self.shards.iter().map(Vec::len).sum()
    }

    /// How long the oldest has been due; zero where nothing is.
    pub fn longest(&self, now: Time) -> Duration {
        let since = self.shards.iter().flatten().map(|item| now.since(item.due_since));
        since.max().unwrap_or_default()
    }

    /// Whether there may be more than was looked for.
    pub fn is_much(&self) -> bool {
        self.count() >= usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// Works on all of it, shard by shard, `at_once` side by side, and answers how that ended. `work` answers `None` for
    /// what it could not claim: somebody else has it, or it is done.
    ///
    /// Where there is much, a shard is looked at again when its turn comes, for another may be far ahead in it by then.
    pub async fn work<E, W>(self, order: ShardOrder, at_once: usize, work: impl Fn(DueItem) -> W) -> Vec<E>
    where
        W: Future<Output = Option<E>>,
    {
        let won = Won::default();
        let (won, work) = (&won, &work);
        let works = Turns::new(self, order, won).items().map(|(shard, item)| async move {
            let end = work(item).await;
            won.add(shard, if end.is_some() { 1 } else { -1 });
            end
        });
        works.buffer_unordered(at_once).filter_map(ready).collect().await
    }
}

/// Of each shard, how many more claims were won in it than lost.
#[derive(Default)]
struct Won([AtomicI32; SHARDS as usize]);

impl Won {
    fn add(&self, shard: u8, won: i32) {
        if let Some(so_far) = self.0.get(usize::from(shard)) {
            so_far.fetch_add(won, Ordering::Relaxed);
        }
    }

    fn more_were_lost(&self, shard: u8) -> bool {
        self.0.get(usize::from(shard)).is_some_and(|won| won.load(Ordering::Relaxed) < 0)
    }
}

/// The shards as they are taken: each once, and those that were left once more.
struct Turns<'a> {
    table: &'a Table,
    owner: Owner,
    limit: i32,
    won: &'a Won,
    /// The first is under way.
    turns: VecDeque<Turn>,
}

struct Turn {
    shard: u8,
    items: vec::IntoIter<DueItem>,
    /// To be looked at again before it is begun.
    is_stale: bool,
    /// The second: it is gone through whoever is there, for nobody may be.
    is_last: bool,
}

impl<'a> Turns<'a> {
    fn new(due: Due<'a>, order: ShardOrder, won: &'a Won) -> Self {
        let is_much = due.is_much();
        let Due { table, owner, limit, shards } = due;
        let mut found: Vec<(u8, Vec<DueItem>)> = (0..).zip(shards).collect();
        found.retain(|(_, items)| !items.is_empty());
        found.sort_by_key(|(shard, _)| order.place(*shard));
        let turn = |(place, (shard, items)): (usize, (u8, Vec<DueItem>))| {
            let is_stale = is_much && place > 0;
            Turn { shard, items: items.into_iter(), is_stale, is_last: false }
        };
        let turns = found.into_iter().enumerate().map(turn).collect();
        Self { table, owner, limit, won, turns }
    }

    /// Each with its shard.
    fn items(self) -> impl Stream<Item = (u8, DueItem)> + Send + 'a {
        stream::unfold(self, Self::next)
    }

    async fn next(mut self) -> Option<((u8, DueItem), Self)> {
        loop {
            let turn = self.turns.front_mut()?;
            if turn.is_stale {
                turn.is_stale = false;
                match self.table.due(self.owner, turn.shard, self.limit, clock::now()).await {
                    Ok(found) => turn.items = found.into_iter(),
                    Err(error) => {
                        let (error, shard) = (chain(&error), turn.shard);
                        tracing::warn!(error, shard, "the shard cannot be looked at again");
                    }
                }
            }
            if !turn.is_last && self.won.more_were_lost(turn.shard) && turn.items.len() > 0 {
                let left = self.turns.pop_front()?;
                self.turns.push_back(Turn { is_stale: true, is_last: true, ..left });
            } else if let Some(item) = turn.items.next() {
                return Some(((turn.shard, item), self));
            } else {
                self.turns.pop_front();
            }
        }
    }
}
