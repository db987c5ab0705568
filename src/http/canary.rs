//! Canaries, on the operators' listener.
//!
//! ```text
//! POST /canary           { "labels": ["..."] }                          before they are enrolled, as any member
//! POST /canary/touched   { "label": "...", "account": "user 17" }       somebody has met one
//! ```
//!
//! The app's backend tells the second one when an account interacts with a handle that is a canary's; `account` may be left out.
//! The name becomes a pseudonym, and neither it nor the label is logged.

use std::{
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use axum::{body::Bytes, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{Service, credential::pseudonym, operator::json, seal::SealError};
use crate::{
    label::Label,
    server::{
        detect::{Signal, Subject},
        ledger::Month,
        quota::Hour,
    },
    store::{Canaries, Store, StoreError},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddOrder {
    labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TouchedOrder {
    label: String,
    account: Option<String>,
}

/// An order that isn't carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the order can't be read")]
    Unreadable,
    #[error("not a label of this service")]
    Label,
    #[error("at most {} canaries", Canaries::MOST)]
    TooMany,
    #[error("no canary has this label")]
    Unknown,
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the ledger can't be written: {0}")]
    Ledger(#[from] SealError),
}

/// A label as long as this service's may be, and not empty: that one is everybody's who has none.
fn label<S: Store>(service: &Service<S>, text: &str) -> Result<Label, Refused> {
    let most = service.live().publisher.terms().label_length.get();
    if text.is_empty() || text.len() > usize::from(most) {
        return Err(Refused::Label);
    }
    Label::new(text.as_bytes()).map_err(|_| Refused::Label)
}

pub(super) async fn add<S: Store>(State(service): State<Arc<Service<S>>>, body: Bytes) -> Response {
    answer(async {
        let order: AddOrder = serde_json::from_slice(&body).map_err(|_| Refused::Unreadable)?;
        let labels = order.labels.iter().map(|text| label(&service, text));
        let labels = labels.collect::<Result<Vec<_>, _>>()?;
        let store = service.quota.store();
        if store.canaries().await?.count() + labels.len() > Canaries::MOST {
            return Err(Refused::TooMany);
        }
        let added = store.add_canaries(labels, (service.clock)()).await?;
        Ok(serde_json::json!({ "added": added }))
    })
    .await
}

pub(super) async fn touched<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async {
        let order: TouchedOrder = serde_json::from_slice(&body).map_err(|_| Refused::Unreadable)?;
        let store = service.quota.store();
        if !store.canaries().await?.has(&label(&service, &order.label)?) {
            return Err(Refused::Unknown);
        }
        let account = order.account.as_deref();
        let account = account.map(|name| pseudonym(&service.pepper, name));
        let now = (service.clock)();
        let signal = Signal {
            hour: Hour::of(now),
            subject: Subject::Canary { account },
        };
        let key = service.ledger_key(Month::of(now), now).await?;
        let number = store.note_signal(signal, key, now).await?;
        service.signalled(&[signal]);
        Ok(serde_json::json!({ "signal": number }))
    })
    .await
}

async fn answer(work: impl Future<Output = Result<serde_json::Value, Refused>>) -> Response {
    let refused = match work.await {
        Ok(document) => return json(StatusCode::OK, &document),
        Err(refused) => refused,
    };
    let status = match &refused {
        Refused::Unreadable | Refused::Label => StatusCode::BAD_REQUEST,
        Refused::Unknown => StatusCode::NOT_FOUND,
        Refused::TooMany => StatusCode::CONFLICT,
        Refused::Store(_) | Refused::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &serde_json::json!({ "error": refused.to_string() }))
}
