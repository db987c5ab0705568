//! A request from when it is made until its answer has been verified, also if the client ends in between.

use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::Fingerprint;
use crate::{
    client::{ExpectEvaluation, OprfClient},
    oprf::{BlindedElements, Encoding, Epoch},
    wire::{EvaluateRequest, Message},
};

/// For how many seconds a request is sent again: an hour less than the service answers it without charging again.
const KEPT: u64 = 23 * 3_600;

/// A request made, its answer awaited. Consumed by [`SyncState::finish`](super::SyncState::finish).
#[must_use]
#[derive(Debug)]
pub struct ExpectAnswer {
    pub(super) epoch: Epoch,
    pub(super) prints: Vec<Fingerprint>,
    pub(super) expect: ExpectEvaluation,
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

/// What is kept of a request of this epoch that may have been paid.
pub(super) struct Unanswered {
    /// In seconds since 1970-01-01T00:00:00Z.
    pub(super) made: u64,
    pub(super) prints: Vec<Fingerprint>,
    /// As many as there are contacts in it.
    pub(super) blinds: Zeroizing<Vec<u8>>,
    pub(super) request: BlindedElements,
}

impl Unanswered {
    pub(super) fn new(expect: &ExpectAnswer, now: u64) -> Self {
        Self {
            made: now,
            prints: expect.prints.clone(),
            blinds: expect.expect.blinds(),
            request: expect.expect.request().clone(),
        }
    }

    /// The same request again, if it isn't too old to be answered for nothing.
    pub(super) fn resume(
        &self,
        client: &OprfClient,
        epoch: Epoch,
        now: u64,
    ) -> Option<ExpectAnswer> {
        if now.saturating_sub(self.made) > KEPT {
            return None;
        }
        let blinds: &[Encoding] = self.blinds.as_chunks().0;
        Some(ExpectAnswer {
            epoch,
            prints: self.prints.clone(),
            expect: ExpectEvaluation::resume(client, blinds, &self.request)?,
        })
    }

    pub(super) fn is_of(&self, expect: &ExpectAnswer) -> bool {
        self.request.encodings() == expect.expect.request().encodings()
    }
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered")
            .field("elements", &self.request.len())
            .finish_non_exhaustive()
    }
}
