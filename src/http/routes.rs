//! Which handler answers what, and what happens around each of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};

use super::{
    Service, canary, carry_over, evaluate, incident, ledger, members, operator,
    problem::{Name, Problem},
    published, rotation, setting, signals, suspend,
};
use crate::store::Store;

/// Every route for clients and registrars. Each one that touches membership passes the quota, or wants the scope
/// `enrol`, or serves what is published, or tells only of the handle that the credential is signed for.
pub const ROUTES: [&str; 6] = [
    "/v1/manifest",
    "/v1/segments/{id}",
    "/v1/evaluate",
    "/v1/carry-over",
    "/v1/members",
    "/v1/setting",
];

/// What clients and registrars reach.
///
/// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: without the address of the connection all requests
/// count as from one network.
pub fn router<S: Store>(service: Arc<Service<S>>) -> Router {
    let [manifest, segments, evaluation, carried, membership, choice] = ROUTES;
    Router::new()
        .route(manifest, get(published::manifest::<S>))
        .route(segments, get(published::segment::<S>))
        .route(evaluation, post(evaluate::evaluate::<S>))
        .route(carried, post(carry_over::carry_over::<S>))
        .route(
            membership,
            put(members::enrol::<S>).delete(members::remove::<S>),
        )
        .route(choice, get(setting::show::<S>).put(setting::choose::<S>))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(Arc::clone(&service), observe::<S>))
        .with_state(service)
}

/// What operators reach. Not for the public: it has no credential of its own.
pub fn operator_router<S: Store>(service: Arc<Service<S>>) -> Router {
    Router::new()
        .route("/healthz", get(operator::health::<S>))
        .route("/readyz", get(operator::ready::<S>))
        .route("/metrics", get(operator::metrics::<S>))
        .route(
            "/publish",
            get(operator::plan::<S>).post(operator::publish::<S>),
        )
        .route(
            "/rotate",
            get(rotation::status::<S>).post(rotation::rotate::<S>),
        )
        .route("/signals", get(signals::all::<S>))
        .route("/canary", post(canary::add::<S>))
        .route("/canary/touched", post(canary::touched::<S>))
        .route("/suspend", post(suspend::suspend::<S>))
        .route("/lift", post(suspend::lift::<S>))
        .route("/ledger", get(ledger::export::<S>))
        .route("/ledger/shred", post(ledger::shred::<S>))
        .merge(incidents())
        .layer(from_fn(no_pages))
        .with_state(service)
}

/// Turns requests of web pages away. A browser on the operators' network would carry out the orders of any page that it shows,
/// and it says with each of them which page that was.
async fn no_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        let error = serde_json::json!({ "error": "this isn't for web pages" });
        return operator::json(StatusCode::FORBIDDEN, &error);
    }
    next.run(request).await
}

fn incidents<S: Store>() -> Router<Arc<Service<S>>> {
    Router::new()
        .route("/incident", get(incident::all::<S>))
        .route("/incident/open", post(incident::open::<S>))
        .route("/incident/contain", post(incident::contain::<S>))
        .route("/incident/report", post(incident::report::<S>))
        .route("/incident/list", post(incident::list::<S>))
        .route("/incident/notices", post(incident::notices::<S>))
        .route("/incident/told", post(incident::told::<S>))
        .route("/incident/close", post(incident::close::<S>))
        .layer(DefaultBodyLimit::max(incident::LIMIT))
}

/// Ends what takes too long, and counts and logs what was answered.
#[allow(
    clippy::disallowed_methods,
    reason = "an edge: durations of requests are measured here"
)]
async fn observe<S: Store>(
    State(service): State<Arc<Service<S>>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    // Only names from our own list reach a log or a metric.
    let route = route
        .and_then(|path| ROUTES.into_iter().find(|route| *route == path.as_str()))
        .unwrap_or("other");
    let total = Duration::from_secs(service.limits.total_seconds);
    let response = match tokio::time::timeout(total, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout().into_response(),
    };
    let problem = response.extensions().get::<Name>().map(|name| name.0);
    let status = response.status().as_u16();
    let took = begun.elapsed();
    service.observer.answered(route, status, problem, took);
    tracing::info!(
        route,
        status,
        problem,
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    response
}
