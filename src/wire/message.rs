//! The messages themselves; their bytes are drawn in [`crate::wire`].

use alloc::vec::Vec;

use zeroize::Zeroize;

use super::{
    codec::{DecodeError, Kind, Message, Reader, put_count},
    member::{Audience, Consent, Enrolment},
};
use crate::{
    label::{Label, LabelLength},
    oprf::{
        BatchSizeError, BlindedElements, ENCODED_LENGTH, Epoch, EvaluatedElements, PROOF_LENGTH,
        Proof, UnblindedElement,
    },
    suite::MAX_BATCH,
};

/// Asks for an evaluation under the key of an epoch.
#[derive(Debug)]
pub struct EvaluateRequest {
    /// The epoch whose public key the client will verify against.
    pub epoch: Epoch,
    /// What to evaluate.
    pub blinded: BlindedElements,
}

impl Message for EvaluateRequest {
    const KIND: Kind = Kind::EvaluateRequest;

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.get().to_be_bytes());
        put_count(self.blinded.len(), out);
        out.extend_from_slice(self.blinded.encodings().as_flattened());
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch::new(reader.u64()?);
        let count = usize::from(reader.u16()?);
        reader.check_count(count, ENCODED_LENGTH, 0)?;
        Ok(Self {
            epoch,
            blinded: BlindedElements::new(reader.encodings(count)?)?,
        })
    }
}

/// An evaluation and its proof.
#[derive(Debug)]
pub struct EvaluateResponse {
    /// That of the request.
    pub epoch: Epoch,
    /// `k` times each element of the request, in order.
    pub evaluated: EvaluatedElements,
    /// That it is so.
    pub proof: Proof,
}

impl Message for EvaluateResponse {
    const KIND: Kind = Kind::EvaluateResponse;

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.get().to_be_bytes());
        put_count(self.evaluated.len(), out);
        out.extend_from_slice(self.evaluated.encodings().as_flattened());
        out.extend_from_slice(&self.proof.encode());
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch::new(reader.u64()?);
        let count = usize::from(reader.u16()?);
        reader.check_count(count, ENCODED_LENGTH, PROOF_LENGTH)?;
        Ok(Self {
            epoch,
            evaluated: EvaluatedElements::new(reader.encodings(count)?)?,
            proof: Proof::decode(&reader.array()?)?,
        })
    }
}

/// Puts members into the directory, or changes them. Idempotent.
#[derive(Debug)]
pub struct EnrolRequest {
    /// The epoch under whose key the members were evaluated.
    pub epoch: Epoch,
    /// The service's label length; no label is longer.
    pub label_length: LabelLength,
    /// 1 to 65,535 members.
    pub enrolments: Vec<Enrolment>,
}

/// Bytes of an enrolment before its label.
const ENROLMENT_PREFIX: usize = ENCODED_LENGTH + 1 + 8 + 4 + 2;

impl EnrolRequest {
    /// Checks and takes enrolments.
    ///
    /// # Errors
    ///
    /// None, more than 65,535, or a label longer than `label_length`.
    pub fn new(
        epoch: Epoch,
        label_length: LabelLength,
        enrolments: Vec<Enrolment>,
    ) -> Result<Self, DecodeError> {
        check_batch_size(enrolments.len())?;
        let longest = usize::from(label_length.get());
        if enrolments
            .iter()
            .any(|enrolment| enrolment.label.as_bytes().len() > longest)
        {
            return Err(DecodeError::BadField("label"));
        }
        Ok(Self {
            epoch,
            label_length,
            enrolments,
        })
    }
}

impl Message for EnrolRequest {
    const KIND: Kind = Kind::EnrolRequest;

