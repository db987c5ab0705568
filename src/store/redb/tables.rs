//! The tables of the embedded store:
//!
//! ```text
//! table        key                                    value
//! meta         "version" | "latest" | "changes" |     u64
//!              "settled" | "decoys from" |
//!              "decoys to" | "epoch" | "store" |
//!              "commits" | "lost since" | "lost until"
//! days         meter u8, day u32                      elements u64, baseline u64
//! suspended    subject[32] kind[1]                    until, microseconds u64
//! evaluations  epoch u64                              elements u64
//! members      epoch_be[8] N[32]                      see `member`
//! findable     epoch_be[8] N[32]                      label
//! changed      epoch_be[8] N[32]                      number u64, since u64
//! labels       epoch_be[8] length[1] label N[32]      -
//! forget_by    when_be[8] epoch_be[8] N[32]           -
//! manifests    sequence u64                           bytes
//! rotation     -                                      see `rotation`
//! rekey_again  N[32]                                  -
//! ```
//!
//! Those that change with each charge are drawn in [`logged`], those of incidents in [`incident`], those of detection in
//! [`detect`], those of the chain of the ledger in [`chain`].
//!
//! Who can't be found has no row in `findable`. That and `changed` is all that publishing reads. A row of `changed` counts
//! while its number is greater than "settled"; `since` is when the member became findable.
//!
//! While a rotation has a row that says that members are being rekeyed, each one of the old epoch whose row is written is noted
//! in `rekey_again`. "epoch" is the one that the last rotation has switched to: members of an earlier one don't change any more.
//!
//! "store" and "commits" are what the store's witness is told; of a store that was restored it isn't known what was charged
//! between "lost since" and "lost until".
//!
//! Files of earlier versions are [taken over](takeover).

mod accounts;
mod chain;
mod detect;
mod incident;
mod labelled;
mod ledger;
mod logged;
mod members;
mod published;
mod quota;
mod restored;
mod rotation;
mod takeover;

use std::{collections::BTreeMap, mem};

use redb::{ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use self::{
    accounts::Held, chain::LedgerTables, detect::DetectTables, incident::IncidentTables,
    ledger::HourKey, logged::Logged, rotation::RotationRow,
};
pub(super) use self::{
    chain::{entries, entries_about, kept_since, ledger_head},
    detect::{canaries, signals},
    incident::{incidents, notice_tally},
    labelled::labelled,
    logged::pending,
    members::{between, changed, findable},
    published::{latest_manifest, progress},
    quota::{evaluations, latest, spent_rows},
    restored::{Acceptance, Remembered, lost, remembered, seen},
    rotation::{labels_to_rekey, old_claims, rotation, to_rekey, to_rekey_again},
};
use super::pending::Pending;
use crate::{
    oprf::{Encoding, Epoch},
    server::quota::{Activity, DayRow, Hour, NetworkActivity},
    store::StoreError,
    timestamp::Timestamp,
};

/// The version of the tables. A later one is refused.
pub(super) const VERSION: u64 = 5;

type MemberKey = [u8; 40];
type ForgetKey = [u8; 48];

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const DAYS: TableDefinition<'_, (u8, u32), (u64, u64)> = TableDefinition::new("days");
const SUSPENDED: TableDefinition<'_, [u8; 33], u64> = TableDefinition::new("suspended");
const EVALUATIONS: TableDefinition<'_, u64, u64> = TableDefinition::new("evaluations");
const MEMBERS: TableDefinition<'_, MemberKey, &[u8]> = TableDefinition::new("members");
const FINDABLE: TableDefinition<'_, MemberKey, &[u8]> = TableDefinition::new("findable");
const CHANGED: TableDefinition<'_, MemberKey, (u64, u64)> = TableDefinition::new("changed");
const LABELS: TableDefinition<'_, &[u8], ()> = TableDefinition::new("labels");
const FORGET_BY: TableDefinition<'_, ForgetKey, ()> = TableDefinition::new("forget_by");
const MANIFESTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("manifests");
const ROTATION: TableDefinition<'_, (), RotationRow> = TableDefinition::new("rotation");
const REKEY_AGAIN: TableDefinition<'_, Encoding, ()> = TableDefinition::new("rekey_again");

/// The number of the last change to what is published of a member.
const CHANGES: &str = "changes";
/// The number of the last one that is published.
const SETTLED: &str = "settled";
const DECOYS_FROM: &str = "decoys from";
const DECOYS_TO: &str = "decoys to";
/// The epoch that a rotation has switched to; 0 before the first one.
const EPOCH: &str = "epoch";

/// All tables, inside one transaction.
pub(super) struct Tables<'a> {
    transaction: &'a WriteTransaction,
    meta: Table<'a, &'static str, u64>,
    logged: Logged<'a>,
    days: Table<'a, (u8, u32), (u64, u64)>,
    suspended: Table<'a, [u8; 33], u64>,
    evaluations: Table<'a, u64, u64>,
    members: Table<'a, MemberKey, &'static [u8]>,
    findable: Table<'a, MemberKey, &'static [u8]>,
    changed: Table<'a, MemberKey, (u64, u64)>,
    labels: Table<'a, &'static [u8], ()>,
    forget_by: Table<'a, ForgetKey, ()>,
    manifests: Table<'a, u64, &'static [u8]>,
    incident: IncidentTables<'a>,
    detect: DetectTables<'a>,
    ledger: LedgerTables<'a>,
    rotation: Table<'a, (), RotationRow>,
    rekey_again: Table<'a, Encoding, ()>,
    hot: Hot,
}

