//! The transport against a service that is one canned answer.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use blindbook::http_client::{Endpoint, QuotaState, Transport, TransportError};
use zeroize::Zeroizing;

/// Answers one request on loopback and returns what came.
fn service(answer: &'static [u8], body_length: usize) -> (String, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let end = request.windows(4).position(|window| window == b"\r\n\r\n");
            if end.is_some_and(|end| request.len() >= end + 4 + body_length) {
                break;
            }
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the request ended early");
            request.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer).unwrap();
        request
    });
    (url, served)
}

fn transport(url: &str) -> Transport {
    let mut endpoint = Endpoint::new(url);
    endpoint.allow_plaintext = true;
    endpoint.credential = Some(Zeroizing::new("secret-token".to_owned()));
    Transport::new(endpoint).unwrap()
}

#[test]
fn a_message_is_sent_with_its_type_length_and_credential() {
    let (url, served) = service(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRateLimit: \"account\";r=960;t=9\r\n\
          RateLimit-Policy: \"account\";q=1024\r\n\r\nok",
        3,
    );
    let answer = transport(&url).evaluate(b"abc").unwrap();
    assert_eq!(answer.body, b"ok");
    let quota = QuotaState {
        remaining: 960,
        capacity: Some(1_024),
    };
    assert_eq!(answer.quota, Some(quota));
    let request = String::from_utf8(served.join().unwrap())
        .unwrap()
        .to_lowercase();
    assert!(request.starts_with("post /v1/evaluate http/1.1\r\n"));
    assert!(request.contains("\r\ncontent-type: application/vnd.blindbook.v1+octets\r\n"));
    assert!(request.contains("\r\ncontent-length: 3\r\n"));
    assert!(request.contains("\r\nauthorization: bearer secret-token\r\n"));
    assert!(request.ends_with("\r\n\r\nabc"));
}

/// Who fetches a segment must not be known from a credential.
#[test]
fn downloads_carry_no_credential() {
    let (url, served) = service(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 0);
    assert_eq!(transport(&url).segment(&[0xab; 32], 3).unwrap(), b"abc");
    let request = String::from_utf8(served.join().unwrap())
        .unwrap()
        .to_lowercase();
    assert!(request.starts_with(&format!("get /v1/segments/{} ", "ab".repeat(32))));
    assert!(!request.contains("authorization"));
}

#[test]
fn a_segment_of_another_size_is_refused() {
    for answer in [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab".as_slice(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
    ] {
        let (url, _served) = service(answer, 0);
        let refused = transport(&url).segment(&[0; 32], 3).unwrap_err();
        assert!(matches!(refused, TransportError::BadAnswer(_)));
    }
}

#[test]
fn a_refusal_says_why_and_when_to_come_back() {
    let (url, _served) = service(
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n\
          Retry-After: 900\r\nContent-Length: 66\r\n\r\n\
          {\"type\":\"urn:x:quota\",\"title\":\"quota exhausted\",\"detail\":\"later\"}   ",
        3,
    );
    let TransportError::Refused(problem) = transport(&url).evaluate(b"abc").unwrap_err() else {
        panic!("not a refusal");
    };
    assert_eq!((problem.status, problem.retry_after), (429, Some(900)));
    assert_eq!(problem.type_uri, "urn:x:quota");
    assert_eq!(problem.title, "quota exhausted");
}

#[test]
fn nobody_there_is_not_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = transport(&url).manifest().unwrap_err();
    assert!(matches!(error, TransportError::Unreachable(_)));
}

#[test]
fn plain_http_has_to_be_asked_for() {
    for url in ["http://127.0.0.1:1", "ftp://127.0.0.1", "127.0.0.1"] {
        let refused = Transport::new(Endpoint::new(url)).unwrap_err();
        assert!(matches!(refused, TransportError::Configuration(_)), "{url}");
    }
}

#[test]
fn a_credential_is_not_printed() {
    let shown = format!("{:?}", transport("http://127.0.0.1:1"));
    assert!(!shown.contains("secret-token"));
}
