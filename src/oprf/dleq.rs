//! The batched proof that two elements have the same discrete logarithm: RFC 9497, section 2.2.
//!
//! One proof covers a batch: each pair `(C[i], D[i])` gets a weight that hashes the whole statement, and
//! what is proved is `Z = k*M` for the weighted sums `M` and `Z`.

use alloc::vec::Vec;

#[cfg(feature = "server")]
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
#[cfg(feature = "server")]
use zeroize::Zeroizing;

use super::element::PublicKey;
#[cfg(feature = "client")]
use crate::secret::declassify;
use crate::{
    group::{ENCODED_LENGTH, Element, Encoding, Scalar},
    kernel::{Elements, fill_chunks},
    suite::{Expander, SEED_DST},
};

/// Length of an encoded proof, in bytes: two scalars.
pub const PROOF_LENGTH: usize = 2 * ENCODED_LENGTH;

/// Sixty-four bytes that aren't two reduced scalars, or that prove something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof doesn't hold")]
pub struct BadProof;

/// A proof that every element of a batch was evaluated under the key of a [`PublicKey`].
pub struct Proof {
    c: Scalar,
    s: Scalar,
}

impl Proof {
    /// Takes `c || s` (RFC 9497, section 4: both as little-endian scalars).
    ///
    /// # Errors
    ///
    /// One of them isn't reduced.
    pub fn decode(bytes: &[u8; PROOF_LENGTH]) -> Result<Self, BadProof> {
        let (c, s) = bytes.split_at(ENCODED_LENGTH);
        let scalar = |half: &[u8]| {
            <&Encoding>::try_from(half)
                .ok()
                .and_then(Scalar::decode)
                .ok_or(BadProof)
        };
        Ok(Self {
            c: scalar(c)?,
            s: scalar(s)?,
        })
    }

    /// `c || s`.
    #[must_use]
    pub fn encode(&self) -> [u8; PROOF_LENGTH] {
        let mut bytes = [0; PROOF_LENGTH];
        let (c, s) = bytes.split_at_mut(ENCODED_LENGTH);
        c.copy_from_slice(&self.c.encode());
        s.copy_from_slice(&self.s.encode());
        bytes
    }

    /// Implements `GenerateProof` from RFC 9497, section 2.2.1, with `A = G` and `B = pkS`.
    ///
    /// # Security
    ///
    /// The nonce is hedged: a hash of the key, of fresh randomness and of the statement. A random source
    /// that repeats itself doesn't give the key away, as it would with `RandomScalar` of the RFC.
    #[cfg(feature = "server")]
    pub(crate) fn generate<R: CryptoRng + ?Sized>(
        key: &Scalar,
        statement: &Statement<'_>,
        blinded: &Elements,
        rng: &mut R,
    ) -> Self {
        let mut fresh = Zeroizing::new([0; 32]);
        rng.fill_bytes(fresh.as_mut_slice());
        Self::generate_with_nonce(key, statement, blinded, |m, z| {
            hedged_nonce(key, &fresh, statement.public_key, m, z)
        })
    }

    #[cfg(feature = "server")]
    pub(crate) fn generate_with_nonce(
        key: &Scalar,
        statement: &Statement<'_>,
        blinded: &Elements,
        nonce: impl FnOnce(&Element, &Element) -> Scalar,
    ) -> Self {
        let m = blinded.multiscalar_vartime(&statement.weights());
        // `ComputeCompositesFast`: who knows k needs no second sum.
        let z = m.multiply(key);
        let nonce = nonce(&m, &z);
        let t2 = Element::generator_product(&nonce);
        let t3 = m.multiply(&nonce);
        let c = challenge(statement.public_key, &m, &z, &t2, &t3);
        let s = nonce.subtract(&c.multiply(key));
        Self { c, s }
    }

