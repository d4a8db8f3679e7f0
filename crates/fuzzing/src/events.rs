use crate::{NOW, as_text};
use aws::function::{Http, serve};
use futures::FutureExt;
use lambda_http::{Body, Request, RequestExt, Response};
use model::rules::Rules;
use model::view;
use request::ListQuery;
use request::event::Message;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use webhook::Claim;

/// What invokes request λ: the messages in it are those that are read again of an event that holds nothing else.
pub fn request_event(bytes: &[u8]) {
    use request::event::Event;
    let text = as_text(bytes);
    let Ok(payload) = serde_json::from_str::<&RawValue>(&text) else { return };
    let Ok(event) = Event::read(payload) else { return };
    let records = |messages: &[Message], record: fn(&Message) -> Value| {
        json!({ "Records": messages.iter().map(record).collect::<Value>() }).to_string()
    };
    let again = match &event {
        Event::Http(_) | Event::UnreadableHttp => return,
        Event::Direct(body) => return assert_eq!(body.get(), payload.get()),
        Event::Job(job) => json!({ "job": job }).to_string(),
        Event::Sqs(messages) => records(
            messages,
            |Message { id, body }| json!({ "eventSource": "aws:sqs", "messageId": id, "body": body }),
        ),
        Event::Sns(messages) => records(
            messages,
            |Message { id, body }| json!({ "EventSource": "aws:sns", "Sns": { "MessageId": id, "Message": body } }),
        ),
        // The body as it is: numbers may be in it that no type holds.
        Event::EventBridge(Message { id, body }) => {
            format!(r#"{{"id":{},"detail-type":"","detail":{body}}}"#, json!(id))
        }
    };
    let read = Event::read(serde_json::from_str(&again).unwrap()).unwrap();
    match (&event, &read) {
        (Event::Job(job), Event::Job(same)) => assert_eq!(job, same),
        (Event::Sqs(messages), Event::Sqs(same)) | (Event::Sns(messages), Event::Sns(same)) => {
            assert_same(messages, same);
        }
        (Event::EventBridge(message), Event::EventBridge(same)) => {
            assert_same(std::slice::from_ref(message), std::slice::from_ref(same));
        }
        _ => panic!("another kind of {again}"),
    }
}

fn assert_same(messages: &[Message], same: &[Message]) {
    let of = |messages: &[Message]| -> Vec<(String, String)> {
        messages.iter().map(|message| (message.id.clone(), message.body.clone())).collect()
    };
    assert_eq!(of(messages), of(same));
}

/// What invokes webhook λ: a record that the stream carries is whole, and can be worked on.
pub fn webhook_event(bytes: &[u8]) {
    use webhook::event::Event;
    let Event::Stream(changes) = Event::read(&as_text(bytes)) else { return };
    for record in changes.into_iter().filter_map(|change| change.record) {
        let item: serde_dynamo::Item = serde_dynamo::to_item(&record).unwrap();
        assert!(serde_dynamo::from_item(item).is_ok_and(|again: model::record::Record| again == record));
        let result = record.unpack_result().ok().flatten();
        let shown = view::whole(&record, result.as_ref());
        assert_eq!(shown["requestID"], record.request_id.as_str());
        if let Some((claimed, tries)) = record.claim_deliveries(NOW, &Rules::default()) {
            assert!(tries.iter().all(|this| claimed.deliveries.contains_key(&this.key)));
            // What is in flight is nobody else's.
            let second = claimed.claim_deliveries(NOW, &Rules::default());
            assert!(second.is_none_or(|(_, tries)| tries.is_empty()));
        }
    }
}

/// An HTTP event, in any of the forms that gateways and load balancers have: what cannot be read is refused, and what
/// can, is read by every route without a panic.
pub fn http(bytes: &[u8]) {
    let Http::Request(event) = Http::read(&as_text(bytes)) else { return };
    let answer = serve(*event, lambda_runtime::Context::default(), |request: Request| async move {
        let path = aws::http::path(&request);
        assert!(request.raw_http_path().ends_with(path));
        let listed = ListQuery::read(&request).is_ok();
        let claimed = Claim::read(&request.query_string_parameters()).is_some();
        assert!(!(listed && claimed));
        Response::new(Body::Empty)
    });
    let answer = answer.now_or_never().expect("nothing is waited for").expect("no route panics");
    let answer: Value = serde_json::from_str(answer.get()).unwrap();
    assert!(matches!(answer["statusCode"].as_u64(), Some(200 | 400)), "{answer}");
}
