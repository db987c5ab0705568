//! The discovery service over HTTP.
//!
//! Layer 6: stands on a store and the server role. Two listeners: one for clients and registrars, one for
//! operators, which belongs on a private address.
//!
//! ```text
//! GET    /v1/manifest             the newest signed manifest            ETag, no credential
//! GET    /v1/segments/{sha256}    a segment                             ranges, immutable, no credential
//! POST   /v1/evaluate             scope discover, or enrol for more     charged
//! POST   /v1/carry-over           scope discover                        charged against the epoch before
//! PUT    /v1/members              scope enrol                           idempotent
//! DELETE /v1/members              scope enrol                           idempotent
//! GET    /v1/setting              scope setting                         of the credential's own handle
//! PUT    /v1/setting              scope setting                         idempotent
//!
//! GET    /healthz /readyz /metrics      on the operators' listener
//! GET    /publish                       what a publication would write, on the operators' listener
//! POST   /publish                       publishes; with `?now` also if the slot has had its publication
//! GET    /signals                       what detection has found, newest first, on the operators' listener
//! POST   /suspend /lift                 on the operators' listener
//! POST   /canary /canary/touched         members who don't exist, on the operators' listener
//! GET    /incident                      incidents, on the operators' listener
//! POST   /incident/{open,contain,report,list,notices,told,close}
//! GET    /ledger                        the ledger's entries, `?from` an index on, on the operators' listener
//! POST   /ledger/shred                  destroys the key of a month, on the operators' listener
//! GET    /rotate                        how far a rotation has come, on the operators' listener
//! POST   /rotate                        rotates the key; with `?hard` after an incident
//! ```
//!
//! The operators' listener knows no credentials: it belongs on a private address. Requests of web pages are turned away there.
//!
//! Messages are those of [`crate::wire`]; errors are RFC 9457 problem documents, one stable `urn:` for each (they
//! are listed in [`problem`]). An evaluation passes, in this order: media type, credential, room in memory, body
//! within its limit and time, room on the CPU, quota (durable), arithmetic. Whoever is turned away before the
//! quota pays nothing. A setting passes credential, media type, room of its own, body and the store's step, and none of what an
//! evaluation needs: whoever is suspended, or has no quota left, can opt out.
//!
//! Nothing about a person is logged or counted: routes, statuses, numbers of elements and durations are.

mod answer;
mod body;
mod canary;
mod carry_over;
mod compute;
pub mod credential;
mod evaluate;
mod forget;
mod incident;
mod ledger;
mod members;
mod month_keys;
mod observe;
mod operator;
mod origin;
pub mod problem;
mod published;
mod room;
mod rotation;
mod routes;
mod seal;
mod serve;
mod setting;
mod signals;
mod suspend;

use std::{
    fmt, io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64},
    },
    time::Duration,
};

pub use self::{
    incident::{HandedNotice, HandedOut, IncidentStatus, NoticeList},
    ledger::Shredded,
    observe::ObserveError,
    operator::{PublicationReport, WrittenSegment},
    origin::{BadNetwork, Network, Proxies},
    rotation::RotationStatus,
    routes::{ROUTES, operator_router, router},
    seal::SealError,
    serve::{Listeners, serve},
    setting::{ConsentRecord, IdentifierSetting, SettingOrder, SettingStatus},
    signals::SignalReport,
};

use self::{
    compute::Compute, credential::Credentials, observe::Observer, room::Rooms, rotation::Live,
};
use crate::{
    secret::SecretBytes,
    server::{
        Evaluator,
        directory::Regions,
        policy::{Policy, PolicyError},
        publish::Plan,
        quota::Quota,
    },
    store::{
        CheckpointFile, Epochs, KeyKeeper, LedgerKeys, Pace, Publication, PublishError, Publisher,
        RotateError, Store, StoreError,
    },
    timestamp::Timestamp,
};

/// Limits that protect the service itself. What accounts may do is the [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Seconds in which the head of a request has to be there: 10.
    pub header_seconds: u64,
    /// Seconds in which the body of a request has to be there: 20.
    pub body_seconds: u64,
    /// Seconds after which a request is given up: 60.
    pub total_seconds: u64,
    /// Requests with a body that are worked on at once: 256. A registrar's body has up to 7 MiB, an app's 32 KiB.
    pub requests: usize,
    /// Those among them that may come from one account: 8.
    pub requests_per_account: usize,
    /// Elements that wait for the CPU: 131,072, about two seconds of work for each core.
    pub queued_elements: u32,
    /// Threads for arithmetic; 0 for one on each core.
    pub threads: usize,
    /// Seconds that requests under way have when the service is stopped: 30.
    pub shutdown_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_seconds: 10,
            body_seconds: 20,
            total_seconds: 60,
            requests: 256,
            requests_per_account: 8,
            queued_elements: 131_072,
            threads: 0,
            shutdown_seconds: 30,
        }
    }
}

