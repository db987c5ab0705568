//! The protocol from outside: against another implementation of RFC 9497, and against a server that
//! cheats.

#[path = "support/roles.rs"]
mod roles;

use blindbook::{
    client::{BlindError, ExpectEvaluation, FinalizeError, OprfClient, rfc_output},
    oprf::{
        BatchSizeError, BlindedElements, Encoding, EvaluatedElements, Evaluation, Proof, PublicKey,
        UnblindedElement, digest_inputs,
    },
    server::{DirectError, EvaluateError, EvaluationKey, Evaluator},
};
use rand::rngs::StdRng;
use roles::{EPOCH, Grants, random_source};
use voprf_ng::{EvaluationElement, Ristretto255, VoprfClient, VoprfServer};

struct World {
    rng: StdRng,
    grants: Grants,
    evaluator: Evaluator,
    client: OprfClient,
}

impl World {
    fn new(stream: u8) -> Self {
        let mut rng = random_source(stream);
        let evaluator = Evaluator::new(EPOCH, EvaluationKey::random(&mut rng));
        Self {
            client: OprfClient::new(evaluator.public_key().clone()),
            grants: Grants::new(),
            evaluator,
            rng,
        }
    }

    fn blind(&mut self, inputs: &[Vec<u8>], padding: usize) -> ExpectEvaluation {
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        self.client.blind(&inputs, padding, &mut self.rng).unwrap()
    }

    fn evaluate(&mut self, blinded: &BlindedElements) -> Result<Evaluation, EvaluateError> {
        let permit = self.grants.permit(blinded);
        self.evaluator
            .blind_evaluate(permit, blinded, &mut self.rng)
    }

    /// What the key makes of the inputs, without any blinding.
    fn expected(&self, inputs: &[Vec<u8>]) -> Vec<UnblindedElement> {
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let permit = self.grants.permit_for(inputs.len(), digest_inputs(&inputs));
        self.evaluator.evaluate(permit, &inputs).unwrap()
    }
}

fn inputs(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|index| format!("tel:+4477009{index:05}").into_bytes())
        .collect()
}

fn encodings(elements: &[UnblindedElement]) -> Vec<Encoding> {
    elements.iter().map(|element| *element.expose()).collect()
}

#[test]
fn batches_of_every_allowed_size_are_evaluated() {
    let mut world = World::new(1);
    for count in [1, 2, 15, 16, 127, 128, 129, 1_024] {
        let inputs = inputs(count);
        let expect = world.blind(&inputs, 0);
        assert_eq!(expect.request().len(), count);
        let evaluation = world.evaluate(expect.request()).unwrap();
        let found = expect
            .finalize(&evaluation.elements, &evaluation.proof)
            .unwrap();
        assert_eq!(encodings(&found), encodings(&world.expected(&inputs)));
    }
}

#[test]
fn the_largest_batch_is_65535_elements() {
    let mut world = World::new(2);
    let inputs = inputs(65_535);
    let expect = world.blind(&inputs, 0);
    let evaluation = world.evaluate(expect.request()).unwrap();
    let found = expect
        .finalize(&evaluation.elements, &evaluation.proof)
        .unwrap();
    assert_eq!(encodings(&found), encodings(&world.expected(&inputs)));

    let too_many: Vec<&[u8]> = vec![b"x"; 65_536];
    let refused = world
        .client
        .blind(&too_many, 0, &mut world.rng)
        .unwrap_err();
    assert_eq!(refused, BlindError::BatchSize(BatchSizeError(65_536)));
    let refused = BlindedElements::new(vec![[1; 32]; 65_536]).unwrap_err();
    assert_eq!(refused, BatchSizeError(65_536));
}

#[test]
fn an_empty_batch_is_none() {
    let mut world = World::new(3);
    let refused = world.client.blind(&[], 0, &mut world.rng).unwrap_err();
    assert_eq!(refused, BlindError::BatchSize(BatchSizeError(0)));
    assert_eq!(
        BlindedElements::new(Vec::new()).unwrap_err(),
        BatchSizeError(0)
    );
    assert_eq!(
        EvaluatedElements::new(Vec::new()).unwrap_err(),
        BatchSizeError(0)
    );
    let overflow = world.client.blind(&[b"x"], usize::MAX, &mut world.rng);
    assert!(matches!(overflow.unwrap_err(), BlindError::BatchSize(_)));
}

