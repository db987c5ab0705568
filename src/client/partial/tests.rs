//! The bound by counting: many devices, and what a service that knows every tag sees of them.

use alloc::vec::Vec;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const SHARDS: u64 = 1 << 16;

fn factor(factor: f64) -> BeliefFactor {
    BeliefFactor::new(factor).unwrap()
}

fn tags(count: usize, rng: &mut StdRng) -> Vec<Tag> {
    (0..count).map(|_| Tag::new(rng.next_u64())).collect()
}

/// Whether `share` of `count` tries is `expected`, within five standard deviations.
fn is_about(hits: usize, count: usize, expected: f64) -> bool {
    let deviation = (expected * (1.0 - expected) / count as f64).sqrt();
    (hits as f64 / count as f64 - expected).abs() < 5.0 * deviation
}

proptest! {
    #[test]
    fn every_draw_is_a_large_enough_part_and_covers_every_contact(
        count in 0..400_usize,
        greatest in 1.0..300.0_f64,
        shard_bits in 0..17_u8,
        changes in prop::collection::vec((0..40_usize, 1.0..300.0_f64), 0..8),
        seed: u64,
    ) {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut book = tags(count, rng);
        let accepted = factor(greatest);
        let Some(mut part) = first(&book, 1 << shard_bits, accepted, rng) else {
            // Nothing else would keep the bound, or leave anything out.
            let drawn = padding::class(count) as f64;
            prop_assert!(greatest < 2.0 || drawn >= f64::from(1 << shard_bits));
            return Ok(());
        };
        let drawn = part.runs.indexes().len() as u64;
        prop_assert_eq!(drawn, padding::class(count));
        prop_assert!(part.runs.bits() <= shard_bits);
        prop_assert!(drawn as f64 / part.all() as f64 >= 1.0 / greatest);
        let longer = part.runs.bits() == shard_bits || 2 * part.all() > accepted.most_for(drawn);
        prop_assert!(longer, "the most runs that the bound allows");
        prop_assert!(book.iter().all(|tag| part.runs.covers(*tag)));

        for (added, greatest) in changes {
            // Who is removed changes nothing, and the same book nothing either.
            book.truncate(book.len() - book.len() / 3);
            if part.belief_factor() <= greatest {
                prop_assert_eq!(&more(&part, &book, factor(greatest), rng).unwrap(), &part);
            }
            book.extend(tags(added, rng));
            let accepted = factor(greatest);
            let Ok(next) = more(&part, &book, accepted, rng) else {
                let left = part.all() - part.runs.indexes().len() as u64;
                prop_assert!(part.belief_factor() > accepted.get() || left < accepted.least_of(part.all()));
                book.retain(|tag| part.runs.covers(*tag));
                continue;
            };
            prop_assert!(book.iter().all(|tag| next.runs.covers(*tag)));
            prop_assert!(part.runs.indexes().iter().all(|run| next.runs.indexes().contains(run)));
            prop_assert!(next.belief_factor() <= accepted.get());
            let drawn = next.runs.indexes().len() - part.runs.indexes().len();
            prop_assert!(drawn == 0 || drawn as f64 >= next.all() as f64 / greatest);
            prop_assert!(drawn == 0 || drawn as u64 >= u64::from(next.least));
            part = next;
        }
    }
}

/// Evidence is a ratio of two frequencies: of what is seen with somebody in the address book, and without.
#[test]
fn a_stranger_is_fetched_as_often_as_the_factor_says() {
    let rng = &mut StdRng::seed_from_u64(1);
    const DEVICES: usize = 4_000;
    for (count, greatest, share) in [
        (3, 8.0, 1.0 / 8.0),
        (17, 4.0, 1.0 / 4.0),
        (60, 20.0, 1.0 / 16.0),
    ] {
        let stranger = Tag::new(rng.next_u64());
        let fetched = (0..DEVICES).filter(|_| {
            let book = tags(count, rng);
            let part = first(&book, SHARDS, factor(greatest), rng).unwrap();
            part.runs.covers(stranger)
        });
        let fetched = fetched.count();
        assert!(is_about(fetched, DEVICES, share), "{fetched} of {DEVICES}");
        assert!(share >= 1.0 / greatest);
    }
}

/// A draw of the missing run alone, or of `unfetched / factor` runs, would say more: that it takes place is evidence.
#[test]
fn a_contact_that_comes_later_is_hidden_as_well() {
    let rng = &mut StdRng::seed_from_u64(2);
    const DEVICES: usize = 6_000;
    let greatest = factor(4.0);
    let somebody = Tag::new(rng.next_u64());
    // What is seen of a device that adds one contact, either `somebody` or another one: whether the run of `somebody`
    // was fetched before, is fetched now, or isn't fetched; and whether there was a draw.
    let mut seen = [[0_usize; 6]; 2];
    for (added, seen) in seen.iter_mut().enumerate() {
        for _ in 0..DEVICES {
            let mut book = tags(60, rng);
            let part = first(&book, SHARDS, greatest, rng).unwrap();
            // Others came before.
            book.extend(tags(9, rng));
            let part = more(&part, &book, greatest, rng).unwrap();
            book.push(match added {
                0 => Tag::new(rng.next_u64()),
                _ => somebody,
            });
            let next = more(&part, &book, greatest, rng).unwrap();
            let place = match (part.runs.covers(somebody), next.runs.covers(somebody)) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            seen[2 * place + usize::from(next != part)] += 1;
        }
    }
    let [without, with] = seen;
    assert_eq!(with[4] + with[5], 0, "it is covered");
    for (without, with) in without.into_iter().zip(with) {
        // Up to five standard deviations of what is rarer.
        let most = without as f64 + 5.0 * (without as f64).sqrt();
        assert!(with as f64 <= 4.0 * most, "{with} with, {without} without");
    }
}

#[test]
fn a_factor_is_a_number_from_one_on() {
    for text in ["0.999", "-8", "NaN", "", "8 ", "one"] {
        text.parse::<BeliefFactor>().unwrap_err();
    }
    assert_eq!("1".parse::<BeliefFactor>().unwrap().get(), 1.0);
    // Never more than what was accepted.
    assert_eq!("2.9999".parse::<BeliefFactor>().unwrap().get(), 2.999);
    assert!("inf".parse::<BeliefFactor>().unwrap().get() > 4e6);
    let rng = &mut StdRng::seed_from_u64(3);
    assert!(first(&tags(10, rng), SHARDS, factor(1.0), rng).is_none());
    assert!(first(&tags(10, rng), 16, factor(1e9), rng).is_none());
}

#[test]
fn a_smaller_factor_than_the_one_that_was_spent_is_refused() {
    let rng = &mut StdRng::seed_from_u64(4);
    let mut book = tags(5, rng);
    let part = first(&book, SHARDS, factor(16.0), rng).unwrap();
    assert_eq!(part.belief_factor(), 16.0);
    assert_eq!(
        more(&part, &book, factor(15.9), rng),
        Err(PartError::Spent(16.0))
    );
    assert_eq!(more(&part, &book, factor(100.0), rng).unwrap(), part);
    // What is left under a greater factor can be too little for a smaller one.
    let runs: BTreeSet<u32> = (0..250).collect();
    let part = chosen(8, runs, 64).unwrap();
    book.push(Tag::new(u64::MAX));
    assert_eq!(
        more(&part, &book, factor(4.0), rng),
        Err(PartError::Spent(256.0 / 6.0))
    );
    let all = more(&part, &book, factor(50.0), rng).unwrap();
    assert!(all.runs.is_everything());
}
