//! Of documents in parts.

use crate::{shown, solid, with_links};
use model::render::{Document, markdown, parse, split};

/// Six quotes or lists in each other and one character, linked, take less than this in any target's unit.
pub const ROOM_FOR_A_CHARACTER: usize = 500;

/// The input read as Markdown.
pub fn document(input: &str) -> Document {
    with_links(|links| parse::markdown(input, links))
}

/// The text that is seen, without the spaces, and where it leads.
fn seen(document: &Document) -> (String, Vec<String>) {
    let (text, links) = shown(&markdown::write(document), pulldown_cmark::Options::empty());
    (solid(&text), links)
}

/// Checks what holds of any parts, and returns them.
pub fn parts(document: &Document, max: usize, measure: impl Fn(&Document) -> usize) -> Vec<Document> {
    let parts = split::split(document.clone(), max, measure);
    let (text, mut links) = seen(document);
    assert_eq!(parts.iter().map(|part| seen(part).0).collect::<String>(), text);
    // A link that is cut is in both parts.
    let mut found: Vec<String> = parts.iter().flat_map(|part| seen(part).1).collect();
    found.dedup();
    links.dedup();
    assert_eq!(found, links);
    assert!(!parts.is_empty());
    assert!(parts.len() == 1 || parts.iter().all(|part| !part.blocks.is_empty()));
    // What is written of a part is read as that part.
    for part in &parts {
        let written = markdown::write(part);
        assert_eq!(markdown::write(&self::document(&written)), written);
    }
    parts
}