#[test]
fn padding_is_evaluated_and_dropped() {
    let mut world = World::new(4);
    let inputs = inputs(17);
    let expect = world.blind(&inputs, 47);
    assert_eq!(expect.request().len(), 64);
    let evaluation = world.evaluate(expect.request()).unwrap();
    let found = expect
        .finalize(&evaluation.elements, &evaluation.proof)
        .unwrap();
    assert_eq!(encodings(&found), encodings(&world.expected(&inputs)));
}

#[test]
fn a_request_of_padding_alone_is_fine() {
    let mut world = World::new(5);
    let expect = world.blind(&[], 16);
    let evaluation = world.evaluate(expect.request()).unwrap();
    assert!(
        expect
            .finalize(&evaluation.elements, &evaluation.proof)
            .unwrap()
            .is_empty()
    );
}

/// The same contact twice, or again later, must look like two others: one blind used twice would show
/// the difference of two contacts.
#[test]
fn no_blinded_element_is_ever_seen_twice() {
    let mut world = World::new(6);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let expect = world.blind(&vec![b"tel:+447700900000".to_vec(); 10], 6);
        for encoding in expect.request().encodings() {
            assert!(seen.insert(*encoding));
        }
    }
}

#[test]
fn inputs_over_255_bytes_are_refused() {
    let mut world = World::new(7);
    assert!(
        world
            .client
            .blind(&[&[b'x'; 255]], 0, &mut world.rng)
            .is_ok()
    );
    let refused = world.client.blind(&[&[b'x'; 256]], 0, &mut world.rng);
    assert!(matches!(refused.unwrap_err(), BlindError::InputTooLong(_)));
    let input: &[u8] = &[b'x'; 256];
    let permit = world.grants.permit_for(1, digest_inputs(&[input]));
    let refused = world.evaluator.evaluate(permit, &[input]).unwrap_err();
    assert!(matches!(refused, DirectError::InputTooLong(_)));
}

mod against_another_implementation {
    use super::*;

    type TheirClient = VoprfClient<Ristretto255>;
    type TheirServer = VoprfServer<Ristretto255>;

    #[test]
    fn their_client_accepts_our_server() {
        let mut world = World::new(10);
        let inputs = inputs(33);
        let (states, messages): (Vec<_>, Vec<_>) = inputs
            .iter()
            .map(|input| TheirClient::blind(input, &mut world.rng).unwrap())
            .map(|result| (result.state, result.message))
            .unzip();
        let blinded = messages
            .iter()
            .map(|message| message.serialize().as_slice().try_into().unwrap())
            .collect();
        let evaluation = world
            .evaluate(&BlindedElements::new(blinded).unwrap())
            .unwrap();
        let evaluated: Vec<EvaluationElement<Ristretto255>> = evaluation
            .elements
            .encodings()
            .iter()
            .map(|encoding| EvaluationElement::deserialize(encoding).unwrap())
            .collect();
        let proof = voprf_ng::Proof::deserialize(&evaluation.proof.encode()).unwrap();
        let key = voprf_ng::BlindedElement::<Ristretto255>::deserialize(
            &world.evaluator.public_key().encode(),
        )
        .unwrap()
        .value();
        let theirs: Vec<Vec<u8>> =
            TheirClient::batch_finalize(&inputs, &states, &evaluated, &proof, key)
                .unwrap()
                .map(|output| output.unwrap().to_vec())
                .collect();
        let ours: Vec<Vec<u8>> = inputs
            .iter()
            .zip(world.expected(&inputs))
            .map(|(input, element)| rfc_output(input, &element).to_vec())
            .collect();
        assert_eq!(theirs, ours);
    }

    #[test]
    fn our_client_accepts_their_server() {
        let mut rng = random_source(11);
        let server = TheirServer::new(&mut rng).unwrap();
        let key: Encoding =
            voprf_ng::BlindedElement::<Ristretto255>::from_value_unchecked(server.get_public_key())
                .serialize()
                .as_slice()
                .try_into()
                .unwrap();
        let client = OprfClient::new(PublicKey::decode(&key).unwrap());
        let inputs = inputs(33);
        let borrowed: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let expect = client.blind(&borrowed, 0, &mut rng).unwrap();
        let messages: Vec<voprf_ng::BlindedElement<Ristretto255>> = expect
            .request()
            .encodings()
            .iter()
            .map(|encoding| voprf_ng::BlindedElement::deserialize(encoding).unwrap())
            .collect();
        let prepared: Vec<_> = server
            .batch_blind_evaluate_prepare(messages.iter())
            .collect();
        let result = server
            .batch_blind_evaluate_finish(&mut rng, messages.iter(), &prepared)
            .unwrap();
        let proof = Proof::decode(result.proof.serialize().as_slice().try_into().unwrap()).unwrap();
        let evaluated = result
            .messages
            .map(|element| element.serialize().as_slice().try_into().unwrap())
            .collect();
        let unblinded = expect
            .finalize(&EvaluatedElements::new(evaluated).unwrap(), &proof)
            .unwrap();
        for (input, element) in inputs.iter().zip(&unblinded) {
            let theirs = server.evaluate(input).unwrap();
            assert_eq!(rfc_output(input, element).as_slice(), theirs.as_slice());
        }
    }
}

