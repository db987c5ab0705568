//! Which backend computes a batch.
//!
//! Layer 1, behind [`crate::kernel`]. A backend is detected once, and batches too short to be worth it go to
//! the portable one. Adding a backend is one more variant of [`Backend`], [`Held`] and its file.

use alloc::vec::Vec;
#[cfg(feature = "std")]
use core::sync::atomic::{AtomicBool, Ordering};
#[cfg(all(feature = "std", target_arch = "x86_64"))]
use std::sync::OnceLock;

#[cfg(all(feature = "std", target_arch = "x86_64"))]
use super::avx512ifma::{self, Avx512Ifma};
use super::{BadElement, portable};
#[cfg(feature = "client")]
use crate::group;
use crate::group::{Element, Encoding, Scalar};

/// A way to compute.
#[derive(Debug, Clone, Copy)]
pub(super) enum Backend {
    Portable,
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx512Ifma(Avx512Ifma),
}

/// A batch in the representation of its backend.
pub(super) enum Held {
    Portable(portable::Elements),
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    Avx512Ifma(avx512ifma::Elements),
}

/// Multiplication tables for one public base; products with them are constant time.
#[cfg(feature = "client")]
pub(crate) struct FixedBase {
    portable: group::FixedBase,
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    base: Element,
    /// Made for the first batch that wants it.
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    avx512ifma: OnceLock<avx512ifma::FixedBase>,
}

impl Backend {
    /// The fastest one for a batch of this size.
    pub(super) fn for_batch(count: usize) -> Self {
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        if count >= avx512ifma::SHORTEST
            && let Some(backend) = detected()
        {
            return Self::Avx512Ifma(backend);
        }
        let _ = count;
        Self::Portable
    }

    /// Every one that this machine has.
    #[cfg(all(
        any(test, fuzzing),
        feature = "client",
        feature = "server",
        feature = "std"
    ))]
    pub(super) fn all() -> Vec<Self> {
        let all = [Self::Portable].into_iter();
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        let all = all.chain(Avx512Ifma::detect().map(Self::Avx512Ifma));
        all.collect()
    }

    pub(super) fn decode(self, encodings: &[Encoding]) -> Result<Held, BadElement> {
        match self {
            Self::Portable => portable::Elements::decode(encodings).map(Held::Portable),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512Ifma(backend) => backend.decode(encodings).map(Held::Avx512Ifma),
        }
    }

    #[cfg(feature = "client")]
    pub(super) fn map_uniform_bytes(self, uniform: &[[u8; 64]], padding: usize) -> Held {
        match self {
            Self::Portable => {
                Held::Portable(portable::Elements::from_uniform_bytes(uniform, padding))
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512Ifma(backend) => {
                Held::Avx512Ifma(backend.map_uniform_bytes(uniform, padding))
            }
        }
    }
}

#[cfg(feature = "std")]
static PORTABLE_FORCED: AtomicBool = AtomicBool::new(false);

/// Forces the portable backend from now on, or doesn't any more: for a bench that compares the two in one
/// process. Tells whether the machine has another one.
#[cfg(feature = "std")]
pub fn force_portable_backend(forced: bool) -> bool {
    PORTABLE_FORCED.store(forced, Ordering::Relaxed);
    #[cfg(target_arch = "x86_64")]
    return available().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
fn detected() -> Option<Avx512Ifma> {
    available().filter(|_| !PORTABLE_FORCED.load(Ordering::Relaxed))
}

/// What this machine has, looked up once. `BLINDBOOK_BACKEND=portable` in the environment of the process
/// says otherwise, for comparison.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
fn available() -> Option<Avx512Ifma> {
    static AVAILABLE: OnceLock<Option<Avx512Ifma>> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let forced = std::env::var_os("BLINDBOOK_BACKEND").is_some_and(|name| name == "portable");
        if forced { None } else { Avx512Ifma::detect() }
    })
}

impl Held {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Portable(elements) => elements.len(),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512Ifma(elements) => elements.len(),
        }
    }

    #[cfg(feature = "client")]
    pub(super) fn truncate(&mut self, count: usize) {
        match self {
            Self::Portable(elements) => elements.truncate(count),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512Ifma(elements) => elements.truncate(count),
        }
    }

    #[cfg(feature = "server")]
    pub(super) fn multiply_and_encode(&self, scalar: &Scalar) -> Vec<Encoding> {
        match self {
            Self::Portable(elements) => elements.multiply_and_encode(scalar),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512Ifma(elements) => elements.multiply_and_encode(scalar),
        }
    }

    #[cfg(feature = "client")]
    pub(super) fn offset_and_encode(
        self,
        scalars: &[Scalar],
        base: &FixedBase,
    ) -> (Self, Vec<Encoding>) {
        match self {
            Self::Portable(elements) => {
                let (sums, encodings) = elements.offset_and_encode(scalars, &base.portable);
                (Self::Portable(sums), encodings)
            }
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512Ifma(elements) => {
                let table = || elements.backend().fixed_base(&base.base);
                let table = base.avx512ifma.get_or_init(table);
                let (sums, encodings) = elements.offset_and_encode(scalars, table);
                (Self::Avx512Ifma(sums), encodings)
            }
        }
    }

    pub(super) fn multiscalar_vartime(&self, weights: &[Scalar]) -> Element {
        match self {
            Self::Portable(elements) => elements.multiscalar_vartime(weights),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            Self::Avx512Ifma(elements) => elements.multiscalar_vartime(weights),
        }
    }
}

#[cfg(feature = "client")]
impl FixedBase {
    /// Costs about as much as three variable-base products.
    pub(crate) fn new(base: &Element) -> Self {
        Self {
            portable: group::FixedBase::new(base),
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            base: *base,
            #[cfg(all(feature = "std", target_arch = "x86_64"))]
            avx512ifma: OnceLock::new(),
        }
    }
}
