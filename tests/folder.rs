//! The set in a folder of a phone, whatever happens on the way to it and to its files.

#[path = "support/mirror.rs"]
mod mirror;
#[path = "support/published.rs"]
mod published;

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use blindbook::{
    http_client::{Fetched, FolderError, SetFolder, TransportError},
    label::LabelLength,
    oprf::{Epoch, Tag},
    snapshot::{
        Manifest, ReadError, Search, SegmentBuilder, SegmentEntry, SegmentError, SignedManifest,
    },
};
use mirror::{Served, id_of};
use published::{delta_entry, draft, entry, key, sealed, service};

const LABELS: LabelLength = match LabelLength::new(4) {
    Ok(length) => length,
    Err(_) => panic!(),
};

type Set = BTreeMap<u64, Vec<u8>>;

/// Day by day some leave and some join.
struct History {
    sets: Vec<Set>,
}

impl History {
    fn new(days: u64) -> Self {
        let tag = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x55;
        let set = |day: u64| -> Set {
            (day * 30..3_000 + day * 30)
                .map(|number| (tag(number), sealed(tag(number)).to_vec()))
                .collect()
        };
        Self {
            sets: (0..days).map(set).collect(),
        }
    }

    fn set(&self, number: u64) -> &Set {
        &self.sets[number as usize - 1]
    }

    fn empty() -> SegmentBuilder {
        SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS)
    }

    fn base(&self, to: u64) -> (Vec<u8>, SegmentEntry) {
        let mut builder = Self::empty();
        for (tag, label) in self.set(to) {
            builder.add(Tag::new(*tag), label).unwrap();
        }
        let bytes = builder.build().unwrap();
        let entry = SegmentEntry {
            to,
            ..entry(&bytes)
        };
        (bytes, entry)
    }

    fn delta(&self, from: u64, to: u64) -> (Vec<u8>, SegmentEntry) {
        let (old, new) = (self.set(from), self.set(to));
        let mut builder = Self::empty().changing(from, old.len() as u64);
        for (rank, tag) in old.keys().enumerate() {
            if !new.contains_key(tag) {
                builder.delete(rank as u64).unwrap();
            }
        }
        for (tag, label) in new.iter().filter(|(tag, _)| !old.contains_key(tag)) {
            builder.add(Tag::new(*tag), label).unwrap();
        }
        let bytes = builder.build().unwrap();
        let entry = delta_entry(&bytes, from, to);
        (bytes, entry)
    }

    /// Puts segments on a mirror, and names them.
    fn publish(&self, served: &Served, base: u64, deltas: &[(u64, u64)]) -> Manifest {
        let mut segments = vec![self.base(base)];
        segments.extend(deltas.iter().map(|(from, to)| self.delta(*from, *to)));
        for (bytes, _) in &segments {
            served.put(bytes);
        }
        let entries: Vec<SegmentEntry> = segments.into_iter().map(|(_, entry)| entry).collect();
        let sequence = entries.iter().map(|entry| entry.to).max().unwrap();
        let mut draft = draft(sequence.max(2), [1; 32], entries[0].clone(), LABELS);
        draft.segments = entries;
        let signed = SignedManifest::decode(&key().sign(&draft).unwrap()).unwrap();
        signed.verify(&key().public_key()).unwrap()
    }
}

fn open(path: &Path) -> SetFolder {
    SetFolder::open(path, key().public_key()).unwrap()
}

/// Catches up in a new process, and checks that what is found is the set with this number.
fn read(
    folder: &Path,
    served: &Served,
    manifest: &Manifest,
    history: &History,
    number: u64,
) -> Result<Fetched, FolderError> {
    let wanted: Vec<Tag> = history
        .sets
        .iter()
        .flat_map(|set| set.keys().map(|tag| Tag::new(*tag)))
        .collect();
    let read = open(folder).read(&served.transport(), manifest, |path| {
        let mut search = Search::new(&wanted);
        for segment in path {
            search.read(segment)?;
        }
        Ok(search)
    });
    let (search, fetched) = read?;
    let found = search.found().into_iter();
    let found: Set = found.map(|one| (one.tag.get(), one.sealed_label)).collect();
    assert_eq!(&found, history.set(number));
    Ok(fetched)
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock" && name != "manifest")
        .collect();
    names.sort();
    names
}

