//! Where an interrupted building can go on:
//!
//! ```text
//! "bbbuild" version=1
//! service id hash   32
//! epoch              8
//! label length       1
//! count            256 x 8   members of each partition
//! note               .       the caller's
//! SHA-256           32       of everything above
//! ```

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    vec::Vec,
};

use sha2::{Digest, Sha256};

use super::{BITS, Terms};

const MAGIC: [u8; 8] = *b"bbbuild\x01";
const NAME: &str = "journal";
/// Longest note, in bytes.
const MAX_NOTE: u64 = 4_096;
const COUNTS: usize = 8 << BITS;
const TERMS: usize = 8 + 32 + 8 + 1;

#[derive(Debug)]
pub(super) struct Journal {
    pub(super) counts: Vec<u64>,
    pub(super) note: Vec<u8>,
}

impl Journal {
    /// `None` if there is none, or one of other terms, or a damaged one.
    pub(super) fn read(folder: &Path, terms: &Terms) -> io::Result<Option<Self>> {
        let path = folder.join(NAME);
        let longest = (TERMS + COUNTS + 32) as u64 + MAX_NOTE;
        match fs::metadata(&path) {
            Ok(found) if found.len() <= longest => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Self::decode(&fs::read(path)?, terms))
    }

    /// Replaces the one before, or leaves it.
    pub(super) fn write(&self, folder: &Path, terms: &Terms) -> io::Result<()> {
        if self.note.len() as u64 > MAX_NOTE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let unfinished = folder.join("journal.unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&self.encode(terms))?;
        file.sync_all()?;
        fs::rename(unfinished, folder.join(NAME))?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(folder.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn encode(&self, terms: &Terms) -> Vec<u8> {
        let mut out = encode_terms(terms);
        for count in &self.counts {
            out.extend_from_slice(&count.to_be_bytes());
        }
        out.extend_from_slice(&self.note);
        let hash = Sha256::digest(&out);
        out.extend_from_slice(&hash);
        out
    }

    fn decode(bytes: &[u8], terms: &Terms) -> Option<Self> {
        let (content, hash) = bytes.split_last_chunk::<32>()?;
        let whole = Sha256::digest(content).as_slice() == hash;
        let rest = content.strip_prefix(encode_terms(terms).as_slice())?;
        let (counts, note) = rest.split_at_checked(COUNTS)?;
        let counts = counts.as_chunks().0.iter();
        whole.then(|| Self {
            counts: counts.map(|count| u64::from_be_bytes(*count)).collect(),
            note: note.to_vec(),
        })
    }
}

fn encode_terms(terms: &Terms) -> Vec<u8> {
    let mut out = Vec::with_capacity(TERMS);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&terms.service);
    out.extend_from_slice(&terms.epoch.get().to_be_bytes());
    out.push(terms.label_length.get());
    out
}
