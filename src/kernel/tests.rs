//! One suite for every backend that the machine has, against the group's own one-element operations.
//!
//! Every element of a batch is different, so swapped lanes show. `BLINDBOOK_REQUIRE=avx512` turns a backend
//! that the machine doesn't have into a failure.

mod vectors;

use std::{eprintln, vec, vec::Vec};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    backend::{Backend, FixedBase},
    differential::compare_backends,
};
use crate::group::{Element, Encoding, Scalar, random_scalars};

const LENGTHS: [usize; 11] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 100, 1_023];

/// Runs a test once for each backend, and says so.
fn on_each_backend(test: impl Fn(Backend)) {
    let backends = Backend::all();
    eprintln!("backends: {backends:?}");
    if backends.len() == 1 {
        skip_without_avx512();
    }
    for backend in backends {
        test(backend);
    }
}

pub(super) fn skip_without_avx512() {
    let required = std::env::var("BLINDBOOK_REQUIRE").unwrap_or_default();
    assert!(
        required.split(',').all(|name| name != "avx512"),
        "this machine has no AVX-512 IFMA"
    );
    eprintln!("skipped: this machine has no AVX-512 IFMA");
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
                let batch = backend.map_uniform_bytes(&uniform, padding);
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

/// Random bytes are an element one time in sixteen or so; every backend has to agree which ones are.
#[test]
fn any_bytes_get_the_verdict_of_the_group() {
    on_each_backend(|backend| {
        let mut rng = random_source(5);
        for _ in 0..4_000 {
            let mut encoding = [0; 32];
            rng.fill_bytes(&mut encoding);
            encoding[0] &= !1;
            encoding[31] &= 0x7f;
            let element = Element::decode(&encoding);
            let batch = backend.decode(&[encoding]);
            assert_eq!(batch.is_ok(), element.is_some(), "{encoding:02x?}");
        }
    });
}

/// The ends of the range of scalars, and the identity as a result.
#[test]
fn extreme_scalars_give_the_groups_products() {
    on_each_backend(|backend| {
        let mut rng = random_source(6);
        let one = Scalar::decode(&ONE).unwrap();
        let zero = Scalar::default();
        let minus_one = zero.subtract(&one);
        let half = one.half();
        let elements = random_elements(9, &mut rng);
        let table = FixedBase::new(&elements[0]);
        for scalar in [zero, one, minus_one, half] {
            let batch = backend.decode(&encode(&elements)).unwrap();
            let products: Vec<_> = elements
                .iter()
                .map(|element| element.multiply(&scalar))
                .collect();
            assert_eq!(batch.multiply_and_encode(&scalar), encode(&products));
            let same = || Scalar::decode(&scalar.encode()).unwrap();
            let scalars: Vec<_> = elements.iter().map(|_| same()).collect();
            assert_eq!(
                batch.multiscalar_vartime(&scalars).encode(),
                Element::multiscalar_vartime(&scalars, &elements).encode()
            );
            let sums: Vec<_> = elements
                .iter()
                .map(|element| element.add(&products[0]))
                .collect();
            let (_, encodings) = batch.offset_and_encode(&scalars, &table);
            assert_eq!(encodings, encode(&sums));
        }
    });
}

/// Equal points, and opposite ones, in the same bucket: the formulas are complete.
#[test]
fn equal_and_opposite_elements_add_up() {
    on_each_backend(|backend| {
        let mut rng = random_source(7);
        for count in [2, 16, 200, 600] {
            let element = Element::generator_product(&Scalar::random(&mut rng));
            let opposite = element.negate();
            let elements: Vec<_> = (0..count)
                .map(|index| if index % 2 == 0 { element } else { opposite })
                .collect();
            let weight = Scalar::random(&mut rng);
            let same = || Scalar::decode(&weight.encode()).unwrap();
            let weights: Vec<_> = elements.iter().map(|_| same()).collect();
            let batch = backend.decode(&encode(&elements)).unwrap();
            assert_eq!(batch.multiscalar_vartime(&weights).encode(), [0; 32]);
        }
    });
}

/// The corpus of the fuzz target, and bytes made up here.
#[test]
fn backends_agree_on_any_bytes() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/kernel");
    let seeds: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
    assert!(seeds.len() >= 3);
    for seed in seeds {
        compare_backends(&std::fs::read(seed.unwrap().path()).unwrap());
    }
    let mut rng = random_source(8);
    for length in 0..300 {
        let mut data = vec![0; length];
        rng.fill_bytes(&mut data);
        compare_backends(&data);
    }
}

const ONE: Encoding = {
    let mut one = [0; 32];
    one[0] = 1;
    one
};
