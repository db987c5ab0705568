//! `publish`: has a running service publish who can be found, or does it while no service runs.

use std::{fmt, io::Read, net::SocketAddr, path::PathBuf, time::Duration};

use blindbook::{http::Parts, store::RedbStore};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, clock},
    failure::Failure,
    text::{bytes, count, printable},
};

/// Longest answer of the operator's listener, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;
/// A large set takes minutes.
const TIMEOUT: Duration = Duration::from_secs(3_600);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// Opens the keys and the store itself, for a service that doesn't run
    #[arg(long)]
    offline: bool,
}

/// What is published now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) sequence: u64,
    pub(crate) members: u64,
    pub(crate) bytes: u64,
    pub(crate) collisions: u64,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let config = Config::read(&args.config)?;
    if args.offline {
        return offline(&config);
    }
    request(config.listen.operator)
}

/// Asks the operator's listener of a running service.
pub(crate) fn request(operator: SocketAddr) -> Result<Report, Failure> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // The operator's listener is near; a proxy from the environment isn't on the way.
        .proxy(None)
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent();
    let response = agent
        .post(format!("http://{operator}/publish"))
        .send_empty()
        .map_err(|error| {
            Failure::Unreachable(format!(
                "the operator's listener at {operator}: {error}; does `serve` run? Else try --offline"
            ))
        })?;
    let succeeded = response.status().is_success();
    let mut answer = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    if !succeeded {
        let said: Option<serde_json::Value> = serde_json::from_slice(&answer).ok();
        let why = said.as_ref().and_then(|said| said.get("error")?.as_str());
        return Err(Failure::Refused {
            message: format!(
                "the service couldn't publish: {}",
                printable(why.unwrap_or("it doesn't say why"))
            ),
            retry_after: None,
        });
    }
    serde_json::from_slice(&answer).map_err(Failure::defect)
}

fn offline(config: &Config) -> Result<Report, Failure> {
    let parts: Parts<RedbStore> = config.open()?;
    let publishing = parts.publisher.publish(&parts.store, clock());
    let publication = crate::serve::runtime()?.block_on(publishing)?;
    let base = publication.manifest.base();
    Ok(Report {
        sequence: publication.manifest.claims().sequence,
        members: base.count,
        bytes: base.size,
        collisions: publication.collisions as u64,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "published: manifest {}, {} members, {}",
            self.sequence,
            count(self.members),
            bytes(self.bytes)
        )?;
        if self.collisions > 0 {
            write!(
                f,
                "; {} left out, whose tag is another member's too",
                self.collisions
            )?;
        }
        Ok(())
    }
}
