//! A receiver of signed webhooks, after Standard Webhooks.
//!
//! - `POST` (here `/hook/{name}`) with `webhook-id` (the same however often it is tried), `webhook-timestamp` (Unix
//!   seconds, within five minutes) and `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over
//!   `{id}.{timestamp}.{body}`; several are separated by spaces. The key is what follows `whsec_`, base64 of 24 to 64
//!   bytes.
//! - Any 2xx is a success, a redirect is not followed, 410 says never again, 429, 502 and 504 say slower.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks> (`spec/standard-webhooks.md`, `libraries/rust`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::World;
use super::behaviour::Place;
use super::text;
use super::vendor::{Call, Kind, Reply, Sight, Taken, Verdict, place};
use crate::serve::now_ms;

/// Seconds that a timestamp may be off.
const TOLERANCE: u64 = 5 * 60;

pub(super) fn check(call: &Call, world: &World) -> Verdict {
    let Some(name) = call.name() else {
        return Err(error("not_found").because("no path of a receiver"));
    };
    if call.method != "POST" {
        return Err(Reply::text(405, "method not allowed").because("not a POST"));
    }
    match place(world, Kind::Webhook, name, Place::Open) {
        Place::Open => {}
        Place::Missing => return Err(error("not_found").because("no such receiver")),
        Place::Closed => return Err(error("gone").because("the receiver wants no more")),
        Place::Foreign => return Err(error("forbidden").because("not for this sender")),
    }
    let id = verified(call, &world.credentials.webhook).map_err(|why| error("unauthorized").because(why))?;
    let payload = match call.json() {
        Some(payload @ Value::Object(_)) if call.is_json() => payload,
        _ => return Err(error("bad_request").because("no JSON object")),
    };
    let sight = Sight::new(format!("receiver {name}"), text::from_payload(&payload)).id(id);
    Ok(Taken::new(Reply::json(200, json!({}))).seen(sight))
}

/// The id of a call whose signature is right.
fn verified<'a>(call: &'a Call, secret: &str) -> Result<&'a str, &'static str> {
    let id = call.header("webhook-id").filter(|id| !id.is_empty()).ok_or("no webhook-id")?;
    let timestamp = call.header("webhook-timestamp").ok_or("no webhook-timestamp")?;
    let signatures = call.header("webhook-signature").ok_or("no webhook-signature")?;
    let seconds: u64 = timestamp.parse().map_err(|_| "webhook-timestamp is no number")?;
    if seconds.abs_diff(now_ms() / 1000) > TOLERANCE {
        return Err("webhook-timestamp is more than five minutes off");
    }
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).map_err(|_| "the secret is no base64")?;
    let is_right = signatures.split(' ').filter_map(|part| part.strip_prefix("v1,")).any(|signature| {
        let mac = Hmac::<Sha256>::new_from_slice(&key);
        let given = STANDARD.decode(signature);
        mac.is_ok_and(|mac| {
            let signed = mac.chain_update(format!("{id}.{timestamp}.")).chain_update(&call.body);
            given.is_ok_and(|given| signed.verify_slice(&given).is_ok())
        })
    });
    if is_right { Ok(id) } else { Err("webhook-signature") }
}

pub(super) fn rate_limited(seconds: u64) -> Reply {
    Reply::text(429, "too many requests").header("retry-after", seconds)
}

pub(super) fn error(code: &str) -> Reply {
    let status = match code {
        "gone" => 410,
        "not_found" => 404,
        "forbidden" => 403,
        "unauthorized" => 401,
        _ => 400,
    };
    Reply::json(status, json!({ "error": code }))
}
