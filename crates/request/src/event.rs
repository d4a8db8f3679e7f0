//! Tells apart what invoked the function.
//!
//! Of the events that carry a body, only the fields that are used are read: nothing else about them can make
//! a request fail.

use aws::function::Http;
use lambda_http::request::LambdaRequest;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Every kind of event that request λ takes.
pub enum Event<'a> {
    Http(Box<LambdaRequest>),
    UnreadableHttp,
    Sqs(Vec<Message>),
    Sns(Vec<Message>),
    EventBridge(Message),
    /// `{"job":"sweep"}`
    Job(String),
    /// A direct invocation or a Step Functions task: the payload is the body itself.
    Direct(&'a RawValue),
}

/// A body, and the id that its source gave it.
pub struct Message {
    pub id: String,
    pub body: String,
}

/// The fields that tell; each source has some that no other has, and that no body may have.
#[derive(Deserialize)]
struct Signs {
    #[serde(rename = "Records")]
    records: Option<Vec<RecordSigns>>,
    #[serde(rename = "detail-type")]
    detail_type: Option<IgnoredAny>,
    detail: Option<IgnoredAny>,
    job: Option<String>,
}

#[derive(Deserialize)]
struct RecordSigns {
    #[serde(rename = "eventSource", alias = "EventSource")]
    event_source: Option<String>,
}

#[derive(Deserialize)]
struct Records<T> {
    #[serde(rename = "Records")]
    records: Vec<T>,
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: String,
    body: String,
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html>
#[derive(Deserialize)]
struct SnsRecord {
    #[serde(rename = "Sns")]
    sns: SnsMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SnsMessage {
    message_id: String,
    message: String,
}

/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>
#[derive(Deserialize)]
struct EventBridgeEvent<'a> {
    id: String,
    #[serde(borrow)]
    detail: &'a RawValue,
}

impl<'a> Event<'a> {
    pub fn read(payload: &'a RawValue) -> Result<Self, serde_json::Error> {
        let json = payload.get();
        match Http::read(json) {
            Http::Request(request) => return Ok(Self::Http(request)),
            Http::Unreadable => return Ok(Self::UnreadableHttp),
            Http::Other => {}
        }
        // What is not even an object, or has one of these fields in another form, is a body, and a bad one.
        let Ok(signs) = serde_json::from_str::<Signs>(json) else { return Ok(Self::Direct(payload)) };
        let source = signs.records.as_ref().and_then(|records| records.first()?.event_source.as_deref());
        Ok(match source {
            Some("aws:sqs") => {
                let records: Records<SqsRecord> = serde_json::from_str(json)?;
                let message = |record: SqsRecord| Message { id: record.message_id, body: record.body };
                Self::Sqs(records.records.into_iter().map(message).collect())
            }
            Some("aws:sns") => {
                let records: Records<SnsRecord> = serde_json::from_str(json)?;
                let message =
                    |record: SnsRecord| Message { id: record.sns.message_id, body: record.sns.message };
                Self::Sns(records.records.into_iter().map(message).collect())
            }
            _ if signs.detail_type.is_some() && signs.detail.is_some() => {
                let event: EventBridgeEvent = serde_json::from_str(json)?;
                Self::EventBridge(Message { id: event.id, body: event.detail.get().to_owned() })
            }
            _ => match signs.job {
                Some(job) => Self::Job(job),
                None => Self::Direct(payload),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(json: &str) -> &'static str {
        let payload: &RawValue = serde_json::from_str(json).unwrap();
        match Event::read(payload).unwrap() {
            Event::Http(_) | Event::UnreadableHttp => "http",
            Event::Sqs(_) => "sqs",
            Event::Sns(_) => "sns",
            Event::EventBridge(_) => "eventbridge",
            Event::Job(_) => "job",
            Event::Direct(_) => "direct",
        }
    }

    #[test]
    fn bodies_that_look_like_events_are_bodies() {
        for body in [
            "5",
            "[]",
            "{}",
            r#"{"userID":"1"}"#,
            r#"{"requestContext":{},"userID":"1"}"#,
            r#"{"requestContext":"x"}"#,
            r#"{"httpMethod":"POST"}"#,
            r#"{"Records":[]}"#,
            r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
            r#"{"detail":{}}"#,
            r#"{"job":5}"#,
        ] {
            assert_eq!(kind(body), "direct", "{body}");
        }
    }

    #[test]
    fn each_source_is_known_by_what_only_it_has() {
        let sqs = r#"{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":"{}"}]}"#;
        let sns = r#"{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"1","Message":"{}"}}]}"#;
        let event = r#"{"id":"1","detail-type":"Ticket","source":"crm","detail":{"userID":"1"}}"#;
        assert_eq!(kind(sqs), "sqs");
        assert_eq!(kind(sns), "sns");
        assert_eq!(kind(event), "eventbridge");
        assert_eq!(kind(r#"{"job":"sweep"}"#), "job");
    }
}
