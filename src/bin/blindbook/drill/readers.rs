//! The honest people of a drill who look their contacts up: with old accounts and new ones, and two who are at home in a network of
//! the attacker's.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::Ipv4Addr,
};

use blindbook::client::Identifier;

use super::{
    attack, clock,
    people::{Town, identifier},
    phone::{Phone, Refused},
    set::Set,
    stage::Stage,
};
use crate::{
    demo::{service::ACCOUNT_AGE, town::mix},
    failure::Failure,
    incident::date,
    text::count,
};

/// Age of a new account.
const NEW: u64 = 24 * clock::HOUR;
/// Numbers drawn for an address book.
const CONTACTS: u64 = 40;
/// How many of them are there from the first look-up on. More come one by one.
const AT_FIRST: usize = 24;
/// New accounts in one network, fewer than a signal takes.
const ON_CAMPUS: u64 = 12;

/// Somebody who looks contacts up.
struct Reader {
    phone: Phone,
    is_new: bool,
    /// At home in a network that the attacker uses, too.
    is_neighbour: bool,
    /// Which of all numbers each contact is.
    places: Vec<usize>,
    /// Contacts who aren't met yet.
    coming: VecDeque<(usize, Identifier)>,
}

pub(super) struct Readers {
    readers: Vec<Reader>,
    /// How often they have looked up.
    look_ups: usize,
}

/// A look-up of everybody who is honest.
#[derive(Debug, Clone)]
pub(super) struct Sync {
    pub(super) when: &'static str,
    /// Until when networks are suspended, if they are.
    pub(super) suspended_until: Option<u64>,
    /// Those who were answered.
    pub(super) people: u64,
    /// Those among them whose accounts are new, and who have had something evaluated.
    pub(super) new: u64,
    /// Those among them who found others than can be found.
    pub(super) wrong: u64,
    /// The accounts of those who weren't.
    pub(super) refused: Vec<(String, Refused)>,
}

impl Readers {
    pub(super) fn new(readers: u64, town: &Town, seed: u64) -> Result<Self, Failure> {
        let readers = (0..readers).map(|number| Reader::new(number, town, seed));
        Ok(Self {
            readers: readers.collect::<Result<_, _>>()?,
            look_ups: 0,
        })
    }

    /// The accounts of those who share a network with the attacker.
    pub(super) fn neighbours(&self) -> BTreeSet<String> {
        let neighbours = self.readers.iter().filter(|reader| reader.is_neighbour);
        neighbours
            .map(|reader| reader.phone.account.clone())
            .collect()
    }

    /// Everybody looks all contacts up, some of them with one more than before, and is right if exactly those are found who can be
    /// found.
    pub(super) fn look_up(
        &mut self,
        town: &Town,
        stage: &mut Stage<'_>,
        set: &Set,
        when: &'static str,
        suspended_until: Option<u64>,
    ) -> Result<Sync, Failure> {
        let mut sync = Sync {
            when,
            suspended_until,
            people: 0,
            new: 0,
            wrong: 0,
            refused: Vec::new(),
        };
        for (number, reader) in self.readers.iter_mut().enumerate() {
            reader.meet(number + self.look_ups);
            let synced = reader.phone.sync(&stage.proxy, &stage.service, set)?;
            if let Some(refused) = synced.refused {
                sync.refused.push((reader.phone.account.clone(), refused));
                continue;
            }
            let expected = reader.places.iter().enumerate();
            let expected = expected.filter_map(|(contact, place)| {
                let handle = town.findable(*place)?;
                Some((contact, handle.to_owned()))
            });
            sync.people += 1;
            sync.new += u64::from(reader.is_new && synced.answered > 0);
            sync.wrong += u64::from(reader.phone.find(set)? != expected.collect());
        }
        self.look_ups += 1;
        stage.note(sync.words())?;
        Ok(sync)
    }
}

impl Reader {
    fn new(number: u64, town: &Town, seed: u64) -> Result<Self, Failure> {
        let is_neighbour = number < 2;
        let on_campus = !is_neighbour && number < 2 + ON_CAMPUS;
        let is_new = on_campus || number.is_multiple_of(5);
        let byte = |number: u64| u8::try_from(number % 256).unwrap_or(0);
        let address = match (is_neighbour, on_campus) {
            (true, _) => attack::address(18, 0, 200 + usize::from(byte(number))),
            (_, true) => Ipv4Addr::new(203, 0, 113, byte(number)),
            _ => Ipv4Addr::new(10, byte(number >> 8), byte(number), 1),
        };
        let age = if is_new { NEW } else { ACCOUNT_AGE };
        let phone = Phone::new(format!("reader {number}"), address, clock::seconds() - age)?;
        // One half of them people who have an account, one half anybody.
        let mut drawn = BTreeSet::new();
        let mut coming = VecDeque::new();
        for contact in 0..CONTACTS {
            let of = match contact % 2 {
                0 => town.people(),
                _ => town.numbers().len(),
            };
            let random = mix(mix(seed ^ (number << 16)) ^ contact);
            let place = usize::try_from(random % of as u64).unwrap_or(0);
            if let Some(number) = town.numbers().get(place).filter(|_| drawn.insert(place)) {
                coming.push_back((place, identifier(number)?));
            }
        }
        Ok(Self {
            phone,
            is_new,
            is_neighbour,
            places: Vec::new(),
            coming,
        })
    }

    /// Has new contacts: many at first, then one at a time; who is new in town or a neighbour always, others every fourth time.
    fn meet(&mut self, look_up: usize) {
        let often = self.is_new || self.is_neighbour || look_up.is_multiple_of(4);
        let more = match self.places.is_empty() {
            true => AT_FIRST,
            false => usize::from(often),
        };
        for (place, contact) in self.coming.drain(..more.min(self.coming.len())) {
            self.places.push(place);
            self.phone.contacts.push(contact);
        }
    }
}

impl Sync {
    fn words(&self) -> String {
        let mut words = format!(
            "{} honest people look their contacts up, {} of them with new accounts: {} find exactly those who can be found",
            count(self.people),
            count(self.new),
            count(self.people - self.wrong)
        );
        let mut told: BTreeMap<&Refused, u64> = BTreeMap::new();
        for (_, refused) in &self.refused {
            *told.entry(refused).or_insert(0) += 1;
        }
        for (Refused { problem, back_at }, people) in told {
            words.push_str(&format!("; {people} are refused ({problem})"));
            if let Some(back_at) = back_at {
                words.push_str(&format!(" until {}", date(*back_at)));
            }
        }
        words
    }
}
