//! A discovery service on loopback with a durable store, and what a registrar and an app do with it.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "shared by several tests"
)]

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use blindbook::{
    SecretBytes, Timestamp,
    client::{Identifier, OprfClient, SyncState},
    http::{
        Limits, Listeners, Parts, Proxies, Service,
        credential::{Claims, Credentials, mint},
        serve,
    },
    http_client::{Answer, Endpoint, Transport, TransportError},
    label::{Label, LabelLength},
    oprf::{Epoch, ServiceId},
    server::{
        Delta, EvaluationKey, Evaluator,
        directory::{Consent, Regions},
        policy::Policy,
        publish::{PublishPolicy, Terms},
    },
    snapshot::{Segment, SignedManifest, SnapshotKey, cheapest_path},
    store::{
        CheckpointFile, DerivedLedgerKeys, KeyKeeper, NextKey, NoKeeper, Publisher, RedbStore,
        SegmentFolder, StoreOptions,
    },
    wire::{
        EnrolRequest, Enrolment, EvaluateRequest, EvaluateResponse, MembersResponse, Message,
        RemoveRequest, Setting,
    },
};
use rand::{
    SeedableRng,
    rand_core::UnwrapErr,
    rngs::{StdRng, SysRng},
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

pub const EPOCH: Epoch = Epoch::new(7);
pub const SERVICE: &str = "chat.example";
pub const SECRET: &[u8] = b"a secret that two backends share";
pub const PEPPER: [u8; 32] = [5; 32];
/// What the clock of a service says, unless a test gives it another one.
pub const NOW: u64 = 1_800_000_000;
pub const LABELS: LabelLength = match LabelLength::new(8) {
    Ok(length) => length,
    Err(_) => panic!(),
};

/// How a service is set up; the defaults are those of the crate.
pub struct Setup {
    pub store: StoreOptions,
    pub policy: Policy,
    pub limits: Limits,
    pub proxies: Proxies,
    pub clock: fn() -> Timestamp,
    pub epoch: Epoch,
    pub publishing: PublishPolicy,
    pub regions: Regions,
    pub credentials: Credentials,
    /// Keeps the keys, also that in use, if they are rotated.
    pub keeper: Option<Arc<MemoryKeeper>>,
    pub carry_for: Duration,
    /// A certificate chain and its key.
    pub tls: Option<Tls>,
}

pub struct Tls {
    pub certificate_pem: String,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    pub fn new() -> Self {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self {
            certificate_pem: made.cert.pem(),
            certificate: made.cert.der().to_vec(),
            key: made.signing_key.serialize_der(),
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            store: StoreOptions::new(),
            policy: Policy::default(),
            limits: Limits {
                threads: 2,
                shutdown_seconds: 20,
                ..Limits::default()
            },
            proxies: Proxies::default(),
            clock: || Timestamp::from_secs(NOW),
            epoch: EPOCH,
            publishing: PublishPolicy::default(),
            regions: Regions::default(),
            credentials: Credentials::shared_secret(&service_id(), SECRET).unwrap(),
            keeper: None,
            carry_for: Duration::from_secs(30 * 86_400),
            tls: None,
        }
    }
}

/// Keeps keys for as long as the test lasts: over the restarts of a service.
#[derive(Debug)]
pub struct MemoryKeeper(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    in_use: Sealed,
    next: Option<Sealed>,
    delta: Option<[u8; 32]>,
}

#[derive(Debug, Clone, Copy)]
struct Sealed {
    epoch: Epoch,
    key: [u8; 32],
}

impl MemoryKeeper {
    /// With the key of the tests' epoch in use.
    pub fn new() -> Arc<Self> {
        let key = *evaluation_key(EPOCH).expose().expose();
        let in_use = Sealed { epoch: EPOCH, key };
        Arc::new(Self(Mutex::new(Kept {
            in_use,
            next: None,
            delta: None,
        })))
    }

    pub fn in_use(&self) -> Evaluator {
        let mut sealed = self.0.lock().unwrap().in_use;
        let key = EvaluationKey::from_bytes(&mut sealed.key).unwrap();
        Evaluator::new(sealed.epoch, key)
    }

    /// Whether a next key and a delta are kept.
    pub fn keeps(&self) -> (bool, bool) {
        let kept = self.0.lock().unwrap();
        (kept.next.is_some(), kept.delta.is_some())
    }
}

impl KeyKeeper for MemoryKeeper {
    fn keep(&self, next: &NextKey) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap();
        assert!(kept.next.is_none() && kept.delta.is_none());
        kept.delta = next.delta.as_ref().map(|delta| *delta.expose().expose());
        kept.next = Some(Sealed {
            epoch: next.epoch,
            key: *next.key.expose().expose(),
        });
        Ok(())
    }

    fn kept(&self) -> io::Result<Option<NextKey>> {
        let kept = self.0.lock().unwrap();
        Ok(kept.next.map(|mut next| NextKey {
            epoch: next.epoch,
            key: EvaluationKey::from_bytes(&mut next.key).unwrap(),
            delta: kept
                .delta
                .map(|mut delta| Delta::from_bytes(&mut delta).unwrap()),
        }))
    }

    fn destroy_delta(&self) -> io::Result<()> {
        self.0.lock().unwrap().delta = None;
        Ok(())
    }

    fn promote(&self, epoch: Epoch) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap();
        if let Some(next) = kept.next.take_if(|next| next.epoch == epoch) {
            kept.in_use = next;
        }
        assert_eq!(kept.in_use.epoch, epoch);
        Ok(())
    }
}

