//! Slack's Web API: `chat.postMessage`.
//!
//! - `POST https://slack.com/api/chat.postMessage`, `Authorization: Bearer xoxb-…`, JSON: `channel`, `markdown_text`
//!   (12,000 characters; with `text` or `blocks` beside it `markdown_text_conflict`), `thread_ts`, `unfurl_links`.
//! - Every error is a 200 `{"ok": false, "error": …}`, but for 429, which has `Retry-After` and `ratelimited`.
//! - `internal_error` and `fatal_error` say that a part of the work may have been done.
//! - JSON without a charset is taken, with a `warning`.
//!
//! Sources: <https://docs.slack.dev/reference/methods/chat.postEphemeral> (a copy; the errors of both methods are the
//! same list), <https://github.com/slackapi/node-slack-sdk> (`packages/web-api/src/types/request/chat.ts`).
//! Not verified: `invalid_thread_ts`, `invalid_json` and `unknown_method` (on none of these pages); that a missing
//! charset is a warning; which unit its characters are.

use serde_json::{Value, json};

use super::World;
use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Kind, Reply, Sight, Taken, Verdict, place, units};

/// The most that `markdown_text` and a markdown block hold.
pub(super) const MARKDOWN_LIMIT: usize = 12_000;

/// A tenth of a megabyte is far above what Slack shows of a `text`: beyond 40,000 characters it cuts.
const TEXT_LIMIT: usize = 40_000;

pub(super) fn check(call: &Call, world: &World) -> Verdict {
    let refused = |code: &str| Err(error(code).because(code));
    match call.rest.as_str() {
        "/chat.postMessage" => {}
        _ => return refused("unknown_method"),
    }
    if call.method != "POST" {
        return Err(error("invalid_arguments").because("not a POST"));
    }
    match call.bearer() {
        None => return refused("not_authed"),
        Some(token) if token != world.credentials.slack => return refused("invalid_auth"),
        Some(_) => {}
    }
    match call.media_type().as_str() {
        "application/json" => {}
        "" => return refused("missing_post_type"),
        other => return Err(error("invalid_post_type").because(format!("the content type {other}"))),
    }
    let Some(Value::Object(body)) = call.json() else {
        return refused("invalid_json");
    };
    let text_of = |field: &str| body.get(field).map(|value| value.as_str().ok_or(field.to_owned()));
    let fields = ["channel", "markdown_text", "text", "thread_ts"].map(text_of);
    let bad = fields.iter().find_map(|field| field.as_ref().and_then(|value| value.as_ref().err()));
    if let Some(bad) = bad {
        return Err(error("invalid_arguments").because(format!("{bad} is no string")));
    }
    let [channel, markdown, plain, thread] = fields.map(|field| field.and_then(Result::ok));
    for flag in ["unfurl_links", "unfurl_media", "reply_broadcast"] {
        if body.get(flag).is_some_and(|value| !value.is_boolean()) {
            return Err(error("invalid_arguments").because(format!("{flag} is no boolean")));
        }
    }
    let Some(channel) = channel.filter(|channel| is_channel(channel)) else {
        return refused("channel_not_found");
    };
    match place(world, Kind::Slack, channel, Place::Open) {
        Place::Open => {}
        Place::Missing => return refused("channel_not_found"),
        Place::Closed => return refused("is_archived"),
        Place::Foreign => return refused("not_in_channel"),
    }
    if thread.is_some_and(|thread| !is_timestamp(thread)) {
        return refused("invalid_thread_ts");
    }
    let blocks = body.get("blocks");
    let shown = match (markdown, plain, blocks) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => return refused("markdown_text_conflict"),
        (Some(markdown), None, None) if units(markdown) > MARKDOWN_LIMIT => return refused("msg_too_long"),
        (None, Some(plain), _) if units(plain) > TEXT_LIMIT => return refused("msg_too_long"),
        (Some(markdown), None, None) => heard(markdown, text::from_markdown(&text::unescape(markdown))),
        (None, Some(plain), _) => heard(plain, text::from_plain(&text::unescape(plain))),
        (None, None, Some(blocks)) => text::from_payload(blocks),
        (None, None, None) => return refused("no_text"),
    };
    if shown.trim().is_empty() {
        return refused("no_text");
    }
    let ts = format!("{}.{:06}", call.at_seconds(), call.number % 1_000_000);
    let id = encoded(channel);
    let mut message = json!({"type": "message", "subtype": "bot_message", "ts": ts, "bot_id": "B0HIGHLIGHTS",
        "text": markdown.or(plain).unwrap_or_default()});
    if let Some(thread) = thread {
        message["thread_ts"] = json!(thread);
    }
    let mut answer = json!({"ok": true, "channel": id, "ts": ts, "message": message});
    if !call.header("content-type").unwrap_or_default().contains("charset") {
        answer["warning"] = json!("missing_charset");
        answer["response_metadata"] = json!({"warnings": ["missing_charset"]});
    }
    Ok(Taken::new(Reply::json(200, answer)).seen(Sight::new(channel, shown).thread(thread).id(ts)))
}

/// What is shown, and whom it rings up: `<!channel>`, `<!here>`, `<@U…>` and the like as they stand, not escaped.
///
/// That `markdown_text` honours them is not documented, nor that it does not: a stand-in had better say so.
///
/// Source: <https://docs.slack.dev/messaging/formatting-message-text>.
pub(super) fn heard(raw: &str, mut shown: String) -> String {
    for (start, _) in raw.match_indices('<') {
        let inside = raw[start + 1..].split('>').next().unwrap_or_default();
        if inside.starts_with(['!', '@']) && inside.len() < 100 {
            shown.push_str(&format!("\n(notifies {})", text::printable(inside)));
        }
    }
    shown
}

pub(super) fn rate_limited(seconds: u64) -> Reply {
    Reply { status: 429, ..error("ratelimited") }.header("retry-after", seconds)
}

pub(super) fn error(code: &str) -> Reply {
    Reply::json(200, json!({"ok": false, "error": code}))
}

/// An encoded id (`C…`, `G…`, `D…`, `U…`) or a name.
fn is_channel(channel: &str) -> bool {
    let is_id = channel.starts_with(['C', 'G', 'D', 'U'])
        && channel.len() > 1
        && channel.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let name = channel.strip_prefix('#').unwrap_or(channel);
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.'));
    is_id || is_name
}

/// Slack answers a channel's name with its id.
fn encoded(channel: &str) -> String {
    match channel.strip_prefix('#') {
        Some(name) => {
            let letters =
                name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase());
            format!("C0{}", letters.map(char::from).collect::<String>())
        }
        None => channel.to_owned(),
    }
}

fn is_timestamp(ts: &str) -> bool {
    let digits = |part: &str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    ts.split_once('.').is_some_and(|(seconds, rest)| digits(seconds, 10) && digits(rest, 6))
}
