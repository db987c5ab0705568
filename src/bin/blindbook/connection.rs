//! A service as clients and registrars see it: where it is, what it is trusted for, what went back and forth.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use blindbook::{
    Timestamp,
    http_client::{Answer, Endpoint, Problem, QuotaState, Transport, TransportError},
    oprf::ServiceId,
    snapshot::{Manifest, SignedManifest, SnapshotPublicKey},
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{config::clock, failure::Failure, files, hex};

/// Longest file of certificates, in bytes.
const MAX_AUTHORITIES: u64 = 4 << 20;
/// How often the same bytes are sent when nobody answers.
const ATTEMPTS: u32 = 4;

/// How a service is reached, and what it is trusted for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// The name of the service, as its keys were made for
    #[arg(long, env = "BLINDBOOK_SERVICE")]
    service: String,
    /// The key that manifests are verified with: 64 hexadecimal digits, or a file that holds them
    #[arg(long, value_name = "KEY|FILE", env = "BLINDBOOK_SNAPSHOT_KEY")]
    snapshot_key: String,
}

/// How a service is reached.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EndpointArgs {
    /// Where the service is: for example https://discovery.chat.example
    #[arg(long, env = "BLINDBOOK_URL")]
    url: String,
    /// A file with the credential. Without it the variable BLINDBOOK_TOKEN is read
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates of authorities in PEM, instead of those of the web
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Allows http://, for a service on this machine
    #[arg(long)]
    plain_http: bool,
}

/// What one step of an exchange took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// Bytes of messages, without the headers of HTTP.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) seconds: f64,
}

/// A connection to a service, and a record of what went over it.
pub(crate) struct Connection {
    transport: Transport,
    pub(crate) service: ServiceId,
    snapshot_key: SnapshotPublicKey,
    clock: fn() -> Timestamp,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    steps: Vec<Step>,
    quota: Option<QuotaState>,
    an_element: String,
}

/// Why nothing was carried over.
pub(crate) enum Refusal {
    /// Nothing is, between these epochs.
    Never,
    /// Less is left than was asked for.
    TooMuch,
    /// Something else: to be tried another time.
    Other(Failure),
}

impl Refusal {
    fn of(problem: Problem) -> Self {
        match problem.type_uri.as_str() {
            "urn:blindbook:problem:no-carry-over" => Self::Never,
            "urn:blindbook:problem:carry-over-exhausted" => Self::TooMuch,
            // An older service has no such route.
            _ if problem.status == 404 => Self::Never,
            _ => Self::Other(problem.into()),
        }
    }
}

impl ConnectionArgs {
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let endpoint = self.endpoint.endpoint()?;
        let service = ServiceId::new(&self.service).map_err(Failure::bad_input)?;
        Connection::new(endpoint, service, snapshot_key(&self.snapshot_key)?)
    }
}

impl EndpointArgs {
    pub(crate) fn endpoint(&self) -> Result<Endpoint, Failure> {
        if self.url.starts_with("http://") && !self.plain_http {
            return Err(Failure::bad_input(
                "http:// would show the credential to whoever listens: use https://, or --plain-http for a service on \
                 this machine",
            ));
        }
        let mut endpoint = Endpoint::new(&self.url);
        endpoint.allow_plaintext = self.plain_http;
        endpoint.credential = token(self.token_file.as_deref())?;
        if let Some(path) = &self.ca {
            endpoint.authorities = Some(files::read(path, MAX_AUTHORITIES)?);
        }
        Ok(endpoint)
    }
}

fn token(file: Option<&Path>) -> Result<Option<Zeroizing<String>>, Failure> {
    let (text, from) = match file {
        Some(path) => {
            let content = files::read_private(path)?;
            let text = String::from_utf8_lossy(&content).into_owned();
            (Zeroizing::new(text), path.display().to_string())
        }
        None => match std::env::var("BLINDBOOK_TOKEN") {
            Ok(text) => (Zeroizing::new(text), "BLINDBOOK_TOKEN".to_owned()),
            Err(_) => return Ok(None),
        },
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::BadInput(format!("{from}: not a credential")));
    }
    Ok(Some(Zeroizing::new(token.to_owned())))
}

