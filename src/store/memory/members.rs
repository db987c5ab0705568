//! The rows of members.

use std::convert::Infallible;

use super::Rows;
use crate::{
    oprf::{Encoding, Epoch},
    server::directory::{Member, MemberRows},
};

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
        if let Some(at) = before.and_then(Member::forget_at) {
            self.forget_at.remove(&(at, key));
        }
        if !Member::shown_alike(before, after) {
            self.progress.changes += 1;
            self.changed.insert(key, self.progress.changes);
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
        Ok(())
    }
}
