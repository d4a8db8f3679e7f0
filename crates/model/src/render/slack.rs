//! Text for Slack's `markdown_text` and for a `markdown` block.
//!
//! Both take standard Markdown: bold, italics, links, lists, quotes, code, headings, and a backslash before what is
//! to be shown (<https://docs.slack.dev/reference/block-kit/blocks/markdown-block>). But Slack reads its own
//! controls in it first: `<!channel>`, `<@U1>`, `<#C1>`, `<https://host|text>`. None is left, since `&`, `<` and `>`
//! are entities, in code too (<https://docs.slack.dev/messaging/formatting-message-text#escaping>). In a link's URL
//! `&` stays: there Slack decodes nothing (measured in <https://github.com/PostHog/posthog/pull/95054>), and the
//! document's URLs have no `;` that could end an entity.
//!
//! A bare `@here` mentions only where the sender asks for it (`link_names`, `parse`), which may be a setting that is
//! not ours: the name stands apart from its `@` by a joiner that does not show.

use super::markdown::Dialect;
use super::{Document, layout};
use std::borrow::Cow;

/// Ends with a line feed, unless it is empty. Slack takes 12,000 characters of it.
pub fn write(document: &Document) -> String {
    layout::write(document, &Dialect::Slack)
}

/// Who hears of it when named: all of a channel, a workspace, or who is there.
const CROWDS: [&str; 4] = ["here", "channel", "everyone", "group"];

/// Behind an `@` that a crowd's name follows, or may follow in the next span, a U+200C.
pub(super) fn unmentioned(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return text.into();
    }
    let mut parts = text.split('@');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('@');
        let begins = |part: &str, name: &str| {
            part.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if CROWDS.iter().any(|name| begins(part, name) || begins(name, part)) {
            out.push('\u{200c}');
        }
        out.push_str(part);
    }
    out.into()
}
