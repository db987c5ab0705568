//! The ledger, on the operators' listener.
//!
//! `GET /ledger?from=INDEX&last=COUNT` has an [export](ExportHeader): whose ledger it is, and the entries from an index on, the last so
//! many of them, up to the newest one that there is when it begins. `POST /ledger/shred` with `{ "month": "2026-10" }` destroys the key of a month.

use std::{
    string::{String, ToString},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::channel::{Channel, Sender};
use serde::{Deserialize, Serialize};

use super::{Service, operator::json, seal::SealError};
use crate::{
    server::ledger::{ExportHeader, Month},
    store::{Store, StoreError},
    timestamp::Timestamp,
};

/// Entries that are read at once.
const PAGE: usize = 64;
/// Pieces that wait for a reader who is slow.
const WAITING: usize = 4;

/// What became of the key of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Shredded {
    /// Which month, as `2026-10`.
    pub month: String,
    /// Whether there was a key; `false` if it was destroyed before, or nothing was ever written down in that month.
    pub destroyed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    month: String,
}

/// A key that isn't destroyed.
#[derive(Debug, thiserror::Error)]
enum Kept {
    #[error("{0} isn't over: what happens in it is still written down under its key")]
    NotOver(Month),
    #[error("hours of {0} aren't sealed yet: what happened in them is written down under its key")]
    Open(Month),
    #[error("an incident that isn't closed is about {0}: its report needs the key")]
    Evidence(Month),
    #[error(transparent)]
    Failed(#[from] SealError),
}

impl From<StoreError> for Kept {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

pub(super) async fn export<S: Store>(
    State(service): State<Arc<Service<S>>>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let Some((from, last)) = range(&query) else {
        return refuse(StatusCode::BAD_REQUEST, "from and last are numbers");
    };
    let end = match service.quota.store().ledger_head().await {
        Ok(head) => head.next(),
        Err(error) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    };
    let from = from.max(end.saturating_sub(last));
    let (sender, channel) = Channel::<Bytes, StoreError>::new(WAITING);
    tokio::spawn(send(service, sender, from, end));
    let octets = [(header::CONTENT_TYPE, "application/octet-stream")];
    (octets, Body::new(channel)).into_response()
}

/// From which entry on, and how many at most.
fn range(query: &str) -> Option<(u64, u64)> {
    let (mut from, mut last) = (0, u64::MAX);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("from", number) => from = number.parse().ok()?,
            ("last", number) => last = number.parse().ok()?,
            _ => return None,
        }
    }
    Some((from, last))
}

/// Ends when everything is sent, or nobody reads it any more.
async fn send<S: Store>(
    service: Arc<Service<S>>,
    mut sender: Sender<Bytes, StoreError>,
    from: u64,
    end: u64,
) {
    let header = ExportHeader {
        service: service.live().publisher.terms().service.hash(),
    };
    if sender.send_data(header.encode().into()).await.is_err() {
        return;
    }
    let mut next = from;
    while next < end {
        let page = match service.quota.store().ledger(next, PAGE).await {
            Ok(page) => page,
            // The reader sees that it isn't whole.
            Err(error) => return sender.abort(error),
        };
        let Some(last) = page.last() else {
            return;
        };
        next = last.index().saturating_add(1);
        for entry in page.iter().filter(|entry| entry.index() < end) {
            if sender.send_data(entry.encode().into()).await.is_err() {
                return;
            }
        }
    }
}

pub(super) async fn shred<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let month: Month = match order.month.parse() {
        Ok(month) => month,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &std::format!("{error}")),
    };
    let runtime = tokio::runtime::Handle::current();
    // Keys are files.
    let shredding = tokio::task::spawn_blocking(move || {
        runtime.block_on(service.shred(month, (service.clock)()))
    });
    let shredded = shredding.await;
    match shredded.unwrap_or_else(|_| Err(StoreError::Closed.into())) {
        Ok(destroyed) => {
            let month = order.month;
            json(StatusCode::OK, &Shredded { month, destroyed })
        }
        Err(error @ Kept::Failed(_)) => {
            tracing::error!(%error, "the ledger's key of a month isn't destroyed");
            refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        }
        Err(error) => refuse(StatusCode::CONFLICT, &error.to_string()),
    }
}

impl<S: Store> Service<S> {
    /// Destroys the key of a month that is over, and returns whether there was one.
    async fn shred(&self, month: Month, at: Timestamp) -> Result<bool, Kept> {
        if month >= Month::of(at) {
            return Err(Kept::NotOver(month));
        }
        if self.is_evidence(month, at).await? {
            return Err(Kept::Evidence(month));
        }
        let open = self.quota.store().oldest_open().await?;
        if open.is_some_and(|open| Month::of(open.begin()) <= month) {
            return Err(Kept::Open(month));
        }
        let kept = self.ledger_keys.months().map_err(SealError::Key)?;
        // Nothing is said of a month that nothing was written down in.
        if !kept.contains(&month) {
            return Ok(false);
        }
        self.destroy_key(month, at).await?;
        tracing::info!(%month, "destroyed the ledger's key of a month");
        Ok(true)
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    json(status, &serde_json::json!({ "error": why }))
}
