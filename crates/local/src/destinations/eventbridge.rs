//! Amazon EventBridge: `PutEvents`.
//!
//! - JSON 1.1, `X-Amz-Target: AWSEvents.PutEvents`, one to ten `Entries`. An entry without `Source`, `DetailType` or
//!   `Detail`, or whose `Detail` is no JSON object, fails alone, inside a 200: `FailedEntryCount` and
//!   `ErrorCode`, `ErrorMessage` in its place. `InternalFailure` and `ThrottlingException` are for later.
//! - An entry's size is 14 bytes for a `Time` and the UTF-8 bytes of `Source`, `DetailType`, `Detail` and each of
//!   `Resources`. The sum was limited to 256 KB until January 2026 and is to 1 MB since: here to
//!   [`Options::event_bytes`]. Beyond it the whole call is a 400 `ValidationException`.
//! - An event for a bus that is not there gets its `EventId`, and is gone: recorded here as not accepted.
//!
//! Sources: botocore 1.44.5 (`events/2015-10-07`),
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/events/CalculatePutEventsEntrySize.html>,
//! <https://github.com/localstack/localstack> (`services/events`: buses that are not there, texts of errors).
//! Not verified: the month of the new limit; that AWS itself says nothing of a bus that is not there.

use serde_json::{Value, json};

use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Kind, Reply, Sight, Taken, Verdict, aws_error, aws_operation, place, units};
use super::{Options, World};

pub(super) fn check(call: &Call, world: &World, options: &Options) -> Verdict {
    if aws_operation(call, "events", "AWSEvents", "1.1")? != "PutEvents" {
        return Err(error("UnknownOperationException", "").because("not PutEvents"));
    }
    let body = call.json();
    let entries = body.as_ref().and_then(|body| body["Entries"].as_array());
    let Some(entries) = entries.filter(|entries| (1..=10).contains(&entries.len())) else {
        let message = "1 validation error detected: Value at 'entries' failed to satisfy constraint";
        return Err(error("ValidationException", message).because("not one to ten Entries"));
    };
    let size: usize = entries.iter().map(size).sum();
    if size > options.event_bytes {
        let message = "Total size of the entries in the request is over the limit.";
        return Err(error("ValidationException", message).because(format!("{size} bytes")));
    }
    let (mut results, mut shown, mut complaint, mut failed) = (Vec::new(), Vec::new(), None, 0);
    let mut last_bus = String::new();
    for entry in entries {
        let bus = entry["EventBusName"].as_str().unwrap_or("default");
        let bus = bus.rsplit('/').next().unwrap_or(bus);
        let known = if options.buses.iter().any(|known| known == bus) { Place::Open } else { Place::Missing };
        let state = place(world, Kind::EventBridge, bus, known);
        if state == Place::Foreign {
            let message = format!("User is not authorized to perform: events:PutEvents on resource: {bus}");
            return Err(error("AccessDeniedException", &message).because(message));
        }
        match wrong(entry) {
            Some((code, message)) => {
                failed += 1;
                complaint = Some(message.clone());
                results.push(json!({"ErrorCode": code, "ErrorMessage": message}));
            }
            None => {
                results.push(json!({"EventId": uuid::Uuid::new_v4().to_string()}));
                if state == Place::Open {
                    shown.push(lines_of(entry));
                    bus.clone_into(&mut last_bus);
                } else {
                    complaint = Some(format!("there is no bus {bus}: the event is gone"));
                }
            }
        }
    }
    let answer = json!({"FailedEntryCount": failed, "Entries": &results});
    let reply = Reply::json(200, answer).of_type("application/x-amz-json-1.1");
    let taken = |reply| {
        let mut sight = Sight::new(format!("bus {last_bus}"), shown.join("\n"));
        sight.id = results.iter().find_map(|result| result["EventId"].as_str()).map(str::to_owned);
        if shown.is_empty() { Taken::new(reply) } else { Taken::new(reply).seen(sight) }
    };
    match (complaint, failed == entries.len()) {
        (Some(why), true) => Err(reply.because(why)),
        (Some(why), false) => Ok(taken(reply).but_lost(why)),
        (None, _) => Ok(taken(reply)),
    }
}

/// As AWS computes it.
fn size(entry: &Value) -> usize {
    let bytes = |value: &Value| value.as_str().map_or(0, str::len);
    let time = if entry["Time"].is_null() { 0 } else { 14 };
    let resources = entry["Resources"].as_array().map_or(0, |all| all.iter().map(bytes).sum());
    time + bytes(&entry["Source"]) + bytes(&entry["DetailType"]) + bytes(&entry["Detail"]) + resources
}

/// What is wrong with an entry.
fn wrong(entry: &Value) -> Option<(&'static str, String)> {
    for name in ["Source", "DetailType", "Detail"] {
        if entry[name].as_str().is_none_or(str::is_empty) {
            let message = format!("Parameter {name} is not valid. Reason: {name} is a required argument.");
            return Some(("InvalidArgument", message));
        }
    }
    let source = entry["Source"].as_str().unwrap_or_default();
    if source.starts_with("aws.") {
        let message = format!("Not authorized for the source {source}.");
        return Some(("NotAuthorizedForSourceException", message));
    }
    if entry["DetailType"].as_str().is_some_and(|name| units(name) > 128) {
        let message =
            "Parameter DetailType is not valid. Reason: DetailType must not be longer than 128 characters.";
        return Some(("InvalidArgument", message.to_owned()));
    }
    let detail = serde_json::from_str::<Value>(entry["Detail"].as_str().unwrap_or_default());
    match detail {
        Ok(Value::Object(_)) => None,
        _ => Some(("MalformedDetail", "Detail is malformed.".to_owned())),
    }
}

fn lines_of(entry: &Value) -> String {
    let part = |name: &str| text::from_plain(entry[name].as_str().unwrap_or_default());
    let detail = serde_json::from_str(entry["Detail"].as_str().unwrap_or_default()).unwrap_or(Value::Null);
    format!("{} from {}\n{}", part("DetailType"), part("Source"), text::from_payload(&detail))
}

/// A 200 that says that its one entry failed.
pub(super) fn failed_entry(code: &str) -> Reply {
    let entry = json!({"ErrorCode": code, "ErrorMessage": "failed on demand"});
    Reply::json(200, json!({"FailedEntryCount": 1, "Entries": [entry]})).of_type("application/x-amz-json-1.1")
}

pub(super) fn error(code: &str, message: &str) -> Reply {
    aws_error(if code.starts_with("Internal") { 500 } else { 400 }, code, message)
}
