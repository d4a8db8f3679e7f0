//! Of Markdown: a parser that reads it again, with every extension that it knows.

use crate::{assert_visible, shown, with_links, words};
use model::render::{markdown, parse};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use url::Url;

/// The Markdown that Markdown becomes.
pub fn rendered(text: &str) -> String {
    with_links(|links| markdown::write(&parse::markdown(text, links)))
}

/// The Markdown that plain text becomes.
pub fn plain(text: &str) -> String {
    with_links(|links| markdown::write(&parse::plain(text, links)))
}

/// Fails on anything in the output that is not a plain block, a plain inline or a link into LogRocket's app.
pub fn judge(output: &str) {
    assert_visible(output);
    for options in [
        Options::all(),
        Options::all() - Options::ENABLE_OLD_FOOTNOTES,
        Options::ENABLE_GFM,
        Options::empty(),
    ] {
        // Outside of code, all that GFM's viewers make a link of.
        let (mut code, mut text_run) = (false, String::new());
        for event in Parser::new_ext(output, options) {
            if !matches!(event, Event::Text(_)) {
                assert_inert(&std::mem::take(&mut text_run), output);
            }
            match event {
                Event::Start(Tag::CodeBlock(_)) => code = true,
                Event::End(TagEnd::CodeBlock) => code = false,
                Event::Text(text) => {
                    if !code {
                        text_run.push_str(&text);
                    }
                }
                Event::Start(Tag::Link { dest_url, title, .. }) => {
                    assert!(title.is_empty(), "{output:?}");
                    let url = Url::parse(&dest_url).unwrap();
                    assert!(dest_url.starts_with("https://app.logrocket.com/"), "{dest_url} in {output:?}");
                    assert_eq!(url.host_str(), Some("app.logrocket.com"));
                    assert_eq!((url.scheme(), url.port(), url.username()), ("https", None, ""));
                    assert_eq!(url.as_str(), &*dest_url);
                }
                Event::Code(_) | Event::SoftBreak | Event::HardBreak => {}
                Event::Start(
                    Tag::Paragraph
                    | Tag::Heading { id: None, .. }
                    | Tag::List(_)
                    | Tag::Item
                    | Tag::BlockQuote(None)
                    | Tag::Strong
                    | Tag::Emphasis,
                )
                | Event::End(_) => {}
                other => panic!("{other:?} in {output:?}"),
            }
        }
        assert_inert(&text_run, output);
    }
}

fn assert_inert(text: &str, output: &str) {
    let lower = text.to_ascii_lowercase();
    for active in ["http://", "https://", "ftp://", "www.", "@evil."] {
        // `@evil.` is active only behind something.
        let at = lower.find(active).filter(|at| {
            !active.starts_with('@') || lower[..*at].ends_with(|c: char| c.is_ascii_alphanumeric())
        });
        assert_eq!(at, None, "{active} in {text:?} in {output:?}");
    }
}

/// Judges what is written of the input, read as Markdown and as plain text: it is inert, and what it is read as again.
pub fn check(input: &str) {
    for output in [rendered(input), plain(input)] {
        judge(&output);
        assert_eq!(rendered(&output), output, "of {input:?}");
    }
    // As text nothing is lost but what is hidden and the shape of the spaces.
    let visible: String = input.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if visible.chars().all(|c| !hidden(c)) && !input.contains(|c: char| c.is_control() && !c.is_whitespace())
    {
        assert_eq!(shown(&plain(input), Options::empty()).0, words(&visible), "of {input:?}");
    }
}

fn hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
