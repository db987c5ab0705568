//! Attackers: one mind with many accounts, which knows the policy and wants numbers evaluated, each one once.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use blindbook::server::quota::{Origin, RefusalReason};

use super::{
    population::{DAY, FIRST_FOREIGN_NETWORK},
    rows,
    world::{Ask, BEGINNING, World},
};

/// How an attacker goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Strategy {
    /// Every account takes all that it can get, at once, and comes back for more
    Greedy,
    /// Every account takes a day's refill a day, so that no bucket is ever seen empty
    Patient,
    /// Accounts begin one after the other, to get ever more used to: trains the baselines up
    Training,
    /// Greedy, and tries each answered request again: the same bytes, from other accounts, other networks
    Hopping,
    /// Greedy, and the service is restarted every hour with a clock that is some minutes back
    Restarting,
}

/// What the attacker has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Army {
    pub(super) accounts: u32,
    /// Networks (IPv4 /24) over which the accounts are spread.
    pub(super) networks: u32,
    /// The accounts are old; otherwise they are made as they are needed.
    pub(super) old: bool,
    pub(super) strategy: Strategy,
    pub(super) days: u32,
    /// The number of its first account.
    pub(super) first: u64,
}

/// How much fits into something that is shared, until a point in time.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    until: u64,
    fits: u32,
}

const OPEN: (u32, u64) = (u32::MAX, 0);

impl Room {
    fn at(&self, at: u64) -> (u32, u64) {
        match at < self.until {
            true => (self.fits, self.until),
            false => OPEN,
        }
    }
}

pub(super) struct Attacker {
    army: Army,
    /// When which account asks next.
    next: BinaryHeap<Reverse<(u64, u32)>>,
    /// What is left of what young accounts, everybody, and the accounts of each network share.
    young: Room,
    service: Room,
    networks: Vec<Room>,
    pub(super) learned: u64,
    pub(super) refused: u64,
    /// Answers to a repeated request, which told nothing new.
    pub(super) repeated: u64,
}

/// Sizes to try when all together is too much.
const SMALLER: [u32; 4] = [256, 64, 16, 1];

impl Attacker {
    pub(super) fn new(army: Army) -> Self {
        let begin = |account| match army.strategy {
            _ if army.old => army.starts(account),
            // A full bucket that is never touched but for its refill.
            Strategy::Patient => army.starts(account) + DAY,
            _ => army.starts(account),
        };
        Self {
            next: (0..army.accounts)
                .map(|account| Reverse((begin(account), account)))
                .collect(),
            young: Room::default(),
            service: Room::default(),
            networks: vec![Room::default(); army.networks.max(1) as usize],
            army,
            learned: 0,
            refused: 0,
            repeated: 0,
        }
    }

    /// When it next asks for something.
    pub(super) fn wakes(&self) -> u64 {
        self.next.peek().map_or(u64::MAX, |Reverse((at, _))| *at)
    }

    /// Lets the account whose turn it is ask for what it can get.
    pub(super) fn act(&mut self, world: &mut World) {
        let Some(Reverse((at, account))) = self.next.pop() else {
            return;
        };
        let again = self.visit(world, account, at);
        self.next.push(Reverse((again.max(at + 1), account)));
    }

