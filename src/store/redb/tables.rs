//! The tables of the embedded store:
//!
//! ```text
//! table        key                                    value
//! meta         "version" | "latest" | "changes" |     u64
//!              "settled" | "decoys from" | "decoys to"
//! buckets      subject[32] kind[1]                    level, microseconds u64
//! days         meter u8, day u32                      elements u64, baseline u64
//! suspended    subject[32] kind[1]                    until, microseconds u64
//! charged      replay key[77]                         when, microseconds u64
//! charged_by   when u64, replay key[77]               -
//! evaluations  epoch u64                              elements u64
//! members      epoch_be[8] N[32]                      see `member`
//! findable     epoch_be[8] N[32]                      label
//! changed      epoch_be[8] N[32]                      number u64, since u64
//! forget_by    when_be[8] epoch_be[8] N[32]           -
//! manifests    sequence u64                           bytes
//! ```
//!
//! Who can't be found has no row in `findable`. That and `changed` is all that publishing reads. A row of `changed` counts
//! while its number is greater than "settled"; `since` is when the member became findable.
//!
//! Version 1 had neither `days` nor `suspended`, nor `changed`. Its files are taken over: nobody was suspended, without days
//! the floors of the policy hold, and so many changes are taken for granted that all members are published anew.

use std::{collections::BTreeMap, ops::Bound, vec::Vec};

use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError,
    WriteTransaction,
};
use zeroize::Zeroizing;

use super::{member, store_error};
use crate::{
    label::Label,
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        directory::{Member, MemberRows},
        quota::{Bucket, ChargeRows, Day, DayRow, Meter, ReplayKey, Suspect},
    },
    store::{
        BucketKey, Changed, Findable, Progress, REPLAY_MEMORY, Settled, StoreError, StoredManifest,
    },
    timestamp::Timestamp,
};

/// The version of the tables. A later one is refused.
pub(super) const VERSION: u64 = 2;
/// Changes that are taken for granted where none were noted: more than any set has members.
const UNKNOWN_CHANGES: u64 = 1 << 48;
/// Old records of charged requests that a new one sweeps away.
const SWEPT: usize = 4;

type MemberKey = [u8; 40];
type ForgetKey = [u8; 48];
type Replay = [u8; ReplayKey::LENGTH];

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const BUCKETS: TableDefinition<'_, [u8; 33], u64> = TableDefinition::new("buckets");
const DAYS: TableDefinition<'_, (u8, u32), (u64, u64)> = TableDefinition::new("days");
const SUSPENDED: TableDefinition<'_, [u8; 33], u64> = TableDefinition::new("suspended");
const CHARGED: TableDefinition<'_, Replay, u64> = TableDefinition::new("charged");
const CHARGED_BY: TableDefinition<'_, (u64, Replay), ()> = TableDefinition::new("charged_by");
const EVALUATIONS: TableDefinition<'_, u64, u64> = TableDefinition::new("evaluations");
const MEMBERS: TableDefinition<'_, MemberKey, &[u8]> = TableDefinition::new("members");
const FINDABLE: TableDefinition<'_, MemberKey, &[u8]> = TableDefinition::new("findable");
const CHANGED: TableDefinition<'_, MemberKey, (u64, u64)> = TableDefinition::new("changed");
const FORGET_BY: TableDefinition<'_, ForgetKey, ()> = TableDefinition::new("forget_by");
const MANIFESTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("manifests");

/// The number of the last change to what is published of a member.
const CHANGES: &str = "changes";
/// The number of the last one that is published.
const SETTLED: &str = "settled";
const DECOYS_FROM: &str = "decoys from";
const DECOYS_TO: &str = "decoys to";

