//! The one charging function.

use core::time::Duration;

use super::{
    Bucket, ChargeOutcome, ChargeRows, Claim, Day, DayRow, Debit, Draw, Hour, Meter, MeterRule,
    Purpose, QuotaStatus, Receipt, Refusal, RefusalReason, Shares, Suspect, Usage,
    activity::{Asked, record},
    meter::day_row,
};
use crate::server::Timestamp;

/// When whoever is refused because of the ledger comes back.
const SEALED_SOON: Duration = Duration::from_secs(60);

/// Decides on a charge and takes the debit: the single charging function of the service.
///
/// To be run by a store inside one atomic step. In this order:
///
/// 1. *Clock.* A little behind the latest charge counts as that time; so a clock that goes back gives
///    nothing. Further off, either way, everything is refused and nothing changes. A jump ahead within the
///    limit fills each bucket, once.
/// 2. *Ledger.* While anything that was charged more than [a day](Hour::LATEST_SEALED) ago isn't sealed, nothing is
///    evaluated: what can't be written down doesn't happen.
/// 3. *Suspensions*, of the account, of its network, of all young accounts.
/// 4. *Request rate.* Refused requests are drawn too, from here on: guessing at the quota isn't free.
/// 5. *Repeated request.* Within 24 hours: admitted, and no elements are drawn.
/// 6. *Size*, *key budget*.
/// 7. *Elements*: of the account; of its networks and of all young accounts while it is young; of everybody. All
///    draws are decided before the first one is written, and either all are written or none. A carry-over is drawn from the
///    account's [`Claim`] instead, and from nothing else.
///
/// If rows were [lost](ChargeRows::lost_until), every bucket is taken to have been emptied, and the day's meters to have been used
/// up, when that ended. Only the bucket of an account that was made an hour or more later, as its credential says, starts full.
///
/// Whatever is decided from the request rate on is counted in the hour's [`Activity`](super::Activity), in the same step.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn charge<R: ChargeRows>(rows: &mut R, debit: &Debit) -> Result<ChargeOutcome, R::Error> {
    let latest = rows.latest()?.unwrap_or(debit.at);
    let now = latest.max(debit.at);
    let lost = rows.lost_until()?;
    let level = debit.level(rows.level(&debit.elements.bucket)?, lost);
    let status = match debit.purpose {
        Purpose::Evaluation => debit.status(level, now),
        Purpose::CarryOver => debit.claim_status(rows.claim(&debit.account)?),
    };
    let refuse = |reason, retry_after| Ok(refused(reason, retry_after, status));

    if debit.at.saturating_add(debit.clock_back) < latest {
        let wait = latest.saturating_since(debit.at.saturating_add(debit.clock_back));
        return refuse(RefusalReason::ClockWentBack, Some(wait));
    }
    if debit.at > latest.saturating_add(debit.clock_ahead) {
        return refuse(RefusalReason::ClockJumpedAhead, None);
    }
    let open = rows.oldest_open()?;
    if open.is_some_and(|open| Hour::of(now).since(open) > Hour::LATEST_SEALED) {
        return refuse(RefusalReason::LedgerBehind, Some(SEALED_SOON));
    }
    if let Some((reason, until)) = suspension(rows, debit, now)? {
        let wait = (until < Timestamp::MAX).then(|| until.saturating_since(now));
        return refuse(reason, wait);
    }
    let outcome = draw(rows, debit, level, lost, status, now)?;
    record(rows, debit, now, asked(debit, &outcome))?;
    Ok(outcome)
}

