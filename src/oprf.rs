//! The messages and proofs of RFC 9497, and what blindbook derives from their result.
//!
//! Layer 2: stands on [`crate::suite`] and the batch kernel. It must not know who sends a message, over
//! what, or what an input stands for; hashing inputs to the group belongs to the client role alone.

mod contact_key;
mod dleq;
mod element;
#[cfg(feature = "server")]
mod evaluation;
#[cfg(feature = "client")]
mod input;

pub use contact_key::{ContactKey, Epoch, LabelKey, ServiceId, ServiceIdError, Tag};
#[cfg(feature = "client")]
pub(crate) use dleq::Statement;
pub use dleq::{BadProof, PROOF_LENGTH, Proof};
pub use element::{
    Batch, BatchSizeError, Blinded, BlindedElements, Evaluated, EvaluatedElements, PublicKey,
    UnblindedElement,
};
#[cfg(feature = "server")]
pub use evaluation::Evaluation;
#[cfg(feature = "client")]
pub(crate) use input::hash_to_group;
#[cfg(feature = "client")]
pub use input::{InputTooLong, digest_inputs};

pub use crate::{
    group::{ENCODED_LENGTH, Encoding},
    kernel::BadElement,
};
