//! What is written down of every charge, as evidence.

#[path = "ledger/open.rs"]
mod open;
#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;

use blindbook::store::{MemoryStore, Store};

fn conforms<S: Store>(fresh: impl Fn() -> S) {
    open::every_request_is_counted_in_its_hour(&fresh());
    open::young_accounts_are_counted_by_network(&fresh());
    open::what_was_done_is_kept_for_a_month(&fresh());
}

#[test]
fn the_memory_store_conforms() {
    conforms(MemoryStore::new);
}

#[cfg(feature = "store")]
#[test]
fn the_embedded_store_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    conforms(|| {
        next.set(next.get() + 1);
        blindbook::store::RedbStore::open(&folder.path().join(next.get().to_string())).unwrap()
    });
}
