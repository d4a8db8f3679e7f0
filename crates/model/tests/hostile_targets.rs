//! Whatever stands in the highlights, nothing active or misleading is in what any target is sent, and nothing is lost.
//! The judges are parsers that read it again.

#![cfg(test)]

mod shared;

use model::render::{Document, card, html, markdown, parse, slack, text};
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use scraper::{Html, Node};
use serde_json::Value;
use shared::{piece, shown, with_links};

fn documents(input: &str) -> [Document; 2] {
    with_links(|links| [parse::markdown(input, links), parse::plain(input, links)])
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without the spaces: targets differ in what they put between blocks.
fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What a reader sees of the document, by the Markdown writer.
fn expected(document: &Document) -> String {
    solid(&shown(&markdown::write(document), Options::empty()).0)
}

fn assert_allowed(url: &str, output: &str) {
    assert!(url.starts_with("https://app.logrocket.com/"), "{url} in {output:?}");
}

fn check_html(document: &Document) {
    let output = html::write(document);
    let parsed = Html::parse_fragment(&output);
    assert_eq!(parsed.errors, Vec::<String>::new(), "{output:?}");
    let mut text = String::new();
    // The root is the parser's own.
    for node in parsed.tree.root().descendants().skip(2) {
        match node.value() {
            Node::Text(piece) => text.push_str(piece),
            Node::Element(element) => {
                let attributes: Vec<_> = element.attrs().collect();
                match (element.name(), &attributes[..]) {
                    ("a", [("href", url)]) => assert_allowed(url, &output),
                    ("ol", [("start", number)]) => assert!(number.parse::<u64>().is_ok(), "{output:?}"),
                    (
                        "p" | "strong" | "em" | "code" | "pre" | "ul" | "ol" | "li" | "blockquote" | "br",
                        [],
                    ) => {}
                    other => panic!("{other:?} in {output:?}"),
                }
            }
            other => panic!("{other:?} in {output:?}"),
        }
    }
    assert_eq!(solid(&text), expected(document), "{output:?}");
}

fn check_slack(document: &Document) {
    let output = slack::write(document);
    // Slack reads its own controls first, wherever they are. A quote's mark is at the start of a line.
    for line in output.lines() {
        let text = line.trim_start_matches(|c: char| c.is_ascii_digit() || " >-.".contains(c));
        assert!(!text.contains(['<', '>']), "{line:?} in {output:?}");
    }
    let mut rest = output.as_str();
    while let Some((_, behind)) = rest.split_once('&') {
        let entity = ["amp;", "lt;", "gt;"].iter().any(|entity| behind.starts_with(entity));
        // In a URL, which has no `;`.
        let in_url = behind.split([')', ' ', '\n']).next().is_some_and(|url| !url.contains(';'));
        assert!(entity || in_url, "{behind:?} in {output:?}");
        rest = behind;
    }
    let lower = output.to_ascii_lowercase();
    for crowd in ["@here", "@channel", "@everyone", "@group"] {
        assert!(!lower.contains(crowd), "{output:?}");
    }
    for options in
        [Options::empty(), Options::ENABLE_GFM | Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS]
    {
        judge_markdown(&output, options);
    }
    let whole = |text: &str| text.replace('\u{200c}', "");
    assert_eq!(whole(&read_by_slack(&output)), whole(&expected(document)), "{output:?}");
}

/// Without the spaces. In code, where Markdown leaves entities as they are, Slack reads them.
fn read_by_slack(text: &str) -> String {
    let (mut read, mut block) = (String::new(), false);
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => block = true,
            Event::End(TagEnd::CodeBlock) => block = false,
            Event::Text(text) if !block => read.push_str(&text),
            Event::Code(text) | Event::Text(text) => {
                read.push_str(&text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"));
            }
            _ => {}
        }
    }
    solid(&read)
}

fn judge_markdown(output: &str, options: Options) -> Vec<String> {
    let mut links = Vec::new();
    for event in Parser::new_ext(output, options) {
        match event {
            Event::Start(Tag::Link { dest_url, title, .. }) => {
                assert!(title.is_empty(), "{output:?}");
                assert_allowed(&dest_url, output);
                links.push(dest_url.into_string());
            }
            Event::Text(_) | Event::Code(_) | Event::SoftBreak | Event::HardBreak | Event::End(_) => {}
            Event::Start(
                Tag::Paragraph
                | Tag::Heading { .. }
                | Tag::List(_)
                | Tag::Item
                | Tag::BlockQuote(None)
                | Tag::CodeBlock(_)
                | Tag::Strong
                | Tag::Emphasis,
            ) => {}
            other => panic!("{other:?} in {output:?}"),
        }
    }
    links
}

/// Every text of every block, in order.
fn card_texts(elements: &[Value], texts: &mut Vec<String>) {
    for element in elements {
        match element["type"].as_str() {
            Some("TextBlock") => {
                assert_eq!(element["wrap"], true);
                texts.push(element["text"].as_str().unwrap().to_owned());
            }
            Some("Container") => card_texts(element["items"].as_array().unwrap(), texts),
            other => panic!("{other:?}"),
        }
        for key in element.as_object().unwrap().keys() {
            let known = ["type", "text", "wrap", "weight", "size", "fontType", "style", "items"];
            assert!(known.contains(&key.as_str()), "{key}");
        }
    }
}

fn check_card(document: &Document) {
    let mut texts = Vec::new();
    card_texts(&card::body(document), &mut texts);
    let mut read = String::new();
    for text in &texts {
        judge_markdown(text, Options::empty());
        for event in Parser::new(text) {
            match event {
                // What a TextBlock has no form for.
                Event::Code(_)
                | Event::Start(Tag::Heading { .. } | Tag::CodeBlock(_) | Tag::BlockQuote(_)) => {
                    panic!("{event:?} in {text:?}");
                }
                _ => {}
            }
        }
        assert!(!text.contains("{{") && !text.contains("${"), "{text:?}");
        read.push_str(&shown(text, Options::empty()).0);
    }
    assert_eq!(bare(&read), bare(&expected(document)), "{texts:?}");
}

/// Without spaces and the brackets around dots and colons, which may have been there before too.
fn bare(text: &str) -> String {
    solid(text).replace("(.)", ".").replace("(:)", ":")
}

fn check_text(document: &Document) {
    let output = text::write(document);
    let (_, urls) = shown(&markdown::write(document), Options::empty());
    let mut rest = output.as_str();
    // The links are there, in their order; what is left has none.
    let mut others = String::new();
    for url in &urls {
        assert_allowed(url, &output);
        let at = rest.find(url.as_str()).unwrap_or_else(|| panic!("{url} not in {output:?}"));
        others.push_str(&rest[..at]);
        others.push(' ');
        rest = &rest[at + url.len()..];
    }
    others.push_str(rest);
    let lower = others.to_ascii_lowercase();
    for active in ["://", "www.", "mailto:a", "evil.com", "a@evil."] {
        assert!(!lower.contains(active), "{active} in {output:?}");
    }
    let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    if urls.is_empty() {
        assert_eq!(letters(&output), letters(&expected(document)), "{output:?}");
    }
}

fn check(input: &str) {
    for document in documents(input) {
        check_html(&document);
        check_slack(&document);
        check_card(&document);
        check_text(&document);
    }
}

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
