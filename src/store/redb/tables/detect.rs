//! The rows of detection:
//!
//! ```text
//! table           key                                 value
//! watched         stretch_be[4] account[32]           see `Watched::encode`
//! net_usual       stretch_be[4] network[32]           see `NetworkUsual::encode`
//! signals         number u64                          see `Signal::encode`
//! canaries        label                               since when, microseconds u64
//! ```
//!
//! See [`stretch`] for how rows of accounts and networks are forgotten.

use std::vec::Vec;

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use super::{
    Tables, damaged,
    ledger::{HourKey, numbered_key},
};
use crate::{
    label::Label,
    server::{
        detect::{DetectRows, NetworkUsual, Signal, SignalRows, Watched},
        quota::{AccountKey, Day, NetworkKey},
    },
    store::{
        Canaries, StoreError,
        redb::store_error,
        signals::{SWEPT_ROWS, SWEPT_SIGNALS, stretch},
    },
    timestamp::Timestamp,
};

type SeenTable<'a, const N: usize> = Table<'a, HourKey, [u8; N]>;

const WATCHED: TableDefinition<'_, HourKey, [u8; Watched::ENCODED]> =
    TableDefinition::new("watched");
const NETWORK_USUAL: TableDefinition<'_, HourKey, [u8; NetworkUsual::ENCODED]> =
    TableDefinition::new("net_usual");
const SIGNALS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("signals");
const CANARIES: TableDefinition<'_, &[u8], u64> = TableDefinition::new("canaries");

/// The tables of detection, inside one transaction.
pub(super) struct DetectTables<'a> {
    watched: SeenTable<'a, { Watched::ENCODED }>,
    network_usual: SeenTable<'a, { NetworkUsual::ENCODED }>,
    signals: Table<'a, u64, &'static [u8]>,
    canaries: Table<'a, &'static [u8], u64>,
}

impl<'a> DetectTables<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            watched: transaction.open_table(WATCHED)?,
            network_usual: transaction.open_table(NETWORK_USUAL)?,
            signals: transaction.open_table(SIGNALS)?,
            canaries: transaction.open_table(CANARIES)?,
        })
    }

    /// Forgets up to `limit` rows of accounts, and as many of networks, that nobody looks for any more.
    pub(super) fn forget(&mut self, today: Day, limit: usize) -> Result<(), StoreError> {
        let stretch = stretch::<Tables<'_>>(today);
        forget(&mut self.watched, stretch, limit)?;
        forget(&mut self.network_usual, stretch, limit)
    }
}

/// The row of this stretch, or of the one before.
fn seen<const N: usize>(
    table: &SeenTable<'_, N>,
    stretch: u32,
    of: &[u8; 32],
) -> Result<Option<[u8; N]>, StoreError> {
    for stretch in [Some(stretch), stretch.checked_sub(1)]
        .into_iter()
        .flatten()
    {
        if let Some(row) = table.get(numbered_key(stretch, of))? {
            return Ok(Some(row.value()));
        }
    }
    Ok(None)
}

fn set_seen<const N: usize>(
    table: &mut SeenTable<'_, N>,
    stretch: u32,
    of: &[u8; 32],
    row: [u8; N],
) -> Result<(), StoreError> {
    forget(table, stretch, SWEPT_ROWS)?;
    table.insert(numbered_key(stretch, of), row)?;
    Ok(())
}

fn forget<const N: usize>(
    table: &mut SeenTable<'_, N>,
    stretch: u32,
    limit: usize,
) -> Result<(), StoreError> {
    let end = numbered_key(stretch.saturating_sub(1), &[0; 32]);
    let mut old = table.extract_from_if(..end, |_, _| true)?;
    for row in old.by_ref().take(limit) {
        row?;
    }
    Ok(())
}

pub(in crate::store::redb) fn signals(
    read: &ReadTransaction,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, Signal)>, StoreError> {
    let table = read.open_table(SIGNALS).map_err(store_error)?;
    let rows = table.range(..before.unwrap_or(u64::MAX))?.rev();
    rows.take(limit)
        .map(|row| {
            let (number, signal) = row?;
            Ok((number.value(), decode(signal.value())?))
        })
        .collect()
}

pub(in crate::store::redb) fn canaries(read: &ReadTransaction) -> Result<Canaries, StoreError> {
    let table = read.open_table(CANARIES).map_err(store_error)?;
    let labels = table.iter()?.map(|row| {
        let (label, _) = row?;
        Label::new(label.value()).map_err(|_| damaged("a label"))
    });
    Ok(Canaries::new(labels.collect::<Result<_, _>>()?))
}

impl Tables<'_> {
    pub(in crate::store::redb) fn add_canaries(
        &mut self,
        labels: &[Label],
        at: Timestamp,
    ) -> Result<usize, StoreError> {
        let mut added = 0;
        for label in labels {
            let canaries = &mut self.detect.canaries;
            if canaries.get(label.as_bytes())?.is_none() {
                canaries.insert(label.as_bytes(), at.as_micros())?;
                added += 1;
            }
        }
        Ok(added)
    }
}

fn decode(bytes: &[u8]) -> Result<Signal, StoreError> {
    Signal::decode(bytes).ok_or_else(|| damaged("a signal"))
}

impl DetectRows for Tables<'_> {
    fn watched(&mut self, account: &AccountKey, today: Day) -> Result<Option<Watched>, StoreError> {
        let stretch = stretch::<Self>(today);
        let row = seen(&self.detect.watched, stretch, account.as_bytes())?;
        row.map(|row| Watched::decode(&row).ok_or_else(|| damaged("what is known of an account")))
            .transpose()
    }

    fn network_usual(
        &mut self,
        network: &NetworkKey,
        today: Day,
    ) -> Result<Option<NetworkUsual>, StoreError> {
        let stretch = stretch::<Self>(today);
        let row = seen(&self.detect.network_usual, stretch, network.as_bytes())?;
        row.map(|row| {
            NetworkUsual::decode(&row).ok_or_else(|| damaged("what is known of a network"))
        })
        .transpose()
    }

    fn set_watched(
        &mut self,
        account: &AccountKey,
        today: Day,
        row: Watched,
    ) -> Result<(), StoreError> {
        let stretch = stretch::<Self>(today);
        let row = row.encode();
        set_seen(&mut self.detect.watched, stretch, account.as_bytes(), row)
    }

    fn set_network_usual(
        &mut self,
        network: &NetworkKey,
        today: Day,
        row: NetworkUsual,
    ) -> Result<(), StoreError> {
        let stretch = stretch::<Self>(today);
        let row = row.encode();
        set_seen(
            &mut self.detect.network_usual,
            stretch,
            network.as_bytes(),
            row,
        )
    }
}

impl SignalRows for Tables<'_> {
    fn keep_signal(&mut self, signal: &Signal) -> Result<u64, StoreError> {
        let frozen = self.is_frozen()?;
        let signals = &mut self.detect.signals;
        let last = signals.last()?.map_or(0, |(number, _)| number.value());
        let number = last.saturating_add(1);
        signals.insert(number, signal.encode().as_slice())?;
        if frozen {
            return Ok(number);
        }
        for _ in 0..SWEPT_SIGNALS {
            let Some((first, hour)) = signals
                .first()?
                .map(|(first, kept)| {
                    Ok::<_, StoreError>((first.value(), decode(kept.value())?.hour))
                })
                .transpose()?
            else {
                break;
            };
            let kept = number - first < Self::KEPT && signal.hour.since(hour) <= Self::KEPT_HOURS;
            if kept {
                break;
            }
            signals.remove(first)?;
        }
        Ok(number)
    }
}
