//! A service that is killed at any moment of a rotation goes on with it: at every moment the epoch that is published has everybody
//! in it, with the same handle, and nobody who isn't to be found; nobody is refused while the service runs; at the end nothing is
//! left of the old keys.
#![cfg(unix)]

#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use blindbook::{
    Timestamp,
    client::OprfClient,
    http::credential::{Claims, mint},
    http_client::{Endpoint, Transport, TransportError},
    label::Label,
    oprf::{Epoch, UnblindedElement},
    server::{
        EvaluationKey,
        directory::{Change, Consent, MemberBatch, Residence, Setting},
    },
    snapshot::SignedManifest,
    store::{RedbStore, Store},
    wire::{EvaluateRequest, Message},
};
use rand::{Rng, RngExt, SeedableRng, rand_core::UnwrapErr, rngs::StdRng, rngs::SysRng};
use roles::now;
use serde_json::Value;

const MEMBERS: u32 = 2_500;
const HIDDEN: u32 = 50;
/// No more kills are made after that; the rotation then ends in peace.
const LONGEST: Duration = Duration::from_secs(20);

fn seconds() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

struct Service {
    folder: tempfile::TempDir,
    ports: (u16, u16),
}

/// Killed when a test ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _code = self.0.wait();
    }
}

fn label(number: u32) -> Vec<u8> {
    let mut label = vec![1; 16];
    label[..4].copy_from_slice(&number.to_be_bytes());
    label
}

impl Service {
    fn new() -> Self {
        let service = Self {
            folder: tempfile::tempdir().unwrap(),
            ports: (free_port(), free_port()),
        };
        let key = service.folder.path().join("unlock");
        let mut keygen = service.command();
        keygen.args(["keygen", "--service", "chat.example", "--new-key-file"]);
        keygen.arg("--key-file").arg(key).arg(service.path(""));
        assert!(keygen.stdout(Stdio::null()).status().unwrap().success());
        let config = service.path("blindbook.toml");
        let text = fs::read_to_string(&config).unwrap();
        let (public, operator) = service.ports;
        let text = text
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{public}"))
            .replace("127.0.0.1:9090", &format!("127.0.0.1:{operator}"));
        let text = format!(
            "{text}\n[policy.account]\nrequest_burst = 1000000\ncapacity = 10000000\nrefill_per_day = 1000000\n"
        );
        fs::write(&config, text).unwrap();
        service.fill();
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("service").join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blindbook"));
        command.arg("--json").env_clear().stdin(Stdio::null());
        command.env("BLINDBOOK_CONFIG", self.path("blindbook.toml"));
        command.stderr(Stdio::null());
        command
    }

    fn fill(&self) {
        let store = RedbStore::open(&self.path("blindbook.redb")).unwrap();
        let mut random = StdRng::from_seed([7; 32]);
        let at = Timestamp::from_secs(seconds());
        let changes = (0..MEMBERS + HIDDEN).map(|number| {
            let key = EvaluationKey::random(&mut random).public_key().encode();
            let setting = if number < MEMBERS {
                Setting::Everyone(Consent::new(at, "2026-11", "ios/settings").unwrap())
            } else {
                Setting::Nobody
            };
            let change = Change::Enrol {
                label: Label::new(&label(number)).unwrap(),
                setting,
                residence: Residence::default(),
            };
            (UnblindedElement::decode(&key).unwrap(), change)
        });
        let batch = MemberBatch {
            epoch: Epoch::new(1),
            changes: changes.collect(),
            at,
        };
        let made = now(store.change_members(batch)).unwrap();
        assert_eq!(made.changed, MEMBERS + HIDDEN);
    }

    fn start(&self) -> Running {
        let mut serve = self.command();
        serve.arg("serve").stdout(Stdio::piped());
        let log = fs::File::create(self.path("log")).unwrap();
        let mut child = serve.stderr(log).spawn().unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        if !line.contains("operator") {
            let _status = child.wait();
            let log = fs::read_to_string(self.path("log")).unwrap();
            panic!("it doesn't start on what was left: {line}{log}");
        }
        Running(child)
    }

