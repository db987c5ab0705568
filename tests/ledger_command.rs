//! `ledger`: the binary against a service whose hours pass, and against files that somebody has changed.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/service.rs"]
mod service;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use blindbook::{
    Timestamp,
    server::ledger::{Entry, ExportHeader},
};
use raw::Request;
use serde_json::Value;
use service::*;

const BAD_INPUT: i32 = 2;
const REFUSED: i32 = 3;
/// In the month after that of [`NOW`].
const NEXT_MONTH: u64 = NOW + 30 * 86_400;

/// A test's own.
static CLOCK: AtomicU64 = AtomicU64::new(NOW);
static CLOCK_OF_INCIDENT: AtomicU64 = AtomicU64::new(NOW);

/// A service of which accounts have asked for something.
struct Asked {
    folder: tempfile::TempDir,
    running: Running,
}

impl Asked {
    fn new(clock: fn() -> Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            clock,
            ..Setup::default()
        };
        let running = Running::start(folder.path(), setup);
        for (stream, account) in ["ada", "grace", "edsger"].into_iter().enumerate() {
            let request = request_of(64, u8::try_from(stream).unwrap());
            let answer = Request::evaluate(&discover(account), request).send(running.public);
            assert_eq!(answer.status, 200);
        }
        let template = include_str!("../src/bin/blindbook/config.toml");
        let config = template
            .replace("SERVICE", SERVICE)
            .replace("127.0.0.1:9090", &running.operator.to_string());
        fs::write(folder.path().join("blindbook.toml"), config).unwrap();
        Self { folder, running }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn seal(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(self.running.service.seal_hours()).unwrap();
    }

    fn ledger(&self, command: &str) -> Command {
        let mut ledger = ledger(command);
        ledger.arg("--config").arg(self.path("blindbook.toml"));
        ledger
    }
}

fn ledger(command: &str) -> Command {
    let mut blindbook = Command::new(env!("CARGO_BIN_EXE_blindbook"));
    let key = snapshot_key().public_key().encode();
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    blindbook
        .env_clear()
        .env("BLINDBOOK_SNAPSHOT_KEY", key)
        .args(["--json", "ledger", command])
        .stdin(Stdio::null());
    blindbook
}

fn run(command: &mut Command) -> (i32, Value) {
    let output = command.output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), document)
}

fn succeed(command: &mut Command) -> Value {
    let (code, document) = run(command);
    assert_eq!(code, 0, "{document}");
    document
}

/// The entries of a file.
fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    ExportHeader::take(&mut rest).unwrap();
    let next = || (!rest.is_empty()).then(|| Entry::take(&mut rest).unwrap().encode());
    std::iter::from_fn(next).collect()
}