    fn encode_body(&self, out: &mut Vec<u8>) {
        let label_length = usize::from(self.label_length.get());
        // Reserved at once: a vector that grows leaves copies of secrets behind.
        out.reserve_exact(11 + self.enrolments.len() * (ENROLMENT_PREFIX + label_length));
        out.extend_from_slice(&self.epoch.get().to_be_bytes());
        out.push(self.label_length.get());
        put_count(self.enrolments.len(), out);
        for enrolment in &self.enrolments {
            out.extend_from_slice(enrolment.unblinded.expose());
            let (audience, consent) = match enrolment.audience {
                Audience::Nobody => (0, None),
                Audience::Everyone(consent) => (1, Some(consent)),
            };
            out.push(audience);
            out.extend_from_slice(&consent.map_or(0, |consent| consent.at).to_be_bytes());
            out.extend_from_slice(
                &consent
                    .map_or(0, |consent| consent.text_version)
                    .to_be_bytes(),
            );
            out.extend_from_slice(&consent.map_or(0, |consent| consent.surface).to_be_bytes());
            let end = out.len() + label_length;
            out.extend_from_slice(enrolment.label.as_bytes());
            out.resize(end, 0);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch::new(reader.u64()?);
        let label_length =
            LabelLength::new(reader.u8()?).map_err(|_| DecodeError::BadField("label_length"))?;
        let count = usize::from(reader.u16()?);
        let stride = ENROLMENT_PREFIX + usize::from(label_length.get());
        reader.check_count(count, stride, 0)?;
        check_batch_size(count)?;
        let enrolments = (0..count)
            .map(|_| decode_enrolment(reader, label_length))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            epoch,
            label_length,
            enrolments,
        })
    }
}

fn decode_enrolment(
    reader: &mut Reader<'_>,
    label_length: LabelLength,
) -> Result<Enrolment, DecodeError> {
    let unblinded = UnblindedElement::decode(&reader.array()?)?;
    let audience = reader.u8()?;
    let consent = Consent {
        at: reader.u64()?,
        text_version: reader.u32()?,
        surface: reader.u16()?,
    };
    let none = Consent {
        at: 0,
        text_version: 0,
        surface: 0,
    };
    let audience = match audience {
        0 if consent == none => Audience::Nobody,
        0 => return Err(DecodeError::BadField("consent")),
        1 if consent.at != 0 => Audience::Everyone(consent),
        1 => return Err(DecodeError::BadField("consent")),
        _ => return Err(DecodeError::BadField("audience")),
    };
    let padded = reader.take(usize::from(label_length.get()))?;
    let label = Label::from_padded(padded).map_err(|_| DecodeError::BadField("label"))?;
    Ok(Enrolment {
        unblinded,
        audience,
        label,
    })
}

/// Takes members out of the directory. Idempotent.
#[derive(Debug)]
pub struct RemoveRequest {
    /// The epoch under whose key the members were evaluated.
    pub epoch: Epoch,
    /// 1 to 65,535 members.
    pub unblinded: Vec<UnblindedElement>,
}

impl Message for RemoveRequest {
    const KIND: Kind = Kind::RemoveRequest;

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.reserve_exact(10 + self.unblinded.len() * ENCODED_LENGTH);
        out.extend_from_slice(&self.epoch.get().to_be_bytes());
        put_count(self.unblinded.len(), out);
        for unblinded in &self.unblinded {
            out.extend_from_slice(unblinded.expose());
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch::new(reader.u64()?);
        let count = usize::from(reader.u16()?);
        reader.check_count(count, ENCODED_LENGTH, 0)?;
        check_batch_size(count)?;
        let mut encodings = reader.encodings(count)?;
        let unblinded = encodings
            .iter()
            .map(UnblindedElement::decode)
            .collect::<Result<_, _>>();
        encodings.zeroize();
        Ok(Self {
            epoch,
            unblinded: unblinded?,
        })
    }
}

/// What an [`EnrolRequest`] or a [`RemoveRequest`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MembersResponse {
    /// Members that are now otherwise than before.
    pub changed: u32,
    /// Members that were like that already.
    pub unchanged: u32,
}

impl Message for MembersResponse {
    const KIND: Kind = Kind::MembersResponse;

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.changed.to_be_bytes());
        out.extend_from_slice(&self.unchanged.to_be_bytes());
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            changed: reader.u32()?,
            unchanged: reader.u32()?,
        })
    }
}

fn check_batch_size(count: usize) -> Result<(), BatchSizeError> {
    match count {
        1..=MAX_BATCH => Ok(()),
        _ => Err(BatchSizeError(count)),
    }
}
