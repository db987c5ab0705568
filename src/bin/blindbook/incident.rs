//! `incident`: opens, contains, reports, notifies and closes, through the operators' listener of the running service.

mod delivery;
pub(crate) mod moment;
mod notify;
mod summary;

use std::path::PathBuf;

use blindbook::{
    http::IncidentStatus,
    server::incident::{OperatorWords, Report as IncidentReport},
};
use serde_json::json;

use self::moment::Moment;
pub(crate) use self::{
    delivery::Delivery,
    notify::tell,
    summary::{Report, date},
};
use crate::{
    config::{Config, MAX_CONFIG, clock},
    failure::Failure,
    files,
    operator::Operator,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Opens an incident: from now on nothing is forgotten that is evidence
    Open(OpenArgs),
    /// Suspends the suspects
    Contain(WhichArgs),
    /// Writes the report for the supervisory authority, as JSON and as a page
    Report(ReportArgs),
    /// Finds out who could be found, once, and has each of them told
    Notify(notify::Args),
    /// Closes an incident, once everybody is told
    Close(CloseArgs),
    /// Says how far incidents are
    Status(ServiceArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServiceArgs {
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
}

impl ServiceArgs {
    fn operator(&self) -> Result<Operator, Failure> {
        Ok(Operator(Config::read(&self.config)?.listen.operator))
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhichArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Its number; by default the one that isn't closed
    #[arg(long, value_name = "NUMBER")]
    incident: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// From when on the suspects may have harvested: 2026-11-25T04:00:00Z, or a time ago such as 36h or 3d
    #[arg(long, value_name = "TIME")]
    since: Moment,
    /// Until when; by default until they are contained
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// When you became aware: 72 hours begin here; by default now
    #[arg(long, value_name = "TIME")]
    aware: Option<Moment>,
    /// A suspect, by the name that its credentials have
    #[arg(long = "account", value_name = "NAME")]
    accounts: Vec<String>,
    /// A file of suspects, one name a line
    #[arg(long, value_name = "FILE")]
    accounts_file: Option<PathBuf>,
    /// A suspect network: an IPv4 /24 or an IPv6 /64, /48 or /32
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// Whom a signal points at, by the signal's number
    #[arg(long = "signal", value_name = "NUMBER")]
    signals: Vec<u64>,
    /// Whom the signals of the window point at
    #[arg(long)]
    from_signals: bool,
    /// All new accounts are suspects
    #[arg(long)]
    new_accounts: bool,
    /// Nobody knows who it was
    #[arg(long)]
    unknown: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Where the report is written
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Who is responsible: name and address. What is said once needn't be said again
    #[arg(long, value_name = "TEXT")]
    controller: Option<String>,
    /// The data protection officer or another contact point; people are told it, too
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
    /// What else was done or is planned
    #[arg(long = "measure", value_name = "TEXT")]
    measures: Vec<String>,
    /// Why the authority hears of it later than 72 hours after
    #[arg(long, value_name = "TEXT")]
    delay_reason: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CloseArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Nothing had happened: nobody is told, and the suspects are let go
    #[arg(long)]
    unfounded: bool,
}

pub(crate) fn run(command: &Command, json: bool) -> Result<(Report, Option<Failure>), Failure> {
    let report = match command {
        Command::Open(args) => Report::Status(open(args)?),
        Command::Contain(args) => {
            let order = json!({ "incident": args.incident });
            Report::Status(args.service.operator()?.post("/incident/contain", &order)?)
        }
        Command::Report(args) => Report::Written(Box::new(report(args)?)),
        Command::Notify(args) => {
            let (notified, failed) = notify::run(args, json)?;
            return Ok((Report::Notified(notified), failed));
        }
        Command::Close(args) => {
            let order = json!({ "incident": args.which.incident, "unfounded": args.unfounded });
            let operator = args.which.service.operator()?;
            Report::Status(operator.post("/incident/close", &order)?)
        }
        Command::Status(args) => Report::All(args.operator()?.get("/incident")?),
    };
    Ok((report, None))
}

fn open(args: &OpenArgs) -> Result<IncidentStatus, Failure> {
    let now = clock().as_micros() / 1_000_000;
    let mut accounts = args.accounts.clone();
    if let Some(path) = &args.accounts_file {
        let text = String::from_utf8(files::read(path, 32 * MAX_CONFIG)?)
            .map_err(|_| Failure::BadInput(format!("{}: not UTF-8", path.display())))?;
        let names = text.lines().map(|line| line.trim_end_matches('\r'));
        accounts.extend(names.filter(|name| !name.is_empty()).map(String::from));
    }
    let order = json!({
        "since": args.since.before(now),
        "until": args.until.map(|until| until.before(now)),
        "aware_at": args.aware.map(|aware| aware.before(now)),
        "accounts": accounts,
        "networks": args.networks,
        "signals": args.signals,
        "all_signals": args.from_signals,
        "new_accounts": args.new_accounts,
        "unknown": args.unknown,
    });
    args.service.operator()?.post("/incident/open", &order)
}

fn report(args: &ReportArgs) -> Result<summary::Written, Failure> {
    let words = OperatorWords {
        controller: args.controller.clone(),
        contact: args.contact.clone(),
        measures: args.measures.clone(),
        delay_reason: args.delay_reason.clone(),
    };
    let order = json!({ "incident": args.which.incident, "words": words });
    let operator = args.which.service.operator()?;
    // Before the service notes that there is a report.
    files::private_folder(&args.folder)?;
    let report: IncidentReport = operator.post("/incident/report", &order)?;
    summary::write(report, &args.folder)
}
