//! Whatever stands in the highlights, nothing active or misleading is in what they are written as. The judge is a
//! parser that reads it again, with every extension that it knows.

#![cfg(test)]

mod shared;

use judges::markdown::{check, judge, rendered};
use judges::{shown, words};
use model::render::parse;
use proptest::prelude::*;
use pulldown_cmark::Options;
use shared::piece;

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
        ("\u{fffd}**/*1*\u{0}***1*", "\u{fffd}/11\n"),
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
    assert_eq!(shown(&output, Options::empty()).0, words(&text));
}
