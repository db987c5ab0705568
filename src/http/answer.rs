//! What answers have in common: how a message is declared, and how the quota is told.

use std::{format, vec::Vec};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::IntoResponse,
};

use crate::{server::quota::QuotaStatus, wire::MEDIA_TYPE};

/// A message of ours, not to be cached by anybody.
pub(super) fn message(bytes: Vec<u8>) -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, MEDIA_TYPE),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        bytes,
    )
}

/// Tells how much the account can still carry over.
pub(super) fn carry_over_limit(left: u32, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(format!("\"carry-over\";r={left}")) {
        headers.insert("ratelimit", value);
    }
    headers.remove("ratelimit-policy");
}

/// Tells the account's quota: `r` elements remain of `q`, and it is full again in `t` seconds; an empty one takes
/// `w` seconds to fill.
pub(super) fn rate_limit(status: &QuotaStatus, headers: &mut HeaderMap) {
    let seconds_for = |elements: u32| {
        (u64::from(elements) * 86_400).div_ceil(u64::from(status.refill_per_day.max(1)))
    };
    let state = format!(
        "\"account\";r={};t={}",
        status.remaining,
        seconds_for(status.capacity.saturating_sub(status.remaining))
    );
    let policy = format!(
        "\"account\";q={};w={}",
        status.capacity,
        seconds_for(status.capacity)
    );
    for (name, value) in [("ratelimit", state), ("ratelimit-policy", policy)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}
