//! Intercom: an admin's note in a conversation.
//!
//! - `POST https://api.intercom.io/conversations/{id}/reply` (`api.eu.intercom.io`, `api.au.intercom.io`),
//!   `Authorization: Bearer`, `Intercom-Version` (1.0 to 2.16; without it, the app's); `message_type: "note"`,
//!   `type: "admin"`, `admin_id` (a string), `body` (some HTML).
//! - 200 with the conversation; the note is the last of its `conversation_parts`.
//! - Errors are `{"type": "error.list", "request_id", "errors": [{"code", "message"}]}`: 401 `unauthorized`, 403
//!   `api_plan_restricted`, 404 `not_found`, 400 `parameter_not_found` and `parameter_invalid`.
//! - 429 `rate_limit_exceeded` with `X-RateLimit-Limit`, `-Remaining` and `-Reset` (Unix seconds); no `Retry-After`.
//!
//! Sources: <https://github.com/intercom/Intercom-OpenAPI> (`descriptions/2.16`),
//! <https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting>.
//! Not verified: the statuses of an unknown admin here and of a version that is none; any limit of the body.

use serde_json::{Value, json};

use super::World;
use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Kind, Reply, Sight, Taken, Verdict, place};
use crate::serve::now_ms;

pub(super) fn check(call: &Call, world: &World) -> Verdict {
    let refused = |code: &str, why: &str| Err(error(code).because(why));
    if call.bearer() != Some(world.credentials.intercom.as_str()) {
        return refused("unauthorized", "the access token");
    }
    if call.header("intercom-version").is_some_and(|version| !is_version(version)) {
        return refused("intercom_version_invalid", "Intercom-Version");
    }
    let path = call.rest.strip_prefix("/conversations/").and_then(|path| path.strip_suffix("/reply"));
    let id = path.filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let (Some(id), true) = (id, call.method == "POST") else {
        return refused("not_found", "not POST /conversations/{id}/reply");
    };
    if !call.is_json() {
        return refused("media_type_not_acceptable", "the content type is not application/json");
    }
    let Some(Value::Object(body)) = call.json() else {
        return refused("bad_request", "no JSON object");
    };
    match place(world, Kind::Intercom, id, Place::Open) {
        // A closed conversation takes notes.
        Place::Open | Place::Closed => {}
        Place::Missing => return refused("not_found", "no such conversation"),
        Place::Foreign => return refused("api_plan_restricted", "not for this plan"),
    }
    let field = |name: &str| body.get(name).and_then(Value::as_str);
    let kind = match (field("message_type"), field("type")) {
        (Some(kind @ ("note" | "comment")), Some("admin")) => kind,
        (None, _) | (_, None) => return refused("parameter_not_found", "message_type and type are required"),
        _ => return refused("parameter_invalid", "message_type or type"),
    };
    match field("admin_id") {
        None => return refused("parameter_not_found", "admin_id is required, as a string"),
        Some(admin) if admin != super::INTERCOM_ADMIN => return refused("admin_not_found", "admin_id"),
        Some(_) => {}
    }
    let Some(html) = field("body") else {
        return refused("parameter_not_found", "body is required");
    };
    let shown = text::from_html(html);
    if shown.is_empty() {
        return refused("parameter_invalid", "body is empty");
    }
    let (part, now) = (700_000 + call.number, call.at_seconds());
    let answer = json!({
        "type": "conversation", "id": id, "created_at": world.begun_ms / 1000, "updated_at": now, "open": true,
        "state": "open", "read": false,
        "conversation_parts": {"type": "conversation_part.list", "total_count": 1, "conversation_parts": [{
            "type": "conversation_part", "id": part.to_string(), "part_type": kind, "body": html,
            "created_at": now, "updated_at": now, "author": {"type": "admin", "id": super::INTERCOM_ADMIN},
        }]},
    });
    let place = match kind {
        "note" => format!("conversation {id}, note"),
        _ => format!("conversation {id}, public"),
    };
    Ok(Taken::new(Reply::json(200, answer)).seen(Sight::new(place, shown).id(part)))
}

fn is_version(version: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| number.to_string() == text);
    let parts = version.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
    matches!(parts, Some((1, 0..=4) | (2, 0..=16)))
}

pub(super) fn rate_limited(seconds: u64) -> Reply {
    error("rate_limit_exceeded")
        .header("x-ratelimit-limit", 166)
        .header("x-ratelimit-remaining", 0)
        .header("x-ratelimit-reset", now_ms().div_ceil(1000) + seconds)
}

pub(super) fn error(code: &str) -> Reply {
    let (status, message) = match code {
        "unauthorized" => (401, "Access Token Invalid"),
        "token_revoked" | "token_expired" => (401, "The Access Token Was Revoked"),
        "api_plan_restricted" => (403, "Active subscription needed."),
        "not_found" => (404, "Resource Not Found"),
        "admin_not_found" => (404, "Admin for admin_id not found"),
        "conflict" => (409, "Conflict"),
        "media_type_not_acceptable" => {
            (406, "The Accept header should send a media type of application/json")
        }
        "rate_limit_exceeded" => (429, "Exceeded rate limit"),
        "server_error" => (500, "Server error"),
        "service_unavailable" => (503, "Sorry, the API service is temporarily unavailable"),
        _ => (400, "Bad request"),
    };
    let errors = json!([{"code": code, "message": message}]);
    Reply::json(status, json!({"type": "error.list", "request_id": request_id(), "errors": errors}))
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
