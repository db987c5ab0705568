//! The prime-order group ristretto255 (RFC 9496): elements, scalars and their encodings.
//!
//! Layer 0, and the only file that names `curve25519-dalek`. It knows nothing of the protocol; what
//! works on whole batches is in [`crate::kernel`].

#[cfg(feature = "client")]
use alloc::vec::Vec;

#[cfg(feature = "client")]
use curve25519_dalek::ristretto::RistrettoBasepointTable;
use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar as DalekScalar,
    traits::{Identity, IsIdentity, VartimeMultiscalarMul},
};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::secret::declassify;

/// Length of an encoded element or scalar, in bytes (RFC 9497, section 4.1: `Ne = Ns = 32`).
pub const ENCODED_LENGTH: usize = 32;

/// The canonical encoding of an element or a scalar.
pub type Encoding = [u8; ENCODED_LENGTH];

/// A group element. Public or secret by what it stands for: the owner decides and wraps it.
#[derive(Clone, Copy)]
pub(crate) struct Element(RistrettoPoint);

impl Element {
    /// Implements `DeserializeElement` from RFC 9497, section 4.1: refuses what RFC 9496 refuses, and
    /// the identity.
    pub(crate) fn decode(encoding: &Encoding) -> Option<Self> {
        CompressedRistretto(*encoding)
            .decompress()
            .filter(|point| !point.is_identity())
            .map(Self)
    }

    /// The one-way map of RFC 9496, section 4.3.4.
    #[cfg(feature = "client")]
    pub(crate) fn from_uniform_bytes(bytes: &[u8; 64]) -> Self {
        Self(RistrettoPoint::from_uniform_bytes(bytes))
    }

    #[cfg(feature = "client")]
    pub(crate) fn generator() -> Self {
        Self(curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT)
    }

    #[cfg(feature = "server")]
    pub(crate) fn generator_product(scalar: &Scalar) -> Self {
        Self(curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE * &scalar.0)
    }

    pub(crate) fn encode(&self) -> Encoding {
        self.0.compress().to_bytes()
    }

    #[cfg(feature = "server")]
    /// Encodes the doubles of `halves`: dalek shares one inversion between all of them.
    pub(crate) fn double_and_encode_batch(halves: &[Self]) -> impl Iterator<Item = Encoding> {
        RistrettoPoint::double_and_compress_batch(halves.iter().map(|half| &half.0))
            .into_iter()
            .map(|compressed| compressed.to_bytes())
    }

    #[cfg(any(feature = "client", feature = "parallel"))]
    pub(crate) fn add(&self, other: &Self) -> Self {
        Self(self.0 + other.0)
    }

    #[cfg(feature = "client")]
    pub(crate) fn negate(&self) -> Self {
        Self(-self.0)
    }

    #[cfg(feature = "server")]
    /// The variable-base product, in constant time.
    pub(crate) fn multiply(&self, scalar: &Scalar) -> Self {
        Self(self.0 * scalar.0)
    }

    /// `sum(scalars[i] * elements[i])` in variable time: for public inputs only.
    pub(crate) fn multiscalar_vartime(scalars: &[Scalar], elements: &[Self]) -> Self {
        Self(RistrettoPoint::vartime_multiscalar_mul(
            scalars.iter().map(|scalar| &scalar.0),
            elements.iter().map(|element| &element.0),
        ))
    }

    /// `a * A + b * B` in variable time: for public inputs only.
    #[cfg(feature = "client")]
    pub(crate) fn pair_product_vartime(a: &Scalar, x: &Self, b: &Scalar, y: &Self) -> Self {
        Self(RistrettoPoint::vartime_multiscalar_mul(
            [&a.0, &b.0],
            [&x.0, &y.0],
        ))
    }

