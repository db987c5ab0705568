//! The operator's configuration file, and what it is turned into.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use blindbook::{
    SecretBytes, Timestamp,
    client::NormalisationProfile,
    http::{Limits, Parts, Proxies, credential::Credentials},
    label::LabelLength,
    oprf::{Epoch, ServiceId},
    server::{
        EvaluationKey, Evaluator,
        directory::Regions,
        policy::Policy,
        publish::{PublishPolicy, Terms},
    },
    snapshot::SnapshotKey,
    store::{
        Building, CheckpointFile, Publisher, RedbStore, SegmentFolder, StoreError, StoreOptions,
    },
};
use serde::Deserialize;

use crate::{
    failure::{Failure, RESTORED},
    files,
    ledger_keys::LedgerKeyFolder,
    seal::{self, Kind, Unlock},
    sealed_keys::SealedKeys,
};

/// Longest configuration file, in bytes.
pub(crate) const MAX_CONFIG: u64 = 1 << 20;

/// A configuration file; `keygen` writes one with comments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) service: String,
    pub(crate) listen: Listen,
    pub(crate) keys: Keys,
    pub(crate) store: StoreFiles,
    pub(crate) credentials: CredentialKeys,
    #[serde(default)]
    pub(crate) publish: Publish,
    #[serde(default)]
    regions: RegionTable,
    #[serde(default)]
    pub(crate) rotation: RotationDays,
    #[serde(default)]
    pub(crate) ledger: LedgerFiles,
    #[serde(default)]
    pub(crate) policy: Policy,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) proxies: Proxies,
    /// The folder that relative paths start from.
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    pub(crate) public: SocketAddr,
    pub(crate) operator: SocketAddr,
    pub(crate) tls: Option<Tls>,
    #[serde(default)]
    pub(crate) plain_http: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    pub(crate) evaluation: PathBuf,
    pub(crate) snapshot: PathBuf,
    pub(crate) pepper: PathBuf,
    pub(crate) key_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreFiles {
    pub(crate) file: PathBuf,
    pub(crate) segments: PathBuf,
    /// Beside the store, if it isn't said.
    pub(crate) witness: Option<PathBuf>,
    /// As much as a store takes, if it isn't said.
    cache_mib: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialKeys {
    pub(crate) shared_secret: Option<PathBuf>,
    pub(crate) ed25519_public_key: Option<PathBuf>,
}

/// Where a consent is needed before a member can be found.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionTable {
    /// The operator's own table.
    file: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Publish {
    pub(crate) label_length: u8,
    pub(crate) valid_hours: u32,
    slot_hours: u32,
    /// Whether `serve` publishes in each slot by itself.
    pub(crate) automatic: bool,
    dailies: u32,
    join_window: u32,
    decoy_class: u32,
    memory_mib: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RotationDays {
    carry_days: u32,
}

/// Where what belongs to the ledger and isn't in the store is kept.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LedgerFiles {
    keys: PathBuf,
    pub(crate) checkpoints: PathBuf,
}

impl Default for LedgerFiles {
    fn default() -> Self {
        Self {
            keys: "ledger-keys".into(),
            checkpoints: "ledger.checkpoints".into(),
        }
    }
}

impl Default for RotationDays {
    fn default() -> Self {
        Self { carry_days: 30 }
    }
}

impl RotationDays {
    fn carry_for(&self) -> Duration {
        Duration::from_secs(u64::from(self.carry_days) * 86_400)
    }
}

impl Default for Publish {
    fn default() -> Self {
        let policy = PublishPolicy::default();
        Self {
            label_length: LabelLength::default().get(),
            valid_hours: 72,
            slot_hours: 24,
            automatic: false,
            dailies: policy.dailies,
            join_window: policy.join_window,
            decoy_class: policy.decoy_class,
            memory_mib: 256,
        }
    }
}

impl Publish {
    fn valid_for(&self) -> Duration {
        hours(self.valid_hours)
    }

    pub(crate) fn policy(&self) -> PublishPolicy {
        PublishPolicy {
            slot: hours(self.slot_hours),
            dailies: self.dailies,
            join_window: self.join_window,
            decoy_class: self.decoy_class,
        }
    }

    fn building(&self) -> Building {
        Building {
            memory: (self.memory_mib as usize) << 20,
            ..Building::default()
        }
    }
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * 3_600)
}

