//! The stage of a drill: a service, its operator, the proxy that phones come through, and the clock.

use std::path::Path;

use blindbook::{http::Proxies, store::Pace};

use super::{clock, phone::Proxy, set::Set, timeline::Timeline};
use crate::{
    demo::service::{DemoService, Staging},
    failure::Failure,
    operator::Operator,
    publish,
    text::count,
};

pub(super) struct Stage<'a> {
    pub(super) service: DemoService,
    pub(super) operator: Operator,
    pub(super) proxy: Proxy,
    timeline: &'a mut Timeline,
}

impl<'a> Stage<'a> {
    pub(super) fn set_up(folder: &Path, timeline: &'a mut Timeline) -> Result<Self, Failure> {
        clock::begin();
        let staging = Staging {
            clock: clock::now,
            proxies: Proxies {
                trusted: vec!["127.0.0.0/8".parse().map_err(Failure::defect)?],
                ..Proxies::default()
            },
        };
        let service = DemoService::start(folder, staging)?;
        Ok(Self {
            operator: Operator(service.operator),
            proxy: Proxy::new(),
            service,
            timeline,
        })
    }

    /// Lets time pass, with what the service does every minute of it.
    pub(super) fn pass(&self, seconds: u64) -> Result<(), Failure> {
        clock::pass(seconds);
        self.service.seal()
    }

    pub(super) fn note(&mut self, what: String) -> Result<(), Failure> {
        self.timeline.note(what)
    }

    pub(super) fn publish(&mut self) -> Result<Set, Failure> {
        publish::request(self.service.operator, Pace::Now)?;
        let set = Set::fetch(&self.service)?;
        let members = count(set.members());
        self.note(format!("published: {members} members can be found"))?;
        Ok(set)
    }
}
