//! How it shows that a store isn't the one that was last in use: that it was restored from a backup.
//!
//! What was charged, and who opted out, since the backup was made is unknown to it. It would give quota back and publish people
//! who don't want to be found, so it isn't opened until somebody has accepted what that costs.

/// How it shows that a store was restored, or is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Restored {
    /// Its witness has seen more than it knows of.
    #[error("it has made {commits} commits, and its witness has seen {seen}")]
    Older {
        /// The commits of the store.
        commits: u64,
        /// Those that were seen.
        seen: u64,
    },
    /// The witness is that of another store, or of another restored one.
    #[error("its witness is another store's")]
    Other,
    /// It has made commits, and its witness isn't there.
    #[error("its witness is missing")]
    NoWitness,
    /// The witness isn't one.
    #[error("its witness can't be read")]
    BadWitness,
    /// A manifest is published, signed by the same key, that the store doesn't know.
    #[error("manifest {known} is published, which it doesn't know")]
    Chain {
        /// The number of the manifest.
        known: u64,
    },
}
