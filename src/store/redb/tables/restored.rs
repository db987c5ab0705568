//! What a store is told apart by from its backups, and what is lost when one takes its place.

use std::vec::Vec;

use redb::{ReadTransaction, ReadableTable, TableError};

use super::{
    CHANGES, DECOYS_FROM, DECOYS_TO, EPOCH, META, Tables, accounts, check_known, logged::QUOTA,
    number, takeover::UNKNOWN_CHANGES,
};
use crate::{
    oprf::{Encoding, Epoch},
    server::{
        directory::{Change, MemberRows, Residence, Setting, apply},
        incident::Period,
        ledger::{Body, append},
        quota::{ChargeRows, Meter},
        rotation::{Phase, Rotation, RotationKind},
    },
    store::{
        StoreError, StoredManifest,
        redb::{store_error, witness::Seen},
    },
    timestamp::Timestamp,
};

const STORE: &str = "store";
const COMMITS: &str = "commits";
const LOST_SINCE: &str = "lost since";
const LOST_UNTIL: &str = "lost until";

/// What a restored store is changed to, in one step.
pub(in crate::store::redb) struct Acceptance {
    /// What it is told apart by from now on.
    pub(in crate::store::redb) seen: Seen,
    /// When.
    pub(in crate::store::redb) at: Timestamp,
    /// The epoch that is published.
    pub(in crate::store::redb) epoch: Epoch,
    /// That of the key in use by its keeper, if the key that is published is still to take its place.
    pub(in crate::store::redb) from: Option<Epoch>,
    /// What its key may have evaluated in the meantime.
    pub(in crate::store::redb) evaluations: u64,
    /// The newest manifest, if the store doesn't have it.
    pub(in crate::store::redb) manifest: Option<StoredManifest>,
    /// The decoys that are published.
    pub(in crate::store::redb) decoys: (u64, u64),
    /// Who isn't to be found any more.
    pub(in crate::store::redb) hide: Vec<Encoding>,
}

/// What a restored store knows of itself.
#[derive(Debug, Default)]
pub(in crate::store::redb) struct Remembered {
    /// The latest charge.
    pub(in crate::store::redb) latest: Option<Timestamp>,
    /// The epoch that a rotation has switched to, if one ever has.
    pub(in crate::store::redb) epoch: Option<Epoch>,
    /// The most that everybody had evaluated in a day.
    pub(in crate::store::redb) usual: u64,
    /// Registrars that ever had anything evaluated.
    pub(in crate::store::redb) registrars: u64,
}

