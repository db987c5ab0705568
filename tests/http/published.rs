//! What everybody may fetch, and what can't be fetched by bending a path.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

use blindbook::{Timestamp, snapshot::SignedManifest};
use sha2::{Digest, Sha256};

use crate::{
    raw::{self, Request, Response},
    service::*,
};

fn get(path: &str) -> Request {
    Request::new("GET", path, "-", Vec::new())
        .without("authorization")
        .without("content-type")
        .without("content-length")
}

fn start() -> (tempfile::TempDir, Running, String) {
    start_with(Setup::default())
}

fn start_with(setup: Setup) -> (tempfile::TempDir, Running, String) {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), setup);
    let registrar = running.transport(Some(&enrol()));
    let members = enrolment(&registrar, EPOCH, &numbers(0..50), &everyone(NOW - 60));
    registrar.enrol(&members).unwrap();
    running.publish();
    let id = base_of(&raw::get(running.public, "/v1/manifest"));
    (folder, running, id)
}

fn base_of(answer: &Response) -> String {
    let signed = SignedManifest::decode(&answer.body).unwrap();
    let manifest = signed.verify(&snapshot_key().public_key()).unwrap();
    let hex = manifest.base().id.iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

#[test]
fn a_manifest_that_is_known_is_not_sent_again() {
    let (_folder, running, _) = start();
    let first = raw::get(running.public, "/v1/manifest");
    assert_eq!(first.status, 200);
    assert_eq!(first.header("cache-control"), Some("public, max-age=60"));
    let etag = first.header("etag").unwrap().to_owned();
    for known in [
        etag.clone(),
        format!("W/{etag}"),
        format!("\"other\", {etag}"),
        "*".to_owned(),
    ] {
        let answer = get("/v1/manifest")
            .with("If-None-Match", &known)
            .send(running.public);
        assert_eq!(answer.status, 304, "{known}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
        assert!(answer.body.is_empty());
    }
    for unknown in ["\"other\"", "", etag.trim_matches('"')] {
        let answer = get("/v1/manifest")
            .with("If-None-Match", unknown)
            .send(running.public);
        assert_eq!(answer.status, 200, "{unknown}");
    }
    running.publish();
    let answer = get("/v1/manifest")
        .with("If-None-Match", &etag)
        .send(running.public);
    assert_eq!(answer.status, 200);
    running.stop();
}

#[test]
fn a_segment_is_served_whole_and_in_parts() {
    let (folder, running, id) = start();
    let path = format!("/v1/segments/{id}");
    let whole = raw::get(running.public, &path);
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(
        whole.header("cache-control"),
        Some("public, max-age=3600, immutable")
    );
    assert_eq!(whole.header("last-modified"), None);
    let etag = whole.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{id}\""));
    // Of the header, which commits to the rest.
    let hash: String = Sha256::digest(&whole.body[..232])
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hash, id);
    assert_eq!(fs::read(&segments(folder.path())[0]).unwrap(), whole.body);

    let size = whole.body.len();
    let part = |range: &str| get(&path).with("Range", range);
    for (range, first, last) in [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, size),
        ("bytes=-20", size - 20, size),
        ("bytes=100-999999", 100, size),
    ] {
        let answer = part(range).send(running.public);
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(answer.body, whole.body[first..last], "{range}");
        let told = format!("bytes {first}-{}/{size}", last - 1);
        assert_eq!(answer.header("content-range"), Some(told.as_str()));
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
    }
    // A download that broke off goes on, if it is still the same one.
    let resumed = part("bytes=10-")
        .with("If-Range", &etag)
        .send(running.public);
    assert_eq!(
        (resumed.status, &resumed.body[..]),
        (206, &whole.body[10..])
    );
    let changed = part("bytes=10-")
        .with("If-Range", "\"another\"")
        .send(running.public);
    assert_eq!((changed.status, changed.body), (200, whole.body.clone()));
    let known = get(&path).with("If-None-Match", &etag).send(running.public);
    assert_eq!(known.status, 304);

    for range in [
        format!("bytes={size}-"),
        "bytes=9-3".to_owned(),
        "bytes=-0".to_owned(),
    ] {
        let answer = part(&range).send(running.public);
        assert_eq!(answer.status, 416, "{range}");
        // An error isn't the segment, and mustn't be kept for one.
        assert_eq!(answer.header("etag"), None);
        assert_ne!(
            answer.header("cache-control"),
            Some("public, max-age=3600, immutable")
        );
    }
    running.stop();
}