impl Config {
    /// Reads a file; paths in it are relative to where it is.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let refuse =
            |why: &dyn std::fmt::Display| Failure::BadInput(format!("{}: {why}", path.display()));
        let bytes = files::read(path, MAX_CONFIG)?;
        let text = String::from_utf8(bytes).map_err(|error| refuse(&error))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| refuse(&error))?;
        config.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        config.check().map_err(|why| refuse(&why))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.policy
            .validate()
            .map_err(|error| format!("[policy] {error}"))?;
        self.service_id()?;
        self.label_length()?;
        match (&self.listen.tls, self.listen.plain_http) {
            (None, false) => {
                Err("[listen] give [listen.tls], or plain_http = true behind a proxy that does TLS")
            }
            (Some(_), true) => Err("[listen] either [listen.tls] or plain_http = true, not both"),
            _ => Ok(()),
        }?;
        match (
            &self.credentials.shared_secret,
            &self.credentials.ed25519_public_key,
        ) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err("[credentials] give either shared_secret or ed25519_public_key"),
        }?;
        if self.publish.valid_hours == 0 {
            return Err("[publish] valid_hours is zero: every manifest would have expired".into());
        }
        self.publish
            .policy()
            .validate(self.publish.valid_for())
            .map_err(|error| format!("[publish] {error}"))
    }

    pub(crate) fn path(&self, relative: &Path) -> PathBuf {
        self.folder.join(relative)
    }

    pub(crate) fn service_id(&self) -> Result<ServiceId, String> {
        ServiceId::new(&self.service).map_err(|error| format!("service: {error}"))
    }

    fn label_length(&self) -> Result<LabelLength, String> {
        LabelLength::new(self.publish.label_length).map_err(|error| format!("[publish] {error}"))
    }

    /// What the keys are sealed under: the key file of the configuration, or a passphrase.
    pub(crate) fn unlock(&self) -> Result<Unlock, Failure> {
        seal::UnlockArgs {
            key_file: self.keys.key_file.as_ref().map(|path| self.path(path)),
        }
        .obtain(false)
    }

    /// The secret that credentials are minted with, if it is a shared one.
    pub(crate) fn shared_secret(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
        let path = self.credentials.shared_secret.as_ref().ok_or_else(|| {
            Failure::BadInput(
                "credentials of this service are signed by a private key that isn't here".into(),
            )
        })?;
        files::read_private(&self.path(path))
    }

    fn credentials(&self, service: &ServiceId) -> Result<Credentials, Failure> {
        let (key, credentials) = match &self.credentials.ed25519_public_key {
            Some(path) => {
                let pem = files::read(&self.path(path), MAX_CONFIG)?;
                ("ed25519_public_key", Credentials::ed25519(service, &pem))
            }
            None => {
                let secret = self.shared_secret()?;
                (
                    "shared_secret",
                    Credentials::shared_secret(service, &secret),
                )
            }
        };
        credentials.map_err(|error| Failure::BadInput(format!("[credentials] {key}: {error}")))
    }

    /// Opens the keys and the store.
    pub(crate) fn open(&self) -> Result<Parts<RedbStore>, Failure> {
        self.open_with(|file, witness| {
            let mut options = StoreOptions::new().witness(witness);
            if let Some(cache_mib) = self.store.cache_mib {
                options = options.cache((cache_mib as usize) << 20);
            }
            options
                .open(file)
                .map_err(|error| Self::store_failure(file, &error))
        })
    }

    /// Opens the keys, and the store in another way; that is given its file and its witness.
    pub(crate) fn open_with<S>(
        &self,
        store: impl FnOnce(&Path, &Path) -> Result<S, Failure>,
    ) -> Result<Parts<S>, Failure> {
        let service = self.service_id().map_err(Failure::BadInput)?;
        let unlock = Arc::new(self.unlock()?);
        let (mut evaluation, epoch) = seal::open(
            &self.path(&self.keys.evaluation),
            Kind::EvaluationKey,
            &unlock,
        )?;
        let (mut snapshot, _) =
            seal::open(&self.path(&self.keys.snapshot), Kind::SnapshotKey, &unlock)?;
        let (mut pepper, _) = seal::open(&self.path(&self.keys.pepper), Kind::Pepper, &unlock)?;
        let key = EvaluationKey::from_bytes(&mut evaluation).map_err(Failure::bad_input)?;
        let evaluator = Evaluator::new(Epoch::new(epoch), key);
        let terms = Terms {
            normalisation: NormalisationProfile::CURRENT.id(),
            label_length: self.label_length().map_err(Failure::BadInput)?,
            epoch: evaluator.epoch(),
            public_key: evaluator.public_key().clone(),
            valid_for: self.publish.valid_for(),
            service: service.clone(),
        };
        let folder = self.path(&self.store.segments);
        let segments =
            SegmentFolder::open(&folder).map_err(|error| Failure::file(&folder, &error))?;
        let snapshot = SnapshotKey::from_seed(&mut snapshot);
        Ok(Parts {
            keeper: Arc::new(SealedKeys::new(
                self.path(&self.keys.evaluation),
                Arc::clone(&unlock),
            )),
            ledger_keys: Arc::new(LedgerKeyFolder::new(self.path(&self.ledger.keys), unlock)),
            checkpoints: Some(CheckpointFile::new(self.path(&self.ledger.checkpoints))),
            carry_for: self.rotation.carry_for(),
            regions: self.regions()?,
            credentials: self.credentials(&service)?,
            store: self.open_store(store)?,
            publisher: Publisher::new(terms, snapshot, segments)
                .with_policy(self.publish.policy())
                .with_building(self.publish.building()),
            evaluator,
            policy: self.policy.clone(),
            pepper: SecretBytes::new(&mut pepper),
            limits: self.limits.clone(),
            proxies: self.proxies.clone(),
            clock,
        })
    }

    /// The table of regions: the operator's, or the built-in one.
    pub(crate) fn regions(&self) -> Result<Regions, Failure> {
        let Some(path) = &self.regions.file else {
            return Ok(Regions::default());
        };
        let path = self.path(path);
        let bytes = files::read(&path, MAX_CONFIG)?;
        let refuse =
            |why: &dyn std::fmt::Display| Failure::BadInput(format!("{}: {why}", path.display()));
        let table = str::from_utf8(&bytes).map_err(|error| refuse(&error))?;
        Regions::parse(table).map_err(|error| refuse(&error))
    }

    fn open_store<S>(
        &self,
        open: impl FnOnce(&Path, &Path) -> Result<S, Failure>,
    ) -> Result<S, Failure> {
        let path = self.path(&self.store.file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
        }
        let witness = match &self.store.witness {
            Some(witness) => self.path(witness),
            None => files::with_suffix(&path, ".witness"),
        };
        open(&path, &witness)
    }

    pub(crate) fn store_failure(path: &Path, error: &StoreError) -> Failure {
        let message = format!("{}: {error}", path.display());
        match error {
            StoreError::Restored(_) => Failure::BadInput(message).hint(RESTORED),
            StoreError::Locked | StoreError::Version(_) | StoreError::Damaged(_) => {
                Failure::BadInput(message)
            }
            _ => Failure::Machine(message),
        }
    }
}

