//! Slack: a message of the app's bot, or through an incoming webhook.
//!
//! Either takes 12,000 characters of Markdown in a message; a longer page goes on in the first message's thread. An
//! incoming webhook does not say what its message is called, so there it goes on in the channel.
//!
//! - <https://docs.slack.dev/reference/methods/chat.postMessage>
//! - <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
//! - <https://docs.slack.dev/reference/block-kit/blocks/markdown-block>
//!
//! Neither has an idempotency key: what was posted without our hearing of it is posted again.

use super::{Decision, Failure, Handover, Vendors, retry_after, said, utf16_units};
use aws::outgoing::Answer;
use model::render::{Document, slack, text};
use model::secrets::DestinationSecrets;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

/// Slack takes 12,000 characters and does not say of which kind; UTF-16 units are never fewer than characters. The
/// rest is for what it makes of them: `msg_blocks_too_long` comes from a length that depends on the content
/// (<https://github.com/slackapi/bolt-js/issues/2509>).
const MAX_UNITS: usize = 11_000;
/// Of the text that stands in a notification.
const MAX_NOTICE_CHARS: usize = 150;

impl Vendors {
    pub(super) async fn slack_channel(
        &self,
        handover: &Handover<'_>,
        channel: &str,
        thread_ts: Option<&str>,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let token = secrets.slack_bot_token.as_ref().map_err(Clone::clone)?.expose_secret();
        let url = &format!("{}/chat.postMessage", self.settings.slack_api_url);
        let parts = parts(handover);
        let send = |part, first: Option<String>| async move {
            let message = message(part, channel, thread_ts.or(first.as_deref()));
            let request = self.json(Method::POST, url, &message).bearer_auth(token);
            posted(&self.send(handover, request).await?, token)
        };
        handover.send_all(&parts, send).await
    }

    pub(super) async fn slack_webhook(
        &self,
        handover: &Handover<'_>,
        name: &str,
        secrets: &DestinationSecrets,
    ) -> Result<Option<String>, Failure> {
        let url = secrets.slack_webhook(name)?;
        let url = url.expose_secret();
        let parts = parts(handover);
        let send = |part, _| async move {
            let request = self.json(Method::POST, url, &webhook_message(part));
            taken(&self.send(handover, request).await?, url)
        };
        handover.send_all(&parts, send).await
    }
}

fn parts(handover: &Handover<'_>) -> Vec<Document> {
    handover.parts(MAX_UNITS, |part| utf16_units(&slack::write(part)))
}

fn message(part: &Document, channel: &str, thread_ts: Option<&str>) -> Value {
    let mut message = json!({
        "channel": channel,
        "markdown_text": slack::write(part),
        "unfurl_links": false,
        "unfurl_media": false,
    });
    if let Some(thread_ts) = thread_ts {
        message["thread_ts"] = json!(thread_ts);
    }
    message
}

