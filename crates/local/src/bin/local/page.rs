//! Markdown and messages on a terminal: wrapped text, links as numbered footnotes.
//!
//! Highlights are AI text about what strangers typed: no control character of theirs reaches the terminal.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// A page that is written from the top.
pub struct Page {
    width: usize,
    styled: bool,
    text: String,
    links: Vec<String>,
    /// How many of them have been listed.
    listed: usize,
}

impl Page {
    pub fn new(width: usize, styled: bool) -> Page {
        Page { width, styled, text: String::new(), links: Vec::new(), listed: 0 }
    }

    pub fn heading(&mut self, text: &str) {
        self.gap();
        let text = printable(text);
        if self.styled {
            self.line(&format!("\x1b[1m{text}\x1b[0m"));
        } else {
            self.line(&text);
            self.line(&"─".repeat(text.chars().count().min(self.width)));
        }
    }

    /// A line as it stands, but for control characters.
    pub fn plain(&mut self, text: &str) {
        let text = printable(text);
        self.line(&text);
    }

    pub fn markdown(&mut self, markdown: &str) {
        let mut block = Block::default();
        for event in Parser::new(markdown) {
            self.event(event, &mut block);
        }
        self.flush(&mut block);
    }

    /// A message in a frame that is open to the right, where long words may stand out. Of its plain lines each is a
    /// paragraph or an item; a link in them is its text and, in brackets, its address.
    pub fn message(&mut self, title: &str, lines: &str, foot: &str) {
        self.gap();
        self.border('┌', title);
        let mut above = None;
        for line in lines.lines() {
            let line = self.with_footnotes(&printable(line));
            let is_item = line.starts_with("• ");
            if above.is_some_and(|above| !(above && is_item)) {
                self.line("│");
            }
            above = Some(is_item);
            let rest = if is_item { "│   " } else { "│ " };
            for line in wrap(&line, self.width, "│ ", rest) {
                self.line(&line);
            }
        }
        self.border('└', foot);
    }

    /// What was written since the last time, with the links at its end that it is the first to refer to.
    pub fn take(&mut self) -> String {
        if self.listed < self.links.len() {
            self.gap();
            for index in self.listed..self.links.len() {
                self.line(&format!("[{}] {}", index + 1, self.links[index]));
            }
            self.listed = self.links.len();
        }
        std::mem::take(&mut self.text)
    }

    fn event(&mut self, event: Event<'_>, block: &mut Block) {
        match event {
            Event::Text(text) if block.is_code => {
                for line in text.lines() {
                    block.inline.push_str(&printable(line));
                    block.inline.push('\n');
                }
            }
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => {
                block.inline.push_str(&printable(&text));
            }
            Event::SoftBreak => block.inline.push(' '),
            Event::HardBreak => block.inline.push('\n'),
            Event::Rule => {
                self.gap();
                self.line(&"─".repeat(self.width));
            }
            Event::Start(tag) => self.start(tag, block),
            Event::End(tag) => self.end(tag, block),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>, block: &mut Block) {
        match tag {
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                block.targets.push(dest_url.into_string())
            }
            Tag::List(first) => {
                self.flush(block);
                block.lists.push(first);
            }
            Tag::Item => {
                self.flush(block);
                let marker = match block.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                };
                block.marker = Some(marker);
            }
            Tag::Paragraph | Tag::Heading { .. } if block.lists.is_empty() => self.gap(),
            Tag::BlockQuote(_) => {
                self.gap();
                block.quotes += 1;
            }
            Tag::CodeBlock(kind) => {
                self.gap();
                block.is_code = true;
                if let CodeBlockKind::Fenced(language) = kind {
                    let language = printable(&language);
                    if !language.is_empty() {
                        self.line(&format!("    ({language})"));
                    }
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, block: &mut Block) {
        match tag {
            TagEnd::Link | TagEnd::Image => {
                if let Some(number) = block.targets.pop().and_then(|target| self.footnote(target)) {
                    block.inline.push_str(&format!(" [{number}]"));
                }
            }
            TagEnd::Heading(_) => {
                let text = std::mem::take(&mut block.inline);
                self.heading(text.trim());
            }
            TagEnd::Paragraph | TagEnd::Item => self.flush(block),
            TagEnd::List(_) => {
                self.flush(block);
                block.lists.pop();
            }
            TagEnd::BlockQuote(_) => {
                self.flush(block);
                block.quotes = block.quotes.saturating_sub(1);
            }
            TagEnd::CodeBlock => {
                for line in std::mem::take(&mut block.inline).lines() {
                    self.line(&format!("    {line}"));
                }
                block.is_code = false;
            }
            _ => {}
        }
    }

    /// The footnote's number, if the target may be shown as a link at all.
    fn footnote(&mut self, target: String) -> Option<usize> {
        let harmless =
            target.starts_with("https://") && target == printable(&target) && !target.contains(' ');
        if !harmless {
            return None;
        }
        let index = self.links.iter().position(|link| *link == target).unwrap_or_else(|| {
            self.links.push(target);
            self.links.len() - 1
        });
        Some(index + 1)
    }

    /// Each ` (https://…)` becomes a footnote.
    fn with_footnotes(&mut self, line: &str) -> String {
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, link)) = rest.split_once(" (https://") {
            let (address, after) = link.split_once(')').unwrap_or((link, ""));
            text.push_str(before);
            if let Some(number) = self.footnote(format!("https://{address}")) {
                text.push_str(&format!(" [{number}]"));
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }

    fn border(&mut self, corner: char, text: &str) {
        let text = printable(text);
        let rule = "─".repeat(self.width.saturating_sub(text.chars().count() + 4));
        let text = if self.styled { format!("\x1b[1m{text}\x1b[0m") } else { text };
        self.line(&format!("{corner}─ {text} {rule}"));
    }

    /// Writes the inline text that was gathered, wrapped behind its quote bars and its list marker.
    fn flush(&mut self, block: &mut Block) {
        let inline = std::mem::take(&mut block.inline);
        if inline.trim().is_empty() {
            return;
        }
        let bars = "│ ".repeat(block.quotes);
        let depth = "  ".repeat(block.lists.len().saturating_sub(1));
        let marker = block.marker.take().unwrap_or_else(|| {
            // A later paragraph of an item stands under the item's text.
            if block.lists.is_empty() { String::new() } else { "  ".to_owned() }
        });
        let first = format!("{bars}{depth}{marker}");
        let rest = format!("{bars}{depth}{}", " ".repeat(marker.chars().count()));
        for line in wrap(&inline, self.width, &first, &rest) {
            self.line(&line);
        }
    }

    /// One empty line, unless there is one or nothing stands above.
    fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }
}

/// Where in the document the parser is.
#[derive(Default)]
struct Block {
    inline: String,
    marker: Option<String>,
    /// The next number of each list that is open; none for bullets.
    lists: Vec<Option<u64>>,
    quotes: usize,
    is_code: bool,
    /// Targets of the links that are open.
    targets: Vec<String>,
}

fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut prefix = first;
    for paragraph in text.trim().lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let length = prefix.chars().count() + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && length > width {
                lines.push(format!("{prefix}{line}"));
                prefix = rest;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(format!("{prefix}{line}"));
        prefix = rest;
    }
    lines
}

