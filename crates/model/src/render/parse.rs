//! Markdown as LogRocket sends it, and plain text, into the safe form.

use super::{Block, CodeText, Document, Inline, Line, Links, Style, clean};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// How deep lists and quotes may stand in each other; what stands deeper is shown at this depth.
pub const MAX_DEPTH: usize = 6;
/// Longer texts are no summaries: they are shown as they were typed. It bounds what a parser could be made to do.
pub const MAX_MARKDOWN_BYTES: usize = 100_000;
/// The greatest number of a list's first item.
const MAX_START: u64 = 1_000_000;

/// Reads CommonMark.
pub fn markdown(text: &str, links: &Links<'_>) -> Document {
    if text.len() > MAX_MARKDOWN_BYTES {
        return plain(text, links);
    }
    let mut reader = Reader::new(links);
    for event in Parser::new_ext(text, Options::empty()) {
        reader.event(event);
    }
    reader.finish()
}

/// Takes nothing for markup: paragraphs where lines are left empty, line breaks as they are.
pub fn plain(text: &str, links: &Links<'_>) -> Document {
    let mut blocks = Vec::new();
    let mut line = Line::new(links);
    for typed in text.lines() {
        if typed.trim().is_empty() {
            push_text(&mut blocks, std::mem::replace(&mut line, Line::new(links)), Block::Paragraph);
        } else {
            line.push(typed, Style::PLAIN, None);
            line.push_break();
        }
    }
    push_text(&mut blocks, line, Block::Paragraph);
    Document { blocks }
}

fn push_text(blocks: &mut Vec<Block>, line: Line<'_>, block: impl FnOnce(Vec<Inline>) -> Block) {
    let text = line.finish();
    if !text.is_empty() {
        blocks.push(block(text));
    }
}

/// Where in the document the parser is. It keeps stacks of its own: depth costs no recursion.
struct Reader<'a> {
    links: &'a Links<'a>,
    document: Vec<Block>,
    /// The blocks of each quote and item that is open.
    open: Vec<Vec<Block>>,
    /// The number of the first item, and the items, of each list that is open.
    lists: Vec<(Option<u64>, Vec<Vec<Block>>)>,
    /// For each list, item and quote that is open, whether it stands in one of these, or is too deep to.
    kept: Vec<bool>,
    line: Line<'a>,
    heading: bool,
    link: Option<usize>,
    strong: usize,
    emphasis: usize,
    code: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(links: &'a Links<'a>) -> Self {
        Self {
            links,
            document: Vec::new(),
            open: Vec::new(),
            lists: Vec::new(),
            kept: Vec::new(),
            line: Line::new(links),
            heading: false,
            link: None,
            strong: 0,
            emphasis: 0,
            code: None,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.text(&text, false),
            },
            Event::Code(text) => self.text(&text, true),
            // Shown as it was typed: as markup it may not act, and left out it would hide something.
            Event::Html(text) | Event::InlineHtml(text) => self.text(&text, false),
            Event::SoftBreak => self.text(" ", false),
            Event::HardBreak if self.heading => self.text(" ", false),
            Event::HardBreak => self.line.push_break(),
            Event::Rule => self.flush(Block::Paragraph),
            // Of extensions that are not on.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text, false);
            }
            Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::List(start) => {
                self.flush(Block::Paragraph);
                self.kept.push(!self.is_deep());
                if !self.is_deep() {
                    self.lists.push((start.map(|start| start.min(MAX_START)), Vec::new()));
                }
            }
            Tag::Item => {
                self.flush(Block::Paragraph);
                let kept = self.kept.last() == Some(&true);
                self.enter(kept);
            }
            Tag::BlockQuote(_) => {
                self.flush(Block::Paragraph);
                self.enter(!self.is_deep());
            }
            Tag::Heading { .. } => {
                self.flush(Block::Paragraph);
                self.heading = true;
            }
            Tag::CodeBlock(_) => {
                self.flush(Block::Paragraph);
                self.code = Some(String::new());
            }
            Tag::Strong => self.strong += 1,
            Tag::Emphasis => self.emphasis += 1,
            Tag::Link { dest_url, .. } => {
                self.link = self.links.allow(dest_url).map(|url| self.line.target(url));
            }
            // An image is its alternative text, which comes next.
            Tag::Image { .. } => {}
            _ => self.flush(Block::Paragraph),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::List(_) | TagEnd::Item | TagEnd::BlockQuote(_) => self.leave(tag),
            TagEnd::Heading(level) => {
                self.heading = false;
                let level = match level {
                    HeadingLevel::H1 => 1,
                    HeadingLevel::H2 => 2,
                    HeadingLevel::H3 => 3,
                    HeadingLevel::H4 => 4,
                    HeadingLevel::H5 => 5,
                    HeadingLevel::H6 => 6,
                };
                self.flush(|text| Block::Heading { level, text });
            }
            TagEnd::CodeBlock => {
                let code = clean::lines(&self.code.take().unwrap_or_default());
                if !code.is_empty() {
                    self.blocks().push(Block::Code(CodeText(code)));
                }
            }
            TagEnd::Strong => self.strong = self.strong.saturating_sub(1),
            TagEnd::Emphasis => self.emphasis = self.emphasis.saturating_sub(1),
            TagEnd::Link => self.link = None,
            TagEnd::Image => {}
            _ => self.flush(Block::Paragraph),
        }
    }

    fn text(&mut self, text: &str, code: bool) {
        let style = Style { strong: self.strong > 0, emphasis: self.emphasis > 0, code };
        self.line.push(text, style, self.link);
    }

    /// Whether another list or quote would be too deep. (Each quote, and each list by its item, is open.)
    fn is_deep(&self) -> bool {
        self.open.len() >= MAX_DEPTH
    }

    fn enter(&mut self, kept: bool) {
        self.kept.push(kept);
        if kept {
            self.open.push(Vec::new());
        }
    }

    fn leave(&mut self, tag: TagEnd) {
        self.flush(Block::Paragraph);
        if self.kept.pop() != Some(true) {
            return;
        }
        if matches!(tag, TagEnd::List(_)) {
            if let Some((start, items)) = self.lists.pop() {
                push_list(self.blocks(), start, items);
            }
            return;
        }
        let blocks = self.open.pop().unwrap_or_default();
        if blocks.is_empty() {
            return;
        }
        match (tag, self.lists.last_mut()) {
            (TagEnd::Item, Some((_, items))) => items.push(blocks),
            _ => self.blocks().push(Block::Quote(blocks)),
        }
    }

    /// Ends the text that was gathered.
    fn flush(&mut self, block: impl FnOnce(Vec<Inline>) -> Block) {
        let line = std::mem::replace(&mut self.line, Line::new(self.links));
        push_text(self.blocks(), line, block);
    }

    /// Of the innermost container that is open.
    fn blocks(&mut self) -> &mut Vec<Block> {
        self.open.last_mut().unwrap_or(&mut self.document)
    }

    fn finish(mut self) -> Document {
        self.flush(Block::Paragraph);
        Document { blocks: self.document }
    }
}

/// Two lists of a kind that stand next to each other are one: Markdown cannot tell them apart once the marker is ours.
fn push_list(blocks: &mut Vec<Block>, start: Option<u64>, mut items: Vec<Vec<Block>>) {
    match blocks.last_mut() {
        Some(Block::List { start: before, items: all }) if before.is_some() == start.is_some() => {
            all.append(&mut items);
        }
        _ if items.is_empty() => {}
        _ => blocks.push(Block::List { start, items }),
    }
}
