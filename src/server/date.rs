//! Points in time as people and regulators read them, in UTC.

use alloc::{format, string::String};
use core::time::Duration;

use crate::timestamp::Timestamp;

/// `2026-11-25T04:43:00Z` (RFC 3339), to the second.
pub(in crate::server) fn rfc3339(at: Timestamp) -> String {
    let seconds = at.as_micros() / 1_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// `25 November 2026, 04:43 UTC`: nobody takes the day for the month.
pub(in crate::server) fn in_words(at: Timestamp) -> String {
    let seconds = at.as_micros() / 1_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    let name = MONTHS
        .get(usize::try_from(month - 1).unwrap_or(0))
        .unwrap_or(&"");
    format!(
        "{day} {name} {year}, {:02}:{:02} UTC",
        of_day / 3_600,
        of_day / 60 % 60
    )
}

/// `71 hours 20 minutes`.
pub(in crate::server) fn hours(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let unit = |number: u64, name: &str| match number {
        1 => format!("1 {name}"),
        other => format!("{other} {name}s"),
    };
    match (hours, minutes) {
        (0, minutes) => unit(minutes, "minute"),
        (hours, 0) => unit(hours, "hour"),
        (hours, minutes) => format!("{} {}", unit(hours, "hour"), unit(minutes, "minute")),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Year, month from 1 and day from 1 of a day since 1970, by the Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", `civil_from_days`): years begin in March, so that the leap day is the last one.
pub(in crate::server) fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The day since 1970 on which a month begins, 0 for those before (`days_from_civil`).
pub(in crate::server) fn days(year: u64, month: u64) -> u64 {
    let year = year.saturating_sub(u64::from(month <= 2));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let (era, of_era) = (year / 400, year % 400);
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + (153 * shifted + 2) / 5;
    (era * 146_097 + day_of_era).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_793_534_400, "2026-11-01T12:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_secs(seconds)), text);
        }
        let at = Timestamp::from_secs(1_793_534_400 + 61);
        assert_eq!(in_words(at), "1 November 2026, 12:01 UTC");
        // The latest time has a year of six digits, and no month 13.
        assert!(rfc3339(Timestamp::MAX).starts_with("148"));
    }

    #[test]
    fn durations_are_in_hours() {
        let text = |seconds| hours(Duration::from_secs(seconds));
        assert_eq!(text(59), "0 minutes");
        assert_eq!(text(3_660), "1 hour 1 minute");
        assert_eq!(text(72 * 3_600), "72 hours");
    }
}
