//! The bytes of a member in the store:
//!
//! ```text
//! size
//!    1  version = 2
//!    1  length of the label, 255 if the member is deleted
//!    .  label
//!    2  region, zeros if unknown
//!    8  hidden at, microseconds; all ones if never
//!    1  number of intervals
//!    n x { since 8, until 8 (all ones while it lasts), length 1, label,
//!          consent at 8 (all ones if none was needed; then nothing follows),
//!          length 1, text version, length 1, surface }
//! ```
//!
//! Version 1 had neither region nor the labels of intervals: the member's own one is taken, or none.

use std::vec::Vec;

use crate::{
    label::Label,
    server::directory::{Consent, Interval, Member, Region},
    timestamp::Timestamp,
};

const VERSION: u8 = 2;
const NO_LABEL: u8 = 0xff;
const NO_REGION: [u8; 2] = [0; 2];
const NEVER: u64 = u64::MAX;

pub(super) fn encode(member: &Member) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.push(VERSION);
    match member.label() {
        None => out.push(NO_LABEL),
        Some(label) => put_bytes(label.as_bytes(), &mut out),
    }
    let region = member.region();
    out.extend_from_slice(&region.map_or(NO_REGION, |region| *region.as_bytes()));
    put_time(member.hidden_at(), &mut out);
    out.push(member.intervals().len() as u8);
    for interval in member.intervals() {
        put_time(Some(interval.since), &mut out);
        put_time(interval.until, &mut out);
        put_bytes(interval.label.as_bytes(), &mut out);
        put_time(interval.consent.as_ref().map(Consent::at), &mut out);
        if let Some(consent) = &interval.consent {
            put_bytes(consent.text_version().as_bytes(), &mut out);
            put_bytes(consent.surface().as_bytes(), &mut out);
        }
    }
    out
}

/// `None` for bytes that [`encode`] doesn't write.
pub(super) fn decode(bytes: &[u8]) -> Option<Member> {
    let mut rest = bytes;
    let [version] = array(&mut rest)?;
    if ![1, VERSION].contains(&version) {
        return None;
    }
    let label = match rest.first()? {
        &NO_LABEL => {
            array::<1>(&mut rest)?;
            None
        }
        _ => Some(Label::new(take(&mut rest)?).ok()?),
    };
    let region = match version {
        1 => NO_REGION,
        _ => array(&mut rest)?,
    };
    let region = match region {
        NO_REGION => None,
        code => Some(Region::from_bytes(code)?),
    };
    let hidden_at = time(&mut rest)?;
    let [count] = array(&mut rest)?;
    let mut intervals = Vec::new();
    for _ in 0..count {
        let since = time(&mut rest)??;
        let until = time(&mut rest)?;
        let shown_by = match version {
            1 => label.clone().or_else(|| Label::new(&[]).ok())?,
            _ => Label::new(take(&mut rest)?).ok()?,
        };
        intervals.push(Interval {
            since,
            until,
            consent: consent(&mut rest)?,
            label: shown_by,
        });
    }
    rest.is_empty()
        .then(|| Member::from_parts(label, region, intervals, hidden_at))?
}

fn consent(rest: &mut &[u8]) -> Option<Option<Consent>> {
    let Some(at) = time(rest)? else {
        return Some(None);
    };
    let text_version = core::str::from_utf8(take(rest)?).ok()?;
    let surface = core::str::from_utf8(take(rest)?).ok()?;
    Consent::new(at, text_version, surface).ok().map(Some)
}

fn put_time(at: Option<Timestamp>, out: &mut Vec<u8>) {
    let micros = at.map_or(NEVER, Timestamp::as_micros);
    out.extend_from_slice(&micros.to_be_bytes());
}

/// At most 64 bytes, by the types that they come from.
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn time(rest: &mut &[u8]) -> Option<Option<Timestamp>> {
    match u64::from_be_bytes(array(rest)?) {
        NEVER => Some(None),
        micros if micros <= Timestamp::MAX.as_micros() => {
            Some(Some(Timestamp::from_micros(micros)))
        }
        _ => None,
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [length] = array(rest)?;
    let (taken, left) = rest.split_at_checked(usize::from(length))?;
    *rest = left;
    Some(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by the version before regions and handles of intervals.
    #[test]
    fn a_row_of_version_1_is_read() {
        let interval = [
            &[0, 0, 0, 0, 0, 0, 0, 5][..],
            &[0xff; 8],
            &[0, 0, 0, 0, 0, 0, 0, 4],
            b"\x02v1\x03app",
        ]
        .concat();
        let row = [b"\x01\x03ada".as_slice(), &[0xff; 8], &[1], &interval].concat();
        let member = decode(&row).unwrap();
        assert_eq!(member.region(), None);
        let ada = Label::new(b"ada").unwrap();
        assert_eq!(member.shown(), Some((&ada, Timestamp::from_micros(5))));
        // Written again it is of this version, and the same.
        let again = encode(&member);
        assert_eq!(again.first(), Some(&VERSION));
        assert_eq!(decode(&again), Some(member));
        for version in [0, 3] {
            let other = [&[version][..], again.get(1..).unwrap()].concat();
            assert_eq!(decode(&other), None);
        }
    }
}
