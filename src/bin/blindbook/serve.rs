//! `serve`: the discovery service, until it is told to stop.

use std::{
    fmt,
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use blindbook::{
    http::{Listeners, Service, ServiceError, serve},
    store::Pace,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use serde::Serialize;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{config::Config, failure::Failure};

/// Longest file with a certificate or its key, in bytes.
const MAX_PEM: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; `keygen` writes one
    #[arg(long, value_name = "FILE", env = "BLINDBOOK_CONFIG")]
    config: PathBuf,
    /// Checks the configuration and says what its limits mean; opens no key and serves nothing
    #[arg(long)]
    check: bool,
}

/// What the limits of a configuration mean.
#[derive(Debug, Serialize)]
struct Checked {
    policy: Vec<String>,
}

/// Where the service listens: the one line on standard output. Logs go to standard error.
#[derive(Debug, Serialize)]
struct Listening {
    public: SocketAddr,
    operator: SocketAddr,
    tls: bool,
    sequence: u64,
}

pub(crate) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let config = Config::read(&args.config)?;
    let policy = [
        config.policy.to_string(),
        config.publish.policy().to_string(),
    ];
    let lines = policy.iter().flat_map(|policy| policy.lines());
    let policy = lines.map(String::from).collect();
    let checked = Checked { policy };
    if args.check {
        return crate::emit(&checked, json);
    }
    log(json);
    for line in &checked.policy {
        tracing::info!("policy: {line}");
    }
    if config.listen.plain_http && config.proxies.trusted.is_empty() {
        tracing::warn!(
            "plain HTTP without [proxies]: everybody behind a proxy counts as one network"
        );
    }
    let parts = config.open()?;
    let listeners = Listeners {
        public: bind(config.listen.public)?,
        operator: bind(config.listen.operator)?,
        tls: tls(&config)?,
    };
    runtime()?.block_on(async {
        let service = Service::new(parts).await.map_err(service_failure)?;
        if service.published().is_none() {
            // Registrars need a manifest to verify against before anybody can be enrolled.
            let first = service.publish(Pace::Now).await?;
            tracing::info!(
                members = first.manifest.claims().members(),
                "first manifest published"
            );
        }
        // Before anybody is told where to send a signal to.
        let stop = stop_signal()?;
        announce(&service, &listeners, json)?;
        let publishing = config
            .publish
            .automatic
            .then(|| tokio::spawn(Arc::clone(&service).publish_in_slots()));
        let served = serve(service, listeners, stop).await;
        if let Some(publishing) = publishing {
            // A publication under way is finished all the same.
            publishing.abort();
        }
        served.map_err(Failure::machine)?;
        tracing::info!("stopped");
        Ok(())
    })
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::machine)
}

fn log(json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("BLINDBOOK_LOG").unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        log.json().init();
    } else {
        log.with_target(false).init();
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address)
        .map_err(|error| Failure::Machine(format!("can't listen on {address}: {error}")))?;
    // What tokio takes over must not block.
    listener.set_nonblocking(true).map_err(Failure::machine)?;
    Ok(listener)
}

type CertificateAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn tls(config: &Config) -> Result<Option<CertificateAndKey>, Failure> {
    let Some(files) = &config.listen.tls else {
        return Ok(None);
    };
    let certificate = config.path(&files.certificate);
    let key = config.path(&files.key);
    let refuse = |path: &Path, why: &dyn fmt::Display| {
        Failure::BadInput(format!("{}: {why}", path.display()))
    };
    let chain = CertificateDer::pem_slice_iter(&crate::files::read(&certificate, MAX_PEM)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refuse(&certificate, &error))?;
    if chain.is_empty() {
        return Err(refuse(&certificate, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&crate::files::read_private(&key)?)
        .map_err(|error| refuse(&key, &format!("not a private key in PEM: {error}")))?;
    // Before it is said that anything is served.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider)
        .map_err(|error| refuse(&certificate, &format!("not with this key: {error}")))?;
    Ok(Some((chain, key)))
}

fn announce<S: blindbook::store::Store>(
    service: &Service<S>,
    listeners: &Listeners,
    json: bool,
) -> Result<(), Failure> {
    let listening = Listening {
        public: listeners.public.local_addr().map_err(Failure::machine)?,
        operator: listeners.operator.local_addr().map_err(Failure::machine)?,
        tls: listeners.tls.is_some(),
        sequence: service
            .published()
            .map_or(0, |published| published.manifest.claims().sequence),
    };
    let line = if json {
        serde_json::to_string(&listening).map_err(Failure::defect)?
    } else {
        let scheme = if listening.tls { "https" } else { "http" };
        format!(
            "serving {scheme}://{}, operators at http://{}; stop with ctrl-c or SIGTERM",
            listening.public, listening.operator
        )
    };
    let mut out = std::io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(Failure::machine)
}

/// Ready at SIGTERM or ctrl-c.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::machine)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::machine)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests under way are finished");
    })
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.policy.join("\n"))
    }
}

fn service_failure(error: ServiceError) -> Failure {
    match error {
        ServiceError::Publish(error) => error.into(),
        ServiceError::Policy(_) | ServiceError::OtherKey => Failure::bad_input(error),
        other => Failure::machine(other),
    }
}
