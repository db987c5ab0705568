//! The rows of a rotation, and what it does to those of members.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable};

use super::{
    EPOCH, MEMBERS, META, REKEY_AGAIN, ROTATION, SETTLED, Tables,
    accounts::{claims_before, holder},
    damaged,
    labelled::{LabelKey, labels_of},
    members::{member_key, split_member_key},
    number,
};
use crate::{
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        directory::{Member, MemberRows},
        incident::rotated,
        ledger::{Body, append},
        quota::{AccountKey, ChargeRows},
        rotation::{Phase, Rotation, RotationKind, Window},
    },
    store::{
        RunEnd, Settled, StoreError, StoredManifest, Switched,
        redb::{member, store_error},
    },
    timestamp::Timestamp,
};

/// `from, hard, phase, after, done, evaluate until, carry until`.
pub(super) type RotationRow = (u64, bool, u8, Option<Encoding>, u64, u64, u64);

const REKEYING: u8 = 1;
const REKEYED: u8 = 2;
const WINDOW: u8 = 3;
const ENDING: u8 = 4;

fn encode(rotation: &Rotation) -> RotationRow {
    let (phase, after, done, window) = match &rotation.phase {
        Phase::Rekeying {
            after,
            done,
            complete,
        } => {
            let phase = if *complete { REKEYED } else { REKEYING };
            (phase, *after, *done, None)
        }
        Phase::Window(window) => (WINDOW, None, 0, Some(window)),
        Phase::Ending => (ENDING, None, 0, None),
    };
    let (evaluate, carry) = window.map_or((0, 0), |window| {
        let until = [window.evaluate_until, window.carry_until].map(Timestamp::as_micros);
        (until[0], until[1])
    });
    let hard = rotation.kind == RotationKind::Hard;
    (
        rotation.from.get(),
        hard,
        phase,
        after,
        done,
        evaluate,
        carry,
    )
}

fn decode(row: RotationRow) -> Option<Rotation> {
    let (from, hard, phase, after, done, evaluate, carry) = row;
    let from = Epoch::new(from);
    Some(Rotation {
        from,
        to: from.next()?,
        kind: if hard {
            RotationKind::Hard
        } else {
            RotationKind::Soft
        },
        phase: match phase {
            REKEYING | REKEYED => Phase::Rekeying {
                after,
                done,
                complete: phase == REKEYED,
            },
            WINDOW => Phase::Window(Window {
                evaluate_until: Timestamp::from_micros(evaluate),
                carry_until: Timestamp::from_micros(carry),
            }),
            ENDING => Phase::Ending,
            _ => return None,
        },
    })
}

fn read_rotation(
    table: &impl ReadableTable<(), RotationRow>,
) -> Result<Option<Rotation>, StoreError> {
    let row = table.get(())?.map(|row| row.value());
    row.map(|row| decode(row).ok_or_else(|| damaged("the rotation")))
        .transpose()
}

