//! The field against plain 256-bit integers, at every bound of its table and at random.

use std::{vec, vec::Vec};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{power::invert, *};
use crate::kernel::avx512ifma::Avx512Ifma;

type Limbs = [u64; LIMBS];

/// An integer modulo `p`, below `2^256`, as little-endian words: slow and plain.
#[derive(Clone, Copy, Debug)]
struct Plain([u64; 4]);

impl Plain {
    fn of_limbs(limbs: Limbs) -> Self {
        let radix = Self([1 << LIMB_BITS, 0, 0, 0]);
        limbs.iter().rev().fold(Self([0; 4]), |sum, limb| {
            sum.times(radix).plus(Self([*limb, 0, 0, 0]))
        })
    }

    fn plus(self, other: Self) -> Self {
        let mut wide = [0; 8];
        let mut carry = 0;
        for (index, word) in wide.iter_mut().take(4).enumerate() {
            let sum = u128::from(self.0[index]) + u128::from(other.0[index]) + carry;
            *word = sum as u64;
            carry = sum >> 64;
        }
        wide[4] = carry as u64;
        Self::fold(wide)
    }

    fn times(self, other: Self) -> Self {
        let mut wide = [0; 8];
        for i in 0..4 {
            let mut carry = 0;
            for j in 0..4 {
                let sum = u128::from(self.0[i]) * u128::from(other.0[j])
                    + u128::from(wide[i + j])
                    + carry;
                wide[i + j] = sum as u64;
                carry = sum >> 64;
            }
            wide[i + 4] = carry as u64;
        }
        Self::fold(wide)
    }

    /// `2^256 = 38`.
    fn fold(mut wide: [u64; 8]) -> Self {
        while wide[4..] != [0; 4] {
            let mut carry = 0;
            for index in 0..4 {
                let sum = u128::from(wide[index]) + 38 * u128::from(wide[index + 4]) + carry;
                wide[index] = sum as u64;
                carry = sum >> 64;
            }
            wide[4..].copy_from_slice(&[carry as u64, 0, 0, 0]);
        }
        Self([wide[0], wide[1], wide[2], wide[3]])
    }

    /// `p - self`, up to a multiple of `p`.
    fn negated(self) -> Self {
        self.times(Self([u64::MAX - 19, u64::MAX, u64::MAX, u64::MAX >> 1]))
    }

    fn canonical(self) -> [u64; 4] {
        let top = self.0[3] >> 63;
        let mut words = self.0;
        words[3] &= u64::MAX >> 1;
        let below = Self(words).plus(Self([19 * top, 0, 0, 0]));
        // At most 2^255 + 18 now; adding 19 overflows bit 255 from p on.
        let shifted = below.plus(Self([19, 0, 0, 0]));
        if shifted.0[3] >> 63 == 1 {
            let mut words = shifted.0;
            words[3] &= u64::MAX >> 1;
            words
        } else {
            below.0
        }
    }
}

