//! The official vectors of RFC 9497, appendix A.1.2, through the multiplicative path of the RFC, and the
//! additive path against it.

use alloc::{string::String, vec::Vec};

use serde::Deserialize;

use super::random_source;
use crate::{
    client::{OprfClient, rfc_output},
    group::{Element, Encoding, Scalar},
    kernel::Elements,
    oprf::{BlindedElements, Evaluation, Proof, PublicKey, Statement, UnblindedElement},
    server::EvaluationKey,
    suite::{self, Expander},
};

const VECTORS: &str = include_str!("../../tests/vectors/rfc9497-ristretto255-sha512.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suite {
    mode: u8,
    seed: String,
    key_info: String,
    sk_sm: String,
    #[serde(default)]
    pk_sm: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vector {
    batch: usize,
    blind: String,
    blinded_element: String,
    evaluation_element: String,
    input: String,
    output: String,
    proof: Option<ProofVector>,
}

#[derive(Deserialize)]
struct ProofVector {
    proof: String,
    r: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().unwrap()
}

fn list(hex: &str) -> Vec<Vec<u8>> {
    hex.split(',').map(bytes).collect()
}

fn encodings(hex: &str) -> Vec<Encoding> {
    hex.split(',').map(array).collect()
}

fn scalar(hex: &str) -> Scalar {
    Scalar::decode(&array(hex)).unwrap()
}

fn voprf() -> Suite {
    let suites: Vec<Suite> = serde_json::from_str(VECTORS).unwrap();
    suites
        .into_iter()
        .find(|suite| suite.mode == suite::MODE_VOPRF)
        .unwrap()
}

/// `Blind` as the RFC writes it: `blind * HashToGroup(input)`.
fn blind_multiplicatively(input: &[u8], blind: &Scalar) -> Encoding {
    Element::from_uniform_bytes(&Expander::to_group().expand(&[input]))
        .multiply(blind)
        .encode()
}

/// The unblinding that belongs to it: `blind^-1 * Z`.
fn unblind_multiplicatively(evaluated: &Encoding, blind: &Scalar) -> UnblindedElement {
    let element = Element::decode(evaluated).unwrap();
    UnblindedElement::from_trusted(element.multiply(&blind.invert()).encode())
}

#[test]
fn derive_key_pair_gives_the_keys_of_the_rfc() {
    let suite = voprf();
    let key = suite::derive_key(&array(&suite.seed), &bytes(&suite.key_info)).unwrap();
    assert_eq!(key.encode(), array::<32>(&suite.sk_sm));
    assert_eq!(
        Element::generator_product(&key).encode(),
        array::<32>(&suite.pk_sm)
    );
}

#[test]
fn every_vector_of_the_rfc_holds_at_every_step() {
    let suite = voprf();
    assert_eq!(suite.vectors.len(), 3);
    let key = scalar(&suite.sk_sm);
    let public_key = PublicKey::decode(&array(&suite.pk_sm)).unwrap();
    for vector in &suite.vectors {
        let inputs = list(&vector.input);
        let blinds: Vec<Scalar> = vector.blind.split(',').map(scalar).collect();
        assert_eq!((inputs.len(), blinds.len()), (vector.batch, vector.batch));

        let blinded: Vec<Encoding> = inputs
            .iter()
            .zip(&blinds)
            .map(|(input, blind)| blind_multiplicatively(input, blind))
            .collect();
        assert_eq!(blinded, encodings(&vector.blinded_element));

        let elements = Elements::decode(&blinded).unwrap();
        let evaluated = elements.multiply_and_encode(&key);
        assert_eq!(evaluated, encodings(&vector.evaluation_element));

        let statement = Statement {
            public_key: &public_key,
            blinded: &blinded,
            evaluated: &evaluated,
        };
        let expected = vector.proof.as_ref().unwrap();
        let nonce = scalar(&expected.r);
        let proof = Proof::generate_with_nonce(&key, &statement, &elements, |_, _| nonce);
        assert_eq!(proof.encode().to_vec(), bytes(&expected.proof));
        proof
            .verify_vartime(
                &statement,
                &elements,
                &Elements::decode(&evaluated).unwrap(),
            )
            .unwrap();

        let outputs: Vec<Vec<u8>> = inputs
            .iter()
            .zip(&blinds)
            .zip(&evaluated)
            .map(|((input, blind), evaluated)| {
                rfc_output(input, &unblind_multiplicatively(evaluated, blind)).to_vec()
            })
            .collect();
        assert_eq!(outputs, list(&vector.output));
    }
}

#[test]
fn the_additive_path_gives_the_outputs_of_the_rfc() {
    let suite = voprf();
    let mut rng = random_source(1);
    let mut key_bytes = array(&suite.sk_sm);
    let key = EvaluationKey::from_bytes(&mut key_bytes).unwrap();
    let client = OprfClient::new(key.public_key().clone());
    for vector in &suite.vectors {
        let inputs = list(&vector.input);
        let borrowed: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let expect = client.blind(&borrowed, 3, &mut rng).unwrap();
        assert_eq!(expect.request().len(), vector.batch + 3);
        let evaluation =
            Evaluation::of(key.scalar(), key.public_key(), expect.request(), &mut rng).unwrap();
        let unblinded = expect
            .finalize(&evaluation.elements, &evaluation.proof)
            .unwrap();
        let outputs: Vec<Vec<u8>> = inputs
            .iter()
            .zip(&unblinded)
            .map(|(input, unblinded)| rfc_output(input, unblinded).to_vec())
            .collect();
        assert_eq!(outputs, list(&vector.output));
    }
}

/// The vectors are of one or two elements; this is what a backend for long batches makes of them.
#[test]
fn the_vectors_hold_in_a_batch_of_any_length() {
    let suite = voprf();
    let key = scalar(&suite.sk_sm);
    for vector in &suite.vectors {
        let (inputs, blinds) = (list(&vector.input), list(&vector.blind));
        let blinded = encodings(&vector.blinded_element);
        let evaluated = encodings(&vector.evaluation_element);
        for (index, (input, blind)) in inputs.iter().zip(&blinds).enumerate() {
            let blind = Scalar::decode(blind.as_slice().try_into().unwrap()).unwrap();
            let uniform = Expander::to_group().expand(&[input]);
            for length in [1, 8, 9, 130] {
                let hashed = Elements::from_uniform_bytes(&alloc::vec![uniform; length], 0);
                let messages = hashed.multiply_and_encode(&blind);
                assert_eq!(messages, alloc::vec![blinded[index]; length]);
                let answers = Elements::decode(&messages)
                    .unwrap()
                    .multiply_and_encode(&key);
                assert_eq!(answers, alloc::vec![evaluated[index]; length]);
            }
        }
    }
}

#[test]
fn additive_and_multiplicative_blinding_agree_on_any_input() {
    let mut rng = random_source(2);
    let key = EvaluationKey::random(&mut rng);
    let client = OprfClient::new(key.public_key().clone());
    for length in [0, 1, 16, 127, 128, 255] {
        let input = alloc::vec![0x5a; length];
        let expect = client.blind(&[&input], 0, &mut rng).unwrap();
        let evaluation =
            Evaluation::of(key.scalar(), key.public_key(), expect.request(), &mut rng).unwrap();
        let additive = expect
            .finalize(&evaluation.elements, &evaluation.proof)
            .unwrap();

        let blind = Scalar::random(&mut rng);
        let blinded = BlindedElements::new(alloc::vec![blind_multiplicatively(&input, &blind)]);
        let evaluation =
            Evaluation::of(key.scalar(), key.public_key(), &blinded.unwrap(), &mut rng).unwrap();
        let evaluated = &evaluation.elements;
        let multiplicative = unblind_multiplicatively(&evaluated.encodings()[0], &blind);
        assert_eq!(additive[0].expose(), multiplicative.expose());
    }
}

/// A random source that repeats itself must not give two statements the same nonce: from two challenges
/// under one nonce anyone computes the key.
#[test]
fn a_stuck_random_source_never_repeats_a_nonce() {
    let mut rng = random_source(3);
    let key = EvaluationKey::random(&mut rng);
    let client = OprfClient::new(key.public_key().clone());
    let commitments: Vec<Encoding> = [b"a".as_slice(), b"b"]
        .into_iter()
        .map(|input| {
            let expect = client.blind(&[input], 0, &mut rng).unwrap();
            let blinded = expect.request();
            let evaluation = Evaluation::of(
                key.scalar(),
                key.public_key(),
                blinded,
                &mut random_source(9),
            )
            .unwrap();
            // t2 = s*G + c*K is nonce*G.
            evaluation
                .proof
                .commitment_vartime(key.public_key())
                .encode()
        })
        .collect();
    assert_ne!(commitments[0], commitments[1]);
}
