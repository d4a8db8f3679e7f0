//! The pages that a browser shows, whole, and judged by a parser of HTML. The expected ones are in `snapshots/`, to be read.

#![cfg(test)]

mod shared;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use judges::with_links;
use model::delivery::{DeliveryAnswer, Progress};
use model::problem::{Kind, Problem};
use model::record::{Record, Summary};
use model::render::{Links, SafeUrl};
use model::request::Subject;
use model::result::{HighlightsResult, StoredResult};
use model::rules::{NewsOutcome, Rules};
use model::time::Time;
use model::token::CallbackKeys;
use model::view_link::ViewLink;
use model::web::{self, Access, Entry};
use proptest::prelude::*;
use scraper::{ElementRef, Html, Selector};
use secrecy::SecretSlice;
use serde_json::json;
use sha2::{Digest, Sha256};
use shared::pages::{NOW, documented, opened, received, result, session};
use shared::{check_file, piece};
use std::time::Duration;

const LATER: Time = Time(NOW.0 + 120_000);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn keys() -> CallbackKeys {
    CallbackKeys::new(vec![SecretSlice::from(vec![7; 32])]).unwrap()
}

fn link_to(record: &Record) -> ViewLink {
    ViewLink::view(&record.request_id, record.created_at, record.expires_at, WEEK, NOW)
}

/// To whoever has the link.
fn page(record: &Record) -> String {
    let link = link_to(record);
    page_for(record, &Access::Link { until: link.expires_at() }, &link.button(NOW).relative("", &keys()))
}

fn page_for(record: &Record, access: &Access, button: &SafeUrl) -> String {
    let result = record.unpack_result().unwrap();
    with_links(|links: &Links<'_>| web::request(record, result.as_ref(), links, access, button, LATER))
}

fn page_of_caller(record: &Record) -> String {
    let link = link_to(record);
    let access = Access::Caller {
        link: link.url(&"https://highlights.example.com".parse().unwrap(), &keys()),
        until: link.expires_at(),
        history: web::history_url("../", &record.request.subject, None),
    };
    page_for(record, &access, &link.button(NOW).relative("../view/", &keys()))
}

fn ready(body: &str, result: &HighlightsResult) -> Record {
    received(&opened(body), NewsOutcome::Ready(StoredResult::pack(result).unwrap()))
}

const ALICE: &str = r#"{"userEmail":"alice@example.com","question":"Why did checkout fail?"}"#;
const TOLD: &str = r#"{"userEmail":"alice@example.com","question":"Why did checkout fail?",
    "timeRange":{"startMs":1715394630000,"endMs":1715481030000},
    "webhookURL":"https://hooks.example.com/catch/hush/secret?hush",
    "destinations":[{"type":"slack","channel":"C0123456789"},{"type":"zendesk","ticketID":35436},
        {"type":"teams","webhook":"support"},{"type":"stepFunctions","taskToken":"hush"}]}"#;

/// Delivered, given up, waiting for its next try, and one that nobody has looked at.
fn told(error: &str) -> Record {
    let ready = ready(TOLD, &documented());
    let (mut record, tries) = ready.claim_deliveries(LATER, &Rules::default()).unwrap();
    let (error, progress) = (error.to_owned(), Progress::default());
    let answers = [
        DeliveryAnswer::Delivered { external_id: Some("1715481.5".into()) },
        DeliveryAnswer::Refused { error: error.clone(), progress: progress.clone() },
        DeliveryAnswer::Again { error, retry_after: None, progress },
    ];
    for (this, answer) in tries.iter().zip(&answers) {
        record = record.end_delivery(this, answer, 0.5, LATER).unwrap();
    }
    record
}

fn all(document: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    document.select(&selector).map(|element| text(&element)).collect()
}

