//! Microsoft Teams: a card posted through a workflow's webhook.
//!
//! - `POST` to the flow's URL (here `/teams/{name}`); its signature in the query is the secret. JSON
//!   `{"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl":
//!   null, "content": {an Adaptive Card}}]}`, 28 KB at most.
//! - 202 and an empty body: the flow has only begun. A card that Teams then refuses shows in the flow's run history
//!   and nowhere else, so here too such a call is answered 202, and recorded as not accepted.
//! - Errors are `{"error": {"code", "message"}}`: 400 `WorkflowTriggerIsNotEnabled` (switched off or deleted), 404
//!   `WorkflowNotFound`, 401 `DirectApiAuthorizationRequired`, 400 `InvalidRequestContent`, 429 with `Retry-After`.
//! - Teams shows Adaptive Cards up to version 1.5; a `TextBlock` holds bold, italics, lists and links in Markdown, and
//!   no headings, tables, images or HTML.
//!
//! Sources: <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
//! (28 KB, of the older connectors), <https://learn.microsoft.com/microsoftteams/platform/concepts/cards/cards-format>.
//! Not verified: that 28 KB is 28,672 bytes, of the whole message, and the same for workflows; that the 202 comes
//! whatever the card is; the bodies of 401, 404 and 429 (`WorkflowTriggerIsNotEnabled` is what people report); 1.5.

use serde_json::{Value, json};

use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Kind, Reply, Sight, Taken, Verdict, place};
use super::{Options, World};

/// Bytes of a message.
const MESSAGE_LIMIT: usize = 28 * 1024;

const VERSIONS: [&str; 6] = ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"];

/// Cards within cards, and no further.
const DEPTH: usize = 16;

pub(super) fn check(call: &Call, world: &World, options: &Options) -> Verdict {
    let refused = |code: &str, why: &str| Err(error(code).because(why));
    let Some(name) = call.name() else {
        return refused("WorkflowNotFound", "no path of a workflow");
    };
    if call.method != "POST" {
        return Err(Reply { status: 405, ..error("MethodNotAllowed") }.because("not a POST"));
    }
    let known =
        if options.teams_webhooks.iter().any(|known| known == name) { Place::Open } else { Place::Missing };
    match place(world, Kind::Teams, name, known) {
        Place::Open => {}
        Place::Missing => return refused("WorkflowNotFound", "no such workflow"),
        Place::Closed => return refused("WorkflowTriggerIsNotEnabled", "the workflow is switched off"),
        Place::Foreign => return refused("DirectApiAuthorizationRequired", "the signature"),
    }
    let body = match call.json() {
        Some(body) if call.is_json() => body,
        _ => return refused("InvalidRequestContent", "no JSON"),
    };
    let taken = Taken::new(Reply::empty(202));
    if call.body.len() > MESSAGE_LIMIT {
        return Ok(taken.but_lost(format!("a message of {} bytes, above 28 KB", call.body.len())));
    }
    Ok(match lines_of(&body) {
        Ok(lines) => taken.seen(Sight::new(format!("workflow {name}"), lines.join("\n"))),
        Err(why) => taken.but_lost(why),
    })
}

fn lines_of(message: &Value) -> Result<Vec<String>, String> {
    if message["type"] != "message" {
        return Err("type is not message".to_owned());
    }
    let attachments = message["attachments"].as_array().filter(|all| !all.is_empty());
    let mut lines = Vec::new();
    for attachment in attachments.ok_or("no attachments")? {
        if attachment["contentType"] != "application/vnd.microsoft.card.adaptive" {
            return Err("contentType is not that of an Adaptive Card".to_owned());
        }
        card(&attachment["content"], &mut lines, 0)?;
    }
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Err("the card shows nothing".to_owned());
    }
    Ok(lines)
}