    /// One account's visit; returns when it comes back.
    fn visit(&mut self, world: &mut World, account: u32, at: u64) -> u64 {
        let limits = &world.policy().account;
        let most = match self.army.strategy {
            Strategy::Patient => limits.refill_per_day.min(limits.elements_per_request),
            _ => limits.elements_per_request,
        };
        let young_until = self.army.created(account) + u64::from(world.policy().young.days) * DAY;
        let network = account as usize % self.networks.len();
        let mut left = most;
        let mut at = at;
        loop {
            let (fits, until) = self.fits(network, at, young_until);
            if fits == 0 {
                return until;
            }
            let wanted = most.min(left).min(fits);
            match self.ask(world, account, wanted, at) {
                Ok(0) => return at + DAY,
                Ok(_) if self.army.strategy == Strategy::Patient => return at + DAY,
                Ok(now_left) => left = now_left,
                Err(refusal) => {
                    // What one account is told holds for all that share the limit.
                    let midnight = at - at % DAY + DAY;
                    let smaller = SMALLER.into_iter().find(|size| *size < wanted);
                    let room = |until| Room {
                        until,
                        fits: smaller.unwrap_or(0),
                    };
                    match refusal.reason {
                        RefusalReason::NetworkElements => {
                            if let Some(network) = self.networks.get_mut(network) {
                                *network = room(at + DAY / 24);
                            }
                        }
                        RefusalReason::YoungElements => self.young = room(midnight),
                        RefusalReason::ServiceElements => self.service = room(midnight),
                        RefusalReason::Elements if refusal.status.remaining > 0 => {
                            left = refusal.status.remaining;
                        }
                        // With an emptied bucket it pays to wait for more than one element.
                        RefusalReason::Elements => return at + DAY,
                        _ => {
                            let wait = refusal.retry_after.unwrap_or(Duration::from_secs(3_600));
                            return at + wait.as_micros() as u64;
                        }
                    }
                }
            }
            at += 1;
        }
    }

    /// The most elements that fit into what is shared, as far as is known, and until when there is no more.
    fn fits(&self, network: usize, at: u64, young_until: u64) -> (u32, u64) {
        let service = self.service.at(at);
        if at >= young_until {
            return service;
        }
        let network = self.networks.get(network).map_or(OPEN, |room| room.at(at));
        let (young, until) = self.young.at(at).min(network);
        service.min((young, until.min(young_until)))
    }

    /// Asks, and then, if that is its way, for the same again by other ways. Returns what the account has left.
    fn ask(
        &mut self,
        world: &mut World,
        account: u32,
        elements: u32,
        at: u64,
    ) -> Result<u32, blindbook::server::quota::Refusal> {
        let clock_back = u64::from(world.policy().clock.back_seconds) * 1_000_000;
        let hour = DAY / 24;
        let ask = Ask {
            account: self.army.first + u64::from(account),
            created: self.army.created(account),
            origin: self.origin(account),
            elements,
            serial: world.serial(),
            at: match self.army.strategy {
                // For a part of each hour the clock is behind.
                Strategy::Restarting if at % hour < clock_back => at - clock_back,
                _ => at,
            },
        };
        let receipt = world.ask(&ask).inspect_err(|_| self.refused += 1)?;
        self.learned += u64::from(elements);
        if self.army.strategy == Strategy::Hopping {
            let other = (account + 1) % self.army.accounts;
            let elsewhere = Ask {
                origin: self.origin(other),
                ..ask
            };
            let stolen = Ask {
                account: self.army.first + u64::from(other),
                created: self.army.created(other),
                ..elsewhere
            };
            for again in [ask, elsewhere, stolen] {
                // Whatever comes back says the same as before.
                match world.ask(&again) {
                    Ok(_) => self.repeated += u64::from(elements),
                    Err(_) => self.refused += 1,
                }
            }
        }
        Ok(receipt.status.remaining)
    }

    fn origin(&self, account: u32) -> Origin {
        let network = u64::from(account % self.army.networks.max(1));
        Origin::V4 {
            net24: rows::network(FIRST_FOREIGN_NETWORK + network),
        }
    }
}

impl Army {
    /// When an account begins.
    fn starts(&self, account: u32) -> u64 {
        // In the first hour, so that not all are at the same microsecond.
        let spread = match self.strategy {
            Strategy::Training => u64::from(self.days) * DAY,
            _ => DAY / 24,
        };
        let share = u128::from(account) * u128::from(spread) / u128::from(self.accounts.max(1));
        BEGINNING + share as u64
    }

    fn created(&self, account: u32) -> u64 {
        match self.old {
            true => BEGINNING - 1_000 * DAY,
            false => self.starts(account),
        }
    }
}
