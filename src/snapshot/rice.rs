//! Golomb-Rice coded gaps, with an escape for gaps that random tags don't have.

use alloc::vec::Vec;

use super::format::SegmentError;

/// Ones that announce a plain gap of 64 bits.
const ESCAPE: u32 = 40;

/// Appends bits, the highest first.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
    pending: u128,
    /// Bits in `pending`: fewer than eight between calls.
    count: u32,
    /// What the next number is counted from.
    least: u64,
}

impl Writer {
    /// Appends a number that is greater than the one before.
    pub(super) fn ascend(&mut self, number: u64, parameter: u8) {
        self.gap(number - self.least, parameter);
        self.least = number.wrapping_add(1);
    }

    fn gap(&mut self, gap: u64, parameter: u8) {
        let quotient = gap >> parameter;
        if quotient >= u64::from(ESCAPE) {
            self.bits((1 << ESCAPE) - 1, ESCAPE);
            self.bits(gap, 64);
            return;
        }
        let quotient = quotient as u32;
        self.bits(((1 << quotient) - 1) << 1, quotient + 1);
        self.bits(gap & ((1 << parameter) - 1), u32::from(parameter));
    }

    /// Pads with zeros to a whole byte.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bits(0, 8 - self.count);
        }
        self.out
    }

    fn bits(&mut self, value: u64, count: u32) {
        self.pending = (self.pending << count) | u128::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.out.push((self.pending >> self.count) as u8);
        }
        self.pending &= (1 << self.count) - 1;
    }
}

/// Reads so many ascending numbers.
pub(super) struct Ascending<'a> {
    reader: Reader<'a>,
    parameter: u8,
    /// The greatest number that there can be.
    greatest: u64,
    /// The least that the next one can be; `None` behind the greatest.
    least: Option<u64>,
    left: u64,
}

impl<'a> Ascending<'a> {
    pub(super) fn new(bytes: &'a [u8], count: u64, parameter: u8, greatest: u64) -> Self {
        Self {
            reader: Reader::new(bytes),
            parameter,
            greatest,
            least: Some(0),
            left: count,
        }
    }

    /// The next number; `None` if there are no more.
    pub(super) fn next(&mut self) -> Result<Option<u64>, SegmentError> {
        if self.left == 0 {
            return Ok(None);
        }
        let number = self
            .reader
            .gap(self.parameter)
            .zip(self.least)
            .and_then(|(gap, least)| gap.checked_add(least))
            .filter(|number| *number <= self.greatest)
            .ok_or(SegmentError::NotCanonical)?;
        self.least = number.checked_add(1);
        self.left -= 1;
        Ok(Some(number))
    }

    /// Goes to the end, behind which there is nothing.
    pub(super) fn finish(mut self) -> Result<(), SegmentError> {
        while self.next()?.is_some() {}
        self.reader
            .at_end()
            .then_some(())
            .ok_or(SegmentError::NotCanonical)
    }
}

/// Reads bits, the highest first.
struct Reader<'a> {
    rest: &'a [u8],
    /// The next bits, from the highest on; below them zeros.
    buffer: u64,
    count: u32,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            buffer: 0,
            count: 0,
        }
    }

    /// `None` at the end of the bytes, or for a gap that isn't written in its one way.
    fn gap(&mut self, parameter: u8) -> Option<u64> {
        self.fill();
        let ones = self.buffer.leading_ones();
        if ones >= ESCAPE {
            self.skip(ESCAPE)?;
            let gap = (self.bits(32)? << 32) | self.bits(32)?;
            return (gap >> parameter >= u64::from(ESCAPE)).then_some(gap);
        }
        self.skip(ones + 1)?;
        let parameter = u32::from(parameter);
        let low = match parameter {
            0 => 0,
            // Nearly always at hand: a filled buffer has 56 bits.
            _ if parameter <= self.count => {
                let low = self.buffer >> (64 - parameter);
                self.skip(parameter)?;
                low
            }
            1..=32 => self.bits(parameter)?,
            _ => (self.bits(parameter - 32)? << 32) | self.bits(32)?,
        };
        // A quotient that a parameter near 64 would push out of the gap isn't one.
        let high = u64::from(ones);
        (high.leading_zeros() >= parameter || high == 0).then_some(())?;
        Some((high << parameter) | low)
    }

    /// Whether fewer than eight bits are left, and they are zero.
    fn at_end(mut self) -> bool {
        self.fill();
        self.rest.is_empty() && self.count < 8 && self.buffer == 0
    }

    /// At least 56 bits, or all there are.
    fn fill(&mut self) {
        if let (true, Some((chunk, _))) = (self.count <= 56, self.rest.split_first_chunk::<8>()) {
            let bytes = (63 - self.count) / 8;
            self.buffer |= u64::from_be_bytes(*chunk) >> self.count;
            self.rest = self.rest.get(bytes as usize..).unwrap_or_default();
            self.count += bytes * 8;
            self.buffer &= u64::MAX << (64 - self.count);
            return;
        }
        while let (true, Some((&byte, rest))) = (self.count <= 56, self.rest.split_first()) {
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.rest = rest;
        }
    }

    /// 1 to 32 bits.
    fn bits(&mut self, count: u32) -> Option<u64> {
        if self.count < count {
            self.fill();
        }
        let bits = self.buffer >> (64 - count);
        self.skip(count)?;
        Some(bits)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.count = self.count.checked_sub(count)?;
        self.buffer <<= count;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(gaps: &[u64], parameter: u8) -> usize {
        let mut writer = Writer::default();
        gaps.iter().for_each(|&gap| writer.gap(gap, parameter));
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        for &gap in gaps {
            assert_eq!(reader.gap(parameter), Some(gap), "parameter {parameter}");
        }
        assert!(reader.at_end());
        bytes.len()
    }

    #[test]
    fn every_gap_survives_with_every_parameter() {
        for parameter in 0..=63 {
            let mut gaps: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).collect();
            gaps.extend([u64::MAX, 0, 0, 39 << 3, 40 << 3]);
            round_trip(&gaps, parameter);
        }
    }

    #[test]
    fn a_gap_is_never_longer_than_104_bits() {
        assert_eq!(round_trip(&[u64::MAX], 0), 104 / 8);
        assert_eq!(round_trip(&[40], 0), 104 / 8);
        assert_eq!(round_trip(&[39], 0), 40 / 8);
    }

    #[test]
    fn an_escape_for_a_small_gap_is_refused() {
        let mut writer = Writer::default();
        writer.bits((1 << ESCAPE) - 1, ESCAPE);
        writer.bits(39, 64);
        let bytes = writer.finish();
        assert_eq!(Reader::new(&bytes).gap(0), None);
    }

    #[test]
    fn truncated_gaps_are_refused() {
        let mut writer = Writer::default();
        writer.gap(1 << 40, 36);
        let bytes = writer.finish();
        for length in 0..bytes.len() - 1 {
            assert_eq!(Reader::new(&bytes[..length]).gap(36), None, "{length}");
        }
    }
}
