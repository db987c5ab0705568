//! Every reason to refuse, provoked: its status, its name, what it costs, and that nothing else happens.

use std::{
    io::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use blindbook::{
    Timestamp,
    http_client::TransportError,
    oprf::Epoch,
    server::policy::Policy,
    wire::{
        ChangeError, EnrolRequest, EvaluateRequest, EvaluateResponse, MembersResponse, Message,
        RefusedChange, RemoveRequest, Setting,
    },
};

use crate::{
    raw::{self, Request, Response},
    service::{self, *},
};

/// A service on which nothing was charged and nobody is enrolled.
struct Fresh {
    folder: tempfile::TempDir,
    running: Running,
}

fn fresh(setup: Setup) -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), setup);
    Fresh { folder, running }
}

impl Fresh {
    /// Sends and demands this refusal, and that it was free.
    fn refuses(&self, request: &Request, status: u16, name: &str) -> Response {
        let charged = self.running.charged();
        let answer = request.send(self.running.public);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, name),
            "{}",
            answer.text()
        );
        assert_eq!(self.running.charged(), charged, "{name} was charged");
        answer
    }

    /// Publishes and counts who can be found.
    fn published(&self) -> u64 {
        self.running.publish();
        self.running.metric("blindbook_published_members")
    }
}

fn evaluate(account: &str, body: Vec<u8>) -> Request {
    Request::evaluate(&discover(account), body)
}

#[test]
fn another_media_type_is_refused() {
    let fresh = fresh(Setup::default());
    let good = evaluate("ada", request_of(16, 1));
    let bare = good.clone().without("content-type");
    fresh.refuses(&bare, 415, "wrong-media-type");
    for other in [
        "application/octet-stream",
        "application/vnd.blindbook.v2+octets",
        "application/vnd.blindbook.v1+octets; v=2",
        "",
    ] {
        let spoilt = bare.clone().with("Content-Type", other);
        fresh.refuses(&spoilt, 415, "wrong-media-type");
    }
    // Two of them: which one counts isn't ours to guess.
    let twice = good.clone().with("Content-Type", "text/plain");
    fresh.refuses(&twice, 415, "wrong-media-type");
    let upper = bare.with("Content-Type", "Application/VND.blindbook.v1+octets");
    assert_eq!(upper.send(fresh.running.public).status, 200);
    for (method, path) in [("PUT", "/v1/members"), ("DELETE", "/v1/members")] {
        let bare = Request::new(method, path, &enrol(), vec![1]).without("content-type");
        fresh.refuses(&bare, 415, "wrong-media-type");
    }
}

#[test]
fn bytes_that_are_not_the_message_are_refused() {
    let fresh = fresh(Setup::default());
    let good = request_of(16, 1);
    let mut longer = good.clone();
    longer.push(0);
    let mut lies = good.clone();
    lies[10..12].copy_from_slice(&17_u16.to_be_bytes());
    let mut other_version = good.clone();
    other_version[0] = 2;
    let mut other_kind = good.clone();
    other_kind[1] = 2;
    let mut none = good[..12].to_vec();
    none[10..12].copy_from_slice(&[0, 0]);
    let shorter = good[..good.len() - 1].to_vec();
    for body in [
        longer,
        lies,
        other_version,
        other_kind,
        none,
        shorter,
        good[..11].to_vec(),
        Vec::new(),
    ] {
        let refusal = fresh.refuses(&evaluate("ada", body), 400, "malformed-message");
        assert!(refusal.text().contains("detail"));
    }
    // Of a registrar: also too short to have an epoch.
    for body in [vec![], vec![1, 3], vec![1, 3, 0, 0, 0, 0, 0, 0, 0]] {
        for method in ["PUT", "DELETE"] {
            let request = Request::new(method, "/v1/members", &enrol(), body.clone());
            fresh.refuses(&request, 400, "malformed-message");
        }
    }
}

#[test]
fn another_epoch_is_refused() {
    let fresh = fresh(Setup::default());
    let mut other = request_of(16, 1);
    other[2..10].copy_from_slice(&8_u64.to_be_bytes());
    fresh.refuses(&evaluate("ada", other.clone()), 409, "wrong-epoch");
    other[1] = 3;
    for method in ["PUT", "DELETE"] {
        let request = Request::new(method, "/v1/members", &enrol(), other.clone());
        fresh.refuses(&request, 409, "wrong-epoch");
    }
}

