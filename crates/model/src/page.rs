//! The page that people read of a request, for every target the same.

use crate::id::RequestId;
use crate::record::{Record, Status};
use crate::render::split::split_off;
use crate::render::{Block, Document, Line, Links, Style, parse};
use crate::result::{HighlightsResult, Session, SessionId};

/// The page's own headings are above those of the highlights.
const OWN_LEVELS: u8 = 2;

/// Whose highlights, the question, what [`said`] says, where all sessions and the page are to be seen, and the requestID.
pub fn of(record: &Record, result: Option<&HighlightsResult>, links: &Links<'_>) -> Document {
    let subject = &record.request.subject;
    let line = || Line::new(links);
    let title = line().text("Highlights of ").text(subject.as_field().1).finish();
    let mut blocks = vec![Block::Heading { level: 1, text: title }];
    blocks.extend(question(record, links));
    blocks.extend(said(record, result, links));
    let all = line().link("All sessions of this user", links.sessions(subject));
    blocks.push(Block::Paragraph(all.finish()));
    if let Some(page) = links.page() {
        blocks.push(Block::Paragraph(line().link("Open in the browser", page.clone()).finish()));
    }
    let request = format!("Request {}", record.request_id);
    blocks.push(Block::Paragraph(line().styled(&request, Style::EMPHASIS).finish()));
    Document { blocks }
}

/// The question as a quote, if there is one.
pub fn question(record: &Record, links: &Links<'_>) -> Option<Block> {
    let question = parse::plain(record.request.question.as_ref()?, links).blocks;
    (!question.is_empty()).then_some(Block::Quote(question))
}

/// The highlights and the sessions, or what there is to say instead.
pub fn said(record: &Record, result: Option<&HighlightsResult>, links: &Links<'_>) -> Vec<Block> {
    let line = || Line::new(links);
    let text = match (record.status, result, &record.failure) {
        (Status::Ready, Some(result), _) => return highlights(result, links),
        (Status::Pending, _, _) => line().text("LogRocket is at work on them: ask again in a minute."),
        (status, _, Some(failure)) => line().text(status.as_str()).text(": ").text(&failure.message),
        (status, _, None) => line().text(status.as_str()),
    };
    vec![Block::Paragraph(text.finish())]
}

/// A page that takes more messages than this ends with where the rest is to be read.
pub const MAX_PARTS: usize = 10;
/// For what stands between two blocks, in any target.
const BETWEEN_BLOCKS: usize = 64;

/// The page in documents of at most `max` each, by `measure`; every one behind the first says which it is. The same
/// page always comes in the same parts.
pub fn parts(
    page: Document,
    id: &RequestId,
    links: &Links<'_>,
    max: usize,
    measure: impl Fn(&Document) -> usize,
) -> Vec<Document> {
    if measure(&page) <= max {
        return vec![page];
    }
    let small = |text: String| Block::Paragraph(Line::new(links).styled(&text, Style::EMPHASIS).finish());
    let label = |part: usize, of: usize| small(format!("Part {part} of {of}"));
    let rest = match links.page() {
        Some(page) => {
            let more = Line::new(links).text("There is more than fits here: ");
            let more = more.link("the page in the browser has all of it", page.clone());
            Block::Paragraph(more.text(&format!(", as request {id}")).finish())
        }
        None => small(format!("There is more than fits here: GET /highlights/{id} has all of it.")),
    };
    let added = Document { blocks: vec![label(MAX_PARTS, MAX_PARTS), rest.clone()] };
    let room = max.saturating_sub(measure(&added) + BETWEEN_BLOCKS);
    // One more tells that there is more.
    let mut parts = split_off(page, room, MAX_PARTS + 1, measure);
    if parts.len() > MAX_PARTS {
        parts.truncate(MAX_PARTS);
        if let Some(last) = parts.last_mut() {
            last.blocks.push(rest);
        }
    }
    let of = parts.len();
    for (index, part) in parts.iter_mut().enumerate().skip(1) {
        part.blocks.insert(0, label(index + 1, of));
    }
    parts
}

fn highlights(result: &HighlightsResult, links: &Links<'_>) -> Vec<Block> {
    let mut blocks = parse::markdown(&result.highlights, links).below(OWN_LEVELS).blocks;
    if blocks.is_empty() {
        let text = Line::new(links).text("LogRocket found nothing to say.");
        blocks.push(Block::Paragraph(text.finish()));
    }
    if !result.sessions.is_empty() {
        let title = Line::new(links).text("Sessions").finish();
        blocks.push(Block::Heading { level: OWN_LEVELS, text: title });
        let items = (1..).zip(&result.sessions).map(|(number, each)| session(number, each, links)).collect();
        blocks.push(Block::List { start: None, items });
    }
    blocks
}

/// The link to its recording, and its highlights behind it. A session that cannot be linked is named by its ids.
fn session(number: usize, session: &Session, links: &Links<'_>) -> Vec<Block> {
    let name = format!("Session {number}");
    let line = match links.session(session) {
        Some(url) => Line::new(links).link(&name, url),
        None => {
            let id = match &session.session_id {
                SessionId::Number(number) => number.to_string(),
                SessionId::Text(text) => text.clone(),
            };
            Line::new(links).text(&format!("{name} ({}/{id})", session.recording_id))
        }
    };
    let mut blocks = parse::markdown(&session.highlights, links).below(OWN_LEVELS).blocks;
    match blocks.first_mut() {
        Some(Block::Paragraph(text)) => *text = line.text(": ").then(text).finish(),
        _ => blocks.insert(0, Block::Paragraph(line.finish())),
    }
    blocks
}