/// All tables, inside one transaction.
pub(super) struct Tables<'a> {
    meta: Table<'a, &'static str, u64>,
    buckets: Table<'a, [u8; 33], u64>,
    days: Table<'a, (u8, u32), (u64, u64)>,
    suspended: Table<'a, [u8; 33], u64>,
    charged: Table<'a, Replay, u64>,
    charged_by: Table<'a, (u64, Replay), ()>,
    evaluations: Table<'a, u64, u64>,
    members: Table<'a, MemberKey, &'static [u8]>,
    findable: Table<'a, MemberKey, &'static [u8]>,
    changed: Table<'a, MemberKey, (u64, u64)>,
    forget_by: Table<'a, ForgetKey, ()>,
    manifests: Table<'a, u64, &'static [u8]>,
    hot: Hot,
}

/// Rows that every charge changes, until the transaction ends: a group of charges writes each of them once.
#[derive(Default)]
struct Hot {
    latest: Option<Timestamp>,
    evaluations: BTreeMap<u64, u64>,
    days: BTreeMap<(u8, u32), DayRow>,
}

impl<'a> Tables<'a> {
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, StoreError> {
        let open = || -> Result<Self, TableError> {
            Ok(Self {
                meta: transaction.open_table(META)?,
                buckets: transaction.open_table(BUCKETS)?,
                days: transaction.open_table(DAYS)?,
                suspended: transaction.open_table(SUSPENDED)?,
                charged: transaction.open_table(CHARGED)?,
                charged_by: transaction.open_table(CHARGED_BY)?,
                evaluations: transaction.open_table(EVALUATIONS)?,
                members: transaction.open_table(MEMBERS)?,
                findable: transaction.open_table(FINDABLE)?,
                changed: transaction.open_table(CHANGED)?,
                forget_by: transaction.open_table(FORGET_BY)?,
                manifests: transaction.open_table(MANIFESTS)?,
                hot: Hot::default(),
            })
        };
        open().map_err(store_error)
    }

