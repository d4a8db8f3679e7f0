//! What was sent, as plain lines that a person can read.
//!
//! It came from strangers: nothing that is here leaves as markup, and no control or bidi character passes.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use serde_json::Value;

/// Markdown, without its marks but those of quotes and items; a link's address stands behind its text.
pub(super) fn from_markdown(markdown: &str) -> String {
    let mut lines = Lines::default();
    let mut targets = Vec::new();
    for event in Parser::new(markdown) {
        match event {
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => {
                lines.push(&text);
            }
            Event::SoftBreak => lines.push(" "),
            Event::HardBreak => lines.end(),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                targets.push(dest_url.into_string());
            }
            Event::End(TagEnd::Link | TagEnd::Image) => lines.target(targets.pop()),
            Event::Start(Tag::Item) => lines.item(),
            Event::Start(Tag::BlockQuote(_)) => lines.quote(true),
            Event::End(TagEnd::BlockQuote(_)) => lines.quote(false),
            Event::Start(Tag::Paragraph | Tag::Heading { .. } | Tag::CodeBlock(_))
            | Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::CodeBlock | TagEnd::Item) => {
                lines.end();
            }
            _ => {}
        }
    }
    lines.finish()
}

/// HTML, without its tags: what a product shows that lets no script, style or attribute through.
pub(super) fn from_html(html: &str) -> String {
    let mut lines = Lines::default();
    let mut targets = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        lines.push(&collapsed(&unescape(&rest[..start])));
        rest = &rest[start..];
        let Some(tag) = Mark::read(rest) else {
            lines.push("<");
            rest = &rest[1..];
            continue;
        };
        rest = &rest[tag.length..];
        match (tag.name.as_str(), tag.closes) {
            ("script" | "style", false) => {
                let end = rest.to_ascii_lowercase().find(&format!("</{}", tag.name));
                rest = end.map_or("", |end| &rest[end..]);
            }
            ("a", false) => targets.push(tag.href),
            ("a", true) => lines.target(targets.pop().flatten()),
            ("li", false) => lines.item(),
            ("blockquote", closes) => lines.quote(!closes),
            (
                "p" | "br" | "div" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "li" | "pre"
                | "hr" | "table" | "tr",
                _,
            ) => lines.end(),
            _ => {}
        }
    }
    lines.push(&collapsed(&unescape(rest)));
    lines.finish()
}

/// A status and its highlights where the JSON has them, as LogRocket's payload does; else the JSON, indented.
pub(super) fn from_payload(payload: &Value) -> String {
    let highlights = payload["result"]["highlights"].as_str();
    let mut lines = Vec::new();
    match (payload["status"].as_str(), highlights) {
        (Some(status), Some(highlights)) => {
            lines.push(printable(status));
            lines.push(from_markdown(highlights));
        }
        _ => lines.push(format!("{payload:#}").lines().map(printable).collect::<Vec<_>>().join("\n")),
    }
    lines.join("\n")
}

/// Plain text: its lines, printable.
pub(super) fn from_plain(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// For the inside of an HTML element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Without what would move the cursor, colour the screen or turn the text's direction.
pub(super) fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if c == '\t' || c == '\n' { ' ' } else { c })
        .filter(|c| !c.is_control() && !turns(*c))
        .collect()
}