/// What a service is made of.
#[derive(Debug)]
pub struct Parts<S> {
    /// Where everything is kept.
    pub store: S,
    /// The key of the current epoch.
    pub evaluator: Evaluator,
    /// What keeps the keys of a rotation: [`NoKeeper`](crate::store::NoKeeper) if there is to be none.
    pub keeper: Arc<dyn KeyKeeper>,
    /// How long results of the old epoch are carried over after a soft rotation.
    pub carry_for: Duration,
    /// What keeps the keys that accounts have their names in the ledger under.
    pub ledger_keys: Arc<dyn LedgerKeys>,
    /// Where signed checkpoints of the ledger go; `None` for nowhere.
    pub checkpoints: Option<CheckpointFile>,
    /// What publishes the set.
    pub publisher: Publisher,
    /// What accounts and registrars may do.
    pub policy: Policy,
    /// Where members can't be found without having agreed.
    pub regions: Regions,
    /// How credentials are verified.
    pub credentials: Credentials,
    /// What names of accounts and addresses of networks are hashed with, so that the store has pseudonyms only. To be kept: with another
    /// pepper every account's bucket is full again.
    pub pepper: SecretBytes<32>,
    /// What protects the service itself.
    pub limits: Limits,
    /// The proxies that clients come through.
    pub proxies: Proxies,
    /// Where the time comes from.
    pub clock: fn() -> Timestamp,
}