    /// Implements `VerifyProof` from RFC 9497, section 2.2.2, with `A = G` and `B = pkS`.
    ///
    /// Variable time: everything in a proof is public.
    #[cfg(feature = "client")]
    pub(crate) fn verify_vartime(
        &self,
        statement: &Statement<'_>,
        blinded: &Elements,
        evaluated: &Elements,
    ) -> Result<(), BadProof> {
        let weights = statement.weights();
        let m = blinded.multiscalar_vartime(&weights);
        let z = evaluated.multiscalar_vartime(&weights);
        let public_key = statement.public_key;
        let t2 = self.commitment_vartime(public_key);
        let t3 = Element::pair_product_vartime(&self.s, &m, &self.c, &z);
        let mut expected = challenge(public_key, &m, &z, &t2, &t3).encode();
        // The blinded elements are public, however the client that made them represents them.
        declassify(&mut expected);
        if expected != self.c.encode() {
            return Err(BadProof);
        }
        Ok(())
    }

    /// `t2 = s*G + c*K`, which is the nonce times G if the proof is an honest one.
    #[cfg(feature = "client")]
    pub(crate) fn commitment_vartime(&self, public_key: &PublicKey) -> Element {
        Element::double_product_vartime(&self.c, &public_key.element, &self.s)
    }
}

impl core::fmt::Debug for Proof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// What a proof is about: `k` of this public key took each blinded element to the evaluated one.
pub(crate) struct Statement<'a> {
    pub(crate) public_key: &'a PublicKey,
    pub(crate) blinded: &'a [Encoding],
    pub(crate) evaluated: &'a [Encoding],
}

impl Statement<'_> {
    /// The weights of `ComputeComposites`, RFC 9497, section 2.2.1.
    fn weights(&self) -> Vec<Scalar> {
        let seed = {
            let mut hash = Sha512::new();
            absorb(&mut hash, &self.public_key.encode());
            absorb(&mut hash, SEED_DST);
            hash.finalize()
        };
        let expander = Expander::to_scalar();
        let element_length = (ENCODED_LENGTH as u16).to_be_bytes();
        let mut weights = Vec::new();
        weights.resize_with(self.blinded.len(), Scalar::default);
        fill_chunks(&mut weights, |start, slots| {
            let pairs = self.blinded.iter().zip(self.evaluated).skip(start);
            for (offset, (slot, (blinded, evaluated))) in slots.iter_mut().zip(pairs).enumerate() {
                let index = ((start + offset) as u16).to_be_bytes();
                *slot = expander.scalar(&[
                    &(seed.len() as u16).to_be_bytes(),
                    &seed,
                    &index,
                    &element_length,
                    blinded,
                    &element_length,
                    evaluated,
                    b"Composite",
                ]);
            }
        });
        weights
    }
}

/// The Fiat-Shamir challenge of `GenerateProof` and `VerifyProof`.
fn challenge(
    public_key: &PublicKey,
    m: &Element,
    z: &Element,
    t2: &Element,
    t3: &Element,
) -> Scalar {
    let length = (ENCODED_LENGTH as u16).to_be_bytes();
    let [m, z, t2, t3] = [m, z, t2, t3].map(Element::encode);
    Expander::to_scalar().scalar(&[
        &length,
        &public_key.encode(),
        &length,
        &m,
        &length,
        &z,
        &length,
        &t2,
        &length,
        &t3,
        b"Challenge",
    ])
}

#[cfg(feature = "server")]
fn hedged_nonce(
    key: &Scalar,
    fresh: &[u8; 32],
    public_key: &PublicKey,
    m: &Element,
    z: &Element,
) -> Scalar {
    let mut hash = Sha512::new_with_prefix(b"blindbook-v1-proof-nonce");
    hash.update(Zeroizing::new(key.encode()));
    hash.update(fresh);
    hash.update(public_key.encode());
    hash.update(m.encode());
    hash.update(z.encode());
    let uniform = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
    Scalar::from_uniform_bytes(&uniform)
}

/// `I2OSP(len(bytes), 2) || bytes`.
fn absorb(hash: &mut Sha512, bytes: &[u8]) {
    hash.update((bytes.len() as u16).to_be_bytes());
    hash.update(bytes);
}
