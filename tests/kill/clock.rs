//! One clock for all lives: it begins at the time that the tests live in and goes as fast as the machine's.

use std::{env, sync::OnceLock, time::SystemTime};

use blindbook::Timestamp;

use crate::service::NOW;

pub const BEGINNING: &str = "BLINDBOOK_BEGINNING";

fn system() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// When the clock began, by the machine's clock: now, or as the process that started this one says.
pub fn beginning() -> u64 {
    static BASE: OnceLock<u64> = OnceLock::new();
    *BASE.get_or_init(|| env::var(BEGINNING).map_or_else(|_| system(), |at| at.parse().unwrap()))
}

pub fn clock() -> Timestamp {
    let beginning = beginning();
    Timestamp::from_micros(NOW * 1_000_000 + system().saturating_sub(beginning))
}
