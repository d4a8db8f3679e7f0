//! Whatever stands in the highlights, nothing active or misleading is in what any target is sent, and nothing is lost.
//! The judges are parsers that read it again.

#![cfg(test)]

mod shared;

use judges::targets::{card_texts, check, documents};
use judges::words;
use model::render::{Document, card, html, slack, text};
use proptest::prelude::*;
use shared::piece;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_target_is_sent_anything_active(pieces in prop::collection::vec(piece(), 0..24)) {
        check(&pieces.concat());
    }

    #[test]
    fn emphasis_and_brackets(text in "[ab1 *_`.!@:/&<>{$中é“\\[\\]]{0,24}") {
        check(&text);
    }

    #[test]
    fn nesting(text in "([-+*>1.) ]{0,5}[a#`=-]{0,3}\n?){0,9}") {
        check(&text);
    }
}

#[test]
fn slack_controls_are_text() {
    for (input, output) in [
        ("<!channel> <@U1>", "&lt;!channel&gt; &lt;@U1&gt;\n"),
        ("`<!channel>`", "`&lt;!channel&gt;`\n"),
        ("&lt;!here&gt; &amp;lt;", "&lt;!here&gt; &amp;lt;\n"),
        ("\\<https://evil.com|bank>", "&lt;`https://evil.com|bank`&gt;\n"),
        ("@here @**channel** @HERE", "@\u{200c}here @\u{200c}**channel** @\u{200c}HERE\n"),
        ("a@b", "a@b\n"),
        ("a  \nb", "a  \nb\n"),
        (
            "[a & b](https://app.logrocket.com/a?b=1&lt=2)",
            "[a &amp; b](https://app.logrocket.com/a?b=1&lt=2)\n",
        ),
    ] {
        assert_eq!(slack::write(&documents(input)[0]), output, "{input:?}");
    }
}

#[test]
fn a_card_has_no_code_in_lines() {
    let texts = |input: &str| {
        let mut texts = Vec::new();
        card_texts(&card::body(&documents(input)[0]), &mut texts);
        texts
    };
    assert_eq!(
        texts("`` - -`` and `*x*` at `https://evil.com`"),
        ["\u{a0}\\- - and \\*x\\* at https(:)//evil(.)com"]
    );
    assert_eq!(
        texts("```\na\n\n    - {{b}}\n```"),
        ["a\n\n\u{a0}\n\n\u{a0}\u{a0}\u{a0}\u{a0}\\- \\{\\{b\\}\\}"]
    );
    assert_eq!(texts("7. a\n8. # b\n9. c"), ["7. a", "8.", "b", "9. c"]);
    assert_eq!(texts("a\\\nb"), ["a\n\nb"]);
}

#[test]
fn plain_text_has_brackets_where_a_viewer_would_make_a_link() {
    for (input, output) in [
        ("see https://evil.com/x.", "see https[:]//evil[.]com/x.\n"),
        ("`https:`//evil.com", "https[:]//evil[.]com\n"),
        ("evil.**com** at 3.5, e.g. 1.5x", "evil[.]com at 3.5, e.g. 1.5x\n"),
        ("alice@example.com", "alice@example[.]com\n"),
        ("mailto:a Him: yes", "mailto[:]a Him: yes\n"),
        ("www.例え.com", "www[.]例え[.]com\n"),
        ("[pays](https://app.logrocket.com/a)", "pays (https://app.logrocket.com/a)\n"),
        ("see https://app.logrocket.com/a!", "see https://app.logrocket.com/a!\n"),
        ("[evil.com](https://app.logrocket.com/a)", "evil[.]com (https://app.logrocket.com/a)\n"),
        ("> a\n\n2. b\n3. c\n\n```\nd\n\n  e.fg\n```", "> a\n\n2. b\n3. c\n\n    d\n\n      e[.]fg\n"),
    ] {
        assert_eq!(text::write(&documents(input)[0]), output, "{input:?}");
    }
}

#[test]
fn nothing_is_left_out_of_html() {
    let input = "# a *b* **c**\n\n3. d\n   - e\n\n> `f`\\\n> g\n\n```\n<h>\n```\n\n[i & j](https://app.logrocket.com/?a=1&b=2)";
    assert_eq!(
        html::write(&documents(input)[0]),
        "<p><strong>a <em>b</em> c</strong></p><ol start=\"3\"><li>d<ul><li>e</li></ul></li></ol>\
         <blockquote><p><code>f</code><br>g</p></blockquote><pre><code>&lt;h&gt;</code></pre>\
         <p><a href=\"https://app.logrocket.com/?a=1&amp;b=2\">i &amp; j</a></p>"
    );
    assert_eq!(words(&html::write(&Document::default())), "");
}