/// Runs what needs the instructions, if the machine has them.
#[allow(unsafe_code, reason = "the test is the caller that has looked")]
fn on_lanes(test: unsafe fn()) {
    match Avx512Ifma::detect() {
        // SAFETY: the CPU has just been asked for the features.
        Some(_) => unsafe { test() },
        None => crate::kernel::tests::skip_without_avx512(),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn lanes(limbs: &[Limbs; LANES]) -> [Lanes; LIMBS] {
    core::array::from_fn(|limb| load(&core::array::from_fn(|lane| limbs[lane][limb])))
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn words(value: Reduced) -> [[u64; 4]; LANES] {
    let words = value.to_words().map(|word| store(word));
    core::array::from_fn(|lane| core::array::from_fn(|word| words[word][lane]))
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn greatest(value: [Lanes; LIMBS]) -> u64 {
    let limbs = value.map(|limb| store(limb));
    limbs.into_iter().flatten().max().unwrap()
}

const TWICE_P: Limbs = [2 * P[0], 2 * P[1], 2 * P[2], 2 * P[3], 2 * P[4]];

/// Limbs at and around each bound for what can be multiplied.
fn edges() -> Vec<u64> {
    let carried = (1 << LIMB_BITS) + (1 << 18);
    let twice_p = TWICE_P[0];
    vec![
        0,
        1,
        18,
        19,
        P[0],
        LIMB_MASK,
        1 << LIMB_BITS,
        carried,
        twice_p - 1,
        twice_p,
    ]
}

/// Groups with every edge in every limb, all limbs at once, and mixtures of edges and random limbs.
fn reduced_groups(random: usize) -> Vec<[Limbs; LANES]> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut values = vec![[0; LIMBS], P, TWICE_P, [TWICE_P[0]; LIMBS]];
    for edge in edges() {
        values.push([edge; LIMBS]);
        for limb in 0..LIMBS {
            let mut value = [0; LIMBS];
            value[limb] = edge;
            values.push(value);
        }
    }
    let edges = edges();
    for _ in 0..random {
        values.push(core::array::from_fn(|_| {
            let word = rng.next_u64();
            if word >> 62 == 0 {
                edges[word as usize % edges.len()]
            } else {
                word % (TWICE_P[0] + 1)
            }
        }));
    }
    while values.len() % LANES != 0 {
        values.push([rng.next_u64() & LIMB_MASK; LIMBS]);
    }
    values.as_chunks::<LANES>().0.to_vec()
}

/// A million random products, besides the edges.
#[test]
fn products_are_those_of_plain_integers() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn test() {
        let groups = reduced_groups(500_000);
        for (index, a) in groups.iter().enumerate() {
            // Edges meet every other edge, and random values meet random values.
            let others = if index < 16 {
                0..16
            } else {
                index / 2..index / 2 + 2
            };
            for b in &groups[others] {
                let (x, y) = (Reduced(lanes(a)), Reduced(lanes(b)));
                let product = x.multiply(y);
                assert!(greatest(product.0) <= 267 << 52);
                let raised = x.multiply_raised::<11>(y);
                assert!(greatest(raised.0.0) <= 1_291 << 52);
                let reduced = product.reduce();
                assert!(greatest(reduced.0) < (1 << 51) + (1 << 18));
                let expected: [[u64; 4]; LANES] = core::array::from_fn(|lane| {
                    Plain::of_limbs(a[lane])
                        .times(Plain::of_limbs(b[lane]))
                        .canonical()
                });
                assert_eq!(words(reduced), expected);
                assert_eq!(words(raised.unreduced().reduce()), expected);
            }
        }
    }
    on_lanes(test);
}

#[test]
fn squares_sums_and_signs_are_those_of_plain_integers() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn test() {
        let groups = reduced_groups(10_000);
        for (a, b) in groups.iter().zip(groups.iter().rev()) {
            let (x, y) = (Reduced(lanes(a)), Reduced(lanes(b)));
            let plain = |operation: fn(Plain, Plain) -> Plain| -> [[u64; 4]; LANES] {
                core::array::from_fn(|lane| {
                    operation(Plain::of_limbs(a[lane]), Plain::of_limbs(b[lane])).canonical()
                })
            };
            assert_eq!(words(x), plain(|a, _| a));
            assert_eq!(words(x.squared()), plain(|a, _| a.times(a)));
            let raised = x.square_raised::<11>();
            assert_eq!(words(raised.unreduced().reduce()), plain(|a, _| a.times(a)));
            assert_eq!(
                words(raised.twice().0.reduce()),
                plain(|a, _| a.times(a).plus(a.times(a)))
            );
            assert_eq!(words(x.plus(y)), plain(Plain::plus));
            assert_eq!(words(x.minus(y)), plain(|a, b| a.plus(b.negated())));
            assert_eq!(words(x.negate()), plain(|a, _| a.negated()));
            assert!(greatest(x.negate().0) <= TWICE_P[1]);
            let parity = |value: [[u64; 4]; LANES]| {
                value.iter().enumerate().fold(0, |mask, (lane, words)| {
                    mask | ((words[0] & 1) as u8) << lane
                })
            };
            assert_eq!(x.is_negative(), parity(words(x)));
            assert_eq!(x.absolute().is_negative(), 0);
            let zeros = words(x).map(|words| [u64::from(words == [0; 4]), 0, 0, 0]);
            assert_eq!(x.is_zero(), parity(zeros));
            assert_eq!(x.equals(x.negate().negate()), Mask::MAX);
            assert_eq!(words(x.select(0b1010_0101, y))[1], words(x)[1]);
            assert_eq!(words(x.select(0b1010_0101, y))[2], words(y)[2]);
        }
    }
    on_lanes(test);
}

/// The greatest sums that the table of bounds allows, and the greatest limbs that there are.
#[test]
fn unreduced_values_carry_correctly_up_to_their_bounds() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn test() {
        for limb in [
            267 << 52,
            801 << 52,
            1_291 << 52,
            2_582 << 52,
            u64::MAX - 1,
            u64::MAX,
        ] {
            for pattern in 0_u64..32 {
                let value: Limbs =
                    core::array::from_fn(|index| if pattern >> index & 1 == 1 { limb } else { 0 });
                let reduced = Unreduced(lanes(&[value; LANES])).reduce();
                assert!(greatest(reduced.0) < (1 << 51) + (1 << 18));
                assert_eq!(words(reduced), [Plain::of_limbs(value).canonical(); LANES]);
            }
        }
        // The greatest product from itself: all raises, all subtractions.
        let top = Reduced(lanes(&[TWICE_P; LANES]));
        let product = top.multiply(top);
        let zero = [[0; 4]; LANES];
        assert_eq!(words(product.subtract(product).reduce()), zero);
        let triple = product.add(product).add(product);
        assert_eq!(words(triple.subtract(triple).reduce()), zero);
        assert_eq!(
            words(top.multiply_raised::<11>(top).subtract(product).reduce()),
            zero
        );
        let once = top.square_raised::<11>().subtract(product);
        assert_eq!(words(once.reduce()), zero);
        let twice = top.square_raised::<11>().twice();
        let raised = top.square_raised::<11>().unreduced();
        assert_eq!(
            words(twice.subtract(raised).reduce()),
            words(product.reduce())
        );
    }
    on_lanes(test);
}

