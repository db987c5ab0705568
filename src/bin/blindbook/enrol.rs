//! `enrol`: a registrar's import of members from a file of any size.
//!
//! ```text
//! file --> parse, normalise --> evaluate, derive N --> PUT /v1/members --> progress file
//!             one thread            another              this one
//! ```
//!
//! A batch is done when the service has said so and its rejected lines are listed; only then the progress file moves on.
//! Whatever happens in between, the batch is sent again: the evaluation is repeated and paid again, the enrolment
//! changes nothing, and what was listed of it is struck off the list before.

mod batch;
mod progress;

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    thread,
    time::Instant,
};

use blindbook::client::contacts::{EnrolmentReader, Region};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use zeroize::Zeroizing;

pub(crate) use self::batch::Consents;
use self::{
    batch::{Batch, Rejection},
    progress::Progress,
};
use crate::{
    connection::{Connection, ConnectionArgs},
    failure::Failure,
    files::with_suffix,
    registrar::Registrar,
    text::{count, elapsed},
};

/// Lines of a batch.
pub(crate) const BATCH: u16 = 8_192;
/// Batches that wait between two steps.
const AHEAD: usize = 1;
/// Rejected lines that are listed in the report; all of them are in the file beside it.
const LISTED: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Lines of: identifier, handle, audience (everyone or nobody, which is the default), consented_at
    /// (2026-11-01T12:00:00Z or seconds since 1970), region (where the person lives, for example CH)
    file: PathBuf,
    /// The region of numbers without country code, for example CH
    #[arg(long, value_name = "CC")]
    region: Option<Region>,
    /// Which text the people whose audience is everyone agreed to, for example 2026-11
    #[arg(long, value_name = "VERSION", requires = "consent_surface")]
    consent_text: Option<String>,
    /// Where they agreed, for example ios/settings
    #[arg(long, value_name = "NAME", requires = "consent_text")]
    consent_surface: Option<String>,
    /// Begins at the first line again, also if an earlier run got further
    #[arg(long)]
    restart: bool,
    /// How many lines are evaluated in one request: at most what the service's policy lets a registrar send
    #[arg(long, value_name = "LINES", default_value_t = BATCH, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What became of the file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Lines that an earlier run had done.
    resumed_after_line: u64,
    /// Members that are now otherwise than before.
    pub(crate) changed: u64,
    /// Members who were like that already.
    pub(crate) unchanged: u64,
    pub(crate) rejected: u64,
    /// The first of them.
    rejected_lines: Vec<Rejection>,
    /// Where all of them are, if there are any.
    rejected_file: Option<String>,
    pub(crate) seconds: f64,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let consents = Consents::new(
        args.consent_text.as_deref(),
        args.consent_surface.as_deref(),
    )?;
    let connection = args.connection.connect()?;
    let import = Import {
        file: &args.file,
        region: args.region,
        consents: &consents,
        restart: args.restart,
        batch: args.batch,
    };
    import.run(&connection)
}

/// A file, and how it is to be enrolled.
pub(crate) struct Import<'a> {
    pub(crate) file: &'a Path,
    pub(crate) region: Option<Region>,
    pub(crate) consents: &'a Consents,
    pub(crate) restart: bool,
    pub(crate) batch: u16,
}

