//! Zendesk Support: a private comment on a ticket.
//!
//! - <https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#update-ticket>
//! - <https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/>
//! - <https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_audits/>
//! - <https://developer.zendesk.com/api-reference/introduction/rate-limits/>
//!
//! An update has no idempotency key, and an answer that did not come leaves open whether there is a comment now.
//! `safe_update` does not tell: it refuses an update when anybody has written since, be it we or an agent. So each
//! update carries a mark in the metadata of its audit, where no reader of the ticket sees it
//! (<https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/#setting-metadata>),
//! and a repeat first looks through the ticket's latest audits: what is marked there is done.

use super::{Decision, Failure, Handover, Vendors, retry_after, said};
use aws::outgoing::Answer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::render::{Document, html};
use model::secrets::{DestinationSecrets, ZendeskSecret};
use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Zendesk speaks of a limit of some 65,000 characters that depends on the encoding and markup:
/// <https://support.zendesk.com/hc/en-us/community/posts/4719863289498>.
const MAX_BYTES: usize = 60_000;
/// The name of the mark in an audit's custom metadata.
const MARK: &str = "galileoHighlights";
/// A repeat comes soon, and before a ticket has changed this often.
const LATEST_AUDITS: u32 = 30;

impl Vendors {
    pub(super) async fn zendesk(
        &self,
        handover: &Handover<'_>,
        ticket_id: &str,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let secret = secrets.zendesk.as_ref().map_err(Clone::clone)?;
        let base = self.settings.zendesk_api_url.replace("{subdomain}", &secret.subdomain);
        let ticket = format!("{base}/api/v2/tickets/{ticket_id}");
        let done = if handover.is_repeat {
            let url = format!("{ticket}/audits.json?sort_order=desc&per_page={LATEST_AUDITS}");
            let request = signed(self.request(Method::GET, &url), secret);
            marked(&self.send_long(handover, request).await?, secret)?
        } else {
            BTreeMap::new()
        };
        let (done, url) = (&done, &format!("{ticket}.json"));
        let updates = updates(handover);
        let send = handover.send_all(&updates, |(mark, update), _| async move {
            if let Some(audit) = done.get(mark) {
                return Ok(Some(audit.clone()));
            }
            let request = signed(self.json(Method::PUT, url, update), secret);
            updated(&self.send_long(handover, request).await?, secret)
        });
        send.await
    }
}

fn signed(request: RequestBuilder, secret: &ZendeskSecret) -> RequestBuilder {
    request.basic_auth(user(secret), Some(secret.api_token.expose_secret()))
}

fn user(secret: &ZendeskSecret) -> String {
    format!("{}/token", secret.email.expose_secret())
}

/// The updates, each with its mark. A comment is as public as the ticket's first one unless it says that it is not.
fn updates(handover: &Handover<'_>) -> Vec<(String, Value)> {
    let parts = handover.parts(MAX_BYTES, |part| body(part).len());
    let update = |(number, part)| {
        let mark = format!("{}/{number}", handover.delivery_id);
        let comment = json!({ "html_body": body(part), "public": false });
        let update = json!({ "ticket": { "comment": comment, "metadata": { MARK: mark } } });
        (mark, update)
    };
    (1..).zip(&parts).map(update).collect()
}

/// The part as HTML, in which Zendesk has no placeholder to fill in, as it does in what agents write
/// (<https://support.zendesk.com/hc/en-us/articles/4408886858138>): a joiner that does not show keeps the braces apart.
fn body(part: &Document) -> String {
    let html = html::write(part);
    let mut body = String::with_capacity(html.len());
    for c in html.chars() {
        if matches!(c, '{' | '%') && body.ends_with('{') {
            body.push('\u{200c}');
        }
        body.push(c);
    }
    body
}

#[derive(Deserialize)]
struct Audits {
    audits: Vec<Audit>,
}

#[derive(Deserialize)]
struct Audit {
    id: u64,
    #[serde(default)]
    metadata: Value,
}

/// The audits that carry marks. What keeps us from reading them but not from writing (the user's role, or a ticket
/// that is archived) is no reason not to deliver: the update will say what is wrong with it.
fn marked(answer: &Answer, secret: &ZendeskSecret) -> Result<BTreeMap<String, String>, Failure> {
    if !answer.is_success() {
        let failure = failure(answer, secret);
        return if failure.decision == Decision::Refuse { Ok(BTreeMap::new()) } else { Err(failure) };
    }
    let audits = serde_json::from_slice(&answer.body).map_or_else(|_| Vec::new(), |all: Audits| all.audits);
    let mark = |audit: &Audit| audit.metadata["custom"][MARK].as_str().map(str::to_owned);
    Ok(audits.iter().filter_map(|audit| Some((mark(audit)?, audit.id.to_string()))).collect())
}

