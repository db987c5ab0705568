//! A town of invented members. Phone numbers are from ranges reserved for fiction: Ofcom's, ARCEP's and 555-01xx.

use std::io::{self, Write};

/// What the members consented to, and where.
pub(super) const CONSENT_TEXT: &str = "2026-11";
pub(super) const CONSENT_SURFACE: &str = "demo/sign-up";
/// 2026-11-01T12:00:00Z.
const CONSENTED_AT: u64 = 1_793_534_400;

/// Prefixes and how many digits follow: all numbers with them are reserved for fiction.
const RESERVED: [(&str, usize); 27] = [
    ("+447700900", 3),
    ("+441134960", 3),
    ("+441144960", 3),
    ("+441154960", 3),
    ("+441164960", 3),
    ("+441174960", 3),
    ("+441184960", 3),
    ("+441214960", 3),
    ("+441314960", 3),
    ("+441414960", 3),
    ("+441514960", 3),
    ("+441614960", 3),
    ("+441914980", 3),
    ("+442079460", 3),
    ("+442896496", 3),
    ("+442920180", 3),
    ("+441632960", 3),
    ("+120255501", 2),
    ("+121255501", 2),
    ("+141555501", 2),
    ("+161755501", 2),
    ("+3319900", 4),
    ("+3326191", 4),
    ("+3335301", 4),
    ("+3346571", 4),
    ("+3353649", 4),
    ("+3363998", 4),
];

/// Residents who gave an e-mail address.
const BY_NAME: [&str; 4] = [
    "kelvin.cheungyip@example.org",
    "folasade.adeyinka@example.org",
    "imran.qadeer@example.org",
    "amelie.beranger@example.org",
];

/// Writes an enrolment file of so many members, always the same.
///
/// Of the people with a phone number about half live here, and about one of eight of them wants to be found by
/// nobody, which is the default. The others gave an e-mail address.
pub(super) fn write(members: u64, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "identifier,handle,audience,consented_at")?;
    let mut resident = 0;
    let everyone = format!("everyone,{CONSENTED_AT}");
    for address in BY_NAME
        .iter()
        .take(usize::try_from(members).unwrap_or(usize::MAX))
    {
        resident += 1;
        writeln!(out, "{address},u{resident:06},{everyone}")?;
    }
    for number in numbers() {
        let draw = mix(number.1);
        if resident >= members {
            return Ok(());
        }
        if draw % 100 >= 55 {
            continue;
        }
        resident += 1;
        let audience = if (draw >> 32).is_multiple_of(8) {
            "nobody,"
        } else {
            &everyone
        };
        writeln!(out, "{},u{resident:06},{audience}", number.0)?;
    }
    while resident < members {
        resident += 1;
        writeln!(
            out,
            "resident.{resident}@example.org,u{resident:06},{everyone}"
        )?;
    }
    Ok(())
}

/// Every reserved number, and its place.
pub(crate) fn numbers() -> impl Iterator<Item = (String, u64)> {
    let spelled = RESERVED.iter().flat_map(|&(prefix, digits)| {
        (0..10_u32.pow(digits as u32)).map(move |rest| format!("{prefix}{rest:0digits$}"))
    });
    spelled.zip(0..)
}

/// SplitMix64: a town needs no better randomness, but the same one everywhere.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_town_has_as_many_members_as_asked_for_and_each_once() {
        for members in [0, 3, 100, 100_000] {
            let mut file = Vec::new();
            write(members, &mut file).unwrap();
            let text = String::from_utf8(file).unwrap();
            let mut identifiers: Vec<&str> = text
                .lines()
                .skip(1)
                .filter_map(|line| line.split(',').next())
                .collect();
            assert_eq!(identifiers.len() as u64, members);
            identifiers.sort_unstable();
            identifiers.dedup();
            assert_eq!(identifiers.len() as u64, members);
        }
    }
}
