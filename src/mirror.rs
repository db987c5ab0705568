//! Copies what is published to an object store, from which a plain web server or a CDN hands it to clients.
//!
//! Layer 6: stands on the folder of segments and must not know members or how they are published.
//!
//! ```text
//! v1/segments/{id}           never changes under its name
//! v1/manifests/{sequence}    the same
//! v1/manifest                the newest manifest, put last
//! ```
//!
//! These are the paths of the service itself, so a client reads a mirror as it reads the service. A mirror is believed
//! nothing: manifests are signed, segments are named by what is in them.

use std::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    sync::Arc,
};

use object_store::{
    Attribute, Attributes, Error as StoreFailure, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, UpdateVersion, buffered::BufWriter, local::LocalFileSystem, path::Path,
};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::{
    snapshot::{
        FileSource, Manifest, ManifestDraft, ReadError, Segment, SegmentEntry, SignedManifest,
        SnapshotPublicKey,
    },
    store::{SegmentFolder, hex},
};

/// Bytes of a part of an upload.
const PART: usize = 8 << 20;
const OCTETS: &str = "application/octet-stream";
const FOR_A_MINUTE: &str = "public, max-age=60";
const FOR_AN_HOUR: &str = "public, max-age=3600, immutable";
const FOREVER: &str = "public, max-age=31536000, immutable";

/// A place in an object store.
#[derive(Debug)]
pub struct Mirror {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// Whether it can replace an object only if it hasn't changed, and remembers headers.
    is_cloud: bool,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Copied {
    /// Segments that weren't there.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Old segments that were removed.
    pub removed: usize,
    /// Why old segments weren't removed, if that went wrong. The copy is good nevertheless.
    pub litter: Option<String>,
}

/// A publication that isn't copied. What the mirror had stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The address isn't one of an object store that is known here.
    #[error("not the address of an object store: {0}")]
    Address(String),
    /// The object store can't be reached or refuses.
    #[error("the object store failed: {0}")]
    Store(#[from] StoreFailure),
    /// The manifest isn't signed by the key that was given.
    #[error("the manifest isn't signed by this snapshot key")]
    Manifest,
    /// A segment in the folder is missing or damaged.
    #[error("segment {id}: {error}")]
    Segment {
        /// Its id, in hexadecimal digits.
        id: String,
        /// What is wrong.
        error: ReadError,
    },
    /// Something else lies there: not a manifest of this chain.
    #[error("what lies at v1/manifest isn't signed by this snapshot key")]
    Foreign,
    /// The mirror has a newer manifest.
    #[error("the mirror has manifest {0}, which is newer")]
    Newer(u64),
    /// Somebody else has copied in the meantime.
    #[error("another copy came first")]
    Conflict,
}

impl Mirror {
    /// Takes an address: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or
    /// `https://host/path` of a server that speaks WebDAV.
    ///
    /// `options` are the store's own, for example `aws_region`; see `object_store`. A local folder is made if it isn't
    /// there, and is durable when a copy returns.
    ///
    /// # Errors
    ///
    /// [`MirrorError::Address`], or the options don't suffice.
    pub fn open(
        address: &str,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, MirrorError> {
        let bad = |error: &dyn ToString| MirrorError::Address(error.to_string());
        let url = Url::parse(address).map_err(|error| bad(&error))?;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| bad(&"not a folder"))?;
            std::fs::create_dir_all(&folder).map_err(|error| bad(&error))?;
            let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
            return Ok(Self::of(Arc::new(store), Path::default(), false));
        }
        let (store, root) = object_store::parse_url_opts(&url, options)?;
        let is_cloud = !matches!(url.scheme(), "http" | "https");
        Ok(Self::of(Arc::from(store), root, is_cloud))
    }

    /// Takes an object store of the caller's, and where in it to copy to. `is_cloud` says whether it has conditional
    /// puts and attributes: S3, GCS and Azure have.
    pub fn of(store: Arc<dyn ObjectStore>, root: Path, is_cloud: bool) -> Self {
        Self {
            store,
            root,
            is_cloud,
        }
    }

    /// Copies what a manifest names, then the manifest, and removes segments that neither it nor the one before names.
    ///
    /// Interrupted, it is done again: what is there isn't copied twice. On a store without conditional puts (a local
    /// folder, WebDAV) one publisher at a time is the caller's to ensure.
    ///
    /// # Errors
    ///
    /// See [`MirrorError`]. Segments may have been copied; nobody is told of them.
    pub async fn copy(
        &self,
        manifest: &[u8],
        key: &SnapshotPublicKey,
        folder: &SegmentFolder,
    ) -> Result<Copied, MirrorError> {
        let verified = verify(manifest, key).ok_or(MirrorError::Manifest)?;
        let (there, version) = self.newest(key).await?;
        let sequence = verified.claims().sequence;
        if let Some(newer) = there
            .as_ref()
            .map(|there| there.claims().sequence)
            .filter(|newer| *newer > sequence)
        {
            return Err(MirrorError::Newer(newer));
        }
        let mut copied = Copied::default();
        for entry in &verified.claims().segments {
            if self.put_segment(entry, &verified, folder).await? {
                copied.segments += 1;
                copied.bytes += entry.size;
            }
        }
        let numbered = self.at(&["v1", "manifests", &format!("{sequence:020}")]);
        self.put(&numbered, manifest, FOREVER, PutMode::Overwrite)
            .await?;
        if there.as_ref().map(Manifest::hash) != Some(verified.hash()) {
            let mode = match version {
                _ if !self.is_cloud => PutMode::Overwrite,
                Some(version) => PutMode::Update(version),
                None => PutMode::Create,
            };
            let newest = self.at(&["v1", "manifest"]);
            self.put(&newest, manifest, FOR_A_MINUTE, mode).await?;
        }
        let named = there.iter().chain([&verified]);
        let named: BTreeSet<String> = named
            .flat_map(|manifest| &manifest.claims().segments)
            .map(|entry| hex(&entry.id))
            .collect();
        // The pointer has moved on: from here on nothing makes the copy fail any more.
        match self.sweep(&named).await {
            Ok(removed) => copied.removed = removed,
            Err(error) => copied.litter = Some(error.to_string()),
        }
        Ok(copied)
    }

