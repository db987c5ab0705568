//! The stored state of a client.

use blindbook::client::SyncState;

use crate::published::service;

/// The bytes as they are, and as a state of our service.
pub fn run(data: &[u8]) {
    check(data);
    let mut ours = data.to_vec();
    if let Some(hash) = ours.get_mut(8..40) {
        hash.copy_from_slice(&service().hash());
        check(&ours);
    }
}

/// What is taken is what would be stored again, and every contact in it can be forgotten.
fn check(data: &[u8]) {
    let Ok(mut state) = SyncState::decode(data, &service()) else {
        return;
    };
    let encoded = state.encode();
    if data.get(6) < Some(&3) {
        // An older version, which is stored as the newest one.
        let again = SyncState::decode(&encoded, &service()).expect("it was encoded");
        assert!(*again.encode() == *encoded);
    } else {
        assert!(*encoded == *data);
    }
    assert!(state.known() == 0 || state.chain().is_some());
    let known = state.known() + state.to_carry_over();
    let gone = state.retain(&[], 0) + state.retain(&[], u64::MAX);
    assert_eq!(gone, known);
    assert_eq!((state.known(), state.to_carry_over()), (0, 0));
    let emptied = SyncState::decode(&state.encode(), &service()).expect("it was encoded");
    assert_eq!(emptied.chain(), state.chain());
}
