//! Plain text, for Salesforce's `Task.Description`.
//!
//! Lists are written with `- ` and `1. `, quotes with `> `, code four spaces in, and a link as its text with the URL
//! behind it in parentheses (or as the URL, if that is its text). Styles are lost.
//!
//! Salesforce makes links of URLs, `www.` names, e-mail addresses and names such as `salesforce.com`
//! (<https://developer.salesforce.com/docs/platform/lightning-component-reference/guide/aura-formatted-text.html>).
//! Those of the document's links are meant to be; all others are written with brackets, such as `evil[.]com`, so
//! that they are none, and can still be read.

use super::layout::{self, Leaves};
use super::{CodeText, Document, Inline, Span, Style, defang};

/// Ends with a line feed, unless it is empty.
pub fn write(document: &Document) -> String {
    layout::write(document, &Plain)
}

struct Plain;

impl Leaves for Plain {
    fn line(&self, text: &[Inline]) -> String {
        let mut out = String::new();
        for inline in defang::line(text, ('[', ']')) {
            match &inline {
                Inline::Text(span) => out.push_str(span.text()),
                Inline::Link { url, .. } if defang::shows_itself(&inline) => {
                    // Nothing that stands before it may become a part of it.
                    if !(out.is_empty() || out.ends_with([' ', '\n', '('])) {
                        out.push(' ');
                    }
                    out.push_str(url.as_str());
                }
                Inline::Link { url, text } => {
                    out.extend(text.iter().map(Span::text));
                    out.extend([" (", url.as_str(), ")"]);
                }
                Inline::Break => out.push('\n'),
            }
        }
        out
    }

    fn heading(&self, _level: u8, text: &[Inline]) -> String {
        self.line(text)
    }

    fn code(&self, code: &CodeText) -> String {
        let mut out = String::new();
        layout::indent(&mut out, "    ", "    ", &self.line(&code.lines()));
        out
    }
}

impl CodeText {
    /// As text of no style.
    pub(super) fn lines(&self) -> Vec<Inline> {
        let mut lines = Vec::new();
        for (index, line) in self.0.split('\n').enumerate() {
            if index > 0 {
                lines.push(Inline::Break);
            }
            if !line.is_empty() {
                lines.push(Inline::Text(Span { text: line.to_owned(), style: Style::PLAIN }));
            }
        }
        lines
    }
}
