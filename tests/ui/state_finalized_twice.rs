//! An answer consumes the state that awaited it.

use blindbook::{client::ExpectEvaluation, oprf::Evaluation};

fn twice(expect: ExpectEvaluation, evaluation: &Evaluation) {
    let _ = expect.finalize(&evaluation.elements, &evaluation.proof);
    let _ = expect.finalize(&evaluation.elements, &evaluation.proof);
}

fn main() {}
