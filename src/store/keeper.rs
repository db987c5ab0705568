//! Where the keys of a rotation are kept while it lasts.
//!
//! Layer 5. Whoever runs the service implements it, as only they know how keys are sealed. A rotation can be gone on with after
//! a crash because its keys are kept, durably, before anything else is done.

use std::{fmt, io};

use crate::{
    oprf::Epoch,
    server::{Delta, EvaluationKey},
};

/// The key that a rotation leads to, and what leads there.
#[derive(Debug)]
pub struct NextKey {
    /// The epoch of the key.
    pub epoch: Epoch,
    /// The key.
    pub key: EvaluationKey,
    /// What the key before was multiplied by; `None` once it is destroyed.
    pub delta: Option<Delta>,
}

/// Keeps the keys of a rotation, sealed.
///
/// Each operation is durable when it returns, and does nothing if it was done before.
pub trait KeyKeeper: fmt::Debug + Send + Sync {
    /// Keeps the next key and its delta beside the key in use.
    ///
    /// # Errors
    ///
    /// The disk doesn't take them; or others are kept already.
    fn keep(&self, next: &NextKey) -> io::Result<()>;

    /// The next key, if one is kept.
    ///
    /// # Errors
    ///
    /// It can't be read or opened.
    fn kept(&self) -> io::Result<Option<NextKey>>;

    /// Destroys the delta.
    ///
    /// # Errors
    ///
    /// The disk doesn't do what it is told.
    fn destroy_delta(&self) -> io::Result<()>;

    /// Puts the next key, which has this epoch, in the place of the key in use, and destroys that one.
    ///
    /// # Errors
    ///
    /// The disk doesn't do what it is told.
    fn promote(&self, epoch: Epoch) -> io::Result<()>;
}

/// Keeps nothing: the key of this service isn't rotated.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeeper;

impl KeyKeeper for NoKeeper {
    fn keep(&self, _: &NextKey) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn kept(&self) -> io::Result<Option<NextKey>> {
        Ok(None)
    }

    fn destroy_delta(&self) -> io::Result<()> {
        Ok(())
    }

    fn promote(&self, _: Epoch) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
