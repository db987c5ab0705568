//! A service that publishes into a folder, and phones that follow it.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use blindbook::{
    Timestamp,
    label::{Label, LabelLength},
    oprf::{ContactKey, Epoch, ServiceId, Tag, UnblindedElement},
    server::{
        EvaluationKey, Evaluator,
        directory::{Change, Consent, MemberBatch, Residence, Setting},
        publish::{FindableSet, PublishPolicy, Sealer, Terms, made_at},
    },
    snapshot::{
        BuildError, Manifest, Merge, Search, Segment, SegmentEntry, SegmentError, SignedManifest,
        Sink, SnapshotKey, cheapest_path,
    },
    store::{Building, Pace, Publication, PublishError, Publisher, SegmentFolder, Store},
};

use crate::roles::{now, random_source};

const EPOCH: Epoch = Epoch::new(7);
const SERVICE: &str = "chat.example";
/// When on a day everything happens.
pub const NOON: Duration = Duration::from_secs(43_200);

/// Few publications are followed.
pub fn policy() -> PublishPolicy {
    PublishPolicy {
        dailies: 4,
        ..PublishPolicy::default()
    }
}

pub fn who(number: u8) -> UnblindedElement {
    let key = EvaluationKey::random(&mut random_source(number));
    UnblindedElement::decode(&key.public_key().encode()).unwrap()
}

fn key_of(number: u8) -> ContactKey {
    ContactKey::derive(
        &ServiceId::new(SERVICE).unwrap().hash(),
        EPOCH,
        &who(number),
    )
}

pub fn tag(number: u8) -> Tag {
    key_of(number).tag()
}

fn key() -> SnapshotKey {
    SnapshotKey::from_seed(&mut [7; 32])
}

pub fn verified(bytes: &[u8]) -> Manifest {
    let signed = SignedManifest::decode(bytes).unwrap();
    signed.verify(&key().public_key()).unwrap()
}

/// Filled in with the time at which the change is made.
pub fn join(number: u8, label: &str) -> (u8, Change) {
    let consent = Consent::new(Timestamp::from_secs(1), "2026-11", "ios/settings").unwrap();
    let change = Change::Enrol {
        label: Label::new(label.as_bytes()).unwrap(),
        setting: Setting::Everyone(consent),
        residence: Residence::default(),
    };
    (number, change)
}

pub fn hide(number: u8) -> (u8, Change) {
    let change = Change::Enrol {
        label: Label::new(b"-").unwrap(),
        setting: Setting::Nobody,
        residence: Residence::default(),
    };
    (number, change)
}

/// Who can be found, and under which label; and all who ever could, under which.
pub struct Members(BTreeMap<u8, Label>, Vec<(u8, Label)>);

impl Members {
    pub fn new() -> Self {
        Self(BTreeMap::new(), Vec::new())
    }

    fn join(&mut self, number: u8, label: Label) {
        self.1.push((number, label.clone()));
        self.0.insert(number, label);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn found(&self) -> Vec<(u8, String)> {
        let text = |label: &Label| String::from_utf8(label.as_bytes().to_vec()).unwrap();
        self.0
            .iter()
            .map(|(number, label)| (*number, text(label)))
            .collect()
    }
}

pub struct World<S> {
    pub store: S,
    pub publisher: Publisher,
    folder: tempfile::TempDir,
    /// Each change has a moment of its own, so that a later consent outranks an earlier decision.
    moment: std::cell::Cell<u64>,
}

impl<S: Store> World<S> {
    pub fn new(store: S, policy: PublishPolicy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let evaluation = EvaluationKey::random(&mut random_source(1));
        let evaluator = Evaluator::new(EPOCH, evaluation);
        let terms = Terms {
            service: ServiceId::new(SERVICE).unwrap(),
            normalisation: 1,
            label_length: LabelLength::default(),
            epoch: EPOCH,
            public_key: evaluator.public_key().clone(),
            valid_for: Duration::from_secs(3 * 86_400),
        };
        policy.validate(terms.valid_for).unwrap();
        let segments = SegmentFolder::open(folder.path()).unwrap();
        Self {
            store,
            publisher: Publisher::new(terms, key(), segments)
                .with_policy(policy)
                .with_building(Building {
                    memory: 0,
                    checkpoint: 10_000,
                }),
            folder,
            moment: std::cell::Cell::new(0),
        }
    }

    pub fn at(&self, day: u64) -> Timestamp {
        Timestamp::from_secs((20_000 + day) * 86_400).saturating_add(NOON)
    }

