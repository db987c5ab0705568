//! The binary as people use it: every command, on a service that really runs, and every kind of failure by its exit
//! code.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

const BAD_INPUT: i32 = 2;
const REFUSED: i32 = 3;
const UNREACHABLE: i32 = 4;

fn blindbook(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blindbook"));
    command.arg("--json").args(arguments).env_clear();
    command
}

/// Runs a command to its end; its exit code and the JSON document that it printed.
fn run(command: &mut Command) -> (i32, Value) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code().unwrap(), document(&output))
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let err = String::from_utf8_lossy(&output.stderr);
        panic!(
            "{error}: {:?}\n{err}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

fn succeed(command: &mut Command) -> Value {
    let (code, document) = run(command);
    assert_eq!(code, 0, "{document}");
    document
}

/// A service with its folder; killed when a test ends early.
struct Service {
    folder: tempfile::TempDir,
    url: String,
    child: Option<Child>,
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _code = child.wait();
        }
    }
}

impl Service {
    /// Makes keys under a key file, and a configuration with free ports.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("service");
        let key_file = folder.path().join("unlock");
        succeed(
            blindbook(&["keygen", "--service", "chat.example", "--new-key-file"]).args([
                "--key-file".as_ref(),
                key_file.as_os_str(),
                keys.as_os_str(),
            ]),
        );
        let service = Self {
            url: format!("http://127.0.0.1:{}", free_port()),
            folder,
            child: None,
        };
        let public = service.url.trim_start_matches("http://").to_owned();
        service.edit("127.0.0.1:8080", &public);
        service.edit("127.0.0.1:9090", &format!("127.0.0.1:{}", free_port()));
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("service/blindbook.toml")
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    fn with_config(&self, command: &str) -> Command {
        let mut command = blindbook(&[command, "--config"]);
        command.arg(self.config());
        command
    }

    fn start(&mut self) {
        let mut child = self
            .with_config("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let listening: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            format!("http://{}", listening["public"].as_str().unwrap()),
            self.url
        );
        self.child = Some(child);
    }

    /// As a process manager does.
    fn terminate(&mut self) {
        let mut child = self.child.take().unwrap();
        let killed = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        assert!(child.wait().unwrap().success());
    }

    fn token(&self, account: &str, scope: &str) -> PathBuf {
        let minted =
            succeed(
                self.with_config("token")
                    .args(["--account", account, "--scope", scope]),
            );
        let path = self.path(&format!("{account}.token"));
        private(&path, minted["token"].as_str().unwrap());
        path
    }

    fn as_client(&self, command: &str, file: &Path, token: &Path) -> Command {
        let mut command = blindbook(&[
            command,
            "--plain-http",
            "--url",
            &self.url,
            "--service",
            "chat.example",
            "--region",
            "GB",
        ]);
        command
            .arg("--snapshot-key")
            .arg(self.path("service/snapshot.pub"));
        command.arg("--token-file").arg(token).arg(file);
        command
    }
}

