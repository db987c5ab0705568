//! Tests that need what isn't public: fixed blinds and nonces, and both roles at once.

#[cfg(feature = "std")]
mod malleability;
mod vectors;

/// A random source for tests; each stream is the same on every run.
fn random_source(stream: u8) -> rand::rngs::StdRng {
    <rand::rngs::StdRng as rand::SeedableRng>::from_seed([stream; 32])
}
