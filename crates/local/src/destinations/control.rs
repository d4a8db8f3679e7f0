//! The control of the stand-ins from outside the process.
//!
//! | route | body | what it does |
//! |---|---|---|
//! | `POST /control/next`, `/control/usual` | `{"kind": …, "behaviour": …}` (`next`: or an array of them) | how calls go |
//! | `POST /control/place` | `{"kind": …, "id": …, "place": "open"}`, `missing`, `closed` or `foreign` | what is the matter with it |
//! | `POST /control/rotate` | `{"kind": …}` | that vendor's credential is replaced |
//! | `POST /control/expire` | | Salesforce's access tokens are good no more |
//! | `POST /control/token` | | a task token of Step Functions: `{"taskToken": …}` |
//! | `GET /control/received`, `/control/messages` (`?kind=` for one kind alone) | | what was recorded |
//! | `GET /control/secrets`, `/control/environment` | | what a function is told to reach the stand-ins |
//!
//! The kinds: `slack`, `slackWebhook`, `zendesk`, `intercom`, `hubspot`, `salesforce`, `salesforceToken`, `teams`,
//! `webhook`, `eventBridge`, `stepFunctions`. A call that bears an `Origin` is refused: no web page orders anything
//! here, nor reads the secrets.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::behaviour::{Behaviour, Place};
use super::vendor::{Kind, Reply};
use super::{Vendors, environment};

pub(super) fn router() -> Router<Vendors> {
    Router::new()
        .route("/control/next", post(next))
        .route("/control/usual", post(usual))
        .route("/control/place", post(place))
        .route("/control/rotate", post(rotate))
        .route("/control/expire", post(expire))
        .route("/control/token", post(token))
        .route("/control/received", get(received))
        .route("/control/messages", get(messages))
        .route("/control/secrets", get(secrets))
        .route("/control/environment", get(variables))
        .route_layer(middleware::from_fn(only_tools))
}

async fn only_tools(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return Reply::json(403, json!({"error": "not from a web page"})).into_response();
    }
    next.run(request).await
}

/// An order that is not understood: 422, and why.
struct Unusable(String);

impl From<serde_json::Error> for Unusable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl IntoResponse for Unusable {
    fn into_response(self) -> Response {
        Reply::json(422, json!({ "error": self.0 })).into_response()
    }
}

type Controlled = Result<Json<Value>, Unusable>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BehaviourOrder {
    kind: Kind,
    behaviour: Behaviour,
}

async fn next(State(vendors): State<Vendors>, body: Bytes) -> Controlled {
    let orders: Vec<BehaviourOrder> = match one(&body)? {
        many @ Value::Array(_) => serde_json::from_value(many)?,
        single => vec![serde_json::from_value(single)?],
    };
    let mut world = vendors.world();
    for order in orders {
        world.next.entry(order.kind).or_default().push_back(order.behaviour);
    }
    let queued: usize = world.next.values().map(|queue| queue.len()).sum();
    Ok(Json(json!({ "queued": queued })))
}

async fn usual(State(vendors): State<Vendors>, body: Bytes) -> Controlled {
    let order: BehaviourOrder = one(&body)?;
    vendors.world().usual.insert(order.kind, order.behaviour);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceOrder {
    kind: Kind,
    id: String,
    place: Place,
}

async fn place(State(vendors): State<Vendors>, body: Bytes) -> Controlled {
    let order: PlaceOrder = one(&body)?;
    vendors.world().places.insert((order.kind, order.id), order.place);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindOrder {
    kind: Kind,
}

async fn rotate(State(vendors): State<Vendors>, body: Bytes) -> Controlled {
    let order: KindOrder = one(&body)?;
    vendors.world().credentials.rotate(order.kind);
    Ok(Json(json!({})))
}

async fn expire(State(vendors): State<Vendors>) -> Json<Value> {
    vendors.world().access_tokens.clear();
    Json(json!({}))
}

async fn token(State(vendors): State<Vendors>) -> Json<Value> {
    Json(json!({ "taskToken": vendors.issue_token() }))
}

#[derive(Deserialize)]
struct Only {
    kind: Option<Kind>,
}

async fn received(State(vendors): State<Vendors>, Query(only): Query<Only>) -> Response {
    let world = vendors.world();
    let calls = world.received.iter().filter(|call| only.kind.is_none_or(|kind| kind == call.kind));
    Json(calls.collect::<Vec<_>>()).into_response()
}

async fn messages(State(vendors): State<Vendors>, Query(only): Query<Only>) -> Response {
    let world = vendors.world();
    let seen = world.messages.iter().filter(|message| only.kind.is_none_or(|kind| kind == message.kind));
    Json(seen.collect::<Vec<_>>()).into_response()
}

async fn secrets(State(vendors): State<Vendors>, headers: HeaderMap) -> Json<Value> {
    Json(vendors.secrets(&base(&headers)))
}

async fn variables(headers: HeaderMap) -> Json<BTreeMap<&'static str, String>> {
    Json(environment(&base(&headers)).into_iter().collect())
}

fn base(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("127.0.0.1"))
}

/// Whatever the content type says: `curl -d` names none that is JSON.
fn one<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unusable> {
    serde_json::from_slice(body).map_err(Unusable::from)
}
