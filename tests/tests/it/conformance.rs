//! One suite that every destination passes: the same checks of all of them, over the real binaries.
//!
//! A [`Case`] says what there is to know of a destination: how it is asked for, where it is told, how what it was told is
//! read back. A check asks for all cases at once, in one world, side by side. What is one vendor's alone stands beside
//! the checks, or in its client's own tests.
//!
//! Nobody has to remember to add a case: a type of destination, and a vendor's stand-in, that has none fails here.

mod arriving;
mod credentials;
mod failing;
mod hostile;
mod oversize;
mod seen;
mod silent;
mod unheard;

use local::destinations::{Kind, Message, Received};
use local::logrocket;
use model::destination::{HubspotObject, Target};
use model::time::Time;
use reqwest::StatusCode;
use seen::{Form, Seen};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use stories::World;
use tokio::time::{Instant, sleep};

/// No check waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(40);
/// A claim that outlives every try.
const LEASE: (&str, &str) = ("LEASE_SECONDS", "60");
/// Below which the requests' pages are.
const PUBLIC_URL: (&str, &str) = ("PUBLIC_URL", "https://highlights.example.com");

/// A destination to check.
#[derive(Debug)]
pub struct Case {
    /// As messages of failed checks call it.
    name: &'static str,
    /// Whose door it is told at.
    kind: Kind,
    /// As a caller writes it, but for what only a world knows ([`Case::destination`]).
    body: &'static str,
    /// Where it is told, in the stand-in's words.
    place: &'static str,
    /// What that is called, where something can be the matter with it. A task is called by its token.
    place_id: &'static str,
    form: Form,
    /// Whether the vendor says what it calls what it was told.
    has_id: bool,
    /// What comes of a repeat of what was done without our hearing of it.
    repeat: Repeat,
    /// What of the secret it cannot do without.
    secret: &'static str,
}

/// What comes of a repeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Repeat {
    /// It is seen twice, the second time with the same requestID.
    Twice,
    /// It comes twice, with an id that tells.
    SameID,
    /// Nothing: it is found to be done.
    Found,
}

