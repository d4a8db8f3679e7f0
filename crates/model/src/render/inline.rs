//! Builds the inlines of one block, from whatever was typed.

use super::clean::in_line;
use super::{Inline, Links, SafeUrl, Span, Style};
use std::ops::Range;

/// A line of rich text in the making. What goes in may be anything; what comes out is clean, has each space once
/// and none at its ends, and shows as code whatever a viewer would make a link of by itself.
pub struct Line<'a> {
    links: &'a Links<'a>,
    /// Each run of text, and where it is linked to; none for a break.
    pieces: Vec<Option<Run>>,
    /// Of links in this line; a run has the index.
    urls: Vec<SafeUrl>,
}

#[derive(Clone)]
struct Run {
    text: String,
    style: Style,
    link: Option<usize>,
}

impl<'a> Line<'a> {
    pub fn new(links: &'a Links<'a>) -> Self {
        Self { links, pieces: Vec::new(), urls: Vec::new() }
    }

    pub fn text(mut self, text: &str) -> Self {
        self.push(text, Style::PLAIN, None);
        self
    }

    pub fn styled(mut self, text: &str, style: Style) -> Self {
        self.push(text, style, None);
        self
    }

    pub fn link(mut self, text: &str, url: SafeUrl) -> Self {
        let link = self.target(url);
        self.push(text, Style::PLAIN, Some(link));
        self
    }

    /// Goes on with what was finished before.
    pub fn then(mut self, text: &[Inline]) -> Self {
        for inline in text {
            match inline {
                Inline::Text(span) => self.push(&span.text, span.style, None),
                Inline::Link { url, text } => {
                    let link = self.target(url.clone());
                    text.iter().for_each(|span| self.push(&span.text, span.style, Some(link)));
                }
                Inline::Break => self.push_break(),
            }
        }
        self
    }

    /// A new target, for text to be pushed with.
    pub(super) fn target(&mut self, url: SafeUrl) -> usize {
        self.urls.push(url);
        self.urls.len() - 1
    }

    pub(super) fn push(&mut self, text: &str, style: Style, link: Option<usize>) {
        match self.pieces.last_mut() {
            Some(Some(run)) if run.style == style && run.link == link => {
                run.text.extend(text.chars().filter_map(in_line));
            }
            _ => {
                let text = text.chars().filter_map(in_line).collect();
                self.pieces.push(Some(Run { text, style, link }));
            }
        }
    }

    pub(super) fn push_break(&mut self) {
        self.pieces.push(None);
    }

    /// Empty if there is nothing to see.
    pub fn finish(mut self) -> Vec<Inline> {
        let mut inlines = Vec::new();
        for runs in std::mem::take(&mut self.pieces).split(Option::is_none) {
            let runs = runs.iter().flatten().cloned().collect();
            let runs = unlink_blanks(runs);
            let runs = self.mark_addresses(runs);
            let runs = fuse_code(runs);
            let runs = collapse_spaces(runs);
            let runs = loosen_edges(runs, |style| &mut style.strong);
            let runs = loosen_edges(runs, |style| &mut style.emphasis);
            if runs.is_empty() {
                continue;
            }
            if !inlines.is_empty() {
                inlines.push(Inline::Break);
            }
            for linked in runs.chunk_by(|a, b| a.link == b.link) {
                let spans = merge(linked);
                match linked.first().and_then(|run| self.urls.get(run.link?)) {
                    Some(url) => inlines.push(Inline::Link { url: url.clone(), text: spans }),
                    None => inlines.extend(spans.into_iter().map(Inline::Text)),
                }
            }
        }
        inlines
    }

    /// Makes code of what viewers make a link of, and a link of what may be one. Styles do not count: a writer that
    /// drops one must not put an address together.
    fn mark_addresses(&mut self, runs: Vec<Run>) -> Vec<Run> {
        let mut marked = Vec::with_capacity(runs.len());
        for group in runs.chunk_by(|a, b| a.link == b.link && !a.style.code && !b.style.code) {
            let text: String = group.iter().map(|run| run.text.as_str()).collect();
            let addresses = match group {
                [run] if run.style.code => Vec::new(),
                _ => addresses(&text),
            };
            let mut addresses = addresses
                .into_iter()
                .map(|range| {
                    let word = text.get(range.clone()).unwrap_or_default();
                    let own = || self.links.allow(word).map(|url| self.target(url));
                    let link = group.first().and_then(|run| run.link).or_else(own);
                    (range, link)
                })
                .peekable();
            let mut at = 0;
            for run in group {
                let end = at + run.text.len();
                while at < end {
                    let next = addresses.peek().map_or((end..end, None), Clone::clone);
                    let (range, link) = next;
                    let (stop, style, link) = if range.contains(&at) {
                        (range.end.min(end), Style::CODE, link)
                    } else {
                        (range.start.min(end), run.style, run.link)
                    };
                    let text = text.get(at..stop).unwrap_or_default().to_owned();
                    marked.push(Run { text, style, link });
                    at = stop;
                    if at >= range.end {
                        addresses.next();
                    }
                }
            }
        }
        marked
    }
}

