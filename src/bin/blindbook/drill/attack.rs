//! The attacker of a drill: fake accounts that try generated numbers, so few each that no limit of theirs is in the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
};

use super::{clock, people::identifier, phone::Phone, set::Set, stage::Stage};
use crate::{
    demo::town::{mix, numbers},
    failure::Failure,
    text::count,
};

/// Most fake accounts behind one network.
const PER_NETWORK: usize = 40;
/// Of so many one goes elsewhere, ten to a network there.
const ONE_IN: usize = 10;
const PER_NETWORK_ELSEWHERE: usize = 10;
/// Numbers that a fake account tries at a time: one request of the smallest size.
pub(super) const AT_A_TIME: usize = 16;

/// Where the fakes ask from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// All of them from where they were made.
    Home,
    /// A part of them from other networks.
    Elsewhere,
}

/// What came of a wave of requests.
#[derive(Debug, Default)]
pub(super) struct Wave {
    /// Elements that were answered.
    pub(super) answered: u64,
    /// Fakes that were refused, by the problem's name.
    pub(super) refused: BTreeMap<String, u64>,
}

pub(super) struct Attack {
    fakes: Vec<Phone>,
    numbers: Vec<String>,
    random: u64,
    found: BTreeSet<String>,
    answered: u64,
}

impl Attack {
    /// Makes the accounts.
    pub(super) fn new(fakes: usize, seed: u64) -> Result<Self, Failure> {
        let fake = |fake| {
            Phone::new(
                format!("fake {fake}"),
                Ipv4Addr::LOCALHOST,
                clock::seconds(),
            )
        };
        Ok(Self {
            fakes: (0..fakes).map(fake).collect::<Result<_, _>>()?,
            numbers: numbers().map(|(number, _)| number).collect(),
            random: mix(seed ^ 0xa77a),
            found: BTreeSet::new(),
            answered: 0,
        })
    }

    /// The names of the accounts, as sign-up knows them.
    pub(super) fn names(&self) -> Vec<&str> {
        let names = self.fakes.iter().map(|fake| fake.account.as_str());
        names.collect()
    }

    /// The networks that the accounts were made in.
    pub(super) fn networks(&self) -> usize {
        self.fakes.len().div_ceil(PER_NETWORK)
    }

    /// The handles of everybody it has found.
    pub(super) fn found(&self) -> &BTreeSet<String> {
        &self.found
    }

    /// Elements that were answered, in all.
    pub(super) const fn answered(&self) -> u64 {
        self.answered
    }

    /// Fake accounts try numbers, and look those that are answered up in what is published.
    pub(super) fn strike(
        &mut self,
        stage: &Stage<'_>,
        set: &Set,
        place: Place,
    ) -> Result<Wave, Failure> {
        let networks = self.networks();
        let mut wave = Wave::default();
        for (at, fake) in self.fakes.iter_mut().enumerate() {
            fake.address = match place {
                Place::Home => address(18, at % networks, at / networks),
                Place::Elsewhere if at % ONE_IN == 0 => {
                    let mover = at / ONE_IN;
                    let network = mover / PER_NETWORK_ELSEWHERE;
                    address(19, network, mover % PER_NETWORK_ELSEWHERE)
                }
                Place::Elsewhere => continue,
            };
            if fake.pending() == 0 {
                for _ in 0..AT_A_TIME {
                    self.random = mix(self.random);
                    let place = self.random % self.numbers.len() as u64;
                    let number = usize::try_from(place).unwrap_or(0);
                    let number = self.numbers.get(number).map(|number| identifier(number));
                    fake.contacts.extend(number.transpose()?);
                }
            }
            let synced = fake.sync(&stage.proxy, &stage.service, set)?;
            wave.answered += synced.answered;
            if let Some(refused) = synced.refused {
                *wave.refused.entry(refused.problem).or_insert(0) += 1;
            }
            let found = fake.find(set)?.into_iter().map(|(_, handle)| handle);
            self.found.extend(found);
        }
        self.answered += wave.answered;
        Ok(wave)
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements are answered", count(self.answered))?;
        for (problem, fakes) in &self.refused {
            write!(f, ", {} fakes refused ({problem})", count(*fakes))?;
        }
        Ok(())
    }
}

/// Where the attacker's networks are, by their number: somebody else is at home there, too.
pub(super) fn address(second: u8, network: usize, host: usize) -> Ipv4Addr {
    let [network, host] = [network, host].map(|number| u8::try_from(number).unwrap_or(u8::MAX));
    Ipv4Addr::new(198, second, network, host.saturating_add(1))
}
