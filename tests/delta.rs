//! A base and what changes it are, however they are read, the set that a plain sorted map says they are.

#[path = "support/published.rs"]
mod published;

use std::collections::BTreeMap;

use blindbook::{
    label::LabelLength,
    oprf::{Epoch, Tag},
    snapshot::{
        BuildError, Composer, Forward, Kind, Manifest, ManifestError, Merge, ReadError, Search,
        Segment, SegmentBuilder, SegmentEntry, SegmentError, SignedManifest, Sink, cheapest_path,
    },
};
use proptest::prelude::*;
use published::{delta_entry, draft, entry, key, sealed, service};

const LABELS: LabelLength = match LabelLength::new(4) {
    Ok(length) => length,
    Err(_) => panic!(),
};

type Set = BTreeMap<u64, Vec<u8>>;

fn empty() -> SegmentBuilder {
    SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS)
}

fn base(set: &Set) -> Vec<u8> {
    let mut builder = empty();
    for (tag, label) in set {
        builder.add(Tag::new(*tag), label).unwrap();
    }
    builder.build().unwrap()
}

/// What leads from one set to another, by its definition.
fn delta(from: u64, old: &Set, new: &Set) -> Vec<u8> {
    let mut builder = empty().changing(from, old.len() as u64);
    for (rank, (tag, label)) in old.iter().enumerate() {
        if new.get(tag) != Some(label) {
            builder.delete(rank as u64).unwrap();
        }
    }
    for (tag, label) in new {
        if old.get(tag) != Some(label) {
            builder.add(Tag::new(*tag), label).unwrap();
        }
    }
    builder.build().unwrap()
}

/// A manifest that names a base and a delta after the other.
fn manifest(segments: &[Vec<u8>]) -> Manifest {
    let mut named = draft(9, [1; 32], entry(&segments[0]), LABELS);
    for (to, segment) in (2..).zip(&segments[1..]) {
        named.segments.push(delta_entry(segment, to - 1, to));
    }
    let signed = SignedManifest::decode(&key().sign(&named).unwrap()).unwrap();
    signed.verify(&key().public_key()).unwrap()
}

fn open<'a>(segments: &'a [Vec<u8>], manifest: &Manifest) -> Vec<Segment<&'a [u8]>> {
    let open = |bytes: &'a Vec<u8>| Segment::open(bytes.as_slice(), manifest).unwrap();
    segments.iter().map(open).collect()
}

#[derive(Default)]
struct File {
    tags: Vec<u8>,
    labels: Vec<u8>,
}

#[derive(Debug)]
enum Failure {
    Build,
    Segment(SegmentError),
}

impl From<BuildError> for Failure {
    fn from(_: BuildError) -> Self {
        Self::Build
    }
}

impl From<SegmentError> for Failure {
    fn from(error: SegmentError) -> Self {
        Self::Segment(error)
    }
}

impl Sink for File {
    type Error = Failure;

    fn tags(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.tags.extend_from_slice(bytes);
        Ok(())
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.labels.extend_from_slice(bytes);
        Ok(())
    }
}

fn merged(path: Vec<Segment<&[u8]>>) -> Vec<u8> {
    let mut file = File::default();
    let head = Merge::new(path)
        .unwrap()
        .write_base(&mut file)
        .unwrap()
        .head;
    [head, file.tags, file.labels].concat()
}

/// Every way of reading `segments` yields the last of `sets`.
fn check(sets: &[Set], segments: &[Vec<u8>], probes: &[u64]) {
    let manifest = manifest(segments);
    let last = sets.last().unwrap();
    assert_eq!(manifest.claims().members(), last.len() as u64);

    let mut wanted: Vec<u64> = probes.to_vec();
    wanted.extend(sets.iter().flat_map(|set| set.keys().copied().step_by(7)));
    let tags: Vec<Tag> = wanted.iter().map(|tag| Tag::new(*tag)).collect();
    let expected: Set = wanted
        .iter()
        .filter_map(|tag| Some((*tag, last.get(tag)?.clone())))
        .collect();
    let found = |search: Search| -> Set {
        let found = search.found().into_iter();
        found.map(|one| (one.tag.get(), one.sealed_label)).collect()
    };

    let mut search = Search::new(&tags);
    for segment in &mut open(segments, &manifest) {
        search.read(segment).unwrap();
    }
    assert_eq!(search.members(), last.len() as u64);
    assert_eq!(search.state(), segments.len() as u64);
    assert_eq!(found(search), expected);

    // As it comes out of a connection.
    let mut streamed = Search::new(&tags);
    for (at, segment) in segments.iter().enumerate() {
        let mut bytes = segment.as_slice();
        let mut opened = Segment::open(Forward::new(&mut bytes), &manifest).unwrap();
        // Every other one to its end.
        if at % 2 == 0 {
            streamed.read_all(&mut opened).unwrap();
            assert!(bytes.is_empty());
        } else {
            streamed.read(&mut opened).unwrap();
        }
    }
    assert_eq!(found(streamed), expected);

    assert!(
        merged(open(segments, &manifest)) == base(last),
        "bit for bit"
    );
    let direct = Merge::new(open(&segments[..1], &manifest))
        .unwrap()
        .difference(Merge::new(open(segments, &manifest)).unwrap())
        .unwrap();
    assert!(direct == delta(1, &sets[0], last), "the shortest delta");
}

