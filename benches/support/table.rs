//! The table of a run, in Markdown: it stands in the README as it is printed.

use crate::{AVX512, BLIND, BUILD, DALEK, EVALUATE, FINALIZE, LENGTHS, PORTABLE, PRODUCT, VOPRF};

use super::estimates::Estimates;

/// The length of the batch that the table is about.
const COUNT: usize = 1_024;

/// Microseconds an element of one operation, by who computes it.
#[derive(Default)]
struct Row {
    avx512: Option<f64>,
    portable: Option<f64>,
    dalek: Option<f64>,
    voprf: Option<f64>,
}

impl Row {
    fn of(estimates: &Estimates, group: &str) -> Self {
        let micros = |function| estimates.micros(group, function, COUNT);
        Self {
            avx512: micros(AVX512),
            portable: micros(PORTABLE),
            dalek: micros(DALEK),
            voprf: micros(VOPRF),
        }
    }

    fn plus(self, other: Self) -> Self {
        let plus = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self {
            avx512: plus(self.avx512, other.avx512),
            portable: plus(self.portable, other.portable),
            dalek: plus(self.dalek, other.dalek),
            voprf: plus(self.voprf, other.voprf),
        }
    }

    /// How many times faster than the faster one of the others.
    fn advantage(&self, ours: Option<f64>) -> Option<f64> {
        let theirs = [self.dalek, self.voprf].into_iter().flatten();
        Some(theirs.reduce(f64::min)? / ours?)
    }
}

/// Prints what was measured; nothing if nothing was.
pub(crate) fn print(estimates: &Estimates) {
    let row = |group| Row::of(estimates, group);
    let rows = [
        (BLIND, row(BLIND)),
        (EVALUATE, row(EVALUATE)),
        (FINALIZE, row(FINALIZE)),
        (
            "the three together",
            row(BLIND).plus(row(EVALUATE)).plus(row(FINALIZE)),
        ),
        (PRODUCT, row(PRODUCT)),
        (BUILD, row(BUILD)),
    ];
    if rows.iter().all(|(_, row)| row.portable.is_none()) {
        return;
    }
    println!(
        "| µs an element, of 1,024 | AVX-512 | portable | dalek | `voprf-ng` | AVX-512 faster | portable faster |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (name, row) in rows {
        let cells = [
            row.avx512,
            row.portable,
            row.dalek,
            row.voprf,
            row.advantage(row.avx512),
            row.advantage(row.portable),
        ];
        let cells = cells.map(|cell| cell.map(|value| format!("{value:.1}")).unwrap_or_default());
        println!("| {name} | {} |", cells.join(" | "));
    }
    least_advantage(estimates);
}

/// Where the AVX-512 backend gains least, of all lengths that go to it.
fn least_advantage(estimates: &Estimates) {
    let advantage = |group, count| {
        let [portable, avx512] =
            [PORTABLE, AVX512].map(|function| estimates.micros(group, function, count));
        Some((portable? / avx512?, group, count))
    };
    // Shorter batches are portable whether it is forced or not.
    const SHORTEST: usize = 3;
    let least = [BLIND, EVALUATE, FINALIZE, PRODUCT, BUILD]
        .into_iter()
        .flat_map(|group| LENGTHS.into_iter().map(move |count| (group, count)))
        .filter(|(_, count)| *count >= SHORTEST)
        .filter_map(|(group, count)| advantage(group, count))
        .min_by(|(a, ..), (b, ..)| a.total_cmp(b));
    if let Some((times, group, count)) = least {
        println!("\nAVX-512 at its least: {times:.2} times as fast as portable ({group}, {count})");
    }
}
