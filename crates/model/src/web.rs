//! The pages that a browser shows: a request with its deliveries, a user's history, and what is said where neither can
//! be shown.
//!
//! A page is one file of a few kilobytes: no script, no font, no image, nothing from elsewhere. Its policy lets a browser
//! load nothing and apply the one style sheet that stands in it, by its hash. What it shows is hostile text, which reaches
//! it as a [`Document`] or through [`html::Html::text`].

mod html;

use crate::delivery::{DeliveryState, OutcomeKind};
use crate::destination::Target;
use crate::page;
use crate::problem::{Kind, Problem};
use crate::record::{Record, Status, Summary};
use crate::render::clean::one_line;
use crate::render::links::in_query;
use crate::render::{Document, Links, SafeUrl};
use crate::request::Subject;
use crate::result::HighlightsResult;
use crate::time::Time;
use crate::view::{ShownDelivery, shown_deliveries};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use html::{Attribute, Html};
use sha2::{Digest, Sha256};
use std::time::Duration;

const STYLE: &str = include_str!("web/style.css");
/// How often a page looks again while something is about to change.
const REFRESH_SECONDS: u32 = 10;
/// A delivery that is due later than this is not waited for.
const SOON: Duration = Duration::from_secs(120);

/// The `Content-Security-Policy` of every page here.
pub fn content_security_policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// How somebody came to see a request's page.
#[derive(Clone, Debug)]
pub enum Access {
    /// By a signed link, which opens this request and nothing else.
    Link { until: Time },
    /// As a caller of the API, who may see and pass on everything.
    Caller {
        /// A link that opens this page in a browser, and until when.
        link: SafeUrl,
        until: Time,
        /// All requests about this user.
        history: SafeUrl,
    },
}

/// The page of one request. `redeliver` is where its button posts to; the button is there only while there is something
/// to deliver again.
pub fn request(
    record: &Record,
    result: Option<&HighlightsResult>,
    links: &Links<'_>,
    access: &Access,
    redeliver: &SafeUrl,
    now: Time,
) -> String {
    let subject = record.request.subject.as_field().1;
    let title = Html::text("Highlights of ").then(Html::name(subject));
    let mut asked = status(record.status).then(Html::text(" Asked ")).then(Html::time(record.created_at));
    if let Some(completed_at) = record.completed_at {
        asked = asked.then(Html::text(", ended ")).then(Html::time(completed_at));
    }
    let mut facts = paragraph(asked);
    if let Some(range) = record.request.time_range {
        let range = Html::text("Recordings from ")
            .then(Html::time(Time(range.start_ms)))
            .then(Html::text(" to "))
            .then(Html::time(Time(range.end_ms)));
        facts = facts.then(paragraph(range));
    }
    let question = page::question(record, links);
    let question = Html::document(&Document { blocks: question.into_iter().collect() });
    let sessions = Html::link(
        &links.sessions(&record.request.subject),
        &[],
        Html::text("All sessions of this user in LogRocket"),
    );
    let main = question
        .then(said(record, result, links))
        .then(paragraph(sessions))
        .then(deliveries(record, redeliver, now));
    let body = header(title, facts).then(Html::tag("main", &[], main)).then(Html::tag(
        "footer",
        &[],
        footer(record, access),
    ));
    let refresh = is_about_to_change(record, now).then_some(REFRESH_SECONDS);
    Html::page(&format!("Highlights of {subject}"), STYLE, refresh, body)
}

/// One request of a history, and where it is shown.
pub struct Entry<'a> {
    pub summary: &'a Summary,
    pub page: SafeUrl,
}

/// The requests about one user, newest first; `next` leads to older ones.
pub fn history(subject: &Subject, entries: &[Entry<'_>], next: Option<&SafeUrl>) -> String {
    let name = subject.as_field().1;
    let title = Html::text("History of ").then(Html::name(name));
    let entry = |Entry { summary, page }: &Entry<'_>| {
        let when = Html::time(summary.created_at).then(Html::text(" ")).then(status(summary.status));
        let asked = summary.request.question.as_deref().filter(|text| !one_line(text).trim().is_empty());
        let asked = asked.map_or_else(|| Html::text("What the user did"), Html::name);
        let why = summary.failure.as_ref().map_or_else(Html::default, |failure| {
            Html::tag("p", &[("class", "note")], Html::text(&failure.message))
        });
        let page = Html::link(page, &[], asked);
        Html::tag("li", &[], paragraph(when).then(paragraph(page)).then(why))
    };
    let main = match entries {
        [] => paragraph(Html::text("Nobody has asked about this user, or their time is over.")),
        all => Html::tag("ol", &[("class", "timeline")], all.iter().map(entry).collect()),
    };
    let next = next.map_or_else(Html::default, |next| {
        Html::tag("nav", &[], Html::link(next, &[], Html::text("Older requests")))
    });
    let facts = paragraph(Html::text("What was asked about this user, newest first."));
    let body = header(title, facts).then(Html::tag("main", &[], main.then(next)));
    Html::page(&format!("History of {name}"), STYLE, None, body)
}

