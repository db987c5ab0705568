//! A secret isn't printed, and isn't compared with `==`.

use std::fmt::Display;

use blindbook::{
    client::Identifier,
    oprf::{ContactKey, UnblindedElement},
    server::{Delta, EvaluationKey},
};

fn prints<T: Display>() {}
fn compares<T: PartialEq>() {}

fn main() {
    prints::<EvaluationKey>();
    prints::<Delta>();
    prints::<UnblindedElement>();
    prints::<ContactKey>();
    prints::<Identifier>();
    compares::<EvaluationKey>();
    compares::<Delta>();
    compares::<UnblindedElement>();
    compares::<Identifier>();
}
