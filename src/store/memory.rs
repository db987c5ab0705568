//! A store that forgets everything when the process ends: for tests and for trying things out.

mod canaries;
mod evidence;
mod incident;
mod ledger;
mod members;
mod quota;
mod rotation;
mod settings;
mod signals;

use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    convert::Infallible,
    fmt,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    vec::Vec,
};

use self::{incident::Incidents, ledger::Ledger, signals::Detection};
use super::{
    Changed, Findable, Progress, Settled, Store, StoreError, StoredManifest, SweepKey, Swept,
    append_published, signals::SWEEP,
};
use crate::{
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        directory::{Audience, BatchOutcome, Member, MemberBatch, MemberRows, change},
        ledger::{Suspension, append},
        quota::{
            AccountKey, ChargeOutcome, ChargeRows, Claim, Day, DayRow, Debit, Meter, QuotaStore,
            Suspect, charge,
        },
        rotation::Rotation,
    },
    timestamp::Timestamp,
};

/// Everything in memory. **Not durable**: a restart gives every account its quota back.
#[derive(Default)]
pub struct MemoryStore(Mutex<Rows>);

type MemberKey = (u64, Encoding);
/// [`Bucket::encode`](crate::server::quota::Bucket::encode).
type BucketKey = [u8; 33];

#[derive(Default)]
struct Rows {
    latest: Option<Timestamp>,
    levels: BTreeMap<BucketKey, Timestamp>,
    days: BTreeMap<(Meter, Day), DayRow>,
    suspended: BTreeMap<Suspect, Timestamp>,
    charged: HashMap<Box<[u8]>, Timestamp>,
    /// The keys of `charged`, oldest first.
    order: VecDeque<(Timestamp, Box<[u8]>)>,
    evaluations: HashMap<u64, u64>,
    claims: HashMap<AccountKey, Claim>,
    ledger: Ledger,
    incident: Incidents,
    detection: Detection,
    canaries: BTreeSet<Vec<u8>>,
    members: BTreeMap<MemberKey, Member>,
    labelled: BTreeSet<(Vec<u8>, MemberKey)>,
    forget_at: BTreeSet<(Timestamp, MemberKey)>,
    /// The number of each member's last change that isn't settled.
    changed: BTreeMap<MemberKey, u64>,
    progress: Progress,
    manifests: Vec<StoredManifest>,
    rotation: Option<Rotation>,
    rekey_again: BTreeSet<Encoding>,
    /// The one that a rotation has switched to.
    epoch: Epoch,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// After a panic in a step the rows may be half written, so nothing is done any more.
    fn rows(&self) -> Result<MutexGuard<'_, Rows>, StoreError> {
        self.0
            .lock()
            .map_err(|_: PoisonError<_>| StoreError::Closed)
    }
}

impl Rows {
    fn append_manifest(&mut self, manifest: StoredManifest, settled: Settled) -> bool {
        let next = self.manifests.last().map_or(1, |last| last.sequence + 1);
        if manifest.sequence != next {
            return false;
        }
        never(append_published(self, &manifest));
        self.manifests.push(manifest);
        self.changed.retain(|_, number| *number > settled.changes);
        self.progress.settled = settled;
        true
    }
}

fn never<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

impl QuotaStore for MemoryStore {
    type Error = StoreError;

    async fn charge(&self, debit: Debit) -> Result<ChargeOutcome, StoreError> {
        Ok(never(charge(&mut *self.rows()?, &debit)))
    }
}

impl Store for MemoryStore {
    async fn change_members(&self, batch: MemberBatch) -> Result<BatchOutcome, StoreError> {
        let mut rows = self.rows()?;
        if batch.epoch < rows.epoch {
            return Err(StoreError::EpochOver);
        }
        Ok(never(change(&mut *rows, batch)))
    }

