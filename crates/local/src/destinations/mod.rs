//! Every destination to test against: one local port that is Slack, Zendesk, Intercom, HubSpot, Salesforce, Teams, a
//! webhook's receiver, EventBridge and Step Functions under a path each.
//!
//! Each checks what it receives as its vendor would, answers as its vendor does, and keeps what it got
//! ([`Destinations::received`], and as a person sees it [`Destinations::messages`]). What goes wrong with a call that is
//! right is a [`Behaviour`]: those queued by [`Destinations::next`] are used up one per such call of a [`Kind`], then
//! the usual one applies. Whatever id has the vendor's form is there, unless [`Destinations::place`] says otherwise; of
//! webhooks' names and buses there are those in [`Options`]. From outside the process `/control/…` does the same (the
//! table of its routes stands in `control.rs`), and `/` shows what came, to people.

mod behaviour;
mod control;
mod eventbridge;
mod hook;
mod hubspot;
mod intercom;
mod page;
mod salesforce;
mod server;
mod slack;
mod slack_hook;
mod states;
mod teams;
mod text;
mod vendor;
mod zendesk;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::behaviour::{Behaviour, Place};
use self::states::Task;
pub use self::vendor::Kind;
use crate::choice::Choice;
use crate::hold::{Gate, Hold};
use crate::serve::{Server, Tasks, lock, now_ms};

/// How long the waiting methods wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who calls Zendesk.
const ZENDESK_EMAIL: &str = "highlights@acme.example";
/// Who writes Intercom's notes.
const INTERCOM_ADMIN: &str = "3156780";
/// Salesforce's consumer key.
const SALESFORCE_CLIENT: &str = "3MVG9.highlights";

/// The running stand-ins. Dropping it frees their port and ends every call that is held, slow or hanging.
#[derive(Debug)]
pub struct Destinations {
    vendors: Vendors,
    server: Server,
}

/// What there is at the vendors.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where they listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The names of Slack's incoming webhooks.
    pub slack_webhooks: Vec<String>,
    /// The names of Teams' workflows.
    pub teams_webhooks: Vec<String>,
    /// The names of EventBridge's buses.
    pub buses: Vec<String>,
    /// What the entries of one `PutEvents` may come to. The default is 256 KB, to which this project keeps; AWS takes
    /// 1 MB since January 2026.
    pub event_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            slack_webhooks: vec!["nps".to_owned()],
            teams_webhooks: vec!["support".to_owned()],
            buses: vec!["default".to_owned(), "highlights".to_owned()],
            event_bytes: 262_144,
        }
    }
}

/// Why the stand-ins could not do what they were asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No local port could be had.
    #[error("the stand-in destinations found no local port")]
    Listen(#[source] io::Error),
    /// What was waited for did not happen within 30 seconds.
    #[error("waited in vain for {0}")]
    InVain(&'static str),
}

/// A call that came in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Its place among all calls, counted from 1.
    pub number: u64,
    /// When, in epoch milliseconds.
    pub at_ms: u64,
    /// Whose call it is.
    pub kind: Kind,
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// Its headers but `authorization` and `x-amz-security-token`, in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body: JSON, a form as an object without `client_secret`, or else a string.
    pub body: Value,
    /// The status that it was answered with; none while there is no answer, or where there is none.
    pub status: Option<u16>,
    /// Whether the vendor did what it was asked to, whatever the caller heard.
    pub accepted: bool,
    /// What the vendor objected to, or what it was told to do instead.
    pub complaint: Option<String>,
    /// Whether all is decided: the answer is on its way, or there will be none.
    pub ended: bool,
}

/// What was accepted, as a person sees it in the product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The number of the call that brought it.
    pub number: u64,
    /// When, in epoch milliseconds.
    pub at_ms: u64,
    /// Where: the product.
    pub kind: Kind,
    /// Where in it: the channel, the ticket and whether its requester sees it, the record, …
    #[serde(rename = "where")]
    pub place: String,
    /// Slack's thread.
    pub thread: Option<String>,
    /// The vendor's id of it; for a signed webhook, its `webhook-id`.
    pub id: Option<String>,
    /// Its text in plain lines, links with their addresses.
    pub text: String,
}

