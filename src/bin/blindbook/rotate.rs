//! `rotate`: has a running service rotate its key, or does it while no service runs.

use std::{fmt, path::PathBuf};

use blindbook::{
    http::{Parts, RotationStatus},
    server::rotation::RotationKind,
    store::{Epochs, RedbStore, RotateError, RotationStore, Rotator},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;

use crate::{
    config::{Config, clock},
    failure::Failure,
    operator::Operator,
    publish::or_offline,
    text::{count, duration},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service's configuration
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// After an incident: what was learned under the old key is of no use under the new one, and phones pay again
    #[arg(long)]
    hard: bool,
    /// Opens the keys and the store itself, for a service that doesn't run
    #[arg(long)]
    offline: bool,
    /// Says how far a rotation has come, and does nothing
    #[arg(long, conflicts_with = "hard")]
    status: bool,
}

/// Where a service stands.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Report(RotationStatus);

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let config = Config::read(&args.config)?;
    let kind = if args.hard {
        RotationKind::Hard
    } else {
        RotationKind::Soft
    };
    if args.offline {
        return offline(&config, kind, args.status).map(Report);
    }
    let operator = Operator(config.listen.operator);
    let answer = match (args.status, kind) {
        (true, _) => operator.get("/rotate"),
        (false, RotationKind::Soft) => operator.order("/rotate"),
        (false, RotationKind::Hard) => operator.order("/rotate?hard"),
    };
    answer.map(Report).map_err(or_offline)
}

fn offline(
    config: &Config,
    kind: RotationKind,
    only_look: bool,
) -> Result<RotationStatus, Failure> {
    let parts: Parts<RedbStore> = config.open()?;
    let Parts {
        store,
        evaluator,
        publisher,
        keeper,
        carry_for,
        ..
    } = parts;
    let rotating = async {
        let epochs = Epochs::load(&store, evaluator, &*keeper).await?;
        let mut current = epochs.current().clone();
        if !only_look {
            let rotator = Rotator::new(&store, &*keeper);
            let until = match kind {
                RotationKind::Hard => None,
                RotationKind::Soft => Some(clock()),
            };
            if store.end_window(until).await? {
                rotator.finish().await?;
            }
            let publisher = publisher.in_epoch(current.epoch(), current.public_key().clone());
            let (_, next) = rotator
                .begin(&current, kind, &mut UnwrapErr(SysRng))
                .await?;
            let delta = next.delta.as_ref().ok_or(RotateError::KeyLost)?;
            rotator.rekey(delta, &|_| {}).await?;
            let mut prepared = rotator.prepare(&publisher, &next, clock(), &|_| {}).await?;
            // Nobody else has the store open.
            let window = rotator.switch(&mut prepared, carry_for).await?;
            let window = window.ok_or(RotateError::Conflict)?;
            let epochs = Epochs::switched(&current, next, window);
            current = epochs.current().clone();
            rotator.drop_old().await?;
            rotator.finish().await?;
        }
        let rotation = store.rotation().await?;
        Ok(RotationStatus::new(
            current.epoch().get(),
            rotation.as_ref(),
        ))
    };
    let status: Result<_, RotateError> = crate::serve::runtime()?.block_on(rotating);
    Ok(status?)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = &self.0;
        let kind = status.kind.as_deref().unwrap_or("no");
        write!(f, "epoch {} is served", status.epoch)?;
        let now = clock().as_micros() / 1_000_000;
        let left = |until: Option<u64>| duration(until.unwrap_or(now).saturating_sub(now));
        match (status.phase.as_str(), status.to) {
            ("rekeying", Some(to)) => write!(
                f,
                "; a {kind} rotation to epoch {to} is under way: {} members have a row in it",
                count(status.rekeyed.unwrap_or(0))
            ),
            ("window", _) => write!(
                f,
                "; epoch {} still evaluates for {}, and what phones learned in it is carried over for {}",
                status.epoch.saturating_sub(1),
                left(status.evaluate_until),
                left(status.carry_until)
            ),
            ("ending", _) => f.write_str("; what is left of the one before is being destroyed"),
            _ => f.write_str(", and nothing is left of the one before"),
        }
    }
}

impl From<RotateError> for Failure {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Busy { until } => Self::Refused {
                retry_after: Some(until.saturating_since(clock()).as_secs() + 1),
                message: error.to_string(),
            },
            RotateError::Publish(error) => error.into(),
            RotateError::Keys(_) | RotateError::Store(_) => Self::machine(error),
            RotateError::Element(_) => Self::defect(error),
            other => Self::bad_input(other),
        }
    }
}
