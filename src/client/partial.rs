//! Reading a part of the published set, at a price that the caller names. Part of the client role (layer 4).
//!
//! # What the service learns
//!
//! The service knows the tag of every number, and sees which runs of the tag space are fetched. The tags are cut into
//! `T` equal runs. A contact's run is fetched for certain; the run of somebody who isn't in the address book with the
//! probability with which any run is. So the service's odds that X is in the address book grow by at most the
//! inverse of that: fraction fetched times factor is one.
//!
//! *First choice.* Of `n` contacts `C` runs are fetched, where `C` is the class of `n` (16, 64, 256, 1,024, ...): the
//! contacts' runs, filled up with others that are drawn uniformly. To who doesn't know the address book, tags are uniform.
//! So, without X in it, each set of `C` runs is equally likely: `1 / binom(T, C)`. With X in it, each set with X's run:
//! `1 / binom(T - 1, C - 1)`. The ratio is `T / C`.
//!
//! *Later choices.* Contacts that come later may fall outside. If `m > 0` of them do, `k` more runs are drawn among the
//! `U` that weren't fetched, the missing ones among them. For X who came later and falls in these, the draw has the probability
//! `1 / binom(U - 1, k - 1)`; if somebody else came instead, `1 / binom(U, k)`, but only if that one falls outside too,
//! which has the probability `U / T`, since otherwise nothing, or less, would have been drawn. The ratio is at most
//! `(U / k) * (T / U) = T / k`. For X who came later and falls in what was fetched before, no draw is the likelier outcome,
//! by at most `T / (T - U)`. So every draw has `k >= T / factor`, and not merely `U / factor`: that a draw takes place is
//! evidence too. If it would leave less than `T / factor`, it takes everything.
//!
//! Each contact came in one step, and is no evidence in the others: it wasn't there before, and is covered later. So the
//! ratio is never more than the largest `T / k`, however often the address book changes. Contacts that are removed change
//! nothing: what was drawn stays, and is fetched again from every base of the epoch.
//!
//! # What this rests on, and what it doesn't cover
//!
//! * It is about one contact, and compares two address books of the same size. Who asks about several contacts at once
//!   (is this whole group in it?) gets a factor for each. So does who knows that contacts come together.
//! * It bounds a growing belief. The other way, a run that isn't fetched tells for certain that nobody in it is in the
//!   address book.
//! * It is for one choice: one device, one epoch. A second device, a lost state or a new epoch draws anew, and the
//!   factors multiply for whoever can tell that they belong together.
//! * The class of the number of contacts shows, and when a draw takes place. So does the address that fetches, and when.

use alloc::collections::BTreeSet;
use core::{fmt, str::FromStr};

use rand_core::CryptoRng;

use super::{identifier::Identifier, padding, sync::SyncState};
use crate::{
    oprf::Tag,
    snapshot::{Manifest, Runs, RunsError},
};

/// By how much the service's belief that somebody is in an address book may grow, at most: 1 for not at all.
///
/// There is no default: it is the caller's to say. In thousandths, at most four million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BeliefFactor(u32);

/// Not a number, or less than 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a belief factor is a number from 1 on")]
pub struct BeliefFactorError;

impl BeliefFactor {
    const UNIT: u64 = 1_000;

    /// Takes a number from 1 on; what is behind its thousandths is dropped.
    ///
    /// # Errors
    ///
    /// Not a number, or less than 1.
    pub fn new(factor: f64) -> Result<Self, BeliefFactorError> {
        if factor.is_nan() || factor < 1.0 {
            return Err(BeliefFactorError);
        }
        // Saturates.
        Ok(Self((factor * Self::UNIT as f64) as u32))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / Self::UNIT as f64
    }

    /// Runs that have to be drawn of so many, so that their share isn't less than one in this factor.
    fn least_of(self, runs: u64) -> u64 {
        (runs * Self::UNIT).div_ceil(u64::from(self.0))
    }

    /// How many runs `drawn` may be a part of.
    fn most_for(self, drawn: u64) -> u64 {
        drawn.saturating_mul(u64::from(self.0)) / Self::UNIT
    }
}

impl FromStr for BeliefFactor {
    type Err = BeliefFactorError;

    fn from_str(text: &str) -> Result<Self, BeliefFactorError> {
        Self::new(text.parse().map_err(|_| BeliefFactorError)?)
    }
}

impl fmt::Display for BeliefFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

/// What to fetch of a base. Deltas are always read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Part {
    /// All of it, which tells nothing.
    Whole,
    /// Some runs, and no others.
    Runs(Chosen),
}

/// Runs that were chosen once for an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    runs: Runs,
    /// The fewest that were drawn at once.
    least: u32,
}

/// Why a part isn't chosen.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The caller is to blame: this isn't the manifest that was followed last.
    #[error("the manifest isn't the one that was followed last")]
    NotFollowed,
    /// In this epoch runs were chosen with a greater factor, and have been seen.
    #[error(
        "a part was chosen in this epoch with which the service's belief may have grown by the factor {0:.1}"
    )]
    Spent(f64),
}

