//! The messages of a soft rotation.

use alloc::vec::Vec;

use super::codec::{DecodeError, Kind, Message, Reader, put_count};
use crate::{
    oprf::{
        BlindedElements, ENCODED_LENGTH, Encoding, Epoch, EvaluatedElements, PROOF_LENGTH, Proof,
    },
    suite::MAX_BATCH,
};

/// Asks what results of one epoch are in the next one.
#[derive(Debug)]
pub struct CarryOverRequest {
    /// The epoch of the results.
    pub from: Epoch,
    /// The epoch that they are wanted in.
    pub to: Epoch,
    /// The results, blinded: at most 65,534, as the proof is about one element more.
    pub blinded: BlindedElements,
}

/// Results of the epoch before as they are in this one.
#[derive(Debug)]
pub struct CarryOverResponse {
    /// That of the request.
    pub from: Epoch,
    /// That of the request.
    pub to: Epoch,
    /// `delta*G`. The proof is what it is believed for.
    pub delta_key: Encoding,
    /// `delta` times each element of the request, in order.
    pub carried: EvaluatedElements,
    /// That it is so, and that the same `delta` leads from the public key of one epoch to that of the other.
    pub proof: Proof,
}

impl Message for CarryOverRequest {
    const KIND: Kind = Kind::CarryOverRequest;

    fn encode_body(&self, out: &mut Vec<u8>) {
        put_epochs(self.from, self.to, out);
        put_count(self.blinded.len(), out);
        out.extend_from_slice(self.blinded.encodings().as_flattened());
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (from, to) = epochs(reader)?;
        let count = count(reader)?;
        reader.check_count(count, ENCODED_LENGTH, 0)?;
        Ok(Self {
            from,
            to,
            blinded: BlindedElements::new(reader.encodings(count)?)?,
        })
    }
}

impl Message for CarryOverResponse {
    const KIND: Kind = Kind::CarryOverResponse;

    fn encode_body(&self, out: &mut Vec<u8>) {
        put_epochs(self.from, self.to, out);
        out.extend_from_slice(&self.delta_key);
        put_count(self.carried.len(), out);
        out.extend_from_slice(self.carried.encodings().as_flattened());
        out.extend_from_slice(&self.proof.encode());
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (from, to) = epochs(reader)?;
        let delta_key = reader.array()?;
        let count = count(reader)?;
        reader.check_count(count, ENCODED_LENGTH, PROOF_LENGTH)?;
        Ok(Self {
            from,
            to,
            delta_key,
            carried: EvaluatedElements::new(reader.encodings(count)?)?,
            proof: Proof::decode(&reader.array()?)?,
        })
    }
}

fn put_epochs(from: Epoch, to: Epoch, out: &mut Vec<u8>) {
    for epoch in [from, to] {
        out.extend_from_slice(&epoch.get().to_be_bytes());
    }
}

fn epochs(reader: &mut Reader<'_>) -> Result<(Epoch, Epoch), DecodeError> {
    Ok((Epoch::new(reader.u64()?), Epoch::new(reader.u64()?)))
}

/// A count that leaves room for the public key in the proof.
fn count(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    match usize::from(reader.u16()?) {
        MAX_BATCH => Err(DecodeError::BadField("count")),
        count => Ok(count),
    }
}
