//! A service for a demonstration: the real one, on loopback, in a thread of this process.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use blindbook::{
    SecretBytes,
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
    store::{DerivedLedgerKeys, NoKeeper, Pace, Publisher, RedbStore, SegmentFolder},
};
use rand::{TryRng, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::{config::clock, connection::Connection, failure::Failure, serve::runtime};

const NAME: &str = "demo.example";
/// Longest page of metrics that is read, in bytes.
const MAX_METRICS: u64 = 1 << 20;
/// An account of this age has its full quota.
const ACCOUNT_AGE: u64 = 30 * 86_400;

/// A service in a thread of its own.
pub(super) struct DemoService {
    pub(super) public: SocketAddr,
    pub(super) operator: SocketAddr,
    name: ServiceId,
    snapshot_key: SnapshotPublicKey,
    secret: Zeroizing<[u8; 32]>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), Failure>>,
}

/// What the service can say about the phone, by its own metrics.
#[derive(Debug, Serialize)]
pub(super) struct Saw {
    pub(super) evaluate_requests: u64,
    pub(super) elements: u64,
}

impl DemoService {
    pub(super) fn start(folder: &Path) -> Result<Self, Failure> {
        let mut rng = UnwrapErr(SysRng);
        let name = ServiceId::new(NAME).map_err(Failure::defect)?;
        let evaluator = Evaluator::new(Epoch::new(1), EvaluationKey::random(&mut rng));
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
        let parts = Parts {
            store: RedbStore::open(&folder.join("blindbook.redb")).map_err(Failure::machine)?,
            evaluator,
            keeper: Arc::new(NoKeeper),
            carry_for: Duration::ZERO,
            ledger_keys: Arc::new(DerivedLedgerKeys::new(&mut rand::random())),
            checkpoints: None,
            publisher: Publisher::new(terms, snapshot, segments),
            policy: Policy::default(),
            credentials: Credentials::shared_secret(&name, secret.as_slice())
                .map_err(Failure::defect)?,
            regions: Regions::default(),
            pepper: SecretBytes::new(&mut pepper),
            limits: Limits::default(),
            proxies: Proxies::default(),
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
                let _gone = ready.send(());
                let stop = async {
                    let _sent_or_dropped = stopped.await;
                };
                serve(service, listeners, stop)
                    .await
                    .map_err(Failure::machine)
            })
        });
        if is_ready.recv().is_err() {
            return Err(match thread.join() {
                Ok(Err(failure)) => failure,
                _ => Failure::defect("the service ended before it began"),
            });
        }
        Ok(Self {
            public,
            operator,
            name,
            snapshot_key,
            secret,
            stop,
            thread,
        })
    }

    /// A connection of an account with a credential of a scope.
    pub(super) fn connect(&self, account: &str, scope: &str) -> Result<Connection, Failure> {
        let now = clock().as_micros() / 1_000_000;
        let claims = Claims {
            sub: account.to_owned(),
            aud: NAME.to_owned(),
            scope: scope.to_owned(),
            exp: now + 3_600,
            account_created: Some(now - ACCOUNT_AGE),
            attested: false,
            handle: None,
        };
        let mut endpoint = Endpoint::new(&format!("http://{}", self.public));
        endpoint.allow_plaintext = true;
        endpoint.credential = Some(mint(&claims, self.secret.as_slice()).map_err(Failure::defect)?);
        Connection::new(endpoint, self.name.clone(), self.snapshot_key.clone())
    }

    /// Asks the service's metrics.
    pub(super) fn metrics(&self) -> Result<String, Failure> {
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
    pub(super) fn stop(self) -> Result<(), Failure> {
        // Whoever doesn't listen any more has stopped already.
        let _stopped = self.stop.send(());
        self.thread
            .join()
            .unwrap_or_else(|_| Err(Failure::defect("the service panicked")))
    }
}

impl Saw {
    /// Reads the two counters out of a page of metrics.
    pub(super) fn read(metrics: &str) -> Self {
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
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            evaluate_requests: self.evaluate_requests - before.evaluate_requests,
            elements: self.elements - before.elements,
        }
    }
}

fn loopback() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Failure::machine)?;
    listener.set_nonblocking(true).map_err(Failure::machine)?;
    Ok(listener)
}
