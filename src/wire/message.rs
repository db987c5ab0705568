//! The messages themselves; their bytes are drawn in [`crate::wire`].

use alloc::vec::Vec;

use zeroize::Zeroize;

use super::{
    codec::{DecodeError, Kind, Message, Reader, put_count},
    member::{ChangeError, Consent, Enrolment, Region, Setting},
};
use crate::{
    label::{Label, LabelLength},
    oprf::{
        BatchSizeError, BlindedElements, ENCODED_LENGTH, Epoch, EvaluatedElements, PROOF_LENGTH,
        Proof, UnblindedElement,
    },
    suite::MAX_BATCH,
    timestamp::Timestamp,
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
///
/// All consents in one request are to the same text on the same surface: registrars group by them.
#[derive(Debug)]
pub struct EnrolRequest {
    epoch: Epoch,
    label_length: LabelLength,
    enrolments: Vec<Enrolment>,
}

/// Enrolments that don't go into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolRequestError {
    /// None, or more than 65,535.
    #[error(transparent)]
    BatchSize(#[from] BatchSizeError),
    /// A label is longer than the labels of the service.
    #[error("a label is longer than labels of this service can be")]
    LabelTooLong,
    /// Two consents are to different texts, or on different surfaces.
    #[error("the consents of one request are to one text on one surface")]
    MixedConsents,
}

/// Bytes of an enrolment before its label.
const ENROLMENT_PREFIX: usize = ENCODED_LENGTH + 1 + 8 + 2;
const NO_REGION: [u8; 2] = [0; 2];

impl EnrolRequest {
    /// Checks and takes enrolments.
    ///
    /// # Errors
    ///
    /// See [`EnrolRequestError`].
    pub fn new(
        epoch: Epoch,
        label_length: LabelLength,
        enrolments: Vec<Enrolment>,
    ) -> Result<Self, EnrolRequestError> {
        check_batch_size(enrolments.len())?;
        let longest = usize::from(label_length.get());
        if enrolments
            .iter()
            .any(|enrolment| enrolment.label.as_bytes().len() > longest)
        {
            return Err(EnrolRequestError::LabelTooLong);
        }
        let request = Self {
            epoch,
            label_length,
            enrolments,
        };
        let (text_version, surface) = request.consented_to();
        let same = |consent: &Consent| {
            consent.text_version() == text_version && consent.surface() == surface
        };
        if !request.consents().all(same) {
            return Err(EnrolRequestError::MixedConsents);
        }
        Ok(request)
    }

    /// The epoch under whose key the members were evaluated.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The service's label length; no label is longer.
    #[must_use]
    pub fn label_length(&self) -> LabelLength {
        self.label_length
    }

    /// 1 to 65,535 members.
    #[must_use]
    pub fn enrolments(&self) -> &[Enrolment] {
        &self.enrolments
    }

    /// Takes the members out.
    #[must_use]
    pub fn into_enrolments(self) -> Vec<Enrolment> {
        self.enrolments
    }

    fn consents(&self) -> impl Iterator<Item = &Consent> {
        self.enrolments
            .iter()
            .filter_map(|enrolment| match &enrolment.setting {
                Setting::Nobody | Setting::EveryoneByDefault => None,
                Setting::Everyone(consent) => Some(consent),
            })
    }

    /// The text and surface of the first consent; empty if there is none.
    fn consented_to(&self) -> (&str, &str) {
        self.consents().next().map_or(("", ""), |consent| {
            (consent.text_version(), consent.surface())
        })
    }
}

impl Message for EnrolRequest {
    const KIND: Kind = Kind::EnrolRequest;

    fn encode_body(&self, out: &mut Vec<u8>) {
        let label_length = usize::from(self.label_length.get());
        let (text_version, surface) = self.consented_to();
        // Reserved at once: a vector that grows leaves copies of secrets behind.
        let fixed = 13 + text_version.len() + surface.len();
        out.reserve_exact(fixed + self.enrolments.len() * (ENROLMENT_PREFIX + label_length));
        out.extend_from_slice(&self.epoch.get().to_be_bytes());
        for text in [text_version, surface] {
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        out.push(self.label_length.get());
        put_count(self.enrolments.len(), out);
        for enrolment in &self.enrolments {
            out.extend_from_slice(enrolment.unblinded.expose());
            let (audience, consented_at) = match &enrolment.setting {
                Setting::Nobody => (0, 0),
                Setting::Everyone(consent) => (1, consent.at().as_micros()),
                Setting::EveryoneByDefault => (1, 0),
            };
            out.push(audience);
            out.extend_from_slice(&consented_at.to_be_bytes());
            let region = enrolment.region.as_ref().map(Region::as_bytes);
            out.extend_from_slice(region.unwrap_or(&NO_REGION));
            let end = out.len() + label_length;
            out.extend_from_slice(enrolment.label.as_bytes());
            out.resize(end, 0);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = Epoch::new(reader.u64()?);
        let text_version = reader.text("text_version", Consent::MAX_LENGTH)?;
        let surface = reader.text("surface", Consent::MAX_LENGTH)?;
        let label_length =
            LabelLength::new(reader.u8()?).map_err(|_| DecodeError::BadField("label_length"))?;
        let count = usize::from(reader.u16()?);
        let stride = ENROLMENT_PREFIX + usize::from(label_length.get());
        reader.check_count(count, stride, 0)?;
        check_batch_size(count)?;
        let mut enrolments = Vec::with_capacity(count);
        for _ in 0..count {
            let unblinded = UnblindedElement::decode(&reader.array()?)?;
            let setting = decode_setting(reader, text_version, surface)?;
            let region = decode_region(reader)?;
            let padded = reader.take(usize::from(label_length.get()))?;
            let label = Label::from_padded(padded).map_err(|_| DecodeError::BadField("label"))?;
            enrolments.push(Enrolment {
                unblinded,
                label,
                setting,
                region,
            });
        }
        let request = Self {
            epoch,
            label_length,
            enrolments,
        };
        // A text that nobody consented to would get lost.
        if request.consented_to() != (text_version, surface) {
            return Err(DecodeError::BadField("text_version"));
        }
        Ok(request)
    }
}

fn decode_setting(
    reader: &mut Reader<'_>,
    text_version: &str,
    surface: &str,
) -> Result<Setting, DecodeError> {
    let audience = reader.u8()?;
    let consented_at = reader.u64()?;
    match (audience, consented_at) {
        (0, 0) => Ok(Setting::Nobody),
        (0, _) => Err(DecodeError::BadField("consented_at")),
        (1, 0) => Ok(Setting::EveryoneByDefault),
        (1, micros) if micros <= Timestamp::MAX.as_micros() => {
            Consent::new(Timestamp::from_micros(micros), text_version, surface)
                .map(Setting::Everyone)
                .map_err(|_| DecodeError::BadField("text_version"))
        }
        (1, _) => Err(DecodeError::BadField("consented_at")),
        _ => Err(DecodeError::BadField("audience")),
    }
}

fn decode_region(reader: &mut Reader<'_>) -> Result<Option<Region>, DecodeError> {
    match reader.array()? {
        NO_REGION => Ok(None),
        code => Region::from_bytes(code)
            .map(Some)
            .ok_or(DecodeError::BadField("region")),
    }
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

/// A change of a request that wasn't made; its member is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedChange {
    /// Which one of the request, from 0.
    pub index: u16,
    /// Why.
    pub error: ChangeError,
}

/// What an [`EnrolRequest`] or a [`RemoveRequest`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersResponse {
    /// Members that are now otherwise than before.
    pub changed: u32,
    /// Members that were like that already.
    pub unchanged: u32,
    /// What wasn't done, ascending by index; at most as many as the request had members.
    pub refused: Vec<RefusedChange>,
}

impl Message for MembersResponse {
    const KIND: Kind = Kind::MembersResponse;

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.changed.to_be_bytes());
        out.extend_from_slice(&self.unchanged.to_be_bytes());
        put_count(self.refused.len(), out);
        for refused in &self.refused {
            out.extend_from_slice(&refused.index.to_be_bytes());
            out.push(refused.error as u8);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let changed = reader.u32()?;
        let unchanged = reader.u32()?;
        let count = usize::from(reader.u16()?);
        reader.check_count(count, 3, 0)?;
        let mut refused: Vec<RefusedChange> = Vec::with_capacity(count);
        for _ in 0..count {
            let index = reader.u16()?;
            if refused.last().is_some_and(|last| last.index >= index) {
                return Err(DecodeError::BadField("index"));
            }
            let error = ChangeError::decode(reader.u8()?).ok_or(DecodeError::BadField("error"))?;
            refused.push(RefusedChange { index, error });
        }
        Ok(Self {
            changed,
            unchanged,
            refused,
        })
    }
}

fn check_batch_size(count: usize) -> Result<(), BatchSizeError> {
    match count {
        1..=MAX_BATCH => Ok(()),
        _ => Err(BatchSizeError(count)),
    }
}
