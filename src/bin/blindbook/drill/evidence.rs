//! The ledger of a drill, as `ledger verify` sees it; and copies of it that somebody has changed.

use std::{fs, io::Read, path::Path};

use blindbook::server::ledger::{Entry, ExportHeader};

use super::stage::Stage;
use crate::{
    failure::Failure,
    ledger::{VerifyArgs, verify},
};

/// Where the time of an entry ends, in its bytes.
const TIME_ENDS: usize = 15;

/// What is found in a ledger.
#[derive(Debug, Clone, Default)]
pub(super) struct Audit {
    pub(super) entries: u64,
    /// Entries that a checkpoint vouches for.
    pub(super) vouched: u64,
    /// What is wrong.
    pub(super) findings: Vec<String>,
}

/// A ledger, and copies of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) ledger: Audit,
    /// With what was done to each.
    pub(super) changed: Vec<(&'static str, Audit)>,
}

impl Evidence {
    /// Exports the ledger of the running service, and verifies it and the copies.
    pub(super) fn take(stage: &Stage<'_>, folder: &Path) -> Result<Self, Failure> {
        let mut exported = Vec::new();
        let mut answer = stage.operator.stream("/ledger")?;
        answer
            .read_to_end(&mut exported)
            .map_err(Failure::machine)?;
        let mut rest = &exported[..];
        let header = ExportHeader::take(&mut rest).map_err(Failure::defect)?;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let entry = Entry::take(&mut rest).map_err(Failure::defect)?;
            entries.push(entry.encode());
        }
        let export = |entries: &[Vec<u8>]| [header.encode(), entries.concat()].concat();
        let mut edited = entries.clone();
        let middle = edited.len() / 2;
        if let Some(time) = edited
            .get_mut(middle)
            .and_then(|entry| entry.get_mut(TIME_ENDS))
        {
            *time ^= 1;
        }
        let last = entries.len().saturating_sub(1);
        let shortened = entries.get(..last).unwrap_or_default();
        let audit = |export: &[u8]| audit(stage, folder, export);
        Ok(Self {
            ledger: audit(&exported)?,
            changed: vec![
                ("edited", audit(&export(&edited))?),
                ("shortened", audit(&export(shortened))?),
            ],
        })
    }
}

/// What `ledger verify` finds in an export.
fn audit(stage: &Stage<'_>, folder: &Path, export: &[u8]) -> Result<Audit, Failure> {
    let file = folder.join("ledger.export");
    fs::write(&file, export).map_err(|error| Failure::file(&file, &error))?;
    let checkpoints = stage.service.checkpoints.clone();
    let args = VerifyArgs::of_file(file, checkpoints, stage.service.snapshot_key());
    let (report, _) = verify(&args)?;
    let (entries, vouched) = report.vouched();
    Ok(Audit {
        entries,
        vouched,
        findings: report.findings().to_vec(),
    })
}
