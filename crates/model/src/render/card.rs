//! The body of an Adaptive Card (1.2 and later) for Teams.
//!
//! A `TextBlock` reads bold, italics, lists and links of Markdown, and nothing else
//! (<https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features>,
//! <https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format>). So headings are
//! heavier text blocks, quotes are containers in the emphasis style, and blocks of code are monospaced text. Code in a
//! line has no form: it is text, and what viewers could make a link of stands in brackets, such as `evil(.)com`: round ones,
//! since a backslash before a square one may be shown on a phone.
//! Escaped braces keep `{{DATE(…)}}` and `${…}`, which cards would compute, from being either. A card that goes to a
//! Workflows URL may have 28 KB.

use super::layout::Leaves;
use super::markdown::Dialect;
use super::{Block, CodeText, Document, Inline, Span, Style, defang, layout};
use serde_json::{Value, json};

/// The elements, from the top.
pub fn body(document: &Document) -> Vec<Value> {
    elements(&document.blocks)
}

/// It calls itself as deep as the document is.
fn elements(blocks: &[Block]) -> Vec<Value> {
    let mut all = Vec::with_capacity(blocks.len());
    for block in blocks {
        match block {
            Block::Paragraph(text) => all.push(text_block(&Card.line(text))),
            Block::Heading { level, text } => {
                let mut heading = text_block(&Card.line(text));
                heading["weight"] = json!("Bolder");
                heading["size"] = json!(match level {
                    0 | 1 => "Large",
                    2 => "Medium",
                    _ => "Default",
                });
                all.push(heading);
            }
            Block::List { start, items } => list(&mut all, *start, items),
            Block::Quote(quoted) => all.push(container(Some("emphasis"), elements(quoted))),
            Block::Code(code) => {
                let mut code = text_block(&Card.code(code));
                code["fontType"] = json!("Monospace");
                all.push(code);
            }
        }
    }
    all
}

/// Items that Markdown can write stand together in a text block; each other one has a container.
fn list(all: &mut Vec<Value>, start: Option<u64>, items: &[Vec<Block>]) {
    let mut number = start;
    for run in items.chunk_by(|a, b| is_light(a) && is_light(b)) {
        match run {
            [item] if !is_light(item) => {
                let (first, rest) = match &item[..] {
                    [Block::Paragraph(_), rest @ ..] => (&item[..1], rest),
                    rest => (&item[..0], rest),
                };
                let mut inside = vec![text_block(&layout::list(number, &[first.to_vec()], &Card))];
                inside.extend(elements(rest));
                all.push(container(None, inside));
            }
            run => all.push(text_block(&layout::list(number, run, &Card))),
        }
        number = number.map(|number| number.saturating_add(run.len() as u64));
    }
}

/// Whether it is text and lists of text.
fn is_light(item: &[Block]) -> bool {
    item.iter().all(|block| match block {
        Block::Paragraph(_) => true,
        Block::List { items, .. } => items.iter().all(|item| is_light(item)),
        Block::Heading { .. } | Block::Quote(_) | Block::Code(_) => false,
    })
}

fn text_block(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": text, "wrap": true })
}

fn container(style: Option<&str>, items: Vec<Value>) -> Value {
    let mut container = json!({ "type": "Container", "items": items });
    if let Some(style) = style {
        container["style"] = json!(style);
    }
    container
}

struct Card;

impl Leaves for Card {
    fn line(&self, text: &[Inline]) -> String {
        Dialect::Card.line(&defang::line(text, ('(', ')')))
    }

    fn heading(&self, _level: u8, text: &[Inline]) -> String {
        self.line(text)
    }

    fn code(&self, code: &CodeText) -> String {
        self.line(&kept(code.lines()))
    }
}

/// Lines as they are: Markdown would drop those that are empty.
fn kept(lines: Vec<Inline>) -> Vec<Inline> {
    let mut kept: Vec<Inline> = Vec::with_capacity(lines.len());
    for inline in lines {
        if inline.is_break() && kept.last().is_some_and(Inline::is_break) {
            kept.push(Inline::Text(Span { text: "\u{a0}".to_owned(), style: Style::PLAIN }));
        }
        kept.push(inline);
    }
    kept
}

impl Inline {
    fn is_break(&self) -> bool {
        matches!(self, Self::Break)
    }
}
