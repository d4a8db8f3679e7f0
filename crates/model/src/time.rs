//! Points in time, as the table stores them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use time::OffsetDateTime;

/// A point in time: whole milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// This time and `duration` more.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds since the epoch, rounded up, as DynamoDB's TTL wants them.
    pub fn ceil_seconds(self) -> i64 {
        self.0.div_euclid(1000) + i64::from(self.0.rem_euclid(1000) != 0)
    }

    /// The UTC calendar month, `2026-11`.
    pub fn month(self) -> String {
        let at = self.calendar();
        format!("{:04}-{:02}", at.year(), u8::from(at.month()))
    }

    /// How long until the next UTC month begins.
    pub fn until_next_month(self) -> Duration {
        let at = self.calendar();
        let (year, month) = match at.month() {
            time::Month::December => (at.year() + 1, time::Month::January),
            month => (at.year(), month.next()),
        };
        let next = time::Date::from_calendar_date(year, month, 1)
            .map(|date| date.midnight().assume_utc().unix_timestamp() * 1000)
            .unwrap_or(self.0);
        Self(next).since(self)
    }

    /// For people, in UTC: `12 May 2024, 02:30`.
    pub fn for_people(self) -> String {
        let at = self.calendar();
        format!("{} {} {}, {:02}:{:02}", at.day(), at.month(), at.year(), at.hour(), at.minute())
    }

    fn calendar(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// RFC 3339 in UTC, `2026-11-22T10:00:00.123Z`.
impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Always three digits of fraction, so that times sort as text.
        let at = self.calendar();
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        let (hour, minute, second, millis) = (at.hour(), at.minute(), at.second(), at.millisecond());
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339_in_utc() {
        assert_eq!(Time(1_715_481_030_123).to_string(), "2024-05-12T02:30:30.123Z");
        assert_eq!(Time(1_715_481_030_000).to_string(), "2024-05-12T02:30:30.000Z");
        assert_eq!(Time(1_715_481_030_123).for_people(), "12 May 2024, 02:30");
    }

    #[test]
    fn knows_its_month_and_the_next() {
        let last_second_of_2026 = Time(1_798_761_599_000);
        assert_eq!(last_second_of_2026.month(), "2026-12");
        assert_eq!(last_second_of_2026.until_next_month(), Duration::from_secs(1));
    }

    #[test]
    fn rounds_up_to_the_second_that_surely_has_passed() {
        assert_eq!(Time(1_000).ceil_seconds(), 1);
        assert_eq!(Time(1_001).ceil_seconds(), 2);
    }
}
