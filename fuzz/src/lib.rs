//! What the fuzz targets check, as plain functions: the crate's tests replay the corpora through them.

pub mod changes;
pub mod enrolment;
pub mod identifier;
pub mod manifest;
pub mod protocol;
mod published;
pub mod segment;
mod server;
pub mod sync_state;
pub mod vcard;
pub mod wire;
