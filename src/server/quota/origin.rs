//! Where a request comes from, as far as the quota needs to know it.

use core::fmt;

/// The pseudonym of a network: a keyed hash of an address prefix and its length, computed at the edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkKey([u8; 32]);

impl NetworkKey {
    /// Takes the keyed hash.
    #[must_use]
    pub const fn new(pseudonym: [u8; 32]) -> Self {
        Self(pseudonym)
    }

    /// The bytes, for the store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey(<redacted>)")
    }
}

/// The networks that a request comes from, from the narrowest to the widest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// An IPv4 address.
    V4 {
        /// The pseudonym of its /24.
        net24: NetworkKey,
    },
    /// An IPv6 address.
    V6 {
        /// The pseudonym of its /64.
        net64: NetworkKey,
        /// The pseudonym of its /48.
        net48: NetworkKey,
        /// The pseudonym of its /32.
        net32: NetworkKey,
    },
    /// The edge doesn't know. All such requests share one network, with the limit of an IPv4 /24: not to know is no way
    /// around it.
    Unknown,
}

impl Origin {
    /// The networks, for looking up whether one is suspended.
    pub(super) fn networks(&self) -> impl Iterator<Item = NetworkKey> {
        let networks = match *self {
            Self::V4 { net24 } => [Some(net24), None, None],
            Self::V6 {
                net64,
                net48,
                net32,
            } => [Some(net64), Some(net48), Some(net32)],
            Self::Unknown => [Some(NetworkKey::new([0; 32])), None, None],
        };
        networks.into_iter().flatten()
    }
}
