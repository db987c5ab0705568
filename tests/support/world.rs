//! A server role that publishes, and a phone that talks to it.

#![allow(
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "shared by several tests"
)]

use blindbook::{
    client::{Identifier, SyncState},
    label::{Label, LabelLength},
    oprf::{ContactKey, Tag, UnblindedElement},
    server::{EvaluationKey, Evaluator},
    snapshot::{Manifest, ManifestDraft, SegmentBuilder, SignedManifest},
    wire::{EvaluateRequest, EvaluateResponse, Message},
};
use rand::rngs::StdRng;

use super::{
    published::{NOW, draft, entry, key, service},
    roles::{EPOCH, Grants, random_source},
};

pub const LABELS: LabelLength = match LabelLength::new(4) {
    Ok(length) => length,
    Err(_) => panic!(),
};

pub struct World {
    pub grants: Grants,
    pub evaluator: Evaluator,
    pub rng: StdRng,
}

impl World {
    pub fn new() -> Self {
        let mut rng = random_source(1);
        Self {
            grants: Grants::new(),
            evaluator: Evaluator::new(EPOCH, EvaluationKey::random(&mut rng)),
            rng,
        }
    }

    pub fn answer(&mut self, message: &[u8]) -> Vec<u8> {
        let request = EvaluateRequest::decode(message).unwrap();
        let permit = self.grants.permit(&request.blinded);
        let evaluation = self
            .evaluator
            .blind_evaluate(permit, &request.blinded, &mut self.rng)
            .unwrap();
        EvaluateResponse {
            epoch: request.epoch,
            evaluated: evaluation.elements,
            proof: evaluation.proof,
        }
        .encode()
    }

    /// The segment of members with these numbers.
    pub fn segment(&self, members: &[Identifier]) -> Vec<u8> {
        let mut builder = SegmentBuilder::new(service().hash(), EPOCH, LABELS);
        for (tag, sealed) in self.members(members) {
            builder.add(tag, &sealed).unwrap();
        }
        builder.build().unwrap()
    }

    /// Tags and sealed labels; each one's label is the end of the number.
    pub fn members(&self, members: &[Identifier]) -> Vec<(Tag, Vec<u8>)> {
        let inputs: Vec<&[u8]> = members.iter().map(Identifier::as_input).collect();
        let permit = self
            .grants
            .permit_for(inputs.len(), blindbook::oprf::digest_inputs(&inputs));
        let elements = self.evaluator.evaluate(permit, &inputs).unwrap();
        let entry = |(element, input): (&UnblindedElement, &[u8])| {
            let key = ContactKey::derive(&service().hash(), EPOCH, element);
            let mut sealed = Vec::new();
            let label = Label::new(&input[input.len() - 4..]).unwrap();
            label.seal_into(&key, EPOCH, LABELS, &mut sealed).unwrap();
            (key.tag(), sealed)
        };
        elements.iter().zip(inputs).map(entry).collect()
    }

    pub fn draft(&self, segment: &[u8], sequence: u64, previous: [u8; 32]) -> ManifestDraft {
        ManifestDraft {
            public_key: self.evaluator.public_key().clone(),
            ..draft(sequence, previous, entry(segment), LABELS)
        }
    }

    pub fn evaluate_all(&mut self, state: &mut SyncState, contacts: &[Identifier]) -> Vec<usize> {
        let mut requests = Vec::new();
        while let Some(expect) = state
            .next_request(contacts, usize::MAX, NOW, &mut self.rng)
            .unwrap()
        {
            let message = expect.message();
            requests.push(expect.elements());
            let answer = self.answer(&message);
            state.finish(expect, &answer).unwrap();
        }
        requests
    }
}

pub fn signed(draft: &ManifestDraft) -> Manifest {
    let signed = SignedManifest::decode(&key().sign(draft).unwrap()).unwrap();
    signed.verify(&key().public_key()).unwrap()
}

pub fn numbers(range: std::ops::Range<u32>) -> Vec<Identifier> {
    range
        .map(|number| Identifier::phone_e164(&format!("+4477009{number:05}")).unwrap())
        .collect()
}
