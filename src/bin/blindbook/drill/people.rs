//! The people of a drill who have an account: who is a member when. The truth that a drill is measured by.

use std::collections::{BTreeMap, BTreeSet};

use blindbook::{
    client::Identifier,
    http::SettingOrder,
    label::Label,
    server::directory::Consent,
    wire::{Region, Setting},
};

use super::clock;
use crate::{
    demo::{
        service::{ACCOUNT_AGE, DemoService, Who},
        town::{mix, numbers},
    },
    failure::Failure,
    registrar::{NewMember, Registrar},
};

/// Members enrolled at once.
const BATCH: usize = 4_096;

/// What becomes of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stays,
    Hidden,
    LeavesBefore,
    LeavesDuring,
    JoinsDuring,
    JoinsAfter,
}

struct Person {
    handle: String,
    region: &'static str,
    kind: Kind,
    findable: bool,
}

pub(super) struct Town {
    /// All numbers that there are; the first ones are those of people.
    numbers: Vec<String>,
    people: Vec<Person>,
}

pub(super) fn identifier(number: &str) -> Result<Identifier, Failure> {
    Identifier::phone_e164(number).map_err(Failure::defect)
}

impl Town {
    pub(super) fn new(people: usize, seed: u64) -> Self {
        let mut drawn: Vec<(u64, String)> = numbers()
            .map(|(number, place)| (mix(seed ^ mix(place)), number))
            .collect();
        drawn.sort_unstable();
        let numbers: Vec<String> = drawn.into_iter().map(|(_, number)| number).collect();
        let people = numbers.iter().take(people).enumerate();
        let people = people.map(|(place, number)| Person {
            handle: format!("m{place:06}"),
            region: match number.get(..3) {
                Some("+44") => "GB",
                Some("+33") => "FR",
                _ => "US",
            },
            kind: match place % 20 {
                0 => Kind::Hidden,
                1 => Kind::LeavesBefore,
                2 => Kind::LeavesDuring,
                3 => Kind::JoinsDuring,
                4 => Kind::JoinsAfter,
                _ => Kind::Stays,
            },
            findable: false,
        });
        Self {
            people: people.collect(),
            numbers,
        }
    }

    /// All numbers that there are; those of people come first.
    pub(super) fn numbers(&self) -> &[String] {
        &self.numbers
    }

    /// How many people there are.
    pub(super) fn people(&self) -> usize {
        self.people.len()
    }

    /// The handle of a number, if whoever has it can be found now.
    pub(super) fn findable(&self, place: usize) -> Option<&str> {
        let person = self.people.get(place).filter(|person| person.findable)?;
        Some(&person.handle)
    }

    /// Enrols whoever is of a kind, for everyone, or for nobody if they are hidden.
    pub(super) fn enrol(
        &mut self,
        service: &DemoService,
        wanted: impl Fn(Kind) -> bool,
    ) -> Result<u64, Failure> {
        let connection = service.connect("registrar", "enrol")?;
        let registrar = Registrar::start(&connection)?;
        let people = self.people.iter_mut().zip(&self.numbers);
        let mut chosen: Vec<_> = people.filter(|(person, _)| wanted(person.kind)).collect();
        for part in chosen.chunks_mut(BATCH) {
            let (mut identifiers, mut members) = (Vec::new(), Vec::new());
            for (person, number) in part {
                person.findable = person.kind != Kind::Hidden;
                identifiers.push(identifier(number)?);
                members.push(NewMember {
                    label: Label::new(person.handle.as_bytes()).map_err(Failure::defect)?,
                    setting: match person.findable {
                        true => Setting::Everyone(consent()?),
                        false => Setting::Nobody,
                    },
                    region: Region::new(person.region).ok(),
                });
            }
            let message = registrar.evaluate(&identifiers, members)?;
            registrar.enrol(message.as_deref(), identifiers.len())?;
        }
        Ok(chosen.len() as u64)
    }

    /// Has people of a kind opt out, each with their own credential.
    pub(super) fn leave(&mut self, service: &DemoService, kind: Kind) -> Result<u64, Failure> {
        let order = SettingOrder {
            audience: "nobody".to_owned(),
            consent: None,
        };
        let order = serde_json::to_vec(&order).map_err(Failure::defect)?;
        let mut left = 0;
        for person in self.people.iter_mut().filter(|person| person.kind == kind) {
            let own = service.connect_as(&Who {
                account: &format!("account of {}", person.handle),
                scope: "setting",
                created: clock::seconds() - ACCOUNT_AGE,
                handle: Some(&person.handle),
            })?;
            own.transport().choose(&order)?;
            person.findable = false;
            left += 1;
        }
        Ok(left)
    }

    /// The handles of everybody who could be found while the attacker could look: all but those who never could, those who had left
    /// days before, and those who came when the key was another.
    pub(super) fn affected(&self) -> BTreeSet<String> {
        let concerned =
            |kind| !matches!(kind, Kind::Hidden | Kind::LeavesBefore | Kind::JoinsAfter);
        let people = self.people.iter().filter(|person| concerned(person.kind));
        people.map(|person| person.handle.clone()).collect()
    }

    /// Handles by the region of whoever has them.
    pub(super) fn by_region(
        &self,
        handles: &BTreeSet<String>,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let regions: BTreeMap<&str, &str> = self
            .people
            .iter()
            .map(|person| (person.handle.as_str(), person.region))
            .collect();
        let mut by_region: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for handle in handles {
            let region = regions.get(handle.as_str()).copied().unwrap_or("nobody's");
            let found = by_region.entry(region.to_owned()).or_default();
            found.insert(handle.clone());
        }
        by_region
    }
}

fn consent() -> Result<Consent, Failure> {
    Consent::new(clock::now(), "2026-11", "drill").map_err(Failure::defect)
}
