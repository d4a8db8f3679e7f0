//! A LogRocket to test against: its documented API on a local port, and every misbehaviour on demand.
//!
//! It answers `POST` and `GET /v1/orgs/{org}/apps/{app}/highlights`, sends callbacks, and records all three. What it
//! does with a POST is a [`Behaviour`]: those queued by [`LogRocket::next`] are used up one per valid POST, then the
//! usual one applies. It never repeats a callback by itself. From outside the process, `/control/…` does the same
//! (the table of its routes stands in `control.rs`).

mod behaviour;
mod control;
mod payload;
mod server;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::behaviour::{Answer, Behaviour, Dialect, Outcome, PollAnswer, Shape, Step};
use self::payload::{Subject, payload};
use crate::choice::Choice;
use crate::hold::{Gate, Hold};
use crate::localhost::Localhost;
use crate::serve::{Server, Tasks, lock, now_ms};

/// How long the waiting methods wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running simulator. Dropping it frees its port and ends every callback that is on its way.
#[derive(Debug)]
pub struct LogRocket {
    simulator: Simulator,
    server: Server,
}

/// Who the simulator is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// `org/app`: the one app that it knows.
    pub app_id: String,
    /// The one key that it takes.
    pub api_key: String,
    /// Where the links in its highlights lead, without a slash at the end.
    pub app_url: String,
    /// How long after the answer to a POST a step comes that names no time of its own.
    pub callback_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            app_id: "acme/shop".to_owned(),
            api_key: "acme:shop:secret".to_owned(),
            app_url: "https://app.logrocket.com".to_owned(),
            callback_after: Duration::from_millis(100),
        }
    }
}

/// Why the simulator could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No local port could be had.
    #[error("the LogRocket simulator found no local port")]
    Listen(#[source] io::Error),
    /// There is no client to send callbacks with.
    #[error("the LogRocket simulator has no HTTP client")]
    Client(#[source] reqwest::Error),
    /// No POST was given that id.
    #[error("LogRocket knows no request of that id")]
    UnknownID,
    /// The POST of that id named no `webhookURL`.
    #[error("the request named no webhookURL")]
    NoWebhook,
    /// The callback got no answer.
    #[error("the callback was not answered")]
    Unanswered(#[source] reqwest::Error),
    /// What was waited for did not happen within 30 seconds.
    #[error("waited in vain for {0}")]
    InVain(&'static str),
}

/// A POST that came in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Post {
    /// When, in epoch milliseconds.
    pub at_ms: u64,
    /// The `org/app` of its path.
    #[serde(rename = "appID")]
    pub app_id: String,
    /// Whether its key was right.
    pub authorized: bool,
    /// Its headers but `authorization`, in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body; a string where it was no JSON.
    pub body: Value,
    /// The id under which LogRocket took it on; none if it did not.
    #[serde(rename = "logRocketRequestID")]
    pub logrocket_request_id: Option<String>,
    /// The status that it was answered with; none while there is no answer.
    pub status: Option<u16>,
}

impl Post {
    /// The `webhookURL` that it named.
    pub fn webhook_url(&self) -> Option<&str> {
        self.body["webhookURL"].as_str()
    }
}

/// A poll that came in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Poll {
    /// When, in epoch milliseconds.
    pub at_ms: u64,
    /// Whether its key was right.
    pub authorized: bool,
    /// The `id` that it asked for.
    pub id: Option<String>,
    /// The status that it was answered with; none where there was no answer.
    pub status: Option<u16>,
}

/// A callback that was sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Callback {
    /// When, in epoch milliseconds.
    pub at_ms: u64,
    /// Where to.
    pub url: String,
    /// Its body.
    pub body: String,
    /// The status that it got back; none while there is no answer.
    pub status: Option<u16>,
    /// When it got that, in epoch milliseconds.
    pub answered_at_ms: Option<u64>,
    /// Why there is no answer and will be none.
    pub error: Option<String>,
}

