//! `incident notify`: hands each notice over, and says so to the service.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use blindbook::http::{HandedNotice, HandedOut, IncidentStatus, NoticeList};
use rand::{Rng, rand_core::UnwrapErr, rngs::SysRng};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    WhichArgs,
    delivery::{Delivery, Notice},
};
use crate::{failure::Failure, operator::Operator, text::printable};

/// Notices in flight at once: those that are handed over again if this is killed.
const PAGE: usize = 32;
/// So many failures in a row, and the receiver is what fails.
const PATIENCE: u32 = 10;

#[derive(Debug, clap::Args)]
#[group(id = "way", required = true, multiple = false, args = ["command", "webhook", "spool"])]
pub(crate) struct Args {
    #[command(flatten)]
    which: WhichArgs,
    /// A program that tells one person: the notice as JSON on its standard input, its name in BLINDBOOK_NOTICE. It may get a
    /// notice again, under the same name
    #[arg(long, value_name = "PROGRAM")]
    command: Option<PathBuf>,
    /// A URL that gets each notice as JSON, with its name as Idempotency-Key. It may get a notice again, under the same key
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// A folder that gets each notice as a file. Whoever takes a file moves it into `done/` in it
    #[arg(long, value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// Tells people although the key hasn't been rotated hard: who joins later can be found by what was harvested
    #[arg(long)]
    without_rotation: bool,
    /// Seconds that the program or the URL may take for one notice
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    timeout: u32,
}

/// Who was told.
#[derive(Debug, Serialize)]
pub(crate) struct Notified {
    /// By this command.
    pub(crate) handed_over: u64,
    /// Tried by this command, in vain.
    pub(super) failed: u64,
    pub(crate) status: IncidentStatus,
}

pub(super) fn run(args: &Args, json: bool) -> Result<(Notified, Option<Failure>), Failure> {
    let timeout = Duration::from_secs(u64::from(args.timeout));
    let delivery = match (&args.command, &args.webhook, &args.spool) {
        (Some(program), _, _) => Delivery::Command(program.clone(), timeout),
        (_, Some(url), _) => Delivery::webhook(url, timeout),
        (_, _, Some(folder)) => Delivery::Spool(folder.clone()),
        _ => return Err(Failure::bad_input("--command, --webhook or --spool")),
    };
    delivery.check()?;
    let order = json!({
        "incident": args.which.incident,
        "without_rotation": args.without_rotation,
    });
    let silent = json || !std::io::stderr().is_terminal();
    let operator = args.which.service.operator()?;
    tell(operator, &order, delivery, args.timeout, silent)
}

/// Has everybody told that the order lists, in at most `timeout` seconds each.
pub(crate) fn tell(
    operator: Operator,
    order: &Value,
    delivery: Delivery,
    timeout: u32,
    silent: bool,
) -> Result<(Notified, Option<Failure>), Failure> {
    let list: NoticeList = operator.post("/incident/list", order)?;
    let mut runner = Runner {
        operator,
        delivery,
        // Longer than one notice can take: each confirmation renews it.
        lease_seconds: timeout * 2,
        holder: UnwrapErr(SysRng).next_u64(),
        silent,
        notified: Notified {
            handed_over: 0,
            failed: 0,
            status: list.status.clone(),
        },
        last_failure: None,
        in_a_row: 0,
    };
    let ended = runner.all(&list);
    // Whoever comes next needn't wait. If that isn't heard, they wait.
    runner.lease_seconds = 0;
    let _heard = runner.confirm(&[]);
    ended?;
    let Runner {
        notified,
        last_failure,
        ..
    } = runner;
    let failed = last_failure.map(|why| {
        Failure::Unreachable(format!(
            "{} notices couldn't be handed over and wait to be tried again; the last one: {}",
            notified.failed,
            printable(&why)
        ))
    });
    Ok((notified, failed))
}

struct Runner {
    operator: Operator,
    delivery: Delivery,
    lease_seconds: u32,
    holder: u64,
    silent: bool,
    notified: Notified,
    last_failure: Option<String>,
    in_a_row: u32,
}

impl Runner {
    fn all(&mut self, list: &NoticeList) -> Result<(), Failure> {
        let mut after: Option<String> = None;
        loop {
            let page = self.page(after.as_deref())?;
            for notice in &page.notices {
                self.one(list, notice)?;
                if self.in_a_row >= PATIENCE {
                    return Ok(());
                }
            }
            if page.notices.len() < PAGE {
                return Ok(());
            }
            after = page.notices.last().map(|last| last.id.clone());
        }
    }

    /// The next notices. Waits while somebody else may be handing over, perhaps a run of this command that was killed.
    fn page(&self, after: Option<&str>) -> Result<HandedOut, Failure> {
        let order = json!({
            "incident": self.notified.status.incident,
            "holder": self.holder,
            "lease_seconds": self.lease_seconds,
            "after": after,
            "limit": PAGE,
        });
        loop {
            match self.operator.post("/incident/notices", &order) {
                Err(Failure::Refused {
                    retry_after: Some(wait),
                    ..
                }) => {
                    if !self.silent {
                        // Whoever can't read it waits all the same.
                        let _told = writeln!(
                            std::io::stderr(),
                            "somebody else hands notices over, or was killed; waiting for {wait} s"
                        );
                    }
                    thread::sleep(Duration::from_secs(wait));
                }
                answer => return answer,
            }
        }
    }

    fn one(&mut self, list: &NoticeList, notice: &HandedNotice) -> Result<(), Failure> {
        let (subject, text) = list
            .words
            .split_first()
            .map_or(("", &[][..]), |(subject, text)| (subject.as_str(), text));
        let handed = self.delivery.hand_over(&Notice {
            service: &list.service,
            incident: self.notified.status.incident,
            notice: &notice.id,
            handle: &notice.handle,
            subject,
            text,
        });
        let arrived = match handed {
            Ok(()) => {
                self.notified.handed_over += 1;
                self.in_a_row = 0;
                &[notice.id.as_str()][..]
            }
            Err(why) => {
                self.notified.failed += 1;
                self.in_a_row += 1;
                self.last_failure = Some(why);
                &[]
            }
        };
        self.confirm(arrived)
    }

    /// Says which notices have arrived, and renews the lease.
    fn confirm(&mut self, arrived: &[&str]) -> Result<(), Failure> {
        let order = json!({
            "incident": self.notified.status.incident,
            "holder": self.holder,
            "lease_seconds": self.lease_seconds,
            "ids": arrived,
        });
        self.notified.status = self.operator.post("/incident/told", &order)?;
        Ok(())
    }
}