/// What GFM's viewers make links of: URLs, `www.` and e-mail addresses, without the punctuation around them.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let part_of_word = |byte: u8| byte.is_ascii_graphic() && !b"\"<>()[]{}`".contains(&byte);
    let mut found = Vec::new();
    let mut end = 0;
    for word in text.as_bytes().chunk_by(|a, b| part_of_word(*a) == part_of_word(*b)) {
        let start = end;
        end += word.len();
        // ASCII throughout, or nothing of the sort.
        let Some(word) = text.get(start..end).filter(|word| word.bytes().all(part_of_word)) else { continue };
        if !(word.contains("://") || has_www(word) || has_email(word)) {
            continue;
        }
        let core = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let start = end - core.len();
        let core = core.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '/');
        if !core.is_empty() {
            found.push(start..start + core.len());
        }
    }
    found
}

fn has_www(word: &str) -> bool {
    word.as_bytes().windows(4).any(|bytes| bytes.eq_ignore_ascii_case(b"www."))
}

fn has_email(word: &str) -> bool {
    let local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-".contains(byte);
    let domain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let last_dot = word.rfind('.');
    word.as_bytes().windows(3).enumerate().any(|(at, bytes)| {
        matches!(bytes, [before, b'@', after] if local(before) && domain(after))
            && last_dot.is_some_and(|dot| dot > at + 2)
    })
}

/// A link with nothing to see in it is a trap or a mistake; code with nothing in it cannot be written.
fn unlink_blanks(runs: Vec<Run>) -> Vec<Run> {
    let blank = |run: &Run| run.text.chars().all(char::is_whitespace);
    let mut kept = Vec::with_capacity(runs.len());
    for linked in runs.chunk_by(|a, b| a.link == b.link) {
        let unlink = linked.iter().all(blank);
        for run in linked.iter().filter(|run| !run.text.is_empty()) {
            let link = if unlink { None } else { run.link };
            let style = if blank(run) { Style { code: false, ..run.style } } else { run.style };
            kept.push(Run { text: run.text.clone(), style, link });
        }
    }
    kept
}

/// Gives code that follows code its style, so that they are one: written as two, their marks would run together.
fn fuse_code(mut runs: Vec<Run>) -> Vec<Run> {
    let mut before: Option<(Style, Option<usize>)> = None;
    for run in &mut runs {
        match before {
            Some((style, link)) if style.code && run.style.code && link == run.link => run.style = style,
            _ => before = Some((run.style, run.link)),
        }
    }
    runs
}

/// Leaves one of several spaces, and none at the ends. Code is left as it is.
fn collapse_spaces(runs: Vec<Run>) -> Vec<Run> {
    let mut kept: Vec<Run> = Vec::with_capacity(runs.len());
    let mut after_space = true;
    for mut run in runs {
        if run.style.code {
            after_space = false;
        } else {
            run.text.retain(|c| {
                let again = after_space && c == ' ';
                after_space = c == ' ';
                !again
            });
        }
        if !run.text.is_empty() {
            kept.push(run);
        }
    }
    while let Some(last) = kept.last_mut()
        && !last.style.code
    {
        last.text.truncate(last.text.trim_end_matches(' ').len());
        if !last.text.is_empty() {
            break;
        }
        kept.pop();
    }
    kept
}

/// Takes the style off the spaces at the edges of what has it: Markdown cannot write them.
fn loosen_edges(runs: Vec<Run>, flag: fn(&mut Style) -> &mut bool) -> Vec<Run> {
    let has = |run: &Run| *flag(&mut run.style.clone());
    let mut loosened = Vec::with_capacity(runs.len());
    for group in runs.chunk_by(|a, b| has(a) == has(b) && a.link == b.link) {
        let text: String = group.iter().map(|run| run.text.as_str()).collect();
        if !group.first().is_some_and(has) {
            loosened.extend_from_slice(group);
            continue;
        }
        let first = spaces(group.iter(), |text| text.len() - text.trim_start().len());
        let last = text.len() - spaces(group.iter().rev(), |text| text.len() - text.trim_end().len());
        let last = last.max(first);
        let mut at = 0;
        for run in group {
            let end = at + run.text.len();
            for (from, to, inside) in [(0, first, false), (first, last, true), (last, text.len(), false)] {
                let (from, to) = (from.max(at), to.min(end));
                let mut part = Run { text: String::new(), ..run.clone() };
                if from < to {
                    part.text = text.get(from..to).unwrap_or_default().to_owned();
                    *flag(&mut part.style) = inside;
                    loosened.push(part);
                }
            }
            at = end;
        }
    }
    loosened
}

/// How many bytes of spaces stand at the edge, before anything that shows; spaces inside code show.
fn spaces<'a>(runs: impl Iterator<Item = &'a Run>, at_edge: fn(&str) -> usize) -> usize {
    let mut all = 0;
    for run in runs.take_while(|run| !run.style.code) {
        let bytes = at_edge(&run.text);
        all += bytes;
        if bytes < run.text.len() {
            break;
        }
    }
    all
}

fn merge(runs: &[Run]) -> Vec<Span> {
    let same = |a: &Run, b: &Run| a.style == b.style;
    let span = |runs: &[Run]| {
        let style = runs.first().map(|run| run.style).unwrap_or_default();
        Span { text: runs.iter().map(|run| run.text.as_str()).collect(), style }
    };
    runs.chunk_by(same).map(span).collect()
}
