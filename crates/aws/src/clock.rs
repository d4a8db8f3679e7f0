//! The one place where the clock is read.

use model::time::Time;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Time(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
