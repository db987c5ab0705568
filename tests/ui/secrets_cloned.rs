//! A secret isn't copied.

use blindbook::{
    client::{ExpectEvaluation, Identifier},
    oprf::{ContactKey, LabelKey, UnblindedElement},
    server::{Delta, EvaluationKey, quota::Permit},
};

fn copies<T: Clone>() {}

fn main() {
    copies::<EvaluationKey>();
    copies::<Delta>();
    copies::<UnblindedElement>();
    copies::<ContactKey>();
    copies::<LabelKey>();
    copies::<Identifier>();
    copies::<ExpectEvaluation>();
    copies::<Permit>();
}
