//! How many mobile numbers a country has.

use serde::Serialize;

use crate::failure::Failure;

/// Numbers that a country's numbering plan has for mobiles, by its patterns: whether they are in use isn't known.
const NUMBERS: &str = include_str!("mobile_number_space.csv");

/// A country's mobile numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Space {
    pub(crate) country: String,
    pub(crate) numbers: u64,
}

/// Looks a country up.
pub(crate) fn space(country: &str) -> Result<Space, Failure> {
    let country = country.to_ascii_uppercase();
    let numbers = NUMBERS
        .lines()
        .filter_map(|line| line.split_once(','))
        .find(|(code, _)| *code == country)
        .and_then(|(_, numbers)| numbers.trim().parse().ok());
    match numbers {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_of_the_list_can_be_read() {
        let mut countries = 0;
        for line in NUMBERS.lines().skip(1) {
            let (code, _) = line.split_once(',').unwrap();
            assert!(space(code).unwrap().numbers > 0, "{code}");
            countries += 1;
        }
        assert!(countries > 200);
        assert!(space("country").is_err());
        assert!(space("").is_err());
    }
}
