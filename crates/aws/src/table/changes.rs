//! The conditional writes.

use super::{Item, KEY, Table, TableError, expression_key, item, record, unavailable};
use crate::expression::{Expression, Parts, number, string};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{
    CancellationReason, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use model::budget::{self, BudgetChange};
use model::delivery::Try;
use model::id::RequestId;
use model::record::{Failure, Record, Status};
use model::result::StoredResult;
use model::rules::{self, News, NewsOutcome, Received, Rules};
use model::time::Time;
use std::time::Duration;

/// Each round, another writer got ahead; so many in a row mean that something else is wrong.
const MAX_ROUNDS: u32 = 10;
const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

/// What became of a new request's record.
#[derive(Debug)]
pub enum Opened {
    New,
    /// The id is taken, by this record.
    Twin(Box<Record>),
    OverBudget,
}

/// What became of a change.
#[derive(Debug)]
pub enum Changed {
    Written(Box<Record>),
    /// The rule wants nothing changed about this record, the current one.
    Unchanged(Box<Record>),
    OverBudget,
    /// The record is no longer there.
    Gone,
}

/// A claim of deliveries.
#[derive(Debug)]
pub struct Claimed {
    /// As the claim found it.
    pub before: Box<Record>,
    pub record: Record,
    /// To be made.
    pub tries: Vec<Try>,
}

/// What became of news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NewsReceipt {
    /// The record changed by it.
    Stored(Settlement),
    Known,
    OtherId,
    Gone,
}

impl NewsReceipt {
    /// As the log has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored(_) => "stored",
            Self::Known => "known",
            Self::OtherId => "otherID",
            Self::Gone => "gone",
        }
    }

    /// The request's status by now, if the news changed the record.
    pub fn status(self) -> Option<Status> {
        match self {
            Self::Stored(Settlement::Settled(status)) => Some(status),
            Self::Stored(Settlement::StillPending) => Some(Status::Pending),
            Self::Known | Self::OtherId | Self::Gone => None,
        }
    }
}

/// Whether news ended the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settlement {
    Settled(Status),
    StillPending,
}

enum Save {
    Done,
    Current(Option<Box<Record>>),
    OverBudget,
}

impl Table {
    /// Writes a new request's record, unless its twin is there. One put; where a month's limit is set, one
    /// transaction with the counter.
    pub async fn open(&self, new: &Record, now: Time) -> Result<Opened, TableError> {
        let saved = match self.reservation(None, new) {
            None => self.put(new, now).await?,
            Some(change) => self.put_and_count(new, &change, now).await?,
        };
        Ok(match saved {
            Save::Done => Opened::New,
            Save::OverBudget => Opened::OverBudget,
            // A put whose answer was lost is repeated by the SDK, and meets itself.
            Save::Current(Some(twin)) if same_opening(&twin, new) => Opened::New,
            Save::Current(Some(twin)) => Opened::Twin(twin),
            Save::Current(None) => return Err(TableError::Contended),
        })
    }

    /// Asks `rule` for the next record and writes it; if another writer was quicker, asks again with what that
    /// one wrote. The rule answers `None` to leave the record alone.
    pub async fn change(
        &self,
        record: Record,
        rule: impl Fn(&Record) -> Option<Record>,
    ) -> Result<Changed, TableError> {
        let mut current = Box::new(record);
        for _ in 0..MAX_ROUNDS {
            let Some(next) = rule(&current) else { return Ok(Changed::Unchanged(current)) };
            match self.save(&current, &next).await? {
                Save::Done => return Ok(Changed::Written(Box::new(next))),
                Save::OverBudget => return Ok(Changed::OverBudget),
                Save::Current(None) => return Ok(Changed::Gone),
                // Deleted, or expired, and opened anew: not the one that the caller knows.
                Save::Current(Some(found)) if found.created_at != current.created_at => {
                    return Ok(Changed::Gone);
                }
                Save::Current(Some(found)) if *found == next => return Ok(Changed::Written(found)),
                Save::Current(Some(found)) => current = found,
            }
        }
        Err(TableError::Contended)
    }

