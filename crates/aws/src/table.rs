//! The table: one item for each request, changed by conditional writes only.
//!
//! Three ways of writing cover all rules. [`Table::open`] puts a new record unless its twin is there.
//! [`Table::change`] asks a pure rule for the next record and writes what differs, on condition that the version
//! is still the one that the rule saw; else it asks again. [`Table::receive`] and [`Table::claim`] are
//! one blind update each, equal to their rule where their condition holds: that is proved by test.

mod changes;
mod due;
mod queries;

pub use changes::{Changed, Claimed, NewsReceipt, Opened, Settlement};
pub use due::{Due, DueItem, Owner, ShardOrder};
pub use queries::{Cursor, Page};

use crate::telemetry::chain;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::body::SdkBody;
use model::id::RequestId;
use model::record::Record;
use model::time::Time;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;

pub(crate) const KEY: &str = "requestID";

type Item = HashMap<String, AttributeValue>;

/// The table and the month's limit that its budget counters are held to.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
    monthly_limit: Option<u64>,
}

/// The table did not do what was asked of it.
#[derive(thiserror::Error)]
pub enum TableError {
    /// It cannot be reached, refuses, or does not answer in time. What was asked may have been done.
    #[error("the table does not answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Other writers changed the record each time that it was read.
    #[error("the record changed too often to be written")]
    Contended,
    /// Not a source: it quotes what stands there, which must not reach a log.
    #[error("an item of the table is no record")]
    Corrupt(serde_dynamo::Error),
}

/// What a log shows of it: the `Debug` of the SDK's error shows the whole of an answer that cannot be read, and with it
/// whatever stands in an item.
impl fmt::Debug for TableError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&chain(self))
    }
}

impl Table {
    pub fn new(config: &SdkConfig, name: impl Into<String>, monthly_limit: Option<u64>) -> Self {
        Self { client: Client::new(config), name: name.into(), monthly_limit }
    }

    /// Makes the connection and whatever else a first call makes, for the calls to come. Whether the table can be had is
    /// for those to find out, so that it is tried once. What is sent is a read without its content, a `GET` of the
    /// endpoint: it names no operation that could be counted, allowed or paid for.
    pub async fn connect(&self) {
        let read = self.client.get_item().table_name(&self.name).key(KEY, AttributeValue::S(String::new()));
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let greeting = read.customize().config_override(once).mutate_request(|request| {
            let _ = request.set_method("GET");
            *request.body_mut() = SdkBody::empty();
            for header in ["content-length", "content-type", "x-amz-target"] {
                request.headers_mut().remove(header);
            }
        });
        let _ = greeting.send().await;
    }

    /// The record of this id, if its retention is not over.
    pub async fn get(&self, id: &RequestId, now: Time) -> Result<Option<Record>, TableError> {
        Ok(self.get_stored(id).await?.filter(|record| !record.is_gone(now)))
    }

    /// The record of this id, even past its retention.
    async fn get_stored(&self, id: &RequestId) -> Result<Option<Record>, TableError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .key(KEY, expression_key(id))
            .consistent_read(true)
            .send()
            .await
            .map_err(unavailable)?;
        answer.item.map(record).transpose()
    }

    /// Removes the record; `false` if there is none.
    pub async fn delete(&self, id: &RequestId, now: Time) -> Result<bool, TableError> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key(KEY, expression_key(id))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld)
            .send()
            .await
            .map_err(unavailable)?;
        let deleted = answer.attributes.map(record).transpose()?;
        Ok(deleted.is_some_and(|record| !record.is_gone(now)))
    }
}

fn expression_key(id: &RequestId) -> AttributeValue {
    AttributeValue::S(id.as_str().to_owned())
}

fn record(item: Item) -> Result<Record, TableError> {
    serde_dynamo::from_item(item).map_err(TableError::Corrupt)
}

fn item(record: &Record) -> Result<Item, TableError> {
    serde_dynamo::to_item(record).map_err(TableError::Corrupt)
}

fn unavailable(error: impl Error + Send + Sync + 'static) -> TableError {
    TableError::Unavailable(Box::new(error))
}
