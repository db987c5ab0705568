//! What operators see, and that it isn't about anybody.

use std::{
    io::Write,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use blindbook::{
    Timestamp,
    client::Identifier,
    http::Limits,
    http_client::Transport,
    wire::{EnrolRequest, MembersResponse, Message},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    raw::{self, Request},
    service::*,
};

fn start() -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), Setup::default());
    (folder, running)
}

/// What a browser on the operators' network would send for a page from anywhere: a hard rotation, say.
#[test]
fn orders_of_web_pages_are_not_carried_out() {
    let (_folder, running) = start();
    for path in ["/rotate?hard", "/publish?now", "/suspend", "/incident/open"] {
        let order = Request::new("POST", path, "", Vec::new()).without("Authorization");
        for origin in ["https://page.example", "http://127.0.0.1:9090", "null"] {
            let answer = order.clone().with("Origin", origin).send(running.operator);
            assert_eq!(answer.status, 403, "{path}");
        }
        assert_ne!(order.send(running.operator).status, 403, "{path}");
    }
}

#[test]
fn readiness_comes_with_the_first_publication_and_ends_with_the_stop() {
    let (_folder, mut running) = start();
    let health = raw::get(running.operator, "/healthz");
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    let early = raw::get(running.operator, "/readyz");
    assert_eq!(early.status, 503);
    assert_eq!(early.text(), "nothing is published yet\n");
    running.publish();
    assert_eq!(raw::get(running.operator, "/readyz").status, 200);

    // The stop waits for a request under way, so this connection sees what load balancers see.
    let mut operator = raw::connect(running.operator);
    let mut ask = || {
        let request = b"GET /readyz HTTP/1.1\r\nHost: operator\r\n\r\n";
        operator.write_all(request).ok()?;
        raw::receive(&mut operator)
    };
    assert_eq!(ask().unwrap().status, 200);
    running.signal_stop();
    // Until the listener closes there is an answer to every question.
    let last = std::iter::from_fn(ask).find(|answer| answer.status != 200);
    assert_eq!(last.unwrap().text(), "stopping\n");
    running.stop();
}

#[test]
fn a_request_under_way_is_answered_before_the_end_and_nothing_is_lost() {
    let (folder, mut running) = start();
    let request =
        Request::evaluate(&discover("ada"), request_of(64, 1)).with("Expect", "100-continue");
    let mut stream = raw::connect(running.public);
    stream.write_all(&request.head()).unwrap();
    let mut invited = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut invited).unwrap();
    running.signal_stop();
    // New connections end; the one that was there goes on.
    while std::net::TcpStream::connect(running.public).is_ok() {
        thread::yield_now();
    }
    stream.write_all(&request.body).unwrap();
    let answer = raw::receive(&mut stream).unwrap();
    assert_eq!(answer.status, 200);
    assert!(raw::receive(&mut stream).is_none());
    running.stop();

    let running = Running::start(folder.path(), Setup::default());
    let again = Request::evaluate(&discover("ada"), request_of(64, 1)).send(running.public);
    assert_eq!(again.header("ratelimit"), answer.header("ratelimit"));
    assert_eq!(running.charged(), 0);
    running.stop();
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(
        folder.path(),
        Setup {
            limits: Limits {
                shutdown_seconds: 1,
                ..Limits::default()
            },
            ..Setup::default()
        },
    );
    let mut stream = raw::connect(running.public);
    let request = Request::evaluate(&discover("ada"), request_of(64, 1));
    stream.write_all(&request.head()).unwrap();
    running.stop();
    Running::start(folder.path(), Setup::default()).stop();
}

#[test]
fn what_operators_see_is_not_for_the_public() {
    let (_folder, running) = start();
    for path in ["/healthz", "/readyz", "/metrics", "/publish"] {
        for method in ["GET", "POST"] {
            let answer = Request::new(method, path, &enrol(), Vec::new()).send(running.public);
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (404, "not-found")
            );
        }
    }
    assert_eq!(raw::get(running.operator, "/v1/manifest").status, 404);
    // Looking doesn't publish.
    let plan = raw::get(running.operator, "/publish");
    assert_eq!(plan.status, 200);
    assert!(
        plan.text().contains("a base of all members"),
        "{}",
        plan.text()
    );
    assert_eq!(running.metric("blindbook_published_sequence"), 0);
}

/// What a backup of the store alone looks like: the manifest would send everybody after a segment that isn't there.
#[test]
fn without_its_segment_a_publication_is_none() {
    let (folder, running) = start();
    running.publish();
    running.stop();
    std::fs::remove_file(&segments(folder.path())[0]).unwrap();
    let running = Running::start(folder.path(), Setup::default());
    assert_eq!(raw::get(running.operator, "/readyz").status, 503);
    let manifest = raw::get(running.public, "/v1/manifest");
    assert_eq!(manifest.problem(), "nothing-published");
    running.publish();
    assert_eq!(running.metric("blindbook_published_sequence"), 2);
    assert_eq!(raw::get(running.operator, "/readyz").status, 200);
    running.stop();
}

