//! The honest people of a drill: who is a member when, and who looks whom up. The truth that a drill is measured by.

use std::collections::{BTreeMap, BTreeSet};

use blindbook::{
    client::{Identifier, SyncState},
    http::SettingOrder,
    label::Label,
    server::directory::Consent,
    snapshot::{Manifest, Segment},
    wire::{Region, Setting},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use super::{checks::Sync, clock};
use crate::{
    connection::{Connection, Refusal},
    demo::{
        service::{ACCOUNT_AGE, DemoService, Who},
        town::{mix, numbers},
    },
    failure::Failure,
    registrar::{NewMember, Registrar},
};

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
    number: String,
    handle: String,
    region: &'static str,
    kind: Kind,
    findable: bool,
}

/// Somebody who looks contacts up.
struct Reader {
    account: String,
    contacts: Vec<Identifier>,
    /// Which of the people each contact is, if any.
    people: Vec<Option<usize>>,
    state: SyncState,
}

pub(super) struct Town {
    people: Vec<Person>,
    readers: Vec<Reader>,
}

/// What is published.
pub(super) struct Set {
    manifest: Manifest,
    base: Vec<u8>,
}

impl Set {
    pub(super) fn fetch(service: &DemoService) -> Result<Self, Failure> {
        let anybody = service.connect("anybody", "discover")?;
        let manifest = anybody.manifest()?;
        let base = manifest.base();
        let base = anybody.transport().segment(&base.id, base.size)?;
        Ok(Self { manifest, base })
    }

    pub(super) fn members(&self) -> u64 {
        self.manifest.claims().members()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.manifest.claims().epoch.get()
    }

    pub(super) fn follow(&self, state: &mut SyncState) -> Result<(), Failure> {
        let followed = state.follow(&self.manifest, clock::seconds());
        followed.map(drop).map_err(Failure::defect)
    }

    /// The handles of whoever is found among contacts, each with its place among them.
    pub(super) fn find(
        &self,
        state: &SyncState,
        contacts: &[Identifier],
    ) -> Result<BTreeSet<(usize, String)>, Failure> {
        let base = Segment::open(&self.base, &self.manifest).map_err(Failure::defect)?;
        let found = state.find(&mut [base], contacts).map_err(Failure::defect)?;
        let text = |label: &Label| String::from_utf8_lossy(label.as_bytes()).into_owned();
        let found = found.iter().map(|one| (one.identifier, text(&one.label)));
        Ok(found.collect())
    }
}

pub(super) fn identifier(number: &str) -> Result<Identifier, Failure> {
    Identifier::phone_e164(number).map_err(Failure::defect)
}

impl Town {
    pub(super) fn new(people: u64, readers: u64, seed: u64) -> Result<Self, Failure> {
        let mut numbers: Vec<(u64, String)> = numbers()
            .map(|(number, place)| (mix(seed ^ mix(place)), number))
            .collect();
        numbers.sort_unstable();
        let all: Vec<String> = numbers.into_iter().map(|(_, number)| number).collect();
        let people: Vec<Person> = (0..people)
            .zip(&all)
            .map(|(place, number)| Person {
                number: number.clone(),
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
            })
            .collect();
        let readers = (0..readers).map(|reader| {
            let draw = |contact: u64, of: usize| {
                let random = mix(mix(seed ^ (reader << 16)) ^ contact);
                usize::try_from(random % of as u64).unwrap_or(0)
            };
            // Half of them people who have an account, half of them anybody.
            let mut places: BTreeSet<usize> =
                (0..20).map(|contact| draw(contact, people.len())).collect();
            places.extend((20..40).map(|contact| draw(contact, all.len())));
            let known = places
                .iter()
                .map(|place| (*place < people.len()).then_some(*place));
            let contacts = places.iter().filter_map(|place| all.get(*place));
            Ok(Reader {
                account: format!("reader {reader}"),
                people: known.collect(),
                contacts: contacts
                    .filter_map(|number| identifier(number).ok())
                    .collect(),
                state: state()?,
            })
        });
        let readers = readers.collect::<Result<_, Failure>>()?;
        Ok(Self { people, readers })
    }

    /// Enrols whoever is of a kind, for everyone, or for nobody if they are hidden.
    pub(super) fn enrol(
        &mut self,
        service: &DemoService,
        wanted: impl Fn(Kind) -> bool,
    ) -> Result<u64, Failure> {
        let connection = service.connect("registrar", "enrol")?;
        let registrar = Registrar::start(&connection)?;
        let mut chosen: Vec<&mut Person> = self
            .people
            .iter_mut()
            .filter(|person| wanted(person.kind))
            .collect();
        for part in chosen.chunks_mut(4_096) {
            let (mut identifiers, mut members) = (Vec::new(), Vec::new());
            for person in part.iter_mut() {
                person.findable = person.kind != Kind::Hidden;
                identifiers.push(identifier(&person.number)?);
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

    /// Everybody who reads looks all contacts up, and is right if exactly those are found who can be found.
    pub(super) fn look_up(
        &mut self,
        service: &DemoService,
        set: &Set,
        when: &'static str,
    ) -> Result<Sync, Failure> {
        let mut sync = Sync {
            when,
            people: 0,
            wrong: 0,
        };
        for reader in &mut self.readers {
            let phone = service.connect(&reader.account, "discover")?;
            set.follow(&mut reader.state)?;
            give_up_old(&phone, &mut reader.state)?;
            let mut refused = false;
            while let Some(expect) = reader
                .state
                .next_request(
                    &reader.contacts,
                    usize::MAX,
                    clock::seconds(),
                    &mut UnwrapErr(SysRng),
                )
                .map_err(Failure::defect)?
            {
                match phone.evaluate(&expect.message()) {
                    Ok(answer) => reader
                        .state
                        .finish(expect, &answer)
                        .map_err(Failure::defect)?,
                    Err(Failure::Refused { .. }) => {
                        refused = true;
                        break;
                    }
                    Err(failure) => return Err(failure),
                };
            }
            let found = set.find(&reader.state, &reader.contacts)?;
            let expected: BTreeSet<(usize, String)> = (0..)
                .zip(&reader.people)
                .filter_map(|(place, person)| Some((place, self.people.get((*person)?)?)))
                .filter(|(_, person)| person.findable)
                .map(|(place, person)| (place, person.handle.clone()))
                .collect();
            sync.people += 1;
            sync.wrong += u64::from(refused || found != expected);
        }
        Ok(sync)
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

/// Asks whether what was learned under the old key is carried over. After a hard rotation it isn't, and is paid again.
fn give_up_old(phone: &Connection, state: &mut SyncState) -> Result<(), Failure> {
    let expect = state
        .next_carry_over(usize::MAX, clock::seconds(), &mut UnwrapErr(SysRng))
        .map_err(Failure::defect)?;
    let Some(expect) = expect else {
        return Ok(());
    };
    match phone.carry_over(&expect.message()).0 {
        Err(Refusal::Never) => {
            state.forget_old();
            Ok(())
        }
        Err(Refusal::Other(failure)) => Err(failure),
        _ => Err(Failure::defect("something is carried over a hard rotation")),
    }
}

pub(super) fn state() -> Result<SyncState, Failure> {
    let name = crate::demo::service::name()?;
    Ok(SyncState::new(&name, &mut UnwrapErr(SysRng)))
}

fn consent() -> Result<Consent, Failure> {
    Consent::new(clock::now(), "2026-11", "drill").map_err(Failure::defect)
}
