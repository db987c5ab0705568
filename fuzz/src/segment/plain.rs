//! A reader that is slow and simple: one bit after the other, as `blindbook::snapshot` draws them.

const ESCAPE: u32 = 40;

const HEADER: usize = 232;

/// The tags and sealed labels of bytes that were accepted.
pub fn decode(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let (shard_bits, parameter) = (u32::from(bytes[10]), u32::from(bytes[11]));
    let stride = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let tags = deletes_at(bytes) + number(bytes, 88);
    let labels = tags + number(bytes, 96);
    let mut set = Vec::new();
    for shard in 0..1_usize << shard_bits {
        let entry = HEADER + 16 * shard;
        let content = &bytes[tags + number(bytes, entry)..tags + number(bytes, entry + 16)];
        let ranks = number(bytes, entry + 8)..number(bytes, entry + 24);
        let numbers = ascending(content, ranks.len(), parameter, 1 << (64 - shard_bits));
        for (rank, low) in ranks.zip(numbers) {
            let tag = (shard as u128) << (64 - shard_bits) | low;
            let label = labels + rank * stride;
            set.push((tag as u64, &bytes[label..label + stride]));
        }
    }
    set
}

/// The ranks that bytes which were accepted delete.
pub fn deletes(bytes: &[u8]) -> Vec<u64> {
    let content = &bytes[deletes_at(bytes)..][..number(bytes, 88)];
    let changed = number(bytes, 72) as u128;
    let numbers = ascending(content, number(bytes, 64), u32::from(bytes[12]), changed);
    numbers.into_iter().map(|rank| rank as u64).collect()
}

fn deletes_at(bytes: &[u8]) -> usize {
    let shards = 1 << bytes[10];
    HEADER + 16 * (shards + 1) + 64 * shards
}

/// So many ascending numbers below `end`.
fn ascending(bytes: &[u8], count: usize, parameter: u32, end: u128) -> Vec<u128> {
    let mut bits = Bits { bytes, at: 0 };
    let mut least = 0_u128;
    let mut numbers = Vec::new();
    for _ in 0..count {
        let number = least + bits.gap(parameter);
        assert!(number < end, "a number that can't be");
        least = number + 1;
        numbers.push(number);
    }
    let left = bytes.len() * 8 - bits.at;
    assert!(left < 8, "bytes behind the last number");
    assert_eq!(bits.take(left as u32), 0, "the padding isn't zero");
    numbers
}

fn number(bytes: &[u8], at: usize) -> usize {
    let word = bytes[at..at + 8].try_into().expect("eight bytes");
    usize::try_from(u64::from_be_bytes(word)).expect("less than the file has")
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u128 {
        let mut value = 0;
        for _ in 0..count {
            let bit = self.bytes[self.at / 8] >> (7 - self.at % 8) & 1;
            value = value << 1 | u128::from(bit);
            self.at += 1;
        }
        value
    }

    fn gap(&mut self, parameter: u32) -> u128 {
        let mut ones = 0;
        while ones < ESCAPE && self.take(1) == 1 {
            ones += 1;
        }
        if ones == ESCAPE {
            return self.take(64);
        }
        u128::from(ones) << parameter | self.take(parameter)
    }
}
