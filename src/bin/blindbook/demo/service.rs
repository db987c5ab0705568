//! A service for a demonstration or a drill: the real one, on loopback, in a thread of this process.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use blindbook::{
    SecretBytes, Timestamp,
    client::NormalisationProfile,
    http::{
        Limits, Listeners, Parts, Proxies, Service,
        credential::{Claims, Credentials, mint},
        serve,
    },
    http_client::Endpoint,
    label::LabelLength,
    oprf::{Epoch, ServiceId},
    server::{EvaluationKey, Evaluator, directory::Regions, policy::Policy, publish::Terms},
    snapshot::{SnapshotKey, SnapshotPublicKey},
    store::{CheckpointFile, DerivedLedgerKeys, Pace, Publisher, RedbStore, SegmentFolder},
};
use rand::{TryRng, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use tokio::{runtime::Handle, sync::oneshot};
use zeroize::Zeroizing;

use crate::{
    connection::Connection,
    failure::Failure,
    hex,
    seal::{self, Kind, Unlock},
    sealed_keys::SealedKeys,
    serve::runtime,
};

const NAME: &str = "demo.example";
const EPOCH: Epoch = Epoch::new(1);
/// Longest page of metrics that is read, in bytes.
const MAX_METRICS: u64 = 1 << 20;
/// An account of this age has its full quota.
pub(crate) const ACCOUNT_AGE: u64 = 30 * 86_400;

/// What a service is staged with.
pub(crate) struct Staging {
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) proxies: Proxies,
}

/// Whose credential it is.
pub(crate) struct Who<'a> {
    pub(crate) account: &'a str,
    pub(crate) scope: &'a str,
    /// When the account was made, in seconds since 1970.
    pub(crate) created: u64,
    pub(crate) handle: Option<&'a str>,
}

/// A service in a thread of its own.
pub(crate) struct DemoService {
    pub(crate) public: SocketAddr,
    pub(crate) operator: SocketAddr,
    /// Where checkpoints of the ledger are appended.
    pub(crate) checkpoints: PathBuf,
    name: ServiceId,
    snapshot_key: SnapshotPublicKey,
    secret: Zeroizing<[u8; 32]>,
    clock: fn() -> Timestamp,
    service: Arc<Service<RedbStore>>,
    runtime: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), Failure>>,
}

/// What the service can say about the phone, by its own metrics.
#[derive(Debug, Serialize)]
pub(crate) struct Saw {
    pub(crate) evaluate_requests: u64,
    pub(crate) elements: u64,
}

/// The service's name.
pub(crate) fn name() -> Result<ServiceId, Failure> {
    ServiceId::new(NAME).map_err(Failure::defect)
}

