//! Copying what is published to an object store: in an order in which no client ever misses anything, and never back.

#[path = "support/published.rs"]
mod published;

use std::sync::Arc;

use blindbook::{
    label::LabelLength,
    mirror::{Mirror, MirrorError},
    oprf::{Epoch, Tag},
    snapshot::{SegmentBuilder, SegmentEntry, SnapshotKey},
    store::SegmentFolder,
};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use published::{delta_entry, draft, entry, key, sealed, service};
use tempfile::TempDir;

const LABELS: LabelLength = match LabelLength::new(4) {
    Ok(length) => length,
    Err(_) => panic!(),
};

struct World {
    _scratch: TempDir,
    folder: SegmentFolder,
    store: Arc<InMemory>,
    mirror: Mirror,
}

impl World {
    fn new() -> Self {
        let scratch = TempDir::new().unwrap();
        let store = Arc::new(InMemory::new());
        Self {
            folder: SegmentFolder::open(scratch.path()).unwrap(),
            mirror: Mirror::of(
                Arc::clone(&store) as Arc<dyn ObjectStore>,
                "sets".into(),
                true,
            ),
            store,
            _scratch: scratch,
        }
    }

    fn base(&self, tags: &[u64]) -> SegmentEntry {
        let mut builder = SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS);
        for tag in tags {
            builder.add(Tag::new(*tag), &sealed(*tag)).unwrap();
        }
        let bytes = builder.build().unwrap();
        let entry = entry(&bytes);
        self.folder.put(&entry.id, &bytes).unwrap();
        entry
    }

    async fn copy(&self, manifest: &[u8]) -> Result<blindbook::mirror::Copied, MirrorError> {
        self.mirror
            .copy(manifest, &key().public_key(), &self.folder)
            .await
    }

    async fn names(&self) -> Vec<String> {
        let segments = Path::from("sets/v1/segments");
        let listed = self.store.list_with_delimiter(Some(&segments));
        let listed = listed.await.unwrap().objects;
        let name = |path: &Path| path.filename().unwrap().to_owned();
        listed.iter().map(|object| name(&object.location)).collect()
    }

    async fn newest(&self) -> Vec<u8> {
        let found = self
            .store
            .get(&Path::from("sets/v1/manifest"))
            .await
            .unwrap();
        found.bytes().await.unwrap().to_vec()
    }
}

fn sign(sequence: u64, segments: Vec<SegmentEntry>) -> Vec<u8> {
    let previous = if sequence == 1 { [0; 32] } else { [1; 32] };
    let mut draft = draft(sequence, previous, segments[0].clone(), LABELS);
    draft.segments = segments;
    key().sign(&draft).unwrap()
}

