//! The same bytes to every backend that the machine has: for the tests and the fuzz target.

use alloc::vec::Vec;

use super::backend::{Backend, FixedBase, Held};
use crate::group::{Element, Encoding, Scalar};

/// Elements a run computes at most: three groups. Buckets, which begin at 96, are left to the tests.
const MOST: usize = 17;

/// Gives `data` to each backend and panics where bytes or verdicts differ.
///
/// One byte of padding, one that says how often what follows is repeated, then encodings of 32 bytes as they
/// are, and the same bytes once more, 64 at a time, as uniform bytes and as scalars.
#[cfg_attr(
    not(fuzzing),
    allow(unreachable_pub, reason = "the fuzz target's way in")
)]
pub fn compare_backends(data: &[u8]) {
    let [padding, repeat, data @ ..] = data else {
        return;
    };
    let padding = usize::from(padding % 16);
    let repeat = usize::from(repeat % 8) + 1;
    let encodings: Vec<Encoding> = tile(data.as_chunks().0, repeat);
    let uniform: Vec<[u8; 64]> = tile(data.as_chunks().0, repeat);
    let results: Vec<_> = Backend::all()
        .into_iter()
        .map(|backend| {
            (
                decoded(backend, &encodings),
                mapped(backend, &uniform, padding),
            )
        })
        .collect();
    for pair in results.windows(2) {
        assert_eq!(pair[0], pair[1]);
    }
}

fn tile<const N: usize>(chunks: &[[u8; N]], repeat: usize) -> Vec<[u8; N]> {
    chunks
        .iter()
        .cycle()
        .take((chunks.len() * repeat).min(MOST))
        .copied()
        .collect()
}

/// Nothing if a backend refuses the encodings.
fn decoded(backend: Backend, encodings: &[Encoding]) -> Option<Vec<Encoding>> {
    let batch = backend.decode(encodings).ok()?;
    Some(computed(
        &batch,
        &scalars(encodings.len(), encodings.as_flattened()),
    ))
}

fn mapped(backend: Backend, uniform: &[[u8; 64]], padding: usize) -> Vec<Encoding> {
    let batch = backend.map_uniform_bytes(uniform, padding);
    let scalars = scalars(uniform.len() + padding, uniform.as_flattened());
    let base = scalars.first().map(Element::generator_product);
    let (sums, mut encodings) =
        batch.offset_and_encode(&scalars, &FixedBase::new(&base.unwrap_or_default()));
    encodings.extend(computed(&sums, &scalars));
    encodings
}

fn computed(batch: &Held, scalars: &[Scalar]) -> Vec<Encoding> {
    let mut encodings = batch.multiply_and_encode(scalars.first().unwrap_or(&Scalar::default()));
    encodings.push(batch.multiscalar_vartime(scalars).encode());
    encodings
}

/// As many scalars as asked for, from windows of the bytes.
fn scalars(count: usize, bytes: &[u8]) -> Vec<Scalar> {
    (0..count)
        .map(|index| {
            let mut wide = [0; 64];
            for (slot, byte) in wide.iter_mut().zip(bytes.iter().cycle().skip(7 * index)) {
                *slot = *byte;
            }
            Scalar::from_uniform_bytes(&wide)
        })
        .collect()
}
