//! A base of all members who can be found.

use std::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use aes_gcm_siv::{
    Aes256GcmSiv, Key, Nonce,
    aead::{Aead, KeyInit},
};

use super::{PublishError, Publisher, Work, Wrote, each, is_damage};
use crate::{
    oprf::{Encoding, Tag},
    server::publish::{Decoys, FindableSet, Plan, Sealer},
    snapshot::{Found, Manifest, ManifestDraft, ReadError, Search, SegmentEntry},
    store::{BaseBuilder, Duplicates, Findable, Progress, Settled, Store},
};

/// Members read from the store at once. Fewer than that are built in memory.
const PAGE: usize = 16_384;

/// New members whose time hasn't come, and the number of the first such change.
pub(super) type Waiting = (BTreeSet<Encoding>, Option<u64>);

/// What is on the disk so far.
#[derive(Debug)]
struct Begun {
    builder: BaseBuilder,
    /// Read from the store up to here.
    after: Option<Encoding>,
    /// Changes up to this number are in it.
    changes: u64,
}

impl Publisher {
    /// Reads everybody who can be found, and writes a base. Goes on where an earlier attempt in the same slot was interrupted.
    ///
    /// Somebody who leaves meanwhile may be in it; that is a change of this slot, and is published in the next one.
    pub(super) async fn build<S: Store>(
        &self,
        store: &S,
        last: Option<&Manifest>,
        plan: &Plan,
        draft: &ManifestDraft,
        watch: &(dyn Fn(Work) + Sync),
    ) -> Result<Wrote, PublishError> {
        let waiting = self.waiting(store, last, plan).await?;
        self.build_without(store, waiting, plan, draft, watch).await
    }

    /// Writes a base of everybody who can be found but those who wait.
    pub(super) async fn build_without<S: Store>(
        &self,
        store: &S,
        (waiting, first_waiting): Waiting,
        plan: &Plan,
        draft: &ManifestDraft,
        watch: &(dyn Fn(Work) + Sync),
    ) -> Result<Wrote, PublishError> {
        let progress = store.progress().await?;
        let sealer = Sealer::new(&self.terms);
        let mut decoys = self.decoys(&sealer, progress.settled);
        decoys.stock();
        let settle = |changes: u64| Settled {
            changes: first_waiting.map_or(changes, |first| changes.min(first.saturating_sub(1))),
            decoys: decoys.live(),
        };
        let seal = |page: &[Findable]| -> Result<Vec<(Tag, Vec<u8>)>, PublishError> {
            let sealed = each(page, |one| {
                let waits = waiting.contains(one.unblinded.expose());
                (!waits).then(|| sealer.seal(&one.unblinded, &one.label))
            });
            Ok(sealed.into_iter().flatten().collect::<Result<_, _>>()?)
        };
        let page = store.findable(self.terms.epoch, None, PAGE).await?;
        if page.len() < PAGE {
            let (entry, collisions) = self.build_small(seal(&page)?, &decoys, draft.sequence)?;
            return Ok(Wrote {
                segments: Vec::from([entry]),
                collisions,
                settled: settle(progress.changes),
            });
        }
        let begun = self.begin(plan.slot, &progress)?;
        let changes = begun.changes;
        let builder = self
            .read_all(store, begun, plan.slot, &progress, seal, watch)
            .await?;
        let (entry, collisions) = self.finish(builder, &decoys, draft.sequence, watch)?;
        Ok(Wrote {
            segments: Vec::from([entry]),
            collisions,
            settled: settle(changes),
        })
    }

    /// New members whose time hasn't come, and the number of the first such change. None of them when everything is new,
    /// or when it can't be told who is.
    pub(super) async fn waiting<S: Store>(
        &self,
        store: &S,
        last: Option<&Manifest>,
        plan: &Plan,
    ) -> Result<Waiting, PublishError> {
        let sealer = Sealer::new(&self.terms);
        let mut waiting = BTreeMap::new();
        let last = last.filter(|last| last.claims().epoch == self.terms.epoch);
        let Some(last) = last.filter(|_| self.policy.join_window > 0) else {
            return Ok((BTreeSet::new(), None));
        };
        let delay = self.delay();
        let mut after = None;
        loop {
            let page = store.changed(self.terms.epoch, after, PAGE).await?;
            for one in &page {
                if let Some((label, since)) = &one.shown
                    && !delay.is_due(&one.unblinded, *since, plan.slot)
                {
                    let (tag, _) = sealer.seal(&one.unblinded, label)?;
                    waiting.insert(tag, (*one.unblinded.expose(), one.number));
                }
            }
            match page.last() {
                Some(one) if page.len() == PAGE => after = Some(*one.unblinded.expose()),
                _ => break,
            }
        }
        // Who is published already changes its label, and waits for nothing.
        let tags: Vec<Tag> = waiting.keys().copied().collect();
        match self.found(last, &tags) {
            Ok(published) => waiting.retain(|tag, _| {
                let there = published.binary_search_by_key(tag, |one| one.tag);
                there.is_err()
            }),
            Err(error) if is_damage(&error) => waiting.clear(),
            Err(error) => return Err(error.into()),
        }
        let first = waiting.values().map(|(_, number)| *number).min();
        Ok((waiting.into_values().map(|(who, _)| who).collect(), first))
    }

