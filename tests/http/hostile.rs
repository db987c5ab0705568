//! Clients that are slow, rude, or gone.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use blindbook::http::Limits;

use crate::{
    raw::{self, Request},
    service::*,
};

fn start(limits: Limits) -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        limits: Limits {
            threads: 2,
            ..limits
        },
        ..Setup::default()
    };
    let running = Running::start(folder.path(), setup);
    (folder, running)
}

fn impatient() -> Limits {
    Limits {
        header_seconds: 1,
        body_seconds: 1,
        ..Limits::default()
    }
}

/// The service is as it was.
fn unharmed(running: &Running) {
    let answer = Request::evaluate(&discover("somebody"), request_of(16, 99)).send(running.public);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Reads to the end; what came isn't an answer to a request, if it is one at all.
fn turned_away(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    // A reset is as good an end as any.
    let _reset = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    assert!(
        bytes.is_empty() || text.starts_with("HTTP/1.1 4") || !text.contains("HTTP"),
        "{text}"
    );
}

/// Sends the head and waits until the service asks for the body, which is when the request has its place.
fn with_place(running: &Running, account: &str, body: Vec<u8>) -> (TcpStream, Vec<u8>) {
    let request = Request::evaluate(&discover(account), body).with("Expect", "100-continue");
    let mut stream = raw::connect(running.public);
    stream.write_all(&request.head()).unwrap();
    let mut invited = [0; 25];
    stream.read_exact(&mut invited).unwrap();
    assert_eq!(&invited, b"HTTP/1.1 100 Continue\r\n\r\n");
    (stream, request.body)
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let (_folder, running) = start(impatient());
    let request = Request::evaluate(&discover("ada"), request_of(16, 1)).bytes();
    for length in [0, 1, 30, 200] {
        let mut stream = raw::connect(running.public);
        stream.write_all(&request[..length]).unwrap();
        turned_away(stream);
    }
    // Nor for the second one on a connection.
    let mut stream = raw::connect(running.public);
    stream.write_all(&request).unwrap();
    assert_eq!(raw::receive(&mut stream).unwrap().status, 200);
    turned_away(stream);
    unharmed(&running);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let (_folder, running) = start(impatient());
    let request = Request::evaluate(&discover("ada"), request_of(16, 1));
    for sent in [0, 1, 523] {
        let mut stream = raw::connect(running.public);
        stream.write_all(&request.head()).unwrap();
        stream.write_all(&request.body[..sent]).unwrap();
        let answer = raw::receive(&mut stream).unwrap();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (408, "body-timeout")
        );
    }
    assert_eq!(running.charged(), 0);
    // Whoever hangs up in the middle isn't charged either.
    let mut stream = raw::connect(running.public);
    stream.write_all(&request.head()).unwrap();
    stream.write_all(&request.body[..100]).unwrap();
    drop(stream);
    unharmed(&running);
    assert_eq!(running.charged(), 16);
}

#[test]
fn a_handshake_that_does_not_end_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        limits: impatient(),
        tls: Some(Tls::new()),
        ..Setup::default()
    };
    let running = Running::start(folder.path(), setup);
    // Nothing; the first bytes of a ClientHello; something else; plain HTTP.
    let beginnings: [&[u8]; 4] = [
        b"",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01],
        &[0xff; 64],
        b"GET /v1/manifest HTTP/1.1\r\nHost: here\r\n\r\n",
    ];
    for beginning in beginnings {
        let mut stream = raw::connect(running.public);
        stream.write_all(beginning).unwrap();
        turned_away(stream);
    }
    running.publish();
    running.transport(None).manifest().unwrap();
    running.stop();
}