/// RFC 9496, appendix A.2, and the identity. Which of the elements it was isn't told; and whoever makes the service
/// check elements pays for them.
#[test]
fn what_is_no_element_is_refused_and_paid_for() {
    let fresh = fresh(Setup::default());
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../vectors/rfc9496-bad-encodings.json")).unwrap();
    let mut bad: Vec<[u8; 32]> = vec![[0; 32]];
    for list in vectors.as_object().unwrap().values() {
        for text in list.as_array().into_iter().flatten() {
            let text = text.as_str().unwrap();
            let bytes: Vec<u8> = (0..32)
                .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            bad.push(bytes.try_into().unwrap());
        }
    }
    assert_eq!(bad.len(), 30);
    let mut answers = Vec::new();
    for (index, encoding) in bad.iter().enumerate() {
        let mut body = request_of(16, 1);
        let place = 12 + 32 * (index % 16);
        body[place..place + 32].copy_from_slice(encoding);
        let answer = evaluate(&format!("account {index}"), body).send(fresh.running.public);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "bad-element")
        );
        assert_eq!(
            answer.header("ratelimit"),
            Some("\"account\";r=5104;t=14400")
        );
        answers.push(answer.text());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(fresh.running.charged(), 30 * 16);

    // A registrar's are refused before anything is changed.
    let registrar = fresh.running.transport(Some(&enrol()));
    let good = enrolment(&registrar, EPOCH, &numbers(0..3), &everyone(NOW - 60));
    let stride = 32 + 1 + 8 + 2 + usize::from(LABELS.get());
    for encoding in bad {
        let mut body = good.clone();
        let place = body.len() - stride;
        body[place..place + 32].copy_from_slice(&encoding);
        let request = Request::new("PUT", "/v1/members", &enrol(), body);
        fresh.refuses(&request, 400, "bad-element");
    }
    assert_eq!(fresh.published(), 0);
}

#[test]
fn more_than_a_message_can_have_is_refused() {
    let fresh = fresh(Setup::default());
    // One element more than an account may ask for: the quota says so, and what the limit is.
    let answer = fresh.refuses(
        &evaluate("ada", request_of(1_025, 1)),
        413,
        "request-too-large",
    );
    assert!(answer.text().contains("1024"));
    assert!(answer.header("ratelimit").is_some());
    // More than that is refused before it is read, declared or not.
    let declared = evaluate("ada", Vec::new())
        .without("content-length")
        .with("Content-Length", &(12 + 32 * 1_026).to_string());
    fresh.refuses(&declared, 413, "body-too-large");
    let absurd = declared.without("content-length");
    let absurd = absurd.with("Content-Length", "9223372036854775807");
    fresh.refuses(&absurd, 413, "body-too-large");
    let chunked = evaluate("ada", Vec::new())
        .without("content-length")
        .with("Transfer-Encoding", "chunked");
    let mut stream = raw::connect(fresh.running.public);
    stream.write_all(&chunked.head()).unwrap();
    let chunk = [b"8000\r\n".as_slice(), &[0; 0x8000], b"\r\n"].concat();
    for _ in 0..64 {
        // The service may have answered and closed by now.
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let answer = raw::receive(&mut stream).unwrap();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (413, "body-too-large")
    );
    // A registrar has its own limits.
    let declared = Request::new("PUT", "/v1/members", &enrol(), Vec::new())
        .without("content-length")
        .with("Content-Length", "9000000");
    fresh.refuses(&declared, 413, "body-too-large");
    assert_eq!(fresh.running.charged(), 0);
}

#[test]
fn chunks_are_as_good_as_a_declared_length() {
    let fresh = fresh(Setup::default());
    let request = evaluate("ada", Vec::new())
        .without("content-length")
        .with("Transfer-Encoding", "chunked");
    let mut bytes = request.head();
    for chunk in request_of(16, 1).chunks(100) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(raw::exchange(fresh.running.public, &bytes).status, 200);
}