impl Tables<'_> {
    pub(super) fn rotation(&self) -> Result<Option<Rotation>, StoreError> {
        read_rotation(&self.rotation)
    }

    pub(super) fn set_rotation(&mut self, rotation: Option<&Rotation>) -> Result<(), StoreError> {
        if let Some(step) = Body::rotation(self.rotation()?.as_ref(), rotation) {
            let latest = self.latest()?.unwrap_or(Timestamp::from_micros(0));
            append(self, latest, &step)?;
        }
        match rotation {
            Some(rotation) => self.rotation.insert((), encode(rotation))?,
            None => self.rotation.remove(())?,
        };
        self.hot.rekeying = None;
        Ok(())
    }

    /// The epoch of which members are being rekeyed.
    pub(super) fn rekeying(&mut self) -> Result<Option<Epoch>, StoreError> {
        if let Some(known) = self.hot.rekeying {
            return Ok(known);
        }
        let rotation = self.rotation()?.filter(|rotation| !rotation.is_switched());
        let rekeying = rotation.map(|rotation| rotation.from);
        self.hot.rekeying = Some(rekeying);
        Ok(rekeying)
    }

    /// Whether the directory has switched to a later epoch.
    pub(in crate::store::redb) fn is_over(&self, epoch: Epoch) -> Result<bool, StoreError> {
        Ok(epoch.get() < number(&self.meta, EPOCH)?)
    }

    pub(in crate::store::redb) fn begin_rotation(
        &mut self,
        from: Epoch,
        kind: RotationKind,
    ) -> Result<bool, StoreError> {
        let Some(to) = from.next().filter(|_| matches!(self.rotation(), Ok(None))) else {
            return Ok(false);
        };
        self.set_rotation(Some(&Rotation {
            from,
            to,
            kind,
            phase: Phase::Rekeying {
                after: None,
                done: 0,
                complete: false,
            },
        }))?;
        Ok(true)
    }

    pub(in crate::store::redb) fn harden_rotation(&mut self) -> Result<bool, StoreError> {
        let rotation = self.rotation()?.filter(|rotation| !rotation.is_switched());
        let Some(rotation) = rotation else {
            return Ok(false);
        };
        self.set_rotation(Some(&Rotation {
            kind: RotationKind::Hard,
            ..rotation
        }))?;
        Ok(true)
    }

    /// Gives members their rows, but not yet what their labels are found by, unless they are rekeyed `again`.
    pub(in crate::store::redb) fn rekey(
        &mut self,
        members: &[(UnblindedElement, UnblindedElement)],
        again: bool,
    ) -> Result<(), StoreError> {
        let rotation = self.rotation()?.filter(|rotation| !rotation.is_switched());
        let Some(Rotation { from, to, .. }) = rotation else {
            return Ok(());
        };
        let settled = number(&self.meta, SETTLED)?;
        for (old, new) in members {
            let (old, new) = (old.expose(), new.expose());
            let current = self.member(from, old)?;
            let before = self.member(to, new)?;
            if again {
                if before != current {
                    self.set_member(to, new, before.as_ref(), current.as_ref())?;
                }
                self.rekey_again.remove(old)?;
                continue;
            }
            // Who was there before an interruption may have been found by another label; the new one comes with all of the run.
            let key = member_key(to, new);
            let label = before.as_ref().and_then(Member::label);
            if label != current.as_ref().and_then(Member::label) {
                self.move_label(&key, label, None)?;
            }
            self.write_unlabelled(&key, before.as_ref(), current.as_ref())?;
            // Somebody who waits to be published waits in the new epoch, too.
            let waits = self.changed.get(member_key(from, old))?;
            let waits = waits.map(|row| row.value());
            if let Some((number, since)) = waits.filter(|(number, _)| *number > settled)
                && current
                    .as_ref()
                    .is_some_and(|member| member.shown().is_some())
            {
                self.changed.insert(key, (number, since))?;
            }
        }
        Ok(())
    }

    /// Notes that a run of members has rows in the new epoch and is found there.
    pub(in crate::store::redb) fn end_run(&mut self, end: RunEnd) -> Result<(), StoreError> {
        let Some(mut rotation) = self.rotation()? else {
            return Ok(());
        };
        let Phase::Rekeying {
            after,
            done,
            complete,
        } = &mut rotation.phase
        else {
            return Ok(());
        };
        *after = end.after;
        *done = done.saturating_add(end.members);
        *complete = end.complete;
        self.set_rotation(Some(&rotation))
    }

    pub(in crate::store::redb) fn switch_epoch(
        &mut self,
        manifest: &StoredManifest,
        settled: Settled,
        window: Option<Window>,
    ) -> Result<Switched, StoreError> {
        let Some(rotation) = self.rotation()? else {
            return Ok(Switched::Conflict);
        };
        let complete = matches!(rotation.phase, Phase::Rekeying { complete: true, .. });
        if !complete || window.is_none() != (rotation.kind == RotationKind::Hard) {
            return Ok(Switched::Conflict);
        }
        if self.rekey_again.first()?.is_some() {
            return Ok(Switched::MembersChanged);
        }
        if !self.append_manifest(manifest, settled)? {
            return Ok(Switched::Conflict);
        }
        self.meta.insert(EPOCH, rotation.to.get())?;
        if let (None, Some(at)) = (window, manifest.published_at()) {
            rotated(self, at)?;
        }
        self.set_rotation(Some(&Rotation {
            phase: window.map_or(Phase::Ending, Phase::Window),
            ..rotation
        }))?;
        Ok(Switched::Done)
    }

    pub(in crate::store::redb) fn end_window(
        &mut self,
        at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let Some(rotation) = self.rotation()? else {
            return Ok(false);
        };
        let window = match &rotation.phase {
            Phase::Rekeying { .. } => return Ok(false),
            Phase::Ending => return Ok(true),
            Phase::Window(window) => *window,
        };
        if let Some(at) = at {
            let at = self.latest()?.map_or(at, |latest| latest.min(at));
            if at < window.carry_until {
                return Ok(false);
            }
        }
        self.set_rotation(Some(&Rotation {
            phase: Phase::Ending,
            ..rotation
        }))?;
        Ok(true)
    }

    pub(in crate::store::redb) fn drop_old(&mut self, limit: usize) -> Result<usize, StoreError> {
        let rotation = self.rotation()?.filter(Rotation::is_switched);
        let Some(rotation) = rotation else {
            return Ok(0);
        };
        let (first, last) = (
            member_key(rotation.from, &[0; 32]),
            member_key(rotation.from, &[0xff; 32]),
        );
        let labels = self.drop_labels(rotation.from, limit)?;
        let mut members = Vec::new();
        for row in self.members.range(first..=last)?.take(limit) {
            let (key, bytes) = row?;
            let member = member::decode(bytes.value()).ok_or_else(|| damaged("a member"))?;
            members.push((key.value(), member));
        }
        for (key, member) in &members {
            self.write_unlabelled(key, Some(member), None)?;
            self.changed.remove(key)?;
        }
        let dropped = labels.max(members.len());
        if dropped > 0 {
            return Ok(dropped);
        }
        // Of those who were forgotten altogether.
        let rows = self.changed.extract_from_if(first..=last, |_, _| true)?;
        let mut dropped = 0;
        for row in rows.take(limit) {
            row?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Forgets claims that nothing is carried over for any more, of those that were so when somebody looked.
    pub(in crate::store::redb) fn drop_claims(
        &mut self,
        accounts: &[AccountKey],
    ) -> Result<(), StoreError> {
        let oldest = oldest_claim(self.rotation()?, number(&self.meta, EPOCH)?);
        for account in accounts {
            let claim = self.claim(account)?;
            if claim.is_some_and(|claim| claim.epoch.get() < oldest) {
                self.change_account(&holder(account, false), |row| row.claim = None)?;
            }
        }
        Ok(())
    }

    pub(in crate::store::redb) fn finish_rotation(&mut self) -> Result<(), StoreError> {
        let rotation = self.rotation()?;
        if rotation.is_some_and(|rotation| rotation.phase == Phase::Ending) {
            self.set_rotation(None)?;
        }
        Ok(())
    }
}

/// The oldest epoch that somebody's evaluations still count of.
fn oldest_claim(rotation: Option<Rotation>, epoch: u64) -> u64 {
    match rotation {
        Some(Rotation {
            phase: Phase::Window(_),
            from,
            ..
        }) => from.get(),
        _ => epoch,
    }
}

pub(in crate::store::redb) fn rotation(
    read: &ReadTransaction,
) -> Result<Option<Rotation>, StoreError> {
    read_rotation(&read.open_table(ROTATION).map_err(store_error)?)
}

pub(in crate::store::redb) fn to_rekey(
    read: &ReadTransaction,
    after: Option<Encoding>,
    limit: usize,
) -> Result<Vec<UnblindedElement>, StoreError> {
    let rotation = rotation(read)?.filter(|rotation| !rotation.is_switched());
    let Some(epoch) = rotation.map(|rotation| rotation.from) else {
        return Ok(Vec::new());
    };
    let table = read.open_table(MEMBERS).map_err(store_error)?;
    let first = match after {
        None => Bound::Included(member_key(epoch, &[0; 32])),
        Some(after) => Bound::Excluded(member_key(epoch, &after)),
    };
    let last = Bound::Included(member_key(epoch, &[0xff; 32]));
    let mut members = Vec::with_capacity(limit.min(1 << 18));
    for row in table.range((first, last))?.take(limit) {
        let (_, unblinded) = split_member_key(&row?.0.value());
        members.push(UnblindedElement::from_trusted(unblinded));
    }
    Ok(members)
}

/// What the labels of members are found by in the new epoch, in order; none unless members are being rekeyed.
pub(in crate::store::redb) fn labels_to_rekey(
    read: &ReadTransaction,
    members: &[(UnblindedElement, UnblindedElement)],
) -> Result<Vec<LabelKey>, StoreError> {
    let rotation = rotation(read)?.filter(|rotation| !rotation.is_switched());
    match rotation {
        Some(rotation) => labels_of(read, rotation.to, members.iter().map(|(_, new)| new)),
        None => Ok(Vec::new()),
    }
}

pub(in crate::store::redb) fn to_rekey_again(
    read: &ReadTransaction,
    limit: usize,
) -> Result<Vec<UnblindedElement>, StoreError> {
    let table = read.open_table(REKEY_AGAIN).map_err(store_error)?;
    let mut members = Vec::new();
    for row in table.iter()?.take(limit) {
        members.push(UnblindedElement::from_trusted(row?.0.value()));
    }
    Ok(members)
}

/// Those of the next `limit` accounts that have nothing to carry over any more, and the last one looked at.
pub(in crate::store::redb) fn old_claims(
    read: &ReadTransaction,
    after: Option<AccountKey>,
    limit: usize,
) -> Result<(Vec<AccountKey>, Option<AccountKey>), StoreError> {
    let epoch = number(&read.open_table(META).map_err(store_error)?, EPOCH)?;
    let oldest = oldest_claim(rotation(read)?, epoch);
    claims_before(read, oldest, after, limit)
}
