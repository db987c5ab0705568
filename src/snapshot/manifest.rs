//! The signed statement of what is published:
//!
//! ```text
//! size
//!     8   magic "bbmanfst"
//!     1   version = 1
//!     1   suite: 1 is VOPRF(ristretto255, SHA-512) of RFC 9497
//!     2   normalisation profile of the identifiers
//!     1   label length, 0 to 64
//!     1   length of the service's name
//!     .   name of the service, UTF-8
//!     8   epoch
//!    32   public key of the epoch
//!     8   sequence: 1 for the first manifest, one more for each later one
//!    32   hash of the manifest before this one; zeros in the first
//!     8   not before, seconds since 1970-01-01T00:00:00Z
//!     8   not after
//!     1   number of segments, 1 to 64; the first is the base
//!     n x { kind 1, id 32, size 8, count 8, deletes 8, from 8, to 8 }
//!    64   Ed25519 signature (RFC 8032) of "blindbook-v1-manifest" || everything above
//! ```
//!
//! A segment leads from one published set to another. A set has the number of the first manifest that published it; a base
//! leads from 0, which is nothing. From the base the deltas lead to the newest set.
//!
//! The hash of a manifest is the SHA-256 of everything but its signature.

use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroize;
#[cfg(all(feature = "server", feature = "std"))]
use {sha2::Sha512, zeroize::Zeroizing};

use super::{format::Kind, path::cheapest_path};
use crate::{
    label::LabelLength,
    oprf::{Encoding, Epoch, PublicKey, ServiceId},
    secret::SecretBytes,
};

const MAGIC: [u8; 8] = *b"bbmanfst";
const VERSION: u8 = 1;
/// VOPRF(ristretto255, SHA-512).
const SUITE: u8 = 1;
const SIGNATURE: usize = 64;
const SIGNED_PREFIX: &[u8] = b"blindbook-v1-manifest";
/// Most segments: a base, and deltas from the sets of two months.
const MAX_SEGMENTS: usize = 64;

/// Bytes that aren't a manifest. Who sent them is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Doesn't begin like a manifest.
    #[error("not a manifest")]
    NotAManifest,
    /// A version or suite from the future.
    #[error("a manifest of a version or suite that isn't known here")]
    Unknown,
    /// Shorter or longer than it says.
    #[error("the manifest is truncated or has bytes behind it")]
    Length,
    /// A field with a value that has no meaning.
    #[error("the manifest's field {0} has a value without meaning")]
    BadField(&'static str),
}

/// The signature isn't the publisher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the manifest isn't signed by the key that was given")]
pub struct BadSignature;

/// One segment, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentEntry {
    /// What it holds.
    pub kind: Kind,
    /// SHA-256 of the header, which commits to everything else.
    pub id: [u8; 32],
    /// Bytes of the file.
    pub size: u64,
    /// How many tags it has.
    pub count: u64,
    /// How many tags it deletes from the set that it changes.
    pub deletes: u64,
    /// Which set a delta changes, by the number of the first manifest that published it; 0 for a base.
    pub from: u64,
    /// Which set it leads to.
    pub to: u64,
}

/// What a manifest says, before anybody signed it or after somebody unknown did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDraft {
    /// Whose members they are.
    pub service: ServiceId,
    /// By which rules identifiers were normalised.
    pub normalisation: u16,
    /// How long every label is.
    pub label_length: LabelLength,
    /// The epoch in which clients evaluate.
    pub epoch: Epoch,
    /// The key that proofs of this epoch are verified against.
    pub public_key: PublicKey,
    /// Place in the chain, from 1.
    pub sequence: u64,
    /// [`Manifest::hash`] of the one before; zeros in the first.
    pub previous: [u8; 32],
    /// First second in which it is valid, since 1970-01-01T00:00:00Z.
    pub not_before: u64,
    /// Last second in which it is valid.
    pub not_after: u64,
    /// The base and what changes it.
    pub segments: Vec<SegmentEntry>,
}

/// A manifest whose signature has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    claims: ManifestDraft,
    hash: [u8; 32],
    signed: Vec<u8>,
}

/// A manifest whose signature hasn't been verified yet.
#[derive(Debug, Clone)]
#[must_use]
pub struct SignedManifest {
    claims: ManifestDraft,
    body: Vec<u8>,
    signature: [u8; SIGNATURE],
}

/// Signs manifests. Isn't the evaluation key, and may lie elsewhere.
///
/// # Security
///
/// Whoever holds it can publish a set of their own making. Wiped on drop, redacted, never cloned.
pub struct SnapshotKey(SigningKey);

/// What manifests are verified with: built into the app.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotPublicKey(VerifyingKey);

/// Thirty-two bytes that aren't a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key for manifests")]
pub struct BadSnapshotKey;

impl ManifestDraft {
    /// Most bytes that an encoded manifest has.
    pub const MAX_ENCODED: usize = 512 + MAX_SEGMENTS * ENTRY;

    /// The number of the set that is published now.
    #[must_use]
    pub fn newest(&self) -> u64 {
        let sets = self.segments.iter().map(|entry| entry.to);
        sets.max().unwrap_or(0)
    }

