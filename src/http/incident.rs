//! Incidents, on the operators' listener: each step is an order, and can be given again.
//!
//! ```text
//! GET  /incident                     all of them
//! POST /incident/open                { "since": 1800000000, "accounts": ["user 17"], ... }
//! POST /incident/contain             { "incident": 1 }
//! POST /incident/report              { "incident": 1, "words": { "contact": "..." } }
//! POST /incident/list                { "incident": 1, "without_rotation": false }
//! POST /incident/notices             { "incident": 1, "holder": 7, "lease_seconds": 60, "after": null, "limit": 64 }
//! POST /incident/told                { "incident": 1, "holder": 7, "lease_seconds": 60, "ids": ["..."] }
//! POST /incident/close               { "incident": 1, "unfounded": false }
//! ```
//!
//! An incident can be opened on whom signals point at: `"signals": [12, 13]`, or `"all_signals": true` for those of the window.
//! Without `incident` the one is meant that isn't closed. Names of accounts and addresses come in and become pseudonyms; the
//! handles of people go out in `notices` alone. None of it is logged.

mod documents;
mod notify;

use std::{future::Future, string::ToString, sync::Arc, vec::Vec};

use axum::{
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

pub use documents::{HandedNotice, HandedOut, IncidentStatus, NoticeList};
pub(super) use notify::{list, notices, told};

use self::documents::{CloseOrder, OpenOrder, ReportOrder, Which};
use super::{Service, credential::pseudonym, operator::json, signals};
use crate::{
    oprf::Epoch,
    server::{
        directory::Window,
        incident::{
            Findings, Incident, OpenError, OrderError, Report, Step, Suspects, Terms, WordsError,
            outlasts,
        },
    },
    store::{FindingsError, Store, StoreError, evaluations, exposed_by_region},
    timestamp::Timestamp,
};

/// Longest order, in bytes: a hundred thousand names of accounts.
pub(super) const LIMIT: usize = 32 << 20;
/// How often a step is tried while others change the same incident.
const RACES: usize = 8;

/// An order that isn't carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the order can't be read: {0}")]
    Unreadable(&'static str),
    #[error("the order can't be read, at line {0}, column {1}")]
    Malformed(usize, usize),
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Words(#[from] WordsError),
    #[error("{0}")]
    Order(#[from] OrderError),
    #[error("{0}")]
    Findings(#[from] FindingsError),
    #[error("no incident is open")]
    NoneOpen,
    #[error("several incidents are open: say which one")]
    SeveralOpen,
    #[error("there is no incident of this number")]
    Unknown,
    #[error("there is no signal of this number")]
    NoSignal,
    #[error("others change the same incident: try again")]
    Raced,
    #[error("somebody else hands notices over")]
    Leased {
        /// Seconds until they may have ended.
        retry_after: u64,
    },
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unreadable(_) | Self::Malformed(..) | Self::Open(_) | Self::Words(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Unknown | Self::NoSignal => StatusCode::NOT_FOUND,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        let retry_after = match &self {
            Self::Leased { retry_after } => Some(*retry_after),
            _ => None,
        };
        let document = serde_json::json!({ "error": self.to_string(), "retry_after": retry_after });
        json(status, &document)
    }
}

/// What is wrong is told without what it says: names of accounts are in it.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::Malformed(error.line(), error.column()))
}

/// Finds the incident that is meant.
async fn find<S: Store>(service: &Service<S>, number: Option<u64>) -> Result<Incident, Refused> {
    let mut incidents = service.quota.store().incidents().await?;
    let Some(number) = number else {
        incidents.retain(|incident| incident.closing().is_none());
        return match incidents.len() {
            0 | 1 => incidents.pop().ok_or(Refused::NoneOpen),
            _ => Err(Refused::SeveralOpen),
        };
    };
    let found = incidents.into_iter().find(|one| one.id() == number);
    found.ok_or(Refused::Unknown)
}

/// Takes a step, from what the incident is at that moment.
async fn take<S: Store>(
    service: &Service<S>,
    number: Option<u64>,
    step: impl Fn(&mut Incident, Timestamp) -> Result<(), Refused>,
) -> Result<Incident, Refused> {
    for _ in 0..RACES {
        let before = find(service, number).await?;
        let mut after = before.clone();
        step(&mut after, (service.clock)())?;
        let store = service.quota.store();
        if after == before
            || store
                .replace_incident(before.clone(), after.clone())
                .await?
        {
            for step in after.taken_since(Some(&before)) {
                log(after.id(), step);
            }
            return Ok(after);
        }
    }
    Err(Refused::Raced)
}

fn log(incident: u64, step: Step) {
    tracing::warn!(incident, ?step, "incident");
}

async fn status<S: Store>(
    service: &Service<S>,
    incident: &Incident,
) -> Result<IncidentStatus, Refused> {
    let tally = service.quota.store().notice_tally(incident.id()).await?;
    Ok(IncidentStatus::new(incident, tally, (service.clock)()))
}

pub(super) async fn all<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    answer(async move {
        let mut all = Vec::new();
        for incident in service.quota.store().incidents().await? {
            all.push(status(&service, &incident).await?);
        }
        Ok(all)
    })
    .await
}

pub(super) async fn open<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async move {
        let order: OpenOrder = read(&body)?;
        let now = (service.clock)();
        let accounts = order.accounts.iter();
        let accounts = accounts.map(|name| pseudonym(&service.pepper, name));
        let networks = order.networks.iter();
        let networks: Option<_> = networks
            .map(|network| network.suspect(&service.pepper))
            .collect();
        let mut terms = Terms {
            aware_at: order.aware_at.map_or(now, Timestamp::from_secs),
            since: Timestamp::from_secs(order.since),
            until: order.until.map(Timestamp::from_secs),
            suspects: Suspects {
                accounts: accounts.collect(),
                networks: networks.ok_or(Refused::Unreadable(
                    "a network is an IPv4 /24 or an IPv6 /64, /48 or /32",
                ))?,
                new_accounts: order.new_accounts,
                unknown: order.unknown,
            },
        };
        let store = service.quota.store();
        for number in order.signals {
            let signal = signals::find(store, number).await?;
            terms.suspects.add(&signal.ok_or(Refused::NoSignal)?);
        }
        if order.all_signals {
            signals::suspect(store, &mut terms).await?;
        }
        // Under the pepper, so that nobody else can make it; an account of this name gains nothing, as its pseudonym stays here.
        let named = std::format!("blindbook-v1-incident\0{}", now.as_micros());
        let salt = pseudonym(&service.pepper, &named);
        let salt = salt.as_bytes().first_chunk().copied().unwrap_or_default();
        let incident = Incident::open(0, salt, terms, epoch(&service), now)?;
        let opened = service
            .quota
            .store()
            .open_incident(incident.clone())
            .await?;
        if opened.steps() == incident.steps() {
            log(opened.id(), Step::Opened);
        }
        status(&service, &opened).await
    })
    .await
}

