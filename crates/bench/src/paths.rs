//! The ways through the two functions that are measured: what has to be there before, the event, and what is answered.

use crate::process::{self, Launch, Process};
use crate::world::{API_TOKEN, Post, World, ready};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method};
use local::gateway::HttpCall;
use serde_json::{Value, json};
use std::path::Path as File;

const EMAIL: &str = "alice@example.com";
const KEY: &str = "ticket-35436";
/// How many requests the list shows.
const LISTED: usize = 20;
/// How many records a full sweep finds due.
pub const DUE: usize = 1_000;

/// A way through a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    New,
    Repeat,
    Read,
    List,
    Callback,
    RequestSweep,
    WebhookSweep,
    RequestSweepFull,
    WebhookSweepFull,
    Delivery,
}

/// What is to be invoked, one event after the other, each answered as it should be.
pub struct Events {
    events: Vec<Vec<u8>>,
    next: usize,
    /// Of an HTTP answer.
    status: Option<u16>,
}

impl Path {
    pub const ALL: [Self; 10] = [
        Self::New,
        Self::Repeat,
        Self::Read,
        Self::List,
        Self::Callback,
        Self::RequestSweep,
        Self::WebhookSweep,
        Self::Delivery,
        Self::RequestSweepFull,
        Self::WebhookSweepFull,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new request",
            Self::Repeat => "repeat by key",
            Self::Read => "read",
            Self::List => "list",
            Self::Callback => "callback",
            Self::RequestSweep => "request sweep, idle",
            Self::WebhookSweep => "webhook sweep, idle",
            Self::RequestSweepFull => "request sweep, 1,000 due",
            Self::WebhookSweepFull => "webhook sweep, 1,000 due",
            Self::Delivery => "delivery",
        }
    }

    /// Whose way it is.
    pub fn function(self) -> &'static str {
        match self {
            Self::New | Self::Repeat | Self::Read | Self::List => "request",
            Self::RequestSweep | Self::RequestSweepFull => "request",
            Self::Callback | Self::WebhookSweep | Self::WebhookSweepFull | Self::Delivery => "webhook",
        }
    }

    /// Whether the table answers from memory: everywhere but where one write depends on another.
    pub fn is_frozen(self) -> bool {
        !matches!(self, Self::Delivery | Self::RequestSweepFull | Self::WebhookSweepFull)
    }

    /// A full sweep is one invocation, and what it needs has to be made anew for the next.
    pub fn is_full_sweep(self) -> bool {
        matches!(self, Self::RequestSweepFull | Self::WebhookSweepFull)
    }

    /// Whether the floors and the tutorial's function are invoked with its events, too.
    pub fn has_floors(self) -> bool {
        matches!(self, Self::New | Self::Callback)
    }

    /// What they answer: the tutorial's function knows both paths in each language, the floors have one answer.
    pub fn status_of(self, floor: &str) -> u16 {
        if self == Self::Callback && !["put", "constant"].contains(&floor) { 200 } else { 202 }
    }

    /// What the functions' environment is changed by. Deliveries go to this machine, which they may only where private
    /// addresses are allowed; and nobody waits three minutes for a poll to be due.
    pub fn changes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Delivery | Self::WebhookSweepFull => &[("ALLOW_PRIVATE_DESTINATIONS", "true")],
            Self::RequestSweepFull => &[("POLL_AFTER_SECONDS", "1")],
            _ => &[],
        }
    }

    /// What the path needs is made by the functions themselves; `count` is for how many invocations.
    pub fn prepare(self, world: &World, launches: &Launches, count: usize) -> Result<Events, process::Error> {
        let sweep = || Events::of(vec![json!({ "job": "sweep" })], None);
        let events = match self {
            Self::New => Events::of((0..count).map(|_| post(&[], &body(world, self))).collect(), Some(202)),
            Self::Repeat => {
                let key = [(HeaderName::from_static("idempotency-key"), KEY)];
                let event = post(&key, &body(world, self));
                launches.request()?.call(event.to_string().as_bytes(), 202)?;
                Events::of(vec![event], Some(202))
            }
            Self::Read => {
                let asked = self.ask(world, launches, 1)?;
                self.call_back(launches, &asked)?;
                let get = |asked: &Asked| call(Method::GET, &format!("/highlights/{}", asked.id), &[], None);
                Events::of(asked.iter().map(get).collect(), Some(200))
            }
            Self::List => {
                self.ask(world, launches, LISTED)?;
                let path = format!("/highlights?userEmail={EMAIL}&limit={LISTED}");
                Events::of(vec![call(Method::GET, &path, &[], None)], Some(200))
            }
            Self::Callback => {
                let asked = self.ask(world, launches, count)?;
                Events::of(asked.iter().map(Asked::callback).collect(), Some(200))
            }
            Self::RequestSweep | Self::WebhookSweep => sweep(),
            Self::RequestSweepFull => {
                self.ask(world, launches, DUE)?;
                sweep()
            }
            Self::WebhookSweepFull => {
                let asked = self.ask(world, launches, DUE)?;
                self.call_back(launches, &asked)?;
                sweep()
            }
            Self::Delivery => {
                let asked = self.ask(world, launches, count)?;
                self.call_back(launches, &asked)?;
                let mut items = world.table.items().map_err(|error| launches.lost(&error.to_string()))?;
                let change =
                    |asked: &Asked| items.remove(&asked.id).map(|item| stream_event(&asked.id, &item));
                Events::of(asked.iter().filter_map(change).collect(), None)
            }
        };
        world.take();
        Ok(events)
    }

    /// Whether what a function answered to an event that is no HTTP call is what it should be.
    pub fn is_done(self, answer: &Value) -> bool {
        match self {
            Self::RequestSweep | Self::WebhookSweep => answer["due"] == 0,
            Self::RequestSweepFull => answer["claimed"] == DUE && answer["failed"] == 0,
            Self::WebhookSweepFull => answer["delivered"] == DUE,
            Self::Delivery => answer["batchItemFailures"] == json!([]),
            _ => true,
        }
    }

    /// One record with work for a full sweep: a request of which nobody knows whether LogRocket took it, where
    /// `launches` gives it a LogRocket that does not say; or a result that is to be handed over.
    pub fn leave_work(self, world: &World, launches: &Launches) -> Result<(), process::Error> {
        if self.function() == "request" {
            let event = post(&[], &body(world, self)).to_string();
            launches.request()?.call(event.as_bytes(), 202)?;
            return Ok(());
        }
        let asked = self.ask(world, launches, 1)?;
        self.call_back(launches, &asked)
    }

    /// Requests that LogRocket has taken.
    fn ask(self, world: &World, launches: &Launches, count: usize) -> Result<Vec<Asked>, process::Error> {
        let mut request = launches.request()?;
        let event = post(&[], &body(world, self)).to_string();
        world.log_rocket.posts();
        let mut asked = Vec::new();
        for _ in 0..count {
            let answer = request.call(event.as_bytes(), 202)?;
            let body: Value = answer.json["body"]
                .as_str()
                .and_then(|body| serde_json::from_str(body).ok())
                .unwrap_or_default();
            let id = body["requestID"].as_str().unwrap_or_default().to_owned();
            let post =
                world.log_rocket.posts().pop().ok_or_else(|| launches.lost("LogRocket was not asked"))?;
            asked.push(Asked { id, post });
        }
        Ok(asked)
    }

    fn call_back(self, launches: &Launches, asked: &[Asked]) -> Result<(), process::Error> {
        let mut webhook = launches.webhook()?;
        for asked in asked {
            webhook.call(asked.callback().to_string().as_bytes(), 200)?;
        }
        Ok(())
    }
}

