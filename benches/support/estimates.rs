//! What criterion measured in this run, read from the files that it leaves.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::Value;

pub(crate) struct Estimates {
    since: SystemTime,
}

impl Estimates {
    /// Knows what is measured from now on; what earlier runs left doesn't count.
    pub(crate) fn from_now_on() -> Self {
        Self {
            since: SystemTime::now(),
        }
    }

    /// Where criterion is told to leave its files.
    pub(crate) fn folder() -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("../criterion")
    }

    /// Microseconds an element, by the median; nothing if it wasn't measured.
    pub(crate) fn micros(&self, group: &str, function: &str, count: usize) -> Option<f64> {
        let file = Self::folder()
            .join(group)
            .join(function)
            .join(count.to_string())
            .join("new/estimates.json");
        if fs::metadata(&file).ok()?.modified().ok()? < self.since {
            return None;
        }
        let estimates: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let nanoseconds = estimates["median"]["point_estimate"].as_f64()?;
        Some(nanoseconds / 1e3 / count as f64)
    }
}