    /// How many members that set has.
    #[must_use]
    pub fn members(&self) -> u64 {
        let path = cheapest_path(&self.segments, self.newest(), |_| 1).unwrap_or_default();
        path.iter().fold(0, |members: u64, entry| {
            members
                .saturating_sub(entry.deletes)
                .saturating_add(entry.count)
        })
    }

    fn check(&self) -> Result<(), ManifestError> {
        let bad = |field| Err(ManifestError::BadField(field));
        let first = self.sequence == 1;
        if self.sequence == 0 {
            return bad("sequence");
        }
        if first != (self.previous == [0; 32]) {
            return bad("previous");
        }
        if self.not_after < self.not_before {
            return bad("not_after");
        }
        if self.segments.is_empty() || self.segments.len() > MAX_SEGMENTS {
            return bad("segments");
        }
        // The base comes first and is the only one.
        let kinds = self.segments.iter().map(|entry| entry.kind);
        if !kinds
            .enumerate()
            .all(|(at, kind)| (at == 0) == (kind == Kind::Base))
        {
            return bad("segments");
        }
        let forward = |entry: &SegmentEntry| {
            (entry.kind == Kind::Base) == (entry.from == 0)
                && entry.from < entry.to
                && entry.to <= self.sequence
        };
        // A segment is known by its id, so no other one may have it.
        let repeated = |(at, entry): (usize, &SegmentEntry)| {
            let mut before = self.segments.iter().take(at);
            before.any(|other| other.id == entry.id)
        };
        if self.segments.iter().enumerate().any(repeated) {
            return bad("segments");
        }
        // Whoever has nothing gets to the newest set.
        let reached = cheapest_path(&self.segments, self.newest(), |_| 1).is_some();
        if !self.segments.iter().all(forward) || !reached {
            return bad("segments");
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let name = self.service.as_str().as_bytes();
        let mut out = Vec::with_capacity(Self::MAX_ENCODED);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, SUITE]);
        out.extend_from_slice(&self.normalisation.to_be_bytes());
        out.extend_from_slice(&[self.label_length.get(), name.len() as u8]);
        out.extend_from_slice(name);
        out.extend_from_slice(&self.epoch.get().to_be_bytes());
        out.extend_from_slice(&self.public_key.encode());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.not_before.to_be_bytes());
        out.extend_from_slice(&self.not_after.to_be_bytes());
        out.push(self.segments.len() as u8);
        for entry in &self.segments {
            out.push(entry.kind as u8);
            out.extend_from_slice(&entry.id);
            for number in [entry.size, entry.count, entry.deletes, entry.from, entry.to] {
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        out
    }

    fn decode(body: &[u8]) -> Result<Self, ManifestError> {
        let bad = ManifestError::BadField;
        let mut rest = body;
        if array(&mut rest) != Ok(MAGIC) {
            return Err(ManifestError::NotAManifest);
        }
        if array(&mut rest)? != [VERSION, SUITE] {
            return Err(ManifestError::Unknown);
        }
        let normalisation = u16::from_be_bytes(array(&mut rest)?);
        let [label_length, name_length] = array(&mut rest)?;
        let (name, behind) = rest
            .split_at_checked(usize::from(name_length))
            .ok_or(ManifestError::Length)?;
        rest = behind;
        let service = core::str::from_utf8(name)
            .ok()
            .and_then(|name| ServiceId::new(name).ok())
            .ok_or(bad("service"))?;
        let epoch = Epoch::new(number(&mut rest)?);
        let public_key: Encoding = array(&mut rest)?;
        let mut draft = Self {
            service,
            normalisation,
            label_length: LabelLength::new(label_length).map_err(|_| bad("label_length"))?,
            epoch,
            public_key: PublicKey::decode(&public_key).map_err(|_| bad("public_key"))?,
            sequence: number(&mut rest)?,
            previous: array(&mut rest)?,
            not_before: number(&mut rest)?,
            not_after: number(&mut rest)?,
            segments: Vec::new(),
        };
        let [segments] = array(&mut rest)?;
        let segments = usize::from(segments);
        if segments > MAX_SEGMENTS {
            return Err(bad("segments"));
        }
        if rest.len() != segments * ENTRY {
            return Err(ManifestError::Length);
        }
        for _ in 0..segments {
            let [kind] = array(&mut rest)?;
            draft.segments.push(SegmentEntry {
                kind: Kind::decode(kind).ok_or(ManifestError::Unknown)?,
                id: array(&mut rest)?,
                size: number(&mut rest)?,
                count: number(&mut rest)?,
                deletes: number(&mut rest)?,
                from: number(&mut rest)?,
                to: number(&mut rest)?,
            });
        }
        draft.check()?;
        Ok(draft)
    }
}

/// Bytes of a segment's entry.
const ENTRY: usize = 1 + 32 + 5 * 8;

