//! `setting`: who can find an account, seen and chosen with the account's own credential.

use std::fmt;

use blindbook::{
    http::{ConsentRecord, IdentifierSetting, SettingOrder, SettingStatus},
    http_client::Transport,
};
use serde::Serialize;

use crate::{
    config::clock,
    connection::{EndpointArgs, retried},
    failure::Failure,
    text::{duration, printable},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows who can find the account's identifiers
    Show {
        #[command(flatten)]
        endpoint: EndpointArgs,
    },
    /// Has nobody find them, from the next publication on
    Off {
        #[command(flatten)]
        endpoint: EndpointArgs,
    },
    /// Has everyone find them
    On {
        #[command(flatten)]
        endpoint: EndpointArgs,
        /// The version of the text that was agreed to just now; needed but where the service's table of regions waives it
        #[arg(long, value_name = "VERSION", requires = "consent_surface")]
        consent_text: Option<String>,
        /// Where it was agreed to, for example ios/settings
        #[arg(long, value_name = "WHERE", requires = "consent_text")]
        consent_surface: Option<String>,
    },
}

/// How the account stands.
#[derive(Serialize)]
pub(crate) struct Report(SettingStatus);

pub(crate) fn run(command: &Command) -> Result<Report, Failure> {
    let (endpoint, order) = match command {
        Command::Show { endpoint } => (endpoint, None),
        Command::Off { endpoint } => (endpoint, Some(order("nobody", None))),
        Command::On {
            endpoint,
            consent_text,
            consent_surface,
        } => {
            let names = consent_text.clone().zip(consent_surface.clone());
            let consent = names.map(|(text_version, surface)| ConsentRecord {
                at: clock().as_micros() / 1_000_000,
                text_version,
                surface,
            });
            (endpoint, Some(order("everyone", consent)))
        }
    };
    let transport = Transport::new(endpoint.endpoint()?)?;
    let answer = match order {
        None => retried(|| transport.setting()),
        Some(order) => {
            let document = serde_json::to_vec(&order).map_err(Failure::defect)?;
            retried(|| transport.choose(&document))
        }
    }?;
    serde_json::from_slice(&answer)
        .map(Report)
        .map_err(|_| Failure::defect("the service sent something else than a setting"))
}

fn order(audience: &str, consent: Option<ConsentRecord>) -> SettingOrder {
    SettingOrder {
        audience: audience.to_owned(),
        consent,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = &self.0;
        let all = status.identifiers.len();
        let hidden = |one: &&IdentifierSetting| one.audience == "nobody";
        let found = all - status.identifiers.iter().filter(hidden).count();
        let wait = status.next_publication.saturating_sub(status.now);
        writeln!(
            f,
            "{found} of {all} identifiers can be found; published like that in {} at the latest",
            duration(wait)
        )?;
        for (number, one) in (1..).zip(&status.identifiers) {
            let region = one.region.as_deref().unwrap_or("region unknown");
            write!(
                f,
                "{number}. {}, {}",
                printable(&one.audience),
                printable(region)
            )?;
            if let Some(since) = one.since {
                write!(f, ", for {}", duration(status.now.saturating_sub(since)))?;
            }
            if let Some(consent) = &one.consent {
                let (text, surface) = (
                    printable(&consent.text_version),
                    printable(&consent.surface),
                );
                write!(f, ", by consent to {text} at {surface}")?;
            }
            if number < all {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
