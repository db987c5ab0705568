//! `GET /v1/manifest` and `GET /v1/segments/{sha256}`: the same for everybody.

use std::{format, string::String, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::{Service, answer::message, problem::Problem};
use crate::store::Store;

pub(super) async fn manifest<S: Store>(
    State(service): State<Arc<Service<S>>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let published = service.published().ok_or(Problem::nothing_published())?;
    let etag = etag(published.manifest.hash())?;
    let known = is_known(&headers, &etag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        message(published.bytes.clone()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=60"),
    );
    Ok(response)
}

pub(super) async fn segment<S: Store>(
    State(service): State<Arc<Service<S>>>,
    id: Result<Path<String>, PathRejection>,
    mut request: Request,
) -> Result<Response, Problem> {
    // A name that isn't even text is a name that nothing has.
    let id = id.ok().and_then(|Path(id)| parse_id(&id));
    let id = id.ok_or(Problem::not_found())?;
    let at = (service.clock)();
    let served = service.published();
    if !served.is_some_and(|published| published.serves(&id, at)) {
        return Err(Problem::not_found());
    }
    let path = service.live().publisher.folder().path(&id);
    if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
        return Err(Problem::not_found());
    }
    let etag = etag(&id)?;
    if is_known(request.headers(), &etag) {
        return Ok(lasting(StatusCode::NOT_MODIFIED.into_response(), etag));
    }
    // `ServeFile` would compare with dates and a tag of its own, which are not what we tell.
    let headers = request.headers_mut();
    let ranged = headers
        .remove(header::IF_RANGE)
        .is_none_or(|same| same == etag);
    if !ranged {
        headers.remove(header::RANGE);
    }
    for condition in [
        header::IF_NONE_MATCH,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ] {
        headers.remove(condition);
    }
    let served = ServeFile::new(path).oneshot(request).await;
    let mut response = served.unwrap_or_else(|never| match never {}).map(Body::new);
    let headers = response.headers_mut();
    // When it was written says nothing, and differs between the machines behind one address.
    headers.remove(header::LAST_MODIFIED);
    headers.remove(header::ETAG);
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
            let octets = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, octets);
            Ok(lasting(response, etag))
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(response),
        // Removed since we looked.
        _ => Err(Problem::not_found()),
    }
}

/// Whether the client has what this tag stands for.
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',');
        tags.map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/").as_bytes() == etag.as_bytes())
    })
}

/// For what never changes under its name, but is not to be had for ever: see `Publication::serves`.
fn lasting(mut response: Response, etag: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600, immutable"),
    );
    response
}

fn etag(hash: &[u8; 32]) -> Result<HeaderValue, Problem> {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).map_err(|_| Problem::internal())
}

/// 64 lower-case hexadecimal digits: a name in the folder and nothing else.
fn parse_id(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let valid = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 64 || !digits.iter().all(valid) {
        return None;
    }
    let mut id = [0; 32];
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, pair) in id.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}