fn hex(id: &[u8; 32]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn segments_come_first_and_old_ones_go_a_manifest_later() {
    let world = World::new();
    let [first, second, third] = [[1, 2], [3, 4], [5, 6]].map(|tags: [u64; 2]| world.base(&tags));
    let manifest = sign(1, vec![first.clone()]);
    let copied = world.copy(&manifest).await.unwrap();
    assert_eq!((copied.segments, copied.bytes), (1, first.size));
    assert_eq!(world.newest().await, manifest);

    let again = world.copy(&manifest).await.unwrap();
    assert_eq!((again.segments, again.removed), (0, 0), "it is there");

    let mut delta =
        SegmentBuilder::new(service().hash(), Epoch::new(7), LABELS).changing(1, first.count);
    delta.delete(0).unwrap();
    let bytes = delta.build().unwrap();
    let daily = delta_entry(&bytes, 1, 2);
    world.folder.put(&daily.id, &bytes).unwrap();
    let copied = world.copy(&sign(2, vec![first.clone(), daily])).await;
    assert_eq!(copied.unwrap().segments, 1, "the base is there");

    world.copy(&sign(3, vec![second.clone()])).await.unwrap();
    assert!(
        world.names().await.contains(&hex(&first.id)),
        "still in use"
    );
    let copied = world.copy(&sign(4, vec![third.clone()])).await.unwrap();
    assert_eq!(copied.removed, 2, "the first base and its delta");
    let mut names = [hex(&second.id), hex(&third.id)];
    names.sort();
    let mut there = world.names().await;
    there.sort();
    assert_eq!(there, names);
    // Every manifest stays: whoever compares histories finds them.
    let numbered = Path::from(format!("sets/v1/manifests/{:020}", 1));
    let found = world.store.get(&numbered).await.unwrap();
    assert_eq!(found.bytes().await.unwrap(), manifest);
}

#[tokio::test]
async fn a_mirror_never_goes_back_and_is_nobody_elses() {
    let world = World::new();
    let base = world.base(&[1, 2]);
    world.copy(&sign(5, vec![base.clone()])).await.unwrap();
    let older = world.copy(&sign(4, vec![base.clone()])).await;
    assert!(matches!(older, Err(MirrorError::Newer(5))));

    let newest = Path::from("sets/v1/manifest");
    let stranger = SnapshotKey::from_seed(&mut [9; 32]);
    let foreign = stranger
        .sign(&draft(6, [1; 32], base.clone(), LABELS))
        .unwrap();
    for foreign in [foreign, b"hello".to_vec(), vec![0; 1 << 20]] {
        let payload = foreign.clone().into();
        world.store.put(&newest, payload).await.unwrap();
        let refused = world.copy(&sign(7, vec![base.clone()])).await;
        assert!(matches!(refused, Err(MirrorError::Foreign)));
        assert_eq!(world.newest().await, foreign);
    }
    let forged = stranger.sign(&draft(9, [1; 32], base, LABELS)).unwrap();
    assert!(matches!(
        world.copy(&forged).await,
        Err(MirrorError::Manifest)
    ));
}

#[tokio::test]
async fn a_damaged_or_missing_segment_is_not_copied_and_nothing_points_to_it() {
    let world = World::new();
    let base = world.base(&[1, 2]);
    let manifest = sign(1, vec![base.clone()]);
    let path = world.folder.path(&base.id);
    let honest = std::fs::read(&path).unwrap();
    for at in [0, 100, honest.len() - 1] {
        let mut damaged = honest.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let refused = world.copy(&manifest).await;
        assert!(matches!(refused, Err(MirrorError::Segment { .. })), "{at}");
    }
    std::fs::remove_file(&path).unwrap();
    let refused = world.copy(&manifest).await;
    assert!(matches!(refused, Err(MirrorError::Segment { .. })));
    assert!(world.names().await.is_empty());
    assert!(
        world
            .store
            .get(&Path::from("sets/v1/manifest"))
            .await
            .is_err()
    );

    // What an interrupted upload of another program left under the name is replaced.
    std::fs::write(&path, &honest).unwrap();
    let there = Path::from(format!("sets/v1/segments/{}", hex(&base.id)));
    world.store.put(&there, vec![0; 3].into()).await.unwrap();
    world.copy(&manifest).await.unwrap();
    let found = world.store.get(&there).await.unwrap();
    assert_eq!(found.bytes().await.unwrap(), honest);
}

#[tokio::test]
async fn a_local_folder_is_a_mirror_too() {
    let world = World::new();
    let base = world.base(&[1, 2]);
    let target = TempDir::new().unwrap();
    let address = format!("file://{}/inner", target.path().display());
    let mirror = Mirror::open(&address, []).unwrap();
    let public = key().public_key();
    for sequence in [1, 2] {
        let manifest = sign(sequence, vec![base.clone()]);
        let copied = mirror.copy(&manifest, &public, &world.folder).await;
        assert_eq!(copied.unwrap().segments, usize::from(sequence == 1));
        let there = target.path().join("inner/v1/manifest");
        assert_eq!(std::fs::read(there).unwrap(), manifest);
    }
    let segment = target.path().join("inner/v1/segments").join(hex(&base.id));
    assert_eq!(segment.metadata().unwrap().len(), base.size);
}

#[test]
fn what_is_no_address_is_refused() {
    for address in ["", "here", "ftp://host/x", "s3:///x", "file://host/x"] {
        assert!(Mirror::open(address, []).is_err(), "{address}");
    }
}
