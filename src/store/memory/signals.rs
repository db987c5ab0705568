//! What detection remembers and has found, in memory.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, vec::Vec};

use super::{MemoryStore, Rows, never};
use crate::{
    server::{
        detect::{DetectRows, NetworkUsual, Signal, SignalRows, Watched},
        ledger::{LedgerKey, note_signal},
        quota::{AccountKey, Day, NetworkKey},
    },
    store::{
        SignalStore, StoreError,
        signals::{SWEPT_ROWS, SWEPT_SIGNALS, stretch},
    },
    timestamp::Timestamp,
};

type Seen<K, V> = BTreeMap<(u32, K), V>;

/// The rows of detection.
#[derive(Default)]
pub(super) struct Detection {
    watched: Seen<AccountKey, Watched>,
    network_usual: Seen<NetworkKey, NetworkUsual>,
    signals: BTreeMap<u64, Signal>,
}

impl Detection {
    /// Forgets up to `limit` rows of accounts, and as many of networks, that nobody looks for any more.
    pub(super) fn forget(&mut self, today: Day, limit: usize) {
        let stretch = stretch::<Rows>(today);
        forget(&mut self.watched, stretch, limit);
        forget(&mut self.network_usual, stretch, limit);
    }
}

/// The row of this stretch, or of the one before.
fn seen<K: Ord + Copy, V: Copy>(rows: &Seen<K, V>, stretch: u32, of: K) -> Option<V> {
    let before = || rows.get(&(stretch.checked_sub(1)?, of));
    rows.get(&(stretch, of)).or_else(before).copied()
}

fn set_seen<K: Ord + Copy, V>(rows: &mut Seen<K, V>, stretch: u32, of: K, row: V) {
    forget(rows, stretch, SWEPT_ROWS);
    rows.insert((stretch, of), row);
}

fn forget<K: Ord, V>(rows: &mut Seen<K, V>, stretch: u32, limit: usize) {
    for _ in 0..limit {
        let Some(first) = rows.first_entry() else {
            return;
        };
        if first.key().0.saturating_add(1) >= stretch {
            return;
        }
        first.remove();
    }
}

impl DetectRows for Rows {
    fn watched(&mut self, account: &AccountKey, today: Day) -> Result<Option<Watched>, Infallible> {
        let stretch = stretch::<Self>(today);
        Ok(seen(&self.detection.watched, stretch, *account))
    }

    fn network_usual(
        &mut self,
        network: &NetworkKey,
        today: Day,
    ) -> Result<Option<NetworkUsual>, Infallible> {
        let stretch = stretch::<Self>(today);
        Ok(seen(&self.detection.network_usual, stretch, *network))
    }

    fn set_watched(
        &mut self,
        account: &AccountKey,
        today: Day,
        row: Watched,
    ) -> Result<(), Infallible> {
        let stretch = stretch::<Self>(today);
        set_seen(&mut self.detection.watched, stretch, *account, row);
        Ok(())
    }

    fn set_network_usual(
        &mut self,
        network: &NetworkKey,
        today: Day,
        row: NetworkUsual,
    ) -> Result<(), Infallible> {
        let stretch = stretch::<Self>(today);
        set_seen(&mut self.detection.network_usual, stretch, *network, row);
        Ok(())
    }
}

impl SignalRows for Rows {
    fn keep_signal(&mut self, signal: &Signal) -> Result<u64, Infallible> {
        let signals = &mut self.detection.signals;
        let last = signals.last_key_value().map_or(0, |(number, _)| *number);
        let number = last.saturating_add(1);
        signals.insert(number, *signal);
        if self.incident.is_frozen() {
            return Ok(number);
        }
        for _ in 0..SWEPT_SIGNALS {
            let Some(first) = signals.first_entry() else {
                break;
            };
            let kept = number - first.key() < Self::KEPT
                && signal.hour.since(first.get().hour) <= Self::KEPT_HOURS;
            if kept {
                break;
            }
            first.remove();
        }
        Ok(number)
    }
}

impl SignalStore for MemoryStore {
    async fn signals(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Signal)>, StoreError> {
        let rows = self.rows()?;
        let signals = rows.detection.signals.range(..before.unwrap_or(u64::MAX));
        let signals = signals.rev().take(limit);
        Ok(signals.map(|(number, signal)| (*number, *signal)).collect())
    }

    async fn note_signal(
        &self,
        signal: Signal,
        key: Arc<LedgerKey>,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        Ok(never(note_signal(&mut *self.rows()?, &signal, &key, at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::signals::tests;

    #[test]
    fn the_rows_of_detection_conform() {
        let mut rows = Rows::default();
        tests::rows_are_kept_for_two_weeks_and_then_forgotten(&mut rows);
        assert!(rows.detection.watched.len() <= 6);
        tests::signals_are_numbered_and_the_oldest_go(&mut rows);
        let signals = rows.detection.signals.into_iter().rev();
        tests::remaining(&signals.collect::<Vec<_>>());
    }
}
