//! Products of one point a lane, with the same scalar in all lanes or one for each. Constant time.
//!
//! Windows of four bits: eight odd multiples a point, sixty-four additions. A table is in memory as the groups
//! are, so choosing from it reads all of it, and keeps what the mask says.

use alloc::vec::Vec;
use core::arch::x86_64::*;

use super::{
    digits::{Digit, Recoded, windows},
    edwards::{Extended, ProjectiveNiels},
    field::Reduced,
    lanes::splat,
};

/// Bits of a window.
///
/// Five bits take 13 additions less, but eight more for the table, and the choice is among twice the entries:
/// building a set takes 7.37 us an element instead of 7.17.
pub(super) const WIDTH: usize = 4;

const ENTRIES: usize = 1 << (WIDTH - 1);

/// The odd multiples 1, 3, ..., 15 of a point.
struct Table([ProjectiveNiels; ENTRIES]);

impl Table {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn new(point: &Extended) -> Self {
        let double = point.double().extended().projective_niels();
        let mut table = [point.projective_niels(); ENTRIES];
        let mut multiple = *point;
        for entry in &mut table[1..] {
            multiple = multiple.add(&double).extended();
            *entry = multiple.projective_niels();
        }
        Self(table)
    }

    /// Reads every entry, whatever the digit.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    #[inline]
    fn choose(&self, digit: Digit) -> ProjectiveNiels {
        let mut chosen = self.0[0];
        for (index, entry) in self.0.iter().enumerate().skip(1) {
            let here = _mm512_cmpeq_epi64_mask(digit.index, splat(index as u64));
            let pick = |chosen: Reduced, entry: Reduced| chosen.select(here, entry);
            chosen = ProjectiveNiels {
                y_plus_x: pick(chosen.y_plus_x, entry.y_plus_x),
                y_minus_x: pick(chosen.y_minus_x, entry.y_minus_x),
                z: pick(chosen.z, entry.z),
                t2d: pick(chosen.t2d, entry.t2d),
            };
        }
        chosen.negate_if(digit.negative)
    }
}

/// The product of each lane.
#[cfg(feature = "server")]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn multiply(point: &Extended, scalar: &Recoded) -> Extended {
    sum(&[Table::new(point)], core::slice::from_ref(scalar))
}

/// The sum of the products of each lane over all groups, which share the doublings.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn sum_of_products(points: &[Extended], scalars: &[Recoded]) -> Extended {
    let tables: Vec<Table> = points.iter().map(|point| Table::new(point)).collect();
    sum(&tables, scalars)
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
#[inline]
fn sum(tables: &[Table], scalars: &[Recoded]) -> Extended {
    let mut sum = Extended::identity().double();
    for window in (0..windows(WIDTH)).rev() {
        for _ in 0..WIDTH {
            sum = sum.projective().double();
        }
        for (table, scalar) in tables.iter().zip(scalars) {
            let chosen = table.choose(scalar.digit(window, WIDTH));
            sum = sum.extended().add(&chosen);
        }
    }
    sum.extended()
}
