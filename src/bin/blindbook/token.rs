//! `token`: a credential for trying things out. In production the operator's backend mints them.

use std::{fmt, path::PathBuf};

use blindbook::http::credential::{Claims, mint};
use serde::Serialize;

use crate::{
    config::{Config, clock},
    failure::Failure,
    hex,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's configuration, for its name and the shared secret
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// The account: any name of 1 to 255 bytes
    #[arg(long)]
    account: String,
    /// What it may do
    #[arg(long, value_enum, default_value_t = Scope::Discover)]
    scope: Scope,
    /// For `--scope setting`: the account's own handle, as its identifiers are enrolled with it
    #[arg(long, required_if_eq("scope", "setting"))]
    handle: Option<String>,
    /// Minutes until it expires: at most a day, or the service refuses it
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Days since the account was made: older ones have more quota
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=36_500))]
    age_days: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Scope {
    /// To look up contacts
    Discover,
    /// To enrol members: a registrar
    Enrol,
    /// To see and to choose who can find the account itself
    Setting,
}

/// A credential.
#[derive(Serialize)]
pub(crate) struct Report {
    token: String,
    expires: u64,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let config = Config::read(&args.config)?;
    let now = clock().as_micros() / 1_000_000;
    let expires = now + args.minutes * 60;
    if args.account.is_empty() || args.account.len() > 255 {
        return Err(Failure::bad_input("an account's name has 1 to 255 bytes"));
    }
    let claims = Claims {
        sub: args.account.clone(),
        aud: config.service.clone(),
        scope: match args.scope {
            Scope::Discover => "discover".into(),
            Scope::Enrol => "enrol".into(),
            Scope::Setting => "setting".into(),
        },
        exp: expires,
        account_created: Some(now.saturating_sub(args.age_days * 86_400)),
        attested: false,
        handle: args
            .handle
            .as_ref()
            .map(|handle| hex::encode(handle.as_bytes())),
    };
    let token = mint(&claims, &config.shared_secret()?).map_err(Failure::bad_input)?;
    Ok(Report {
        token: token.to_string(),
        expires,
    })
}

/// The bare credential, so that it can go into a file or a variable.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.token)
    }
}
