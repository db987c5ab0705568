//! `discover`: which contacts of an address book can be found on a service.

mod lookup;
mod set;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use blindbook::{
    client::{
        Identifier, SyncState,
        contacts::{ContactSet, MAX_IMPORT_BYTES, Region, parse_phone},
    },
    label::Label,
    oprf::ServiceId,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;

pub(crate) use self::{
    lookup::{Lookup, Lookups, Own, look_up},
    set::SetArgs,
};

use crate::{
    connection::ConnectionArgs,
    failure::Failure,
    files::{read, read_if_there, replace_private, with_suffix},
    text::{count, table},
};

/// Longest sync state, in bytes: more than ten times what an account's quota holds when it is full.
const MAX_STATE: u64 = 8 << 20;
/// Rejected fields that are listed for people; `--json` has all of them.
const LISTED: usize = 15;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An address book: vCard or CSV
    file: PathBuf,
    /// The region of numbers without country code, for example CH
    #[arg(long, value_name = "CC")]
    region: Option<Region>,
    /// Where to keep what is known, so that the next run evaluates only what is new; beside FILE by default
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    set: SetArgs,
    /// Also check that this number or address, your own, is in the set that is served
    #[arg(long, value_name = "NUMBER")]
    own: Option<String>,
    /// The handle that it should be listed with
    #[arg(long, value_name = "LABEL", requires = "own")]
    own_label: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) found: Vec<FoundContact>,
    pub(crate) not_lookable: Vec<Unusable>,
    contacts: usize,
    identifiers: usize,
    duplicates: usize,
    #[serde(flatten)]
    pub(crate) lookup: Lookup,
    quota: Option<Quota>,
}

/// A contact that can be found.
#[derive(Debug, Serialize)]
pub(crate) struct FoundContact {
    /// As the address book has them.
    names: Vec<String>,
    label: String,
}

/// A field or an entry that can't be looked up.
#[derive(Debug, Serialize)]
pub(crate) struct Unusable {
    entry: usize,
    line: Option<u64>,
    name: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Quota {
    remaining: u64,
    capacity: Option<u64>,
}

/// What was found; and why not everything was looked up, if it wasn't.
pub(crate) fn run(args: &Args) -> Result<(Report, Option<Failure>), Failure> {
    let mut contacts = read_contacts(&args.file, args.region)?;
    let own = own(args, &mut contacts)?;
    let connection = args.connection.connect()?;
    let state_path = args
        .state
        .clone()
        .unwrap_or_else(|| with_suffix(&args.file, ".sync"));
    let mut state = read_state(&state_path, &connection.service)?;
    let lookups = Lookups {
        contacts: &contacts,
        own,
        set: &args.set,
    };
    let outcome = look_up(&connection, &mut state, &lookups, |state| {
        replace_private(&state_path, &state.encode())
    })?;
    let report = Report::new(&contacts, outcome.lookup, connection.quota());
    Ok((report, outcome.refused))
}

/// The own number is looked up like a contact, in the same request.
fn own(args: &Args, contacts: &mut ContactSet) -> Result<Option<Own>, Failure> {
    let Some(text) = &args.own else {
        return Ok(None);
    };
    let identifier = match text.contains('@') {
        true => Identifier::email(text).map_err(|error| error.to_string()),
        false => parse_phone(text, args.region).map_err(|error| error.to_string()),
    };
    let label = args.own_label.as_ref();
    let label = label.map(|label| Label::new(label.as_bytes())).transpose();
    let identifier = identifier.map_err(|error| Failure::BadInput(format!("--own: {error}")))?;
    Ok(Some(Own {
        identifier: contacts.include(identifier),
        label: label.map_err(|error| Failure::BadInput(format!("--own-label: {error}")))?,
    }))
}

/// Reads an address book; its first bytes tell which kind.
pub(crate) fn read_contacts(path: &Path, region: Option<Region>) -> Result<ContactSet, Failure> {
    let bytes = read(path, MAX_IMPORT_BYTES as u64)?;
    parse_contacts(&bytes, region)
        .map_err(|error| Failure::BadInput(format!("{}: {error}", path.display())))
}

pub(crate) fn parse_contacts(
    bytes: &[u8],
    region: Option<Region>,
) -> Result<ContactSet, blindbook::client::contacts::ImportError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let begins = text.trim_ascii_start().get(..6).unwrap_or_default();
    if begins.eq_ignore_ascii_case(b"BEGIN:") {
        ContactSet::from_vcard(bytes, region)
    } else {
        ContactSet::from_csv(bytes, region)
    }
}

