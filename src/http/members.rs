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
};
use crate::{
    label::LabelLength,
    oprf::Epoch,
    server::{directory::MemberBatch, quota::Scope},
    store::Store,
    wire::{DecodeError, EnrolRequest, MembersResponse, Message, RemoveRequest},
};

/// Longest request: 65,535 enrolments with labels of 64 bytes, and two texts.
const LIMIT: usize = 65_535 * (32 + 1 + 8 + 2 + LabelLength::MAX as usize) + 256;

pub(super) async fn enrol<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let regions = Arc::clone(&service.regions);
    let label_length = service.publisher.terms().label_length;
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
    decode: impl FnOnce(&[u8], crate::timestamp::Timestamp) -> Result<MemberBatch, Problem>
    + Send
    + 'static,
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
    check_epoch(&body.bytes, service.evaluator.epoch())?;
    // Decoding checks a group element for each member: that is arithmetic.
    let place = service.compute.enter(body.bytes.len() / 320)?;
    let batch = service
        .compute
        .run(place, move || decode(&body.bytes, at))
        .await??;
    let count = batch.changes.len();
    let outcome = service.quota.store().change_members(batch).await?;
    service.observer.changed(count);
    let response = MembersResponse {
        changed: outcome.changed,
        unchanged: outcome.unchanged,
        refused: outcome.refused,
    };
    Ok(message(response.encode()).into_response())
}

/// Both messages have the epoch behind version and kind; another one saves the arithmetic.
fn check_epoch(bytes: &[u8], current: Epoch) -> Result<(), Problem> {
    let epoch = bytes.get(2..).and_then(|rest| rest.first_chunk());
    let epoch = epoch.map(|epoch| Epoch::new(u64::from_be_bytes(*epoch)));
    match epoch {
        None => Err(DecodeError::Truncated.into()),
        Some(epoch) if epoch != current => Err(Problem::wrong_epoch()),
        Some(_) => Ok(()),
    }
}
