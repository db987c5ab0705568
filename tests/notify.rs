//! People are told: the binary against a service that runs, killed whenever it suits nobody.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/service.rs"]
mod service;
#[path = "notify/town.rs"]
mod town;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use town::Town;

/// Runs to the end; the exit code, and what was printed.
fn run(command: &mut Command) -> (i32, Value) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), document)
}

fn succeed(command: &mut Command) -> Value {
    let (code, document) = run(command);
    assert_eq!(code, 0, "{document}");
    document
}

/// Opens an incident of an account, contains it and writes the report.
fn reported(town: &Town) {
    let days = town.since_days();
    succeed(
        town.incident("open")
            .args(["--account", "mallory", "--since", &days]),
    );
    succeed(&mut town.incident("contain"));
    let folder = town.folder().join("reports");
    fs::create_dir(&folder).unwrap();
    succeed(town.incident("report").arg("--folder").arg(&folder));
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // The report is about numbers of people.
        let text = fs::read_to_string(file.path()).unwrap();
        for handle in town.expected() {
            assert!(!text.contains(&handle) && !file.path().to_string_lossy().contains(&handle));
        }
    }
}

/// Orders that are illegal are refused with the reason, and nothing comes of them.
#[test]
fn steps_in_the_wrong_order_are_refused() {
    let town = Town::new();
    let refused = |command: &mut Command, why: &str| {
        let (code, document) = run(command);
        assert_eq!(code, 3, "{document}");
        let message = document["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    };
    refused(&mut town.incident("contain"), "no incident is open");
    let (code, _) = run(town.incident("open").args(["--since", "3d"]));
    assert_eq!(code, 2);
    let (code, _) = run(town.incident("open").args([
        "--account",
        "mallory",
        "--since",
        "1970-01-02T00:00:00Z",
    ]));
    assert_eq!(code, 2, "nothing is kept of 1970");
    let since = town.since_days();
    let opened = succeed(
        town.incident("open")
            .args(["--account", "mallory", "--since", &since]),
    );
    let again = succeed(
        town.incident("open")
            .args(["--account", "mallory", "--since", &since]),
    );
    assert_eq!(opened["incident"], again["incident"]);
    let spool = town.folder().join("spool");
    fs::create_dir(&spool).unwrap();
    let notify = |town: &Town| {
        let mut notify = town.incident("notify");
        notify.arg("--spool").arg(&spool);
        notify
    };
    refused(
        town.incident("report").arg("--folder").arg(&spool),
        "contain it first",
    );
    refused(&mut notify(&town), "contain it first");
    refused(&mut town.incident("close"), "nobody has been told");
    succeed(&mut town.incident("contain"));
    refused(&mut notify(&town), "write the report first");
    succeed(town.incident("report").arg("--folder").arg(&spool));
    refused(&mut notify(&town), "rotate the key hard first");
    refused(&mut town.incident("close"), "nobody has been told");
    // It was a false alarm: nobody is told, mallory is let go.
    assert!(!town.asks("mallory"));
    succeed(town.incident("close").arg("--unfounded"));
    assert!(town.asks("mallory"));
    assert_eq!(fs::read_dir(&spool).unwrap().count(), 2);
}

/// The receiver tells whoever it hasn't told, by the name of the notice. Killed at any moment and started again, everybody
/// who could be found is told by one name, and nobody else is.
#[test]
fn killed_at_any_moment_it_tells_everybody_by_one_name() {
    let town = Town::new();
    reported(&town);
    let got = town.folder().join("got");
    fs::create_dir(&got).unwrap();
    let receiver = town.folder().join("receiver");
    // Each time it is called it leaves a file of its own. Without a whole notice, as its sender was killed, it tells nobody.
    let script = format!(
        "#!/bin/sh\nnotice=$(cat)\ncase \"$notice\" in *'}}') ;; *) exit 1 ;; esac\n\
         printf '%s' \"$notice\" > '{0}'/.$$ && mv '{0}'/.$$ '{0}'/\"$BLINDBOOK_NOTICE.$$\"\n",
        got.display()
    );
    fs::write(&receiver, script).unwrap();
    fs::set_permissions(&receiver, fs::Permissions::from_mode(0o700)).unwrap();
    let notify = || {
        let mut notify = town.incident("notify");
        notify.args(["--without-rotation", "--timeout", "1", "--command"]);
        notify.arg(&receiver);
        notify
    };
    let mut random = StdRng::seed_from_u64(4);
    let mut kills = 0;
    while kills < 12 {
        let mut child = spawn(&mut notify());
        thread::sleep(Duration::from_millis(20 + random.random_range(0..200)));
        let ended = child.try_wait().unwrap();
        let _killed = child.kill();
        child.wait().unwrap();
        if ended.is_some() {
            break;
        }
        kills += 1;
        // The one who was killed had it for two seconds more.
        town.pass(Duration::from_secs(3));
    }
    assert!(kills >= 3, "{kills}");
    let last = succeed(&mut notify());
    assert_eq!(last["failed"], 0);

    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut deliveries = 0;
    // What was in flight at the last kill may have come in between.
    for file in fs::read_dir(&got).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let Some((name, _)) = name.split_once('.').filter(|(name, _)| !name.is_empty()) else {
            continue;
        };
        let notice: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
        assert_eq!(notice["notice"], name);
        let handle = notice["handle"].as_str().unwrap().to_owned();
        assert!(!name.contains(&handle));
        assert!(
            notice["text"][0]
                .as_str()
                .unwrap()
                .contains("could be found")
        );
        names.entry(handle).or_default().insert(name.to_owned());
        deliveries += 1;
    }
    let told: BTreeSet<String> = names.keys().cloned().collect();
    assert_eq!(told, town.expected());
    assert!(names.values().all(|names| names.len() == 1), "{names:?}");
    assert!(
        deliveries <= told.len() + kills,
        "{deliveries} and {kills} kills"
    );

    // Who joins now isn't on the list that was made; told twice is told once; and then it is over.
    town.join_late();
    let again = succeed(&mut notify());
    assert_eq!(again["handed_over"], 0);
    let closed = succeed(&mut town.incident("close"));
    assert_eq!(closed["closed"], true);
    assert_eq!(closed["notices"]["told"], told.len());
}

fn spawn(command: &mut Command) -> Child {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    quiet.stderr(Stdio::null()).spawn().unwrap()
}

/// A file for each notice, once, also if whoever takes them has moved it away before the kill.
#[test]
fn a_spool_gets_each_notice_strictly_once() {
    let town = Town::new();
    reported(&town);
    let spool = town.folder().join("spool");
    let done = spool.join("done");
    fs::create_dir_all(&done).unwrap();
    let stop = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        // The consumer: counts how often it gets each file.
        let consumer = scope.spawn(|| {
            let mut taken: BTreeMap<String, u32> = BTreeMap::new();
            loop {
                let last = stop.load(Ordering::SeqCst);
                for file in fs::read_dir(&spool).unwrap() {
                    let name = file.unwrap().file_name().into_string().unwrap();
                    if name.ends_with(".json") {
                        fs::rename(spool.join(&name), done.join(&name)).unwrap();
                        *taken.entry(name).or_default() += 1;
                    }
                }
                if last {
                    return taken;
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        let notify = || {
            let mut notify = town.incident("notify");
            notify.args(["--without-rotation", "--timeout", "1", "--spool"]);
            notify.arg(&spool);
            notify
        };
        let mut random = StdRng::seed_from_u64(5);
        for _ in 0..8 {
            let mut child = spawn(&mut notify());
            thread::sleep(Duration::from_millis(15 + random.next_u64() % 120));
            let _killed = child.kill();
            child.wait().unwrap();
            town.pass(Duration::from_secs(3));
        }
        succeed(&mut notify());
        stop.store(true, Ordering::SeqCst);
        consumer.join().unwrap()
    });
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
    assert_eq!(handles_in(&done), town.expected());
}

fn handles_in(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| {
            let notice: Value =
                serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap();
            notice["handle"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// A receiver that fails leaves people waiting, not told and not forgotten; the next run tells them under the same key.
#[test]
fn a_webhook_that_fails_is_tried_again_under_the_same_key() {
    let town = Town::new();
    reported(&town);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/notices", listener.local_addr().unwrap());
    let requests: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let failing = Arc::new(AtomicBool::new(true));
    let (seen, fails) = (Arc::clone(&requests), Arc::clone(&failing));
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut key, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim_end().to_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("idempotency-key: ") {
                    key = value.to_owned();
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let notice: Value = serde_json::from_slice(&body).unwrap();
            let fail = fails.load(Ordering::SeqCst) && number % 3 == 1;
            if !fail {
                let handle = notice["handle"].as_str().unwrap().to_owned();
                seen.lock().unwrap().push((key, handle));
            }
            let status = if fail { "500 Oops" } else { "204 Done" };
            let answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            // The last connection may be gone already.
            let _sent = stream.write_all(answer.as_bytes());
        }
    });
    let notify = || {
        let mut notify = town.incident("notify");
        notify.args(["--without-rotation", "--timeout", "1", "--webhook", &url]);
        notify
    };
    let (code, document) = run(&mut notify());
    assert_eq!(code, 4, "{document}");
    let in_flight = document["status"]["notices"]["in_flight"].as_u64().unwrap();
    assert!(in_flight > 0 && document["failed"] == in_flight);
    let (code, document) = run(&mut town.incident("close"));
    assert_eq!(code, 3, "{document}");
    assert!(
        document["message"]
            .as_str()
            .unwrap()
            .contains("haven't been told")
    );
    failing.store(false, Ordering::SeqCst);
    // At once: whoever has ended holds nothing any more, and the service's clock stands still.
    succeed(&mut notify());
    let requests = requests.lock().unwrap();
    let keys: BTreeSet<&String> = requests.iter().map(|(key, _)| key).collect();
    let handles: BTreeSet<String> = requests.iter().map(|(_, handle)| handle.clone()).collect();
    assert_eq!((keys.len(), requests.len()), (handles.len(), handles.len()));
    assert_eq!(handles, town.expected());
}
