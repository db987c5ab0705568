//! Who has to be told, and that they are.

use std::{sync::Arc, time::Duration, vec::Vec};

use axum::{body::Bytes, extract::State, response::Response};

use super::{
    Refused, answer,
    documents::{
        HandedNotice, HandedOut, IncidentStatus, ListOrder, NoticeList, NoticesOrder, ToldOrder,
    },
    epoch, find, findings, read, status, take, window,
};
use crate::{
    http::Service,
    server::incident::{HandOut, Incident, Lease, NoticeId},
    store::{Store, StoreError, enlist_exposed},
    timestamp::Timestamp,
};

/// Most notices in one answer.
const PAGE: usize = 1_024;

/// Makes the list, once; or says how far telling has come.
pub(in crate::http) async fn list<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async move {
        let order: ListOrder = read(&body)?;
        let mut incident = take(&service, order.incident, |incident, now| {
            incident.list(order.without_rotation, now)?;
            Ok(())
        })
        .await?;
        if incident.listing().is_some_and(|listing| !listing.complete) {
            let nameless = enlist(&service, incident.clone()).await?;
            incident = take(&service, Some(incident.id()), |incident, now| {
                let listing = incident.list(true, now)?;
                listing.complete = true;
                listing.nameless = nameless;
                Ok(())
            })
            .await?;
        }
        let status = status(&service, &incident).await?;
        let findings = findings(&service, incident).await?;
        Ok(NoticeList {
            status,
            words: findings.words_for_people(),
            service: findings.service,
        })
    })
    .await
}

/// Goes through all members: not on a thread that serves. If the key is rotated meanwhile, once more: rows have moved.
async fn enlist<S: Store>(service: &Arc<Service<S>>, incident: Incident) -> Result<u64, Refused> {
    let service = Arc::clone(service);
    let runtime = tokio::runtime::Handle::current();
    let enlisting = tokio::task::spawn_blocking(move || {
        let window = window(&service, &incident, (service.clock)());
        let store = service.quota.store();
        runtime.block_on(async {
            loop {
                let served = epoch(&service);
                let nameless = enlist_exposed(store, &incident, served, window).await?;
                if epoch(&service) == served {
                    return Ok(nameless);
                }
            }
        })
    });
    Ok(enlisting.await.unwrap_or(Err(StoreError::Closed))?)
}

/// Hands notices out, to be handed over.
pub(in crate::http) async fn notices<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async move {
        let order: NoticesOrder = read(&body)?;
        let incident = find(&service, Some(order.incident)).await?;
        let after = order.after.as_deref().map(parsed).transpose()?;
        let now = (service.clock)();
        let handed = service.quota.store().hand_out_notices(
            incident.id(),
            lease(order.holder, order.lease_seconds, now),
            now,
            after,
            order.limit.min(PAGE),
        );
        match handed.await? {
            HandOut::Notices(notices) => Ok(HandedOut {
                notices: notices
                    .into_iter()
                    .map(|notice| HandedNotice {
                        id: std::format!("{}", notice.id),
                        handle: std::format!("{}", notice.label.as_bytes().escape_ascii()),
                    })
                    .collect(),
            }),
            HandOut::Leased(until) => Err(Refused::Leased {
                retry_after: until.saturating_since(now).as_secs() + 1,
            }),
        }
    })
    .await
}

/// Takes the word of whoever has handed notices over.
pub(in crate::http) async fn told<S: Store>(
    State(service): State<Arc<Service<S>>>,
    body: Bytes,
) -> Response {
    answer(async move {
        let order: ToldOrder = read(&body)?;
        let incident = find(&service, Some(order.incident)).await?;
        let ids = order.ids.iter().map(|id| parsed(id));
        let ids: Vec<NoticeId> = ids.collect::<Result<_, _>>()?;
        let now = (service.clock)();
        let lease = lease(order.holder, order.lease_seconds, now);
        let store = service.quota.store();
        let tally = store
            .confirm_notices(incident.id(), ids, lease, now)
            .await?;
        Ok(IncidentStatus::new(&incident, tally, now))
    })
    .await
}

fn parsed(id: &str) -> Result<NoticeId, Refused> {
    id.parse()
        .map_err(|_| Refused::Unreadable("the name of a notice has 32 hexadecimal digits"))
}

fn lease(holder: u64, seconds: u32, now: Timestamp) -> Lease {
    Lease {
        holder,
        until: now.saturating_add(Duration::from_secs(u64::from(seconds))),
    }
}
