//! HubSpot: a note on a record.
//!
//! - `POST https://api.hubapi.com/crm/v3/objects/notes`, `Authorization: Bearer`; `properties` (`hs_timestamp`
//!   required, RFC 3339 or milliseconds; `hs_note_body` 65,536 characters) and `associations`, each `to.id` and
//!   `types` of `associationCategory` and `associationTypeId`: from a note to a contact 202, company 190, deal 214,
//!   ticket 228.
//! - 201 with `id`, `properties`, `createdAt`, `updatedAt`, `archived`.
//! - Errors are `{"status": "error", "message", "correlationId", "category"}`, each field optional: 400
//!   `VALIDATION_ERROR`, 401 `INVALID_AUTHENTICATION`, 403 `MISSING_SCOPES`, 404 `OBJECT_NOT_FOUND`, 415.
//! - 429 has `errorType: "RATE_LIMIT"` and `policyName` `SECONDLY`, `TEN_SECONDLY_ROLLING` or `DAILY`, and
//!   `X-HubSpot-RateLimit-…` headers. Also for later: 423, 477, 502 to 504, 521 to 524.
//!
//! Sources: <https://developers.hubspot.com/docs/api-reference/crm-notes-v3/guide>,
//! <https://github.com/HubSpot/HubSpot-public-api-spec-collection> (`CRM/Notes`, v3),
//! <https://developers.hubspot.com/docs/api-reference/error-handling>.
//! Not verified: 423, 477 and 521 to 524; the categories beside `VALIDATION_ERROR`; what an association with a record that is not there is answered (404 or 400); that `Retry-After`
//! always comes with a 429; the four type ids beyond HubSpot's examples (202) and public code (228).

use serde_json::{Value, json};

use super::World;
use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Kind, Refusal, Reply, Sight, Taken, Verdict, place, units};

/// Characters of a note.
const NOTE_LIMIT: usize = 65_536;

/// More to wait than this is the day's limit.
const LONGEST_SHORT_WAIT: u64 = 600;

pub(super) fn check(call: &Call, world: &World) -> Verdict {
    if call.bearer() != Some(world.credentials.hubspot.as_str()) {
        return Err(error("INVALID_AUTHENTICATION").because("the access token"));
    }
    if call.rest != "/crm/v3/objects/notes" {
        return Err(error("NOT_FOUND").because("not /crm/v3/objects/notes"));
    }
    if call.method != "POST" {
        return Err(Reply { status: 405, ..error("METHOD_NOT_ALLOWED") }.because("not a POST"));
    }
    if !call.is_json() {
        return Err(Reply { status: 415, ..error("UNSUPPORTED_MEDIA_TYPE") }.because("no JSON type"));
    }
    let Some(body) = call.json().filter(Value::is_object) else {
        return Err(invalid("Invalid input JSON", "no JSON object"));
    };
    let Some(properties) = body["properties"].as_object() else {
        return Err(invalid("properties is required", "no properties"));
    };
    for name in properties.keys() {
        if !matches!(
            name.as_str(),
            "hs_timestamp" | "hs_note_body" | "hubspot_owner_id" | "hs_attachment_ids"
        ) {
            let message = format!("Property values were not valid: Property \"{name}\" does not exist");
            return Err(invalid(&message, &message));
        }
    }
    if !properties.get("hs_timestamp").is_some_and(is_timestamp) {
        let message = "Error creating NOTE. Some required properties were not set.";
        return Err(invalid(message, "hs_timestamp is missing or no time"));
    }
    let html = match properties.get("hs_note_body") {
        None => "",
        Some(Value::String(html)) => html,
        Some(_) => return Err(invalid("Property values were not valid", "hs_note_body is no string")),
    };
    if units(html) > NOTE_LIMIT {
        return Err(invalid(
            "Property values were not valid: hs_note_body exceeds 65536",
            "hs_note_body is too long",
        ));
    }
    let place = records(&body["associations"], world)?;
    let (id, at) = (600_000 + call.number, call.at());
    let answer = json!({"id": id.to_string(), "properties": properties, "createdAt": at, "updatedAt": at, "archived": false});
    Ok(Taken::new(Reply::json(201, answer)).seen(Sight::new(place, text::from_html(html)).id(id)))
}