fn private(path: &Path, content: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::File::options();
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn members(service: &Service, lines: &str) -> PathBuf {
    let path = service.path("members.csv");
    fs::write(&path, lines).unwrap();
    path
}

#[test]
fn a_service_from_its_keys_to_the_contacts_that_are_found() {
    let mut service = Service::new();
    service.start();
    let registrar = service.token("registrar", "enrol");
    let phone = service.token("somebody", "discover");

    let mut lines = String::from("phone,handle,audience,consented_at\n");
    for number in 0..500 {
        lines.push_str(&format!(
            "07700 900{number:03},u{number},everyone,2026-11-01T12:00:00Z\n"
        ));
    }
    lines.push_str("999,u500,nobody\n07700 900501,,nobody\n07700 900502,u502\n");
    let file = members(&service, &lines);
    let consent = ["--consent-text", "2026-11", "--consent-surface", "sign-up"];
    let enrolled = succeed(service.as_client("enrol", &file, &registrar).args(consent));
    assert_eq!(enrolled["changed"], 501);
    assert_eq!(enrolled["rejected"], 2);
    assert_eq!(enrolled["rejected_lines"][0]["line"], 502);
    assert_eq!(enrolled["rejected_lines"][1]["line"], 503);
    let rejected = fs::read_to_string(service.path("members.csv.rejected")).unwrap();
    assert_eq!(rejected.lines().count(), 2);

    // The same file again is done already; what was appended isn't.
    let again = succeed(service.as_client("enrol", &file, &registrar).args(consent));
    assert_eq!(
        (&again["changed"], &again["resumed_after_line"]),
        (&0.into(), &504.into())
    );
    lines.push_str("07700 900503,u503,everyone,2026-11-01T12:00:00Z\n");
    members(&service, &lines);
    let more = succeed(service.as_client("enrol", &file, &registrar).args(consent));
    assert_eq!(more["changed"], 1);
    // A file that has changed before that is refused, and enrols nobody.
    members(&service, &lines.replacen("u0", "x0", 1));
    let (code, refused) = run(service.as_client("enrol", &file, &registrar).args(consent));
    assert_eq!((code, &refused["error"]), (BAD_INPUT, &"bad-input".into()));

    let published = succeed(&mut service.with_config("publish"));
    assert_eq!(
        (&published["sequence"], &published["members"]),
        (&2.into(), &501.into())
    );

    let book = service.path("contacts.vcf");
    let card = |name: &str, number: &str| {
        format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{name}\r\nTEL:{number}\r\nEND:VCARD\r\n")
    };
    fs::write(
        &book,
        card("Ada", "+44 7700 900001") + &card("Bob", "07700 900777") + &card("Taxi", "61016"),
    )
    .unwrap();
    let first = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        first["found"],
        serde_json::json!([{ "names": ["Ada"], "label": "u1" }])
    );
    assert_eq!(first["not_lookable"][0]["name"], "Taxi");
    assert_eq!(
        (&first["evaluated"], &first["elements"]),
        (&2.into(), &16.into())
    );
    assert_eq!(first["quota"]["remaining"], 1_008);

    // The second run knows both, and evaluates only who is new.
    let second = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        (&second["evaluated"], &second["known"]),
        (&0.into(), &2.into())
    );
    assert_eq!(second["found"], first["found"]);
    fs::write(
        &book,
        card("Ada", "+44 7700 900001") + &card("Eve", "07700 900002"),
    )
    .unwrap();
    let third = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        (&third["evaluated"], &third["known"]),
        (&1.into(), &1.into())
    );
    assert_eq!(third["found"].as_array().unwrap().len(), 2);

    // Stopped, published offline, started again: everything goes on.
    // A slot has one publication.
    let (code, refused) = run(&mut service.with_config("publish"));
    assert_eq!((code, &refused["error"]), (REFUSED, &"refused".into()));
    assert!(refused["retry_after"].as_u64().unwrap() <= 86_401);
    service.terminate();
    let (code, _) = run(service.with_config("publish").arg("--offline"));
    assert_eq!(code, REFUSED);
    let offline = succeed(service.with_config("publish").args(["--offline", "--now"]));
    assert_eq!(offline["sequence"], 3);
    assert_eq!(offline["written"], serde_json::json!([]));
    let segments = service.path("service/segments");
    let verify = || {
        let mut verify = blindbook(&["verify", "--snapshot-key"]);
        verify
            .arg(service.path("service/snapshot.pub"))
            .arg(&segments);
        verify
    };
    let verified = succeed(&mut verify());
    assert_eq!(
        (&verified["manifests"], &verified["members"]),
        (&3.into(), &501.into())
    );
    assert_eq!(verified["leftover"], serde_json::json!([]));

    // Copied to where any web server can serve it, once.
    let mirror = || {
        let mut mirror = blindbook(&["mirror", "--snapshot-key"]);
        mirror
            .arg(service.path("service/snapshot.pub"))
            .arg(&segments)
            .arg(format!("file://{}", service.path("mirror").display()));
        mirror
    };
    let copied = succeed(&mut mirror());
    assert_eq!(copied["segments"], verified["segments"]);
    assert_eq!(succeed(&mut mirror())["segments"], 0);
    assert_eq!(
        fs::read(service.path("mirror/v1/manifest")).unwrap(),
        fs::read(segments.join("latest")).unwrap()
    );

    // A mirror that has lost a manifest and been tampered with.
    let latest = fs::read(segments.join("latest")).unwrap();
    fs::write(segments.join("a".repeat(64)), b"?").unwrap();
    fs::rename(segments.join("manifests/2"), service.path("2")).unwrap();
    let verified = succeed(&mut verify());
    assert_eq!(verified["missing_manifests"], 1);
    assert_eq!(verified["leftover"], serde_json::json!(["a".repeat(64)]));
    fs::remove_file(segments.join("a".repeat(64))).unwrap();
    let old = fs::read(service.path("2")).unwrap();
    fs::write(segments.join("latest"), &old).unwrap();
    let mut forged = old.clone();
    forged[100] ^= 1;
    fs::write(segments.join("manifests/2"), &forged).unwrap();
    let (code, tampered) = run(&mut verify());
    assert_eq!(code, BAD_INPUT);
    assert_eq!(
        tampered["problems"].as_array().unwrap().len(),
        2,
        "{tampered}"
    );
    fs::write(segments.join("latest"), &latest).unwrap();
    fs::write(segments.join("manifests/2"), &old).unwrap();
    let base = fs::read_dir(&segments)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let base = base
        .filter(|path| path.metadata().unwrap().len() > 10_000)
        .last()
        .unwrap();
    let good = fs::read(&base).unwrap();
    fs::write(&base, &good[1..]).unwrap();
    assert_eq!(run(&mut verify()).0, BAD_INPUT);
    fs::write(&base, good).unwrap();

    service.start();
    let fourth = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        (&fourth["evaluated"], &fourth["sequence"]),
        (&0.into(), &3.into())
    );

    let segments = fs::read_dir(service.path("service/segments")).unwrap();
    let segments = segments.map(|entry| entry.unwrap().path());
    let of_segments = |path: &PathBuf| path.file_name().unwrap().len() == 64;
    for path in segments.filter(of_segments) {
        let inspected = succeed(blindbook(&["inspect"]).arg(path));
        assert_eq!(inspected["what"], "segment");
    }
    let latest = service.path("service/segments/latest");
    let inspected = succeed(blindbook(&["inspect"]).arg(latest));
    assert_eq!(inspected["what"], "manifest");
    service.terminate();
}

