//! Sealing an hour that is over: its rows become entries, page by page.
//!
//! ```text
//! rows of accounts --> detection --> charges, ...   4,096 accounts each
//! rows of networks --> detection                    they aren't in the ledger
//!                 \--> signals                      kept, and entries
//!                       totals                      once nothing is left of the hour
//! ```
//!
//! Each page is one step of a store, so that a charge behind it doesn't wait long. Which hours are over is a matter of the clock
//! that sealing is given and not of charges. If somebody asks in an hour that is sealed already (clocks jump), it is sealed once
//! more: whoever reads adds up.

use alloc::{sync::Arc, vec::Vec};

use super::{Body, LedgerKey, LedgerRows, Month, Totals, append, body::MOST_ROWS};
use crate::server::{
    Timestamp,
    detect::{DetectRows, DetectRules, Signal, SignalRows, accounts, networks},
    quota::{AccountKey, Activity, ChargeRows, Hour, NetworkActivity, NetworkKey},
};

/// Networks looked at in one step.
const NETWORKS: usize = MOST_ROWS;

/// The rows of open hours, inside one atomic step of a store.
pub trait SealRows:
    DetectRows + SignalRows + LedgerRows<Error = <Self as ChargeRows>::Error>
{
    /// Removes up to `limit` rows of accounts of an hour, the first ones, and returns them.
    ///
    /// # Errors
    ///
    /// A row can't be read or removed.
    fn take_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, <Self as ChargeRows>::Error>;

    /// Removes up to `limit` rows of networks of an hour, the first ones, and returns them.
    ///
    /// # Errors
    ///
    /// A row can't be read or removed.
    fn take_network_activity(
        &mut self,
        hour: Hour,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, <Self as ChargeRows>::Error>;

    /// The sums so far of an hour that is sealed in part, if one is.
    ///
    /// # Errors
    ///
    /// The row can't be read.
    fn totals(&mut self) -> Result<Option<Totals>, <Self as ChargeRows>::Error>;

    /// Replaces [`Self::totals`]. An hour with sums is [open](ChargeRows::oldest_open), whatever is left of its rows.
    ///
    /// # Errors
    ///
    /// The row can't be written.
    fn set_totals(&mut self, totals: Option<&Totals>) -> Result<(), <Self as ChargeRows>::Error>;
}

/// What hours are sealed with.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// When something is a signal.
    pub rules: DetectRules,
    /// What an account gains in a day.
    pub refill_per_day: u32,
    /// The key of the month that is sealed.
    pub key: Arc<LedgerKey>,
}

/// What a step of sealing did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sealed {
    /// Nothing: no hour that is over has anything left.
    Nothing,
    /// Nothing: the oldest hour is of this month, whose key it wasn't.
    OtherMonth(Month),
    /// A page of the oldest hour. There may be more.
    Page {
        /// Which hour.
        hour: Hour,
        /// What detection had to say.
        signals: Vec<Signal>,
    },
}

/// Keeps a signal, and says so in the ledger; returns its number.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn note_signal<R: SealRows>(
    rows: &mut R,
    signal: &Signal,
    key: &LedgerKey,
    at: Timestamp,
) -> Result<u64, <R as ChargeRows>::Error> {
    let number = rows.keep_signal(signal)?;
    append(rows, at, &Body::signal(*signal, key))?;
    Ok(number)
}

/// Seals up to 4,096 rows of the oldest hour that was over at `at`. To be called until it says [`Sealed::Nothing`].
///
/// To be run by a store inside one atomic step.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn seal<R: SealRows>(
    rows: &mut R,
    sealing: &Sealing,
    at: Timestamp,
) -> Result<Sealed, <R as ChargeRows>::Error> {
    let oldest = rows.oldest_open()?;
    let Some(hour) = oldest.filter(|hour| *hour < Hour::of(at)) else {
        return Ok(Sealed::Nothing);
    };
    let month = Month::of(hour.begin());
    if month != sealing.key.month() {
        return Ok(Sealed::OtherMonth(month));
    }
    let mut totals = Totals::none(hour);
    match rows.totals()? {
        Some(begun) if begun.hour == hour => totals = begun,
        // An older hour has come up in between.
        Some(other) => append(rows, at, &Body::Totals(other))?,
        None => {}
    }
    let rules = &sealing.rules;
    let page = rows.take_activity(hour, MOST_ROWS)?;
    let mut signals = Vec::new();
    if !page.is_empty() {
        signals = accounts(rows, rules, sealing.refill_per_day, hour, &page)?;
        page.iter().for_each(|(_, activity)| totals.add(activity));
        append(rows, at, &Body::charges(hour, &page, &sealing.key))?;
    }
    let mut more = page.len() >= MOST_ROWS;
    if !more {
        let page = rows.take_network_activity(hour, NETWORKS)?;
        signals.extend(networks(rows, rules, hour, &page)?);
        more = page.len() >= NETWORKS;
    }
    for signal in &signals {
        note_signal(rows, signal, &sealing.key, at)?;
    }
    if more {
        rows.set_totals(Some(&totals))?;
    } else {
        append(rows, at, &Body::Totals(totals))?;
        rows.set_totals(None)?;
    }
    Ok(Sealed::Page { hour, signals })
}
