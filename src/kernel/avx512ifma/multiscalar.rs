//! `sum(weights[i] * P[i])` by Pippenger's buckets, or by shared doublings if the points are few. Variable
//! time: public inputs only.
//!
//! A lane is a window of the weights, and has its own buckets. Each point, the same in all lanes, is added in
//! each lane to the bucket of that lane's digit. This costs one addition for eight digits and shares nothing
//! between lanes until the very end.

use alloc::{vec, vec::Vec};
use core::arch::x86_64::*;

use super::{
    digits::{Recoded, Recoder, windows},
    edwards::{AffineNiels, Extended},
    field::{Mask, Reduced, invert_batch},
    lanes::{LANES, Lanes, load, splat, store_to, transpose},
    variable_base::{self, sum_of_products},
};
use crate::group::{Encoding, Scalar};

/// A point as words: four coordinates of five limbs, padded to three vectors.
type Bucket = [[u64; LANES]; 3];

/// An affine point as words: three coordinates of five limbs, padded to two vectors.
type Point = [[u64; LANES]; 2];

/// Fewest points for which buckets are faster than [`sum_of_products`].
///
/// For both sums of a proof together, in us an element: at 128 elements 0.2 slower, at 192 0.3 faster, at 1,024
/// 2.2 faster.
const FEWEST: usize = 160;

/// Bits of a window for a number of points: a bucket costs as much as two points, in every round.
fn width(points: usize) -> usize {
    match points {
        0..=383 => 6,
        _ => 8,
    }
}

/// The sum, in lane 0.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn sum_vartime(groups: &[Extended], weights: &[Scalar]) -> Extended {
    if weights.len() < FEWEST {
        let recoder = Recoder::new(variable_base::WIDTH);
        let recoded: Vec<Recoded> = weights
            .chunks(LANES)
            .map(|weights| Recoded::each(&recoder, weights))
            .collect();
        let mut groups = groups.to_vec();
        if let Some(last) = groups.last_mut() {
            // Lanes behind the last point may hold anything.
            let used = Mask::MAX >> (weights.len().next_multiple_of(LANES) - weights.len());
            *last = Extended::identity().select(used, last);
        }
        return join_lanes(sum_of_products(&groups, &recoded), 0);
    }
    sum_in_buckets(groups, weights)
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn sum_in_buckets(groups: &[Extended], weights: &[Scalar]) -> Extended {
    let width = width(weights.len());
    let recoder = Recoder::new(width);
    let weights: Vec<Encoding> = weights
        .iter()
        .map(|weight| *recoder.recode(weight))
        .collect();
    let points = points(groups);
    let rounds = windows(width).div_ceil(LANES);
    let mut buckets = vec![identity_bucket(); LANES << (width - 1)];
    let mut total = Extended::identity();
    for round in (0..rounds).rev() {
        for _ in 0..width * LANES {
            total = total.double().extended();
        }
        buckets.fill(identity_bucket());
        for (weight, point) in weights.iter().zip(&points) {
            add_to_buckets(&mut buckets, point, weight, round, width);
        }
        // The last round may have more lanes than windows are left.
        let used = Mask::MAX >> ((round + 1) * LANES).saturating_sub(windows(width));
        let sum = Extended::identity().select(used, &sum_buckets(&buckets, width));
        total = total.add(&sum.projective_niels()).extended();
    }
    join_lanes(total, width)
}

/// Adds the point in each lane to the bucket of that lane's window.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_to_buckets(
    buckets: &mut [Bucket],
    point: &Point,
    weight: &Encoding,
    round: usize,
    width: usize,
) {
    let half = 1 << (width - 1);
    let mut negative = 0;
    let mut places = [0; LANES];
    for (lane, place) in places.iter_mut().enumerate() {
        let bits = bits_at(weight, (round * LANES + lane) * width) & (2 * half - 1);
        let positive = bits >= half;
        negative |= u8::from(!positive) << lane;
        let index = if positive {
            bits - half
        } else {
            half - 1 - bits
        };
        *place = lane * half + index;
    }
    let [first, second] = point;
    let limbs = |from: usize| {
        let limb = |at: usize| {
            splat(if at < LANES {
                first[at]
            } else {
                second[at - LANES]
            })
        };
        Reduced([
            limb(from),
            limb(from + 1),
            limb(from + 2),
            limb(from + 3),
            limb(from + 4),
        ])
    };
    let point = AffineNiels {
        y_plus_x: limbs(0),
        y_minus_x: limbs(5),
        t2d: limbs(10),
    };
    let sum = load_buckets(buckets, places)
        .add_affine(&point.negate_if(negative))
        .extended();
    store_buckets(buckets, places, &sum);
}

/// Up to 57 bits of a little-endian number from a place on, and some above them.
fn bits_at(number: &Encoding, bit: usize) -> usize {
    let byte = bit / 8;
    let mut window = [0; 8];
    if let Some(tail) = number.get(byte..) {
        let length = tail.len().min(window.len());
        window[..length].copy_from_slice(&tail[..length]);
    }
    (u64::from_le_bytes(window) >> (bit % 8)) as usize
}

