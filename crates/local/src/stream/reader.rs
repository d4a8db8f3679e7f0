//! Reads the embedded table's stream, and makes of its records what Lambda hands to a function.
//!
//! Where dynoxide differs from DynamoDB, the difference is taken out here:
//! - A write that changes nothing leaves a record there and none in DynamoDB ("if you perform a `PutItem` or
//!   `UpdateItem` operation that does not change any data in an item, DynamoDB Streams does not write a stream
//!   record", <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>). It is passed over,
//!   which takes the image before it: the reader keeps the last one of each item.
//! - `SizeBytes` is the length of the JSON there; DynamoDB's is the size of the keys and the images.
//! - The region is `dynoxide`, the stream's label no date, and `ApproximateCreationDateTime` has a fraction of zero.
//!
//! What needs nothing: there is one shard, its records stand in the order of the writes (one lock serialises both),
//! numbers of sequence only grow, and binary values are base64.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};

use dynoxide::actions::describe_stream::DescribeStreamRequest;
use dynoxide::actions::get_records::{GetRecordsRequest, Record as StreamRecord};
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::actions::list_streams::ListStreamsRequest;
use dynoxide::types::item_size;
use dynoxide::{Database, DynoxideError, Item};
use serde_json::Value;
use time::OffsetDateTime;

use super::{Error, Position};

/// The region of all that runs locally, as the functions are told it.
pub(super) const REGION: &str = "us-east-1";
/// Most records of one read.
const PAGE: usize = 1000;

/// A record as the function gets it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// 21 digits: their order as text is that of the writes.
    pub(super) sequence: String,
    /// When it was written, in epoch seconds.
    pub(super) written_at: u64,
    /// Equal for records of one item.
    pub(super) item: u64,
    /// Of the event, in bytes.
    pub(super) size: usize,
    pub(super) event: Value,
}

/// One shard and the place in it.
pub(super) struct Reader {
    stream: Stream,
    iterator: String,
    /// The last record that was read, passed over or not.
    last: Option<String>,
    /// The last image of each item, by its keys.
    images: HashMap<String, Item>,
}

/// A table's stream.
#[derive(Clone)]
pub(super) struct Stream {
    database: Database,
    /// As dynoxide spells it.
    source: String,
    /// As AWS does.
    pub(super) arn: String,
    pub(super) shard: String,
}

impl Stream {
    pub(super) fn of(database: &Database, table: &str) -> Result<Self, Error> {
        let request = ListStreamsRequest { table_name: Some(table.to_owned()), ..Default::default() };
        let streams = database.list_streams(request).map_err(refused("ListStreams"))?.streams;
        let found = streams.into_iter().next().ok_or_else(|| Error::NoStream(table.to_owned()))?;
        let label = found.stream_label.parse().map_or(found.stream_label, |seconds: f64| {
            let milliseconds = (seconds * 1000.0) as u64;
            let instant = iso_milliseconds(milliseconds);
            instant.trim_end_matches('Z').to_owned()
        });
        let mut stream = Self {
            database: database.clone(),
            source: found.stream_arn,
            arn: format!("arn:aws:dynamodb:{REGION}:000000000000:table/{table}/stream/{label}"),
            shard: String::new(),
        };
        let description = stream.describe()?;
        let shard = description.shards.into_iter().next().ok_or_else(|| Error::NoStream(table.to_owned()))?;
        stream.shard = shard.shard_id;
        Ok(stream)
    }

    /// The number of the last record that was written. (DynamoDB tells it of closed shards only.)
    pub(super) fn last(&self) -> Result<Option<String>, Error> {
        let shard = self.describe()?.shards.into_iter().next();
        Ok(shard.and_then(|shard| shard.sequence_number_range.ending_sequence_number))
    }

    fn describe(&self) -> Result<dynoxide::actions::describe_stream::StreamDescription, Error> {
        let request = DescribeStreamRequest { stream_arn: self.source.clone(), ..Default::default() };
        let description = self.database.describe_stream(request).map_err(refused("DescribeStream"))?;
        Ok(description.stream_description)
    }
}

