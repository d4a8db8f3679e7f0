//! Slack's incoming webhooks.
//!
//! - `POST https://hooks.slack.com/services/…` (here `/slack/hooks/{name}`): the URL is the secret. JSON with `text`
//!   or `blocks` (50 at most; the `markdown` block holds 12,000 characters, all of a message's together).
//! - 200 and the plain text `ok`: no id comes back.
//! - Errors are one word of plain text: 400 `invalid_payload`, `no_text`, `invalid_blocks`; 403 `action_prohibited`;
//!   404 `no_service`, `channel_not_found`; 410 `channel_is_archived`; 500 `rollup_error`; 429 with `Retry-After`.
//! - Blocks of more than some 13,200 characters in all are `msg_blocks_too_long`, though no page says so.
//!
//! Sources: <https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks>,
//! <https://github.com/slackapi/node-slack-sdk> (`packages/types/src/block-kit/blocks.ts`),
//! <https://github.com/slackapi/bolt-js/issues/2509>.
//! Not verified: the status of `no_service` (people report 404); the body of the 429; that 12,000 is for all markdown
//! blocks together; the limits of 50 blocks and of a section's 3,000 characters beyond what people report.

use serde_json::Value;

use super::behaviour::Place;
use super::slack::{MARKDOWN_LIMIT, heard};
use super::text;
use super::vendor::{Call, Kind, Refusal, Reply, Sight, Taken, Verdict, place, units};
use super::{Options, World};

/// What all the blocks of a message hold together, by experience.
const BLOCKS_LIMIT: usize = 13_200;

pub(super) fn check(call: &Call, world: &World, options: &Options) -> Verdict {
    let refused = |code: &str| Err(error(code).because(code));
    let Some(name) = call.name() else {
        return refused("no_team");
    };
    if call.method != "POST" {
        return Err(Reply::text(405, "method_not_allowed").because("not a POST"));
    }
    let known =
        if options.slack_webhooks.iter().any(|known| known == name) { Place::Open } else { Place::Missing };
    match place(world, Kind::SlackWebhook, name, known) {
        Place::Open => {}
        Place::Missing => return refused("no_service"),
        Place::Closed => return refused("channel_is_archived"),
        Place::Foreign => return refused("action_prohibited"),
    }
    let body = match call.json() {
        Some(Value::Object(body)) if call.is_json() => body,
        _ => return refused("invalid_payload"),
    };
    let plain = match body.get("text") {
        None => None,
        Some(Value::String(plain)) => Some(plain),
        Some(_) => return Err(error("invalid_payload").because("text is no string")),
    };
    let mut shown = Vec::new();
    match body.get("blocks") {
        None => shown.extend(plain.map(|plain| heard(plain, text::from_plain(&text::unescape(plain))))),
        Some(Value::Array(blocks)) => shown = lines_of(blocks)?,
        Some(_) => return refused("invalid_blocks_format"),
    }
    let shown = shown.join("\n");
    if shown.trim().is_empty() {
        return refused("no_text");
    }
    let thread = body.get("thread_ts").and_then(Value::as_str);
    Ok(Taken::new(Reply::text(200, "ok")).seen(Sight::new(format!("webhook {name}"), shown).thread(thread)))
}

fn lines_of(blocks: &[Value]) -> Result<Vec<String>, Refusal> {
    let invalid = |why: String| error("invalid_blocks").because(why);
    if blocks.len() > 50 {
        return Err(invalid("more than 50 blocks".to_owned()));
    }
    let (mut lines, mut markdown) = (Vec::new(), 0);
    for (index, block) in blocks.iter().enumerate() {
        let text = match block["type"].as_str() {
            Some("markdown") => {
                let text = block["text"].as_str();
                markdown += text.map_or(0, units);
                text.map(|text| heard(text, text::from_markdown(&text::unescape(text))))
            }
            Some("section" | "header") => {
                let text = block["text"]["text"].as_str().filter(|text| units(text) <= 3000);
                text.map(|text| heard(text, text::from_plain(&text::unescape(text))))
            }
            Some("context" | "rich_text" | "actions") => Some(text::from_payload(block)),
            Some("divider" | "image") => Some(String::new()),
            _ => None,
        };
        lines.push(text.ok_or_else(|| invalid(format!("block {index}")))?);
    }
    if markdown > MARKDOWN_LIMIT {
        return Err(invalid(format!("markdown blocks of {markdown} characters")));
    }
    let all: usize = blocks.iter().map(|block| block["text"].as_str().map_or(0, units)).sum();
    if all > BLOCKS_LIMIT {
        return Err(error("msg_blocks_too_long").because(format!("blocks of {all} characters")));
    }
    Ok(lines)
}

pub(super) fn rate_limited(seconds: u64) -> Reply {
    Reply::text(429, "rate_limited").header("retry-after", seconds)
}

pub(super) fn error(code: &str) -> Reply {
    let status = match code {
        "no_service" | "no_team" | "channel_not_found" => 404,
        "channel_is_archived" => 410,
        "action_prohibited" | "invalid_token" => 403,
        "rollup_error" => 500,
        _ => 400,
    };
    Reply::text(status, code)
}
