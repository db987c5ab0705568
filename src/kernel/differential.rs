//! The same bytes to every backend that the machine has: for the tests and the fuzz target.

use alloc::vec::Vec;
use std::sync::OnceLock;

use super::backend::{Backend, FixedBase, Held};
use crate::group::{Element, Encoding, Scalar};

/// Lengths around the edges of groups and of pairs of groups.
const EDGES: [usize; 6] = [7, 8, 9, 15, 16, 17];

/// Shortest of the long sums: from here on there are buckets.
const LONG: usize = 160;

/// Gives `data` to each backend and panics where bytes or verdicts differ.
///
/// ```text
/// selector   two bits: what is computed; one: of decoded or of mapped elements; two: how many elements are
///            described below, and repeated for the rest; two: how many scalars
/// extra      low half: padding, or what is left after truncation; high half: the fixed base
/// scalars    each of a kind and what the kind needs
/// elements   the same
/// ```
///
/// What is missing at the end is zeros.
#[cfg_attr(
    not(fuzzing),
    allow(unreachable_pub, reason = "the fuzz target's way in")
)]
pub fn compare_backends(data: &[u8]) {
    let run = Run::describe(Input(data));
    let results: Vec<_> = Backend::all()
        .into_iter()
        .map(|backend| run.compute(backend))
        .collect();
    for pair in results.windows(2) {
        assert_eq!(pair[0], pair[1]);
    }
}

struct Run {
    operation: Operation,
    elements: Elements,
    scalars: Vec<Scalar>,
    base: &'static FixedBase,
}

enum Operation {
    Multiply,
    Sum,
    Offset,
    /// Lanes behind the last element hold something else by then.
    OffsetAndSum {
        kept: usize,
    },
}

enum Elements {
    Encoded(Vec<Encoding>),
    Mapped {
        uniform: Vec<[u8; 64]>,
        padding: usize,
    },
}

impl Run {
    fn describe(mut input: Input<'_>) -> Self {
        let checksum = input.checksum();
        let selector = usize::from(input.byte());
        let extra = usize::from(input.byte());
        let long = checksum.is_multiple_of(1_024);
        let count = match checksum % 64 {
            _ if long => LONG + extra,
            place @ 1..=6 => EDGES[place - 1],
            other => 1 + other % 3,
        };
        let operation = match selector % 4 {
            _ if long => Operation::Sum,
            0 => Operation::Multiply,
            1 => Operation::Sum,
            2 => Operation::Offset,
            _ => Operation::OffsetAndSum {
                kept: count.min(extra % 16),
            },
        };
        let mapped = !long && selector & 4 != 0;
        let padding = if mapped { count.min(extra % 16) } else { 0 };
        let scalars = tile(count, 1 + (selector >> 5) % 4, || input.scalar());
        let described = 1 + (selector >> 3) % 4;
        let elements = if mapped {
            Elements::Mapped {
                uniform: tile(count - padding, described, || input.uniform()),
                padding,
            }
        } else {
            Elements::Encoded(tile(count, described, || input.encoding()))
        };
        let bases = bases();
        Self {
            operation,
            elements,
            scalars: scalars.iter().map(reduce).collect(),
            base: &bases[(extra >> 4) % bases.len()],
        }
    }

    /// Nothing if the backend refuses the encodings.
    fn compute(&self, backend: Backend) -> Option<Vec<Encoding>> {
        let batch: Held = match &self.elements {
            Elements::Encoded(encodings) => backend.decode(encodings).ok()?,
            Elements::Mapped { uniform, padding } => backend.map_uniform_bytes(uniform, *padding),
        };
        let scalars = self.scalars.as_slice();
        Some(match self.operation {
            Operation::Multiply => batch.multiply_and_encode(&scalars[0]),
            Operation::Sum => [batch.multiscalar_vartime(scalars).encode()].to_vec(),
            Operation::Offset => batch.offset_and_encode(scalars, self.base).1,
            Operation::OffsetAndSum { kept } => {
                let (mut sums, mut encodings) = batch.offset_and_encode(scalars, self.base);
                sums.truncate(kept);
                encodings.push(sums.multiscalar_vartime(&scalars[..kept]).encode());
                encodings
            }
        })
    }
}

