//! The minute's pass over records with deliveries due. It is the guarantee: whatever failed before, a delivery that is
//! not made has a due date, and is found here once that has passed.

use crate::app::App;
use crate::deliver::{Undelivered, may_begin};
use aws::clock;
use aws::metrics::{self, Sweep};
use aws::table::{Due, DueItem, Owner, ShardOrder, TableError};
use model::problem::{Kind, Problem};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// Records of one shard that are looked at in one go.
const BATCH: i32 = 50;
/// Records that are worked on side by side: most of it is waiting, and a destination that answers nobody keeps a place
/// until its time is over.
const AT_ONCE: usize = 40;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What one sweep did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// Records that were found due.
    due: usize,
    /// Those of them that this sweep worked on.
    claimed: usize,
    /// Those of them whose work could not be begun, and stays due.
    failed: usize,
    delivered: usize,
    /// Deliveries that will be tried again.
    postponed: usize,
    given_up: usize,
    /// How long the oldest of them had been due.
    oldest_due_seconds: u64,
}

enum End {
    Worked(crate::deliver::Ends),
    Failed,
}

impl App {
    /// Works on what is due, a shard after the other, the longest due first in each, while there is time.
    pub async fn sweep(&self, deadline: Instant) -> Result<Swept, Problem> {
        let mut swept = Swept::default();
        let order = ShardOrder::random();
        loop {
            let due = self
                .table
                .all_due(Owner::Webhook, BATCH, clock::now())
                .await
                .map_err(|error| table_unavailable(&error))?;
            swept.count_due(&due);
            let is_much = due.is_much();
            let ends = due.work(order, AT_ONCE, |item| self.work_on(item, deadline)).await;
            let claimed = swept.count_ends(&ends);
            // A round in which nothing could be claimed finds the same again.
            if !is_much || claimed == 0 || !may_begin(deadline) {
                break;
            }
        }
        metrics::swept(
            "webhook",
            Sweep {
                due: swept.due,
                claimed: swept.claimed,
                failed: swept.failed,
                oldest_due_seconds: swept.oldest_due_seconds,
            },
        );
        tracing::info!(
            due = swept.due,
            claimed = swept.claimed,
            failed = swept.failed,
            delivered = swept.delivered,
            postponed = swept.postponed,
            givenUp = swept.given_up,
            oldestDueSeconds = swept.oldest_due_seconds,
            "swept"
        );
        Ok(swept)
    }

    /// `None` if it was not begun: there is no time left, or somebody else has it.
    async fn work_on(&self, item: DueItem, deadline: Instant) -> Option<End> {
        let worked = async {
            if !may_begin(deadline) {
                return Ok(None);
            }
            match self.table.get(&item.request_id, clock::now()).await? {
                Some(record) => self.deliver(record, deadline).await,
                None => Ok(None),
            }
        };
        let worked: Result<_, Undelivered> = worked.await;
        match worked {
            Ok(ends) => ends.map(End::Worked),
            Err(error) => {
                let error = aws::telemetry::chain(&error);
                tracing::error!(requestID = item.request_id.as_str(), error, "the deliveries stay due");
                Some(End::Failed)
            }
        }
    }
}

impl Swept {
    fn count_due(&mut self, due: &Due<'_>) {
        self.due += due.count();
        self.oldest_due_seconds = self.oldest_due_seconds.max(due.longest(clock::now()).as_secs());
    }

    /// Answers how many of them were claimed.
    fn count_ends(&mut self, ends: &[End]) -> usize {
        let claimed_before = self.claimed;
        for end in ends {
            match end {
                End::Worked(ends) => {
                    self.claimed += 1;
                    self.delivered += ends.delivered;
                    self.postponed += ends.postponed;
                    self.given_up += ends.given_up;
                }
                End::Failed => self.failed += 1,
            }
        }
        self.claimed - claimed_before
    }
}

fn table_unavailable(error: &TableError) -> Problem {
    tracing::error!(error = aws::telemetry::chain(error), "the table did not do it");
    Problem::new(Kind::Unavailable, "The table is not available.").retry_after(TRY_AGAIN_AFTER)
}