impl SignedManifest {
    /// Takes the bytes of a manifest, whose signature is still to be verified.
    ///
    /// # Errors
    ///
    /// See [`ManifestError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(ManifestError::NotAManifest);
        }
        let (body, signature) = bytes
            .split_last_chunk::<SIGNATURE>()
            .ok_or(ManifestError::Length)?;
        Ok(Self {
            claims: ManifestDraft::decode(body)?,
            body: body.to_vec(),
            signature: *signature,
        })
    }

    /// Verifies the signature.
    ///
    /// # Errors
    ///
    /// It isn't one of this key over these bytes.
    pub fn verify(self, key: &SnapshotPublicKey) -> Result<Manifest, BadSignature> {
        let signature = Signature::from_bytes(&self.signature);
        key.0
            .verify_strict(&[SIGNED_PREFIX, &self.body].concat(), &signature)
            .map_err(|_| BadSignature)?;
        Ok(Manifest {
            hash: self.hash(),
            claims: self.claims,
            signed: [&self.body[..], &signature.to_bytes()].concat(),
        })
    }

    /// [`Manifest::hash`], whoever signed it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.body).into()
    }

    /// What it says, whoever signed it: to be shown to people, not to be relied on.
    #[must_use]
    pub fn unverified_claims(&self) -> &ManifestDraft {
        &self.claims
    }
}

impl Manifest {
    /// What the publisher says.
    #[must_use]
    pub fn claims(&self) -> &ManifestDraft {
        &self.claims
    }

    /// What the next manifest refers to as the previous one.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Its bytes with their signature, for whoever is to verify them again.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// The segment that the others change.
    ///
    /// # Panics
    ///
    /// Never: a manifest without a base isn't decoded.
    #[must_use]
    pub fn base(&self) -> &SegmentEntry {
        self.claims
            .segments
            .first()
            .unwrap_or_else(|| unreachable!("a manifest without a base isn't decoded"))
    }
}

impl SnapshotKey {
    /// Draws a new key.
    pub fn random<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self::from_seed(&mut seed)
    }

    /// Takes a key that [`expose`](Self::expose) showed; the caller's copy is wiped.
    pub fn from_seed(seed: &mut [u8; 32]) -> Self {
        let key = Self(SigningKey::from_bytes(seed));
        seed.zeroize();
        key
    }

    /// Shows the key, for sealing it.
    pub fn expose(&self) -> SecretBytes<32> {
        SecretBytes::new(&mut self.0.to_bytes())
    }

    /// A secret of its own for a purpose beside signing, which says nothing of the key.
    #[cfg(all(feature = "server", feature = "std"))]
    pub(crate) fn derive(&self, purpose: &[u8]) -> SecretBytes<32> {
        let mut hash = Sha512::new_with_prefix(b"blindbook-v1-snapshot-secret");
        hash.update(self.expose().expose());
        hash.update(purpose);
        let hash = Zeroizing::new(<[u8; 64]>::from(hash.finalize()));
        let mut secret = [0; 32];
        secret.copy_from_slice(hash.split_at(32).0);
        SecretBytes::new(&mut secret)
    }

    /// Signs something that isn't a manifest. No prefix may begin like another one.
    #[cfg(feature = "server")]
    pub(crate) fn sign_statement(&self, prefix: &[u8], statement: &[u8]) -> [u8; SIGNATURE] {
        self.0.sign(&[prefix, statement].concat()).to_bytes()
    }

    /// What clients verify with.
    #[must_use]
    pub fn public_key(&self) -> SnapshotPublicKey {
        SnapshotPublicKey(self.0.verifying_key())
    }

    /// The bytes of the signed manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError::BadField`] for a draft that no client would take.
    pub fn sign(&self, draft: &ManifestDraft) -> Result<Vec<u8>, ManifestError> {
        draft.check()?;
        let mut bytes = draft.encode();
        let signature = self.0.sign(&[SIGNED_PREFIX, &bytes].concat());
        bytes.extend_from_slice(&signature.to_bytes());
        Ok(bytes)
    }
}

impl fmt::Debug for SnapshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotKey(<redacted>)")
    }
}

impl SnapshotPublicKey {
    /// Checks and takes an encoding (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    ///
    /// Not a point, or one of small order, under which anything could be signed.
    pub fn decode(encoding: &[u8; 32]) -> Result<Self, BadSnapshotKey> {
        VerifyingKey::from_bytes(encoding)
            .ok()
            .filter(|key| !key.is_weak())
            .map(Self)
            .ok_or(BadSnapshotKey)
    }

    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether the key has signed something that isn't a manifest.
    #[cfg(feature = "server")]
    pub(crate) fn has_signed(
        &self,
        prefix: &[u8],
        statement: &[u8],
        signature: &[u8; SIGNATURE],
    ) -> bool {
        let signature = Signature::from_bytes(signature);
        let signed = [prefix, statement].concat();
        self.0.verify_strict(&signed, &signature).is_ok()
    }
}

impl fmt::Debug for SnapshotPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotPublicKey(")?;
        for byte in self.encode() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ManifestError> {
    let (taken, left) = rest.split_first_chunk().ok_or(ManifestError::Length)?;
    *rest = left;
    Ok(*taken)
}

fn number(rest: &mut &[u8]) -> Result<u64, ManifestError> {
    array(rest).map(u64::from_be_bytes)
}
