//! How many mobile numbers a country has.

use blindbook::server::number_space::mobile_numbers;
use serde::Serialize;

use crate::failure::Failure;

/// A country's mobile numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Space {
    pub(crate) country: String,
    pub(crate) numbers: u64,
}

/// Looks a country up.
pub(crate) fn space(country: &str) -> Result<Space, Failure> {
    let country = country.to_ascii_uppercase();
    match mobile_numbers(&country) {
        Some(numbers) => Ok(Space { country, numbers }),
        None => Err(Failure::BadInput(format!(
            "{country} isn't a country of two letters with mobile numbers of its own"
        ))),
    }
}

impl Space {
    /// A share of all numbers, at most all of them.
    pub(crate) fn share(&self, learned: u64) -> String {
        let percent = (learned as f64 / self.numbers as f64 * 100.0).min(100.0);
        match percent {
            percent if percent >= 99.95 => "100 %".into(),
            percent if percent >= 10.0 => format!("{percent:.1} %"),
            percent if percent >= 1.0 => format!("{percent:.2} %"),
            // Rounded up: it is said of a bound.
            percent => format!("{:.3} %", (percent * 1_000.0).ceil() / 1_000.0),
        }
    }
}