/// The two functions, which make what a path needs.
pub struct Launches<'a> {
    pub request: Launch,
    pub webhook: Launch,
    pub directory: &'a File,
}

impl Launches<'_> {
    fn request(&self) -> Result<Process, process::Error> {
        Process::start(&self.request, self.directory)
    }

    fn webhook(&self) -> Result<Process, process::Error> {
        Process::start(&self.webhook, self.directory)
    }

    fn lost(&self, what: &str) -> process::Error {
        process::Error::Unexpected {
            function: self.request.name.clone(),
            what: what.to_owned(),
            output: String::new(),
        }
    }
}

impl Events {
    fn of(events: Vec<Value>, status: Option<u16>) -> Self {
        Self { events: events.iter().map(|event| event.to_string().into_bytes()).collect(), next: 0, status }
    }

    /// The same events for a floor, whose answers have no meaning but their status.
    pub fn answered(&self, status: u16) -> Self {
        Self { events: self.events.clone(), next: 0, status: Some(status) }
    }

    /// A part for each of so many: none has another's events.
    pub fn share(&self, among: usize) -> Vec<Self> {
        let size = (self.events.len() / among.max(1)).max(1);
        let parts = self.events.chunks(size).take(among);
        parts.map(|part| Self { events: part.to_vec(), next: 0, status: self.status }).collect()
    }

