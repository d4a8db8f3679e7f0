//! The pages for people: to callers at `/highlights`, and at `/view` by a signed link, for a browser has no token to show.

use crate::app::{App, table_unavailable};
use crate::http::{accepted, check_size, make_due, not_found, unpack};
use aws::clock;
use aws::http::{html, see_other};
use aws::table::Page;
use lambda_http::http::{HeaderValue, Response, StatusCode, header};
use lambda_http::{Body, Request, RequestExt};
use model::id::RequestId;
use model::problem::{Kind, Problem};
use model::record::{Record, Summary};
use model::render::{Links, SafeUrl};
use model::request::Subject;
use model::result::HighlightsResult;
use model::secrets::RequestSecrets;
use model::time::Time;
use model::token::CallbackKeys;
use model::view_link::{NoEntry, Purpose, ViewLink};
use model::web::{self, Access, Entry};
use std::sync::Arc;

/// `GET /view/{requestID}`
pub async fn view(app: &App, request: &Request, id: &str) -> Result<Response<Body>, Problem> {
    let (link, secrets) = verify(app, request, id, Purpose::View).await?;
    let record = record_of(app, &link).await?;
    let result = unpack(&record)?;
    let now = clock::now();
    let button = link.button(now).relative("", &secrets.callback_keys);
    let access = Access::Link { until: link.expires_at() };
    page(app, &record, result.as_ref(), &access, &button, now)
}

/// `POST /view/{requestID}/redeliver`, by the button of the page, which is shown again. It answers no more than that: a
/// button that is pressed twice has nothing left to do.
pub async fn redeliver(app: &App, request: &Request, id: &str) -> Result<Response<Body>, Problem> {
    let (link, secrets) = verify(app, request, id, Purpose::Redeliver).await?;
    make_due(app, record_of(app, &link).await?).await?;
    Ok(see_other(link.back().relative("../", &secrets.callback_keys).as_str()))
}

/// `GET /highlights/{requestID}`, as a page.
pub async fn of_caller(
    app: &App,
    record: &Record,
    result: Option<&HighlightsResult>,
) -> Result<Response<Body>, Problem> {
    let (now, secrets) = (clock::now(), app.secrets().await?);
    let keys = &secrets.callback_keys;
    let link = link_to(app, &record.request_id, record.created_at, record.expires_at, now);
    let access = Access::Caller {
        until: link.expires_at(),
        history: web::history_url("../", &record.request.subject, None),
        link: url_of(app, &link, "../view/", keys),
    };
    page(app, record, result, &access, &link.button(now).relative("../view/", keys), now)
}

/// `GET /highlights?userEmail=…`, as a page.
pub async fn history<'a>(app: &App, subject: &Subject, page: &'a Page) -> Result<Response<Body>, Problem> {
    let (now, secrets) = (clock::now(), app.secrets().await?);
    let entry = |summary: &'a Summary| {
        let Summary { request_id, created_at, expires_at, .. } = summary;
        let link = link_to(app, request_id, *created_at, *expires_at, now);
        Entry { summary, page: url_of(app, &link, "view/", &secrets.callback_keys) }
    };
    let entries: Vec<Entry<'_>> = page.requests.iter().map(entry).collect();
    let next = page.next.as_ref().map(|next| web::history_url("", subject, Some(&next.encode())));
    Ok(answer(StatusCode::OK, web::history(subject, &entries, next.as_ref())))
}

/// The error as a page.
pub fn problem(problem: &Problem) -> Response<Body> {
    let status = StatusCode::from_u16(problem.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer(status, web::problem(problem));
    if let Some(seconds) = problem.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Whether who asks can show a page: who says nothing can.
pub fn takes_html(request: &Request) -> bool {
    let html = |(range, quality): (String, f32)| {
        quality > 0.0 && ["text/html", "text/*", "*/*"].contains(&range.as_str())
    };
    !request.headers().contains_key(header::ACCEPT) || accepted(request).any(html)
}

fn page(
    app: &App,
    record: &Record,
    result: Option<&HighlightsResult>,
    access: &Access,
    button: &SafeUrl,
    now: Time,
) -> Result<Response<Body>, Problem> {
    let links = Links::new(&app.settings.shared.log_rocket_app_url, &app.settings.shared.app);
    let page = web::request(record, result, &links, access, button, now);
    check_size("a page", &page)?;
    Ok(answer(StatusCode::OK, page))
}

fn answer(status: StatusCode, page: String) -> Response<Body> {
    html(status, &web::content_security_policy(), page)
}

fn link_to(app: &App, id: &RequestId, opened: Time, kept_until: i64, now: Time) -> ViewLink {
    ViewLink::view(id, opened, kept_until, app.settings.shared.view_link_lives, now)
}

/// To be passed on, if it is known what the API is called outside.
fn url_of(app: &App, link: &ViewLink, way: &'static str, keys: &CallbackKeys) -> SafeUrl {
    match &app.settings.shared.public_url {
        Some(public_url) => link.url(public_url, keys),
        None => link.relative(way, keys),
    }
}

/// The link that this request came by, and the secrets whose key made it. The table is not touched before.
async fn verify(
    app: &App,
    request: &Request,
    id: &str,
    purpose: Purpose,
) -> Result<(ViewLink, Arc<RequestSecrets>), Problem> {
    let forged = || {
        let detail =
            "It is not one of ours, or not all of it is there: open the whole link again as it was sent.";
        Problem::new(Kind::Unauthorized, detail)
    };
    let query = request.query_string_parameters();
    let one = |name| match query.all(name)?.as_slice() {
        [one] => Some((*one).to_owned()),
        _ => None,
    };
    let (id, expires, signature) = (RequestId::parse(id), one("expires"), one("signature"));
    let (Some(id), Some(expires), Some(signature)) = (id, expires, signature) else { return Err(forged()) };
    let open = |secrets: &RequestSecrets| {
        ViewLink::verify(purpose, &id, &expires, &signature, &secrets.callback_keys, clock::now())
    };
    let mut secrets = app.secrets().await?;
    let mut opened = open(&secrets);
    // It may be made with a key that was added since the secrets were read.
    if opened == Err(NoEntry::Forged)
        && let Some(refreshed) = app.secrets.refresh(clock::now()).await
    {
        opened = open(&refreshed);
        secrets = refreshed;
    }
    match opened {
        Ok(link) => Ok((link, secrets)),
        Err(NoEntry::Forged) => Err(forged()),
        Err(NoEntry::Expired) => Err(Problem::new(Kind::Gone, too_late(purpose))),
    }
}

fn too_late(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::View => {
            "What it showed may still be there: whoever may call the API gets a new link from the request's page, at \
             GET /highlights/{requestID} with Accept: text/html."
        }
        Purpose::Redeliver => {
            "The button of a page works for an hour. Open the page's link again, and press it there."
        }
    }
}

/// The request that the link was made for, and not one that took its place.
async fn record_of(app: &App, link: &ViewLink) -> Result<Record, Problem> {
    let found = app.table.get(link.request_id(), clock::now()).await;
    let found = found.map_err(|error| table_unavailable(&error))?;
    found.filter(|record| record.created_at == link.opened()).ok_or_else(not_found)
}
