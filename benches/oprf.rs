//! The protocol from bytes to bytes, by each backend that the machine has, beside `voprf-ng` and bare
//! curve25519-dalek in the same run. One thread, without `parallel`.

#![allow(missing_docs)]

#[path = "../tests/support/roles.rs"]
mod roles;

use std::hint::black_box;

use blindbook::{
    client::OprfClient,
    oprf::{BlindedElements, ContactKey, EvaluatedElements, Proof, digest_inputs},
    server::{EvaluationKey, Evaluator},
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use curve25519_dalek::{RistrettoPoint, Scalar, ristretto::CompressedRistretto};
use roles::{EPOCH, Grants, random_source};
use sha2::{Digest, Sha512};
use voprf_ng::{BlindedElement, EvaluationElement, Ristretto255, VoprfClient, VoprfServer};

/// The backends to run: their names, and whether the portable one is forced.
fn backends() -> &'static [(&'static str, bool)] {
    let all = &[
        ("blindbook portable", true),
        ("blindbook avx512ifma", false),
    ];
    if blindbook::force_portable_backend(false) {
        all
    } else {
        &all[..1]
    }
}

type TheirClient = VoprfClient<Ristretto255>;

fn sizes(criterion: &mut Criterion) {
    for count in [1, 64, 1_024, 16_384] {
        protocol(criterion, count);
    }
}

fn protocol(criterion: &mut Criterion, count: usize) {
    let mut rng = random_source(1);
    let owned: Vec<Vec<u8>> = (0..count)
        .map(|index| format!("tel:+4477009{index:05}").into_bytes())
        .collect();
    let inputs: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
    let grants = Grants::new();
    let evaluator = Evaluator::new(EPOCH, EvaluationKey::random(&mut rng));
    let client = OprfClient::new(evaluator.public_key().clone());
    let server = VoprfServer::<Ristretto255>::new(&mut rng).unwrap();

    let mut group = criterion.benchmark_group("blind");
    group
        .sample_size(20)
        .throughput(Throughput::Elements(count as u64));
    for (name, forced) in backends() {
        blindbook::force_portable_backend(*forced);
        group.bench_function(BenchmarkId::new(*name, count), |bencher| {
            bencher.iter(|| client.blind(black_box(&inputs), 0, &mut rng).unwrap());
        });
    }
    group.bench_function(BenchmarkId::new("voprf-ng", count), |bencher| {
        bencher.iter(|| {
            inputs
                .iter()
                .map(|input| TheirClient::blind(input, &mut rng).unwrap())
                .map(|result| (result.state, result.message.serialize()))
                .collect::<Vec<_>>()
        });
    });
    group.finish();

    let expect = client.blind(&inputs, 0, &mut rng).unwrap();
    let request = expect.request().encodings().to_vec();
    let (states, messages): (Vec<_>, Vec<_>) = inputs
        .iter()
        .map(|input| TheirClient::blind(input, &mut rng).unwrap())
        .map(|result| (result.state, result.message.serialize()))
        .unzip();

    let mut group = criterion.benchmark_group("evaluate with proof");
    group
        .sample_size(20)
        .throughput(Throughput::Elements(count as u64));
    for (name, forced) in backends() {
        blindbook::force_portable_backend(*forced);
        group.bench_function(BenchmarkId::new(*name, count), |bencher| {
            bencher.iter_batched(
                || {
                    let blinded = BlindedElements::new(request.clone()).unwrap();
                    (grants.permit(&blinded), blinded)
                },
                |(permit, blinded)| {
                    evaluator
                        .blind_evaluate(permit, &blinded, &mut rng)
                        .unwrap()
                },
                BatchSize::LargeInput,
            );
        });
    }
    let their_evaluate = |rng: &mut rand::rngs::StdRng| {
        let messages: Vec<_> = messages
            .iter()
            .map(|message| BlindedElement::<Ristretto255>::deserialize(message).unwrap())
            .collect();
        let prepared: Vec<_> = server
            .batch_blind_evaluate_prepare(messages.iter())
            .collect();
        let result = server
            .batch_blind_evaluate_finish(rng, messages.iter(), &prepared)
            .unwrap();
        let elements: Vec<_> = result.messages.map(|element| element.serialize()).collect();
        (elements, result.proof)
    };
    group.bench_function(BenchmarkId::new("voprf-ng", count), |bencher| {
        bencher.iter(|| their_evaluate(&mut rng));
    });
    let scalar = Scalar::random(&mut rng);
    group.bench_function(BenchmarkId::new("dalek without proof", count), |bencher| {
        bencher.iter(|| {
            let evaluate = |bytes: &[u8; 32]| {
                let element = CompressedRistretto(*bytes).decompress().unwrap();
                (element * scalar).compress().to_bytes()
            };
            request.iter().map(evaluate).collect::<Vec<_>>()
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("finalize with verification");
    group
        .sample_size(20)
        .throughput(Throughput::Elements(count as u64));
    for (name, forced) in backends() {
        blindbook::force_portable_backend(*forced);
        group.bench_function(BenchmarkId::new(*name, count), |bencher| {
            bencher.iter_batched(
                || {
                    let expect = client.blind(&inputs, 0, &mut rng).unwrap();
                    let permit = grants.permit(expect.request());
                    let evaluation = evaluator
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
    }
    let (elements, proof) = their_evaluate(&mut rng);
    group.bench_function(BenchmarkId::new("voprf-ng", count), |bencher| {
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
                server.get_public_key(),
            )
            .unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("direct set building");
    group
        .sample_size(20)
        .throughput(Throughput::Elements(count as u64));
    for (name, forced) in backends() {
        blindbook::force_portable_backend(*forced);
        group.bench_function(BenchmarkId::new(*name, count), |bencher| {
            bencher.iter_batched(
                || grants.permit_for(count, digest_inputs(&inputs)),
                |permit| {
                    let elements = evaluator.evaluate(permit, &inputs).unwrap();
                    let tag = |element| ContactKey::derive(&[0; 32], EPOCH, element).tag();
                    elements.iter().map(tag).collect::<Vec<_>>()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.bench_function(BenchmarkId::new("voprf-ng", count), |bencher| {
        bencher.iter(|| {
            let output = |input| server.evaluate(input).unwrap();
            inputs.iter().copied().map(output).collect::<Vec<_>>()
        });
    });
    group.bench_function(BenchmarkId::new("dalek", count), |bencher| {
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

criterion_group! {
    name = oprf;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(800));
    targets = sizes
}
criterion_main!(oprf);
