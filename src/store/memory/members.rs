//! The rows of members.

use std::convert::Infallible;

use super::{MemberKey, Rows};
use crate::{
    oprf::{Encoding, Epoch},
    server::directory::{Member, MemberRows},
};

impl Rows {
    /// Replaces the row of a member and what is derived from it, and tells nobody.
    pub(super) fn write_member(
        &mut self,
        key: MemberKey,
        before: Option<&Member>,
        after: Option<&Member>,
    ) {
        if let Some(at) = before.and_then(Member::forget_at) {
            self.forget_at.remove(&(at, key));
        }
        if let Some(label) = before.and_then(Member::label) {
            self.labelled.remove(&(label.as_bytes().to_vec(), key));
        }
        if let Some(label) = after.and_then(Member::label) {
            self.labelled.insert((label.as_bytes().to_vec(), key));
        }
        match after {
            None => {
                self.members.remove(&key);
            }
            Some(after) => {
                self.forget_at.extend(after.forget_at().map(|at| (at, key)));
                self.members.insert(key, after.clone());
            }
        }
    }
}

impl MemberRows for Rows {
    type Error = Infallible;

    fn member(
        &mut self,
        epoch: Epoch,
        unblinded: &Encoding,
    ) -> Result<Option<Member>, Self::Error> {
        Ok(self.members.get(&(epoch.get(), *unblinded)).cloned())
    }

    fn set_member(
        &mut self,
        epoch: Epoch,
        unblinded: &Encoding,
        before: Option<&Member>,
        after: Option<&Member>,
    ) -> Result<(), Self::Error> {
        let key = (epoch.get(), *unblinded);
        if !Member::shown_alike(before, after) {
            self.progress.changes += 1;
            self.changed.insert(key, self.progress.changes);
        }
        self.write_member(key, before, after);
        if self.rekeying() == Some(epoch) {
            self.rekey_again.insert(*unblinded);
        }
        Ok(())
    }
}
