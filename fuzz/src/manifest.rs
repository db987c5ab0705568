//! Manifests and what a client remembers of them.

use blindbook::snapshot::{Advance, ChainState, Manifest, SignedManifest};

use crate::published::{key, verified};

/// The bytes as a manifest; then signed, since no fuzzer guesses a signature; then their start as the state
/// of a client that is shown it.
pub fn run(data: &[u8]) {
    let Ok(signed) = SignedManifest::decode(data) else {
        return;
    };
    let claims = signed.unverified_claims();
    let again = key().sign(claims).expect("it was decoded");
    let body = data.len() - 64;
    assert_eq!(again[..body], data[..body], "not the one way to write it");
    let manifest = verified(&again).expect("its own signature");
    assert_eq!(manifest.claims(), claims);
    assert_eq!(manifest.base(), &claims.segments[0]);
    // Ed25519 is deterministic, and verified strictly: there is one signature for a manifest.
    assert_eq!(verified(data).is_some(), again == data);

    starts_only_in_its_time(&manifest);
    for prefix in [&data[data.len() - 80..], &data[..80]] {
        let prefix = prefix.try_into().expect("eighty bytes");
        if let Ok(state) = ChainState::decode(prefix) {
            assert_eq!(&state.encode(), prefix);
            advance(&state, &manifest);
        }
    }
    let own = ChainState::start(&manifest, manifest.claims().not_before).expect("in its time");
    let own = ChainState::decode(&own.encode()).expect("it was encoded");
    assert_eq!(advance(&own, &manifest), Some(Advance::Same));
    // A client that is a little ahead, a little behind, in another epoch, or was shown another history.
    for (at, flip) in [(7, 1), (7, 2), (6, 1), (8, 1), (47, 1), (46, 255)] {
        let mut bytes = own.encode();
        bytes[at] ^= flip;
        if let Ok(state) = ChainState::decode(&bytes) {
            advance(&state, &manifest);
        }
    }
}

fn starts_only_in_its_time(manifest: &Manifest) {
    let (first, last) = (manifest.claims().not_before, manifest.claims().not_after);
    for now in [0, first, last, u64::MAX] {
        let in_time = (first..=last).contains(&now);
        assert_eq!(ChainState::start(manifest, now).is_ok(), in_time);
    }
    let early = first.checked_sub(1);
    let late = last.checked_add(1);
    for now in [early, late].into_iter().flatten() {
        assert!(ChainState::start(manifest, now).is_err());
    }
}

/// Whoever goes on stays in one history: never back, and never to another key or manifest at the same place.
fn advance(state: &ChainState, manifest: &Manifest) -> Option<Advance> {
    let claims = manifest.claims();
    let (next, advance) = state.advance(manifest, claims.not_after).ok()?;
    assert_eq!(next.sequence(), claims.sequence);
    assert_eq!(next.hash(), manifest.hash());
    assert!(next.epoch() >= state.epoch());
    if next.epoch() == state.epoch() {
        assert_eq!(next.public_key(), state.public_key());
    }
    match advance {
        Advance::Same => assert_eq!(
            (next.sequence(), next.hash()),
            (state.sequence(), state.hash())
        ),
        Advance::Next => {
            assert_eq!(next.sequence(), state.sequence() + 1);
            assert_eq!(&claims.previous, state.hash());
        }
        Advance::Skipped(between) => {
            assert_eq!(next.sequence(), state.sequence() + between + 1);
            assert!(between > 0);
        }
    }
    Some(advance)
}