/// Where a history stands, as seen from a page of ours: `way` leads from there to the API's own path. `cursor` is where
/// it goes on.
pub fn history_url(way: &'static str, subject: &Subject, cursor: Option<&str>) -> SafeUrl {
    let (field, name) = subject.as_field();
    let cursor = cursor.map(|cursor| format!("&cursor={}", in_query(cursor))).unwrap_or_default();
    SafeUrl::relative(&format!("{way}highlights?{field}={}{cursor}", in_query(name)))
}

/// Why a link shows nothing.
pub fn problem(problem: &Problem) -> String {
    let title = match problem.kind {
        Kind::Unauthorized => "This link does not fit",
        Kind::Gone => "This link has expired",
        Kind::NotFound => "There is nothing here any more",
        other => other.title(),
    };
    let main = paragraph(Html::text(&problem.detail));
    let body = header(Html::text(title), Html::default()).then(Html::tag("main", &[], main));
    Html::page(title, STYLE, None, body)
}

fn header(title: Html, facts: Html) -> Html {
    let what = paragraph(Html::text("LogRocket Galileo"));
    Html::tag("header", &[], what.then(Html::tag("h1", &[], title)).then(facts))
}

fn said(record: &Record, result: Option<&HighlightsResult>, links: &Links<'_>) -> Html {
    let heading = |text: &str| Html::tag("h2", &[], Html::text(text));
    let said = match record.status {
        Status::Pending => heading("Not there yet").then(paragraph(Html::text(
            "LogRocket is at work on them, which takes one to three minutes. This page looks again every ten seconds.",
        ))),
        status => {
            let title = if status == Status::Ready { "Summary" } else { "Why there are none" };
            let blocks = page::said(record, result, links);
            heading(title).then(Html::document(&Document { blocks }))
        }
    };
    Html::tag("section", &[("class", "said")], said)
}

fn deliveries(record: &Record, redeliver: &SafeUrl, now: Time) -> Html {
    let all = shown_deliveries(record);
    if all.is_empty() {
        return Html::default();
    }
    let cell = |name: &'static str, attributes: &[Attribute], text: &str| {
        Html::tag(name, attributes, Html::text(text))
    };
    const COLUMN: &[Attribute] = &[("scope", "col"), ("role", "columnheader")];
    let columns = ["Destination", "Status", "When and why"].map(|name| cell("th", COLUMN, name));
    let columns = Html::tag("tr", &[("role", "row")], columns.into_iter().collect());
    let columns = Html::tag("thead", &[("role", "rowgroup")], columns);
    let rows = all.iter().map(|delivery| row(record, delivery, now)).collect();
    let rows = Html::tag("tbody", &[("role", "rowgroup")], rows);
    // On a narrow screen it is laid out as a list, which makes browsers forget that it is a table.
    let table = Html::tag("table", &[("role", "table")], columns.then(rows));
    let button = match record.redeliver(now) {
        Some(_) => {
            note("Whoever was given up is told again, and whoever waits for another try is told at once.")
                .then(Html::button(redeliver, "Deliver again"))
        }
        None => Html::default(),
    };
    Html::tag("section", &[], cell("h2", &[], "Deliveries").then(table).then(button))
}

