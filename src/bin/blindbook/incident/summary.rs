//! What the commands say.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use blindbook::{
    http::IncidentStatus,
    server::incident::{Report as IncidentReport, Step},
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::notify::Notified;
use crate::{
    failure::Failure,
    files,
    text::{count, duration, table},
};

/// What a command has to say.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Report {
    Status(IncidentStatus),
    All(Vec<IncidentStatus>),
    Written(Box<Written>),
    Notified(Notified),
}

/// A report, written.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    json: PathBuf,
    page: PathBuf,
    report: IncidentReport,
}

/// Writes the report and its page, for the operator alone.
pub(super) fn write(report: IncidentReport, folder: &Path) -> Result<Written, Failure> {
    let name = format!("incident-{}-report-{}", report.incident, report.number);
    let document = serde_json::to_vec_pretty(&report).map_err(Failure::defect)?;
    let json = folder.join(format!("{name}.json"));
    let page = folder.join(format!("{name}.html"));
    files::replace_private(&json, &document)?;
    files::replace_private(&page, report.page().as_bytes())?;
    Ok(Written { json, page, report })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => show(status, f),
            Self::All(all) if all.is_empty() => f.write_str("no incident was ever opened"),
            Self::All(all) => {
                for (index, status) in all.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    show(status, f)?;
                }
                Ok(())
            }
            Self::Written(written) => written.fmt(f),
            Self::Notified(notified) => {
                writeln!(
                    f,
                    "handed over {}, failed {}",
                    count(notified.handed_over),
                    count(notified.failed)
                )?;
                show(&notified.status, f)
            }
        }
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        writeln!(
            f,
            "of at most {} members it was learned that they are members; {} could be found",
            count(report.at_most),
            count(report.members)
        )?;
        let number = |number: Option<u64>| number.map_or_else(|| "?".into(), count);
        let mut rows = vec![
            ["region", "members", "numbers", "at most", "expected"]
                .map(String::from)
                .to_vec(),
        ];
        rows.extend(report.regions.iter().map(|region| {
            vec![
                region.region.clone(),
                count(region.members),
                number(region.numbers),
                count(region.at_most),
                number(region.expected),
            ]
        }));
        f.write_str(&table(&rows, &[1, 2, 3, 4]))?;
        for line in &report.formula {
            writeln!(f, "{line}")?;
        }
        for line in &report.caveats {
            writeln!(f, "note: {line}")?;
        }
        for line in &report.missing {
            writeln!(f, "still to be said: {line}")?;
        }
        writeln!(f, "{}", report.deadline.words)?;
        write!(
            f,
            "written: {} and {}",
            self.json.display(),
            self.page.display()
        )
    }
}

fn several(number: u64, of: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {of}{ending}", count(number))
}

fn show(status: &IncidentStatus, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let suspects = &status.suspects;
    let mut whom = Vec::new();
    if suspects.accounts > 0 {
        whom.push(several(suspects.accounts, "account"));
    }
    if suspects.networks > 0 {
        whom.push(several(suspects.networks, "network"));
    }
    if suspects.new_accounts {
        whom.push("all new accounts".into());
    }
    if suspects.unknown {
        whom.push("nobody knows who".into());
    }
    writeln!(f, "incident {}: {}", status.incident, whom.join(", "))?;
    let steps = status.steps.iter();
    let rows: Vec<Vec<String>> = steps
        .map(|(step, at)| vec![date(*at), words(*step).to_owned()])
        .collect();
    f.write_str(&table(&rows, &[]))?;
    if status.listed {
        let notices = &status.notices;
        writeln!(
            f,
            "{} people: {} told, {} in flight, {} waiting",
            count(notices.all()),
            count(notices.told),
            count(notices.in_flight),
            count(notices.waiting)
        )?;
    }
    match (status.closed, status.seconds_left) {
        (true, _) => f.write_str("closed"),
        (false, 0) => f.write_str("the 72 hours of GDPR Art. 33(1) are over"),
        (false, left) => write!(
            f,
            "{} left of the 72 hours of GDPR Art. 33(1)",
            duration(left)
        ),
    }
}

pub(crate) fn date(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    let text = at.and_then(|at| at.format(&Rfc3339).ok());
    text.unwrap_or_else(|| seconds.to_string())
}

fn words(step: Step) -> &'static str {
    match step {
        Step::Opened => "opened: nothing is forgotten",
        Step::Contained => "contained: suspects are suspended",
        Step::Rotated => "key rotated hard",
        Step::Reported => "reported",
        Step::Listing => "who could be found is being listed",
        Step::Listed => "listed",
        Step::Closed => "closed",
        _ => "another step",
    }
}