impl Import<'_> {
    /// Enrols everybody in the file.
    pub(crate) fn run(&self, connection: &Connection) -> Result<Report, Failure> {
        let Self {
            file: path,
            region,
            consents,
            restart,
            batch,
        } = *self;
        let size_of_batch = usize::from(batch);
        let begun = Instant::now();
        let registrar = Registrar::start(connection)?;
        let size = std::fs::metadata(path)
            .map_err(|error| Failure::file(path, &error))?
            .len();
        let mut progress = if restart {
            Progress::begin(path, &registrar)?
        } else {
            Progress::resume(path, &registrar)?
        };
        let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
        let position = progress.position();
        let reader = EnrolmentReader::resume(BufReader::new(file), region, position)
            .map_err(|error| Failure::BadInput(format!("{}: {error}", path.display())))?;
        let rejected_path = with_suffix(path, ".rejected");
        let mut rejections = Rejections::resume(&rejected_path, progress.rejected())?;
        // Before anything is paid for: it tells whether the disk takes it, and what an earlier run left is gone.
        progress.save()?;
        let mut report = Report {
            resumed_after_line: position.line - 1,
            changed: 0,
            unchanged: 0,
            rejected: 0,
            rejected_lines: Vec::new(),
            rejected_file: None,
            seconds: 0.0,
        };

        let bar = bar(size, position.offset);
        let label_length = registrar.label_length();
        let outcome = thread::scope(|scope| {
            let (sender, batches) = sync_channel(AHEAD);
            scope.spawn(move || {
                let mut reader = reader;
                loop {
                    let batch = Batch::read(&mut reader, size_of_batch, label_length, consents)
                        .map_err(|error| Failure::file(path, &error));
                    let last = !matches!(&batch, Ok(Some(_)));
                    // Nobody listens any more if a batch before this one failed.
                    if sender.send(batch).is_err() || last {
                        return;
                    }
                }
            });
            let (sender, evaluated) = sync_channel(AHEAD);
            let registrar = &registrar;
            scope.spawn(move || {
                while let Ok(batch) = batches.recv() {
                    let evaluated = batch.and_then(|batch| {
                        let Some(mut batch) = batch else {
                            return Ok(None);
                        };
                        let members = std::mem::take(&mut batch.members);
                        let message = registrar.evaluate(&batch.identifiers, members)?;
                        Ok(Some((batch, message.map(Zeroizing::new))))
                    });
                    let last = !matches!(&evaluated, Ok(Some(_)));
                    if sender.send(evaluated).is_err() || last {
                        return;
                    }
                }
            });
            while let Ok(evaluated) = evaluated.recv() {
                let Some((mut batch, message)) = evaluated? else {
                    break;
                };
                let message = message.as_ref().map(|message| message.as_slice());
                let outcome = registrar.enrol(message, batch.lines.len())?;
                for refused in outcome.refused {
                    if let Some(line) = batch.lines.get(usize::from(refused.index)) {
                        batch.rejected.push(Rejection::new(*line, &refused.error));
                    }
                }
                batch
                    .rejected
                    .sort_unstable_by_key(|rejection| rejection.line);
                rejections.write(&batch.rejected)?;
                progress.advance(batch.next, rejections.length)?;
                report.changed += u64::from(outcome.changed);
                report.unchanged += u64::from(outcome.unchanged);
                report.rejected += batch.rejected.len() as u64;
                let room = LISTED.saturating_sub(report.rejected_lines.len());
                report
                    .rejected_lines
                    .extend(batch.rejected.into_iter().take(room));
                bar.set_position(batch.next.offset);
            }
            Ok::<(), Failure>(())
        });
        bar.finish_and_clear();
        outcome.map_err(|failure| match progress.position().line - 1 {
            0 => failure,
            lines => failure.hint(&format!(
                "{} lines are done, and not done again",
                count(lines)
            )),
        })?;
        report.rejected_file = (report.rejected > 0).then(|| rejected_path.display().to_string());
        report.seconds = begun.elapsed().as_secs_f64();
        Ok(report)
    }
}

/// On standard error, and only if that is a terminal.
fn bar(size: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(size).with_position(done);
    let style = "  enrolling {wide_bar} {percent:>3} %  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

/// The file that all rejected lines are listed in, by number and reason.
struct Rejections {
    path: PathBuf,
    /// In bytes.
    length: u64,
    file: Option<File>,
}

impl Rejections {
    /// Goes on behind the first `length` bytes; what follows them is of a batch that is sent again.
    fn resume(path: &Path, length: u64) -> Result<Self, Failure> {
        let cut = || match File::options().write(true).open(path) {
            Ok(_) if length == 0 => std::fs::remove_file(path).map(|()| 0),
            Ok(file) => {
                let length = file.metadata()?.len().min(length);
                file.set_len(length).map(|()| length)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            length: cut().map_err(|error| Failure::file(path, &error))?,
            file: None,
        })
    }

    fn write(&mut self, rejections: &[Rejection]) -> Result<(), Failure> {
        if rejections.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for rejection in rejections {
            text.push_str(&format!("{rejection}\n"));
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let opened = File::options()
                    .create(true)
                    .append(true)
                    .open(&self.path)
                    .map_err(|error| Failure::file(&self.path, &error))?;
                self.file.insert(opened)
            }
        };
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(|error| Failure::file(&self.path, &error))?;
        self.length += text.len() as u64;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resumed_after_line > 0 {
            writeln!(f, "went on after line {}", count(self.resumed_after_line))?;
        }
        for rejection in &self.rejected_lines {
            writeln!(f, "{rejection}")?;
        }
        if self.rejected > self.rejected_lines.len() as u64 {
            let more = self.rejected - self.rejected_lines.len() as u64;
            writeln!(f, "... and {} more", count(more))?;
        }
        if let Some(path) = &self.rejected_file {
            writeln!(f, "all rejected lines: {path}")?;
        }
        let members = self.changed + self.unchanged;
        if self.resumed_after_line > 0 && members + self.rejected == 0 {
            return f.write_str("nothing was left to do; --restart begins at the first line again");
        }
        write!(
            f,
            "{} members enrolled in {} ({} a second); {} were like that already, {} lines rejected",
            count(self.changed),
            elapsed(self.seconds),
            count((members as f64 / self.seconds.max(1e-6)) as u64),
            count(self.unchanged),
            count(self.rejected),
        )
    }
}
