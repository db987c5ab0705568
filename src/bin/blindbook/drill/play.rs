//! The play: what people, the attacker and the operator do, one after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use blindbook::{
    http::{IncidentStatus, SignalReport},
    server::incident::Report as IncidentReport,
};
use serde_json::json;

use super::{
    Args,
    attack::{Attack, Place},
    checks::Outcome,
    clock::{self, HOUR},
    evidence::Evidence,
    people::{Kind, Town},
    readers::Readers,
    set::Set,
    stage::Stage,
    timeline::Timeline,
};
use crate::{
    failure::Failure,
    incident::{self, Delivery, date},
    text::count,
};

/// Hours for which the operator suspends a network.
const SUSPENDED_HOURS: u64 = 24;

struct Play<'a> {
    stage: Stage<'a>,
    folder: &'a Path,
    town: Town,
    readers: Readers,
    set: Set,
    /// Until when networks are suspended, if they are.
    suspended_until: Option<u64>,
    outcome: Outcome,
}

/// Plays all of it.
pub(super) fn play(
    args: &Args,
    folder: &Path,
    timeline: &mut Timeline,
) -> Result<Outcome, Failure> {
    let mut play = Play::begin(args, folder, timeline)?;
    play.everyday_life()?;
    let mut attack = Attack::new(args.fakes.into(), args.seed)?;
    play.attack(&mut attack)?;
    let signals = play.detect(&mut attack)?;
    let incident = play.contain(&mut attack, &signals)?;
    play.rotate()?;
    play.report(incident)?;
    play.notify(incident)?;
    play.afterwards(&mut attack)?;
    play.end(&attack)
}

impl<'a> Play<'a> {
    fn begin(args: &Args, folder: &'a Path, timeline: &'a mut Timeline) -> Result<Self, Failure> {
        let mut stage = Stage::set_up(folder, timeline)?;
        let mut town = Town::new(args.people.into(), args.seed);
        let readers = Readers::new(args.honest, &town, args.seed)?;
        let enrolled = town.enrol(&stage.service, |kind| {
            !matches!(kind, Kind::JoinsDuring | Kind::JoinsAfter)
        })?;
        stage.note(format!("{} people are enrolled", count(enrolled)))?;
        Ok(Self {
            set: stage.publish()?,
            outcome: Outcome {
                neighbours: readers.neighbours(),
                ..Outcome::default()
            },
            stage,
            folder,
            town,
            readers,
            suspended_until: None,
        })
    }

    fn look_up(&mut self, when: &'static str) -> Result<(), Failure> {
        let sync = self.readers.look_up(
            &self.town,
            &mut self.stage,
            &self.set,
            when,
            self.suspended_until,
        )?;
        self.outcome.syncs.push(sync);
        Ok(())
    }

    fn everyday_life(&mut self) -> Result<(), Failure> {
        self.look_up("at first")?;
        self.stage.pass(24 * HOUR)?;
        let left = self.town.leave(&self.stage.service, Kind::LeavesBefore)?;
        self.stage.note(format!(
            "{} people decide not to be found any more, by their own credential",
            count(left)
        ))?;
        self.stage.pass(48 * HOUR)?;
        self.set = self.stage.publish()?;
        self.look_up("later")?;
        self.stage.pass(9 * HOUR)?;
        let signals: Vec<SignalReport> = self.stage.operator.get("/signals")?;
        self.outcome.signals_before = signals.len() as u64;
        Ok(())
    }

    fn attack(&mut self, attack: &mut Attack) -> Result<(), Failure> {
        let wave = attack.strike(&self.stage, &self.set, Place::Home)?;
        self.stage.note(format!(
            "{} fake accounts from {} networks, made this hour, try generated numbers: {wave}",
            count(attack.names().len() as u64),
            attack.networks()
        ))?;
        self.stage.pass(3 * HOUR)?;
        let left = self.town.leave(&self.stage.service, Kind::LeavesDuring)?;
        let joined = self
            .town
            .enrol(&self.stage.service, |kind| kind == Kind::JoinsDuring)?;
        self.stage.note(format!(
            "meanwhile {} people leave and {} join",
            count(left),
            count(joined)
        ))?;
        self.stage.pass(12 * HOUR)?;
        self.set = self.stage.publish()?;
        self.look_up("attacked")
    }

    /// The operator reads the signals, and suspends the networks that they point at.
    fn detect(&mut self, attack: &mut Attack) -> Result<Vec<SignalReport>, Failure> {
        self.stage.pass(HOUR)?;
        let signals: Vec<SignalReport> = self.stage.operator.get("/signals")?;
        let suspects: BTreeSet<&str> = signals
            .iter()
            .filter_map(|signal| signal.suspect.as_deref())
            .collect();
        self.outcome.suspects = suspects.len();
        self.outcome.networks = attack.networks();
        self.stage.note(format!(
            "the operator reads {} signals, which point at {} networks",
            signals.len(),
            suspects.len()
        ))?;
        self.suspend(&signals)?;
        let wave = attack.strike(&self.stage, &self.set, Place::Home)?;
        let refused = wave.refused.get("network-suspended").copied().unwrap_or(0);
        self.outcome.unnamed = attack.names().len() as u64 - refused;
        self.stage.note(format!("the fakes go on: {wave}"))?;
        self.look_up("suspended")?;
        let wave = attack.strike(&self.stage, &self.set, Place::Elsewhere)?;
        self.stage.note(format!(
            "some of the fakes go on from other networks: {wave}"
        ))?;
        Ok(signals)
    }

