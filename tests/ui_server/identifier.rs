//! The server role has no identifiers and can't hash to the group.

use blindbook::client::Identifier;
use blindbook::oprf::digest_inputs;

fn main() {}