    /// `a * A + b * G` in variable time: for public inputs only.
    #[cfg(feature = "client")]
    pub(crate) fn double_product_vartime(a: &Scalar, element: &Self, b: &Scalar) -> Self {
        Self(RistrettoPoint::vartime_double_scalar_mul_basepoint(
            &a.0, &element.0, &b.0,
        ))
    }
}

impl Default for Element {
    fn default() -> Self {
        Self(RistrettoPoint::identity())
    }
}

impl Zeroize for Element {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(feature = "client")]
/// A multiplication table for one base; products with it are constant time.
pub(crate) struct FixedBase(RistrettoBasepointTable);

#[cfg(feature = "client")]
impl FixedBase {
    /// Costs about as much as three variable-base products, and 30 KiB.
    pub(crate) fn new(base: &Element) -> Self {
        Self(RistrettoBasepointTable::create(&base.0))
    }

    pub(crate) fn multiply(&self, scalar: &Scalar) -> Element {
        Element(&self.0 * &scalar.0)
    }
}

/// An integer modulo the group order. Wiped on drop and never cloned, since most are secret.
pub(crate) struct Scalar(DalekScalar);

impl Scalar {
    /// A uniform scalar, not zero (RFC 9497, section 2.1: `RandomScalar`).
    pub(crate) fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        loop {
            let scalar = Self(DalekScalar::random(rng));
            if !scalar.is_zero() {
                return scalar;
            }
        }
    }

    /// Reduces 64 uniform bytes, little-endian (RFC 9497, section 4.1: `HashToScalar`).
    pub(crate) fn from_uniform_bytes(bytes: &[u8; 64]) -> Self {
        Self(DalekScalar::from_bytes_mod_order_wide(bytes))
    }

    /// Refuses what isn't reduced: that a scalar was refused, or wasn't, is public.
    pub(crate) fn decode(encoding: &Encoding) -> Option<Self> {
        let scalar = DalekScalar::from_canonical_bytes(*encoding);
        let mut reduced = bool::from(scalar.is_some());
        declassify(&mut reduced);
        reduced.then(|| Self(scalar.unwrap_or(DalekScalar::ZERO)))
    }

    pub(crate) fn encode(&self) -> Encoding {
        self.0.to_bytes()
    }

    /// Public: a zero is refused, or drawn again, by everyone who asks.
    pub(crate) fn is_zero(&self) -> bool {
        let mut zero = self.0 == DalekScalar::ZERO;
        declassify(&mut zero);
        zero
    }

    #[cfg(any(feature = "server", all(feature = "std", target_arch = "x86_64")))]
    pub(crate) fn half(&self) -> Self {
        Self(self.0.div_by_2())
    }

    /// `(2^bits - 1) / 2`, for at most 512 bits.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    pub(crate) fn half_of_ones(bits: usize) -> Self {
        let mut power = [0; 64];
        if let Some(byte) = power.get_mut((bits - 1) / 8) {
            *byte = 1 << ((bits - 1) % 8);
        }
        Self(DalekScalar::from_bytes_mod_order_wide(&power) - DalekScalar::ONE.div_by_2())
    }

    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    pub(crate) fn add(&self, other: &Self) -> Self {
        Self(self.0 + other.0)
    }

    #[cfg(all(test, feature = "client", feature = "server"))]
    pub(crate) fn invert(&self) -> Self {
        Self(self.0.invert())
    }

    #[cfg(feature = "server")]
    pub(crate) fn multiply(&self, other: &Self) -> Self {
        Self(self.0 * other.0)
    }

    #[cfg(feature = "server")]
    pub(crate) fn subtract(&self, other: &Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Default for Scalar {
    fn default() -> Self {
        Self(DalekScalar::ZERO)
    }
}

impl Drop for Scalar {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(feature = "client")]
/// `count` fresh scalars, each uniform and nonzero.
pub(crate) fn random_scalars<R: CryptoRng + ?Sized>(count: usize, rng: &mut R) -> Vec<Scalar> {
    (0..count).map(|_| Scalar::random(rng)).collect()
}
