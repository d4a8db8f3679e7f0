//! Rich text that is safe to show, whoever wrote it.
//!
//! Highlights are AI text about what strangers typed. [`parse`] reads their Markdown into a [`Document`], and that
//! is all that a writer for a target ([`markdown`], [`slack`], [`html`], [`card`], [`text`]) ever sees: a few kinds
//! of blocks, characters that show, and links into LogRocket's app and nowhere else (but to the page that we link
//! ourselves). What is left to a writer is to escape for its target. [`split`] comes before it where a target takes only
//! so much at once.
//!
//! Of what a `Document` has no form for, the text stays: images become their alternative texts, HTML is shown as it
//! was typed (nothing is hidden in a tag or a comment), links to elsewhere become the words that were linked. What
//! viewers turn into links by themselves (bare URLs, e-mail addresses) becomes code, which they leave alone.

pub mod card;
pub(crate) mod clean;
mod defang;
pub mod html;
mod inline;
mod layout;
pub mod links;
pub mod markdown;
pub mod parse;
pub mod slack;
pub mod split;
pub mod text;

pub use inline::Line;
pub use links::{Links, SafeUrl};

/// Blocks, from the top. As parsed, lists and quotes stand at most [`parse::MAX_DEPTH`] deep in each other; a page adds
/// one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Document {
    pub blocks: Vec<Block>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Block {
    Paragraph(Vec<Inline>),
    Heading {
        /// 1 to 6.
        level: u8,
        text: Vec<Inline>,
    },
    List {
        /// The first item's number; none for bullets.
        start: Option<u64>,
        /// None is empty.
        items: Vec<Vec<Block>>,
    },
    Quote(Vec<Block>),
    /// Lines, without a line feed at the end.
    Code(CodeText),
}

#[derive(Clone, PartialEq, Eq)]
pub enum Inline {
    Text(Span),
    Link { url: SafeUrl, text: Vec<Span> },
    Break,
}

/// Text in one line and one style. Only characters that show are in it; only this module makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    text: String,
    style: Style,
}

impl Span {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn style(&self) -> Style {
        self.style
    }
}

/// The lines of a code block: characters that show, and line feeds.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeText(String);

impl CodeText {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Style {
    pub strong: bool,
    pub emphasis: bool,
    pub code: bool,
}

impl Style {
    pub const PLAIN: Self = Self { strong: false, emphasis: false, code: false };
    pub const EMPHASIS: Self = Self { strong: false, emphasis: true, code: false };
    pub const CODE: Self = Self { strong: false, emphasis: false, code: true };
}

impl Document {
    /// Its headings as chapters of a page that has `levels` of its own above them.
    pub fn below(mut self, levels: u8) -> Self {
        lower(&mut self.blocks, levels);
        self
    }
}

fn lower(blocks: &mut [Block], levels: u8) {
    for block in blocks {
        match block {
            Block::Heading { level, .. } => *level = level.saturating_add(levels).min(6),
            Block::Quote(blocks) => lower(blocks, levels),
            Block::List { items, .. } => items.iter_mut().for_each(|item| lower(item, levels)),
            Block::Paragraph(_) | Block::Code(_) => {}
        }
    }
}