    /// Takes in LogRocket's news of an attempt.
    ///
    /// The common case, news of the latest attempt that changes the record, is one update that reads nothing
    /// before. Where its condition does not hold, the old item says why, and the rule decides.
    pub async fn receive(
        &self,
        id: &RequestId,
        news: &News,
        now: Time,
        rules: &Rules,
    ) -> Result<NewsReceipt, TableError> {
        let current = match blind_news(news, now, rules)? {
            Some(expression) => match self.update(id, expression.finish()).await? {
                Save::Current(current) => current,
                _ => return Ok(NewsReceipt::Stored(settlement_of_blind(news, rules))),
            },
            None => self.get_stored(id).await?.map(Box::new),
        };
        let Some(mut current) = current else { return Ok(NewsReceipt::Gone) };
        for _ in 0..MAX_ROUNDS {
            let next = match current.receive(news, now, rules) {
                Received::Changed(next) => next,
                Received::Known => return Ok(NewsReceipt::Known),
                Received::OtherId => return Ok(NewsReceipt::OtherId),
                Received::Gone => return Ok(NewsReceipt::Gone),
            };
            match self.save(&current, &next).await? {
                Save::Current(None) => return Ok(NewsReceipt::Gone),
                Save::Current(Some(found)) if *found != *next => current = found,
                _ => return Ok(NewsReceipt::Stored(settlement(&next))),
            }
        }
        Err(TableError::Contended)
    }

    /// Takes the work of a record that was seen due, and answers the record; `None` if somebody else has it, or
    /// it is done. One update, but for a record whose retention ends within two days.
    ///
    /// A claim whose answer was lost is `None` too: nothing tells it from another's of the same millisecond. The
    /// work is due again when the lease is over.
    pub async fn claim(
        &self,
        id: &RequestId,
        seen_due: Time,
        now: Time,
        rules: &Rules,
    ) -> Result<Option<Record>, TableError> {
        if seen_due > now {
            return Ok(None);
        }
        let due = now.plus(rules.lease);
        let mut expression = Expression::default();
        expression.set("requestDueAt", number(due.0));
        expression.increment("requestTries");
        expression.increment("version");
        expression.require_equal("requestDueAt", number(seen_due.0));
        // An update cannot take the later of two dates: a record that would expire too early is left to the rule.
        expression.compare("expiresAt", ">=", number(rules::kept_until(due)));
        let found = match self.send_update(id, expression.finish(), ReturnValue::AllNew).await {
            Ok(output) => return output.attributes.map(record).transpose(),
            Err(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                failed.item.map(record).transpose()?
            }
            Err(error) => return Err(unavailable(error)),
        };
        let Some(found) = found.filter(|found| found.request_due_at == Some(seen_due)) else {
            return Ok(None);
        };
        let Some(claimed) = found.claim(now, rules) else { return Ok(None) };
        match self.save(&found, &claimed).await? {
            Save::Done => Ok(Some(claimed)),
            _ => Ok(None),
        }
    }

    /// Takes the deliveries that are due of a record, which may be as it was read some time ago; `None` if there is nothing
    /// to take.
    ///
    /// Where the table already holds what this claim would write, another one of the same millisecond wrote it, or this
    /// one and the answer was lost. Nothing tells which, so it is nobody's until its lease is over: two who deliver
    /// would be worse.
    pub async fn claim_deliveries(
        &self,
        record: Record,
        now: Time,
        rules: &Rules,
    ) -> Result<Option<Claimed>, TableError> {
        let mut current = Box::new(record);
        for _ in 0..MAX_ROUNDS {
            let Some((record, tries)) = current.claim_deliveries(now, rules) else { return Ok(None) };
            match self.save(&current, &record).await? {
                Save::Done => return Ok(Some(Claimed { before: current, record, tries })),
                Save::Current(Some(found)) if *found != record && found.created_at == current.created_at => {
                    current = found;
                }
                _ => return Ok(None),
            }
        }
        Err(TableError::Contended)
    }

