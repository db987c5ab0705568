//! What the RFCs say, through the batch operations of every backend, at every place of a batch.

use std::vec::Vec;

use serde_json::Value;

use super::{encode, on_each_backend, random_elements, random_source};
use crate::{
    group::{Element, Encoding, Scalar},
    kernel::backend::FixedBase,
};

const BAD_ENCODINGS: &str = include_str!("../../../tests/vectors/rfc9496-bad-encodings.json");
const ONE_WAY_MAP: &str = include_str!("../../../tests/vectors/rfc9496-one-way-map.json");
const OPRF: &str = include_str!("../../../tests/vectors/rfc9497-ristretto255-sha512.json");

fn bytes<const N: usize>(hex: &Value) -> [u8; N] {
    let digits = hex.as_str().unwrap();
    assert_eq!(digits.len(), 2 * N);
    core::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..][..2], 16).unwrap())
}

/// The 29 encodings of RFC 9496, appendix A.2, and the identity: each at every place of a batch.
#[test]
fn one_bad_encoding_anywhere_refuses_the_batch() {
    let table: serde_json::Map<_, _> = serde_json::from_str(BAD_ENCODINGS).unwrap();
    let mut bad: Vec<Encoding> = table
        .values()
        .filter_map(Value::as_array)
        .flatten()
        .map(bytes)
        .collect();
    assert_eq!(bad.len(), 29);
    bad.push([0; 32]);
    on_each_backend(|backend| {
        let mut rng = random_source(4);
        let good = encode(&random_elements(19, &mut rng));
        assert!(backend.decode(&good).is_ok());
        for bad in &bad {
            for place in 0..good.len() {
                let mut batch = good.clone();
                batch[place] = *bad;
                assert!(backend.decode(&batch).is_err(), "{bad:02x?} at {place}");
            }
        }
    });
}

/// RFC 9496, appendix A.3. The eleven vectors change places until each has been in every lane.
#[test]
fn uniform_bytes_are_mapped_to_the_elements_of_the_rfc() {
    let file: Value = serde_json::from_str(ONE_WAY_MAP).unwrap();
    let mut vectors: Vec<([u8; 64], Encoding)> = file["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| (bytes(&vector["input"]), bytes(&vector["output"])))
        .collect();
    assert_eq!(vectors.len(), 11);
    let table = FixedBase::new(&Element::generator());
    for _ in 0..vectors.len() {
        vectors.rotate_left(1);
        let (uniform, expected): (Vec<_>, Vec<_>) = vectors.iter().copied().unzip();
        let nothing: Vec<Scalar> = vectors.iter().map(|_| Scalar::default()).collect();
        on_each_backend(|backend| {
            let mapped = backend.map_uniform_bytes(&uniform, 0);
            let (_, encodings) = mapped.offset_and_encode(&nothing, &table);
            assert_eq!(encodings, expected);
        });
    }
}

/// RFC 9497, appendix A.1.2: its batches are shorter than what a backend with lanes is given, so each
/// element is repeated until it fills a group and begins another.
#[test]
fn blinded_elements_are_evaluated_as_in_the_rfc() {
    const COPIES: usize = 9;
    let suites: Value = serde_json::from_str(OPRF).unwrap();
    let suite = &suites[1];
    assert_eq!(suite["mode"], 1);
    let key = Scalar::decode(&bytes(&suite["skSm"])).unwrap();
    let vectors = suite["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        for element in 0..vector["Batch"].as_u64().unwrap() as usize {
            let part = |name: &str| {
                let list = vector[name].as_str().unwrap();
                Value::from(list.split(',').nth(element).unwrap())
            };
            let blinded: Encoding = bytes(&part("BlindedElement"));
            let evaluated: Encoding = bytes(&part("EvaluationElement"));
            on_each_backend(|backend| {
                let batch = backend.decode(&[blinded; COPIES]).unwrap();
                assert_eq!(batch.multiply_and_encode(&key), [evaluated; COPIES]);
            });
        }
    }
}