/// A service that can't be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The policy contradicts itself.
    #[error("the policy is refused: {0}")]
    Policy(#[from] PolicyError),
    /// What was published can't be continued.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The keys of a rotation that isn't finished can't be used.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// The key is of another epoch than what is published, or another key.
    #[error("the evaluation key isn't the one that is published")]
    OtherKey,
    /// Threads can't be started.
    #[error("threads can't be started: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Metrics can't be kept.
    #[error(transparent)]
    Observe(#[from] ObserveError),
}

/// How long after a failed publication the next one is tried: 5 minutes.
const RETRY: Duration = Duration::from_secs(300);
/// The longest that nobody looks whether a slot has begun: 10 minutes.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// A discovery service, ready to be served. Shared by all its handlers.
pub struct Service<S> {
    quota: Quota<S>,
    live: RwLock<Arc<Live>>,
    keeper: Arc<dyn KeyKeeper>,
    carry_for: Duration,
    ledger_keys: Arc<dyn LedgerKeys>,
    checkpoints: Option<CheckpointFile>,
    /// The hour in which somebody last began to seal.
    seal_begun: AtomicU32,
    /// The length of the chain at the last checkpoint.
    checkpointed: AtomicU64,
    regions: Arc<Regions>,
    credentials: Credentials,
    pepper: SecretBytes<32>,
    limits: Limits,
    proxies: Proxies,
    clock: fn() -> Timestamp,
    compute: Compute,
    rooms: Rooms,
    /// For requests about settings alone: whoever fills the other rooms keeps nobody from opting out.
    setting_rooms: Rooms,
    published: RwLock<Option<Arc<Publication>>>,
    publishing: tokio::sync::Mutex<()>,
    rotating: tokio::sync::Mutex<()>,
    /// Read by whoever changes members; written for the moment of a switch.
    changing: tokio::sync::RwLock<()>,
    stopping: AtomicBool,
    observer: Observer,
}

impl<S: Store> Service<S> {
    /// Puts a service together and loads what was published last.
    ///
    /// # Errors
    ///
    /// See [`ServiceError`].
    pub async fn new(parts: Parts<S>) -> Result<Arc<Self>, ServiceError> {
        let terms = parts.publisher.terms();
        if terms.epoch != parts.evaluator.epoch()
            || terms.public_key != *parts.evaluator.public_key()
        {
            return Err(ServiceError::OtherKey);
        }
        let service = terms.service.hash();
        parts
            .store
            .begin_ledger(service)
            .await
            .map_err(PublishError::Store)?;
        let epochs = Epochs::load(&parts.store, parts.evaluator, &*parts.keeper).await?;
        let current = epochs.current();
        let publisher = parts
            .publisher
            .in_epoch(current.epoch(), current.public_key().clone());
        let published = publisher.last(&parts.store).await?;
        let service = Self {
            quota: Quota::new(parts.policy, parts.store)?,
            live: RwLock::new(Arc::new(Live {
                epochs,
                publisher: Arc::new(publisher),
            })),
            keeper: parts.keeper,
            carry_for: parts.carry_for,
            ledger_keys: parts.ledger_keys,
            checkpoints: parts.checkpoints,
            seal_begun: AtomicU32::new(0),
            checkpointed: AtomicU64::new(0),
            regions: Arc::new(parts.regions),
            credentials: parts.credentials,
            pepper: parts.pepper,
            clock: parts.clock,
            compute: Compute::new(parts.limits.threads, parts.limits.queued_elements)?,
            rooms: Rooms::new(parts.limits.requests, parts.limits.requests_per_account),
            setting_rooms: Rooms::new(parts.limits.requests, parts.limits.requests_per_account),
            limits: parts.limits,
            proxies: parts.proxies,
            published: RwLock::new(None),
            publishing: tokio::sync::Mutex::new(()),
            rotating: tokio::sync::Mutex::new(()),
            changing: tokio::sync::RwLock::new(()),
            stopping: AtomicBool::new(false),
            observer: Observer::new()?,
        };
        if let Some(published) = published {
            // A backup of the store alone has lost them. A manifest that names them would be of no use to anybody.
            if service.live().publisher.is_whole(&published.manifest) {
                service.show(published);
            } else {
                tracing::error!("a published segment is missing: the set has to be published anew");
            }
        }
        Ok(Arc::new(service))
    }

    /// What a publication would write now.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn plan(self: &Arc<Self>) -> Result<Plan, PublishError> {
        let service = Arc::clone(self);
        let runtime = tokio::runtime::Handle::current();
        let planned = tokio::task::spawn_blocking(move || {
            let at = (service.clock)();
            let publisher = &service.live().publisher;
            runtime.block_on(publisher.plan(service.quota.store(), at))
        });
        planned
            .await
            .unwrap_or(Err(PublishError::Store(StoreError::Closed)))
    }

    /// Publishes what has changed, and serves that from now on.
    ///
    /// # Errors
    ///
    /// See [`PublishError`]; what was published before stays.
    pub async fn publish(self: &Arc<Self>, pace: Pace) -> Result<Arc<Publication>, PublishError> {
        let _one_at_a_time = self.publishing.lock().await;
        let service = Arc::clone(self);
        let runtime = tokio::runtime::Handle::current();
        // Minutes of arithmetic and disk for a large set: not on a thread that serves.
        let publication = tokio::task::spawn_blocking(move || {
            let at = (service.clock)();
            let store = service.quota.store();
            let publisher = &service.live().publisher;
            let publishing = publisher.publish(store, at, pace, &|_| {});
            runtime.block_on(publishing)
        })
        .await
        .unwrap_or(Err(PublishError::Store(StoreError::Closed)))?;
        if let Some(error) = publication.litter {
            tracing::warn!(%error, "the folder of segments can't be tidied up");
        }
        Ok(self.show(publication))
    }

    /// Removes the files that aren't listed any more.
    async fn tidy(self: &Arc<Self>) -> io::Result<()> {
        // A publication that is being made has files that nothing lists yet.
        let Ok(_nobody_publishes) = self.publishing.try_lock() else {
            return Ok(());
        };
        let service = Arc::clone(self);
        let tidied = tokio::task::spawn_blocking(move || {
            let newest = service.published();
            newest.map_or(Ok(()), |newest| {
                service.live().publisher.tidy(&newest, (service.clock)())
            })
        });
        tidied.await.unwrap_or(Ok(()))
    }

    /// Publishes once in every slot, as early as it can be done. Never ends.
    pub async fn publish_in_slots(self: Arc<Self>) {
        loop {
            let wait = match self.publish(Pace::OncePerSlot).await {
                Ok(publication) => {
                    let sequence = publication.manifest.claims().sequence;
                    tracing::info!(sequence, "published");
                    let live = self.live();
                    let policy = live.publisher.policy();
                    let now = (self.clock)();
                    let next = policy.begin_of(policy.slot_of(now).saturating_add(1));
                    next.saturating_since(now)
                }
                Err(PublishError::Slot(taken)) => taken.next.saturating_since((self.clock)()),
                Err(error) => {
                    tracing::error!(%error, "publishing failed; it's tried again");
                    RETRY
                }
            };
            // Not too long, as the clock may be set meanwhile.
            tokio::time::sleep(wait.clamp(Duration::from_secs(1), LONGEST_SLEEP)).await;
        }
    }

    /// What is published.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Publication>> {
        self.published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn live(&self) -> Arc<Live> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&live)
    }

    fn set_live(&self, live: Live) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }

    fn show(&self, publication: Publication) -> Arc<Publication> {
        let publication = Arc::new(publication);
        self.observer.published(&publication);
        *self
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&publication));
        publication
    }
}

impl<S> fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
