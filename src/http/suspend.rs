//! Suspending accounts and networks: the operator's way to stop somebody at once.
//!
//! `POST /suspend` and `POST /lift` on the operators' listener, with one of
//!
//! ```json
//! { "account": "user 17", "hours": 24 }
//! { "network": "203.0.113.0/24", "hours": 24 }
//! { "new_accounts": true, "hours": 24 }
//! { "signal": 12, "hours": 24 }
//! ```
//!
//! Without `hours` it lasts until it is lifted. A network is an IPv4 /24 or an IPv6 /64, /48 or /32. A signal means whom it points at. Neither name nor
//! address is kept, only the pseudonym that the quota knows.

use std::{string::String, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{Network, Service, credential::pseudonym, operator::json, signals};
use crate::{
    server::{
        ledger::{Month, Suspension},
        quota::Suspect,
    },
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
    signal: Option<u64>,
    hours: Option<u32>,
}

impl Order {
    fn read(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| std::format!("{error}"))
    }

    /// Whom it is about, by the pseudonym.
    async fn suspect<S: Store>(&self, service: &Service<S>) -> Result<Suspect, Refused> {
        match (&self.account, &self.network, self.new_accounts, self.signal) {
            (Some(account), None, false, None) => {
                Ok(Suspect::Account(pseudonym(&service.pepper, account)))
            }
            (None, Some(network), false, None) => network
                .suspect(&service.pepper)
                .map(Suspect::Network)
                .ok_or("a network is an IPv4 /24 or an IPv6 /64, /48 or /32")
                .map_err(Refused::Order),
            (None, None, true, None) => Ok(Suspect::YoungAccounts),
            (None, None, false, Some(number)) => {
                let signal = signals::find(service.quota.store(), number).await;
                let signal = signal.map_err(Refused::Store)?;
                signal
                    .ok_or("there is no signal of this number")
                    .and_then(|signal| signal.suspect().ok_or("the signal points at nobody"))
                    .map_err(Refused::Order)
            }
            _ => Err(Refused::Order(
                "give one of account, network, new_accounts, signal",
            )),
        }
    }
}

/// An order that isn't carried out.
enum Refused {
    Order(&'static str),
    Store(StoreError),
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
    let unavailable =
        |error: StoreError| refuse(StatusCode::SERVICE_UNAVAILABLE, &std::format!("{error}"));
    let suspect = match order.suspect(service).await {
        Ok(suspect) => suspect,
        Err(Refused::Order(why)) => return refuse(StatusCode::BAD_REQUEST, why),
        Err(Refused::Store(error)) => return unavailable(error),
    };
    let now = (service.clock)();
    let key = match service.ledger_key(Month::of(now), now).await {
        Ok(key) => key,
        Err(error) => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, &std::format!("{error}"));
        }
    };
    let suspension = Suspension::new(suspect, until(&order), now, &key);
    match service.quota.store().suspend(suspension).await {
        Ok(()) => "done\n".into_response(),
        Err(error) => unavailable(error),
    }
}

fn refuse(status: StatusCode, why: &str) -> Response {
    json(status, &serde_json::json!({ "error": why }))
}
