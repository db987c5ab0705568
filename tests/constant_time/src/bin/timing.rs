//! Times operations with one fixed secret against random secrets, and compares the means by Welch's t-test
//! (Reparaz, Balasch and Verbauwhede, "Dude, is my code constant time?", 2017).
//!
//! The first argument says how many samples to take in all. Whether operations are constant time is printed and
//! isn't a failure, because another program on the machine can make a difference; a planted leak that isn't found is.

use std::{env, hint::black_box, process::ExitCode, time::Instant};

use blindbook::{
    client::OprfClient,
    oprf::{EvaluatedElements, Proof, digest_inputs},
    server::{EvaluationKey, Evaluator},
};
use blindbook_constant_time::{EPOCH, Grants};
use rand::{Rng, RngExt, SeedableRng, TryCryptoRng, TryRng, rand_core::Infallible, rngs::StdRng};

/// Elements a sample: one group of the AVX-512 backend.
const ELEMENTS: usize = 8;

/// Above this the two classes differ.
const LIMIT: f64 = 4.5;

/// What is fixed: the number one, whose digits are as unlike those of a random number as can be.
const ONE: [u8; 64] = {
    let mut one = [0; 64];
    one[0] = 1;
    one
};

/// The secrets of one sample: enough for a scalar an element.
type Secrets = [[u8; 64]; ELEMENTS];

/// A random source that gives out secrets, and zeros behind them.
struct Prepared<'a>(&'a [u8]);

impl TryRng for Prepared<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let (now, later) = self.0.split_at(bytes.len().min(self.0.len()));
        bytes[..now.len()].copy_from_slice(now);
        bytes[now.len()..].fill(0);
        self.0 = later;
        Ok(())
    }
}

impl TryCryptoRng for Prepared<'_> {}

/// A time in nanoseconds, and whether the secret was the fixed one.
struct Sample {
    nanoseconds: f64,
    fixed: bool,
}

/// Runs `operation`, which times a part of itself, with secrets of either class in random order.
///
/// Both classes draw and copy the same: only what is copied differs.
fn sample(
    count: usize,
    random: &mut StdRng,
    mut operation: impl FnMut(&Secrets, &mut StdRng) -> f64,
) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(count);
    let mut secrets = [[0; 64]; ELEMENTS];
    let one = [ONE; ELEMENTS];
    let warm_up = count / 20;
    for index in 0..count + warm_up {
        random.fill_bytes(secrets.as_flattened_mut());
        let fixed = random.random::<bool>();
        // By a mask: to copy one of two arrays leaves other lines in the cache, which can be measured.
        let keep = black_box(u8::from(fixed).wrapping_sub(1));
        let pairs = secrets
            .as_flattened_mut()
            .iter_mut()
            .zip(black_box(&one).as_flattened());
        for (byte, one) in pairs {
            *byte = (*byte & keep) | (*one & !keep);
        }
        let nanoseconds = operation(black_box(&secrets), random);
        if index >= warm_up {
            samples.push(Sample { nanoseconds, fixed });
        }
    }
    samples
}

#[allow(clippy::disallowed_methods, reason = "a clock is what this is about")]
fn timed<T>(operation: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let result = operation();
    let elapsed = start.elapsed();
    black_box(result);
    elapsed.as_nanos() as f64
}

/// Welch's t of the samples that aren't longer than `most`.
fn welch(samples: &[Sample], most: f64) -> f64 {
    // Count, mean and sum of squared deviations of each class.
    let mut classes = [(0.0, 0.0, 0.0); 2];
    for sample in samples.iter().filter(|sample| sample.nanoseconds <= most) {
        let (count, mean, squares) = &mut classes[usize::from(sample.fixed)];
        *count += 1.0;
        let deviation = sample.nanoseconds - *mean;
        *mean += deviation / *count;
        *squares += deviation * (sample.nanoseconds - *mean);
    }
    let [(n0, mean0, squares0), (n1, mean1, squares1)] = classes;
    let variance = squares0 / (n0 - 1.0) / n0 + squares1 / (n1 - 1.0) / n1;
    (mean1 - mean0) / variance.sqrt()
}

/// The greatest |t| over several croppings: the longest times are other programs'.
fn greatest(samples: &[Sample]) -> (f64, f64) {
    let mut sorted: Vec<f64> = samples.iter().map(|sample| sample.nanoseconds).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    [50, 75, 90, 95, 99, 100]
        .map(|percentile| {
            let most = sorted[(sorted.len() * percentile / 100).max(1) - 1];
            (welch(samples, most), percentile as f64)
        })
        .into_iter()
        .max_by(|(t, _), (other, _)| t.abs().total_cmp(&other.abs()))
        .expect("six croppings")
}

/// Prints one line, and tells whether the classes differ.
fn differ(name: &str, samples: &[Sample]) -> bool {
    let (t, percentile) = greatest(samples);
    let verdict = if t.abs() < LIMIT { "same" } else { "DIFFER" };
    let count = samples.len();
    println!("{verdict:6} {name}: t = {t:+.2} below percentile {percentile}, {count} samples");
    t.abs() >= LIMIT
}

