//! The role that holds the key: evaluation, quota, directory.
//!
//! Layer 4: stands on the wire and the snapshot and must not know the client role. There is no type for
//! an identifier here, and no way from arbitrary bytes to a group element but strict decoding.

mod key;

pub use key::{BadKey, EvaluationKey};