/// Without what would move the cursor, colour the screen or turn the text's direction.
fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if c == '\t' || c == '\n' { ' ' } else { c })
        .filter(|c| !c.is_control() && !turns(*c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(markdown: &str) -> String {
        let mut page = Page::new(40, false);
        page.markdown(markdown);
        page.take()
    }

    #[test]
    fn links_become_footnotes_each_once() {
        let text = rendered(
            "The user [pays](https://x.test/a) and [fails](https://x.test/b), [pays](https://x.test/a).",
        );
        assert_eq!(
            text,
            "The user pays [1] and fails [2], pays\n[1].\n\n[1] https://x.test/a\n[2] https://x.test/b\n"
        );
    }

    #[test]
    fn a_link_that_is_not_https_keeps_its_text_only() {
        assert_eq!(rendered("[click](javascript:alert(1)) [me](http://x.test)"), "click me\n");
    }

    #[test]
    fn headings_lists_quotes_and_code_are_told_apart() {
        let text = rendered(
            "# One\n\nText.\n\n- a\n- b\n  1. c\n\n> said\n\n```js\nlet x = 1;\n```\n\n## Two\nEnd.",
        );
        assert_eq!(
            text,
            "One\n───\n\nText.\n• a\n• b\n  1. c\n\n│ said\n\n    (js)\n    let x = 1;\n\nTwo\n───\n\nEnd.\n"
        );
    }

    #[test]
    fn long_items_hang_under_their_text() {
        let text = rendered("- one two three four five six seven eight nine ten");
        assert_eq!(text, "• one two three four five six seven\n  eight nine ten\n");
    }

    #[test]
    fn control_and_bidi_characters_do_not_get_through() {
        let text = rendered("a\u{1b}[31mred\u{7}\u{202e}b `c\u{9b}d`");
        assert_eq!(text, "a[31mredb cd\n");
        let mut page = Page::new(40, false);
        page.heading("x\u{1b}]0;title\u{7}");
        page.plain("y\u{8}");
        assert!(page.take().starts_with("x]0;title\n"));
    }

    #[test]
    fn a_message_stands_in_a_frame_and_its_links_go_on_counting() {
        let mut page = Page::new(40, false);
        page.markdown("She [pays](https://x.test/a).");
        assert_eq!(page.take(), "She pays [1].\n\n[1] https://x.test/a\n");
        let lines = "Title\nShe pays (https://x.test/a), and so on and on.\n• one (https://x.test/b)\n• two, longer than the frame is wide\nEnd\u{1b}";
        page.message("Slack", lines, "soon");
        assert_eq!(
            page.take(),
            "┌─ Slack ───────────────────────────────\n│ Title\n│\n│ She pays [1], and so on and on.\n│\n│ • one [2]\n\
             │ • two, longer than the frame is wide\n│\n│ End\n└─ soon ────────────────────────────────\n\n[2] https://x.test/b\n"
        );
        assert_eq!(page.take(), "");
    }
}
