//! Every edit, drop, swap, repetition and cut is found, and where.

use alloc::{vec, vec::Vec};

use super::{SERVICE, at, ledger};
use crate::server::ledger::{Checkpoint, Entry, Fault, Finding, Head, Verifier};

fn checkpoint(entry: &Entry) -> Checkpoint {
    Checkpoint {
        service: SERVICE,
        index: entry.index,
        hash: entry.hash,
        at: at(0),
    }
}

fn verify(entries: &[Entry], checkpoints: &[Checkpoint]) -> Verifier {
    let mut verifier = Verifier::new(&SERVICE, checkpoints);
    entries.iter().for_each(|entry| verifier.take(entry));
    verifier.end();
    verifier
}

fn found(entries: &[Entry], checkpoints: &[Checkpoint]) -> Vec<(u64, Fault)> {
    let verifier = verify(entries, checkpoints);
    assert_eq!(verifier.faults(), verifier.findings().len() as u64);
    let findings = verifier.findings().iter();
    findings
        .map(|Finding { index, fault }| (*index, *fault))
        .collect()
}

/// What somebody does who can write the store: all hashes from an entry on are made anew.
fn rewritten(entries: &mut [Entry]) {
    let mut head = Head::first(&SERVICE);
    for entry in entries {
        entry.index = head.next();
        entry.hash = entry.hash_after(head.hash());
        head = Head::behind(entry);
    }
}

#[test]
fn an_untouched_ledger_has_nothing_wrong() {
    let entries = ledger(&SERVICE);
    let checkpoints: Vec<_> = entries.iter().map(checkpoint).collect();
    let verifier = verify(&entries, &checkpoints);
    assert_eq!(verifier.findings(), []);
    assert_eq!(verifier.entries(), entries.len() as u64);
    assert_eq!(verifier.checkpoints(), entries.len() as u64);
    assert_eq!(*verifier.head(), Head::behind(entries.last().unwrap()));
    assert_eq!(found(&[], &[]), []);
    // One that goes on behind the newest checkpoint is fine.
    assert_eq!(found(&entries, &checkpoints[..3]), []);
}

#[test]
fn every_edited_byte_is_found_at_its_entry() {
    let entries = ledger(&SERVICE);
    for (place, entry) in entries.iter().enumerate() {
        let bytes = entry.encode();
        for byte in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[byte] ^= 1;
            // Bytes that aren't an entry any more are found by whoever reads them.
            let Ok(edited) = Entry::decode(&bad) else {
                continue;
            };
            let mut edited_ledger = entries.clone();
            edited_ledger[place] = edited;
            let found = found(&edited_ledger, &[]);
            let first = found.first().map(|(index, _)| *index);
            assert!(
                first.is_some_and(|index| index <= place as u64 + 1),
                "{place} {byte}"
            );
            if (8..bytes.len() - 32).contains(&byte) {
                assert_eq!(found, [(place as u64, Fault::Edited)], "{place} {byte}");
            }
        }
    }
}

#[test]
fn every_dropped_entry_is_found() {
    let entries = ledger(&SERVICE);
    for from in 0..entries.len() {
        for to in from + 1..entries.len() {
            let mut dropped = entries.clone();
            dropped.drain(from..to);
            let missing = Fault::Missing { next: to as u64 };
            assert_eq!(found(&dropped, &[]), [(from as u64, missing)]);
        }
        // Numbered anew, it is the one behind that doesn't fit.
        let mut dropped = entries.clone();
        dropped.remove(from);
        dropped
            .iter_mut()
            .enumerate()
            .for_each(|(i, entry)| entry.index = i as u64);
        if from + 1 < entries.len() {
            let first = found(&dropped, &[])[0];
            assert_eq!(first, (from as u64, Fault::Edited));
        }
    }
}

#[test]
fn every_moved_or_repeated_entry_is_found() {
    let entries = ledger(&SERVICE);
    for one in 0..entries.len() {
        for other in one + 1..entries.len() {
            let mut swapped = entries.clone();
            swapped.swap(one, other);
            let found = found(&swapped, &[]);
            let missing = Fault::Missing { next: other as u64 };
            assert_eq!(found[0], (one as u64, missing), "{one} {other}");
            let moved = |(index, fault): &(u64, Fault)| {
                *index == one as u64 && matches!(fault, Fault::OutOfOrder { .. })
            };
            assert!(found.iter().any(moved), "{one} {other}");
        }
        let mut repeated = entries.clone();
        repeated.insert(one, entries[one].clone());
        let before = one as u64 + 1;
        assert_eq!(
            found(&repeated, &[]),
            [(one as u64, Fault::OutOfOrder { before })]
        );
    }
}

#[test]
fn what_is_cut_off_behind_is_found_by_a_checkpoint() {
    let entries = ledger(&SERVICE);
    let newest = checkpoint(entries.last().unwrap());
    let last = newest.index;
    for length in 0..entries.len() {
        let found = found(&entries[..length], &[newest]);
        assert_eq!(found, [(last, Fault::Truncated)]);
    }
}

#[test]
fn a_chain_that_was_made_anew_is_found_by_any_checkpoint_behind() {
    let entries = ledger(&SERVICE);
    for edited in 0..entries.len() {
        let mut new = entries.clone();
        new[edited].at = at(99);
        rewritten(&mut new);
        assert_eq!(
            found(&new, &[]),
            [],
            "a chain alone proves nothing against who can write all of it"
        );
        for (index, entry) in entries.iter().enumerate() {
            let expected = if index < edited {
                vec![]
            } else {
                vec![(index as u64, Fault::Replaced)]
            };
            assert_eq!(found(&new, &[checkpoint(entry)]), expected);
        }
    }
}

#[test]
fn entries_and_checkpoints_of_another_service_are_found() {
    let entries = ledger(&SERVICE);
    let others = ledger(&[8; 32]);
    assert_eq!(found(&others, &[]), [(0, Fault::Edited)]);
    for place in 0..entries.len() {
        let mut mixed = entries.clone();
        mixed[place] = others[place].clone();
        assert_eq!(found(&mixed, &[])[0], (place as u64, Fault::Edited));
    }
    let foreign = Checkpoint {
        service: [8; 32],
        ..checkpoint(&entries[2])
    };
    assert_eq!(found(&entries, &[foreign]), [(2, Fault::OtherService)]);
}

#[test]
fn two_checkpoints_that_contradict_each_other_are_found() {
    let entries = ledger(&SERVICE);
    let one = checkpoint(&entries[2]);
    let other = Checkpoint {
        hash: [0; 32],
        ..one
    };
    assert_eq!(found(&entries, &[other, one]), [(2, Fault::Forked)]);
    assert_eq!(found(&entries, &[one, one]), []);
}

#[test]
fn findings_are_counted_and_not_all_kept() {
    let mut entries = Vec::new();
    for _ in 0..30 {
        entries.extend(ledger(&[8; 32]));
    }
    let verifier = verify(&entries, &[]);
    assert_eq!(verifier.findings().len(), Verifier::MOST_FINDINGS);
    assert!(verifier.faults() > 400);
}