    async fn findable(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<Findable>, StoreError> {
        let rows = self.rows()?;
        let all = rows.members.range((epoch.get(), Encoding::default())..);
        Ok(all
            .take_while(|((number, _), _)| *number == epoch.get())
            .filter(|((_, unblinded), _)| after.is_none_or(|after| *unblinded > after))
            .filter(|(_, member)| member.audience() == Audience::Everyone)
            .filter_map(|((_, unblinded), member)| {
                Some(Findable {
                    unblinded: UnblindedElement::decode(unblinded).ok()?,
                    label: member.label()?.clone(),
                })
            })
            .take(limit)
            .collect())
    }

    async fn progress(&self) -> Result<Progress, StoreError> {
        let rows = self.rows()?;
        let findable = rows.members.values().filter(|one| one.shown().is_some());
        Ok(Progress {
            findable: findable.count() as u64,
            ..rows.progress
        })
    }

    async fn changed(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<Changed>, StoreError> {
        let rows = self.rows()?;
        let all = rows.changed.range((epoch.get(), Encoding::default())..);
        Ok(all
            .take_while(|((number, _), _)| *number == epoch.get())
            .filter(|((_, unblinded), _)| after.is_none_or(|after| *unblinded > after))
            .filter_map(|(key, number)| {
                let shown = rows.members.get(key).and_then(Member::shown);
                Some(Changed {
                    unblinded: UnblindedElement::decode(&key.1).ok()?,
                    number: *number,
                    shown: shown.map(|(label, since)| (label.clone(), since)),
                })
            })
            .take(limit)
            .collect())
    }

    async fn drop_settled(&self, _limit: usize) -> Result<usize, StoreError> {
        // They went when they were settled.
        Ok(0)
    }

    async fn forget(&self, at: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut rows = self.rows()?;
        let at = rows.latest.map_or(at, |latest| latest.min(at));
        if rows.incident.is_frozen() {
            return Ok(0);
        }
        let due = rows.forget_at.iter().take_while(|(due, _)| *due <= at);
        let due: Vec<MemberKey> = due.take(limit).map(|(_, key)| *key).collect();
        for (epoch, unblinded) in &due {
            let epoch = Epoch::new(*epoch);
            let before = never(rows.member(epoch, unblinded));
            let after = before.clone().and_then(|member| member.forget(at));
            never(rows.set_member(epoch, unblinded, before.as_ref(), after.as_ref()));
        }
        Ok(due.len())
    }

    async fn suspend(&self, suspension: Suspension) -> Result<(), StoreError> {
        let mut rows = self.rows()?;
        never(append(&mut *rows, suspension.at(), &suspension.entry()));
        let suspect = *suspension.suspect();
        match suspension.until() {
            Some(until) => rows.suspended.insert(suspect, until),
            None => rows.suspended.remove(&suspect),
        };
        Ok(())
    }

    async fn sweep(
        &self,
        at: Timestamp,
        after: Option<SweepKey>,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        let mut rows = self.rows()?;
        let at = rows.latest.map_or(at, |latest| latest.min(at));
        if after.is_none() {
            let oldest = Day::of(at).oldest_needed();
            rows.days.retain(|(_, day), _| *day >= oldest);
            rows.suspended.retain(|_, until| *until > at);
            rows.detection.forget(Day::of(at), SWEEP);
        }
        let after: Option<BucketKey> = after.and_then(|after| after.try_into().ok());
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = rows.levels.range((from, Bound::Unbounded)).take(limit);
        let page: Vec<(BucketKey, Timestamp)> = page.map(|(key, level)| (*key, *level)).collect();
        let full = page.iter().filter(|(_, level)| *level <= at);
        let full: Vec<&BucketKey> = full.map(|(key, _)| key).collect();
        for key in &full {
            rows.levels.remove(*key);
        }
        Ok(Swept {
            last: page.last().map(|(key, _)| key.to_vec()),
            forgotten: full.len(),
        })
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.rows().map(drop)
    }

    async fn key_evaluations(&self, epoch: Epoch) -> Result<u64, StoreError> {
        Ok(never(self.rows()?.evaluations(epoch)))
    }

    async fn latest_manifest(&self) -> Result<Option<StoredManifest>, StoreError> {
        Ok(self.rows()?.manifests.last().cloned())
    }

    async fn append_manifest(
        &self,
        manifest: StoredManifest,
        settled: Settled,
    ) -> Result<bool, StoreError> {
        Ok(self.rows()?.append_manifest(manifest, settled))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
