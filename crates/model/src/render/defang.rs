//! Text that no viewer makes a link of, for targets that have no code style to say so.
//!
//! The dots of a name and the colon of a scheme stand in brackets: `https[:]//evil[.]com/x`, `alice@example[.]com`.
//! It is how people who warn of a link write it: it says that it is no link, and still says where it would lead.
//! Hidden characters would do it too, but break what is copied without a word.

use super::{Inline, Span};
use std::collections::BTreeSet;

/// The text with these brackets, in its styles and links. Styles and links do not count: what stands behind another is one
/// text, since a target may drop the styles. A link that shows its own URL stays as it is.
pub(super) fn line(text: &[Inline], brackets: (char, char)) -> Vec<Inline> {
    let mut line = Vec::with_capacity(text.len());
    for run in text.split_inclusive(ends_run) {
        let (run, end) = match run.split_last() {
            Some((last, run)) if ends_run(last) => (run, Some(last)),
            _ => (run, None),
        };
        let whole: String = run.iter().flat_map(spans).map(Span::text).collect();
        let marks = marks(&whole);
        let mut at = 0;
        let mut bracketed = |span: &Span| {
            let from = at;
            at += span.text.len();
            let mut out = String::with_capacity(span.text.len());
            for (index, c) in span.text.char_indices() {
                if marks.contains(&(from + index)) {
                    out.extend([brackets.0, c, brackets.1]);
                } else {
                    out.push(c);
                }
            }
            Span { text: out, style: span.style }
        };
        line.extend(run.iter().map(|inline| match inline {
            Inline::Text(span) => Inline::Text(bracketed(span)),
            Inline::Link { url, text } => {
                Inline::Link { url: url.clone(), text: text.iter().map(&mut bracketed).collect() }
            }
            Inline::Break => Inline::Break,
        }));
        line.extend(end.cloned());
    }
    line
}

fn ends_run(inline: &Inline) -> bool {
    matches!(inline, Inline::Break) || shows_itself(inline)
}

/// Whether it is a link whose text is its URL.
pub(super) fn shows_itself(inline: &Inline) -> bool {
    match inline {
        Inline::Link { url, text } => {
            let text: String = text.iter().map(Span::text).collect();
            text == url.as_str()
        }
        Inline::Text(_) | Inline::Break => false,
    }
}

fn spans(inline: &Inline) -> &[Span] {
    match inline {
        Inline::Text(span) => std::slice::from_ref(span),
        Inline::Link { text, .. } => text,
        Inline::Break => &[],
    }
}

/// Where the colons and dots stand that are to be in brackets.
fn marks(text: &str) -> BTreeSet<usize> {
    let in_word = |c: char| !c.is_whitespace() && !"\"<>()[]{}`".contains(c);
    let mut marks = BTreeSet::new();
    let mut end = 0;
    for word in text.split_inclusive(|c| !in_word(c)) {
        let start = end;
        end += word.len();
        let scheme = |at: usize| {
            let behind = word.get(at + 1..).unwrap_or_default();
            let before = word.get(..at).unwrap_or_default();
            let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            let named =
                SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(name)) || ends_with(before, "mailto");
            behind.starts_with("//") || (named && behind.starts_with(in_word))
        };
        let address = word.contains("://") || word.contains('@');
        for (at, c) in word.char_indices() {
            let marked = match c {
                ':' => scheme(at),
                '.' => is_in_name(word, at, address),
                _ => false,
            };
            if marked {
                marks.insert(start + at);
            }
        }
    }
    marks
}

/// Those that are followed by no `//`, as far as viewers make links of them: Zendesk's are listed in
/// <https://support.zendesk.com/hc/en-us/articles/4408830863130>.
const SCHEMES: [&str; 9] = ["tel", "sms", "aim", "im", "jabber", "xmpp", "facetime", "skype", "javascript"];

fn ends_with(word: &str, end: &str) -> bool {
    let start = word.len().checked_sub(end.len());
    start.and_then(|start| word.get(start..)).is_some_and(|found| found.eq_ignore_ascii_case(end))
}

/// Whether the dot may be one of a host's name: Salesforce makes a link of `salesforce.com`
/// (<https://developer.salesforce.com/docs/platform/lightning-component-reference/guide/aura-formatted-text.html>).
/// A number is no name, and in prose one letter before a dot is none (`e.g.`).
fn is_in_name(word: &str, at: usize, address: bool) -> bool {
    let (before, after) = (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default());
    let www = ends_with(before, "www");
    let Some(first) = after.chars().next().filter(|c| c.is_alphanumeric()) else { return www };
    if !before.ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_') {
        return www;
    }
    let label = after.chars().take_while(|c| c.is_alphanumeric() || *c == '-').count();
    address || www || (label > 1 && !first.is_numeric())
}