    pub fn change(
        &self,
        members: &mut Members,
        day: u64,
        changes: impl IntoIterator<Item = (u8, Change)>,
    ) {
        for (number, change) in changes {
            self.moment.set(self.moment.get() + 1);
            let at = self
                .at(day)
                .saturating_add(Duration::from_millis(self.moment.get()));
            let change = match change {
                Change::Enrol {
                    label,
                    setting: Setting::Everyone(_),
                    residence,
                } => {
                    members.join(number, label.clone());
                    let consent = Consent::new(at, "2026-11", "ios/settings").unwrap();
                    Change::Enrol {
                        label,
                        setting: Setting::Everyone(consent),
                        residence,
                    }
                }
                other => {
                    members.0.remove(&number);
                    other
                }
            };
            let batch = MemberBatch {
                epoch: EPOCH,
                changes: vec![(who(number), change)],
                at,
            };
            let outcome = now(self.store.change_members(batch)).unwrap();
            assert_eq!(outcome.refused, []);
        }
    }

    /// So many members whom nobody looks at one by one.
    pub fn fill(&self, count: usize) -> Vec<(UnblindedElement, Label)> {
        let mut source = random_source(99);
        let element = |_| {
            let key = EvaluationKey::random(&mut source);
            UnblindedElement::decode(&key.public_key().encode()).unwrap()
        };
        let copy = |one: &UnblindedElement| UnblindedElement::decode(one.expose()).unwrap();
        let elements: Vec<UnblindedElement> = (0..count).map(element).collect();
        let label = || Label::new(b"handle").unwrap();
        let changes = elements.iter().map(|one| {
            let consent = Consent::new(self.at(0), "2026-11", "ios/settings").unwrap();
            let change = Change::Enrol {
                label: label(),
                setting: Setting::Everyone(consent),
                residence: Residence::default(),
            };
            (copy(one), change)
        });
        let batch = MemberBatch {
            epoch: EPOCH,
            changes: changes.collect(),
            at: self.at(0),
        };
        now(self.store.change_members(batch)).unwrap();
        elements.into_iter().map(|one| (one, label())).collect()
    }

    pub fn try_publish(&self, day: u64, pace: Pace) -> Result<Publication, PublishError> {
        let publishing = self
            .publisher
            .publish(&self.store, self.at(day), pace, &|_| {});
        now(publishing)
    }

    pub fn publish(&self, day: u64) -> Publication {
        let published = self.try_publish(day, Pace::OncePerSlot).unwrap();
        assert_eq!((published.litter, published.collisions), (None, 0));
        published
    }

    /// The set that is built from all members at once.
    pub fn direct(&self, members: &Members) -> Vec<u8> {
        let all: Vec<_> = members
            .0
            .iter()
            .map(|(number, label)| (who(*number), label.clone()))
            .collect();
        self.direct_of(&all)
    }

    pub fn direct_of(&self, members: &[(UnblindedElement, Label)]) -> Vec<u8> {
        let mut set = FindableSet::new(self.publisher.terms());
        for (unblinded, label) in members {
            set.add(unblinded, label).unwrap();
        }
        set.build().unwrap().bytes
    }

    pub fn read(&self, entry: &SegmentEntry) -> Vec<u8> {
        fs::read(self.publisher.folder().path(&entry.id)).unwrap()
    }

    /// The base of a manifest. Everything else that is listed leads to it.
    pub fn base(&self, manifest: &Manifest) -> Vec<u8> {
        let claims = manifest.claims();
        assert!(
            claims
                .segments
                .iter()
                .all(|entry| entry.to == claims.newest())
        );
        self.read(manifest.base())
    }

