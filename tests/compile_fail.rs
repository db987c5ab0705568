//! What must not compile. The expected messages are those of the compiler that CI uses.
//!
//! These tests build the crate once more in a place of their own. So they run with the roles alone, and not in the build
//! that has everything, where that would take minutes:
//!
//! ```sh
//! cargo test --test compile_fail
//! cargo test --no-default-features --features server --test compile_fail
//! ```

/// With both roles: permits, states and secrets.
#[cfg(all(
    feature = "client",
    feature = "server",
    feature = "std",
    not(feature = "store")
))]
#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

/// The server role alone has no word for an identifier.
#[cfg(all(feature = "server", not(feature = "client")))]
#[test]
fn the_server_cannot_name_an_identifier() {
    trybuild::TestCases::new().compile_fail("tests/ui_server/*.rs");
}
