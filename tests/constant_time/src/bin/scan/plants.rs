//! What the scan is to find, compiled with it: if one of these isn't found, nothing it says means anything.

use std::{arch::x86_64::*, hint::black_box};

use crate::flow::Kind;

/// Each plant by the end of its name, and what is wrong with it.
pub const PLANTS: [(&str, Kind); 6] = [
    ("plants::gathers", Kind::Gather),
    ("plants::asks_a_mask", Kind::Crossing),
    ("plants::jumps_on_a_digit", Kind::Jump),
    ("plants::counts_by_a_byte", Kind::Address),
    ("plants::counts_by_a_word", Kind::Address),
    ("plants::divides", Kind::Latency),
];

/// Keeps the plants in the program without running them.
pub fn keep() {
    let plants: [*const (); 6] = [
        gathers as *const (),
        asks_a_mask as *const (),
        jumps_on_a_digit as *const (),
        counts_by_a_byte as *const (),
        counts_by_a_word as *const (),
        divides as *const (),
    ];
    black_box(plants);
}

#[inline(never)]
#[target_feature(enable = "avx512f")]
fn gathers(table: &[u64; 64], digits: __m512i) -> __m512i {
    // SAFETY: never run; a caller would have to hold digits below 64.
    unsafe { _mm512_i64gather_epi64::<8>(digits, table.as_ptr().cast()) }
}

#[inline(never)]
#[target_feature(enable = "avx512f")]
fn asks_a_mask(digits: __m512i) -> u64 {
    if _mm512_test_epi64_mask(digits, digits) == 0xff {
        return work(1);
    }
    work(2) + 1
}

#[inline(never)]
fn jumps_on_a_digit(digits: &[u8; 32]) -> u64 {
    if digits[3] & 1 == 1 {
        return work(1);
    }
    work(2) + 1
}

#[inline(never)]
fn counts_by_a_byte(table: &[u64; 256], digits: &[u8; 32]) -> u64 {
    table[usize::from(digits[3])]
}

#[inline(never)]
fn counts_by_a_word(table: &[u64; 64], digits: &[u64; 8]) -> u64 {
    table[(digits[3] & 63) as usize]
}

#[inline(never)]
fn divides(digits: &[u8; 32], by: u64) -> u64 {
    u64::from(digits[3]) / (by | 1)
}

#[inline(never)]
fn work(units: u64) -> u64 {
    black_box(units)
}
