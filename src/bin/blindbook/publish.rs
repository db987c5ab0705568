//! `publish`: has a running service publish who can be found, or does it while no service runs.

use std::{
    fmt,
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
};

use blindbook::{
    http::{Parts, PublicationReport},
    store::{Epochs, Pace, RedbStore, Work},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, clock},
    failure::{Failure, slot_hint},
    operator::Operator,
    text::{bytes, count, printable},
};

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
    let plan: Planned = Operator(operator).get("/publish").map_err(or_offline)?;
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
    let published = Operator(operator).order(path);
    published
        .map(Report)
        .map_err(|failure| match failure.retry_after() {
            Some(wait) => failure.hint(&slot_hint(wait)),
            None => or_offline(failure),
        })
}

pub(crate) fn or_offline(failure: Failure) -> Failure {
    match failure {
        Failure::Unreachable(_) => failure.hint("else try --offline"),
        other => other,
    }
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
        let epochs = Epochs::load(&parts.store, parts.evaluator, &*parts.keeper).await?;
        let current = epochs.current();
        let public_key = current.public_key().clone();
        let publisher = parts.publisher.in_epoch(current.epoch(), public_key);
        let plan = publisher.plan(&parts.store, at).await?;
        say_plan(&plan.to_string(), json)?;
        let publishing = publisher.publish(&parts.store, at, pace, &watch);
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
