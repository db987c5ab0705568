#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// L0
mod group;
mod secret;
// L1
mod kernel;
pub mod suite;
// L2
pub mod label;
pub mod oprf;
// L3
pub mod wire;
// L4
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;

/// A random source for tests; each stream is the same on every run.
#[cfg(test)]
fn test_rng(stream: u8) -> rand::rngs::StdRng {
    <rand::rngs::StdRng as rand::SeedableRng>::from_seed([stream; 32])
}
