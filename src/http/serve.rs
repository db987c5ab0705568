//! Sockets: TLS, time-outs for heads, and an end that loses nothing.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering},
    time::Duration,
    vec::Vec,
};

use axum_server::{
    Handle, Server,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::{Service, forget::forget, operator_router, router, seal::seal_hours};
use crate::store::Store;

/// Time between the moment at which readiness ends and the one at which no more connections are taken: load
/// balancers need it to notice.
const DRAIN: Duration = Duration::from_millis(250);

/// Where a service listens.
#[derive(Debug)]
pub struct Listeners {
    /// For clients and registrars.
    pub public: TcpListener,
    /// For operators.
    pub operator: TcpListener,
    /// The certificate chain, leaf first, and its key; without them `public` speaks plain HTTP, which is for a
    /// proxy on the same machine that does TLS.
    pub tls: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Serves until `stop` is ready; then lets requests under way finish. Meanwhile seals hours that are over into the ledger, and
/// forgets once an hour what has been kept about members for long enough.
///
/// When this returns, no handler runs any more: dropping the service closes the store in good order.
///
/// # Errors
///
/// A listener fails, or the certificate can't be used.
pub async fn serve<S: Store>(
    service: Arc<Service<S>>,
    listeners: Listeners,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let handle = Handle::new();
    let public = axum_server::from_tcp(listeners.public)?;
    let operator = axum_server::from_tcp(listeners.operator)?;
    let grace = Duration::from_secs(service.limits.shutdown_seconds);
    let header = Duration::from_secs(service.limits.header_seconds);
    let prepare = |server| prepare(server, &handle, header);
    let routes = router(Arc::clone(&service)).into_make_service_with_connect_info::<SocketAddr>();
    let operator =
        prepare(operator).serve(operator_router(Arc::clone(&service)).into_make_service());
    let resuming = tokio::spawn(Arc::clone(&service).resume_rotation());
    let stopping = Arc::clone(&service);
    let control = handle.clone();
    let forgetting = forget(Arc::clone(&service));
    let sealing = seal_hours(Arc::clone(&service));
    let end = async move {
        tokio::select! {
            () = stop => {}
            never = forgetting => match never {},
            never = sealing => match never {},
        }
        stopping.stopping.store(true, Ordering::Relaxed);
        tokio::time::sleep(DRAIN).await;
        control.graceful_shutdown(Some(grace));
        io::Result::Ok(())
    };
    match listeners.tls {
        None => {
            let public = prepare(public).serve(routes);
            tokio::try_join!(public, operator, end)?;
        }
        Some((chain, key)) => {
            let acceptor = RustlsAcceptor::new(tls_config(chain, key)?).handshake_timeout(header);
            let public = prepare(public).acceptor(acceptor).serve(routes);
            tokio::try_join!(public, operator, end)?;
        }
    }
    // A rotation under way goes on the next time.
    resuming.abort();
    Ok(())
}

fn prepare(
    mut server: Server<SocketAddr>,
    handle: &Handle<SocketAddr>,
    header: Duration,
) -> Server<SocketAddr> {
    // On HTTP/2 nothing else notices that a client has vanished. Seldom enough for a phone's battery.
    server
        .http_builder()
        .http2()
        .max_concurrent_streams(32)
        .keep_alive_interval(header * 3)
        .keep_alive_timeout(header);
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header);
    server
        .first_request_timeout(header)
        .accept_error_handler(|peer, error| {
            // Without a peer it is the listener that fails, for example because there are no file descriptors left.
            if peer.is_none() {
                tracing::error!(error = %error.kind(), "no connection can be accepted");
            }
        })
        .handle(handle.clone())
}

fn tls_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> io::Result<RustlsConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = Vec::from([b"h2".to_vec(), b"http/1.1".to_vec()]);
    Ok(RustlsConfig::from_config(Arc::new(config)))
}
