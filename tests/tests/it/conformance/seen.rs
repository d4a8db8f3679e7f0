//! What somebody sees of a call at its destination, read by parsers that the renderers have no part in.

use local::destinations::Received;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use scraper::{Html, Node};
use serde_json::Value;

/// Where the links of these stories may lead: into LogRocket's app, and to the request's page.
const APP: &str = "https://app.logrocket.com/";
pub const PAGE: &str = "https://highlights.example.com/view/";

/// What a call says, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Markdown with Slack's own escapes, at this pointer.
    Slack(&'static str),
    /// HTML, at this pointer.
    Html(&'static str),
    /// Salesforce's subject and description.
    Plain,
    /// An Adaptive Card.
    Card,
    /// The body itself is the payload.
    Payload,
    /// An event, with the payload in its detail.
    Event,
    /// The answer to a task, with the payload as its output or cause.
    Task,
}

/// What there is to see.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    pub text: String,
    /// The text of each link, and where it leads.
    pub links: Vec<(String, String)>,
    /// What acts, or could mislead.
    pub active: Vec<String>,
}

impl Form {
    /// For people; else there is a [`Form::payload`].
    pub fn is_people_facing(self) -> bool {
        !matches!(self, Self::Payload | Self::Event | Self::Task)
    }

    /// What machines are given.
    pub fn payload(self, call: &Received) -> Value {
        let inner = |value: &Value| serde_json::from_str(value.as_str().unwrap()).unwrap();
        match self {
            Self::Payload => call.body.clone(),
            Self::Event => inner(&call.body["Entries"][0]["Detail"]),
            Self::Task if call.body["output"].is_null() => inner(&call.body["cause"]),
            Self::Task => inner(&call.body["output"]),
            _ => panic!("{self:?} is for people"),
        }
    }

    /// What people see.
    pub fn seen(self, call: &Received) -> Seen {
        let at = |pointer: &str| call.body.pointer(pointer).and_then(Value::as_str).unwrap();
        let mut seen = match self {
            Self::Slack(pointer) => slack(at(pointer)),
            Self::Html(pointer) => html(at(pointer)),
            Self::Plain => {
                let seen = plain(at("/Description"));
                // Nobody makes links of a title.
                Seen { text: format!("{}\n{}", at("/Subject"), seen.text), ..seen }
            }
            Self::Card => card(&call.body["attachments"][0]["content"]),
            _ => panic!("{self:?} is for machines"),
        };
        let may_be = |url: &&String| url.starts_with(APP) || url.starts_with(PAGE);
        seen.active.extend(seen.links.iter().map(|(_, url)| url).filter(|url| !may_be(url)).cloned());
        let misleads = |c: &char| {
            (c.is_control() && *c != '\n')
                || matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
                    | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        };
        seen.active.extend(seen.text.chars().filter(misleads).map(|c| format!("{c:?}")));
        seen
    }
}

/// Letters and digits of all scripts: what is left of a text when escapes, marks and invisible characters are not
/// looked at.
pub fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Slack reads `&amp;`, `&lt;` and `&gt;`, then Markdown; in which order is not documented, so it has to come to the
/// same either way. `<…>` as it stands is Slack's own, and `@here` is by itself.
fn slack(raw: &str) -> Seen {
    let mut seen = markdown(raw);
    let unescaped = raw.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let links = markdown(&unescaped).links;
    if links != seen.links {
        seen.active.push(format!("{links:?}"));
    }
    let lower = raw.to_lowercase();
    let controls = ["<", "@here", "@channel", "@everyone", "@group"];
    seen.active.extend(controls.iter().filter(|mark| lower.contains(**mark)).map(|mark| (*mark).to_owned()));
    seen
}

/// Every extension that some viewer may read: what one of them makes of a text is active.
fn markdown(raw: &str) -> Seen {
    let mut seen = Seen::default();
    let mut open: Vec<(usize, String)> = Vec::new();
    for event in Parser::new_ext(raw, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Text(text) | Event::Code(text) => seen.text.push_str(&text),
            Event::SoftBreak => seen.text.push(' '),
            Event::HardBreak => seen.text.push('\n'),
            Event::Start(Tag::Link { dest_url, .. }) => open.push((seen.text.len(), dest_url.into_string())),
            Event::End(TagEnd::Link) => {
                let (from, url) = open.pop().unwrap();
                seen.links.push((seen.text[from..].to_owned(), url));
            }
            Event::Start(Tag::Image { dest_url, .. }) => seen.active.push(format!("image {dest_url}")),
            Event::Html(html) | Event::InlineHtml(html) => seen.active.push(format!("html {html}")),
            Event::Start(Tag::Table(_)) => seen.active.push("a table".to_owned()),
            Event::End(
                TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::CodeBlock
                | TagEnd::Item
                | TagEnd::BlockQuote(_),
            ) => seen.text.push('\n'),
            _ => {}
        }
    }
    seen
}

