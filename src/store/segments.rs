//! A folder of what is published, as any web server can serve it:
//!
//! ```text
//! <SHA-256 of its header>    a segment, under its id
//! manifests/<sequence>       every manifest of the chain
//! latest                     the newest one again
//! building/                  what isn't finished; never published
//! ```

use std::{
    format,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    string::String,
    vec::Vec,
};

use crate::snapshot::SegmentEntry;

/// Where published segments and manifests lie. A segment, and a manifest under its number, never changes.
#[derive(Debug, Clone)]
pub struct SegmentFolder(PathBuf);

impl SegmentFolder {
    /// Takes a folder and makes it if it isn't there.
    ///
    /// # Errors
    ///
    /// It can't be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self(PathBuf::from(path)))
    }

    /// Where the segment with this id is, if it is here.
    #[must_use]
    pub fn path(&self, id: &[u8; 32]) -> PathBuf {
        self.0.join(hex(id))
    }

    /// Where the manifest with this number is, if it is here.
    #[must_use]
    pub fn manifest(&self, sequence: u64) -> PathBuf {
        self.manifests().join(format!("{sequence}"))
    }

    /// Where the newest manifest is, if one is here.
    #[must_use]
    pub fn latest(&self) -> PathBuf {
        self.0.join("latest")
    }

    /// A folder for what isn't finished.
    #[must_use]
    pub fn building(&self) -> PathBuf {
        self.0.join("building")
    }

    /// Whether a segment is here. Of its content only the length is looked at.
    #[must_use]
    pub fn has(&self, entry: &SegmentEntry) -> bool {
        fs::metadata(self.path(&entry.id)).is_ok_and(|file| file.len() == entry.size)
    }

    /// Writes a segment. It is there whole, or not at all, and durable when this returns.
    ///
    /// # Errors
    ///
    /// The disk doesn't take it.
    pub fn put(&self, id: &[u8; 32], bytes: &[u8]) -> io::Result<()> {
        put(&self.0, &hex(id), bytes)
    }

    /// Takes over a segment that was written [elsewhere](Self::building) on the same disk and is durable there.
    ///
    /// # Errors
    ///
    /// The disk doesn't take it.
    pub fn adopt(&self, id: &[u8; 32], file: &Path) -> io::Result<()> {
        fs::rename(file, self.path(id))?;
        File::open(&self.0)?.sync_all()
    }

    /// Writes the newest manifest, whose segments are here. Does nothing if that was done before.
    ///
    /// # Errors
    ///
    /// The disk doesn't take it.
    pub fn put_manifest(&self, sequence: u64, bytes: &[u8]) -> io::Result<()> {
        let same = |path: PathBuf| fs::read(path).is_ok_and(|there| there == bytes);
        if !same(self.manifest(sequence)) {
            fs::create_dir_all(self.manifests())?;
            put(&self.manifests(), &format!("{sequence}"), bytes)?;
        }
        if !same(self.latest()) {
            put(&self.0, "latest", bytes)?;
        }
        Ok(())
    }

    /// Removes every segment, finished or not, that isn't one of `kept`.
    ///
    /// # Errors
    ///
    /// The folder can't be read; or a file in it can't be removed, which doesn't save the others.
    pub fn retain(&self, kept: &[[u8; 32]]) -> io::Result<()> {
        let removed = match fs::remove_dir_all(self.building()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        removed.and(self.retain_finished(kept))
    }

    /// Removes every segment that isn't one of `kept`; what is being built stays.
    ///
    /// # Errors
    ///
    /// As [`Self::retain`].
    pub fn retain_finished(&self, kept: &[[u8; 32]]) -> io::Result<()> {
        let mut removed = Ok(());
        for name in self.leftover(kept)? {
            removed = removed.and(fs::remove_file(self.0.join(name)));
        }
        removed
    }

    /// The names of segments, finished or not, that aren't one of `kept`.
    ///
    /// # Errors
    ///
    /// The folder can't be read.
    pub fn leftover(&self, kept: &[[u8; 32]]) -> io::Result<Vec<String>> {
        let kept: Vec<String> = kept.iter().map(hex).collect();
        let mut leftover = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let id = name.strip_suffix(UNFINISHED).unwrap_or(name);
            let ours = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if ours && !kept.iter().any(|kept| kept == name) {
                leftover.push(String::from(name));
            }
        }
        leftover.sort_unstable();
        Ok(leftover)
    }

    fn manifests(&self) -> PathBuf {
        self.0.join("manifests")
    }
}

const UNFINISHED: &str = ".unfinished";

fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = folder.join(format!("{name}{UNFINISHED}"));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(name))?;
    File::open(folder)?.sync_all()
}

pub(crate) fn hex(id: &[u8; 32]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