/// A phone in a tunnel. It asked once, so it isn't a slow head; and it doesn't answer the pings that follow.
#[test]
fn who_vanishes_from_http_2_is_not_waited_for() {
    let (_folder, running) = start(impatient());
    running.publish();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        [&head, payload].concat()
    };
    // RFC 7541: GET, http, and literals for path and authority.
    let headers = [
        &[0x82, 0x86, 0x04, 12][..],
        b"/v1/manifest",
        &[0x01, 4],
        b"here",
    ]
    .concat();
    let mut stream = raw::connect(running.public);
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).unwrap();
    stream.write_all(&frame(1, 5, 1, &headers)).unwrap();
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes);
    // The answer was there: the manifest names its service.
    let name = SERVICE.as_bytes();
    assert!(bytes.windows(name.len()).any(|window| window == name));
    unharmed(&running);
}

#[test]
fn what_is_no_request_is_turned_away() {
    let (_folder, running) = start(impatient());
    let huge = format!(
        "GET /v1/manifest HTTP/1.1\r\nHost: here\r\nX: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    let many = "X: y\r\n".repeat(1_000);
    let many = format!("GET /v1/manifest HTTP/1.1\r\nHost: here\r\n{many}\r\n");
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: here\r\n\r\n",
        "a".repeat(100_000)
    );
    let garbage: [&[u8]; 12] = [
        b"\0\0\0\0\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /v1/manifest\r\n\r\n",
        b"GET /v1/manifest HTTP/9.9\r\n\r\n",
        b"GET /v1/manifest HTTP/1.1\r\nHost here\r\n\r\n",
        b"POST /v1/evaluate HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /v1/evaluate HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/evaluate HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n",
        huge.as_bytes(),
        many.as_bytes(),
        long.as_bytes(),
    ];
    for bytes in garbage {
        let mut stream = raw::connect(running.public);
        let _refused_early = stream.write_all(bytes);
        let _gone = stream.shutdown(Shutdown::Write);
        turned_away(stream);
    }
    unharmed(&running);
    // An old client is one all the same.
    running.publish();
    let old = raw::exchange(running.public, b"GET /v1/manifest HTTP/1.0\r\n\r\n");
    assert_eq!(old.status, 200);
}

/// A proxy that sees one request where we see two would let the second one through unseen.
#[test]
fn a_request_is_not_smuggled_behind_another() {
    let (_folder, running) = start(impatient());
    running.publish();
    let hidden = "GET /v1/manifest HTTP/1.1\r\nHost: here\r\n\r\n";
    let request = Request::evaluate(&discover("ada"), Vec::new())
        .without("content-length")
        .with("Content-Length", &(5 + hidden.len()).to_string())
        .with("Transfer-Encoding", "chunked");
    let mut bytes = request.head();
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes.extend_from_slice(hidden.as_bytes());
    let mut stream = raw::connect(running.public);
    stream.write_all(&bytes).unwrap();
    assert_eq!(raw::receive(&mut stream).unwrap().status, 400);
    assert!(raw::receive(&mut stream).is_none_or(|second| second.status >= 400));
}

#[test]
fn a_refusal_does_not_wait_for_the_body() {
    let (_folder, running) = start(Limits::default());
    let good = Request::evaluate(&discover("ada"), request_of(16, 1));
    for (spoilt, name) in [
        (good.clone().without("content-type"), "wrong-media-type"),
        (good.clone().without("authorization"), "bad-credential"),
        (
            good.without("content-length")
                .with("Content-Length", "999999999"),
            "body-too-large",
        ),
    ] {
        let mut stream = raw::connect(running.public);
        stream
            .write_all(&spoilt.with("Expect", "100-continue").head())
            .unwrap();
        assert_eq!(raw::receive(&mut stream).unwrap().problem(), name);
    }
}

#[test]
fn without_room_a_request_is_refused_and_told_when_to_come_back() {
    let (_folder, running) = start(Limits {
        requests: 2,
        ..Limits::default()
    });
    let held = [
        with_place(&running, "ada", request_of(16, 1)),
        with_place(&running, "bob", request_of(16, 2)),
    ];
    let third = Request::evaluate(&discover("eve"), request_of(16, 3));
    let refusal = third.send(running.public);
    assert_eq!(
        (refusal.status, refusal.problem().as_str()),
        (503, "overloaded")
    );
    assert_eq!(refusal.retry_after(), Some(1));
    assert_eq!(running.charged(), 0);
    for (mut stream, body) in held {
        stream.write_all(&body).unwrap();
        assert_eq!(raw::receive(&mut stream).unwrap().status, 200);
    }
    assert_eq!(third.send(running.public).status, 200);
}

