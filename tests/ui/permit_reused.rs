//! A permit is for one evaluation.

use blindbook::{
    oprf::BlindedElements,
    server::{Evaluator, quota::Permit},
};
use rand::rngs::StdRng;

fn twice(evaluator: &Evaluator, permit: Permit, blinded: &BlindedElements, rng: &mut StdRng) {
    let _ = evaluator.blind_evaluate(permit, blinded, rng);
    let _ = evaluator.blind_evaluate(permit, blinded, rng);
}

fn main() {}
