//! Intercom: an admin's note in a conversation, which the customer does not see.
//!
//! - <https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/replyconversation>
//! - <https://developers.intercom.com/docs/references/rest-api/errors/error-codes>
//! - <https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting>
//!
//! There is no idempotency key: a note that was taken without our hearing of it is written again.

use super::{Decision, Failure, Handover, Vendors};
use aws::outgoing::Answer;
use model::render::html;
use model::secrets::{DestinationSecrets, IntercomRegion};
use model::time::Time;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Without it, the version is whichever the app was set to.
const VERSION: &str = "2.14";
/// Intercom names no limit; a note as long as this is a long read.
const MAX_BYTES: usize = 30_000;

impl Vendors {
    pub(super) async fn intercom(
        &self,
        handover: &Handover<'_>,
        conversation_id: &str,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let secret = secrets.intercom.as_ref().map_err(Clone::clone)?;
        let token = secret.access_token.expose_secret();
        let base = self.settings.intercom_api_url.as_deref().unwrap_or(url(secret.region));
        let url = &format!("{base}/conversations/{conversation_id}/reply");
        let notes = notes(handover, &secret.admin_id);
        let send = |note, _| async move {
            let request = self.json(Method::POST, url, note).bearer_auth(token);
            let request = request.header("Intercom-Version", VERSION);
            written(&self.send_long(handover, request).await?, token, aws::clock::now())
        };
        handover.send_all(&notes, send).await
    }
}

/// Where a workspace is hosted: <https://developers.intercom.com/docs/build-an-integration/learn-more/rest-apis>.
fn url(region: IntercomRegion) -> &'static str {
    match region {
        IntercomRegion::Us => "https://api.intercom.io",
        IntercomRegion::Eu => "https://api.eu.intercom.io",
        IntercomRegion::Au => "https://api.au.intercom.io",
    }
}

fn notes(handover: &Handover<'_>, admin_id: &str) -> Vec<Value> {
    let parts = handover.parts(MAX_BYTES, |part| html::write(part).len());
    let note = |part| {
        json!({
            "message_type": "note",
            "type": "admin",
            "admin_id": admin_id,
            "body": html::write(part),
        })
    };
    parts.iter().map(note).collect()
}

#[derive(Deserialize)]
struct Conversation {
    conversation_parts: Parts,
}

/// The latest 500, from the oldest.
#[derive(Deserialize)]
struct Parts {
    conversation_parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    id: String,
    part_type: Option<String>,
}

/// What the note was answered: the id of the part that it is. The answer is the whole conversation, which may be more
/// than is read of it: JSON that begins is Intercom's. Anything else comes from something on the way.
fn written(answer: &Answer, token: &str, now: Time) -> Result<Option<String>, Failure> {
    if !answer.is_success() {
        return Err(failure(answer, token, now));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(Conversation { conversation_parts: Parts { conversation_parts: parts } }) => {
            let note = parts.into_iter().rfind(|part| part.part_type.as_deref() == Some("note"));
            Ok(note.map(|note| note.id))
        }
        Err(_) if answer.body.trim_ascii_start().starts_with(b"{") => Ok(None),
        Err(_) => Err(Failure::again("Intercom's answer cannot be read")),
    }
}

/// Intercom says by `X-RateLimit-Reset` when there is room again, and not by `Retry-After`.
fn failure(answer: &Answer, token: &str, now: Time) -> Failure {
    let failure = Failure::of_answer("Intercom", answer, &[token]);
    match (failure.decision, &answer.rate_limit_reset) {
        (Decision::Again { retry_after: None }, Some(reset)) if answer.status == 429 => {
            Failure { decision: Decision::Again { retry_after: wait(reset, now) }, ..failure }
        }
        _ => failure,
    }
}

