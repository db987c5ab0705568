//! A policy in plain words.

use core::fmt;

use super::Policy;

/// What the policy buys, in plain words: a few lines.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            network,
            young,
            service,
            registrar,
            key,
            replay,
            clock,
            detect,
        } = self;
        writeln!(
            f,
            "an account can look up {} elements when it is new, {} once it is {} days old, and {} more each day",
            account.initial_capacity, account.capacity, account.growth_days, account.refill_per_day,
        )?;
        for days in [1, 25, 60] {
            writeln!(
                f,
                "an account learns at most {} elements in {days} days, {} if it was made on the first",
                self.most_elements(days),
                self.most_elements_of_new_account(days),
            )?;
        }
        writeln!(
            f,
            "an account makes {} requests at once, then {} a minute, of at most {} elements",
            account.request_burst, account.requests_per_minute, account.elements_per_request,
        )?;
        writeln!(
            f,
            "accounts younger than {} days together: {} elements a day from an IPv6 /64, {} from a /48, {} from a /32, {} from an IPv4 /24",
            young.days,
            network.ipv6_64_per_day,
            network.ipv6_48_per_day,
            network.ipv6_32_per_day,
            network.ipv4_24_per_day,
        )?;
        writeln!(
            f,
            "all accounts younger than {} days together: {} elements a day, or {} % of the most in one of the last 28 days if that is more",
            young.days, young.floor_per_day, young.percent_of_baseline,
        )?;
        writeln!(
            f,
            "everybody together: {} elements a day, or {} % of the most in one of the last 28 days if that is more; from {} % of it on somebody should look",
            service.floor_per_day, service.percent_of_baseline, service.page_percent,
        )?;
        writeln!(
            f,
            "what counts as usual grows by at most {} % a week for young accounts and {} % for everybody, unless the operator raises the floor",
            young.growth_percent_per_week, service.growth_percent_per_week,
        )?;
        writeln!(
            f,
            "a registrar evaluates {} elements at once, then {} a day, in requests of at most {}",
            registrar.capacity, registrar.refill_per_day, registrar.elements_per_request,
        )?;
        writeln!(
            f,
            "the same bytes from the same account are answered again for {} hours and not charged again",
            replay.hours,
        )?;
        writeln!(
            f,
            "a key evaluates at most {} elements, with a warning at {}",
            key.refuse, key.warn,
        )?;
        writeln!(
            f,
            "a signal: an account that uses {} % of its refill on {} of 14 days; or {} new accounts that begin to ask in one hour from one network, and {} % of what is usual there",
            detect.saturated_percent,
            detect.saturated_days,
            detect.cluster_accounts,
            detect.cluster_percent,
        )?;
        writeln!(
            f,
            "a signal: a day with more than {} % of the most in one of the last 28 days, and more than {} elements of new accounts, {} of everybody, or {} emptied buckets",
            detect.day_percent, detect.young_floor, detect.service_floor, detect.emptied_floor,
        )?;
        write!(
            f,
            "everything is refused while the clock is {} seconds behind or {} days ahead of the latest request",
            clock.back_seconds, clock.ahead_days,
        )
    }
}