/// A deletion is remembered for a month, so that nothing that was sent before it brings the member back; then nothing
/// is left.
#[test]
fn what_was_kept_long_enough_is_forgotten() {
    static CLOCK: AtomicU64 = AtomicU64::new(NOW);
    let setup = || Setup {
        clock: || Timestamp::from_secs(CLOCK.load(Ordering::SeqCst)),
        ..Setup::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), setup());
    let registrar = running.transport(Some(&enrol()));
    let member = enrolment(&registrar, EPOCH, &numbers(0..1), &everyone(NOW - 60));
    let removed = removal(&registrar, EPOCH, &numbers(0..1));
    registrar.remove(&removed).unwrap();
    let is_refused = |registrar: &Transport| {
        let answer = registrar.enrol(&member).unwrap();
        let response = MembersResponse::decode(&answer.body).unwrap();
        response.refused.len() == 1
    };
    assert!(is_refused(&registrar));

    CLOCK.store(NOW + 31 * 86_400, Ordering::SeqCst);
    let mut claims = claims("registrar", "enrol");
    claims.exp += 31 * 86_400;
    let credential = blindbook::http::credential::mint(&claims, SECRET).unwrap();
    // The store believes a clock by which something was charged.
    Request::evaluate(&credential, request_of(16, 1)).send(running.public);
    running.stop();
    let running = Running::start(folder.path(), setup());
    let registrar = running.transport(Some(&credential));
    let begun = Instant::now();
    while is_refused(&registrar) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing was forgotten"
        );
    }
    running.stop();
}

#[test]
fn a_service_publishes_by_itself_once_in_a_slot() {
    let (_folder, running) = start();
    let registrar = running.transport(Some(&enrol()));
    let members = enrolment(&registrar, EPOCH, &numbers(0..3), &everyone(NOW - 60));
    // Registrars need a manifest.
    running.publish();
    registrar.enrol(&members).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let publishing = runtime.spawn(Arc::clone(&running.service).publish_in_slots());
    while running.metric("blindbook_published_sequence") != 2 {
        thread::sleep(Duration::from_millis(20));
    }
    publishing.abort();
    // The clock stands still.
    let taken = raw::exchange(
        running.operator,
        b"POST /publish HTTP/1.1\r\nHost: operator\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(taken.status, 409);
    assert!(taken.text().contains("retry_after"), "{}", taken.text());
    assert_eq!(running.metric("blindbook_published_sequence"), 2);
    running.stop();
}

/// Old segments that can't be removed are litter; the publication that follows them is good.
#[test]
fn a_file_that_cannot_be_removed_does_not_stop_a_publication() {
    let (folder, running) = start();
    let litter = folder.path().join("segments").join("0".repeat(64));
    std::fs::create_dir_all(litter.join("not empty")).unwrap();
    for sequence in 1..=3 {
        running.publish();
        assert_eq!(running.metric("blindbook_published_sequence"), sequence);
    }
    running.stop();
}

/// Everything that was ever logged in this process, as text: target, then fields.
static LOG: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

struct Capture;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(attributes.metadata().target().to_owned());
        attributes.record(&mut text);
        keep(text.0);
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut text = Text("span".to_owned());
        values.record(&mut text);
        keep(text.0);
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().target().to_owned());
        event.record(&mut text);
        keep(text.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn keep(line: String) {
    if line.starts_with("blindbook") {
        LOG.get_or_init(Mutex::default).lock().unwrap().push(line);
    }
}

/// Every level of every event of this crate, during a life with a bit of everything in it.
#[test]
fn logs_and_metrics_name_nobody() {
    // Other tests of this process log too; the more there is to look through.
    tracing::subscriber::set_global_default(Capture).unwrap();
    let (folder, running) = start();
    let account = "ada.lovelace@example.org";
    let credential = discover(account);
    let registrar = running.transport(Some(&enrol()));
    let numbers = numbers(700..717);
    let enrolling = enrolment(&registrar, EPOCH, &numbers, &everyone(NOW - 60));
    registrar.enrol(&enrolling).unwrap();
    running.publish();
    let app = running.transport(Some(&credential));
    let mut state = blindbook::client::SyncState::new(&service_id(), &mut random(1));
    assert_eq!(sync(&mut state, &app, &numbers).unwrap().len(), 17);
    // Things that go wrong are where logs grow talkative.
    let evaluation = request_of(16, 1);
    let mut bad = evaluation.clone();
    bad[12..44].fill(0xff);
    for body in [&bad, &evaluation[..100].to_vec()] {
        Request::evaluate(&credential, body.clone()).send(running.public);
    }
    Request::evaluate("not.a.credential", evaluation.clone()).send(running.public);
    let path = format!("/v1/{account}?number=+447700900700");
    raw::get(running.public, &path);
    raw::get(running.public, "/v1/segments/+447700900700");
    Request::new("DELETE", "/v1/members", &credential, enrolling.clone()).send(running.public);
    for stream in 0..12 {
        Request::evaluate(&credential, request_of(1_024, stream)).send(running.public);
    }
    let metrics = running.metrics();
    running.stop();

    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let mut secrets = vec![
        account.to_owned(),
        "lovelace".to_owned(),
        "registrar\"".to_owned(),
        credential.to_string(),
        enrol().to_string(),
        "not.a.credential".to_owned(),
        "127.0.0.1".to_owned(),
        folder.path().display().to_string(),
    ];
    for identifier in &numbers {
        let number = String::from_utf8(Identifier::as_input(identifier).to_vec()).unwrap();
        secrets.push(number.trim_start_matches("tel:+44").to_owned());
    }
    let enrolled = EnrolRequest::decode(&enrolling).unwrap().into_enrolments();
    for one in &enrolled {
        let element = one.unblinded.expose();
        secrets.push(hex(&element[..8]));
        secrets.push(
            format!("{:?}", &element[..4])
                .trim_matches(['[', ']'])
                .to_owned(),
        );
        let key = blindbook::oprf::ContactKey::derive(&service_id().hash(), EPOCH, &one.unblinded);
        secrets.push(key.tag().get().to_string());
        secrets.push(format!("{:016x}", key.tag().get()));
    }
    for element in evaluation[12..].chunks(32) {
        secrets.push(hex(&element[..8]));
    }
    let log = LOG.get_or_init(Mutex::default).lock().unwrap().clone();
    // One for each request above, whatever other tests add.
    assert!(log.len() >= 20, "{log:?}");
    let everything = log.join("\n") + &metrics;
    for secret in &secrets {
        assert!(!everything.contains(secret.as_str()), "{secret}");
    }
    // And no field that isn't one of these.
    for field in log.iter().flat_map(|line| line.split_whitespace().skip(1)) {
        if let Some((name, _)) = field.split_once('=') {
            let known = [
                "message", "route", "status", "problem", "micros", "error", "members", "buckets",
            ];
            assert!(known.contains(&name), "{field}");
        }
    }
    // Metrics have no label but these.
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let labels = line
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        for label in labels.map_or("", |(labels, _)| labels).split(',') {
            let name = label.split('=').next().unwrap();
            let known = ["", "route", "status", "problem", "kind", "who", "le"];
            assert!(known.contains(&name), "{line}");
        }
    }
}

