//! Rotating the key of a running service.
//!
//! ```text
//! GET  /rotate          how far a rotation has come
//! POST /rotate          begins a soft one, or goes on; with `?hard` a hard one
//! ```
//!
//! On the operators' listener. Requests go on meanwhile. For the switch itself, registrars' changes wait for a moment; nobody is
//! refused.

use std::{
    string::{String, ToString},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::{Deserialize, Serialize};

use super::{Service, operator::json};
use crate::{
    server::rotation::{Phase, Rotation, RotationKind},
    store::{Epochs, Publisher, RotateError, Rotator, Store, StoreError},
    timestamp::Timestamp,
};

/// The epochs that are served and what publishes the newest one; replaced as a whole.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) epochs: Epochs,
    pub(super) publisher: Arc<Publisher>,
}

/// How far a rotation has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RotationStatus {
    /// The epoch that is published.
    pub epoch: u64,
    /// `none`, `rekeying`, `window` or `ending`.
    pub phase: String,
    /// `soft` or `hard`, if there is one.
    pub kind: Option<String>,
    /// The epoch that it leads to.
    pub to: Option<u64>,
    /// Members that have a row in the new epoch, while they get theirs.
    pub rekeyed: Option<u64>,
    /// Until when the old key evaluates, in seconds since 1970-01-01T00:00:00Z.
    pub evaluate_until: Option<u64>,
    /// Until when results are carried over.
    pub carry_until: Option<u64>,
}

impl RotationStatus {
    /// The status of a service in this epoch, when that is what its store says.
    #[must_use]
    pub fn new(epoch: u64, rotation: Option<&Rotation>) -> Self {
        let mut status = Self {
            epoch,
            phase: String::from("none"),
            kind: rotation.map(|rotation| rotation.kind.to_string()),
            to: rotation.map(|rotation| rotation.to.get()),
            rekeyed: None,
            evaluate_until: None,
            carry_until: None,
        };
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        match rotation.map(|rotation| &rotation.phase) {
            None => {}
            Some(Phase::Rekeying { done, .. }) => {
                status.phase = String::from("rekeying");
                status.rekeyed = Some(*done);
            }
            Some(Phase::Window(window)) => {
                status.phase = String::from("window");
                status.evaluate_until = Some(seconds(window.evaluate_until));
                status.carry_until = Some(seconds(window.carry_until));
            }
            Some(Phase::Ending) => status.phase = String::from("ending"),
        }
        status
    }
}

