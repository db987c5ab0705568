//! Where charges are kept.
//!
//! Layer 5: stands on the server role's types and must not know HTTP. Each operation is one round trip and
//! one atomic step, so that a remote store fits behind the same traits.

mod memory;

pub use memory::{MemoryStore, Poisoned};