/// The system's clock.
pub(crate) fn clock() -> Timestamp {
    // A clock before 1970 is refused by the quota, which has seen a later one.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::CONFIG;

    fn read(text: &str) -> Result<Config, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    fn refusal(text: &str) -> String {
        match read(text).unwrap_err() {
            Failure::BadInput(message) => message,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_file_that_keygen_writes_is_valid_and_says_the_defaults() {
        let config = read(CONFIG).unwrap();
        assert_eq!(config.policy, Policy::default());
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.publish, Publish::default());
        assert_eq!(config.rotation, RotationDays::default());
        assert_eq!(config.ledger, LedgerFiles::default());
        assert_eq!(config.publish.policy(), PublishPolicy::default());
    }

    #[test]
    fn what_is_unknown_or_contradicts_itself_is_refused_and_named() {
        let unknown = CONFIG.replace("[publish]", "[publish]\nlable_length = 8");
        assert!(refusal(&unknown).contains("lable_length"));
        let both = CONFIG.replace("plain_http = true", "plain_http = false");
        assert!(refusal(&both).contains("plain_http"));
        let policy = format!("{CONFIG}\n[policy.account]\ninitial_capacity = 9000\n");
        assert!(refusal(&policy).contains("initial_capacity"));
        let many = CONFIG.replace("dailies = 14", "dailies = 63");
        assert!(refusal(&many).contains("more than 62"));
        let expired = CONFIG.replace("valid_hours = 72", "valid_hours = 23");
        assert!(refusal(&expired).contains("expire"));
        let long = CONFIG.replace("label_length = 16", "label_length = 65");
        assert!(refusal(&long).contains("64 bytes"));
        assert!(matches!(
            Config::read(Path::new("/nonexistent/config.toml")).unwrap_err(),
            Failure::BadInput(_)
        ));
    }
}
