//! `demo`: everything on this machine, from a service with fresh keys to the contacts that were found.

mod report;
pub(crate) mod service;
pub(crate) mod town;

use std::{fs::File, io::BufWriter, path::PathBuf};

use blindbook::{
    client::{SyncState, contacts::Region},
    http::Proxies,
    store::Pace,
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

use self::{
    report::Report,
    service::{DemoService, Saw, Staging},
};
use crate::{
    config::clock,
    discover::{self, Lookups, SetArgs, look_up, parse_contacts, read_contacts},
    enrol::{self, Consents, Import},
    failure::Failure,
    publish,
    text::count,
};

/// What is looked up without `--contacts`.
const CONTACTS: &[u8] = include_bytes!("../../../examples/data/contacts.vcf");
const CONTACTS_NAME: &str = "examples/data/contacts.vcf";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Your own address book, vCard or CSV, instead of an invented one. It stays on this machine
    #[arg(long, value_name = "FILE")]
    contacts: Option<PathBuf>,
    /// The region of numbers without country code
    #[arg(long, value_name = "CC", default_value = "GB")]
    region: Region,
    /// How many members the town has
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    members: u64,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<Option<Failure>, Failure> {
    let say = |text: &str| match json {
        true => Ok(()),
        false => crate::print(&text),
    };
    // Read first: a file that can't be used shouldn't cost a town.
    let contacts = match &args.contacts {
        Some(path) => read_contacts(path, Some(args.region))?,
        None => parse_contacts(CONTACTS, Some(args.region)).map_err(Failure::defect)?,
    };
    let name = args
        .contacts
        .as_ref()
        .map_or(CONTACTS_NAME.to_owned(), |path| path.display().to_string());

    let folder = tempfile::Builder::new()
        .prefix("blindbook-demo-")
        .tempdir()
        .map_err(Failure::machine)?;
    let staging = Staging {
        clock,
        proxies: Proxies::default(),
    };
    let service = DemoService::start(folder.path(), staging)?;
    say(&format!(
        "1. a service on http://{}, with fresh keys and a store in {}",
        service.public,
        folder.path().display()
    ))?;

    let file = folder.path().join("town.csv");
    let mut out =
        BufWriter::new(File::create(&file).map_err(|error| Failure::file(&file, &error))?);
    town::write(args.members, &mut out)
        .and_then(|()| std::io::Write::flush(&mut out))
        .map_err(|error| Failure::file(&file, &error))?;
    drop(out);
    say(&format!(
        "2. a registrar enrols a town of {} members",
        count(args.members)
    ))?;
    let consents = Consents::new(Some(town::CONSENT_TEXT), Some(town::CONSENT_SURFACE))?;
    let registrar = service.connect("registrar", "enrol")?;
    let import = Import {
        file: &file,
        region: None,
        consents: &consents,
        restart: false,
        batch: enrol::BATCH,
    };
    let enrolled = import.run(&registrar)?;
    say(&format!("   {enrolled}"))?;

    let published = publish::request(service.operator, Pace::Now)?;
    say(&format!("3. {published}"))?;

    let before = Saw::read(&service.metrics()?);
    let phone = service.connect("somebody", "discover")?;
    let mut state = SyncState::new(&phone.service, &mut UnwrapErr(SysRng));
    say(&format!("4. a phone looks up {name}\n"))?;
    let lookups = Lookups {
        contacts: &contacts,
        own: None,
        set: &SetArgs::default(),
    };
    let outcome = look_up(&phone, &mut state, &lookups, |_| Ok(()))?;
    let discovery = discover::Report::new(&contacts, outcome.lookup, phone.quota());
    let saw = Saw::read(&service.metrics()?).since(&before);
    let report = Report {
        an_element: phone.an_element(),
        enrolled,
        published,
        discovery,
        saw,
        steps: phone.into_steps(),
    };
    service.stop()?;
    crate::emit(&report, json)?;
    Ok(outcome.refused)
}