pub fn service_id() -> ServiceId {
    ServiceId::new(SERVICE).unwrap()
}

pub fn snapshot_key() -> SnapshotKey {
    SnapshotKey::from_seed(&mut [7; 32])
}

/// The key of an epoch, always the same one.
pub fn evaluation_key(epoch: Epoch) -> EvaluationKey {
    EvaluationKey::derive(&[9; 32], &epoch.get().to_be_bytes()).unwrap()
}

pub fn publisher(folder: &Path, epoch: Epoch) -> Publisher {
    let terms = Terms {
        service: service_id(),
        normalisation: 1,
        label_length: LABELS,
        epoch,
        public_key: evaluation_key(epoch).public_key().clone(),
        valid_for: Duration::from_secs(3 * 86_400),
    };
    let segments = SegmentFolder::open(&folder.join("segments")).unwrap();
    Publisher::new(terms, snapshot_key(), segments)
}

/// A service that listens.
pub struct Running {
    pub public: SocketAddr,
    pub operator: SocketAddr,
    pub service: Arc<Service<RedbStore>>,
    url: String,
    authorities: Option<Vec<u8>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
}

impl Running {
    /// Serves what is in `folder`, which keeps the store and the segments.
    pub fn start(folder: &Path, setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let evaluator = match &setup.keeper {
            Some(keeper) => keeper.in_use(),
            None => Evaluator::new(setup.epoch, evaluation_key(setup.epoch)),
        };
        let keeper = setup.keeper.map(|keeper| keeper as Arc<dyn KeyKeeper>);
        let publisher = publisher(folder, setup.epoch)
            .in_epoch(evaluator.epoch(), evaluator.public_key().clone())
            .with_policy(setup.publishing);
        let service = runtime
            .block_on(Service::new(Parts {
                keeper: keeper.unwrap_or(Arc::new(NoKeeper)),
                carry_for: setup.carry_for,
                ledger_keys: Arc::new(DerivedLedgerKeys::new(&mut [11; 32])),
                checkpoints: Some(CheckpointFile::new(folder.join("ledger.checkpoints"))),
                store: setup.store.open(&folder.join("store")).unwrap(),
                evaluator,
                publisher,
                policy: setup.policy,
                credentials: setup.credentials,
                regions: setup.regions,
                pepper: SecretBytes::new(&mut PEPPER.clone()),
                limits: setup.limits,
                proxies: setup.proxies,
                clock: setup.clock,
            }))
            .unwrap();
        let public = TcpListener::bind("127.0.0.1:0").unwrap();
        let operator = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = (public.local_addr().unwrap(), operator.local_addr().unwrap());
        let port = addresses.0.port();
        let (url, authorities, tls) = match setup.tls {
            None => (format!("http://127.0.0.1:{port}"), None, None),
            Some(tls) => (
                format!("https://localhost:{port}"),
                Some(tls.certificate_pem.into_bytes()),
                Some((
                    vec![tls.certificate.into()],
                    tls.key.try_into().expect("a private key"),
                )),
            ),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Arc::clone(&service);
        let served = thread::spawn(move || {
            let listeners = Listeners {
                public,
                operator,
                tls,
            };
            let stop = async {
                let _dropped = stopped.await;
            };
            runtime.block_on(serve(serving, listeners, stop)).unwrap();
        });
        Self {
            public: addresses.0,
            operator: addresses.1,
            service,
            url,
            authorities,
            stop: Some(stop),
            served: Some(served),
        }
    }

    /// Signals the stop and returns at once.
    pub fn signal_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until everything has ended and the store is closed.
    pub fn stop(mut self) {
        self.signal_stop();
        self.served.take().unwrap().join().unwrap();
    }

    pub fn transport(&self, credential: Option<&str>) -> Transport {
        let mut endpoint = Endpoint::new(&self.url);
        endpoint.allow_plaintext = self.authorities.is_none();
        endpoint.authorities = self.authorities.clone();
        endpoint.credential = credential.map(|text| Zeroizing::new(text.to_owned()));
        Transport::new(endpoint).unwrap()
    }

    pub fn publish(&self) {
        let answer = super::raw::exchange(
            self.operator,
            b"POST /publish?now HTTP/1.1\r\nHost: operator\r\nContent-Length: 0\r\n\r\n",
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        let answer = super::raw::get(self.operator, "/metrics");
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// A counter or gauge, by its name and labels as they are printed; 0 if it was never touched.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Elements that were ever debited, from the counter that only a durable debit moves.
    pub fn charged(&self) -> u64 {
        self.metric("blindbook_elements_total{kind=\"charged\"}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal_stop();
        if let Some(served) = self.served.take()
            && served.join().is_err()
            && !thread::panicking()
        {
            panic!("serving failed");
        }
    }
}

pub fn claims(account: &str, scope: &str) -> Claims {
    Claims {
        sub: account.to_owned(),
        aud: SERVICE.to_owned(),
        scope: scope.to_owned(),
        exp: NOW + 300,
        account_created: Some(NOW - 100 * 86_400),
        attested: false,
        handle: None,
    }
}

/// A credential of an old account to discover with.
pub fn discover(account: &str) -> Zeroizing<String> {
    mint(&claims(account, "discover"), SECRET).unwrap()
}

/// A credential of an account that was made this moment.
pub fn discover_as_new(account: &str) -> Zeroizing<String> {
    let claims = Claims {
        account_created: Some(NOW),
        ..claims(account, "discover")
    };
    mint(&claims, SECRET).unwrap()
}

/// A registrar's credential.
pub fn enrol() -> Zeroizing<String> {
    mint(&claims("registrar", "enrol"), SECRET).unwrap()
}

/// A credential for the setting of whoever has a handle.
pub fn setting_of(account: &str, handle: &str) -> Zeroizing<String> {
    let claims = Claims {
        handle: Some(handle.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ..claims(account, "setting")
    };
    mint(&claims, SECRET).unwrap()
}

pub fn random(stream: u8) -> StdRng {
    StdRng::from_seed([stream; 32])
}

/// A random source that never repeats itself: what is sent twice isn't charged twice.
pub fn system_random() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Numbers of the range that Ofcom keeps free for drama.
pub fn numbers(range: std::ops::Range<u32>) -> Vec<Identifier> {
    range
        .map(|number| Identifier::phone_e164(&format!("+447700900{number:03}")).unwrap())
        .collect()
}

/// Uniform elements: the bytes of a request that isn't about anybody.
pub fn request_of(count: usize, stream: u8) -> Vec<u8> {
    let client = OprfClient::new(evaluation_key(EPOCH).public_key().clone());
    let expect = client.blind(&[], count, &mut random(stream)).unwrap();
    EvaluateRequest {
        epoch: EPOCH,
        blinded: expect.request().clone(),
    }
    .encode()
}

pub fn everyone(consented_at: u64) -> Setting {
    let at = Timestamp::from_secs(consented_at);
    Setting::Everyone(Consent::new(at, "2026-11", "ios/settings").unwrap())
}

/// What a registrar does: evaluates numbers and makes the bytes that enrol them, each with the end of its number
/// as label.
pub fn enrolment(
    transport: &Transport,
    epoch: Epoch,
    members: &[Identifier],
    setting: &Setting,
) -> Vec<u8> {
    let enrolments = evaluate(transport, epoch, members)
        .into_iter()
        .zip(members)
        .map(|(unblinded, identifier)| {
            let input = identifier.as_input();
            Enrolment {
                unblinded,
                label: Label::new(&input[input.len() - 3..]).unwrap(),
                setting: setting.clone(),
                region: None,
            }
        })
        .collect();
    EnrolRequest::new(epoch, LABELS, enrolments)
        .unwrap()
        .encode()
}

/// The bytes that remove members.
pub fn removal(transport: &Transport, epoch: Epoch, members: &[Identifier]) -> Vec<u8> {
    RemoveRequest {
        epoch,
        unblinded: evaluate(transport, epoch, members),
    }
    .encode()
}

pub fn evaluate(
    transport: &Transport,
    epoch: Epoch,
    members: &[Identifier],
) -> Vec<blindbook::oprf::UnblindedElement> {
    let client = OprfClient::new(evaluation_key(epoch).public_key().clone());
    let inputs: Vec<&[u8]> = members.iter().map(Identifier::as_input).collect();
    let expect = client.blind(&inputs, 0, &mut system_random()).unwrap();
    let request = EvaluateRequest {
        epoch,
        blinded: expect.request().clone(),
    };
    let answer = transport.evaluate(&request.encode()).unwrap();
    let response = EvaluateResponse::decode(&answer.body).unwrap();
    expect
        .finalize(&response.evaluated, &response.proof)
        .unwrap()
}

pub fn changed(answer: &Answer) -> (u32, u32) {
    let response = MembersResponse::decode(&answer.body).unwrap();
    assert_eq!(response.refused, []);
    (response.changed, response.unchanged)
}

/// An app: fetches the manifest and the segment, evaluates what it doesn't know, and looks everybody up. Returns
/// the labels found.
pub fn sync(
    state: &mut SyncState,
    transport: &Transport,
    contacts: &[Identifier],
) -> Result<Vec<String>, TransportError> {
    let signed = SignedManifest::decode(&transport.manifest()?).unwrap();
    let manifest = signed.verify(&snapshot_key().public_key()).unwrap();
    let _followed = state.follow(&manifest, NOW).unwrap();
    let claims = manifest.claims();
    let path = cheapest_path(&claims.segments, claims.newest(), |entry| entry.size);
    let segments = path.unwrap().into_iter();
    let segments: Vec<Vec<u8>> = segments
        .map(|entry| transport.segment(&entry.id, entry.size))
        .collect::<Result<_, _>>()?;
    let open = |bytes| Segment::open(bytes, &manifest).unwrap();
    let mut path: Vec<Segment<&Vec<u8>>> = segments.iter().map(open).collect();
    while let Some(expect) = state
        .next_request(contacts, usize::MAX, NOW, &mut system_random())
        .unwrap()
    {
        let answer = transport.evaluate(&expect.message())?;
        state.finish(expect, &answer.body).unwrap();
    }
    let found = state.find(&mut path, contacts).unwrap();
    let text = |label: &Label| String::from_utf8(label.as_bytes().to_vec()).unwrap();
    Ok(found.iter().map(|found| text(&found.label)).collect())
}

/// Where the published segments of a folder lie.
pub fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("segments")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.file_name().is_some_and(|name| name.len() == 64))
        .collect()
}
