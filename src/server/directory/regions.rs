//! Where a consent is needed before anything but `Nobody`: a table, of which some rows can't be changed.

use alloc::collections::BTreeMap;

use super::Region;

/// The table that comes with the crate: a consent is needed everywhere.
const BUILT_IN: &str = include_str!("regions.csv");
const HEADER: &str = "region,consent";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Always,
    Needed,
    Waived,
}

/// What regions ask of a registrar: whether somebody who lives there can be enrolled for everyone without having agreed.
///
/// ```text
/// region,consent      optional header; lines that begin with # and empty ones don't count
/// DE,always           needed, and no table can say otherwise
/// JP,needed           as is every region that isn't listed
/// US,waived
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions(BTreeMap<Region, Rule>);

/// A table that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionsError {
    /// A line isn't a region and what it asks for.
    #[error("line {0} isn't a region of two capitals and always, needed or waived")]
    Line(usize),
    /// A region is listed twice.
    #[error("line {0} names a region that an earlier line names")]
    Twice(usize),
    /// A consent is switched off where that can't be.
    #[error("a consent can't be waived in {0}")]
    Protected(Region),
}

/// Where a member lives, looked up in a table. By default it isn't known where, and a consent is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Residence {
    region: Option<Region>,
    waived: bool,
}

impl Residence {
    /// The region, if it is known.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        self.region
    }

    /// Whether nobody who lives here can be found without having agreed.
    #[must_use]
    pub fn needs_consent(&self) -> bool {
        !self.waived
    }
}

impl Regions {
    /// Reads an operator's own table. What the built-in one protects stays protected, listed or not.
    ///
    /// # Errors
    ///
    /// See [`RegionsError`].
    pub fn parse(table: &str) -> Result<Self, RegionsError> {
        let mut regions = parse(BUILT_IN)?;
        for (region, rule) in parse(table)?.0 {
            match (regions.0.get(&region), rule) {
                (Some(Rule::Always), Rule::Waived) => return Err(RegionsError::Protected(region)),
                (Some(Rule::Always), _) => {}
                _ => {
                    regions.0.insert(region, rule);
                }
            }
        }
        Ok(regions)
    }

    /// Looks up where somebody lives.
    #[must_use]
    pub fn residence(&self, region: Option<Region>) -> Residence {
        let rule = region.and_then(|region| self.0.get(&region));
        Residence {
            region,
            waived: rule == Some(&Rule::Waived),
        }
    }

    /// The regions in which somebody can be enrolled for everyone without having been asked, ascending.
    pub fn waived(&self) -> impl Iterator<Item = Region> {
        let waived = self.0.iter().filter(|(_, rule)| **rule == Rule::Waived);
        waived.map(|(region, _)| *region)
    }

    /// The regions in which that can't be allowed, ascending.
    pub fn protected(&self) -> impl Iterator<Item = Region> {
        let protected = self.0.iter().filter(|(_, rule)| **rule == Rule::Always);
        protected.map(|(region, _)| *region)
    }
}

impl Default for Regions {
    /// The built-in table. Without its rows a consent would be needed everywhere all the same.
    fn default() -> Self {
        parse(BUILT_IN).unwrap_or(Self(BTreeMap::new()))
    }
}

fn parse(table: &str) -> Result<Regions, RegionsError> {
    let mut regions = BTreeMap::new();
    let mut begun = false;
    for (number, line) in (1..).zip(table.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let first = !core::mem::replace(&mut begun, true);
        if first && line == HEADER {
            continue;
        }
        let (region, rule) = line.split_once(',').ok_or(RegionsError::Line(number))?;
        let region = Region::new(region.trim()).map_err(|_| RegionsError::Line(number))?;
        let rule = match rule.trim() {
            "always" => Rule::Always,
            "needed" => Rule::Needed,
            "waived" => Rule::Waived,
            _ => return Err(RegionsError::Line(number)),
        };
        if regions.insert(region, rule).is_some() {
            return Err(RegionsError::Twice(number));
        }
    }
    Ok(Regions(regions))
}
