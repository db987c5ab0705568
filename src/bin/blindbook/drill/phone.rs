//! The phones of a drill, of honest people and of fakes alike: each asks from an address, as a proxy tells it to the service.

use std::{collections::BTreeSet, net::Ipv4Addr};

use blindbook::{
    client::{Identifier, SyncState},
    http::problem::NAMESPACE,
    oprf::ENCODED_LENGTH,
    wire::MEDIA_TYPE,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use ureq::Agent;

use super::{clock, set::Set};
use crate::{
    demo::service::{self, DemoService, Who},
    failure::Failure,
};

/// A phone with one account.
pub(super) struct Phone {
    pub(super) account: String,
    pub(super) address: Ipv4Addr,
    /// When the account was made, in seconds since 1970.
    pub(super) created: u64,
    pub(super) contacts: Vec<Identifier>,
    state: SyncState,
}

/// A request that isn't answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refused {
    /// The problem's name.
    pub(super) problem: String,
    /// When to come back, in seconds since 1970, if that was said.
    pub(super) back_at: Option<u64>,
}

/// How far a phone has come.
pub(super) struct Synced {
    /// Elements that were answered.
    pub(super) answered: u64,
    /// Why it hasn't come further.
    pub(super) refused: Option<Refused>,
}

/// What all requests come through.
pub(super) struct Proxy(Agent);

impl Proxy {
    pub(super) fn new() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None);
        Self(config.build().new_agent())
    }

    /// Passes a phone's message on.
    fn pass_on(
        &self,
        service: &DemoService,
        phone: &Phone,
        route: &str,
        message: &[u8],
    ) -> Result<Result<Vec<u8>, Refused>, Failure> {
        let credential = service.credential(&Who {
            account: &phone.account,
            scope: "discover",
            created: phone.created,
            handle: None,
        })?;
        let unreachable = |error: ureq::Error| Failure::Unreachable(error.to_string());
        let response = self
            .0
            .post(format!("http://{}{route}", service.public))
            .header("authorization", format!("Bearer {}", credential.as_str()))
            .header("content-type", MEDIA_TYPE)
            .header("x-forwarded-for", phone.address.to_string())
            .send(message)
            .map_err(unreachable)?;
        let answered = response.status().is_success();
        let wait = response.headers().get("retry-after");
        let wait = wait.and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
        let body = response.into_body().read_to_vec().map_err(unreachable)?;
        if answered {
            return Ok(Ok(body));
        }
        let problem: serde_json::Value = serde_json::from_slice(&body).map_err(Failure::defect)?;
        let problem = problem.get("type").and_then(|name| name.as_str());
        let problem = problem.and_then(|name| name.strip_prefix(NAMESPACE));
        Ok(Err(Refused {
            problem: problem.unwrap_or("no problem of ours").to_owned(),
            back_at: wait.map(|wait| clock::seconds() + wait),
        }))
    }
}

impl Phone {
    /// A phone that has nothing yet.
    pub(super) fn new(account: String, address: Ipv4Addr, created: u64) -> Result<Self, Failure> {
        Ok(Self {
            account,
            address,
            created,
            contacts: Vec::new(),
            state: SyncState::new(&service::name()?, &mut UnwrapErr(SysRng)),
        })
    }

    /// Contacts that have still to be asked for.
    pub(super) fn pending(&self) -> usize {
        self.state.pending(&self.contacts)
    }

    /// Asks for all contacts that it doesn't know yet, until it knows them or is refused.
    pub(super) fn sync(
        &mut self,
        proxy: &Proxy,
        service: &DemoService,
        set: &Set,
    ) -> Result<Synced, Failure> {
        set.follow(&mut self.state)?;
        let mut synced = Synced {
            answered: 0,
            refused: self.give_up_old(proxy, service)?,
        };
        while synced.refused.is_none() {
            let next = self.state.next_request(
                &self.contacts,
                usize::MAX,
                clock::seconds(),
                &mut UnwrapErr(SysRng),
            );
            let Some(expect) = next.map_err(Failure::defect)? else {
                break;
            };
            let message = expect.message();
            match proxy.pass_on(service, self, "/v1/evaluate", &message)? {
                Ok(answer) => {
                    let finished = self.state.finish(expect, &answer);
                    finished.map_err(Failure::defect)?;
                    synced.answered += (message.len() / ENCODED_LENGTH) as u64;
                }
                Err(refused) => {
                    self.state.refused(expect);
                    synced.refused = Some(refused);
                }
            }
        }
        Ok(synced)
    }

    /// Asks whether what was learned under the old key is carried over. After a hard rotation it isn't, and is paid again.
    fn give_up_old(
        &mut self,
        proxy: &Proxy,
        service: &DemoService,
    ) -> Result<Option<Refused>, Failure> {
        let next = self
            .state
            .next_carry_over(usize::MAX, clock::seconds(), &mut UnwrapErr(SysRng));
        let Some(expect) = next.map_err(Failure::defect)? else {
            return Ok(None);
        };
        match proxy.pass_on(service, self, "/v1/carry-over", &expect.message())? {
            Err(refused) if refused.problem == "no-carry-over" => {
                self.state.forget_old();
                Ok(None)
            }
            Err(refused) => Ok(Some(refused)),
            Ok(_) => Err(Failure::defect("something is carried over a hard rotation")),
        }
    }

    /// The handles of the contacts that it finds, each with its place among them.
    pub(super) fn find(&self, set: &Set) -> Result<BTreeSet<(usize, String)>, Failure> {
        set.find(&self.state, &self.contacts)
    }
}
