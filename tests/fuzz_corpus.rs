//! Replays the corpora of the fuzz targets.

#![cfg(feature = "contacts")]
#![allow(unreachable_pub, missing_docs)]

#[path = "../fuzz/src/identifier.rs"]
mod identifier;
#[path = "../fuzz/src/protocol.rs"]
mod protocol;
#[path = "../fuzz/src/server.rs"]
mod server;
#[path = "../fuzz/src/vcard.rs"]
mod vcard;
#[path = "../fuzz/src/wire.rs"]
mod wire;

fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 3, "{target} has {count} seeds");
}

#[test]
fn corpora_hold() {
    replay("identifier", identifier::run);
    replay("protocol", protocol::run);
    replay("vcard", vcard::run);
    replay("wire", wire::run);
}
