//! What a client does when the key was rotated: results of the old epoch become results of the new one.

use alloc::{collections::BTreeMap, vec::Vec};

use rand_core::CryptoRng;

use super::{Fingerprint, Known, SyncError, SyncState, request::Unanswered};
use crate::{
    client::{ExpectCarryOver, FinalizeError, padding},
    oprf::{Epoch, PublicKey, UnblindedElement},
    wire::{CarryOverRequest, CarryOverResponse, Message},
};

/// What is known of the epoch before and not of this one.
pub(super) struct Old {
    pub(super) epoch: Epoch,
    pub(super) public_key: PublicKey,
    pub(super) known: BTreeMap<Fingerprint, Known>,
    /// A carry-over that may have been paid and wasn't answered.
    pub(super) request: Option<Unanswered>,
}

/// A carry-over asked for, its answer awaited. Consumed by [`SyncState::finish_carry_over`].
#[must_use]
#[derive(Debug)]
pub struct ExpectCarriedOver {
    from: Epoch,
    to: Epoch,
    prints: Vec<Fingerprint>,
    expect: ExpectCarryOver,
}

impl ExpectCarriedOver {
    /// The message to send. If it's open whether it arrived, send the same bytes again: within 24 hours they are answered
    /// again and taken off what can be carried over once.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        CarryOverRequest {
            from: self.from,
            to: self.to,
            blinded: self.expect.request().clone(),
        }
        .encode()
    }

    /// What is taken off what the account can carry over, in elements: 16, 64, 256 or 1,024.
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

impl SyncState {
    /// How many contacts were evaluated in the epoch before and can be carried over to this one.
    #[must_use]
    pub fn to_carry_over(&self) -> usize {
        self.old.as_ref().map_or(0, |old| old.known.len())
    }

    /// Makes the next request that carries contacts over from the epoch before, or `None` if there are none, or `budget`
    /// isn't enough for the smallest one. It costs no quota. If the last one wasn't answered in the 23 hours before `now`,
    /// it's that one again.
    ///
    /// Its length is one of those that a request for an evaluation has. An account can carry over as many elements as it
    /// had evaluated in the old epoch, padding included: `budget` is what is left of them, if the service has told it, and
    /// whoever has paid for all contacts in the state has enough.
    ///
    /// Store the state before the request is sent. If the service won't answer, tell it with
    /// [`carry_over_refused`](Self::carry_over_refused); if it carries nothing over, with
    /// [`forget_old`](Self::forget_old). `now` is in seconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// [`SyncError::NoManifest`] before the first [`follow`](Self::follow).
    pub fn next_carry_over<R: CryptoRng + ?Sized>(
        &mut self,
        budget: usize,
        now: u64,
        rng: &mut R,
    ) -> Result<Option<ExpectCarriedOver>, SyncError> {
        let (Some(chain), Some(client)) = (&self.chain, &self.client) else {
            return Err(SyncError::NoManifest);
        };
        let Some(old) = &mut self.old else {
            return Ok(None);
        };
        let (from, to) = (old.epoch, chain.epoch());
        if let Some(request) = old.request.take().filter(|request| request.is_fresh(now)) {
            let (before, after) = (&old.public_key, chain.public_key());
            let expect = ExpectCarryOver::resume(before, after, request.blinds(), &request.request);
            if let Some(expect) = expect {
                let prints = request.prints.clone();
                old.request = Some(request);
                return Ok(Some(ExpectCarriedOver {
                    from,
                    to,
                    prints,
                    expect,
                }));
            }
        }
        let Some((class, count)) = padding::choose(old.known.len(), budget) else {
            return Ok(None);
        };
        let (prints, results): (Vec<Fingerprint>, Vec<&UnblindedElement>) = old
            .known
            .iter()
            .take(count)
            .map(|(print, known)| (*print, &known.unblinded))
            .unzip();
        let expect = client
            .blind_results(&old.public_key, &results, class - count, rng)
            .map_err(|error| SyncError::Blind(error.into()))?;
        let (blinds, request) = (expect.blinds(), expect.request());
        old.request = Some(Unanswered::new(to, now, &prints, blinds, request));
        Ok(Some(ExpectCarriedOver {
            from,
            to,
            prints,
            expect,
        }))
    }

    /// Verifies an answer and keeps what it says; returns how many contacts were carried over by it.
    ///
    /// # Errors
    ///
    /// The answer isn't the one that was asked for; nothing of it is kept.
    pub fn finish_carry_over(
        &mut self,
        expect: ExpectCarriedOver,
        answer: &[u8],
    ) -> Result<usize, SyncError> {
        let response = CarryOverResponse::decode(answer)?;
        let epochs = (expect.from, expect.to);
        let ours = self.old.as_ref().map(|old| old.epoch).zip(self.epoch());
        let Some(old) = self.old.as_mut().filter(|_| ours == Some(epochs)) else {
            return Err(FinalizeError.into());
        };
        if (response.from, response.to) != epochs {
            return Err(FinalizeError.into());
        }
        let sent = expect.expect.request().clone();
        let carried =
            expect
                .expect
                .finalize(&response.delta_key, &response.carried, &response.proof)?;
        old.request.take_if(|request| request.is(&sent));
        let mut count = 0;
        for (print, unblinded) in expect.prints.into_iter().zip(carried) {
            // One that was forgotten since isn't wanted any more.
            if let Some(known) = old.known.remove(&print) {
                let absent_since = known.absent_since;
                self.known.insert(
                    print,
                    Known {
                        unblinded,
                        absent_since,
                    },
                );
                count += 1;
            }
        }
        self.drop_old_if_done();
        Ok(count)
    }

    /// Takes a request back that the service refused: nothing was taken for it, and the next one may be a smaller one.
    pub fn carry_over_refused(&mut self, expect: ExpectCarriedOver) {
        if let Some(old) = &mut self.old {
            old.request
                .take_if(|request| request.is(expect.expect.request()));
        }
    }

    /// Forgets what can't be carried over; returns how many contacts have to be evaluated again.
    pub fn forget_old(&mut self) -> usize {
        let forgotten = self.to_carry_over();
        let epoch = self.epoch();
        self.request.take_if(|request| Some(request.epoch) != epoch);
        self.old = None;
        forgotten
    }

    /// Goes over to a later epoch; returns how many contacts have to be evaluated again.
    pub(super) fn rotate(&mut self, next: Epoch) -> usize {
        let Some(chain) = &self.chain else { return 0 };
        let (epoch, public_key) = (chain.epoch(), chain.public_key().clone());
        let forgotten = self.forget_old();
        let known = core::mem::take(&mut self.known);
        if epoch.next() != Some(next) {
            // Nobody carries over two rotations at once.
            self.request = None;
            return forgotten + known.len();
        }
        self.old = Some(Old {
            epoch,
            public_key,
            known,
            request: None,
        });
        self.drop_old_if_done();
        forgotten
    }

    /// Whether results of the epoch before are still to come or to be carried over.
    fn drop_old_if_done(&mut self) {
        let request = self.request.as_ref().map(|request| request.epoch);
        self.old
            .take_if(|old| old.known.is_empty() && request != Some(old.epoch));
    }
}
