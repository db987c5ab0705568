//! What a store knows about an incident: how much was evaluated, and who could be found.
//!
//! Reads in pages, so that neither an army of suspects nor a hundred million members have to fit into memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    string::ToString,
    vec::Vec,
};

use super::{LedgerKeys, Store, StoreError};
use crate::{
    oprf::Epoch,
    server::{
        directory::Window,
        incident::{Counted, Evaluations, Incident, Notice, RegionCount, Suspects},
        ledger::{Body, Head, Month, Pseudonym, Topic},
        number_space::mobile_numbers,
        quota::{AccountKey, AccountKind, Activity, Hour},
    },
    timestamp::Timestamp,
};

/// Rows looked at in one step.
const PAGE: usize = 4_096;

/// Entries of the ledger looked at in one step.
const ENTRIES: usize = 16;
/// How often the sums are taken again because an hour was sealed meanwhile. After that some of them may have been counted twice.
const ATTEMPTS: usize = 4;

/// Sums that can't be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindingsError {
    /// The store can't answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key of a month can't be read, though it isn't destroyed.
    #[error("the ledger's key of {month} can't be read: {error}")]
    Key {
        /// Which month.
        month: Month,
        /// Why.
        error: io::Error,
    },
}

/// How much the suspects of an incident had evaluated, in all hours that the harvest touches, and the newest entry of the ledger
/// that says so.
///
/// Where it isn't known who among the accounts it was, more are counted, never fewer: networks aren't in the ledger, so for them
/// it is everybody. If the key of a month is gone, nobody can say what named accounts did in it, and the sums aren't complete.
///
/// # Errors
///
/// See [`FindingsError`].
pub async fn evaluations<S: Store>(
    store: &S,
    keys: &dyn LedgerKeys,
    incident: &Incident,
    now: Timestamp,
) -> Result<(Evaluations, Head), FindingsError> {
    let harvest = incident.harvest(now);
    let (first, last) = (Hour::of(harvest.since), Hour::of(harvest.until));
    let lost = store.lost().await?;
    let lost =
        lost.is_some_and(|lost| Hour::of(lost.since) <= last && Hour::of(lost.until) >= first);
    let kept = store.kept_since().await? <= first && !lost;
    let mut attempts = 0;
    loop {
        let head = store.ledger_head().await?;
        let mut sum = Sum::new(&incident.terms().suspects, keys);
        // Open hours first: what is sealed in between is counted twice, never missed.
        sum.open_hours(store, first, last).await?;
        sum.sealed_hours(store, first, last).await?;
        attempts += 1;
        if attempts == ATTEMPTS || store.ledger_head().await? == head {
            return Ok((sum.end(kept), head));
        }
    }
}

struct Sum<'a> {
    keys: &'a dyn LedgerKeys,
    named: &'a [AccountKey],
    /// Which of them had done something.
    seen: BTreeSet<AccountKey>,
    counted: Counted,
    elements: u64,
    requests: u64,
    /// The month whose pseudonyms are at hand: those of named accounts.
    month: Option<(Month, BTreeMap<Pseudonym, AccountKey>)>,
    complete: bool,
}

impl<'a> Sum<'a> {
    fn new(suspects: &'a Suspects, keys: &'a dyn LedgerKeys) -> Self {
        Self {
            keys,
            named: &suspects.accounts,
            seen: BTreeSet::new(),
            counted: if suspects.unknown || !suspects.networks.is_empty() {
                Counted::AllAccounts
            } else if suspects.new_accounts {
                Counted::NewAccounts
            } else {
                Counted::NamedAccounts
            },
            elements: 0,
            requests: 0,
            month: None,
            complete: true,
        }
    }

    async fn open_hours<S: Store>(
        &mut self,
        store: &S,
        first: Hour,
        last: Hour,
    ) -> Result<(), StoreError> {
        let Some(oldest) = store.oldest_open().await? else {
            return Ok(());
        };
        let named: BTreeSet<AccountKey> = self.named.iter().copied().collect();
        let mut hour = first.max(oldest);
        while hour <= last {
            let mut after = None;
            loop {
                let page = store.open_activity(hour, after, PAGE).await?;
                for (account, activity) in &page {
                    self.add(named.get(account).copied(), activity);
                }
                after = page.last().map(|(account, _)| *account);
                if page.len() < PAGE {
                    break;
                }
            }
            hour = Hour::new(hour.get().saturating_add(1));
        }
        Ok(())
    }

