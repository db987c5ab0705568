//! `PUT` and `DELETE /v1/members`: for registrars.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{
    Service,
    answer::message,
    body::{self, check_media_type},
    problem::Problem,
    rotation::Live,
};
use crate::{
    label::LabelLength,
    oprf::Epoch,
    server::{directory::MemberBatch, quota::Scope},
    store::Store,
    timestamp::Timestamp,
    wire::{DecodeError, EnrolRequest, MembersResponse, Message, RemoveRequest},
};

/// Longest request: 65,535 enrolments with labels of 64 bytes, and two texts.
const LIMIT: usize = 65_535 * (32 + 1 + 8 + 2 + LabelLength::MAX as usize) + 256;

pub(super) async fn enrol<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let regions = Arc::clone(&service.regions);
    let label_length = service.live().publisher.terms().label_length;
    change(&service, request, move |bytes, at| {
        let request = EnrolRequest::decode(bytes)?;
        if request.label_length() != label_length {
            return Err(Problem::wrong_label_length());
        }
        Ok(MemberBatch::enrol(request, &regions, at))
    })
    .await
}

pub(super) async fn remove<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    change(&service, request, |bytes, at| {
        let request = RemoveRequest::decode(bytes)?;
        Ok(MemberBatch::remove(request, at))
    })
    .await
}

async fn change<S: Store>(
    service: &Arc<Service<S>>,
    request: Request,
    decode: impl FnOnce(&[u8], Timestamp) -> Result<MemberBatch, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    check_media_type(request.headers())?;
    let at = (service.clock)();
    let credential = service
        .credentials
        .read(request.headers(), &service.pepper, at)?;
    if credential.scope != Scope::Enrol {
        return Err(Problem::wrong_scope());
    }
    let body = body::read(service, credential.account, request, LIMIT).await?;
    check_epoch(&body.bytes, &service.live(), at)?;
    // Decoding checks a group element for each member: that is arithmetic.
    let place = service.compute.enter(body.bytes.len() / 320)?;
    let mut batch = service
        .compute
        .run(place, move || decode(&body.bytes, at))
        .await??;
    let count = batch.changes.len();
    let outcome = loop {
        // Not while the epoch is switched: nobody's change gets lost.
        let changing = service.changing.read().await;
        let live = service.live();
        let current = live.epochs.current().epoch();
        if batch.epoch == current {
            break service.quota.store().change_members(batch).await?;
        }
        drop(changing);
        let carry_over = live.epochs.carry_over(batch.epoch, current, at);
        let carry_over = Arc::clone(carry_over.ok_or(Problem::wrong_epoch())?);
        drop(live);
        let place = service.compute.enter(count)?;
        batch = service
            .compute
            .run(place, move || carry_over.members(batch))
            .await?
            .map_err(|_| Problem::bad_element())?;
    };
    service.observer.changed(count);
    let response = MembersResponse {
        changed: outcome.changed,
        unchanged: outcome.unchanged,
        refused: outcome.refused,
    };
    Ok(message(response.encode()).into_response())
}

/// Both messages have the epoch behind version and kind; one that isn't served saves the arithmetic.
fn check_epoch(bytes: &[u8], live: &Live, at: Timestamp) -> Result<(), Problem> {
    let current = live.epochs.current().epoch();
    let served = |epoch| epoch == current || live.epochs.carry_over(epoch, current, at).is_some();
    let epoch = bytes.get(2..).and_then(|rest| rest.first_chunk());
    let epoch = epoch.map(|epoch| Epoch::new(u64::from_be_bytes(*epoch)));
    match epoch {
        None => Err(DecodeError::Truncated.into()),
        Some(epoch) if !served(epoch) => Err(Problem::wrong_epoch()),
        Some(_) => Ok(()),
    }
}
