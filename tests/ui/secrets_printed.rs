//! A secret isn't printed, and isn't compared with `==`.

use std::fmt::Display;

use blindbook::{
    client::Identifier,
    oprf::{ContactKey, UnblindedElement},
    server::EvaluationKey,
};

fn prints<T: Display>() {}
fn compares<T: PartialEq>() {}

fn main() {
    prints::<EvaluationKey>();
    prints::<UnblindedElement>();
    prints::<ContactKey>();
    prints::<Identifier>();
    compares::<EvaluationKey>();
    compares::<UnblindedElement>();
    compares::<Identifier>();
}