#[test]
fn a_refusal_is_told_apart_from_a_network_and_from_bad_input() {
    let mut service = Service::new();
    let phone = service.token("somebody", "discover");
    let book = service.path("numbers.csv");
    fs::write(&book, "07700 900001\n").unwrap();
    let (code, _) = run(&mut service.with_config("publish"));
    assert_eq!(code, UNREACHABLE);
    let (code, answer) = run(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        (code, &answer["error"]),
        (UNREACHABLE, &"unreachable".into())
    );

    service.start();
    // A new account has 1,024 elements: one address book of 300, and nothing after it.
    let numbers: String = (0..300)
        .map(|number| format!("07700 900{number:03}\n"))
        .collect();
    fs::write(&book, &numbers).unwrap();
    succeed(&mut service.as_client("discover", &book, &phone));
    fs::write(&book, numbers + "07700 900999\n").unwrap();
    let (code, partly) = run(&mut service.as_client("discover", &book, &phone));
    assert_eq!((code, &partly["pending"]), (REFUSED, &1.into()));
    assert!(partly["retry_after"].as_u64().unwrap() > 600);
    // Nothing was lost by it.
    assert_eq!(partly["known"], 300);

    let registrar = service.token("registrar", "enrol");
    let file = members(&service, "07700 900001,a,nobody\n");
    let (code, wrong_scope) = run(&mut service.as_client("enrol", &file, &phone));
    assert_eq!(code, REFUSED, "{wrong_scope}");
    private(&registrar, "not.a.token");
    let (code, _) = run(&mut service.as_client("enrol", &file, &registrar));
    assert_eq!(code, REFUSED);

    // What can't be a credential isn't sent, and blamed on nothing else.
    private(&registrar, "two words");
    let (code, refused) = run(&mut service.as_client("enrol", &file, &registrar));
    assert_eq!(code, BAD_INPUT);
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("not a credential"), "{message}");

    // Another snapshot key: a forged manifest, as far as this client can tell.
    let mut forged = service.as_client("discover", &book, &phone);
    forged.env("BLINDBOOK_SNAPSHOT_KEY", "");
    fs::write(service.path("service/snapshot.pub"), "00".repeat(32)).unwrap();
    assert_eq!(run(&mut forged).0, BAD_INPUT);
    // A damaged state isn't overwritten.
    let state = service.path("numbers.csv.sync");
    fs::write(&state, "damaged").unwrap();
    let (code, _) = run(&mut service.as_client("discover", &book, &phone));
    assert_eq!(code, BAD_INPUT);
    assert_eq!(fs::read(&state).unwrap(), b"damaged");
}

#[test]
fn what_cannot_be_used_is_refused_and_nothing_is_changed() {
    let mut service = Service::new();
    // Keys are never overwritten.
    let before = fs::read(service.path("service/evaluation.key")).unwrap();
    let (code, _) = run(blindbook(&["keygen", "--service", "chat.example"])
        .arg("--key-file")
        .arg(service.path("unlock"))
        .arg(service.path("service")));
    assert_eq!(code, BAD_INPUT);
    assert_eq!(
        fs::read(service.path("service/evaluation.key")).unwrap(),
        before
    );

    // Two services on one store.
    service.start();
    let (code, locked) = run(service.with_config("publish").arg("--offline"));
    assert_eq!(code, BAD_INPUT);
    assert!(
        locked["message"]
            .as_str()
            .unwrap()
            .contains("another process"),
        "{locked}"
    );
    service.terminate();

    let store = service.path("service/blindbook.redb");
    let good = fs::read(&store).unwrap();
    fs::write(&store, &good[..good.len() / 3]).unwrap();
    let (code, damaged) = run(&mut service.with_config("serve"));
    assert_eq!(code, BAD_INPUT, "{damaged}");
    fs::write(&store, good).unwrap();

    private(&service.path("unlock"), &"x".repeat(32));
    let (code, wrong) = run(&mut service.with_config("serve"));
    assert_eq!(code, BAD_INPUT);
    assert!(
        wrong["message"]
            .as_str()
            .unwrap()
            .contains("wrong passphrase or key file"),
        "{wrong}"
    );

    service.edit("[publish]", "[publish]\nevery_hours = 3");
    let (code, unknown) = run(service.with_config("serve").arg("--check"));
    assert_eq!(code, BAD_INPUT);
    assert!(
        unknown["message"].as_str().unwrap().contains("every_hours"),
        "{unknown}"
    );

    // An unused key file isn't left behind by a refusal, and one that is there is used.
    let (code, _) = run(
        blindbook(&["keygen", "--service", "chat.example", "--new-key-file"])
            .arg("--key-file")
            .arg(service.path("unlock-2"))
            .arg(service.path("service")),
    );
    assert_eq!(code, BAD_INPUT);
    assert!(!service.path("unlock-2").exists());
    succeed(
        blindbook(&["keygen", "--service", "chat.example", "--new-key-file"])
            .arg("--key-file")
            .arg(service.path("unlock"))
            .arg(service.path("service-2")),
    );

    let garbage = service.path("garbage");
    fs::write(&garbage, "garbage").unwrap();
    assert_eq!(run(blindbook(&["inspect"]).arg(&garbage)).0, BAD_INPUT);
    // Endless, and not read to its end.
    assert_eq!(run(&mut blindbook(&["inspect", "/dev/zero"])).0, BAD_INPUT);
    assert_eq!(
        run(blindbook(&["inspect", "/nonexistent"]).arg(&garbage)).0,
        BAD_INPUT
    );
}

