//! LogRocket's two routes.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::behaviour::{Answer, Behaviour, Outcome, PollAnswer};
use super::control;
use super::payload::{Subject, new_id, payload};
use super::{Job, Poll, Post, Simulator};
use crate::hold::Decision;
use crate::serve::{Cut, now_ms};

/// LogRocket looks back so far when there is no `timeRange`.
const THIRTY_DAYS_MS: i64 = 30 * 24 * 60 * 60 * 1000;

pub(super) fn router(simulator: Simulator) -> Router {
    Router::new()
        .route("/v1/orgs/{org}/apps/{app}/highlights/", post(ask))
        .route("/v1/orgs/{org}/apps/{app}/highlights", get(poll))
        .merge(control::router())
        .fallback(async || error(404, "Not found"))
        .with_state(simulator)
}

/// `POST …/highlights/`. What follows from it does not depend on whether the caller is still there.
async fn ask(
    State(simulator): State<Simulator>,
    Path((org, app)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let app_id = format!("{org}/{app}");
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body)));
    let (index, gate) = simulator.record(|world| {
        world.posts.push(Post {
            at_ms: now_ms(),
            app_id: app_id.clone(),
            authorized: simulator.is_authorized(&headers),
            headers: readable(&headers),
            body: body.clone(),
            logrocket_request_id: None,
            status: None,
        });
        (world.posts.len() - 1, world.holds.pop_front())
    });

    let (answer, answered) = oneshot::channel();
    let working = simulator.clone();
    simulator.0.tasks.spawn(async move {
        if let Some(gate) = gate
            && gate.pass().await == Decision::Discard
        {
            return;
        }
        let response = working.work(index).await;
        working.record(|world| {
            if response.extensions().get::<Cut>().is_none() {
                world.posts[index].status = Some(response.status().as_u16());
            }
        });
        // A caller that is gone hears nothing.
        let _ = answer.send(response);
    });
    answered.await.unwrap_or_else(|_| Cut.into_response())
}

impl Simulator {
    /// Takes a POST on, lets its steps happen, and gives the answer to it.
    async fn work(&self, index: usize) -> Response {
        let post = self.world().posts[index].clone();
        if let Some(refusal) = self.refusal(post.authorized, &post.app_id) {
            return refusal;
        }
        let asked = match Asked::read(&post.body) {
            Ok(asked) => asked,
            Err(message) => return error(400, message),
        };
        let behaviour = {
            let mut world = self.world();
            let queued = world.next.pop_front();
            queued.or_else(|| world.choice.about(&post)).unwrap_or_else(|| world.usual.clone())
        };

        let id = new_id();
        if behaviour.is_taken() {
            self.take_on(index, &id, asked, &behaviour);
            for (step, early) in behaviour.steps.iter().enumerate().filter(|(_, step)| step.early) {
                sleep(early.after.unwrap_or_default()).await;
                self.happen(&id, step, Instant::now());
                if early.callback {
                    self.tell(&id, early.outcome).await;
                }
            }
        }
        sleep(behaviour.answer_after).await;
        if behaviour.is_taken() {
            self.schedule(&id, &behaviour);
        }
        match behaviour.answer {
            Answer::Id => Json(json!({ "id": id })).into_response(),
            Answer::WithoutId => Json(json!({})).into_response(),
            Answer::Garbage => "{\"id\": \"0cc1".into_response(),
            Answer::Cut => Cut.into_response(),
            Answer::Hang => std::future::pending().await,
            Answer::Status { status, retry_after, body } => failure(status, retry_after, body),
        }
    }

    fn take_on(&self, index: usize, id: &str, asked: Asked, behaviour: &Behaviour) {
        let options = &self.0.options;
        let job = Job {
            subject: Subject {
                id: id.to_owned(),
                app_id: options.app_id.clone(),
                app_url: options.app_url.clone(),
                question: asked.question,
                range: asked.range,
            },
            webhook_url: asked.webhook_url,
            shape: behaviour.result.clone(),
            events: behaviour.steps.iter().map(|step| (None, step.outcome)).collect(),
        };
        self.record(|world| {
            world.jobs.insert(id.to_owned(), job);
            world.posts[index].logrocket_request_id = Some(id.to_owned());
        });
    }

    /// Sets the time of every step that comes after the answer, and sends its callback then.
    fn schedule(&self, id: &str, behaviour: &Behaviour) {
        let now = Instant::now();
        for (index, step) in behaviour.steps.iter().enumerate().filter(|(_, step)| !step.early) {
            let due = now + step.after.unwrap_or(self.0.options.callback_after);
            self.happen(id, index, due);
            if step.callback {
                let (simulator, id, outcome) = (self.clone(), id.to_owned(), step.outcome);
                self.0.tasks.spawn(async move {
                    sleep_until(due).await;
                    simulator.tell(&id, outcome).await;
                });
            }
        }
    }

    fn happen(&self, id: &str, step: usize, at: Instant) {
        if let Some(job) = self.world().jobs.get_mut(id) {
            job.events[step].0 = Some(at);
        }
    }