fn main() -> ExitCode {
    let total: usize = env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000);
    if !blindbook::force_portable_backend(false) {
        println!("skip   this machine has no AVX-512 IFMA to time");
        let required = env::var("BLINDBOOK_REQUIRE").unwrap_or_default();
        return ExitCode::from(u8::from(required.split(',').any(|what| what == "avx512")));
    }
    let count = total / 5;
    let mut random = StdRng::from_seed([1; 32]);
    differ(
        "evaluation: keys",
        &sample(count, &mut random, evaluation()),
    );
    differ("blinding: blinds", &sample(count, &mut random, blinding()));
    differ("blinding: inputs", &sample(count, &mut random, hashing()));
    differ(
        "unblinding: blinds",
        &sample(count, &mut random, unblinding()),
    );
    if !differ(
        "planted early exit: keys",
        &sample(count, &mut random, planted()),
    ) {
        println!("FAILED the planted leak wasn't found: this run tells nothing");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Hashing, the product with the key, encoding: all of it constant time, so all of it is timed.
fn evaluation() -> impl FnMut(&Secrets, &mut StdRng) -> f64 {
    let grants = Grants::default();
    let inputs: Vec<[u8; 16]> = (0..ELEMENTS).map(|index| [index as u8; 16]).collect();
    move |secrets, _| {
        let inputs: Vec<&[u8]> = inputs.iter().map(<[u8; 16]>::as_slice).collect();
        let key = EvaluationKey::random(&mut Prepared(secrets.as_flattened()));
        let evaluator = Evaluator::new(EPOCH, key);
        let permit = grants.permit(ELEMENTS, digest_inputs(&inputs));
        timed(|| evaluator.evaluate(permit, &inputs))
    }
}

fn client(random: &mut StdRng) -> OprfClient {
    OprfClient::new(EvaluationKey::random(random).public_key().clone())
}

/// Random elements without an input: the scalars and their fixed-base products.
fn blinding() -> impl FnMut(&Secrets, &mut StdRng) -> f64 {
    let client = client(&mut StdRng::from_seed([2; 32]));
    move |secrets, _| {
        let mut blinds = Prepared(secrets.as_flattened());
        timed(|| client.blind(&[], ELEMENTS, &mut blinds))
    }
}

/// Secret inputs under random blinds.
fn hashing() -> impl FnMut(&Secrets, &mut StdRng) -> f64 {
    let client = client(&mut StdRng::from_seed([2; 32]));
    move |secrets, random| {
        let mut blinds = [[0; 64]; ELEMENTS];
        random.fill_bytes(blinds.as_flattened_mut());
        let inputs = secrets.each_ref().map(<[u8; 64]>::as_slice);
        let mut blinds = Prepared(blinds.as_flattened());
        timed(|| client.blind(&inputs, 0, &mut blinds))
    }
}

/// Verification, which takes variable time, and unblinding, which mustn't.
///
/// What is verified is equally random in both classes: the inputs are.
fn unblinding() -> impl FnMut(&Secrets, &mut StdRng) -> f64 {
    let grants = Grants::default();
    let evaluator = Evaluator::new(
        EPOCH,
        EvaluationKey::random(&mut StdRng::from_seed([3; 32])),
    );
    let client = OprfClient::new(evaluator.public_key().clone());
    move |secrets, random| {
        let mut inputs = [[0_u8; 16]; ELEMENTS];
        random.fill_bytes(inputs.as_flattened_mut());
        let inputs = inputs.each_ref().map(<[u8; 16]>::as_slice);
        let expect = client
            .blind(&inputs, 0, &mut Prepared(secrets.as_flattened()))
            .expect("a batch");
        let request = expect.request().clone();
        let permit = grants.permit(request.len(), request.digest());
        let evaluation = evaluator
            .blind_evaluate(permit, &request, random)
            .expect("elements");
        let elements = EvaluatedElements::new(evaluation.elements.encodings().to_vec());
        let elements = elements.expect("a batch");
        let proof = Proof::decode(&evaluation.proof.encode()).expect("a proof");
        timed(|| {
            expect
                .finalize(&elements, &proof)
                .expect("an honest answer")
        })
    }
}

/// What this program is to find: an operation of the same length, and behind it loops that end with the highest
/// bit of a word of each secret.
fn planted() -> impl FnMut(&Secrets, &mut StdRng) -> f64 {
    let mut blinding = blinding();
    move |secrets, random| {
        let words = secrets
            .each_ref()
            .map(|secret| secret.as_chunks::<8>().0[0]);
        let time = blinding(secrets, random);
        let early_exits = timed(|| {
            let mut product = 3_u64;
            for word in black_box(words) {
                let mut left = u64::from_le_bytes(word);
                while left > 0 {
                    product = black_box(product.wrapping_mul(product) % 0xffff_ffff_ffff_ffc5);
                    left >>= 1;
                }
            }
            product
        });
        time + early_exits
    }
}
