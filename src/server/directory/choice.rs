//! What somebody chooses for all of their identifiers at once, known by nothing but their handle.
//!
//! Choosing not to be found never fails for what it says: no consent, no date and no other choice stands against it.

use alloc::{sync::Arc, vec::Vec};
use core::cmp::Reverse;

use super::{ChangeError, Consent, Member, MemberRows, Regions, Setting, change::permit};
use crate::{
    label::Label,
    oprf::{Encoding, Epoch},
    timestamp::Timestamp,
};

/// Which row of the directory: an epoch, and an identifier's `N` in it.
pub type Identity = (Epoch, Encoding);

/// A choice of whoever has a handle.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Whose choice it is.
    pub label: Label,
    /// Who shall find them.
    pub setting: Setting,
    /// Where a consent is needed for that.
    pub regions: Arc<Regions>,
    /// The present, by the edge's clock.
    pub at: Timestamp,
}

/// What became of a choice, as far as a page of identifiers goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChoiceOutcome {
    /// Identifiers that are now otherwise than before, or why none of the page is.
    pub changed: Result<u32, ChangeError>,
    /// The last identifier looked at; `None` if there are no more.
    pub last: Option<Identity>,
}

/// The rows that [`choose`] reads and writes, inside one atomic step of a store.
pub trait LabelRows: MemberRows {
    /// Up to `limit` members who have a label, in all epochs, ascending; those after `after`.
    ///
    /// # Errors
    ///
    /// They can't be read.
    fn labelled(
        &mut self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<Vec<Identity>, Self::Error>;
}

/// Makes a choice for a page of the identifiers that have its label: for all of them, or for none.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn choose<R: LabelRows>(
    rows: &mut R,
    choice: &Choice,
    after: Option<Identity>,
    limit: usize,
) -> Result<ChoiceOutcome, R::Error> {
    let page = rows.labelled(&choice.label, after, limit)?;
    let last = page.last().filter(|_| page.len() == limit).copied();
    let mut changes = Vec::with_capacity(page.len());
    for (epoch, unblinded) in page {
        let Some(before) = rows.member(epoch, &unblinded)? else {
            continue;
        };
        match before.clone().choose(choice) {
            Ok(after) => changes.push((epoch, unblinded, before, after)),
            Err(error) => {
                return Ok(ChoiceOutcome {
                    changed: Err(error),
                    last,
                });
            }
        }
    }
    let mut changed = 0;
    for (epoch, unblinded, before, after) in changes {
        if Member::visible(Some(&before)) != Member::visible(Some(&after)) {
            changed += 1;
        }
        if before != after {
            rows.set_member(epoch, &unblinded, Some(&before), Some(&after))?;
        }
    }
    Ok(ChoiceOutcome {
        changed: Ok(changed),
        last,
    })
}

impl Member {
    fn choose(mut self, choice: &Choice) -> Result<Self, ChangeError> {
        let residence = choice.regions.residence(self.region);
        permit(Some(&self), &choice.setting, &residence, choice.at)?;
        let late = match &choice.setting {
            Setting::Everyone(consent) => self.is_shown_by_later(consent),
            _ => false,
        };
        if !late {
            self.set(choice.setting.clone(), choice.at);
        }
        Ok(self)
    }
}

/// How whoever has a handle stands: what is known of all the identifiers that have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Identifiers that have the handle; those of the epoch that has most of them.
    pub identifiers: u64,
    /// Those among them that everyone can find.
    pub findable: u64,
    /// The youngest consent under which one of them can be found.
    pub consent: Option<Consent>,
    /// The last decision not to be found.
    pub hidden_at: Option<Timestamp>,
}

impl Standing {
    /// Sums up all members who have one handle.
    #[must_use]
    pub fn of(members: &[(Epoch, Member)]) -> Self {
        let mut epochs: Vec<(u64, u64, Epoch)> = Vec::new();
        for (epoch, member) in members {
            let at = epochs.iter().position(|(_, _, seen)| seen == epoch);
            let at = at.unwrap_or_else(|| {
                epochs.push((0, 0, *epoch));
                epochs.len() - 1
            });
            if let Some((identifiers, findable, _)) = epochs.get_mut(at) {
                *identifiers += 1;
                *findable += u64::from(member.open().is_some());
            }
        }
        let all = || members.iter().map(|(_, member)| member);
        let consents = all().filter_map(|member| member.open()?.consent.as_ref());
        Self {
            identifiers: epochs.iter().map(|epoch| epoch.0).max().unwrap_or(0),
            // Found in either epoch is found.
            findable: epochs.iter().map(|epoch| epoch.1).max().unwrap_or(0),
            consent: consents
                .min_by_key(|consent| Reverse(consent.at()))
                .cloned(),
            hidden_at: all().filter_map(Member::hidden_at).max(),
        }
    }
}
