//! Microsoft Teams: an Adaptive Card through a workflow's webhook.
//!
//! The flow's URL holds a signature: it is the secret. The flow answers 202 when it begins, and nothing tells us of a
//! card that Teams then refuses, so what is sent has to be right: the size, and nothing beyond Adaptive Cards 1.2.
//!
//! - <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
//! - <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>
//! - <https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format>
//! - <https://learn.microsoft.com/azure/logic-apps/logic-apps-workflow-actions-triggers#request-trigger>

use super::{Failure, Handover, Vendors, said};
use aws::outgoing::Answer;
use model::render::{Document, card};
use model::secrets::DestinationSecrets;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

/// A message may have "approximately 28 KB" (<https://learn.microsoft.com/connectors/teams/>), which by experience is
/// nearer to 21,000 bytes: <https://www.rubydoc.info/gems/msteams_hermes/MsTeamsHermes/Message>,
/// <https://github.com/atc0005/go-teams-notify/issues/59>.
const MAX_BYTES: usize = 20_000;

impl Vendors {
    pub(super) async fn teams(
        &self,
        handover: &Handover<'_>,
        name: &str,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let url = secrets.teams_webhook(name)?;
        let url = url.expose_secret();
        let messages = messages(handover);
        let send = |message, _| async move {
            let request = self.json(Method::POST, url, message);
            taken(self.send(handover, request).await?, url)
        };
        handover.send_all(&messages, send).await
    }
}

fn messages(handover: &Handover<'_>) -> Vec<Value> {
    handover.parts(MAX_BYTES, |part| message(part).to_string().len()).iter().map(message).collect()
}

/// The version is the least that has all of the elements: clients show no card that asks for more than they know.
fn message(part: &Document) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "body": card::body(part),
                "msteams": { "width": "Full" },
            },
        }],
    })
}

/// What the flow answered. The connectors that flows replace, and what imitates them, say no in a 200.
fn taken(answer: Answer, url: &str) -> Result<Option<String>, Failure> {
    if !answer.is_success() {
        return Err(Failure::of_secret_url("Teams", &answer, url));
    }
    match refusal(&answer.body) {
        None => Ok(None),
        Some(Some(status)) => {
            let reported = Answer { status, ..answer };
            Err(Failure::of_secret_url("Teams", &reported, url))
        }
        Some(None) => Err(Failure::again(format!("Teams answered {}", said(&answer.body, &[url])))),
    }
}

/// Whether the body of a success is none, and which status it tells of: `Webhook message delivery failed with error:
/// Microsoft Teams endpoint returned HTTP error 429 with ContextId …`.
fn refusal(body: &[u8]) -> Option<Option<u16>> {
    let text = String::from_utf8_lossy(body);
    if let Some((_, behind)) = text.split_once("endpoint returned HTTP error ") {
        let status =
            behind.split(|c: char| !c.is_ascii_digit()).next().and_then(|status| status.parse().ok());
        return Some(status.filter(|status| (300..600).contains(status)));
    }
    text.contains("message delivery failed").then_some(None)
}

#[cfg(test)]
mod tests {
    use super::super::Decision;
    use super::super::fixtures::{AGAIN, again_after, answer, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use model::destination::Target;

    const URL: &str = "https://prod-1.westus.logic.azure.com:443/workflows/hushhushhushhushhushhushhushhush/triggers/\
        manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=hushhushhushhushhushhush";

    #[test]
    fn a_result_is_one_card() {
        let messages = ready("She **pays**.", messages);
        assert_eq!(messages.len(), 1);
        let attachment = &messages[0]["attachments"][0];
        assert_eq!(messages[0]["type"], "message");
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        assert!(attachment["contentUrl"].is_null());
        let card = &attachment["content"];
        assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.2")));
        assert_eq!(card["msteams"], json!({ "width": "Full" }));
        let title = &card["body"][0];
        assert_eq!((&title["type"], &title["weight"]), (&json!("TextBlock"), &json!("Bolder")));
        assert!(title["text"].as_str().unwrap().starts_with("Highlights of alice@example"), "{title}");
        assert!(card["body"].to_string().contains("She **pays**."));
    }

    #[test]
    fn a_long_result_is_several_cards_that_fit() {
        let messages = ready(&"\"Zoë\" pays & waits.\n\n".repeat(400), messages);
        assert!(messages.len() > 1);
        for message in &messages {
            assert!(message.to_string().len() <= MAX_BYTES);
        }
        assert!(messages[1].to_string().contains(&format!("Part 2 of {}", messages.len())));
    }

    #[test]
    fn a_failure_says_so() {
        let message = failed(messages).remove(0).to_string();
        assert!(message.contains("FAILED"), "{message}");
    }

    #[test]
    fn the_answers() {
        for (status, body) in [(202, ""), (200, "1"), (200, ""), (200, r#"{"any":"thing"}"#)] {
            assert_eq!(taken(answer(status, body), URL), Ok(None), "{status} {body}");
        }
        let azure = |code: &str| json!({ "error": { "code": code, "message": "No." } }).to_string();
        let connector = |error: &str| format!("Webhook message delivery failed with error: {error}");
        let endpoint = |status: &str| {
            connector(&format!("Microsoft Teams endpoint returned HTTP error {status} with ContextId tcid=0"))
        };
        for (status, body, decision, words) in [
            (
                400,
                azure("WorkflowTriggerIsNotEnabled"),
                Decision::Refuse,
                "400: WorkflowTriggerIsNotEnabled: No.",
            ),
            (401, azure("DirectApiAuthorizationRequired"), Decision::Unauthorized, "401: DirectApi"),
            (404, azure("WorkflowNotFound"), Decision::Unauthorized, "404: WorkflowNotFound: No."),
            (413, String::new(), Decision::Refuse, "413"),
            (429, azure("WorkflowRunRateLimitExceeded"), AGAIN, "429: WorkflowRunRateLimitExceeded"),
            (502, "<html>".to_owned(), AGAIN, "502"),
            (200, endpoint("429"), AGAIN, "429: Webhook message delivery failed"),
            (200, endpoint("503"), AGAIN, "503: Webhook message delivery failed"),
            (200, endpoint("413"), Decision::Refuse, "413: Webhook message delivery failed"),
            (200, endpoint("soon"), AGAIN, "Webhook message delivery failed"),
            (200, connector("a time-out"), AGAIN, "Webhook message delivery failed"),
        ] {
            let (decided, told) = why(taken(answer(status, &body), URL));
            assert_eq!(decided, decision, "{status} {body}");
            assert!(told.starts_with(&format!("Teams answered {words}")), "{told}");
        }
        let limited = Answer { retry_after: Some("5".into()), ..answer(429, "") };
        assert_eq!(why(taken(limited, URL)).0, again_after(5));
    }

    #[test]
    fn no_error_shows_the_url() {
        let echo = |status| {
            answer(status, format!("{URL} has no sig=hushhushhushhushhushhush").replace("443", "443/"))
        };
        for answer in [echo(401), echo(400), answer(200, format!("message delivery failed: {URL}"))] {
            let (_, told) = why(taken(answer, URL));
            assert!(!told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn cards_arrive() {
        let stand_in = StandIn::start();
        let target = Target::Teams { webhook: "support".into() };
        let (end, sent) = ready(&"\"Zoë\" pays & waits.\n\n".repeat(400), |handover| {
            (stand_in.deliver(handover, &target), messages(handover).len())
        });
        assert_eq!((end, stand_in.there.messages().len()), (Ok(None), sent));
    }
}
