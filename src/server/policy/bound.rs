//! What a policy bounds.

use super::Policy;
use crate::server::{Timestamp, quota::DAY};

impl Policy {
    /// The most elements that one account, however old, can have evaluated in any `days` days.
    ///
    /// Exact: an account that keeps asking reaches it. The same bytes again, which tell nothing new, don't count.
    #[must_use]
    pub fn most_elements(&self, days: u32) -> u64 {
        let micros = u64::from(days) * DAY;
        let limit = self.account.elements_limit(Timestamp::from_micros(0));
        u64::from(self.account.capacity) + limit.refilled_in(micros)
    }

    /// The most elements that an account can have evaluated in its first `days` days. Exact.
    #[must_use]
    pub fn most_elements_of_new_account(&self, days: u32) -> u64 {
        let micros = u64::from(days) * DAY;
        let limit = self.account.elements_limit(Timestamp::from_micros(0));
        u64::from(limit.capacity_at(Timestamp::from_micros(micros))) + limit.refilled_in(micros)
    }
}