    /// Has the service rotate.
    fn rotate(&self, how: &'static [&'static str]) -> Child {
        let mut rotate = self.command();
        rotate.arg("rotate").args(how);
        rotate.stdout(Stdio::piped()).spawn().unwrap()
    }

    fn status(&self) -> Value {
        let mut status = self.command();
        let output = status.args(["rotate", "--status"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whatever has happened: everybody is in the epoch that is published, and nobody else. Returns which it is.
    fn check(&self) -> u64 {
        let store = RedbStore::open(&self.path("blindbook.redb")).unwrap();
        let stored = now(store.latest_manifest()).unwrap().unwrap();
        let signed = SignedManifest::decode(&stored.bytes).unwrap();
        let claims = signed.unverified_claims();
        assert_eq!(claims.members(), u64::from(MEMBERS));
        let found = now(store.findable(claims.epoch, None, 10_000)).unwrap();
        assert_eq!(found.len(), MEMBERS as usize);
        let found: BTreeSet<Vec<u8>> = found
            .iter()
            .map(|one| one.label.as_bytes().to_vec())
            .collect();
        assert_eq!(found, (0..MEMBERS).map(label).collect());
        claims.epoch.get()
    }

    /// Rotates until the service says that it has, and kills it again and again meanwhile. Returns how often.
    fn rotate_and_kill(
        &self,
        how: &'static [&'static str],
        ended: impl Fn(&Value) -> bool,
        until: Instant,
        random: &mut StdRng,
    ) -> u32 {
        let mut kills = 0;
        loop {
            let service = self.start();
            if ended(&self.status()) {
                return kills;
            }
            let mut rotating = self.rotate(how);
            if Instant::now() < until {
                thread::sleep(Duration::from_millis(random.random_range(0..150)));
                drop(service);
                kills += 1;
                let _code = rotating.wait().unwrap();
                self.check();
            } else {
                let ended_by = rotating.wait_with_output().unwrap();
                // The service goes on by itself: the rotation may be over before it is asked for.
                let said = String::from_utf8(ended_by.stdout).unwrap();
                let is_over = said.contains("still carried over");
                assert!(ended_by.status.success() || is_over, "{said}");
                let deadline = Instant::now() + Duration::from_secs(60);
                while !ended(&self.status()) {
                    assert!(Instant::now() < deadline, "the rotation doesn't end");
                    thread::sleep(Duration::from_millis(50));
                }
                return kills;
            }
        }
    }
}

/// Evaluates all the time, as somebody who follows the manifest does. Returns how often that went well.
fn ask(port: u16, secret: &[u8], stop: &AtomicBool, may_be_over: &AtomicBool) -> u64 {
    let claims = Claims {
        sub: String::from("ada"),
        aud: String::from("chat.example"),
        scope: String::from("discover"),
        exp: seconds() + 600,
        account_created: Some(seconds() - 100 * 86_400),
        attested: false,
        handle: None,
    };
    let mut endpoint = Endpoint::new(&format!("http://127.0.0.1:{port}"));
    endpoint.allow_plaintext = true;
    endpoint.credential = Some(mint(&claims, secret).unwrap());
    let transport = Transport::new(endpoint).unwrap();
    let answered = AtomicU64::new(0);
    while !stop.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(3));
        let Ok(manifest) = transport.manifest() else {
            continue;
        };
        let signed = SignedManifest::decode(&manifest).unwrap();
        let claims = signed.unverified_claims();
        let client = OprfClient::new(claims.public_key.clone());
        let expect = client.blind(&[], 16, &mut UnwrapErr(SysRng)).unwrap();
        let request = EvaluateRequest {
            epoch: claims.epoch,
            blinded: expect.request().clone(),
        };
        match transport.evaluate(&request.encode()) {
            Ok(_) => _ = answered.fetch_add(1, Ordering::SeqCst),
            Err(TransportError::Unreachable(_)) => {}
            // A hard rotation may have come between the manifest and the request.
            Err(other) => assert!(may_be_over.load(Ordering::SeqCst), "{other}"),
        }
    }
    answered.into_inner()
}

#[test]
fn killed_at_any_moment_of_a_rotation_it_goes_on() {
    let service = Service::new();
    let secret = fs::read(service.path("credential.secret")).unwrap();
    let seed = UnwrapErr(SysRng).next_u64();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (stop, hard) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let asking = {
        let (stop, hard, port) = (Arc::clone(&stop), Arc::clone(&hard), service.ports.0);
        thread::spawn(move || ask(port, &secret, &stop, &hard))
    };
    let begun = Instant::now();
    let soft = service.rotate_and_kill(
        &[],
        |status| status["epoch"] == 2,
        begun + LONGEST / 2,
        &mut random,
    );
    service.check();
    hard.store(true, Ordering::SeqCst);
    // It ends the window of the soft one first.
    let ended = service.rotate_and_kill(
        &["--hard"],
        |status| status["epoch"].as_u64() >= Some(3) && status["phase"] == "none",
        begun + LONGEST,
        &mut random,
    );
    let epoch = service.check();
    // Killed when it was asked for once more, it has left the keys of a rotation that the store doesn't know: the next one takes them.
    service.rotate_and_kill(
        &["--hard"],
        |status| status["epoch"].as_u64() > Some(epoch) && status["phase"] == "none",
        begun,
        &mut random,
    );
    service.check();
    stop.store(true, Ordering::SeqCst);
    let answered = asking.join().unwrap();
    assert!(
        soft > 0 && ended > 0 && answered > 0,
        "{soft} and {ended} kills, {answered} answers"
    );
    for left in [".next", ".delta", ".old"] {
        let file = service.path(&format!("evaluation.key{left}"));
        assert!(!file.exists(), "{left} is left");
    }
}
