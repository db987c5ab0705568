//! Points in time as operators write them at three in the morning.

use std::str::FromStr;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time, or how long it is ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Seconds since 1970.
    At(u64),
    /// Seconds ago.
    Ago(u64),
}

impl Moment {
    /// Seconds since 1970.
    pub(crate) fn before(self, now: u64) -> u64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Ago(seconds) => now.saturating_sub(seconds),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "not a time such as 2026-11-25T04:00:00Z, 90min, 36h or 3d";
        let units = [("min", 60), ("h", 3_600), ("d", 86_400)];
        let ago = units.into_iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(seconds)
        });
        if let Some(ago) = ago {
            return Ok(Self::Ago(ago));
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| WHAT)?;
        u64::try_from(at.unix_timestamp())
            .map(Self::At)
            .map_err(|_| WHAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_or_as_time_ago() {
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Moment::At(0)));
        assert_eq!("36h".parse(), Ok(Moment::Ago(129_600)));
        assert_eq!("3 d".parse::<Moment>().unwrap().before(300_000), 40_800);
        assert_eq!(Moment::Ago(10).before(5), 0);
        for bad in [
            "",
            "h",
            "-3h",
            "3 weeks",
            "2026-11-25",
            "99999999999999999d",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }
}