fn read_state(path: &Path, service: &ServiceId) -> Result<SyncState, Failure> {
    match read_if_there(path, MAX_STATE)? {
        None => Ok(SyncState::new(service, &mut UnwrapErr(SysRng))),
        Some(bytes) => SyncState::decode(&zeroize::Zeroizing::new(bytes), service)
            .map_err(|error| Failure::BadInput(format!("{}: {error}", path.display()))),
    }
}

impl Report {
    pub(crate) fn new(
        contacts: &ContactSet,
        lookup: Lookup,
        quota: Option<blindbook::http_client::QuotaState>,
    ) -> Self {
        let name = |index: usize| {
            let contact = contacts.contacts().get(index);
            contact.map_or_else(String::new, |contact| contact.name().to_owned())
        };
        // A list of bare numbers has no names: the line tells which one it is.
        let name_or_line = |index: usize| match contacts.contacts().get(index) {
            Some(contact) if contact.name().is_empty() => contact.location().to_string(),
            _ => name(index),
        };
        let found = lookup.matches.iter().map(|found| {
            let owners = contacts.owners(found.identifier).iter();
            FoundContact {
                names: owners.map(|&owner| name_or_line(owner)).collect(),
                label: found.label.as_bytes().escape_ascii().to_string(),
            }
        });
        let unusable = contacts.rejected().iter().map(|rejected| Unusable {
            entry: rejected.location.entry,
            line: rejected.location.line,
            name: rejected.contact.map(name).unwrap_or_default(),
            reason: match rejected.kind {
                Some(kind) => format!("{kind}: {}", rejected.reason),
                None => rejected.reason.to_string(),
            },
        });
        Self {
            found: found.collect(),
            not_lookable: unusable.collect(),
            contacts: contacts.contacts().len(),
            identifiers: contacts.identifiers().len(),
            duplicates: contacts.duplicates(),
            quota: quota.map(|quota| Quota {
                remaining: quota.remaining,
                capacity: quota.capacity,
            }),
            lookup,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |rows: Vec<Vec<String>>| table(&rows, &[]);
        let found = self.found.iter().map(|one| {
            let names: Vec<&str> = one.names.iter().map(String::as_str).collect();
            vec![names.join(" = "), one.label.clone()]
        });
        writeln!(f, "found on the service:")?;
        f.write_str(&rows(found.collect()))?;
        if self.found.is_empty() {
            writeln!(f, "  nobody")?;
        }
        if !self.not_lookable.is_empty() {
            writeln!(f, "\ncan't be looked up:")?;
            let listed = self.not_lookable.iter().take(LISTED);
            let listed = listed.map(|one| {
                let line = one
                    .line
                    .map_or_else(String::new, |line| format!("line {line}"));
                vec![line, one.name.clone(), one.reason.clone()]
            });
            f.write_str(&rows(listed.collect()))?;
            if self.not_lookable.len() > LISTED {
                writeln!(f, "  ... and {} more", self.not_lookable.len() - LISTED)?;
            }
        }
        writeln!(
            f,
            "\n{} contacts, {} different numbers and addresses ({} duplicates), {} found",
            count(self.contacts as u64),
            count(self.identifiers as u64),
            count(self.duplicates as u64),
            count(self.found.len() as u64)
        )?;
        write!(f, "{}", self.lookup)?;
        if let Some(quota) = &self.quota {
            write!(f, "\nquota left: {}", count(quota.remaining))?;
            if let Some(capacity) = quota.capacity {
                write!(f, " of {}", count(capacity))?;
            }
        }
        Ok(())
    }
}