/// The names of the segments.
fn names(segments: &[&[u8]]) -> Vec<String> {
    let mut names: Vec<String> = segments.iter().map(|bytes| id_of(bytes)).collect();
    names.sort();
    names
}

fn counts(fetched: Fetched) -> (usize, usize, bool) {
    (fetched.bases, fetched.deltas, fetched.rebuilt)
}

#[test]
fn a_folder_catches_up_by_the_cheapest_way() {
    let history = History::new(9);
    let served = Served::new();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("set");
    let base = history.base(1).0;

    let manifest = history.publish(&served, 1, &[(1, 2)]);
    let fetched = read(&folder, &served, &manifest, &history, 2).unwrap();
    let daily = history.delta(1, 2).0;
    assert_eq!(counts(fetched), (1, 1, false));
    assert_eq!(fetched.bytes as usize, base.len() + daily.len());
    assert_eq!(files(&folder), names(&[&base, &daily]));
    served.asked();

    // Nothing new, nothing asked.
    let fetched = read(&folder, &served, &manifest, &history, 2).unwrap();
    assert_eq!((fetched, served.asked()), (Fetched::default(), vec![]));

    // A day later: the daily delta. A week later: the cumulative one, and what it replaces is removed.
    let manifest = history.publish(&served, 1, &[(1, 2), (1, 3), (2, 3)]);
    let fetched = read(&folder, &served, &manifest, &history, 3).unwrap();
    assert_eq!(counts(fetched), (0, 1, false));
    assert_eq!(files(&folder).len(), 3);
    let manifest = history.publish(&served, 1, &[(1, 8), (7, 8), (8, 9)]);
    let fetched = read(&folder, &served, &manifest, &history, 9).unwrap();
    assert_eq!(counts(fetched), (0, 2, false));
    let (cumulative, daily) = (history.delta(1, 8).0, history.delta(8, 9).0);
    assert_eq!(files(&folder), names(&[&base, &cumulative, &daily]));
}

#[test]
fn a_new_base_is_made_from_what_is_there() {
    let history = History::new(5);
    let served = Served::new();
    let folder = tempfile::tempdir().unwrap();
    let manifest = history.publish(&served, 1, &[(1, 3), (3, 4)]);
    read(folder.path(), &served, &manifest, &history, 4).unwrap();
    served.asked();

    let manifest = history.publish(&served, 5, &[(4, 5)]);
    let base = history.base(5).0;
    // What a crash left of an earlier try.
    let half = format!("{}.rebuilt", id_of(&base));
    fs::write(folder.path().join(half), vec![7; 200_000]).unwrap();
    let fetched = read(folder.path(), &served, &manifest, &history, 5).unwrap();
    assert_eq!(counts(fetched), (0, 1, true));
    let asked: Vec<String> = served.asked().into_iter().map(|(name, _)| name).collect();
    assert_eq!(asked, names(&[&history.delta(4, 5).0]));
    assert_eq!(files(folder.path()), names(&[&base]));
    let made = fs::read(folder.path().join(id_of(&base))).unwrap();
    assert!(made == base, "bit for bit");
}

