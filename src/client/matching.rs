//! From evaluated contacts and a segment to the contacts that were found. Part of the client role (layer 4).

use alloc::vec::Vec;

use super::{identifier::Identifier, sync::SyncState};
use crate::{
    label::Label,
    oprf::{ContactKey, Tag},
    snapshot::{Segment, SegmentError},
};

/// A contact that can be found on the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which of the identifiers it is, by its place in the slice that was looked up.
    pub identifier: usize,
    /// The handle under which the service knows its owner.
    pub label: Label,
}

impl SyncState {
    /// Looks up every identifier that has been evaluated, in the order of `identifiers`.
    ///
    /// A tag alone is no match: 64 bits collide by chance. It is one if its label opens.
    ///
    /// # Errors
    ///
    /// A segment that its own publisher wrote wrongly, or one of another service or epoch than this state's.
    pub fn find(
        &self,
        segment: &Segment<'_>,
        identifiers: &[Identifier],
    ) -> Result<Vec<Match>, SegmentError> {
        let epoch = segment.epoch();
        if segment.service() != self.service_hash() || self.epoch() != Some(epoch) {
            return Err(SegmentError::OtherSegment);
        }
        let keys: Vec<(usize, ContactKey)> = identifiers
            .iter()
            .enumerate()
            .filter_map(|(index, identifier)| {
                let unblinded = self.unblinded(identifier)?;
                let key = ContactKey::derive(self.service_hash(), epoch, unblinded);
                Some((index, key))
            })
            .collect();
        let wanted: Vec<Tag> = keys.iter().map(|(_, key)| key.tag()).collect();
        let found = segment.find(&wanted)?;
        let matches = keys.iter().filter_map(|(identifier, key)| {
            let at = found.binary_search_by_key(&key.tag(), |entry| entry.tag);
            let label = Label::open(found.get(at.ok()?)?.sealed_label, key, epoch).ok()?;
            Some(Match {
                identifier: *identifier,
                label,
            })
        });
        Ok(matches.collect())
    }
}
