//! Keys at rest: thirty-two secret bytes, sealed under a passphrase or a key file.
//!
//! ```text
//! offset  size
//!      0     8   magic "bbsealed"
//!      8     1   version = 1
//!      9     1   what is sealed: 1 evaluation key, 2 snapshot key, 3 account pepper, 4 delta of a rotation, 5 key of the ledger
//!     10     1   under what: 1 passphrase (Argon2id, RFC 9106), 2 key file (HKDF-SHA-256)
//!     11     1   Argon2 lanes
//!     12     4   Argon2 memory in KiB; the three are 0 for a key file
//!     16     4   Argon2 passes
//!     20     8   epoch of an evaluation key, or the one that a delta leads to; number of a month; 0 otherwise
//!     28    16   salt
//!     44    48   AES-256-GCM-SIV of the secret, zero nonce (the salt makes each key new), bytes 0 to 43 as
//!                associated data
//! ```
//!
//! Integers are big-endian.

use std::path::{Path, PathBuf};

use aes_gcm_siv::{
    Aes256GcmSiv, Key, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::hkdf;
use rand::{TryRng, rngs::SysRng};
use zeroize::{Zeroize, Zeroizing};

use crate::{failure::Failure, files};

const MAGIC: [u8; 8] = *b"bbsealed";
const VERSION: u8 = 1;
const HEADER: usize = 44;
const LENGTH: usize = HEADER + 32 + 16;
/// RFC 9106, section 4, second recommended option: 64 MiB, three passes, four lanes.
const ARGON2: (u8, u32, u32) = (4, 64 * 1024, 3);
/// What a file may ask for at most: 1 GiB. Checked before the memory is taken.
const MOST_ARGON2: (u8, u32, u32) = (16, 1024 * 1024, 64);
const KEY_FILE_INFO: &[u8] = b"blindbook-v1-key-file";
/// Longest passphrase that is read from standard input, in bytes.
const LONGEST_PASSPHRASE: u64 = 4_096;
/// Shortest passphrase, in bytes.
const SHORTEST_PASSPHRASE: usize = 8;

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    EvaluationKey = 1,
    SnapshotKey = 2,
    Pepper = 3,
    Delta = 4,
    LedgerKey = 5,
}

/// What keys are sealed under.
pub(crate) enum Unlock {
    Passphrase(Zeroizing<Vec<u8>>),
    KeyFile(Zeroizing<[u8; 32]>),
}

/// Where the passphrase or key file comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct UnlockArgs {
    /// A file of 32 random bytes, mode 0600, that the keys are sealed under. Without it you are asked for a
    /// passphrase, or its first line is read from standard input if that isn't a terminal
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

impl UnlockArgs {
    /// Gets the passphrase, twice if it is a new one, or reads the key file.
    pub(crate) fn obtain(&self, new: bool) -> Result<Unlock, Failure> {
        match &self.key_file {
            Some(path) => read_key_file(path).map(Unlock::KeyFile),
            None => passphrase(new).map(Unlock::Passphrase),
        }
    }
}

pub(crate) fn read_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let content = files::read_private(path)?;
    secret(&content)
        .ok_or_else(|| Failure::BadInput(format!("{}: a key file has 32 bytes", path.display())))
}

fn passphrase(new: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    use std::io::{BufRead, IsTerminal, Read};
    let read = |prompt: &str| {
        let text = if std::io::stdin().is_terminal() {
            rpassword::prompt_password(prompt)
        } else {
            // Of the final size at once: a string that grows leaves copies of secrets behind.
            let mut line = String::with_capacity(LONGEST_PASSPHRASE as usize);
            let mut input = std::io::stdin().lock().take(LONGEST_PASSPHRASE);
            input.read_line(&mut line).map(|_| line)
        };
        text.map(|mut text| {
            let phrase = Zeroizing::new(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec());
            text.zeroize();
            phrase
        })
        .map_err(|error| Failure::bad_input(format!("no passphrase: {error}")))
    };
    let phrase = read("Passphrase: ")?;
    if phrase.is_empty() {
        return Err(Failure::bad_input(
            "no passphrase was given, and no key file either",
        ));
    }
    if new {
        if phrase.len() < SHORTEST_PASSPHRASE {
            return Err(Failure::BadInput(format!(
                "a passphrase has at least {SHORTEST_PASSPHRASE} characters"
            )));
        }
        if std::io::stdin().is_terminal() && read("Again: ")? != phrase {
            return Err(Failure::BadInput("the passphrases differ".into()));
        }
    }
    Ok(phrase)
}

/// Seals a secret into a new file.
pub(crate) fn seal(
    path: &Path,
    kind: Kind,
    epoch: u64,
    secret: &[u8; 32],
    unlock: &Unlock,
) -> Result<(), Failure> {
    let (method, (lanes, memory, passes)) = match unlock {
        Unlock::Passphrase(_) => (1, ARGON2),
        Unlock::KeyFile(_) => (2, (0, 0, 0)),
    };
    let mut salt = [0; 16];
    SysRng.try_fill_bytes(&mut salt).map_err(Failure::machine)?;
    let mut file = Vec::with_capacity(LENGTH);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&[VERSION, kind as u8, method, lanes]);
    file.extend_from_slice(&memory.to_be_bytes());
    file.extend_from_slice(&passes.to_be_bytes());
    file.extend_from_slice(&epoch.to_be_bytes());
    file.extend_from_slice(&salt);
    let payload = Payload {
        msg: secret,
        aad: &file,
    };
    let sealed = cipher(unlock, (lanes, memory, passes), &salt)?
        .encrypt(&Nonce::default(), payload)
        .map_err(|_| Failure::defect("sealing failed"))?;
    file.extend_from_slice(&sealed);
    files::create_private(path, &file)
}

