//! A base and what changes it: read one after the other, merged, or in part, they are the set that was meant.

use std::{collections::BTreeMap, ops::Range};

use blindbook::{
    label::LabelLength,
    oprf::Tag,
    snapshot::{
        BuildError, Composer, Manifest, ManifestDraft, Merge, Ranges, RangesError, Runs, Search,
        Segment, SegmentBuilder, SegmentEntry, SegmentError, SegmentSummary, Sink,
    },
};

use crate::published::{self, EPOCH, service};

type Set = BTreeMap<u64, Vec<u8>>;

/// Most days, each with a delta.
const DAYS: usize = 4;

/// The first byte tells how large a crowd there is, the second which runs are fetched; then four bytes each for who
/// comes, goes, gets another label or comes back, and when a day ends.
pub fn run(data: &[u8]) {
    let Some((&[crowd, which], changes)) = data.split_first_chunk() else {
        return;
    };
    let mut sets = vec![drawn(usize::from(crowd) * 40)];
    for change in changes.chunks_exact(4).take(400) {
        apply(&mut sets, [change[0], change[1], change[2], change[3]]);
    }
    let mut segments = vec![build(empty(), sets[0].iter())];
    for (from, pair) in (1..).zip(sets.windows(2)) {
        segments.push(delta(from, &pair[0], &pair[1]));
    }
    let manifest = manifest(&segments);
    let last = sets.last().expect("at least one");
    merged(&segments, &manifest, &sets[0], last);
    composed(&segments, &sets);
    searched(&segments, &manifest, &sets, which);
}

fn drawn(count: usize) -> Set {
    let tag = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
    let tags = (1..=count as u64).map(tag);
    tags.map(|tag| (tag, label(tag as u8))).collect()
}

fn label(byte: u8) -> Vec<u8> {
    vec![byte; 16]
}

fn apply(sets: &mut Vec<Set>, [what, high, low, byte]: [u8; 4]) {
    let set = sets.last_mut().expect("at least one");
    let place = usize::from(u16::from_be_bytes([high, low]));
    let there = set.keys().nth(place % (set.len() + 1)).copied();
    match (what % 8, there) {
        (0..3, _) | (3..7, None) => {
            let tag = u64::from_be_bytes([high, low, byte, what, high, byte, low, what]);
            set.insert(tag, label(byte));
        }
        (3..5, Some(tag)) => drop(set.remove(&tag)),
        (5..7, Some(tag)) => drop(set.insert(tag, label(byte))),
        _ if sets.len() <= DAYS => sets.push(sets.last().expect("at least one").clone()),
        _ => {}
    }
}

fn empty() -> SegmentBuilder {
    SegmentBuilder::new(service().hash(), EPOCH, no_label())
}

fn no_label() -> LabelLength {
    LabelLength::new(0).expect("a length")
}

fn build<'a>(
    mut builder: SegmentBuilder,
    set: impl Iterator<Item = (&'a u64, &'a Vec<u8>)>,
) -> Vec<u8> {
    for (tag, label) in set {
        builder.add(Tag::new(*tag), label).expect("its length");
    }
    builder.build().expect("no duplicates")
}

/// By its definition.
fn delta(from: u64, old: &Set, new: &Set) -> Vec<u8> {
    let mut builder = empty().changing(from, old.len() as u64);
    for (rank, (tag, label)) in old.iter().enumerate() {
        if new.get(tag) != Some(label) {
            builder.delete(rank as u64).expect("a rank of the set");
        }
    }
    let added = new
        .iter()
        .filter(|(tag, label)| old.get(tag) != Some(label));
    build(builder, added)
}

fn manifest(segments: &[Vec<u8>]) -> Manifest {
    let entries = (0..)
        .zip(segments)
        .map(|(from, bytes)| summary(bytes).entry(from + 1))
        .collect();
    named(entries)
}

fn named(segments: Vec<SegmentEntry>) -> Manifest {
    let one = summary(&build(empty(), Set::new().iter()));
    let one = published::publish(&one, no_label());
    let draft = ManifestDraft {
        sequence: 9,
        segments,
        ..one.claims().clone()
    };
    let signed = published::key().sign(&draft).expect("a valid draft");
    published::verified(&signed).expect("its own signature")
}

fn summary(bytes: &[u8]) -> SegmentSummary {
    SegmentSummary::read(bytes, bytes.len() as u64).expect("it was built")
}

fn open<'a>(segments: &'a [Vec<u8>], manifest: &Manifest) -> Vec<Segment<&'a [u8]>> {
    let open = |bytes: &'a Vec<u8>| opened(bytes, manifest);
    segments.iter().map(open).collect()
}

fn opened<'a>(bytes: &'a Vec<u8>, manifest: &Manifest) -> Segment<&'a [u8]> {
    Segment::open(bytes.as_slice(), manifest).expect("its own")
}

