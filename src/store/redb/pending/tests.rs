//! Whatever happens in any order, a row is what was set last, and a crash loses nothing that was committed.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

type Rows = BTreeMap<(Section, Vec<u8>), Vec<u8>>;

#[derive(Debug, Clone)]
enum Event {
    Set(u8, u8, u8),
    Remove(u8, u8, u8),
    /// A run is folded because somebody reads it.
    Read(u8, u8, usize),
    /// Nobody asks for anything.
    Idle(usize),
    FoldAll,
    /// Rows are changed in their tables, behind the log's back.
    Rewrite(u8),
    Commit,
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let key = || 0..12_u8;
    prop_oneof![
        12 => (0..4_u8, key(), any::<u8>()).prop_map(|(section, key, value)| Event::Set(section, key, value)),
        2 => (0..4_u8, key(), key()).prop_map(|(section, first, last)| Event::Remove(section, first, last)),
        1 => (0..4_u8, key(), 0..5_usize).prop_map(|(section, first, limit)| Event::Read(section, first, limit)),
        1 => (1..5_usize).prop_map(Event::Idle),
        1 => Just(Event::FoldAll),
        1 => any::<u8>().prop_map(Event::Rewrite),
        6 => Just(Event::Commit),
        2 => Just(Event::Crash),
    ]
}

/// What a database has.
#[derive(Debug, Clone, Default)]
struct Disk {
    tables: Rows,
    log: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    fn fold(&mut self, rows: Vec<(RowKey, RowValue)>) {
        for ((section, key), row) in rows {
            let key = (section, key.as_bytes().to_vec());
            self.tables.insert(key, row.as_bytes().to_vec());
        }
    }

    fn open(&mut self) -> Pending {
        let mut pending = Pending::new();
        for (number, chunk) in &self.log {
            pending.replay(*number, chunk).unwrap();
        }
        if pending.is_overgrown() {
            self.fold(pending.take_all());
            pending.forget_added();
            self.log.clear();
        }
        pending
    }

    fn rows(&self, pending: &Pending) -> Rows {
        let mut rows = self.tables.clone();
        for ((section, key), row) in &pending.rows {
            rows.insert((*section, key.as_bytes().to_vec()), row.as_bytes().to_vec());
        }
        rows
    }
}

fn section(number: u8) -> Section {
    Section::of(number).unwrap()
}

