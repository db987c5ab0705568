//! Days that exceed those before.
//!
//! Each count has a meter of its own beside those of the limits: what is usual is known from what was, and not from how
//! high the operator has set a floor.

use alloc::vec::Vec;

use super::{DetectRows, DetectRules, Signal, Subject};
use crate::server::quota::{
    AccountKey, AccountKind, Activity, Day, DayRow, Hour, Meter, MeterRule, seen_row,
};

/// Days before the first on which anything can be unusual.
const WEEK: u32 = 7;

/// Adds an hour's rows to the counts of their day.
pub(super) fn count<R: DetectRows>(
    rows: &mut R,
    rules: &DetectRules,
    hour: Hour,
    page: &[(AccountKey, Activity)],
    signals: &mut Vec<Signal>,
) -> Result<(), R::Error> {
    let asking = || {
        let all = page.iter().map(|(_, activity)| activity);
        all.filter(|activity| activity.kind != AccountKind::Registrar)
    };
    let elements = |of: fn(&Activity) -> bool| -> u64 {
        asking().filter(|one| of(one)).map(|one| one.elements).sum()
    };
    let refused = asking().filter(|one| one.kind == AccountKind::Young && one.refused > 0);
    let refused = refused.count() as u64;
    if refused > 0 {
        let today = Day::of(hour.begin());
        let before = rows.day(Meter::SeenRefused, today)?;
        let row = DayRow {
            charged: before.map_or(0, |row| row.charged).saturating_add(refused),
            baseline: 0,
        };
        rows.set_day(Meter::SeenRefused, today, row)?;
    }
    let emptied = asking().filter(|activity| activity.emptied).count() as u64;
    for (meter, counted, floor) in [
        (
            Meter::SeenYoung,
            elements(|activity| activity.kind == AccountKind::Young),
            rules.young_floor,
        ),
        (Meter::SeenService, elements(|_| true), rules.service_floor),
        (Meter::SeenEmptied, emptied, rules.emptied_floor),
    ] {
        if counted == 0 {
            continue;
        }
        let rule = MeterRule {
            floor,
            percent_of_baseline: rules.day_percent,
            growth_percent_per_week: rules.growth_percent_per_week,
        };
        let today = Day::of(hour.begin());
        let mut row = seen_row(rows, meter, &rule, today)?;
        let usual = rule.limit(row.baseline);
        let before = row.charged;
        row.charged = before.saturating_add(counted);
        rows.set_day(meter, today, row)?;
        let unusual = row.baseline > 0 && before <= usual && row.charged > usual;
        if unusual && is_settled(rows, today)? {
            let subject = Subject::UnusualDay {
                meter,
                counted: row.charged,
                usual,
            };
            signals.push(Signal { hour, subject });
        }
    }
    Ok(())
}

/// Whether anybody asked a week before or earlier: a service that begins has nothing that is usual.
fn is_settled<R: DetectRows>(rows: &mut R, today: Day) -> Result<bool, R::Error> {
    let oldest = today.oldest_needed().get();
    for day in oldest..=today.get().saturating_sub(WEEK) {
        if rows.day(Meter::SeenService, Day::new(day))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many young accounts may come back in an hour because they were told to: those that are refused for the day return at
/// midnight (UTC), all at once, and may be a crowd in any network.
pub(super) fn returning<R: DetectRows>(rows: &mut R, hour: Hour) -> Result<u64, R::Error> {
    let day = Day::of(hour.begin());
    if hour.begin() != Hour::new(day.get().saturating_mul(24)).begin() {
        return Ok(0);
    }
    let before = Day::new(day.get().saturating_sub(1));
    let row = rows.day(Meter::SeenRefused, before)?;
    Ok(row.map_or(0, |row| row.charged))
}
