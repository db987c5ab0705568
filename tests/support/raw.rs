//! HTTP/1.1 byte by byte, for requests that no client library sends.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "shared by several tests"
)]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use blindbook::wire::MEDIA_TYPE;

/// So long that only a service that hangs runs into it.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let first = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        first
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The name of the problem; checks everything that all problem documents have in common.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(document["status"], self.status);
        assert!(!document["title"].as_str().unwrap().is_empty());
        let uri = document["type"].as_str().unwrap();
        let name = uri.strip_prefix(blindbook::http::problem::NAMESPACE);
        name.unwrap().to_owned()
    }

    pub fn retry_after(&self) -> Option<u64> {
        self.header("retry-after")
            .map(|value| value.parse().unwrap())
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one response, `None` if the connection ends without one.
pub fn receive(stream: &mut impl Read) -> Option<Response> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if !more(stream, &mut bytes) {
            assert!(bytes.is_empty(), "half a response");
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        })
        .collect();
    let mut response = Response {
        status: status.parse().unwrap(),
        headers,
        body: bytes[end + 4..].to_vec(),
    };
    let length = response
        .header("content-length")
        .map(|length| length.parse().unwrap());
    let length = match response.status {
        304 => 0,
        _ => length.unwrap_or(usize::MAX),
    };
    while response.body.len() < length {
        if !more(stream, &mut response.body) {
            assert_eq!(length, usize::MAX, "half a body");
            break;
        }
    }
    Some(response)
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 65_536];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            bytes.extend_from_slice(&buffer[..count]);
            true
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
        Err(error) => panic!("{error}"),
    }
}

/// Sends bytes on a connection of their own. A service that answers before it has read everything may close.
pub fn exchange(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = connect(address);
    let _refused_early = stream.write_all(request);
    receive(&mut stream).expect("an answer")
}

pub fn get(address: SocketAddr, path: &str) -> Response {
    exchange(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes(),
    )
}

/// A request of ours, to be spoilt by the test.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &'static str, path: &str, credential: &str, body: Vec<u8>) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: Vec::from([
                ("Host".to_owned(), "here".to_owned()),
                ("Content-Type".to_owned(), MEDIA_TYPE.to_owned()),
                ("Authorization".to_owned(), format!("Bearer {credential}")),
                ("Content-Length".to_owned(), body.len().to_string()),
            ]),
            body,
        }
    }

    pub fn evaluate(credential: &str, body: Vec<u8>) -> Self {
        Self::new("POST", "/v1/evaluate", credential, body)
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn send(&self, address: SocketAddr) -> Response {
        exchange(address, &self.bytes())
    }
}
