//! From evaluated contacts and a segment to the contacts that were found. Part of the client role (layer 4).

use alloc::vec::Vec;

use super::{identifier::Identifier, sync::SyncState};
use crate::{
    label::Label,
    oprf::{ContactKey, Tag},
    snapshot::{ReadAt, Search, Segment, SegmentError},
};

/// A contact that can be found on the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which of the identifiers it is, by its place in the slice that was looked up.
    pub identifier: usize,
    /// The handle under which the service knows its owner.
    pub label: Label,
}

/// How a member stands in the set that was served to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum OwnEntry {
    /// With the label that was expected, if one was.
    Listed,
    /// Not at all.
    Missing,
    /// With another label, or with bytes that aren't a label under the member's key.
    OtherLabel,
}

impl SyncState {
    /// Looks up every identifier that has been evaluated, in the order of `identifiers`.
    ///
    /// `path` leads to the newest set that the manifest names: a base, then what changes it. A tag alone is no match:
    /// 64 bits collide by chance. It is one if its label opens.
    ///
    /// # Errors
    ///
    /// Segments that can't be read, don't follow each other, were written wrongly by their own publisher, or are of
    /// another service or epoch than this state.
    ///
    /// # Security
    ///
    /// Reads what is needed. Bytes that come from somebody else are to be checked as a whole before
    /// ([`Segment::verify`], [`Segment::verify_runs`]) or while they are read ([`Search::read_all`]): an error that comes up
    /// only where a contact is tells whoever damaged them that there is one.
    pub fn find<R: ReadAt>(
        &self,
        path: &mut [Segment<R>],
        identifiers: &[Identifier],
    ) -> Result<Vec<Match>, R::Error> {
        let ours = |segment: &Segment<R>| {
            segment.service() == self.service_hash() && self.epoch() == Some(segment.epoch())
        };
        if !path.iter().all(ours) {
            return Err(SegmentError::OtherSegment.into());
        }
        let mut search = self.search(identifiers);
        for segment in path {
            search.read(segment)?;
        }
        Ok(self.matches(search, identifiers))
    }

    /// Begins to look up every identifier that has been evaluated, for a caller who reads segments one by one.
    #[must_use]
    pub fn search(&self, identifiers: &[Identifier]) -> Search {
        Search::new(&self.tags(identifiers))
    }

    /// Who was found, in the order of `identifiers`.
    #[must_use]
    pub fn matches(&self, search: Search, identifiers: &[Identifier]) -> Vec<Match> {
        let found = search.found();
        let Some(epoch) = self.epoch() else {
            return Vec::new();
        };
        let matches = self.keys(identifiers).filter_map(|(identifier, key)| {
            let at = found.binary_search_by_key(&key.tag(), |entry| entry.tag);
            let label = Label::open(&found.get(at.ok()?)?.sealed_label, &key, epoch).ok()?;
            Some(Match { identifier, label })
        });
        matches.collect()
    }

    /// Checks that a member who wants to be found is in the set that was served: a service that leaves somebody out of
    /// the set that it serves them is noticed. What it serves to others is the same set, if they see the same
    /// manifest: compare [`chain`](Self::chain).
    ///
    /// `own` is looked up like a contact: it has to be among the identifiers that were evaluated and that `search` was
    /// begun with; otherwise `None`.
    #[must_use]
    pub fn check_own(
        &self,
        search: &Search,
        own: &Identifier,
        expected: Option<&Label>,
    ) -> Option<OwnEntry> {
        let (_, key) = self.keys(core::slice::from_ref(own)).next()?;
        let Some(sealed) = search.sealed_label(key.tag())? else {
            return Some(OwnEntry::Missing);
        };
        let label = Label::open(sealed, &key, self.epoch()?).ok();
        let same = label.is_some_and(|label| expected.is_none_or(|expected| label == *expected));
        Some(match same {
            true => OwnEntry::Listed,
            false => OwnEntry::OtherLabel,
        })
    }

    /// The tags of those that were evaluated.
    pub(super) fn tags(&self, identifiers: &[Identifier]) -> Vec<Tag> {
        self.keys(identifiers).map(|(_, key)| key.tag()).collect()
    }

    fn keys(&self, identifiers: &[Identifier]) -> impl Iterator<Item = (usize, ContactKey)> {
        let epoch = self.epoch();
        identifiers
            .iter()
            .enumerate()
            .filter_map(move |(index, identifier)| {
                let unblinded = self.unblinded(identifier)?;
                let key = ContactKey::derive(self.service_hash(), epoch?, unblinded);
                Some((index, key))
            })
    }
}