/// What is found in a file that has these entries.
fn findings(folder: &Path, header: &[u8], entries: &[Vec<u8>]) -> Vec<String> {
    let file = folder.join("changed");
    fs::write(&file, [header, &entries.concat()].concat()).unwrap();
    let mut verify = ledger("verify");
    verify.arg(&file).arg("--checkpoints");
    let (code, report) = run(verify.arg(folder.join("ledger.checkpoints")));
    let findings = report["findings"].as_array().unwrap().iter();
    let findings: Vec<_> = findings
        .map(|found| found.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(code, if findings.is_empty() { 0 } else { BAD_INPUT });
    findings
}

#[test]
fn a_ledger_is_verified_shown_exported_and_its_names_forgotten() {
    let asked = Asked::new(|| Timestamp::from_secs(CLOCK.load(Ordering::SeqCst)));
    CLOCK.store(NEXT_MONTH, Ordering::SeqCst);
    let shred = |month: &str| {
        let mut shred = asked.ledger("shred");
        shred.arg(month);
        shred
    };
    // Nobody is there to be asked.
    assert_eq!(run(&mut shred("2027-01")).0, BAD_INPUT);
    for (month, why) in [("2027-01", "aren't sealed"), ("2027-02", "isn't over")] {
        let (code, document) = run(shred(month).arg("--yes"));
        assert_eq!(code, REFUSED, "{document}");
        let message = document["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }

    asked.seal();
    let report = succeed(&mut asked.ledger("verify"));
    let count = report["entries"].as_u64().unwrap();
    assert!(count >= 2, "{report}");
    assert_eq!(report["newest"]["entry"], count - 1);
    let shown = succeed(&mut asked.ledger("show"));
    let lines = shown["entries"].as_array().unwrap();
    assert_eq!(lines.len() as u64, count);
    let totals = lines.iter().find(|line| line["kind"] == "totals").unwrap();
    let what = totals["what"].as_str().unwrap();
    assert!(
        what.contains("3 accounts, 3 requests, 0 refused, 192 elements"),
        "{what}"
    );
    let last = succeed(asked.ledger("show").args(["--last", "1"]));
    assert_eq!(last["entries"], Value::from(&lines[lines.len() - 1..]));
    let from = succeed(asked.ledger("show").args(["--from", "1"]));
    assert_eq!(from["entries"], Value::from(&lines[1..]));

    for destroyed in [true, false] {
        let document = succeed(shred("2027-01").arg("--yes"));
        assert_eq!(document["destroyed"], destroyed);
    }
    assert_eq!(succeed(shred("2020-01").arg("--yes"))["destroyed"], false);
    // The counts stay, and that the names are gone is in it, once.
    let report = succeed(&mut asked.ledger("verify"));
    assert_eq!(report["entries"], count + 1);
    assert_eq!(report["newest"]["entry"], count - 1);
    let shown = succeed(asked.ledger("show").args(["--last", "1"]));
    assert_eq!(shown["entries"][0]["kind"], "key-destroyed");

    what_is_exported_is_private_and_verified_without_a_service(asked, count);
}

fn what_is_exported_is_private_and_verified_without_a_service(asked: Asked, count: u64) {
    let file = asked.path("export");
    let written = succeed(asked.ledger("export").arg(&file));
    assert_eq!(written["entries"], count + 1);
    let whole = fs::read(&file).unwrap();
    assert_eq!(written["bytes"], whole.len());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    fs::write(&file, "mine").unwrap();
    assert_eq!(run(asked.ledger("export").arg(&file)).0, BAD_INPUT);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    succeed(asked.ledger("export").arg(&file).arg("--force"));
    assert_eq!(fs::read(&file).unwrap(), whole);

    let Asked { folder, running } = asked;
    running.stop();
    // Alone it is a chain; what it began with nobody knows.
    let report = succeed(ledger("verify").arg(&file));
    assert_eq!(report["newest"], Value::Null);
    let header = &whole[..ExportHeader::LENGTH];
    let good = entries(&whole);
    let found = |entries: &[Vec<u8>]| findings(folder.path(), header, entries);
    assert_eq!(found(&good), [""; 0]);
    let one = |found: Vec<String>, what: &str| {
        assert!(
            found.iter().any(|found| found.starts_with(what)),
            "{found:?}"
        );
    };

    let mut edited = good.clone();
    // A count in its body.
    let at = edited[0].len() - 40;
    edited[0][at] ^= 1;
    one(found(&edited), "entry 0: edited");
    let mut dropped = good.clone();
    dropped.remove(0);
    one(found(&dropped), "entry 0: missing");
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    one(found(&swapped), "entry 0: out of order");
    let signed = usize::try_from(count).unwrap();
    // What comes behind the checkpoint can be cut off, and that is what is said.
    assert_eq!(found(&good[..signed]), [""; 0]);
    let end = format!("entry {}: missing at the end", count - 1);
    one(found(&good[..signed - 1]), &end);
    let mut torn = good.clone();
    torn.last_mut().unwrap().pop();
    one(
        found(&torn),
        &format!("entry {count}: the entry is truncated"),
    );

    let mut other = header.to_vec();
    other[20] ^= 1;
    one(
        findings(folder.path(), &other, &good),
        &format!("entry {}: a checkpoint of another service", count - 1),
    );
    let checkpoints = folder.path().join("ledger.checkpoints");
    let mut forged = fs::read(&checkpoints).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    fs::write(&checkpoints, forged).unwrap();
    one(found(&good), "1 of the checkpoints aren't signed");
    fs::write(&file, "not a ledger").unwrap();
    assert_eq!(run(ledger("verify").arg(&file)).0, BAD_INPUT);
}

/// Who did it is still to be said.
#[test]
fn the_key_of_a_month_that_an_open_incident_is_about_is_kept() {
    let asked = Asked::new(|| Timestamp::from_secs(CLOCK_OF_INCIDENT.load(Ordering::SeqCst)));
    CLOCK_OF_INCIDENT.store(NEXT_MONTH, Ordering::SeqCst);
    asked.seal();
    let order = format!("{{\"since\":{},\"accounts\":[\"ada\"]}}", NOW - 3_600);
    let open = Request::new("POST", "/incident/open", "", order.into_bytes());
    assert_eq!(open.send(asked.running.operator).status, 200);
    for _ in 0..2 {
        let (code, document) = run(asked.ledger("shred").args(["2027-01", "--yes"]));
        assert_eq!(code, REFUSED, "{document}");
        let message = document["message"].as_str().unwrap();
        assert!(message.contains("an incident"), "{message}");
    }
}
