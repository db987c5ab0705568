//! `POST /v1/evaluate`.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use super::{
    Service,
    answer::{message, rate_limit},
    body::{self, check_media_type},
    problem::Problem,
};
use crate::{
    oprf::ENCODED_LENGTH,
    server::{
        EvaluateError,
        quota::{Charge, Scope},
    },
    store::Store,
    wire::{EvaluateRequest, EvaluateResponse, Message},
};

/// Bytes of a request beside its elements.
const OVERHEAD: usize = 12;

pub(super) async fn evaluate<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    check_media_type(request.headers())?;
    let at = (service.clock)();
    let credential = service
        .credentials
        .read(request.headers(), &service.pepper, at)?;
    let origin = service.proxies.origin(&request, &service.pepper);
    let policy = service.quota.policy();
    let most = match credential.scope {
        Scope::Discover => policy.account.elements_per_request,
        Scope::Enrol => policy.registrar.elements_per_request,
    };
    // One element more than allowed is let through, so that the quota can say what is wrong.
    let limit = OVERHEAD + ENCODED_LENGTH * (most as usize + 1);
    let body = body::read(&service, credential.account, request, limit).await?;
    let request = EvaluateRequest::decode(&body.bytes)?;
    drop(body);
    let live = service.live();
    let evaluator = live.epochs.evaluator(request.epoch, at).map(Arc::clone);
    let evaluator = evaluator.ok_or(Problem::wrong_epoch())?;
    let epoch = evaluator.epoch();

    let count = request.blinded.len();
    let elements = u32::try_from(count).ok().and_then(NonZeroU32::new);
    let place = service.compute.enter(count)?;
    service.catch_up(at).await;
    let admission = service
        .quota
        .admit(Charge {
            account: credential.account,
            scope: credential.scope,
            account_created: credential.account_created,
            origin,
            elements: elements.ok_or(Problem::internal())?,
            request_digest: request.blinded.digest(),
            epoch: request.epoch,
            at,
        })
        .await?;
    let is_current = epoch == live.epochs.current().epoch();
    drop(live);
    service.observer.admitted(&admission, count, is_current);

    let evaluation = service
        .compute
        .run(place, move || {
            // A random source that fails panics here, and the request ends with `internal`.
            let mut rng = UnwrapErr(SysRng);
            evaluator.blind_evaluate(admission.permit, &request.blinded, &mut rng)
        })
        .await?
        .map_err(|error| match error {
            EvaluateError::BadElement(_) => Problem::bad_element().quota(admission.receipt.status),
            EvaluateError::OtherPermit => Problem::internal(),
        })?;
    let response = EvaluateResponse {
        epoch,
        evaluated: evaluation.elements,
        proof: evaluation.proof,
    };
    let mut response = message(response.encode()).into_response();
    rate_limit(&admission.receipt.status, response.headers_mut());
    Ok(response)
}