/// `count` values, the first few described and the rest repeated.
fn tile<T: Copy>(count: usize, described: usize, describe: impl FnMut() -> T) -> Vec<T> {
    let values: Vec<T> = core::iter::repeat_with(describe)
        .take(described.min(count))
        .collect();
    values.iter().copied().cycle().take(count).collect()
}

/// The rest of the bytes of a run, and zeros behind them.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    /// What the length of a run follows from. It isn't a byte of the input: the fuzzer would keep the longest
    /// runs, and try little else but their mutations.
    fn checksum(&self) -> usize {
        let step = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        (self.0.iter().fold(0x811c_9dc5, step) >> 16) as usize
    }

    fn byte(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let (taken, rest) = self.0.split_at(self.0.len().min(N));
        bytes[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
        bytes
    }

    /// A number of 255 bits whose 51-bit limbs are all close to zero or to all ones: what carries and
    /// comparisons with `p` stumble over.
    fn edge(&mut self) -> Encoding {
        let mut words = [0; 4];
        for (limb, byte) in self.bytes::<5>().into_iter().enumerate() {
            let small = u64::from(byte & 0x7f);
            let value = if byte < 0x80 {
                small
            } else {
                (1 << 51) - 1 - small
            };
            let (word, shift) = (51 * limb / 64, 51 * limb % 64);
            words[word] |= value << shift;
            if shift > 13 {
                words[word + 1] |= value >> (64 - shift);
            }
        }
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }

    fn encoding(&mut self) -> Encoding {
        match self.byte() % 4 {
            0 | 1 => {
                let elements = small_multiples();
                elements[usize::from(self.byte()) % elements.len()]
            }
            2 => self.edge(),
            _ => self.bytes(),
        }
    }

    fn uniform(&mut self) -> [u8; 64] {
        match self.byte() % 2 {
            0 => {
                let mut bytes = [0; 64];
                for half in bytes.as_chunks_mut().0 {
                    *half = self.edge();
                }
                bytes
            }
            _ => self.bytes(),
        }
    }

    /// Sixty-four bytes to reduce, and whether to take the opposite.
    fn scalar(&mut self) -> ([u8; 64], bool) {
        let kind = self.byte();
        let mut bytes = [0; 64];
        match kind % 4 {
            0 => bytes[0] = self.byte(),
            1 => bytes[..32].copy_from_slice(&self.edge()),
            2 => bytes[..32].copy_from_slice(&self.bytes::<32>()),
            _ => bytes = self.bytes(),
        }
        (bytes, kind & 4 != 0)
    }
}

fn reduce((bytes, opposite): &([u8; 64], bool)) -> Scalar {
    let scalar = Scalar::from_uniform_bytes(bytes);
    if *opposite {
        Scalar::default().subtract(&scalar)
    } else {
        scalar
    }
}

/// Multiples of the generator by 1 to 8 and their opposites: sums that meet the identity and themselves.
fn small_multiples() -> &'static [Encoding] {
    static MULTIPLES: OnceLock<Vec<Encoding>> = OnceLock::new();
    MULTIPLES.get_or_init(|| {
        let opposite = |factor| [(small(factor), false), (small(factor), true)];
        (1..=8)
            .flat_map(opposite)
            .map(|scalar| Element::generator_product(&reduce(&scalar)).encode())
            .collect()
    })
}

/// Kept between runs: a table costs as much as everything else in a run.
fn bases() -> &'static [FixedBase] {
    static BASES: OnceLock<Vec<FixedBase>> = OnceLock::new();
    BASES.get_or_init(|| {
        [(small(1), false), (small(2), true), ([0xa5; 64], false)]
            .iter()
            .map(|scalar| FixedBase::new(&Element::generator_product(&reduce(scalar))))
            .collect()
    })
}

fn small(factor: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = factor;
    bytes
}
