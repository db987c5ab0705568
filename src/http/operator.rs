//! What operators see: whether it lives, whether it can work, what it did; and publishing by hand.

use std::{
    format,
    string::{String, ToString},
    sync::{Arc, atomic::Ordering},
};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Service;
use crate::store::Store;

/// The process answers.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// Requests can be answered: the store reads, something is published, and nobody has asked us to stop.
pub(super) async fn ready<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    let missing = if service.stopping.load(Ordering::Relaxed) {
        Some(String::from("stopping"))
    } else if service.published().is_none() {
        Some(String::from("nothing is published yet"))
    } else {
        let store = service.quota.store().latest_manifest().await;
        store.err().map(|error| error.to_string())
    };
    match missing {
        None => "ready\n".into_response(),
        Some(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")).into_response(),
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
