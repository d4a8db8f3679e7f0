//! Judges of what is made of hostile text: readers that know nothing of how it was written, and fail on anything that
//! is active, misleading or lost. The model's property tests and the fuzz targets ask the same ones.

// A judge's verdict is a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod address;
pub mod hostile;
pub mod markdown;
pub mod split;
pub mod targets;

use model::render::Links;
use model::settings::App;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use url::Url;

/// Runs with links into one app of LogRocket's.
pub fn with_links<T>(run: impl FnOnce(&Links<'_>) -> T) -> T {
    let (app_url, app) = (Url::parse("https://app.logrocket.com").unwrap(), App::parse("org/app").unwrap());
    run(&Links::new(&app_url, &app))
}

/// What a viewer shows of Markdown: the text, with code marked, and where it leads.
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
    (words(&shown), links)
}

/// With one space for any run of them.
pub fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without the spaces: targets differ in what they put between blocks.
pub fn solid(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Fails on characters that do not show, or change how others show.
pub fn assert_visible(output: &str) {
    for c in output.chars() {
        let forbidden = (c.is_control() && c != '\n')
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        assert!(!forbidden, "{c:?} in {output:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the judge, who panics of what he finds, finds something.
    fn finds(judge: fn(&str), output: &str) -> bool {
        std::panic::catch_unwind(|| judge(output)).is_err()
    }

    #[test]
    fn what_is_active_or_misleading_is_found() {
        for output in [
            "[a](https://evil.com/)",
            "[a](https://app.logrocket.com.evil.com/)",
            "[a](https://app.logrocket.com/ \"title\")",
            "<b>a</b>",
            "![a](https://app.logrocket.com/a)",
            "see https://evil.com",
            "www.evil.com",
            "a@evil.com",
            "a\u{202e}b",
            "a\u{7}",
            "| a |\n|---|\n| b |",
        ] {
            assert!(finds(markdown::judge, output), "{output:?}");
        }
        assert!(!finds(markdown::judge, "# a\n\n[b](https://app.logrocket.com/c) `https://evil.com`\n"));
    }

    #[test]
    fn what_only_we_can_reach_is_found() {
        for url in [
            "https://10.0.0.1/",
            "https://[::ffff:a00:1]/",
            "https://localhost/",
            "https://a.localhost./",
            "https://user@example.com/",
            "http://example.com/",
            "https://example.com",
        ] {
            assert!(finds(address::assert_callable, url), "{url}");
        }
        assert!(!finds(address::assert_callable, "https://example.com:8443/a?b#c"));
        assert!(!finds(address::assert_callable, "https://[2606:4700::1]/"));
    }
}
