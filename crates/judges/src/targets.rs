//! Of the other targets: each one's own parser, or a scanner of what it acts on. What is seen has to be what Markdown
//! shows of the same document.

use crate::{assert_visible, shown, solid, with_links};
use model::render::{self, Document, parse};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use scraper::{Html, Node};
use serde_json::Value;

/// The input read as Markdown, and as plain text.
pub fn documents(input: &str) -> [Document; 2] {
    with_links(|links| [parse::markdown(input, links), parse::plain(input, links)])
}

/// Judges what every target but Markdown is sent of the input.
pub fn check(input: &str) {
    for document in documents(input) {
        html(&document);
        slack(&document);
        card(&document);
        text(&document);
    }
}

/// What a reader sees of the document, by the Markdown writer.
fn expected(document: &Document) -> String {
    solid(&shown(&render::markdown::write(document), Options::empty()).0)
}

fn assert_allowed(url: &str, output: &str) {
    assert!(url.starts_with("https://app.logrocket.com/"), "{url} in {output:?}");
}

/// Elements and attributes that mean nothing but their text, and links into LogRocket's app.
pub fn html(document: &Document) {
    let output = render::html::write(document);
    assert_visible(&output);
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

/// No control of Slack's, no crowd that is called, and Markdown that says the same.
pub fn slack(document: &Document) {
    let output = render::slack::write(document);
    assert_visible(&output);
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
pub fn card_texts(elements: &[Value], texts: &mut Vec<String>) {
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

/// What a TextBlock has a form for, and text that no templating fills in.
pub fn card(document: &Document) {
    let mut texts = Vec::new();
    card_texts(&render::card::body(document), &mut texts);
    let mut read = String::new();
    for text in &texts {
        assert_visible(text);
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

/// Links into LogRocket's app, and nothing else that a viewer would make one of.
pub fn text(document: &Document) {
    let output = render::text::write(document);
    assert_visible(&output);
    let (_, urls) = shown(&render::markdown::write(document), Options::empty());
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
    for active in ["://", "www.", "mailto:a", "evil.com"] {
        assert!(!lower.contains(active), "{active} in {output:?}");
    }
    // A host's name goes on behind its dot.
    let is_name = |behind: &str| behind.starts_with(char::is_alphanumeric);
    assert!(!lower.split("a@evil.").skip(1).any(is_name), "{output:?}");
    let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    if urls.is_empty() {
        assert_eq!(letters(&output), letters(&expected(document)), "{output:?}");
    }
}