/// Elements without attributes, but for where a link leads and where a list begins.
fn html(raw: &str) -> Seen {
    const HARMLESS: [&str; 11] =
        ["p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "blockquote", "a"];
    let mut seen = Seen::default();
    let fragment = Html::parse_fragment(raw);
    for node in fragment.root_element().descendants().skip(1) {
        match node.value() {
            Node::Text(text) => seen.text.push_str(text),
            Node::Element(element) => {
                let (name, mut attributes) = (element.name(), element.attrs());
                let harmless = HARMLESS.contains(&name)
                    && attributes
                        .all(|attribute| matches!((name, attribute.0), ("a", "href") | ("ol", "start")));
                if !harmless {
                    seen.active.push(format!("{element:?}"));
                }
                if matches!(name, "p" | "br" | "li" | "pre") {
                    seen.text.push('\n');
                }
                if let Some(url) = element.attr("href") {
                    let texts = node.descendants().filter_map(|inner| inner.value().as_text());
                    seen.links.push((texts.map(|text| &**text).collect(), url.to_owned()));
                }
            }
            other => seen.active.push(format!("{other:?}")),
        }
    }
    seen
}

/// Text in which the viewer makes links of what looks like one; a dot or a colon in brackets does not.
fn plain(raw: &str) -> Seen {
    let mut seen = Seen { text: raw.replace("[.]", ".").replace("[:]", ":"), ..Seen::default() };
    for word in raw.split(|c: char| c.is_whitespace() || "()<>\"".contains(c)) {
        let lower = word.to_lowercase();
        if lower.contains("://") || lower.contains("www.") {
            seen.links.push((String::new(), word.to_owned()));
        }
        if ["javascript:", "data:", "mailto:", "tel:"].iter().any(|scheme| lower.contains(scheme)) {
            seen.active.push(word.to_owned());
        }
    }
    seen
}

/// Text blocks in containers, and nothing that a card computes.
fn card(card: &Value) -> Seen {
    let mut seen = Seen::default();
    if !card["actions"].is_null() {
        seen.active.push(card["actions"].to_string());
    }
    elements(&card["body"], &mut seen);
    seen
}

fn elements(all: &Value, seen: &mut Seen) {
    for element in all.as_array().unwrap() {
        match element["type"].as_str() {
            Some("TextBlock") => {
                let raw = element["text"].as_str().unwrap();
                seen.active.extend(
                    ["{{", "${"].iter().filter(|mark| raw.contains(**mark)).map(|mark| (*mark).into()),
                );
                let inner = markdown(raw);
                seen.text.push_str(&inner.text.replace("(.)", ".").replace("(:)", ":"));
                seen.text.push('\n');
                seen.links.extend(inner.links);
                seen.active.extend(inner.active);
            }
            Some("Container") => elements(&element["items"], seen),
            _ => seen.active.push(element.to_string()),
        }
    }
}

/// Guards the checks: what is active is seen to be.
#[test]
fn what_is_active_is_seen() {
    for raw in [
        "<!channel>",
        "@Here",
        "[a](javascript:x)",
        "![a](https://x)",
        "<https://x>",
        "a &lt;https://x.test&gt;",
    ] {
        let seen = slack(raw);
        let outside = seen.links.iter().any(|(_, url)| !url.starts_with(APP));
        assert!(!seen.active.is_empty() || outside, "{raw}: {seen:?}");
    }
    for raw in ["<script>a</script>", "<p onclick='x'>a</p>", "<img src=x onerror=y>", "<!-- a -->"] {
        assert!(!html(raw).active.is_empty(), "{raw}");
    }
    assert_eq!(html("<a href=\"https://x\">y</a>").links, [("y".to_owned(), "https://x".to_owned())]);
    assert_eq!(plain("see https://x.test (www.y.test)").links.len(), 2);
    assert!(
        !plain("javascript:alert(1)").active.is_empty() && plain("javascript[:]alert(1)").active.is_empty()
    );
    let block = |text: &str| serde_json::json!({ "body": [{ "type": "TextBlock", "text": text }] });
    for raw in ["{{DATE()}}", "![a](b)", "<b>"] {
        assert!(!card(&block(raw)).active.is_empty(), "{raw}");
    }
    assert_eq!(slack("a &lt;b&gt; &amp; `c`").text, "a <b> & c\n");
    assert_eq!(letters("a-b é 日本 [.]1"), "abé日本1");
}
