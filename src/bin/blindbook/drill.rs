//! `drill`: an incident from the first fake account to the last notice, against the real service on loopback.
//!
//! The days pass as fast as the work is done: the clock of the service is the drill's. What is truly so is known here alone, and in
//! the end it is compared with what the service said and did.

mod attack;
mod checks;
mod clock;
mod people;

use std::{collections::BTreeMap, fmt, fs, path::Path};

use blindbook::{
    http::IncidentStatus, http::Proxies, server::incident::Report as IncidentReport, store::Pace,
};
use serde::Serialize;
use serde_json::json;

use self::{
    attack::Attack,
    checks::{Check, Outcome, Sync},
    people::{Kind, Set, Town},
};
use crate::{
    demo::service::{DemoService, Staging},
    failure::Failure,
    incident::{self, Delivery, date},
    operator::Operator,
    publish,
    text::count,
};

const HOUR: u64 = 3_600;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many people have an account
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(100..=50_000))]
    people: u64,
    /// How many of them look their contacts up, before, during and after
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=2_000))]
    honest: u64,
    /// How many fake accounts the attacker has
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    fakes: u64,
    /// Decides who is who, and which numbers are tried: the same seed, the same drill
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What happened, and whether it was as it has to be.
#[derive(Debug, Serialize)]
struct Report {
    timeline: Vec<Entry>,
    checks: Vec<Check>,
}

/// What happened at a time of the drill.
#[derive(Debug, Serialize)]
struct Entry {
    at: String,
    what: String,
}

/// Tells what happens while it does.
struct Timeline {
    entries: Vec<Entry>,
    silent: bool,
}

impl Timeline {
    fn note(&mut self, what: String) -> Result<(), Failure> {
        let at = date(clock::seconds());
        if !self.silent {
            crate::print(&format!("{at}  {what}"))?;
        }
        self.entries.push(Entry { at, what });
        Ok(())
    }
}

pub(crate) fn run(args: &Args, json: bool) -> Result<Option<Failure>, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("blindbook-drill-")
        .tempdir()
        .map_err(Failure::machine)?;
    let mut timeline = Timeline {
        entries: Vec::new(),
        silent: json,
    };
    let outcome = play(args, folder.path(), &mut timeline)?;
    let report = Report {
        timeline: timeline.entries,
        checks: checks::all(&outcome),
    };
    crate::emit(&report, json)?;
    let failed = report.checks.iter().find(|check| !check.passed);
    Ok(failed
        .map(|check| Failure::defect(format!("the drill failed: {}: {}", check.name, check.found))))
}