#[test]
fn a_passphrase_comes_by_standard_input_and_never_as_an_argument() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let with_passphrase = |command: &mut Command, phrase: &str| {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(phrase.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), document(&output))
    };
    let mut keygen = blindbook(&["keygen", "--service", "chat.example"]);
    assert_eq!(with_passphrase(keygen.arg(&keys), "short\n").0, BAD_INPUT);
    assert!(!keys.join("evaluation.key").exists());
    assert_eq!(with_passphrase(&mut keygen, "correct horse battery\n").0, 0);
    let mut publish = blindbook(&["publish", "--offline", "--config"]);
    publish.arg(keys.join("blindbook.toml"));
    assert_eq!(
        with_passphrase(&mut publish, "wrong horse battery\n").0,
        BAD_INPUT
    );
    let (code, published) = with_passphrase(&mut publish, "correct horse battery\n");
    assert_eq!((code, &published["members"]), (0, &0.into()));
    for secret in [
        "evaluation.key",
        "snapshot.key",
        "pepper.key",
        "credential.secret",
    ] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(keys.join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
}

/// The progress file said how far an import had got, but not on which service: the epoch alone was compared, and that is
/// 1 everywhere. Whoever moved to new keys, or tried things out first, enrolled nobody and was told that all was done.
#[test]
fn an_import_goes_on_only_on_the_service_that_it_began_on() {
    let mut first = Service::new();
    first.start();
    let file = members(&first, "07700 900001,a\n07700 900002,b\n");
    let token = first.token("registrar", "enrol");
    let enrolled = succeed(&mut first.as_client("enrol", &file, &token));
    assert_eq!(enrolled["changed"], 2);

    let mut second = Service::new();
    second.start();
    let token = second.token("registrar", "enrol");
    let (code, refused) = run(&mut second.as_client("enrol", &file, &token));
    assert_eq!(code, BAD_INPUT, "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("--restart"), "{message}");
    let enrolled = succeed(second.as_client("enrol", &file, &token).arg("--restart"));
    assert_eq!(enrolled["changed"], 2);
    second.terminate();
    first.terminate();
}

/// The key is rotated in every way, on a service that runs and on one that doesn't; an import goes on, and a phone carries over
/// by itself and says so.
#[test]
fn a_key_is_rotated_and_phones_and_imports_go_on() {
    let mut service = Service::new();
    service.start();
    let lines: String = (0..40)
        .map(|number| {
            format!("07700 9000{number:02},member {number},everyone,2026-11-01T12:00:00Z\n")
        })
        .collect();
    let file = members(&service, &lines);
    let registrar = service.token("registrar", "enrol");
    let enrol = |service: &Service| {
        let mut command = service.as_client("enrol", &file, &registrar);
        command.args(["--consent-text", "1", "--consent-surface", "cli"]);
        command
    };
    assert_eq!(succeed(&mut enrol(&service))["changed"], 40);
    succeed(service.with_config("publish").arg("--now"));
    let book = service.path("book.csv");
    let numbers: String = (30..60)
        .map(|number| format!("07700 9000{number:02}\n"))
        .collect();
    fs::write(&book, numbers).unwrap();
    let phone = service.token("ada", "discover");
    let discover = |service: &Service| succeed(&mut service.as_client("discover", &book, &phone));
    let first = discover(&service);
    assert_eq!(first["found"].as_array().unwrap().len(), 10);

    assert_eq!(
        succeed(service.with_config("rotate").arg("--status"))["phase"],
        "none"
    );
    let rotated = succeed(&mut service.with_config("rotate"));
    assert_eq!(
        (&rotated["epoch"], &rotated["phase"]),
        (&2.into(), &"window".into())
    );
    for suffix in ["next", "delta"] {
        assert!(
            service
                .path(&format!("service/evaluation.key.{suffix}"))
                .exists()
        );
    }
    let (code, busy) = run(&mut service.with_config("rotate"));
    assert_eq!(code, REFUSED, "{busy}");
    assert!(busy["retry_after"].as_u64().unwrap() > 29 * 86_400);
    let second = discover(&service);
    assert_eq!(second["found"], first["found"]);
    let of = |report: &Value, name: &str| report[name].as_u64().unwrap();
    assert_eq!(
        (of(&second, "carried_over"), of(&second, "elements")),
        (30, 0)
    );
    // An import that had got so far goes on behind it.
    fs::write(&file, format!("{lines}07700 900077,member 77\n")).unwrap();
    let more = succeed(&mut enrol(&service));
    assert_eq!(
        (of(&more, "resumed_after_line"), of(&more, "changed")),
        (40, 1)
    );
    // Started again in the window, and published by hand.
    service.terminate();
    succeed(service.with_config("publish").args(["--offline", "--now"]));
    let hard = succeed(service.with_config("rotate").args(["--offline", "--hard"]));
    assert_eq!(
        (&hard["epoch"], &hard["phase"]),
        (&3.into(), &"none".into())
    );
    let keys = fs::read_dir(service.path("service")).unwrap();
    let names = keys.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names
        .filter(|name| name.starts_with("evaluation"))
        .collect();
    assert_eq!(names, ["evaluation.key"]);
    service.start();
    let third = discover(&service);
    assert_eq!(third["found"], first["found"]);
    assert_eq!((of(&third, "forgotten"), of(&third, "elements")), (30, 64));
    service.terminate();
}

/// Two ways in which a dead run misled the next one: what `--restart` was to forget was there until its first batch was
/// done, and the rejected lines of a batch that was sent again were listed twice.
#[test]
fn an_import_that_died_leaves_nothing_that_misleads_the_next_one() {
    let mut service = Service::new();
    service.start();
    let file = members(&service, "07700 900001,a\nhello,b\n");
    let registrar = service.token("registrar", "enrol");
    let progress = service.path("members.csv.progress");
    let rejected = service.path("members.csv.rejected");
    succeed(&mut service.as_client("enrol", &file, &registrar));
    let listed = fs::read_to_string(&rejected).unwrap();
    assert_eq!(listed.lines().count(), 1);

    // Died after it had listed the rejected lines of a batch, and before it said so; the last one in part.
    fs::write(
        &rejected,
        format!("{listed}line 3: not a phone number\nline 4: not"),
    )
    .unwrap();
    members(&service, "07700 900001,a\nhello,b\nhello,c\n");
    succeed(&mut service.as_client("enrol", &file, &registrar));
    let listed = fs::read_to_string(&rejected).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(
        matches!(lines[..], [two, three] if two.starts_with("line 2:") && three.starts_with("line 3:")),
        "{listed}"
    );

    // Stopped on the way: what is done is said, and done no more.
    private(&registrar, "not.a.token");
    members(
        &service,
        "07700 900001,a\nhello,b\nhello,c\n07700 900004,d\n",
    );
    let (code, stopped) = run(&mut service.as_client("enrol", &file, &registrar));
    assert_eq!(code, REFUSED);
    let message = stopped["message"].as_str().unwrap();
    assert!(message.contains("3 lines are done"), "{message}");

    // Began again, and died before its first batch was done: here, for lack of a credential.
    let mut again = service.as_client("enrol", &file, &registrar);
    assert_eq!(run(again.arg("--restart")).0, REFUSED);
    let text = fs::read_to_string(&progress).unwrap();
    assert!(text.contains("offset 0\nline 1\n"), "{text}");
    let registrar = service.token("registrar", "enrol");
    let whole = succeed(&mut service.as_client("enrol", &file, &registrar));
    assert_eq!(
        (&whole["resumed_after_line"], &whole["unchanged"]),
        (&0.into(), &1.into())
    );
    assert_eq!(whole["changed"], 1);
    service.terminate();
}

/// `inspect` printed that the signature wasn't by the key that was given, and ended with 0: a script that asks whether a
/// manifest is genuine was told yes.
#[test]
fn a_forged_manifest_is_shown_and_refused() {
    let mut service = Service::new();
    service.start();
    let manifest = service.path("manifest");
    fs::write(&manifest, get(&service.url, "/v1/manifest")).unwrap();
    let inspect = |key: &Path| {
        run(blindbook(&["inspect", "--snapshot-key"])
            .arg(key)
            .arg(&manifest))
    };
    let genuine = service.path("service/snapshot.pub");
    let (code, shown) = inspect(&genuine);
    assert_eq!((code, &shown["signature_valid"]), (0, &true.into()));

    let other = Service::new();
    let (code, shown) = inspect(&other.path("service/snapshot.pub"));
    assert_eq!(
        (code, &shown["signature_valid"]),
        (BAD_INPUT, &false.into())
    );
    // A byte of the sequence is another one.
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[14 + "chat.example".len() + 47] ^= 2;
    fs::write(&manifest, &bytes).unwrap();
    assert_eq!(inspect(&genuine).0, BAD_INPUT);
    fs::write(&manifest, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(inspect(&genuine).1["error"], "bad-input");
    service.terminate();
}

fn get(url: &str, path: &str) -> Vec<u8> {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    answer.split_off(end.unwrap() + 4)
}

/// `serve --check --json` printed sentences, a configuration's mistakes apart; a reader that had seen enough (`| head`)
/// made commands end as by a defect; and a path that isn't Unicode panicked instead of being refused.
#[test]
fn whoever_reads_the_output_gets_one_document_and_may_go_away() {
    use std::os::unix::ffi::OsStrExt;
    let service = Service::new();
    let checked = succeed(service.with_config("serve").arg("--check"));
    assert!(checked["policy"].as_array().unwrap().len() > 3, "{checked}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut check = service.with_config("serve");
    let output = check.arg("--check").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    let (code, refused) =
        run(blindbook(&["inspect", "--unknown"]).arg(std::ffi::OsStr::from_bytes(b"\xff")));
    assert_eq!((code, &refused["error"]), (BAD_INPUT, &"bad-input".into()));
}

/// With a proxy in the environment, as on many machines at work, the operator's listener on this machine was sought
/// there; and plain HTTP to a service on this machine showed it the credential.
#[test]
fn a_proxy_in_the_environment_is_not_asked_for_this_machine() {
    let mut service = Service::new();
    service.start();
    let token = service.token("somebody", "discover");
    let book = service.path("numbers.csv");
    fs::write(&book, "07700 900001\n").unwrap();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for command in [
        &mut service.with_config("publish"),
        &mut service.as_client("discover", &book, &token),
    ] {
        succeed(command.env("HTTP_PROXY", &nobody).env("ALL_PROXY", &nobody));
    }
    service.terminate();
}

/// After each request that fitted into what was left of the quota the largest one was tried again, and refused again; and
/// each refusal costs one of ten requests, so that quota could be left over and people not looked up.
#[test]
fn what_is_left_of_a_quota_is_used_without_asking_for_more_than_it() {
    let mut service = Service::new();
    service.start();
    let phone = service.token("somebody", "discover");
    let book = service.path("numbers.csv");
    let write = |count: usize| {
        let numbers: String = (0..count)
            .map(|number| format!("07700 900{number:03}\n"))
            .collect();
        fs::write(&book, numbers).unwrap();
    };
    write(200);
    succeed(&mut service.as_client("discover", &book, &phone));
    // 768 are left, for 700 more contacts: 256 three times.
    write(900);
    let all = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        (&all["evaluated"], &all["pending"]),
        (&700.into(), &0.into())
    );
    assert_eq!(all["refused"], Value::Null);
    let text = fs::read_to_string(service.config()).unwrap();
    let operator = text
        .lines()
        .find(|line| line.starts_with("operator"))
        .unwrap();
    let operator = operator.split('"').nth(1).unwrap();
    let metrics = String::from_utf8(get(operator, "/metrics")).unwrap();
    let refusals = metrics.lines().find(|line| {
        line.starts_with("blindbook_problems_total") && line.contains("quota-exhausted")
    });
    assert!(
        refusals.is_some_and(|line| line.ends_with(" 1")),
        "{metrics}"
    );
    service.terminate();
}

/// A second run without `--region`, or with a file whose download broke off, forgot everybody who was paid for; a new
/// account then waited days until it could pay again.
#[test]
fn contacts_that_could_not_be_read_are_not_forgotten() {
    let mut service = Service::new();
    service.start();
    let phone = service.token("somebody", "discover");
    let book = service.path("contacts.vcf");
    let cards: String = (0..2)
        .map(|number| {
            format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{number}\r\nTEL:07700 90000{number}\r\nEND:VCARD\r\n")
        })
        .collect();
    fs::write(&book, &cards).unwrap();
    succeed(&mut service.as_client("discover", &book, &phone));

    let mut without = blindbook(&["discover", "--plain-http", "--service", "chat.example"]);
    without.args(["--url", &service.url, "--snapshot-key"]);
    without.arg(service.path("service/snapshot.pub"));
    without.arg("--token-file").args([&phone, &book]);
    let unusable = succeed(&mut without);
    assert_eq!(unusable["not_lookable"].as_array().unwrap().len(), 2);
    fs::write(&book, &cards[..cards.len() - 12]).unwrap();
    let in_part = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(in_part["known"], 1);

    fs::write(&book, &cards).unwrap();
    let whole = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        (&whole["known"], &whole["evaluated"]),
        (&2.into(), &0.into())
    );
    // Who is missing from one file, or on the next days, isn't either.
    fs::write(&book, &cards[..cards.len() / 2]).unwrap();
    succeed(&mut service.as_client("discover", &book, &phone));
    fs::write(&book, &cards).unwrap();
    let again = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(again["evaluated"], 0);
    service.terminate();
}

/// A list of bare numbers has no names, and so nothing told which of them was found.
#[test]
fn a_number_without_a_name_is_found_by_its_line() {
    let mut service = Service::new();
    service.start();
    let registrar = service.token("registrar", "enrol");
    let file = members(&service, "07700 900002,u2,everyone,2026-11-01T12:00:00Z\n");
    let consent = ["--consent-text", "2026-11", "--consent-surface", "sign-up"];
    succeed(service.as_client("enrol", &file, &registrar).args(consent));
    succeed(&mut service.with_config("publish"));
    let phone = service.token("somebody", "discover");
    let book = service.path("numbers.csv");
    fs::write(&book, "07700 900001\n07700 900002\n").unwrap();
    let found = succeed(&mut service.as_client("discover", &book, &phone));
    assert_eq!(
        found["found"],
        serde_json::json!([{ "names": ["entry 2 (line 2)"], "label": "u2" }])
    );
    service.terminate();
}

/// The connection that a service has in production: certificates of its own authority, no plain HTTP.
#[test]
fn a_service_with_tls_is_found_by_who_knows_its_authority() {
    let mut service = Service::new();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = service.path("service/certificate.pem");
    fs::write(&certificate, made.cert.pem()).unwrap();
    let key = service.path("service/tls.key");
    private(&key, &made.signing_key.serialize_pem());
    service.edit(
        "plain_http = true",
        "tls = { certificate = \"certificate.pem\", key = \"tls.key\" }",
    );
    service.start();

    let phone = service.token("somebody", "discover");
    let book = service.path("numbers.csv");
    fs::write(&book, "07700 900001\n").unwrap();
    let port = service.url.rsplit(':').next().unwrap().to_owned();
    let discover = |url: String, ca: Option<&Path>| {
        let mut command = blindbook(&["discover", "--service", "chat.example", "--region", "GB"]);
        command.args(["--url", &url, "--snapshot-key"]);
        command.arg(service.path("service/snapshot.pub"));
        command.arg("--token-file").args([&phone, &book]);
        if let Some(ca) = ca {
            command.arg("--ca").arg(ca);
        }
        run(&mut command)
    };
    let url = format!("https://localhost:{port}");
    let (code, found) = discover(url.clone(), Some(&certificate));
    assert_eq!((code, &found["evaluated"]), (0, &1.into()), "{found}");
    // Its authority isn't one of the web's; its name is another; TLS isn't to be left out.
    assert_eq!(discover(url, None).0, UNREACHABLE);
    let by_number = format!("https://127.0.0.1:{port}");
    assert_eq!(discover(by_number, Some(&certificate)).0, UNREACHABLE);
    let plain = format!("http://localhost:{port}");
    let (code, refused) = discover(plain, Some(&certificate));
    assert_eq!(code, BAD_INPUT);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("--plain-http"), "{message}");

    // A key that isn't the certificate's, and one that others can read.
    service.terminate();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    private(&key, &other.signing_key.serialize_pem());
    assert_eq!(run(&mut service.with_config("serve")).0, BAD_INPUT);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(run(&mut service.with_config("serve")).0, BAD_INPUT);
}