/// Draws the request and, if all limits allow it, its elements.
fn draw<R: ChargeRows>(
    rows: &mut R,
    debit: &Debit,
    level: Option<Timestamp>,
    lost: Option<Timestamp>,
    status: QuotaStatus,
    now: Timestamp,
) -> Result<ChargeOutcome, R::Error> {
    let refuse = |reason, retry_after| Ok(refused(reason, retry_after, status));
    let requests = &debit.requests;
    let requests_level = emptied(requests, rows.level(&requests.bucket)?, lost);
    let Some(requests_level) = requests.limit.draw(requests_level, 1, now) else {
        let wait = requests.limit.wait(requests_level, 1, now);
        return refuse(RefusalReason::RequestRate, wait);
    };
    rows.set_level(&requests.bucket, requests_level)?;
    rows.set_latest(now)?;

    let evaluations = rows.evaluations(debit.epoch)?;
    let replayed = rows
        .charged(&debit.replay_key, now)?
        .is_some_and(|then| now.saturating_since(then) < debit.replay_window);
    if replayed {
        return Ok(ChargeOutcome::Admitted(Receipt {
            status,
            replayed,
            key_evaluations: evaluations,
            young: None,
            service: None,
        }));
    }

    let count = debit.count.get();
    if count > debit.elements_per_request {
        let limit = debit.elements_per_request;
        return refuse(RefusalReason::RequestTooLarge { limit }, None);
    }
    let claim = match debit.shared {
        // Who enrols carries nothing over.
        None => None,
        Some(_) => rows.claim(&debit.account)?,
    };
    if debit.purpose == Purpose::CarryOver {
        let Some(claim) = Claim::carried_over(claim, debit.epoch, count) else {
            return refuse(RefusalReason::CarryOver, None);
        };
        rows.set_claim(&debit.account, claim)?;
        rows.set_charged(&debit.replay_key, now)?;
        return Ok(ChargeOutcome::Admitted(Receipt {
            status: debit.claim_status(Some(claim)),
            replayed,
            key_evaluations: evaluations,
            young: None,
            service: None,
        }));
    }
    let evaluations = evaluations.saturating_add(u64::from(count));
    if evaluations > debit.key_budget {
        return refuse(RefusalReason::KeyBudget, None);
    }
    let mut plan = Plan::new(now, count, lost);
    plan.bucket(&debit.elements, level, RefusalReason::Elements);
    if let Some(shares) = &debit.shared {
        plan.shares(rows, shares)?;
    }
    if let Some((reason, wait)) = plan.missing {
        let request_wait = requests.limit.wait(Some(requests_level), 1, now);
        return refuse(reason, wait.zip(request_wait).map(|(a, b)| a.max(b)));
    }
    plan.write(rows)?;
    if debit.shared.is_some() {
        let claim = Claim::evaluated(claim, debit.epoch, count);
        rows.set_claim(&debit.account, claim)?;
    }
    rows.set_evaluations(debit.epoch, evaluations)?;
    rows.set_charged(&debit.replay_key, now)?;
    Ok(ChargeOutcome::Admitted(Receipt {
        status: debit.status(plan.level(), now),
        replayed,
        key_evaluations: evaluations,
        young: plan.usage(Meter::Young),
        service: plan.usage(Meter::Service),
    }))
}

fn asked(debit: &Debit, outcome: &ChargeOutcome) -> Asked {
    match outcome {
        ChargeOutcome::Refused(_) => Asked {
            refused: true,
            ..Asked::default()
        },
        ChargeOutcome::Admitted(receipt) if receipt.replayed => Asked::default(),
        ChargeOutcome::Admitted(_) if debit.purpose == Purpose::CarryOver => Asked {
            carried: debit.count.get(),
            ..Asked::default()
        },
        ChargeOutcome::Admitted(receipt) => Asked {
            elements: debit.count.get(),
            emptied: receipt.status.remaining < receipt.status.capacity / 10,
            ..Asked::default()
        },
    }
}

/// Who is suspended, and until when.
fn suspension<R: ChargeRows>(
    rows: &mut R,
    debit: &Debit,
    now: Timestamp,
) -> Result<Option<(RefusalReason, Timestamp)>, R::Error> {
    let mut is_suspended = |suspect| -> Result<_, R::Error> {
        Ok(rows.suspended(&suspect)?.filter(|until| *until > now))
    };
    if let Some(until) = is_suspended(Suspect::Account(debit.account))? {
        return Ok(Some((RefusalReason::AccountSuspended, until)));
    }
    let Some(shares) = &debit.shared else {
        return Ok(None);
    };
    for network in shares.origin.networks() {
        if let Some(until) = is_suspended(Suspect::Network(network))? {
            return Ok(Some((RefusalReason::NetworkSuspended, until)));
        }
    }
    if shares.young_until > now
        && let Some(until) = is_suspended(Suspect::YoungAccounts)?
    {
        let until = until.min(shares.young_until);
        return Ok(Some((RefusalReason::YoungSuspended, until)));
    }
    Ok(None)
}

/// All draws of elements, decided and not yet written.
struct Plan {
    now: Timestamp,
    count: u32,
    /// Until when it isn't known what was drawn.
    lost: Option<Timestamp>,
    /// The account's bucket and up to three networks.
    levels: [Option<(Bucket, Timestamp)>; 4],
    days: [Option<(Meter, DayRow, u64)>; 2],
    /// The first limit that doesn't hold, and how long until all hold; no time if that never comes.
    missing: Option<(RefusalReason, Option<Duration>)>,
}

impl Plan {
    fn new(now: Timestamp, count: u32, lost: Option<Timestamp>) -> Self {
        Self {
            now,
            count,
            lost,
            levels: [None; 4],
            days: [None; 2],
            missing: None,
        }
    }