#[test]
fn nothing_but_a_segment_is_fetched_from_the_folder() {
    let (folder, running, id) = start();
    fs::write(folder.path().join("segments/secret"), b"secret").unwrap();
    fs::write(
        folder.path().join(format!("segments/{id}.unfinished")),
        b"half",
    )
    .unwrap();
    let zeros = "0".repeat(64);
    for name in [
        "secret",
        "",
        ".",
        "..",
        "../store",
        "..%2fstore",
        "%2e%2e%2fstore",
        "..%5cstore",
        "%2fetc%2fpasswd",
        "%00",
        "%ff",
        &zeros,
        &id.to_uppercase(),
        &id[..63],
        &format!("{id}0"),
        &format!("{id}.unfinished"),
        &format!("{id}%00"),
        &format!("{id}/"),
        &format!("./{id}"),
        &format!("%2e/{id}"),
    ] {
        let answer = raw::get(running.public, &format!("/v1/segments/{name}"));
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "not-found"),
            "{name}"
        );
    }
    // A digit may be written with a percent sign; it stays the same name.
    let escaped = format!("/v1/segments/%{:02x}{}", id.as_bytes()[0], &id[1..]);
    assert_eq!(raw::get(running.public, &escaped).status, 200);
    running.stop();
}

/// A download must not be possible to tie to an account.
#[test]
fn no_credential_is_looked_at() {
    let (_folder, running, id) = start();
    for path in ["/v1/manifest".to_owned(), format!("/v1/segments/{id}")] {
        let answer = get(&path)
            .with("Authorization", "Bearer nonsense")
            .send(running.public);
        assert_eq!(answer.status, 200);
    }
    running.stop();
}

#[test]
fn the_segment_of_the_last_manifest_is_there_for_whoever_is_slow() {
    static CLOCK: AtomicU64 = AtomicU64::new(NOW);
    let (folder, running, first) = start_with(Setup {
        clock: || Timestamp::from_secs(CLOCK.load(Ordering::SeqCst)),
        ..Setup::default()
    });
    let registrar = running.transport(Some(&enrol()));
    let mut ids = vec![first];
    for number in [50, 51] {
        let members = numbers(number..number + 1);
        let more = enrolment(&registrar, EPOCH, &members, &everyone(NOW - 60));
        registrar.enrol(&more).unwrap();
        running.publish();
        ids.push(base_of(&raw::get(running.public, "/v1/manifest")));
    }
    let status = |id: &str| raw::get(running.public, &format!("/v1/segments/{id}")).status;
    assert_eq!(
        (status(&ids[0]), status(&ids[1]), status(&ids[2])),
        (404, 200, 200)
    );
    // Two bases, the delta that leads to the first, and the two that lead to the second.
    assert_eq!(segments(folder.path()).len(), 5);
    // Not for long: what has left since is in it. Who asks for a file by a name of former times gets nothing, though it is
    // still on the disk.
    CLOCK.store(NOW + 3_600, Ordering::SeqCst);
    assert_eq!((status(&ids[1]), status(&ids[2])), (404, 200));
    // Nor a file that no manifest has listed.
    let bytes = fs::read(folder.path().join("segments").join(&ids[2])).unwrap();
    let other = folder.path().join("segments").join(&ids[0]);
    fs::write(other, bytes).unwrap();
    assert_eq!(status(&ids[0]), 404);
    running.stop();
}
