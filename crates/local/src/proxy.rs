//! A proxy that counts calls and breaks those it is told to: between a function and the table, or anything else that
//! speaks HTTP/1.1.
//!
//! A greeting is no call: `HEAD /`, or a `GET /` that names no operation, is how a function connects ahead. It is passed on,
//! neither counted nor broken.
//!
//! Headers and bodies pass unchanged, so a signed call stays signed. A call that was held goes on when it is released
//! even if its caller died meanwhile, as bytes do that are on the wire.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use crate::choice::Choice;
use crate::hold::{Decision, Gate, Hold};
use crate::serve::{Cut, Server, Tasks, lock, now_ms};

/// A running proxy. Dropping it frees its port and ends the calls that it holds.
#[derive(Debug)]
pub struct Proxy {
    relay: Relay,
    server: Server,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No local port could be had.
    #[error("the proxy found no local port")]
    Listen(#[source] io::Error),
    /// There is no client to pass calls on with.
    #[error("the proxy has no HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A call that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When, in epoch milliseconds.
    pub at_ms: u64,
    /// The operation of `X-Amz-Target` (`UpdateItem`); without that header, `METHOD /path`.
    pub operation: String,
    /// Its body.
    pub body: Bytes,
    /// What the upstream answered; none where it was not asked, or did not answer yet.
    pub upstream: Option<u16>,
    /// What the caller was answered; none where the connection was cut, or is still waiting.
    pub status: Option<u16>,
}

/// Which calls a fault is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    operation: Option<String>,
    containing: Option<String>,
    skip: usize,
    times: Option<usize>,
}

impl Match {
    /// Every call.
    pub fn any() -> Self {
        Self::default()
    }

    /// Every call of that operation, in the spelling of [`Call::operation`].
    pub fn operation(name: impl Into<String>) -> Self {
        Self { operation: Some(name.into()), ..Self::default() }
    }

    /// Of these, those whose body has that text in it.
    pub fn containing(mut self, text: impl Into<String>) -> Self {
        self.containing = Some(text.into());
        self
    }

    /// Of these, the n-th alone, counted from 1 and from now.
    pub fn nth(mut self, n: usize) -> Self {
        self.skip = n.saturating_sub(1);
        self.times = Some(1);
        self
    }

    /// Of these, so many; then no more.
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    fn is_for(&self, call: &Call) -> bool {
        let is_operation = self.operation.as_ref().is_none_or(|name| *name == call.operation);
        let contains = self.containing.as_ref().is_none_or(|text| {
            let mut windows = call.body.windows(text.len().max(1));
            text.is_empty() || windows.any(|window| window == text.as_bytes())
        });
        is_operation && contains
    }
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This answer instead of the upstream's; the upstream hears nothing.
    Answer {
        /// The status.
        status: u16,
        /// The body, sent as `application/x-amz-json-1.0`.
        body: String,
    },
    /// The connection is closed; the upstream hears nothing.
    CutBefore,
    /// The upstream does what it is asked to, then the connection is closed.
    CutAfter,
    /// The call goes on that much later.
    Delay(Duration),
}

impl Fault {
    /// DynamoDB's 400 of that name, such as `ThrottlingException`. The SDK tries some of them again by itself: to be
    /// seen by its caller, they must come as often as it tries.
    pub fn exception(name: &str) -> Self {
        Self::Answer { status: 400, body: error_body(name) }
    }

    /// DynamoDB's `ProvisionedThroughputExceededException`.
    pub fn throttled() -> Self {
        Self::exception("ProvisionedThroughputExceededException")
    }

    /// DynamoDB's 500.
    pub fn internal_error() -> Self {
        Self::Answer { status: 500, body: error_body("InternalServerError") }
    }
}

fn error_body(name: &str) -> String {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    serde_json::json!({ "__type": kind, "message": "injected by the proxy" }).to_string()
}

/// Where a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before the upstream hears of it.
    Before,
    /// After it took effect, before the caller is answered.
    After,
}

impl Proxy {
    /// Passes calls on to `upstream`, a base URL without a path.
    pub async fn start(upstream: impl Into<String>) -> Result<Self, Error> {
        let client =
            crate::client().redirect(reqwest::redirect::Policy::none()).build().map_err(Error::Client)?;
        let relay = Relay(Arc::new(Shared {
            upstream: upstream.into().trim_end_matches('/').to_owned(),
            client,
            tasks: Tasks::new(),
            calls: Mutex::default(),
            rules: Mutex::default(),
            choice: Mutex::default(),
        }));
        let router =
            Router::new().fallback(pass).layer(DefaultBodyLimit::disable()).with_state(relay.clone());
        let server = Server::start((Ipv4Addr::LOCALHOST, 0).into(), router).await.map_err(Error::Listen)?;
        Ok(Self { relay, server })
    }

    /// `http://127.0.0.1:PORT`: what stands for the upstream's own URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.relay.0.calls).clone()
    }

    /// How many calls of that operation there were.
    pub fn count(&self, operation: &str) -> usize {
        let calls = lock(&self.relay.0.calls);
        calls.iter().filter(|call| call.operation == operation).count()
    }

    /// From now on, that happens to these calls. Of several rules for one call, the oldest one that is not used up
    /// applies; a rule counts the calls that none before it took.
    pub fn on(&self, calls: Match, fault: Fault) {
        self.relay.add(calls, Effect::Fault(fault));
    }

    /// Holds the first of these calls (with [`Match::nth`], the n-th) at that point.
    pub fn hold(&self, mut calls: Match, point: Point) -> Hold {
        calls.times = Some(1);
        let (hold, gate) = Gate::new();
        self.relay.add(calls, Effect::Hold(point, Some(gate)));
        hold
    }

    /// From now on, each call that no rule is for meets what this decides.
    pub fn choose(&self, choose: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        lock(&self.relay.0.choice).set(choose);
    }

    /// Forgets every rule, and who chooses; what is held stays held.
    pub fn clear(&self) {
        lock(&self.relay.0.rules).clear();
        lock(&self.relay.0.choice).clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.relay.0.tasks.close();
    }
}