    fn shares<R: ChargeRows>(&mut self, rows: &mut R, shares: &Shares) -> Result<(), R::Error> {
        if shares.young_until > self.now {
            let before = self.missing.take();
            for network in shares.networks.iter().flatten() {
                let level = emptied(network, rows.level(&network.bucket)?, self.lost);
                self.bucket(network, level, RefusalReason::NetworkElements);
            }
            self.meter(
                rows,
                Meter::Young,
                &shares.young,
                RefusalReason::YoungElements,
            )?;
            // Who grows old first needn't wait for the others.
            let old_in = shares.young_until.saturating_since(self.now);
            let young = self
                .missing
                .take()
                .map(|(reason, wait)| (reason, Some(wait.map_or(old_in, |wait| wait.min(old_in)))));
            self.missing = before;
            if let Some((reason, wait)) = young {
                self.lack(reason, wait);
            }
        }
        self.meter(
            rows,
            Meter::Service,
            &shares.service,
            RefusalReason::ServiceElements,
        )
    }

    fn bucket(&mut self, draw: &Draw, level: Option<Timestamp>, reason: RefusalReason) {
        match draw.limit.draw(level, self.count, self.now) {
            None => self.lack(reason, draw.limit.wait(level, self.count, self.now)),
            Some(level) => {
                if let Some(place) = self.levels.iter_mut().find(|place| place.is_none()) {
                    *place = Some((draw.bucket, level));
                }
            }
        }
    }

    fn meter<R: ChargeRows>(
        &mut self,
        rows: &mut R,
        meter: Meter,
        rule: &MeterRule,
        reason: RefusalReason,
    ) -> Result<(), R::Error> {
        let today = Day::of(self.now);
        let mut row = day_row(rows, meter, rule, today)?;
        let limit = rule.limit(row.baseline);
        row.charged = row.charged.saturating_add(u64::from(self.count));
        if row.charged > limit || self.lost.map(Day::of) == Some(today) {
            self.lack(reason, Some(Day::wait_for_next(self.now)));
        } else if let Some(place) = self.days.iter_mut().find(|place| place.is_none()) {
            *place = Some((meter, row, limit));
        }
        Ok(())
    }

    fn lack(&mut self, reason: RefusalReason, wait: Option<Duration>) {
        self.missing = Some(match self.missing {
            None => (reason, wait),
            Some((first, before)) => (first, before.zip(wait).map(|(a, b)| a.max(b))),
        });
    }

    fn write<R: ChargeRows>(&self, rows: &mut R) -> Result<(), R::Error> {
        for (bucket, level) in self.levels.iter().flatten() {
            rows.set_level(bucket, *level)?;
        }
        let today = Day::of(self.now);
        for (meter, row, _) in self.days.iter().flatten() {
            rows.set_day(*meter, today, *row)?;
        }
        Ok(())
    }

    /// The level of the account's bucket, which is decided first.
    fn level(&self) -> Option<Timestamp> {
        let [account, ..] = self.levels;
        account.map(|(_, level)| level)
    }

    fn usage(&self, wanted: Meter) -> Option<Usage> {
        let mut days = self.days.iter().flatten();
        let (_, row, limit) = days.find(|(meter, ..)| *meter == wanted)?;
        Some(Usage {
            charged: row.charged,
            limit: *limit,
        })
    }
}

/// How long before an account was made it can't have drawn anything, for whoever doubts clocks.
const MADE_AFTER: Duration = Duration::from_secs(3_600);

/// The level of a bucket of which it may not be known what was drawn.
fn emptied(draw: &Draw, level: Option<Timestamp>, lost: Option<Timestamp>) -> Option<Timestamp> {
    match lost {
        None => level,
        Some(until) => Some(draw.limit.emptied(level, until)),
    }
}

impl Debit {
    /// The level of the account's bucket. Who was made after it can't have drawn what isn't known any more.
    fn level(&self, level: Option<Timestamp>, lost: Option<Timestamp>) -> Option<Timestamp> {
        let made_after = |lost: &Timestamp| {
            let surely = lost.saturating_add(MADE_AFTER);
            self.made.is_some_and(|made| made >= surely)
        };
        emptied(&self.elements, level, lost.filter(|lost| !made_after(lost)))
    }

    fn status(&self, level: Option<Timestamp>, now: Timestamp) -> QuotaStatus {
        QuotaStatus {
            remaining: self.elements.limit.remaining(level, now),
            capacity: self.elements.limit.capacity_at(now),
            refill_per_day: self.refill_per_day,
        }
    }

    fn claim_status(&self, claim: Option<Claim>) -> QuotaStatus {
        QuotaStatus {
            remaining: Claim::left(claim, self.epoch),
            capacity: 0,
            refill_per_day: 0,
        }
    }
}

fn refused(
    reason: RefusalReason,
    retry_after: Option<Duration>,
    status: QuotaStatus,
) -> ChargeOutcome {
    ChargeOutcome::Refused(Refusal {
        reason,
        retry_after,
        status,
    })
}
