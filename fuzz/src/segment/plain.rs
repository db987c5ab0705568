//! A reader that is slow and simple: one bit after the other, as `blindbook::snapshot` draws them.

const ESCAPE: u32 = 40;

/// The tags and sealed labels of bytes that were accepted.
pub fn decode(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let (shard_bits, parameter) = (u32::from(bytes[10]), u32::from(bytes[11]));
    let stride = usize::from(u16::from_be_bytes([bytes[12], bytes[13]]));
    let section = |index: usize| number(bytes, 72 + 56 * index + 8);
    let (directory, tags, labels) = (section(0), section(1), section(2));
    let mut set = Vec::new();
    for shard in 0..1_usize << shard_bits {
        let entry = directory + 16 * shard;
        let mut bits = Bits {
            bytes: &bytes[tags + number(bytes, entry)..tags + number(bytes, entry + 16)],
            at: 0,
        };
        let mut least = 0_u128;
        for rank in number(bytes, entry + 8)..number(bytes, entry + 24) {
            let low = least + bits.gap(parameter);
            assert!(low < 1 << (64 - shard_bits), "a tag of another shard");
            least = low + 1;
            let tag = (shard as u128) << (64 - shard_bits) | low;
            let label = labels + rank * stride;
            set.push((tag as u64, &bytes[label..label + stride]));
        }
        let left = bits.bytes.len() * 8 - bits.at;
        assert!(left < 8, "bytes behind the last tag");
        assert_eq!(bits.take(left as u32), 0, "the padding isn't zero");
    }
    set
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
