//! One request from the question to the highlights, as a caller sees it, and to the messages, as the caller's
//! colleagues do.

use std::str::FromStr;
use std::time::{Duration, Instant};

use local::destinations::{Destinations, Kind, Message};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use time::{Date, Month};
use tokio::time::sleep;

use crate::page::Page;
use crate::stack::Access;
use crate::terminal::{self, end_passing, passing, say};

const QUESTION: &str = r#"{
  "userEmail": "alice@example.com",
  "question": "Why did checkout fail?",
  "destinations": [
    { "type": "slack", "channel": "C0123456789" },
    { "type": "zendesk", "ticketID": 35436 }
  ]
}"#;
/// How long the highlights may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the destinations may take from then on: a second try is in it.
const PATIENCE_WITH_DESTINATIONS: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{what} was not answered")]
    Unanswered { what: &'static str, source: reqwest::Error },
    #[error("{what} was answered {status}: {body}")]
    Refused { what: &'static str, status: StatusCode, body: String },
    #[error("{what} was answered with what is no JSON of ours")]
    Unreadable { what: &'static str, source: serde_json::Error },
    #[error("the request ended {status}: {failure}")]
    Ended { status: String, failure: Value },
    #[error("the request is still PENDING after {}", terminal::duration(PATIENCE))]
    StillPending,
    #[error("not all destinations were told: {}", .0.join("; "))]
    Untold(Vec<String>),
}

/// What the demo reads of the answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(rename = "requestID")]
    request_id: String,
    status: String,
    #[serde(default)]
    completed_at: Option<String>,
    #[serde(default)]
    result: Option<Highlights>,
    #[serde(default)]
    failure: Value,
    #[serde(default)]
    attempts: Vec<Attempt>,
    #[serde(default)]
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Highlights {
    highlights: String,
    #[serde(default)]
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
struct Session {
    #[serde(rename = "recordingID")]
    recording_id: String,
    #[serde(rename = "sessionID")]
    session_id: Value,
    #[serde(default)]
    highlights: String,
}

#[derive(Deserialize)]
struct Attempt {
    #[serde(rename = "logRocketRequestID")]
    logrocket_request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    destination: Destination,
    status: String,
    last_error: Option<String>,
}

#[derive(Deserialize)]
struct Destination {
    #[serde(rename = "type")]
    kind: String,
}

pub async fn run(access: &Access, destinations: &Destinations) -> Result<(), DemoError> {
    let begun = Instant::now();
    let asked = ask(access).await?;
    let request = wait(access, &asked.request_id, begun).await?;
    let took = begun.elapsed();
    let Some(result) = &request.result else {
        return Err(DemoError::Ended { status: request.status, failure: request.failure });
    };
    let mut page = Page::new(terminal::width(), terminal::is_styled());
    write_highlights(&mut page, access, result);
    say(page.take());
    say(ids(&request));
    say(format!("Asked, answered and read in {}.\n", terminal::duration(took)));

    let completed_at = request.completed_at.as_deref().and_then(epoch_ms);
    let told = wait_for_deliveries(access, request).await;
    // Whoever was told is shown, whatever became of the others.
    write_messages(&mut page, destinations.messages(), completed_at);
    say(page.take());
    told
}

async fn ask(access: &Access) -> Result<Request, DemoError> {
    let what = "POST /highlights";
    say(format!("\n→ {what}\n{QUESTION}"));
    let sent = access.client.post(format!("{}/highlights", access.url));
    let sent = sent.header("content-type", "application/json").body(QUESTION);
    let (status, body) = send(access, what, sent).await?;
    let shown: Value = parse(what, &body)?;
    say(format!("\n← {status}\n{shown:#}"));
    parse(what, &body)
}

/// Reads the request every half second until it is no longer PENDING.
async fn wait(access: &Access, request_id: &str, begun: Instant) -> Result<Request, DemoError> {
    say(format!("\n→ GET /highlights/{request_id}, every half second"));
    let mut reads = 0;
    loop {
        reads += 1;
        let (status, request) = read(access, request_id).await?;
        if request.status != "PENDING" {
            end_passing();
            say(format!("← {status} {} (read {reads} times)\n", request.status));
            return Ok(request);
        }
        if begun.elapsed() > PATIENCE {
            end_passing();
            return Err(DemoError::StillPending);
        }
        passing(&format!("  PENDING … {:.0} s", begun.elapsed().as_secs_f64()));
        sleep(Duration::from_millis(500)).await;
    }
}

/// Reads the request until every destination has been told, or will not be.
async fn wait_for_deliveries(access: &Access, mut request: Request) -> Result<(), DemoError> {
    let begun = Instant::now();
    while request.deliveries.iter().any(|each| each.status == "PENDING")
        && begun.elapsed() < PATIENCE_WITH_DESTINATIONS
    {
        passing(&format!("  the destinations are told … {:.0} s", begun.elapsed().as_secs_f64()));
        sleep(Duration::from_millis(200)).await;
        (_, request) = read(access, &request.request_id).await?;
    }
    end_passing();
    let untold: Vec<String> = request.deliveries.iter().filter_map(Delivery::why_not).collect();
    if untold.is_empty() { Ok(()) } else { Err(DemoError::Untold(untold)) }
}

async fn read(access: &Access, request_id: &str) -> Result<(StatusCode, Request), DemoError> {
    let what = "GET /highlights/{requestID}";
    let sent = access.client.get(format!("{}/highlights/{request_id}", access.url));
    let (status, body) = send(access, what, sent).await?;
    Ok((status, parse(what, &body)?))
}

async fn send(
    access: &Access,
    what: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<(StatusCode, String), DemoError> {
    let unanswered = |source| DemoError::Unanswered { what, source };
    let answer = request.bearer_auth(&access.token).send().await.map_err(unanswered)?;
    let status = answer.status();
    let body = answer.text().await.map_err(unanswered)?;
    if status.is_success() { Ok((status, body)) } else { Err(DemoError::Refused { what, status, body }) }
}

fn parse<'a, T: Deserialize<'a>>(what: &'static str, body: &'a str) -> Result<T, DemoError> {
    serde_json::from_str(body).map_err(|source| DemoError::Unreadable { what, source })
}

impl Delivery {
    fn why_not(&self) -> Option<String> {
        let Delivery { destination, status, last_error } = self;
        let why = last_error.as_deref().unwrap_or("no reason given");
        (status != "DELIVERED").then(|| format!("{} is {status} ({why})", destination.kind))
    }
}

fn write_highlights(page: &mut Page, access: &Access, result: &Highlights) {
    page.heading("Highlights of alice@example.com");
    page.markdown(&result.highlights);
    for session in &result.sessions {
        let id = match &session.session_id {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        let recording = &session.recording_id;
        page.heading(&format!("Session {recording}/{id}"));
        page.plain(&format!("https://app.logrocket.com/{}/s/{recording}/{id}", access.app_id));
        page.markdown(&session.highlights);
    }
}

fn ids(request: &Request) -> String {
    let mut ids = Page::new(terminal::width(), terminal::is_styled());
    ids.plain(&format!("requestID              {}", request.request_id));
    let latest = request.attempts.iter().rev().find_map(|attempt| attempt.logrocket_request_id.as_deref());
    if let Some(id) = latest {
        ids.plain(&format!("LogRocket's request id {id}"));
    }
    ids.take()
}

/// Each as it is seen at its destination, and how long after the outcome it came.
fn write_messages(page: &mut Page, mut messages: Vec<Message>, completed_at: Option<u64>) {
    messages.sort_by_key(|message| message.kind);
    for message in messages {
        let place = &message.place;
        let title = match message.kind {
            Kind::Slack => format!("Slack, channel {place} (its members see it)"),
            Kind::Zendesk if place.ends_with("internal note") => {
                format!("Zendesk, {place} (agents alone see it)")
            }
            Kind::Zendesk => format!("Zendesk, {place} (the requester sees it)"),
            _ => place.clone(),
        };
        let after = completed_at.map(|outcome| Duration::from_millis(message.at_ms.saturating_sub(outcome)));
        let foot = after.map(|after| format!("{} after the outcome", terminal::duration(after)));
        page.message(&title, &message.text, &foot.unwrap_or_default());
    }
}

/// Epoch milliseconds of `2026-11-22T20:50:15.102Z`.
fn epoch_ms(time: &str) -> Option<u64> {
    fn part<T: FromStr>(time: &str, from: usize, to: usize) -> Option<T> {
        time.get(from..to)?.parse().ok()
    }
    let month = Month::try_from(part::<u8>(time, 5, 7)?).ok()?;
    let date = Date::from_calendar_date(part(time, 0, 4)?, month, part(time, 8, 10)?).ok()?;
    let (hour, minute, second) = (part(time, 11, 13)?, part(time, 14, 16)?, part(time, 17, 19)?);
    let at = date.with_hms_milli(hour, minute, second, part(time, 20, 23)?).ok()?;
    u64::try_from(at.assume_utc().unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond() {
        assert_eq!(epoch_ms("2024-05-12T02:30:30.123Z"), Some(1_715_481_030_123));
        assert_eq!(epoch_ms("2024-13-12T02:30:30.123Z"), None);
        assert_eq!(epoch_ms("soon"), None);
    }

    #[test]
    fn a_message_is_shown_with_its_place_its_readers_and_its_delay() {
        let message = |kind, place: &str| Message {
            number: 1,
            at_ms: 1_090,
            kind,
            place: place.to_owned(),
            thread: None,
            id: None,
            text: "Highlights of a".to_owned(),
        };
        let mut page = Page::new(60, false);
        let messages = vec![
            message(Kind::Zendesk, "ticket 1, internal note"),
            message(Kind::Zendesk, "ticket 1, public"),
            message(Kind::Slack, "C01"),
        ];
        write_messages(&mut page, messages, Some(1_000));
        let page = page.take();
        assert!(page.starts_with("┌─ Slack, channel C01 (its members see it) ─"), "{page}");
        for part in [
            "│ Highlights of a\n└─ 90 ms after the outcome ─",
            "Zendesk, ticket 1, internal note (agents alone see it)",
            "Zendesk, ticket 1, public (the requester sees it)",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }

    #[test]
    fn a_destination_that_was_not_told_is_named_with_the_reason() {
        let delivery = |status: &str, error: Option<&str>| Delivery {
            destination: Destination { kind: "slack".to_owned() },
            status: status.to_owned(),
            last_error: error.map(str::to_owned),
        };
        assert_eq!(delivery("DELIVERED", None).why_not(), None);
        let failed = delivery("FAILED", Some("is_archived")).why_not();
        assert_eq!(failed.as_deref(), Some("slack is FAILED (is_archived)"));
    }

    #[test]
    fn the_page_has_the_highlights_the_sessions_their_links_and_both_ids() {
        let request: Request = parse(
            "a test",
            r#"{ "requestID": "r1", "status": "READY", "attempts": [{"logRocketRequestID": "ab12", "startedAt": "x"}],
                 "result": { "highlights": "She [pays](https://app.logrocket.com/acme/shop/s/5-a/0?t=1).",
                             "sessions": [{ "recordingID": "5-a", "sessionID": 0, "highlights": "It **fails**." },
                                          { "recordingID": "5-b", "sessionID": "1", "highlights": "Nothing." }] } }"#,
        )
        .unwrap();
        let access = Access {
            client: local::client().build().unwrap(),
            url: String::new(),
            token: String::new(),
            simulator_url: String::new(),
            destinations_url: String::new(),
            cargo_lambda: String::new(),
            app_id: "acme/shop".to_owned(),
            log_file: "functions.log".into(),
        };
        let mut page = Page::new(80, false);
        write_highlights(&mut page, &access, request.result.as_ref().unwrap());
        let page = page.take() + &ids(&request);
        for part in [
            "She pays [1].",
            "Session 5-a/0",
            "https://app.logrocket.com/acme/shop/s/5-b/1",
            "It fails.",
            "r1",
            "ab12",
            "[1] https://app.logrocket.com/acme/shop/s/5-a/0?t=1",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
    }
}
