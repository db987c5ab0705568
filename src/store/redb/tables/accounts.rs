//! What belongs to one account in the quota, in one place of one table, so that a charge changes one page of it:
//!
//! ```text
//! key                      value
//! account[32]              elements' level u64, requests' level u64 [, epoch u64, evaluated u32, carry u32]
//! account[32] 1            the same without a claim, of a registrar
//! account[32] request[24]  when it was charged, microseconds u64
//! ```
//!
//! Levels are in microseconds, and 0 of a bucket that was never drawn from. `request` is the beginning of the SHA-256 of what follows
//! the account in a [`ReplayKey`]: who finds two requests with the same one, by 2^96 tries, has one of his own answered for nothing.
//!
//! A group of charges holds its rows back, and has each of them written once.

use std::{collections::BTreeMap, ops::Bound, vec::Vec};

use redb::{ReadTransaction, ReadableTable};
use sha2::{Digest, Sha256};

use super::{Tables, damaged, logged::QUOTA};
use crate::{
    oprf::Epoch,
    server::quota::{AccountKey, Bucket, Claim, NetworkKey, ReplayKey},
    store::{
        REPLAY_MEMORY, StoreError, SweepKey,
        redb::{pending::Section, store_error},
    },
    timestamp::Timestamp,
};

/// `account[32] || 1 if it is a registrar, or 0`.
pub(super) type Holder = [u8; 33];
/// `account[32] || request[24]`.
pub(super) type Request = [u8; 56];

const LEVELS: usize = 16;
/// Requests that are looked at behind a new one, to sweep away the old ones.
const SWEPT: usize = 4;

/// Where a bucket's level is.
pub(super) enum Place {
    Elements(Holder),
    Requests(Holder),
    Network(NetworkKey),
}

impl Place {
    pub(super) fn of(bucket: &Bucket) -> Self {
        match bucket {
            Bucket::AccountElements(account) => Self::Elements(holder(account, false)),
            Bucket::AccountRequests(account) => Self::Requests(holder(account, false)),
            Bucket::RegistrarElements(account) => Self::Elements(holder(account, true)),
            Bucket::RegistrarRequests(account) => Self::Requests(holder(account, true)),
            Bucket::Network(network) => Self::Network(*network),
        }
    }
}

pub(super) fn holder(account: &AccountKey, is_registrar: bool) -> Holder {
    let mut holder = [u8::from(is_registrar); 33];
    let (head, _) = holder.split_at_mut(32);
    head.copy_from_slice(account.as_bytes());
    holder
}

/// Whether a key in the table is a registrar's.
pub(super) fn is_registrar(key: &[u8]) -> bool {
    holder_of(key).is_some_and(|holder| holder.last() == Some(&1))
}

/// The key in the table.
pub(super) fn stored(holder: &Holder) -> &[u8] {
    holder.strip_suffix(&[0]).unwrap_or(holder)
}

pub(super) fn request(replay_key: &ReplayKey) -> Request {
    request_of(replay_key.as_bytes())
}

pub(super) fn request_of(replay_key: &[u8; ReplayKey::LENGTH]) -> Request {
    let (account, rest) = replay_key.split_at(32);
    let mut key = [0; 56];
    let hash = Sha256::digest(rest);
    for (byte, &part) in key.iter_mut().zip(account.iter().chain(&hash)) {
        *byte = part;
    }
    key
}

/// The last that can belong to an account.
fn behind(account: &AccountKey) -> Request {
    let mut key = [0xff; 56];
    let (head, _) = key.split_at_mut(32);
    head.copy_from_slice(account.as_bytes());
    key
}

/// What the quota keeps of one account, besides its requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AccountRow {
    pub(super) elements: u64,
    pub(super) requests: u64,
    pub(super) claim: Option<Claim>,
}