mod against_a_server_that_cheats {
    use super::*;

    const COUNT: usize = 20;

    /// Finalizes what `cheat` made of the right answer.
    fn refused(
        stream: u8,
        cheat: impl FnOnce(&mut World, &BlindedElements, Evaluation) -> (Vec<Encoding>, Proof),
    ) {
        let mut world = World::new(stream);
        let expect = world.blind(&inputs(COUNT), 0);
        let evaluation = world.evaluate(expect.request()).unwrap();
        let request = expect.request().clone();
        let (elements, proof) = cheat(&mut world, &request, evaluation);
        let elements = EvaluatedElements::new(elements).unwrap();
        assert_eq!(
            expect.finalize(&elements, &proof).unwrap_err(),
            FinalizeError
        );
    }

    #[test]
    fn another_key() {
        refused(20, |world, request, _| {
            let other = Evaluator::new(EPOCH, EvaluationKey::random(&mut world.rng));
            let permit = world.grants.permit(request);
            let evaluation = other
                .blind_evaluate(permit, request, &mut world.rng)
                .unwrap();
            (evaluation.elements.encodings().to_vec(), evaluation.proof)
        });
    }

    #[test]
    fn another_key_for_one_element() {
        refused(21, |world, request, honest| {
            let other = Evaluator::new(EPOCH, EvaluationKey::random(&mut world.rng));
            let permit = world.grants.permit(request);
            let singled_out = other
                .blind_evaluate(permit, request, &mut world.rng)
                .unwrap();
            let mut elements = honest.elements.encodings().to_vec();
            elements[3] = singled_out.elements.encodings()[3];
            (elements, honest.proof)
        });
    }

    #[test]
    fn the_proof_of_another_batch() {
        refused(22, |world, _, honest| {
            let other = world.blind(&inputs(COUNT), 0);
            let evaluation = world.evaluate(other.request()).unwrap();
            (honest.elements.encodings().to_vec(), evaluation.proof)
        });
    }

    #[test]
    fn the_answer_to_another_batch() {
        refused(23, |world, _, _| {
            let other = world.blind(&inputs(COUNT), 0);
            let evaluation = world.evaluate(other.request()).unwrap();
            (evaluation.elements.encodings().to_vec(), evaluation.proof)
        });
    }

    #[test]
    fn swapped_elements() {
        refused(24, |_, _, honest| {
            let mut elements = honest.elements.encodings().to_vec();
            elements.swap(0, COUNT - 1);
            (elements, honest.proof)
        });
    }

    #[test]
    fn one_element_that_is_another_at_each_position() {
        for position in 0..COUNT {
            refused(25, |_, request, honest| {
                let mut elements = honest.elements.encodings().to_vec();
                elements[position] = request.encodings()[position];
                (elements, honest.proof)
            });
        }
    }

    #[test]
    fn one_element_that_is_no_element_at_each_position() {
        for position in 0..COUNT {
            refused(26, |_, _, honest| {
                let mut elements = honest.elements.encodings().to_vec();
                elements[position] = [0xff; 32];
                (elements, honest.proof)
            });
        }
    }

    #[test]
    fn the_identity_at_each_position() {
        for position in 0..COUNT {
            refused(27, |_, _, honest| {
                let mut elements = honest.elements.encodings().to_vec();
                elements[position] = [0; 32];
                (elements, honest.proof)
            });
        }
    }

    #[test]
    fn one_element_less_or_more() {
        refused(28, |_, _, honest| {
            let mut elements = honest.elements.encodings().to_vec();
            elements.pop();
            (elements, honest.proof)
        });
        refused(29, |_, _, honest| {
            let mut elements = honest.elements.encodings().to_vec();
            elements.push(elements[0]);
            (elements, honest.proof)
        });
    }