const CASES: &[Case] = &[
    Case {
        name: "Slack, by the bot",
        kind: Kind::Slack,
        body: r#"{"type":"slack","channel":"C0123456789"}"#,
        place: "C0123456789",
        place_id: "C0123456789",
        form: Form::Slack("/markdown_text"),
        has_id: true,
        repeat: Repeat::Twice,
        secret: "slack.botToken",
    },
    Case {
        name: "Slack, by an incoming webhook",
        kind: Kind::SlackWebhook,
        body: r#"{"type":"slack","webhook":"nps"}"#,
        place: "webhook nps",
        place_id: "nps",
        form: Form::Slack("/blocks/0/text"),
        has_id: false,
        repeat: Repeat::Twice,
        secret: "slack.webhooks.nps",
    },
    Case {
        name: "Zendesk",
        kind: Kind::Zendesk,
        body: r#"{"type":"zendesk","ticketID":"35436"}"#,
        place: "ticket 35436, internal note",
        place_id: "35436",
        form: Form::Html("/ticket/comment/html_body"),
        has_id: true,
        repeat: Repeat::Found,
        secret: "zendesk.apiToken",
    },
    Case {
        name: "Intercom",
        kind: Kind::Intercom,
        body: r#"{"type":"intercom","conversationID":"525"}"#,
        place: "conversation 525, note",
        place_id: "525",
        form: Form::Html("/body"),
        has_id: true,
        repeat: Repeat::Twice,
        secret: "intercom.accessToken",
    },
    hubspot("HubSpot, a contact", r#"{"type":"hubspot","contactID":"101"}"#, "contact 101", "101"),
    hubspot("HubSpot, a company", r#"{"type":"hubspot","companyID":"102"}"#, "company 102", "102"),
    hubspot("HubSpot, a deal", r#"{"type":"hubspot","dealID":"103"}"#, "deal 103", "103"),
    hubspot("HubSpot, a ticket", r#"{"type":"hubspot","ticketID":"104"}"#, "ticket 104", "104"),
    salesforce(
        "Salesforce, a person",
        r#"{"type":"salesforce","recordID":"003000000000001AAA"}"#,
        "contact 003000000000001AAA",
        "003000000000001AAA",
    ),
    salesforce(
        "Salesforce, a thing",
        r#"{"type":"salesforce","recordID":"006000000000001"}"#,
        "opportunity 006000000000001",
        "006000000000001",
    ),
    Case {
        name: "Teams",
        kind: Kind::Teams,
        body: r#"{"type":"teams","webhook":"support"}"#,
        place: "workflow support",
        place_id: "support",
        form: Form::Card,
        has_id: false,
        repeat: Repeat::Twice,
        secret: "teams.webhooks.support",
    },
    Case {
        name: "a signed webhook",
        kind: Kind::Webhook,
        body: r#"{"type":"webhook"}"#,
        place: "receiver crm",
        place_id: "crm",
        form: Form::Payload,
        has_id: false,
        repeat: Repeat::SameID,
        secret: "webhook.signingSecret",
    },
    Case {
        name: "EventBridge",
        kind: Kind::EventBridge,
        body: r#"{"type":"eventBridge","bus":"highlights"}"#,
        place: "bus highlights",
        place_id: "highlights",
        form: Form::Event,
        has_id: true,
        repeat: Repeat::Twice,
        secret: "",
    },
    Case {
        name: "Step Functions",
        kind: Kind::StepFunctions,
        body: r#"{"type":"stepFunctions"}"#,
        place: "task",
        place_id: "",
        form: Form::Task,
        has_id: false,
        repeat: Repeat::Found,
        secret: "",
    },
];

const fn hubspot(
    name: &'static str,
    body: &'static str,
    place: &'static str,
    place_id: &'static str,
) -> Case {
    let form = Form::Html("/properties/hs_note_body");
    let (kind, secret) = (Kind::Hubspot, "hubspot.accessToken");
    Case { name, kind, body, place, place_id, form, has_id: true, repeat: Repeat::Twice, secret }
}

const fn salesforce(
    name: &'static str,
    body: &'static str,
    place: &'static str,
    place_id: &'static str,
) -> Case {
    let (kind, secret) = (Kind::Salesforce, "salesforce.clientSecret");
    Case { name, kind, body, place, place_id, form: Form::Plain, has_id: true, repeat: Repeat::Twice, secret }
}

impl Case {
    /// As a caller writes it; of Step Functions, each time another task.
    fn destination(&self, world: &World) -> Value {
        let mut destination: Value = serde_json::from_str(self.body).unwrap();
        match self.kind {
            Kind::Webhook => destination["url"] = json!(world.hook(self.place_id)),
            Kind::StepFunctions => destination["taskToken"] = json!(world.destinations.issue_token()),
            _ => {}
        }
        destination
    }

    /// Whether the call is for it, and not for another case of its kind.
    fn is_told_by(&self, call: &Received) -> bool {
        let at = |pointer: &str| call.body.pointer(pointer).and_then(Value::as_str);
        let is = |found: Option<&str>| found == Some(self.place_id);
        call.kind == self.kind
            && match self.kind {
                Kind::Hubspot => is(at("/associations/0/to/id")),
                Kind::Salesforce => is(at("/WhoId").or(at("/WhatId"))),
                _ => true,
            }
    }

    fn is_people_facing(&self) -> bool {
        self.form.is_people_facing()
    }
}

/// The first case of each kind: where what happens to a call is queued, who takes it has to be known.
fn one_of_each_kind() -> Vec<&'static Case> {
    let mut cases: Vec<&Case> = Vec::new();
    for case in CASES {
        if !cases.iter().any(|other| other.kind == case.kind) {
            cases.push(case);
        }
    }
    cases
}

/// Some cases that were asked for in a world, in as many requests as it takes.
struct Round<'a> {
    world: &'a World,
    asked: Vec<Asked>,
    /// The last call before it.
    since: u64,
}

struct Asked {
    case: &'static Case,
    id: String,
    /// As it is read back.
    shown: Value,
    destination: Value,
}

/// What a check has to say of one case.
struct Told {
    case: &'static Case,
    id: String,
    destination: Value,
    /// As it is read back.
    delivery: Value,
    calls: Vec<Received>,
    /// Those that were taken, as a person sees them.
    messages: Vec<Message>,
}

/// A world that delivers, in which LogRocket says what a test has it say.
async fn world() -> World {
    world_with(&[]).await
}

async fn world_with(changes: &[(&str, &str)]) -> World {
    let world = World::delivering(&[&[LEASE, PUBLIC_URL], changes].concat()).await;
    world.log_rocket.usually(logrocket::Behaviour::manual());
    world
}

impl<'a> Round<'a> {
    /// Asks for them with that request, whose `options` each destination gets too.
    async fn ask(
        world: &'a World,
        cases: impl IntoIterator<Item = &'static Case>,
        request: &Value,
        options: &Value,
    ) -> Self {
        let since = last_call(world);
        let cases: Vec<&Case> = cases.into_iter().collect();
        let mut asked = Vec::new();
        for some in cases.chunks(model::destination::MAX_IN_REQUEST) {
            let destinations: Vec<Value> = some.iter().map(|case| case.destination(world)).collect();
            let with_options = destinations.iter().map(|destination| {
                let mut destination = destination.clone();
                for (name, value) in options.as_object().into_iter().flatten() {
                    destination[name] = value.clone();
                }
                destination
            });
            let mut body = request.clone();
            body["destinations"] = with_options.collect();
            let id = world.ask(body).await;
            asked.extend(some.iter().zip(destinations).map(|(case, destination)| {
                let mut shown = destination.clone();
                shown.as_object_mut().unwrap().remove("taskToken");
                Asked { case, id: id.clone(), shown, destination }
            }));
        }
        Self { world, asked, since }
    }

    /// Asks for all cases, with what most checks ask.
    async fn ask_all(world: &'a World) -> Self {
        Self::ask(world, CASES, &request(), &Value::Null).await
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.asked.iter().map(|asked| asked.id.clone()).collect();
        ids.dedup();
        ids
    }

    /// LogRocket has that result for each of the requests.
    async fn result(self, result: &Value) -> Self {
        for id in self.ids() {
            let post = self.world.post_of(&id, 1);
            let body = json!({
                "requestID": post.logrocket_request_id, "appID": "acme/shop", "status": "READY", "result": result,
            });
            let answer = self.world.callback(post.webhook_url().unwrap(), body).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
        self
    }

    /// Waits until all of the deliveries are so.
    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Vec<Told> {
        let give_up = Instant::now() + PATIENCE;
        let mut known = BTreeMap::new();
        loop {
            let deliveries = self.deliveries(&mut known).await;
            let Some((asked, other)) = deliveries.iter().find(|(_, delivery)| !is_so(delivery)) else {
                return self.told(deliveries);
            };
            let output = || self.world.output();
            let name = asked.case.name;
            assert!(Instant::now() < give_up, "waited for {what}: {name}: {other:#}\n{}", output());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until none is pending.
    async fn ended(&self) -> Vec<Told> {
        self.until("the deliveries", |delivery| delivery["status"] != "PENDING").await
    }

    /// Waits until the first try of each has ended, well or badly.
    async fn tried(&self) -> Vec<Told> {
        let is_tried = |delivery: &Value| delivery["status"] != "PENDING" || !delivery["lastError"].is_null();
        self.until("the tries", is_tried).await
    }

    /// Asks for what was given up, or waits for its next try, once more.
    async fn again(&self) -> Vec<Told> {
        for id in self.ids() {
            let status = self.world.redeliver(&id).await.status;
            assert!(matches!(status.as_u16(), 200 | 202), "{status}");
        }
        self.ended().await
    }

    /// How all of them stand, what was called for them, and what came of it.
    async fn now(&self) -> Vec<Told> {
        self.told(self.deliveries(&mut BTreeMap::new()).await)
    }

    /// A request is read, with all of its result, only where it is another than is `known`.
    async fn deliveries(&self, known: &mut BTreeMap<String, (Value, Vec<Value>)>) -> Vec<(&Asked, Value)> {
        for id in self.ids() {
            let version = self.world.item(&id)["version"].take();
            if known.get(&id).is_none_or(|(known, _)| *known != version) {
                let deliveries = self.world.deliveries(&id).await;
                known.insert(id, (version, deliveries));
            }
        }
        let delivery = |asked: &Asked| {
            let (_, deliveries) = &known[&asked.id];
            let mine = deliveries.iter().find(|delivery| delivery["destination"] == asked.shown);
            mine.cloned().unwrap_or_else(|| json!({ "status": "PENDING" }))
        };
        self.asked.iter().map(|asked| (asked, delivery(asked))).collect()
    }

    fn told(&self, deliveries: Vec<(&Asked, Value)>) -> Vec<Told> {
        let received = self.world.destinations.received();
        let messages = self.world.destinations.messages();
        let told = deliveries.into_iter().map(|(Asked { case, id, destination, .. }, delivery)| {
            let is_mine = |call: &&Received| call.number > self.since && case.is_told_by(call);
            let calls: Vec<Received> = received.iter().filter(is_mine).cloned().collect();
            let is_mine = |message: &&Message| calls.iter().any(|call| call.number == message.number);
            let messages = messages.iter().filter(is_mine).cloned().collect();
            Told { case, id: id.clone(), destination: destination.clone(), delivery, calls, messages }
        });
        told.collect()
    }
}

impl Told {
    fn name(&self) -> &'static str {
        self.case.name
    }

    fn status(&self) -> &str {
        self.delivery["status"].as_str().unwrap_or_default()
    }

    fn attempts(&self) -> u64 {
        self.delivery["attempts"].as_u64().unwrap_or_default()
    }

    fn last_error(&self) -> &str {
        self.delivery["lastError"].as_str().unwrap_or_default()
    }

    /// The calls that the vendor took, and that brought something: a look at what is there already does not.
    fn taken(&self) -> Vec<&Received> {
        let brought = |call: &&Received| self.messages.iter().any(|message| message.number == call.number);
        self.calls.iter().filter(|call| call.accepted).filter(brought).collect()
    }

    /// What people see of it, one after the other.
    fn seen(&self) -> Vec<Seen> {
        self.taken().into_iter().map(|call| self.case.form.seen(call)).collect()
    }

    /// What machines were given.
    fn payloads(&self) -> Vec<Value> {
        self.taken().into_iter().map(|call| self.case.form.payload(call)).collect()
    }

    /// Delivered at that attempt, in one message, which is the whole of it, in its place.
    #[track_caller]
    fn assert_delivered(&self, attempts: u64) {
        let name = self.name();
        assert_eq!(self.status(), "DELIVERED", "{name}: {:#}\n{:#?}", self.delivery, self.calls);
        assert_eq!(self.attempts(), attempts, "{name}: {:#}", self.delivery);
        assert!(self.delivery["deliveredAt"].is_string(), "{name}: {:#}", self.delivery);
        assert!(self.delivery["nextAttemptAt"].is_null(), "{name}: {:#}", self.delivery);
        assert!(self.delivery["lastError"].is_null(), "{name}: {:#}", self.delivery);
        assert_eq!(self.messages.len(), 1, "{name}: {:#?}", self.messages);
        assert_eq!(self.messages[0].place, self.case.place, "{name}");
        self.assert_says_its_request();
    }

    /// Given up at once, with nothing said to anybody.
    #[track_caller]
    fn assert_given_up(&self) {
        assert_eq!(self.status(), "FAILED", "{}: {:#}\n{:#?}", self.name(), self.delivery, self.calls);
        assert_eq!(self.attempts(), 1, "{}", self.name());
        assert!(self.delivery["nextAttemptAt"].is_null(), "{}: {:#}", self.name(), self.delivery);
        assert!(!self.last_error().is_empty(), "{}", self.name());
    }

    /// Every message that is whole says which request it is of.
    #[track_caller]
    fn assert_says_its_request(&self) {
        for call in self.taken() {
            if self.case.is_people_facing() {
                let text = self.case.form.seen(call).text;
                assert!(text.contains(&self.id), "{}: {text}", self.name());
            } else {
                assert_eq!(self.case.form.payload(call)["requestID"], self.id, "{}", self.name());
            }
        }
    }
}

fn last_call(world: &World) -> u64 {
    world.destinations.received().last().map_or(0, |call| call.number)
}

/// All kinds of calls go like that, until further notice.
fn usually(world: &World, behaviour: &local::destinations::Behaviour) {
    for case in CASES {
        world.destinations.usually(case.kind, behaviour.clone());
    }
}

fn request() -> Value {
    json!({
        "userEmail": "alice@example.com",
        "question": "Why did checkout fail?",
        "metadata": { "nps": "3", "note": "é" },
    })
}

/// What LogRocket found for [`request`].
fn result() -> Value {
    let sessions = "https://app.logrocket.com/acme/shop/s";
    json!({
        "highlights": format!(
            "The user [checks out their cart]({sessions}/5-14de/0?t=1715564734801) and **gives up** behind\n\n\
             1. [an error]({sessions}/5-3cde/1?t=1715564554783)\n2. a `timeout`"
        ),
        "sessions": [
            { "recordingID": "5-3cde", "sessionID": 1,
              "highlights": format!("The user [encounters an error]({sessions}/5-3cde/1?t=1715564554783).") },
            { "recordingID": "5-14de", "sessionID": 0, "highlights": "The user reloads the page twice." },
        ],
    })
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// As it is read back: such times sort as text.
fn time(ms: i64) -> String {
    Time(ms).to_string()
}

#[test]
fn every_stand_in_and_every_target_has_a_case() {
    let mut cases: Vec<String> =
        CASES.iter().map(|case| json!(case.kind).as_str().unwrap().to_owned()).collect();
    cases.dedup();
    // Where Salesforce's case gets its token.
    let doors: Vec<String> = [cases.clone(), vec!["salesforceToken".to_owned()]].concat();
    let mut kinds = variants(&serde_json::from_value::<Kind>(json!("?")).unwrap_err());
    kinds.sort_by_key(|kind| doors.iter().position(|door| door == kind));
    assert_eq!(kinds, doors);
    assert_eq!(
        variants(&serde_json::from_value::<Target>(json!({ "type": "?" })).unwrap_err()).len(),
        cases.len()
    );
    for target in variants(&serde_json::from_value::<Target>(json!({ "type": "?" })).unwrap_err()) {
        assert!(cases.contains(&target), "{target} has no case");
    }
    for object in variants(&serde_json::from_value::<HubspotObject>(json!("?")).unwrap_err()) {
        let its = |case: &Case| case.kind == Kind::Hubspot && case.place.starts_with(&object);
        assert!(CASES.iter().any(its), "HubSpot's {object} has no case");
    }
}

/// What there is of an enum, as serde names it to who asks for another: a list by hand would be one to forget.
fn variants(error: &serde_json::Error) -> Vec<String> {
    let error = error.to_string();
    let names: Vec<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(names.len() > 3, "{error}");
    names
}

#[tokio::test]
async fn every_type_that_callers_may_write_has_a_case() {
    let world = World::start().await;
    let answer = world.post(json!({ "userID": "1", "destinations": [{ "type": "carrierPigeon" }] })).await;
    let problem = answer.problem(422);
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    let types: Vec<&str> = detail.split_once("known are ").unwrap().1.split(", ").collect();
    let cases: Vec<Value> = CASES.iter().map(|case| serde_json::from_str(case.body).unwrap()).collect();
    for name in &types {
        assert!(cases.iter().any(|body| body["type"] == *name), "{name} has no case");
    }
    for body in &cases {
        assert!(types.iter().any(|name| body["type"] == *name), "{body} is of no type");
    }
}
