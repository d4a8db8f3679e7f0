//! Callers, as they behave: each asks under a key, and repeats it until he is promised something or refused.

use super::faults::{Faults, text};
use super::plan::{Ask, Asker, Source, Target, Then};
use crate::{BEARER, World};
use local::destinations::Kind;
use model::id::RequestId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// So often a caller tries, and so long he waits before each repeat.
pub(super) const TRIES: usize = 60;
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// Where a destination is told, and what tells it from every other there; empty where many share a door, and what they
/// are told names the request.
pub(super) type Place = (Kind, String);

/// What a caller was told of one ask.
pub(super) struct Told {
    pub(super) ask: usize,
    /// The id that its key means.
    pub(super) own: String,
    /// The ids of the requests that he was promised: others than his own where `maxAge` found one.
    pub(super) promised: BTreeSet<String>,
    pub(super) places: Vec<Place>,
    pub(super) refusals: usize,
    /// An answer that ends it otherwise, and should not be.
    pub(super) unexpected: Option<String>,
    pub(super) repeats: usize,
    pub(super) deleted: bool,
    /// The requests whose deliveries he had made once more.
    pub(super) redelivered: BTreeSet<String>,
}

/// How one try ended.
enum Answered {
    Promised(String),
    Refused,
    /// A 5xx, or nothing.
    Again,
    Unexpected(String),
}

/// A body as it is asked with, and whose it is.
struct Asking {
    key: String,
    body: Value,
    told: Told,
    then: Then,
    is_open: bool,
}

impl Told {
    fn nothing(ask: usize, own: String, places: Vec<Place>) -> Self {
        Self {
            ask,
            own,
            promised: BTreeSet::new(),
            places,
            refusals: 0,
            unexpected: None,
            repeats: 0,
            deleted: false,
            redelivered: BTreeSet::new(),
        }
    }
}

pub(super) async fn ask(world: &World, faults: &Faults, asker: &Asker) -> Vec<Told> {
    if let Some(trouble) = asker.stream {
        faults.trouble(world, trouble);
    }
    let askings: Vec<Asking> = asker.asks.iter().map(|ask| Asking::new(world, asker.source, ask)).collect();
    if !asker.twice {
        return one(world, asker.source, askings).await;
    }
    let again = askings.iter().map(Asking::twin).collect();
    let (mut all, more) = tokio::join!(one(world, asker.source, askings), one(world, asker.source, again));
    all.extend(more);
    all
}

async fn one(world: &World, source: Source, mut askings: Vec<Asking>) -> Vec<Told> {
    until_told(world, source, &mut askings).await;
    let then = askings.first().map_or(Then::Nothing, |asking| asking.then);
    match then {
        Then::Nothing => {}
        Then::AskAgain(wait) => {
            sleep(wait).await;
            askings.iter_mut().for_each(|asking| asking.is_open = true);
            until_told(world, source, &mut askings).await;
        }
        Then::Redeliver(wait) => {
            sleep(wait).await;
            for asking in &mut askings {
                for id in &asking.told.promised {
                    if redeliver(world, id).await {
                        asking.told.redelivered.insert(id.clone());
                    }
                }
            }
        }
        Then::Delete(wait) => {
            sleep(wait).await;
            for asking in &mut askings {
                asking.told.deleted = delete(world, &asking.told.own).await;
            }
        }
    }
    askings.into_iter().map(|asking| asking.told).collect()
}

/// Asks until every one of them is promised or refused.
async fn until_told(world: &World, source: Source, askings: &mut [Asking]) {
    for round in 0..TRIES {
        let mut open: Vec<&mut Asking> = askings.iter_mut().filter(|asking| asking.is_open).collect();
        if open.is_empty() {
            return;
        }
        if round > 0 {
            sleep(PATIENCE).await;
        }
        let answers = match source {
            Source::Sqs => queue(world, &open).await,
            _ => {
                let mut answers = Vec::new();
                for asking in &open {
                    answers.push(asking.try_once(world, source).await);
                }
                answers
            }
        };
        for (asking, answer) in open.iter_mut().zip(answers) {
            asking.hear(answer);
        }
    }
    for asking in askings.iter_mut().filter(|asking| asking.is_open) {
        asking.told.unexpected = Some(format!("neither promised nor refused in {TRIES} tries"));
    }
}

