//! Accounts that look numbers up as fast as they may, day after day.

use alloc::vec::Vec;

use super::{DetectRows, DetectRules, Signal, Subject, day};
use crate::server::quota::{AccountKey, AccountKind, Activity, Day, Hour};

/// Days that a saturated one counts for, with the day itself.
const WINDOW: u32 = 14;

/// What is remembered of an account: its day so far, and which of the days before were saturated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The last day on which it asked.
    day: Day,
    /// Elements charged on that day.
    elements: u64,
    /// Bit `i`: the day `i + 1` days before was saturated.
    past: u16,
    /// The last day on which its bucket was emptied; day 0 for never.
    emptied: Day,
    /// The day of the last signal; day 0 for none.
    signalled: Day,
}

impl Watched {
    /// Length of the encoding in bytes.
    pub const ENCODED: usize = 22;

    /// `day u32 || elements u64 || past u16 || emptied u32 || signalled u32`.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        let parts: [&[u8]; 5] = [
            &self.day.get().to_be_bytes(),
            &self.elements.to_be_bytes(),
            &self.past.to_be_bytes(),
            &self.emptied.get().to_be_bytes(),
            &self.signalled.get().to_be_bytes(),
        ];
        for (byte, &part) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = part;
        }
        out
    }

    /// Takes what [`Self::encode`] wrote.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::ENCODED]) -> Option<Self> {
        let (&day, rest) = bytes.split_first_chunk()?;
        let (&elements, rest) = rest.split_first_chunk()?;
        let (&past, rest) = rest.split_first_chunk()?;
        let (&emptied, rest) = rest.split_first_chunk()?;
        let (&signalled, _) = rest.split_first_chunk()?;
        Some(Self {
            day: Day::new(u32::from_be_bytes(day)),
            elements: u64::from_be_bytes(elements),
            past: u16::from_be_bytes(past),
            emptied: Day::new(u32::from_be_bytes(emptied)),
            signalled: Day::new(u32::from_be_bytes(signalled)),
        })
    }

    const fn new(day: Day) -> Self {
        Self {
            day,
            elements: 0,
            past: 0,
            emptied: Day::new(0),
            signalled: Day::new(0),
        }
    }

    /// Goes on to a day, on which nothing has been charged yet.
    fn turn(&mut self, today: Day, saturated: u64) {
        let days = today.get().saturating_sub(self.day.get());
        if days == 0 {
            return;
        }
        let with_last = u32::from(self.past) << 1 | u32::from(self.elements >= saturated);
        let shifted = with_last.checked_shl(days - 1).unwrap_or(0);
        self.past = shifted as u16;
        self.day = today;
        self.elements = 0;
    }

    fn saturated_days(&self, saturated: u64) -> u32 {
        let before = self.past & ((1 << (WINDOW - 1)) - 1);
        before.count_ones() + u32::from(self.elements >= saturated)
    }
}

/// Looks at what accounts did in an hour, each account once; hours in their order.
///
/// To be run by a store inside the step that seals these rows. `refill_per_day` is what an account gains in a day.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn accounts<R: DetectRows>(
    rows: &mut R,
    rules: &DetectRules,
    refill_per_day: u32,
    hour: Hour,
    page: &[(AccountKey, Activity)],
) -> Result<Vec<Signal>, R::Error> {
    let today = Day::of(hour.begin());
    let saturated = u64::from(refill_per_day) * u64::from(rules.saturated_percent) / 100;
    let mut signals = Vec::new();
    for (account, activity) in page {
        if activity.kind == AccountKind::Registrar || activity.elements == 0 {
            continue;
        }
        let mut row = rows.watched(account, today)?.unwrap_or(Watched::new(today));
        row.turn(today, saturated);
        row.elements = row.elements.saturating_add(activity.elements);
        if activity.emptied {
            row.emptied = today;
        }
        let days = row.saturated_days(saturated);
        let since = |day: Day| today.get().saturating_sub(day.get());
        if days >= rules.saturated_days && since(row.signalled) >= WINDOW {
            row.signalled = today;
            let emptied = since(row.emptied) < WINDOW;
            let subject = Subject::SaturatedAccount {
                account: *account,
                days,
                emptied,
            };
            signals.push(Signal { hour, subject });
        }
        rows.set_watched(account, today, row)?;
    }
    day::count(rows, rules, hour, page, &mut signals)?;
    Ok(signals)
}
