//! A folder of segments, each under the name of its SHA-256.

use std::{
    format,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    string::String,
    vec::Vec,
};

/// Where published segments lie. What is there under a name never changes.
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

    /// Writes a segment. It is there whole, or not at all, and durable when this returns.
    ///
    /// # Errors
    ///
    /// The disk doesn't take it.
    pub fn put(&self, id: &[u8; 32], bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.0.join(format!("{}.unfinished", hex(id)));
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.path(id))?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes every segment, finished or not, that isn't one of `kept`.
    ///
    /// # Errors
    ///
    /// The folder can't be read; or a file in it can't be removed, which doesn't save the others.
    pub fn retain(&self, kept: &[[u8; 32]]) -> io::Result<()> {
        let kept: Vec<String> = kept.iter().map(hex).collect();
        let mut removed = Ok(());
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let id = name.strip_suffix(".unfinished").unwrap_or(name);
            let ours = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if ours && !kept.iter().any(|kept| kept == name) {
                removed = removed.and(fs::remove_file(entry.path()));
            }
        }
        removed
    }
}

fn hex(id: &[u8; 32]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