/// `text` is what notifications and screen readers show, which do not read the blocks.
fn webhook_message(part: &Document) -> Value {
    json!({
        "text": notice(part),
        "blocks": [{ "type": "markdown", "text": slack::write(part) }],
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// What the part begins with, as text in which Slack finds nothing to mention or link
/// (<https://docs.slack.dev/messaging/formatting-message-text#escaping>).
fn notice(part: &Document) -> String {
    let title = Document { blocks: part.blocks.iter().take(1).cloned().collect() };
    let title = text::write(&title);
    let title: String = title.lines().next().unwrap_or_default().chars().take(MAX_NOTICE_CHARS).collect();
    let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // A joiner that does not show keeps a name from its @.
    title.replace('@', "@\u{200c}")
}

#[derive(Deserialize)]
struct Posted {
    ok: bool,
    error: Option<String>,
    ts: Option<String>,
}

/// What `chat.postMessage` answered: the message's `ts`. Slack says no in a 200. An answer that is not Slack's JSON
/// comes from something on the way.
fn posted(answer: &Answer, token: &str) -> Result<Option<String>, Failure> {
    let hidden = [token];
    if !answer.is_success() {
        return Err(Failure::of_answer("Slack", answer, &hidden));
    }
    let error = match serde_json::from_slice(&answer.body) {
        Ok(Posted { ok: true, ts, .. }) => return Ok(ts),
        Ok(Posted { ok: false, error: Some(error), .. }) => error,
        _ => return Err(Failure::again("Slack's answer cannot be read")),
    };
    let decision = match error.as_str() {
        "ratelimited" | "service_unavailable" | "request_timeout" | "internal_error" | "fatal_error" => {
            Decision::Again { retry_after: retry_after(answer) }
        }
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            Decision::Unauthorized
        }
        _ => Decision::Refuse,
    };
    Err(Failure::new(decision, format!("Slack answered {}{}", said(&answer.body, &hidden), mend(&error))))
}

/// What an incoming webhook answered: `ok`, or one word of plain text
/// (<https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks>).
fn taken(answer: &Answer, url: &str) -> Result<Option<String>, Failure> {
    let word = answer.body.trim_ascii();
    match answer.is_success() {
        true if word == b"ok" => Ok(None),
        true => Err(Failure::again("Slack's answer cannot be read")),
        false => {
            let failure = Failure::of_secret_url("Slack", answer, url);
            let error = failure.error + mend(&String::from_utf8_lossy(word));
            Err(Failure { error, ..failure })
        }
    }
}

/// What to do about the errors that people make.
fn mend(error: &str) -> &'static str {
    match error {
        "not_in_channel" => ": invite the app to the channel",
        "channel_not_found" => ": there is none, or it is private and the app is not in it",
        "is_archived" => ": name another channel",
        "missing_scope" => ": give the app the scope chat:write",
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            ": check destinations.slack.botToken in the secret"
        }
        "no_service" | "no_team" | "no_active_hooks" | "invalid_token" => {
            ": check its URL in destinations.slack.webhooks of the secret"
        }
        "action_prohibited" | "restricted_action" => ": an admin of the workspace has to allow it",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{AGAIN, again_after, answer, block_on, failed, ready, why};
    use super::super::stand_in::StandIn;
    use super::*;
    use local::destinations::{Behaviour, Kind};
    use model::destination::Target;

    const TOKEN: &str = "xoxb-hush";
    const URL: &str = "https://hooks.slack.com/services/T0/B0/hushhushhushhushhushhush";

    #[test]
    fn a_result_is_one_message_that_mentions_nobody() {
        let (message, webhook) = ready("She **pays**.", |handover| {
            let parts = parts(handover);
            assert_eq!(parts.len(), 1);
            (message(&parts[0], "C1", None), webhook_message(&parts[0]))
        });
        let text = message["markdown_text"].as_str().unwrap();
        assert!(text.starts_with("# Highlights of `alice@example.com`\n"), "{text}");
        assert!(text.contains("She **pays**.") && text.contains("&lt;!channel&gt;"), "{text}");
        assert!(!text.contains('<') && !text.contains("@here"), "{text}");
        let expected =
            json!({ "channel": "C1", "markdown_text": text, "unfurl_links": false, "unfurl_media": false });
        assert_eq!(message, expected);
        let notice = webhook["text"].as_str().unwrap();
        assert!(notice.starts_with("Highlights of alice@\u{200c}example") && !notice.contains("example.com"));
        let expected = json!({
            "text": notice,
            "blocks": [{ "type": "markdown", "text": text }],
            "unfurl_links": false,
            "unfurl_media": false,
        });
        assert_eq!(webhook, expected);
    }

    #[test]
    fn a_long_result_goes_on_in_a_thread() {
        ready(&"😀 pays & waits.\n\n".repeat(900), |handover| {
            let parts = parts(handover);
            assert_eq!(parts.len(), 2);
            for part in &parts {
                let text = slack::write(part);
                assert!(utf16_units(&text) <= MAX_UNITS && !text.is_empty());
            }
            assert_eq!(notice(&parts[1]), "Part 2 of 2");
            assert_eq!(message(&parts[1], "C1", Some("17.01"))["thread_ts"], "17.01");
        });
    }

    #[test]
    fn a_failure_says_so() {
        failed(|handover| {
            let text = slack::write(&parts(handover)[0]);
            assert!(text.contains("FAILED"), "{text}");
        });
    }

    #[test]
    fn parts_answer_the_callers_thread_and_else_the_first_part() {
        let threads = |thread_ts: Option<&str>| {
            let mut threads = Vec::new();
            let sent = ready("Short.", |handover| {
                block_on(handover.send_all(&[1, 2, 3], |part, first: Option<String>| {
                    threads.push(thread_ts.or(first.as_deref()).unwrap_or_default().to_owned());
                    async move { Ok(Some(format!("{part}.0"))) }
                }))
            });
            (sent.unwrap().unwrap(), threads)
        };
        assert_eq!(threads(None), ("1.0".to_owned(), vec![String::new(), "1.0".into(), "1.0".into()]));
        assert_eq!(threads(Some("9.0")), ("1.0".to_owned(), vec!["9.0".to_owned(); 3]));
    }

    #[test]
    fn the_bots_answers() {
        let ok = answer(200, r#"{"ok":true,"channel":"C1","ts":"1503435956.000247","message":{}}"#);
        assert_eq!(posted(&ok, TOKEN), Ok(Some("1503435956.000247".to_owned())));
        for (error, decision) in [
            ("ratelimited", AGAIN),
            ("service_unavailable", AGAIN),
            ("request_timeout", AGAIN),
            ("internal_error", AGAIN),
            ("fatal_error", AGAIN),
            ("invalid_auth", Decision::Unauthorized),
            ("not_authed", Decision::Unauthorized),
            ("token_revoked", Decision::Unauthorized),
            ("token_expired", Decision::Unauthorized),
            ("account_inactive", Decision::Unauthorized),
            ("msg_too_long", Decision::Refuse),
            ("is_archived", Decision::Refuse),
            ("something_new", Decision::Refuse),
        ] {
            let said = answer(200, json!({ "ok": false, "error": error }).to_string());
            let (decided, words) = why(posted(&said, TOKEN));
            assert_eq!(decided, decision, "{error}");
            assert!(words.starts_with(&format!("Slack answered {error}")), "{words}");
        }
        let limited =
            Answer { retry_after: Some("30".into()), ..answer(429, r#"{"ok":false,"error":"ratelimited"}"#) };
        assert_eq!(why(posted(&limited, TOKEN)), (again_after(30), "Slack answered 429: ratelimited".into()));
        for unreadable in ["", "<html>log in</html>", "{}", "[]", r#"{"ok":false}"#, r#"{"ok":tru"#] {
            let unread = (AGAIN, "Slack's answer cannot be read".to_owned());
            assert_eq!(why(posted(&answer(200, unreadable), TOKEN)), unread, "{unreadable}");
        }
        let broken = why(posted(&answer(503, "<html>"), TOKEN));
        assert_eq!(broken, (AGAIN, "Slack answered 503".into()));
    }

    #[test]
    fn the_bots_errors_say_what_to_mend_and_nothing_secret() {
        let told = why(posted(&answer(200, r#"{"ok":false,"error":"not_in_channel"}"#), TOKEN));
        assert_eq!(
            told,
            (Decision::Refuse, "Slack answered not_in_channel: invite the app to the channel".into())
        );
        let echo = json!({ "ok": false, "error": format!("bad {TOKEN}\n") }).to_string();
        assert_eq!(why(posted(&answer(200, echo), TOKEN)).1, "Slack answered bad (secret)");
    }

    #[test]
    fn the_webhooks_answers() {
        assert_eq!(taken(&answer(200, "ok"), URL), Ok(None));
        for (status, word, decision) in [
            (200, "<html>", AGAIN),
            (200, "", AGAIN),
            (400, "invalid_payload", Decision::Refuse),
            (403, "invalid_token", Decision::Unauthorized),
            (404, "no_service", Decision::Unauthorized),
            (410, "channel_is_archived", Decision::Unauthorized),
            (302, "", Decision::Refuse),
            (429, "rate_limited", AGAIN),
            (500, "rollup_error", AGAIN),
        ] {
            let (decided, words) = why(taken(&answer(status, word), URL));
            assert_eq!(decided, decision, "{status} {word}");
            assert!(status == 200 || words.starts_with(&format!("Slack answered {status}")), "{words}");
        }
        let limited = Answer { retry_after: Some("1".into()), ..answer(429, "rate_limited") };
        assert_eq!(why(taken(&limited, URL)).0, again_after(1));
        let told = why(taken(&answer(404, "no_service\n"), URL)).1;
        assert_eq!(
            told,
            "Slack answered 404: no_service: check its URL in destinations.slack.webhooks of the secret"
        );
        let echo = answer(404, format!("no /services/T0/B0/hushhushhushhushhushhush of {URL}"));
        assert!(!why(taken(&echo, URL)).1.contains("hush"));
    }

    #[test]
    fn a_page_arrives_and_goes_on_behind_what_was_sent() {
        let stand_in = StandIn::start();
        let target = Target::SlackChannel { channel: "C1".into(), thread_ts: None };
        ready(&"😀 pays & waits.\n\n".repeat(1_200), |handover| {
            stand_in.there.next(Kind::Slack, Behaviour::Ok);
            stand_in.there.next(Kind::Slack, Behaviour::RateLimited(30));
            let failure = stand_in.deliver(handover, &target).unwrap_err();
            assert_eq!((failure.decision, failure.progress.sent), (again_after(30), 1));
            let rest = Handover { progress: &failure.progress, delivery_id: String::new(), ..*handover };
            let id = stand_in.deliver(&rest, &target).unwrap();
            let messages = stand_in.there.messages();
            let threads: Vec<_> = messages.iter().map(|message| message.thread.clone()).collect();
            assert_eq!(threads, [None, id.clone(), id.clone()]);
            assert_eq!(messages[0].id, id);
            assert!(messages[2].text.starts_with("Part 3 of 3"));
        });
    }

    #[test]
    fn a_webhook_takes_a_page_in_messages_of_their_own() {
        let stand_in = StandIn::start();
        let target = Target::SlackWebhook { webhook: "nps".into() };
        ready(&"😀 pays & waits.\n\n".repeat(1_200), |handover| {
            assert_eq!(stand_in.deliver(handover, &target), Ok(None));
        });
        assert_eq!(stand_in.there.messages().len(), 3);
    }
}