impl Reader {
    /// A reader at that place. At `LATEST`, what is written from the return on is read.
    pub(super) fn start(stream: Stream, position: Position) -> Result<Self, Error> {
        let request = GetShardIteratorRequest {
            stream_arn: stream.source.clone(),
            shard_id: stream.shard.clone(),
            shard_iterator_type: "TRIM_HORIZON".to_owned(),
            sequence_number: None,
        };
        let answer = stream.database.get_shard_iterator(request).map_err(refused("GetShardIterator"))?;
        let iterator = answer.shard_iterator.unwrap_or_default();
        let mut reader = Self { stream, iterator, last: None, images: HashMap::new() };
        // Also at `LATEST` all is read once: for the images.
        if position == Position::Latest {
            while reader.page().map_err(refused("GetRecords"))?.1 == PAGE {}
        }
        Ok(reader)
    }

    /// The number of the last record that was read, which may be one that was passed over.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The records that were written since the last read, oldest first, a thousand at most.
    pub(super) fn read(&mut self) -> Result<Vec<Record>, DynoxideError> {
        Ok(self.page()?.0)
    }

    /// The same, and how many were read.
    fn page(&mut self) -> Result<(Vec<Record>, usize), DynoxideError> {
        let request = GetRecordsRequest { shard_iterator: self.iterator.clone(), limit: Some(PAGE) };
        let answer = self.stream.database.get_records(request)?;
        if let Some(next) = answer.next_shard_iterator {
            self.iterator = next;
        }
        let read = answer.records.len();
        if let Some(last) = answer.records.last() {
            self.last = Some(last.dynamodb.sequence_number.clone());
        }
        Ok((answer.records.into_iter().filter_map(|record| self.record(record)).collect(), read))
    }

    /// None where nothing changed.
    fn record(&mut self, record: StreamRecord) -> Option<Record> {
        let keys = serde_json::to_string(&record.dynamodb.keys.iter().collect::<BTreeMap<_, _>>())
            .unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        keys.hash(&mut hasher);
        match (&record.dynamodb.new_image, self.images.entry(keys)) {
            (Some(image), Entry::Occupied(known)) if known.get() == image => return None,
            (Some(image), Entry::Occupied(mut known)) => drop(known.insert(image.clone())),
            (Some(image), Entry::Vacant(unknown)) => drop(unknown.insert(image.clone())),
            (None, Entry::Occupied(known)) => drop(known.remove()),
            (None, Entry::Vacant(_)) => {}
        }

        let change = &record.dynamodb;
        let images = change.new_image.iter().chain(&change.old_image);
        let size_bytes = item_size(&change.keys) + images.map(item_size).sum::<usize>();
        let written_at = change.approximate_creation_date_time as u64;
        let sequence = change.sequence_number.clone();
        let mut event = serde_json::to_value(&record).ok()?;
        event["awsRegion"] = Value::from(REGION);
        event["eventSourceARN"] = Value::from(self.stream.arn.as_str());
        event["dynamodb"]["ApproximateCreationDateTime"] = Value::from(written_at);
        event["dynamodb"]["SizeBytes"] = Value::from(size_bytes);
        let size = event.to_string().len();
        Some(Record { sequence, written_at, item: hasher.finish(), size, event })
    }
}

/// `2019-11-14T00:13:49Z`.
pub(super) fn iso_seconds(seconds: u64) -> String {
    let instant =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let instant = instant.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = instant.to_calendar_date();
    let (hour, minute, second) = instant.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// `2019-11-14T00:13:49.717Z`.
pub(super) fn iso_milliseconds(milliseconds: u64) -> String {
    let seconds = iso_seconds(milliseconds / 1000);
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), milliseconds % 1000)
}

fn refused(operation: &'static str) -> impl FnOnce(DynoxideError) -> Error {
    move |source| Error::Refused { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_8601_in_utc() {
        assert_eq!(iso_seconds(1_573_690_429), "2019-11-14T00:13:49Z");
        assert_eq!(iso_milliseconds(1_573_690_429_717), "2019-11-14T00:13:49.717Z");
        assert_eq!(iso_milliseconds(1_573_690_429_007), "2019-11-14T00:13:49.007Z");
    }
}
