//! A service that is asked again and again doesn't grow.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "modules of one test"
)]
#![allow(unsafe_code, reason = "an allocator that counts")]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/service.rs"]
mod service;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
};

use service::{Running, Setup};

/// Bytes that are allocated and not freed.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is left to the system's allocator, as it was asked for.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is this one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is this one, and `memory` is from `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Sends the same request on one connection, so many times.
fn ask(stream: &mut TcpStream, times: usize) {
    let mut answer = Vec::with_capacity(4_096);
    for _ in 0..times {
        stream
            .write_all(b"GET /v1/nothing HTTP/1.1\r\nHost: here\r\n\r\n")
            .unwrap();
        answer.clear();
        // The problem is a document.
        while !answer.ends_with(b"}") {
            let mut part = [0; 1_024];
            let length = stream.read(&mut part).unwrap();
            assert!(length > 0, "the connection has ended");
            answer.extend_from_slice(&part[..length]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 404"));
    }
}

#[test]
fn requests_leave_nothing_in_memory_if_nobody_reads_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), Setup::default());
    let mut stream = TcpStream::connect(running.public).unwrap();
    stream.set_nodelay(true).unwrap();
    ask(&mut stream, 5_000);
    let before = LIVE.load(Ordering::Relaxed);
    ask(&mut stream, 20_000);
    let grown = LIVE.load(Ordering::Relaxed).saturating_sub(before);
    // Five bytes a request: less than a number for each.
    assert!(grown < 100_000, "{grown} bytes");
    drop(stream);
    running.stop();
}
