//! Plays days, and counts what comes of them.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use blindbook::server::{
    policy::Usual,
    quota::{Meter, RefusalReason},
};
use serde::Serialize;

use super::{
    BEFORE, Scenario,
    attacker::Attacker,
    begins,
    detected::{Detected, Pointed},
    population::{DAY, PROMISED, Person, Wish, origin, padded},
    world::{Ask, World},
};
use crate::{
    policy::Space,
    text::{count, table},
};

/// What a simulation came to.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) scenario: Scenario,
    pub(crate) country: Space,
    pub(crate) usual_young_per_day: u64,
    pub(crate) usual_service_per_day: u64,
    /// Numbers about which the attacker learned whether they can be found.
    pub(crate) learned: u64,
    /// What the policy bounds them by.
    pub(crate) bound: u64,
    /// Requests of the attacker that were refused.
    pub(crate) attacker_refused: u64,
    /// Elements that the attacker was answered again, without learning anything.
    pub(crate) attacker_repeated: u64,
    pub(crate) up_to_1000_contacts: Refused,
    pub(crate) more_contacts: Refused,
    /// Refusals of honest people by their reason; each comes back when it is told to.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// What detection has said. Nobody is suspended for it here.
    pub(crate) detected: Detected,
    pub(crate) days: Vec<DayOutcome>,
}

/// How many people were ever refused.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Refused {
    pub(crate) people: u64,
    pub(crate) ever_refused: u64,
    /// The first day on which that happened, from 1 on.
    pub(crate) first_day: Option<u32>,
}

/// A day of the attack.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DayOutcome {
    /// By the end of the day.
    pub(crate) learned: u64,
    /// People who were refused for the first time.
    pub(crate) honest_refused: u64,
    /// What the meters counted on the calendar day that began in it.
    pub(crate) young: Measured,
    pub(crate) service: Measured,
    /// What detection said in it.
    pub(crate) signals: Pointed,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct Measured {
    pub(crate) charged: u64,
    pub(crate) limit: u64,
}

/// What has been counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    up_to_1000: Refused,
    more: Refused,
    reasons: Vec<(RefusalReason, u64)>,
    detected: Detected,
    days: Vec<DayOutcome>,
    /// Who was refused and comes back, and when; most of them at the same midnight.
    retries: BTreeMap<u64, VecDeque<u32>>,
}

impl Tally {
    pub(super) fn new(people: &[Person]) -> Self {
        let few = people.iter().filter(|one| one.contacts <= PROMISED).count() as u64;
        Self {
            up_to_1000: Refused {
                people: few,
                ..Refused::default()
            },
            more: Refused {
                people: people.len() as u64 - few,
                ..Refused::default()
            },
            ..Self::default()
        }
    }

    /// The days before the attack don't count.
    pub(super) fn forget(&mut self, people: &mut [Person]) {
        for person in people.iter_mut() {
            person.refused = false;
        }
        *self = Self {
            retries: std::mem::take(&mut self.retries),
            detected: std::mem::take(&mut self.detected),
            ..Self::new(people)
        };
    }

    /// A day: everybody in the order of time.
    pub(super) fn play(
        &mut self,
        world: &mut World,
        people: &mut [Person],
        mut attacker: Option<&mut Attacker>,
        day: i32,
        wishes: &[Wish],
    ) {
        let begin = begins(day);
        let before = self.up_to_1000.ever_refused + self.more.ever_refused;
        let mut wishes = wishes.iter().peekable();
        loop {
            let wish = wishes.peek().map_or(u64::MAX, |wish| begin + wish.at);
            let retry = self
                .retries
                .first_key_value()
                .map_or(u64::MAX, |(at, _)| *at);
            let attack = attacker
                .as_ref()
                .map_or(u64::MAX, |attacker| attacker.wakes());
            let next = wish.min(retry).min(attack);
            if next >= begin + DAY {
                break;
            }
            if next == attack {
                if let Some(attacker) = attacker.as_mut() {
                    attacker.act(world);
                }
            } else if next == retry {
                let Some(mut first) = self.retries.first_entry() else {
                    continue;
                };
                match first.get_mut().pop_front() {
                    Some(person) => self.look_up(world, people, person, next, day),
                    None => drop(first.remove()),
                }
            } else if let Some(wish) = wishes.next() {
                if let Some(person) = people.get_mut(wish.person as usize) {
                    let waits = person.waiting > 0;
                    person.waiting += u32::from(wish.contacts);
                    if waits {
                        continue;
                    }
                }
                self.look_up(world, people, wish.person, next, day);
            }
        }
        let signals = self.heed(world, people.len() as u64);
        if let Some(attacker) = attacker {
            let refused = self.up_to_1000.ever_refused + self.more.ever_refused - before;
            // Midnight is in the middle of the day.
            self.days.push(DayOutcome {
                learned: attacker.learned,
                honest_refused: refused,
                young: world.measured(Meter::Young, begin),
                service: world.measured(Meter::Service, begin),
                signals,
            });
        }
    }

    /// Takes note of what detection has said.
    pub(super) fn heed(&mut self, world: &mut World, honest: u64) -> Pointed {
        self.detected.add(&world.take_signals(), honest)
    }

