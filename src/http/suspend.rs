//! Suspending accounts and networks: the operator's way to stop somebody at once.
//!
//! `POST /suspend` and `POST /lift` on the operators' listener, with one of
//!
//! ```json
//! { "account": "user 17", "hours": 24 }
//! { "network": "203.0.113.0/24", "hours": 24 }
//! { "new_accounts": true, "hours": 24 }
//! ```
//!
//! Without `hours` it lasts until it is lifted. A network is an IPv4 /24 or an IPv6 /64, /48 or /32. Neither name nor
//! address is kept, only the pseudonym that the quota knows.

use std::{string::String, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Network, Service, credential::pseudonym};
use crate::{
    server::quota::Suspect,
    store::{Store, StoreError},
    timestamp::Timestamp,
};

/// The document of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    account: Option<String>,
    network: Option<Network>,
    #[serde(default)]
    new_accounts: bool,
    hours: Option<u32>,
}

impl Order {
    fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| std::format!("{error}"))
    }

    /// Whom it is about, by the pseudonym.
    fn suspect<S: Store>(&self, service: &Service<S>) -> Result<Suspect, &'static str> {
        match (&self.account, &self.network, self.new_accounts) {
            (Some(account), None, false) => {
                Ok(Suspect::Account(pseudonym(&service.pepper, account)))
            }
            (None, Some(network), false) => network
                .suspect(&service.pepper)
                .map(Suspect::Network)
                .ok_or("a network is an IPv4 /24 or an IPv6 /64, /48 or /32"),
            (None, None, true) => Ok(Suspect::YoungAccounts),
            _ => Err("give one of account, network, new_accounts"),
        }
    }
}

pub(super) async fn suspend<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    let now = (service.clock)();
    carry_out(&service, &body, |order| {
        Some(order.hours.map_or(Timestamp::MAX, |hours| {
            now.saturating_add(Duration::from_secs(u64::from(hours) * 3_600))
        }))
    })
    .await
}

pub(super) async fn lift<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    carry_out(&service, &body, |_| None).await
}

async fn carry_out<S: Store>(
    service: &Service<S>,
    body: &[u8],
    until: impl FnOnce(&Order) -> Option<Timestamp>,
) -> Response {
    let order = match Order::read(body) {
        Ok(order) => order,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
    };
    let suspect = match order.suspect(service) {
        Ok(suspect) => suspect,
        Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
    };
    let done: Result<(), StoreError> = service.quota.store().suspend(suspect, until(&order)).await;
    match done {
        Ok(()) => "done\n".into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &std::format!("{error}")),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, std::format!("{why}\n")).into_response()
}
