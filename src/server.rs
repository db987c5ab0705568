//! The role that holds the key: evaluation, quota, directory.
//!
//! Layer 4: stands on the wire and the snapshot and must not know the client role. There is no type for
//! an identifier here, and no way from arbitrary bytes to a group element but strict decoding.

mod date;
pub mod detect;
pub mod directory;
mod evaluate;
pub mod incident;
mod key;
pub mod ledger;
pub mod number_space;
pub mod policy;
pub mod publish;
pub mod quota;
pub mod rotation;

#[cfg(feature = "client")]
pub use evaluate::DirectError;
pub use evaluate::{EvaluateError, Evaluator};
pub use key::{BadKey, EvaluationKey};
pub use rotation::Delta;

pub use crate::timestamp::Timestamp;
