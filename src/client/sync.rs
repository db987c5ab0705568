//! What a client keeps between two looks at the service, and how it gets there.
//!
//! Part of the client role (layer 4): no I/O, no clock. An app does this, with a transport of its own:
//!
//! ```text
//! SyncState::new / decode
//!    | follow(verified manifest)             refuses rollback, forks, another key
//!    | retain(identifiers)                   forgets contacts that are gone
//!    | next_request(identifiers) --message-->          only what wasn't evaluated before
//!    |    ^                                  |
//!    |    '--- finish(answer) <--answer------'         verified before anything is kept
//!    | choose_part(manifest, identifiers)    if the set isn't to be read whole
//!    | find(segment, identifiers) -> matches
//! encode
//! ```

mod state;

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::{
    blind::{BlindError, ExpectEvaluation, OprfClient},
    finalize::FinalizeError,
    identifier::{Identifier, NormalisationProfile},
    padding,
    partial::Chosen,
};
use crate::{
    oprf::{Epoch, ServiceId, UnblindedElement},
    secret::SecretBytes,
    snapshot::{Advance, ChainError, ChainState, Manifest},
    wire::{DecodeError, EvaluateRequest, EvaluateResponse, Message},
};

pub use state::StateError;

/// Sixteen bytes that stand for an identifier in a state; they mean nothing without its salt.
type Fingerprint = [u8; 16];

/// What a client keeps: where it stands in the chain of manifests, and the unblinded element of every
/// contact that was evaluated in this epoch.
///
/// # Security
///
/// Whoever has the encoded state can tell which identifiers are in it by trying them, and can find their
/// owners in the published set. An app keeps it where it keeps the address book.
pub struct SyncState {
    service: [u8; 32],
    salt: SecretBytes<32>,
    chain: Option<ChainState>,
    client: Option<OprfClient>,
    known: BTreeMap<Fingerprint, UnblindedElement>,
    /// What is fetched of the set in this epoch, if it isn't read whole.
    pub(super) part: Option<Chosen>,
}

