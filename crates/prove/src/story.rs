//! A path, told so that it can be followed.

use crate::protocol::{Action, Protocol};
use crate::world::World;
use model::record::Record;
use model::time::Time;
use std::fmt::Write;

/// One line for each step: the seconds since the first, what was done, and how the record stood then.
pub fn tell(protocol: &Protocol, path: stateright::Path<World, Action>) -> String {
    let mut story = String::new();
    for (world, action) in path.into_vec() {
        let action = action.map_or_else(|| "(the end)".to_owned(), |action| format!("{action:?}"));
        let since = |time: Time| time.since(protocol.start).as_secs();
        let row = world.row.as_ref().map_or_else(|| "no record".to_owned(), |row| line(row, &since));
        let _ = writeln!(
            story,
            "{:>7} s  {row}; {} at work\n            → {action}",
            since(world.now),
            world.workers.0.len()
        );
    }
    story
}

fn line(row: &Record, since: &impl Fn(Time) -> u64) -> String {
    let mut line = row.status.as_str().to_owned();
    for (number, entry) in &row.attempts {
        let id = entry.log_rocket_request_id.as_deref().unwrap_or("no id");
        let _ = write!(line, ", attempt {number} {:?} ({id})", entry.state);
    }
    for (owner, due) in [("request", row.request_due_at), ("webhook", row.webhook_due_at)] {
        if let Some(due) = due {
            let _ = write!(line, ", {owner} due at {}", since(due));
        }
    }
    for (key, mark) in &row.deliveries {
        let _ = write!(line, ", {key} {:?}", mark.state);
    }
    line
}
