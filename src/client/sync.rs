//! What a client keeps between two looks at the service, and how it gets there.
//!
//! Part of the client role (layer 4): no I/O, no clock. An app does this, with a transport of its own:
//!
//! ```text
//! SyncState::new / decode
//!    | follow(verified manifest)             refuses rollback, forks, another key
//!    | retain(identifiers)                   forgets contacts that are gone for long
//!    | next_carry_over, finish_carry_over    after a rotation: what was paid for isn't paid again
//!    | next_request(identifiers) --message-->          only what wasn't evaluated before
//!    |    ^                                  |
//!    |    '--- finish(answer) <--answer------'         verified before anything is kept
//!    | choose_part(manifest, identifiers)    if the set isn't to be read whole
//!    | find(segment, identifiers) -> matches
//! encode
//! ```

mod carry_over;
mod request;
mod state;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::fmt;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::{
    blind::{BlindError, OprfClient},
    finalize::FinalizeError,
    identifier::{Identifier, NormalisationProfile},
    padding,
    partial::Chosen,
};
use crate::{
    oprf::{Epoch, ServiceId, UnblindedElement},
    secret::SecretBytes,
    snapshot::{Advance, ChainError, ChainState, Manifest},
    wire::{DecodeError, EvaluateResponse, Message},
};

pub use self::{carry_over::ExpectCarriedOver, request::ExpectAnswer, state::StateError};
use self::{carry_over::Old, request::Unanswered};

/// For how many days a contact that isn't in the address book any more stays known. It was paid for, and may be missing
/// because of another file, a wrong region or an export that broke off.
const KEPT_DAYS: u32 = 30;

/// Sixteen bytes that stand for an identifier in a state; they mean nothing without its salt.
type Fingerprint = [u8; 16];

/// What a client keeps: where it stands in the chain of manifests, the unblinded element of every contact that was
/// evaluated in this epoch or is to be carried over to it, a request that may have been paid, and which part of the set it
/// reads.
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
    known: BTreeMap<Fingerprint, Known>,
    /// What is to be carried over from the epoch before.
    old: Option<Old>,
    /// What may have been paid and wasn't answered.
    request: Option<Unanswered>,
    /// What is fetched of the set in this epoch, if it isn't read whole.
    pub(super) part: Option<Chosen>,
}

