//! What is fuzzed: every parser of bytes that others write. Each target is a plain function that parses and then fails,
//! by a panic, where what came of it is not what it may be.
//!
//! `fuzz/` makes a libFuzzer binary of each (`make fuzz`); its corpus, and some mutations of it, are run by this crate's
//! own tests. There is no unsafe code in the workspace, so what fuzzing looks for are panics (overflows included),
//! hangs, memory without bounds, and broken promises; not corrupted memory.
//!
//! A corpus is text where it can be: targets that take several texts at once part them by [`BETWEEN`].

// A target's verdict is a panic.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod addresses;
mod asked;
mod events;
mod log_rocket;
mod rendered;
mod secrets;
mod urls;

pub use addresses::address;
pub use asked::{identifiers, request};
pub use events::{http, request_event, webhook_event};
pub use log_rocket::{answers, callback, retry_after};
pub use rendered::{card, html, markdown, page, slack, split, text};
pub use secrets::secrets;
pub use urls::{callback_url, list_query};

use model::time::Time;

/// A target by its name, which is that of its binary and of its corpus in `fuzz/`.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 19] = [
    ("address", address),
    ("answers", answers),
    ("callback", callback),
    ("callback_url", callback_url),
    ("card", card),
    ("html", html),
    ("http", http),
    ("identifiers", identifiers),
    ("list_query", list_query),
    ("markdown", markdown),
    ("page", page),
    ("request", request),
    ("request_event", request_event),
    ("retry_after", retry_after),
    ("secrets", secrets),
    ("slack", slack),
    ("split", split),
    ("text", text),
    ("webhook_event", webhook_event),
];

/// What parts the texts of one input.
pub const BETWEEN: &str = "\n%%\n";

const NOW: Time = Time(1_715_481_030_123);

/// The bytes as text; what is no UTF-8 is replaced, as a reader of events does.
fn as_text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
