//! What is told to a caller whose request cannot be done: RFC 9457 `application/problem+json`.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// So many bad fields are named; of more, it is told how many there are.
pub const MAX_NAMED: usize = 100;
/// A pointer has at most this many bytes, and `...` where it was cut: an answer is no echo of what was sent.
pub const MAX_POINTER_BYTES: usize = 200;
/// What a URI's fragment cannot hold, beside what is not ASCII.
const NOT_IN_FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// One bad field of a body or query.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FieldError {
    /// A JSON Pointer in URI fragment form (RFC 6901 §6), `#/timeRange/startMs`; a query parameter is `#/limit`.
    pub pointer: String,
    /// What to mend.
    pub detail: String,
}

impl FieldError {
    /// At a JSON Pointer as it stands in RFC 6901 §3, its names escaped by [`pointer_token`].
    pub fn at(pointer: &str, detail: impl Into<String>) -> Self {
        let head = pointer.get(..pointer.floor_char_boundary(MAX_POINTER_BYTES)).unwrap_or_default();
        let mut shown = format!("#{}", utf8_percent_encode(head, NOT_IN_FRAGMENT));
        if head.len() < pointer.len() || shown.len() > MAX_POINTER_BYTES {
            // All of it is ASCII.
            shown.truncate(MAX_POINTER_BYTES);
            shown.push_str("...");
        }
        Self { pointer: shown, detail: detail.into() }
    }
}

/// A name as one token of a JSON Pointer.
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Why a request was not done, and what to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub kind: Kind,
    pub detail: String,
    /// Every bad field at once, the first [`MAX_NAMED`]; empty where no field is to blame.
    pub errors: Vec<FieldError>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
}

/// Each kind has one HTTP status, one title and one `type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The bytes are not what they are declared to be: not JSON, not UTF-8, a bad header.
    Malformed,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    /// The callback names another attempt's id.
    Conflict,
    /// The record that a callback belongs to is no longer there, or the time of a link is over.
    Gone,
    TooLarge,
    UnsupportedMediaType,
    /// Readable, but breaks a rule.
    Invalid,
    /// The idempotency key was used with another body.
    KeyReused,
    OverBudget,
    /// LogRocket said a clear no.
    LogRocketRefused,
    /// The table or a secret cannot be reached.
    Unavailable,
}

impl Kind {
    pub fn status(self) -> u16 {
        self.facts().0
    }

    pub fn title(self) -> &'static str {
        self.facts().2
    }

    fn facts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "malformed", "Malformed request"),
            Self::Unauthorized => (401, "unauthorized", "Unauthorized"),
            Self::NotFound => (404, "not-found", "Not found"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "Method not allowed"),
            Self::Conflict => (409, "conflict", "Conflict"),
            Self::Gone => (410, "gone", "Gone"),
            Self::TooLarge => (413, "too-large", "Too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Unsupported media type"),
            Self::Invalid => (422, "invalid", "Invalid request"),
            Self::KeyReused => (422, "key-reused", "Idempotency key used with another body"),
            Self::OverBudget => (429, "over-budget", "Over the month's budget"),
            Self::LogRocketRefused => (502, "logrocket-refused", "LogRocket refused the request"),
            Self::Unavailable => (503, "unavailable", "Unavailable"),
        }
    }
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// A request that breaks rules, each at its field.
    pub fn invalid(mut errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.detail),
            many if many.len() > MAX_NAMED => {
                format!("{} fields are to be mended; the first {MAX_NAMED} are named.", many.len())
            }
            many => format!("{} fields are to be mended.", many.len()),
        };
        errors.truncate(MAX_NAMED);
        Self { errors, ..Self::new(Kind::Invalid, detail) }
    }

    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Whole seconds for the `Retry-After` header: rounded up, for an earlier try would be in vain.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX))
    }

    /// The `application/problem+json` document.
    pub fn to_json(&self) -> Value {
        let (status, slug, title) = self.kind.facts();
        let mut document = json!({
            "type": format!("urn:galileo-highlights:problem:{slug}"),
            "title": title,
            "status": status,
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            document["errors"] = json!(self.errors);
        }
        document
    }
}
