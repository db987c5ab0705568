//! Members by their label.

use std::{ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable};
use zeroize::Zeroizing;

use super::{
    LABELLED, MEMBERS, MemberKey, Tables, damaged,
    members::{member_key, split_member_key},
};
use crate::{
    label::Label,
    server::directory::{Identity, LabelRows, Member},
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
            self.labelled.remove(label_key(label, member).as_slice())?;
        }
        if let Some(label) = after {
            self.labelled
                .insert(label_key(label, member).as_slice(), ())?;
        }
        Ok(())
    }

    /// Makes the index of all members there are.
    pub(super) fn index_labels(&mut self) -> Result<(), StoreError> {
        for row in self.members.iter()? {
            let (key, row) = row?;
            let member = member::decode(row.value()).ok_or_else(|| damaged("a member"))?;
            if let Some(label) = member.label() {
                let key = label_key(label, &key.value());
                self.labelled.insert(key.as_slice(), ())?;
            }
        }
        Ok(())
    }
}

impl LabelRows for Tables<'_> {
    fn labelled(
        &mut self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<Vec<Identity>, StoreError> {
        page(&self.labelled, label, after, limit)
    }
}

pub(in crate::store::redb) fn labelled(
    read: &ReadTransaction,
    label: &Label,
    after: Option<Identity>,
    limit: usize,
) -> Result<LabelledPage, StoreError> {
    let table = read.open_table(LABELLED).map_err(store_error)?;
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
    let after = after.map(|(epoch, unblinded)| member_key(epoch, &unblinded));
    let first = label_key(label, &after.unwrap_or([0; 40]));
    let end = label_key(label, &[0xff; 40]);
    let first = match after {
        Some(_) => Bound::Excluded(first.as_slice()),
        None => Bound::Included(first.as_slice()),
    };
    let mut page = Vec::new();
    for row in table
        .range::<&[u8]>((first, Bound::Included(end.as_slice())))?
        .take(limit)
    {
        let (key, _) = row?;
        let member = key.value().last_chunk();
        page.push(split_member_key(
            member.ok_or_else(|| damaged("an index of members"))?,
        ));
    }
    Ok(page)
}

/// The length comes first, so that no label begins with another one.
fn label_key(label: &Label, member: &MemberKey) -> Zeroizing<Vec<u8>> {
    let label = label.as_bytes();
    Zeroizing::new([&[label.len() as u8][..], label, member].concat())
}
