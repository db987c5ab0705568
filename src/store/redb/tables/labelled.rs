//! Members by their label.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable};
use zeroize::Zeroizing;

use super::{LABELS, MEMBERS, MemberKey, Tables, damaged, members::member_key};
use crate::{
    label::Label,
    oprf::{Epoch, UnblindedElement},
    server::directory::{Identity, LabelRows, Member, MemberRows},
    store::{
        LabelledPage, StoreError,
        redb::{member, store_error},
    },
};

impl Tables<'_> {
    /// Has a member found under another label, or none.
    pub(super) fn move_label(
        &mut self,
        member: &MemberKey,
        before: Option<&Label>,
        after: Option<&Label>,
    ) -> Result<(), StoreError> {
        if before == after {
            return Ok(());
        }
        if let Some(label) = before {
            self.labels.remove(label_key(label, member).as_slice())?;
        }
        if let Some(label) = after {
            self.labels
                .insert(label_key(label, member).as_slice(), ())?;
        }
        Ok(())
    }

    /// Has members found by the labels that were read of them, unless they have others by now.
    pub(in crate::store::redb) fn index_labels(
        &mut self,
        read: &[LabelKey],
    ) -> Result<(), StoreError> {
        for key in read {
            let (epoch, unblinded) = identity_of(key)?;
            let member = self.member(epoch, &unblinded)?;
            let label = member.as_ref().and_then(Member::label);
            let now = label.map(|label| label_key(label, &member_key(epoch, &unblinded)));
            if now.as_ref() == Some(key) {
                self.labels.insert(key.as_slice(), ())?;
            }
        }
        Ok(())
    }

    /// Forgets up to `limit` labels of an epoch.
    pub(super) fn drop_labels(&mut self, epoch: Epoch, limit: usize) -> Result<usize, StoreError> {
        let first = epoch.get().to_be_bytes();
        let last = [first.as_slice(), &[0xff]].concat();
        let rows = self
            .labels
            .extract_from_if::<&[u8], _>(first.as_slice()..last.as_slice(), |_, ()| true)?;
        let mut dropped = 0;
        for row in rows.take(limit) {
            row?;
            dropped += 1;
        }
        Ok(dropped)
    }
}

/// What the labels of members are found by, in order.
pub(in crate::store::redb) fn labels_of<'a>(
    read: &ReadTransaction,
    epoch: Epoch,
    members: impl Iterator<Item = &'a UnblindedElement>,
) -> Result<Vec<LabelKey>, StoreError> {
    let table = read.open_table(MEMBERS).map_err(store_error)?;
    let mut keys = Vec::new();
    for unblinded in members {
        let key = member_key(epoch, unblinded.expose());
        let Some(row) = table.get(key)? else {
            continue;
        };
        let member = member::decode(row.value()).ok_or_else(|| damaged("a member"))?;
        keys.extend(member.label().map(|label| label_key(label, &key)));
    }
    keys.sort_unstable_by(|a, b| a.as_slice().cmp(b.as_slice()));
    Ok(keys)
}

impl LabelRows for Tables<'_> {
    fn labelled(
        &mut self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<Vec<Identity>, StoreError> {
        page(&self.labels, label, after, limit)
    }
}

pub(in crate::store::redb) fn labelled(
    read: &ReadTransaction,
    label: &Label,
    after: Option<Identity>,
    limit: usize,
) -> Result<LabelledPage, StoreError> {
    let table = read.open_table(LABELS).map_err(store_error)?;
    let members = read.open_table(MEMBERS).map_err(store_error)?;
    let identities = page(&table, label, after, limit)?;
    let last = identities
        .last()
        .filter(|_| identities.len() == limit)
        .copied();
    let find = |(epoch, unblinded)| -> Result<_, StoreError> {
        let row = members.get(member_key(epoch, &unblinded))?;
        let member: Option<Member> = row.and_then(|row| member::decode(row.value()));
        Ok((epoch, member.ok_or_else(|| damaged("a member"))?))
    };
    Ok(LabelledPage {
        members: identities.into_iter().map(find).collect::<Result<_, _>>()?,
        last,
    })
}

fn page(
    table: &impl ReadableTable<&'static [u8], ()>,
    label: &Label,
    after: Option<Identity>,
    limit: usize,
) -> Result<Vec<Identity>, StoreError> {
    let mut page = Vec::new();
    let mut epoch = after.map_or(Epoch::new(0), |(epoch, _)| epoch);
    // From epoch to epoch: there are few, and in each the label is in one place.
    loop {
        let first = epoch.get().to_be_bytes();
        let Some(row) = table.range::<&[u8]>(first.as_slice()..)?.next() else {
            return Ok(page);
        };
        epoch = identity_of(row?.0.value())?.0;
        let first = match after {
            Some((at, unblinded)) if at == epoch => Bound::Excluded(unblinded),
            _ => Bound::Included([0; 32]),
        };
        let first = first.map(|unblinded| label_key(label, &member_key(epoch, &unblinded)));
        let end = label_key(label, &member_key(epoch, &[0xff; 32]));
        let range = (
            first.as_ref().map(|key| key.as_slice()),
            Bound::Included(end.as_slice()),
        );
        for row in table.range::<&[u8]>(range)? {
            if page.len() == limit {
                return Ok(page);
            }
            page.push(identity_of(row?.0.value())?);
        }
        let Some(next) = epoch.next() else {
            return Ok(page);
        };
        epoch = next;
    }
}

fn identity_of(key: &[u8]) -> Result<Identity, StoreError> {
    let epoch = key.first_chunk().copied().map(u64::from_be_bytes);
    let identity = epoch.map(Epoch::new).zip(key.last_chunk().copied());
    identity.ok_or_else(|| damaged("an index of members"))
}

/// `epoch_be[8] || length[1] || label || N[32]`: what an epoch has is in one place, and goes with it. The length comes before the
/// label, so that none begins with another one.
pub(in crate::store::redb) type LabelKey = Zeroizing<Vec<u8>>;

pub(super) fn label_key(label: &Label, member: &MemberKey) -> LabelKey {
    let label = label.as_bytes();
    let (epoch, unblinded) = member.split_at(8);
    Zeroizing::new([epoch, &[label.len() as u8], label, unblinded].concat())
}
