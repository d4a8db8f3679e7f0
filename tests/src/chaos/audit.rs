//! What became of it all: whether anything was lost, or a rule broken.

use super::callers::{PATIENCE, Place, TRIES, Told};
use super::faults::text;
use super::report::Report;
use crate::World;
use futures::StreamExt;
use futures::stream;
use local::destinations::{Kind, Message, Received};
use local::logrocket::{Callback, Outcome, Post};
use reqwest::StatusCode;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::time::sleep;

/// As the product does without the setting.
const MAX_ATTEMPTS: usize = 3;
/// Requests that are read back at once.
const READ_AT_ONCE: usize = 8;
/// Who takes the same in twice within this, in milliseconds, is told by two at once: it is half the lease, and no
/// delivery is tried again sooner but by `redeliver`.
const AT_ONCE: u64 = 5_000;
const STATES: [&str; 4] = ["PENDING", "DELIVERED", "FAILED", "SKIPPED"];

/// What there is to know when everything is at rest.
struct Rest {
    /// The table's items, by request.
    items: BTreeMap<String, Value>,
    /// What LogRocket was asked, by request: the attempt's number with it.
    posts: HashMap<String, Vec<(u32, Post)>>,
    /// How often each place took something in.
    heard: HashMap<Place, usize>,
}

/// Fills the report in.
pub(super) async fn audit(
    world: &World,
    told: &[Told],
    brought_forward: &BTreeSet<String>,
    report: &mut Report,
) {
    let items = world.table.items().expect("the table");
    let items: BTreeMap<String, Value> =
        items.into_iter().map(|item| (text(&item["requestID"]).to_owned(), item)).collect();
    let messages = world.destinations.messages();
    let received = world.destinations.received();
    let heard = hear(&items, &received, &messages);
    let again: BTreeSet<&String> =
        told.iter().flat_map(|told| &told.redelivered).chain(brought_forward).collect();
    duplicates(&items, &received, &messages, &again, report);
    let mut posts: HashMap<String, Vec<(u32, Post)>> = HashMap::new();
    for post in world.log_rocket.posts() {
        if let Some((id, attempt)) = post.webhook_url().and_then(parse_callback_url) {
            posts.entry(id).or_default().push((attempt, post));
        }
    }
    let rest = Rest { items, posts, heard };

    for told in told {
        rest.keep_promises(told, report);
    }
    let deleted: BTreeSet<&String> = told.iter().filter(|told| told.deleted).map(|told| &told.own).collect();
    for id in &deleted {
        if rest.items.contains_key(*id) {
            report.broken.push(format!("{id}: deleted, and still there"));
        }
    }
    rest.count_posts(report);
    for (id, item) in &rest.items {
        rest.look_at(id, item, report);
    }
    for callback in world.log_rocket.callbacks() {
        rest.keep_news(&callback, &deleted, report);
    }
    let ready = rest.items.iter().filter(|(_, item)| item["status"] == "READY").map(|(id, _)| id.clone());
    let read: Vec<(String, Value)> = stream::iter(ready)
        .map(async |id| (id.clone(), read(world, &id).await))
        .buffer_unordered(READ_AT_ONCE)
        .collect()
        .await;
    for (id, request) in read {
        rest.compare_result(world, &id, &request["result"], report);
    }
}

impl Rest {
    /// What a caller was promised: that it is stored, settled, and each of his destinations told, given up or skipped.
    fn keep_promises(&self, told: &Told, report: &mut Report) {
        report.repeats += told.repeats;
        report.refusals += told.refusals;
        report.redelivered += told.redelivered.len();
        report.deleted += usize::from(told.deleted);
        let ask = told.ask;
        if let Some(what) = &told.unexpected {
            report.broken.push(format!("ask {ask}: {what}"));
        }
        if told.deleted {
            return;
        }
        for id in &told.promised {
            let Some(item) = self.items.get(id) else {
                report.lost.push(format!("ask {ask}: {id} was promised, and has no record"));
                continue;
            };
            let status = text(&item["status"]);
            if status == "PENDING" {
                report.lost.push(format!("ask {ask}: {id} is not settled"));
                continue;
            }
            let places = places(id, item);
            for (kind, at) in &told.places {
                let wanted = (*kind, if at.is_empty() { id.clone() } else { at.clone() });
                match places.iter().position(|place| *place == wanted) {
                    None => report.lost.push(format!("ask {ask}: {id} does not know its {kind:?}")),
                    Some(index) => {
                        let mark = mark(item, index, outcome(status));
                        let state = &mark["state"];
                        if !matches!(text(state), "DELIVERED" | "FAILED" | "SKIPPED") {
                            report.lost.push(format!("ask {ask}: {id} {status}, its {kind:?} {mark}"));
                        }
                    }
                }
            }
        }
    }

