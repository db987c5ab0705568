//! The generic cell rate algorithm (ITU-T I.371, annex A) on integer microseconds.
//!
//! A bucket is one number: the *level*, the time at which it is full again. An element moves it
//! `interval` further, and must leave it within `capacity * interval` of now. No row means full. Since
//! nothing is ever divided on the way in, there is no drift.
//!
//! ```text
//!            now             level                now + capacity * interval
//! -----------|---- missing ----|---- remaining ----|------------------------> time
//! ```

use core::time::Duration;

use crate::server::Timestamp;

/// Microseconds of a day.
pub(crate) const DAY: u64 = 86_400_000_000;
/// Microseconds of an hour.
pub(super) const HOUR: u64 = DAY / 24;

/// What a bucket holds and how fast it fills, at every point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    initial: u32,
    capacity: u32,
    grows_from: Timestamp,
    grows_for: u64,
    interval: u64,
}

impl Limit {
    /// A bucket of fixed capacity that gains `refill` units in every `period`.
    ///
    /// The interval between two units is rounded up to a whole microsecond, so that nobody gets more
    /// than was said.
    pub(crate) fn new(capacity: u32, refill: u32, period: u64) -> Self {
        Self {
            initial: capacity,
            capacity,
            grows_from: Timestamp::from_micros(0),
            grows_for: 0,
            interval: period.div_ceil(u64::from(refill.max(1))),
        }
    }

    /// Lets the capacity grow linearly from `initial` over `micros` after `from`.
    pub(crate) fn growing(self, initial: u32, from: Timestamp, micros: u64) -> Self {
        Self {
            initial: initial.min(self.capacity),
            grows_from: from,
            grows_for: micros,
            ..self
        }
    }

    /// What a full bucket holds at `now`.
    #[must_use]
    pub fn capacity_at(&self, now: Timestamp) -> u32 {
        let age = micros(now.saturating_since(self.grows_from));
        if age >= self.grows_for {
            return self.capacity;
        }
        let growth =
            u128::from(self.capacity - self.initial) * u128::from(age) / u128::from(self.grows_for);
        self.initial + u32::try_from(growth).unwrap_or(0)
    }

    /// What the bucket holds at `now`.
    #[must_use]
    pub fn remaining(&self, level: Option<Timestamp>, now: Timestamp) -> u32 {
        let room = self
            .tolerance(now)
            .saturating_sub(u128::from(missing(level, now)));
        u32::try_from(room / u128::from(self.interval)).unwrap_or(u32::MAX)
    }

    /// The units gained in a period, from a full bucket on: the bound on what is ever drawn beyond its capacity.
    pub(crate) fn refilled_in(&self, micros: u64) -> u64 {
        micros / self.interval
    }

    /// Takes `cost` out of the bucket: the new level, or `None` if it doesn't hold that much.
    pub(crate) fn draw(
        &self,
        level: Option<Timestamp>,
        cost: u32,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let cost = u128::from(cost) * u128::from(self.interval);
        let missing = u128::from(missing(level, now)) + cost;
        if missing > self.tolerance(now) {
            return None;
        }
        let next = u128::from(now.as_micros()) + missing;
        u64::try_from(next)
            .ok()
            .filter(|&next| next <= Timestamp::MAX.as_micros())
            .map(Timestamp::from_micros)
    }

    /// How long after `now` the bucket first holds `cost`, exactly; `None` if it never will.
    pub(crate) fn wait(
        &self,
        level: Option<Timestamp>,
        cost: u32,
        now: Timestamp,
    ) -> Option<Duration> {
        let grown = self
            .grows_from
            .saturating_add(Duration::from_micros(self.grows_for));
        let full = level.unwrap_or(now).max(grown).max(now);
        self.draw(level, cost, full)?;
        // What the bucket holds never shrinks with time, so the first time that suffices can be bisected.
        let (mut too_early, mut enough) = (now.as_micros(), full.as_micros());
        while too_early < enough {
            let middle = too_early + (enough - too_early) / 2;
            if self
                .draw(level, cost, Timestamp::from_micros(middle))
                .is_some()
            {
                enough = middle;
            } else {
                too_early = middle + 1;
            }
        }
        Some(Duration::from_micros(enough - now.as_micros()))
    }

    /// The level of a bucket that may have been emptied at any time until `until`: as if that had been then.
    pub(crate) fn emptied(&self, level: Option<Timestamp>, until: Timestamp) -> Timestamp {
        let full = u128::from(until.as_micros()) + self.tolerance(until);
        let full = u64::try_from(full).map_or(Timestamp::MAX, Timestamp::from_micros);
        level
            .map_or(full, |level| level.max(full))
            .min(Timestamp::MAX)
    }

    fn tolerance(&self, now: Timestamp) -> u128 {
        u128::from(self.capacity_at(now)) * u128::from(self.interval)
    }
}

fn missing(level: Option<Timestamp>, now: Timestamp) -> u64 {
    level.map_or(0, |level| micros(level.saturating_since(now)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
