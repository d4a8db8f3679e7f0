//! Amazon EventBridge: an event on a bus.
//!
//! - `PutEvents`: <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
//! - How large an entry is: <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html>
//! - What failed inside a 200: <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html>
//!
//! A bus that does not exist takes the event with an id, and loses it
//! (<https://github.com/aws/aws-sdk/issues/186>): nothing in the answer tells. Nor can EventBridge tell a repeat: an
//! event whose answer was lost is put twice, with the same `requestID` in its detail.

use super::{AwsError, Failure, Handover, Vendors};
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use model::payload;
use model::record::Record;
use model::result::HighlightsResult;
use model::settings::App;

const SOURCE: &str = "galileo-highlights";
const DETAIL_TYPE: &str = "Highlights Status Change";
/// What all regions take: an entry has to be smaller. Since January 2026 most take 1 MB.
const ENTRY_BYTES: usize = 256 * 1024;
const ACCESS: &str = "the function may not put events on this bus: check its name, that it is in this account and region, and the role";

impl Vendors {
    /// Without a bus, the account's default one.
    pub(super) async fn event_bridge(
        &self,
        handover: &Handover<'_>,
        bus: Option<&str>,
    ) -> Result<Option<String>, Failure> {
        let client = self.event_bridge.get_or_init(|| Client::new(&self.config));
        let entry = entry(handover.record, handover.result, &self.settings.shared.app, bus);
        let put = client.put_events().entries(entry).send();
        let answered = handover.call(put).await.and_then(|answer| read(&answer));
        answered.map(Some).map_err(|error| error.failure("EventBridge", ACCESS, &[]))
    }
}

fn entry(
    record: &Record,
    result: Option<&HighlightsResult>,
    app: &App,
    bus: Option<&str>,
) -> PutEventsRequestEntry {
    // The bus is not counted, they say.
    let beside = SOURCE.len() + DETAIL_TYPE.len() + bus.map_or(0, str::len);
    PutEventsRequestEntry::builder()
        .source(SOURCE)
        .detail_type(DETAIL_TYPE)
        .detail(payload::within(record, result, app, ENTRY_BYTES - 1 - beside))
        .set_event_bus_name(bus.map(str::to_owned))
        .build()
}

/// The event's id.
fn read(answer: &PutEventsOutput) -> Result<String, AwsError> {
    let entry = answer.entries().first();
    if let Some((entry, code)) = entry.and_then(|entry| Some((entry, entry.error_code()?))) {
        let message = entry.error_message().unwrap_or_default().to_owned();
        return Err(AwsError::Answered { status: 200, code: code.to_owned(), message });
    }
    entry.and_then(|entry| entry.event_id()).map(str::to_owned).ok_or(AwsError::NoAnswer)
}

#[cfg(test)]
mod tests {
    use super::super::Decision;
    use super::super::fixtures::{AGAIN, ID, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use aws_sdk_eventbridge::types::PutEventsResultEntry;
    use local::destinations::{Behaviour, Kind};
    use model::destination::Target;
    use serde_json::Value;

    fn entry_of(handover: &Handover<'_>, bus: Option<&str>) -> PutEventsRequestEntry {
        entry(handover.record, handover.result, &App::parse("org/app").unwrap(), bus)
    }

    fn detail(entry: &PutEventsRequestEntry) -> Value {
        serde_json::from_str(entry.detail().unwrap()).unwrap()
    }

    #[test]
    fn an_outcome_is_an_event() {
        let event = ready("She pays.", |handover| entry_of(handover, None));
        assert_eq!(event.source(), Some("galileo-highlights"));
        assert_eq!(event.detail_type(), Some("Highlights Status Change"));
        assert_eq!(event.event_bus_name(), None);
        assert_eq!((&detail(&event)["status"], &detail(&event)["requestID"]), (&"READY".into(), &ID.into()));
        let event = failed(|handover| entry_of(handover, Some("highlights")));
        assert_eq!(event.event_bus_name(), Some("highlights"));
        assert_eq!((&detail(&event)["status"], &detail(&event)["result"]), (&"FAILED".into(), &Value::Null));
    }

    #[test]
    fn an_event_is_smaller_than_its_limit() {
        let bus = "b".repeat(400);
        let event = ready(&"é".repeat(200_000), |handover| entry_of(handover, Some(&bus)));
        let parts = [event.source(), event.detail_type(), event.detail(), event.event_bus_name()];
        let size: usize = parts.into_iter().flatten().map(str::len).sum();
        assert!(size < ENTRY_BYTES && size > ENTRY_BYTES - 100, "{size}");
        assert_eq!(detail(&event)["truncated"], true);
    }

    #[test]
    fn a_200_may_be_a_refusal() {
        let answered = |entry: PutEventsResultEntry| read(&PutEventsOutput::builder().entries(entry).build());
        let entry = PutEventsResultEntry::builder;
        assert_eq!(answered(entry().event_id("e1").build()), Ok("e1".to_owned()));
        assert_eq!(answered(entry().build()), Err(AwsError::NoAnswer));
        assert_eq!(read(&PutEventsOutput::builder().build()), Err(AwsError::NoAnswer));
        for (code, decision) in [
            ("InternalFailure", AGAIN),
            ("ThrottlingException", AGAIN),
            ("AccessDeniedException", Decision::Refuse),
            ("InvalidAccountIdException", Decision::Refuse),
            ("InvalidArgument", Decision::Refuse),
            ("MalformedDetail", Decision::Refuse),
            ("NotAuthorizedForSourceException", Decision::Refuse),
            ("ResourceNotFoundException", Decision::Refuse),
        ] {
            let refused = answered(entry().error_code(code).error_message("why").build());
            let failure = refused.unwrap_err().failure("EventBridge", ACCESS, &[]);
            assert_eq!(failure.decision, decision, "{code}");
            assert!(
                failure.error.starts_with(&format!("EventBridge answered {code}: ")),
                "{}",
                failure.error
            );
        }
    }

    #[test]
    fn events_arrive_on_their_bus() {
        let stand_in = StandIn::start();
        let target = |bus: Option<&str>| Target::EventBridge { bus: bus.map(str::to_owned) };
        ready(&"é".repeat(200_000), |handover| {
            let id = stand_in.deliver(handover, &target(Some("highlights"))).unwrap();
            let message = &stand_in.there.messages()[0];
            assert_eq!((message.place.as_str(), &message.id), ("bus highlights", &id));
            assert!(id.is_some());
        });
        failed(|handover| assert!(stand_in.deliver(handover, &target(None)).is_ok()));
        assert_eq!(stand_in.there.messages()[1].place, "bus default");
        ready("She pays.", |handover| {
            for (behaviour, decision) in [
                (Behaviour::refused_as("ThrottlingException"), AGAIN),
                (Behaviour::refused_as("NotAuthorizedForSourceException"), Decision::Refuse),
            ] {
                stand_in.there.next(Kind::EventBridge, behaviour);
                assert_eq!(why(stand_in.deliver(handover, &target(None))).0, decision);
            }
            stand_in.there.usually(Kind::EventBridge, Behaviour::CutBefore);
            assert_eq!(why(stand_in.deliver(handover, &target(None))).0, AGAIN);
        });
    }
}
