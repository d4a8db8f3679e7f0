use crate::{BETWEEN, NOW, as_text};
use judges::{markdown as markdown_judge, split as split_judge, targets, with_links};
use model::id::RequestId;
use model::page::{self, MAX_PARTS};
use model::record::Record;
use model::render::{self, Document};
use model::request::{NewRequest, RequestRules};
use model::result::{HighlightsResult, Session, SessionId, StoredResult};
use model::rules::{News, NewsOutcome, Origin, Received, Rules};
use serde_json::json;

/// Highlights as Markdown.
pub fn markdown(bytes: &[u8]) {
    markdown_judge::check(&as_text(bytes));
}

/// Highlights as Zendesk and Intercom are sent them.
pub fn html(bytes: &[u8]) {
    targets::documents(&as_text(bytes)).iter().for_each(targets::html);
}

/// Highlights as Slack is sent them.
pub fn slack(bytes: &[u8]) {
    targets::documents(&as_text(bytes)).iter().for_each(targets::slack);
}

/// Highlights as Teams is sent them.
pub fn card(bytes: &[u8]) {
    targets::documents(&as_text(bytes)).iter().for_each(targets::card);
}

/// Highlights where no markup is read.
pub fn text(bytes: &[u8]) {
    targets::documents(&as_text(bytes)).iter().for_each(targets::text);
}

type Measure = fn(&Document) -> usize;

/// In the units that vendors count in.
const MEASURES: [Measure; 4] = [
    |document| render::slack::write(document).encode_utf16().count(),
    |document| render::html::write(document).len(),
    |document| render::text::write(document).encode_utf16().count(),
    |document| json!({ "body": render::card::body(document) }).to_string().len(),
];

/// A limit, [`BETWEEN`], and highlights: they come in parts of at most that, and nothing is lost.
pub fn split(bytes: &[u8]) {
    let text = as_text(bytes);
    let (max, text) = text.split_once(BETWEEN).unwrap_or(("0", &text));
    let max = max.parse().unwrap_or(0) % 5_000;
    let document = split_judge::document(text);
    // A link's URL is in each of its parts.
    let longest = judges::shown(&render::markdown::write(&document), pulldown_cmark::Options::empty()).1;
    let longest = longest.iter().map(String::len).max().unwrap_or(0);
    for measure in MEASURES {
        for part in split_judge::parts(&document, max, measure) {
            let fits = max < split_judge::ROOM_FOR_A_CHARACTER + longest * 2 || measure(&part) <= max;
            assert!(fits, "{} > {max}: {:?}", measure(&part), render::markdown::write(&part));
        }
    }
}

/// A whole page: the user, the question, the highlights, a recording and its highlights, parted by [`BETWEEN`]; for
/// every target, and in the messages that it takes.
pub fn page(bytes: &[u8]) {
    let text = as_text(bytes);
    let mut texts = text.split(BETWEEN).map(str::to_owned);
    let mut next = || texts.next().unwrap_or_default();
    let mut body = json!({ "userID": next() });
    let question = next();
    if !question.trim().is_empty() {
        body["question"] = json!(question);
    }
    let (highlights, recording_id) = (next(), next());
    let session = |session_id| Session {
        recording_id: recording_id.clone(),
        session_id,
        highlights: texts.next().unwrap_or_default(),
    };
    let sessions = [SessionId::Number(0), SessionId::Text(question)].map(session).into();
    let Ok(request) = NewRequest::parse(body.to_string().as_bytes(), &RequestRules::default()) else {
        return;
    };
    let result = HighlightsResult { highlights, sessions };
    let Some(record) = ready(request, &result) else { return };
    with_links(|links| {
        let page = page::of(&record, Some(&result), links);
        let written = render::markdown::write(&page);
        markdown_judge::judge(&written);
        for judge in [targets::html, targets::slack, targets::card, targets::text] {
            judge(&page);
        }
        let whole = judges::shown(&written, pulldown_cmark::Options::empty()).0;
        for (measure, max) in MEASURES.iter().flat_map(|measure| [(measure, 2_000), (measure, 20_000)]) {
            let parts = page::parts(page.clone(), &record.request_id, links, max, measure);
            assert!((1..=MAX_PARTS).contains(&parts.len()));
            assert!(parts.len() > 1 || measure(&page) > max || parts[0] == page);
            for part in &parts {
                markdown_judge::judge(&render::markdown::write(part));
            }
            let shown: usize = parts.iter().map(letters).sum();
            let rest = parts.len() == MAX_PARTS;
            assert!(rest || shown >= letters(&page), "{shown} of {whole:?}");
        }
    });
}

fn letters(document: &Document) -> usize {
    let (shown, _) = judges::shown(&render::markdown::write(document), pulldown_cmark::Options::empty());
    shown.chars().filter(|c| c.is_alphanumeric()).count()
}

fn ready(request: NewRequest, result: &HighlightsResult) -> Option<Record> {
    let origin = Origin { caller: "ops".into(), opening: "run".into() };
    let rules = Rules::default();
    let record = Record::open(RequestId::for_key("a", "b"), origin, request, None, NOW, &rules);
    let outcome = NewsOutcome::Ready(StoredResult::pack(result).ok()?);
    let news = News { opened: NOW, attempt: 1, log_rocket_request_id: "0cc1".into(), outcome };
    match record.receive(&news, NOW, &rules) {
        Received::Changed(next) => Some(*next),
        other => panic!("{other:?}"),
    }
}