#[test]
fn the_largest_batch_is_evaluated_and_a_larger_one_is_no_message() {
    let fresh = fresh(Setup::default());
    let largest = request_of(65_535, 1);
    let answer = Request::evaluate(&enrol(), largest.clone()).send(fresh.running.public);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let response = EvaluateResponse::decode(&answer.body).unwrap();
    assert_eq!(response.evaluated.encodings().len(), 65_535);
    assert_eq!(fresh.running.charged(), 65_535);
    // The count has two bytes, so 65,536 elements are a message that is longer than it says.
    let mut beyond = largest;
    beyond.extend_from_slice(&[7; 32]);
    let refusal = Request::evaluate(&enrol(), beyond);
    fresh.refuses(&refusal, 400, "malformed-message");
    let body = vec![0; 12 + 32 * 65_537];
    fresh.refuses(&Request::evaluate(&enrol(), body), 413, "body-too-large");
}

#[test]
fn an_exhausted_quota_says_when_to_come_back_and_means_it() {
    static CLOCK: AtomicU64 = AtomicU64::new(NOW);
    let fresh = fresh(Setup {
        clock: || Timestamp::from_secs(CLOCK.load(Ordering::SeqCst)),
        ..Setup::default()
    });
    for stream in 1..=5 {
        let answer = evaluate("ada", request_of(1_024, stream)).send(fresh.running.public);
        assert_eq!(answer.status, 200);
    }
    let next = evaluate("ada", request_of(16, 6));
    let refusal = fresh.refuses(&next, 429, "quota-exhausted");
    assert_eq!(
        refusal.header("ratelimit"),
        Some("\"account\";r=0;t=4608000")
    );
    // 16 elements at 96 a day.
    assert_eq!(refusal.retry_after(), Some(4 * 3_600));
    // Somebody else isn't concerned.
    let other = evaluate("bob", request_of(16, 6)).send(fresh.running.public);
    assert_eq!(other.status, 200);
    // What was answered before is answered again, all the same.
    let again = evaluate("ada", request_of(1_024, 5)).send(fresh.running.public);
    assert_eq!(again.status, 200);

    let mut claims = claims("ada", "discover");
    claims.exp = NOW + 5 * 3_600;
    let credential = blindbook::http::credential::mint(&claims, SECRET).unwrap();
    let next = Request::evaluate(&credential, request_of(16, 6));
    CLOCK.store(NOW + 4 * 3_600 - 1, Ordering::SeqCst);
    let refusal = fresh.refuses(&next, 429, "quota-exhausted");
    assert_eq!(refusal.retry_after(), Some(1));
    CLOCK.store(NOW + 4 * 3_600, Ordering::SeqCst);
    assert_eq!(next.send(fresh.running.public).status, 200);
}

#[test]
fn too_many_requests_are_refused_whatever_is_in_them() {
    let fresh = fresh(Setup::default());
    let again = evaluate("ada", request_of(16, 1));
    for _ in 0..10 {
        assert_eq!(again.send(fresh.running.public).status, 200);
    }
    // Repeating the same bytes is free of elements, not of requests.
    assert_eq!(fresh.running.charged(), 16);
    let refusal = fresh.refuses(&again, 429, "request-rate");
    assert_eq!(refusal.retry_after(), Some(6));
    assert!(refusal.header("ratelimit").is_some());
}

#[test]
fn the_same_bytes_are_answered_again_and_charged_once_to_each_account() {
    let fresh = fresh(Setup::default());
    let body = request_of(16, 1);
    let first = evaluate("ada", body.clone()).send(fresh.running.public);
    let again = evaluate("ada", body.clone()).send(fresh.running.public);
    let decode = |answer: &Response| EvaluateResponse::decode(&answer.body).unwrap();
    assert_eq!(
        decode(&first).evaluated.encodings(),
        decode(&again).evaluated.encodings()
    );
    assert_eq!(again.header("ratelimit"), first.header("ratelimit"));
    assert_eq!(fresh.running.charged(), 16);
    let replayed = "blindbook_elements_total{kind=\"replayed\"}";
    assert_eq!(fresh.running.metric(replayed), 16);
    // From somebody else they cost, or stolen bytes would be a way around the quota.
    evaluate("bob", body.clone()).send(fresh.running.public);
    assert_eq!(fresh.running.charged(), 32);
    // Under another scope too.
    Request::evaluate(&enrol(), body).send(fresh.running.public);
    assert_eq!(fresh.running.charged(), 48);
}

/// A fresh blind makes other bytes of the same number: nobody can tell that it is the same, and it is paid for.
#[test]
fn the_same_number_in_another_batch_costs_again() {
    let fresh = fresh(Setup::default());
    let app = fresh.running.transport(Some(&discover("ada")));
    let once = service::evaluate(&app, EPOCH, &numbers(0..1));
    assert_eq!(fresh.running.charged(), 1);
    let again = service::evaluate(&app, EPOCH, &numbers(0..1));
    assert_eq!(fresh.running.charged(), 2);
    assert_eq!(once[0].expose(), again[0].expose());
}

