//! Files that only their owner may read, and files that are there whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::failure::Failure;

/// Longest secret or key file that is read, in bytes.
const MAX_SECRET: u64 = 4_096;

/// Writes a new file with mode 0600. What is there already is never overwritten.
pub(crate) fn create_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = private_options()
        .create_new(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
    written.map_err(|error| Failure::file(path, &error))
}

/// Makes a folder with mode 0700, if there is none.
pub(crate) fn private_folder(path: &Path) -> Result<(), Failure> {
    let mut options = fs::DirBuilder::new();
    options.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        options.mode(0o700);
    }
    let made = options.create(path);
    made.map_err(|error| Failure::file(path, &error))
}

/// Replaces a file with mode 0600: a crash leaves the old content or the new one.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let unfinished = with_suffix(path, ".unfinished");
    // What a crash left, or somebody else put there, would keep its mode or lead elsewhere.
    let removed = match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let written = removed
        .and_then(|()| private_options().create_new(true).open(&unfinished))
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)
        });
    written.map_err(|error| Failure::file(path, &error))
}

/// Reads a secret from a file that nobody else can read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    let metadata = file
        .metadata()
        .map_err(|error| Failure::file(path, &error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if metadata.mode() & 0o077 != 0 {
            return Err(Failure::BadInput(format!(
                "{0}: others can read this secret; chmod 600 {0}",
                path.display()
            )));
        }
    }
    if metadata.len() > MAX_SECRET {
        return Err(Failure::BadInput(format!(
            "{}: longer than a secret can be",
            path.display()
        )));
    }
    // Of the final size at once: a vector that grows leaves copies of secrets behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_SECRET as usize));
    file.take(MAX_SECRET)
        .read_to_end(&mut content)
        .map_err(|error| Failure::file(path, &error))?;
    Ok(content)
}

/// Reads a file of at most `limit` bytes; `None` if there is none.
pub(crate) fn read_if_there(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
    match File::open(path) {
        Ok(file) => read_open(file, path, limit).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(path, &error)),
    }
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    read_open(file, path, limit)
}

fn read_open(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|error| Failure::file(path, &error))?;
    if content.len() as u64 > limit {
        return Err(Failure::BadInput(format!(
            "{}: longer than {limit} bytes",
            path.display()
        )));
    }
    Ok(content)
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A sync state is as private as the address book. In a folder that others can write to, a file or link of theirs
    /// under the name of the unfinished one made the state readable, or wrote it elsewhere.
    #[test]
    fn what_is_replaced_is_private_whatever_lay_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let unfinished = folder.path().join("state.unfinished");
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&unfinished, "x").unwrap();
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o666)).unwrap();
        replace_private(&path, b"one").unwrap();
        symlink(&elsewhere, &unfinished).unwrap();
        replace_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert!(!elsewhere.exists() && !unfinished.exists());
    }
}