/// Asks for what stays due to be told at once; whether anything was.
pub(super) async fn redeliver(world: &World, id: &str) -> bool {
    world.redeliver(id).await.status == StatusCode::ACCEPTED
}

/// Whether it is gone, as far as the caller was told.
async fn delete(world: &World, id: &str) -> bool {
    let path = format!("/highlights/{id}");
    for _ in 0..TRIES {
        let answer = world.call(Method::DELETE, &path, &[("authorization", BEARER)], Value::Null).await;
        if matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND) {
            return true;
        }
        sleep(PATIENCE).await;
    }
    false
}

impl Asking {
    fn new(world: &World, source: Source, ask: &Ask) -> Self {
        let key = format!("chaos-key-{}", ask.number);
        let caller = match source {
            Source::Http => "token:ops",
            Source::Direct => "invoke",
            Source::EventBridge => "eventBridge",
            Source::Sns => "sns",
            Source::Sqs => "sqs",
        };
        let own = RequestId::for_key(caller, &key).as_str().to_owned();
        let subject = format!("chaos-{}@example.com", ask.subject);
        let mut body = json!({ (if ask.by_email { "userEmail" } else { "userID" }): subject });
        if ask.max_age {
            body["maxAge"] = json!(900);
        }
        let (mut destinations, mut places) = (Vec::new(), Vec::new());
        for target in &ask.targets {
            let (destination, place) = target.at(world, ask);
            destinations.push(destination);
            places.push(place);
        }
        body["destinations"] = Value::Array(destinations);
        let told = Told::nothing(ask.number, own, places);
        Self { key, body, told, then: ask.then, is_open: true }
    }

    /// The same, asked by somebody else at the same time; he does nothing more.
    fn twin(&self) -> Self {
        let Told { ask, own, places, .. } = &self.told;
        let told = Told::nothing(*ask, own.clone(), places.clone());
        Self { key: self.key.clone(), body: self.body.clone(), told, then: Then::Nothing, is_open: true }
    }

    async fn try_once(&self, world: &World, source: Source) -> Answered {
        let (key, body) = (&self.key, &self.body);
        let invoked = match source {
            Source::Http => {
                let answer = world.post_with(&[("idempotency-key", key)], body.clone()).await;
                return match answer.status {
                    StatusCode::ACCEPTED | StatusCode::OK => {
                        Answered::Promised(text(&answer.json()["requestID"]).to_owned())
                    }
                    StatusCode::BAD_GATEWAY => Answered::Refused,
                    StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE => Answered::Again,
                    status => Answered::Unexpected(format!("{status}: {}", answer.text)),
                };
            }
            Source::EventBridge => {
                let event = json!({ "id": key, "source": "chaos", "detail-type": "chaos", "detail": body });
                world.invoke(event).await
            }
            Source::Sns => {
                let sns = json!({ "MessageId": key, "Message": body.to_string() });
                world.invoke(json!({ "Records": [{ "EventSource": "aws:sns", "Sns": sns }] })).await
            }
            // A queue hands over batches.
            Source::Direct | Source::Sqs => {
                let mut body = body.clone();
                body["idempotencyKey"] = json!(key);
                world.invoke(body).await
            }
        };
        match invoked {
            Ok(receipt) => {
                let receipt = receipt.get(0).unwrap_or(&receipt);
                Answered::Promised(text(&receipt["requestID"]).to_owned())
            }
            Err(error) => match error.error_type.as_str() {
                "LogRocketRefused" => Answered::Refused,
                "Unavailable" => Answered::Again,
                ended if ended.starts_with("Runtime.") || ended.starts_with("Sandbox.") => Answered::Again,
                _ => Answered::Unexpected(error.to_string()),
            },
        }
    }