/// Under another key the same bytes tell something new.
#[test]
fn after_the_key_was_rotated_the_same_request_costs_again() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), Setup::default());
    let mut body = request_of(16, 1);
    let sent = |running: &Running, body: &[u8]| evaluate("ada", body.to_vec()).send(running.public);
    assert_eq!(sent(&running, &body).status, 200);
    running.publish();
    running.stop();

    let rotated = Setup {
        epoch: Epoch::new(8),
        ..Setup::default()
    };
    let running = Running::start(folder.path(), rotated);
    // Until something is published, the manifest sends clients to the old epoch.
    assert_eq!(raw::get(running.operator, "/readyz").status, 503);
    assert_eq!(sent(&running, &body).problem(), "wrong-epoch");
    body[2..10].copy_from_slice(&8_u64.to_be_bytes());
    let answer = sent(&running, &body);
    assert_eq!(
        answer.header("ratelimit"),
        Some("\"account\";r=5088;t=28800")
    );
    assert_eq!(running.charged(), 16);
    running.publish();
    assert_eq!(raw::get(running.operator, "/readyz").status, 200);
    running.stop();
    // Nobody goes back: clients would refuse that.
    assert!(
        std::panic::catch_unwind(|| Running::start(folder.path(), Setup::default())).is_err(),
        "an epoch before the published one"
    );
}

#[test]
fn a_key_that_is_used_up_refuses() {
    let mut policy = Policy::default();
    policy.key.warn = 16;
    policy.key.refuse = 32;
    let fresh = fresh(Setup {
        policy,
        ..Setup::default()
    });
    for stream in 1..=2 {
        let answer = evaluate("ada", request_of(16, stream)).send(fresh.running.public);
        assert_eq!(answer.status, 200);
    }
    assert_eq!(fresh.running.metric("blindbook_key_warning"), 1);
    let refusal = fresh.refuses(&evaluate("ada", request_of(16, 3)), 503, "key-exhausted");
    assert_eq!(refusal.retry_after(), None);
}

#[test]
fn a_clock_that_cannot_be_believed_refuses() {
    static CLOCK: AtomicU64 = AtomicU64::new(NOW);
    let fresh = fresh(Setup {
        clock: || Timestamp::from_secs(CLOCK.load(Ordering::SeqCst)),
        ..Setup::default()
    });
    let good = evaluate("ada", request_of(16, 1));
    assert_eq!(good.send(fresh.running.public).status, 200);
    let years = 10 * 365 * 86_400;
    for clock in [NOW - years, NOW + years] {
        CLOCK.store(clock, Ordering::SeqCst);
        let mut claims = claims("ada", "discover");
        claims.exp = clock + 300;
        let credential = blindbook::http::credential::mint(&claims, SECRET).unwrap();
        let request = Request::evaluate(&credential, request_of(16, 2));
        fresh.refuses(&request, 503, "clock");
    }
    CLOCK.store(NOW, Ordering::SeqCst);
    assert_eq!(good.send(fresh.running.public).status, 200);
}

