//! What is found by the indexes. They follow the table a moment later; who acts on what they say asks the table again.

use super::{Item, KEY, Table, TableError, unavailable};
use crate::expression::{Expression, Parts, number, string};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::budget;
use model::id::RequestId;
use model::record::{Record, Status, Summary};
use model::request::{Question, Subject};
use model::time::Time;
use serde::{Deserialize, Serialize};

/// A subject with more requests than this many pages of an index is not searched to its end for `maxAge`.
const MAX_PAGES: u32 = 4;

/// One page of a subject's requests, newest first.
#[derive(Debug)]
pub struct Page {
    pub requests: Vec<Summary>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<Cursor>,
}

/// The place behind one entry of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cursor {
    id: RequestId,
    at: Time,
}

impl Cursor {
    pub fn encode(&self) -> String {
        serde_json::to_vec(self).map(|json| URL_SAFE_NO_PAD.encode(json)).unwrap_or_default()
    }

    pub fn decode(text: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let cursor: Self = serde_json::from_slice(&json).ok()?;
        RequestId::parse(cursor.id.as_str()).map(|id| Self { id, ..cursor })
    }
}

impl From<&Summary> for Cursor {
    fn from(entry: &Summary) -> Self {
        Self { id: entry.request_id.clone(), at: entry.created_at }
    }
}

impl Table {
    /// The record of the attempt that LogRocket knows by this id.
    pub async fn find_by_log_rocket_id(&self, id: &str, now: Time) -> Result<Option<Record>, TableError> {
        let mut key = Expression::default();
        key.require_equal("logRocketRequestID", string(id));
        let answer = self.query("byLogRocketRequestID", key).limit(1).send().await.map_err(unavailable)?;
        let found = answer.items.unwrap_or_default().into_iter().next();
        let found = found.and_then(|mut item| item.remove(KEY));
        match found.as_ref().and_then(|id| id.as_s().ok()).and_then(|id| RequestId::parse(id)) {
            Some(id) => self.get(&id, now).await,
            None => Ok(None),
        }
    }

    /// A subject's requests, newest first, at most `limit` behind `after`.
    pub async fn list(
        &self,
        subject: &Subject,
        limit: usize,
        after: Option<&Cursor>,
        now: Time,
    ) -> Result<Page, TableError> {
        let hash = subject.hash();
        let mut requests: Vec<Summary> = Vec::new();
        let mut start = after.map(|cursor| {
            Item::from([
                (KEY.to_owned(), string(cursor.id.as_str())),
                ("subjectHash".to_owned(), string(hash.clone())),
                ("createdAt".to_owned(), number(cursor.at.0)),
            ])
        });
        // One more than is shown tells whether there is a next page.
        while requests.len() <= limit {
            let mut key = Expression::default();
            key.require_equal("subjectHash", string(hash.clone()));
            let expires = key.path("expiresAt");
            let now = key.value(number(now.0.div_euclid(1000)));
            let wanted = i32::try_from(limit + 1 - requests.len()).unwrap_or(i32::MAX);
            let answer = self
                .query("bySubject", key)
                .filter_expression(format!("{expires} > {now}"))
                .scan_index_forward(false)
                .limit(wanted)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(unavailable)?;
            requests.extend(entries::<Summary>(answer.items.unwrap_or_default()));
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        let more = requests.len() > limit;
        requests.truncate(limit);
        let next = if more { requests.last().map(Cursor::from) } else { None };
        Ok(Page { requests, next })
    }

    /// The newest request that asked the same since then and is under way or ready.
    pub async fn find_same(
        &self,
        question: &Question,
        since: Time,
        now: Time,
    ) -> Result<Option<Summary>, TableError> {
        let mut start = None;
        for _ in 0..MAX_PAGES {
            let mut key = Expression::default();
            key.require_equal("subjectHash", string(question.subject.hash()));
            key.compare("createdAt", ">=", number(since.0));
            let same = [
                format!("{} = {}", key.path("askHash"), key.value(string(question.hash()))),
                format!("{} > {}", key.path("expiresAt"), key.value(number(now.0.div_euclid(1000)))),
                format!(
                    "{} IN ({}, {})",
                    key.path("status"),
                    key.value(string(Status::Pending.as_str())),
                    key.value(string(Status::Ready.as_str()))
                ),
            ];
            let answer = self
                .query("bySubject", key)
                .filter_expression(same.join(" AND "))
                .scan_index_forward(false)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(unavailable)?;
            let found = entries::<Summary>(answer.items.unwrap_or_default()).into_iter().next();
            start = answer.last_evaluated_key;
            if found.is_some() || start.is_none() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// How many POSTs are counted in this month's budget.
    pub async fn posts_of_month(&self, now: Time) -> Result<u64, TableError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key(KEY, string(budget::counter_id(&now.month())))
            .send()
            .await
            .map_err(unavailable)?;
        let posts = answer.item.as_ref().and_then(|counter| counter.get("posts")?.as_n().ok()?.parse().ok());
        // No counter yet: nothing was counted.
        Ok(posts.unwrap_or(0))
    }

    pub(super) fn query(&self, index: &str, key: Expression) -> QueryFluentBuilder {
        let Parts { condition, names, values, .. } = key.finish();
        self.client
            .query()
            .table_name(&self.name)
            .index_name(index)
            .key_condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(Some(values))
    }
}

/// What can be read of a page. An item that cannot be is told of in the log, and hides no other.
pub(super) fn entries<T: for<'a> Deserialize<'a>>(items: Vec<Item>) -> Vec<T> {
    let read = |item: Item| {
        let id = item.get(KEY).and_then(|id| id.as_s().ok()).cloned().unwrap_or_default();
        serde_dynamo::from_item(item)
            .inspect_err(|_| tracing::error!(requestID = id, "an item of the table is no record"))
            .ok()
    };
    items.into_iter().filter_map(read).collect()
}
