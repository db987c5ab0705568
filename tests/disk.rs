//! Files that aren't what the store left, and places where it can't be: the right error, and nothing lost.

#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use blindbook::{
    Timestamp,
    label::Label,
    oprf::UnblindedElement,
    server::{
        EvaluationKey,
        directory::{Change, Consent, MemberBatch, Residence, Setting},
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Quota, Scope},
    },
    store::{RedbStore, SegmentFolder, Settled, Store, StoreError, StoredManifest},
};
use roles::{EPOCH, now, random_source};

const MEMBERS: u8 = 40;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + seconds)
}

/// A store with a bit of everything in it.
fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("store");
    let store = RedbStore::open(&path).unwrap();
    let changes = (0..MEMBERS).map(|number| {
        let key = EvaluationKey::random(&mut random_source(number));
        let unblinded = UnblindedElement::decode(&key.public_key().encode()).unwrap();
        let consent = Consent::new(at(0), "2026-11", "ios/settings").unwrap();
        let enrol = Change::Enrol {
            label: Label::new(b"handle").unwrap(),
            setting: Setting::Everyone(consent),
            residence: Residence::default(),
        };
        (unblinded, enrol)
    });
    let batch = MemberBatch {
        epoch: EPOCH,
        changes: changes.collect(),
        at: at(1),
    };
    now(store.change_members(batch)).unwrap();
    now(Quota::new(Policy::default(), &store)
        .unwrap()
        .admit(charge()))
    .unwrap();
    let manifest = StoredManifest {
        sequence: 1,
        bytes: vec![7; 300],
    };
    assert!(now(store.append_manifest(manifest, Settled::default())).unwrap());
    path
}

fn charge() -> Charge {
    Charge {
        account: AccountKey::new([3; 32]),
        scope: Scope::Discover,
        account_created: at(0),
        origin: Origin::Unknown,
        elements: 100.try_into().unwrap(),
        request_digest: [1; 32],
        epoch: EPOCH,
        at: at(2),
    }
}

/// Everything that `filled` put there is there.
fn is_whole(store: &RedbStore) -> bool {
    let findable = now(store.findable(EPOCH, None, 1_000)).unwrap_or_default();
    let manifest = now(store.latest_manifest()).ok().flatten();
    findable.len() == usize::from(MEMBERS)
        && now(store.key_evaluations(EPOCH)) == Ok(100)
        && manifest.is_some_and(|manifest| manifest.bytes == [7; 300])
}

#[test]
fn a_store_in_use_is_locked_and_comes_to_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let store = RedbStore::open(&path).unwrap();
    let attempts = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(RedbStore::open(&path).unwrap_err(), StoreError::Locked);
                    attempts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while attempts.load(Ordering::Relaxed) < 80 {
            let admitted = now(Quota::new(Policy::default(), &store)
                .unwrap()
                .admit(charge()));
            // The request rate ends it at some time; the store doesn't.
            drop(admitted);
            thread::yield_now();
        }
    });
    assert!(is_whole(&store));
    drop(store);
    assert!(is_whole(&RedbStore::open(&path).unwrap()));
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read(filled(folder.path())).unwrap();
    let mut contents: Vec<Vec<u8>> = vec![
        b"{\"not\": \"a store\"}\n".to_vec(),
        vec![0; 100],
        vec![0; 1 << 20],
        vec![0xff; 1 << 20],
        [&b"redb"[..], &[0; 5_000]].concat(),
    ];
    for length in [1, 9, 64, 320, 4_095, 4_096, good.len() / 2, good.len() - 1] {
        contents.push(good[..length].to_vec());
    }
    for (number, bytes) in contents.iter().enumerate() {
        let path = folder.path().join(format!("bad {number}"));
        fs::write(&path, bytes).unwrap();
        let error = RedbStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{number}: {error}");
        assert_eq!(&fs::read(&path).unwrap(), bytes, "{number} was changed");
    }
}

/// A bit of the file falls over. Whatever it hits: the store opens or says why not, and nothing panics where it
/// would take the service along.
#[test]
fn a_flipped_bit_ends_in_an_error_at_worst() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read(filled(folder.path())).unwrap();
    let witness = fs::read(folder.path().join("store.witness")).unwrap();
    let path = folder.path().join("flipped");
    let (mut refused, mut opened) = (0, 0);
    let head = (0..512).step_by(3);
    let rest = (512..good.len()).step_by(good.len() / 150);
    for place in head.chain(rest) {
        let mut bytes = good.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        fs::write(folder.path().join("flipped.witness"), &witness).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| RedbStore::open(&path)));
        match outcome.unwrap_or_else(|_| panic!("a panic for byte {place}")) {
            Ok(store) => {
                opened += 1;
                let used = catch_unwind(AssertUnwindSafe(|| {
                    let _anything = is_whole(&store);
                    let quota = Quota::new(Policy::default(), &store).unwrap();
                    let _admitted_or_not = now(quota.admit(charge()));
                    drop(store);
                }));
                assert!(used.is_ok(), "a panic in use for byte {place}");
            }
            Err(StoreError::Damaged(_) | StoreError::Version(_) | StoreError::Restored(_)) => {
                refused += 1;
            }
            Err(other) => panic!("byte {place}: {other}"),
        }
    }
    println!("{refused} refused, {opened} opened");
    assert!(refused > 10 && opened > 10);
}

#[test]
fn places_where_a_store_cannot_be_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"a file").unwrap();
    for path in [
        folder.path().to_path_buf(),
        folder.path().join("no such folder/store"),
        file.join("store"),
        PathBuf::new(),
    ] {
        let error = RedbStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Io(_)), "{error}");
        // Where it is, is known to who configured it; an error may end up anywhere.
        assert!(!error.to_string().contains("store/"), "{error}");
    }
    assert!(SegmentFolder::open(&file).is_err());
    assert!(SegmentFolder::open(&file.join("segments")).is_err());
}

#[cfg(unix)]
#[test]
fn a_file_or_folder_that_cannot_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let before = fs::read(&path).unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set(&path, 0o400).unwrap();
    set(folder.path(), 0o500).unwrap();
    if fs::File::create(folder.path().join("probe")).is_ok() {
        println!("skipped: permissions don't bind whoever runs this test");
        return;
    }
    let error = RedbStore::open(&path).unwrap_err();
    assert_eq!(error, StoreError::Io("permission denied".to_owned()));
    let error = RedbStore::open(&folder.path().join("new")).unwrap_err();
    assert_eq!(error, StoreError::Io("permission denied".to_owned()));
    let segments = SegmentFolder::open(folder.path()).unwrap();
    assert!(segments.put(&[1; 32], b"segment").is_err());
    set(folder.path(), 0o700).unwrap();
    set(&path, 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(is_whole(&RedbStore::open(&path).unwrap()));
}

#[test]
fn a_segment_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let segments = SegmentFolder::open(folder.path()).unwrap();
    segments.put(&[1; 32], b"first").unwrap();
    segments.put(&[1; 32], b"first").unwrap();
    // What a crash leaves behind is swept away with the next publication, and other people's files aren't.
    let unfinished = folder
        .path()
        .join(format!("{}.unfinished", "ab".repeat(32)));
    fs::write(&unfinished, b"half").unwrap();
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    segments.put(&[2; 32], b"second").unwrap();
    segments.retain(&[[2; 32]]).unwrap();
    let mut left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["02".repeat(32), "notes.txt".to_owned()]);
    assert_eq!(fs::read(segments.path(&[2; 32])).unwrap(), b"second");
}
