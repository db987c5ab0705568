//! `publish`: has a running service publish who can be found, or does it while no service runs.

use std::{
    fmt,
    io::{IsTerminal, Read, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use blindbook::{
    http::{Parts, PublicationReport},
    store::{Pace, RedbStore, Work},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ureq::{Body, http::Response};

use crate::{
    config::{Config, clock},
    failure::{Failure, slot_hint},
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
    /// Publishes also if this slot has had its publication: the delta tells more exactly who joined when
    #[arg(long)]
    now: bool,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<Report, Failure> {
    let config = Config::read(&args.config)?;
    let pace = if args.now {
        Pace::Now
    } else {
        Pace::OncePerSlot
    };
    if args.offline {
        return offline(&config, pace, json);
    }
    let operator = config.listen.operator;
    let plan: Planned = ask(operator, |agent, url| agent.get(url).call(), "/publish")?;
    say_plan(&plan.plan, json)?;
    request(operator, pace)
}

#[derive(Deserialize)]
struct Planned {
    plan: String,
}

/// Has a running service publish.
pub(crate) fn request(operator: SocketAddr, pace: Pace) -> Result<Report, Failure> {
    let path = match pace {
        Pace::OncePerSlot => "/publish",
        Pace::Now => "/publish?now",
    };
    ask(operator, |agent, url| agent.post(url).send_empty(), path).map(Report)
}

/// Asks the operator's listener of a running service.
fn ask<T: DeserializeOwned>(
    operator: SocketAddr,
    send: impl FnOnce(&ureq::Agent, &str) -> Result<Response<Body>, ureq::Error>,
    path: &str,
) -> Result<T, Failure> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        // The operator's listener is near; a proxy from the environment isn't on the way.
        .proxy(None)
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent();
    let response = send(&agent, &format!("http://{operator}{path}")).map_err(|error| {
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
        let said = said.unwrap_or_default();
        let why = said.get("error").and_then(|why| why.as_str());
        let why = printable(why.unwrap_or("it doesn't say why"));
        let retry_after = said.get("retry_after").and_then(|wait| wait.as_u64());
        let refused = Failure::Refused {
            message: format!("the service didn't publish: {why}"),
            retry_after,
        };
        return Err(match retry_after {
            Some(wait) => refused.hint(&slot_hint(wait)),
            None => refused,
        });
    }
    serde_json::from_slice(&answer).map_err(Failure::defect)
}

fn offline(config: &Config, pace: Pace, json: bool) -> Result<Report, Failure> {
    let parts: Parts<RedbStore> = config.open()?;
    let at = clock();
    let bar = ProgressBar::hidden();
    if !json && std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} {eta}");
        bar.set_style(style.map_err(Failure::defect)?);
    }
    let watch = |work| {
        let (name, done, all) = match work {
            Work::Read(done, all) => ("reading members", done, all),
            Work::Written(done, all) => ("writing the base", done, all),
            _ => return,
        };
        bar.set_message(name);
        bar.set_length(all);
        bar.set_position(done);
    };
    let published = crate::serve::runtime()?.block_on(async {
        let plan = parts.publisher.plan(&parts.store, at).await?;
        say_plan(&plan.to_string(), json)?;
        let publishing = parts.publisher.publish(&parts.store, at, pace, &watch);
        Ok::<_, Failure>(publishing.await?)
    });
    bar.finish_and_clear();
    Ok(Report(PublicationReport::from(&published?)))
}

/// Before the work begins, beside the report, which is on standard output.
fn say_plan(plan: &str, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(());
    }
    writeln!(std::io::stderr(), "plan: {}", printable(plan)).map_err(Failure::machine)
}

/// What was published.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Report(pub(crate) PublicationReport);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        write!(
            f,
            "published: manifest {}, {} members; base {}",
            report.sequence,
            count(report.members),
            bytes(report.bytes)
        )?;
        let mut deltas: Vec<_> = report.written.iter().filter(|one| one.from > 0).collect();
        deltas.sort_unstable_by_key(|delta| delta.from);
        if let Some(last) = deltas.pop() {
            write!(
                f,
                ", delta from the last set {} (+{} -{})",
                bytes(last.bytes),
                count(last.adds),
                count(last.deletes)
            )?;
        }
        if let Some(longest) = deltas.iter().map(|delta| delta.bytes).max() {
            write!(
                f,
                ", from {} before it up to {}",
                count(deltas.len() as u64),
                bytes(longest)
            )?;
        }
        if report.written.is_empty() {
            f.write_str("; nothing has changed")?;
        }
        if report.collisions > 0 {
            write!(
                f,
                "; {} left out, whose tag is another member's too",
                report.collisions
            )?;
        }
        Ok(())
    }
}
