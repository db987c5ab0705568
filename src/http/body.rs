//! From a request to the bytes of one message: of the right media type, not too long, and in time.

use std::time::Duration;

use axum::{
    body::{Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, header},
};

use super::{
    Service,
    credential::only,
    problem::Problem,
    room::{Room, Rooms},
};
use crate::{server::quota::AccountKey, wire::MEDIA_TYPE};

/// A body, and the room in memory that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _room: Room,
}

/// Refuses another media type than that of our messages; parameters aren't defined for it.
pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let declared = only(headers, header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match declared {
        Some(declared) if declared.trim().eq_ignore_ascii_case(MEDIA_TYPE) => Ok(()),
        _ => Err(Problem::wrong_media_type()),
    }
}

/// Refuses another media type than JSON. Of the parameters none changes what it means.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let declared = only(headers, header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = declared.and_then(|declared| declared.split(';').next());
    match essence {
        Some(essence) if essence.trim().eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(Problem::not_json()),
    }
}

/// Reads at most `limit` bytes. What declares more is refused before a byte is read.
pub(super) async fn read<S>(
    service: &Service<S>,
    account: AccountKey,
    request: Request,
    limit: usize,
) -> Result<Body, Problem> {
    read_in(&service.rooms, service, account, request, limit).await
}

/// As [`read`], with room of these rooms.
pub(super) async fn read_in<S>(
    rooms: &Rooms,
    service: &Service<S>,
    account: AccountKey,
    request: Request,
    limit: usize,
) -> Result<Body, Problem> {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > limit as u64) {
        return Err(Problem::body_too_large());
    }
    let room = rooms.enter(account)?;
    let timeout = Duration::from_secs(service.limits.body_seconds);
    // `to_bytes` stops at the limit whatever was declared.
    match tokio::time::timeout(timeout, to_bytes(request.into_body(), limit)).await {
        Ok(Ok(bytes)) => Ok(Body { bytes, _room: room }),
        Ok(Err(error)) if is_too_long(&error) => Err(Problem::body_too_large()),
        Ok(Err(_)) | Err(_) => Err(Problem::body_timeout()),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}