/// The five entities, and those by number.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let entity = rest[1..].find(';').filter(|end| *end <= 8).map(|end| &rest[1..=end]);
        match entity.and_then(|name| Some((name, character(name)?))) {
            Some((name, c)) => {
                plain.push(c);
                rest = &rest[name.len() + 2..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn collapsed(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c != ' ' || !collapsed.ends_with(' ') {
            collapsed.push(c);
        }
    }
    collapsed
}

/// A tag, or a comment (whose name is empty).
struct Mark {
    name: String,
    closes: bool,
    href: Option<String>,
    length: usize,
}

impl Mark {
    /// The mark that the text begins with; none if its `<` is none of markup.
    fn read(text: &str) -> Option<Mark> {
        if text.starts_with("<!--") {
            let length = text.find("-->").map_or(text.len(), |end| end + 3);
            return Some(Mark { name: String::new(), closes: false, href: None, length });
        }
        let inside = &text[1..];
        let closes = inside.starts_with('/');
        let name: String =
            inside.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        if name.is_empty() {
            return None;
        }
        let mut quote = None;
        let mut length = text.len();
        for (index, c) in text.char_indices() {
            match (quote, c) {
                (None, '>') => {
                    length = index + 1;
                    break;
                }
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if open == c => quote = None,
                _ => {}
            }
        }
        let href = attribute(&text[..length], "href");
        Some(Mark { name: name.to_ascii_lowercase(), closes, href, length })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.to_ascii_lowercase().find(&format!("{name}="))? + name.len() + 1;
    let value = &tag[start..];
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let value = &value[1..];
    Some(unescape(&value[..value.find(quote)?]))
}

/// Lines as they are gathered.
#[derive(Default)]
struct Lines {
    done: Vec<String>,
    line: String,
    /// Whether the line begins an item of a list.
    marker: bool,
    /// How many quotes it stands in.
    quotes: usize,
}

impl Lines {
    fn push(&mut self, text: &str) {
        for (index, part) in text.split('\n').enumerate() {
            if index > 0 {
                self.end();
            }
            self.line.push_str(&printable(part));
        }
    }

    fn item(&mut self) {
        self.end();
        self.marker = true;
    }

    fn quote(&mut self, opens: bool) {
        self.end();
        self.quotes = if opens { self.quotes + 1 } else { self.quotes.saturating_sub(1) };
    }

    /// The address of a link whose text has just ended.
    fn target(&mut self, target: Option<String>) {
        if let Some(target) = target.map(|target| printable(&target))
            && !self.line.ends_with(&target)
        {
            self.line.push_str(&format!(" ({target})"));
        }
    }

    fn end(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let marker = if std::mem::take(&mut self.marker) { "• " } else { "" };
        self.done.push(format!("{}{marker}{line}", "> ".repeat(self.quotes)));
    }

    fn finish(mut self) -> String {
        self.end();
        self.done.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn markdown_becomes_lines_with_its_links_addresses() {
        let text = from_markdown(
            "# Title\n\n> Why?\n\nThe *user* [pays](https://x.test/a)\ntwice.\n\n- one\n- two\n\n`code`",
        );
        assert_eq!(text, "Title\n> Why?\nThe user pays (https://x.test/a) twice.\n• one\n• two\ncode");
    }

    #[test]
    fn html_becomes_lines_without_anything_active() {
        let html = "<p>A &lt;b&gt; &amp; <strong>c</strong></p><script>alert(1)</script><ul><li>one</li><li>two</li></ul>\
                    <p onclick=\"x('>')\">see <a href=\"https://x.test/?a=1&amp;b=2\">this</a><!-- no --> 1 < 2</p>";
        assert_eq!(from_html(html), "A <b> & c\n• one\n• two\nsee this (https://x.test/?a=1&b=2) 1 < 2");
        assert_eq!(from_html("<blockquote><p>Why?</p></blockquote><p>So.</p>"), "> Why?\nSo.");
        assert_eq!(from_html("<style>p{"), "");
        assert_eq!(from_html("a<"), "a<");
        assert_eq!(from_html("&#x41;&#66;&nope;&"), "AB&nope;&");
    }

    #[test]
    fn what_would_mislead_the_eye_is_left_out() {
        assert_eq!(from_plain("a\u{202e}b\u{1b}[31m\r\nc"), "ab[31m\nc");
        assert_eq!(
            escape("<a href='x' title=\"y\">&"),
            "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;"
        );
    }

    #[test]
    fn a_payload_shows_its_highlights_or_all_of_itself() {
        let payload = json!({"status": "READY", "result": {"highlights": "**Paid**."}});
        assert_eq!(from_payload(&payload), "READY\nPaid.");
        assert_eq!(from_payload(&json!({"a": 1})), "{\n  \"a\": 1\n}");
    }
}