    /// Sends a callback; how it went is recorded.
    async fn tell(&self, id: &str, outcome: Outcome) {
        let told = {
            let world = self.world();
            let job = world.jobs.get(id);
            job.and_then(|job| {
                let url = job.webhook_url.clone()?;
                Some((url, payload(&job.subject, outcome, &job.shape)))
            })
        };
        if let Some((url, body)) = told {
            // Recorded either way.
            let _ = self.post_callback(&url, body.to_string()).await;
        }
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let expected = format!("token {}", self.0.options.api_key);
        headers.get(AUTHORIZATION).is_some_and(|value| value == expected.as_str())
    }

    /// What anyone is told who has the wrong key, or asks for another app.
    fn refusal(&self, authorized: bool, app_id: &str) -> Option<Response> {
        if !authorized {
            return Some(error(401, "Invalid API key"));
        }
        (app_id != self.0.options.app_id).then(|| error(404, "App not found"))
    }
}

#[derive(Deserialize)]
struct PollQuery {
    id: Option<String>,
}

/// `GET …/highlights?id=…`
async fn poll(
    State(simulator): State<Simulator>,
    Path((org, app)): Path<(String, String)>,
    Query(query): Query<PollQuery>,
    headers: HeaderMap,
) -> Response {
    let authorized = simulator.is_authorized(&headers);
    let index = simulator.record(|world| {
        world.polls.push(Poll { at_ms: now_ms(), authorized, id: query.id.clone(), status: None });
        world.polls.len() - 1
    });
    let response = match simulator.refusal(authorized, &format!("{org}/{app}")) {
        Some(refusal) => refusal,
        None => simulator.look_up(query.id.as_deref()).await,
    };
    if response.extensions().get::<Cut>().is_none() {
        simulator.record(|world| world.polls[index].status = Some(response.status().as_u16()));
    }
    response
}

impl Simulator {
    async fn look_up(&self, id: Option<&str>) -> Response {
        let Some(id) = id else {
            return error(400, "id is required");
        };
        let (answer, found) = {
            let mut world = self.world();
            let queued = world.next_polls.pop_front();
            let answer = queued.unwrap_or_else(|| world.usual_poll.clone());
            let found = world.jobs.get(id);
            (answer, found.map(|job| (job.subject.clone(), job.outcome(), job.shape.clone())))
        };
        match answer {
            PollAnswer::Hang => return std::future::pending().await,
            PollAnswer::Cut => return Cut.into_response(),
            PollAnswer::Garbage => return "{\"requestID\": \"0cc1".into_response(),
            PollAnswer::Status(status) => return failure(status, None, None),
            PollAnswer::Body(text) => return text.into_response(),
            PollAnswer::Truth | PollAnswer::Pending | PollAnswer::OtherId => {}
        }
        let Some((mut subject, mut outcome, shape)) = found else {
            return error(404, "Request not found");
        };
        match answer {
            PollAnswer::Pending => outcome = Outcome::Pending,
            PollAnswer::OtherId => subject.id = new_id(),
            _ => {}
        }
        Json(payload(&subject, outcome, &shape)).into_response()
    }
}

/// The body of a POST, checked.
struct Asked {
    question: Option<String>,
    range: (i64, i64),
    webhook_url: Option<String>,
}

impl Asked {
    fn read(body: &Value) -> Result<Self, &'static str> {
        let body = body.as_object().ok_or("The body must be a JSON object")?;
        let subject = match (body.get("userEmail"), body.get("userID")) {
            (Some(subject), None) | (None, Some(subject)) => subject,
            _ => return Err("Exactly one of userEmail and userID is required"),
        };
        if subject.as_str().is_none_or(str::is_empty) {
            return Err("userEmail and userID must be non-empty strings");
        }
        Ok(Self {
            question: text(body, "question").map_err(|()| "question must be a string")?,
            range: match body.get("timeRange") {
                None => (now().saturating_sub(THIRTY_DAYS_MS), now()),
                Some(range) => {
                    time_range(range).ok_or("timeRange must have startMs and endMs, startMs before endMs")?
                }
            },
            webhook_url: match text(body, "webhookURL") {
                Ok(None) => None,
                Ok(Some(url)) if is_web_address(&url) => Some(url),
                Ok(Some(_)) | Err(()) => return Err("webhookURL must be a valid URL"),
            },
        })
    }
}

fn text(body: &Map<String, Value>, field: &str) -> Result<Option<String>, ()> {
    match body.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(()),
    }
}

fn time_range(range: &Value) -> Option<(i64, i64)> {
    let (start, end) = (range["startMs"].as_i64()?, range["endMs"].as_i64()?);
    (0 <= start && start < end).then_some((start, end))
}

fn is_web_address(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn now() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX)
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let shown = headers.iter().filter(|(name, _)| *name != AUTHORIZATION);
    shown
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

pub(super) fn error(status: u16, message: &str) -> Response {
    failure(status, None, Some(json!({ "error": message }).to_string()))
}

fn failure(status: u16, retry_after: Option<String>, body: Option<String>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = body.unwrap_or_else(|| {
        let reason = status.canonical_reason().unwrap_or("Error");
        json!({ "error": reason }).to_string()
    });
    let is_json = serde_json::from_str::<Value>(&body).is_ok();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if is_json {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(Ok(value)) = retry_after.map(HeaderValue::try_from) {
        headers.insert(RETRY_AFTER, value);
    }
    if status.is_redirection() {
        headers.insert(LOCATION, HeaderValue::from_static("/moved"));
    }
    response
}