#[test]
fn a_new_base_that_nothing_leads_to_is_fetched() {
    let history = History::new(6);
    let base = history.base(6).0;
    // No delta leads there; or the file of one is damaged; or another key signed what is here.
    for case in 0..3 {
        let served = Served::new();
        let folder = tempfile::tempdir().unwrap();
        let old = history.publish(&served, 1, &[(1, 4), (4, 5)]);
        read(folder.path(), &served, &old, &history, 5).unwrap();
        let deltas: &[(u64, u64)] = if case == 0 { &[] } else { &[(5, 6)] };
        let manifest = history.publish(&served, 6, deltas);
        if case == 1 {
            let path = folder.path().join(id_of(&history.base(1).0));
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
        if case == 2 {
            let other = blindbook::snapshot::SnapshotKey::from_seed(&mut [9; 32]);
            let signed = other.sign(old.claims()).unwrap();
            fs::write(folder.path().join("manifest"), signed).unwrap();
        }
        let fetched = read(folder.path(), &served, &manifest, &history, 6).unwrap();
        assert_eq!((fetched.bases, fetched.rebuilt), (1, false), "{case}");
        assert_eq!(files(folder.path()), names(&[&base]), "{case}");
    }
}

/// The process dies again and again, and no byte is fetched twice.
#[test]
fn a_download_goes_on_where_it_stopped() {
    let history = History::new(3);
    for stalls in [false, true] {
        let served = Served::new();
        let folder = tempfile::tempdir().unwrap();
        let manifest = history.publish(&served, 1, &[(1, 2), (2, 3)]);
        let segments = [
            history.base(1).0,
            history.delta(1, 2).0,
            history.delta(2, 3).0,
        ];
        let all: usize = segments.iter().map(Vec::len).sum();
        let step = if stalls { 30_000 } else { 3_000 };
        let mut tries = 0;
        served.change(|mirror| mirror.stalls = stalls);
        loop {
            served.change(|mirror| mirror.budget = Some(step));
            match read(folder.path(), &served, &manifest, &history, 3) {
                Ok(_) => break,
                Err(FolderError::Transport(TransportError::Unreachable(_))) => tries += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(tries, all / step);
        assert_eq!(served.sent(), all);
    }
}

/// A time limit for a whole segment made large ones impossible on slow lines.
#[test]
fn a_connection_that_breaks_or_is_slow_is_no_failure() {
    let history = History::new(2);
    for case in 0..3 {
        let served = Served::new();
        let folder = tempfile::tempdir().unwrap();
        let manifest = history.publish(&served, 1, &[(1, 2)]);
        served.change(|mirror| match case {
            0 => mirror.breaks_off = Some(7_000),
            1 => mirror.piece = Some(500),
            _ => (mirror.breaks_off, mirror.no_ranges) = (Some(usize::MAX), true),
        });
        let fetched = read(folder.path(), &served, &manifest, &history, 2).unwrap();
        assert_eq!(counts(fetched), (1, 1, false), "{case}");
    }
    // A server without ranges, after an interruption.
    let served = Served::new();
    let folder = tempfile::tempdir().unwrap();
    let manifest = history.publish(&served, 1, &[(1, 2)]);
    let base = history.base(1).0;
    let half = folder.path().join(format!("{}.unfinished", id_of(&base)));
    fs::write(half, &base[..10_000]).unwrap();
    served.change(|mirror| mirror.no_ranges = true);
    let fetched = read(folder.path(), &served, &manifest, &history, 2).unwrap();
    assert_eq!(
        fetched.bytes as usize,
        base.len() - 10_000 + history.delta(1, 2).0.len()
    );
}

/// What a process leaves that was killed between two steps.
#[test]
fn a_killed_process_leaves_nothing_that_misleads_the_next_one() {
    let history = History::new(4);
    let served = Served::new();
    let old = history.publish(&served, 1, &[(1, 2)]);
    let manifest = history.publish(&served, 1, &[(1, 3), (2, 3), (3, 4)]);
    let (base, cumulative) = (history.base(1).0, history.delta(1, 3).0);
    type Left<'a> = (&'a str, &'a [u8], &'a str);
    let too_long = [&base[..], b"x"].concat();
    let cases: [Left; 8] = [
        ("complete and not named", &base, ".unfinished"),
        (
            "never written to the disk",
            &vec![0; base.len()],
            ".unfinished",
        ),
        (
            "a torn end",
            &[&base[..500], &[0; 500]].concat(),
            ".unfinished",
        ),
        ("longer than it is", &too_long, ".unfinished"),
        ("nothing", b"", ".unfinished"),
        ("shorter under its name", &base[..500], ""),
        ("another one under its name", &vec![1; base.len()], ""),
        ("named and the manifest not written", &base, ""),
    ];
    for (what, content, suffix) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(id_of(&base) + suffix), content).unwrap();
        let named = format!("{}.unfinished", id_of(&cumulative));
        fs::write(folder.path().join(named), &cumulative[..100]).unwrap();
        fs::write(folder.path().join("manifest"), old.signed()).unwrap();
        fs::write(folder.path().join("manifest.unfinished"), b"half").unwrap();
        read(folder.path(), &served, &manifest, &history, 4).unwrap_or_else(|error| {
            panic!("{what}: {error}");
        });
        let files = files(folder.path());
        assert!(
            files.iter().all(|name| name.len() == 64),
            "{what}: {files:?}"
        );
        let kept = fs::read(folder.path().join("manifest")).unwrap();
        assert_eq!(kept, manifest.signed(), "{what}");
    }
}