    /// Writes what was held back. To be called before the transaction is committed.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        let Hot {
            latest,
            evaluations,
            days,
        } = self.hot;
        if let Some(latest) = latest {
            self.meta.insert("latest", latest.as_micros())?;
        }
        for (epoch, count) in evaluations {
            self.evaluations.insert(epoch, count)?;
        }
        for (key, row) in days {
            self.days.insert(key, (row.charged, row.baseline))?;
        }
        Ok(())
    }

    /// Stamps a new store or one of an earlier version; refuses one of a later version.
    pub(super) fn check_version(&mut self) -> Result<(), StoreError> {
        let version = self.meta.get("version")?.map(|version| version.value());
        match version {
            Some(VERSION) => Ok(()),
            Some(1) => {
                self.meta.insert(CHANGES, UNKNOWN_CHANGES)?;
                self.stamp(VERSION)
            }
            Some(other) => Err(StoreError::Version(other)),
            None => self.stamp(VERSION),
        }
    }

    pub(super) fn stamp(&mut self, version: u64) -> Result<(), StoreError> {
        self.meta.insert("version", version)?;
        Ok(())
    }

    /// Up to `limit` members of whom something is to be forgotten.
    pub(super) fn due(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Epoch, Encoding)>, StoreError> {
        let end = forget_key(at, &[0xff; 40]);
        let mut due = Vec::new();
        for row in self.forget_by.range(..=end)?.take(limit) {
            let key = row?.0.value();
            let (epoch, unblinded) = split_member_key(key.last_chunk().unwrap_or(&[0; 40]));
            due.push((epoch, unblinded));
        }
        Ok(due)
    }

    pub(super) fn suspend(
        &mut self,
        suspect: &Suspect,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let key = suspect.encode();
        match until {
            Some(until) => self.suspended.insert(key, until.as_micros())?,
            None => self.suspended.remove(key)?,
        };
        Ok(())
    }

    /// Forgets buckets that are full, of those that were when somebody looked.
    pub(super) fn forget_full(
        &mut self,
        at: Timestamp,
        buckets: &[BucketKey],
    ) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for key in buckets {
            let level = self.buckets.get(key)?.map(|level| level.value());
            if level.is_some_and(|level| level <= at.as_micros()) {
                self.buckets.remove(key)?;
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// Forgets days that no baseline needs any more and suspensions that are over.
    pub(super) fn forget_past(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let oldest = Day::of(at).oldest_needed().get();
        self.days.retain(|(_, day), _| day >= oldest)?;
        self.suspended.retain(|_, until| until > at.as_micros())?;
        Ok(())
    }

    pub(super) fn append_manifest(
        &mut self,
        manifest: &StoredManifest,
        settled: Settled,
    ) -> Result<bool, StoreError> {
        let next = self
            .manifests
            .last()?
            .map_or(1, |(last, _)| last.value() + 1);
        if manifest.sequence != next {
            return Ok(false);
        }
        self.manifests.insert(next, manifest.bytes.as_slice())?;
        for (name, number) in [
            (SETTLED, settled.changes),
            (DECOYS_FROM, settled.decoys.0),
            (DECOYS_TO, settled.decoys.1),
        ] {
            self.meta.insert(name, number)?;
        }
        Ok(true)
    }

    /// Removes rows of changes that are settled.
    pub(super) fn drop_settled(&mut self, limit: usize) -> Result<usize, StoreError> {
        let settled = number(&self.meta, SETTLED)?;
        let mut removed = 0;
        let rows = self
            .changed
            .extract_if(|_, (number, _)| number <= settled)?
            .take(limit);
        for row in rows {
            row?;
            removed += 1;
        }
        Ok(removed)
    }
}

pub(super) fn latest_manifest(
    read: &ReadTransaction,
) -> Result<Option<StoredManifest>, StoreError> {
    let manifests = read.open_table(MANIFESTS).map_err(store_error)?;
    Ok(manifests.last()?.map(|(sequence, bytes)| StoredManifest {
        sequence: sequence.value(),
        bytes: bytes.value().to_vec(),
    }))
}

pub(super) fn progress(read: &ReadTransaction) -> Result<Progress, StoreError> {
    let meta = read.open_table(META).map_err(store_error)?;
    let findable = read.open_table(FINDABLE).map_err(store_error)?;
    Ok(Progress {
        findable: findable.len()?,
        changes: number(&meta, CHANGES)?,
        settled: Settled {
            changes: number(&meta, SETTLED)?,
            decoys: (number(&meta, DECOYS_FROM)?, number(&meta, DECOYS_TO)?),
        },
    })
}

fn number(
    meta: &impl ReadableTable<&'static str, u64>,
    name: &'static str,
) -> Result<u64, StoreError> {
    Ok(meta.get(name)?.map_or(0, |number| number.value()))
}

pub(super) fn changed(
    read: &ReadTransaction,
    epoch: Epoch,
    after: Option<Encoding>,
    limit: usize,
) -> Result<Vec<Changed>, StoreError> {
    let settled = progress(read)?.settled.changes;
    let table = read.open_table(CHANGED).map_err(store_error)?;
    let labels = read.open_table(FINDABLE).map_err(store_error)?;
    let first = member_key(epoch, &after.unwrap_or_default());
    let last = member_key(epoch, &[0xff; 32]);
    let mut members = Vec::new();
    for row in table.range(first..=last)? {
        if members.len() == limit {
            break;
        }
        let (key, value) = row?;
        let (key, (number, since)) = (key.value(), value.value());
        let (_, unblinded) = split_member_key(&key);
        if after == Some(unblinded) || number <= settled {
            continue;
        }
        let label = labels.get(key)?;
        let label = label.map(|label| Label::new(label.value()).map_err(|_| damaged("a label")));
        members.push(Changed {
            unblinded: UnblindedElement::from_trusted(unblinded),
            number,
            shown: label
                .transpose()?
                .map(|label| (label, Timestamp::from_micros(since))),
        });
    }
    Ok(members)
}

pub(super) fn evaluations(read: &ReadTransaction, epoch: Epoch) -> Result<u64, StoreError> {
    let table = read.open_table(EVALUATIONS).map_err(store_error)?;
    Ok(table.get(epoch.get())?.map_or(0, |count| count.value()))
}

/// The latest charge, as far as it is durable.
pub(super) fn latest(read: &ReadTransaction) -> Result<Option<Timestamp>, StoreError> {
    let table = read.open_table(META).map_err(store_error)?;
    let latest = table.get("latest")?;
    Ok(latest.map(|micros| Timestamp::from_micros(micros.value())))
}

/// Those of the next `limit` buckets that are full, and the last one looked at.
pub(super) fn full_buckets(
    read: &ReadTransaction,
    at: Timestamp,
    after: Option<BucketKey>,
    limit: usize,
) -> Result<(Vec<BucketKey>, Option<BucketKey>), StoreError> {
    let table = read.open_table(BUCKETS).map_err(store_error)?;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut full = Vec::new();
    let mut last = None;
    for row in table
        .range::<BucketKey>((from, Bound::Unbounded))?
        .take(limit)
    {
        let (key, level) = row?;
        last = Some(key.value());
        if level.value() <= at.as_micros() {
            full.push(key.value());
        }
    }
    Ok((full, last))
}

pub(super) fn findable(
    read: &ReadTransaction,
    epoch: Epoch,
    after: Option<Encoding>,
    limit: usize,
) -> Result<Vec<Findable>, StoreError> {
    let table = read.open_table(FINDABLE).map_err(store_error)?;
    let first = member_key(epoch, &after.unwrap_or_default());
    let last = member_key(epoch, &[0xff; 32]);
    let mut members = Vec::new();
    for row in table.range(first..=last)? {
        let (key, label) = row?;
        let (_, unblinded) = split_member_key(&key.value());
        if after == Some(unblinded) {
            continue;
        }
        if members.len() == limit {
            break;
        }
        members.push(Findable {
            unblinded: UnblindedElement::from_trusted(unblinded),
            label: Label::new(label.value()).map_err(|_| damaged("a label"))?,
        });
    }
    Ok(members)
}

impl ChargeRows for Tables<'_> {
    type Error = StoreError;

    fn latest(&mut self) -> Result<Option<Timestamp>, StoreError> {
        if self.hot.latest.is_some() {
            return Ok(self.hot.latest);
        }
        Ok(self
            .meta
            .get("latest")?
            .map(|micros| Timestamp::from_micros(micros.value())))
    }

    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .buckets
            .get(bucket.encode())?
            .map(|micros| Timestamp::from_micros(micros.value())))
    }

    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let then = self.charged.get(request.as_bytes())?;
        Ok(then
            .map(|micros| micros.value())
            .filter(|then| now.as_micros().saturating_sub(*then) < REPLAY_MEMORY)
            .map(Timestamp::from_micros))
    }

    fn evaluations(&mut self, epoch: Epoch) -> Result<u64, StoreError> {
        if let Some(evaluations) = self.hot.evaluations.get(&epoch.get()) {
            return Ok(*evaluations);
        }
        Ok(self
            .evaluations
            .get(epoch.get())?
            .map_or(0, |count| count.value()))
    }

    fn suspended(&mut self, suspect: &Suspect) -> Result<Option<Timestamp>, StoreError> {
        Ok(self
            .suspended
            .get(suspect.encode())?
            .map(|micros| Timestamp::from_micros(micros.value())))
    }

    fn day(&mut self, meter: Meter, day: Day) -> Result<Option<DayRow>, StoreError> {
        let key = (meter.encode(), day.get());
        if let Some(row) = self.hot.days.get(&key) {
            return Ok(Some(*row));
        }
        let row = self.days.get(key)?;
        Ok(row.map(|row| {
            let (charged, baseline) = row.value();
            DayRow { charged, baseline }
        }))
    }

    fn set_day(&mut self, meter: Meter, day: Day, row: DayRow) -> Result<(), StoreError> {
        self.hot.days.insert((meter.encode(), day.get()), row);
        Ok(())
    }

    fn set_latest(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.hot.latest = Some(now);
        Ok(())
    }

    fn set_level(&mut self, bucket: &Bucket, level: Timestamp) -> Result<(), StoreError> {
        self.buckets.insert(bucket.encode(), level.as_micros())?;
        Ok(())
    }

    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), StoreError> {
        let now = now.as_micros();
        for _ in 0..SWEPT {
            let oldest = self.charged_by.first()?.map(|(key, _)| key.value());
            let Some((then, key)) =
                oldest.filter(|(then, _)| now.saturating_sub(*then) >= REPLAY_MEMORY)
            else {
                break;
            };
            self.charged_by.remove((then, key))?;
            let current = self.charged.get(key)?.map(|when| when.value());
            if current == Some(then) {
                self.charged.remove(key)?;
            }
        }
        self.charged.insert(request.as_bytes(), now)?;
        self.charged_by.insert((now, *request.as_bytes()), ())?;
        Ok(())
    }

    fn set_evaluations(&mut self, epoch: Epoch, evaluations: u64) -> Result<(), StoreError> {
        self.hot.evaluations.insert(epoch.get(), evaluations);
        Ok(())
    }
}