fn merged(segments: &[Vec<u8>], manifest: &Manifest, first: &Set, last: &Set) {
    let mut sections = Sections::default();
    let merge = Merge::new(open(segments, manifest)).expect("they follow each other");
    assert_eq!(merge.members(), last.len() as u64);
    let head = merge.write_base(&mut sections).expect("honest").head;
    let bytes = [head, sections.tags, sections.labels].concat();
    assert!(bytes == build(empty(), last.iter()), "bit for bit");

    // From the first set to the last one in one step.
    let base = Merge::new(open(&segments[..1], manifest)).expect("a base");
    let merge = Merge::new(open(segments, manifest)).expect("they follow each other");
    let change = base.difference(merge).expect("honest");
    assert!(change == delta(1, first, last), "the shortest delta");
}

/// Day by day the deltas of all earlier sets are led on, and each leads to the set of the day.
fn composed(segments: &[Vec<u8>], sets: &[Set]) {
    let base = |set: &Set| build(empty(), set.iter());
    let mut earlier: Vec<Vec<u8>> = Vec::new();
    for (day, last) in (2..).zip(&segments[1..]) {
        let (before, today) = (base(&sets[day - 2]), base(&sets[day - 1]));
        let mut entries = vec![summary(&before).entry(day as u64 - 1)];
        entries.extend(
            earlier
                .iter()
                .map(|delta| summary(delta).entry(day as u64 - 1)),
        );
        entries.push(summary(last).entry(day as u64));
        let manifest = named(entries);
        let open = |bytes| opened(bytes, &manifest);
        let composer = Composer::new(open(&before), open(last));
        let composer = composer.expect("they follow each other");
        let composed = earlier.iter().map(|delta| composer.compose(open(delta)));
        earlier = composed.collect::<Result<_, _>>().expect("honest");
        earlier.push(last.clone());
        for (from, delta) in (1..).zip(&earlier) {
            let old = base(&sets[from - 1]);
            let manifest = named(vec![
                summary(&old).entry(from as u64),
                summary(delta).entry(day as u64),
            ]);
            let open = |bytes| opened(bytes, &manifest);
            let path = vec![open(&old), open(delta)];
            let mut sections = Sections::default();
            let merge = Merge::new(path).expect("they follow each other");
            let head = merge.write_base(&mut sections).expect("honest").head;
            assert!([head, sections.tags, sections.labels].concat() == today);
        }
    }
}

fn searched(segments: &[Vec<u8>], manifest: &Manifest, sets: &[Set], which: u8) {
    let everybody = sets.iter().flat_map(Set::keys);
    let tags: Vec<Tag> = everybody
        .flat_map(|tag| [*tag, tag.wrapping_add(1)])
        .map(Tag::new)
        .collect();
    let expected = sets.last().expect("at least one");
    for all in [false, true] {
        let mut search = Search::new(&tags);
        for mut segment in open(segments, manifest) {
            match all {
                false => search.read(&mut segment),
                true => search.read_all(&mut segment),
            }
            .expect("honest");
        }
        assert_eq!(found(search), *expected);
    }

    // Of the base only some runs, of which there may be more than shards.
    let bits = which % 5;
    let runs = (0..1_u32 << bits).filter(|run| run % 3 == u32::from(which) % 3);
    let Ok(runs) = Runs::new(bits, runs.collect()) else {
        return;
    };
    let (covered, others): (Vec<Tag>, Vec<Tag>) =
        tags.iter().copied().partition(|tag| runs.covers(*tag));
    let mut base = fetched(&segments[0], manifest, &runs);
    base.verify_runs(&runs).expect("all of them were fetched");
    let mut search = Search::new(&covered);
    search.read(&mut base).expect("they are covered");
    for mut segment in open(segments, manifest).into_iter().skip(1) {
        search.read(&mut segment).expect("honest");
    }
    let mut expected = expected.clone();
    expected.retain(|tag, _| runs.covers(Tag::new(*tag)));
    assert_eq!(found(search), expected);
    // What wasn't fetched is never said to be absent, unless a whole shard came with its neighbour.
    for tag in others.into_iter().step_by(97) {
        match base.find(&[tag]) {
            Err(error) => assert_eq!(error, RangesError::NotFetched),
            Ok(_) => assert!(manifest.base().shards() < 1 << bits || base.count() == 0),
        }
    }
}

fn fetched(segment: &[u8], manifest: &Manifest, runs: &Runs) -> Segment<Ranges> {
    let bytes = |range: &Range<u64>| segment[range.start as usize..range.end as usize].to_vec();
    let mut held = Ranges::new();
    held.insert(0, bytes(&(0..manifest.base().outline_length())));
    let mut opened = Segment::open(held, manifest).expect("the outline is there");
    for range in opened.ranges(runs).expect("canonical") {
        opened.insert(range.start, bytes(&range));
    }
    opened
}

fn found(search: Search) -> Set {
    let found = search.found().into_iter();
    found.map(|one| (one.tag.get(), one.sealed_label)).collect()
}

#[derive(Default)]
struct Sections {
    tags: Vec<u8>,
    labels: Vec<u8>,
}

#[derive(Debug)]
struct Failed;

impl From<BuildError> for Failed {
    fn from(_: BuildError) -> Self {
        Self
    }
}

impl From<SegmentError> for Failed {
    fn from(_: SegmentError) -> Self {
        Self
    }
}

impl Sink for Sections {
    type Error = Failed;

    fn tags(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.tags.extend_from_slice(bytes);
        Ok(())
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.labels.extend_from_slice(bytes);
        Ok(())
    }
}
