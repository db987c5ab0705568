//! A web server that has segments and nothing else, and may be a bad one.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "shared by several tests"
)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use blindbook::http_client::{Endpoint, Transport};

#[derive(Default)]
pub struct Mirror {
    pub segments: BTreeMap<String, Vec<u8>>,
    /// How many more bytes of segments it sends before it goes silent for good.
    pub budget: Option<usize>,
    /// How many bytes it sends in an answer before it breaks off.
    pub breaks_off: Option<usize>,
    /// Whether it then keeps the connection open and says nothing.
    pub stalls: bool,
    /// Whether it knows no ranges.
    pub no_ranges: bool,
    /// Pieces of this size, with a rest between them.
    pub piece: Option<usize>,
    /// What was asked for: which segment, and from where to where.
    pub asked: Vec<(String, Option<(usize, usize)>)>,
    pub sent: usize,
}

pub struct Served {
    pub mirror: Arc<Mutex<Mirror>>,
    pub url: String,
}

impl Served {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mirror = Arc::new(Mutex::new(Mirror::default()));
        let shared = Arc::clone(&mirror);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { mirror, url }
    }

    pub fn put(&self, segment: &[u8]) {
        let name = id_of(segment);
        let mut mirror = self.mirror.lock().unwrap();
        mirror.segments.insert(name, segment.to_vec());
    }

    pub fn change(&self, change: impl FnOnce(&mut Mirror)) {
        change(&mut self.mirror.lock().unwrap());
    }

    /// What was asked for since this was called last.
    pub fn asked(&self) -> Vec<(String, Option<(usize, usize)>)> {
        std::mem::take(&mut self.mirror.lock().unwrap().asked)
    }

    pub fn sent(&self) -> usize {
        std::mem::take(&mut self.mirror.lock().unwrap().sent)
    }

    pub fn transport(&self) -> Transport {
        let mut endpoint = Endpoint::new(&self.url);
        endpoint.allow_plaintext = true;
        endpoint.timeout = Duration::from_millis(500);
        Transport::new(endpoint).unwrap()
    }
}

pub fn id_of(segment: &[u8]) -> String {
    let id = super::published::entry(segment).id;
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(stream: TcpStream, mirror: &Mutex<Mirror>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut out = stream;
    while let Some((name, range)) = request(&mut reader) {
        let (head, body, stalls, piece) = {
            let mut mirror = mirror.lock().unwrap();
            let Some(whole) = mirror.segments.get(&name).cloned() else {
                mirror.asked.push((name, range));
                let _sent = out.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                continue;
            };
            mirror.asked.push((name, range));
            let ranged = range.filter(|_| !mirror.no_ranges);
            let (head, body) = match ranged {
                Some((from, to)) => {
                    let part = whole[from..=to].to_vec();
                    let range = format!("bytes {from}-{to}/{}", whole.len());
                    (
                        format!("206 Partial Content\r\nContent-Range: {range}"),
                        part,
                    )
                }
                None => ("200 OK".to_owned(), whole),
            };
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
            let mut length = body.len();
            length = length.min(mirror.breaks_off.unwrap_or(length));
            length = length.min(mirror.budget.unwrap_or(length));
            mirror.budget = mirror.budget.map(|budget| budget - length);
            mirror.sent += length;
            let complete = length == body.len();
            let body = body[..length].to_vec();
            let stalls = (!complete).then_some(mirror.stalls);
            (head, body, stalls, mirror.piece)
        };
        let _sent = out.write_all(head.as_bytes());
        for piece in body.chunks(piece.unwrap_or(usize::MAX)) {
            if out.write_all(piece).is_err() {
                return;
            }
            if piece.len() < body.len() {
                thread::sleep(Duration::from_millis(5));
            }
        }
        match stalls {
            None => {}
            Some(true) => {
                // Until the other side goes.
                let _gone = request(&mut reader);
                return;
            }
            Some(false) => return,
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Option<(usize, usize)>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let name = line.split(' ').nth(1)?.rsplit('/').next()?.to_owned();
    let (mut range, mut same) = (None, None);
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((key, value)) = line.trim().split_once(": ") else {
            break;
        };
        if key.eq_ignore_ascii_case("range") {
            let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
            range = Some((from.parse().ok()?, to.parse().ok()?));
        }
        if key.eq_ignore_ascii_case("if-range") {
            same = Some(value == format!("\"{name}\""));
        }
        assert!(!key.eq_ignore_ascii_case("authorization"));
    }
    assert_eq!(range.is_some(), same == Some(true));
    Some((name, range))
}
