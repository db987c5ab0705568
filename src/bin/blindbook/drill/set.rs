//! What is published, as every phone of a drill has it.

use std::collections::BTreeSet;

use blindbook::{
    client::{Identifier, SyncState},
    label::Label,
    snapshot::{Manifest, Segment},
};

use super::clock;
use crate::{demo::service::DemoService, failure::Failure};

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
