//! Looking contacts up in a published set, beside what one would do without a format: a sorted array and a hash set of
//! the same tags, both of which have to be held in memory whole.

#![allow(missing_docs)]

#[path = "../tests/support/published.rs"]
mod published;
#[path = "../tests/support/roles.rs"]
mod roles;

use std::{collections::HashSet, hint::black_box};

use blindbook::{
    label::LabelLength,
    oprf::Tag,
    snapshot::{Segment, SegmentBuilder},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use published::{draft, publish, sealed, service};
use rand::{Rng, seq::SliceRandom};

const CONTACTS: usize = 1_000;

fn lookup(criterion: &mut Criterion) {
    for members in [100_000, 1_000_000] {
        let mut rng = roles::random_source(3);
        let mut tags: Vec<u64> = (0..members).map(|_| rng.next_u64()).collect();
        tags.sort_unstable();
        tags.dedup();
        let length = LabelLength::new(4).unwrap();
        let epoch = draft(1, [0; 32], published::entry(&[]), length).epoch;
        let mut builder = SegmentBuilder::new(service().hash(), epoch, length);
        for &tag in &tags {
            builder.add(Tag::new(tag), &sealed(tag)).unwrap();
        }
        let bytes = builder.build().unwrap();
        let manifest = publish(&bytes, length);
        let mut segment = Segment::open(&bytes, &manifest).unwrap();
        println!(
            "{members} members: {:.1} bits a tag without labels",
            (bytes.len() - 20 * tags.len()) as f64 * 8.0 / tags.len() as f64
        );
        // One contact of four is a member.
        let mut wanted: Vec<u64> = tags
            .iter()
            .step_by(tags.len() / CONTACTS * 4)
            .copied()
            .collect();
        wanted.resize_with(CONTACTS, || rng.next_u64());
        wanted.shuffle(&mut rng);
        let wanted_tags: Vec<Tag> = wanted.iter().copied().map(Tag::new).collect();
        let expected = segment.find(&wanted_tags).unwrap().len();
        let hashed: HashSet<u64> = tags.iter().copied().collect();

        let mut group = criterion.benchmark_group("look up 1,000 contacts");
        group
            .sample_size(20)
            .throughput(Throughput::Elements(CONTACTS as u64));
        group.bench_function(BenchmarkId::new("segment", members), |bencher| {
            bencher.iter(|| segment.find(black_box(&wanted_tags)).unwrap().len());
        });
        group.bench_function(BenchmarkId::new("sorted array", members), |bencher| {
            bencher.iter(|| {
                let there = |tag: &&u64| tags.binary_search(tag).is_ok();
                black_box(&wanted).iter().filter(there).count()
            });
        });
        group.bench_function(BenchmarkId::new("hash set", members), |bencher| {
            bencher.iter(|| {
                let there = |tag: &&u64| hashed.contains(*tag);
                assert_eq!(black_box(&wanted).iter().filter(there).count(), expected);
            });
        });
        group.bench_function(
            BenchmarkId::new("open and hash the segment", members),
            |bencher| {
                bencher.iter(|| Segment::open(black_box(&bytes), &manifest).unwrap().count());
            },
        );
        group.finish();
    }
}

criterion_group! {
    name = snapshot;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = lookup
}
criterion_main!(snapshot);
