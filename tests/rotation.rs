//! From one key to the next: what a directory keeps moves over without anybody's identifier.

#[path = "support/roles.rs"]
mod roles;

use blindbook::{
    oprf::{Encoding, digest_inputs},
    server::{Delta, EvaluationKey, Evaluator},
};
use roles::{EPOCH, Grants, random_source};

/// What a key makes of some identifiers.
fn evaluated(evaluator: &Evaluator, count: usize) -> Vec<Encoding> {
    let owned: Vec<String> = (0..count)
        .map(|index| format!("tel:+447700900{index:03}"))
        .collect();
    let inputs: Vec<&[u8]> = owned.iter().map(String::as_bytes).collect();
    let permit = Grants::new().permit_for(count, digest_inputs(&inputs));
    let elements = evaluator.evaluate(permit, &inputs).unwrap();
    elements.iter().map(|element| *element.expose()).collect()
}

#[test]
fn every_element_moves_to_the_rotated_key() {
    let mut rng = random_source(1);
    let key = EvaluationKey::random(&mut rng);
    let delta = Delta::random(&mut rng);
    let rotated = Evaluator::new(EPOCH, key.rotate(&delta));
    let old_public_key = key.public_key().encode();
    let old = Evaluator::new(EPOCH, key);
    for count in [1, 8, 9, 300] {
        let moved = delta.multiply(&evaluated(&old, count)).unwrap();
        assert_eq!(moved, evaluated(&rotated, count));
    }
    // The public key is an element like any other.
    let moved = delta.multiply(&[old_public_key]).unwrap();
    assert_eq!(moved, [rotated.public_key().encode()]);
}

#[test]
fn two_rotations_lead_to_different_keys() {
    let mut rng = random_source(2);
    let key = EvaluationKey::random(&mut rng);
    let [once, again] = [(); 2].map(|()| key.rotate(&Delta::random(&mut rng)));
    assert_ne!(once.public_key(), again.public_key());
    assert_ne!(once.public_key(), key.public_key());
}

#[test]
fn one_bad_encoding_refuses_the_batch() {
    let mut rng = random_source(3);
    let delta = Delta::random(&mut rng);
    let good = evaluated(&Evaluator::new(EPOCH, EvaluationKey::random(&mut rng)), 9);
    // The identity, a negative one, one that isn't reduced.
    for bad in [[0; 32], [1; 32], [0xff; 32]] {
        for place in 0..good.len() {
            let mut batch = good.clone();
            batch[place] = bad;
            assert!(delta.multiply(&batch).is_err(), "{bad:02x?} at {place}");
        }
    }
}

#[test]
fn nothing_to_move_is_fine() {
    let delta = Delta::random(&mut random_source(4));
    assert_eq!(delta.multiply(&[]), Ok(Vec::new()));
}
