//! One request from the question to the highlights, as a caller sees it.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::page::Page;
use crate::stack::Access;
use crate::terminal::{self, end_passing, passing, say};

/// How long the highlights may take.
const PATIENCE: Duration = Duration::from_secs(90);

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
}

/// What the demo reads of the answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(rename = "requestID")]
    request_id: String,
    status: String,
    #[serde(default)]
    result: Option<Highlights>,
    #[serde(default)]
    failure: Value,
    #[serde(default)]
    attempts: Vec<Attempt>,
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

pub async fn run(access: &Access) -> Result<(), DemoError> {
    let begun = Instant::now();
    let asked = ask(access).await?;
    let request = wait(access, &asked.request_id, begun).await?;
    let took = begun.elapsed();
    let Some(result) = &request.result else {
        return Err(DemoError::Ended { status: request.status, failure: request.failure });
    };
    say(page(access, &request, result));
    say(format!("Asked, answered and read in {}.", terminal::duration(took)));
    Ok(())
}

async fn ask(access: &Access) -> Result<Request, DemoError> {
    let what = "POST /highlights";
    let question = json!({ "userEmail": "alice@example.com", "question": "Why did checkout fail?" });
    say(format!("\n→ {what}\n{question:#}"));
    let sent = access.client.post(format!("{}/highlights", access.url)).json(&question);
    let (status, body) = send(access, what, sent).await?;
    let shown: Value = parse(what, &body)?;
    say(format!("\n← {status}\n{shown:#}"));
    parse(what, &body)
}

/// Reads the request every half second until it is no longer PENDING.
async fn wait(access: &Access, request_id: &str, begun: Instant) -> Result<Request, DemoError> {
    let what = "GET /highlights/{requestID}";
    say(format!("\n→ GET /highlights/{request_id}, every half second"));
    let mut reads = 0;
    loop {
        reads += 1;
        let sent = access.client.get(format!("{}/highlights/{request_id}", access.url));
        let (status, body) = send(access, what, sent).await?;
        let request: Request = parse(what, &body)?;
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

fn page(access: &Access, request: &Request, result: &Highlights) -> String {
    let mut page = Page::new(terminal::width(), terminal::is_styled());
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
    let mut text = page.finish();
    let mut ids = Page::new(terminal::width(), terminal::is_styled());
    ids.plain(&format!("requestID              {}", request.request_id));
    let latest = request.attempts.iter().rev().find_map(|attempt| attempt.logrocket_request_id.as_deref());
    if let Some(id) = latest {
        ids.plain(&format!("LogRocket's request id {id}"));
    }
    text.push('\n');
    text.push_str(&ids.finish());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
            client: reqwest::Client::new(),
            url: String::new(),
            token: String::new(),
            simulator_url: String::new(),
            app_id: "acme/shop".to_owned(),
            log_file: "functions.log".into(),
        };
        let page = page(&access, &request, request.result.as_ref().unwrap());
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
