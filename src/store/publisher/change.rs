//! The step that goes on from what is published: a daily delta, and what is merged and composed from it.

use std::vec::Vec;

use super::{PublishError, Publisher, Wrote, each};
use crate::{
    server::publish::{ChangeSet, DailyDelta, Plan, Sealer, recent},
    snapshot::{
        Composer, Manifest, ManifestDraft, Merge, Search, SegmentEntry, SegmentSummary,
        SegmentWriter, Sink,
    },
    store::{Settled, Store, base_builder::sections::Sections},
};

/// Changed members read from the store at once.
const PAGE: usize = 16_384;

impl Publisher {
    /// Writes what leads on from the last publication: nothing if nobody changed after all.
    pub(super) async fn change<S: Store>(
        &self,
        store: &S,
        last: &Manifest,
        plan: &Plan,
        draft: &ManifestDraft,
    ) -> Result<Wrote, PublishError> {
        let (daily, settled) = self.daily(store, last, plan).await?;
        let mut wrote = Wrote {
            collisions: daily.collisions,
            settled,
            ..Wrote::default()
        };
        let Some((bytes, summary)) = daily.segment else {
            return Ok(wrote);
        };
        let daily = summary.entry(draft.sequence);
        self.folder.put(&daily.id, &bytes)?;
        // Names the daily, so that it can be read. Nobody else sees it.
        let draft = ManifestDraft {
            segments: [
                last.claims().segments.as_slice(),
                core::slice::from_ref(&daily),
            ]
            .concat(),
            ..draft.clone()
        };
        let interim = self.verified(self.key.sign(&draft)?)?.manifest;
        wrote.segments.push(self.merged_base(&interim)?);
        wrote.segments.extend(self.composed(&interim, &daily)?);
        wrote.segments.push(daily);
        Ok(wrote)
    }

    /// What members whose publication is out of date change.
    async fn daily<S: Store>(
        &self,
        store: &S,
        last: &Manifest,
        plan: &Plan,
    ) -> Result<(DailyDelta, Settled), PublishError> {
        let progress = store.progress().await?;
        let sealer = Sealer::new(&self.terms);
        let mut decoys = self.decoys(&sealer, progress.settled);
        let delay = self.delay();
        let mut set = ChangeSet::new(sealer.clone());
        let mut after = None;
        loop {
            let page = store.changed(self.terms.epoch, after, PAGE).await?;
            let wanted = each(&page, |one| {
                let shown = one.shown.as_ref();
                let due =
                    shown.is_some_and(|(_, since)| delay.is_due(&one.unblinded, *since, plan.slot));
                sealer.want(
                    &one.unblinded,
                    shown.map(|(label, _)| label),
                    one.number,
                    due,
                )
            });
            set.extend(wanted.into_iter().collect::<Result<Vec<_>, _>>()?);
            match page.last() {
                Some(one) if page.len() == PAGE => after = Some(*one.unblinded.expose()),
                _ => break,
            }
        }
        let mut search = Search::new(&set.tags(&decoys));
        for segment in &mut self.path(last)? {
            search.read(segment)?;
        }
        let (from, members) = (search.state(), search.members());
        let delta = set.delta(&search.found(), from, members, &mut decoys)?;
        // Who waits is looked at again, with everybody who changed later.
        let changes = delta.waiting.map_or(progress.changes, |first| {
            progress.changes.min(first.saturating_sub(1))
        });
        let settled = Settled {
            changes,
            decoys: decoys.live(),
        };
        Ok((delta, settled))
    }

    /// Leads every delta that is still of use on to the set of the daily.
    fn composed(
        &self,
        named: &Manifest,
        daily: &SegmentEntry,
    ) -> Result<Vec<SegmentEntry>, PublishError> {
        let composer = Composer::new(self.open(named, named.base())?, self.open(named, daily)?)?;
        let segments = &named.claims().segments;
        let mut earlier = recent(&self.policy, daily.to, daily.to, segments);
        earlier.retain(|delta| delta.id != daily.id);
        let composed = each(&earlier, |delta| {
            let bytes = composer.compose(self.open(named, delta)?)?;
            let summary = SegmentSummary::read(&bytes, bytes.len() as u64)
                .map_err(|error| PublishError::Set(error.into()))?;
            let entry = summary.entry(daily.to);
            self.folder.put(&entry.id, &bytes)?;
            Ok(entry)
        });
        composed.into_iter().collect()
    }

    fn merged_base(&self, named: &Manifest) -> Result<SegmentEntry, PublishError> {
        let merge = Merge::new(self.path(named)?)?;
        let terms = &self.terms;
        let (service, epoch) = (terms.service.hash(), terms.epoch);
        let head_length =
            SegmentWriter::base(service, epoch, terms.label_length, merge.members())?.head_length();
        let building = self.folder.building();
        std::fs::create_dir_all(&building)?;
        let mut sections = Sections::create(&building)?;
        sections.begin(head_length)?;
        let mut sink = Merged(&mut sections);
        let written = merge.write_base(&mut sink)?;
        let entry = written.entry(named.claims().newest());
        self.folder
            .adopt(&entry.id, &sections.finish(&written.head)?)?;
        Ok(entry)
    }
}

/// The sections of a base that is read from other segments.
struct Merged<'a>(&'a mut Sections);

impl Sink for Merged<'_> {
    type Error = PublishError;

    fn tags(&mut self, bytes: &[u8]) -> Result<(), PublishError> {
        Ok(self.0.tags(bytes)?)
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<(), PublishError> {
        Ok(self.0.labels(bytes)?)
    }
}
