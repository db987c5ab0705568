//! What is published, compared with a store that was restored: who is in the set still.

use std::{fs::File, io::Read, vec::Vec};

use super::{PublishError, Publisher, each};
use crate::{
    oprf::Tag,
    server::publish::Sealer,
    snapshot::{Manifest, Search, SignedManifest},
    store::{Findable, Restored, StoreError},
};

/// Longest manifest that is read, in bytes; none is longer.
const MAX_MANIFEST: u64 = 64 << 10;
/// Decoys looked for at once.
const RUN: u64 = 1 << 16;

impl Publisher {
    /// The newest manifest in the folder, if it is one of this service, signed by this key.
    pub(in crate::store) fn in_folder(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.folder.latest()).ok()?;
        file.take(MAX_MANIFEST).read_to_end(&mut bytes).ok()?;
        let signed = SignedManifest::decode(&bytes).ok()?;
        let manifest = signed.verify(&self.key.public_key()).ok()?;
        (manifest.claims().service == self.terms.service).then_some(bytes)
    }

    /// Checks that the store knows what is published. The folder is never ahead of it, unless the store went back.
    pub(super) fn check_known(&self, stored: Option<&Manifest>) -> Result<(), PublishError> {
        let Some(bytes) = self.in_folder() else {
            return Ok(());
        };
        let known = self.verified(bytes)?.manifest;
        let sequence = known.claims().sequence;
        let is_known = stored.is_some_and(|stored| {
            let its = stored.claims().sequence;
            sequence < its || (sequence == its && known.hash() == stored.hash())
        });
        if is_known {
            return Ok(());
        }
        let restored = Restored::Chain { known: sequence };
        Err(StoreError::Restored(restored).into())
    }
}

/// The newest set, to look members up in.
#[derive(Debug)]
pub(in crate::store) struct StillPublished<'a> {
    publisher: &'a Publisher,
    manifest: Option<&'a Manifest>,
    sealer: Sealer,
    members: u64,
    decoys: (u64, u64),
}

impl<'a> StillPublished<'a> {
    /// Reads the set that a manifest names; without one nobody is in it. `decoys` are those of an earlier set.
    pub(in crate::store) fn new(
        publisher: &'a Publisher,
        manifest: Option<&'a Manifest>,
        decoys: (u64, u64),
    ) -> Result<Self, PublishError> {
        let mut set = Self {
            publisher,
            manifest,
            sealer: Sealer::new(&publisher.terms),
            members: manifest.map_or(0, |manifest| manifest.claims().members()),
            decoys,
        };
        set.count_decoys()?;
        Ok(set)
    }

    /// Finds the decoys that are published: later ones than there were, one behind the other.
    fn count_decoys(&mut self) -> Result<(), PublishError> {
        let made = self.publisher.decoys(
            &self.sealer,
            crate::store::Settled {
                decoys: self.decoys,
                ..Default::default()
            },
        );
        let (mut from, until) = self.decoys;
        let mut live: Option<(u64, u64)> = None;
        loop {
            let run: Vec<(u64, Tag)> = (from..from.saturating_add(RUN))
                .map(|number| (number, made.make(number).0))
                .collect();
            let tags: Vec<Tag> = run.iter().map(|(_, tag)| *tag).collect();
            let search = self.search(&tags)?;
            let there = run
                .iter()
                .filter(|(_, tag)| matches!(search.sealed_label(*tag), Some(Some(_))));
            let mut any = false;
            for (number, _) in there {
                any = true;
                let first = live.map_or(*number, |(first, _)| first);
                live = Some((first, number.saturating_add(1)));
            }
            from = from.saturating_add(RUN);
            if !any && from > until {
                break;
            }
        }
        // None is used again that once was published.
        self.decoys = live.unwrap_or((until, until));
        let (first, behind) = live.unwrap_or_default();
        self.members = self.members.saturating_sub(behind - first);
        Ok(())
    }

    fn search(&self, tags: &[Tag]) -> Result<Search, PublishError> {
        let mut search = Search::new(tags);
        if let Some(manifest) = self.manifest {
            for segment in &mut self.publisher.path(manifest)? {
                search.read(segment)?;
            }
        }
        Ok(search)
    }

    /// Members in the set, decoys not counted.
    pub(in crate::store) fn members(&self) -> u64 {
        self.members
    }

    /// The decoys in the set: the first, and the one behind the last.
    pub(in crate::store) fn decoys(&self) -> (u64, u64) {
        self.decoys
    }

    /// Whether each of these members is in the set, under its handle.
    pub(in crate::store) fn compare(&self, page: &[Findable]) -> Result<Vec<bool>, PublishError> {
        let sealed = each(page, |one| self.sealer.seal(&one.unblinded, &one.label));
        let sealed: Vec<(Tag, Vec<u8>)> = sealed.into_iter().collect::<Result<_, _>>()?;
        let tags: Vec<Tag> = sealed.iter().map(|(tag, _)| *tag).collect();
        let search = self.search(&tags)?;
        let still = sealed
            .iter()
            .map(|(tag, label)| search.sealed_label(*tag) == Some(Some(label.as_slice())));
        Ok(still.collect())
    }
}