impl AccountRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        out.extend_from_slice(&self.elements.to_be_bytes());
        out.extend_from_slice(&self.requests.to_be_bytes());
        if let Some(claim) = self.claim {
            out.extend_from_slice(&claim.epoch.get().to_be_bytes());
            out.extend_from_slice(&claim.evaluated.to_be_bytes());
            out.extend_from_slice(&claim.carry.to_be_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let decode = || {
            let (elements, rest) = bytes.split_first_chunk()?;
            let (requests, rest) = rest.split_first_chunk()?;
            let mut row = Self {
                elements: u64::from_be_bytes(*elements),
                requests: u64::from_be_bytes(*requests),
                claim: None,
            };
            if rest.is_empty() {
                return Some(row);
            }
            let (epoch, rest) = rest.split_first_chunk()?;
            let (evaluated, carry) = rest.split_first_chunk()?;
            row.claim = Some(Claim {
                epoch: Epoch::new(u64::from_be_bytes(*epoch)),
                evaluated: u32::from_be_bytes(*evaluated),
                carry: u32::from_be_bytes(carry.try_into().ok()?),
            });
            Some(row)
        };
        decode().ok_or_else(|| damaged("an account"))
    }

    /// Whether no row means the same.
    fn is_idle(&self, at: Timestamp) -> bool {
        self.claim.is_none() && self.elements.max(self.requests) <= at.as_micros()
    }
}

