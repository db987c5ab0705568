//! `restore`: goes on with a store that was restored from a backup, while no service runs.

use std::{
    fmt,
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

use blindbook::{
    Timestamp,
    http::Parts,
    snapshot::Manifest,
    store::{NewestManifest, RestoreError, RestorePlan, RestoreTerms, RestoredStore, StoreError},
};
use serde::Serialize;

use crate::{
    config::{Config, clock},
    failure::Failure,
    files,
    incident::date,
    text::count,
};

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 64 << 10;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Says whether the store was restored, what is lost, and what accepting that would do; does nothing
    Show(Args),
    /// Goes on with the restored store: whatever isn't known is taken to have been charged, or opted out of
    Accept(AcceptArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// The newest manifest that clients have seen, if it isn't in the folder of segments: a copy, a cache or a mirror has it
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Nobody stays findable without a new consent, not even who is in the newest set
    #[arg(long)]
    nobody: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AcceptArgs {
    #[command(flatten)]
    args: Args,
    /// Nothing was published since the backup was made. If that isn't so, clients refuse all that is published from now on
    #[arg(long, conflicts_with = "manifest")]
    no_newer_manifest: bool,
    /// Also if nothing shows that the store was restored: its witness and the folder of segments were, too
    #[arg(long)]
    anyway: bool,
    /// Doesn't ask
    #[arg(long)]
    yes: bool,
}

/// What is lost, and what becomes of the rest.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// How it shows; `None` if nothing does.
    restored: Option<String>,
    accepted: bool,
    /// In seconds since 1970-01-01T00:00:00Z, as all times.
    lost_since: Option<u64>,
    stored_manifest: u64,
    newest_manifest: u64,
    published_at: Option<u64>,
    members_kept: u64,
    members_hidden: u64,
    members_unknown: u64,
    key_evaluations_added: u64,
}

/// The store, and what accepting it does.
struct Found {
    store: RestoredStore,
    plan: RestorePlan,
    report: Report,
}

pub(crate) fn run(command: &Command) -> Result<Report, Failure> {
    match command {
        Command::Show(args) => Ok(find(args)?.report),
        Command::Accept(args) => accept(args),
    }
}

fn find(args: &Args) -> Result<Found, Failure> {
    let config = Config::read(&args.config)?;
    let given = args.manifest.as_ref();
    let given = given.map(|path| files::read(path, MAX_MANIFEST));
    let parts: Parts<RestoredStore> = config.open_with(|file, witness| {
        RestoredStore::open(file, witness).map_err(|error| Config::store_failure(file, &error))
    })?;
    let Parts {
        store,
        evaluator,
        keeper,
        publisher,
        policy,
        ..
    } = parts;
    let newest = store.newest(&publisher, given.transpose()?)?;
    let published = newest.manifest.as_ref().map(Manifest::claims);
    let (sealed, mut publisher) = (evaluator.epoch(), publisher);
    if let Some(claims) = published
        && claims.epoch > sealed
        && let Some(next) = keeper.kept().map_err(Failure::machine)?
        && next.epoch == claims.epoch
    {
        publisher = publisher.in_epoch(next.epoch, next.key.public_key().clone());
    }
    let terms = RestoreTerms {
        policy: &policy,
        sealed,
        keep_published: !args.nobody,
        at: clock(),
    };
    let plan = store.plan(&publisher, &newest, &terms)?;
    let report = Report::new(&store, &newest, &plan);
    Ok(Found {
        store,
        plan,
        report,
    })
}

fn accept(args: &AcceptArgs) -> Result<Report, Failure> {
    let Found {
        store,
        plan,
        mut report,
    } = find(&args.args)?;
    if report.restored.is_none() && !args.anyway {
        return Err(Failure::BadInput(
            "nothing shows that this store was restored, and accepting costs everybody their quota; --anyway if it was".into(),
        ));
    }
    let is_newer = report.newest_manifest > report.stored_manifest;
    if !is_newer && args.args.manifest.is_none() && !args.no_newer_manifest {
        return Err(Failure::BadInput(format!(
            "no manifest after {} is known here: give the newest one that clients have seen with --manifest, from a copy of the \
             folder of segments, a cache or a mirror; or --no-newer-manifest if there is none",
            report.stored_manifest
        )));
    }
    if !args.yes {
        ask(&report)?;
    }
    store
        .accept(plan)
        .map_err(|error| Failure::machine(format!("{error}; accept it again")))?;
    report.accepted = true;
    Ok(report)
}

fn ask(report: &Report) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::BadInput(format!(
            "{report}\nnobody is here to be asked; --yes accepts it"
        )));
    }
    let mut out = std::io::stderr();
    write!(out, "{report}\nType yes to go on with that: ")
        .and_then(|()| out.flush())
        .map_err(Failure::machine)?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(Failure::machine)?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Failure::BadInput("nothing was changed".into()))
    }
}

impl Report {
    fn new(store: &RestoredStore, newest: &NewestManifest, plan: &RestorePlan) -> Self {
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        let by_chain = (plan.newest > newest.stored).then(|| {
            format!(
                "manifest {} is published, which it doesn't know",
                plan.newest
            )
        });
        Self {
            restored: store.why().map(|why| why.to_string()).or(by_chain),
            accepted: false,
            lost_since: plan.lost_since.map(seconds),
            stored_manifest: plan.stored,
            newest_manifest: plan.newest,
            published_at: plan.published_at.map(seconds),
            members_kept: plan.kept,
            members_hidden: plan.hidden,
            members_unknown: plan.vanished,
            key_evaluations_added: plan.evaluations,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.restored {
            Some(why) => writeln!(f, "the store was restored: {why}")?,
            None => writeln!(f, "nothing shows that the store was restored")?,
        }
        match self.lost_since {
            Some(since) => writeln!(f, "lost: everything after {}", date(since))?,
            None => writeln!(
                f,
                "lost: everything; nothing was ever charged in this store"
            )?,
        }
        match self.published_at {
            Some(at) => writeln!(
                f,
                "published: manifest {} of {}; the store knows of {}. The chain goes on from there",
                self.newest_manifest,
                date(at),
                self.stored_manifest
            )?,
            None => writeln!(f, "published: nothing yet")?,
        }
        writeln!(
            f,
            "members: {} stay findable; {} are hidden until they agree anew, as they aren't in that set; {} in that set aren't in \
             the store and have to be enrolled again",
            count(self.members_kept),
            count(self.members_hidden),
            count(self.members_unknown)
        )?;
        writeln!(
            f,
            "quota: every bucket counts as empty and this day (UTC) as used up; carrying over is over; the key counts {} more",
            count(self.key_evaluations_added)
        )?;
        f.write_str("make again, from your own records: what was sent since that manifest (opting out, deletions)")?;
        f.write_str(" and what was ordered since the backup (suspensions, incidents)")?;
        if self.accepted {
            f.write_str("\naccepted: start the service, make those again, then publish")?;
        }
        Ok(())
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Publish(error) => Self::from(error)
                .hint("a copy of the folder of segments has the newest set; --nobody does without"),
            RestoreError::Store(StoreError::Io(_)) => Self::machine(error),
            RestoreError::OtherEpoch { .. } => Self::bad_input(error).hint(
                "no key leads from one to the other any more: move this store away, accept a new one, and enrol everybody again",
            ),
            other => Self::bad_input(other),
        }
    }
}