impl Destinations {
    /// Serves them all.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let address = options.address;
        let vendors = Vendors(Arc::new(Shared {
            options,
            tasks: Tasks::new(),
            changes: watch::Sender::new(()),
            world: Mutex::new(World::new()),
        }));
        let server = Server::start(address, server::router(vendors.clone())).await.map_err(Error::Listen)?;
        Ok(Self { vendors, server })
    }

    /// `http://127.0.0.1:PORT`; a page for people stands there.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The `destinations` of the secret, for these vendors.
    pub fn secrets(&self) -> Value {
        self.vendors.secrets(&self.url())
    }

    /// The variables that lead a function to these vendors.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&self.url())
    }

    /// The next call of that kind that nothing is queued for goes like that. One that the vendor refuses by itself
    /// uses none up.
    pub fn next(&self, kind: Kind, behaviour: Behaviour) {
        self.vendors.world().next.entry(kind).or_default().push_back(behaviour);
    }

    /// Every call of that kind that nothing is queued for goes like that.
    pub fn usually(&self, kind: Kind, behaviour: Behaviour) {
        self.vendors.world().usual.insert(kind, behaviour);
    }

    /// Every call that nothing is queued for goes as this decides; where it decides nothing, as usual.
    pub fn choose(&self, choose: impl FnMut(&Received) -> Option<Behaviour> + Send + 'static) {
        self.vendors.world().choice.set(choose);
    }

    /// From now on, that is the matter with the channel, ticket, conversation, record, webhook, bus or task of that id.
    pub fn place(&self, kind: Kind, id: impl Into<String>, place: Place) {
        self.vendors.world().places.insert((kind, id.into()), place);
    }

    /// Stops the next call of that kind when it has arrived, before the vendor looks at it. Released, it goes on, even
    /// if its caller is gone by then; discarded, the vendor never heard of it.
    pub fn hold_next(&self, kind: Kind) -> Hold {
        let (hold, gate) = Gate::new();
        self.vendors.world().holds.entry(kind).or_default().push_back(gate);
        hold
    }

    /// Replaces that vendor's credential: the old one is refused, [`Destinations::secrets`] has the new one. Webhooks'
    /// URLs and AWS have none here.
    pub fn rotate(&self, kind: Kind) {
        self.vendors.world().credentials.rotate(kind);
    }

    /// No access token of Salesforce is good any more.
    pub fn expire_tokens(&self) {
        self.vendors.world().access_tokens.clear();
    }

    /// A task token of Step Functions, whose task waits for its answer.
    pub fn issue_token(&self) -> String {
        self.vendors.issue_token()
    }

    /// Every call so far.
    pub fn received(&self) -> Vec<Received> {
        self.vendors.world().received.clone()
    }

    /// What was accepted so far.
    pub fn messages(&self) -> Vec<Message> {
        self.vendors.world().messages.clone()
    }

    /// Waits until so many calls of that kind have ended, well or badly; gives those that have.
    pub async fn wait_for(&self, kind: Kind, count: usize) -> Result<Vec<Received>, Error> {
        let found = |world: &World| {
            let ended = world.received.iter().filter(|call| call.kind == kind && call.ended);
            let ended: Vec<_> = ended.cloned().collect();
            (ended.len() >= count).then_some(ended)
        };
        self.vendors.wait(found).await.ok_or(Error::InVain("calls"))
    }

    /// Waits until so many messages of that kind have been accepted; gives those that have.
    pub async fn wait_for_messages(&self, kind: Kind, count: usize) -> Result<Vec<Message>, Error> {
        let found = |world: &World| {
            let seen = world.messages.iter().filter(|message| message.kind == kind);
            let seen: Vec<_> = seen.cloned().collect();
            (seen.len() >= count).then_some(seen)
        };
        self.vendors.wait(found).await.ok_or(Error::InVain("messages"))
    }
}

impl Drop for Destinations {
    fn drop(&mut self) {
        self.vendors.0.tasks.close();
    }
}

fn environment(base: &str) -> Vec<(&'static str, String)> {
    [
        ("SLACK_API_URL", "/slack/api"),
        ("ZENDESK_API_URL", "/zendesk"),
        ("INTERCOM_API_URL", "/intercom"),
        ("HUBSPOT_API_URL", "/hubspot"),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", "/eventbridge"),
        ("AWS_ENDPOINT_URL_SFN", "/states"),
    ]
    .into_iter()
    .map(|(name, path)| (name, format!("{base}{path}")))
    .collect()
}

/// What the handle and the routes share.
#[derive(Clone, Debug)]
struct Vendors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    tasks: Tasks,
    changes: watch::Sender<()>,
    world: Mutex<World>,
}