impl LogRocket {
    /// Serves the API.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let client = crate::client()
            // An emulated cloud may name its gateway so.
            .dns_resolver(Localhost)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .user_agent("LogRocket simulator")
            .build()
            .map_err(Error::Client)?;
        let address = options.address;
        let simulator = Simulator(Arc::new(Shared {
            options,
            client,
            tasks: Tasks::new(),
            changes: watch::Sender::new(()),
            world: Mutex::default(),
        }));
        let server =
            Server::start(address, server::router(simulator.clone())).await.map_err(Error::Listen)?;
        Ok(Self { simulator, server })
    }

    /// `http://127.0.0.1:PORT`: what `LOGROCKET_API_URL` is set to.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `org/app`: what `LOGROCKET_APP_ID` is set to.
    pub fn app_id(&self) -> &str {
        &self.simulator.0.options.app_id
    }

    /// The one key that it takes.
    pub fn api_key(&self) -> &str {
        &self.simulator.0.options.api_key
    }

    /// The next POST that nothing is queued for goes like that. A POST with a wrong key or body uses none up.
    pub fn next(&self, behaviour: Behaviour) {
        self.simulator.world().next.push_back(behaviour);
    }

    /// Every POST that nothing is queued for goes like that.
    pub fn usually(&self, behaviour: Behaviour) {
        self.simulator.world().usual = behaviour;
    }

    /// Every POST that nothing is queued for goes as this decides; where it decides nothing, as usual.
    pub fn choose(&self, choose: impl FnMut(&Post) -> Option<Behaviour> + Send + 'static) {
        self.simulator.world().choice.set(choose);
    }

    /// The next poll that nothing is queued for is answered so; repeat it for the next few.
    pub fn next_poll(&self, answer: PollAnswer) {
        self.simulator.world().next_polls.push_back(answer);
    }

    /// Every poll that nothing is queued for is answered so.
    pub fn usually_poll(&self, answer: PollAnswer) {
        self.simulator.world().usual_poll = answer;
    }

    /// Stops the next POST when it has arrived, before LogRocket takes it on. Released, it goes on as its behaviour
    /// says, even if its caller is gone by then; discarded, LogRocket never heard of it.
    pub fn hold_next_post(&self) -> Hold {
        let (hold, gate) = Gate::new();
        self.simulator.world().holds.push_back(gate);
        hold
    }

    /// Every POST so far.
    pub fn posts(&self) -> Vec<Post> {
        self.simulator.world().posts.clone()
    }

    /// Every poll so far.
    pub fn polls(&self) -> Vec<Poll> {
        self.simulator.world().polls.clone()
    }

    /// Every callback sent so far.
    pub fn callbacks(&self) -> Vec<Callback> {
        self.simulator.world().callbacks.clone()
    }

    /// Waits until that many POSTs have come in.
    pub async fn wait_for_posts(&self, count: usize) -> Result<Vec<Post>, Error> {
        let found = |world: &World| (world.posts.len() >= count).then(|| world.posts.clone());
        self.simulator.wait(found).await.ok_or(Error::InVain("POSTs"))
    }

    /// Waits until that many polls have come in.
    pub async fn wait_for_polls(&self, count: usize) -> Result<Vec<Poll>, Error> {
        let found = |world: &World| (world.polls.len() >= count).then(|| world.polls.clone());
        self.simulator.wait(found).await.ok_or(Error::InVain("polls"))
    }

    /// Waits until that many callbacks have been answered, or given up without an answer.
    pub async fn wait_for_callbacks(&self, count: usize) -> Result<Vec<Callback>, Error> {
        let ended = |callback: &&Callback| callback.status.is_some() || callback.error.is_some();
        let found = |world: &World| {
            (world.callbacks.iter().filter(ended).count() >= count).then(|| world.callbacks.clone())
        };
        self.simulator.wait(found).await.ok_or(Error::InVain("callbacks"))
    }

    /// What LogRocket would say of a request that it took: for a test that alters it first.
    pub fn payload(&self, logrocket_request_id: &str, outcome: Outcome) -> Result<Value, Error> {
        let world = self.simulator.world();
        let job = world.jobs.get(logrocket_request_id).ok_or(Error::UnknownID)?;
        Ok(payload(&job.subject, outcome, &job.shape))
    }

    /// The request has come to that; its callback is sent, and polls find it too. Gives the status of the answer.
    pub async fn send_callback(&self, logrocket_request_id: &str, outcome: Outcome) -> Result<u16, Error> {
        self.simulator.send_callback(logrocket_request_id, outcome).await
    }

    /// Posts any body as a callback, true or forged. Gives the status of the answer.
    pub async fn post_callback(&self, url: &str, body: impl ToString) -> Result<u16, Error> {
        self.simulator.post_callback(url, body.to_string()).await
    }
}

impl Drop for LogRocket {
    fn drop(&mut self) {
        self.simulator.0.tasks.close();
    }
}

/// What the handle, the routes and the callbacks share.
#[derive(Clone, Debug)]
struct Simulator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    client: reqwest::Client,
    tasks: Tasks,
    changes: watch::Sender<()>,
    world: Mutex<World>,
}

#[derive(Debug, Default)]
struct World {
    next: VecDeque<Behaviour>,
    choice: Choice<Post, Behaviour>,
    usual: Behaviour,
    next_polls: VecDeque<PollAnswer>,
    usual_poll: PollAnswer,
    holds: VecDeque<Gate>,
    posts: Vec<Post>,
    polls: Vec<Poll>,
    callbacks: Vec<Callback>,
    jobs: HashMap<String, Job>,
}

/// A request that LogRocket took on.
#[derive(Debug)]
struct Job {
    subject: Subject,
    webhook_url: Option<String>,
    shape: Shape,
    /// What becomes of it, in the order in which it happens; without a time, it has yet to get one.
    events: Vec<(Option<Instant>, Outcome)>,
}

impl Job {
    fn outcome(&self) -> Outcome {
        let now = Instant::now();
        let happened = |event: &&(Option<Instant>, Outcome)| event.0.is_some_and(|due| due <= now);
        let last = self.events.iter().rfind(happened);
        last.map_or(Outcome::Pending, |(_, outcome)| *outcome)
    }
}

impl Simulator {
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

    async fn send_callback(&self, id: &str, outcome: Outcome) -> Result<u16, Error> {
        let (url, body) = {
            let mut world = self.world();
            let job = world.jobs.get_mut(id).ok_or(Error::UnknownID)?;
            job.events.push((Some(Instant::now()), outcome));
            let url = job.webhook_url.clone().ok_or(Error::NoWebhook)?;
            (url, payload(&job.subject, outcome, &job.shape))
        };
        self.post_callback(&url, body.to_string()).await
    }

    async fn post_callback(&self, url: &str, body: String) -> Result<u16, Error> {
        let index = self.record(|world| {
            world.callbacks.push(Callback {
                at_ms: now_ms(),
                url: url.to_owned(),
                body: body.clone(),
                status: None,
                answered_at_ms: None,
                error: None,
            });
            world.callbacks.len() - 1
        });
        let request = self.0.client.post(url).header("content-type", "application/json");
        let answer = request.body(body).send().await;
        self.record(|world| match &answer {
            Ok(response) => {
                world.callbacks[index].status = Some(response.status().as_u16());
                world.callbacks[index].answered_at_ms = Some(now_ms());
            }
            Err(error) => world.callbacks[index].error = Some(error.to_string()),
        });
        Ok(answer.map_err(Error::Unanswered)?.status().as_u16())
    }
}

#[cfg(test)]
mod tests;