/// `sum((2 i + 1) * bucket[i])` of each lane.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn sum_buckets(buckets: &[Bucket], width: usize) -> Extended {
    let half = 1 << (width - 1);
    let at = |index| core::array::from_fn(|lane| lane * half + index);
    let mut running = Extended::identity();
    let mut weighted = Extended::identity();
    for index in (1..half).rev() {
        let bucket = load_buckets(buckets, at(index)).projective_niels();
        running = running.add(&bucket).extended();
        weighted = weighted.add(&running.projective_niels()).extended();
    }
    let first = load_buckets(buckets, at(0)).projective_niels();
    let once = running.add(&first).extended();
    weighted
        .double()
        .extended()
        .add(&once.projective_niels())
        .extended()
}

/// `sum(2^(width * lane) * lane)`, in lane 0.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn join_lanes(mut total: Extended, width: usize) -> Extended {
    for distance in [1, 2, 4] {
        let mut shifted = total;
        for _ in 0..width * distance {
            shifted = shifted.double().extended();
        }
        let from = _mm512_set1_epi64(distance as i64);
        let places = _mm512_add_epi64(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), from);
        let shift = |value: Reduced| {
            let [a0, a1, a2, a3, a4] = value.0;
            let shift = |limb| _mm512_permutexvar_epi64(places, limb);
            Reduced([shift(a0), shift(a1), shift(a2), shift(a3), shift(a4)])
        };
        let shifted = Extended {
            x: shift(shifted.x),
            y: shift(shifted.y),
            z: shift(shifted.z),
            t: shift(shifted.t),
        };
        total = total.add(&shifted.projective_niels()).extended();
    }
    total
}

/// All points, prepared for being added.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn points(groups: &[Extended]) -> Vec<Point> {
    let mut inverses: Vec<Reduced> = groups.iter().map(|group| group.z).collect();
    let mut scratch = inverses.clone();
    invert_batch(&mut inverses, &mut scratch);
    let mut points = vec![[[0; LANES]; 2]; groups.len() * LANES];
    let slots = points.as_chunks_mut::<LANES>().0;
    for ((group, inverse), slots) in groups.iter().zip(inverses).zip(slots) {
        let AffineNiels {
            y_plus_x: Reduced([p0, p1, p2, p3, p4]),
            y_minus_x: Reduced([m0, m1, m2, m3, m4]),
            t2d: Reduced([t0, t1, t2, t3, t4]),
        } = group.affine_niels(inverse);
        let first = transpose([p0, p1, p2, p3, p4, m0, m1, m2]);
        let second = transpose([m3, m4, t0, t1, t2, t3, t4, _mm512_setzero_si512()]);
        for ((slot, first), second) in slots.iter_mut().zip(first).zip(second) {
            store_to(first, &mut slot[0]);
            store_to(second, &mut slot[1]);
        }
    }
    points
}

fn identity_bucket() -> Bucket {
    // y = z = 1.
    let mut bucket = [[0; LANES]; 3];
    bucket[0][5] = 1;
    bucket[1][2] = 1;
    bucket
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
fn load_buckets(buckets: &[Bucket], places: [usize; LANES]) -> Extended {
    let rows = |part: usize| {
        let [p0, p1, p2, p3, p4, p5, p6, p7] = places;
        let row = |place: usize| load(&buckets[place][part]);
        transpose([
            row(p0),
            row(p1),
            row(p2),
            row(p3),
            row(p4),
            row(p5),
            row(p6),
            row(p7),
        ])
    };
    let [x0, x1, x2, x3, x4, y0, y1, y2] = rows(0);
    let [y3, y4, z0, z1, z2, z3, z4, t0] = rows(1);
    let [t1, t2, t3, t4, _, _, _, _] = rows(2);
    Extended {
        x: Reduced([x0, x1, x2, x3, x4]),
        y: Reduced([y0, y1, y2, y3, y4]),
        z: Reduced([z0, z1, z2, z3, z4]),
        t: Reduced([t0, t1, t2, t3, t4]),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
fn store_buckets(buckets: &mut [Bucket], places: [usize; LANES], point: &Extended) {
    let Reduced([x0, x1, x2, x3, x4]) = point.x;
    let Reduced([y0, y1, y2, y3, y4]) = point.y;
    let Reduced([z0, z1, z2, z3, z4]) = point.z;
    let Reduced([t0, t1, t2, t3, t4]) = point.t;
    let none: Lanes = _mm512_setzero_si512();
    let parts = [
        transpose([x0, x1, x2, x3, x4, y0, y1, y2]),
        transpose([y3, y4, z0, z1, z2, z3, z4, t0]),
        transpose([t1, t2, t3, t4, none, none, none, none]),
    ];
    for (lane, place) in places.into_iter().enumerate() {
        for (part, words) in parts.iter().zip(&mut buckets[place]) {
            store_to(part[lane], words);
        }
    }
}