/// The records that the note is put on, as a person calls them.
fn records(associations: &Value, world: &World) -> Result<String, Refusal> {
    let Some(associations) = associations.as_array().filter(|all| !all.is_empty()) else {
        return Err(invalid("associations is required", "no associations: nobody would see the note"));
    };
    let mut records = Vec::new();
    for association in associations {
        let id = match &association["to"]["id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return Err(invalid("to.id is required", "an association without to.id")),
        };
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid(&format!("{id} is not a valid object id"), "to.id is no number"));
        }
        match place(world, Kind::Hubspot, &id, Place::Open) {
            Place::Open => {}
            Place::Missing | Place::Closed => return Err(error("OBJECT_NOT_FOUND").because("no such record")),
            Place::Foreign => return Err(error("MISSING_SCOPES").because("not in this token's scopes")),
        }
        let Some(types) = association["types"].as_array().filter(|types| !types.is_empty()) else {
            return Err(invalid("types is required", "an association without types"));
        };
        for kind in types {
            if kind["associationCategory"] != "HUBSPOT_DEFINED" {
                return Err(invalid(
                    "Invalid associationCategory",
                    "associationCategory is not HUBSPOT_DEFINED",
                ));
            }
            let object = match kind["associationTypeId"].as_u64() {
                Some(202) => "contact",
                Some(190) => "company",
                Some(214) => "deal",
                Some(228) => "ticket",
                _ => {
                    return Err(invalid(
                        "Invalid associationTypeId",
                        "associationTypeId is none of a note's",
                    ));
                }
            };
            records.push(format!("{object} {id}"));
        }
    }
    Ok(records.join(", "))
}

fn is_timestamp(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_u64(),
        Value::String(text) => {
            let is_rfc3339 = text.is_ascii()
                && text.len() >= 20
                && text.ends_with('Z')
                && text.as_bytes()[10] == b'T'
                && text[..4].bytes().all(|byte| byte.is_ascii_digit());
            (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())) || is_rfc3339
        }
        _ => false,
    }
}

fn invalid(message: &str, complaint: &str) -> Refusal {
    body(400, message, "VALIDATION_ERROR").because(complaint)
}

pub(super) fn rate_limited(seconds: u64) -> Reply {
    let daily = seconds > LONGEST_SHORT_WAIT;
    let (policy, words) = if daily { ("DAILY", "daily") } else { ("SECONDLY", "secondly") };
    let body = json!({"status": "error", "message": format!("You have reached your {words} limit."),
        "errorType": "RATE_LIMIT", "correlationId": uuid::Uuid::new_v4().to_string(), "policyName": policy});
    Reply::json(429, body)
        .header("retry-after", seconds)
        .header("x-hubspot-ratelimit-daily", 250_000)
        .header("x-hubspot-ratelimit-daily-remaining", if daily { 0 } else { 249_000 })
        .header("x-hubspot-ratelimit-interval-milliseconds", 10_000)
        .header("x-hubspot-ratelimit-max", 100)
        .header("x-hubspot-ratelimit-remaining", 0)
}

pub(super) fn error(category: &str) -> Reply {
    let (status, message) = match category {
        "INVALID_AUTHENTICATION" => {
            (401, "Authentication credentials not found. This API supports OAuth 2.0.")
        }
        "EXPIRED_AUTHENTICATION" => (401, "The OAuth token used to make this call expired."),
        "MISSING_SCOPES" => (403, "This app hasn't been granted all required scopes to make this call."),
        "OBJECT_NOT_FOUND" | "NOT_FOUND" => (404, "Object not found."),
        "CONFLICT" => (409, "Conflict"),
        "LOCKED" => (423, "The resource is locked."),
        "MIGRATION_IN_PROGRESS" => (477, "Migration in progress."),
        "INTERNAL_ERROR" => (500, "internal error"),
        _ => (400, "The request could not be processed."),
    };
    body(status, message, category)
}

fn body(status: u16, message: &str, category: &str) -> Reply {
    let correlation = uuid::Uuid::new_v4().to_string();
    let body =
        json!({"status": "error", "message": message, "correlationId": correlation, "category": category});
    Reply::json(status, body)
}
