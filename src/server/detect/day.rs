//! Days that exceed those before.
//!
//! Each count has a meter of its own beside those of the limits: what is usual is known from what was, and not from how
//! high the operator has set a floor.

use alloc::vec::Vec;

use super::{DetectRows, DetectRules, Signal, Subject};
use crate::server::quota::{
    AccountKey, AccountKind, Activity, Day, Hour, Meter, MeterRule, seen_row,
};

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
        // Without a day before, nothing is unusual.
        if row.baseline > 0 && before <= usual && row.charged > usual {
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