/// Hexadecimal digits, or a file that holds them.
pub(crate) fn snapshot_key(text: &str) -> Result<SnapshotPublicKey, Failure> {
    let refuse = || {
        Failure::bad_input("the snapshot key: neither 64 hexadecimal digits nor a file with them")
    };
    let digits = match hex::decode::<32>(text) {
        Some(bytes) => bytes,
        None => {
            let file = files::read(Path::new(text), 1_024)?;
            let text = std::str::from_utf8(&file).map_err(|_| refuse())?;
            hex::decode(text.trim()).ok_or_else(refuse)?
        }
    };
    SnapshotPublicKey::decode(&digits).map_err(Failure::bad_input)
}

impl Connection {
    pub(crate) fn new(
        endpoint: Endpoint,
        service: ServiceId,
        snapshot_key: SnapshotPublicKey,
    ) -> Result<Self, Failure> {
        Ok(Self {
            transport: Transport::new(endpoint)?,
            service,
            snapshot_key,
            clock,
            record: Mutex::default(),
        })
    }

    /// With another clock than this machine's.
    pub(crate) fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self { clock, ..self }
    }

    /// What time it is, in seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        (self.clock)().as_micros() / 1_000_000
    }

    /// The account's quota by the last answer that told it.
    pub(crate) fn quota(&self) -> Option<QuotaState> {
        self.record().quota
    }

    /// How the first element of the last evaluation request begins, as it went over the wire.
    pub(crate) fn an_element(&self) -> String {
        self.record().an_element.clone()
    }

    /// What was sent and received so far; steps of the same name are one.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        let record = self.record.into_inner();
        record.unwrap_or_else(PoisonError::into_inner).steps
    }

    /// Records a step that sends nothing.
    pub(crate) fn local<T>(&self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        self.took(name, 0, 0, begun.elapsed());
        result
    }

    /// The newest manifest, its signature verified.
    pub(crate) fn manifest(&self) -> Result<Manifest, Failure> {
        let bytes = self.measured("manifest", 0, || self.transport.manifest(), Vec::len)?;
        let signed = SignedManifest::decode(&bytes)
            .map_err(|error| Failure::bad_input(format!("the service's manifest: {error}")))?;
        let manifest = signed.verify(&self.snapshot_key).map_err(|_| {
            Failure::bad_input("the manifest isn't signed by the snapshot key that was given")
        })?;
        Ok(manifest)
    }

    /// For what is read as it comes; see [`took`](Self::took).
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// What manifests are verified with.
    pub(crate) fn snapshot_key(&self) -> &SnapshotPublicKey {
        &self.snapshot_key
    }

    /// Sends an evaluation request; the same bytes again if nobody answers, which is charged once.
    pub(crate) fn evaluate(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        // Behind version, kind, epoch and count.
        self.record().an_element = hex::encode(message.get(12..20).unwrap_or_default());
        self.exchange("evaluation", message, |message| {
            self.transport.evaluate(message)
        })
    }

    /// Sends a carry-over request; the same bytes again if nobody answers. Beside the answer, or with the refusal: how many
    /// elements the account can still carry over.
    pub(crate) fn carry_over(&self, message: &[u8]) -> (Result<Vec<u8>, Refusal>, Option<u64>) {
        let begun = Instant::now();
        let result = retried(|| self.transport.carry_over(message));
        let received = result.as_ref().map_or(0, |answer| answer.body.len());
        self.took("carry-over", message.len(), received, begun.elapsed());
        match result {
            Ok(answer) => (Ok(answer.body), answer.quota.map(|quota| quota.remaining)),
            Err(TransportError::Refused(problem)) => {
                let left = problem.quota.map(|quota| quota.remaining);
                (Err(Refusal::of(problem)), left)
            }
            Err(other) => (Err(Refusal::Other(other.into())), None),
        }
    }

    /// Enrols; may be repeated.
    pub(crate) fn enrol(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        self.exchange("enrolment", message, |message| {
            self.transport.enrol(message)
        })
    }

    fn exchange(
        &self,
        name: &'static str,
        message: &[u8],
        send: impl Fn(&[u8]) -> Result<Answer, TransportError>,
    ) -> Result<Vec<u8>, Failure> {
        let answer = self.measured(
            name,
            message.len(),
            || send(message),
            |answer| answer.body.len(),
        )?;
        if answer.quota.is_some() {
            self.record().quota = answer.quota;
        }
        Ok(answer.body)
    }

    fn measured<T>(
        &self,
        name: &'static str,
        sent: usize,
        send: impl Fn() -> Result<T, TransportError>,
        received: impl Fn(&T) -> usize,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let result = retried(send);
        let bytes = result.as_ref().map_or(0, received);
        self.took(name, sent, bytes, begun.elapsed());
        if let Err(TransportError::Refused(Problem { quota, .. })) = &result
            && quota.is_some()
        {
            self.record().quota = *quota;
        }
        Ok(result?)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a step.
    pub(crate) fn took(&self, name: &'static str, sent: usize, received: usize, took: Duration) {
        let steps = &mut self.record().steps;
        if !steps.iter().any(|step| step.name == name) {
            steps.push(Step {
                name,
                bytes_sent: 0,
                bytes_received: 0,
                seconds: 0.0,
            });
        }
        for step in steps.iter_mut().filter(|step| step.name == name) {
            step.bytes_sent += sent as u64;
            step.bytes_received += received as u64;
            step.seconds += took.as_secs_f64();
        }
    }
}