pub(super) async fn contain<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async move {
        let Which { incident } = read(&body)?;
        let contained = take(&service, incident, |incident, now| {
            Ok(incident.contain(now)?)
        });
        status(&service, &contained.await?).await
    })
    .await
}

pub(super) async fn report<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async move {
        let ReportOrder { incident, words } = read(&body)?;
        let reported = take(&service, incident, |incident, now| {
            incident.say(words.clone())?;
            Ok(incident.report(now)?)
        });
        let incident = reported.await?;
        Ok(Report::new(&findings(&service, incident).await?))
    })
    .await
}

pub(super) async fn close<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async move {
        let order: CloseOrder = read(&body)?;
        let known = find(&service, order.incident).await?;
        let tally = service.quota.store().notice_tally(known.id()).await?;
        let closed = take(&service, Some(known.id()), |incident, now| {
            Ok(incident.close(order.unfounded, &tally, now)?)
        });
        status(&service, &closed.await?).await
    })
    .await
}

/// What is known of an incident now. Reads what may be millions of rows: not on a thread that serves.
async fn findings<S: Store>(
    service: &Arc<Service<S>>,
    incident: Incident,
) -> Result<Findings, Refused> {
    let service = Arc::clone(service);
    let runtime = tokio::runtime::Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let at = (service.clock)();
        let window = window(&service, &incident, at);
        let store = service.quota.store();
        runtime.block_on(async {
            let (evaluations, head) =
                evaluations(store, &*service.ledger_keys, &incident, at).await?;
            Ok::<_, FindingsError>(Findings {
                service: service.live().publisher.terms().service.as_str().into(),
                at,
                outlasts_seconds: window.slot.as_secs(),
                evaluations,
                regions: exposed_by_region(store, epoch(&service), window).await?,
                tally: store.notice_tally(incident.id()).await?,
                ledger: Some(head.to_string()),
                incident,
            })
        })
    });
    let findings = reading
        .await
        .unwrap_or(Err(FindingsError::Store(StoreError::Closed)));
    Ok(findings?)
}

/// When members could be learned of.
fn window<S: Store>(service: &Service<S>, incident: &Incident, now: Timestamp) -> Window {
    let exposed = incident.exposed(now);
    Window {
        since: exposed.since,
        until: exposed.until,
        slot: outlasts(service.live().publisher.policy().slot),
    }
}

/// The epoch whose rows are everybody.
fn epoch<S: Store>(service: &Service<S>) -> Epoch {
    service.live().epochs.current().epoch()
}

async fn answer<T: Serialize>(work: impl Future<Output = Result<T, Refused>>) -> Response {
    match work.await {
        Ok(document) => json(StatusCode::OK, &document),
        Err(refused) => refused.into_response(),
    }
}
