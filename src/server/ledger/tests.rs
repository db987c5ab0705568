//! What somebody who can write to the store tries with a ledger, and what entries survive.

mod attacks;

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{
    BadCheckpoint, BadEntry, Body, Checkpoint, Entry, ExportHeader, Head, LedgerKey, Month,
};
use super::{RotationStep, Totals, body::MOST_ROWS};
use crate::{
    oprf::Epoch,
    server::{
        Timestamp,
        detect::{Signal, Subject},
        incident::Step,
        quota::{AccountKey, AccountKind, Activity, Hour, Meter, NetworkKey, Suspect},
        rotation::RotationKind,
    },
    snapshot::SnapshotKey,
};

pub(super) const SERVICE: [u8; 32] = [7; 32];

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + seconds)
}

fn key() -> LedgerKey {
    LedgerKey::from_bytes(Month::of(at(0)), &mut [3; 32])
}

fn activity(elements: u64) -> Activity {
    Activity {
        requests: 2,
        elements,
        ..Activity::none(AccountKind::Young)
    }
}

/// One of each kind, and of each form that a kind has.
pub(super) fn bodies() -> Vec<Body> {
    let hour = Hour::of(at(0));
    let account = AccountKey::new([1; 32]);
    let network = NetworkKey::new([2; 32]);
    let who = |suspect| key().who(&suspect);
    let rows: Vec<_> = (0..5)
        .map(|i| (AccountKey::new([i; 32]), activity(i.into())))
        .collect();
    let mut totals = Totals::none(hour);
    totals.add(&activity(16));
    let signal = |subject| Body::signal(Signal { hour, subject }, &key());
    let rotation = |kind, step| Body::Rotation {
        from: Epoch::new(4),
        kind,
        step,
    };
    Vec::from([
        Body::charges(hour, &rows, &key()),
        Body::charges(hour, &[], &key()),
        Body::Totals(totals),
        signal(Subject::SaturatedAccount {
            account,
            days: 11,
            emptied: true,
        }),
        signal(Subject::YoungCluster {
            network,
            accounts: 40,
            usual: 2,
        }),
        signal(Subject::UnusualDay {
            meter: Meter::SeenYoung,
            counted: 9,
            usual: 5,
        }),
        signal(Subject::Canary { account: None }),
        Body::Suspended {
            who: who(Suspect::Account(account)),
            until: Timestamp::MAX,
        },
        Body::Suspended {
            who: who(Suspect::YoungAccounts),
            until: at(9),
        },
        Body::Lifted {
            who: who(Suspect::Network(network)),
        },
        Body::Published {
            sequence: 8,
            hash: [9; 32],
        },
        rotation(RotationKind::Soft, RotationStep::Window),
        rotation(RotationKind::Hard, RotationStep::Finished),
        Body::Incident {
            incident: 1,
            step: Step::Contained,
            accounts: 200,
            networks: 3,
        },
        Body::KeyDestroyed {
            month: key().month(),
        },
        Body::Restored { taken: 8, kept: 5 },
    ])
}

/// A ledger with all of them.
pub(super) fn ledger(service: &[u8; 32]) -> Vec<Entry> {
    let mut head = Head::first(service);
    let mut entries = Vec::new();
    for (second, body) in bodies().iter().enumerate() {
        let entry = head.entry(at(second as u64), body);
        head = Head::behind(&entry);
        entries.push(entry);
    }
    entries
}

#[test]
fn every_kind_survives_and_nothing_else_is_read() {
    for (entry, body) in ledger(&SERVICE).iter().zip(bodies()) {
        assert_eq!(entry.body(), Ok(body.clone()));
        let bytes = entry.encode();
        assert_eq!(Entry::decode(&bytes), Ok(entry.clone()));
        for length in 0..bytes.len() {
            assert_eq!(Entry::decode(&bytes[..length]), Err(BadEntry::Truncated));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Entry::decode(&longer), Err(BadEntry::TooLong));
        // A body one byte shorter or longer has no meaning, except in charges none has.
        let mut other = entry.clone();
        other.body.push(0);
        assert_eq!(other.body(), Err(BadEntry::Body), "{}", body.name());
        other.body.truncate(entry.body.len() - 1);
        assert_eq!(other.body(), Err(BadEntry::Body), "{}", body.name());
        for kind in [0, 11, 255] {
            other.kind = kind;
            assert_eq!(other.body(), Err(BadEntry::Unknown));
        }
    }
}

