//! Rows for the charging function that are fast enough for millions of accounts.
//!
//! Accounts and networks are numbered, and their numbers are the first eight bytes of their pseudonyms: a row is a place in a
//! vector. Everything else is as in a store.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    hash::{BuildHasherDefault, Hasher},
};

use blindbook::{
    Timestamp,
    oprf::Epoch,
    server::{
        detect::{DetectRows, NetworkUsual, Watched},
        quota::{
            AccountKey, Activity, Bucket, ChargeRows, Claim, Day, DayRow, Hour, Meter,
            NetworkActivity, NetworkKey, ReplayKey, Suspect,
        },
    },
};

/// How long a charged request is remembered, in microseconds.
const DAY: u64 = 86_400_000_000;

/// Spreads keys that are small numbers.
#[derive(Debug, Default, Clone)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}

/// An account's number and that of a request.
type Asked = HashMap<(u64, u64), Timestamp, BuildHasherDefault<Spread>>;

/// The rows of a service.
#[derive(Debug, Default)]
pub(super) struct Rows {
    latest: Option<Timestamp>,
    /// For each kind of bucket, levels by number; 0 for a bucket without a row.
    levels: Vec<Vec<u64>>,
    /// What was charged in this period of a day, and in the one before.
    charged: [Asked; 2],
    period: u64,
    evaluations: u64,
    /// What accounts and networks did in the last hour in which they asked, by number.
    activity: Vec<Option<(Hour, Activity)>>,
    network_activity: Vec<Option<(Hour, NetworkActivity)>>,
    /// Who asked in the hour that is open, and from which networks.
    open_accounts: Vec<AccountKey>,
    open_networks: Vec<NetworkKey>,
    watched: Vec<Option<Watched>>,
    network_usual: Vec<Option<NetworkUsual>>,
    pub(super) days: BTreeMap<(Meter, Day), DayRow>,
}

fn padded(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (head, _) = bytes.split_at_mut(8);
    head.copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The pseudonym of an account.
pub(super) fn account(number: u64) -> AccountKey {
    AccountKey::new(padded(number))
}

/// The pseudonym of a network.
pub(super) fn network(number: u64) -> NetworkKey {
    NetworkKey::new(padded(number))
}

/// What a request is recognised by.
pub(super) fn digest(number: u64) -> [u8; 32] {
    padded(number)
}

/// The number that a pseudonym was made of.
pub(super) fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())
}

/// The row of a number, if it is one of this hour.
fn of_hour<T: Copy>(rows: &[Option<(Hour, T)>], wanted: Hour, key: &[u8]) -> Option<T> {
    let row = rows.get(number(key) as usize).copied().flatten();
    row.filter(|(hour, _)| *hour == wanted).map(|(_, row)| row)
}

fn put<T: Copy>(rows: &mut Vec<Option<T>>, key: &[u8], row: T) {
    let number = number(key) as usize;
    if rows.len() <= number {
        rows.resize(number + 1, None);
    }
    if let Some(place) = rows.get_mut(number) {
        *place = Some(row);
    }
}

/// What accounts and networks did in an hour.
type HourRows = (
    Vec<(AccountKey, Activity)>,
    Vec<(NetworkKey, NetworkActivity)>,
);

impl Rows {
    /// Closes an hour.
    pub(super) fn close(&mut self, hour: Hour) -> HourRows {
        let accounts = self.open_accounts.drain(..).filter_map(|account| {
            let row = of_hour(&self.activity, hour, account.as_bytes())?;
            Some((account, row))
        });
        let networks = self.open_networks.drain(..).filter_map(|network| {
            let row = of_hour(&self.network_activity, hour, network.as_bytes())?;
            Some((network, row))
        });
        (accounts.collect(), networks.collect())
    }

    /// The kind of a bucket, and its number among those.
    fn place(bucket: &Bucket) -> (usize, usize) {
        let key = bucket.encode();
        let kind = usize::from(key.last().copied().unwrap_or_default());
        (kind, number(&key) as usize)
    }

    fn asked(request: &ReplayKey) -> (u64, u64) {
        let bytes = request.as_bytes();
        let (account, rest) = bytes.split_at(32);
        (number(account), number(rest))
    }
}

impl ChargeRows for Rows {
    type Error = Infallible;

    /// The world closes each hour when it is over.
    fn oldest_open(&mut self) -> Result<Option<Hour>, Infallible> {
        Ok(None)
    }

    fn latest(&mut self) -> Result<Option<Timestamp>, Infallible> {
        Ok(self.latest)
    }

    fn lost_until(&mut self) -> Result<Option<Timestamp>, Infallible> {
        Ok(None)
    }

    fn level(&mut self, bucket: &Bucket) -> Result<Option<Timestamp>, Infallible> {
        let (kind, number) = Self::place(bucket);
        let level = self.levels.get(kind).and_then(|levels| levels.get(number));
        Ok(level
            .filter(|level| **level > 0)
            .map(|level| Timestamp::from_micros(*level)))
    }