fn when(bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes.try_into().map_err(|_| damaged("a request"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn is_over(when: u64, at: Timestamp) -> bool {
    at.as_micros().saturating_sub(when) >= REPLAY_MEMORY
}

/// Whether a row means nothing any more.
fn is_spent(row: &[u8], at: Timestamp) -> Result<bool, StoreError> {
    if row.len() < LEVELS {
        return Ok(is_over(when(row)?, at));
    }
    Ok(AccountRow::decode(row)?.is_idle(at))
}

/// Rows that are held back until the transaction ends.
#[derive(Default)]
pub(super) struct Held {
    accounts: BTreeMap<Holder, HeldAccount>,
    requests: BTreeMap<Request, u64>,
}

#[derive(Default)]
struct HeldAccount {
    row: AccountRow,
    changed: bool,
}

impl Tables<'_> {
    pub(super) fn account(&mut self, holder: &Holder) -> Result<AccountRow, StoreError> {
        if let Some(held) = self.hot.held.accounts.get(holder) {
            return Ok(held.row);
        }
        let row = self.logged.quota(stored(holder), AccountRow::decode)?;
        let row = row.unwrap_or_default();
        let held = HeldAccount {
            row,
            changed: false,
        };
        self.hot.held.accounts.insert(*holder, held);
        Ok(row)
    }

    pub(super) fn change_account(
        &mut self,
        holder: &Holder,
        change: impl FnOnce(&mut AccountRow),
    ) -> Result<(), StoreError> {
        let mut row = self.account(holder)?;
        change(&mut row);
        let held = HeldAccount { row, changed: true };
        self.hot.held.accounts.insert(*holder, held);
        Ok(())
    }

    /// When a request was charged, however long ago.
    pub(super) fn charged_at(&mut self, request: &Request) -> Result<Option<u64>, StoreError> {
        if let Some(when) = self.hot.held.requests.get(request) {
            return Ok(Some(*when));
        }
        self.logged.quota(request, when)
    }

    pub(super) fn remember_request(&mut self, request: Request, now: Timestamp) {
        self.hot.held.requests.insert(request, now.as_micros());
    }

    /// Forgets what accounts may carry over: who knows what of it was, in the time that is lost?
    pub(super) fn drop_all_claims(&mut self) -> Result<(), StoreError> {
        self.logged.change_all_quota(|_, row| {
            if row.len() <= LEVELS {
                return Ok(None);
            }
            let row = AccountRow::decode(row)?;
            Ok(Some(AccountRow { claim: None, ..row }.encode()))
        })
    }

    /// Has the rows folded that can be among the next `limit` ones behind an account.
    pub(in crate::store::redb) fn fold_accounts(
        &mut self,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<(), StoreError> {
        let after = after.as_ref().map(behind);
        let after = after.as_ref().map(Request::as_slice);
        self.logged.fold_behind(Section::Quota, after, limit)
    }

    /// Has what was held back written.
    pub(super) fn write_accounts(&mut self, held: Held) -> Result<(), StoreError> {
        for (holder, held) in held.accounts {
            if held.changed {
                self.logged.set_quota(stored(&holder), &held.row.encode())?;
            }
        }
        for (request, when) in held.requests {
            self.logged.set_quota(&request, &when.to_be_bytes())?;
        }
        Ok(())
    }

    /// Forgets rows that mean nothing any more, of those that didn't when somebody looked.
    pub(super) fn forget_spent_accounts(
        &mut self,
        at: Timestamp,
        keys: &[Vec<u8>],
    ) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        for key in keys {
            // What is held back replaces what is in the table, and is too new to be spent.
            if self.hot.held.has_changed(key) {
                continue;
            }
            let spent = self.logged.quota(key, |row| is_spent(row, at))?;
            if spent == Some(true) {
                self.logged.remove_quota(key)?;
                self.hot.held.drop_read(key);
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }
}

impl Held {
    fn has_changed(&self, key: &[u8]) -> bool {
        if let Ok(request) = <&Request>::try_from(key) {
            return self.requests.contains_key(request);
        }
        let held = holder_of(key).and_then(|holder| self.accounts.get(&holder));
        held.is_some_and(|held| held.changed)
    }

    /// Has a row read again that wasn't changed.
    fn drop_read(&mut self, key: &[u8]) {
        if let Some(holder) = holder_of(key) {
            self.accounts.remove(&holder);
        }
    }
}

/// The holder with a key in the table; `None` of a request.
fn holder_of(key: &[u8]) -> Option<Holder> {
    let mut holder = [0; 33];
    holder.get_mut(..key.len())?.copy_from_slice(key);
    Some(holder)
}

/// Old requests of an account, those of a few that lie behind a new one, mostly in the same page.
pub(super) fn spent_behind(
    quota: &impl ReadableTable<&'static [u8], &'static [u8]>,
    request: &Request,
    row: &[u8],
) -> Result<Vec<Request>, StoreError> {
    let now = Timestamp::from_micros(when(row)?);
    let Some(account) = request.first_chunk().copied().map(AccountKey::new) else {
        return Ok(Vec::new());
    };
    let last = behind(&account);
    let behind = (
        Bound::Excluded(request.as_slice()),
        Bound::Included(last.as_slice()),
    );
    let mut old = Vec::new();
    for row in quota.range::<&[u8]>(behind)?.take(SWEPT) {
        let (key, row) = row?;
        if let Ok(key) = key.value().try_into()
            && is_spent(row.value(), now)?
        {
            old.push(key);
        }
    }
    Ok(old)
}

/// Those of the next `limit` rows that mean nothing any more, and the key of the last one looked at.
pub(super) fn spent_accounts(
    read: &ReadTransaction,
    at: Timestamp,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<(Vec<SweepKey>, Option<SweepKey>), StoreError> {
    let table = read.open_table(QUOTA).map_err(store_error)?;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let (mut spent, mut last) = (Vec::new(), None);
    for row in table.range::<&[u8]>((from, Bound::Unbounded))?.take(limit) {
        let (key, row) = row?;
        if is_spent(row.value(), at)? {
            spent.push(key.value().to_vec());
        }
        last = Some(key);
    }
    Ok((spent, last.map(|key| key.value().to_vec())))
}

/// Those of the next accounts that have a claim of an epoch before `oldest`, and the last account looked at, after `limit` rows.
pub(super) fn claims_before(
    read: &ReadTransaction,
    oldest: u64,
    after: Option<AccountKey>,
    limit: usize,
) -> Result<(Vec<AccountKey>, Option<AccountKey>), StoreError> {
    let table = read.open_table(QUOTA).map_err(store_error)?;
    let after = after.as_ref().map(behind);
    let after = after.as_ref().map(Request::as_slice);
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let (mut old, mut last) = (Vec::new(), None);
    for row in table.range::<&[u8]>((from, Bound::Unbounded))?.take(limit) {
        let (key, row) = row?;
        let Some(account) = key.value().first_chunk().copied().map(AccountKey::new) else {
            continue;
        };
        last = Some(account);
        if key.value().len() == 32
            && AccountRow::decode(row.value())?
                .claim
                .is_some_and(|claim| claim.epoch.get() < oldest)
        {
            old.push(account);
        }
    }
    Ok((old, last))
}
