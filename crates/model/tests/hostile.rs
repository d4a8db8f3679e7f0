//! Whatever stands in the highlights, nothing active or misleading is in what they are written as. The judge is a
//! parser that reads it again, with every extension that it knows.

#![cfg(test)]

mod shared;

use model::render::{markdown, parse};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use shared::{piece, shown, with_links};
use url::Url;

fn rendered(text: &str) -> String {
    with_links(|links| markdown::write(&parse::markdown(text, links)))
}

fn plain(text: &str) -> String {
    with_links(|links| markdown::write(&parse::plain(text, links)))
}

/// Fails on anything in the output that is not a plain block, a plain inline or a link into LogRocket's app.
fn judge(output: &str) {
    for c in output.chars() {
        let forbidden = (c.is_control() && c != '\n')
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        assert!(!forbidden, "{c:?} in {output:?}");
    }
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

fn check(input: &str) {
    for output in [rendered(input), plain(input)] {
        judge(&output);
        assert_eq!(rendered(&output), output, "of {input:?}");
    }
    // As text nothing is lost but what is hidden and the shape of the spaces.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_active_or_misleading_gets_through(pieces in prop::collection::vec(piece(), 0..24)) {
        check(&pieces.concat());
    }

    #[test]
    fn emphasis_that_can_be_written_is_and_what_cannot_is_left_out(text in "[ab1 *_`.!中é“]{0,24}") {
        check(&text);
    }

    #[test]
    fn nesting_is_written_as_it_is_read(text in "([-+*>1.) ]{0,5}[a#`=-]{0,3}\n?){0,9}") {
        check(&text);
    }

    #[test]
    fn benign_text_is_shown_as_it_was(
        blocks in prop::collection::vec(
            "(|# |- |1\\. |> )[A-Za-zäß中]{1,9}( (the|\\*\\*rage clicks\\*\\*|_waits_|`TypeError`|3 \\* 4|\\[pays\\]\\(https://app\\.logrocket\\.com/a\\)|«да»|cart!|\\(twice\\)|50%|a\\|b|-|AT&T|C\\+\\+|Tom's|key_name|5 < 6)){0,5}",
            1..6,
        ),
    ) {
        let text = blocks.join("\n\n");
        let output = rendered(&text);
        judge(&output);
        prop_assert_eq!(shown(&output, Options::empty()), shown(&text, Options::empty()));
        prop_assert_eq!(rendered(&output), output);
    }
}

#[test]
fn known_tricks() {
    for (text, written) in [
        ("[a](javascript:alert(1)) b", "a b\n"),
        ("[a](&#106;avascript:alert(1))", "a\n"),
        ("![cat](https://evil.com/x.png) ![](https://evil.com/y.png)", "cat\n"),
        (
            "[![cat](https://evil.com/x.png)](https://app.logrocket.com/a)",
            "[cat](https://app.logrocket.com/a)\n",
        ),
        ("wow![a](https://app.logrocket.com/a)", "wowa\n"),
        ("wow\\![a](https://app.logrocket.com/a)", "wow\\![a](https://app.logrocket.com/a)\n"),
        ("**wow**&#33;[a](https://app.logrocket.com/a)", "**wow**\\![a](https://app.logrocket.com/a)\n"),
        ("<b onclick=x>a</b><!-- hidden -->", "\\<b onclick=x\\>a\\</b\\>\\<!-- hidden --\\>\n"),
        ("<script>\nalert(1)\n</script>", "\\<script\\> alert(1) \\</script\\>\n"),
        (
            "see https://evil.com/x, www.evil.com or a@evil.com.",
            "see `https://evil.com/x`, `www.evil.com` or `a@evil.com`.\n",
        ),
        ("https:*//evil.com*", "`https://evil.com`\n"),
        ("<https://evil.com/>", "`https://evil.com/`\n"),
        ("https://app.logrocket.com/a!", "[`https://app.logrocket.com/a`](https://app.logrocket.com/a)!\n"),
        ("[https://good.com](https://evil.com)", "`https://good.com`\n"),
        ("[ \u{3000}](https://app.logrocket.com/a)x", "\u{3000}x\n"),
        ("a\u{202e}b\u{200b}c&#x202e;d\u{e0041}e\u{2028}f\u{7}", "abcde f\n"),
        ("`a\u{202e}\u{1b}[31m`", "`a[31m`\n"),
        ("    code\u{202e} <b>\n\n    \u{9}x", "```\ncode <b>\n\n    x\n```\n"),
        ("1986\\. A year", "1986\\. A year\n"),
        ("_1_\\. x", "_1_\\. x\n"),
        ("a\\\n\\- b", "a\\\n\\- b\n"),
        ("a\n---\nb", "## a\n\nb\n"),
        ("\\{.x}", "\\{.x\\}\n"),
        ("- a\n\n* b\n\n1. c", "- a\n- b\n\n1. c\n"),
        ("*b*c **d**e", "bc **d**e\n"),
        ("``` \na\n``", "```\na\n``\n```\n"),
        ("```\na\n", "```\na\n```\n"),
        ("~~~\n```\n~~~", "````\n```\n````\n"),
        ("`` a`b ``", "``a`b``\n"),
        ("", ""),
        ("\u{200b}", ""),
    ] {
        assert_eq!(rendered(text), written, "{text:?}");
        judge(written);
        assert_eq!(rendered(written), written, "{text:?}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let long = |unit: &str| unit.repeat(parse::MAX_MARKDOWN_BYTES / unit.len());
    let half = |unit: &str| unit.repeat(parse::MAX_MARKDOWN_BYTES / unit.len() / 2);
    for text in [
        long(">"),
        long("- "),
        long("1. "),
        format!("{}{}", half("- "), half("\n")),
        format!("{}a{}", half("> "), half("\nb")),
        (0..400).map(|depth| format!("{}- a\n", " ".repeat(depth))).collect(),
        long("["),
        long("!["),
        long("[a](https://app.logrocket.com/a)"),
        long("[r]") + "\n\n[r]: https://app.logrocket.com/a",
        format!("{}a{}", half("*"), half("*")),
        long("*a _b "),
        long("**a*b "),
        long("a**b*c* "),
        long("_a.**b_"),
        long("*a* "),
        long("`"),
        long("` `` "),
        long("<"),
        long("<a "),
        long("<!--"),
        long("&amp;"),
        long("@evil."),
        long("a@b."),
        long("www."),
        long("://"),
        long("a\\\n"),
        long("\\"),
        long("| a "),
    ] {
        let output = rendered(&text);
        let start: String = text.chars().take(12).collect();
        assert!(output.len() < 40 * text.len(), "{start:?}… grew to {}", output.len());
        judge(&output);
    }
}

#[test]
fn a_text_too_long_for_a_summary_is_shown_as_it_was_typed() {
    let text = format!("# [a](https://evil.com)\n\n{}", "*b* ".repeat(parse::MAX_MARKDOWN_BYTES / 4));
    let output = rendered(&text);
    judge(&output);
    assert!(output.starts_with("\\# \\[a\\](`https://evil.com`)\n\n\\*b\\* \\*b\\*"), "{}", &output[..80]);
    assert_eq!(shown(&output, Options::empty()).0, text.split_whitespace().collect::<Vec<_>>().join(" "));
}