    fn found(&self, last: &Manifest, tags: &[Tag]) -> Result<Vec<Found>, ReadError> {
        let mut search = Search::new(tags);
        for segment in &mut self.path(last)? {
            search.read(segment)?;
        }
        Ok(search.found())
    }

    fn build_small(
        &self,
        members: Vec<(Tag, Vec<u8>)>,
        decoys: &Decoys,
        sequence: u64,
    ) -> Result<(SegmentEntry, u64), PublishError> {
        let mut set = FindableSet::new(&self.terms);
        let (from, to) = decoys.live();
        let decoys = (from..to).map(|number| decoys.make(number));
        for (tag, sealed) in members.into_iter().chain(decoys) {
            set.add_sealed(tag, &sealed)?;
        }
        let built = set.build()?;
        let entry = built.summary.entry(sequence);
        self.folder.put(&entry.id, &built.bytes)?;
        Ok((entry, built.collisions))
    }

    fn begin(&self, slot: u64, progress: &Progress) -> Result<Begun, PublishError> {
        let folder = self.folder.building();
        let terms = &self.terms;
        let (service, epoch, memory) = (terms.service.hash(), terms.epoch, self.building.memory);
        // What can't be gone on with is begun again.
        let resumed = BaseBuilder::resume(&folder, service, epoch, terms.label_length, memory);
        if let Ok(Some((builder, note))) = resumed
            && let Some((after, changes)) = self.open_note(&note, slot)
        {
            return Ok(Begun {
                builder,
                after: Some(after),
                changes,
            });
        }
        let builder = BaseBuilder::new(&folder, service, epoch, terms.label_length, memory)?;
        Ok(Begun {
            builder,
            after: None,
            changes: progress.changes,
        })
    }

    async fn read_all<S: Store>(
        &self,
        store: &S,
        begun: Begun,
        slot: u64,
        progress: &Progress,
        seal: impl Fn(&[Findable]) -> Result<Vec<(Tag, Vec<u8>)>, PublishError>,
        watch: &(dyn Fn(Work) + Sync),
    ) -> Result<BaseBuilder, PublishError> {
        let Begun {
            mut builder,
            mut after,
            changes,
        } = begun;
        let mut kept = builder.len();
        loop {
            let page = store.findable(self.terms.epoch, after, PAGE).await?;
            for (tag, sealed) in seal(&page)? {
                builder.add(tag, &sealed)?;
            }
            watch(Work::Read(builder.len(), progress.findable));
            let Some(one) = page.last().filter(|_| page.len() == PAGE) else {
                return Ok(builder);
            };
            let cursor = *one.unblinded.expose();
            after = Some(cursor);
            if builder.len() - kept >= self.building.checkpoint {
                builder.checkpoint(&self.seal_note(slot, changes, &cursor))?;
                kept = builder.len();
            }
        }
    }

    fn finish(
        &self,
        mut builder: BaseBuilder,
        decoys: &Decoys,
        sequence: u64,
        watch: &(dyn Fn(Work) + Sync),
    ) -> Result<(SegmentEntry, u64), PublishError> {
        let (from, to) = decoys.live();
        for number in from..to {
            let (tag, sealed) = decoys.make(number);
            builder.add(tag, &sealed)?;
        }
        let all = builder.len();
        let built = builder.finish(Duplicates::Drop, |written| {
            watch(Work::Written(written, all));
        })?;
        let entry = built.entry(sequence);
        self.folder.adopt(&entry.id, &built.path)?;
        Ok((entry, built.collisions))
    }

    /// Where to go on: `slot[8] || changes[8] || unblinded element[32]`, sealed, as it lies beside what is public.
    fn seal_note(&self, slot: u64, changes: u64, after: &Encoding) -> Vec<u8> {
        let plain = [&slot.to_be_bytes()[..], &changes.to_be_bytes(), after].concat();
        // The nonce may repeat: of two notes it would only be told whether they are the same.
        let sealed = self
            .note_cipher()
            .encrypt(&Nonce::default(), plain.as_slice());
        sealed.unwrap_or_default()
    }

    /// `None` if it isn't a note of this slot by this key.
    fn open_note(&self, note: &[u8], slot: u64) -> Option<(Encoding, u64)> {
        let plain = self.note_cipher().decrypt(&Nonce::default(), note).ok()?;
        let after = *plain.last_chunk::<32>()?;
        let (its, rest) = plain.split_first_chunk::<8>()?;
        let (changes, _) = rest.split_first_chunk::<8>()?;
        (u64::from_be_bytes(*its) == slot).then(|| (after, u64::from_be_bytes(*changes)))
    }

    fn note_cipher(&self) -> Aes256GcmSiv {
        let key = self.key.derive(b"checkpoint");
        Aes256GcmSiv::new(&Key::<Aes256GcmSiv>::from(*key.expose()))
    }
}
