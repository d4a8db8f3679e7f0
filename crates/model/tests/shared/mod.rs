//! What tests of rendering have in common: whatever may stand in highlights, and what a viewer shows of Markdown.

// No test binary uses all of it.
#![allow(dead_code)]

pub mod pages;

use model::render::Links;
use model::settings::App;
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use url::Url;

pub fn with_links<T>(run: impl FnOnce(&Links<'_>) -> T) -> T {
    let (app_url, app) = (Url::parse("https://app.logrocket.com").unwrap(), App::parse("org/app").unwrap());
    run(&Links::new(&app_url, &app))
}

/// What a viewer shows: the text, with code marked, and where it leads.
pub fn shown(text: &str, options: Options) -> (String, Vec<String>) {
    let (mut shown, mut links) = (String::new(), Vec::new());
    for event in Parser::new_ext(text, options) {
        match event {
            Event::Text(text) | Event::Code(text) => shown.push_str(&text),
            Event::SoftBreak
            | Event::HardBreak
            | Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item) => {
                shown.push(' ');
            }
            Event::Start(Tag::Link { dest_url, .. }) => links.push(dest_url.into_string()),
            _ => {}
        }
    }
    (shown.split_whitespace().collect::<Vec<_>>().join(" "), links)
}

pub fn target() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "https://app.logrocket.com/org/app/s/5-a/0?t=1",
        "https://APP.LOGROCKET.COM/a",
        "https://app.logrocket.com/a_(b)_*c*[d]&copy;&amp;`x`|~^$",
        "https://app.logrocket.com:443/a#b",
        "https://app.logrocket.com.evil.com/",
        "https://app.logrocket.com@evil.com/",
        "https://app.logrocket.com:x@evil.com/",
        "https://evil.com/app.logrocket.com",
        "https://evil.com#app.logrocket.com",
        "https://evilapp.logrocket.com/",
        "https://app。logrocket。com/",
        "https://app.logrocket.com./",
        "https://app.logrocket.com:8443/",
        "https://app.logrocket.cοm/",
        "https:\\\\app.logrocket.com\\@evil.com",
        "http://app.logrocket.com/",
        "//app.logrocket.com/",
        "/org/app",
        "javascript:alert(1)",
        "&#106;avascript:alert(1)",
        "java&Tab;script:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "mailto:a@evil.com",
        "xmpp:a@evil.com/x",
        "www.evil.com",
        "a@evil.com",
    ])
    .prop_map(str::to_owned)
}

pub fn piece() -> impl Strategy<Value = String> {
    let snippets = prop::sample::select(vec![
        "\n",
        "\n\n",
        " ",
        "  ",
        "    ",
        "\t",
        "  \n",
        "\\\n",
        "\r\n",
        "\r",
        "- ",
        "* ",
        "+ ",
        "1. ",
        "12) ",
        "0. ",
        "> ",
        ">",
        "# ",
        "###### ",
        " ##",
        "```",
        "````\n",
        "~~~",
        "`",
        "``",
        "*",
        "**",
        "***",
        "_",
        "__",
        "~",
        "~~",
        "^",
        "$",
        "$$",
        "|",
        "\n|-|-|\n",
        "\n:-\n",
        "\n: ",
        "\n---\n",
        "\n===\n",
        "\n+++\n",
        "***\n",
        "[",
        "]",
        "(",
        ")",
        "![",
        "!",
        "[^1]",
        "\n[^1]: ",
        "[[",
        "]]",
        "[ ] ",
        "[!NOTE]",
        "{#a .b}",
        "<",
        ">",
        "<b>",
        "</b>",
        "<!--",
        "-->",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href=\"https://evil.com\">",
        "\n<div>\n",
        "<?php",
        "<![CDATA[",
        "&",
        ";",
        "&lt;",
        "&#60;",
        "&#x202e;",
        "&#8203;",
        "&nbsp;",
        "&NewLine;",
        "&#0;",
        "&ast;",
        "&lbrack;",
        "\\",
        "\u{0}",
        "\u{7}",
        "\u{b}",
        "\u{1b}[31m",
        "\u{85}",
        "\u{9b}",
        "\u{a0}",
        "\u{ad}",
        "\u{61c}",
        "\u{200b}",
        "\u{200d}",
        "\u{200e}",
        "\u{202e}",
        "\u{2028}",
        "\u{2029}",
        "\u{2066}",
        "\u{2060}",
        "\u{feff}",
        "\u{e0041}",
        "\u{3000}",
        "\u{3164}",
        "\u{301}",
        "a",
        "b1",
        "x y",
        "é",
        "中文",
        "“",
        "”",
        "。",
        "Ⓐ",
        "👩‍💻",
        "-",
        "+",
        "=",
        ":",
        ".",
        "'",
        "\"",
        "1",
        "@",
        "/",
        "<!channel>",
        "<!here|here>",
        "<@U1>",
        "<#C1|x>",
        "<!subteam^S1>",
        "<https://evil.com|text>",
        "&lt;!here&gt;",
        "@here",
        "@Channel",
        "@everyone",
        "{{DATE(2020-01-01T00:00:00Z, SHORT)}}",
        "${x}",
        "<at>x</at>",
        "mailto:",
        "https",
        "://",
        "www",
        "evil.com",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        12 => snippets,
        1 => any::<char>().prop_map(String::from),
        1 => target(),
        1 => target().prop_map(|url| format!("<{url}>")),
        1 => target().prop_map(|url| format!("](<{url}>)")),
        1 => ("[a-z*_`!\\[\\]]{0,4}", target()).prop_map(|(text, url)| format!("[{text}]({url})")),
        1 => ("[a-z*_`!\\[\\]]{0,4}", target()).prop_map(|(text, url)| format!("![{text}]({url} \"title\")")),
        1 => target().prop_map(|url| format!("\n\n[r]: {url} 'title'\n\n[a][r] [r] ![r]")),
        1 => target().prop_map(|url| format!("[![x]({url})](https://app.logrocket.com/a)")),
        1 => target().prop_map(|url| format!("<a href='{url}' onclick=x>")),
        1 => "[a-c*_` ]{1,12}",
    ]
}
