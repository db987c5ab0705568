//! What is written down of every charge, as evidence.

#[path = "support/ledger.rs"]
mod ledger;
#[path = "ledger/open.rs"]
mod open;
#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;
#[path = "ledger/sealed.rs"]
mod sealed;

use blindbook::store::{MemoryStore, Store};

fn conforms<S: Store>(fresh: impl Fn() -> S) {
    open::every_request_is_counted_in_its_hour(&fresh());
    open::young_accounts_are_counted_by_network(&fresh());
    sealed::hours_that_are_over_become_entries(&fresh());
    sealed::what_comes_late_is_added_up(&fresh());
    sealed::a_day_that_isnt_sealed_stops_everything(&fresh());
    sealed::what_operators_do_is_in_it(&fresh());
    sealed::an_hour_of_many_accounts_is_sealed_in_pages(&fresh());
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
