//! Segments: whatever is accepted is the one way to write the set that is in it.

#[path = "segment/forge.rs"]
mod forge;
#[path = "segment/plain.rs"]
mod plain;

use blindbook::{
    label::LabelLength,
    oprf::Tag,
    snapshot::{Kind, Segment, SegmentBuilder, SegmentSummary},
};

use crate::published;

/// The bytes themselves; then with lengths, parameters and roots made right, since no fuzzer guesses a
/// hash; then, if there are few, as a recipe for a larger set with damage.
pub fn run(data: &[u8]) {
    check(data);
    if let Some(bytes) = forge::made_right(data) {
        check(&bytes);
    }
    if data.len() <= 64
        && let Some(bytes) = forge::drawn(data)
    {
        check(&bytes);
    }
}

/// A second reader, written from the drawing of the format and not from the code, finds the set, and
/// the builder writes the same bytes from it; looking the tags up gives the same labels.
fn check(bytes: &[u8]) {
    let Ok(summary) = SegmentSummary::read(bytes, bytes.len() as u64) else {
        return;
    };
    let set = plain::decode(bytes);
    assert_eq!(set.len() as u64, summary.count);
    let deletes = plain::deletes(bytes);
    assert_eq!(deletes.len() as u64, summary.deletes);
    assert!(set.is_sorted_by(|a, b| a.0 < b.0));

    let sealed = usize::from(summary.sealed_label);
    let label_length = (0..=LabelLength::MAX)
        .filter_map(|length| LabelLength::new(length).ok())
        .find(|length| length.sealed() == sealed)
        .expect("a length that labels have");
    let mut builder = SegmentBuilder::new(summary.service, summary.epoch, label_length);
    if summary.kind == Kind::Delta {
        builder = builder.changing(summary.from, summary.changed);
    }
    for rank in deletes.into_iter().rev() {
        builder.delete(rank).expect("a rank of the set");
    }
    for (tag, label) in set.iter().rev() {
        builder.add(Tag::new(*tag), label).expect("its length");
    }
    assert!(builder.build().expect("no duplicates") == bytes);

    // Behind the last number that a set can have there is none that a delta could lead to.
    if summary.service == published::service().hash() && summary.from < u64::MAX {
        let manifest = published::publish(&summary, label_length);
        let mut segment = Segment::open(bytes, &manifest).expect("the manifest names it");
        // Neighbours of members are asked for too, and are found only if they are members themselves.
        let wanted: Vec<Tag> = set
            .iter()
            .flat_map(|(tag, _)| [*tag, tag.wrapping_add(1)])
            .map(Tag::new)
            .collect();
        let found = segment.find(&wanted).expect("it was checked");
        let found = found.iter();
        let found = found.map(|one| (one.tag.get(), one.sealed_label.as_slice()));
        assert!(found.eq(set.iter().copied()));
    }
}