/// An account could keep all the room there is by sending slowly, at no cost: what isn't there yet isn't charged.
#[test]
fn one_account_does_not_take_the_room_of_everybody() {
    let (_folder, running) = start(Limits {
        requests: 8,
        requests_per_account: 2,
        ..Limits::default()
    });
    let held = [
        with_place(&running, "ada", request_of(16, 1)),
        with_place(&running, "ada", request_of(16, 2)),
    ];
    let third = Request::evaluate(&discover("ada"), request_of(16, 3));
    let refusal = third.send(running.public);
    assert_eq!(
        (refusal.status, refusal.problem().as_str()),
        (429, "request-rate")
    );
    assert_eq!(refusal.retry_after(), Some(1));
    let other = Request::evaluate(&discover("bob"), request_of(16, 4));
    assert_eq!(other.send(running.public).status, 200);
    let [first, (mut second, body)] = held;
    second.write_all(&body).unwrap();
    assert_eq!(raw::receive(&mut second).unwrap().status, 200);
    assert_eq!(third.send(running.public).status, 200);
    drop(first);
}

#[test]
fn a_full_queue_of_arithmetic_refuses_before_it_charges() {
    let (_folder, running) = start(Limits {
        queued_elements: 1_024,
        ..Limits::default()
    });
    let mut refused = false;
    for stream in 0..5 {
        // Fills the queue and keeps it for a while.
        let public = running.public;
        let large = Request::evaluate(&enrol(), request_of(65_535, stream));
        let large = thread::spawn(move || large.send(public).status);
        while running.metric("blindbook_compute_queue_elements") == 0 && !large.is_finished() {
            thread::yield_now();
        }
        let charged = running.charged();
        let answer = Request::evaluate(&discover("ada"), request_of(16, 100 + stream)).send(public);
        if answer.status == 503 {
            assert_eq!(answer.problem(), "overloaded");
            assert_eq!(answer.retry_after(), Some(2));
            let by_large = running.charged() - charged;
            assert!(by_large == 0 || by_large == 65_535, "{by_large}");
            refused = true;
        }
        assert_eq!(large.join().unwrap(), 200);
        if refused {
            break;
        }
    }
    assert!(refused, "the queue was never full");
    unharmed(&running);
}

/// The debit is durable before the answer leaves; so somebody who doesn't get the answer has paid, and gets it for
/// the same bytes.
#[test]
fn who_hangs_up_before_the_answer_gets_it_later_for_nothing() {
    let (_folder, running) = start(Limits::default());
    let request = Request::evaluate(&enrol(), request_of(4_096, 1));
    let mut stream = raw::connect(running.public);
    stream.write_all(&request.bytes()).unwrap();
    while running.charged() == 0 {
        thread::yield_now();
    }
    drop(stream);
    let answer = request.send(running.public);
    assert_eq!(answer.status, 200);
    assert_eq!(running.charged(), 4_096);
    assert_eq!(
        running.metric("blindbook_elements_total{kind=\"replayed\"}"),
        4_096
    );
    // The work that nobody waited for ends too, and its place is free again.
    while running.metric("blindbook_compute_queue_elements") > 0 {
        thread::yield_now();
    }
}

#[test]
fn a_request_that_takes_too_long_is_given_up() {
    let (_folder, running) = start(Limits {
        total_seconds: 1,
        ..Limits::default()
    });
    let (mut stream, _) = with_place(&running, "ada", request_of(16, 1));
    let answer = raw::receive(&mut stream).unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (504, "timeout"));
    unharmed(&running);
}
