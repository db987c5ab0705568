//! Products of one public point with a scalar a lane. Constant time.
//!
//! Each window has a table of its own, so there is nothing to double. A limb of eight table entries is one
//! vector, and the limb that each lane wants is permuted out of it: eight lanes choose from 32 entries in 45
//! instructions, which read the whole table and take the same time for every digit.

use alloc::{boxed::Box, vec, vec::Vec};
use core::arch::x86_64::*;

use super::{
    digits::{Digit, Recoded, windows},
    edwards::{AffineNiels, Extended},
    field::{Reduced, invert_batch},
    lanes::{LANES, Lanes, load, splat, store},
};

/// Bits of a window.
///
/// With five bits the table is 98 KiB, and blinding takes 3.30 us an element instead of 3.18.
pub(super) const WIDTH: usize = 6;

const ENTRIES: usize = 1 << (WIDTH - 1);
/// A permutation takes two of them, and its index bit 4 is chosen by a mask.
const ROWS: usize = ENTRIES / LANES;
const WINDOWS: usize = windows(WIDTH);

/// One limb of all entries.
type Row = [Lanes; ROWS];

/// The odd multiples 1, 3, ..., 63 of `2^(6 i) * B`.
#[derive(Clone, Copy)]
struct Window {
    y_plus_x: [Row; 5],
    y_minus_x: [Row; 5],
    t2d: [Row; 5],
}

/// A table for one base: 161 KiB.
pub(super) struct Table(Box<[Window]>);

impl Table {
    /// Takes the base in every lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn new(base: &Extended) -> Self {
        let multiples = odd_multiples(&shifted(base));
        let mut inverses: Vec<Reduced> = multiples.iter().map(|multiple| multiple.z).collect();
        let mut scratch = inverses.clone();
        invert_batch(&mut inverses, &mut scratch);
        let entries: Vec<AffineNiels> = multiples
            .iter()
            .zip(inverses)
            .map(|(multiple, inverse)| multiple.affine_niels(inverse))
            .collect();
        let table = (0..WINDOWS)
            .map(|window| {
                let entries = &entries[window / LANES * ENTRIES..][..ENTRIES];
                let row = |limb: &dyn Fn(&AffineNiels) -> Lanes| {
                    let mut words = [[0; LANES]; ROWS];
                    for (index, entry) in entries.iter().enumerate() {
                        words[index / LANES][index % LANES] = store(limb(entry))[window % LANES];
                    }
                    words.map(|words| load(&words))
                };
                Window {
                    y_plus_x: core::array::from_fn(|limb| row(&|entry| entry.y_plus_x.0[limb])),
                    y_minus_x: core::array::from_fn(|limb| row(&|entry| entry.y_minus_x.0[limb])),
                    t2d: core::array::from_fn(|limb| row(&|entry| entry.t2d.0[limb])),
                }
            })
            .collect();
        Self(table)
    }

    /// Adds `scalars[i] * B` to each sum.
    ///
    /// Window by window through all sums, so that a window's table stays in the nearest cache.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn add_products(&self, scalars: &[Recoded], sums: &mut [Extended]) {
        for (index, window) in self.0.iter().enumerate() {
            for (scalar, sum) in scalars.iter().zip(sums.iter_mut()) {
                let chosen = window.choose(scalar.digit(index, WIDTH));
                *sum = sum.add_affine(&chosen).extended();
            }
        }
    }
}

impl Window {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    fn choose(&self, digit: Digit) -> AffineNiels {
        let upper = _mm512_test_epi64_mask(digit.index, splat(2 * LANES as u64));
        let pick = |rows: &[Row; 5]| {
            let [r0, r1, r2, r3, r4] = rows;
            let pick = |row: &Row| {
                let low = _mm512_permutex2var_epi64(row[0], digit.index, row[1]);
                let high = _mm512_permutex2var_epi64(row[2], digit.index, row[3]);
                _mm512_mask_mov_epi64(low, upper, high)
            };
            Reduced([pick(r0), pick(r1), pick(r2), pick(r3), pick(r4)])
        };
        AffineNiels {
            y_plus_x: pick(&self.y_plus_x),
            y_minus_x: pick(&self.y_minus_x),
            t2d: pick(&self.t2d),
        }
        .negate_if(digit.negative)
    }
}

/// `2^(6 i) * B` in lane `i % 8` of group `i / 8`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn shifted(base: &Extended) -> Vec<Extended> {
    let mut groups = vec![Extended::identity(); WINDOWS.div_ceil(LANES)];
    let mut power = *base;
    for window in 0..WINDOWS {
        let group = &mut groups[window / LANES];
        *group = group.select(1 << (window % LANES), &power);
        for _ in 0..WIDTH {
            power = power.double().extended();
        }
    }
    groups
}

/// [`ENTRIES`] multiples of each group, one group after the other.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn odd_multiples(groups: &[Extended]) -> Vec<Extended> {
    let mut multiples = Vec::with_capacity(groups.len() * ENTRIES);
    for group in groups {
        let double = group.double().extended().projective_niels();
        let mut multiple = *group;
        for _ in 0..ENTRIES {
            multiples.push(multiple);
            multiple = multiple.add(&double).extended();
        }
    }
    multiples
}
