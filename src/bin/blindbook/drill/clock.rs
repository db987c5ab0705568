//! The clock of a drill: it stands still until the drill lets time pass.

use std::sync::atomic::{AtomicU64, Ordering};

use blindbook::Timestamp;

pub(super) const HOUR: u64 = 3_600;

/// 2026-11-02T00:00:00Z.
const BEGIN: u64 = 1_793_577_600;

static SECONDS: AtomicU64 = AtomicU64::new(BEGIN);

pub(super) fn begin() {
    SECONDS.store(BEGIN, Ordering::SeqCst);
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_secs(seconds())
}

pub(super) fn seconds() -> u64 {
    SECONDS.load(Ordering::SeqCst)
}

pub(super) fn pass(seconds: u64) {
    SECONDS.fetch_add(seconds, Ordering::SeqCst);
}
