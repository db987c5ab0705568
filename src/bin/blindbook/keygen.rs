//! `keygen`: the keys of a new service, and a configuration to start with.

use std::{fmt, fs, path::PathBuf};

use blindbook::{server::EvaluationKey, snapshot::SnapshotKey};
use rand::{TryRng, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    files, hex,
    seal::{self, Kind, UnlockArgs},
};

/// The configuration that `keygen` writes: `SERVICE` stands for the service's name.
pub(crate) const CONFIG: &str = include_str!("config.toml");

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to put everything into; made if it isn't there
    folder: PathBuf,
    /// The name of the service, which clients build in: for example chat.example
    #[arg(long)]
    service: String,
    /// The epoch of the evaluation key. To replace a key that members were enrolled under, use `rotate`: another key finds none
    /// of them
    #[arg(long, default_value_t = 1)]
    epoch: u64,
    #[command(flatten)]
    unlock: UnlockArgs,
    /// Makes the key file first if it isn't there
    #[arg(long, requires = "key_file")]
    new_key_file: bool,
}

/// What was made.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    folder: String,
    service: String,
    epoch: u64,
    /// What clients and registrars verify manifests with.
    snapshot_key: String,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let service = blindbook::oprf::ServiceId::new(&args.service).map_err(Failure::bad_input)?;
    if args.service.contains(['"', '\\']) || args.service.chars().any(char::is_control) {
        return Err(Failure::bad_input(
            "the name of the service has quotes or control characters",
        ));
    }
    let path = |name: &str| args.folder.join(name);
    for name in [
        "blindbook.toml",
        "credential.secret",
        "evaluation.key",
        "pepper.key",
        "snapshot.key",
        "snapshot.pub",
    ] {
        if path(name).exists() {
            return Err(Failure::BadInput(format!(
                "{} is there already; keys are never overwritten",
                path(name).display()
            )));
        }
    }
    let make_folder =
        || fs::create_dir_all(&args.folder).map_err(|error| Failure::file(&args.folder, &error));
    if let (true, Some(key_file)) = (args.new_key_file, &args.unlock.key_file)
        && !key_file.exists()
    {
        make_folder()?;
        files::create_private(key_file, random()?.as_slice())?;
    }
    let unlock = args.unlock.obtain(true)?;
    make_folder()?;
    let mut rng = UnwrapErr(SysRng);
    let evaluation = EvaluationKey::random(&mut rng);
    let snapshot = SnapshotKey::random(&mut rng);
    let snapshot_key = hex::encode(&snapshot.public_key().encode());
    let seal = |name: &str, kind, epoch, secret: &[u8; 32]| {
        seal::seal(&path(name), kind, epoch, secret, &unlock)
    };
    seal(
        "evaluation.key",
        Kind::EvaluationKey,
        args.epoch,
        evaluation.expose().expose(),
    )?;
    seal(
        "snapshot.key",
        Kind::SnapshotKey,
        0,
        snapshot.expose().expose(),
    )?;
    seal("pepper.key", Kind::Pepper, 0, &*random()?)?;
    // Text, so that it can be pasted into any backend's settings.
    let secret = Zeroizing::new(hex::encode(random()?.as_slice()));
    files::create_private(&path("credential.secret"), secret.as_bytes())?;
    files::create_private(
        &path("snapshot.pub"),
        format!("{snapshot_key}\n").as_bytes(),
    )?;
    let mut config = CONFIG.replace("SERVICE", service.as_str());
    if let Some(key_file) = &args.unlock.key_file {
        let absolute =
            fs::canonicalize(key_file).map_err(|error| Failure::file(key_file, &error))?;
        let line = format!("key_file = {:?}", absolute.display().to_string());
        config = config.replace("# key_file = \"/run/secrets/blindbook\"", &line);
    }
    files::create_private(&path("blindbook.toml"), config.as_bytes())?;
    Ok(Report {
        folder: args.folder.display().to_string(),
        service: args.service.clone(),
        epoch: args.epoch,
        snapshot_key,
    })
}

fn random() -> Result<Zeroizing<[u8; 32]>, Failure> {
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(bytes.as_mut_slice())
        .map_err(Failure::machine)?;
    Ok(bytes)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = &self.folder;
        writeln!(
            f,
            "{folder}/evaluation.key     sealed; epoch {}",
            self.epoch
        )?;
        writeln!(
            f,
            "{folder}/snapshot.key       sealed; signs what is published"
        )?;
        writeln!(
            f,
            "{folder}/pepper.key         sealed; keeps account names out of the store"
        )?;
        writeln!(
            f,
            "{folder}/credential.secret  shared with your backend, which mints credentials (HS256)"
        )?;
        writeln!(
            f,
            "{folder}/snapshot.pub       build it into your app: {}",
            self.snapshot_key
        )?;
        writeln!(
            f,
            "{folder}/blindbook.toml     the configuration; read it before you go live"
        )?;
        write!(f, "next: blindbook serve --config {folder}/blindbook.toml")
    }
}