    fn hear(&mut self, answer: Answered) {
        self.is_open = false;
        match answer {
            Answered::Promised(id) => {
                self.told.promised.insert(id);
            }
            Answered::Refused => self.told.refusals += 1,
            Answered::Again => {
                self.told.repeats += 1;
                self.is_open = true;
            }
            Answered::Unexpected(what) => self.told.unexpected = Some(what),
        }
    }
}

/// One batch of a queue: those that are not given back are promised.
async fn queue(world: &World, open: &[&mut Asking]) -> Vec<Answered> {
    let message = |asking: &Asking| json!({ "messageId": asking.key, "body": asking.body.to_string(), "eventSource": "aws:sqs" });
    let records: Vec<Value> = open.iter().map(|asking| message(asking)).collect();
    let answer = world.invoke(json!({ "Records": records })).await;
    let given_back = answer.map(|answer| {
        let failures = answer["batchItemFailures"].as_array().cloned().unwrap_or_default();
        failures.iter().map(|failure| text(&failure["itemIdentifier"]).to_owned()).collect::<Vec<_>>()
    });
    let of = |asking: &Asking| match &given_back {
        Ok(given_back) if !given_back.contains(&asking.key) => Answered::Promised(asking.told.own.clone()),
        // Refused or not possible: a queue is not told which.
        _ => Answered::Again,
    };
    open.iter().map(|asking| of(asking)).collect()
}

impl Target {
    /// The destination as a caller writes it, and where it is told.
    fn at(self, world: &World, ask: &Ask) -> (Value, Place) {
        let n = ask.number;
        let (kind, at, mut destination) = match self {
            Self::Slack => {
                let channel = format!("C{n:010}");
                (Kind::Slack, channel.clone(), json!({ "type": "slack", "channel": channel }))
            }
            Self::SlackWebhook => {
                (Kind::SlackWebhook, String::new(), json!({ "type": "slack", "webhook": "nps" }))
            }
            Self::Zendesk => {
                let ticket = (1_000_000 + n).to_string();
                (Kind::Zendesk, ticket.clone(), json!({ "type": "zendesk", "ticketID": ticket }))
            }
            Self::Intercom => {
                let id = (2_000_000 + n).to_string();
                (Kind::Intercom, id.clone(), json!({ "type": "intercom", "conversationID": id }))
            }
            Self::Hubspot => {
                let contact = (3_000_000 + n).to_string();
                (Kind::Hubspot, contact.clone(), json!({ "type": "hubspot", "contactID": contact }))
            }
            Self::Salesforce => {
                let record = format!("003{n:012}");
                (Kind::Salesforce, record.clone(), json!({ "type": "salesforce", "recordID": record }))
            }
            Self::Teams => (Kind::Teams, String::new(), json!({ "type": "teams", "webhook": "support" })),
            Self::Webhook => {
                let name = format!("chaos-{n}");
                (Kind::Webhook, name.clone(), json!({ "type": "webhook", "url": world.hook(&name) }))
            }
            Self::EventBridge => {
                (Kind::EventBridge, String::new(), json!({ "type": "eventBridge", "bus": "highlights" }))
            }
            Self::StepFunctions => {
                let token = world.destinations.issue_token();
                (Kind::StepFunctions, token.clone(), json!({ "type": "stepFunctions", "taskToken": token }))
            }
        };
        let is_for_people = !matches!(self, Self::Webhook | Self::EventBridge | Self::StepFunctions);
        if ask.told_all && is_for_people {
            destination["onFailure"] = json!(true);
            destination["whenEmpty"] = json!("send");
        }
        (destination, (kind, at))
    }
}
