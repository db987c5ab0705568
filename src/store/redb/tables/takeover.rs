//! Files of earlier versions, made into one of this version in the transaction that opens them.
//!
//! * Version 1 had neither `days` nor `suspended`, nor `changed`: nobody was suspended, without days the floors of the policy hold,
//!   and so many changes are taken for granted that all members are published anew.
//! * Version 2 had no `activity`: nobody has done anything in hours that nobody wrote down. Nor had it an index of labels, which
//!   is made from `members`.
//! * Version 3 had what belongs to one account in three tables, and a fourth that said which request was the oldest. Its index of
//!   labels wasn't by epoch.
//! * Version 4 had no log. Nothing has to be done.
//!
//! ```text
//! labelled     length[1] label epoch_be[8] N[32]      -
//! buckets      subject[32] kind[1]                    level, microseconds u64
//! claims       account[32]                            epoch u64, evaluated u32, carry u32
//! charged      replay key[77]                         when, microseconds u64
//! charged_by   when u64, replay key[77]               -
//! ```

use redb::{ReadableTable, TableDefinition};
use zeroize::Zeroizing;

use super::{
    CHANGES, Tables,
    accounts::{AccountRow, Holder, request_of, stored},
    damaged,
    labelled::label_key,
    number,
};
use crate::{
    oprf::Epoch,
    server::quota::{Claim, Hour, ReplayKey},
    store::{
        REPLAY_MEMORY, StoreError,
        redb::{member, store_error},
    },
    timestamp::Timestamp,
};

/// Changes that are taken for granted where none were noted: more than any set has members.
pub(super) const UNKNOWN_CHANGES: u64 = 1 << 48;
/// The kinds of buckets.
const ELEMENTS: u8 = 1;
const REQUESTS: u8 = 2;
const REGISTRAR_ELEMENTS: u8 = 3;
const REGISTRAR_REQUESTS: u8 = 4;
const NETWORK: u8 = 5;

type Replay = [u8; ReplayKey::LENGTH];

const BUCKETS: TableDefinition<'_, [u8; 33], u64> = TableDefinition::new("buckets");
const CLAIMS: TableDefinition<'_, [u8; 32], (u64, u32, u32)> = TableDefinition::new("claims");
const CHARGED: TableDefinition<'_, Replay, u64> = TableDefinition::new("charged");
const LABELLED: TableDefinition<'_, &[u8], ()> = TableDefinition::new("labelled");
const CHARGED_BY: TableDefinition<'_, (u64, Replay), ()> = TableDefinition::new("charged_by");

impl Tables<'_> {
    /// Makes a file of an earlier version one of this version, but for the stamp.
    pub(super) fn take_over(&mut self, version: u64) -> Result<(), StoreError> {
        if version == 4 {
            return Ok(());
        }
        self.forgot_hours()?;
        if version < 2 {
            self.meta.insert(CHANGES, UNKNOWN_CHANGES)?;
        }
        if version < 3 {
            self.label_members()?;
        } else {
            self.label_by_epoch()?;
        }
        self.gather_accounts()
    }

    /// What accounts did was forgotten after a month, or never written.
    fn forgot_hours(&mut self) -> Result<(), StoreError> {
        let oldest = self.logged.oldest_hour()?;
        let latest = Timestamp::from_micros(number(&self.meta, "latest")?);
        let next = Hour::new(Hour::of(latest).get().saturating_add(1));
        self.ledger.set_since(oldest.unwrap_or(next))
    }

    fn label_members(&mut self) -> Result<(), StoreError> {
        for row in self.members.iter()? {
            let (key, row) = row?;
            let member = member::decode(row.value()).ok_or_else(|| damaged("a member"))?;
            if let Some(label) = member.label() {
                let key = label_key(label, &key.value());
                self.labels.insert(key.as_slice(), ())?;
            }
        }
        Ok(())
    }

    fn label_by_epoch(&mut self) -> Result<(), StoreError> {
        let transaction = self.transaction;
        let labelled = transaction.open_table(LABELLED).map_err(store_error)?;
        for row in labelled.iter()? {
            let key = row?.0;
            let (label, member) = key
                .value()
                .split_last_chunk::<40>()
                .ok_or_else(|| damaged("an index of members"))?;
            let (epoch, unblinded) = member.split_at(8);
            let key = Zeroizing::new([epoch, label, unblinded].concat());
            self.labels.insert(key.as_slice(), ())?;
        }
        drop(labelled);
        transaction.delete_table(LABELLED).map_err(store_error)?;
        Ok(())
    }

    /// Row by row and each table in the order of its keys, so that it takes little memory and touches no page twice.
    fn gather_accounts(&mut self) -> Result<(), StoreError> {
        let transaction = self.transaction;
        let claims = transaction.open_table(CLAIMS).map_err(store_error)?;
        for row in claims.iter()? {
            let (account, row) = row?;
            let (epoch, evaluated, carry) = row.value();
            let claim = Claim {
                epoch: Epoch::new(epoch),
                evaluated,
                carry,
            };
            let row = AccountRow {
                claim: Some(claim),
                ..AccountRow::default()
            };
            self.logged.put_quota(&account.value(), &row.encode())?;
        }
        let buckets = transaction.open_table(BUCKETS).map_err(store_error)?;
        for row in buckets.iter()? {
            let (key, level) = row?;
            self.gather_bucket(&key.value(), level.value())?;
        }
        let latest = number(&self.meta, "latest")?;
        let charged = transaction.open_table(CHARGED).map_err(store_error)?;
        for row in charged.iter()? {
            let (key, when) = row?;
            if latest.saturating_sub(when.value()) < REPLAY_MEMORY {
                let when = when.value().to_be_bytes();
                self.logged.put_quota(&request_of(&key.value()), &when)?;
            }
        }
        drop((claims, buckets, charged));
        transaction.delete_table(CLAIMS).map_err(store_error)?;
        transaction.delete_table(BUCKETS).map_err(store_error)?;
        transaction.delete_table(CHARGED).map_err(store_error)?;
        transaction.delete_table(CHARGED_BY).map_err(store_error)?;
        Ok(())
    }

    fn gather_bucket(&mut self, key: &[u8; 33], level: u64) -> Result<(), StoreError> {
        let [subject @ .., kind] = *key;
        if kind == NETWORK {
            self.logged.put_network(&subject, level)?;
            return Ok(());
        }
        let mut holder: Holder = *key;
        if let Some(last) = holder.last_mut() {
            *last = u8::from(matches!(kind, REGISTRAR_ELEMENTS | REGISTRAR_REQUESTS));
        }
        let holder = stored(&holder);
        let row = self.logged.quota(holder, AccountRow::decode)?;
        let mut row = row.unwrap_or_default();
        match kind {
            ELEMENTS | REGISTRAR_ELEMENTS => row.elements = level,
            REQUESTS | REGISTRAR_REQUESTS => row.requests = level,
            _ => return Err(damaged("a bucket")),
        }
        self.logged.put_quota(holder, &row.encode())
    }
}
