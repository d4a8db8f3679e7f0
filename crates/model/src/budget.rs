//! The month's budget of POSTs to LogRocket: one counter item for each UTC month, where a limit is set.

use crate::problem::{Kind, Problem};
use crate::record::Record;
use crate::time::Time;

/// The counter's `requestID`, which no request can have: `budget#2026-11`.
pub fn counter_id(month: &str) -> String {
    format!("budget#{month}")
}

/// What a caller is told when the month's budget is spent.
pub fn spent(limit: u64, now: Time) -> Problem {
    let detail = format!("MONTHLY_REQUEST_LIMIT is {limit}, and {} has used it up.", now.month());
    Problem::new(Kind::OverBudget, detail).retry_after(now.until_next_month())
}

/// What a change of a record means to the budget.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BudgetChange {
    /// A POST is about to be made in this month.
    Reserve { month: String },
    /// LogRocket surely did not take the POST that was counted in this month.
    Return { month: String },
}

/// Compares the latest attempts: a reservation appears with an attempt that begins, and goes with one that was
/// not taken.
pub fn change(old: Option<&Record>, new: &Record) -> Option<BudgetChange> {
    let reserved =
        |record: &Record| record.attempts.get(&new.attempt).and_then(|entry| entry.reserved.clone());
    match (old.and_then(reserved), reserved(new)) {
        (None, Some(month)) => Some(BudgetChange::Reserve { month }),
        (Some(month), None) => Some(BudgetChange::Return { month }),
        _ => None,
    }
}