#[test]
fn powers_and_inverses_undo_products() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn test() {
        let mut rng = StdRng::seed_from_u64(2);
        let groups: Vec<Reduced> = (0..20)
            .map(|group| {
                let limbs = core::array::from_fn(|lane| {
                    // A zero in a different lane of each group, two in one.
                    if lane == group % LANES || group == lane * 2 {
                        P
                    } else {
                        core::array::from_fn(|_| rng.next_u64() & LIMB_MASK)
                    }
                });
                Reduced(lanes(&limbs))
            })
            .collect();
        let one = [1, 0, 0, 0];
        let mut inverses = groups.clone();
        invert_batch(&mut inverses, &mut groups.clone());
        for (value, inverse) in groups.iter().zip(&inverses) {
            assert_eq!(words(*inverse), words(invert(*value)));
            let zero = value.is_zero();
            for (lane, product) in words(value.times(*inverse)).into_iter().enumerate() {
                assert_eq!(product, if zero >> lane & 1 == 1 { [0; 4] } else { one });
            }
            // (x^((p-5)/8))^8 * x^5 = x^p = x.
            let [power] = power_p58([*value]);
            let x4 = value.squared().squared();
            let eighth = power.squared().squared().squared();
            assert_eq!(words(eighth.times(x4).times(*value)), words(*value));
        }
    }
    on_lanes(test);
}