impl<S: Store> Service<S> {
    /// How far a rotation has come.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub async fn rotation(&self) -> Result<RotationStatus, StoreError> {
        let rotation = self.quota.store().rotation().await?;
        let epoch = self.live().epochs.current().epoch().get();
        Ok(RotationStatus::new(epoch, rotation.as_ref()))
    }

    /// Rotates the key, or goes on with a rotation that was interrupted; done when the new epoch is served.
    ///
    /// A hard rotation in the window of a soft one ends that at once.
    ///
    /// # Errors
    ///
    /// See [`RotateError`]; calling again goes on.
    pub async fn rotate(
        self: &Arc<Self>,
        kind: RotationKind,
    ) -> Result<RotationStatus, RotateError> {
        let service = Arc::clone(self);
        let runtime = tokio::runtime::Handle::current();
        // Seconds or minutes of arithmetic and disk: not on a thread that serves. It goes on if whoever asked is gone.
        let rotating = tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let _one_at_a_time = service.rotating.lock().await;
                service.rotate_alone(kind).await
            })
        });
        rotating
            .await
            .unwrap_or(Err(RotateError::Store(StoreError::Closed)))?;
        Ok(self.rotation().await?)
    }

    async fn rotate_alone(&self, kind: RotationKind) -> Result<(), RotateError> {
        let store = self.quota.store();
        let rotator = Rotator::new(store, &*self.keeper);
        // Whoever is in a hurry doesn't wait for phones that still carry over.
        let until = match kind {
            RotationKind::Hard => None,
            RotationKind::Soft => Some((self.clock)()),
        };
        if store.end_window(until).await? {
            self.end(&rotator).await?;
        }
        let before = self.live();
        let current = before.epochs.current();
        let (rotation, next) = rotator.begin(current, kind, &mut UnwrapErr(SysRng)).await?;
        let (from, to) = (rotation.from.get(), rotation.to.get());
        tracing::info!(from, to, kind = %rotation.kind, "rotating the key");
        self.observer
            .rotation(&RotationStatus::new(from, Some(&rotation)));
        let delta = next.delta.as_ref().ok_or(RotateError::KeyLost)?;
        rotator
            .rekey(delta, &|done| self.observer.rekeyed(done))
            .await?;
        {
            // Nothing is published in the old epoch any more.
            let _nobody_publishes = self.publishing.lock().await;
            let at = (self.clock)();
            let mut prepared = rotator
                .prepare(&before.publisher, &next, at, &|_| {})
                .await?;
            rotator.rekey_again(delta).await?;
            loop {
                // Registrars wait from here on until the new epoch is served.
                let _nobody_changes = self.changing.write().await;
                rotator.rekey_again(delta).await?;
                let Some(window) = rotator.switch(&mut prepared, self.carry_for).await? else {
                    continue;
                };
                let (publisher, publication) = prepared.into_publication();
                let epochs = Epochs::switched(current, next, window);
                self.set_live(Live {
                    epochs,
                    publisher: Arc::new(publisher),
                });
                self.show(publication);
                break;
            }
        }
        tracing::info!(from, to, "the new epoch is served");
        // It is done. What is left over now is done by the hour.
        if let Err(error) = self.tend_alone().await {
            tracing::error!(%error, "what is left of the old epoch can't be removed yet");
        }
        Ok(())
    }

    /// Does what is due after a switch: drops old rows, ends the window, destroys keys.
    pub(super) async fn tend(self: &Arc<Self>) -> Result<(), RotateError> {
        // Whoever rotates does it.
        let Ok(_one_at_a_time) = self.rotating.try_lock() else {
            return Ok(());
        };
        self.tend_alone().await
    }

    async fn tend_alone(&self) -> Result<(), RotateError> {
        let store = self.quota.store();
        let rotator = Rotator::new(store, &*self.keeper);
        let switched = store.rotation().await?.is_some_and(|one| one.is_switched());
        if switched && store.end_window(Some((self.clock)())).await? {
            self.end(&rotator).await?;
        } else if switched {
            rotator.drop_old().await?;
        }
        self.observer.rotation(&self.rotation().await?);
        Ok(())
    }

    /// Ends a rotation whose window is over.
    async fn end(&self, rotator: &Rotator<'_, S>) -> Result<(), RotateError> {
        let live = self.live();
        // Requests under way still have the old key; delta is wiped with the last of them.
        self.set_live(Live {
            epochs: live.epochs.without_old(),
            publisher: Arc::clone(&live.publisher),
        });
        drop(live);
        if rotator.finish().await? {
            tracing::info!("the old key and what leads on from it are destroyed");
        }
        Ok(())
    }

    /// Goes on with a rotation that was interrupted before its switch.
    pub(super) async fn resume_rotation(self: Arc<Self>) {
        let kind = match self.quota.store().rotation().await {
            Ok(Some(rotation)) if !rotation.is_switched() => rotation.kind,
            _ => return,
        };
        if let Err(error) = self.rotate(kind).await {
            tracing::error!(%error, "the rotation that was interrupted doesn't go on");
        }
    }
}

pub(super) async fn status<S: Store>(State(service): State<Arc<Service<S>>>) -> Response {
    match service.rotation().await {
        Ok(status) => json(StatusCode::OK, &status),
        Err(error) => failed(&error.into(), Duration::ZERO),
    }
}

pub(super) async fn rotate<S: Store>(
    State(service): State<Arc<Service<S>>>,
    RawQuery(query): RawQuery,
) -> Response {
    let kind = match query.as_deref() {
        Some("hard") => RotationKind::Hard,
        _ => RotationKind::Soft,
    };
    match service.rotate(kind).await {
        Ok(status) => json(StatusCode::OK, &status),
        Err(error) => {
            let wait = match &error {
                RotateError::Busy { until } => until.saturating_since((service.clock)()),
                _ => Duration::ZERO,
            };
            failed(&error, wait)
        }
    }
}

fn failed(error: &RotateError, wait: Duration) -> Response {
    tracing::error!(%error, "rotating failed");
    let retry_after = (!wait.is_zero()).then(|| wait.as_secs() + 1);
    let report = serde_json::json!({ "error": error.to_string(), "retry_after": retry_after });
    let status = match error {
        RotateError::Busy { .. } => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    json(status, &report)
}
