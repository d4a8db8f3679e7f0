//! `GET /`: what every stand-in received, newest first, as a person would see it in that product.
//!
//! All of it is text that strangers wrote: it is escaped, nothing in it is a link, and the page may load nothing.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::text::{escape, printable};
use super::vendor::rfc3339;
use super::{Message, Received, Vendors, World};

/// How many calls are shown.
const SHOWN: usize = 200;

const STYLE: &str = ":root{color-scheme:light dark;--text:#222;--ground:#fff;--note:#595959;--line:#ccc;--good:#1a7f4b;--bad:#c33}\
    @media(prefers-color-scheme:dark){:root{--text:#e6e6e6;--ground:#161616;--note:#a3a3a3;--line:#444;--good:#3fb97a;\
    --bad:#f26d6d}}\
    body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:1.5rem auto;padding:0 1rem;color:var(--text);\
    background:var(--ground)}h1{font-size:1.3rem}h2{font-size:1rem;margin:0}p{margin:.3rem 0}\
    article{border:1px solid var(--line);border-left:.3rem solid var(--good);border-radius:.3rem;padding:.6rem 1rem;\
    margin:1rem 0;overflow-wrap:anywhere}article.refused{border-left-color:var(--bad)}\
    .text{white-space:pre-wrap}.complaint{color:var(--bad)}.note{color:var(--note);font-size:.85rem}";

pub(super) fn router() -> Router<Vendors> {
    Router::new().route("/", get(page))
}

async fn page(State(vendors): State<Vendors>) -> Response {
    let body = html(&vendors.world());
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

fn html(world: &World) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"5\">\
         <title>Stand-in destinations</title><style>{STYLE}</style></head><body><h1>Stand-in destinations</h1>\n"
    );
    if world.received.is_empty() {
        html.push_str("<p>Nothing has come yet. This page looks again every five seconds.</p>\n");
    }
    for call in world.received.iter().rev().take(SHOWN) {
        let message = world.messages.iter().rfind(|message| message.number == call.number);
        html.push_str(&article(call, message));
    }
    let left = world.received.len().saturating_sub(SHOWN);
    if left > 0 {
        html.push_str(&format!("<p class=\"note\">{left} older ones are not shown.</p>\n"));
    }
    html.push_str("</body></html>\n");
    html
}

fn article(call: &Received, message: Option<&Message>) -> String {
    let class = if call.accepted || !call.ended { "taken" } else { "refused" };
    let mut heading = call.kind.product().to_owned();
    if let Some(message) = message {
        heading.push_str(&format!(" · {}", message.place));
        if let Some(thread) = &message.thread {
            heading.push_str(&format!(" · thread {thread}"));
        }
    }
    let status = match (call.status, call.ended) {
        (Some(status), _) => status.to_string(),
        (None, true) => "no answer".to_owned(),
        (None, false) => "under way".to_owned(),
    };
    let mut article = format!("<article class=\"{class}\"><h2>{}</h2>", shown(&heading));
    if let Some(message) = message {
        article.push_str(&format!("<p class=\"text\">{}</p>", escape(&message.text)));
    }
    if let Some(complaint) = &call.complaint {
        article.push_str(&format!(
            "<p class=\"complaint\"><strong>Not accepted:</strong> {}</p>",
            shown(complaint)
        ));
    }
    let mut note = format!("{} · {} {} · {status}", rfc3339(call.at_ms), call.method, call.path);
    if let Some(request) = request_of(call) {
        note.push_str(&format!(" · request {request}"));
    }
    article.push_str(&format!("<p class=\"note\">{}</p></article>\n", shown(&note)));
    article
}

/// The request that it is about: a webhook's id begins with it, and what people read ends with it.
fn request_of(call: &Received) -> Option<String> {
    let body = call.body.to_string();
    let named = match call.headers.get("webhook-id") {
        Some(id) => id,
        None => body.rsplit_once("Request ")?.1,
    };
    let id = named.get(..36)?;
    id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()).then(|| id.to_owned())
}

fn shown(text: &str) -> String {
    escape(&printable(text))
}
