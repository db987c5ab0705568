//! What a hostile publisher would sign: everything that follows from the rest is right, the rest is not.

use std::collections::BTreeSet;

use blindbook::{label::LabelLength, oprf::Tag, snapshot::SegmentBuilder};
use sha2::{Digest, Sha256};

use crate::published::{EPOCH, service};

const HEADER: usize = 232;
/// Keeps a run short, and reaches two bits of shards.
const MAX_COUNT: u64 = 6_000;

/// The bytes with the parameters, hashes and roots that belong to their kind, counts, label stride and contents.
/// `None` if they don't suffice.
pub fn made_right(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let kind = match *bytes.get(9)? {
        kind @ 1..=2 => kind,
        other => other % 2 + 1,
    };
    let count = number(&bytes, 56)? % (MAX_COUNT + 1);
    let stride = match u64::from(*bytes.get(15)?) {
        stride @ 16..=80 => stride,
        other => 16 + other % 65,
    };
    let (deletes, changed, from) = match kind {
        1 => (0, 0, 0),
        _ => (
            number(&bytes, 64)? % 100,
            number(&bytes, 72)? % (1 << 40),
            number(&bytes, 80)?.max(1),
        ),
    };
    let deletes = deletes.min(changed);
    let parameter = |space: f64, count: u64| match count {
        0 => 0,
        _ => ((core::f64::consts::LN_2 * space / count as f64)
            .log2()
            .max(0.0) as u8)
            .min(63),
    };
    let shard_bits = (count / 1_024).checked_ilog2().unwrap_or(0);
    let shards = 1_usize << shard_bits;
    let outline = HEADER + 16 * (shards + 1) + 64 * shards;
    let labels = usize::try_from(count * stride).ok()?;
    let rest = bytes.len().checked_sub(outline + labels)?;
    let deletes_length = usize::try_from(number(&bytes, 88)?).ok()?;
    let deletes_length = if kind == 1 {
        0
    } else {
        deletes_length.min(rest)
    };
    let tags = rest - deletes_length;

    put(&mut bytes, 0, b"bbsegmnt\x01");
    let parameters = [
        kind,
        shard_bits as u8,
        parameter(2_f64.powi(64), count),
        parameter(changed as f64, deletes),
        0,
        0,
        stride as u8,
    ];
    put(&mut bytes, 9, &parameters);
    let lengths = [deletes_length as u64, tags as u64];
    let numbers = [count, deletes, changed, from, lengths[0], lengths[1]];
    for (index, word) in numbers.into_iter().enumerate() {
        put(&mut bytes, 56 + 8 * index, &word.to_be_bytes());
    }

    let directory = bytes[HEADER..][..16 * (shards + 1)].to_vec();
    let (delete_bytes, contents) = bytes[outline..].split_at(deletes_length);
    let (tag_bytes, label_bytes) = contents.split_at(tags);
    let ends = |field: usize, unit: usize| -> Vec<Option<usize>> {
        (0..=shards)
            .map(|shard| number(&directory, 16 * shard + field)?.try_into().ok())
            .map(|end: Option<usize>| end?.checked_mul(unit))
            .collect()
    };
    let tag_leaves = cut(tag_bytes, &ends(0, 1))?;
    let label_leaves = cut(label_bytes, &ends(8, usize::try_from(stride).ok()?))?;
    let roots = [
        root(&directory.chunks(4_096).collect::<Vec<_>>()),
        root(&delete_bytes.chunks(4_096).collect::<Vec<_>>()),
        root(&tag_leaves),
        root(&label_leaves),
    ];
    let hashes: Vec<[u8; 32]> = [tag_leaves, label_leaves]
        .concat()
        .into_iter()
        .map(|leaf| root(&[leaf]))
        .collect();
    put(&mut bytes, 104, roots.as_flattened());
    put(&mut bytes, HEADER + directory.len(), hashes.as_flattened());
    Some(bytes)
}

/// A set whose size and tags follow from the first four bytes, with the damage that the others say: where
/// in two bytes, and what is flipped there in one.
pub fn drawn(data: &[u8]) -> Option<Vec<u8>> {
    let (&[count_1, count_2, seed, crowd], damage) = data.split_first_chunk()?;
    let count = u64::from(u16::from_be_bytes([count_1, count_2])) % (MAX_COUNT + 1);
    let tags: BTreeSet<u64> = (0..count)
        .map(|index| mix(index | u64::from(seed) << 32) >> (crowd % 50))
        .collect();
    let mut builder = SegmentBuilder::new(service().hash(), EPOCH, LabelLength::new(0).ok()?);
    for tag in &tags {
        let mut label = [seed; 16];
        label[..8].copy_from_slice(&tag.to_be_bytes());
        builder.add(Tag::new(*tag), &label).ok()?;
    }
    let mut bytes = builder.build().ok()?;
    assert!(
        made_right(&bytes).as_ref() == Some(&bytes),
        "it was right before"
    );
    for flip in damage.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([flip[0], flip[1]])) % bytes.len();
        bytes[at] ^= flip[2];
    }
    made_right(&bytes)
}

/// The output of SplitMix64.
fn mix(index: u64) -> u64 {
    let word = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn cut<'a>(bytes: &'a [u8], ends: &[Option<usize>]) -> Option<Vec<&'a [u8]>> {
    ends.windows(2)
        .map(|pair| bytes.get(pair[0]?..pair[1]?))
        .collect()
}

/// RFC 9162, section 2.1.1, as it is written there.
fn root(leaves: &[&[u8]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => Sha256::new_with_prefix([0])
            .chain_update(leaf)
            .finalize()
            .into(),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Sha256::new_with_prefix([1])
                .chain_update(root(left))
                .chain_update(root(right))
                .finalize()
                .into()
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u64::from_be_bytes)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}