    /// LogRocket bills every POST that it takes.
    fn count_posts(&self, report: &mut Report) {
        for (id, posts) in &self.posts {
            let taken: Vec<u32> = posts
                .iter()
                .filter(|(_, post)| post.logrocket_request_id.is_some())
                .map(|(attempt, _)| *attempt)
                .collect();
            let numbers: BTreeSet<&u32> = taken.iter().collect();
            if taken.len() > MAX_ATTEMPTS || numbers.len() < taken.len() {
                report.broken.push(format!("{id}: LogRocket took the attempts {taken:?}"));
            }
            report.posts.push(posts.len());
            report.posts_taken.push(taken.len());
        }
    }

    /// What holds of every record at rest.
    fn look_at(&self, id: &str, item: &Value, report: &mut Report) {
        let status = text(&item["status"]);
        let code = text(&item["failure"]["code"]);
        let shown = if code.is_empty() { status.to_owned() } else { format!("{status} {code}") };
        *report.statuses.entry(shown).or_default() += 1;
        if !item["requestDueAt"].is_null() {
            report.broken.push(format!("{id}: {status}, and request λ has work due"));
        }
        if !item["webhookDueAt"].is_null() && !item["webhookShard"].is_null() {
            report.broken.push(format!("{id}: {status}, and webhook λ has work due"));
        }
        let has_result = !item["result"].is_null() || !item["resultGzip"].is_null();
        if (status == "READY") != has_result {
            report.broken.push(format!("{id}: {status}, with a result: {has_result}"));
        }
        for (index, place) in places(id, item).into_iter().enumerate() {
            let marks = ["failure", "result"].map(|outcome| mark(item, index, outcome)["state"].clone());
            for state in STATES {
                *report.deliveries.entry(state).or_default() +=
                    marks.iter().filter(|mark| **mark == state).count();
            }
            let delivered = marks.iter().filter(|mark| **mark == "DELIVERED").count();
            let heard = self.heard.get(&place).copied().unwrap_or(0);
            if heard < delivered {
                let kind = place.0;
                report
                    .broken
                    .push(format!("{id}: {kind:?} is marked DELIVERED {delivered} times, and took {heard}"));
            }
        }
    }

    /// A READY that was answered with 200 was stored by then, and is the outcome.
    fn keep_news(&self, callback: &Callback, deleted: &BTreeSet<&String>, report: &mut Report) {
        let body: Value = serde_json::from_str(&callback.body).unwrap_or_default();
        let is_ready = matches!(text(&body["status"]), "READY" | "COMPLETE");
        let (Some(200), Some(answered_at), true) = (callback.status, callback.answered_at_ms, is_ready)
        else {
            return;
        };
        let Some((id, attempt)) = parse_callback_url(&callback.url).filter(|(id, _)| !deleted.contains(id))
        else {
            return;
        };
        let item = self.items.get(&id).unwrap_or(&Value::Null);
        let completed_at = item["completedAt"].as_u64();
        if item["status"] != "READY" || completed_at.is_none_or(|at| at > answered_at) {
            let status = text(&item["status"]);
            report.broken.push(format!(
                "{id}: READY of attempt {attempt} was answered with 200 at {answered_at}, and the record is {status} since {completed_at:?}"
            ));
        }
    }

    /// The result is, to the letter, that of one of the request's attempts.
    fn compare_result(&self, world: &World, id: &str, result: &Value, report: &mut Report) {
        let attempts = self.posts.get(id).into_iter().flatten();
        let given = attempts.filter_map(|(_, post)| {
            let id = post.logrocket_request_id.as_ref()?;
            world.log_rocket.payload(id, Outcome::Ready).ok()
        });
        if !given.into_iter().any(|given| texts(&given["result"]) == texts(result)) {
            report.broken.push(format!("{id}: its result is none that LogRocket gave"));
        }
    }
}

/// The request as a caller reads it, who asks again where it is not to be had.
async fn read(world: &World, id: &str) -> Value {
    for _ in 0..TRIES {
        let answer = world.get(&format!("/highlights/{id}")).await;
        if answer.status == StatusCode::OK {
            return answer.json();
        }
        sleep(PATIENCE).await;
    }
    Value::Null
}

/// The texts of a result and its recordings, whatever the dialect.
fn texts(result: &Value) -> Vec<&str> {
    let sessions = result["sessions"].as_array().into_iter().flatten();
    let mut texts = vec![text(&result["highlights"])];
    texts.extend(sessions.flat_map(|session| [text(&session["recordingID"]), text(&session["highlights"])]));
    texts
}

fn parse_callback_url(url: &str) -> Option<(String, u32)> {
    let (_, query) = url.split_once("?request=")?;
    let (id, rest) = query.split_once("&attempt=")?;
    Some((id.to_owned(), rest.split_once('&')?.0.parse().ok()?))
}

