#![cfg_attr(feature = "client", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "client"),
    doc = "Private contact discovery: the server role alone."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// L0
mod group;
mod secret;
mod timestamp;
pub use secret::SecretBytes;
pub use timestamp::Timestamp;

// L1
mod kernel;
#[cfg(all(fuzzing, feature = "client", feature = "server", feature = "std"))]
#[doc(hidden)]
pub use kernel::compare_backends;
#[cfg(feature = "std")]
#[doc(hidden)]
pub use kernel::force_portable_backend;
pub mod suite;
// L2
pub mod label;
pub mod oprf;
// L3
pub mod snapshot;
pub mod wire;
// L4
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;
// L5
#[cfg(all(feature = "server", feature = "std"))]
pub mod store;
// L6
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http-client")]
pub mod http_client;
#[cfg(feature = "publish")]
pub mod mirror;

#[cfg(all(test, feature = "client", feature = "server"))]
mod tests;
