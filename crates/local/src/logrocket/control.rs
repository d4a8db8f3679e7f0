//! The control of the simulator from outside the process.
//!
//! | route | body | what it does |
//! |---|---|---|
//! | `POST /control/next`, `/control/usual` | a `Behaviour` (`next`: or an array of them) | how POSTs go |
//! | `POST /control/polls/next`, `/control/polls/usual` | a `PollAnswer` (`next`: or an array) | how polls go |
//! | `POST /control/callback` | `{"id": …, "outcome": "READY"}` | the request has come to that; tells it |
//! | `GET /control/posts`, `/control/polls`, `/control/callbacks` | | what was recorded |

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Simulator;
use super::behaviour::{Behaviour, Outcome, PollAnswer};
use super::server::error;

pub(super) fn router() -> Router<Simulator> {
    Router::new()
        .route("/control/next", post(control_next))
        .route("/control/usual", post(control_usual))
        .route("/control/polls/next", post(control_next_poll))
        .route("/control/polls/usual", post(control_usual_poll))
        .route("/control/callback", post(control_callback))
        .route("/control/posts", get(async |State(at): State<Simulator>| Json(at.world().posts.clone())))
        .route("/control/polls", get(async |State(at): State<Simulator>| Json(at.world().polls.clone())))
        .route(
            "/control/callbacks",
            get(async |State(at): State<Simulator>| Json(at.world().callbacks.clone())),
        )
}

/// An order that is not understood, or cannot be carried out: 422, and why.
struct Unusable(String);

impl From<serde_json::Error> for Unusable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl IntoResponse for Unusable {
    fn into_response(self) -> Response {
        error(422, &self.0)
    }
}

type Controlled = Result<Json<Value>, Unusable>;

async fn control_next(State(simulator): State<Simulator>, body: Bytes) -> Controlled {
    let behaviours: Vec<Behaviour> = one_or_many(&body)?;
    let mut world = simulator.world();
    world.next.extend(behaviours);
    Ok(Json(json!({ "queued": world.next.len() })))
}

async fn control_usual(State(simulator): State<Simulator>, body: Bytes) -> Controlled {
    let behaviour: Behaviour = one(&body)?;
    simulator.world().usual = behaviour;
    Ok(Json(json!({})))
}

async fn control_next_poll(State(simulator): State<Simulator>, body: Bytes) -> Controlled {
    let answers: Vec<PollAnswer> = one_or_many(&body)?;
    let mut world = simulator.world();
    world.next_polls.extend(answers);
    Ok(Json(json!({ "queued": world.next_polls.len() })))
}

async fn control_usual_poll(State(simulator): State<Simulator>, body: Bytes) -> Controlled {
    let answer: PollAnswer = one(&body)?;
    simulator.world().usual_poll = answer;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct CallbackOrder {
    id: String,
    outcome: Outcome,
}

async fn control_callback(State(simulator): State<Simulator>, body: Bytes) -> Controlled {
    let order: CallbackOrder = one(&body)?;
    match simulator.send_callback(&order.id, order.outcome).await {
        Ok(status) => Ok(Json(json!({ "status": status }))),
        Err(problem) => Err(Unusable(problem.to_string())),
    }
}

/// Whatever the content type says: `curl -d` names none that is JSON.
fn one<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unusable> {
    serde_json::from_slice(body).map_err(Unusable::from)
}

fn one_or_many<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, Unusable> {
    match one(body)? {
        many @ Value::Array(_) => serde_json::from_value(many),
        single => serde_json::from_value(single).map(|single| vec![single]),
    }
    .map_err(Unusable::from)
}