fn text(element: &ElementRef<'_>) -> String {
    element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nothing but what a page may be made of, in an order that a screen reader can follow.
fn judge(page: &str) -> Html {
    let document = Html::parse_document(page);
    assert_eq!(document.errors, Vec::<String>::new(), "{page}");
    let mut level = 0;
    for element in document.tree.nodes().filter_map(ElementRef::wrap) {
        let name = element.value().name();
        let known = [
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "header",
            "main",
            "section",
            "footer",
            "nav",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "p",
            "span",
            "bdi",
            "time",
            "a",
            "blockquote",
            "ul",
            "ol",
            "li",
            "strong",
            "em",
            "code",
            "pre",
            "br",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "form",
            "button",
        ];
        assert!(known.contains(&name), "<{name}> in {page}");
        for (attribute, value) in element.value().attrs() {
            let is_fine = match (name, attribute) {
                ("a", "href") => [
                    "https://app.logrocket.com/",
                    "https://highlights.example.com/view/",
                    "../highlights?",
                    "view/",
                ]
                .iter()
                .any(|start| value.starts_with(start)),
                ("a", "rel") => value == "noopener noreferrer",
                ("form", "action") => value.contains("/redeliver?expires=") && !value.contains(':'),
                ("form", "method") => value == "post",
                ("meta", "http-equiv") => value == "refresh",
                ("meta", "content") => !value.contains("url"),
                ("time", "datetime") => value.ends_with('Z'),
                ("ol", "start") => value.parse::<u32>().is_ok(),
                ("html", "lang") => value == "en",
                ("meta", "charset" | "name") | (_, "class" | "role" | "scope") => true,
                _ => false,
            };
            assert!(is_fine, "<{name} {attribute}={value:?}> in {page}");
        }
        if let Some(heading) = name.strip_prefix('h').and_then(|level| level.parse::<u32>().ok()) {
            // Those of the highlights are their own, below ours.
            assert!(heading <= level + 1 || level >= 2, "h{heading} below h{level} in {page}");
            level = heading;
        }
    }
    for (landmark, count) in [("h1", 1), ("main", 1), ("header", 1), ("title", 1), ("style", 1)] {
        assert_eq!(all(&document, landmark).len(), count, "{landmark} in {page}");
    }
    assert!(all(&document, "th[scope]").len() == all(&document, "th").len());
    assert!(all(&document, "button, a, title, h1, th").iter().all(|text| !text.is_empty()), "{page}");
    assert!(page.contains(r#"<meta name="viewport" content="width=device-width, initial-scale=1">"#));
    document
}

/// Without its style, a line for each block.
fn check(name: &str, page: &str) {
    judge(page);
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let mut written = format!("{head}{body}");
    for end in ["</head>", "</p>", "</li>", "</h1>", "</h2>", "</tr>", "</header>", "</section>", "</main>"] {
        written = written.replace(end, &format!("{end}\n"));
    }
    check_file(&format!("web_{name}.html"), &written);
}

#[test]
fn the_documented_example_is_a_small_page() {
    let page = page(&ready(ALICE, &documented()));
    check("documented", &page);
    assert!(page.len() < 15_000, "{} bytes", page.len());
    assert!(!page.contains("http-equiv"), "it stays as it is");
}

#[test]
fn deliveries_are_told_in_words_and_what_failed_has_a_button() {
    let record = told("the ticket is closed");
    let page = page(&record);
    check("deliveries", &page);
    let document = judge(&page);
    assert_eq!(
        all(&document, "tbody th"),
        [
            "Slack channel C0123456789",
            "Zendesk ticket 35436",
            "Microsoft Teams webhook support",
            "Step Functions",
            "Webhook hooks.example.com"
        ]
    );
    assert_eq!(
        all(&document, "tbody .status"),
        ["Delivered", "Given up", "To be tried again", "Under way", "Under way"]
    );
    assert_eq!(all(&document, "form button").len(), 1);
    // It looks again while something is under way.
    assert!(page.contains("http-equiv"));
    assert!(!page.contains("hush"), "{page}");
}

#[test]
fn the_button_is_there_only_while_there_is_something_to_deliver_again() {
    let nobody = ready(ALICE, &documented());
    let (claimed, tries) = ready(TOLD, &documented()).claim_deliveries(LATER, &Rules::default()).unwrap();
    let delivered = tries.iter().fold(claimed.clone(), |record, this| {
        let answer = DeliveryAnswer::Delivered { external_id: None };
        record.end_delivery(this, &answer, 0.5, LATER).unwrap()
    });
    for record in [nobody, claimed, delivered.clone()] {
        assert!(!page(&record).contains("<form"));
    }
    assert!(!page(&delivered).contains("http-equiv"));
}

#[test]
fn pending_failed_and_expired_say_so_and_only_pending_looks_again() {
    let pending = opened(TOLD);
    check("pending", &page(&pending));
    assert!(page(&pending).contains(r#"<meta http-equiv="refresh" content="10">"#));
    assert_eq!(all(&judge(&page(&pending)), "tbody .status"), ["When there is an outcome"; 5]);

    let expired = opened(ALICE).expire(NOW, &Rules::default()).unwrap();
    let failed = opened(ALICE).fail(NOW, &Rules::default()).unwrap();
    check("failed", &page(&failed));
    for (record, status) in [(expired, "Expired"), (failed, "Failed")] {
        let document = judge(&page(&record));
        assert_eq!(all(&document, "header .status"), [status]);
        let said = all(&document, "section").join(" ");
        assert!(said.contains(&record.failure.as_ref().unwrap().message), "{said}");
        assert!(!page(&record).contains("http-equiv"));
    }
}

#[test]
fn a_caller_is_given_a_link_to_pass_on_and_the_history_and_who_has_a_link_is_not() {
    let record = ready(ALICE, &documented());
    let page_of_caller = page_of_caller(&record);
    check("caller", &page_of_caller);
    let link = link_to(&record).url(&"https://highlights.example.com".parse().unwrap(), &keys());
    let link = link.as_str().replace('&', "&amp;");
    assert!(page_of_caller.contains(&format!("<a href=\"{link}\"")), "{page_of_caller}");
    let page = page(&record);
    assert!(!page.contains("/view/") && !page.contains("highlights?"), "{page}");
}

#[test]
fn a_history_is_a_timeline_of_links() {
    let url = |record: &Record| link_to(record).relative("view/", &keys());
    let records = [
        ready(ALICE, &documented()),
        opened(r#"{"userEmail":"alice@example.com"}"#),
        opened(ALICE).fail(NOW, &Rules::default()).unwrap(),
    ];
    let summaries = records.each_ref().map(Summary::from);
    let entries: Vec<_> = summaries
        .iter()
        .zip(&records)
        .map(|(summary, record)| Entry { summary, page: url(record) })
        .collect();
    let subject = Subject::Email("alice@example.com".into());
    let next = web::history_url("../", &subject, Some("a b&c"));
    assert_eq!(next.as_str(), "../highlights?userEmail=alice%40example.com&cursor=a%20b%26c");
    let history = web::history(&subject, &entries, Some(&next));
    check("history", &history);
    let document = judge(&history);
    assert_eq!(
        all(&document, ".timeline a"),
        ["Why did checkout fail?", "What the user did", "Why did checkout fail?"]
    );
    assert_eq!(all(&document, ".timeline .status"), ["Ready", "In progress", "Failed"]);
    assert_eq!(all(&document, "nav a"), ["Older requests"]);
    assert!(all(&judge(&web::history(&subject, &[], None)), "ol, nav").is_empty());
}

#[test]
fn what_a_link_does_not_show_is_said_on_a_page() {
    let expired = web::problem(&Problem::new(Kind::Gone, "Ask for <a> new one."));
    check("expired_link", &expired);
    assert_eq!(all(&judge(&expired), "h1"), ["This link has expired"]);
    for kind in
        [Kind::Unauthorized, Kind::NotFound, Kind::TooLarge, Kind::Unavailable, Kind::MethodNotAllowed]
    {
        judge(&web::problem(&Problem::new(kind, "x")));
    }
}

#[test]
fn the_policy_allows_the_one_style_that_is_in_the_page_and_nothing_else() {
    let page = page(&ready(ALICE, &documented()));
    let (_, rest) = page.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let hash = STANDARD.encode(Sha256::digest(style));
    assert_eq!(
        web::content_security_policy(),
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
    );
    for from_elsewhere in ["url(", "@import", "http"] {
        assert!(!style.contains(from_elsewhere), "{from_elsewhere}");
    }
}

/// The style's colours by name, of the light scheme and of the dark one.
fn colours(style: &str) -> [Vec<(String, [f64; 3])>; 2] {
    let (light, dark) = style.split_once("@media(prefers-color-scheme:dark)").unwrap();
    [light, dark].map(|scheme| {
        let scheme = scheme.split_once('}').unwrap().0;
        let pairs =
            scheme.split([';', '{', '\n']).filter_map(|pair| pair.strip_prefix("--")?.split_once(":#"));
        pairs
            .map(|(name, hex)| {
                let wide =
                    if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
                let part = |at: usize| {
                    let part = f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0;
                    if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
                };
                (name.to_owned(), [part(0), part(2), part(4)])
            })
            .collect()
    })
}

/// WCAG 2.2, 1.4.3: at least 4.5 to 1.
#[test]
fn every_text_stands_out_from_its_ground_in_both_schemes() {
    let page = page(&ready(ALICE, &documented()));
    for scheme in colours(&page) {
        assert_eq!(scheme.len(), 12, "{scheme:?}");
        let luminance = |wanted: &str| {
            let (_, [red, green, blue]) = scheme.iter().find(|(name, _)| name == wanted).unwrap();
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        for (text, ground) in [
            ("text", "ground"),
            ("text", "raised"),
            ("soft", "ground"),
            ("soft", "raised"),
            ("link", "ground"),
            // Of the button.
            ("ground", "link"),
            ("good", "good-ground"),
            ("wait", "wait-ground"),
            ("bad", "bad-ground"),
        ] {
            let (a, b) = (luminance(text), luminance(ground));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_strangers_wrote_acts_on_any_page(pieces in prop::collection::vec(piece(), 1..16)) {
        let hostile = pieces.concat();
        let asked = if hostile.trim().is_empty() { "x" } else { &hostile };
        let named = |question: &str| json!({
            "userID": asked, "question": question,
            "destinations": [{ "type": "slack", "channel": "C1" }, { "type": "zendesk", "ticketID": 1 }],
        });
        let found = result(&hostile, vec![session(&hostile, 0, &hostile)]);
        let ready = ready(&named(asked).to_string(), &found);
        let (claimed, tries) = ready.claim_deliveries(LATER, &Rules::default()).unwrap();
        let refused = DeliveryAnswer::Refused { error: hostile.clone(), progress: Progress::default() };
        let record = claimed.end_delivery(&tries[0], &refused, 0.5, LATER).unwrap();
        judge(&page(&record));
        judge(&page_of_caller(&record));
        let summary = Summary::from(&record);
        let url = link_to(&record).relative("view/", &keys());
        let entries = [Entry { summary: &summary, page: url }];
        judge(&web::history(&record.request.subject, &entries, None));
        judge(&web::problem(&Problem::new(Kind::Gone, hostile)));
    }
}
