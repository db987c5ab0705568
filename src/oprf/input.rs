//! From private inputs to group elements. Compiled for the client role only.

use alloc::vec;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    kernel::{Elements, fill_chunks},
    suite::{Expander, MAX_INPUT},
};

/// A private input longer than 255 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a private input has at most {MAX_INPUT} bytes")]
pub struct InputTooLong;

/// Implements `HashToGroup` from RFC 9497, section 4.1, for each input.
///
/// The RFC refuses an input that hashes to the identity. Nobody can find one: it happens with probability
/// 2^-252, and the blinded or evaluated identity would be refused where it is decoded.
///
/// As many identities follow as `padding` asks for.
pub(crate) fn hash_to_group(inputs: &[&[u8]], padding: usize) -> Result<Elements, InputTooLong> {
    if inputs.iter().any(|input| input.len() > MAX_INPUT) {
        return Err(InputTooLong);
    }
    let expander = Expander::to_group();
    let mut uniform = Zeroizing::new(vec![[0; 64]; inputs.len()]);
    fill_chunks(&mut uniform, |start, slots| {
        for (slot, input) in slots.iter_mut().zip(inputs.iter().skip(start)) {
            *slot = expander.expand(&[input]);
        }
    });
    Ok(Elements::from_uniform_bytes(&uniform, padding))
}

/// SHA-256 over private inputs: what a direct evaluation's permit is for.
#[must_use]
pub fn digest_inputs(inputs: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"blindbook-v1-inputs");
    for input in inputs {
        hash.update((input.len() as u64).to_be_bytes());
        hash.update(input);
    }
    hash.finalize().into()
}
