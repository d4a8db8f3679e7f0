//! Tells apart what invoked the function.

use aws::function::Http;
use lambda_http::request::LambdaRequest;
use model::id::RequestId;
use model::record::Record;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Every kind of event that webhook λ takes.
pub enum Event {
    Http(Box<LambdaRequest>),
    UnreadableHttp,
    /// The table's stream.
    Stream(Vec<Change>),
    Job(Job),
    Other,
}

/// One item of the table that was written.
pub struct Change {
    pub sequence_number: String,
    /// `None` for an item that is no request.
    pub request_id: Option<RequestId>,
    /// As it was written; `None` if the stream does not carry it, or it cannot be read.
    pub record: Option<Record>,
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
#[derive(Deserialize)]
struct StreamEvent {
    #[serde(rename = "Records")]
    records: Vec<StreamRecord>,
}

#[derive(Deserialize)]
struct StreamRecord {
    #[serde(rename = "eventSource")]
    event_source: EventSource,
    dynamodb: StreamChange,
}

#[derive(Deserialize)]
enum EventSource {
    #[serde(rename = "aws:dynamodb")]
    DynamoDb,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamChange {
    sequence_number: String,
    keys: serde_dynamo::Item,
    #[serde(default)]
    new_image: Option<serde_dynamo::Item>,
}

/// What is asked for by a direct invocation.
pub enum Job {
    /// `{"job":"sweep"}`
    Sweep,
    /// `{"job":"try","destination":{"type":"slack","channel":"C0123456789"}}`
    Try { destination: Box<RawValue> },
}

#[derive(Deserialize)]
struct JobEvent {
    job: String,
    #[serde(default, deserialize_with = "whatever_is_there")]
    destination: Option<Box<RawValue>>,
}

/// `null` too: it is no destination, and is to be told so.
fn whatever_is_there<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(reader).map(Some)
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "requestID")]
    request_id: String,
}

impl Event {
    pub fn read(json: &str) -> Self {
        match Http::read(json) {
            Http::Request(request) => return Self::Http(request),
            Http::Unreadable => return Self::UnreadableHttp,
            Http::Other => {}
        }
        if let Ok(event) = serde_json::from_str::<StreamEvent>(json) {
            return Self::Stream(event.records.into_iter().map(Change::from).collect());
        }
        let job = serde_json::from_str(json).ok().and_then(Job::read);
        job.map_or(Self::Other, Self::Job)
    }
}

impl Job {
    fn read(JobEvent { job, destination }: JobEvent) -> Option<Self> {
        match (job.as_str(), destination) {
            ("sweep", _) => Some(Self::Sweep),
            ("try", Some(destination)) => Some(Self::Try { destination }),
            _ => None,
        }
    }
}

impl From<StreamRecord> for Change {
    fn from(StreamRecord { event_source: EventSource::DynamoDb, dynamodb }: StreamRecord) -> Self {
        let key = serde_dynamo::from_item::<_, Key>(dynamodb.keys).ok();
        Self {
            sequence_number: dynamodb.sequence_number,
            request_id: key.and_then(|key| RequestId::parse(&key.request_id)),
            record: dynamodb.new_image.and_then(|image| serde_dynamo::from_item(image).ok()),
        }
    }
}
