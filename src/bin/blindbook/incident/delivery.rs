//! The ways by which a notice is handed over.
//!
//! All of them may get a notice again under the same name, if something was killed between the handing over and the
//! confirmation: whoever takes it tells a person once for each name.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use ureq::{Agent, tls::TlsConfig};

use crate::{failure::Failure, files};

/// A notice, as it is handed over.
#[derive(Serialize)]
pub(super) struct Notice<'a> {
    pub(super) service: &'a str,
    pub(super) incident: u64,
    /// The name that a repetition is recognised by.
    pub(super) notice: &'a str,
    /// Who is to be told.
    pub(super) handle: &'a str,
    pub(super) subject: &'a str,
    pub(super) text: &'a [String],
}

/// Where a notice is handed over.
pub(crate) enum Delivery {
    /// A program: the notice on its standard input, its name in `BLINDBOOK_NOTICE`.
    Command(PathBuf, Duration),
    /// A URL: the notice as the body, its name as the idempotency key.
    Webhook(Box<Agent>, String),
    /// A folder: the notice as a file by its name.
    Spool(PathBuf),
}

impl Delivery {
    pub(super) fn webhook(url: &str, timeout: Duration) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .build()
            .new_agent();
        Self::Webhook(Box::new(agent), url.to_owned())
    }

    /// Looks whether it can be worked with, before anybody is in flight.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Spool(folder) if !folder.is_dir() => Err(Failure::BadInput(format!(
                "{}: not a folder; make it, and have what tells people take from it",
                folder.display()
            ))),
            Self::Command(program, _) if program.components().count() > 1 && !program.is_file() => {
                Err(Failure::BadInput(format!(
                    "{}: not a program",
                    program.display()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Hands a notice over. What went wrong says nothing about whom it concerns.
    pub(super) fn hand_over(&self, notice: &Notice<'_>) -> Result<(), String> {
        let document = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
        match self {
            Self::Command(program, timeout) => command(program, *timeout, notice, &document),
            Self::Webhook(agent, url) => agent
                .post(url)
                .header("content-type", "application/json")
                .header("idempotency-key", notice.notice)
                .send(&document[..])
                .map(drop)
                .map_err(|error| error.to_string()),
            Self::Spool(folder) => spool(folder, notice.notice, &document),
        }
    }
}

fn command(
    program: &Path,
    timeout: Duration,
    notice: &Notice<'_>,
    document: &[u8],
) -> Result<(), String> {
    let mut child = Command::new(program)
        .env("BLINDBOOK_NOTICE", notice.notice)
        .env("BLINDBOOK_INCIDENT", notice.incident.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    // Shorter than any pipe holds, so that this doesn't wait for a program that doesn't read.
    let written = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(document));
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < timeout => thread::sleep(Duration::from_millis(2)),
            outcome => {
                // It may have ended meanwhile.
                let _ended = child.kill();
                let _code = child.wait();
                return Err(match outcome {
                    Err(error) => error.to_string(),
                    Ok(_) => String::from("the program took too long"),
                });
            }
        }
    };
    match written {
        // A program that knows the name already needn't read on.
        Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ if status.success() => Ok(()),
        _ => Err(format!("the program ended with {status}")),
    }
}

/// A file by the notice's name, there whole or not at all. Whoever takes it moves it into `done/`; what is there or in the
/// folder isn't written again.
fn spool(folder: &Path, name: &str, document: &[u8]) -> Result<(), String> {
    let file = format!("{name}.json");
    let path = folder.join(&file);
    let there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if there(&path) || there(&folder.join("done").join(&file)) {
        return Ok(());
    }
    files::replace_private(&path, document).map_err(|failure| failure.to_string())?;
    // The file's name has to survive as well as its content, before anybody takes this for done.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| error.to_string())
}
