//! Sealing, as a service does it, for tests of stores and of the quota.

use std::sync::Arc;

use blindbook::{
    Timestamp,
    server::{
        detect::{DetectRules, Signal},
        ledger::{LedgerKey, Month, Sealed, Sealing, Suspension},
        policy::Policy,
        quota::Suspect,
    },
    store::{DerivedLedgerKeys, LedgerKeys, LedgerStore},
};

/// The keys of all months.
pub(crate) fn keys() -> DerivedLedgerKeys {
    DerivedLedgerKeys::new(&mut [11; 32])
}

pub(crate) fn key(month: Month) -> Arc<LedgerKey> {
    keys().key(month).unwrap()
}

/// What seals an hour of this time.
pub(crate) fn sealing(at: Timestamp) -> Sealing {
    Sealing {
        rules: DetectRules::default(),
        refill_per_day: Policy::default().account.refill_per_day,
        key: key(Month::of(at)),
    }
}

/// Seals all hours that are over, and returns what detection had to say.
pub(crate) async fn seal(store: &impl LedgerStore, at: Timestamp) -> Vec<Signal> {
    let mut found = Vec::new();
    let mut with = sealing(at);
    loop {
        match store.seal(with.clone(), at).await.unwrap() {
            Sealed::Page { signals, .. } => found.extend(signals),
            Sealed::OtherMonth(month) => with.key = key(month),
            Sealed::Nothing => return found,
            other => panic!("{other:?}"),
        }
    }
}

/// An order to suspend somebody, given at the beginning of time.
pub(crate) fn suspension(suspect: Suspect, until: Option<Timestamp>) -> Suspension {
    let at = Timestamp::from_micros(0);
    Suspension::new(suspect, until, at, &key(Month::of(at)))
}