/// A registrar always sent 8,192 elements at once: under a policy that lets it send fewer, nobody could be enrolled.
#[test]
fn an_import_fits_into_the_requests_that_the_policy_allows() {
    let mut service = Service::new();
    service.edit(
        "[publish]",
        "[policy.registrar]\nelements_per_request = 100\n\n[publish]",
    );
    service.start();
    let registrar = service.token("registrar", "enrol");
    let lines: String = (0..250)
        .map(|number| format!("07700 900{number:03},u{number},nobody\n"))
        .collect();
    let file = members(&service, &lines);
    let (code, _) = run(&mut service.as_client("enrol", &file, &registrar));
    assert_eq!(code, REFUSED);
    let enrolled = succeed(
        service
            .as_client("enrol", &file, &registrar)
            .args(["--batch", "100"]),
    );
    assert_eq!(enrolled["changed"], 250);
}

/// The published set as a phone reads it: kept in a folder, or in part; and a member who checks that they are in it.
#[test]
fn whoever_has_a_handle_shows_and_hides_themselves() {
    let mut service = Service::new();
    service.start();
    let registrar = service.token("registrar", "enrol");
    let file = members(&service, "a@example.org,u1,nobody,\n");
    succeed(&mut service.as_client("enrol", &file, &registrar));
    let token = |handle: &str| {
        let mut mint = service.with_config("token");
        mint.args(["--account", "ada", "--scope", "setting", "--handle", handle]);
        let path = service.path(&format!("{handle}.token"));
        private(&path, succeed(&mut mint)["token"].as_str().unwrap());
        path
    };
    let ada = token("u1");
    let setting = |what: &str, token: &Path, more: &[&str]| {
        let mut command = blindbook(&["setting", what, "--plain-http", "--url", &service.url]);
        run(command.arg("--token-file").arg(token).args(more))
    };
    let consent = ["--consent-text", "2026-11", "--consent-surface", "ios"];
    for (what, more, audience) in [
        ("show", &[][..], "nobody"),
        ("on", &consent, "everyone"),
        ("show", &[], "everyone"),
        ("off", &[], "nobody"),
        ("off", &[], "nobody"),
    ] {
        if what == "on" {
            // Dates have whole seconds: in the second of a no, a yes counts as given before it.
            thread::sleep(Duration::from_millis(1_100));
        }
        let (code, status) = setting(what, &ada, more);
        assert_eq!(
            (code, status["audience"].as_str()),
            (0, Some(audience)),
            "{status}"
        );
    }
    assert_eq!(setting("on", &ada, &[]).0, 3);
    assert_eq!(setting("off", &token("u2"), &[]).0, 3);
    let mut without = service.with_config("token");
    assert_eq!(
        run(without.args(["--account", "ada", "--scope", "setting"])).0,
        2
    );
}

