//! The bytes of a member in the store:
//!
//! ```text
//! size
//!    1  version = 1
//!    1  length of the label, 255 if the member is deleted
//!    .  label
//!    8  hidden at, microseconds; all ones if never
//!    1  number of intervals
//!    n x { since 8, until 8 (all ones while it lasts), consent at 8,
//!          length 1, text version, length 1, surface }
//! ```

use std::vec::Vec;

use crate::{
    label::Label,
    server::directory::{Consent, Interval, Member},
    timestamp::Timestamp,
};

const VERSION: u8 = 1;
const NO_LABEL: u8 = 0xff;
const NEVER: u64 = u64::MAX;

pub(super) fn encode(member: &Member) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.push(VERSION);
    match member.label() {
        None => out.push(NO_LABEL),
        Some(label) => put_bytes(label.as_bytes(), &mut out),
    }
    put_time(member.hidden_at(), &mut out);
    out.push(member.intervals().len() as u8);
    for interval in member.intervals() {
        put_time(Some(interval.since), &mut out);
        put_time(interval.until, &mut out);
        put_time(Some(interval.consent.at()), &mut out);
        put_bytes(interval.consent.text_version().as_bytes(), &mut out);
        put_bytes(interval.consent.surface().as_bytes(), &mut out);
    }
    out
}

/// `None` for bytes that [`encode`] doesn't write.
pub(super) fn decode(bytes: &[u8]) -> Option<Member> {
    let mut rest = bytes;
    let [version] = array(&mut rest)?;
    if version != VERSION {
        return None;
    }
    let label = match rest.first()? {
        &NO_LABEL => {
            array::<1>(&mut rest)?;
            None
        }
        _ => Some(Label::new(take(&mut rest)?).ok()?),
    };
    let hidden_at = time(&mut rest)?;
    let [count] = array(&mut rest)?;
    let mut intervals = Vec::new();
    for _ in 0..count {
        let since = time(&mut rest)??;
        let until = time(&mut rest)?;
        let at = time(&mut rest)??;
        let text_version = core::str::from_utf8(take(&mut rest)?).ok()?;
        let surface = core::str::from_utf8(take(&mut rest)?).ok()?;
        intervals.push(Interval {
            since,
            until,
            consent: Consent::new(at, text_version, surface).ok()?,
        });
    }
    rest.is_empty()
        .then(|| Member::from_parts(label, intervals, hidden_at))?
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