impl Tables<'_> {
    /// Says which store this is.
    pub(in crate::store::redb) fn name(&mut self, store: u64) -> Result<(), StoreError> {
        self.meta.insert(STORE, store)?;
        Ok(())
    }

    /// Counts a group of steps.
    pub(in crate::store::redb) fn count(&mut self) -> Result<Seen, StoreError> {
        let seen = Seen {
            store: number(&self.meta, STORE)?,
            commits: number(&self.meta, COMMITS)?.saturating_add(1),
        };
        self.meta.insert(COMMITS, seen.commits)?;
        Ok(seen)
    }

    /// See [`EvidenceStore::lost`](crate::store::EvidenceStore::lost).
    pub(super) fn lost(&self) -> Result<Option<Period>, StoreError> {
        lost_in(&self.meta)
    }

    /// Goes on from here, although the store is older than what was last in use.
    pub(in crate::store::redb) fn accept(
        &mut self,
        acceptance: Acceptance,
    ) -> Result<(), StoreError> {
        self.check_version()?;
        let Acceptance { at, epoch, .. } = acceptance;
        let since = self.latest()?.unwrap_or(Timestamp::from_micros(0));
        let since = self.lost()?.map_or(since, |lost| lost.since.min(since));
        self.meta.insert(LOST_SINCE, since.as_micros())?;
        self.meta.insert(LOST_UNTIL, at.as_micros())?;
        self.hot.lost_until = None;
        let restored = Body::Restored {
            taken: acceptance.seen.commits,
            kept: number(&self.meta, COMMITS)?,
        };
        append(self, at, &restored)?;
        self.set_latest(at)?;
        let evaluations = self.evaluations(epoch)?;
        self.set_evaluations(epoch, evaluations.saturating_add(acceptance.evaluations))?;
        self.drop_all_claims()?;
        for unblinded in &acceptance.hide {
            self.hide(epoch, unblinded, at)?;
        }
        self.end_any_window(epoch, acceptance.from)?;
        self.meta.insert(EPOCH, epoch.get())?;
        if let Some(manifest) = &acceptance.manifest {
            self.manifests
                .insert(manifest.sequence, manifest.bytes.as_slice())?;
        }
        // What is published differs in ways that nobody noted: the next base is built of all members.
        let changes = number(&self.meta, CHANGES)?;
        self.meta
            .insert(CHANGES, changes.saturating_add(UNKNOWN_CHANGES))?;
        self.meta.insert(DECOYS_FROM, acceptance.decoys.0)?;
        self.meta.insert(DECOYS_TO, acceptance.decoys.1)?;
        let Seen { store, commits } = acceptance.seen;
        self.meta.insert(STORE, store)?;
        self.meta.insert(COMMITS, commits)?;
        Ok(())
    }

    fn hide(
        &mut self,
        epoch: Epoch,
        unblinded: &Encoding,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let before = self.member(epoch, unblinded)?;
        let Some(label) = before.as_ref().and_then(|member| member.label().cloned()) else {
            return Ok(());
        };
        let nobody = Change::Enrol {
            label,
            setting: Setting::Nobody,
            residence: Residence::default(),
        };
        // Not to be found is nothing that anybody has to agree to.
        if let Ok(after) = apply(before.clone(), nobody, at) {
            self.set_member(epoch, unblinded, before.as_ref(), Some(&after))?;
        }
        Ok(())
    }

    /// Nothing can be carried over any more. The keys may have moved on: the last steps of the rotation are taken again.
    fn end_any_window(&mut self, epoch: Epoch, from: Option<Epoch>) -> Result<(), StoreError> {
        let rotation = self.rotation()?;
        let switched = rotation.filter(Rotation::is_switched);
        let unknown = from.map(|from| Rotation {
            from,
            to: epoch,
            kind: RotationKind::Hard,
            phase: Phase::Ending,
        });
        if let Some(rotation) = switched.or(unknown) {
            self.set_rotation(Some(&Rotation {
                phase: Phase::Ending,
                ..rotation
            }))?;
        }
        Ok(())
    }
}

fn lost_in(meta: &impl ReadableTable<&'static str, u64>) -> Result<Option<Period>, StoreError> {
    let until = meta.get(LOST_UNTIL)?.map(|until| until.value());
    let since = number(meta, LOST_SINCE)?;
    Ok(until.map(|until| Period {
        since: Timestamp::from_micros(since),
        until: Timestamp::from_micros(until),
    }))
}

pub(in crate::store::redb) fn lost(read: &ReadTransaction) -> Result<Option<Period>, StoreError> {
    lost_in(&read.open_table(META).map_err(store_error)?)
}

/// Which store it is, and how many groups it has counted; `None` for one that counts none.
pub(in crate::store::redb) fn seen(read: &ReadTransaction) -> Result<Option<Seen>, StoreError> {
    let meta = match read.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        meta => meta.map_err(store_error)?,
    };
    check_known(number(&meta, "version")?)?;
    let commits = number(&meta, COMMITS)?;
    let store = number(&meta, STORE)?;
    Ok((commits > 0).then_some(Seen { store, commits }))
}

/// Reads what a restored store knows of itself. Its tables have to be there, and have everything.
pub(in crate::store::redb) fn remembered(read: &ReadTransaction) -> Result<Remembered, StoreError> {
    let meta = read.open_table(META).map_err(store_error)?;
    let epoch = number(&meta, EPOCH)?;
    let (mut usual, mut registrars) = (0, 0);
    let service = Meter::Service.encode();
    let days = read.open_table(super::DAYS).map_err(store_error)?;
    for row in days.range((service, 0)..=(service, u32::MAX))? {
        let (charged, baseline) = row?.1.value();
        usual = charged.max(baseline).max(usual);
    }
    for row in read.open_table(QUOTA).map_err(store_error)?.iter()? {
        registrars += u64::from(accounts::is_registrar(row?.0.value()));
    }
    Ok(Remembered {
        latest: super::latest(read)?,
        epoch: (epoch > 0).then_some(Epoch::new(epoch)),
        usual,
        registrars,
    })
}