    /// Whether the next event has been handed over before.
    pub fn are_over(&self) -> bool {
        self.next >= self.events.len()
    }

    /// Invokes `process` with the next event, which has to be answered as it should be. After the last comes the first
    /// again: a frozen table has not heard of it.
    pub fn invoke(&mut self, process: &mut Process, path: Path) -> Result<process::Answer, process::Error> {
        let event =
            self.events.get(self.next % self.events.len().max(1)).map(Vec::as_slice).unwrap_or_default();
        self.next += 1;
        match self.status {
            Some(status) => process.call(event, status),
            None => {
                let answer = process.invoke(event)?;
                if path.is_done(&answer.json) {
                    Ok(answer)
                } else {
                    Err(process.unexpected(format!("answered {}", answer.json)))
                }
            }
        }
    }
}

/// A request that LogRocket has taken.
struct Asked {
    id: String,
    post: Post,
}

impl Asked {
    /// LogRocket's callback, with the documented result.
    fn callback(&self) -> Value {
        let url = &self.post.webhook_url;
        let path = url.find("/webhook").and_then(|at| url.get(at..)).unwrap_or_default();
        call(Method::POST, path, &[], Some(&ready(&self.post.id)))
    }
}

/// What is asked: README's example, and whoever is to be told.
fn body(world: &World, path: Path) -> Value {
    let destination = match path {
        Path::Delivery | Path::WebhookSweepFull => {
            json!({ "type": "webhook", "url": format!("{}/hook", world.destination.url()) })
        }
        _ => json!({ "type": "zendesk", "ticketID": 35436 }),
    };
    json!({
        "userEmail": EMAIL,
        "question": "Why did checkout fail?",
        "timeRange": { "startMs": 1_715_481_030_000_u64, "endMs": 1_715_567_430_000_u64 },
        "destinations": [destination],
        "metadata": { "nps": "3" },
    })
}

fn post(headers: &[(HeaderName, &'static str)], body: &Value) -> Value {
    call(Method::POST, "/highlights", headers, Some(body))
}

/// An HTTP call as the gateway hands it over.
fn call(method: Method, path: &str, headers: &[(HeaderName, &'static str)], body: Option<&Value>) -> Value {
    let mut call = HttpCall::new(method, path);
    if let Some(body) = body {
        call = call.json(body);
    }
    let mut all = HeaderMap::new();
    for (name, value) in [
        ("accept", "*/*"),
        ("host", "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"),
        ("x-amzn-trace-id", "Root=1-6921f3c6-4f1c2a7b3d5e6f708192a3b4"),
        ("x-forwarded-for", "203.0.113.24"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ] {
        all.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    all.insert(USER_AGENT, HeaderValue::from_static("curl/8.14.1"));
    if let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {API_TOKEN}")) {
        all.insert(AUTHORIZATION, bearer);
    }
    all.extend(headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
    call.headers.extend(all);
    call.http_api_event()
}

/// The table's stream, as it hands over one record that has just become READY.
fn stream_event(id: &str, item: &Value) -> Value {
    json!({ "Records": [{
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/highlights/stream/2026-11-22T00:00:00.000",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_795_305_600,
            "Keys": { "requestID": { "S": id } },
            "NewImage": item,
            "SequenceNumber": "4421584500000000017450439091",
            "SizeBytes": 2048,
            "StreamViewType": "NEW_IMAGE",
        },
    }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_events_have_none_in_common() {
        let events = Events::of((0..10).map(Value::from).collect(), Some(200));
        let parts = events.share(3);
        let of = |part: &Events| part.events.clone();
        assert_eq!(parts.iter().map(|part| part.events.len()).collect::<Vec<_>>(), [3, 3, 3]);
        assert_eq!(parts.iter().flat_map(of).collect::<Vec<_>>(), events.events[..9]);
        assert!(parts.iter().all(|part| part.status == Some(200) && !part.are_over()));
    }
}
