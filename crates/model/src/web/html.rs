//! HTML that cannot be made of unescaped text: its tags and attributes stand in this source, its links are safe ones, and
//! all else goes through [`Html::text`].

use crate::render::clean::one_line;
use crate::render::html::{escape, write_page};
use crate::render::{Document, SafeUrl};
use crate::time::Time;

/// Elements and text, well-formed.
#[derive(Default)]
pub(super) struct Html(String);

/// Of a tag; both are part of the source.
pub(super) type Attribute = (&'static str, &'static str);

impl Html {
    /// One line of characters that show.
    pub fn text(text: &str) -> Self {
        let mut out = String::new();
        escape(&mut out, &one_line(text));
        Self(out)
    }

    pub fn document(document: &Document) -> Self {
        Self(write_page(document))
    }

    pub fn tag(name: &'static str, attributes: &[Attribute], inside: Self) -> Self {
        let Self(inside) = inside;
        Self(format!("<{name}{}>{inside}</{name}>", written(attributes)))
    }

    /// Whoever it leads to is not told where from: our URL may be a key.
    pub fn link(url: &SafeUrl, attributes: &[Attribute], inside: Self) -> Self {
        let mut href = String::new();
        escape(&mut href, url.as_str());
        let Self(inside) = inside;
        Self(format!("<a href=\"{href}\" rel=\"noopener noreferrer\"{}>{inside}</a>", written(attributes)))
    }

    /// A form of one button.
    pub fn button(url: &SafeUrl, label: &str) -> Self {
        let mut action = String::new();
        escape(&mut action, url.as_str());
        let Self(button) = Self::tag("button", &[], Self::text(label));
        Self(format!("<form method=\"post\" action=\"{action}\">{button}</form>"))
    }

    pub fn time(at: Time) -> Self {
        Self(format!("<time datetime=\"{at}\">{} UTC</time>", at.for_people()))
    }

    /// What somebody else called himself or a thing, in a direction of its own.
    pub fn name(text: &str) -> Self {
        Self::tag("bdi", &[], Self::text(text))
    }

    /// A document's head and body, whole.
    pub fn page(title: &str, style: &'static str, refresh_seconds: Option<u32>, body: Self) -> String {
        let Self(title) = Self::text(title);
        let refresh = refresh_seconds
            .map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"))
            .unwrap_or_default();
        let Self(body) = body;
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\">{refresh}\
             <title>{title}</title><style>{style}</style></head><body>{body}</body></html>\n"
        )
    }

    pub fn then(mut self, Self(more): Self) -> Self {
        self.0.push_str(&more);
        self
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        parts.into_iter().fold(Self::default(), Self::then)
    }
}

fn written(attributes: &[Attribute]) -> String {
    attributes.iter().map(|(name, value)| format!(" {name}=\"{value}\"")).collect()
}
