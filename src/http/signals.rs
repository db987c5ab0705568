//! What detection has found, on the operators' listener.
//!
//! `GET /signals?before=NUMBER&limit=COUNT` has signals newest first, those before a number, up to 1,000. Names of accounts and
//! addresses aren't known here: who is meant has the first bytes of the pseudonym, by which two signals about the same one can
//! be told, and is suspended by the signal's number.

use std::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};

use super::{Service, operator::json};
use crate::{
    server::{
        detect::Signal,
        incident::Terms,
        quota::{Hour, Suspect},
    },
    store::{SignalStore, Store, StoreError},
};

/// Most signals in one answer.
const MOST: usize = 1_000;

/// A signal, in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignalReport {
    /// Its number.
    pub number: u64,
    /// The begin of the hour that raised it, in seconds since 1970.
    pub hour: u64,
    /// Which kind.
    pub kind: String,
    /// Whom it points at: `account` or `network`, and the begin of the pseudonym.
    pub suspect: Option<String>,
    /// What was seen.
    pub seen: String,
    /// What that means.
    pub meaning: String,
    /// What to do.
    pub advice: String,
}

impl SignalReport {
    fn new(number: u64, signal: &Signal) -> Self {
        let kind = signal.kind();
        Self {
            number,
            hour: signal.hour.begin().as_micros() / 1_000_000,
            kind: kind.name().into(),
            suspect: signal.suspect().map(|suspect| name(&suspect)),
            seen: signal.to_string(),
            meaning: kind.meaning().into(),
            advice: kind.advice().into(),
        }
    }
}

fn name(suspect: &Suspect) -> String {
    let begin = |key: &[u8; 32]| {
        let [begin, ..] = key.as_chunks::<4>().0 else {
            return String::new();
        };
        std::format!("{:08x}", u32::from_be_bytes(*begin))
    };
    match suspect {
        Suspect::Account(account) => std::format!("account {}", begin(account.as_bytes())),
        Suspect::Network(network) => std::format!("network {}", begin(network.as_bytes())),
        Suspect::YoungAccounts => "new accounts".into(),
    }
}

impl<S> Service<S> {
    /// Counts and logs signals that the store has just kept.
    pub fn signalled<'a>(&self, signals: impl IntoIterator<Item = &'a Signal>) {
        for signal in signals {
            let kind = signal.kind();
            self.observer.signalled(kind);
            tracing::warn!(kind = kind.name(), "signal");
        }
    }
}

/// The signal of a number.
pub(super) async fn find<S: SignalStore>(
    store: &S,
    number: u64,
) -> Result<Option<Signal>, StoreError> {
    let newest = store.signals(number.checked_add(1), 1).await?;
    let found = newest.into_iter().find(|(of, _)| *of == number);
    Ok(found.map(|(_, signal)| signal))
}

/// Adds whom the signals of an incident's window point at to its suspects.
pub(super) async fn suspect<S: SignalStore>(
    store: &S,
    terms: &mut Terms,
) -> Result<(), StoreError> {
    let first = Hour::of(terms.since);
    let last = terms.until.map_or(Hour::new(u32::MAX), Hour::of);
    let mut before = None;
    loop {
        let page = store.signals(before, MOST).await?;
        for (_, signal) in &page {
            if (first..=last).contains(&signal.hour) {
                terms.suspects.add(signal);
            }
        }
        before = page.last().map(|(number, _)| *number);
        if page.len() < MOST {
            return Ok(());
        }
    }
}

pub(super) async fn all<S: Store>(
    State(service): State<Arc<Service<S>>>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(of, _)| *of == name);
        values.next().map(|(_, value)| value.parse::<u64>())
    };
    let refuse = |status, why: &str| json(status, &serde_json::json!({ "error": why }));
    let (Ok(before), Ok(limit)) = (value("before").transpose(), value("limit").transpose()) else {
        return refuse(StatusCode::BAD_REQUEST, "before and limit are numbers");
    };
    let limit = limit.map_or(MOST, |limit| {
        usize::try_from(limit).unwrap_or(MOST).min(MOST)
    });
    match service.quota.store().signals(before, limit).await {
        Ok(signals) => {
            let reports = signals.iter();
            let reports = reports.map(|(number, signal)| SignalReport::new(*number, signal));
            json(StatusCode::OK, &reports.collect::<Vec<_>>())
        }
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}
