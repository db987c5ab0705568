//! How many mobile numbers a country has.
//!
//! Layer 4: a table, and must not know what it is asked for.

/// Numbers that a country's numbering plan has for mobiles, by its patterns: whether they are in use isn't known.
const NUMBERS: &str = include_str!("mobile_number_space.csv");

/// The mobile numbers of a country, by its two letters (ISO 3166-1, in either case); `None` if it has none of its own.
#[must_use]
pub fn mobile_numbers(country: &str) -> Option<u64> {
    NUMBERS
        .lines()
        .filter_map(|line| line.split_once(','))
        .find(|(code, _)| code.eq_ignore_ascii_case(country))
        .and_then(|(_, numbers)| numbers.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_of_the_list_can_be_read() {
        let mut countries = 0;
        for line in NUMBERS.lines().skip(1) {
            let (code, _) = line.split_once(',').unwrap();
            assert!(mobile_numbers(code).unwrap() > 0, "{code}");
            countries += 1;
        }
        assert!(countries > 200);
        assert_eq!(mobile_numbers("us"), Some(505_730_000));
        assert_eq!(mobile_numbers("country"), None);
        assert_eq!(mobile_numbers(""), None);
    }
}
