//! Zendesk Support: a comment on a ticket.
//!
//! - `PUT https://{subdomain}.zendesk.com/api/v2/tickets/{id}.json` (or without `.json`), `Authorization: Basic` of
//!   `email/token:apiToken`; `{"ticket": {"comment": {"html_body": …, "public": false}}}`. Without `public` the
//!   comment is as the ticket's first one was: seen by the requester.
//! - `safe_update: true` with `updated_stamp` (the ticket's `updated_at`): 409 `UpdateConflict` if it changed since.
//! - 200 `{"ticket": …, "audit": {"id", "events", "metadata"}}`, whose `metadata.custom` is the update's `metadata`.
//!   `GET` of the same path gives the ticket, of its `/audits.json` what was done to it, here always the latest first.
//! - 401 `{"error": "Couldn't authenticate you"}`; 404 `RecordNotFound`; 422 `RecordInvalid` with `details`, also for
//!   any update of a closed ticket; 429 with `Retry-After`, for more than 30 updates of one ticket in ten minutes too.
//!
//! Sources: <https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/>,
//! <https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/>.
//! Not verified: the limit of a comment's size (64 KB is what people report); the texts of 401 and 403; the 429, its
//! body and the limit per ticket (the page of rate limits was not to be had); the answer to a body that is not JSON.
//! The texts of 409 and of the closed ticket are from public test suites.

use serde_json::{Value, json};

use super::World;
use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Effect, Kind, Refusal, Reply, Sight, Taken, Verdict, place, rfc3339};

/// Bytes of a comment.
const COMMENT_LIMIT: usize = 65_536;

pub(super) fn check(call: &Call, world: &World) -> Verdict {
    let credentials = &world.credentials;
    let expected = format!("{}/token:{}", super::ZENDESK_EMAIL, credentials.zendesk);
    if call.basic().is_none_or(|given| given != expected) {
        return Err(error("Couldn't authenticate you").because("the credentials"));
    }
    let path = call.rest.strip_suffix(".json").unwrap_or(&call.rest);
    let audits = call.method == "GET" && path.ends_with("/audits");
    let path = if audits { path.trim_end_matches("/audits") } else { path };
    let ticket = path.strip_prefix("/api/v2/tickets/");
    let Some(id) = ticket.filter(|id| id.parse::<u64>().is_ok()) else {
        return Err(error("InvalidEndpoint").because("no path of a ticket"));
    };
    let state = place(world, Kind::Zendesk, id, Place::Open);
    match state {
        Place::Missing => return Err(error("RecordNotFound").because("no such ticket")),
        Place::Foreign => return Err(error("Forbidden").because("not this agent's ticket")),
        Place::Open | Place::Closed => {}
    }
    let done = world.tickets.get(id).map_or(&[][..], Vec::as_slice);
    let stamp = done.last().and_then(|audit| audit["created_at"].as_str());
    let stamp = stamp.map_or_else(|| rfc3339(world.begun_ms), str::to_owned);
    if audits {
        let latest: Vec<&Value> = done.iter().rev().collect();
        return Ok(Taken::new(Reply::json(200, json!({ "audits": latest, "next_page": null }))));
    }
    if call.method == "GET" {
        return Ok(Taken::new(Reply::json(200, json!({"ticket": ticket_json(call, id, state, &stamp)}))));
    }
    if call.method != "PUT" {
        return Err(Reply::json(405, json!({"error": "MethodNotAllowed"})).because("neither PUT nor GET"));
    }
    let body = call.json().filter(|body| body.is_object() && call.is_json());
    let Some(body) = body else {
        return Err(Reply::json(400, json!({"error": "Unparsable"})).because("no JSON"));
    };
    let update = &body["ticket"];
    if !update.is_object() {
        return Err(invalid("base", "ticket is missing"));
    }
    if state == Place::Closed {
        return Err(invalid("status", "Status: closed prevents ticket update"));
    }
    if update["safe_update"].as_bool() == Some(true) {
        let given = update["updated_stamp"].as_str();
        if given != Some(stamp.as_str()) {
            let complaint = format!("updated_stamp {given:?} is not {stamp}");
            return Err(error("UpdateConflict").because(complaint));
        }
    }
    let comment = &update["comment"];
    let html = match (&comment["html_body"], &comment["body"]) {
        (Value::String(html), _) => text::from_html(html),
        (Value::Null, Value::String(plain)) => text::from_plain(plain),
        _ => return Err(invalid("comment", "Comment: cannot be blank")),
    };
    if html.trim().is_empty() {
        return Err(invalid("comment", "Comment: cannot be blank"));
    }
    let bytes = comment["html_body"].as_str().or(comment["body"].as_str()).map_or(0, str::len);
    if bytes > COMMENT_LIMIT {
        return Err(invalid("comment", "Comment: is too long (maximum is 65536 bytes)"));
    }
    let public = match &comment["public"] {
        Value::Null => true,
        Value::Bool(public) => *public,
        _ => return Err(invalid("comment", "Public: is not a boolean")),
    };
    let (audit, event, at) = (900_000 + call.number, 800_000 + call.number, call.at());
    let done = json!({
        "id": audit, "ticket_id": id.parse::<u64>().unwrap_or_default(), "created_at": at,
        "metadata": {"system": {}, "custom": update.get("metadata").cloned().unwrap_or_else(|| json!({}))},
        "events": [{"id": event, "type": "Comment", "public": public, "html_body": comment["html_body"]}],
    });
    let answer = json!({"ticket": ticket_json(call, id, state, &at), "audit": done});
    let place = if public { format!("ticket {id}, public") } else { format!("ticket {id}, internal note") };
    Ok(Taken::new(Reply::json(200, answer))
        .seen(Sight::new(place, html).id(audit))
        .doing(Effect::TicketUpdated { id: id.to_owned(), audit: done }))
}

fn ticket_json(call: &Call, id: &str, state: Place, updated_at: &str) -> Value {
    let status = if state == Place::Closed { "closed" } else { "open" };
    json!({"id": id.parse::<u64>().unwrap_or_default(), "url": format!("{}/zendesk/api/v2/tickets/{id}.json", call.base()),
        "status": status, "updated_at": updated_at, "comment_count": 1})
}

fn invalid(field: &str, description: &str) -> Refusal {
    let details = json!({ field: [{"description": description}] });
    let body =
        json!({"error": "RecordInvalid", "description": "Record validation errors", "details": details});
    Reply::json(422, body).because(description)
}

pub(super) fn rate_limited(seconds: u64) -> Reply {
    let description = "Number of allowed API requests per minute exceeded";
    Reply::json(429, json!({"error": "TooManyRequests", "description": description}))
        .header("retry-after", seconds)
        .header("x-rate-limit", 700)
        .header("x-rate-limit-remaining", 0)
}

pub(super) fn error(code: &str) -> Reply {
    let (status, description) = match code {
        "Couldn't authenticate you" => return Reply::json(401, json!({ "error": code })),
        "Forbidden" => {
            (403, "You do not have access to this page. Please contact the account owner for help.")
        }
        "InvalidEndpoint" | "RecordNotFound" => (404, "Not found"),
        "UpdateConflict" => (409, "Safe Update prevented the update due to outdated ticket data."),
        "InternalError" => (500, "Internal server error"),
        "ServiceUnavailable" => (503, "Service unavailable"),
        _ => (422, "Record validation errors"),
    };
    Reply::json(status, json!({"error": code, "description": description}))
}
