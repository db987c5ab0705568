//! The rows of members.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable};
use zeroize::Zeroizing;

use super::{
    CHANGED, CHANGES, FINDABLE, ForgetKey, MEMBERS, MemberKey, Tables, damaged, number,
    published::progress,
};
use crate::{
    label::Label,
    oprf::{Encoding, Epoch, UnblindedElement},
    server::directory::{Member, MemberRows, Window},
    store::{
        Affected, AffectedPage, Changed, Findable, StoreError,
        redb::{member, store_error},
    },
    timestamp::Timestamp,
};

impl Tables<'_> {
    /// Replaces the row of a member and what is derived from it, and tells nobody.
    fn write_member(
        &mut self,
        key: &MemberKey,
        before: Option<&Member>,
        after: Option<&Member>,
    ) -> Result<(), StoreError> {
        self.move_label(
            key,
            before.and_then(Member::label),
            after.and_then(Member::label),
        )?;
        self.write_unlabelled(key, before, after)
    }

    /// [`Self::write_member`], but for what the member's label is found by.
    pub(super) fn write_unlabelled(
        &mut self,
        key: &MemberKey,
        before: Option<&Member>,
        after: Option<&Member>,
    ) -> Result<(), StoreError> {
        let forget_before = before.and_then(Member::forget_at);
        let forget_after = after.and_then(Member::forget_at);
        if forget_before != forget_after {
            if let Some(at) = forget_before {
                self.forget_by.remove(forget_key(at, key))?;
            }
            if let Some(at) = forget_after {
                self.forget_by.insert(forget_key(at, key), ())?;
            }
        }
        match after {
            None => self.members.remove(key)?,
            Some(after) => self
                .members
                .insert(key, Zeroizing::new(member::encode(after)).as_slice())?,
        };
        match after.and_then(Member::shown) {
            None => self.findable.remove(key)?,
            Some((label, _)) => self.findable.insert(key, label.as_bytes())?,
        };
        Ok(())
    }

    /// Up to `limit` members of whom something is to be forgotten.
    pub(in crate::store::redb) fn due(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Epoch, Encoding)>, StoreError> {
        let end = forget_key(at, &[0xff; 40]);
        let mut due = Vec::new();
        for row in self.forget_by.range(..=end)?.take(limit) {
            let key = row?.0.value();
            let (epoch, unblinded) = split_member_key(key.last_chunk().unwrap_or(&[0; 40]));
            due.push((epoch, unblinded));
        }
        Ok(due)
    }
}

pub(in crate::store::redb) fn changed(
    read: &ReadTransaction,
    epoch: Epoch,
    after: Option<Encoding>,
    limit: usize,
) -> Result<Vec<Changed>, StoreError> {
    let settled = progress(read)?.settled.changes;
    let table = read.open_table(CHANGED).map_err(store_error)?;
    let labels = read.open_table(FINDABLE).map_err(store_error)?;
    let first = member_key(epoch, &after.unwrap_or_default());
    let last = member_key(epoch, &[0xff; 32]);
    let mut members = Vec::new();
    for row in table.range(first..=last)? {
        if members.len() == limit {
            break;
        }
        let (key, value) = row?;
        let (key, (number, since)) = (key.value(), value.value());
        let (_, unblinded) = split_member_key(&key);
        if after == Some(unblinded) || number <= settled {
            continue;
        }
        let label = labels.get(key)?;
        let label = label.map(|label| Label::new(label.value()).map_err(|_| damaged("a label")));
        members.push(Changed {
            unblinded: UnblindedElement::from_trusted(unblinded),
            number,
            shown: label
                .transpose()?
                .map(|label| (label, Timestamp::from_micros(since))),
        });
    }
    Ok(members)
}

pub(in crate::store::redb) fn findable(
    read: &ReadTransaction,
    epoch: Epoch,
    after: Option<Encoding>,
    limit: usize,
) -> Result<Vec<Findable>, StoreError> {
    let table = read.open_table(FINDABLE).map_err(store_error)?;
    let first = member_key(epoch, &after.unwrap_or_default());
    let last = member_key(epoch, &[0xff; 32]);
    let mut members = Vec::new();
    for row in table.range(first..=last)? {
        let (key, label) = row?;
        let (_, unblinded) = split_member_key(&key.value());
        if after == Some(unblinded) {
            continue;
        }
        if members.len() == limit {
            break;
        }
        members.push(Findable {
            unblinded: UnblindedElement::from_trusted(unblinded),
            label: Label::new(label.value()).map_err(|_| damaged("a label"))?,
        });
    }
    Ok(members)
}

pub(in crate::store::redb) fn between(
    read: &ReadTransaction,
    epoch: Epoch,
    window: &Window,
    after: Option<Encoding>,
    limit: usize,
) -> Result<AffectedPage, StoreError> {
    let table = read.open_table(MEMBERS).map_err(store_error)?;
    let first = match after {
        Some(after) => Bound::Excluded(member_key(epoch, &after)),
        None => Bound::Included(member_key(epoch, &[0; 32])),
    };
    let end = Bound::Included(member_key(epoch, &[0xff; 32]));
    let mut page = AffectedPage {
        affected: Vec::new(),
        last: None,
    };
    let mut seen = 0;
    for row in table.range::<MemberKey>((first, end))?.take(limit) {
        let (key, row) = row?;
        let member = member::decode(row.value()).ok_or_else(|| damaged("a member"))?;
        let labels = member.labels_within(window);
        if !labels.is_empty() {
            let region = member.region();
            page.affected.push(Affected { region, labels });
        }
        seen += 1;
        page.last = (seen == limit).then(|| split_member_key(&key.value()).1);
    }
    Ok(page)
}

impl MemberRows for Tables<'_> {
    type Error = StoreError;

    fn member(&mut self, epoch: Epoch, unblinded: &Encoding) -> Result<Option<Member>, StoreError> {
        let row = self.members.get(member_key(epoch, unblinded))?;
        row.map(|row| member::decode(row.value()).ok_or_else(|| damaged("a member")))
            .transpose()
    }

    fn set_member(
        &mut self,
        epoch: Epoch,
        unblinded: &Encoding,
        before: Option<&Member>,
        after: Option<&Member>,
    ) -> Result<(), StoreError> {
        let key = member_key(epoch, unblinded);
        self.write_member(&key, before, after)?;
        if !Member::shown_alike(before, after) {
            let number = number(&self.meta, CHANGES)? + 1;
            let since = after.and_then(Member::shown);
            let since = since.map_or(0, |(_, since)| since.as_micros());
            self.meta.insert(CHANGES, number)?;
            self.changed.insert(key, (number, since))?;
        }
        if self.rekeying()? == Some(epoch) {
            self.rekey_again.insert(unblinded, ())?;
        }
        Ok(())
    }
}

pub(super) fn member_key(epoch: Epoch, unblinded: &Encoding) -> MemberKey {
    let mut key = [0; 40];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&epoch.get().to_be_bytes());
    tail.copy_from_slice(unblinded);
    key
}

pub(super) fn split_member_key(key: &MemberKey) -> (Epoch, Encoding) {
    let mut epoch = [0; 8];
    let mut unblinded = [0; 32];
    let (head, tail) = key.split_at(8);
    epoch.copy_from_slice(head);
    unblinded.copy_from_slice(tail);
    (Epoch::new(u64::from_be_bytes(epoch)), unblinded)
}

fn forget_key(at: Timestamp, member: &MemberKey) -> ForgetKey {
    let mut key = [0; 48];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&at.as_micros().to_be_bytes());
    tail.copy_from_slice(member);
    key
}
