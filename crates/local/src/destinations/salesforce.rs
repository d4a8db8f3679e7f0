//! Salesforce: an access token for client credentials, and a completed `Task` on a record.
//!
//! - `POST {instance}/services/oauth2/token`, a form: `grant_type=client_credentials`, `client_id`, `client_secret`
//!   (or these two as Basic). 200 with `access_token`, `instance_url`, `token_type`, `issued_at`, and no
//!   `expires_in`: a token is good until a 401. Errors are 400 `{"error", "error_description"}`.
//! - `POST {instance}/services/data/vNN.0/sobjects/Task`: `Subject` (255), `Description` (32,000), `Status`,
//!   `WhoId` (003 a contact, 00Q a lead) or `WhatId` (anything else that can have activities). 201
//!   `{"id", "success", "errors"}`.
//! - Errors are `[{"message", "errorCode", "fields"}]`: 401 `INVALID_SESSION_ID`, 403 `REQUEST_LIMIT_EXCEEDED` (for
//!   later, and without a `Retry-After`), 400 `MALFORMED_ID`, `STRING_TOO_LONG`, `INVALID_CROSS_REFERENCE_KEY`,
//!   `ENTITY_IS_DELETED`, `UNABLE_TO_LOCK_ROW` (for later), 503 `SERVER_UNAVAILABLE`.
//!
//! Sources: <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_client_credentials_flow.htm>,
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api/dome_sobject_create.htm>,
//! <https://nango.dev/blog/fix-salesforce-invalid-session-id-error>.
//! Not verified: the limits of a task's fields (the page of `Task` was not to be had); the bodies of the token's
//! errors; whether a wrong `WhatId` is `MALFORMED_ID` or `FIELD_INTEGRITY_EXCEPTION`; `INVALID_CROSS_REFERENCE_KEY`.
//! The texts of `REQUEST_LIMIT_EXCEEDED` and `MALFORMED_ID` are from public code.

use serde_json::{Map, Value, json};

use super::World;
use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Effect, Kind, Refusal, Reply, Sight, Taken, Verdict, place, units};

/// The versions of the API that there are.
const VERSIONS: std::ops::RangeInclusive<u32> = 31..=67;

const FIELDS: [&str; 12] = [
    "Subject",
    "Description",
    "Status",
    "Priority",
    "ActivityDate",
    "WhatId",
    "WhoId",
    "OwnerId",
    "Type",
    "TaskSubtype",
    "IsReminderSet",
    "CallType",
];

const STATUSES: [&str; 5] =
    ["Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred"];

pub(super) fn check_token(call: &Call, world: &World) -> Verdict {
    if call.rest != "/token" || call.method != "POST" {
        return Err(token_error("invalid_request").because("not POST /services/oauth2/token"));
    }
    if call.media_type() != "application/x-www-form-urlencoded" {
        return Err(token_error("invalid_request").because("not a form"));
    }
    let form = call.form();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_string());
    if field("grant_type").as_deref() != Some("client_credentials") {
        return Err(token_error("unsupported_grant_type").because("grant_type is not client_credentials"));
    }
    let given = match call.basic() {
        Some(pair) => pair,
        None => format!(
            "{}:{}",
            field("client_id").unwrap_or_default(),
            field("client_secret").unwrap_or_default()
        ),
    };
    let (id, secret) = given.split_once(':').unwrap_or((&given, ""));
    if id != super::SALESFORCE_CLIENT {
        return Err(token_error("invalid_client_id").because("client_id"));
    }
    if secret != world.credentials.salesforce {
        return Err(token_error("invalid_client").because("client_secret"));
    }
    let token = format!("00D000000000001!{}", uuid::Uuid::new_v4().simple());
    let instance = format!("{}/salesforce", call.base());
    let answer = json!({"access_token": token, "signature": "c2lnbmVk", "scope": "api", "instance_url": instance,
        "id": format!("{instance}/id/00D000000000001AAA/005000000000001AAA"), "token_type": "Bearer",
        "issued_at": call.at_ms.to_string()});
    Ok(Taken::new(Reply::json(200, answer)).doing(Effect::TokenIssued(token)))
}

pub(super) fn check(call: &Call, world: &World) -> Verdict {
    let path = call.rest.trim_end_matches('/').strip_prefix("/services/data/v");
    let version = path.and_then(|path| path.strip_suffix(".0/sobjects/Task")).and_then(|v| v.parse().ok());
    if version.is_none_or(|version| !VERSIONS.contains(&version)) {
        return Err(error("NOT_FOUND").because("not /services/data/vNN.0/sobjects/Task"));
    }
    if call.bearer().is_none_or(|token| !world.access_tokens.contains(token)) {
        return Err(error("INVALID_SESSION_ID").because("the access token"));
    }
    if call.method != "POST" {
        return Err(Reply { status: 405, ..error("METHOD_NOT_ALLOWED") }.because("not a POST"));
    }
    if !call.is_json() {
        return Err(Reply { status: 415, ..error("UNSUPPORTED_MEDIA_TYPE") }.because("not application/json"));
    }
    let Some(Value::Object(task)) = call.json() else {
        return Err(error("JSON_PARSER_ERROR").because("no JSON object"));
    };
    let record = related(&task, world)?;
    let (subject, description) = (field(&task, "Subject"), field(&task, "Description"));
    let shown = [subject, description].map(|part| text::from_plain(part.unwrap_or_default())).join("\n");
    let id = format!("00T{:012}AAA", call.number);
    let answer = json!({"id": id, "success": true, "errors": []});
    Ok(Taken::new(Reply::json(201, answer)).seen(Sight::new(record, shown.trim()).id(id)))
}

