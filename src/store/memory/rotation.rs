//! The rotation, in memory.

use std::{ops::Bound, vec::Vec};

use super::{MemoryStore, Rows, never};
use crate::{
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        directory::MemberRows,
        incident::rotated,
        ledger::{Body, append},
        quota::AccountKey,
        rotation::{Phase, Rotation, RotationKind, Window},
    },
    store::{DroppedClaims, Rekeyed, RotationStore, Settled, StoreError, StoredManifest, Switched},
    timestamp::Timestamp,
};

impl Rows {
    /// The epoch of which members are being rekeyed.
    pub(super) fn rekeying(&self) -> Option<Epoch> {
        let rotation = self.rotation.as_ref();
        let rotation = rotation.filter(|rotation| !rotation.is_switched());
        rotation.map(|rotation| rotation.from)
    }

    fn set_rotation(&mut self, rotation: Option<Rotation>) {
        if let Some(step) = Body::rotation(self.rotation.as_ref(), rotation.as_ref()) {
            let latest = self.latest.unwrap_or(Timestamp::from_micros(0));
            never(append(self, latest, &step));
        }
        self.rotation = rotation;
    }

    /// The oldest epoch that somebody's evaluations still count of.
    fn oldest_claim(&self) -> Epoch {
        match &self.rotation {
            Some(Rotation {
                phase: Phase::Window(_),
                from,
                ..
            }) => *from,
            _ => self.epoch,
        }
    }

    fn rekey(&mut self, rekeyed: &Rekeyed) {
        let Some(mut rotation) = self.rotation.clone() else {
            return;
        };
        let Phase::Rekeying {
            after,
            done,
            complete,
        } = &mut rotation.phase
        else {
            return;
        };
        let (from, to) = (rotation.from, rotation.to);
        for (old, new) in &rekeyed.members {
            let (old, new) = (old.expose(), new.expose());
            let current = never(self.member(from, old));
            let before = never(self.member(to, new));
            if rekeyed.again {
                if before != current {
                    never(self.set_member(to, new, before.as_ref(), current.as_ref()));
                }
                self.rekey_again.remove(old);
                continue;
            }
            self.write_member((to.get(), *new), before.as_ref(), current.as_ref());
            let waits = self.changed.get(&(from.get(), *old)).copied();
            if let Some(number) = waits.filter(|number| *number > self.progress.settled.changes)
                && current
                    .as_ref()
                    .is_some_and(|member| member.shown().is_some())
            {
                self.changed.insert((to.get(), *new), number);
            }
        }
        if let Some(end) = rekeyed.end {
            *after = end.after;
            *done += end.members;
            *complete = end.complete;
            self.set_rotation(Some(rotation));
        }
    }
}

impl RotationStore for MemoryStore {
    async fn rotation(&self) -> Result<Option<Rotation>, StoreError> {
        Ok(self.rows()?.rotation.clone())
    }

    async fn begin_rotation(&self, from: Epoch, kind: RotationKind) -> Result<bool, StoreError> {
        let mut rows = self.rows()?;
        let Some(to) = from.next().filter(|_| rows.rotation.is_none()) else {
            return Ok(false);
        };
        rows.set_rotation(Some(Rotation {
            from,
            to,
            kind,
            phase: Phase::Rekeying {
                after: None,
                done: 0,
                complete: false,
            },
        }));
        Ok(true)
    }

    async fn harden_rotation(&self) -> Result<bool, StoreError> {
        let mut rows = self.rows()?;
        let rotation = rows.rotation.clone();
        let Some(rotation) = rotation.filter(|rotation| !rotation.is_switched()) else {
            return Ok(false);
        };
        rows.set_rotation(Some(Rotation {
            kind: RotationKind::Hard,
            ..rotation
        }));
        Ok(true)
    }