    fn charged(
        &mut self,
        request: &ReplayKey,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Infallible> {
        let key = Self::asked(request);
        let then = self.charged.iter().find_map(|period| period.get(&key));
        Ok(then
            .copied()
            .filter(|then| now.as_micros() - then.as_micros() < DAY))
    }

    fn evaluations(&mut self, _: Epoch) -> Result<u64, Infallible> {
        Ok(self.evaluations)
    }

    /// Nobody is suspended here: it is about what the limits do by themselves.
    fn suspended(&mut self, _: &Suspect) -> Result<Option<Timestamp>, Infallible> {
        Ok(None)
    }

    fn day(&mut self, meter: Meter, day: Day) -> Result<Option<DayRow>, Infallible> {
        Ok(self.days.get(&(meter, day)).copied())
    }

    /// The key isn't rotated here.
    fn claim(&mut self, _: &AccountKey) -> Result<Option<Claim>, Infallible> {
        Ok(None)
    }

    fn set_claim(&mut self, _: &AccountKey, _: Claim) -> Result<(), Infallible> {
        Ok(())
    }

    fn activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
    ) -> Result<Option<Activity>, Infallible> {
        Ok(of_hour(&self.activity, hour, account.as_bytes()))
    }

    fn network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
    ) -> Result<Option<NetworkActivity>, Infallible> {
        Ok(of_hour(&self.network_activity, hour, network.as_bytes()))
    }

    fn set_activity(
        &mut self,
        hour: Hour,
        account: &AccountKey,
        row: Activity,
    ) -> Result<(), Infallible> {
        if of_hour(&self.activity, hour, account.as_bytes()).is_none() {
            self.open_accounts.push(*account);
        }
        put(&mut self.activity, account.as_bytes(), (hour, row));
        Ok(())
    }

    fn set_network_activity(
        &mut self,
        hour: Hour,
        network: &NetworkKey,
        row: NetworkActivity,
    ) -> Result<(), Infallible> {
        if of_hour(&self.network_activity, hour, network.as_bytes()).is_none() {
            self.open_networks.push(*network);
        }
        put(&mut self.network_activity, network.as_bytes(), (hour, row));
        Ok(())
    }

    fn set_latest(&mut self, now: Timestamp) -> Result<(), Infallible> {
        self.latest = Some(now);
        Ok(())
    }

    fn set_level(&mut self, bucket: &Bucket, level: Timestamp) -> Result<(), Infallible> {
        let (kind, number) = Self::place(bucket);
        if self.levels.len() <= kind {
            self.levels.resize_with(kind + 1, Vec::new);
        }
        if let Some(levels) = self.levels.get_mut(kind) {
            if levels.len() <= number {
                levels.resize(number + 1, 0);
            }
            if let Some(place) = levels.get_mut(number) {
                *place = level.as_micros();
            }
        }
        Ok(())
    }

    fn set_charged(&mut self, request: &ReplayKey, now: Timestamp) -> Result<(), Infallible> {
        let period = now.as_micros() / DAY;
        if period > self.period {
            let [now, before] = &mut self.charged;
            std::mem::swap(now, before);
            now.clear();
            if period > self.period + 1 {
                before.clear();
            }
            self.period = period;
        }
        let [current, _] = &mut self.charged;
        current.insert(Self::asked(request), now);
        Ok(())
    }

    fn set_evaluations(&mut self, _: Epoch, evaluations: u64) -> Result<(), Infallible> {
        self.evaluations = evaluations;
        Ok(())
    }

    fn set_day(&mut self, meter: Meter, day: Day, row: DayRow) -> Result<(), Infallible> {
        self.days.insert((meter, day), row);
        Ok(())
    }
}

/// Nothing is forgotten here: a row that is too old says nothing anyway.
impl DetectRows for Rows {
    fn watched(&mut self, account: &AccountKey, _: Day) -> Result<Option<Watched>, Infallible> {
        let row = self.watched.get(number(account.as_bytes()) as usize);
        Ok(row.copied().flatten())
    }

    fn network_usual(
        &mut self,
        network: &NetworkKey,
        _: Day,
    ) -> Result<Option<NetworkUsual>, Infallible> {
        let row = self.network_usual.get(number(network.as_bytes()) as usize);
        Ok(row.copied().flatten())
    }

    fn set_watched(
        &mut self,
        account: &AccountKey,
        _: Day,
        row: Watched,
    ) -> Result<(), Infallible> {
        put(&mut self.watched, account.as_bytes(), row);
        Ok(())
    }

    fn set_network_usual(
        &mut self,
        network: &NetworkKey,
        _: Day,
        row: NetworkUsual,
    ) -> Result<(), Infallible> {
        put(&mut self.network_usual, network.as_bytes(), row);
        Ok(())
    }
}
