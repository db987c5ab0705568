//! The protocol from bytes to bytes, by each backend that the machine has, beside `voprf-ng` and bare
//! curve25519-dalek in the same run. One thread. Ends with a table and a plot.

#![allow(missing_docs)]

#[path = "support/estimates.rs"]
mod estimates;
#[path = "support/plot.rs"]
mod plot;
#[path = "../tests/support/roles.rs"]
mod roles;
#[path = "support/table.rs"]
mod table;

use std::{hint::black_box, time::Duration};

use blindbook::{
    client::OprfClient,
    oprf::{BlindedElements, ContactKey, EvaluatedElements, Proof, digest_inputs},
    server::{Delta, EvaluationKey, Evaluator},
};
use criterion::{
    BatchSize, Bencher, BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime,
};
use curve25519_dalek::{RistrettoPoint, Scalar, ristretto::CompressedRistretto};
use estimates::Estimates;
use rand::rngs::StdRng;
use roles::{EPOCH, Grants, random_source};
use sha2::{Digest, Sha512};
use voprf_ng::{BlindedElement, EvaluationElement, Ristretto255, VoprfClient, VoprfServer};

const BLIND: &str = "blind";
const EVALUATE: &str = "evaluate with proof";
const FINALIZE: &str = "finalize with verification";
const PRODUCT: &str = "decode, multiply, encode";
const BUILD: &str = "build a set";

const AVX512: &str = "blindbook avx512ifma";
const PORTABLE: &str = "blindbook portable";
const DALEK: &str = "dalek";
const VOPRF: &str = "voprf-ng";

/// Every short length, since that is where a backend could lose; around the edges of groups; long ones.
const LENGTHS: [usize; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 64, 1_024, 16_384];

/// Lengths at which the others are measured: they compute an element at a time, whatever the length.
const LENGTHS_OF_OTHERS: [usize; 3] = [1, 64, 1_024];

type TheirClient = VoprfClient<Ristretto255>;

fn main() {
    // With all features too.
    #[cfg(feature = "parallel")]
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .unwrap();
    let estimates = Estimates::from_now_on();
    let mut criterion = Criterion::default()
        .output_directory(&Estimates::folder())
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .nresamples(10_000)
        .configure_from_args();
    for count in LENGTHS {
        let world = World::new(count);
        blind(&mut criterion, &world);
        evaluate(&mut criterion, &world);
        finalize(&mut criterion, &world);
        product(&mut criterion, &world);
        build(&mut criterion, &world);
    }
    criterion.final_summary();
    table::print(&estimates);
    plot::write(&estimates).unwrap();
}

/// Both roles of ours, their server, and a batch of one length.
struct World {
    inputs: Vec<Vec<u8>>,
    grants: Grants,
    evaluator: Evaluator,
    client: OprfClient,
    server: VoprfServer<Ristretto255>,
}

impl World {
    fn new(count: usize) -> Self {
        let mut rng = random_source(1);
        let evaluator = Evaluator::new(EPOCH, EvaluationKey::random(&mut rng));
        Self {
            inputs: (0..count)
                .map(|index| format!("tel:+4477009{index:05}").into_bytes())
                .collect(),
            grants: Grants::new(),
            client: OprfClient::new(evaluator.public_key().clone()),
            evaluator,
            server: VoprfServer::new(&mut rng).unwrap(),
        }
    }