#[test]
fn registrars_are_refused_with_nothing_changed() {
    let fresh = fresh(Setup::default());
    let registrar = fresh.running.transport(Some(&enrol()));
    let good = enrolment(&registrar, EPOCH, &numbers(0..2), &everyone(NOW - 60));
    let put =
        |credential: &str, body: Vec<u8>| Request::new("PUT", "/v1/members", credential, body);

    // Whoever may look up may not enrol, delete, or learn by either who is a member.
    fresh.refuses(&put(&discover("ada"), good.clone()), 403, "wrong-scope");
    let delete = Request::new("DELETE", "/v1/members", &discover("ada"), good.clone());
    fresh.refuses(&delete, 403, "wrong-scope");

    // Labels of another length.
    let other_length = {
        let request = EnrolRequest::decode(&good).unwrap();
        let length = blindbook::label::LabelLength::new(9).unwrap();
        EnrolRequest::new(EPOCH, length, request.into_enrolments())
    };
    let other_length = other_length.unwrap().encode();
    fresh.refuses(&put(&enrol(), other_length), 409, "wrong-label-length");

    // A consent from the future leaves its member alone, and only that one.
    let future = enrolment(&registrar, EPOCH, &numbers(1..2), &everyone(NOW + 3_600));
    let mixed = {
        let future = EnrolRequest::decode(&future).unwrap().into_enrolments();
        let good = EnrolRequest::decode(&good).unwrap().into_enrolments();
        let both = future.into_iter().chain(good).collect();
        EnrolRequest::new(EPOCH, LABELS, both).unwrap().encode()
    };
    let refused = |index, error| [RefusedChange { index, error }];
    let sent = |message: &[u8]| {
        let answer = registrar.enrol(message).unwrap();
        MembersResponse::decode(&answer.body).unwrap()
    };
    let outcome = sent(&mixed);
    assert_eq!(outcome.refused, refused(0, ChangeError::ConsentInFuture));
    assert_eq!(outcome.changed, 2);
    assert_eq!(fresh.published(), 2);

    // A consent older than a decision not to be found.
    let hide = enrolment(&registrar, EPOCH, &numbers(0..1), &Setting::Nobody);
    registrar.enrol(&hide).unwrap();
    let outcome = sent(&good);
    assert_eq!(outcome.refused, refused(0, ChangeError::StaleConsent));
    assert_eq!(fresh.published(), 1);

    // One message isn't the other.
    let mut delete = Request::new("DELETE", "/v1/members", &enrol(), good);
    fresh.refuses(&delete, 400, "malformed-message");
    let nobody = RemoveRequest {
        epoch: EPOCH,
        unblinded: Vec::new(),
    };
    delete = Request::new("DELETE", "/v1/members", &enrol(), nobody.encode());
    fresh.refuses(&delete, 400, "malformed-message");
    assert_eq!(fresh.published(), 1);
}

/// An evaluation request that fits an answer for somebody else is caught by the client, not by luck.
#[test]
fn an_answer_to_another_request_does_not_verify() {
    let fresh = fresh(Setup::default());
    let client = blindbook::client::OprfClient::new(evaluation_key(EPOCH).public_key().clone());
    let expect = client.blind(&[b"tel:+447700900001"], 15, &mut system_random());
    let expect = expect.unwrap();
    let message = EvaluateRequest {
        epoch: EPOCH,
        blinded: expect.request().clone(),
    };
    let answer = evaluate("ada", message.encode()).send(fresh.running.public);
    assert_eq!(answer.status, 200);
    let other = evaluate("ada", request_of(16, 1)).send(fresh.running.public);
    let response = EvaluateResponse::decode(&other.body).unwrap();
    expect
        .finalize(&response.evaluated, &response.proof)
        .unwrap_err();
}

#[test]
fn nothing_is_published_at_first() {
    let fresh = fresh(Setup::default());
    let get = Request::new("GET", "/v1/manifest", "-", Vec::new());
    fresh.refuses(&get, 404, "nothing-published");
    let TransportError::Refused(problem) = fresh.running.transport(None).manifest().unwrap_err()
    else {
        panic!("not refused");
    };
    assert_eq!(problem.type_uri, "urn:blindbook:problem:nothing-published");
    assert!(segments(fresh.folder.path()).is_empty());
}

#[test]
fn other_paths_and_methods_are_refused() {
    let fresh = fresh(Setup::default());
    fresh.running.publish();
    for path in [
        "/",
        "/v1",
        "/v1/evaluate/",
        "/v2/evaluate",
        "/healthz",
        "/readyz",
        "/metrics",
        "/publish",
        "//v1/manifest",
        "/v1/members/x",
    ] {
        for method in ["GET", "POST"] {
            let request = Request::new(method, path, &enrol(), Vec::new());
            fresh.refuses(&request, 404, "not-found");
        }
    }
    for (method, path) in [
        ("GET", "/v1/evaluate"),
        ("PUT", "/v1/evaluate"),
        ("GET", "/v1/members"),
        ("POST", "/v1/members"),
        ("PATCH", "/v1/members"),
        ("DELETE", "/v1/manifest"),
        ("POST", "/v1/manifest"),
        ("BREW", "/v1/manifest"),
        ("OPTIONS", "/v1/evaluate"),
        ("TRACE", "/v1/evaluate"),
    ] {
        let request = Request::new(method, path, &enrol(), Vec::new());
        fresh.refuses(&request, 405, "method-not-allowed");
    }
}
