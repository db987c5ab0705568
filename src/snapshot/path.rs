//! The way from nothing to a published set.

use alloc::{collections::BTreeMap, vec::Vec};

use super::manifest::SegmentEntry;

/// The cheapest way from nothing to the set `to`: a base, then deltas, each changing what the one before it leads to.
///
/// What a segment costs is the caller's to say: its size if it has to be fetched, nothing if it's there. `None` if
/// there is no way.
pub fn cheapest_path<'a>(
    segments: impl IntoIterator<Item = &'a SegmentEntry>,
    to: u64,
    cost: impl Fn(&SegmentEntry) -> u64,
) -> Option<Vec<&'a SegmentEntry>> {
    let mut segments: Vec<&SegmentEntry> = segments.into_iter().collect();
    // Every segment leads forward: all that leads to its beginning comes before it.
    segments.sort_by_key(|segment| (segment.from, segment.to));
    // For each set the cost of the cheapest way there, and the last segment of it.
    let mut ways: BTreeMap<u64, (u64, &SegmentEntry)> = BTreeMap::new();
    for segment in segments {
        let before = match segment.from {
            0 => Some(0),
            from => ways.get(&from).map(|(cost, _)| *cost),
        };
        let Some(before) = before else { continue };
        let cost = before.saturating_add(cost(segment));
        let best = ways.entry(segment.to).or_insert((cost, segment));
        if cost < best.0 {
            *best = (cost, segment);
        }
    }
    let mut path = Vec::new();
    let mut at = to;
    while at != 0 {
        let (_, segment) = ways.get(&at)?;
        if segment.from >= at {
            return None;
        }
        path.push(*segment);
        at = segment.from;
    }
    path.reverse();
    Some(path)
}
