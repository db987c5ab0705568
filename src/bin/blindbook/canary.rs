//! `canary`: members under numbers that were never assigned, and what is done when somebody meets one.

use std::{
    collections::BTreeSet,
    fmt,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use blindbook::{
    client::{
        Identifier,
        contacts::{EnrolmentReader, Region},
    },
    label::Label,
    wire::{self, Consent, Setting},
};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    config::{Config, clock},
    connection::ConnectionArgs,
    enrol::BATCH,
    failure::Failure,
    files::{self, with_suffix},
    operator::Operator,
    registrar::{NewMember, Registrar},
    text::count,
};

/// What random handles are made of.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The shortest random handle: two are the same by chance once in 2^40 / 2.
const SHORTEST: u8 = 8;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Enrols canaries: numbers that were never assigned, findable by everyone
    Add(AddArgs),
    /// Says that somebody has met a canary
    Touched(TouchedArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// A file as for `enrol`: an identifier, and a handle if canaries are to have handles like those of your people; otherwise
    /// they get random ones. Whoever is enrolled under such a number is replaced: be sure that nobody is
    #[arg(long, value_name = "FILE")]
    numbers: PathBuf,
    /// The region of numbers without country code, for example CH
    #[arg(long, value_name = "CC")]
    region: Option<Region>,
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TouchedArgs {
    /// The canary's handle
    label: String,
    /// Who met it, by the name that its credentials have
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Report {
    Added {
        canaries: u64,
        /// Where their handles are, for the app's backend.
        handles: PathBuf,
    },
    Touched {
        /// The signal's number.
        signal: u64,
    },
}

pub(crate) fn run(command: &Command) -> Result<Report, Failure> {
    match command {
        Command::Add(args) => add(args),
        Command::Touched(args) => touched(args),
    }
}

fn touched(args: &TouchedArgs) -> Result<Report, Failure> {
    #[derive(Deserialize)]
    struct Kept {
        signal: u64,
    }
    let order = json!({ "label": args.label, "account": args.account });
    let Kept { signal } = operator(&args.config)?.post("/canary/touched", &order)?;
    Ok(Report::Touched { signal })
}

fn operator(config: &Path) -> Result<Operator, Failure> {
    Ok(Operator(Config::read(config)?.listen.operator))
}

fn add(args: &AddArgs) -> Result<Report, Failure> {
    let operator = operator(&args.config)?;
    let connection = args.connection.connect()?;
    let registrar = Registrar::start(&connection)?;
    let consent =
        Consent::new(clock(), "canary", "canary").map_err(|_| Failure::defect("no consent"))?;
    let length = registrar.label_length().get();
    let (identifiers, canaries) = read(args, length, &consent)?;
    let handles: Vec<_> = canaries
        .iter()
        .map(|canary| String::from_utf8_lossy(canary.label.as_bytes()).into_owned())
        .collect();
    let list = with_suffix(&args.numbers, ".canaries");
    // First of all it is known what they are: none of them is ever taken for a person.
    files::replace_private(&list, format!("{}\n", handles.join("\n")).as_bytes())?;
    let _added: serde_json::Value = operator.post("/canary", &json!({ "labels": handles }))?;
    let mut canaries = canaries.into_iter();
    for batch in identifiers.chunks(usize::from(BATCH)) {
        let members = canaries.by_ref().take(batch.len()).collect();
        let message = registrar.evaluate(batch, members)?;
        let outcome = registrar.enrol(message.as_deref(), batch.len())?;
        if let Some(refused) = outcome.refused.first() {
            return Err(Failure::bad_input(refused.error));
        }
    }
    Ok(Report::Added {
        canaries: identifiers.len() as u64,
        handles: list,
    })
}

/// All lines, or the first one that can't be used.
fn read(
    args: &AddArgs,
    length: u8,
    consent: &Consent,
) -> Result<(Vec<Identifier>, Vec<NewMember>), Failure> {
    let path = &args.numbers;
    let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
    let mut identifiers = Vec::new();
    let mut members = Vec::new();
    let mut handles = BTreeSet::new();
    for line in EnrolmentReader::new(BufReader::new(file), args.region) {
        let line = line.map_err(|error| Failure::file(path, &error))?;
        let refuse = |why: &dyn fmt::Display| {
            Failure::BadInput(format!("{}, line {}: {why}", path.display(), line.line))
        };
        let record = line.outcome.map_err(|reason| refuse(&reason))?;
        let handle = match record.handle.is_empty() {
            false => record.handle,
            true if length < SHORTEST => {
                return Err(refuse(
                    &"no handle, and the service's labels are too short for random ones",
                ));
            }
            true => random(length)?,
        };
        if handle.len() > usize::from(length) {
            return Err(refuse(&"the handle is longer than the service's labels"));
        }
        let label = Label::new(handle.as_bytes()).map_err(|error| refuse(&error))?;
        if !handles.insert(handle) {
            return Err(refuse(&"the handle is on an earlier line, too"));
        }
        let region = record.region.as_deref().map(wire::Region::new).transpose();
        identifiers.push(record.identifier);
        members.push(NewMember {
            label,
            setting: Setting::Everyone(consent.clone()),
            region: region.map_err(|error| refuse(&error))?,
        });
    }
    Ok((identifiers, members))
}

fn random(length: u8) -> Result<String, Failure> {
    let mut bytes = vec![0; usize::from(length)];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(Failure::machine)?;
    let letters = bytes.iter().filter_map(|byte| {
        let letter = ALPHABET.get(usize::from(byte % 32))?;
        Some(char::from(*letter))
    });
    Ok(letters.collect())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { canaries, handles } => write!(
                f,
                "{} canaries, findable from the next publication on; their handles, for your backend: {}",
                count(*canaries),
                handles.display()
            ),
            Self::Touched { signal } => write!(f, "signal {signal}: see `blindbook signals`"),
        }
    }
}
