//! The registrar's client role over a connection: evaluate identifiers, enrol who they belong to.

use blindbook::{
    client::{Identifier, NormalisationProfile, OprfClient},
    label::{Label, LabelLength},
    snapshot::{ChainError, ChainState, Manifest},
    wire::{
        EnrolRequest, Enrolment, EvaluateRequest, EvaluateResponse, MembersResponse, Message,
        Region, Setting,
    },
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use crate::{connection::Connection, failure::Failure};

/// What is enrolled under somebody's identifier.
#[derive(Debug)]
pub(crate) struct NewMember {
    pub(crate) label: Label,
    pub(crate) setting: Setting,
    pub(crate) region: Option<Region>,
}

/// A registrar that has verified what the service says about itself.
pub(crate) struct Registrar<'a> {
    connection: &'a Connection,
    client: OprfClient,
    manifest: Manifest,
    chain: ChainState,
    label_length: LabelLength,
}

impl<'a> Registrar<'a> {
    /// Fetches and verifies the manifest.
    pub(crate) fn start(connection: &'a Connection) -> Result<Self, Failure> {
        let manifest = connection.manifest()?;
        let claims = manifest.claims();
        if claims.service != connection.service {
            return Err(Failure::bad_input("the manifest is for another service"));
        }
        if claims.normalisation != NormalisationProfile::CURRENT.id() {
            return Err(Failure::BadInput(format!(
                "the service's normalisation profile is {} and this program's {}: people enrolled by it \
                 would not be found; use the program's other version",
                claims.normalisation,
                NormalisationProfile::CURRENT.id()
            )));
        }
        let now = connection.now();
        let chain = ChainState::start(&manifest, now).map_err(Failure::bad_input)?;
        Ok(Self {
            connection,
            client: OprfClient::new(claims.public_key.clone()),
            chain,
            label_length: claims.label_length,
            manifest,
        })
    }

    /// Checks that who was enrolled at `earlier` is a member still: the same chain of manifests. A rotation of the key moves
    /// all members.
    pub(crate) fn check_continues(&self, earlier: &ChainState) -> Result<(), String> {
        let now = self.connection.now();
        match earlier.advance(&self.manifest, now) {
            Ok(_) => Ok(()),
            Err(error @ (ChainError::Expired | ChainError::NotYetValid)) => Err(error.to_string()),
            Err(error) => Err(format!(
                "this isn't the service that the import began on, or its store is older: {error}"
            )),
        }
    }

    pub(crate) fn chain(&self) -> &ChainState {
        &self.chain
    }

    pub(crate) fn label_length(&self) -> LabelLength {
        self.label_length
    }

    /// Evaluates identifiers, and makes the message that enrols whom they belong to: members of the same length.
    /// `None` if there is nobody.
    pub(crate) fn evaluate(
        &self,
        identifiers: &[Identifier],
        members: Vec<NewMember>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if identifiers.is_empty() {
            return Ok(None);
        }
        let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_input).collect();
        let expect = self
            .client
            .blind(&inputs, 0, &mut UnwrapErr(SysRng))
            .map_err(Failure::defect)?;
        let request = EvaluateRequest {
            epoch: self.chain.epoch(),
            blinded: expect.request().clone(),
        };
        let answer = self.connection.evaluate(&request.encode())?;
        let response = EvaluateResponse::decode(&answer).map_err(Failure::defect)?;
        let unblinded = expect
            .finalize(&response.evaluated, &response.proof)
            .map_err(Failure::defect)?;
        let enrolments = unblinded
            .into_iter()
            .zip(members)
            .map(|(unblinded, member)| Enrolment {
                unblinded,
                label: member.label,
                setting: member.setting,
                region: member.region,
            })
            .collect();
        let request = EnrolRequest::new(self.chain.epoch(), self.label_length, enrolments)
            .map_err(Failure::defect)?;
        Ok(Some(request.encode()))
    }

    /// Sends what [`Self::evaluate`] made for so many members; it can be sent again.
    pub(crate) fn enrol(
        &self,
        message: Option<&[u8]>,
        members: usize,
    ) -> Result<MembersResponse, Failure> {
        match message {
            None => Ok(MembersResponse {
                changed: 0,
                unchanged: 0,
                refused: Vec::new(),
            }),
            Some(message) => {
                let answer = self.connection.enrol(message)?;
                let response = MembersResponse::decode(&answer).map_err(Failure::defect)?;
                check_count(&response, members)?;
                Ok(response)
            }
        }
    }
}

/// An answer that doesn't account for everybody is none: an import would go on behind people who aren't enrolled.
fn check_count(response: &MembersResponse, members: usize) -> Result<(), Failure> {
    let taken = u64::from(response.changed) + u64::from(response.unchanged);
    let last = response.refused.last().map(|last| usize::from(last.index));
    if taken + response.refused.len() as u64 == members as u64 && last < Some(members) {
        return Ok(());
    }
    Err(Failure::defect(
        "the service answered for other members than it was asked to enrol",
    ))
}

#[cfg(test)]
mod tests {
    use blindbook::wire::{ChangeError, RefusedChange};

    use super::*;

    #[test]
    fn an_answer_accounts_for_everybody() {
        let response = |changed, unchanged, refused: &[u16]| MembersResponse {
            changed,
            unchanged,
            refused: refused
                .iter()
                .map(|&index| RefusedChange {
                    index,
                    error: ChangeError::StaleConsent,
                })
                .collect(),
        };
        check_count(&response(1, 1, &[2]), 3).unwrap();
        check_count(&response(0, 3, &[]), 3).unwrap();
        for bad in [
            response(1, 1, &[]),
            response(2, 1, &[0]),
            response(1, 1, &[3]),
            response(u32::MAX, u32::MAX, &[]),
        ] {
            let refused = check_count(&bad, 3).unwrap_err();
            assert!(matches!(refused, Failure::Defect(_)), "{refused}");
        }
    }
}