impl DemoService {
    pub(crate) fn start(folder: &Path, staging: Staging) -> Result<Self, Failure> {
        let Staging { clock, proxies } = staging;
        let mut rng = UnwrapErr(SysRng);
        let name = name()?;
        let key = EvaluationKey::random(&mut rng);
        let keeper = keeper(folder, &key)?;
        let evaluator = Evaluator::new(EPOCH, key);
        let snapshot = SnapshotKey::random(&mut rng);
        let snapshot_key = snapshot.public_key();
        let terms = Terms {
            service: name.clone(),
            normalisation: NormalisationProfile::CURRENT.id(),
            label_length: LabelLength::default(),
            epoch: evaluator.epoch(),
            public_key: evaluator.public_key().clone(),
            valid_for: Duration::from_secs(86_400),
        };
        let (mut secret, mut pepper) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        for bytes in [&mut secret, &mut pepper] {
            SysRng
                .try_fill_bytes(bytes.as_mut_slice())
                .map_err(Failure::machine)?;
        }
        let segments = SegmentFolder::open(&folder.join("segments")).map_err(Failure::machine)?;
        let checkpoints = folder.join("ledger.checkpoints");
        let parts = Parts {
            store: RedbStore::open(&folder.join("blindbook.redb")).map_err(Failure::machine)?,
            evaluator,
            keeper: Arc::new(keeper),
            carry_for: Duration::ZERO,
            ledger_keys: Arc::new(DerivedLedgerKeys::new(&mut rand::random())),
            checkpoints: Some(CheckpointFile::new(checkpoints.clone())),
            publisher: Publisher::new(terms, snapshot, segments),
            policy: Policy::default(),
            credentials: Credentials::shared_secret(&name, secret.as_slice())
                .map_err(Failure::defect)?,
            regions: Regions::default(),
            pepper: SecretBytes::new(&mut pepper),
            limits: Limits::default(),
            proxies,
            clock,
        };
        let listeners = Listeners {
            public: loopback()?,
            operator: loopback()?,
            tls: None,
        };
        let public = listeners.public.local_addr().map_err(Failure::machine)?;
        let operator = listeners.operator.local_addr().map_err(Failure::machine)?;
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            runtime()?.block_on(async {
                let service = Service::new(parts).await.map_err(Failure::machine)?;
                service.publish(Pace::Now).await?;
                // Whoever started this has gone if nobody listens.
                let _gone = ready.send((Arc::clone(&service), Handle::current()));
                let stop = async {
                    let _sent_or_dropped = stopped.await;
                };
                serve(service, listeners, stop)
                    .await
                    .map_err(Failure::machine)
            })
        });
        let Ok((service, runtime)) = is_ready.recv() else {
            return Err(match thread.join() {
                Ok(Err(failure)) => failure,
                _ => Failure::defect("the service ended before it began"),
            });
        };
        Ok(Self {
            public,
            operator,
            checkpoints,
            name,
            snapshot_key,
            secret,
            clock,
            service,
            runtime,
            stop,
            thread,
        })
    }

    /// A connection of an old account with a credential of a scope.
    pub(crate) fn connect(&self, account: &str, scope: &str) -> Result<Connection, Failure> {
        self.connect_as(&Who {
            account,
            scope,
            created: self.now() - ACCOUNT_AGE,
            handle: None,
        })
    }

    /// A connection with a credential.
    pub(crate) fn connect_as(&self, who: &Who<'_>) -> Result<Connection, Failure> {
        let mut endpoint = Endpoint::new(&format!("http://{}", self.public));
        endpoint.allow_plaintext = true;
        endpoint.credential = Some(self.credential(who)?);
        let key = self.snapshot_key.clone();
        Ok(Connection::new(endpoint, self.name.clone(), key)?.with_clock(self.clock))
    }

    /// A credential for an hour.
    pub(crate) fn credential(&self, who: &Who<'_>) -> Result<Zeroizing<String>, Failure> {
        let claims = Claims {
            sub: who.account.to_owned(),
            aud: NAME.to_owned(),
            scope: who.scope.to_owned(),
            exp: self.now() + 3_600,
            account_created: Some(who.created),
            attested: false,
            handle: who.handle.map(|handle| hex::encode(handle.as_bytes())),
        };
        mint(&claims, self.secret.as_slice()).map_err(Failure::defect)
    }

    /// What time it is for the service, in seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        (self.clock)().as_micros() / 1_000_000
    }

    /// The key that it signs with, as operators write it down.
    pub(crate) fn snapshot_key(&self) -> String {
        hex::encode(&self.snapshot_key.encode())
    }

    /// Does now what it does every minute: seals hours that are over into the ledger, and looks for signals in them.
    pub(crate) fn seal(&self) -> Result<(), Failure> {
        let sealed = self.runtime.block_on(self.service.seal_hours());
        sealed.map(drop).map_err(Failure::machine)
    }

    /// Asks the service's metrics.
    pub(crate) fn metrics(&self) -> Result<String, Failure> {
        let unreachable = |error: &dyn std::fmt::Display| Failure::Unreachable(error.to_string());
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .build()
            .new_agent();
        let response = agent
            .get(format!("http://{}/metrics", self.operator))
            .call()
            .map_err(|error| unreachable(&error))?;
        let mut text = String::new();
        response
            .into_body()
            .into_reader()
            .take(MAX_METRICS)
            .read_to_string(&mut text)
            .map_err(|error| unreachable(&error))?;
        Ok(text)
    }

    /// Stops as a service does, and waits for it.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        // Whoever doesn't listen any more has stopped already.
        let _stopped = self.stop.send(());
        // The last one to have it closes the store.
        drop(self.service);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(Failure::defect("the service panicked")))
    }
}

impl Saw {
    /// Reads the two counters out of a page of metrics.
    pub(crate) fn read(metrics: &str) -> Self {
        let sum = |begins: &str, has: &str| {
            let lines = metrics
                .lines()
                .filter(|line| line.starts_with(begins) && line.contains(has));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum::<f64>() as u64
        };
        Self {
            evaluate_requests: sum("blindbook_requests_total", "\"/v1/evaluate\""),
            elements: sum("blindbook_elements_total", "\"charged\""),
        }
    }

    /// What came since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            evaluate_requests: self.evaluate_requests - before.evaluate_requests,
            elements: self.elements - before.elements,
        }
    }
}

/// Seals the key in a file of the folder, under a key that is forgotten with this process.
fn keeper(folder: &Path, key: &EvaluationKey) -> Result<SealedKeys, Failure> {
    let file = folder.join("evaluation.key");
    let mut unlock = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(unlock.as_mut_slice())
        .map_err(Failure::machine)?;
    let unlock = Unlock::KeyFile(unlock);
    let secret = key.expose();
    seal::seal(
        &file,
        Kind::EvaluationKey,
        EPOCH.get(),
        secret.expose(),
        &unlock,
    )?;
    Ok(SealedKeys::new(file, Arc::new(unlock)))
}

fn loopback() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::machine)?;
    listener.set_nonblocking(true).map_err(Failure::machine)?;
    Ok(listener)
}
