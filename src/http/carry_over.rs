//! `POST /v1/carry-over`: results of the old epoch as they are in the new one, after a soft rotation.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use super::{
    Service,
    answer::{carry_over_limit, message},
    body::{self, check_media_type},
    problem::Problem,
};
use crate::{
    oprf::ENCODED_LENGTH,
    server::{
        EvaluateError,
        quota::{AdmitError, Charge, Scope},
    },
    store::Store,
    wire::{CarryOverRequest, CarryOverResponse, Message},
};

/// Bytes of a request beside its elements.
const OVERHEAD: usize = 20;

pub(super) async fn carry_over<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    check_media_type(request.headers())?;
    let at = (service.clock)();
    let credential = service
        .credentials
        .read(request.headers(), &service.pepper, at)?;
    if credential.scope != Scope::Discover {
        return Err(Problem::wrong_scope());
    }
    let origin = service.proxies.origin(&request, &service.pepper);
    let most = service.quota.policy().account.elements_per_request;
    // One element more than allowed is let through, so that the quota can say what is wrong.
    let limit = OVERHEAD + ENCODED_LENGTH * (most as usize + 1);
    let body = body::read(&service, credential.account, request, limit).await?;
    let request = CarryOverRequest::decode(&body.bytes)?;
    drop(body);
    let live = service.live();
    let (from, to) = (request.from, request.to);
    let carry_over = live.epochs.carry_over(from, to, at).map(Arc::clone);
    let carry_over = carry_over.ok_or(Problem::no_carry_over())?;

    let count = request.blinded.len();
    let elements = u32::try_from(count).ok().and_then(NonZeroU32::new);
    let place = service.compute.enter(count)?;
    service.catch_up(at).await;
    let admission = service
        .quota
        .admit_carry_over(Charge {
            account: credential.account,
            scope: credential.scope,
            account_created: credential.account_created,
            origin,
            elements: elements.ok_or(Problem::internal())?,
            request_digest: request.blinded.digest(),
            epoch: to,
            at,
        })
        .await
        .map_err(|error| match error {
            AdmitError::Refused(refusal) => {
                let left = refusal.status.remaining;
                Problem::from(refusal).carry_over_left(left)
            }
            store => store.into(),
        })?;
    service
        .observer
        .carried_over(admission.receipt.replayed, count);

    let carried = service
        .compute
        .run(place, move || {
            // A random source that fails panics here, and the request ends with `internal`.
            let mut rng = UnwrapErr(SysRng);
            carry_over.carry_over(admission.permit, &request.blinded, &mut rng)
        })
        .await?
        .map_err(|error| match error {
            EvaluateError::BadElement(_) => Problem::bad_element(),
            EvaluateError::OtherPermit => Problem::internal(),
        })?;
    let response = CarryOverResponse {
        from,
        to,
        delta_key: carried.delta_key.encode(),
        carried: carried.elements,
        proof: carried.proof,
    };
    let mut response = message(response.encode()).into_response();
    carry_over_limit(admission.receipt.status.remaining, response.headers_mut());
    Ok(response)
}
