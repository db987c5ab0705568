//! Months, in which an account has one pseudonym.

use core::{fmt, str::FromStr};

use crate::server::{
    Timestamp,
    date::{civil, days},
};

/// A month of the Gregorian calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

/// Text that isn't a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month is written as 2026-11")]
pub struct BadMonth;

impl Month {
    /// Months after which the key of one is destroyed: 24.
    pub const KEPT: u32 = 24;

    /// The month of a point in time.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let (year, month, _) = civil(at.as_micros() / 86_400_000_000);
        Self(u32::try_from(year * 12 + month - 1).unwrap_or(u32::MAX))
    }

    /// When it begins.
    #[must_use]
    pub fn begin(self) -> Timestamp {
        let days = days(u64::from(self.0 / 12), u64::from(self.0 % 12) + 1);
        Timestamp::from_secs(days.saturating_mul(86_400))
    }

    /// Takes the number of a month: twelve times its year, and 0 for January.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the month.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether its key has been kept for long enough in this other month.
    #[must_use]
    pub const fn is_due_in(self, present: Self) -> bool {
        present.0 > self.0.saturating_add(Self::KEPT)
    }
}

/// As `2026-11`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl FromStr for Month {
    type Err = BadMonth;

    fn from_str(text: &str) -> Result<Self, BadMonth> {
        let (year, month) = text.split_once('-').ok_or(BadMonth)?;
        let digits = |text: &str, least, most| {
            let fits = (least..=most).contains(&text.len());
            let only = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = (fits && only).then(|| text.parse::<u32>().ok());
            number.flatten().ok_or(BadMonth)
        };
        let (year, month) = (digits(year, 4, 6)?, digits(month, 2, 2)?);
        let parsed = Self(year * 12 + month.checked_sub(1).filter(|m| *m < 12).ok_or(BadMonth)?);
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01"),
            (951_782_400, "2000-02"),
            (1_793_491_199, "2026-10"),
            (1_793_491_200, "2026-11"),
            (1_798_761_600, "2027-01"),
        ] {
            let month = Month::of(Timestamp::from_secs(seconds));
            assert_eq!(Month::of(month.begin()), month);
            let before = month.begin().as_micros().saturating_sub(1);
            assert!(seconds == 0 || Month::of(Timestamp::from_micros(before)) < month);
            assert_eq!(month.to_string(), text);
            assert_eq!(text.parse(), Ok(month));
        }
        assert_eq!("2026-12".parse().map(Month::next), "2027-01".parse());
        let last = Month::of(Timestamp::MAX);
        assert_eq!(last.to_string().parse(), Ok(last));
    }

    #[test]
    fn what_isnt_a_month_is_refused() {
        for text in [
            "", "2026", "2026-0", "2026-00", "2026-13", "2026-1", "+026-01", "2026-011", "26-11",
            "2026-11 ",
        ] {
            assert_eq!(text.parse::<Month>(), Err(BadMonth), "{text}");
        }
    }

    #[test]
    fn a_key_is_due_after_two_years() {
        let of: Month = "2026-11".parse().unwrap();
        assert!(!of.is_due_in("2028-11".parse().unwrap()));
        assert!(of.is_due_in("2028-12".parse().unwrap()));
        assert!(!of.is_due_in("2024-01".parse().unwrap()));
    }
}