/// Whatever route there is to learn or to change who is a member: it draws on the quota, or wants a registrar. `/v1/setting` isn't
/// charged because it tells only about the handle that the credential is signed for: see `setting.rs`.
#[test]
fn no_route_touches_membership_for_nothing() {
    let (_folder, running) = start();
    let registrar = running.transport(Some(&enrol()));
    let member = enrolment(&registrar, EPOCH, &numbers(0..1), &everyone(NOW - 60));
    registrar.enrol(&member).unwrap();
    running.publish();
    let charged = running.charged();
    // The list of routes is the service's own; one that is added shows up here and has to be sorted.
    let routes = blindbook::http::ROUTES;
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY",
    ];
    for route in routes {
        let path = route.replace("{id}", &"0".repeat(64));
        for method in methods {
            for (credential, body) in [
                (String::new(), Vec::new()),
                (discover("ada").to_string(), member.clone()),
            ] {
                let request = Request::new(method, &path, &credential, body);
                if method == "HEAD" {
                    continue;
                }
                let answer = request.send(running.public);
                match (route, method) {
                    ("/v1/manifest", "GET") => assert_eq!(answer.status, 200),
                    ("/v1/segments/{id}", "GET") => assert_eq!(answer.status, 404),
                    // Not even for whoever may evaluate: it wants a scope that evaluates nothing, and a handle.
                    ("/v1/setting", "GET" | "PUT") => {
                        let free = ["bad-credential", "wrong-scope"];
                        assert!(free.contains(&answer.problem().as_str()), "{method}");
                    }
                    ("/v1/evaluate" | "/v1/carry-over", "POST")
                    | ("/v1/members", "PUT" | "DELETE") => {
                        let free = ["bad-credential", "wrong-scope", "malformed-message"];
                        assert!(
                            free.contains(&answer.problem().as_str()),
                            "{method} {route}"
                        );
                    }
                    _ => assert_eq!(answer.problem(), "method-not-allowed", "{method} {route}"),
                }
            }
        }
    }
    assert_eq!(running.charged(), charged);
    let paid = Request::evaluate(&discover("ada"), request_of(16, 1)).send(running.public);
    assert_eq!((paid.status, running.charged()), (200, charged + 16));
}