    /// The manifest that the mirror shows, and what it has to be unchanged by.
    async fn newest(
        &self,
        key: &SnapshotPublicKey,
    ) -> Result<(Option<Manifest>, Option<UpdateVersion>), MirrorError> {
        let found = match self.store.get(&self.at(&["v1", "manifest"])).await {
            Err(StoreFailure::NotFound { .. }) => return Ok((None, None)),
            found => found?,
        };
        let version = UpdateVersion {
            e_tag: found.meta.e_tag.clone(),
            version: found.meta.version.clone(),
        };
        if found.meta.size > ManifestDraft::MAX_ENCODED as u64 {
            return Err(MirrorError::Foreign);
        }
        let manifest = verify(&found.bytes().await?, key).ok_or(MirrorError::Foreign)?;
        Ok((Some(manifest), Some(version)))
    }

    /// Whether it had to be copied.
    async fn put_segment(
        &self,
        entry: &SegmentEntry,
        manifest: &Manifest,
        folder: &SegmentFolder,
    ) -> Result<bool, MirrorError> {
        let id = hex(&entry.id);
        let path = self.at(&["v1", "segments", &id]);
        match self.store.head(&path).await {
            Ok(found) if found.size == entry.size => return Ok(false),
            Ok(_) | Err(StoreFailure::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let local = folder.path(&entry.id);
        let damaged = |error| MirrorError::Segment {
            id: id.clone(),
            error,
        };
        check(&local, manifest).map_err(damaged)?;
        let mut file = tokio::fs::File::open(&local)
            .await
            .map_err(|error| damaged(error.into()))?;
        let mut upload = BufWriter::with_capacity(Arc::clone(&self.store), path, PART);
        if self.is_cloud {
            upload = upload.with_attributes(attributes(FOR_AN_HOUR));
        }
        let uploaded = match tokio::io::copy(&mut file, &mut upload).await {
            Ok(_) => upload.shutdown().await,
            Err(error) => {
                let _either = upload.abort().await;
                Err(error)
            }
        };
        uploaded.map_err(|error| StoreFailure::Generic {
            store: "upload",
            source: error.into(),
        })?;
        Ok(true)
    }

    async fn put(
        &self,
        path: &Path,
        bytes: &[u8],
        cached: &'static str,
        mode: PutMode,
    ) -> Result<(), MirrorError> {
        let options = PutOptions {
            mode,
            attributes: match self.is_cloud {
                true => attributes(cached),
                false => Attributes::default(),
            },
            ..PutOptions::default()
        };
        let payload = PutPayload::from(bytes.to_vec());
        match self.store.put_opts(path, payload, options).await {
            Ok(_) => Ok(()),
            Err(StoreFailure::AlreadyExists { .. } | StoreFailure::Precondition { .. }) => {
                Err(MirrorError::Conflict)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes segments that aren't named; returns how many.
    async fn sweep(&self, named: &BTreeSet<String>) -> Result<usize, StoreFailure> {
        let listed = self
            .store
            .list_with_delimiter(Some(&self.at(&["v1", "segments"])))
            .await?;
        let mut removed = 0;
        for object in listed.objects {
            let name = object.location.filename().unwrap_or_default();
            let ours = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            if ours && !named.contains(name) {
                self.store.delete(&object.location).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn at(&self, parts: &[&str]) -> Path {
        parts
            .iter()
            .fold(self.root.clone(), |path, part| path.join(*part))
    }
}

fn verify(bytes: &[u8], key: &SnapshotPublicKey) -> Option<Manifest> {
    SignedManifest::decode(bytes).ok()?.verify(key).ok()
}

/// A damaged file isn't copied under a name that says that it isn't.
fn check(path: &std::path::Path, manifest: &Manifest) -> Result<(), ReadError> {
    let source = FileSource::new(std::fs::File::open(path)?)?;
    Segment::open(source, manifest)?.verify()
}

fn attributes(cached: &'static str) -> Attributes {
    Attributes::from_iter([
        (Attribute::CacheControl, cached),
        (Attribute::ContentType, OCTETS),
    ])
}