#[test]
fn lengths_are_checked_before_memory_is_taken() {
    let mut bytes = ledger(&SERVICE)[0].encode();
    bytes[17..21].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Entry::decode(&bytes), Err(BadEntry::TooLong));
    let mut late = ledger(&SERVICE)[0].encode();
    late[8] = 0xff;
    assert_eq!(Entry::decode(&late), Err(BadEntry::Time));
    // One account too many.
    let hour = Hour::of(at(0));
    let account = |i: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(i as u64).to_be_bytes());
        (AccountKey::new(key), activity(1))
    };
    let rows: Vec<_> = (0..=MOST_ROWS).map(account).collect();
    let most = Head::first(&SERVICE).entry(at(0), &Body::charges(hour, &rows[1..], &key()));
    assert_eq!(most.encode().len(), Entry::LONGEST);
    assert!(most.body().is_ok());
    let more = Head::first(&SERVICE).entry(at(0), &Body::charges(hour, &rows, &key()));
    assert_eq!(more.body(), Err(BadEntry::Body));
    assert_eq!(Entry::decode(&more.encode()), Err(BadEntry::TooLong));
}

/// Rows of the quota come in the order of account keys. That order, kept, would tell of two months with destroyed keys who in
/// the one is who in the other.
#[test]
fn no_entry_has_a_key_or_an_order_that_says_who_it_was() {
    let hour = Hour::of(at(0));
    let rows: Vec<_> = (0..200)
        .map(|i| (AccountKey::new([i; 32]), activity(i.into())))
        .collect();
    let Body::Charges { rows: sorted, .. } = Body::charges(hour, &rows, &key()) else {
        panic!("not charges");
    };
    assert!(sorted.is_sorted_by_key(|(pseudonym, _)| *pseudonym));
    let elements: Vec<u64> = sorted.iter().map(|(_, row)| row.elements).collect();
    assert!(!elements.is_sorted());
    for entry in ledger(&SERVICE) {
        for raw in [[1; 32], [2; 32], [3; 32]] {
            assert!(!entry.body.windows(12).any(|part| part == &raw[..12]));
        }
    }
}

#[test]
fn an_export_says_whose_it_is() {
    let header = ExportHeader { service: SERVICE };
    let bytes = header.encode();
    assert_eq!(bytes.len(), ExportHeader::LENGTH);
    assert_eq!(ExportHeader::take(&mut &bytes[..]), Ok(header));
    for length in 0..bytes.len() {
        assert_eq!(
            ExportHeader::take(&mut &bytes[..length]),
            Err(BadEntry::NotALedger)
        );
    }
    for place in 0..9 {
        let mut bad = bytes.clone();
        bad[place] ^= 1;
        assert_eq!(ExportHeader::take(&mut &bad[..]), Err(BadEntry::NotALedger));
    }
}

#[test]
fn every_altered_byte_of_a_checkpoint_is_noticed() {
    let signer = SnapshotKey::from_seed(&mut [5; 32]);
    let checkpoint = Checkpoint {
        service: SERVICE,
        index: 6,
        hash: [8; 32],
        at: at(0),
    };
    let bytes = checkpoint.sign(&signer);
    let verify = |bytes: &[u8]| Checkpoint::verify(bytes, &signer.public_key());
    assert_eq!(verify(&bytes), Ok(checkpoint));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes;
            bad[place] ^= 1 << bit;
            assert_eq!(verify(&bad), Err(BadCheckpoint));
        }
    }
    assert_eq!(verify(&bytes[1..]), Err(BadCheckpoint));
    let other = SnapshotKey::from_seed(&mut [6; 32]).public_key();
    assert_eq!(Checkpoint::verify(&bytes, &other), Err(BadCheckpoint));
}

proptest! {
    #[test]
    fn whatever_bytes_are_read_they_are_what_would_be_written(kind in 0u8..12, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(body) = Body::decode(kind, &bytes) {
            prop_assert_eq!(body.encode(), bytes);
        }
    }

    #[test]
    fn entries_are_read_back_from_any_bytes_or_not_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes);
        }
    }
}
