//! A service with people who could be found at different times, and a clock that a test moves.

use std::{
    collections::BTreeSet,
    fs,
    ops::Range,
    path::Path,
    process::Command,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use blindbook::{
    Timestamp,
    http_client::Transport,
    label::Label,
    server::directory::Consent,
    wire::{EnrolRequest, Enrolment, Message, Setting},
};
use zeroize::Zeroizing;

use super::service::{
    EPOCH, LABELS, NOW, Running, SECRET, Setup, changed, claims, evaluate, numbers, request_of,
};
use blindbook::http::credential::{Claims, mint};

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;
/// The window begins so many days after everybody has joined.
const WINDOW: u64 = 10;

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// One town at a time: they share the clock.
static ALONE: Mutex<()> = Mutex::new(());
/// Microseconds that the tests have let pass.
static PASSED: AtomicU64 = AtomicU64::new(0);

fn clock() -> Timestamp {
    let passed = Duration::from_micros(PASSED.load(Ordering::SeqCst));
    Timestamp::from_secs(NOW).saturating_add(BEGUN.elapsed() + passed)
}

fn seconds() -> u64 {
    clock().as_micros() / 1_000_000
}

pub(crate) struct Town {
    folder: tempfile::TempDir,
    running: Running,
    opened: u64,
    _alone: MutexGuard<'static, ()>,
}

impl Town {
    /// People join, some leave long before the window, some within the last day before it, some in it.
    pub(crate) fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            clock,
            ..Setup::default()
        };
        let running = Running::start(folder.path(), setup);
        let mut town = Self {
            folder,
            running,
            opened: 0,
            _alone: alone,
        };
        town.write_config();
        town.enrol(0..130, true, "p");
        // The same people by another number.
        town.enrol(500..510, true, "p");
        town.enrol(200..220, false, "off");
        town.pass(Duration::from_secs((WINDOW - 3) * DAY));
        town.enrol(0..20, false, "p");
        town.pass(Duration::from_secs(2 * DAY + 4 * HOUR));
        town.enrol(20..40, false, "p");
        town.pass(Duration::from_secs(20 * HOUR));
        town.opened = seconds();
        town.pass(Duration::from_secs(HOUR));
        town.enrol(40..60, false, "p");
        town.enrol(300..310, true, "new");
        town
    }

    /// The handles of those who could be found in the window, and a slot before it: all but those who left days before, and
    /// those who could never be found.
    pub(crate) fn expected(&self) -> BTreeSet<String> {
        let joined = (20..130).map(|number| handle("p", number));
        let second = (0..10).map(|number| handle("p", number));
        let new = (300..310).map(|number| handle("new", number));
        joined.chain(second).chain(new).collect()
    }

    pub(crate) fn join_late(&self) {
        self.pass(Duration::from_secs(HOUR));
        self.enrol(400..410, true, "late");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap();
        PASSED.fetch_add(micros, Ordering::SeqCst);
    }

    /// When the window begins.
    pub(crate) fn since_days(&self) -> String {
        let at = time::OffsetDateTime::from_unix_timestamp(self.opened as i64).unwrap();
        at.format(&time::format_description::well_known::Rfc3339)
            .unwrap()
    }

    pub(crate) fn incident(&self, command: &str) -> Command {
        let mut blindbook = Command::new(env!("CARGO_BIN_EXE_blindbook"));
        blindbook
            .env_clear()
            .args(["--json", "incident", command, "--config"])
            .arg(self.folder.path().join("blindbook.toml"));
        blindbook
    }

    /// Whether an account may ask.
    pub(crate) fn asks(&self, account: &str) -> bool {
        let transport = self.transport(account, "discover");
        transport.evaluate(&request_of(16, 1)).is_ok()
    }

    fn write_config(&self) {
        let template = include_str!("../../src/bin/blindbook/config.toml");
        let text = template
            .replace("SERVICE", "chat.example")
            .replace("127.0.0.1:9090", &self.running.operator.to_string());
        fs::write(self.folder.path().join("blindbook.toml"), text).unwrap();
    }

    fn transport(&self, account: &str, scope: &str) -> Transport {
        let claims = Claims {
            exp: seconds() + 300,
            account_created: Some(seconds() - 100 * DAY),
            ..claims(account, scope)
        };
        let credential: Zeroizing<String> = mint(&claims, SECRET).unwrap();
        self.running.transport(Some(&credential))
    }

    /// Enrols numbers, findable or not.
    fn enrol(&self, range: Range<u32>, findable: bool, prefix: &str) {
        let transport = self.transport("registrar", "enrol");
        let members = numbers(range.clone());
        let enrolments = evaluate(&transport, EPOCH, &members)
            .into_iter()
            .zip(range)
            .map(|(unblinded, number)| Enrolment {
                unblinded,
                label: Label::new(handle(prefix, number % 500).as_bytes()).unwrap(),
                setting: if findable {
                    let at = Timestamp::from_secs(seconds());
                    Setting::Everyone(Consent::new(at, "2026-11", "test").unwrap())
                } else {
                    Setting::Nobody
                },
                region: None,
            })
            .collect();
        let request = EnrolRequest::new(EPOCH, LABELS, enrolments).unwrap();
        changed(&transport.enrol(&request.encode()).unwrap());
    }
}

fn handle(prefix: &str, number: u32) -> String {
    format!("{prefix}-{number}")
}