    /// Whoever is innocent there is told for how long.
    fn suspend(&mut self, signals: &[SignalReport]) -> Result<(), Failure> {
        for signal in signals {
            let order = json!({ "signal": signal.number, "hours": SUSPENDED_HOURS });
            self.stage.operator.tell("/suspend", &order)?;
        }
        let until = clock::seconds() + SUSPENDED_HOURS * HOUR;
        self.suspended_until = Some(until);
        self.stage.note(format!(
            "these networks are suspended by the signals' numbers, until {}",
            date(until)
        ))
    }

    /// The operator opens an incident from the signals, with the accounts that sign-up knows to be made in these networks.
    fn contain(&mut self, attack: &mut Attack, signals: &[SignalReport]) -> Result<u64, Failure> {
        self.stage.pass(HOUR)?;
        let since = signals.iter().map(|signal| signal.hour).min();
        let order = json!({
            "since": since.unwrap_or_else(clock::seconds),
            "all_signals": true,
            "accounts": attack.names(),
        });
        let opened: IncidentStatus = self.stage.operator.post("/incident/open", &order)?;
        let incident = opened.incident;
        let which = json!({ "incident": incident });
        let contained: IncidentStatus = self.stage.operator.post("/incident/contain", &which)?;
        self.stage.note(format!(
            "incident {incident} is opened from the signals and contained: {} networks, and {} accounts that sign-up knows from there",
            contained.suspects.networks,
            count(contained.suspects.accounts)
        ))?;
        // Containing has suspended them until it is lifted.
        self.suspend(signals)?;
        self.stage.pass(HOUR)?;
        self.strike_in_vain(attack)?;
        self.look_up("contained")?;
        Ok(incident)
    }

    fn strike_in_vain(&mut self, attack: &mut Attack) -> Result<(), Failure> {
        for place in [Place::Home, Place::Elsewhere] {
            let wave = attack.strike(&self.stage, &self.set, place)?;
            self.outcome.answered_after_containment += wave.answered;
            let from = match place {
                Place::Home => "from where they were",
                Place::Elsewhere => "from elsewhere",
            };
            self.stage
                .note(format!("the fakes try again {from}: {wave}"))?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Failure> {
        self.stage.pass(HOUR)?;
        let _rotated: serde_json::Value = self.stage.operator.order("/rotate?hard")?;
        self.set = Set::fetch(&self.stage.service)?;
        let epoch = self.set.epoch();
        self.stage
            .note(format!("the key is rotated hard: epoch {epoch}"))?;
        self.look_up("rotated")?;
        self.stage.pass(HOUR)?;
        let joined = self
            .town
            .enrol(&self.stage.service, |kind| kind == Kind::JoinsAfter)?;
        self.stage.note(format!(
            "{} people join, whom it doesn't concern",
            count(joined)
        ))?;
        self.set = self.stage.publish()?;
        Ok(())
    }

    fn report(&mut self, incident: u64) -> Result<(), Failure> {
        let words = json!({ "contact": "privacy@demo.example" });
        let order = json!({ "incident": incident, "words": words });
        let report: IncidentReport = self.stage.operator.post("/incident/report", &order)?;
        let regions = report.regions.iter();
        self.outcome.bounds = regions
            .map(|region| (region.region.clone(), region.at_most))
            .collect();
        self.outcome.bound = report.at_most;
        self.outcome.evaluations = (report.evaluations.elements, report.evaluations.complete);
        self.stage.note(format!(
            "the report: with {} elements, at most {} of {} members were learned of",
            count(report.evaluations.elements),
            count(report.at_most),
            count(report.members)
        ))
    }

    /// Twice: the second time nobody is told any more.
    fn notify(&mut self, incident: u64) -> Result<(), Failure> {
        let spool = self.folder.join("spool");
        fs::create_dir(&spool).map_err(Failure::machine)?;
        let order = json!({ "incident": incident, "without_rotation": false });
        for _ in 0..2 {
            let delivery = Delivery::Spool(spool.clone());
            let told = incident::tell(self.stage.operator, &order, delivery, 30, true)?;
            if let (_, Some(failed)) = told {
                return Err(failed);
            }
            self.outcome.handed_over.push(told.0.handed_over);
        }
        self.outcome.told = told(&spool)?;
        let handed_over = self.outcome.handed_over.iter().sum();
        self.stage
            .note(format!("{} people are told", count(handed_over)))?;
        let which = json!({ "incident": incident });
        let closed: IncidentStatus = self.stage.operator.post("/incident/close", &which)?;
        self.outcome.closed = closed.closed;
        self.stage.note(format!("incident {incident} is closed"))
    }

    /// The networks are free again, the accounts aren't.
    fn afterwards(&mut self, attack: &mut Attack) -> Result<(), Failure> {
        let until = self.suspended_until.take().unwrap_or(0);
        self.stage.pass(until.saturating_sub(clock::seconds()))?;
        self.strike_in_vain(attack)?;
        self.look_up("after")
    }

    fn end(mut self, attack: &Attack) -> Result<Outcome, Failure> {
        self.stage.pass(HOUR)?;
        self.outcome.evidence = Evidence::take(&self.stage, self.folder)?;
        self.stage.service.stop()?;
        self.outcome.affected = self.town.affected();
        let members = self.town.by_region(&self.outcome.affected).into_iter();
        self.outcome.members = members
            .map(|(region, members)| (region, members.len() as u64))
            .collect();
        self.outcome.found = self.town.by_region(attack.found());
        self.outcome.answered = attack.answered();
        Ok(self.outcome)
    }
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