/// What the old set needs stays until the new one is there.
#[test]
fn an_interrupted_catch_up_takes_nothing_away() {
    let history = History::new(5);
    let served = Served::new();
    let folder = tempfile::tempdir().unwrap();
    let old = history.publish(&served, 1, &[(1, 2)]);
    read(folder.path(), &served, &old, &history, 2).unwrap();
    let before = files(folder.path());
    let new = history.publish(&served, 1, &[(1, 4), (4, 5)]);
    served.change(|mirror| mirror.budget = Some(history.delta(1, 4).0.len() + 10));
    read(folder.path(), &served, &new, &history, 5).unwrap_err();
    let now = files(folder.path());
    assert!(before.iter().all(|name| now.contains(name)));
    served.change(|mirror| mirror.budget = Some(0));
    let fetched = read(folder.path(), &served, &old, &history, 2).unwrap();
    assert_eq!(fetched.bytes, 0);
}

#[test]
fn a_damaged_file_is_noticed_and_fetched_again() {
    let history = History::new(3);
    let served = Served::new();
    let folder = tempfile::tempdir().unwrap();
    let manifest = history.publish(&served, 1, &[(1, 2), (2, 3)]);
    read(folder.path(), &served, &manifest, &history, 3).unwrap();
    for name in files(folder.path()) {
        let path = folder.path().join(&name);
        let whole = fs::read(&path).unwrap();
        for at in [0, 230, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let fetched = read(folder.path(), &served, &manifest, &history, 3).unwrap();
            assert_eq!(fetched.bytes as usize, whole.len(), "{at}");
            assert!(fs::read(&path).unwrap() == whole);
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        read(folder.path(), &served, &manifest, &history, 3).unwrap();
        fs::remove_file(&path).unwrap();
        read(folder.path(), &served, &manifest, &history, 3).unwrap();
    }
}

#[test]
fn what_a_mirror_damages_is_refused_and_not_kept() {
    let history = History::new(2);
    let served = Served::new();
    let folder = tempfile::tempdir().unwrap();
    let manifest = history.publish(&served, 1, &[(1, 2)]);
    let base = history.base(1).0;
    for at in [0, 300, base.len() - 1] {
        let mut damaged = base.clone();
        damaged[at] ^= 1;
        served.change(|mirror| drop(mirror.segments.insert(id_of(&base), damaged)));
        let refused = read(folder.path(), &served, &manifest, &history, 2).unwrap_err();
        assert!(matches!(
            refused,
            FolderError::Segment(ReadError::Segment(
                SegmentError::OtherSegment | SegmentError::NotASegment
            ))
        ));
        assert_eq!(files(folder.path()), Vec::<String>::new());
    }
    served.change(|mirror| drop(mirror.segments.insert(id_of(&base), base[1..].to_vec())));
    let refused = read(folder.path(), &served, &manifest, &history, 2).unwrap_err();
    assert!(matches!(
        refused,
        FolderError::Transport(TransportError::BadAnswer(_))
    ));
    served.change(|mirror| mirror.segments.clear());
    let refused = read(folder.path(), &served, &manifest, &history, 2).unwrap_err();
    assert!(matches!(
        refused,
        FolderError::Transport(TransportError::Refused(_))
    ));
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let held = open(folder.path());
    let refused = SetFolder::open(folder.path(), key().public_key()).unwrap_err();
    assert!(matches!(refused, FolderError::Locked(_)));
    drop(held);
    open(folder.path());
}

/// A part of a segment, from a server that knows ranges and from one that doesn't.
#[test]
fn a_part_is_what_was_asked_for() {
    let history = History::new(1);
    let served = Served::new();
    let (base, entry) = history.base(1);
    served.put(&base);
    for no_ranges in [false, true] {
        served.change(|mirror| {
            mirror.no_ranges = no_ranges;
            mirror.breaks_off = (!no_ranges).then_some(1_000);
        });
        let mut part = Vec::new();
        let mut download = served
            .transport()
            .download(&entry.id, entry.size, 100..5_000);
        download.read_to_end(&mut part).unwrap();
        assert!(part == base[100..5_000]);
    }
}