    #[test]
    fn every_bit_of_the_proof_counts() {
        let mut world = World::new(30);
        for bit in 0..512 {
            let expect = world.blind(&inputs(1), 0);
            let evaluation = world.evaluate(expect.request()).unwrap();
            let mut proof = evaluation.proof.encode();
            proof[bit / 8] ^= 1 << (bit % 8);
            // Either the scalars aren't reduced any more, or the proof doesn't hold.
            if let Ok(proof) = Proof::decode(&proof) {
                assert!(expect.finalize(&evaluation.elements, &proof).is_err());
            }
        }
    }
}

mod decoding {
    use super::*;

    fn bad_encodings() -> Vec<(String, Encoding)> {
        let file = include_str!("vectors/rfc9496-bad-encodings.json");
        let file: serde_json::Map<String, serde_json::Value> = serde_json::from_str(file).unwrap();
        let mut bad: Vec<(String, Encoding)> = file
            .iter()
            .filter_map(|(name, list)| Some((name, list.as_array()?)))
            .flat_map(|(name, list)| {
                list.iter().map(|hex| {
                    let hex = hex.as_str().unwrap();
                    let bytes: Vec<u8> = (0..64)
                        .step_by(2)
                        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                        .collect();
                    (name.clone(), bytes.try_into().unwrap())
                })
            })
            .collect();
        assert_eq!(bad.len(), 29);
        bad.push(("identity".to_owned(), [0; 32]));
        bad
    }

    #[test]
    fn no_bad_encoding_is_a_public_key() {
        for (name, encoding) in bad_encodings() {
            assert!(PublicKey::decode(&encoding).is_err(), "{name}");
        }
    }

    #[test]
    fn no_bad_encoding_is_an_unblinded_element() {
        for (name, encoding) in bad_encodings() {
            assert!(UnblindedElement::decode(&encoding).is_err(), "{name}");
        }
    }

    #[test]
    fn no_batch_with_a_bad_encoding_is_evaluated() {
        let mut world = World::new(40);
        let good = world.blind(&inputs(3), 0).request().encodings().to_vec();
        for (name, encoding) in bad_encodings() {
            for position in 0..=3 {
                let mut batch = good.clone();
                batch.insert(position, encoding);
                let refused = world
                    .evaluate(&BlindedElements::new(batch).unwrap())
                    .unwrap_err();
                assert!(matches!(refused, EvaluateError::BadElement(_)), "{name}");
            }
        }
    }

    #[test]
    fn no_answer_with_a_bad_encoding_is_finalized() {
        let mut world = World::new(41);
        for (name, encoding) in bad_encodings() {
            let expect = world.blind(&inputs(2), 0);
            let evaluation = world.evaluate(expect.request()).unwrap();
            let mut elements = evaluation.elements.encodings().to_vec();
            elements[1] = encoding;
            let elements = EvaluatedElements::new(elements).unwrap();
            let refused = expect.finalize(&elements, &evaluation.proof).unwrap_err();
            assert_eq!(refused, FinalizeError, "{name}");
        }
    }
}

mod permits {
    use super::*;

    #[test]
    fn a_permit_is_for_one_batch_only() {
        let mut world = World::new(50);
        let paid = world.blind(&inputs(2), 0);
        let other = world.blind(&inputs(2), 0);
        let permit = world.grants.permit(paid.request());
        let refused = world
            .evaluator
            .blind_evaluate(permit, other.request(), &mut world.rng)
            .unwrap_err();
        assert_eq!(refused, EvaluateError::OtherPermit);
    }

    #[test]
    fn a_permit_is_for_its_number_of_elements() {
        let mut world = World::new(51);
        let expect = world.blind(&inputs(2), 0);
        let permit = world.grants.permit_for(1, expect.request().digest());
        let refused = world
            .evaluator
            .blind_evaluate(permit, expect.request(), &mut world.rng)
            .unwrap_err();
        assert_eq!(refused, EvaluateError::OtherPermit);
    }

    #[test]
    fn a_permit_is_for_its_epoch() {
        let mut world = World::new(52);
        let later = Evaluator::new(
            blindbook::oprf::Epoch::new(EPOCH.get() + 1),
            EvaluationKey::random(&mut world.rng),
        );
        let expect = world.blind(&inputs(1), 0);
        let permit = world.grants.permit(expect.request());
        let refused = later
            .blind_evaluate(permit, expect.request(), &mut world.rng)
            .unwrap_err();
        assert_eq!(refused, EvaluateError::OtherPermit);
    }
}
