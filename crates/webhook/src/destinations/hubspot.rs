//! HubSpot: a note on a contact, company, deal or ticket.
//!
//! - `POST /crm/v3/objects/notes`; `hs_note_body` takes 65,536 characters of HTML, `hs_timestamp` places the note on
//!   the record's timeline: <https://developers.hubspot.com/docs/api-reference/crm-notes-v3/guide>
//! - Errors: <https://developers.hubspot.com/docs/api-reference/error-handling>
//! - What a 429 says, and `policyName`: <https://developers.hubspot.com/docs/api/usage-details>
//!
//! There is no key that would tell HubSpot a repeat: a note whose answer was lost is written twice.

use super::{Decision, Failure, Handover, Vendors, WAIT_FOR_THE_NEXT_DAY, made, retry_after, utf16_units};
use aws::outgoing::Answer;
use model::destination::HubspotObject;
use model::record::Record;
use model::render::html;
use model::secrets::DestinationSecrets;
use model::time::Time;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// What the body of a note takes, less a little.
const MAX_BODY: usize = 65_000;
/// The wait of HubSpot's own client
/// (<https://github.com/HubSpot/hubspot-api-nodejs/blob/master/src/services/decorators/RetryDecorator.ts>) where the
/// calls of some seconds are used up.
const WAIT_FOR_THE_NEXT_SECONDS: Duration = Duration::from_secs(10);

impl Vendors {
    pub(super) async fn hubspot(
        &self,
        handover: &Handover<'_>,
        object: HubspotObject,
        object_id: &str,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let token = secrets.hubspot_access_token.as_ref().map_err(Clone::clone)?.expose_secret();
        let url = &format!("{}/crm/v3/objects/notes", self.settings.hubspot_api_url);
        let notes = notes(handover, object, object_id);
        let send = |note, _| async move {
            let request = self.json(Method::POST, url, note).bearer_auth(token);
            read(&self.send(handover, request).await?, token)
        };
        handover.send_all(&notes, send).await
    }
}

/// The page as notes.
fn notes(handover: &Handover<'_>, object: HubspotObject, object_id: &str) -> Vec<Value> {
    let parts = handover.parts(MAX_BODY, |document| utf16_units(&html::write(document)));
    let at = came_at(handover.record);
    let notes = (0..).zip(&parts).map(|(index, part)| {
        json!({
            "properties": {
                // The newest is on top of the timeline: the first part is to be read first.
                "hs_timestamp": Time(at.0 - index).to_string(),
                "hs_note_body": html::write(part),
            },
            "associations": [{
                "to": { "id": object_id },
                "types": [{
                    "associationCategory": "HUBSPOT_DEFINED",
                    "associationTypeId": association_type(object),
                }],
            }],
        })
    });
    notes.collect()
}

/// When the outcome came.
fn came_at(record: &Record) -> Time {
    record.completed_at.unwrap_or(record.created_at)
}

/// From a note to the object, unlabelled: the same in every account
/// (<https://developers.hubspot.com/docs/api-reference/crm-associations-v4/guide#association-type-id-values>).
fn association_type(object: HubspotObject) -> u32 {
    match object {
        HubspotObject::Contact => 202,
        HubspotObject::Company => 190,
        HubspotObject::Deal => 214,
        HubspotObject::Ticket => 228,
    }
}

fn read(answer: &Answer, token: &str) -> Result<Option<String>, Failure> {
    if answer.is_success() {
        return Ok(made(answer));
    }
    let failure = Failure::of_answer("HubSpot", answer, &[token]);
    let asked = retry_after(answer);
    let decision = match answer.status {
        429 => Decision::Again { retry_after: asked.or_else(|| Some(wait_for_more_calls(answer))) },
        // The record is locked for seconds, or the account is being moved.
        423 | 477 => Decision::Again { retry_after: asked },
        _ => failure.decision,
    };
    Err(Failure { decision, ..failure })
}