/// A step of a sync that failed. The state is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The caller is to blame: no manifest was followed yet.
    #[error("no manifest has been followed yet")]
    NoManifest,
    /// The manifest is for another service than the state.
    #[error("the manifest is for another service")]
    OtherService,
    /// The manifest doesn't continue what this client has seen.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A private input can't be blinded.
    #[error(transparent)]
    Blind(#[from] BlindError),
    /// The server is to blame: its answer is no message.
    #[error("the answer can't be read: {0}")]
    Decode(#[from] DecodeError),
    /// The server is to blame: its answer isn't the evaluation that was asked for.
    #[error(transparent)]
    Finalize(#[from] FinalizeError),
}

/// What following a manifest meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Followed {
    /// Whether manifests between the last one and this one were missed.
    pub advance: Advance,
    /// Contacts that have to be evaluated again, because the key was rotated.
    pub forgotten: usize,
    /// The rules by which the service's registrars normalise, if they aren't ours: contacts whose spelling
    /// the two treat differently are missed. An update of the app is due.
    pub other_normalisation: Option<NormalisationProfile>,
}

impl SyncState {
    /// An empty state for one service.
    pub fn new<R: CryptoRng + ?Sized>(service: &ServiceId, rng: &mut R) -> Self {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        Self {
            service: service.hash(),
            salt: SecretBytes::new(&mut salt),
            chain: None,
            client: None,
            known: BTreeMap::new(),
            part: None,
        }
    }

    /// Where this client stands in the chain of manifests, once it has followed one.
    #[must_use]
    pub fn chain(&self) -> Option<&ChainState> {
        self.chain.as_ref()
    }

    /// How many contacts have been evaluated in this epoch.
    #[must_use]
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// Takes the next manifest; from now on requests are for its epoch and verified against its key.
    ///
    /// `now` is in seconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// [`SyncError::OtherService`], or [`SyncError::Chain`] for a manifest that is older than one seen
    /// before, contradicts it, changes the key within an epoch, or isn't valid now.
    pub fn follow(&mut self, manifest: &Manifest, now: u64) -> Result<Followed, SyncError> {
        let claims = manifest.claims();
        if claims.service.hash() != self.service {
            return Err(SyncError::OtherService);
        }
        let (next, advance) = match &self.chain {
            None => (ChainState::start(manifest, now)?, Advance::Next),
            Some(chain) => chain.advance(manifest, now)?,
        };
        let rotated = self
            .chain
            .as_ref()
            .is_some_and(|chain| chain.epoch() != next.epoch());
        let forgotten = if rotated { self.known.len() } else { 0 };
        if rotated {
            self.known.clear();
            self.part = None;
        }
        if rotated || self.client.is_none() {
            self.client = Some(OprfClient::new(next.public_key().clone()));
        }
        self.chain = Some(next);
        let profile = NormalisationProfile::from_id(claims.normalisation);
        Ok(Followed {
            advance,
            forgotten,
            other_normalisation: Some(profile)
                .filter(|profile| *profile != NormalisationProfile::CURRENT),
        })
    }

    /// Forgets every contact that isn't among `identifiers`; returns how many that were.
    pub fn retain(&mut self, identifiers: &[Identifier]) -> usize {
        let before = self.known.len();
        let mut kept = BTreeMap::new();
        for identifier in identifiers {
            if let Some((print, element)) = self.known.remove_entry(&self.fingerprint(identifier)) {
                kept.insert(print, element);
            }
        }
        self.known = kept;
        before - self.known.len()
    }

    /// How many of `identifiers` haven't been evaluated in this epoch.
    #[must_use]
    pub fn pending(&self, identifiers: &[Identifier]) -> usize {
        self.unknown(identifiers).count()
    }

    /// Makes the next request, or `None` if nothing is pending or `budget` doesn't pay the smallest one.
    ///
    /// A request has 16, 64, 256 or 1,024 elements, filled up with random ones, so that its length doesn't
    /// tell the size of the address book. It costs its length in quota: `budget` is what may be spent at
    /// most, for example what the service's last answer said is left.
    ///
    /// # Errors
    ///
    /// [`SyncError::NoManifest`] before the first [`follow`](Self::follow).
    pub fn next_request<R: CryptoRng + ?Sized>(
        &self,
        identifiers: &[Identifier],
        budget: usize,
        rng: &mut R,
    ) -> Result<Option<ExpectAnswer>, SyncError> {
        let (Some(chain), Some(client)) = (&self.chain, &self.client) else {
            return Err(SyncError::NoManifest);
        };
        let Some((class, count)) = padding::choose(self.pending(identifiers), budget) else {
            return Ok(None);
        };
        let (prints, inputs): (Vec<Fingerprint>, Vec<&[u8]>) = self
            .unknown(identifiers)
            .take(count)
            .map(|(print, identifier)| (print, identifier.as_input()))
            .unzip();
        let expect = client.blind(&inputs, class - count, rng)?;
        Ok(Some(ExpectAnswer {
            epoch: chain.epoch(),
            prints,
            expect,
        }))
    }

    /// Verifies an answer and keeps what it says; returns how many contacts were evaluated by it.
    ///
    /// # Errors
    ///
    /// The answer isn't the one that was asked for; nothing of it is kept.
    pub fn finish(&mut self, expect: ExpectAnswer, answer: &[u8]) -> Result<usize, SyncError> {
        let response = EvaluateResponse::decode(answer)?;
        if response.epoch != expect.epoch || self.epoch() != Some(expect.epoch) {
            return Err(FinalizeError.into());
        }
        let unblinded = expect
            .expect
            .finalize(&response.evaluated, &response.proof)?;
        let count = unblinded.len();
        self.known.extend(expect.prints.into_iter().zip(unblinded));
        Ok(count)
    }

    /// The unblinded element of an identifier, if it has been evaluated in this epoch.
    pub(super) fn unblinded(&self, identifier: &Identifier) -> Option<&UnblindedElement> {
        self.known.get(&self.fingerprint(identifier))
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.chain.as_ref().map(ChainState::epoch)
    }

    pub(super) fn service_hash(&self) -> &[u8; 32] {
        &self.service
    }

    fn unknown<'a>(
        &self,
        identifiers: &'a [Identifier],
    ) -> impl Iterator<Item = (Fingerprint, &'a Identifier)> {
        identifiers
            .iter()
            .map(|identifier| (self.fingerprint(identifier), identifier))
            .filter(|(print, _)| !self.known.contains_key(print))
    }

    fn fingerprint(&self, identifier: &Identifier) -> Fingerprint {
        let mut hash = Sha256::new_with_prefix(b"blindbook-v1-sync-fingerprint");
        hash.update(self.salt.expose());
        hash.update(identifier.as_input());
        let digest: [u8; 32] = hash.finalize().into();
        let mut print = [0; 16];
        print.copy_from_slice(digest.split_at(16).0);
        print
    }
}

impl fmt::Debug for SyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncState")
            .field("chain", &self.chain)
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

/// A request made, its answer awaited. Consumed by [`SyncState::finish`].
#[must_use]
#[derive(Debug)]
pub struct ExpectAnswer {
    epoch: Epoch,
    prints: Vec<Fingerprint>,
    expect: ExpectEvaluation,
}

impl ExpectAnswer {
    /// The message to send. If it's open whether it arrived, send the same bytes again: within 24 hours
    /// they are answered again and not charged again.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        EvaluateRequest {
            epoch: self.epoch,
            blinded: self.expect.request().clone(),
        }
        .encode()
    }

    /// What the request costs, in elements: 16, 64, 256 or 1,024.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.expect.request().len()
    }

    /// How many contacts are in it.
    #[must_use]
    pub fn contacts(&self) -> usize {
        self.prints.len()
    }
}