    fn inputs(&self) -> Vec<&[u8]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }

    fn blinded(&self, rng: &mut StdRng) -> Vec<[u8; 32]> {
        let expect = self.client.blind(&self.inputs(), 0, rng).unwrap();
        expect.request().encodings().to_vec()
    }

    fn group<'a>(
        &self,
        criterion: &'a mut Criterion,
        name: &'static str,
    ) -> BenchmarkGroup<'a, WallTime> {
        let mut group = criterion.benchmark_group(name);
        let count = self.inputs.len();
        group
            .sample_size(if count > 1_024 { 10 } else { 20 })
            .throughput(Throughput::Elements(count as u64));
        group
    }

    /// Once with each backend of this machine.
    fn ours(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        mut run: impl FnMut(&mut Bencher<'_, WallTime>),
    ) {
        for (name, forced) in [(PORTABLE, true), (AVX512, false)] {
            if blindbook::force_portable_backend(forced) || forced {
                group.bench_function(BenchmarkId::new(name, self.inputs.len()), &mut run);
            }
        }
    }

    fn theirs(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        name: &str,
        run: impl FnMut(&mut Bencher<'_, WallTime>),
    ) {
        let count = self.inputs.len();
        if LENGTHS_OF_OTHERS.contains(&count) {
            group.bench_function(BenchmarkId::new(name, count), run);
        }
    }
}

fn blind(criterion: &mut Criterion, world: &World) {
    let mut rng = random_source(2);
    let inputs = world.inputs();
    let mut group = world.group(criterion, BLIND);
    world.ours(&mut group, |bencher| {
        bencher.iter(|| {
            let inputs = black_box(&inputs);
            world.client.blind(inputs, 0, &mut rng).unwrap()
        });
    });
    world.theirs(&mut group, VOPRF, |bencher| {
        bencher.iter(|| {
            inputs
                .iter()
                .map(|input| TheirClient::blind(input, &mut rng).unwrap())
                .map(|result| (result.state, result.message.serialize()))
                .collect::<Vec<_>>()
        });
    });
    group.finish();
}

fn evaluate(criterion: &mut Criterion, world: &World) {
    let mut rng = random_source(3);
    let blinded = world.blinded(&mut rng);
    let mut group = world.group(criterion, EVALUATE);
    world.ours(&mut group, |bencher| {
        bencher.iter_batched(
            || {
                let blinded = BlindedElements::new(blinded.clone()).unwrap();
                (world.grants.permit(&blinded), blinded)
            },
            |(permit, blinded)| {
                world
                    .evaluator
                    .blind_evaluate(permit, &blinded, &mut rng)
                    .unwrap()
            },
            BatchSize::LargeInput,
        );
    });
    world.theirs(&mut group, VOPRF, |bencher| {
        bencher.iter(|| their_evaluation(&world.server, black_box(&blinded), &mut rng));
    });
    group.finish();
}

fn finalize(criterion: &mut Criterion, world: &World) {
    let mut rng = random_source(4);
    let inputs = world.inputs();
    let mut group = world.group(criterion, FINALIZE);
    world.ours(&mut group, |bencher| {
        bencher.iter_batched(
            || {
                let expect = world.client.blind(&inputs, 0, &mut rng).unwrap();
                let permit = world.grants.permit(expect.request());
                let evaluation = world
                    .evaluator
                    .blind_evaluate(permit, expect.request(), &mut rng)
                    .unwrap();
                let proof = evaluation.proof.encode();
                (expect, evaluation.elements.encodings().to_vec(), proof)
            },
            |(expect, elements, proof)| {
                let elements = EvaluatedElements::new(elements).unwrap();
                expect
                    .finalize(&elements, &Proof::decode(&proof).unwrap())
                    .unwrap()
            },
            BatchSize::LargeInput,
        );
    });
    let mut rng = random_source(5);
    let (states, blinded): (Vec<_>, Vec<[u8; 32]>) = inputs
        .iter()
        .map(|input| TheirClient::blind(input, &mut rng).unwrap())
        .map(|result| (result.state, <[u8; 32]>::from(result.message.serialize())))
        .unzip();
    world.theirs(&mut group, VOPRF, |bencher| {
        let (elements, proof) = their_evaluation(&world.server, &blinded, &mut rng);
        bencher.iter(|| {
            let elements: Vec<_> = elements
                .iter()
                .map(|element| EvaluationElement::deserialize(element).unwrap())
                .collect();
            TheirClient::batch_finalize(
                &inputs,
                &states,
                &elements,
                &proof,
                world.server.get_public_key(),
            )
            .unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
        });
    });
    group.finish();
}

/// What evaluation is without its proof, and the rotation of a key.
fn product(criterion: &mut Criterion, world: &World) {
    let mut rng = random_source(6);
    let elements = world.blinded(&mut rng);
    let delta = Delta::random(&mut rng);
    let mut group = world.group(criterion, PRODUCT);
    world.ours(&mut group, |bencher| {
        bencher.iter(|| delta.multiply(black_box(&elements)).unwrap());
    });
    let scalar = Scalar::random(&mut rng);
    world.theirs(&mut group, DALEK, |bencher| {
        bencher.iter(|| {
            let product = |bytes: &[u8; 32]| {
                let element = CompressedRistretto(*bytes).decompress().unwrap();
                (element * scalar).compress().to_bytes()
            };
            black_box(&elements).iter().map(product).collect::<Vec<_>>()
        });
    });
    group.finish();
}

fn build(criterion: &mut Criterion, world: &World) {
    let inputs = world.inputs();
    let mut group = world.group(criterion, BUILD);
    world.ours(&mut group, |bencher| {
        bencher.iter_batched(
            || {
                world
                    .grants
                    .permit_for(inputs.len(), digest_inputs(&inputs))
            },
            |permit| {
                let elements = world.evaluator.evaluate(permit, &inputs).unwrap();
                let tag = |element| ContactKey::derive(&[0; 32], EPOCH, element).tag();
                elements.iter().map(tag).collect::<Vec<_>>()
            },
            BatchSize::LargeInput,
        );
    });
    world.theirs(&mut group, VOPRF, |bencher| {
        bencher.iter(|| {
            let output = |input: &&[u8]| world.server.evaluate(input).unwrap();
            inputs.iter().map(output).collect::<Vec<_>>()
        });
    });
    let scalar = Scalar::random(&mut random_source(7));
    world.theirs(&mut group, DALEK, |bencher| {
        bencher.iter(|| {
            let tag = |input: &&[u8]| {
                let hashed = RistrettoPoint::hash_from_bytes::<Sha512>(input);
                let element = (hashed * scalar).compress();
                let tag = Sha512::new_with_prefix([0; 64]).chain_update(element.as_bytes());
                <[u8; 64]>::from(tag.finalize())
            };
            inputs.iter().map(tag).collect::<Vec<_>>()
        });
    });
    group.finish();
}

fn their_evaluation(
    server: &VoprfServer<Ristretto255>,
    blinded: &[[u8; 32]],
    rng: &mut StdRng,
) -> (Vec<[u8; 32]>, voprf_ng::Proof<Ristretto255>) {
    let messages: Vec<_> = blinded
        .iter()
        .map(|message| BlindedElement::<Ristretto255>::deserialize(message).unwrap())
        .collect();
    let prepared: Vec<_> = server
        .batch_blind_evaluate_prepare(messages.iter())
        .collect();
    let result = server
        .batch_blind_evaluate_finish(rng, messages.iter(), &prepared)
        .unwrap();
    let elements = result.messages.map(|element| element.serialize().into());
    (elements.collect(), result.proof)
}
