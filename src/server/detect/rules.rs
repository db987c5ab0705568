//! When something is a signal.

/// When something is a signal. A plain value, a part of the [`Policy`](crate::server::policy::Policy).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "http", derive(serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct DetectRules {
    /// The share of a day's refill, in percent, that makes a day of an account a saturated one: 80.
    pub saturated_percent: u32,
    /// Saturated days among 14 that make a signal: 8.
    pub saturated_days: u32,
    /// The fewest young accounts that begin to ask in an hour in one network that make a signal: 20.
    pub cluster_accounts: u32,
    /// How many those have to be in percent of what is usual in that network: 400.
    pub cluster_percent: u32,
    /// How much a day has to be in percent of the busiest of 28 days before it: 150.
    pub day_percent: u32,
    /// By how much what is usual may grow in a week, in percent: 25.
    pub growth_percent_per_week: u32,
    /// The fewest elements of young accounts in a day that make a signal: 20,000.
    pub young_floor: u64,
    /// The fewest elements of everybody in a day that make a signal: 50,000.
    pub service_floor: u64,
    /// The fewest buckets emptied in a day that make a signal: 50.
    pub emptied_floor: u64,
}

/// Rules under which everything or nothing would be a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is outside of {least} to {most}")]
pub struct DetectRulesError {
    /// Which field.
    pub field: &'static str,
    /// The least that makes sense.
    pub least: u32,
    /// The most that makes sense.
    pub most: u32,
}

impl Default for DetectRules {
    fn default() -> Self {
        Self {
            saturated_percent: 80,
            saturated_days: 8,
            cluster_accounts: 20,
            cluster_percent: 400,
            day_percent: 150,
            growth_percent_per_week: 25,
            young_floor: 20_000,
            service_floor: 50_000,
            emptied_floor: 50,
        }
    }
}

impl DetectRules {
    /// Checks that the rules can tell anything.
    ///
    /// # Errors
    ///
    /// The first field that makes no sense.
    pub fn validate(&self) -> Result<(), DetectRulesError> {
        for (field, value, least, most) in [
            ("saturated_percent", self.saturated_percent, 1, 100),
            ("saturated_days", self.saturated_days, 1, 14),
            ("cluster_accounts", self.cluster_accounts, 1, u32::MAX),
            ("cluster_percent", self.cluster_percent, 100, 100_000),
            ("day_percent", self.day_percent, 100, 1_000),
            (
                "growth_percent_per_week",
                self.growth_percent_per_week,
                0,
                100,
            ),
        ] {
            if !(least..=most).contains(&value) {
                return Err(DetectRulesError { field, least, most });
            }
        }
        Ok(())
    }
}
