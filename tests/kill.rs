//! A service that is killed at any moment has kept what it has confirmed.
//!
//! A process of its own (this binary again) serves a store on loopback. Threads here evaluate, enrol, opt out,
//! delete and publish, and write down what was confirmed. The process is killed with SIGKILL, and every claim is
//! compared with what is in the files; then the next one starts on the same files.
//!
//! Every life lasts a random time. The seed is printed; `BLINDBOOK_SEED` repeats it, as far as the machine's
//! scheduling lets itself be repeated.
#![cfg(unix)]
#![allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "modules of one test"
)]

#[path = "kill/account.rs"]
mod account;
#[path = "kill/check.rs"]
mod check;
#[path = "kill/clock.rs"]
mod clock;
#[path = "kill/load.rs"]
mod load;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;
#[path = "support/service.rs"]
mod service;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use blindbook::{
    server::publish::PublishPolicy,
    store::{RedbStore, StoreError},
};
use rand::RngExt;

use std::sync::Arc;

use crate::{account::Accounts, check::Truth, load::Load, service::*};

const LIVES: usize = 55;
/// Lives go on for at least so long, so that the load gets somewhere.
const LONGEST_LIFE: Duration = Duration::from_millis(400);
/// No more lives are begun after that. A machine so slow has shown enough with those it had, if they are 50.
const LONGEST_TEST: Duration = Duration::from_secs(80);

/// A process that serves.
struct Victim {
    child: Child,
    public: std::net::SocketAddr,
    operator: std::net::SocketAddr,
}

impl Victim {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "serve_until_killed", "--nocapture"])
            .env("BLINDBOOK_VICTIM", folder)
            .env(clock::BEGINNING, clock::beginning().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("serving ").map(|(_, at)| at.to_owned()))
            .expect("the service starts on what its predecessor left");
        let (public, operator) = told.split_once(' ').unwrap();
        Self {
            child,
            public: public.parse().unwrap(),
            operator: operator.parse().unwrap(),
        }
    }

    /// SIGKILL: nothing is flushed, closed or finished.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Not a test: what the other process does. By itself it does nothing.
#[test]
fn serve_until_killed() {
    let Some(folder) = env::var_os("BLINDBOOK_VICTIM") else {
        return;
    };
    let setup = Setup {
        policy: load::policy(),
        clock: clock::clock,
        // Few members: every kind of segment in turn.
        publishing: PublishPolicy {
            dailies: 3,
            decoy_class: 4,
            ..PublishPolicy::default()
        },
        ..Setup::default()
    };
    let running = Running::start(Path::new(&folder), setup);
    println!("serving {} {}", running.public, running.operator);
    std::io::stdout().flush().unwrap();
    // Until we are killed, or whoever started us is gone.
    let mut nothing = String::new();
    let _gone = std::io::stdin().read_line(&mut nothing);
    running.stop();
}

#[test]
fn what_was_confirmed_survives_every_kill() {
    let seed = env::var("BLINDBOOK_SEED").map_or_else(
        |_| system_random().random::<u8>(),
        |seed| seed.parse().unwrap(),
    );
    println!("BLINDBOOK_SEED={seed}");
    let mut random = random(seed);
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let accounts = Arc::new(Accounts::new());
    let mut truth = Truth::new();
    let mut lives = 0;
    let mut confirmed = load::Confirmed::default();
    while lives < LIVES && (lives < 50 || begun.elapsed() < LONGEST_TEST) {
        let victim = Victim::start(folder.path());
        // Nobody else writes into a store that is in use, whatever process it is.
        let second = RedbStore::open(&folder.path().join("store"));
        assert_eq!(second.unwrap_err(), StoreError::Locked);
        let load = Load::start(
            victim.public,
            victim.operator,
            &accounts,
            &truth,
            random.random(),
        );
        thread::sleep(LONGEST_LIFE.mul_f64(random.random()));
        victim.kill();
        // What was confirmed until then; answers that didn't come confirm nothing.
        let news = load.end();
        confirmed.add(&news);
        truth.learn(news);
        truth.check(folder.path(), &accounts);
        lives += 1;
    }
    println!("{lives} lives, {confirmed:?}, {:?}", begun.elapsed());
    assert!(confirmed.is_enough(), "{confirmed:?}");
    // What is left behind doesn't grow with the number of kills.
    assert!(
        fs::read_dir(folder.path().join("segments"))
            .unwrap()
            .count()
            <= 20
    );
}
