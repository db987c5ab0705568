//! What accounts share: networks, all new accounts, everybody; and whom the operator has stopped. Each is refused in its own
//! words, for nothing, and never as if nobody had been found.

use std::collections::BTreeSet;

use blindbook::server::policy::Policy;

use crate::{
    raw::{Request, Response, exchange},
    service::*,
};

fn serve(change: impl FnOnce(&mut Setup)) -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::default();
    change(&mut setup);
    let running = Running::start(folder.path(), setup);
    (folder, running)
}

/// Small enough for a test to reach.
fn small(network: u32, young: u64, service: u64) -> Policy {
    let mut policy = Policy::default();
    policy.account.elements_per_request = 64;
    policy.network.ipv4_24_per_day = network;
    policy.network.ipv6_64_per_day = network;
    policy.young.floor_per_day = young;
    policy.service.floor_per_day = service;
    policy
}

fn new(account: &str, stream: u8) -> Request {
    Request::evaluate(&discover_as_new(account), request_of(64, stream))
}

fn old(account: &str, stream: u8) -> Request {
    Request::evaluate(&discover(account), request_of(64, stream))
}

/// Sends and demands this refusal, that it was free, and that it can't be taken for an answer.
fn refuses(running: &Running, request: &Request, status: u16, name: &str) -> Response {
    let charged = running.charged();
    let answer = request.send(running.public);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (status, name),
        "{}",
        answer.text()
    );
    assert!(answer.header("ratelimit").is_some());
    assert_eq!(running.charged(), charged, "{name} was charged");
    answer
}