impl MemberRows for Tables<'_> {
    type Error = StoreError;

    fn member(&mut self, epoch: Epoch, unblinded: &Encoding) -> Result<Option<Member>, StoreError> {
        let row = self.members.get(member_key(epoch, unblinded))?;
        row.map(|row| member::decode(row.value()).ok_or_else(|| damaged("a member")))
            .transpose()
    }

    fn set_member(
        &mut self,
        epoch: Epoch,
        unblinded: &Encoding,
        before: Option<&Member>,
        after: Option<&Member>,
    ) -> Result<(), StoreError> {
        let key = member_key(epoch, unblinded);
        let forget_before = before.and_then(Member::forget_at);
        let forget_after = after.and_then(Member::forget_at);
        if forget_before != forget_after {
            if let Some(at) = forget_before {
                self.forget_by.remove(forget_key(at, &key))?;
            }
            if let Some(at) = forget_after {
                self.forget_by.insert(forget_key(at, &key), ())?;
            }
        }
        if !Member::shown_alike(before, after) {
            let number = number(&self.meta, CHANGES)? + 1;
            let since = after.and_then(Member::shown);
            let since = since.map_or(0, |(_, since)| since.as_micros());
            self.meta.insert(CHANGES, number)?;
            self.changed.insert(key, (number, since))?;
        }
        match after {
            None => self.members.remove(key)?,
            Some(after) => self
                .members
                .insert(key, Zeroizing::new(member::encode(after)).as_slice())?,
        };
        match after.and_then(Member::shown) {
            None => self.findable.remove(key)?,
            Some((label, _)) => self.findable.insert(key, label.as_bytes())?,
        };
        Ok(())
    }
}

fn member_key(epoch: Epoch, unblinded: &Encoding) -> MemberKey {
    let mut key = [0; 40];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&epoch.get().to_be_bytes());
    tail.copy_from_slice(unblinded);
    key
}

fn split_member_key(key: &MemberKey) -> (Epoch, Encoding) {
    let mut epoch = [0; 8];
    let mut unblinded = [0; 32];
    let (head, tail) = key.split_at(8);
    epoch.copy_from_slice(head);
    unblinded.copy_from_slice(tail);
    (Epoch::new(u64::from_be_bytes(epoch)), unblinded)
}

fn forget_key(at: Timestamp, member: &MemberKey) -> ForgetKey {
    let mut key = [0; 48];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&at.as_micros().to_be_bytes());
    tail.copy_from_slice(member);
    key
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(std::format!("{what} can't be read"))
}
