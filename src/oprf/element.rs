//! Elements by what they stand for: blinded, evaluated, unblinded, and the public key.

use alloc::vec::Vec;
use core::{fmt, marker::PhantomData};

use sha2::{Digest, Sha256};

use crate::{
    group::{Element, Encoding},
    kernel::{BadElement, Elements},
    secret::SecretBytes,
    suite::MAX_BATCH,
};

/// A batch that RFC 9497 can't number: empty, or more than 65,535 elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch has 1 to {MAX_BATCH} elements, not {0}")]
pub struct BatchSizeError(pub usize);

/// 1 to 65,535 encoded elements of one kind, as they stand in a message.
///
/// The size is checked here; whether each encoding is an element is checked where the batch is used,
/// by whoever pays for the arithmetic.
pub struct Batch<Kind> {
    encodings: Vec<Encoding>,
    kind: PhantomData<fn() -> Kind>,
}

/// Marks what the client sends.
#[derive(Debug)]
#[non_exhaustive]
pub struct Blinded;

/// Marks what the server answers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Evaluated;

/// `BlindedElement`s of RFC 9497, section 3.3.2: uniform group elements, `P + r*G`.
pub type BlindedElements = Batch<Blinded>;

/// `EvaluatedElement`s of RFC 9497, section 3.3.2: `k` times each blinded element, in order.
pub type EvaluatedElements = Batch<Evaluated>;

impl<Kind> Batch<Kind> {
    /// Takes encodings, in order.
    ///
    /// # Errors
    ///
    /// None, or more than 65,535.
    pub fn new(encodings: Vec<Encoding>) -> Result<Self, BatchSizeError> {
        match encodings.len() {
            1..=MAX_BATCH => Ok(Self {
                encodings,
                kind: PhantomData,
            }),
            count => Err(BatchSizeError(count)),
        }
    }

    /// The encodings, in order.
    #[must_use]
    pub fn encodings(&self) -> &[Encoding] {
        &self.encodings
    }

    /// Takes the encodings out.
    #[cfg(feature = "server")]
    pub(crate) fn into_encodings(self) -> Vec<Encoding> {
        self.encodings
    }

    /// How many elements there are: 1 to 65,535.
    #[allow(clippy::len_without_is_empty, reason = "a batch is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.encodings.len()
    }

    #[cfg(feature = "server")]
    /// A batch as large as `other`, which has been checked.
    pub(crate) fn from_same_size<Other>(encodings: Vec<Encoding>, other: &Batch<Other>) -> Self {
        debug_assert_eq!(encodings.len(), other.len());
        Self {
            encodings,
            kind: PhantomData,
        }
    }

    pub(crate) fn decode(&self) -> Result<Elements, BadElement> {
        Elements::decode(&self.encodings)
    }
}

impl BlindedElements {
    /// SHA-256 over the elements: what a repeated request is recognised by, and what a permit is for.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(b"blindbook-v1-blinded-elements");
        for encoding in &self.encodings {
            hash.update(encoding);
        }
        hash.finalize().into()
    }
}

impl<Kind> Clone for Batch<Kind> {
    fn clone(&self) -> Self {
        Self {
            encodings: self.encodings.clone(),
            kind: PhantomData,
        }
    }
}

impl<Kind> fmt::Debug for Batch<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} elements)", self.len())
    }
}

/// `N = k * HashToGroup(input)`: what the client is left with once the blind is off.
///
/// Everything about a contact follows from it ([`super::ContactKey`]), and an enrolment consists of it.
///
/// # Security
///
/// Secret: whoever has it can find its owner in the published set. Wiped on drop, redacted, not cloned.
#[derive(Debug)]
pub struct UnblindedElement(SecretBytes<32>);

impl UnblindedElement {
    /// Checks and takes an encoding.
    ///
    /// # Errors
    ///
    /// Not canonical, or the identity.
    pub fn decode(encoding: &Encoding) -> Result<Self, BadElement> {
        Element::decode(encoding).ok_or(BadElement)?;
        Ok(Self::from_trusted(*encoding))
    }

    /// Takes an encoding that is known to be an element: from the kernel, or from our own store.
    pub(crate) fn from_trusted(mut encoding: Encoding) -> Self {
        Self(SecretBytes::new(&mut encoding))
    }

    /// Shows the canonical encoding.
    ///
    /// # Security
    ///
    /// For the enrolment message and the member store only.
    #[must_use]
    pub fn expose(&self) -> &Encoding {
        self.0.expose()
    }
}

/// `pkS = k*G` of RFC 9497, section 3.2: what proofs are verified against.
///
/// A client takes it from a signed manifest, never from the answer that it is to verify.
#[derive(Clone)]
pub struct PublicKey {
    encoding: Encoding,
    #[cfg(feature = "client")]
    pub(crate) element: Element,
}

impl PublicKey {
    /// Checks and takes an encoding.
    ///
    /// # Errors
    ///
    /// Not canonical, or the identity.
    pub fn decode(encoding: &Encoding) -> Result<Self, BadElement> {
        let _element = Element::decode(encoding).ok_or(BadElement)?;
        Ok(Self {
            encoding: *encoding,
            #[cfg(feature = "client")]
            element: _element,
        })
    }

    #[cfg(feature = "server")]
    pub(crate) fn from_element(element: Element) -> Self {
        Self {
            encoding: element.encode(),
            #[cfg(feature = "client")]
            element,
        }
    }

    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Encoding {
        self.encoding
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.encoding == other.encoding
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        for byte in self.encoding {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
