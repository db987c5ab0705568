//! What the fuzz targets check, as plain functions: the crate's tests replay the corpora through them.

pub mod identifier;
pub mod protocol;
mod server;
pub mod vcard;
pub mod wire;
