//! A service with the real charging function and the real detection, on a simulated clock, and a count of what comes of it.

use std::{collections::BTreeMap, num::NonZeroU32};

use blindbook::{
    Timestamp,
    oprf::Epoch,
    server::{
        detect::{Signal, accounts, networks},
        policy::Policy,
        quota::{Charge, ChargeOutcome, Day, Hour, Meter, Origin, Receipt, Refusal, Scope, charge},
    },
};

use super::{outcome::Measured, population::DAY, rows, rows::Rows};

/// The first simulated microsecond: noon, so that days of the simulation and of the calendar don't agree.
pub(super) const BEGINNING: u64 = 20_000 * DAY + DAY / 2;

/// A request, as an app or an attacker makes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) account: u64,
    pub(super) created: u64,
    pub(super) origin: Origin,
    pub(super) elements: u32,
    /// What tells requests apart.
    pub(super) serial: u64,
    pub(super) at: u64,
}

pub(super) struct World {
    policy: Policy,
    rows: Rows,
    serial: u64,
    /// The hour of the latest request.
    hour: Hour,
    signals: Vec<Signal>,
    /// The day's limits, as receipts tell them.
    limits: BTreeMap<(Meter, Day), u64>,
}

impl World {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            rows: Rows::default(),
            serial: 0,
            hour: Hour::new(0),
            signals: Vec::new(),
            limits: BTreeMap::new(),
        }
    }

    /// A number that no request had yet.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Makes another policy hold from now on.
    pub(super) fn decree(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Closes the hour that is open, as a service does once it is over.
    pub(super) fn close(&mut self) {
        let (page, crowds) = self.rows.close(self.hour);
        let rules = &self.policy.detect;
        let refill = self.policy.account.refill_per_day;
        let Ok(found) = accounts(&mut self.rows, rules, refill, self.hour, &page);
        self.signals.extend(found);
        let Ok(found) = networks(&mut self.rows, rules, self.hour, &crowds);
        self.signals.extend(found);
    }

    /// The signals since somebody took them.
    pub(super) fn take_signals(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.signals)
    }

    pub(super) fn ask(&mut self, ask: &Ask) -> Result<Receipt, Refusal> {
        let hour = Hour::of(Timestamp::from_micros(ask.at));
        if hour > self.hour {
            self.close();
            self.hour = hour;
        }
        let debit = self.policy.debit(Charge {
            account: rows::account(ask.account),
            scope: Scope::Discover,
            account_created: Timestamp::from_micros(ask.created),
            origin: ask.origin,
            elements: NonZeroU32::new(ask.elements).unwrap_or(NonZeroU32::MIN),
            request_digest: rows::digest(ask.serial),
            epoch: Epoch::new(1),
            at: Timestamp::from_micros(ask.at),
        });
        let Ok(outcome) = charge(&mut self.rows, &debit);
        match outcome {
            ChargeOutcome::Admitted(receipt) => {
                self.note(ask.at, &receipt);
                Ok(receipt)
            }
            ChargeOutcome::Refused(refusal) => Err(refusal),
            _ => unreachable!("a charge is admitted or refused"),
        }
    }

    fn note(&mut self, at: u64, receipt: &Receipt) {
        let today = Day::of(Timestamp::from_micros(at));
        for (meter, usage) in [
            (Meter::Young, &receipt.young),
            (Meter::Service, &receipt.service),
        ] {
            if let Some(usage) = usage {
                self.limits.insert((meter, today), usage.limit);
            }
        }
    }

    /// [`Self::ask`] for something that nobody asked for before.
    pub(super) fn ask_once(&mut self, ask: &Ask) -> Result<Receipt, Refusal> {
        let serial = self.serial();
        self.ask(&Ask { serial, ..*ask })
    }

    /// What a meter has counted on the day of a point in time, and what it would have allowed.
    pub(super) fn measured(&self, meter: Meter, at: u64) -> Measured {
        let key = (meter, Day::of(Timestamp::from_micros(at)));
        Measured {
            charged: self.rows.days.get(&key).map_or(0, |row| row.charged),
            limit: self.limits.get(&key).copied().unwrap_or(0),
        }
    }

    /// Makes the busiest day so far the baseline of all days so far, as if the operator had raised the floor in time.
    /// Returns it.
    pub(super) fn settle(&mut self, meter: Meter) -> u64 {
        let days = self.rows.days.iter().filter(|((of, _), _)| *of == meter);
        let most = days.map(|(_, row)| row.charged).max().unwrap_or(0);
        for ((of, _), row) in &mut self.rows.days {
            if *of == meter {
                row.baseline = most;
            }
        }
        most
    }
}