    /// Somebody's app looks up what waits, in as many requests as it takes, until it is refused.
    fn look_up(
        &mut self,
        world: &mut World,
        people: &mut [Person],
        number: u32,
        at: u64,
        day: i32,
    ) {
        let Some(person) = people.get_mut(number as usize) else {
            return;
        };
        let largest = world.policy().account.elements_per_request;
        while person.waiting > 0 {
            let some = person.waiting.min(largest);
            let refusal = world.ask_once(&Ask {
                account: u64::from(number),
                created: begins(person.joins),
                origin: origin(number, person),
                elements: padded(some).min(largest),
                serial: 0,
                at,
            });
            let Err(refusal) = refusal else {
                person.waiting -= some;
                continue;
            };
            if !person.refused {
                person.refused = true;
                let refused = match person.contacts <= PROMISED {
                    true => &mut self.up_to_1000,
                    false => &mut self.more,
                };
                refused.ever_refused += 1;
                refused.first_day = refused.first_day.or(u32::try_from(day + 1).ok());
            }
            match self
                .reasons
                .iter_mut()
                .find(|(reason, _)| *reason == refusal.reason)
            {
                Some((_, times)) => *times += 1,
                None => self.reasons.push((refusal.reason, 1)),
            }
            // In whole seconds and never too early, as the service tells it.
            let wait = refusal
                .retry_after
                .map_or(DAY, |wait| (wait.as_secs() + 1) * 1_000_000);
            let again = self.retries.entry(at + wait).or_default();
            again.push_back(number);
            break;
        }
    }

    pub(super) fn finish(
        self,
        scenario: Scenario,
        country: Space,
        attacker: &Attacker,
        usual: Usual,
        bound: u64,
    ) -> Outcome {
        Outcome {
            detected: self.detected.finish(&scenario, BEFORE.unsigned_abs()),
            scenario,
            country,
            usual_young_per_day: usual.young_per_day,
            usual_service_per_day: usual.service_per_day,
            learned: attacker.learned,
            bound,
            attacker_refused: attacker.refused,
            attacker_repeated: attacker.repeated,
            up_to_1000_contacts: self.up_to_1000,
            more_contacts: self.more,
            reasons: self
                .reasons
                .iter()
                .map(|(reason, times)| (reason.to_string(), *times))
                .collect(),
            days: self.days,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scenario {
            accounts,
            networks,
            old,
            strategy,
            days,
            honest,
            seed,
        } = &self.scenario;
        let age = if *old { "old" } else { "new" };
        let strategy = format!("{strategy:?}").to_lowercase();
        writeln!(
            f,
            "{} honest accounts; an attacker, {strategy}, with {} {age} accounts in {} networks, for {days} days (seed {seed})",
            count(u64::from(*honest)),
            count(u64::from(*accounts)),
            count(u64::from(*networks)),
        )?;
        writeln!(
            f,
            "usual before it: {} elements a day, {} of them by new accounts\n",
            count(self.usual_service_per_day),
            count(self.usual_young_per_day)
        )?;
        let share = |learned| self.country.share(learned);
        writeln!(
            f,
            "the attacker learned {} numbers: {} of the {} mobile numbers of {}",
            count(self.learned),
            share(self.learned),
            count(self.country.numbers),
            self.country.country
        )?;
        writeln!(
            f,
            "the policy's bound   {}: {}\n",
            count(self.bound),
            share(self.bound)
        )?;
        for (who, refused) in [
            ("up to 1,000", &self.up_to_1000_contacts),
            ("more than 1,000", &self.more_contacts),
        ] {
            write!(
                f,
                "honest people with {who} contacts: {} of {} were ever refused ({:.2} in 1,000)",
                count(refused.ever_refused),
                count(refused.people),
                refused.ever_refused as f64 * 1_000.0 / refused.people.max(1) as f64
            )?;
            match refused.first_day {
                Some(day) => writeln!(f, ", first on day {day}")?,
                None => writeln!(f)?,
            }
        }
        for (reason, times) in &self.reasons {
            writeln!(f, "  {} times: {reason}", count(*times))?;
        }
        write!(f, "\n{}", self.detected)?;
        let mut rows = vec![
            [
                "day",
                "learned",
                "share",
                "new accounts",
                "of",
                "everybody",
                "of",
                "people refused",
                "signals",
            ]
            .map(String::from)
            .to_vec(),
        ];
        let last = self.days.len();
        for (number, day) in (1..).zip(&self.days) {
            if [1, 2, 3, 7, 14, 15, 25, 30, 45].contains(&number) || number == last {
                rows.push(vec![
                    number.to_string(),
                    count(day.learned),
                    share(day.learned),
                    count(day.young.charged),
                    count(day.young.limit),
                    count(day.service.charged),
                    count(day.service.limit),
                    count(day.honest_refused),
                    count(day.signals.attacker + day.signals.honest + day.signals.nobody),
                ]);
            }
        }
        write!(
            f,
            "\n{}",
            table(&rows, &[0, 1, 2, 3, 4, 5, 6, 7, 8]).trim_end()
        )
    }
}