fn outcome(status: &str) -> &'static str {
    if status == "READY" { "result" } else { "failure" }
}

fn mark<'a>(item: &'a Value, destination: usize, outcome: &str) -> &'a Value {
    &item["deliveries"][format!("{destination}-{outcome}")]
}

/// The places of a record's destinations, in its order.
fn places(id: &str, item: &Value) -> Vec<Place> {
    let destinations = item["destinations"].as_array().into_iter().flatten();
    let place = |destination: &Value| {
        let (kind, field) = match text(&destination["type"]) {
            "slack" => (Kind::Slack, "channel"),
            "slackWebhook" => (Kind::SlackWebhook, ""),
            "zendesk" => (Kind::Zendesk, "ticketID"),
            "intercom" => (Kind::Intercom, "conversationID"),
            "hubspot" => (Kind::Hubspot, "objectID"),
            "salesforce" => (Kind::Salesforce, "recordID"),
            "teams" => (Kind::Teams, ""),
            "webhook" => (Kind::Webhook, "url"),
            "eventBridge" => (Kind::EventBridge, ""),
            "stepFunctions" => (Kind::StepFunctions, "taskToken"),
            other => panic!("an unknown type of destination, {other}"),
        };
        let at = if field.is_empty() { id } else { text(&destination[field]) };
        (kind, at.rsplit_once("/hook/").map_or(at, |(_, name)| name).to_owned())
    };
    destinations.map(place).collect()
}

/// The place that a call is about; none where that cannot be told, as of the second of several messages.
fn place_of(call: &Received, message: &Message, items: &BTreeMap<String, Value>) -> Option<Place> {
    let body = &call.body;
    let segments: Vec<&str> = call.path.trim_end_matches(".json").split('/').collect();
    let at = match call.kind {
        Kind::Slack => text(&body["channel"]).to_owned(),
        Kind::Zendesk | Kind::Webhook => (*segments.last()?).to_owned(),
        Kind::Intercom => (*segments.iter().rev().nth(1)?).to_owned(),
        Kind::Hubspot => text(&body["associations"][0]["to"]["id"]).to_owned(),
        Kind::Salesforce => ["WhoId", "WhatId"].map(|field| text(&body[field])).concat(),
        Kind::StepFunctions => text(&body["taskToken"]).to_owned(),
        Kind::EventBridge => {
            let detail: Value = serde_json::from_str(text(&body["Entries"][0]["Detail"])).ok()?;
            text(&detail["requestID"]).to_owned()
        }
        Kind::SlackWebhook | Kind::Teams => {
            let mut words = message.text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
            words.find(|word| items.contains_key(*word))?.to_owned()
        }
        Kind::SalesforceToken => return None,
    };
    Some((call.kind, at))
}

fn hear(
    items: &BTreeMap<String, Value>,
    received: &[Received],
    messages: &[Message],
) -> HashMap<Place, usize> {
    let mut heard = HashMap::new();
    for place in messages.iter().filter_map(|message| place_of(call_of(received, message), message, items)) {
        *heard.entry(place).or_default() += 1;
    }
    heard
}

/// What a place took in that it had taken in before. That may be, where an answer or a mark was lost; but not while
/// somebody has claimed it. `again` are the requests that somebody had delivered once more.
fn duplicates(
    items: &BTreeMap<String, Value>,
    received: &[Received],
    messages: &[Message],
    again: &BTreeSet<&String>,
    report: &mut Report,
) {
    let places =
        items.iter().flat_map(|(id, item)| places(id, item).into_iter().map(move |place| (place, id)));
    let requests: HashMap<Place, &String> = places.collect();
    let mut seen = HashMap::new();
    for message in messages {
        let place = place_of(call_of(received, message), message, items);
        let before = seen.insert((place.clone(), &message.place, &message.text), message.at_ms);
        let Some(before) = before else { continue };
        report.twice += 1;
        let request = place.and_then(|place| requests.get(&place));
        // The SDK repeats by itself what it had no answer to.
        let is_ours = message.kind != Kind::EventBridge && request.is_some_and(|id| !again.contains(id));
        if let Some(id) = request
            && is_ours
            && message.at_ms < before + AT_ONCE
        {
            let (kind, after) = (message.kind, message.at_ms - before);
            report.broken.push(format!("{id}: {kind:?} was told the same twice within {after} ms"));
        }
    }
}

/// The call that brought the message: they are numbered from 1.
fn call_of<'a>(received: &'a [Received], message: &Message) -> &'a Received {
    let index = usize::try_from(message.number).ok().and_then(|number| number.checked_sub(1));
    index.and_then(|index| received.get(index)).expect("a message's call")
}
