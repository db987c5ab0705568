//! What detection has to say.

use alloc::vec::Vec;

use crate::server::quota::{AccountKey, Hour, Meter, NetworkKey, Suspect};

/// Something that looks like enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// The hour whose requests raised it.
    pub hour: Hour,
    /// What was seen.
    pub subject: Subject,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// An account uses all that it gets.
    SaturatedAccount {
        /// Which one.
        account: AccountKey,
        /// Saturated days among the last 14.
        days: u32,
        /// Whether its bucket was emptied in the same time.
        emptied: bool,
    },
    /// Many young accounts of one network.
    YoungCluster {
        /// Which one.
        network: NetworkKey,
        /// Young accounts that began to ask in the hour.
        accounts: u32,
        /// How many that usually are.
        usual: u32,
    },
    /// A day that exceeds those before it.
    UnusualDay {
        /// What is counted.
        meter: Meter,
        /// How much it has come to so far.
        counted: u64,
        /// The most that would have been usual.
        usual: u64,
    },
    /// Somebody has met a member who doesn't exist.
    Canary {
        /// Who, if the operator said so.
        account: Option<AccountKey>,
    },
}

/// Which kind of signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SignalKind {
    /// [`Subject::SaturatedAccount`].
    SaturatedAccount,
    /// [`Subject::YoungCluster`].
    YoungCluster,
    /// [`Subject::UnusualDay`].
    UnusualDay,
    /// [`Subject::Canary`].
    Canary,
}

impl SignalKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::SaturatedAccount,
        Self::YoungCluster,
        Self::UnusualDay,
        Self::Canary,
    ];

    /// Its stable name, for metrics and the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SaturatedAccount => "saturated-account",
            Self::YoungCluster => "young-cluster",
            Self::UnusualDay => "unusual-day",
            Self::Canary => "canary",
        }
    }
}

impl Signal {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> SignalKind {
        match self.subject {
            Subject::SaturatedAccount { .. } => SignalKind::SaturatedAccount,
            Subject::YoungCluster { .. } => SignalKind::YoungCluster,
            Subject::UnusualDay { .. } => SignalKind::UnusualDay,
            Subject::Canary { .. } => SignalKind::Canary,
        }
    }

    /// Whom it points at; `None` if it's about everybody.
    #[must_use]
    pub const fn suspect(&self) -> Option<Suspect> {
        match self.subject {
            Subject::SaturatedAccount { account, .. }
            | Subject::Canary {
                account: Some(account),
            } => Some(Suspect::Account(account)),
            Subject::YoungCluster { network, .. } => Some(Suspect::Network(network)),
            Subject::UnusualDay { .. } | Subject::Canary { account: None } => None,
        }
    }
}

/// Stands for "nobody was named".
const NOBODY: [u8; 32] = [0; 32];

impl Signal {
    /// The bytes for a store: `hour u32 || kind u8 || subject[32] || three numbers, u64 each`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, subject, numbers) = match &self.subject {
            Subject::SaturatedAccount {
                account,
                days,
                emptied,
            } => (
                1,
                *account.as_bytes(),
                [u64::from(*days), u64::from(*emptied), 0],
            ),
            Subject::YoungCluster {
                network,
                accounts,
                usual,
            } => (
                2,
                *network.as_bytes(),
                [u64::from(*accounts), u64::from(*usual), 0],
            ),
            Subject::UnusualDay {
                meter,
                counted,
                usual,
            } => (3, NOBODY, [u64::from(meter.encode()), *counted, *usual]),
            Subject::Canary { account } => (
                4,
                account.map_or(NOBODY, |account| *account.as_bytes()),
                [0; 3],
            ),
        };
        let mut out = Vec::with_capacity(Self::ENCODED);
        out.extend_from_slice(&self.hour.get().to_be_bytes());
        out.push(kind);
        out.extend_from_slice(&subject);
        out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        out
    }

    const ENCODED: usize = 4 + 1 + 32 + 3 * 8;

    /// `None` for bytes that [`Self::encode`] doesn't write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&hour, rest) = bytes.split_first_chunk()?;
        let (&[kind], rest) = rest.split_first_chunk()?;
        let (&subject, rest) = rest.split_first_chunk::<32>()?;
        let (&first, rest) = rest.split_first_chunk()?;
        let (&second, rest) = rest.split_first_chunk()?;
        let (&third, []) = rest.split_first_chunk()? else {
            return None;
        };
        let [first, second, third] = [first, second, third].map(u64::from_be_bytes);
        let small = |number: u64| u32::try_from(number).ok();
        let subject = match kind {
            1 => Subject::SaturatedAccount {
                account: AccountKey::new(subject),
                days: small(first)?,
                emptied: second == 1,
            },
            2 => Subject::YoungCluster {
                network: NetworkKey::new(subject),
                accounts: small(first)?,
                usual: small(second)?,
            },
            3 => Subject::UnusualDay {
                meter: Meter::decode(first)?,
                counted: second,
                usual: third,
            },
            4 => Subject::Canary {
                account: (subject != NOBODY).then(|| AccountKey::new(subject)),
            },
            _ => return None,
        };
        let hour = Hour::new(u32::from_be_bytes(hour));
        let signal = Self { hour, subject };
        (signal.encode() == bytes).then_some(signal)
    }
}