fn admits(running: &Running, request: &Request) {
    let answer = request.send(running.public);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_network_whose_new_accounts_have_used_it_up_is_refused() {
    let (_folder, running) = serve(|setup| {
        setup.policy = small(100, 10_000, 10_000);
        setup.proxies.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let from = |address: &str, request: Request| request.with("X-Forwarded-For", address);
    admits(&running, &from("192.0.2.1", new("ada", 1)));
    for same in ["192.0.2.77", "::ffff:192.0.2.9", "198.51.100.1, 192.0.2.3"] {
        let again = from(same, new("bob", 2));
        let refusal = refuses(&running, &again, 429, "network-exhausted");
        // 28 elements at 100 a day.
        assert_eq!(refusal.retry_after(), Some(86_400 * 28 / 100));
    }
    // The same bytes again are the same request, wherever they come from.
    admits(&running, &from("192.0.2.2", new("ada", 1)));
    admits(&running, &from("192.0.2.2", old("old", 3)));
    admits(&running, &from("198.51.100.1", new("bob", 2)));
    admits(&running, &from("2001:db8:1::1", new("eve", 4)));
    let neighbour = from("2001:db8:1::2", new("mallory", 5));
    refuses(&running, &neighbour, 429, "network-exhausted");
    admits(&running, &from("2001:db8:1:1::2", new("mallory", 5)));
}

#[test]
fn without_a_trusted_proxy_a_header_is_no_way_around() {
    let (_folder, running) = serve(|setup| setup.policy = small(100, 10_000, 10_000));
    admits(
        &running,
        &new("ada", 1).with("X-Forwarded-For", "192.0.2.1"),
    );
    let forged = new("bob", 2).with("X-Forwarded-For", "198.51.100.1");
    refuses(&running, &forged, 429, "network-exhausted");
}

#[test]
fn when_new_accounts_have_used_the_day_up_old_ones_go_on() {
    let (_folder, running) = serve(|setup| setup.policy = small(10_000, 100, 10_000));
    admits(&running, &new("ada", 1));
    let refusal = refuses(&running, &new("bob", 2), 503, "new-accounts-exhausted");
    // The next day (UTC) begins in 16 hours.
    assert_eq!(refusal.retry_after(), Some(86_400 - NOW % 86_400));
    admits(&running, &old("old", 3));
    let gauge = |name: &str, who: &str| running.metric(&format!("{name}{{who=\"{who}\"}}"));
    assert_eq!(gauge("blindbook_day_elements", "new_accounts"), 64);
    assert_eq!(gauge("blindbook_day_limit", "new_accounts"), 100);
    assert_eq!(gauge("blindbook_day_elements", "everybody"), 128);
}

#[test]
fn when_everybody_has_used_the_day_up_registrars_go_on() {
    let (_folder, running) = serve(|setup| setup.policy = small(200, 200, 200));
    admits(&running, &old("ada", 1));
    assert_eq!(running.metric("blindbook_service_warning"), 0);
    admits(&running, &old("bob", 2));
    // 70 percent of 200 are 140; 192 are more.
    admits(&running, &old("eve", 3));
    assert_eq!(running.metric("blindbook_service_warning"), 1);
    let refusal = refuses(&running, &old("old", 4), 503, "service-exhausted");
    assert_eq!(refusal.retry_after(), Some(86_400 - NOW % 86_400));
    refuses(&running, &new("new", 4), 503, "service-exhausted");
    admits(&running, &Request::evaluate(&enrol(), request_of(1_000, 5)));
}

pub(crate) fn order(running: &Running, path: &str, document: &str) -> Response {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: operator\r\nContent-Length: {}\r\n\r\n{document}",
        document.len()
    );
    exchange(running.operator, head.as_bytes())
}

#[test]
fn whom_the_operator_suspends_is_refused_until_it_is_over_or_lifted() {
    let (_folder, running) = serve(|_| {});
    admits(&running, &new("ada", 1));
    for (document, name) in [
        (r#""account":"ada""#, "account-suspended"),
        (r#""network":"127.0.0.0/24""#, "network-suspended"),
        (r#""new_accounts":true"#, "new-accounts-suspended"),
    ] {
        let hours = format!("{{{document},\"hours\":2}}");
        assert_eq!(order(&running, "/suspend", &hours).status, 200);
        let refusal = refuses(&running, &new("ada", 1), 403, name);
        assert_eq!(refusal.retry_after(), Some(7_200));
        let forever = format!("{{{document}}}");
        assert_eq!(order(&running, "/suspend", &forever).status, 200);
        refuses(&running, &new("ada", 2), 403, name);
        // A registrar isn't a young account and has no network.
        admits(&running, &Request::evaluate(&enrol(), request_of(16, 3)));
        assert_eq!(order(&running, "/lift", &forever).status, 200);
        admits(&running, &new("ada", 1));
    }
    for bad in [
        "",
        "{}",
        r#"{"account":"ada","new_accounts":true}"#,
        r#"{"network":"127.0.0.1"}"#,
        r#"{"network":"127.0.0.0/23"}"#,
        r#"{"network":"somewhere"}"#,
        r#"{"acount":"ada"}"#,
        r#"{"account":"ada","hours":-1}"#,
    ] {
        let answer = order(&running, "/suspend", bad);
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
        let document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        assert!(document["error"].is_string(), "{document}");
    }
    admits(&running, &new("ada", 1));
    // Clients can't reach it.
    let outside = Request::new("POST", "/suspend", &enrol(), Vec::new()).send(running.public);
    assert_eq!(outside.problem(), "not-found");
}

/// Every name in the list of problems is another one, and the list in the documentation is complete.
#[test]
fn every_refusal_has_a_name_of_its_own_in_the_documentation() {
    let source = include_str!("../../src/http/problem.rs");
    let listed: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .filter_map(|line| line.split('`').next())
        .filter(|name| !name.starts_with("urn:"))
        .collect();
    let different: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(different.len(), listed.len());
    for name in [
        "quota-exhausted",
        "network-exhausted",
        "new-accounts-exhausted",
        "service-exhausted",
        "account-suspended",
        "network-suspended",
        "new-accounts-suspended",
        "not-found",
        "nothing-published",
    ] {
        assert!(different.contains(name), "{name}");
        assert_eq!(source.matches(&format!("\"{name}\"")).count(), 1, "{name}");
    }
}

/// A route that isn't on the list isn't under the test that sorts them.
#[test]
fn every_public_route_is_on_the_list() {
    let source = include_str!("../../src/http/routes.rs");
    let public = source.split("pub fn router").nth(1).unwrap();
    let public = public.split("pub fn operator_router").next().unwrap();
    let routed = public.matches(".route(").count();
    assert_eq!(routed, blindbook::http::ROUTES.len());
    // Paths come from the list, and nothing else brings routes along.
    assert!(!public.contains("\"/"), "a path that isn't on the list");
    for other in [".nest", ".merge", ".route_service", ".fallback_service"] {
        assert!(!public.contains(other), "{other}");
    }
}