fn row(record: &Record, delivery: &ShownDelivery<'_>, now: Time) -> Html {
    let mark = delivery.mark;
    // A try that has begun, or is about to.
    let under_way =
        mark.is_none_or(|mark| mark.next_at <= now || mark.in_flight_until.is_some_and(|end| end > now));
    let (class, state) = match (delivery.state(), delivery.outcome) {
        (DeliveryState::Delivered, _) => ("status good", "Delivered"),
        (DeliveryState::Failed, _) => ("status bad", "Given up"),
        (DeliveryState::Skipped, _) => ("status none", "Not wanted"),
        (DeliveryState::Pending, None) => ("status none", "When there is an outcome"),
        (DeliveryState::Pending, Some(_)) if under_way => ("status wait", "Under way"),
        (DeliveryState::Pending, Some(_)) => ("status wait", "To be tried again"),
    };
    let delivered = mark.and_then(|mark| mark.delivered_at).map(|at| paragraph(Html::time(at)));
    let error = mark.and_then(|mark| mark.last_error.as_deref());
    let error = error.map(|error| paragraph(Html::name(error)));
    let next = delivery.next_at.filter(|_| !under_way);
    let next = next.map(|at| paragraph(Html::text("Next try ").then(Html::time(at))));
    let why = [delivered, error, next].into_iter().flatten().collect();
    let of_failure = delivery.outcome == Some(OutcomeKind::Failure) && record.status == Status::Ready;
    let of_failure = of_failure.then(|| note("of the failure before the result"));
    let (product, place) = place(&delivery.destination.target);
    let place = (!place.is_empty()).then(|| note(&place));
    let place = [Some(Html::text(&format!("{product} "))), place, of_failure].into_iter().flatten().collect();
    let cells = Html::tag("th", &[("scope", "row"), ("role", "rowheader")], place)
        .then(Html::tag("td", &[("role", "cell")], badge(class, state)))
        .then(Html::tag("td", &[("role", "cell")], why));
    Html::tag("tr", &[("role", "row")], cells)
}

/// The product, and where in it, by nearly the words that callers have for it. Of a URL only the host: a page is seen by
/// more people than the API, and whoever has some services' URLs may post to them.
fn place(target: &Target) -> (&'static str, String) {
    let product = match target {
        Target::SlackChannel { .. } | Target::SlackWebhook { .. } => "Slack",
        Target::Zendesk { .. } => "Zendesk",
        Target::Intercom { .. } => "Intercom",
        Target::Hubspot { .. } => "HubSpot",
        Target::Salesforce { .. } => "Salesforce",
        Target::Teams { .. } => "Microsoft Teams",
        Target::EventBridge { .. } => "EventBridge",
        Target::StepFunctions { .. } => "Step Functions",
        Target::Webhook { url } => {
            let url = url::Url::parse(url).ok();
            let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
            return ("Webhook", host.to_owned());
        }
    };
    let shown = target.to_public_json();
    let fields = shown.as_object().into_iter().flatten().filter(|(name, _)| *name != "type");
    // `ticketID 7` is ticket 7 to people.
    let word = |name: &str| name.trim_end_matches("ID").trim_end_matches("Ts").to_owned();
    let fields = fields.map(|(name, value)| format!("{} {}", word(name), value.as_str().unwrap_or_default()));
    (product, fields.collect::<Vec<_>>().join(", "))
}

fn footer(record: &Record, access: &Access) -> Html {
    let request = paragraph(Html::text(&format!("Request {}", record.request_id)));
    let until = |words: &str, until: Time| Html::text(words).then(Html::time(until)).then(Html::text("."));
    match access {
        Access::Link { until: end } => {
            request.then(paragraph(until("Whoever has this page's link sees this page, until ", *end)))
        }
        Access::Caller { link, until: end, history } => {
            let link = Html::link(link, &[], Html::text("A link for the browser"));
            let link = link.then(until(" shows this page to whoever has it, until ", *end));
            let history = Html::link(history, &[], Html::text("All requests about this user"));
            request.then(paragraph(link)).then(paragraph(history))
        }
    }
}

/// Whether whoever looks at the page will soon see something else.
fn is_about_to_change(record: &Record, now: Time) -> bool {
    let delivery = shown_deliveries(record).into_iter().filter_map(|delivery| delivery.next_at).min();
    record.status == Status::Pending || delivery.is_some_and(|at| at <= now.plus(SOON))
}

fn status(status: Status) -> Html {
    match status {
        Status::Pending => badge("status wait", "In progress"),
        Status::Ready => badge("status good", "Ready"),
        Status::Failed => badge("status bad", "Failed"),
        Status::Expired => badge("status bad", "Expired"),
    }
}

fn badge(class: &'static str, text: &str) -> Html {
    Html::tag("span", &[("class", class)], Html::text(text))
}

fn note(text: &str) -> Html {
    Html::tag("p", &[("class", "note")], Html::text(text))
}

fn paragraph(inside: Html) -> Html {
    Html::tag("p", &[], inside)
}