#[derive(Deserialize)]
struct Updated {
    audit: Option<Audit>,
}

/// What the update was answered: the id of its audit. An answer that is not Zendesk's JSON comes from something on
/// the way; a repeat finds out whether the update came through.
fn updated(answer: &Answer, secret: &ZendeskSecret) -> Result<Option<String>, Failure> {
    if !answer.is_success() {
        return Err(failure(answer, secret));
    }
    match serde_json::from_slice(&answer.body) {
        Ok(Updated { audit }) => Ok(audit.map(|audit| audit.id.to_string())),
        Err(_) => Err(Failure::again("Zendesk's answer cannot be read")),
    }
}

/// 409 is for two who update a ticket at once.
fn failure(answer: &Answer, secret: &ZendeskSecret) -> Failure {
    let token = secret.api_token.expose_secret();
    // As the header has them, if that is what the answer quotes.
    let credentials = STANDARD.encode(format!("{}:{token}", user(secret)));
    let hidden = [token, secret.email.expose_secret(), &credentials];
    match answer.status {
        409 => {
            let decision = Decision::Again { retry_after: retry_after(answer) };
            Failure { decision, ..Failure::of_answer("Zendesk", answer, &hidden) }
        }
        422 => match details(&answer.body) {
            Some(details) => Failure::of_words("Zendesk", answer, &said(details.as_bytes(), &hidden)),
            None => Failure::of_answer("Zendesk", answer, &hidden),
        },
        _ => Failure::of_answer("Zendesk", answer, &hidden),
    }
}