#[test]
fn a_set_is_kept_or_read_in_part_and_shows_who_wants_to_be_found() {
    let mut service = Service::new();
    service.edit(
        "[publish]",
        "[policy.registrar]\ncapacity = 200000\nelements_per_request = 40000\n\n[publish]",
    );
    service.start();
    let registrar = service.token("registrar", "enrol");
    let lines: String = (0..33_000)
        .map(|number| format!("u{number}@example.org,u{number},everyone,2026-11-01T12:00:00Z\n"))
        .collect();
    let file = members(&service, &lines);
    let consent = ["--consent-text", "2026-11", "--consent-surface", "sign-up"];
    succeed(service.as_client("enrol", &file, &registrar).args(consent));
    succeed(&mut service.with_config("publish"));

    let phone = service.token("somebody", "discover");
    let book = service.path("contacts.csv");
    fs::write(&book, "Ada,u1@example.org\nBob,nobody@example.org\n").unwrap();
    let discover = |more: &[&str]| {
        let mut command = service.as_client("discover", &book, &phone);
        run(command.args(more))
    };
    let (code, whole) = discover(&[]);
    assert_eq!(code, 0, "{whole}");
    let size = whole["fetched"]["bytes"].as_u64().unwrap();
    assert_eq!(whole["fetched"]["bases"], 1);
    assert_eq!(whole["manifest_hash"].as_str().unwrap().len(), 64);

    // In a folder, whose second use fetches nothing.
    let folder = service.path("set");
    let folder = folder.to_str().unwrap();
    let (_, first) = discover(&["--set", folder]);
    assert_eq!(first["fetched"]["bytes"], size);
    let (_, second) = discover(&["--set", folder]);
    assert_eq!(second["fetched"]["bytes"], 0);
    for read in [&first, &second] {
        assert_eq!(read["found"], whole["found"]);
    }

    // In part, and the same part again.
    let (code, part) = discover(&["--max-belief-factor", "2"]);
    assert_eq!(code, 0, "{part}");
    assert_eq!(part["found"], whole["found"]);
    assert_eq!(part["fetched"]["fraction"], 0.5);
    assert_eq!(part["fetched"]["belief_factor"], 2.0);
    let fetched = part["fetched"]["bytes"].as_u64().unwrap();
    assert!(fetched < size * 6 / 10, "{fetched} of {size}");
    let (_, again) = discover(&["--max-belief-factor", "2"]);
    assert_eq!(again["fetched"]["bytes"], fetched);
    let text = {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blindbook"));
        command
            .env_clear()
            .args(["discover", "--max-belief-factor", "2", "--plain-http"]);
        command.args([
            "--url",
            &service.url,
            "--service",
            "chat.example",
            "--snapshot-key",
        ]);
        command.arg(service.path("service/snapshot.pub"));
        command.arg("--token-file").args([&phone, &book]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(
        text.contains(
            "the service may believe up to 2.0 times more strongly than before that somebody is in this address book: \
             50.0 % of the set was fetched"
        ),
        "{text}"
    );
    let (code, refused) = discover(&["--max-belief-factor", "1.5"]);
    assert_eq!(code, BAD_INPUT);
    assert!(
        refused["message"].as_str().unwrap().contains("2.0"),
        "{refused}"
    );
    assert_eq!(discover(&["--max-belief-factor", "0.5"]).0, BAD_INPUT);

    // Who is in it, and with which label.
    for (own, label, code, as_what) in [
        ("u7@example.org", "u7", 0, "listed"),
        ("u7@example.org", "u8", BAD_INPUT, "other-label"),
        ("nobody@example.org", "u7", BAD_INPUT, "missing"),
    ] {
        let (exit, checked) = discover(&["--own", own, "--own-label", label]);
        assert_eq!(
            (exit, &checked["own"]),
            (code, &as_what.into()),
            "{checked}"
        );
        assert_eq!(checked["found"], whole["found"]);
    }
    service.terminate();
}

/// What a policy buys is printed without a service, and the same seed tells the same story.
#[test]
fn canaries_are_enrolled_met_and_answered_with_an_incident() {
    let mut service = Service::new();
    service.start();
    let registrar = service.token("registrar", "enrol");
    let file = members(
        &service,
        "07700 900001\n07700 900002\n07700 900003,friend-3\n",
    );
    let canary = |step: &str| {
        let mut command = blindbook(&["canary", step, "--config"]);
        command.arg(service.config());
        command
    };
    let mut add = canary("add");
    add.args([
        "--plain-http",
        "--service",
        "chat.example",
        "--region",
        "GB",
    ]);
    add.arg("--url").arg(&service.url);
    add.arg("--snapshot-key")
        .arg(service.path("service/snapshot.pub"));
    add.arg("--token-file").arg(registrar);
    let added = succeed(add.arg("--numbers").arg(&file));
    assert_eq!(added["canaries"], 3);
    let handles = fs::read_to_string(added["handles"].as_str().unwrap()).unwrap();
    let handles: Vec<&str> = handles.lines().collect();
    assert_eq!(handles[2], "friend-3");
    assert!(handles[0].len() == 16 && handles[0] != handles[1]);
    assert_eq!(succeed(&mut service.with_config("publish"))["members"], 3);

    assert_eq!(
        succeed(&mut service.with_config("signals"))["signals"],
        serde_json::json!([])
    );
    let touched = succeed(canary("touched").args([handles[0], "--account", "eve"]));
    assert_eq!(touched["signal"], 1);
    let (code, _) = run(canary("touched").arg("friend-4"));
    assert_eq!(code, REFUSED);
    let listed = succeed(service.with_config("signals").args(["--since", "2h"]));
    assert_eq!(listed["signals"][0]["kind"], "canary");
    let mut open = blindbook(&[
        "incident",
        "open",
        "--since",
        "2h",
        "--from-signals",
        "--config",
    ]);
    let opened = succeed(open.arg(service.config()));
    assert_eq!(opened["suspects"]["accounts"], 1);

    let twice = members(&service, "07700 900001,a\n07700 900002,a\n");
    let mut again = canary("add");
    again.args([
        "--plain-http",
        "--service",
        "chat.example",
        "--region",
        "GB",
    ]);
    again.arg("--url").arg(&service.url);
    again
        .arg("--snapshot-key")
        .arg(service.path("service/snapshot.pub"));
    again
        .arg("--token-file")
        .arg(service.path("registrar.token"));
    let (code, refused) = run(again.arg("--numbers").arg(&twice));
    assert_eq!(code, BAD_INPUT, "{refused}");
}

#[test]
fn a_policy_is_checked_and_attacked_on_paper() {
    let folder = tempfile::tempdir().unwrap();
    let checked = succeed(&mut blindbook(&["policy", "check", "--country", "us"]));
    assert_eq!(checked["country"]["numbers"], 505_730_000);
    let rows = checked["learned_at_most"].as_array().unwrap();
    assert_eq!(rows.len(), 15);
    let row = rows
        .iter()
        .find(|row| row["accounts"] == 100 && row["days"] == 25)
        .unwrap();
    // Less than 0.15 percent.
    assert!(row["new_accounts"].as_u64().unwrap() * 10_000 < 505_730_000 * 15);
    let (code, _) = run(&mut blindbook(&["policy", "check", "--country", "nowhere"]));
    assert_eq!(code, BAD_INPUT);
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, "[policy.young]\nfloor_per_day = 9000000\n").unwrap();
    let (code, refused) = run(blindbook(&["policy", "check"]).arg(&policy));
    assert_eq!(code, BAD_INPUT);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("service.floor_per_day"), "{message}");

    let simulated = |name: &str| {
        let page = folder.path().join(name);
        let mut command = blindbook(&["simulate", "--accounts", "20", "--days", "3"]);
        command.args(["--honest", "1000", "--report"]).arg(&page);
        (succeed(&mut command), fs::read(page).unwrap())
    };
    let (outcome, page) = simulated("first.html");
    assert!(outcome["learned"].as_u64().unwrap() > 20 * 1_024);
    assert!(outcome["learned"].as_u64() <= outcome["bound"].as_u64());
    assert_eq!((outcome, page), simulated("second.html"));
}