#[derive(Clone, Debug)]
struct Relay(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    tasks: Tasks,
    calls: Mutex<Vec<Call>>,
    rules: Mutex<Vec<Rule>>,
    choice: Mutex<Choice<Call, Fault>>,
}

#[derive(Debug)]
struct Rule {
    calls: Match,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    Fault(Fault),
    /// The gate is taken by the one call that it is for.
    Hold(Point, Option<Gate>),
}

impl Relay {
    fn add(&self, calls: Match, effect: Effect) {
        lock(&self.0.rules).push(Rule { calls, effect });
    }

    /// Takes the effect that is due to a call.
    fn effect_on(&self, call: &Call) -> Option<Effect> {
        for rule in lock(&self.0.rules).iter_mut() {
            if rule.calls.times == Some(0) || !rule.calls.is_for(call) {
                continue;
            }
            if rule.calls.skip > 0 {
                rule.calls.skip -= 1;
                continue;
            }
            rule.calls.times = rule.calls.times.map(|times| times - 1);
            return Some(match &mut rule.effect {
                Effect::Fault(fault) => Effect::Fault(fault.clone()),
                Effect::Hold(point, gate) => Effect::Hold(*point, gate.take()),
            });
        }
        lock(&self.0.choice).about(call).map(Effect::Fault)
    }

    fn record(&self, index: usize, change: impl FnOnce(&mut Call)) {
        if let Some(call) = lock(&self.0.calls).get_mut(index) {
            change(call);
        }
    }

    async fn handle(&self, index: usize, effect: Option<Effect>, request: Passed) -> Response {
        match effect {
            None => self.forward(index, request).await,
            Some(Effect::Fault(Fault::Delay(delay))) => {
                tokio::time::sleep(delay).await;
                self.forward(index, request).await
            }
            Some(Effect::Fault(Fault::Answer { status, body })) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
            }
            Some(Effect::Fault(Fault::CutBefore)) => Cut.into_response(),
            Some(Effect::Fault(Fault::CutAfter)) => {
                self.forward(index, request).await;
                Cut.into_response()
            }
            Some(Effect::Hold(Point::Before, gate)) => match pass_gate(gate).await {
                Decision::Discard => Cut.into_response(),
                Decision::Waiting | Decision::Go => self.forward(index, request).await,
            },
            Some(Effect::Hold(Point::After, gate)) => {
                let response = self.forward(index, request).await;
                match pass_gate(gate).await {
                    Decision::Discard => Cut.into_response(),
                    Decision::Waiting | Decision::Go => response,
                }
            }
        }
    }

    /// Asks the upstream; one that cannot be reached is a 502.
    async fn forward(&self, index: usize, request: Passed) -> Response {
        let url = format!("{}{}", self.0.upstream, request.uri);
        let asked = self.0.client.request(request.method, url);
        let answered = async {
            let response = asked.headers(request.headers).body(request.body).send().await?;
            let (status, headers) = (response.status(), end_to_end(response.headers()));
            Ok::<_, reqwest::Error>((status, headers, response.bytes().await?))
        };
        match answered.await {
            Ok((status, headers, body)) => {
                self.record(index, |call| call.upstream = Some(status.as_u16()));
                (status, headers, Body::from(body)).into_response()
            }
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }
}

async fn pass_gate(gate: Option<Gate>) -> Decision {
    match gate {
        Some(gate) => gate.pass().await,
        None => Decision::Go,
    }
}

/// A call as it is passed on.
struct Passed {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

const GREETINGS: [&str; 2] = ["HEAD /", "GET /"];
/// The place of a call that is not kept.
const NOT_KEPT: usize = usize::MAX;

async fn pass(
    State(relay): State<Relay>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let operation = operation(&method, &uri, &headers);
    if GREETINGS.contains(&operation.as_str()) {
        let request = Passed { method, uri, headers: end_to_end(&headers), body };
        return relay.forward(NOT_KEPT, request).await;
    }
    let call = Call { at_ms: now_ms(), operation, body: body.clone(), upstream: None, status: None };
    let effect = relay.effect_on(&call);
    let index = {
        let mut calls = lock(&relay.0.calls);
        calls.push(call);
        calls.len() - 1
    };
    let request = Passed { method, uri, headers: end_to_end(&headers), body };

    let (answer, answered) = oneshot::channel();
    let working = relay.clone();
    relay.0.tasks.spawn(async move {
        let response = working.handle(index, effect, request).await;
        if response.extensions().get::<Cut>().is_none() {
            let status = response.status().as_u16();
            working.record(index, |call| call.status = Some(status));
        }
        // A caller that is gone hears nothing.
        let _ = answer.send(response);
    });
    answered.await.unwrap_or_else(|_| Cut.into_response())
}

fn operation(method: &Method, uri: &Uri, headers: &HeaderMap) -> String {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    match target {
        Some(target) => target.rsplit('.').next().unwrap_or(target).to_owned(),
        None => format!("{method} {}", uri.path()),
    }
}

/// The headers that are about the message, not about one connection (RFC 9110, 7.6.1). The length is the body's.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const OF_THE_CONNECTION: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mut kept = headers.clone();
    for name in OF_THE_CONNECTION {
        kept.remove(name);
    }
    kept.remove("keep-alive");
    kept
}

#[cfg(test)]
mod tests;
