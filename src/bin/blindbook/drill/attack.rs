//! The attacker of a drill: fake accounts that try generated numbers until they are refused.

use std::collections::{BTreeMap, BTreeSet};

use blindbook::{
    client::{Identifier, SyncState},
    wire::MEDIA_TYPE,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use ureq::Agent;

use super::{
    clock,
    people::{Set, identifier, state},
};
use crate::{
    demo::{
        service::{DemoService, Who},
        town::{mix, numbers},
    },
    failure::Failure,
    text::count,
};

/// Fake accounts behind one network: 40 that spend all they have are more than an IPv4 /24 may.
const PER_NETWORK: u64 = 40;
/// What a new account has, and with it the largest request.
const FIRST: usize = 1_024;
/// What is tried with what comes back.
const LATER: usize = 64;

struct Fake {
    name: String,
    address: String,
    created: u64,
    tried: Vec<Identifier>,
    state: SyncState,
}

pub(super) struct Attack {
    fakes: Vec<Fake>,
    numbers: Vec<String>,
    random: u64,
    agent: Agent,
    found: BTreeSet<String>,
    /// Elements that were answered.
    pub(super) answered: u64,
    /// Refusals of the last strike, by name.
    refused: BTreeMap<String, u64>,
}

impl Attack {
    pub(super) fn new(fakes: u64, seed: u64) -> Result<Self, Failure> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .new_agent();
        let fake = |fake: u64| {
            Ok(Fake {
                name: format!("fake {fake}"),
                address: format!("198.18.{}.{}", fake / PER_NETWORK, fake % PER_NETWORK + 1),
                created: clock::seconds(),
                tried: Vec::new(),
                state: state()?,
            })
        };
        let fakes = (0..fakes).map(fake).collect::<Result<_, Failure>>()?;
        Ok(Self {
            fakes,
            numbers: numbers().map(|(number, _)| number).collect(),
            random: mix(seed ^ 0xa77a),
            agent,
            found: BTreeSet::new(),
            answered: 0,
            refused: BTreeMap::new(),
        })
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.fakes.iter().map(|fake| fake.name.as_str()).collect()
    }

    pub(super) fn networks(&self) -> u64 {
        (self.fakes.len() as u64).div_ceil(PER_NETWORK)
    }

    /// The handles of everybody it has found.
    pub(super) fn found(&self) -> &BTreeSet<String> {
        &self.found
    }

    /// The refusals of the last strike, in words.
    pub(super) fn refusals(&self) -> String {
        let each = self.refused.iter();
        let each = each.map(|(name, times)| format!("{} times {name}", count(*times)));
        match each.collect::<Vec<_>>().join(", ") {
            nothing if nothing.is_empty() => "nothing is refused".to_owned(),
            refusals => format!("refused {refusals}"),
        }
    }

    /// Every fake account tries numbers until it is refused, and looks them up in what is published.
    pub(super) fn strike(&mut self, service: &DemoService, set: &Set) -> Result<(), Failure> {
        self.refused.clear();
        for at in 0..self.fakes.len() {
            // An army that was never refused would go on for ever.
            for _ in 0..4 {
                if !self.attempt(at, service, set)? {
                    break;
                }
            }
            let Some(fake) = self.fakes.get(at) else {
                continue;
            };
            let found = set.find(&fake.state, &fake.tried)?;
            self.found
                .extend(found.into_iter().map(|(_, handle)| handle));
        }
        Ok(())
    }

    /// One request of a fake account; `false` if it is refused.
    fn attempt(&mut self, at: usize, service: &DemoService, set: &Set) -> Result<bool, Failure> {
        let Some(fake) = self.fakes.get_mut(at) else {
            return Ok(false);
        };
        set.follow(&mut fake.state)?;
        if fake.state.pending(&fake.tried) == 0 {
            let more = if fake.tried.is_empty() { FIRST } else { LATER };
            for _ in 0..more {
                self.random = mix(self.random);
                let place = self.random % self.numbers.len() as u64;
                let number = usize::try_from(place)
                    .ok()
                    .and_then(|place| self.numbers.get(place));
                if let Some(number) = number {
                    fake.tried.push(identifier(number)?);
                }
            }
        }
        let expect = fake
            .state
            .next_request(
                &fake.tried,
                usize::MAX,
                clock::seconds(),
                &mut UnwrapErr(SysRng),
            )
            .map_err(Failure::defect)?;
        let Some(expect) = expect else {
            return Ok(true);
        };
        let message = expect.message();
        let credential = service.credential(&Who {
            account: &fake.name,
            scope: "discover",
            created: fake.created,
            handle: None,
        })?;
        let unreachable = |error: ureq::Error| Failure::Unreachable(error.to_string());
        let response = self
            .agent
            .post(format!("http://{}/v1/evaluate", service.public))
            .header("authorization", format!("Bearer {}", credential.as_str()))
            .header("content-type", MEDIA_TYPE)
            .header("x-forwarded-for", &fake.address)
            .send(&message[..])
            .map_err(unreachable)?;
        let answered = response.status().is_success();
        let body = response.into_body().read_to_vec().map_err(unreachable)?;
        if !answered {
            let problem: serde_json::Value =
                serde_json::from_slice(&body).map_err(Failure::defect)?;
            let name = problem
                .get("type")
                .and_then(|name| name.as_str())
                .unwrap_or_default();
            let name = name.rsplit(':').next().unwrap_or_default().to_owned();
            *self.refused.entry(name).or_insert(0) += 1;
            return Ok(false);
        }
        let elements = (message.len() / 32) as u64;
        fake.state.finish(expect, &body).map_err(Failure::defect)?;
        self.answered += elements;
        Ok(true)
    }
}