/// Why a ticket is not valid so: `Status: closed prevents ticket update` of `{"error":"RecordInvalid","description":
/// "Record validation errors","details":{"status":[{"description":…}]}}`.
fn details(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let fields = body.get("details")?.as_object()?.values();
    let all = fields.filter_map(Value::as_array).flatten();
    let said: Vec<&str> = all.filter_map(|detail| detail.get("description")?.as_str()).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AGAIN, ID, again_after, answer, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use local::destinations::{Behaviour, Kind};
    use model::destination::Target;
    use secrecy::SecretString;

    fn secret() -> ZendeskSecret {
        let api_token = SecretString::from("hushhush");
        ZendeskSecret { subdomain: "acme".into(), email: "bot@acme.example".into(), api_token }
    }

    #[test]
    fn a_result_is_a_private_comment() {
        let mut updates = ready("She **pays**.", updates);
        assert_eq!(updates.len(), 1);
        let (mark, update) = updates.remove(0);
        assert_eq!(mark, format!("{ID}_run_0-result/1"));
        let html = update["ticket"]["comment"]["html_body"].as_str().unwrap();
        assert!(
            html.starts_with("<p><strong>Highlights of <code>alice@example.com</code></strong></p>"),
            "{html}"
        );
        assert!(html.contains("<p>She <strong>pays</strong>.</p>") && !html.contains("<b>"), "{html}");
        let expected = json!({ "ticket": {
            "comment": { "html_body": html, "public": false },
            "metadata": { "galileoHighlights": mark },
        } });
        assert_eq!(update, expected);
    }

    #[test]
    fn a_comment_has_no_placeholders() {
        for typed in ["{{ticket.id}} {%if x%}", "{{{{{ticket.id}}}}}"] {
            let (_, update) = ready(typed, updates).remove(0);
            let html = update["ticket"]["comment"]["html_body"].as_str().unwrap();
            assert!(html.contains("ticket.id}}") && !html.contains("{{") && !html.contains("{%"), "{html}");
        }
    }

    #[test]
    fn a_long_result_is_several_comments_each_with_its_mark() {
        let updates = ready(&"Zoë pays & waits.\n\n".repeat(2_500), updates);
        assert_eq!(updates.len(), 2);
        for (_, update) in &updates {
            assert!(update["ticket"]["comment"]["html_body"].as_str().unwrap().len() <= MAX_BYTES);
        }
        assert_eq!(updates[1].0, format!("{ID}_run_0-result/2"));
    }

    #[test]
    fn a_failure_says_so() {
        let (mark, update) = failed(updates).remove(0);
        assert_eq!(mark, format!("{ID}_run_0-failure/1"));
        assert!(update.to_string().contains("FAILED"), "{update}");
    }

    #[test]
    fn the_answers() {
        let done = answer(200, r#"{"ticket":{"id":1},"audit":{"id":901,"events":[]}}"#);
        assert_eq!(updated(&done, &secret()), Ok(Some("901".to_owned())));
        assert_eq!(updated(&answer(200, r#"{"ticket":{"id":1}}"#), &secret()), Ok(None));
        let invalid = |details: Value| {
            json!({ "error": "RecordInvalid", "description": "Record validation errors", "details": details })
                .to_string()
        };
        let closed = json!({ "status": [{ "description": "Status: closed prevents ticket update" }] });
        for (status, body, decision, words) in [
            (200, "<html>log in</html>".to_owned(), AGAIN, "Zendesk's answer cannot be read"),
            (200, r#"{"ticket":{"id"#.to_owned(), AGAIN, "Zendesk's answer cannot be read"),
            (
                401,
                r#"{"error":"Couldn't authenticate you"}"#.to_owned(),
                Decision::Unauthorized,
                "Zendesk answered 401: Couldn't authenticate you",
            ),
            (403, r#"{"error":"Forbidden"}"#.to_owned(), Decision::Refuse, "Zendesk answered 403: Forbidden"),
            (
                404,
                r#"{"error":"RecordNotFound","description":"Not found"}"#.to_owned(),
                Decision::Refuse,
                "Zendesk answered 404: RecordNotFound: Not found",
            ),
            (409, r#"{"error":"UpdateConflict"}"#.to_owned(), AGAIN, "Zendesk answered 409: UpdateConflict"),
            (
                422,
                invalid(closed),
                Decision::Refuse,
                "Zendesk answered 422: Status: closed prevents ticket update",
            ),
            (
                422,
                invalid(json!({})),
                Decision::Refuse,
                "Zendesk answered 422: RecordInvalid: Record validation errors",
            ),
            (503, String::new(), AGAIN, "Zendesk answered 503"),
        ] {
            assert_eq!(
                why(updated(&answer(status, &body), &secret())),
                (decision, words.to_owned()),
                "{body}"
            );
        }
        for status in [409, 429, 503] {
            let waits = Answer { retry_after: Some("93".into()), ..answer(status, "") };
            assert_eq!(why(updated(&waits, &secret())).0, again_after(93));
        }
    }

    #[test]
    fn a_repeat_finds_what_is_marked() {
        let audits = json!({ "audits": [
            { "id": 903, "metadata": { "custom": { "time_spent": "3m22s" }, "system": {} } },
            { "id": 902, "metadata": { "custom": { "galileoHighlights": "a_0-result/1" } } },
            { "id": 901, "metadata": {} },
            { "id": 900 },
        ] });
        let found = marked(&answer(200, audits.to_string()), &secret()).unwrap();
        assert_eq!(found, BTreeMap::from([("a_0-result/1".to_owned(), "902".to_owned())]));
    }

    #[test]
    fn a_repeat_that_may_not_look_goes_on_and_one_that_cannot_waits() {
        for (status, body) in [(200, "{"), (200, "<html>"), (403, ""), (404, ""), (422, "")] {
            assert_eq!(marked(&answer(status, body), &secret()), Ok(BTreeMap::new()), "{status}");
        }
        assert_eq!(why(marked(&answer(401, ""), &secret())).0, Decision::Unauthorized);
        for status in [429, 500, 503] {
            assert_eq!(why(marked(&answer(status, ""), &secret())).0, AGAIN, "{status}");
        }
    }

    #[test]
    fn no_error_shows_who_we_are() {
        let echo = "bot@acme.example/token:hushhush";
        let detailed = json!({ "details": { "base": [{ "description": echo }] } }).to_string();
        for answer in [answer(401, echo), answer(409, echo), answer(422, echo), answer(422, detailed)] {
            let (_, told) = why(updated(&answer, &secret()));
            assert!(told.ends_with(": (secret)/token:(secret)"), "{told}");
        }
        let header = format!("Authorization: Basic {}", STANDARD.encode(echo));
        assert!(why(updated(&answer(400, header), &secret())).1.ends_with(": Authorization: Basic (secret)"));
    }

    #[test]
    fn comments_arrive() {
        let stand_in = StandIn::start();
        let target = Target::Zendesk { ticket_id: "35436".into() };
        ready(&"Zoë pays & waits.\n\n".repeat(2_500), |handover| {
            let id = stand_in.deliver(handover, &target).unwrap();
            let messages = stand_in.there.messages();
            assert!(
                messages.len() == 2
                    && messages.iter().all(|each| each.place == "ticket 35436, internal note")
            );
            assert_eq!(messages[0].id, id);
            stand_in.there.next(Kind::Zendesk, Behaviour::refused_as("UpdateConflict"));
            assert_eq!(why(stand_in.deliver(handover, &target)).0, AGAIN);
        });
    }
}