/// Rows that every charge changes, until the transaction ends: a group of charges writes each of them once, in the order of
/// their keys.
#[derive(Default)]
struct Hot {
    latest: Option<Timestamp>,
    evaluations: BTreeMap<u64, u64>,
    held: Held,
    networks: BTreeMap<[u8; 32], u64>,
    days: BTreeMap<(u8, u32), DayRow>,
    activity: BTreeMap<HourKey, Activity>,
    network_activity: BTreeMap<HourKey, NetworkActivity>,
    /// The oldest hour of the tables that isn't sealed, if that was looked up.
    oldest: Option<Option<Hour>>,
    /// The epoch of which members are being rekeyed, if that was looked up.
    rekeying: Option<Option<Epoch>>,
    /// Until when it isn't known what was charged, if that was looked up.
    lost_until: Option<Option<Timestamp>>,
}

impl<'a> Tables<'a> {
    pub(super) fn open(
        transaction: &'a WriteTransaction,
        pending: &'a mut Pending,
    ) -> Result<Self, TableError> {
        Ok(Self {
            transaction,
            meta: transaction.open_table(META)?,
            logged: Logged::open(transaction, pending)?,
            days: transaction.open_table(DAYS)?,
            suspended: transaction.open_table(SUSPENDED)?,
            evaluations: transaction.open_table(EVALUATIONS)?,
            members: transaction.open_table(MEMBERS)?,
            findable: transaction.open_table(FINDABLE)?,
            changed: transaction.open_table(CHANGED)?,
            labels: transaction.open_table(LABELS)?,
            forget_by: transaction.open_table(FORGET_BY)?,
            manifests: transaction.open_table(MANIFESTS)?,
            incident: IncidentTables::open(transaction)?,
            detect: DetectTables::open(transaction)?,
            ledger: LedgerTables::open(transaction)?,
            rotation: transaction.open_table(ROTATION)?,
            rekey_again: transaction.open_table(REKEY_AGAIN)?,
            hot: Hot::default(),
        })
    }

    /// Writes what was held back. To be called before the transaction is committed.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.write_hours()?;
        let hot = mem::take(&mut self.hot);
        if let Some(latest) = hot.latest {
            self.meta.insert("latest", latest.as_micros())?;
        }
        for (epoch, count) in hot.evaluations {
            self.evaluations.insert(epoch, count)?;
        }
        self.write_accounts(hot.held)?;
        for (network, level) in hot.networks {
            self.logged.set_network(&network, level)?;
        }
        for (key, row) in hot.days {
            self.days.insert(key, (row.charged, row.baseline))?;
        }
        self.logged.finish()
    }

    /// Folds the next rows, when there is nothing else to do.
    pub(super) fn fold_next(&mut self, limit: usize) -> Result<(), StoreError> {
        self.logged.fold_next(limit)
    }

    /// Folds all rows, so that the tables have everything.
    pub(super) fn fold_all(&mut self) -> Result<(), StoreError> {
        self.logged.fold_all()
    }

    /// Drops the log, when the store is opened, if it has become too long.
    pub(super) fn trim_log(&mut self) -> Result<(), StoreError> {
        self.logged.trim()
    }

    /// Stamps a new store or one of an earlier version; refuses one of a later version.
    pub(super) fn check_version(&mut self) -> Result<(), StoreError> {
        let version = self.meta.get("version")?.map(|version| version.value());
        match version {
            Some(VERSION) => Ok(()),
            Some(earlier @ 1..VERSION) => {
                self.take_over(earlier)?;
                self.stamp(VERSION)
            }
            None => self.stamp(VERSION),
            Some(other) => Err(StoreError::Version(other)),
        }
    }

    pub(super) fn stamp(&mut self, version: u64) -> Result<(), StoreError> {
        self.meta.insert("version", version)?;
        Ok(())
    }
}

/// A later version may have what this one would lose.
fn check_known(version: u64) -> Result<(), StoreError> {
    if version > VERSION {
        return Err(StoreError::Version(version));
    }
    Ok(())
}

fn number(
    meta: &impl ReadableTable<&'static str, u64>,
    name: &'static str,
) -> Result<u64, StoreError> {
    Ok(meta.get(name)?.map_or(0, |number| number.value()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(std::format!("{what} can't be read"))
}
