//! Networks in which many young accounts begin at once.

use alloc::vec::Vec;

use super::{DetectRows, DetectRules, Signal, Subject, day};
use crate::server::quota::{Day, Hour, NetworkActivity, NetworkKey};

/// Hours over which what is usual is averaged: a week.
const WEEK: u64 = 7 * 24;
/// Hours after which nothing is left of an average.
const LONGEST: u32 = 14 * 24;
/// Hours for which a network that has raised a signal is quiet.
const QUIET: u32 = 24;

/// What is usual in a network: young accounts that begin to ask in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkUsual {
    /// The hour up to which is averaged.
    hour: Hour,
    /// The average, in millionths.
    average: u64,
    /// The hour of the last signal; hour 0 for none.
    signalled: Hour,
}

impl NetworkUsual {
    /// Length of the encoding in bytes.
    pub const ENCODED: usize = 16;

    /// `hour u32 || average u64 || signalled u32`.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        let parts: [&[u8]; 3] = [
            &self.hour.get().to_be_bytes(),
            &self.average.to_be_bytes(),
            &self.signalled.get().to_be_bytes(),
        ];
        for (byte, &part) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = part;
        }
        out
    }

    /// Takes what [`Self::encode`] wrote.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::ENCODED]) -> Option<Self> {
        let (&hour, rest) = bytes.split_first_chunk()?;
        let (&average, rest) = rest.split_first_chunk()?;
        let (&signalled, _) = rest.split_first_chunk()?;
        Some(Self {
            hour: Hour::new(u32::from_be_bytes(hour)),
            average: u64::from_be_bytes(average),
            signalled: Hour::new(u32::from_be_bytes(signalled)),
        })
    }

    /// The average when an hour begins: hours without a row are hours without an account.
    fn at(&self, hour: Hour) -> u64 {
        let hours = hour.since(self.hour);
        if hours > LONGEST {
            return 0;
        }
        (0..hours).fold(self.average, |average, _| average - average / WEEK)
    }
}

/// Looks at what the young accounts of networks did in an hour, each network once; hours in their order.
///
/// To be run by a store inside the step that seals the hour.
///
/// # Errors
///
/// A row can't be read or written. The step has to be undone.
pub fn networks<R: DetectRows>(
    rows: &mut R,
    rules: &DetectRules,
    hour: Hour,
    page: &[(NetworkKey, NetworkActivity)],
) -> Result<Vec<Signal>, R::Error> {
    let today = Day::of(hour.begin());
    let returning = u32::try_from(day::returning(rows, hour)?).unwrap_or(u32::MAX);
    let mut signals = Vec::new();
    for (network, activity) in page {
        let accounts = activity.young_accounts.saturating_sub(returning);
        let known = rows.network_usual(network, today)?;
        // Of most networks nothing has to be known: they are far from what could be a signal.
        if known.is_none() && accounts < rules.cluster_accounts.div_ceil(4) {
            continue;
        }
        let average = known.map_or(0, |known| known.at(hour));
        let of_usual = u128::from(average) * u128::from(rules.cluster_percent) / 100_000_000;
        let most = u64::try_from(of_usual)
            .unwrap_or(u64::MAX)
            .max(rules.cluster_accounts.into());
        let mut row = NetworkUsual {
            hour,
            average: average + u64::from(accounts) * 1_000_000 / WEEK,
            signalled: known.map_or(Hour::new(0), |known| known.signalled),
        };
        if u64::from(accounts) >= most && hour.since(row.signalled) >= QUIET {
            row.signalled = hour;
            let subject = Subject::YoungCluster {
                network: *network,
                accounts,
                usual: u32::try_from(average / 1_000_000).unwrap_or(u32::MAX),
            };
            signals.push(Signal { hour, subject });
        }
        rows.set_network_usual(network, today, row)?;
    }
    Ok(signals)
}