/// Until a Unix time.
fn wait(reset: &str, now: Time) -> Option<Duration> {
    let seconds: i64 = reset.trim().parse().ok()?;
    Some(Time(seconds.saturating_mul(1000)).since(now))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AGAIN, again_after, answer, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use local::destinations::Kind;
    use model::destination::Target;

    const TOKEN: &str = "hushhush";
    const NOW: Time = Time(1_487_332_510_000);

    #[test]
    fn a_result_is_one_note_of_the_admin() {
        let notes = ready("She **pays**.", |handover| notes(handover, "7"));
        assert_eq!(notes.len(), 1);
        let html = notes[0]["body"].as_str().unwrap();
        assert!(
            html.starts_with("<p><strong>Highlights of <code>alice@example.com</code></strong></p>"),
            "{html}"
        );
        assert!(html.contains("<p>She <strong>pays</strong>.</p>") && !html.contains("<b>"), "{html}");
        let expected = json!({ "message_type": "note", "type": "admin", "admin_id": "7", "body": html });
        assert_eq!(notes[0], expected);
    }

    #[test]
    fn a_long_result_is_several_notes() {
        let notes = ready(&"Zoë pays & waits.\n\n".repeat(1_250), |handover| notes(handover, "7"));
        assert_eq!(notes.len(), 2);
        for note in &notes {
            assert!(note["body"].as_str().unwrap().len() <= MAX_BYTES);
        }
        assert!(notes[1]["body"].as_str().unwrap().starts_with("<p><em>Part 2 of 2</em></p>"));
    }

    #[test]
    fn a_failure_says_so() {
        let note = failed(|handover| notes(handover, "7")).remove(0).to_string();
        assert!(note.contains("FAILED"), "{note}");
    }

    #[test]
    fn a_conversation_is_where_its_region_is() {
        assert_eq!(url(IntercomRegion::Us), "https://api.intercom.io");
        assert_eq!(url(IntercomRegion::Eu), "https://api.eu.intercom.io");
        assert_eq!(url(IntercomRegion::Au), "https://api.au.intercom.io");
    }

    #[test]
    fn the_answers() {
        let conversation = json!({ "type": "conversation", "id": "525", "conversation_parts": {
            "type": "conversation_part.list",
            "conversation_parts": [
                { "type": "conversation_part", "id": "132", "part_type": "note" },
                { "type": "conversation_part", "id": "133", "part_type": "note" },
                { "type": "conversation_part", "id": "134", "part_type": "assignment" },
            ],
        } })
        .to_string();
        let written = |answer: &Answer| written(answer, TOKEN, NOW);
        assert_eq!(written(&answer(200, &conversation)), Ok(Some("133".to_owned())));
        assert_eq!(written(&answer(200, &conversation[..200])), Ok(None));
        let list = |code: &str, message: &str| {
            json!({ "type": "error.list", "request_id": "r", "errors": [{ "code": code, "message": message }] })
                .to_string()
        };
        for (status, body, decision, words) in [
            (200, "<html>".to_owned(), AGAIN, "Intercom's answer cannot be read"),
            (200, String::new(), AGAIN, "Intercom's answer cannot be read"),
            (
                401,
                list("unauthorized", "Access Token Invalid"),
                Decision::Unauthorized,
                "Intercom answered 401: unauthorized: Access Token Invalid",
            ),
            (
                404,
                list("not_found", "Resource Not Found"),
                Decision::Refuse,
                "Intercom answered 404: not_found: Resource Not Found",
            ),
            (
                400,
                list("parameter_invalid", "No"),
                Decision::Refuse,
                "Intercom answered 400: parameter_invalid: No",
            ),
            (
                403,
                list("api_plan_restricted", "No"),
                Decision::Refuse,
                "Intercom answered 403: api_plan_restricted: No",
            ),
            (500, list("server_error", "No"), AGAIN, "Intercom answered 500: server_error: No"),
            (503, String::new(), AGAIN, "Intercom answered 503"),
            (401, TOKEN.to_owned(), Decision::Unauthorized, "Intercom answered 401: (secret)"),
        ] {
            assert_eq!(why(written(&answer(status, &body))), (decision, words.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_limit_is_waited_for_until_it_is_reset() {
        for (reset, decision) in [
            (Some("1487332520"), again_after(10)),
            (Some("1487332500"), again_after(0)),
            (Some("soon"), AGAIN),
            (None, AGAIN),
        ] {
            let limited = Answer { rate_limit_reset: reset.map(str::to_owned), ..answer(429, "") };
            assert_eq!(why(written(&limited, TOKEN, NOW)).0, decision, "{reset:?}");
        }
        let told =
            Answer { retry_after: Some("3".into()), rate_limit_reset: Some("1".into()), ..answer(429, "") };
        assert_eq!(why(written(&told, TOKEN, NOW)).0, again_after(3));
    }

    #[test]
    fn notes_arrive() {
        let stand_in = StandIn::start();
        let target = Target::Intercom { conversation_id: "525".into() };
        ready(&"Zoë pays & waits.\n\n".repeat(1_250), |handover| {
            let id = stand_in.deliver(handover, &target).unwrap();
            let messages = stand_in.there.messages();
            assert!(
                messages.len() == 2 && messages.iter().all(|each| each.place == "conversation 525, note")
            );
            assert_eq!(messages[0].id, id);
            let old = stand_in.secrets();
            stand_in.there.rotate(Kind::Intercom);
            let refused = why(stand_in.deliver_with(handover, &target, &old));
            assert_eq!(refused.0, Decision::Unauthorized, "{}", refused.1);
        });
    }
}
