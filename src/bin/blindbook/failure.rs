//! How a command can fail, told apart by its exit code.

use std::{fmt, io, path::Path, process::ExitCode};

use blindbook::{
    http_client::{Problem, TransportError},
    snapshot::ReadError,
    store::{BaseError, PublishError, StoreError},
};

use crate::{
    config::clock,
    text::{duration, printable},
};

/// What went wrong, and whose move it is.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller's: a file, an argument, a key or a passphrase that can't be used. Nothing was changed.
    BadInput(String),
    /// The service's: it won't. What was done before that stays done.
    Refused {
        message: String,
        /// In how many seconds to come back, where that helps.
        retry_after: Option<u64>,
    },
    /// The network's: nobody answers.
    Unreachable(String),
    /// This machine's: a disk or socket that doesn't do what it is told.
    Machine(String),
    /// Ours, or the service's: something that must not happen.
    Defect(String),
}

impl Failure {
    pub(crate) fn bad_input(what: impl fmt::Display) -> Self {
        Self::BadInput(what.to_string())
    }

    pub(crate) fn machine(what: impl fmt::Display) -> Self {
        Self::Machine(what.to_string())
    }

    pub(crate) fn defect(what: impl fmt::Display) -> Self {
        Self::Defect(what.to_string())
    }

    /// A file that can't be opened is the caller's mistake; one that can't be read to the end is the disk's.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        let message = format!("{}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidData => Self::BadInput(message),
            _ => Self::Machine(message),
        }
    }

    /// Adds where that leaves the caller.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        let (Self::BadInput(message)
        | Self::Refused { message, .. }
        | Self::Unreachable(message)
        | Self::Machine(message)
        | Self::Defect(message)) = &mut self;
        message.push_str("; ");
        message.push_str(hint);
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::BadInput(_) => "bad-input",
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Machine(_) => "machine",
            Self::Defect(_) => "defect",
        }
    }

    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Listed in `--help`.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::BadInput(_) => 2,
            Self::Refused { .. } => 3,
            Self::Unreachable(_) => 4,
            Self::Machine(_) => 5,
            Self::Defect(_) => 70,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(message)
            | Self::Refused { message, .. }
            | Self::Unreachable(message)
            | Self::Machine(message) => f.write_str(message),
            Self::Defect(message) => write!(f, "this should not happen: {message}"),
        }
    }
}

/// Terms that don't fit are the operator's to mend; a disk isn't.
impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Slot(taken) => {
                let wait = taken.next.saturating_since(clock()).as_secs() + 1;
                Self::Refused {
                    message: error.to_string(),
                    retry_after: Some(wait),
                }
                .hint(&slot_hint(wait))
            }
            PublishError::Store(StoreError::Restored(_)) => Self::bad_input(error).hint(RESTORED),
            PublishError::Store(StoreError::Io(_))
            | PublishError::Folder(_)
            | PublishError::Published(ReadError::Io(_))
            | PublishError::Base(BaseError::Io(_)) => Self::machine(error),
            PublishError::Set(_) | PublishError::Base(_) | PublishError::Manifest(_) => {
                Self::defect(error)
            }
            _ => Self::bad_input(error),
        }
    }
}

/// What to do about a store that was restored.
pub(crate) const RESTORED: &str = "charges and opt-outs since the backup are lost; `restore show` says what it means, and \
     `restore accept` goes on";

/// What to do about a slot that has had its publication.
pub(crate) fn slot_hint(wait: u64) -> String {
    format!(
        "the next one begins in {}; --now publishes all the same",
        duration(wait)
    )
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let mut why = printable(&problem.title).into_owned();
        let detail = problem.detail.filter(|detail| *detail != problem.title);
        if let Some(detail) = &detail {
            why = format!("{why}: {}", printable(detail));
        }
        if let Some(seconds) = problem.retry_after {
            why = format!("{why}; come back in {}", duration(seconds));
        }
        match problem.status {
            500 => Self::Defect(format!("the service says: {why}")),
            // A proxy that can't reach the service, or a service that can't answer in time.
            502 | 504 => Self::Unreachable(format!("the service can't be reached: {why}")),
            _ => Self::Refused {
                message: format!("the service refused: {why}"),
                retry_after: problem.retry_after,
            },
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Configuration(_) => Self::bad_input(error),
            TransportError::Unreachable(_) => {
                Self::Unreachable(printable(&error.to_string()).into_owned())
            }
            TransportError::Refused(problem) => problem.into(),
            other => Self::defect(other),
        }
    }
}