fn play(events: &[Event]) {
    let (mut durable, mut disk) = (Disk::default(), Disk::default());
    let (mut truth_then, mut truth) = (Rows::new(), Rows::new());
    let mut pending = Pending::new();
    for event in events {
        match *event {
            Event::Set(number, key, value) => {
                pending.set(section(number), &[key], &[value]).unwrap();
                truth.insert((section(number), Vec::from([key])), Vec::from([value]));
            }
            Event::Remove(number, first, last) => {
                pending.remove(section(number), &[first], &[last]).unwrap();
                let within = |(of, key): &(Section, Vec<u8>)| {
                    *of == section(number) && (first..=last).contains(&key[0])
                };
                disk.tables.retain(|key, _| !within(key));
                truth.retain(|key, _| !within(key));
            }
            Event::Read(number, first, limit) => {
                let from = row_key(section(number), &[first]).unwrap();
                let to = row_key(section(number), &[0xff]).unwrap();
                let range = (Bound::Included(from), Bound::Excluded(to));
                disk.fold(pending.take(range, limit));
                let mine =
                    |(of, key): &&(Section, Vec<u8>)| *of == section(number) && key[0] >= first;
                let first = |rows: &Rows| -> Vec<_> {
                    let rows = rows.iter().filter(|(key, _)| mine(key));
                    rows.take(limit)
                        .map(|(key, row)| (key.clone(), row.clone()))
                        .collect()
                };
                assert_eq!(first(&disk.tables), first(&truth));
            }
            Event::Idle(limit) => disk.fold(pending.take_next(limit)),
            Event::FoldAll => {
                disk.fold(pending.take_all());
                assert_eq!(disk.tables, truth);
            }
            Event::Rewrite(value) => {
                disk.fold(pending.take_all());
                pending.forget_added();
                disk.log.clear();
                for rows in [&mut disk.tables, &mut truth] {
                    rows.values_mut().for_each(|row| *row = Vec::from([value]));
                }
            }
            Event::Commit => {
                disk.fold(pending.take_due());
                let (added, first) = pending.log();
                // Chunks are dropped from the first one on, not all at once.
                let dropped = added.len() + 1;
                disk.log.extend(added);
                for _ in 0..dropped {
                    if disk.log.keys().next().is_some_and(|number| *number < first) {
                        disk.log.pop_first();
                    }
                }
                durable = disk.clone();
                truth_then = truth.clone();
            }
            Event::Crash => {
                disk = durable.clone();
                truth = truth_then.clone();
                pending = disk.open();
            }
        }
        assert_eq!(disk.rows(&pending), truth);
        for number in 0..4 {
            let first = pending.first_key(section(number)).map(<[u8]>::to_vec);
            let mut rows = pending.rows.keys().filter(|(of, _)| *of == section(number));
            assert_eq!(first, rows.next().map(|(_, key)| key.as_bytes().to_vec()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_row_is_what_was_set_last(events in vec(event(), 0..120)) {
        play(&events);
    }

    #[test]
    fn no_bytes_make_replaying_panic(chunks in vec(vec(any::<u8>(), 0..60), 0..4)) {
        let mut pending = Pending::new();
        for (number, chunk) in (0..).zip(&chunks) {
            if pending.replay(number, chunk).is_none() {
                break;
            }
        }
    }
}

/// However long it goes on and however often it ends, there is never much more than what is held.
#[test]
fn the_log_is_bounded() {
    // Commits until a crash; a round of folding takes some ten of them.
    for life in [1, 3, 10, 100, usize::MAX] {
        let mut disk = Disk::default();
        let mut pending = Pending::new();
        for commit in 1..5_000_usize {
            // Scattered over more rows than are held.
            let key = (commit.wrapping_mul(0x9e37_79b9) >> 7) as u8;
            pending.set(Section::Quota, &[key], &[1]).unwrap();
            disk.fold(pending.take_due());
            let (added, first) = pending.log();
            disk.log.extend(added);
            disk.log.retain(|number, _| *number >= first);
            if commit.is_multiple_of(life) {
                pending = disk.open();
            }
            // One record in each chunk.
            assert!(disk.log.len() <= 5 * HELD, "{life}: {}", disk.log.len());
            assert!(pending.rows.len() <= 5 * HELD, "{life}");
        }
    }
}

/// The longest rows fit, and the next ones are refused instead of being cut.
#[test]
fn no_row_is_cut() {
    let mut pending = Pending::new();
    pending.set(Section::Quota, &[7; 56], &[8; 32]).unwrap();
    assert_eq!(
        pending.get(Section::Quota, &[7; 56]),
        Some([8; 32].as_slice())
    );
    assert_eq!(pending.set(Section::Quota, &[7; 57], &[8]), Err(TooLong));
    assert_eq!(pending.set(Section::Quota, &[7], &[8; 33]), Err(TooLong));
    assert_eq!(
        pending.remove(Section::Quota, &[7; 57], &[7; 57]),
        Err(TooLong)
    );
    assert_eq!(pending.get(Section::Quota, &[7; 57]), None);
}

/// A chunk is begun anew before it needs a larger page.
#[test]
fn chunks_fit_their_pages() {
    let mut pending = Pending::new();
    for number in 0..2_000_u16 {
        let key = [number.to_be_bytes().as_slice(), &[0; 54]].concat();
        pending.set(Section::Quota, &key, &[1; 32]).unwrap();
    }
    let (chunks, _) = pending.log();
    assert!(chunks.len() > 5);
    assert!(chunks.iter().all(|(_, chunk)| chunk.len() < 16_200));
    let replayed = chunks
        .iter()
        .try_fold(Pending::new(), |mut pending, (number, chunk)| {
            pending.replay(*number, chunk)?;
            Some(pending)
        });
    assert_eq!(replayed.unwrap().rows.len(), 2_000);
}
