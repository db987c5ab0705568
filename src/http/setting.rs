//! `GET` and `PUT /v1/setting`: who can find the identifiers of one handle, told to and chosen by whoever has it.
//!
//! JSON, as in [`documents`]. The handle is the one in the credential, so nobody asks about anybody else; that is why nothing is
//! charged here. Not the quota, a suspension, an epoch that is over nor a full queue of evaluations keeps anybody from
//! opting out: none of them is asked.

mod documents;

use std::{sync::Arc, vec::Vec};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

pub use documents::{ConsentRecord, IdentifierSetting, SettingOrder, SettingStatus};

use super::{
    Service,
    body::{self, check_json},
    credential::Holder,
    problem::Problem,
};
use crate::{
    label::Label,
    oprf::Epoch,
    server::directory::{Choice, Identity, Member},
    store::{Store, StoreError},
    timestamp::Timestamp,
};

/// Longest document, in bytes: two names of 64 characters, each spelled as `\u....`, and room for what is around them.
const LIMIT: usize = 2_048;
/// Identifiers in one step of the store.
const PAGE: usize = 256;
/// Most identifiers that are told of. A handle that has more isn't one person's.
const MOST: usize = 4_096;

pub(super) async fn show<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let at = (service.clock)();
    let holder = holder(&service, &request, at)?;
    let _room = service.setting_rooms.enter(holder.account)?;
    status(&service, &holder.label, at).await
}

pub(super) async fn choose<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let at = (service.clock)();
    let Holder { account, label } = holder(&service, &request, at)?;
    check_json(request.headers())?;
    let body = body::read_in(&service.setting_rooms, &service, account, request, LIMIT).await?;
    let order = SettingOrder::read(&body.bytes)?;
    let choice = Choice {
        label,
        setting: order.setting()?,
        regions: Arc::clone(&service.regions),
        at,
    };
    {
        // Not while the epoch is switched: nobody's choice gets lost.
        let _changing = service.changing.read().await;
        let mut after = None;
        loop {
            let store = service.quota.store();
            let outcome = store.choose(choice.clone(), after, PAGE).await?;
            service.observer.chosen(outcome.changed?);
            after = outcome.last;
            if after.is_none() {
                break;
            }
        }
    }
    status(&service, &choice.label, at).await
}

fn holder<S: Store>(
    service: &Service<S>,
    request: &Request,
    at: Timestamp,
) -> Result<Holder, Problem> {
    let length = service.live().publisher.terms().label_length;
    service
        .credentials
        .read_holder(request.headers(), &service.pepper, length, at)
}

async fn status<S: Store>(
    service: &Service<S>,
    label: &Label,
    at: Timestamp,
) -> Result<Response, Problem> {
    let members = members(service, label).await?;
    if members.is_empty() {
        return Err(Problem::not_enrolled());
    }
    let live = service.live();
    let policy = live.publisher.policy();
    let next = policy.begin_of(policy.slot_of(at).saturating_add(1));
    let status = SettingStatus::new(&members, next, at);
    let body = serde_json::to_string(&status).map_err(|_| Problem::internal())?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((StatusCode::OK, headers, body).into_response())
}

/// The members who have a label in the epoch that is served. What is left of another one is on its way out.
async fn members<S: Store>(service: &Service<S>, label: &Label) -> Result<Vec<Member>, StoreError> {
    // Not while the epoch is switched: the one that is served would be without its members.
    let _changing = service.changing.read().await;
    let current = service.live().epochs.current().epoch();
    let mut members = Vec::new();
    let mut after: Option<Identity> = None;
    loop {
        let store = service.quota.store();
        let page = store.labelled(label, after, PAGE).await?;
        let found = page.members.into_iter();
        let found = found.filter(|(epoch, _): &(Epoch, Member)| *epoch == current);
        members.extend(found.map(|(_, member)| member));
        after = page.last;
        if after.is_none() || members.len() >= MOST {
            return Ok(members);
        }
    }
}