#[derive(Debug)]
struct World {
    begun_ms: u64,
    credentials: Credentials,
    next: HashMap<Kind, VecDeque<Behaviour>>,
    choice: Choice<Received, Behaviour>,
    usual: HashMap<Kind, Behaviour>,
    holds: HashMap<Kind, VecDeque<Gate>>,
    places: HashMap<(Kind, String), Place>,
    received: Vec<Received>,
    messages: Vec<Message>,
    /// What was done to each ticket, as Zendesk's audits tell it.
    tickets: HashMap<String, Vec<Value>>,
    /// Salesforce's that are good.
    access_tokens: HashSet<String>,
    tasks: HashMap<String, Task>,
}

impl World {
    fn new() -> Self {
        Self {
            begun_ms: now_ms(),
            credentials: Credentials::new(),
            next: HashMap::new(),
            choice: Choice::default(),
            usual: HashMap::new(),
            holds: HashMap::new(),
            places: HashMap::new(),
            received: Vec::new(),
            messages: Vec::new(),
            tickets: HashMap::new(),
            access_tokens: HashSet::new(),
            tasks: HashMap::new(),
        }
    }
}

/// What callers must show.
#[derive(Debug)]
struct Credentials {
    slack: String,
    zendesk: String,
    intercom: String,
    hubspot: String,
    salesforce: String,
    webhook: String,
}

impl Credentials {
    fn new() -> Self {
        let unset = String::new;
        let mut credentials = Self {
            slack: unset(),
            zendesk: unset(),
            intercom: unset(),
            hubspot: unset(),
            salesforce: unset(),
            webhook: unset(),
        };
        for kind in
            [Kind::Slack, Kind::Zendesk, Kind::Intercom, Kind::Hubspot, Kind::Salesforce, Kind::Webhook]
        {
            credentials.rotate(kind);
        }
        credentials
    }

    fn rotate(&mut self, kind: Kind) {
        let random = Uuid::new_v4().simple().to_string();
        match kind {
            Kind::Slack => self.slack = format!("xoxb-{random}"),
            Kind::Zendesk => self.zendesk = random,
            Kind::Intercom => self.intercom = random,
            Kind::Hubspot => self.hubspot = format!("pat-{random}"),
            Kind::Salesforce | Kind::SalesforceToken => self.salesforce = random,
            // 32 bytes: the digits themselves.
            Kind::Webhook => self.webhook = format!("whsec_{}", STANDARD.encode(random)),
            Kind::SlackWebhook | Kind::Teams | Kind::EventBridge | Kind::StepFunctions => {}
        }
    }
}

impl Vendors {
    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.0.world)
    }

    /// Changes what is recorded, and wakes those who wait for it.
    fn record<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let value = change(&mut self.world());
        self.0.changes.send_replace(());
        value
    }

    async fn wait<T>(&self, found: impl Fn(&World) -> Option<T>) -> Option<T> {
        let mut changes = self.0.changes.subscribe();
        let waiting = async {
            loop {
                let now = found(&self.world());
                if now.is_some() || changes.changed().await.is_err() {
                    return now;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.ok().flatten()
    }

    fn secrets(&self, base: &str) -> Value {
        let urls = |names: &[String], door: &str| {
            names
                .iter()
                .map(|name| (name.clone(), json!(format!("{base}{door}/{name}"))))
                .collect::<Map<_, _>>()
        };
        let options = &self.0.options;
        let world = self.world();
        let Credentials { slack, zendesk, intercom, hubspot, salesforce, webhook } = &world.credentials;
        json!({
            "slack": {"botToken": slack, "webhooks": urls(&options.slack_webhooks, "/slack/hooks")},
            "zendesk": {"subdomain": "acme", "email": ZENDESK_EMAIL, "apiToken": zendesk},
            "intercom": {"accessToken": intercom, "adminID": INTERCOM_ADMIN, "region": "us"},
            "hubspot": {"accessToken": hubspot},
            "salesforce": {"instanceURL": format!("{base}/salesforce"), "clientID": SALESFORCE_CLIENT,
                "clientSecret": salesforce},
            "teams": {"webhooks": urls(&options.teams_webhooks, "/teams")},
            "webhook": {"signingSecret": webhook},
        })
    }

    fn issue_token(&self) -> String {
        // As long as real ones are, and of their alphabet.
        let noise: Vec<u8> = (0..36).flat_map(|_| *Uuid::new_v4().as_bytes()).collect();
        let token = STANDARD.encode(noise);
        self.world().tasks.insert(token.clone(), Task::Waiting);
        token
    }
}

#[cfg(test)]
mod tests;
