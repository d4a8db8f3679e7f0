//! Lays a document out in lines of text: what stands inside of what is shown by how lines begin.

use super::{Block, CodeText, Document, Inline};

/// How what stands in blocks is written.
pub(super) trait Leaves {
    fn line(&self, text: &[Inline]) -> String;
    fn heading(&self, level: u8, text: &[Inline]) -> String;
    fn code(&self, code: &CodeText) -> String;
}

/// Ends with a line feed, unless it is empty.
pub(super) fn write(document: &Document, leaves: &impl Leaves) -> String {
    let mut text = blocks(&document.blocks, leaves);
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Without a line feed at the end. It calls itself as deep as the document is.
fn blocks(all: &[Block], leaves: &impl Leaves) -> String {
    let mut out = String::new();
    for (index, block) in all.iter().enumerate() {
        if index > 0 {
            // A list below its item's text needs no empty line, if it may stand there without.
            let list = matches!(block, Block::List { start: None | Some(1), .. });
            let tight = list && all.len() == 2 && matches!(all, [Block::Paragraph(_), _]);
            out.push_str(if tight { "\n" } else { "\n\n" });
        }
        match block {
            Block::Paragraph(text) => out.push_str(&leaves.line(text)),
            Block::Heading { level, text } => out.push_str(&leaves.heading(*level, text)),
            Block::List { start, items } => out.push_str(&list(*start, items, leaves)),
            Block::Quote(quoted) => indent(&mut out, "> ", "> ", &blocks(quoted, leaves)),
            Block::Code(code) => out.push_str(&leaves.code(code)),
        }
    }
    out
}

/// Without a line feed at the end.
pub(super) fn list(start: Option<u64>, items: &[Vec<Block>], leaves: &impl Leaves) -> String {
    // Items of several blocks stand apart.
    let apart = items.iter().any(|item| item.len() > 1 && !matches!(item[..], [_, Block::List { .. }]));
    let mut out = String::new();
    for (item, number) in items.iter().zip(start.unwrap_or(1)..) {
        if number > start.unwrap_or(1) {
            out.push_str(if apart { "\n\n" } else { "\n" });
        }
        let marker = if start.is_some() { format!("{number}. ") } else { "- ".to_owned() };
        indent(&mut out, &marker, &" ".repeat(marker.len()), &blocks(item, leaves));
    }
    out
}

pub(super) fn indent(out: &mut String, first: &str, others: &str, text: &str) {
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let prefix = if index == 0 { first } else { others };
        out.push_str(if line.is_empty() { prefix.trim_end() } else { prefix });
        out.push_str(line);
    }
}
