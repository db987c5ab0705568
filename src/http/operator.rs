//! What operators see: whether it lives, whether it can work, what it did; and publishing by hand.

use std::{
    fmt::Display,
    format,
    string::{String, ToString},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Service;
use crate::store::{Store, StoreError};

/// The longest that the store may take to say how it is.
const CHECK: Duration = Duration::from_secs(5);

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
    } else if epoch != Some(service.evaluator.epoch()) {
        // Clients would ask for evaluations in an epoch that is over.
        Some(String::from("nothing is published in this epoch yet"))
    } else {
        check(&service).await.err().map(|error| error.to_string())
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
async fn check<S: Store>(service: &Arc<Service<S>>) -> Result<(), StoreError> {
    let service = Arc::clone(service);
    let runtime = tokio::runtime::Handle::current();
    let checked =
        tokio::task::spawn_blocking(move || runtime.block_on(service.quota.store().check()));
    match tokio::time::timeout(CHECK, checked).await {
        Ok(checked) => checked.unwrap_or(Err(StoreError::Closed)),
        Err(_) => Err(StoreError::Io(String::from("no answer in time"))),
    }
}

pub(super) async fn metrics<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    let text = service.observer.render(service.compute.occupied());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

pub(super) async fn publish<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    match service.publish().await {
        Ok(publication) => {
            if let Some(error) = publication.litter {
                tracing::warn!(%error, "an old segment can't be removed");
            }
            let base = publication.manifest.base();
            let report = serde_json::json!({
                "sequence": publication.manifest.claims().sequence,
                "members": base.count,
                "bytes": base.size,
                "collisions": publication.collisions,
            });
            json(StatusCode::OK, &report)
        }
        Err(error) => {
            tracing::error!(%error, "publishing failed");
            let report = serde_json::json!({ "error": error.to_string() });
            json(StatusCode::INTERNAL_SERVER_ERROR, &report)
        }
    }
}

fn json(status: StatusCode, report: &serde_json::Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, report.to_string()).into_response()
}
