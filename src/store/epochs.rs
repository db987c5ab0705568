//! The keys that are at work: that of the epoch that is published, and for a while that of the one before.

use std::sync::Arc;

use super::{KeyKeeper, NextKey, RotateError, Store};
use crate::{
    oprf::Epoch,
    server::{
        Evaluator,
        rotation::{CarryOver, Phase, Rotation, Window},
    },
    timestamp::Timestamp,
};

/// The epochs that are served: two at most.
#[derive(Debug, Clone)]
pub struct Epochs {
    current: Arc<Evaluator>,
    old: Option<Old>,
}

/// The epoch before, after a soft rotation.
#[derive(Debug, Clone)]
struct Old {
    evaluator: Arc<Evaluator>,
    /// `None` if delta is lost.
    carry_over: Option<Arc<CarryOver>>,
    window: Window,
}

impl Epochs {
    /// One epoch alone.
    #[must_use]
    pub fn single(current: Arc<Evaluator>) -> Self {
        Self { current, old: None }
    }

    /// Finds out which epochs are served, when `sealed` is the key in use by its keeper.
    ///
    /// # Errors
    ///
    /// The store or the keeper can't answer; or the keys that there are aren't those of the rotation in the store.
    pub async fn load<S: Store>(
        store: &S,
        sealed: Evaluator,
        keeper: &dyn KeyKeeper,
    ) -> Result<Self, RotateError> {
        let sealed = Arc::new(sealed);
        let Some(rotation) = store.rotation().await? else {
            return Ok(Self::single(sealed));
        };
        let Rotation { from, to, .. } = rotation;
        match &rotation.phase {
            Phase::Rekeying { .. } if sealed.epoch() == from => Ok(Self::single(sealed)),
            // The last steps of the rotation are still to be noted.
            Phase::Ending if sealed.epoch() == to => Ok(Self::single(sealed)),
            Phase::Window(_) | Phase::Ending if sealed.epoch() == from => {
                let kept = keeper.kept()?.filter(|next| next.epoch == to);
                let next = kept.ok_or(RotateError::KeyLost)?;
                let window = match rotation.phase {
                    Phase::Window(window) => Some(window),
                    _ => None,
                };
                Ok(Self::switched(&sealed, next, window))
            }
            _ => Err(RotateError::OtherKey),
        }
    }

    /// After a switch; without a window, a hard one: delta is wiped.
    #[must_use]
    pub fn switched(old: &Arc<Evaluator>, next: NextKey, window: Option<Window>) -> Self {
        let Some(window) = window else {
            return Self::single(Arc::new(Evaluator::new(next.epoch, next.key)));
        };
        let (from, to) = (old.epoch(), next.epoch);
        let carry_over = next
            .delta
            .map(|delta| CarryOver::new(from, to, old.public_key().clone(), delta));
        Self {
            current: Arc::new(Evaluator::new(to, next.key)),
            old: Some(Old {
                evaluator: Arc::clone(old),
                carry_over: carry_over.map(Arc::new),
                window,
            }),
        }
    }

    /// The key of the epoch that is published.
    #[must_use]
    pub fn current(&self) -> &Arc<Evaluator> {
        &self.current
    }

    /// The key of an epoch that is served.
    #[must_use]
    pub fn evaluator(&self, epoch: Epoch, at: Timestamp) -> Option<&Arc<Evaluator>> {
        if epoch == self.current.epoch() {
            return Some(&self.current);
        }
        let old = self.old.as_ref()?;
        (epoch == old.evaluator.epoch() && at < old.window.evaluate_until).then_some(&old.evaluator)
    }

    /// What carries results of one epoch over to another.
    #[must_use]
    pub fn carry_over(&self, from: Epoch, to: Epoch, at: Timestamp) -> Option<&Arc<CarryOver>> {
        let old = self.old.as_ref()?;
        let carry_over = old.carry_over.as_ref()?;
        (carry_over.epochs() == (from, to) && at < old.window.carry_until).then_some(carry_over)
    }

    /// Until when the old key evaluates and results are carried over, after a soft rotation.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        Some(&self.old.as_ref()?.window)
    }

    /// The same without the epoch before.
    #[must_use]
    pub fn without_old(&self) -> Self {
        Self::single(Arc::clone(&self.current))
    }
}