/// Until when a day's calls are used up depends on the account's time zone, which is not said.
fn wait_for_more_calls(answer: &Answer) -> Duration {
    #[derive(Deserialize)]
    struct Limit {
        #[serde(rename = "policyName")]
        policy_name: String,
    }
    match serde_json::from_slice::<Limit>(&answer.body) {
        Ok(limit) if limit.policy_name == "DAILY" => WAIT_FOR_THE_NEXT_DAY,
        _ => WAIT_FOR_THE_NEXT_SECONDS,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AGAIN, again_after, answer, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use local::destinations::{Behaviour, Kind};
    use model::destination::Target;

    const TOKEN: &str = "pat-hush";

    #[test]
    fn a_result_is_a_note_on_its_object() {
        for (object, kind) in [
            (HubspotObject::Contact, 202),
            (HubspotObject::Company, 190),
            (HubspotObject::Deal, 214),
            (HubspotObject::Ticket, 228),
        ] {
            let notes = ready("She **pays**.", |handover| notes(handover, object, "101"));
            assert_eq!(notes.len(), 1);
            let body = notes[0]["properties"]["hs_note_body"].as_str().unwrap();
            assert!(
                body.contains("<p>She <strong>pays</strong>.</p>") && !body.contains("<!channel>"),
                "{body}"
            );
            let types = json!([{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": kind }]);
            let expected = json!({
                "properties": { "hs_timestamp": "2024-05-12T02:31:30.123Z", "hs_note_body": body },
                "associations": [{ "to": { "id": "101" }, "types": types }],
            });
            assert_eq!(notes[0], expected);
        }
    }

    #[test]
    fn a_long_result_is_notes_that_are_read_from_the_top() {
        let notes = ready(&"😀 pays & waits.\n\n".repeat(5_000), |handover| {
            notes(handover, HubspotObject::Deal, "101")
        });
        assert!(notes.len() > 1);
        let text = |note: &Value, name: &str| note["properties"][name].as_str().unwrap().to_owned();
        for note in &notes {
            assert!(utf16_units(&text(note, "hs_note_body")) <= MAX_BODY);
        }
        let times: Vec<String> = notes.iter().map(|note| text(note, "hs_timestamp")).collect();
        assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{times:?}");
        assert!(text(&notes[1], "hs_note_body").starts_with("<p><em>Part 2 of "));
    }

    #[test]
    fn a_failure_says_so() {
        let notes = failed(|handover| notes(handover, HubspotObject::Ticket, "101"));
        assert!(notes[0]["properties"]["hs_note_body"].as_str().unwrap().contains("FAILED"));
    }

    #[test]
    fn the_answers() {
        assert_eq!(read(&answer(201, r#"{"id":"7","properties":{}}"#), TOKEN), Ok(Some("7".into())));
        assert_eq!(read(&answer(201, "{"), TOKEN), Ok(None));
        let daily =
            json!({ "message": "You have reached your daily limit.", "policyName": "DAILY" }).to_string();
        let seconds = json!({ "message": "Slow down.", "policyName": "TEN_SECONDLY_ROLLING" }).to_string();
        let invalid = json!({ "message": "no \"x\"", "category": "VALIDATION_ERROR" }).to_string();
        let scopes = json!({ "message": "scopes", "category": "MISSING_SCOPES" }).to_string();
        for (status, body, decision, words) in [
            (400, invalid.as_str(), Decision::Refuse, "400: no \"x\""),
            (401, r#"{"message":"bad pat-hush"}"#, Decision::Unauthorized, "401: bad (secret)"),
            (403, &scopes, Decision::Refuse, "403: scopes"),
            (404, "", Decision::Refuse, "404"),
            (302, "", Decision::Refuse, "302"),
            (423, "", AGAIN, "423"),
            (477, "", AGAIN, "477"),
            (429, &daily, again_after(3_600), "429: You have reached your daily limit."),
            (429, &seconds, again_after(10), "429: Slow down."),
            (429, "", again_after(10), "429"),
            (502, "<html>", AGAIN, "502"),
            (523, "", AGAIN, "523"),
        ] {
            let (decided, said) = why(read(&answer(status, body), TOKEN));
            assert_eq!((decided, said), (decision, format!("HubSpot answered {words}")));
        }
        for status in [423, 429, 477, 503] {
            let asked = Answer { retry_after: Some("77".into()), ..answer(status, &daily) };
            assert_eq!(why(read(&asked, TOKEN)).0, again_after(77));
        }
    }

    #[test]
    fn notes_arrive() {
        let stand_in = StandIn::start();
        let target = Target::Hubspot { object: HubspotObject::Company, object_id: "101".into() };
        ready(&"She pays & waits.\n\n".repeat(5_000), |handover| {
            let id = stand_in.deliver(handover, &target).unwrap();
            let messages = stand_in.there.messages();
            assert!(messages.len() > 1 && messages.iter().all(|message| message.place == "company 101"));
            assert_eq!(messages[0].id, id);
            // What was written stays known if the next one fails.
            stand_in.there.next(Kind::Hubspot, Behaviour::Ok);
            stand_in.there.next(Kind::Hubspot, Behaviour::Failure);
            let failure = stand_in.deliver(handover, &target).unwrap_err();
            assert_eq!((failure.decision, failure.progress.sent), (AGAIN, 1));
        });
        let old = stand_in.secrets();
        stand_in.there.rotate(Kind::Hubspot);
        failed(|handover| {
            assert_eq!(why(stand_in.deliver_with(handover, &target, &old)).0, Decision::Unauthorized);
            assert!(stand_in.deliver(handover, &target).is_ok());
        });
    }
}