    async fn put(&self, new: &Record, now: Time) -> Result<Save, TableError> {
        let Parts { condition, names, values, .. } = absent_or_expired(now).finish();
        let sent = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item(new)?))
            .condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ALL_OLD)
            .send()
            .await;
        match sent.map_err(aws_sdk_dynamodb::error::SdkError::into_service_error) {
            Ok(_) => Ok(Save::Done),
            Err(PutItemError::ConditionalCheckFailedException(failed)) => current(failed.item),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn save(&self, old: &Record, new: &Record) -> Result<Save, TableError> {
        let parts = difference(old, new)?.finish();
        match self.reservation(Some(old), new) {
            None => self.update(&new.request_id, parts).await,
            Some(change) => {
                let update = Update::builder()
                    .table_name(&self.name)
                    .key(KEY, expression_key(&new.request_id))
                    .update_expression(parts.update)
                    .condition_expression(parts.condition)
                    .set_expression_attribute_names(parts.names)
                    .set_expression_attribute_values(Some(parts.values))
                    .return_values_on_condition_check_failure(ALL_OLD)
                    .build()
                    .map_err(unavailable)?;
                self.transact(TransactWriteItem::builder().update(update).build(), &change).await
            }
        }
    }

    async fn update(&self, id: &RequestId, parts: Parts) -> Result<Save, TableError> {
        match self.send_update(id, parts, ReturnValue::None).await {
            Ok(_) => Ok(Save::Done),
            Err(UpdateItemError::ConditionalCheckFailedException(failed)) => current(failed.item),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn send_update(
        &self,
        id: &RequestId,
        parts: Parts,
        answer: ReturnValue,
    ) -> Result<UpdateItemOutput, UpdateItemError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(KEY, expression_key(id))
            .update_expression(parts.update)
            .condition_expression(parts.condition)
            .set_expression_attribute_names(parts.names)
            .set_expression_attribute_values(Some(parts.values))
            .return_values(answer)
            .return_values_on_condition_check_failure(ALL_OLD)
            .send()
            .await;
        sent.map_err(aws_sdk_dynamodb::error::SdkError::into_service_error)
    }

    /// The counter's part of a change. A reservation is only made where a limit is set; what was reserved is
    /// returned even if the limit has been lifted since.
    fn reservation(&self, old: Option<&Record>, new: &Record) -> Option<BudgetChange> {
        budget::change(old, new)
            .filter(|change| self.monthly_limit.is_some() || matches!(change, BudgetChange::Return { .. }))
    }

    async fn put_and_count(
        &self,
        new: &Record,
        change: &BudgetChange,
        now: Time,
    ) -> Result<Save, TableError> {
        let Parts { condition, names, values, .. } = absent_or_expired(now).finish();
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item(new)?))
            .condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ALL_OLD)
            .build()
            .map_err(unavailable)?;
        self.transact(TransactWriteItem::builder().put(put).build(), change).await
    }

    /// The record's write and the counter's, both or neither.
    async fn transact(&self, write: TransactWriteItem, change: &BudgetChange) -> Result<Save, TableError> {
        for round in 0..MAX_ROUNDS {
            let sent = self
                .client
                .transact_write_items()
                .transact_items(write.clone())
                .transact_items(self.count(change)?)
                .send()
                .await;
            let reasons = match sent.map_err(aws_sdk_dynamodb::error::SdkError::into_service_error) {
                Ok(_) => return Ok(Save::Done),
                Err(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    canceled.cancellation_reasons.unwrap_or_default()
                }
                Err(error) => return Err(unavailable(error)),
            };
            match reasons.as_slice() {
                // The record first: a repeat is answered whatever the budget.
                [record, _] if failed_condition(record) => return current(record.item.clone()),
                [_, counter] if failed_condition(counter) => return Ok(Save::OverBudget),
                // Another transaction is at the month's one counter; it takes milliseconds.
                _ => tokio::time::sleep(Duration::from_millis(10 * u64::from(1 + round))).await,
            }
        }
        Err(TableError::Contended)
    }

    fn count(&self, change: &BudgetChange) -> Result<TransactWriteItem, TableError> {
        let (month, by) = match change {
            BudgetChange::Reserve { month } => (month, 1),
            BudgetChange::Return { month } => (month, -1),
        };
        let mut update = Update::builder()
            .table_name(&self.name)
            .key(KEY, string(budget::counter_id(month)))
            .update_expression("ADD posts :by")
            .expression_attribute_values(":by", number(by));
        if let (BudgetChange::Reserve { .. }, Some(limit)) = (change, self.monthly_limit) {
            // A limit of none at all has no room even for a counter that is not there yet.
            let room =
                if limit == 0 { "posts < :limit" } else { "attribute_not_exists(posts) OR posts < :limit" };
            update = update.condition_expression(room).expression_attribute_values(":limit", number(limit));
        }
        let update = update.build().map_err(unavailable)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

fn failed_condition(reason: &CancellationReason) -> bool {
    reason.code.as_deref() == Some("ConditionalCheckFailed")
}

fn current(found: Option<Item>) -> Result<Save, TableError> {
    let found = found.filter(|item| !item.is_empty()).map(record).transpose()?;
    Ok(Save::Current(found.map(Box::new)))
}

fn same_opening(found: &Record, ours: &Record) -> bool {
    found.opening == ours.opening
        && found.created_at == ours.created_at
        && found.fingerprint == ours.fingerprint
}

/// No such item, or one whose retention is over though DynamoDB has not deleted it yet.
fn absent_or_expired(now: Time) -> Expression {
    let mut expression = Expression::default();
    let key = expression.path(KEY);
    let expires = expression.path("expiresAt");
    let now = expression.value(number(now.0.div_euclid(1000)));
    expression.require(&format!("(attribute_not_exists({key}) OR {expires} <= {now})"));
    expression
}

/// Writes what differs between two versions of a record, if the old one is still there.
fn difference(old: &Record, new: &Record) -> Result<Expression, TableError> {
    let item = |record| serde_dynamo::to_item::<_, serde_dynamo::Item>(record).map_err(TableError::Corrupt);
    let (old_item, new_item) = (item(old)?, item(new)?);
    let mut expression = Expression::default();
    for name in old_item.keys().filter(|name| !new_item.contains_key(*name)) {
        expression.remove(name);
    }
    // Only what differs becomes the SDK's.
    for (name, value) in new_item.into_inner() {
        if old_item.get(&name) != Some(&value) {
            expression.set(&name, value.into());
        }
    }
    expression.require_equal("version", number(old.version));
    // Versions begin again with a record that takes the place of a deleted one.
    expression.require_equal("createdAt", number(old.created_at.0));
    Ok(expression)
}

/// [`Record::receive`] for the latest attempt, as one update; `None` for the rare cases that are left to the
/// rule. Where the condition holds, the record must end as the rule would have it.
fn blind_news(news: &News, now: Time, rules: &Rules) -> Result<Option<Expression>, TableError> {
    let entry = format!("attempts.{}", news.attempt);
    let (entry_id, entry_state) = (format!("{entry}.logRocketRequestID"), format!("{entry}.state"));
    let id = string(news.log_rocket_request_id.clone());
    let retry_at = number(now.plus(rules.retry_after).0);
    let mut expression = Expression::default();

    match &news.outcome {
        NewsOutcome::Ready(result) => {
            expression.compare("status", "<>", string(Status::Ready.as_str()));
            match result {
                StoredResult::Json(json) => expression.set("result", string(json.clone())),
                StoredResult::Gzip(bytes) => {
                    let bytes = aws_sdk_dynamodb::primitives::Blob::new(bytes.clone());
                    expression.set("resultGzip", aws_sdk_dynamodb::types::AttributeValue::B(bytes));
                }
            }
            expression.remove("failure");
            expression.set(&entry_state, string("done"));
            blind_settlement(&mut expression, Status::Ready, now, rules);
        }
        NewsOutcome::Failed if news.attempt >= rules.max_attempts => {
            expression.compare("status", "<>", string(Status::Ready.as_str()));
            expression.compare("status", "<>", string(Status::Failed.as_str()));
            expression.compare(&entry_state, "<>", string("failed"));
            let failure = Failure::log_rocket_failed();
            expression
                .set("failure", serde_dynamo::to_attribute_value(failure).map_err(TableError::Corrupt)?);
            expression.set(&entry_state, string("failed"));
            blind_settlement(&mut expression, Status::Failed, now, rules);
        }
        NewsOutcome::Failed => {
            expression.require_equal("status", string(Status::Pending.as_str()));
            expression.compare(&entry_state, "<>", string("failed"));
            expression.set(&entry_state, string("failed"));
            expression.set(&format!("{entry}.nextAt"), retry_at.clone());
            expression.set("requestDueAt", retry_at.clone());
            expression.set("requestDueSince", retry_at);
        }
        NewsOutcome::Pending | NewsOutcome::TooLarge(_) => return Ok(None),
    }

    expression.set(&entry_id, id.clone());
    expression.set("logRocketRequestID", id.clone());
    expression.set("requestTries", number(0));
    expression.increment("version");

    expression.require_equal("createdAt", number(news.opened.0));
    expression.require_equal("attempt", number(news.attempt));
    expression.compare("expiresAt", ">", number(now.0.div_euclid(1000)));
    let (path, id) = (expression.path(&entry_id), expression.value(id));
    expression.require(&format!("(attribute_not_exists({path}) OR {path} = {id})"));
    Ok(Some(expression))
}

fn blind_settlement(expression: &mut Expression, status: Status, now: Time, rules: &Rules) {
    expression.set("status", string(status.as_str()));
    expression.set("completedAt", number(now.0));
    expression.set("expiresAt", number(rules::expiry(now, now, rules)));
    expression.set("webhookDueAt", number(now.0));
    expression.set_if_absent("webhookDueSince", number(now.0));
    expression.set("streamHint", string(rules::STREAM_HINT));
    expression.remove("requestDueAt");
    expression.remove("requestDueSince");
}

fn settlement_of_blind(news: &News, rules: &Rules) -> Settlement {
    match news.outcome {
        NewsOutcome::Ready(_) => Settlement::Settled(Status::Ready),
        _ if news.attempt >= rules.max_attempts => Settlement::Settled(Status::Failed),
        _ => Settlement::StillPending,
    }
}

fn settlement(record: &Record) -> Settlement {
    match record.status {
        Status::Pending => Settlement::StillPending,
        status => Settlement::Settled(status),
    }
}