fn card(card: &Value, lines: &mut Vec<String>, depth: usize) -> Result<(), String> {
    if card["type"] != "AdaptiveCard" {
        return Err("content is no AdaptiveCard".to_owned());
    }
    if depth == 0 && !card["version"].as_str().is_some_and(|version| VERSIONS.contains(&version)) {
        return Err(format!("version {} is none that Teams shows", card["version"]));
    }
    elements(&card["body"], lines, depth)?;
    actions(&card["actions"], lines, depth)
}

fn elements(elements: &Value, lines: &mut Vec<String>, depth: usize) -> Result<(), String> {
    if depth > DEPTH {
        return Err("the card is too deep".to_owned());
    }
    let elements = match elements {
        Value::Null => return Ok(()),
        Value::Array(elements) => elements,
        _ => return Err("elements are no array".to_owned()),
    };
    for element in elements {
        let deeper = depth + 1;
        match element["type"].as_str().unwrap_or_default() {
            "TextBlock" => {
                let text = element["text"].as_str().ok_or("a TextBlock without text")?;
                lines.push(text::from_markdown(text));
            }
            "RichTextBlock" => {
                let inlines = element["inlines"].as_array().ok_or("a RichTextBlock without inlines")?;
                let runs = inlines.iter().filter_map(|run| run.as_str().or(run["text"].as_str()));
                lines.push(text::from_plain(&runs.collect::<String>()));
            }
            "FactSet" => {
                for fact in element["facts"].as_array().ok_or("a FactSet without facts")? {
                    let part = |name: &str| fact[name].as_str().map(text::from_markdown);
                    let (title, value) =
                        part("title").zip(part("value")).ok_or("a fact without title or value")?;
                    lines.push(format!("{title}: {value}"));
                }
            }
            "Container" => elements_of(element, "items", lines, deeper)?,
            "ColumnSet" => elements_of(element, "columns", lines, deeper)?,
            "Column" => elements_of(element, "items", lines, deeper)?,
            "ActionSet" => actions(&element["actions"], lines, deeper)?,
            "Image" if element["url"].is_string() => {}
            other => return Err(format!("an element of type {other:?}")),
        }
    }
    Ok(())
}

fn elements_of(element: &Value, field: &str, lines: &mut Vec<String>, depth: usize) -> Result<(), String> {
    elements(&element[field], lines, depth)
}

fn actions(actions: &Value, lines: &mut Vec<String>, depth: usize) -> Result<(), String> {
    let actions = match actions {
        Value::Null => return Ok(()),
        Value::Array(actions) => actions,
        _ => return Err("actions are no array".to_owned()),
    };
    for action in actions {
        let title = text::from_plain(action["title"].as_str().unwrap_or_default());
        match action["type"].as_str().unwrap_or_default() {
            "Action.OpenUrl" => {
                let url = action["url"].as_str().filter(|url| url.starts_with("http"));
                let url = text::from_plain(url.ok_or("an Action.OpenUrl without a url")?);
                lines.push(format!("[{title}] {url}"));
            }
            "Action.ShowCard" => {
                lines.push(format!("[{title}]"));
                card(&action["card"], lines, depth + 1)?;
            }
            "Action.ToggleVisibility" => lines.push(format!("[{title}]")),
            other => return Err(format!("an action of type {other:?}")),
        }
    }
    Ok(())
}

pub(super) fn rate_limited(seconds: u64) -> Reply {
    error("TooManyRequests").header("retry-after", seconds)
}

pub(super) fn error(code: &str) -> Reply {
    let status = match code {
        "WorkflowNotFound" => 404,
        "DirectApiAuthorizationRequired" | "AuthorizationFailed" => 401,
        "TooManyRequests" | "WorkflowRunRateLimitExceeded" => 429,
        "InternalServerError" => 500,
        "ServiceUnavailable" => 503,
        _ => 400,
    };
    let message = format!("The workflow could not be started: {code}.");
    Reply::json(status, json!({"error": {"code": code, "message": message}}))
}
