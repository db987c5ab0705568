//! One suite for every backend that the machine has, against the group's own one-element operations.
//!
//! Every element of a batch is different, so swapped lanes show. `BLINDBOOK_REQUIRE=avx512` turns a backend
//! that the machine doesn't have into a failure.

#![cfg(all(feature = "client", feature = "server", feature = "std"))]

use std::{eprintln, vec, vec::Vec};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::backend::{Backend, FixedBase};
use crate::group::{Element, Encoding, Scalar, random_scalars};

const LENGTHS: [usize; 11] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 100, 1_023];

/// Runs a test once for each backend, and says so.
fn on_each_backend(test: impl Fn(Backend)) {
    let backends = Backend::all();
    eprintln!("backends: {backends:?}");
    let required = std::env::var("BLINDBOOK_REQUIRE").unwrap_or_default();
    assert!(
        backends.len() > 1 || !required.split(',').any(|name| name == "avx512"),
        "this machine has no AVX-512 IFMA"
    );
    for backend in backends {
        test(backend);
    }
}

fn random_source(stream: u64) -> StdRng {
    StdRng::seed_from_u64(stream)
}

fn random_elements(count: usize, rng: &mut StdRng) -> Vec<Element> {
    random_scalars(count, rng)
        .iter()
        .map(Element::generator_product)
        .collect()
}

fn encode(elements: &[Element]) -> Vec<Encoding> {
    elements.iter().map(Element::encode).collect()
}

#[test]
fn a_product_with_one_scalar_is_the_groups_product() {
    on_each_backend(|backend| {
        let mut rng = random_source(1);
        for count in LENGTHS {
            let elements = random_elements(count, &mut rng);
            let batch = backend.decode(&encode(&elements)).unwrap();
            assert_eq!(batch.len(), count);
            let scalar = Scalar::random(&mut rng);
            let expected: Vec<_> = elements
                .iter()
                .map(|element| element.multiply(&scalar))
                .collect();
            assert_eq!(
                batch.multiply_and_encode(&scalar),
                encode(&expected),
                "{count}"
            );
        }
    });
}

#[test]
fn the_one_way_map_and_a_fixed_base_product_are_the_groups() {
    on_each_backend(|backend| {
        let mut rng = random_source(2);
        let base = Element::generator_product(&Scalar::random(&mut rng));
        let table = FixedBase::new(&base);
        for count in LENGTHS {
            for padding in [0, 3] {
                let mut uniform = vec![[0; 64]; count];
                for bytes in &mut uniform {
                    rng.fill_bytes(bytes);
                }
                let scalars = random_scalars(count + padding, &mut rng);
                let expected: Vec<_> = scalars
                    .iter()
                    .enumerate()
                    .map(|(index, scalar)| {
                        let hashed = uniform.get(index).map(Element::from_uniform_bytes);
                        hashed.unwrap_or_default().add(&base.multiply(scalar))
                    })
                    .collect();
                let batch = backend.from_uniform_bytes(&uniform, padding);
                let (sums, encodings) = batch.offset_and_encode(&scalars, &table);
                assert_eq!(encodings, encode(&expected), "{count} and {padding}");
                let one = Scalar::decode(&ONE).unwrap();
                assert_eq!(sums.multiply_and_encode(&one), encodings);

                // The lanes behind the last element hold something else by now.
                let weights = random_scalars(count + padding, &mut rng);
                let sum = Element::multiscalar_vartime(&weights, &expected);
                assert_eq!(sums.multiscalar_vartime(&weights).encode(), sum.encode());
                let mut sums = sums;
                sums.truncate(count / 2);
                let sum =
                    Element::multiscalar_vartime(&weights[..count / 2], &expected[..count / 2]);
                let truncated = sums.multiscalar_vartime(&weights[..count / 2]);
                assert_eq!(truncated.encode(), sum.encode());
            }
        }
    });
}

#[test]
fn a_weighted_sum_is_the_groups() {
    on_each_backend(|backend| {
        let mut rng = random_source(3);
        for count in LENGTHS {
            let elements = random_elements(count, &mut rng);
            let weights = random_scalars(count, &mut rng);
            let batch = backend.decode(&encode(&elements)).unwrap();
            assert_eq!(
                batch.multiscalar_vartime(&weights).encode(),
                Element::multiscalar_vartime(&weights, &elements).encode(),
                "{count}"
            );
        }
    });
}

const ONE: Encoding = {
    let mut one = [0; 32];
    one[0] = 1;
    one
};