/// Tries again, with the same bytes, while nobody answers in time or the service asks for a short wait.
pub(crate) fn retried<T>(
    mut send: impl FnMut() -> Result<T, TransportError>,
) -> Result<T, TransportError> {
    let mut wait = Duration::from_millis(200);
    for _ in 1..ATTEMPTS {
        match send() {
            Err(TransportError::Unreachable(_)) => {}
            // The body didn't arrive, a proxy didn't get through, or the answer took too long. It may have been paid.
            Err(TransportError::Refused(Problem {
                status: 408 | 502 | 504,
                ..
            })) => {}
            Err(TransportError::Refused(Problem {
                status: 503,
                retry_after: Some(seconds @ 0..=5),
                ..
            })) => wait = wait.max(Duration::from_secs(seconds)),
            other => return other,
        }
        thread::sleep(wait);
        wait *= 2;
    }
    send()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn refused(status: u16, retry_after: Option<u64>) -> TransportError {
        TransportError::Refused(Problem {
            type_uri: String::new(),
            status,
            title: String::new(),
            detail: None,
            retry_after,
            quota: None,
        })
    }

    /// The service says of an answer that took too long that the same bytes can be sent again: they may have been paid.
    /// The client took that for a refusal and gave up; the next run paid for other bytes.
    #[test]
    fn what_may_have_been_paid_is_sent_again_and_a_refusal_is_not() {
        let sent = |failure: &dyn Fn() -> TransportError| {
            let count = Cell::new(0);
            let answer = retried(|| {
                count.set(count.get() + 1);
                (count.get() > 1).then_some(()).ok_or_else(failure)
            });
            (count.get(), answer.is_ok())
        };
        assert_eq!(
            sent(&|| TransportError::Unreachable(String::new())),
            (2, true)
        );
        for (status, retry_after, times) in [
            (504, None, 2),
            (502, None, 2),
            (408, None, 2),
            (503, Some(0), 2),
            (503, None, 1),
            (503, Some(10), 1),
            (429, Some(1), 1),
            (401, None, 1),
        ] {
            assert_eq!(
                sent(&|| refused(status, retry_after)),
                (times, times > 1),
                "{status}"
            );
        }
    }
}