fn play(args: &Args, folder: &Path, timeline: &mut Timeline) -> Result<Outcome, Failure> {
    clock::begin();
    let staging = Staging {
        clock: clock::now,
        proxies: Proxies {
            trusted: vec!["127.0.0.0/8".parse().map_err(Failure::defect)?],
            ..Proxies::default()
        },
    };
    let service = DemoService::start(folder, staging)?;
    let operator = Operator(service.operator);
    let published = |timeline: &mut Timeline| -> Result<Set, Failure> {
        publish::request(service.operator, Pace::Now)?;
        let set = Set::fetch(&service)?;
        timeline.note(format!(
            "published: {} members can be found",
            count(set.members())
        ))?;
        Ok(set)
    };
    let mut town = Town::new(args.people, args.honest, args.seed)?;
    let mut outcome = Outcome::default();

    let enrolled = town.enrol(&service, |kind| {
        !matches!(kind, Kind::JoinsDuring | Kind::JoinsAfter)
    })?;
    timeline.note(format!("{} people are enrolled", count(enrolled)))?;
    let set = published(timeline)?;
    outcome
        .syncs
        .push(look_up(&mut town, &service, &set, "before", timeline)?);

    clock::pass(24 * HOUR);
    let left = town.leave(&service, Kind::LeavesBefore)?;
    timeline.note(format!(
        "{left} people decide not to be found any more, by their own credential"
    ))?;
    clock::pass(48 * HOUR);
    let set = published(timeline)?;

    clock::pass(9 * HOUR);
    let since = clock::seconds();
    let quiet = new_accounts(&service)?;
    let mut attack = Attack::new(args.fakes, args.seed)?;
    attack.strike(&service, &set)?;
    timeline.note(format!(
        "{} fake accounts from {} networks, made this hour, try {} generated numbers: {}",
        count(args.fakes),
        attack.networks(),
        count(attack.answered),
        attack.refusals()
    ))?;
    outcome.new_accounts = (quiet, new_accounts(&service)?);

    clock::pass(3 * HOUR);
    let left = town.leave(&service, Kind::LeavesDuring)?;
    let joined = town.enrol(&service, |kind| kind == Kind::JoinsDuring)?;
    timeline.note(format!("meanwhile {left} people leave and {joined} join"))?;
    clock::pass(12 * HOUR);
    let set = published(timeline)?;
    attack.strike(&service, &set)?;
    timeline.note(format!(
        "the fakes go on with what comes back of their quota: {} numbers in all, {} members found",
        count(attack.answered),
        count(attack.found().len() as u64)
    ))?;
    outcome
        .syncs
        .push(look_up(&mut town, &service, &set, "during", timeline)?);

    clock::pass(HOUR);
    timeline.note(format!(
        "the operator sees {} elements of new accounts in a day, where there were {}",
        count(outcome.new_accounts.1),
        count(outcome.new_accounts.0)
    ))?;
    let order = json!({ "since": since, "accounts": attack.names() });
    let opened: IncidentStatus = operator.post("/incident/open", &order)?;
    let incident = opened.incident;
    let which = json!({ "incident": incident });
    let _contained: IncidentStatus = operator.post("/incident/contain", &which)?;
    let before = attack.answered;
    clock::pass(HOUR);
    attack.strike(&service, &set)?;
    outcome.answered_after_containment = attack.answered - before;
    timeline.note(format!(
        "incident {incident} is opened and contained; the fakes try again: {}",
        attack.refusals()
    ))?;
    outcome
        .syncs
        .push(look_up(&mut town, &service, &set, "contained", timeline)?);

    clock::pass(HOUR);
    let _rotated: serde_json::Value = operator.order("/rotate?hard")?;
    let set = Set::fetch(&service)?;
    timeline.note(format!("the key is rotated hard: epoch {}", set.epoch()))?;
    outcome
        .syncs
        .push(look_up(&mut town, &service, &set, "rotated", timeline)?);

    clock::pass(HOUR);
    let joined = town.enrol(&service, |kind| kind == Kind::JoinsAfter)?;
    timeline.note(format!("{joined} people join, whom it doesn't concern"))?;
    let set = published(timeline)?;

    let order = json!({ "incident": incident, "words": { "contact": "privacy@demo.example" } });
    let report: IncidentReport = operator.post("/incident/report", &order)?;
    timeline.note(format!(
        "the report: at most {} of {} members were learned of",
        count(report.at_most),
        count(report.members)
    ))?;
    outcome.bounds = report
        .regions
        .iter()
        .map(|region| (region.region.clone(), region.at_most))
        .collect();
    outcome.bound = report.at_most;
    outcome.evaluations = (report.evaluations.elements, report.evaluations.complete);

    let spool = folder.join("spool");
    fs::create_dir(&spool).map_err(Failure::machine)?;
    let order = json!({ "incident": incident, "without_rotation": false });
    for _ in 0..2 {
        let delivery = Delivery::Spool(spool.clone());
        let (notified, failed) = incident::tell(operator, &order, delivery, 30, true)?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        outcome.handed_over.push(notified.handed_over);
    }
    outcome.told = told(&spool)?;
    timeline.note(format!(
        "{} people are told",
        count(outcome.handed_over.iter().sum())
    ))?;
    let closed: IncidentStatus = operator.post("/incident/close", &which)?;
    outcome.closed = closed.closed;
    clock::pass(20 * HOUR);
    outcome
        .syncs
        .push(look_up(&mut town, &service, &set, "after", timeline)?);
    timeline.note(format!("incident {incident} is closed"))?;
    service.stop()?;

    outcome.affected = town.affected();
    outcome.found = town.by_region(attack.found());
    outcome.answered = attack.answered;
    Ok(outcome)
}

/// Everybody who is honest looks their contacts up.
fn look_up(
    town: &mut Town,
    service: &DemoService,
    set: &Set,
    when: &'static str,
    timeline: &mut Timeline,
) -> Result<Sync, Failure> {
    let sync = town.look_up(service, set, when)?;
    timeline.note(format!(
        "{} honest people look their contacts up: {} find exactly those who can be found",
        sync.people,
        sync.people - sync.wrong
    ))?;
    Ok(sync)
}

/// Elements that new accounts had evaluated today, by the service's metrics.
fn new_accounts(service: &DemoService) -> Result<u64, Failure> {
    let metrics = service.metrics()?;
    let name = "blindbook_day_elements{who=\"new_accounts\"} ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    Ok(value
        .and_then(|value| value.parse::<f64>().ok())
        .unwrap_or(0.0) as u64)
}

/// How often each handle was told, by what was handed over.
fn told(spool: &Path) -> Result<BTreeMap<String, u32>, Failure> {
    let mut told = BTreeMap::new();
    for entry in fs::read_dir(spool).map_err(Failure::machine)? {
        let path = entry.map_err(Failure::machine)?.path();
        let notice = fs::read(&path).map_err(|error| Failure::file(&path, &error))?;
        let notice: serde_json::Value = serde_json::from_slice(&notice).map_err(Failure::defect)?;
        let handle = notice.get("handle").and_then(|handle| handle.as_str());
        *told
            .entry(handle.unwrap_or_default().to_owned())
            .or_insert(0) += 1;
    }
    Ok(told)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, check) in self.checks.iter().enumerate() {
            let verdict = if check.passed { "ok    " } else { "FAILED" };
            write!(f, "\n{verdict} {}: {}", check.name, check.found)?;
            if number + 1 == self.checks.len() {
                break;
            }
        }
        Ok(())
    }
}
