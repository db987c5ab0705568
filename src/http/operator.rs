//! What operators see: whether it lives, whether it can work, what it did; and publishing by hand.

use std::{
    fmt::Display,
    format,
    string::{String, ToString},
    sync::{Arc, atomic::Ordering},
    time::Duration,
    vec::Vec,
};

use axum::{
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Service;
use crate::{
    snapshot::Kind,
    store::{Pace, Publication, PublishError, Store, StoreError},
};

/// The longest that the store may take to say how it is.
const CHECK: Duration = Duration::from_secs(5);

/// Hours that the ledger may be behind.
const LATE: u32 = 2;

/// What a publication has written.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct PublicationReport {
    /// The manifest's place in the chain.
    pub sequence: u64,
    /// Members in the set.
    pub members: u64,
    /// Bytes of the base.
    pub bytes: u64,
    /// Members newly left out because another one's tag is the same.
    pub collisions: u64,
    /// The segments that were written.
    pub written: Vec<WrittenSegment>,
}

/// One segment that a publication has written.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct WrittenSegment {
    /// `base` or `delta`.
    pub kind: String,
    /// Which set a delta changes; 0 for a base.
    pub from: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Tags that it adds.
    pub adds: u64,
    /// Tags that it deletes.
    pub deletes: u64,
}

impl From<&Publication> for PublicationReport {
    fn from(publication: &Publication) -> Self {
        let written = publication.written.iter().map(|entry| WrittenSegment {
            kind: String::from(match entry.kind {
                Kind::Base => "base",
                Kind::Delta => "delta",
            }),
            from: entry.from,
            bytes: entry.size,
            adds: entry.count,
            deletes: entry.deletes,
        });
        Self {
            sequence: publication.manifest.claims().sequence,
            members: publication.manifest.claims().members(),
            bytes: publication.manifest.base().size,
            collisions: publication.collisions,
            written: written.collect(),
        }
    }
}

/// The process answers, and nothing has happened that only a new one can repair.
pub(super) async fn health<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    match check(&service).await {
        Err(error @ StoreError::Closed) => unavailable(&error),
        _ => "ok\n".into_response(),
    }
}

/// Requests can be answered: the store works, something is published, and nobody has asked us to stop.
pub(super) async fn ready<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    let published = service.published();
    let epoch = published.map(|published| published.manifest.claims().epoch);
    let missing = if service.stopping.load(Ordering::Relaxed) {
        Some(String::from("stopping"))
    } else if epoch.is_none() {
        Some(String::from("nothing is published yet"))
    } else if epoch != Some(service.live().epochs.current().epoch()) {
        // Clients would ask for evaluations in an epoch that is over.
        Some(String::from("nothing is published in this epoch yet"))
    } else {
        match check(&service).await {
            Ok(behind) if behind >= LATE => {
                Some(format!("the ledger is {behind} hours behind: see the log"))
            }
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        }
    };
    match missing {
        None => "ready\n".into_response(),
        Some(missing) => unavailable(&missing),
    }
}

fn unavailable(why: &impl Display) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

/// A disk that hangs must not hang the threads that serve, nor whoever asks.
///
/// Returns how many hours the ledger is behind.
async fn check<S: Store>(service: &Arc<Service<S>>) -> Result<u32, StoreError> {
    let service = Arc::clone(service);
    let runtime = tokio::runtime::Handle::current();
    let checked = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            service.quota.store().check().await?;
            service.ledger_behind().await
        })
    });
    match tokio::time::timeout(CHECK, checked).await {
        Ok(checked) => checked.unwrap_or(Err(StoreError::Closed)),
        Err(_) => Err(StoreError::Io(String::from("no answer in time"))),
    }
}

pub(super) async fn metrics<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    let text = service.observer.render(service.compute.occupied());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

pub(super) async fn plan<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    match service.plan().await {
        Ok(plan) => json(
            StatusCode::OK,
            &serde_json::json!({ "plan": plan.to_string() }),
        ),
        Err(error) => failed(&error),
    }
}

pub(super) async fn publish<S: Store>(
    State(service): State<Arc<Service<S>>>,
    RawQuery(query): RawQuery,
) -> Response {
    let pace = match query.as_deref() {
        Some("now") => Pace::Now,
        _ => Pace::OncePerSlot,
    };
    match service.publish(pace).await {
        Ok(publication) => json(StatusCode::OK, &PublicationReport::from(&*publication)),
        Err(PublishError::Slot(taken)) => {
            let wait = taken.next.saturating_since((service.clock)()).as_secs() + 1;
            let report = serde_json::json!({ "error": taken.to_string(), "retry_after": wait });
            json(StatusCode::CONFLICT, &report)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &PublishError) -> Response {
    tracing::error!(%error, "publishing failed");
    let report = serde_json::json!({ "error": error.to_string() });
    json(StatusCode::INTERNAL_SERVER_ERROR, &report)
}

pub(super) fn json(status: StatusCode, report: &impl serde::Serialize) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    match serde_json::to_string(report) {
        Ok(report) => (status, content_type, report).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
