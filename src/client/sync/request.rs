//! A request from when it is made until its answer has been verified, also if the client ends in between.

use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::Fingerprint;
use crate::{
    client::{ExpectEvaluation, OprfClient},
    group::{ENCODED_LENGTH, Scalar},
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

    pub(super) fn unanswered(&self, now: u64) -> Unanswered {
        let Self {
            epoch,
            prints,
            expect,
        } = self;
        Unanswered::new(*epoch, now, prints, expect.blinds(), expect.request())
    }
}

/// What is kept of a request that may have been paid.
pub(super) struct Unanswered {
    /// The epoch that results are in.
    pub(super) epoch: Epoch,
    /// In seconds since 1970-01-01T00:00:00Z.
    pub(super) made: u64,
    pub(super) prints: Vec<Fingerprint>,
    /// As many as there are contacts in it.
    pub(super) blinds: Zeroizing<Vec<u8>>,
    pub(super) request: BlindedElements,
}

impl Unanswered {
    pub(super) fn new(
        epoch: Epoch,
        now: u64,
        prints: &[Fingerprint],
        blinds: &[Scalar],
        request: &BlindedElements,
    ) -> Self {
        // Of the final size at once: a vector that grows leaves copies of secrets behind.
        let mut encoded = Zeroizing::new(Vec::with_capacity(blinds.len() * ENCODED_LENGTH));
        for blind in blinds {
            encoded.extend_from_slice(&*Zeroizing::new(blind.encode()));
        }
        Self {
            epoch,
            made: now,
            prints: prints.to_vec(),
            blinds: encoded,
            request: request.clone(),
        }
    }

    /// Whether it isn't too old to be answered for nothing.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.made) <= KEPT
    }

    pub(super) fn blinds(&self) -> &[Encoding] {
        self.blinds.as_chunks().0
    }

    /// The same request for an evaluation again, if it isn't too old.
    pub(super) fn resume(&self, client: &OprfClient, now: u64) -> Option<ExpectAnswer> {
        if !self.is_fresh(now) {
            return None;
        }
        Some(ExpectAnswer {
            epoch: self.epoch,
            prints: self.prints.clone(),
            expect: ExpectEvaluation::resume(client, self.blinds(), &self.request)?,
        })
    }

    pub(super) fn is(&self, request: &BlindedElements) -> bool {
        self.request.encodings() == request.encodings()
    }
}

impl fmt::Debug for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unanswered")
            .field("elements", &self.request.len())
            .finish_non_exhaustive()
    }
}