/// What was learned about a contact.
struct Known {
    unblinded: UnblindedElement,
    /// The day since 1970-01-01 on which it was missing from the address book for the first time; 0 if it's there.
    absent_since: u32,
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
    /// Contacts that have to be evaluated again, because the key was rotated and they can't be carried over.
    pub forgotten: usize,
    /// Contacts that can be [carried over](SyncState::next_carry_over), because the key was rotated once.
    pub to_carry_over: usize,
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
            old: None,
            request: None,
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
        let forgotten = if rotated {
            self.part = None;
            self.rotate(next.epoch())
        } else {
            0
        };
        if rotated || self.client.is_none() {
            self.client = Some(OprfClient::new(next.public_key().clone()));
        }
        self.chain = Some(next);
        let profile = NormalisationProfile::from_id(claims.normalisation);
        Ok(Followed {
            advance,
            forgotten,
            to_carry_over: self.to_carry_over(),
            other_normalisation: Some(profile)
                .filter(|profile| *profile != NormalisationProfile::CURRENT),
        })
    }

    /// Forgets every contact that hasn't been among the `identifiers` of any call for 30 days; returns how many
    /// that were.
    ///
    /// A contact that is forgotten and comes back has to be paid for again. `now` is in seconds since
    /// 1970-01-01T00:00:00Z.
    pub fn retain(&mut self, identifiers: &[Identifier], now: u64) -> usize {
        let today = u32::try_from(now / 86_400).unwrap_or(u32::MAX).max(1);
        let there: BTreeSet<Fingerprint> = identifiers
            .iter()
            .map(|identifier| self.fingerprint(identifier))
            .collect();
        let before = self.known.len() + self.to_carry_over();
        let keep = |print: &Fingerprint, known: &mut Known| {
            known.absent_since = match known.absent_since {
                _ if there.contains(print) => 0,
                0 => today,
                // Not later than now, whatever the clock said.
                since => since.min(today),
            };
            known.absent_since == 0 || today - known.absent_since < KEPT_DAYS
        };
        self.known.retain(keep);
        if let Some(old) = &mut self.old {
            old.known.retain(keep);
        }
        before - self.known.len() - self.to_carry_over()
    }

    /// How many of `identifiers` haven't been evaluated in this epoch, or carried over to it.
    #[must_use]
    pub fn pending(&self, identifiers: &[Identifier]) -> usize {
        let pending = |identifier: &&Identifier| self.unblinded(identifier).is_none();
        identifiers.iter().filter(pending).count()
    }

    /// Makes the next request, or `None` if nothing is pending or `budget` doesn't pay the smallest one. If the last
    /// one wasn't answered in the 23 hours before `now`, it's that one again, whatever it cost: it may have been paid,
    /// and isn't charged again. That holds over one rotation, too.
    ///
    /// What can be [carried over](Self::next_carry_over) isn't asked for: that is paid already.
    ///
    /// Store the state before the request is sent, and tell it with [`refused`](Self::refused) if the service won't
    /// answer. `now` is in seconds since 1970-01-01T00:00:00Z.
    ///
    /// A request has 16, 64, 256 or 1,024 elements, filled up with random ones, so that its length doesn't
    /// tell the size of the address book. It costs its length in quota: `budget` is what may be spent at
    /// most, for example what the service's last answer said is left.
    ///
    /// # Errors
    ///
    /// [`SyncError::NoManifest`] before the first [`follow`](Self::follow).
    pub fn next_request<R: CryptoRng + ?Sized>(
        &mut self,
        identifiers: &[Identifier],
        budget: usize,
        now: u64,
        rng: &mut R,
    ) -> Result<Option<ExpectAnswer>, SyncError> {
        let (Some(chain), Some(client)) = (&self.chain, &self.client) else {
            return Err(SyncError::NoManifest);
        };
        if let Some(request) = self.request.take() {
            let old = self.old.as_ref().filter(|old| old.epoch == request.epoch);
            let old = old.map(|old| OprfClient::new(old.public_key.clone()));
            if let Some(expect) = request.resume(old.as_ref().unwrap_or(client), now) {
                self.request = Some(request);
                return Ok(Some(expect));
            }
        }
        let pending = self.unknown(identifiers).count();
        let Some((class, count)) = padding::choose(pending, budget) else {
            return Ok(None);
        };
        let (prints, inputs): (Vec<Fingerprint>, Vec<&[u8]>) = self
            .unknown(identifiers)
            .take(count)
            .map(|(print, identifier)| (print, identifier.as_input()))
            .unzip();
        let expect = client.blind(&inputs, class - count, rng)?;
        let expect = ExpectAnswer {
            epoch: chain.epoch(),
            prints,
            expect,
        };
        self.request = Some(expect.unanswered(now));
        Ok(Some(expect))
    }

    /// Takes a request back that the service refused: it wasn't charged, and the next one may be a smaller one.
    pub fn refused(&mut self, expect: ExpectAnswer) {
        self.request
            .take_if(|request| request.is(expect.expect.request()));
    }

    /// Verifies an answer and keeps what it says; returns how many contacts were evaluated by it.
    ///
    /// # Errors
    ///
    /// The answer isn't the one that was asked for; nothing of it is kept.
    pub fn finish(&mut self, expect: ExpectAnswer, answer: &[u8]) -> Result<usize, SyncError> {
        let response = EvaluateResponse::decode(answer)?;
        let ours = self.epoch() == Some(expect.epoch);
        let old = self.old.as_mut().filter(|old| old.epoch == expect.epoch);
        if response.epoch != expect.epoch || !(ours || old.is_some()) {
            return Err(FinalizeError.into());
        }
        let answered = self
            .request
            .as_ref()
            .is_some_and(|request| request.is(expect.expect.request()));
        let unblinded = expect
            .expect
            .finalize(&response.evaluated, &response.proof)?;
        if answered {
            self.request = None;
        }
        let count = unblinded.len();
        let known = unblinded.into_iter().map(|unblinded| Known {
            unblinded,
            absent_since: 0,
        });
        let learned = expect.prints.into_iter().zip(known);
        match old {
            Some(old) => old.known.extend(learned),
            None => self.known.extend(learned),
        }
        Ok(count)
    }

    /// The unblinded element of an identifier, if it has been evaluated in this epoch.
    pub(super) fn unblinded(&self, identifier: &Identifier) -> Option<&UnblindedElement> {
        let known = self.known.get(&self.fingerprint(identifier))?;
        Some(&known.unblinded)
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
            .filter(|(print, _)| {
                let old = self.old.as_ref();
                !self.known.contains_key(print)
                    && !old.is_some_and(|old| old.known.contains_key(print))
            })
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
            .field("to_carry_over", &self.to_carry_over())
            .finish_non_exhaustive()
    }
}