    async fn sealed_hours<S: Store>(
        &mut self,
        store: &S,
        first: Hour,
        last: Hour,
    ) -> Result<(), FindingsError> {
        let last = Topic::Charges(last);
        let mut from = (Topic::Charges(first), 0);
        loop {
            let page = store.ledger_about(from, last, ENTRIES).await?;
            for entry in &page {
                let body = entry.body();
                let body = body.map_err(|error| StoreError::Damaged(error.to_string()))?;
                if let Body::Charges { hour, rows } = body {
                    self.sealed(hour, &rows)?;
                }
            }
            match page
                .last()
                .and_then(|entry| Some((entry.topic()?, entry.index() + 1)))
            {
                Some(next) if page.len() == ENTRIES => from = next,
                _ => return Ok(()),
            }
        }
    }

    fn sealed(&mut self, hour: Hour, rows: &[(Pseudonym, Activity)]) -> Result<(), FindingsError> {
        let month = Month::of(hour.begin());
        if self.month.as_ref().is_none_or(|(known, _)| *known != month) {
            let kept = self.keys.kept(month);
            let key = kept.map_err(|error| FindingsError::Key { month, error })?;
            self.complete &= key.is_some() || self.named.is_empty();
            let named = key.iter().flat_map(|key| {
                let named = self.named.iter();
                named.map(|account| (key.account(account), *account))
            });
            self.month = Some((month, named.collect()));
        }
        for (pseudonym, activity) in rows {
            let named = self.month.as_ref();
            let named = named.and_then(|(_, named)| named.get(pseudonym)).copied();
            self.add(named, activity);
        }
        Ok(())
    }

    fn add(&mut self, named: Option<AccountKey>, activity: &Activity) {
        self.seen.extend(named);
        let counts = match self.counted {
            Counted::AllAccounts => activity.kind != AccountKind::Registrar,
            Counted::NewAccounts => activity.kind == AccountKind::Young,
            _ => false,
        };
        if named.is_some() || counts {
            self.elements = self.elements.saturating_add(activity.elements);
            self.requests = self.requests.saturating_add(u64::from(activity.requests));
        }
    }

    fn end(self, kept: bool) -> Evaluations {
        let named: BTreeSet<&AccountKey> = self.named.iter().collect();
        Evaluations {
            elements: self.elements,
            complete: kept && self.complete,
            requests: self.requests,
            counted: self.counted,
            silent_accounts: named.len().saturating_sub(self.seen.len()) as u64,
        }
    }
}

/// How many members of an epoch could be found in a window, by region; those without one last. Canaries aren't people.
///
/// # Errors
///
/// See [`StoreError`].
pub async fn exposed_by_region<S: Store>(
    store: &S,
    epoch: Epoch,
    window: Window,
) -> Result<Vec<RegionCount>, StoreError> {
    let canaries = store.canaries().await?;
    let mut counts = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.members_between(epoch, window, after, PAGE).await?;
        for one in canaries.without(page.affected) {
            *counts.entry(one.region).or_insert(0) += 1;
        }
        after = page.last;
        if after.is_none() {
            break;
        }
    }
    let mut regions: Vec<RegionCount> = counts
        .into_iter()
        .map(|(region, members)| {
            let region = region.map(|region| region.to_string());
            let numbers = region.as_deref().and_then(mobile_numbers);
            RegionCount {
                region,
                members,
                numbers,
            }
        })
        .collect();
    regions.sort_by(|a, b| (a.region.is_none(), &a.region).cmp(&(b.region.is_none(), &b.region)));
    Ok(regions)
}

/// Puts everybody on the list of an incident who could be found in a window, but for canaries: each handle once. Returns how many members have no
/// handle to be told by.
///
/// Begun again after it broke off, it makes the same list.
///
/// # Errors
///
/// See [`StoreError`].
pub async fn enlist_exposed<S: Store>(
    store: &S,
    incident: &Incident,
    epoch: Epoch,
    window: Window,
) -> Result<u64, StoreError> {
    let canaries = store.canaries().await?;
    let mut nameless = 0;
    let mut after = None;
    loop {
        let page = store.members_between(epoch, window, after, PAGE).await?;
        let mut notices: Vec<Notice> = Vec::new();
        for member in canaries.without(page.affected) {
            let labels = member.labels.into_iter();
            let mut labels = labels
                .filter(|label| !label.as_bytes().is_empty())
                .peekable();
            if labels.peek().is_none() {
                nameless += 1;
            }
            notices.extend(labels.map(|label| incident.notice(label)));
        }
        if !notices.is_empty() {
            store.enlist_notices(incident.id(), notices).await?;
        }
        after = page.last;
        if after.is_none() {
            return Ok(nameless);
        }
    }
}