fn field<'a>(task: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    task.get(name).and_then(Value::as_str)
}

/// Checks the fields; gives the record that the task is on.
fn related(task: &Map<String, Value>, world: &World) -> Result<String, Refusal> {
    for (name, value) in task {
        if !FIELDS.contains(&name.as_str()) && !name.ends_with("__c") {
            let message = format!("No such column '{name}' on sobject of type Task");
            return Err(errors(400, "INVALID_FIELD", &message, None).because(message));
        }
        if !matches!(value, Value::String(_) | Value::Null) && name != "IsReminderSet" {
            return Err(errors(
                400,
                "JSON_PARSER_ERROR",
                "Cannot deserialize instance of string",
                Some(name),
            )
            .because(format!("{name} is no string")));
        }
    }
    for (name, label, limit) in [("Subject", "Subject", 255), ("Description", "Comments", 32_000)] {
        if field(task, name).is_some_and(|value| units(value) > limit) {
            let message = format!("{label}: data value too large: (max length={limit})");
            return Err(errors(400, "STRING_TOO_LONG", &message, Some(name)).because(message));
        }
    }
    if field(task, "Status").is_some_and(|status| !STATUSES.contains(&status)) {
        let message = "Status: bad value for restricted picklist field";
        return Err(
            errors(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, Some("Status")).because(message)
        );
    }
    let mut records = Vec::new();
    for (name, label) in [("WhoId", "Name"), ("WhatId", "Related To")] {
        let Some(id) = field(task, name) else { continue };
        let is_id = matches!(id.len(), 15 | 18) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_person = id.starts_with("003") || id.starts_with("00Q");
        if !is_id || is_person != (name == "WhoId") {
            let message = format!("{label} ID: id value of incorrect type: {id}");
            return Err(errors(400, "MALFORMED_ID", &message, Some(name)).because(message));
        }
        match place(world, Kind::Salesforce, id, Place::Open) {
            Place::Open => {}
            Place::Missing => return Err(error("INVALID_CROSS_REFERENCE_KEY").because("no such record")),
            Place::Closed => return Err(error("ENTITY_IS_DELETED").because("the record is deleted")),
            Place::Foreign => {
                return Err(
                    error("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY").because("not this user's record")
                );
            }
        }
        records.push(format!("{} {id}", object(id)));
    }
    // Salesforce takes a task that is on nothing; it is found by nobody who looks at a record.
    Ok(if records.is_empty() { "no record".to_owned() } else { records.join(", ") })
}

/// What the first three characters of an id say.
fn object(id: &str) -> &'static str {
    match id.get(..3) {
        Some("001") => "account",
        Some("003") => "contact",
        Some("006") => "opportunity",
        Some("00Q") => "lead",
        Some("500") => "case",
        _ => "record",
    }
}

pub(super) fn token_error(code: &str) -> Reply {
    let description = match code {
        "invalid_client" => "invalid client credentials",
        "invalid_client_id" => "client identifier invalid",
        "invalid_grant" => "no client credentials user enabled",
        "unsupported_grant_type" => "grant type not supported",
        "rate_limit_exceeded" => "exceeded the login rate limit",
        _ => "authentication failure",
    };
    Reply::json(400, json!({"error": code, "error_description": description}))
}

pub(super) fn error(code: &str) -> Reply {
    let (status, message) = match code {
        "INVALID_SESSION_ID" => (401, "Session expired or invalid"),
        "REQUEST_LIMIT_EXCEEDED" => (403, "TotalRequests Limit exceeded."),
        "API_DISABLED_FOR_ORG" => (403, "API is not enabled for this Organization or Partner"),
        "NOT_FOUND" => (404, "The requested resource does not exist"),
        "INVALID_CROSS_REFERENCE_KEY" => (400, "invalid cross reference id"),
        "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY" => {
            (400, "insufficient access rights on cross-reference id")
        }
        "ENTITY_IS_DELETED" => (400, "entity is deleted"),
        "UNABLE_TO_LOCK_ROW" => (400, "unable to obtain exclusive access to this record"),
        "JSON_PARSER_ERROR" => (400, "Unexpected character"),
        "UNKNOWN_EXCEPTION" => (500, "An unexpected error occurred."),
        "SERVER_UNAVAILABLE" => (503, "We are currently unavailable."),
        _ => (400, "The request could not be processed."),
    };
    errors(status, code, message, None)
}

fn errors(status: u16, code: &str, message: &str, field: Option<&str>) -> Reply {
    let mut error = json!({"message": message, "errorCode": code});
    if let Some(field) = field {
        error["fields"] = json!([field]);
    }
    Reply::json(status, json!([error]))
}
