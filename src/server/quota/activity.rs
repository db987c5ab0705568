//! What accounts do in an hour: counts, as evidence.
//!
//! A row is written in the step that takes the debit, and kept until the hour is over and [sealed](crate::server::ledger::seal()).

use super::{ChargeRows, Debit, gcra::HOUR};
use crate::server::Timestamp;

/// Hours since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(u32);

impl Hour {
    /// How many hours later one has to be sealed, or nothing is evaluated: a day.
    pub const LATEST_SEALED: u32 = 24;

    /// The hour of a point in time.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_micros() / HOUR).unwrap_or(u32::MAX))
    }

    /// Takes a number of hours since the Unix epoch.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of hours since the Unix epoch.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// When it begins.
    #[must_use]
    pub const fn begin(self) -> Timestamp {
        Timestamp::from_micros(HOUR.saturating_mul(self.0 as u64))
    }

    /// How many hours `earlier` lies back; zero if it doesn't.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What an account was when it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AccountKind {
    /// One that enrols.
    Registrar,
    /// A young one.
    Young,
    /// Any other.
    Old,
}

impl AccountKind {
    const fn encode(self) -> u8 {
        match self {
            Self::Registrar => 1,
            Self::Young => 2,
            Self::Old => 3,
        }
    }

    const fn decode(kind: u8) -> Option<Self> {
        match kind {
            1 => Some(Self::Registrar),
            2 => Some(Self::Young),
            3 => Some(Self::Old),
            _ => None,
        }
    }

    /// Of one who was both: young before old, and either before a registrar.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Young, _) | (_, Self::Young) => Self::Young,
            (Self::Old, _) | (_, Self::Old) => Self::Old,
            (Self::Registrar, Self::Registrar) => Self::Registrar,
        }
    }

    fn of(debit: &Debit, now: Timestamp) -> Self {
        match &debit.shared {
            None => Self::Registrar,
            Some(shares) if shares.young_until > now => Self::Young,
            Some(_) => Self::Old,
        }
    }
}

/// What an account has done in an hour. Requests of somebody suspended aren't counted: they decide nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// What the account was in this hour; young if it was that at any time. Whoever adds up what young accounts did mustn't miss
    /// what one did just before it grew old.
    pub kind: AccountKind,
    /// Requests, answered or refused.
    pub requests: u32,
    /// Those among them that were refused.
    pub refused: u32,
    /// Elements charged.
    pub elements: u64,
    /// Elements carried over from an epoch before, which cost nothing.
    pub carried: u64,
    /// Whether a charge left less than a tenth of what the bucket holds.
    pub emptied: bool,
}

impl Activity {
    /// Length of the encoding in bytes.
    pub const ENCODED: usize = 26;

    /// Of somebody who hasn't asked yet.
    #[must_use]
    pub const fn none(kind: AccountKind) -> Self {
        Self {
            kind,
            requests: 0,
            refused: 0,
            elements: 0,
            carried: 0,
            emptied: false,
        }
    }

    /// `kind u8 || requests u32 || refused u32 || elements u64 || carried u64 || emptied u8`.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        let parts: [&[u8]; 6] = [
            &[self.kind.encode()],
            &self.requests.to_be_bytes(),
            &self.refused.to_be_bytes(),
            &self.elements.to_be_bytes(),
            &self.carried.to_be_bytes(),
            &[u8::from(self.emptied)],
        ];
        for (byte, &part) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = part;
        }
        out
    }

    /// `None` for bytes that [`Self::encode`] doesn't write.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::ENCODED]) -> Option<Self> {
        let (&[kind], rest) = bytes.split_first_chunk()?;
        let (&requests, rest) = rest.split_first_chunk()?;
        let (&refused, rest) = rest.split_first_chunk()?;
        let (&elements, rest) = rest.split_first_chunk()?;
        let (&carried, rest) = rest.split_first_chunk()?;
        let emptied = match rest {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        Some(Self {
            kind: AccountKind::decode(kind)?,
            requests: u32::from_be_bytes(requests),
            refused: u32::from_be_bytes(refused),
            elements: u64::from_be_bytes(elements),
            carried: u64::from_be_bytes(carried),
            emptied,
        })
    }
}

/// What the young accounts of a network have done in an hour: for detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetworkActivity {
    /// Young accounts that asked for the first time in this hour.
    pub young_accounts: u32,
    /// Elements that young accounts were charged.
    pub young_elements: u64,
}

/// How a request ended, as far as the hour's row needs to know it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) refused: bool,
    pub(super) elements: u32,
    pub(super) carried: u32,
    /// A charge left less than a tenth of the bucket.
    pub(super) emptied: bool,
}

/// Counts a request in the hour's rows, in the step that decided on it.
pub(super) fn record<R: ChargeRows>(
    rows: &mut R,
    debit: &Debit,
    now: Timestamp,
    asked: Asked,
) -> Result<(), R::Error> {
    let hour = Hour::of(now);
    let kind = AccountKind::of(debit, now);
    let before = rows.activity(hour, &debit.account)?;
    let mut row = before.unwrap_or(Activity::none(kind));
    row.kind = row.kind.or(kind);
    row.requests = row.requests.saturating_add(1);
    row.refused = row.refused.saturating_add(u32::from(asked.refused));
    row.elements = row.elements.saturating_add(u64::from(asked.elements));
    row.carried = row.carried.saturating_add(u64::from(asked.carried));
    row.emptied |= asked.emptied;
    rows.set_activity(hour, &debit.account, row)?;

    let Some(shares) = debit.shared.as_ref().filter(|_| kind == AccountKind::Young) else {
        return Ok(());
    };
    if before.is_some() && asked.elements == 0 {
        return Ok(());
    }
    for network in shares.origin.networks() {
        let mut row = rows.network_activity(hour, &network)?.unwrap_or_default();
        let new = u32::from(before.is_none());
        row.young_accounts = row.young_accounts.saturating_add(new);
        row.young_elements = row.young_elements.saturating_add(u64::from(asked.elements));
        rows.set_network_activity(hour, &network, row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_is_encoded_and_decoded_and_nothing_else_is() {
        let activity = Activity {
            kind: AccountKind::Young,
            requests: 1,
            refused: 2,
            elements: 1 << 40,
            carried: 4,
            emptied: true,
        };
        let encoded = activity.encode();
        assert_eq!(Activity::decode(&encoded), Some(activity));
        for (place, value) in [(0, 0), (0, 4), (25, 2)] {
            let mut bad = encoded;
            bad[place] = value;
            assert_eq!(Activity::decode(&bad), None);
        }
    }

    #[test]
    fn who_was_young_at_any_time_of_an_hour_is_young_in_it() {
        use AccountKind::{Old, Registrar, Young};
        assert_eq!(Young.or(Old), Young);
        assert_eq!(Old.or(Young), Young);
        assert_eq!(Registrar.or(Old), Old);
        assert_eq!(Registrar.or(Registrar), Registrar);
    }

    #[test]
    fn an_hour_lasts_until_the_next_one_begins() {
        let hour = Hour::new(500_000);
        let next = Hour::new(500_001);
        assert_eq!(Hour::of(hour.begin()), hour);
        assert_eq!(
            Hour::of(Timestamp::from_micros(next.begin().as_micros() - 1)),
            hour
        );
        assert_eq!(next.since(hour), 1);
        assert_eq!(hour.since(next), 0);
        assert!(Hour::of(Timestamp::MAX).begin() <= Timestamp::MAX);
    }
}
