//! What many accounts may discover together in a day, measured against the days before.
//!
//! A meter adds up the elements of a day (UTC), and detection keeps some of its own. On the day's first charge its *baseline* is laid down, and the day's
//! limit follows from it and from the policy of the moment, so that an operator who raises a floor is heard at once.
//!
//! ```text
//! usual    = the most in one of the 28 days before       (their 99th percentile by nearest rank)
//! earlier  = the baseline of the week before, or what the floor stands for if that is more
//! baseline = min(usual, earlier * (100 + growth) / 100)
//! limit    = max(floor, baseline * percent / 100)
//! ```

use core::time::Duration;

use super::{ChargeRows, gcra::DAY};
use crate::server::Timestamp;

/// Days that count as usual.
const HISTORY: u32 = 28;
/// Days after which a baseline may have grown.
const WEEK: u32 = 7;

/// What is added up: whose elements, mostly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Meter {
    /// Those of all young accounts.
    Young,
    /// Those of all accounts.
    Service,
    /// Those of all young accounts, for detection: what is usual doesn't follow from a limit's floor.
    SeenYoung,
    /// Those of all accounts, for detection.
    SeenService,
    /// Buckets that were emptied, for detection.
    SeenEmptied,
    /// Young accounts that were refused something in an hour, for detection. Without a baseline.
    SeenRefused,
}

impl Meter {
    /// The meter's key in a store.
    #[must_use]
    pub const fn encode(self) -> u8 {
        match self {
            Self::Young => 1,
            Self::Service => 2,
            Self::SeenYoung => 3,
            Self::SeenService => 4,
            Self::SeenEmptied => 5,
            Self::SeenRefused => 6,
        }
    }
}

impl Meter {
    /// The meter with such a key.
    pub(in crate::server) fn decode(key: u64) -> Option<Self> {
        [
            Self::Young,
            Self::Service,
            Self::SeenYoung,
            Self::SeenService,
            Self::SeenEmptied,
            Self::SeenRefused,
        ]
        .into_iter()
        .find(|meter| u64::from(meter.encode()) == key)
    }
}

/// Days since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// The day of a point in time.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_micros() / DAY).unwrap_or(u32::MAX))
    }

    /// Takes a number of days since the Unix epoch.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of days since the Unix epoch.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The oldest day that a baseline of this day can depend on.
    #[must_use]
    pub const fn oldest_needed(self) -> Self {
        Self(self.0.saturating_sub(HISTORY))
    }

    /// How long after `now` the next day begins.
    pub(super) fn wait_for_next(now: Timestamp) -> Duration {
        Duration::from_micros(DAY - now.as_micros() % DAY)
    }
}

/// What a meter has measured on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRow {
    /// Elements charged.
    pub charged: u64,
    /// The baseline that was laid down when the day began.
    pub baseline: u64,
}

/// What a day's limit is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeterRule {
    /// The least that the limit is.
    pub floor: u64,
    /// The limit in percent of the baseline.
    pub percent_of_baseline: u32,
    /// By how much the baseline may grow in a week.
    pub growth_percent_per_week: u32,
}

impl MeterRule {
    /// The limit of a day with this baseline.
    pub(crate) fn limit(&self, baseline: u64) -> u64 {
        percent(baseline, self.percent_of_baseline).max(self.floor)
    }

    /// The highest baseline of a day whose week before had this one, whatever was charged.
    pub(crate) fn highest_after(&self, earlier: u64) -> u64 {
        let of_floor = u128::from(self.floor) * 100 / u128::from(self.percent_of_baseline.max(1));
        let earlier = earlier.max(u64::try_from(of_floor).unwrap_or(u64::MAX));
        percent(earlier, self.growth_percent_per_week.saturating_add(100))
    }
}

fn percent(of: u64, percent: u32) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// How much of a day's limit has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Elements charged on this day.
    pub charged: u64,
    /// Elements that may be.
    pub limit: u64,
}

impl Usage {
    /// Whether at least so many percent of the limit are used.
    #[must_use]
    pub fn reaches(&self, percent: u32) -> bool {
        u128::from(self.charged) * 100 >= u128::from(self.limit) * u128::from(percent)
    }
}

/// The row of a day, made from the days before if nothing was charged yet.
pub(super) fn day_row<R: ChargeRows>(
    rows: &mut R,
    meter: Meter,
    rule: &MeterRule,
    today: Day,
) -> Result<DayRow, R::Error> {
    begun(rows, meter, today, |usual, earlier| {
        rule.highest_after(earlier.unwrap_or(0)).min(usual)
    })
}

/// [`day_row`] where nobody has set a floor to what is usual: the first days are believed.
pub(in crate::server) fn seen_row<R: ChargeRows>(
    rows: &mut R,
    meter: Meter,
    rule: &MeterRule,
    today: Day,
) -> Result<DayRow, R::Error> {
    begun(rows, meter, today, |usual, earlier| match earlier {
        None | Some(0) => usual,
        Some(earlier) => rule.highest_after(earlier).min(usual),
    })
}

/// The row of a day; if there is none yet, one with a baseline from the most that was counted on a day before, and the
/// baseline of a week before.
fn begun<R: ChargeRows>(
    rows: &mut R,
    meter: Meter,
    today: Day,
    baseline: impl FnOnce(u64, Option<u64>) -> u64,
) -> Result<DayRow, R::Error> {
    if let Some(row) = rows.day(meter, today)? {
        return Ok(row);
    }
    let mut usual = 0;
    let mut earlier = None;
    for back in 1..=HISTORY.min(today.get()) {
        // A day without a row is one on which nothing was charged.
        let Some(row) = rows.day(meter, Day::new(today.get() - back))? else {
            continue;
        };
        usual = row.charged.max(usual);
        if back >= WEEK {
            earlier = earlier.or(Some(row.baseline));
        }
    }
    Ok(DayRow {
        charged: 0,
        baseline: baseline(usual, earlier),
    })
}
