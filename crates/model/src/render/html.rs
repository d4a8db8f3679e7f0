//! An HTML fragment for Zendesk's `html_body`, Intercom's admin notes and HubSpot's `hs_note_body`.
//!
//! Of HTML only `p`, `strong`, `em`, `code`, `pre`, `ul`, `ol` (with `start`), `li`, `blockquote`, `br` and `a` (with
//! `href`) are in it: what the editors of all three can write. Which tags they keep is not documented in full:
//!
//! - Zendesk: `html_body` takes HTML and no Markdown
//!   (<https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/>); its composer writes bold,
//!   italics, lists, quotes and code (<https://support.zendesk.com/hc/en-us/articles/4408846544922>). White space
//!   between blocks would show as gaps, so there is none.
//! - Intercom: "Notes accept some HTML formatting", such as bold, italics and lists
//!   (<https://developers.intercom.com/docs/references/rest-api/api.intercom.io/conversations/replyconversation>);
//!   of headings it knows two (<https://developers.intercom.com/docs/guides/help-center/supported-html>).
//! - HubSpot: rich text of 65,536 characters (<https://developers.hubspot.com/docs/api/crm/notes>).
//!
//! They differ on headings, so a heading is a strong paragraph. Where a tag is dropped, its text stays. Zendesk makes
//! links of bare URLs (<https://support.zendesk.com/hc/en-us/articles/4408830863130>); those are in `code`.

use super::{Block, Document, Inline, Span, Style};
use std::fmt::Write;

/// Empty if the document is.
pub fn write(document: &Document) -> String {
    Writer::write(document, false)
}

/// For a page of our own: headings are headings, and whom a link leads to is not told where from.
pub(crate) fn write_page(document: &Document) -> String {
    Writer::write(document, true)
}

struct Writer {
    out: String,
    own_page: bool,
}

impl Writer {
    fn write(document: &Document, own_page: bool) -> String {
        let mut writer = Self { out: String::new(), own_page };
        writer.blocks(&document.blocks);
        writer.out
    }

    /// It calls itself as deep as the document is.
    fn blocks(&mut self, all: &[Block]) {
        for block in all {
            match block {
                Block::Paragraph(text) => {
                    self.out.push_str("<p>");
                    self.line(text, Style::PLAIN);
                    self.out.push_str("</p>");
                }
                Block::Heading { level, text } if self.own_page => {
                    let _ = write!(self.out, "<h{level}>");
                    self.line(text, Style::PLAIN);
                    let _ = write!(self.out, "</h{level}>");
                }
                Block::Heading { text, .. } => {
                    self.out.push_str("<p><strong>");
                    self.line(text, Style { strong: true, ..Style::PLAIN });
                    self.out.push_str("</strong></p>");
                }
                Block::List { start, items } => self.list(*start, items),
                Block::Quote(quoted) => {
                    self.out.push_str("<blockquote>");
                    self.blocks(quoted);
                    self.out.push_str("</blockquote>");
                }
                Block::Code(code) => {
                    self.out.push_str("<pre><code>");
                    escape(&mut self.out, code.as_str());
                    self.out.push_str("</code></pre>");
                }
            }
        }
    }

    fn list(&mut self, start: Option<u64>, items: &[Vec<Block>]) {
        let _ = match start {
            None => write!(self.out, "<ul>"),
            Some(1) => write!(self.out, "<ol>"),
            Some(start) => write!(self.out, "<ol start=\"{start}\">"),
        };
        for item in items {
            self.out.push_str("<li>");
            match &item[..] {
                // A paragraph of its own would stand apart from its marker.
                [Block::Paragraph(text), below @ ..]
                    if below.iter().all(|block| matches!(block, Block::List { .. })) =>
                {
                    self.line(text, Style::PLAIN);
                    self.blocks(below);
                }
                all => self.blocks(all),
            }
            self.out.push_str("</li>");
        }
        self.out.push_str(if start.is_some() { "</ol>" } else { "</ul>" });
    }

    /// `around` is the style that everything in the line has already.
    fn line(&mut self, text: &[Inline], around: Style) {
        for inline in text {
            match inline {
                Inline::Text(text) => self.span(text, around),
                Inline::Link { url, text } => {
                    self.out.push_str("<a href=\"");
                    escape(&mut self.out, url.as_str());
                    self.out.push_str(if self.own_page { "\" rel=\"noopener noreferrer\">" } else { "\">" });
                    text.iter().for_each(|text| self.span(text, around));
                    self.out.push_str("</a>");
                }
                Inline::Break => self.out.push_str("<br>"),
            }
        }
    }

    fn span(&mut self, span: &Span, around: Style) {
        let style = span.style();
        let tags = [
            ("strong", style.strong && !around.strong),
            ("em", style.emphasis && !around.emphasis),
            ("code", style.code && !around.code),
        ];
        for (tag, _) in tags.iter().filter(|(_, written)| *written) {
            let _ = write!(self.out, "<{tag}>");
        }
        escape(&mut self.out, span.text());
        for (tag, _) in tags.iter().rev().filter(|(_, written)| *written) {
            let _ = write!(self.out, "</{tag}>");
        }
    }
}

pub(crate) fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}