impl Chosen {
    pub(super) fn new(runs: Runs, least: u32) -> Result<Self, RunsError> {
        let drawn = 1..=runs.indexes().len() as u64;
        if !drawn.contains(&u64::from(least)) {
            return Err(RunsError);
        }
        Ok(Self { runs, least })
    }

    /// Which runs.
    #[must_use]
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Fewest runs that were drawn at once.
    pub(super) fn least(&self) -> u32 {
        self.least
    }

    /// Which part of the tag space they are.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.runs.indexes().len() as f64 / self.all() as f64
    }

    /// By how much the service's belief that somebody is in the address book may grow, at most.
    #[must_use]
    pub fn belief_factor(&self) -> f64 {
        self.all() as f64 / f64::from(self.least)
    }

    fn all(&self) -> u64 {
        1 << self.runs.bits()
    }
}

impl SyncState {
    /// Chooses what to fetch of the base that a manifest names, so that the service's belief that somebody is in
    /// this address book grows by at most `greatest`.
    ///
    /// Covers every one of `identifiers` that was evaluated. The tag space is cut into `T` runs: the largest power of two
    /// for which the `C` runs of the class are at least one in `greatest`, and at most the number of shards. Where that
    /// leaves nothing out, the whole set is read: always for a factor below 2.
    ///
    /// # Errors
    ///
    /// [`PartError::Spent`] if what was fetched in this epoch before, or what is left to be fetched, can't keep the
    /// bound. The whole set can be read instead.
    ///
    /// # Security
    ///
    /// Store the state before the first range is fetched. A choice that is forgotten is made again with other
    /// decoys, and what both have in common are the contacts.
    pub fn choose_part<R: CryptoRng + ?Sized>(
        &mut self,
        manifest: &Manifest,
        identifiers: &[Identifier],
        greatest: BeliefFactor,
        rng: &mut R,
    ) -> Result<Part, PartError> {
        if self.chain().map(|chain| chain.hash()) != Some(manifest.hash()) {
            return Err(PartError::NotFollowed);
        }
        let tags = self.tags(identifiers);
        let chosen = match self.part.take() {
            None => first(&tags, manifest.base().shards(), greatest, rng),
            Some(chosen) => {
                let next = more(&chosen, &tags, greatest, rng);
                self.part = Some(chosen);
                Some(next?)
            }
        };
        self.part.clone_from(&chosen);
        Ok(match chosen {
            Some(chosen) if !chosen.runs.is_everything() => Part::Runs(chosen),
            _ => Part::Whole,
        })
    }
}

/// `None` for everything.
fn first<R: CryptoRng + ?Sized>(
    tags: &[Tag],
    shards: u64,
    greatest: BeliefFactor,
    rng: &mut R,
) -> Option<Chosen> {
    let drawn = padding::class(tags.len());
    let runs = greatest.most_for(drawn).min(shards);
    let runs = runs.min(1 << Runs::MAX_BITS);
    let bits = runs.checked_ilog2().unwrap_or(0) as u8;
    if drawn >= 1 << bits {
        return None;
    }
    let mut indexes: BTreeSet<u32> = tags.iter().map(|tag| Runs::index_of(bits, *tag)).collect();
    draw(&mut indexes, drawn, bits, rng);
    chosen(bits, indexes, drawn)
}

fn more<R: CryptoRng + ?Sized>(
    old: &Chosen,
    tags: &[Tag],
    greatest: BeliefFactor,
    rng: &mut R,
) -> Result<Chosen, PartError> {
    let (bits, all) = (old.runs.bits(), old.all());
    let least = greatest.least_of(all);
    if u64::from(old.least) < least {
        return Err(PartError::Spent(old.belief_factor()));
    }
    let missing = tags.iter().filter(|tag| !old.runs.covers(**tag)).count();
    if missing == 0 {
        return Ok(old.clone());
    }
    let before = old.runs.indexes().len() as u64;
    let mut after = before + padding::class(missing).max(least);
    if after + least > all {
        after = all;
    }
    let drawn = after - before;
    if drawn < least {
        // Left by draws under a greater factor.
        return Err(PartError::Spent(all as f64 / drawn as f64));
    }
    let mut indexes: BTreeSet<u32> = old.runs.indexes().iter().copied().collect();
    indexes.extend(tags.iter().map(|tag| Runs::index_of(bits, *tag)));
    draw(&mut indexes, after, bits, rng);
    let least = drawn.min(u64::from(old.least));
    Ok(chosen(bits, indexes, least).unwrap_or_else(|| old.clone()))
}

/// Fills up to `count` runs, each of the others with the same probability.
fn draw<R: CryptoRng + ?Sized>(indexes: &mut BTreeSet<u32>, count: u64, bits: u8, rng: &mut R) {
    if count == 1 << bits {
        indexes.extend(0..1 << bits);
    }
    while (indexes.len() as u64) < count {
        indexes.insert(rng.next_u32() & ((1 << bits) - 1));
    }
}

fn chosen(bits: u8, indexes: BTreeSet<u32>, least: u64) -> Option<Chosen> {
    let runs = Runs::new(bits, indexes.into_iter().collect()).ok()?;
    Chosen::new(runs, u32::try_from(least).ok()?).ok()
}

#[cfg(all(test, feature = "std"))]
mod tests;
