//! What the user sees.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

/// One line, or several. A reader that is gone (`| head`) is no error here.
pub fn say(text: impl AsRef<str>) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref());
    let _ = out.flush();
}

/// A step that has begun; it is told when it is done, with the time it took.
pub struct Step(Instant);

impl Step {
    pub fn begin() -> Step {
        Step(Instant::now())
    }

    pub fn done(self, what: impl AsRef<str>) {
        say(format!("  ✓ {} ({})", what.as_ref(), duration(self.0.elapsed())));
    }
}

/// A line that is rewritten in place on a terminal, and left out elsewhere.
pub fn passing(text: &str) {
    if stdout().is_terminal() {
        let mut out = stdout().lock();
        let _ = write!(out, "\r\x1b[K{text}");
        let _ = out.flush();
    }
}

/// Clears what [`passing`] left.
pub fn end_passing() {
    passing("");
}

pub fn duration(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// Whether to write headings in bold.
pub fn is_styled() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Columns to write in: the terminal's where it tells, within what reads well.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.unwrap_or(80).clamp(40, 100)
}