    async fn to_rekey(
        &self,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<UnblindedElement>, StoreError> {
        let rows = self.rows()?;
        let Some(epoch) = rows.rekeying() else {
            return Ok(Vec::new());
        };
        let first = match after {
            None => Bound::Included((epoch.get(), [0; 32])),
            Some(after) => Bound::Excluded((epoch.get(), after)),
        };
        let last = Bound::Included((epoch.get(), [0xff; 32]));
        let page = rows.members.range((first, last)).take(limit);
        Ok(page
            .map(|((_, unblinded), _)| UnblindedElement::from_trusted(*unblinded))
            .collect())
    }

    async fn to_rekey_again(&self, limit: usize) -> Result<Vec<UnblindedElement>, StoreError> {
        let rows = self.rows()?;
        let page = rows.rekey_again.iter().take(limit);
        Ok(page
            .map(|unblinded| UnblindedElement::from_trusted(*unblinded))
            .collect())
    }

    async fn rekey(&self, members: Rekeyed) -> Result<(), StoreError> {
        self.rows()?.rekey(&members);
        Ok(())
    }

    async fn switch_epoch(
        &self,
        manifest: StoredManifest,
        settled: Settled,
        window: Option<Window>,
    ) -> Result<Switched, StoreError> {
        let mut rows = self.rows()?;
        let Some(mut rotation) = rows.rotation.clone() else {
            return Ok(Switched::Conflict);
        };
        let complete = matches!(rotation.phase, Phase::Rekeying { complete: true, .. });
        if !complete || window.is_none() != (rotation.kind == RotationKind::Hard) {
            return Ok(Switched::Conflict);
        }
        if !rows.rekey_again.is_empty() {
            return Ok(Switched::MembersChanged);
        }
        let hard = window.map_or_else(|| manifest.published_at(), |_| None);
        if !rows.append_manifest(manifest, settled) {
            return Ok(Switched::Conflict);
        }
        rows.epoch = rotation.to;
        rotation.phase = window.map_or(Phase::Ending, Phase::Window);
        rows.set_rotation(Some(rotation));
        if let Some(at) = hard {
            never(rotated(&mut *rows, at));
        }
        Ok(Switched::Done)
    }

    async fn end_window(&self, at: Option<Timestamp>) -> Result<bool, StoreError> {
        let mut rows = self.rows()?;
        let latest = rows.latest;
        let Some(mut rotation) = rows.rotation.clone() else {
            return Ok(false);
        };
        let window = match &rotation.phase {
            Phase::Rekeying { .. } => return Ok(false),
            Phase::Ending => return Ok(true),
            Phase::Window(window) => window,
        };
        let at = at.map(|at| latest.map_or(at, |latest| latest.min(at)));
        let over = at.is_none_or(|at| at >= window.carry_until);
        if over {
            rotation.phase = Phase::Ending;
            rows.set_rotation(Some(rotation));
        }
        Ok(over)
    }

    async fn drop_old(&self, limit: usize) -> Result<usize, StoreError> {
        let mut rows = self.rows()?;
        let rotation = rows
            .rotation
            .as_ref()
            .filter(|rotation| rotation.is_switched());
        let Some(from) = rotation.map(|rotation| rotation.from.get()) else {
            return Ok(0);
        };
        let range = (from, [0; 32])..=(from, [0xff; 32]);
        let members = rows.members.range(range.clone()).take(limit);
        let members: Vec<_> = members
            .map(|(key, member)| (*key, member.clone()))
            .collect();
        for (key, member) in &members {
            rows.write_member(*key, Some(member), None);
            rows.changed.remove(key);
        }
        if !members.is_empty() {
            return Ok(members.len());
        }
        let left: Vec<_> = rows
            .changed
            .range(range)
            .take(limit)
            .map(|(key, _)| *key)
            .collect();
        for key in &left {
            rows.changed.remove(key);
        }
        Ok(left.len())
    }

    async fn drop_claims(
        &self,
        _after: Option<AccountKey>,
        _limit: usize,
    ) -> Result<DroppedClaims, StoreError> {
        // All at once: a page wouldn't be cheaper.
        let mut rows = self.rows()?;
        let (oldest, before) = (rows.oldest_claim(), rows.claims.len());
        rows.claims.retain(|_, claim| claim.epoch >= oldest);
        Ok(DroppedClaims {
            last: None,
            dropped: before - rows.claims.len(),
        })
    }

    async fn finish_rotation(&self) -> Result<(), StoreError> {
        self.rows()?
            .rotation
            .take_if(|rotation| rotation.phase == Phase::Ending);
        Ok(())
    }
}
