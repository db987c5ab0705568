//! What the feature `parallel` gains: a batch on one thread, and on one thread a core.

#![allow(missing_docs)]

#[path = "support/estimates.rs"]
mod estimates;
#[path = "../tests/support/roles.rs"]
mod roles;

use std::{thread, time::Duration};

use blindbook::{
    oprf::{BlindedElements, digest_inputs},
    server::{EvaluationKey, Evaluator},
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use estimates::Estimates;
use rayon::{ThreadPool, ThreadPoolBuilder};
use roles::{EPOCH, Grants, random_source};

const EVALUATE: &str = "evaluate with proof, by threads";
const BUILD: &str = "build a set, by threads";

const COUNT: usize = 16_384;

fn main() {
    let estimates = Estimates::from_now_on();
    let mut criterion = Criterion::default()
        .output_directory(&Estimates::folder())
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(4))
        .sample_size(20)
        .configure_from_args();
    let cores = thread::available_parallelism().unwrap().get();
    let pools = [1, cores].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        (format!("{threads} threads"), pool.unwrap())
    });
    operations(&mut criterion, &pools);
    criterion.final_summary();

    for group in [EVALUATE, BUILD] {
        let [one, all] = [0, 1].map(|pool| estimates.micros(group, &pools[pool].0, COUNT));
        if let (Some(one), Some(all)) = (one, all) {
            println!(
                "{group}: {one:.1} us an element with one, {all:.1} with {cores}: {:.2} times as fast",
                one / all
            );
        }
    }
}

fn operations(criterion: &mut Criterion, pools: &[(String, ThreadPool)]) {
    let mut rng = random_source(1);
    let grants = Grants::new();
    let evaluator = Evaluator::new(EPOCH, EvaluationKey::random(&mut rng));
    let owned: Vec<String> = (0..COUNT).map(|index| format!("input {index}")).collect();
    let inputs: Vec<&[u8]> = owned.iter().map(String::as_bytes).collect();
    let permit = || grants.permit_for(COUNT, digest_inputs(&inputs));

    let mut group = criterion.benchmark_group(BUILD);
    group.throughput(Throughput::Elements(COUNT as u64));
    for (name, pool) in pools {
        group.bench_function(BenchmarkId::new(name, COUNT), |bencher| {
            bencher.iter_batched(
                permit,
                |permit| pool.install(|| evaluator.evaluate(permit, &inputs).unwrap()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();

    let elements = evaluator.evaluate(permit(), &inputs).unwrap();
    let elements: Vec<_> = elements.iter().map(|element| *element.expose()).collect();
    let blinded = BlindedElements::new(elements).unwrap();
    let mut group = criterion.benchmark_group(EVALUATE);
    group.throughput(Throughput::Elements(COUNT as u64));
    for (name, pool) in pools {
        group.bench_function(BenchmarkId::new(name, COUNT), |bencher| {
            bencher.iter_batched(
                || grants.permit(&blinded),
                |permit| {
                    pool.install(|| {
                        evaluator
                            .blind_evaluate(permit, &blinded, &mut rng)
                            .unwrap()
                    })
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}