/// Opens a sealed file; returns the secret and the epoch.
pub(crate) fn open(
    path: &Path,
    kind: Kind,
    unlock: &Unlock,
) -> Result<(Zeroizing<[u8; 32]>, u64), Failure> {
    let refuse = |why: &str| Failure::BadInput(format!("{}: {why}", path.display()));
    let file = files::read_private(path)?;
    let file: &[u8; LENGTH] = file
        .as_slice()
        .try_into()
        .map_err(|_| refuse("not a sealed key"))?;
    let (header, sealed) = file.split_at(HEADER);
    let mut fields = header;
    let magic: [u8; 8] = take(&mut fields);
    let [version, sealed_kind, method, lanes]: [u8; 4] = take(&mut fields);
    let memory = u32::from_be_bytes(take(&mut fields));
    let passes = u32::from_be_bytes(take(&mut fields));
    let epoch = u64::from_be_bytes(take(&mut fields));
    let salt: [u8; 16] = take(&mut fields);
    if magic != MAGIC || version != VERSION {
        return Err(refuse("not a sealed key of this version"));
    }
    if sealed_kind != kind as u8 {
        return Err(refuse("a sealed key of another kind"));
    }
    match (method, unlock) {
        (1, Unlock::Passphrase(_)) | (2, Unlock::KeyFile(_)) => {}
        (1, Unlock::KeyFile(_)) => return Err(refuse("sealed under a passphrase, not a key file")),
        (2, Unlock::Passphrase(_)) => {
            return Err(refuse(
                "sealed under a key file: name it as key_file in [keys]",
            ));
        }
        _ => return Err(refuse("sealed in a way that isn't known here")),
    }
    if lanes > MOST_ARGON2.0 || memory > MOST_ARGON2.1 || passes > MOST_ARGON2.2 {
        return Err(refuse("asks for more memory or time than a sealed key may"));
    }
    let payload = Payload {
        msg: sealed,
        aad: header,
    };
    let opened = cipher(unlock, (lanes, memory, passes), &salt)?
        .decrypt(&Nonce::default(), payload)
        .map(Zeroizing::new)
        .map_err(|_| refuse("wrong passphrase or key file, or the file was altered"))?;
    let secret = secret(&opened).ok_or_else(|| refuse("not a key of 32 bytes"))?;
    Ok((secret, epoch))
}

/// Thirty-two bytes, copied to where they are wiped and nowhere else.
fn secret(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    (bytes.len() == secret.len()).then(|| secret.copy_from_slice(bytes))?;
    Some(secret)
}

/// Takes a field off a header whose length was checked.
fn take<const N: usize>(fields: &mut &[u8]) -> [u8; N] {
    let (field, rest) = fields.split_first_chunk().unwrap_or((&[0; N], &[]));
    *fields = rest;
    *field
}

fn cipher(
    unlock: &Unlock,
    (lanes, memory, passes): (u8, u32, u32),
    salt: &[u8; 16],
) -> Result<Aes256GcmSiv, Failure> {
    let mut key = Zeroizing::new([0; 32]);
    match unlock {
        Unlock::Passphrase(phrase) => {
            let params = Params::new(memory, passes, u32::from(lanes), Some(32))
                .map_err(|error| Failure::bad_input(format!("the sealed key: {error}")))?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(phrase, salt, key.as_mut_slice())
                .map_err(Failure::machine)?;
        }
        Unlock::KeyFile(file) => {
            let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(file.as_slice());
            extracted
                .expand(&[KEY_FILE_INFO], hkdf::HKDF_SHA256)
                .and_then(|expanded| expanded.fill(key.as_mut_slice()))
                .map_err(Failure::defect)?;
        }
    }
    let key: &Key<Aes256GcmSiv> = (&*key).into();
    Ok(Aes256GcmSiv::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_file(byte: u8) -> Unlock {
        Unlock::KeyFile(Zeroizing::new([byte; 32]))
    }

    fn phrase(text: &str) -> Unlock {
        Unlock::Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_sealed_key_opens_under_what_it_was_sealed_under_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for (name, right, wrong) in [
            ("a", key_file(1), key_file(2)),
            ("b", phrase("correct horse"), phrase("correct house")),
        ] {
            let path = folder.path().join(name);
            seal(&path, Kind::EvaluationKey, 7, &[9; 32], &right).unwrap();
            let (secret, epoch) = open(&path, Kind::EvaluationKey, &right).unwrap();
            assert_eq!((*secret, epoch), ([9; 32], 7));
            for (kind, unlock) in [(Kind::EvaluationKey, &wrong), (Kind::SnapshotKey, &right)] {
                let refused = open(&path, kind, unlock).unwrap_err();
                assert!(matches!(refused, Failure::BadInput(_)), "{refused}");
            }
        }
        let path = folder.path().join("a");
        assert!(matches!(
            open(&path, Kind::EvaluationKey, &phrase("correct horse")).unwrap_err(),
            Failure::BadInput(_)
        ));
        assert!(seal(&path, Kind::Pepper, 0, &[1; 32], &key_file(1)).is_err());
    }

    #[test]
    fn every_altered_byte_is_noticed_before_memory_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        seal(&path, Kind::EvaluationKey, 7, &[9; 32], &key_file(1)).unwrap();
        let good = std::fs::read(&path).unwrap();
        assert_eq!(good.len(), LENGTH);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            std::fs::write(&path, bad).unwrap();
            assert!(
                open(&path, Kind::EvaluationKey, &key_file(1)).is_err(),
                "{at}"
            );
        }
        std::fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(open(&path, Kind::EvaluationKey, &key_file(1)).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        seal(&path, Kind::Pepper, 0, &[9; 32], &key_file(1)).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(open(&path, Kind::Pepper, &key_file(1)).is_err());
    }
}
