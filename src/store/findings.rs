//! What a store knows about an incident: how much was evaluated, and who could be found.
//!
//! Reads in pages, so that neither an army of suspects nor a hundred million members have to fit into memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    string::ToString,
    vec::Vec,
};

use super::{Store, StoreError};
use crate::{
    oprf::Epoch,
    server::{
        directory::Window,
        incident::{Counted, Evaluations, Incident, Notice, RegionCount, Suspects},
        number_space::mobile_numbers,
        quota::{AccountKey, AccountKind, Hour},
    },
    timestamp::Timestamp,
};

/// Rows looked at in one step.
const PAGE: usize = 4_096;

/// How much the suspects of an incident had evaluated, in all hours that the harvest touches.
///
/// Where it isn't known who among the accounts it was, more are counted, never fewer: networks aren't in the ledger, so for them
/// it is everybody.
///
/// # Errors
///
/// See [`StoreError`].
pub async fn evaluations<S: Store>(
    store: &S,
    incident: &Incident,
    now: Timestamp,
) -> Result<Evaluations, StoreError> {
    let suspects = &incident.terms().suspects;
    let harvest = incident.harvest(now);
    let mut sum = Sum::new(suspects);
    let last = Hour::of(harvest.until);
    let mut hour = Hour::of(harvest.since);
    if let Some(oldest) = store.oldest_open().await? {
        hour = hour.max(oldest);
        while hour <= last {
            let mut after = None;
            loop {
                let page = store.open_activity(hour, after, PAGE).await?;
                for (account, activity) in &page {
                    sum.add(account, activity.kind, activity.elements, activity.requests);
                }
                after = page.last().map(|(account, _)| *account);
                if page.len() < PAGE {
                    break;
                }
            }
            hour = Hour::new(hour.get().saturating_add(1));
        }
    }
    let oldest = Hour::of(incident.frozen_at(now)).oldest_kept();
    let lost = store.lost().await?.is_some_and(|lost| {
        Hour::of(lost.since) <= last && Hour::of(lost.until) >= Hour::of(harvest.since)
    });
    Ok(sum.end(Hour::of(harvest.since) >= oldest && !lost))
}

struct Sum {
    named: BTreeSet<AccountKey>,
    seen: BTreeSet<AccountKey>,
    counted: Counted,
    elements: u64,
    requests: u64,
}

impl Sum {
    fn new(suspects: &Suspects) -> Self {
        Self {
            named: suspects.accounts.iter().copied().collect(),
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
        }
    }

    fn add(&mut self, account: &AccountKey, kind: AccountKind, elements: u64, requests: u32) {
        let named = self.named.contains(account);
        if named {
            self.seen.insert(*account);
        }
        let counts = match self.counted {
            Counted::AllAccounts => kind != AccountKind::Registrar,
            Counted::NewAccounts => kind == AccountKind::Young,
            _ => false,
        };
        if named || counts {
            self.elements = self.elements.saturating_add(elements);
            self.requests = self.requests.saturating_add(u64::from(requests));
        }
    }

    fn end(self, complete: bool) -> Evaluations {
        Evaluations {
            elements: self.elements,
            complete,
            requests: self.requests,
            counted: self.counted,
            silent_accounts: self.named.len().saturating_sub(self.seen.len()) as u64,
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