/// Sets of which each changes the one before: some leave, some join, some get another label, some come back.
fn histories() -> impl Strategy<Value = Vec<Set>> {
    let change = (any::<u8>(), any::<u64>(), any::<u8>());
    let changes = prop::collection::vec(change, 0..40);
    let start = prop::collection::btree_set(any::<u64>(), 0..3_000);
    (start, 0_u32..60, prop::collection::vec(changes, 0..5)).prop_map(|(start, shift, days)| {
        let set: Set = start
            .into_iter()
            .map(|tag| (tag >> shift, sealed(tag >> shift).to_vec()))
            .collect();
        let mut sets = vec![set];
        for day in days {
            let mut next = sets.last().unwrap().clone();
            for (what, which, label) in day {
                let there = next.keys().nth(usize::from(what) * 11 % (next.len() + 1));
                let tag = match (what % 4, there) {
                    (0, _) | (_, None) => which >> shift,
                    (_, Some(tag)) => *tag,
                };
                if what % 4 == 1 {
                    next.remove(&tag);
                } else {
                    let mut changed = sealed(tag).to_vec();
                    changed[19] = label;
                    next.insert(tag, changed);
                }
            }
            sets.push(next);
        }
        sets
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_base_and_its_deltas_are_a_sorted_map(
        sets in histories(),
        probes in prop::collection::vec(any::<u64>(), 20),
    ) {
        let mut segments = vec![base(&sets[0])];
        for (from, pair) in (1..).zip(sets.windows(2)) {
            segments.push(delta(from, &pair[0], &pair[1]));
        }
        check(&sets, &segments, &probes);
    }

    #[test]
    fn damage_is_noticed_and_never_a_panic(
        sets in histories(),
        flips in prop::collection::vec((any::<u16>(), 1_u8..), 1..4),
    ) {
        let mut segments = vec![base(&sets[0])];
        for (from, pair) in (1..).zip(sets.windows(2)) {
            segments.push(delta(from, &pair[0], &pair[1]));
        }
        let honest = manifest(&segments);
        let target = usize::from(flips[0].0) % segments.len();
        for (at, flip) in flips {
            let length = segments[target].len();
            segments[target][usize::from(at) % length] ^= flip;
        }
        // A mirror's work.
        let opened = Segment::open(segments[target].as_slice(), &honest);
        let checked = opened.and_then(|mut segment| segment.verify());
        prop_assume!(checked.is_err());
        // The publisher's own.
        let mut draft = honest.claims().clone();
        draft.segments[target] = SegmentEntry {
            id: entry(&segments[target]).id,
            ..draft.segments[target].clone()
        };
        let signed = SignedManifest::decode(&key().sign(&draft).unwrap()).unwrap();
        let lying = signed.verify(&key().public_key()).unwrap();
        let tags: Vec<Tag> = sets[0].keys().map(|tag| Tag::new(*tag)).collect();
        let mut search = Search::new(&tags);
        let mut path = Vec::new();
        for segment in &segments {
            let Ok(mut segment) = Segment::open(segment.as_slice(), &lying) else { return Ok(()) };
            let _either = search.read(&mut segment);
            path.push(segment);
        }
        if let Ok(merge) = Merge::new(path) {
            let _either = merge.write_base(&mut File::default());
        }
    }
}

/// The base of a set by its number, and what leads from one to another.
fn path(old: &[u8], from: u64, delta: &[u8], to: u64) -> (Manifest, Vec<Vec<u8>>) {
    let mut named = draft(99, [1; 32], entry(old), LABELS);
    named.segments[0].to = from;
    named.segments.push(delta_entry(delta, from, to));
    let signed = SignedManifest::decode(&key().sign(&named).unwrap()).unwrap();
    let manifest = signed.verify(&key().public_key()).unwrap();
    (manifest, vec![old.to_vec(), delta.to_vec()])
}

/// Leads deltas of all earlier sets on, which lead to set `at` and are in the order of their sets, and adds the last one.
fn lead_on(
    base: &[u8],
    at: u64,
    earlier: &[Vec<u8>],
    last: &[u8],
) -> Result<Vec<Vec<u8>>, SegmentError> {
    let mut named = draft(99, [1; 32], entry(base), LABELS);
    named.segments[0].to = at;
    let entries = (1..).zip(earlier);
    let entries = entries.map(|(from, bytes)| delta_entry(bytes, from, at));
    named.segments.extend(entries);
    named.segments.push(delta_entry(last, at, at + 1));
    let signed = SignedManifest::decode(&key().sign(&named).unwrap()).unwrap();
    let manifest = signed.verify(&key().public_key()).unwrap();
    let open = |bytes| Segment::open(bytes, &manifest);
    let composer = Composer::new(open(base)?, open(last)?)?;
    let composed = earlier.iter().map(|bytes| composer.compose(open(bytes)?));
    let mut composed = composed.collect::<Result<Vec<_>, SegmentError>>()?;
    composed.push(last.to_vec());
    Ok(composed)
}

/// What is in a delta, read by the one reader that takes any segment: everybody who is in none of the sets is absent.
fn added(delta: &[u8], from: u64, sets: &[Set]) -> Set {
    let (manifest, _) = path(&base(&sets[from as usize - 1]), from, delta, 99);
    let mut segment = Segment::open(delta, &manifest).unwrap();
    let all = sets.iter().flat_map(Set::keys);
    let all: Vec<Tag> = all.map(|tag| Tag::new(*tag)).collect();
    let found = segment.find(&all).unwrap();
    assert_eq!(found.len() as u64, segment.count());
    let found = found.into_iter();
    found.map(|one| (one.tag.get(), one.sealed_label)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From every earlier set, composed day by day without any of them, one delta leads to the set of the day.
    #[test]
    fn composed_deltas_lead_where_the_difference_leads_and_add_nobody_else(sets in histories()) {
        let mut earlier: Vec<Vec<u8>> = Vec::new();
        for (at, pair) in (1..).zip(sets.windows(2)) {
            let today = base(&pair[1]);
            earlier = lead_on(&base(&pair[0]), at, &earlier, &delta(at, &pair[0], &pair[1])).unwrap();
            for (from, composed) in (1..).zip(&earlier) {
                let old = &sets[from - 1];
                let (manifest, segments) = path(&base(old), from as u64, composed, at + 1);
                prop_assert!(merged(open(&segments, &manifest)) == today, "{from} to {}", at + 1);
                let adds = added(composed, from as u64, &sets);
                prop_assert!(adds.iter().all(|(tag, label)| pair[1].get(tag) == Some(label)));
                // Whoever it adds beyond the shortest delta was in the old set too, and had left.
                let shortest = added(&delta(from as u64, old, &pair[1]), from as u64, &sets);
                prop_assert!(shortest.keys().all(|tag| adds.contains_key(tag)));
                let mut back = adds.keys().filter(|tag| !shortest.contains_key(tag));
                let since = &sets[from..at as usize];
                let had_left = back.all(|tag| since.iter().any(|set| set.get(tag) != old.get(tag)));
                prop_assert!(had_left);
            }
        }
    }

    /// What only a publisher could sign, as it contradicts itself, is an error or a delta, and never a panic.
    #[test]
    fn contradictory_segments_compose_to_an_error_or_to_nothing_harmful(
        sets in histories(),
        others in histories(),
        mixed in any::<u8>(),
    ) {
        prop_assume!(sets.len() > 2 && others.len() > 2);
        let pick = |bit: u8| if mixed >> bit & 1 == 0 { &sets } else { &others };
        let base = base(&pick(0)[1]);
        let earlier = delta(1, &pick(1)[0], &pick(2)[1]);
        let last = delta(2, &pick(3)[1], &pick(4)[2]);
        match lead_on(&base, 2, &[earlier], &last) {
            Ok(composed) => prop_assert_eq!(composed.len(), 2),
            Err(error) => prop_assert_eq!(error, SegmentError::NotCanonical),
        }
    }
}

#[test]
fn who_left_and_came_back_as_before_is_deleted_and_added() {
    let set = |tags: &[u64]| -> Set {
        let labelled = tags.iter().map(|tag| (*tag, sealed(*tag).to_vec()));
        labelled.collect()
    };
    let sets = [set(&[1, 5, 9]), set(&[1, 9]), set(&[1, 5, 9])];
    let mut earlier = Vec::new();
    for (at, pair) in (1..).zip(sets.windows(2)) {
        let last = delta(at, &pair[0], &pair[1]);
        earlier = lead_on(&base(&pair[0]), at, &earlier, &last).unwrap();
    }
    assert_eq!(added(&earlier[0], 1, &sets), set(&[5]));
    let (manifest, segments) = path(&base(&sets[0]), 1, &earlier[0], 3);
    assert!(merged(open(&segments, &manifest)) == base(&sets[2]));
}

#[test]
fn what_does_not_follow_is_not_composed() {
    let (sets, segments) = two_days();
    let second = base(&sets[1]);
    let (first, last) = (&segments[1], &segments[2]);
    let compose = |base: &[u8], earlier: &[u8], last: &[u8]| {
        lead_on(base, 2, &[earlier.to_vec()], last).map(drop)
    };
    assert_eq!(compose(&second, first, last), Ok(()));
    // A base of another size than the deltas change or lead to.
    let none = base(&Set::new());
    let all = Err(SegmentError::NotCanonical);
    assert_eq!(compose(&none, first, last), all);
    // Somebody is added who was added before and isn't deleted.
    let mut twice = empty().changing(2, 3);
    twice.add(Tag::new(11), &sealed(11)).unwrap();
    assert_eq!(compose(&second, first, &twice.build().unwrap()), all);
    // More are added before the one who is deleted than there are.
    let mut before = empty().changing(1, 2);
    before.add(Tag::new(0), &sealed(0)).unwrap();
    let before = before.build().unwrap();
    let mut deletes = empty().changing(2, 3);
    deletes.delete(0).unwrap();
    let deletes = deletes.build().unwrap();
    assert_eq!(compose(&second, &before, &deletes), all);

    let (manifest, path) = path(&second, 2, last, 3);
    let [base, last] = [0, 1].map(|at| Segment::open(path[at].as_slice(), &manifest).unwrap());
    let other = Composer::new(last, base).unwrap_err();
    assert_eq!(other, SegmentError::OtherSet);
}

fn two_days() -> (Vec<Set>, Vec<Vec<u8>>) {
    let set = |tags: &[u64]| -> Set {
        tags.iter()
            .map(|tag| (*tag, sealed(*tag).to_vec()))
            .collect()
    };
    let sets = vec![set(&[1, 5, 9]), set(&[1, 9, 11]), set(&[9, 10, 11])];
    let segments = vec![
        base(&sets[0]),
        delta(1, &sets[0], &sets[1]),
        delta(2, &sets[1], &sets[2]),
    ];
    (sets, segments)
}

#[test]
fn segments_out_of_order_are_refused_and_lose_nothing() {
    let (_, segments) = two_days();
    let manifest = manifest(&segments);
    let mut path = open(&segments, &manifest);
    let mut search = Search::new(&[9, 10].map(Tag::new));
    assert_eq!(
        search.read(&mut path[1]).unwrap_err(),
        SegmentError::OtherSet
    );
    search.read(&mut path[0]).unwrap();
    assert_eq!(
        search.read(&mut path[2]).unwrap_err(),
        SegmentError::OtherSet
    );
    assert_eq!((search.state(), search.members()), (1, 3));
    search.read(&mut path[1]).unwrap();
    assert_eq!(
        search.read(&mut path[1]).unwrap_err(),
        SegmentError::OtherSet
    );
    search.read(&mut path[2]).unwrap();
    assert_eq!(search.found().len(), 2);

    path.swap(1, 2);
    assert_eq!(Merge::new(path).unwrap_err(), SegmentError::OtherSet);
    assert_eq!(
        Merge::<&[u8]>::new(Vec::new()).unwrap_err(),
        SegmentError::OtherSet
    );
}

#[test]
fn a_signed_delta_that_adds_who_is_there_is_refused() {
    let (sets, mut segments) = two_days();
    let mut builder = empty().changing(1, 3);
    builder.add(Tag::new(9), &sealed(9)).unwrap();
    segments.truncate(1);
    segments.push(builder.build().unwrap());
    let manifest = manifest(&segments);
    let mut search = Search::new(&[Tag::new(9)]);
    let mut path = open(&segments, &manifest);
    search.read(&mut path[0]).unwrap();
    assert_eq!(
        search.read(&mut path[1]).unwrap_err(),
        SegmentError::NotCanonical
    );
    assert_eq!(search.state(), 1, "it stays where it was");
    let written = Merge::new(path).unwrap().write_base(&mut File::default());
    assert!(matches!(
        written,
        Err(Failure::Segment(SegmentError::NotCanonical))
    ));
    assert_eq!(sets.len(), 3);
}

/// Deltas that change nothing had one id whatever set they changed. A manifest that named two of them sent whoever opens
/// the second one to the set that the first one changes.
#[test]
fn no_manifest_names_a_segment_twice() {
    let (sets, segments) = two_days();
    let idle = |from| delta_entry(&delta(from, &sets[0], &sets[0]), from, 3);
    let mut named = draft(9, [1; 32], entry(&segments[0]), LABELS);
    named.segments.extend([idle(1), idle(2)]);
    key().sign(&named).unwrap();
    named.segments.push(SegmentEntry { to: 4, ..idle(2) });
    assert_eq!(
        key().sign(&named).unwrap_err(),
        ManifestError::BadField("segments")
    );
}

/// The header says which set is changed, so a manifest can't send a delta to another one.
#[test]
fn a_delta_that_is_named_for_another_set_is_refused() {
    let (_, segments) = two_days();
    let mut named = draft(9, [1; 32], entry(&segments[0]), LABELS);
    named.segments[0].to = 2;
    named.segments.push(delta_entry(&segments[1], 2, 3));
    let signed = SignedManifest::decode(&key().sign(&named).unwrap()).unwrap();
    let manifest = signed.verify(&key().public_key()).unwrap();
    let refused = Segment::open(segments[1].as_slice(), &manifest);
    assert_eq!(refused.unwrap_err(), SegmentError::OtherSegment);
}

#[test]
fn ranks_that_the_set_does_not_have_are_not_deleted() {
    assert_eq!(empty().delete(0), Err(BuildError::Rank));
    let mut builder = empty().changing(1, 4);
    builder.delete(3).unwrap();
    assert_eq!(builder.delete(4), Err(BuildError::Rank));
    builder.delete(3).unwrap();
    assert_eq!(builder.build(), Err(BuildError::Rank));
}

#[test]
fn a_stream_that_ends_early_is_told_from_a_stream_that_lies() {
    let (_, segments) = two_days();
    let manifest = manifest(&segments);
    for length in 0..segments[0].len() {
        let source = Forward::new(&segments[0][..length]);
        let found = Segment::open(source, &manifest)
            .and_then(|mut segment| segment.find(&[1, 5, 9].map(Tag::new)));
        assert!(matches!(
            found,
            Err(ReadError::Segment(SegmentError::Length))
        ));
    }
}

#[test]
fn the_way_to_the_newest_set_is_the_cheapest() {
    let segment = |kind, size, from, to| SegmentEntry {
        kind,
        id: [0; 32],
        size,
        count: 0,
        deletes: 0,
        from,
        to,
    };
    let segments = [
        segment(Kind::Base, 1_000, 0, 3),
        segment(Kind::Delta, 20, 3, 4),
        segment(Kind::Delta, 20, 4, 5),
        segment(Kind::Delta, 30, 3, 5),
        segment(Kind::Delta, 20, 5, 6),
    ];
    let sizes = |held: &[u64], to| -> Vec<u64> {
        let cost = |entry: &SegmentEntry| {
            if held.contains(&entry.size) {
                0
            } else {
                entry.size
            }
        };
        let path = cheapest_path(&segments, to, cost).unwrap();
        path.iter().map(|entry| entry.size).collect()
    };
    assert_eq!(sizes(&[], 6), [1_000, 30, 20]);
    assert_eq!(sizes(&[20], 6), [1_000, 20, 20, 20]);
    assert_eq!(sizes(&[1_000, 30], 5), [1_000, 30]);
    assert_eq!(sizes(&[], 4), [1_000, 20]);
    assert!(cheapest_path(&segments, 7, |_| 1).is_none());
    assert!(cheapest_path(&segments[1..], 6, |_| 1).is_none());
    // Costs that overflow aren't cheap.
    assert_eq!(
        cheapest_path(&segments, 6, |_| u64::MAX).map(|path| path.len()),
        Some(3)
    );
}
