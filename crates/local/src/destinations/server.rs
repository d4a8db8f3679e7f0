//! The one door of all vendors: records a call, lets its vendor look at it, and does what the stand-in is told to.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::behaviour::Behaviour;
use super::states::Task;
use super::vendor::{Call, Effect, Kind, Reply};
use super::{Message, Options, Received, Vendors, World, control, page};
use crate::hold::Decision;
use crate::serve::{Cut, now_ms};

/// More than any vendor takes, so that each can say so itself.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

pub(super) fn router(vendors: Vendors) -> Router {
    Router::new()
        .merge(control::router())
        .merge(page::router())
        .fallback(receive)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(vendors)
}

/// Any call. What follows from it does not depend on whether the caller is still there.
async fn receive(
    State(vendors): State<Vendors>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((kind, rest)) = Kind::of(uri.path()) else {
        return Reply::json(404, json!({"error": "no vendor stands here"})).into_response();
    };
    let (call, gate) = vendors.record(|world| {
        let number = u64::try_from(world.received.len()).unwrap_or(u64::MAX) + 1;
        let call = Call { kind, number, at_ms: now_ms(), method, rest: rest.to_owned(), headers, body };
        world.received.push(received(&call, uri.path()));
        (call, world.holds.get_mut(&kind).and_then(|gates| gates.pop_front()))
    });

    let (answer, answered) = oneshot::channel();
    let working = vendors.clone();
    vendors.0.tasks.spawn(async move {
        if let Some(gate) = gate
            && gate.pass().await == Decision::Discard
        {
            working.record(|world| end(world, call.number, None, Err("discarded on demand".to_owned())));
            return;
        }
        let response = working.work(call).await;
        // A caller that is gone hears nothing.
        let _ = answer.send(response);
    });
    answered.await.unwrap_or_else(|_| Cut.into_response())
}

impl Vendors {
    async fn work(&self, call: Call) -> Response {
        let options = &self.0.options;
        let decided = self.record(|world| {
            if call.kind.check(&call, world, options).is_err() {
                return Decided::Answer(settle(world, &call, options).into_response());
            }
            let behaviour = world.next.get_mut(&call.kind).and_then(|queued| queued.pop_front());
            let behaviour = behaviour.or_else(|| {
                let World { received, choice, .. } = &mut *world;
                choice.about(received.iter().rfind(|received| received.number == call.number)?)
            });
            let behaviour = behaviour.or_else(|| world.usual.get(&call.kind).cloned()).unwrap_or_default();
            carry_out(behaviour, world, &call, options)
        });
        match decided {
            Decided::Answer(response) => response,
            Decided::Later(delay) => {
                sleep(delay).await;
                self.record(|world| settle(world, &call, options)).into_response()
            }
            Decided::Never => std::future::pending().await,
        }
    }
}

/// What there is to do once the world is let go of.
enum Decided {
    Answer(Response),
    Later(std::time::Duration),
    Never,
}

fn carry_out(behaviour: Behaviour, world: &mut World, call: &Call, options: &Options) -> Decided {
    let number = call.number;
    let told = |what: &str| Err(format!("{what} on demand"));
    // The vendor does what it is asked to; what the caller hears is another matter.
    let mut done = |status: Option<u16>| {
        let reply = settle(world, call, options);
        if let Some(call) = world.received.iter_mut().rfind(|call| call.number == number) {
            call.status = status;
        }
        reply
    };
    let reply = match behaviour {
        Behaviour::Ok => return Decided::Answer(settle(world, call, options).into_response()),
        Behaviour::Slow(delay) => return Decided::Later(delay),
        Behaviour::CutAfter => {
            done(None);
            return Decided::Answer(Cut.into_response());
        }
        Behaviour::HangAfter => {
            done(None);
            return Decided::Never;
        }
        Behaviour::Garbage => {
            done(Some(200));
            return Decided::Answer(Reply::json(200, Value::Null).with_body("{\"ok\": tr").into_response());
        }
        Behaviour::Huge => {
            done(Some(200));
            let body = Body::new(Endless);
            return Decided::Answer(([(CONTENT_TYPE, "application/json")], body).into_response());
        }
        Behaviour::WrongType => {
            let reply = settle(world, call, options);
            return Decided::Answer(reply.of_type("text/html; charset=utf-8").into_response());
        }
        Behaviour::CutBefore => {
            end(world, number, None, told("cut"));
            return Decided::Answer(Cut.into_response());
        }
        Behaviour::Hang => {
            end(world, number, None, told("left hanging"));
            return Decided::Never;
        }
        Behaviour::RateLimited(seconds) => call.kind.rate_limited(seconds),
        Behaviour::Failure => call.kind.failure(),
        Behaviour::Refused => call.kind.refusal(None),
        Behaviour::RefusedAs(code) => call.kind.refusal(Some(&code)),
        Behaviour::Redirect(to) => Reply::empty(307).header("location", to),
        Behaviour::Status { status, headers, body } => {
            end(world, number, Some(status), told("answered"));
            return Decided::Answer(raw(status, &headers, body));
        }
    };
    end(world, number, Some(reply.status), told("refused"));
    Decided::Answer(reply.into_response())
}

/// Lets the vendor look at the call and do what it asks for, in one go; records how it went.
fn settle(world: &mut World, call: &Call, options: &Options) -> Reply {
    let taken = match call.kind.check(call, world, options) {
        Ok(taken) => taken,
        Err(refusal) => {
            end(world, call.number, Some(refusal.reply.status), Err(refusal.complaint));
            return refusal.reply;
        }
    };
    match taken.effect {
        Effect::None => {}
        Effect::TicketUpdated { id, audit } => world.tickets.entry(id).or_default().push(audit),
        Effect::TokenIssued(token) => {
            world.access_tokens.insert(token);
        }
        Effect::TaskAnswered(token) => {
            world.tasks.insert(token, Task::Answered);
        }
    }
    if let Some(sight) = taken.sight {
        world.messages.push(Message {
            number: call.number,
            at_ms: call.at_ms,
            kind: call.kind,
            place: sight.place,
            thread: sight.thread,
            id: sight.id,
            text: sight.text,
        });
    }
    end(world, call.number, Some(taken.reply.status), taken.lost.map_or(Ok(()), Err));
    taken.reply
}

fn end(world: &mut World, number: u64, status: Option<u16>, outcome: Result<(), String>) {
    if let Some(call) = world.received.iter_mut().rfind(|call| call.number == number) {
        call.status = status;
        call.accepted = outcome.is_ok();
        call.complaint = outcome.err();
        call.ended = true;
    }
}

fn received(call: &Call, path: &str) -> Received {
    let shown =
        call.headers.iter().filter(|(name, _)| *name != AUTHORIZATION && *name != "x-amz-security-token");
    let headers: BTreeMap<_, _> = shown
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = if call.media_type() == "application/x-www-form-urlencoded" {
        let fields = call.form().into_iter().filter(|(name, _)| name != "client_secret");
        Value::Object(fields.map(|(name, value)| (name.into_owned(), json!(value))).collect::<Map<_, _>>())
    } else {
        call.json().unwrap_or_else(|| Value::from(String::from_utf8_lossy(&call.body)))
    };
    Received {
        number: call.number,
        at_ms: call.at_ms,
        kind: call.kind,
        method: call.method.to_string(),
        path: path.to_owned(),
        headers,
        body,
        status: None,
        accepted: false,
        complaint: None,
        ended: false,
    }
}

fn raw(status: u16, headers: &BTreeMap<String, String>, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A body that goes on for as long as somebody reads it.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 * 1024])))))
    }
}