    /// Nothing that is to be had an hour after a manifest was made has the tag of anybody who can't be found, or the sealed label
    /// of anybody under which nobody is found.
    pub fn check_clean(&self, publication: &Publication, members: &Members) {
        let manifest = &publication.manifest;
        let gone: Vec<Tag> = (0..=255)
            .filter(|number| !members.0.contains_key(number))
            .map(tag)
            .collect();
        let sealer = Sealer::new(self.publisher.terms());
        let sealed = |(number, label): (&u8, &Label)| sealer.seal(&who(*number), label).unwrap().1;
        let current: Vec<Vec<u8>> = members.0.iter().map(sealed).collect();
        let former = members.1.iter().map(|(number, label)| (number, label));
        let former: Vec<Vec<u8>> = former
            .map(sealed)
            .filter(|label| !current.contains(label))
            .collect();
        let later = made_at(manifest.claims()).saturating_add(Duration::from_secs(3_600));
        self.publisher.tidy(publication, later).unwrap();
        let files = self.segments();
        assert_eq!(files.len(), manifest.claims().segments.len());
        for entry in &manifest.claims().segments {
            assert!(publication.serves(&entry.id, later));
            let bytes = self.read(entry);
            let mut segment = Segment::open(&bytes, manifest).unwrap();
            assert_eq!(segment.find(&gone).unwrap(), [], "{entry:?}");
        }
        for bytes in self.files().into_values() {
            let has = |label: &Vec<u8>| bytes.windows(label.len()).any(|there| there == label);
            assert!(!former.iter().any(has));
            // That it can find one at all.
            assert!(!bytes.starts_with(b"bbsegmnt\x01\x01") || current.iter().all(has));
        }
    }

    /// Who of these is found by whoever has their number.
    pub fn find(&self, manifest: &Manifest, numbers: &[u8]) -> Vec<(u8, String)> {
        let claims = manifest.claims();
        let tags: Vec<Tag> = numbers.iter().map(|number| tag(*number)).collect();
        let mut search = Search::new(&tags);
        for entry in cheapest_path(&claims.segments, claims.newest(), |entry| entry.size).unwrap() {
            let bytes = self.read(entry);
            search
                .read(&mut Segment::open(&bytes, manifest).unwrap())
                .unwrap();
        }
        let found = search.found();
        let opened = numbers.iter().filter_map(|number| {
            let key = key_of(*number);
            let one = found.iter().find(|one| one.tag == key.tag())?;
            let label = Label::open(&one.sealed_label, &key, EPOCH).ok()?;
            Some((
                *number,
                String::from_utf8(label.as_bytes().to_vec()).unwrap(),
            ))
        });
        opened.collect()
    }

    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.file_name().unwrap().len() == 64)
            .collect()
    }

    /// Everything that is published, by its name.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let manifests = fs::read_dir(self.folder.path().join("manifests")).unwrap();
        let mut paths: Vec<PathBuf> = manifests.map(|entry| entry.unwrap().path()).collect();
        paths.extend(self.segments());
        paths.push(self.publisher.folder().latest());
        let named = paths.into_iter().map(|path| {
            let name = path.strip_prefix(self.folder.path()).unwrap().to_owned();
            (name, fs::read(path).unwrap())
        });
        named.collect()
    }
}

/// A phone with the set that was the newest once.
pub struct Phone {
    manifest: Manifest,
    base: Vec<u8>,
}

impl Phone {
    pub fn new<S: Store>(world: &World<S>, manifest: &Manifest) -> Self {
        Self {
            base: world.read(manifest.base()),
            manifest: manifest.clone(),
        }
    }

    /// It gets to the newest set by one delta, if it wasn't away for too long; whether it does.
    pub fn check<S: Store>(&self, world: &World<S>, newest: &Manifest) -> bool {
        let claims = newest.claims();
        let have = self.manifest.claims().newest();
        if have == claims.newest() {
            return true;
        }
        let Some(delta) = claims.segments.iter().find(|entry| entry.from == have) else {
            return false;
        };
        let bytes = world.read(delta);
        let held = Segment::open(&self.base, &self.manifest).unwrap();
        let path = vec![held, Segment::open(&bytes, newest).unwrap()];
        assert!(merge(path) == world.base(newest), "set {have}");
        true
    }

    /// The last manifest under which the phone had the newest set.
    pub fn set(&self) -> u64 {
        self.manifest.claims().newest()
    }
}

#[derive(Default)]
struct File {
    tags: Vec<u8>,
    labels: Vec<u8>,
}

#[derive(Debug)]
struct Failed;

impl From<BuildError> for Failed {
    fn from(_: BuildError) -> Self {
        Self
    }
}

impl From<SegmentError> for Failed {
    fn from(_: SegmentError) -> Self {
        Self
    }
}

impl Sink for File {
    type Error = Failed;

    fn tags(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.tags.extend_from_slice(bytes);
        Ok(())
    }

    fn labels(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.labels.extend_from_slice(bytes);
        Ok(())
    }
}

fn merge(path: Vec<Segment<&Vec<u8>>>) -> Vec<u8> {
    let mut file = File::default();
    let head = Merge::new(path)
        .unwrap()
        .write_base(&mut file)
        .unwrap()
        .head;
    [head, file.tags, file.labels].concat()
}
