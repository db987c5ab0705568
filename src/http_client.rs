//! A blocking transport for the client role, over HTTP/1.1 with TLS.
//!
//! Layer 6: stands on the wire and the snapshot and must not know the client role's state: bytes go in, bytes come out.
//! A [`SetFolder`] keeps the published set in files. An
//! app that has a transport of its own doesn't need this one. TLS is rustls on aws-lc-rs with the roots of
//! the web PKI, or the ones given.

mod answer;
mod download;
mod folder;

use std::{
    io::Read,
    ops::Range,
    string::{String, ToString},
    sync::Arc,
    time::Duration,
    vec::Vec,
};

use ureq::{
    Agent, Body, SendBody,
    http::{Method, Request, Response},
    tls::{Certificate, RootCerts, TlsConfig},
};
use zeroize::Zeroizing;

pub use answer::{Problem, QuotaState, TransportError};
pub use download::Download;
pub use folder::{Fetched, FolderError, SetFolder};

use crate::wire::MEDIA_TYPE;

/// Longest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 64 * 1024;
/// Longest message that is read, in bytes: 65,535 elements and their proof.
const MAX_MESSAGE: u64 = 65_535 * 32 + 160;
/// Longest document of a setting that is read, in bytes: that of a handle with 4,096 identifiers.
const MAX_SETTING: u64 = 2 * 1024 * 1024;

/// Where the service is and how to talk to it.
#[derive(Clone)]
pub struct Endpoint {
    /// For example `https://discovery.chat.example`. Plain `http://` is refused unless
    /// [`allow_plaintext`](Self::allow_plaintext) is set.
    pub url: String,
    /// Allows `http://`, for a service on this machine.
    pub allow_plaintext: bool,
    /// Certificates of authorities in PEM, instead of those of the web PKI.
    pub authorities: Option<Vec<u8>>,
    /// The credential that is sent with requests which want one.
    pub credential: Option<Zeroizing<String>>,
    /// The longest that one exchange may take, body included; and that nothing may come of a segment.
    pub timeout: Duration,
}

impl Endpoint {
    /// A service at `url`, reached by TLS, with 60 seconds for each exchange and no credential.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_string(),
            allow_plaintext: false,
            authorities: None,
            credential: None,
            timeout: Duration::from_secs(60),
        }
    }
}

impl core::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

/// A connection pool to one service. Clones share it.
#[derive(Clone, Debug)]
pub struct Transport {
    agent: Agent,
    endpoint: Arc<Endpoint>,
}

/// An answer of the service, and what it says about the quota.
#[derive(Debug)]
pub struct Answer {
    /// The message.
    pub body: Vec<u8>,
    /// The account's quota after this request.
    pub quota: Option<QuotaState>,
}

impl Transport {
    /// Prepares to talk to a service; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`TransportError::Configuration`] for a URL that is neither `https://` nor allowed to be plain, or
    /// for certificates that can't be read.
    pub fn new(endpoint: Endpoint) -> Result<Self, TransportError> {
        let encrypted = endpoint.url.starts_with("https://");
        let plain = endpoint.allow_plaintext && endpoint.url.starts_with("http://");
        if !encrypted && !plain {
            return Err(TransportError::Configuration(
                "the service's URL must start with https://, or http:// if that is allowed",
            ));
        }
        let roots = match &endpoint.authorities {
            None => RootCerts::WebPki,
            Some(pem) => authorities(pem)?,
        };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .root_certs(roots)
            .build();
        let mut config = Agent::config_builder();
        if plain {
            // On this machine: a proxy from the environment would only see the credential.
            config = config.proxy(None);
        }
        let agent = config
            .tls_config(tls)
            .https_only(!plain)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .user_agent(concat!("blindbook/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(endpoint.timeout))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            endpoint: Arc::new(endpoint),
        })
    }

    /// `GET /v1/manifest`: the newest signed manifest, at most 64 KiB.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn manifest(&self) -> Result<Vec<u8>, TransportError> {
        let response = self.send(Method::GET, "/v1/manifest", None, false)?;
        read(response, MAX_MANIFEST).map(|answer| answer.body)
    }

    /// `GET /v1/segments/{id}`: a segment of `size` bytes, as the manifest says, in memory.
    ///
    /// # Errors
    ///
    /// See [`TransportError`]; a body of another size is a [`TransportError::BadAnswer`].
    pub fn segment(&self, id: &[u8; 32], size: u64) -> Result<Vec<u8>, TransportError> {
        let mut body = Vec::new();
        self.download(id, size, 0..size)
            .read_to_end(&mut body)
            .map_err(TransportError::from_read)?;
        Ok(body)
    }

    /// `GET /v1/segments/{id}`: some bytes of a segment that has `size` of them, as they come. Nothing is asked
    /// for before they are read, and no credential is sent.
    ///
    /// What comes isn't checked: see [`Segment`](crate::snapshot::Segment).
    pub fn download(&self, id: &[u8; 32], size: u64, range: Range<u64>) -> Download {
        Download::new(self.clone(), *id, size, range)
    }

    /// `POST /v1/evaluate` with an encoded [`EvaluateRequest`](crate::wire::EvaluateRequest).
    ///
    /// After an error that leaves it open whether the service got the request, send the *same bytes* again.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn evaluate(&self, message: &[u8]) -> Result<Answer, TransportError> {
        let response = self.send(Method::POST, "/v1/evaluate", Some(message), true)?;
        read(response, MAX_MESSAGE)
    }

    /// `POST /v1/carry-over` with an encoded [`CarryOverRequest`](crate::wire::CarryOverRequest). The answer's quota is what
    /// the account can still carry over.
    ///
    /// After an error that leaves it open whether the service got the request, send the *same bytes* again.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn carry_over(&self, message: &[u8]) -> Result<Answer, TransportError> {
        let response = self.send(Method::POST, "/v1/carry-over", Some(message), true)?;
        read(response, MAX_MESSAGE)
    }

    /// `PUT /v1/members` with an encoded [`EnrolRequest`](crate::wire::EnrolRequest).
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn enrol(&self, message: &[u8]) -> Result<Answer, TransportError> {
        let response = self.send(Method::PUT, "/v1/members", Some(message), true)?;
        read(response, MAX_MESSAGE)
    }

    /// `DELETE /v1/members` with an encoded [`RemoveRequest`](crate::wire::RemoveRequest).
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn remove(&self, message: &[u8]) -> Result<Answer, TransportError> {
        let response = self.send(Method::DELETE, "/v1/members", Some(message), true)?;
        read(response, MAX_MESSAGE)
    }

    /// `GET /v1/setting`: who can find the identifiers of the credential's handle, as JSON.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn setting(&self) -> Result<Vec<u8>, TransportError> {
        let response = self.send(Method::GET, "/v1/setting", None, true)?;
        read(response, MAX_SETTING).map(|answer| answer.body)
    }

    /// `PUT /v1/setting` with a document that says who shall find them. May be repeated. The answer is that of [`setting`](Self::setting).
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn choose(&self, document: &[u8]) -> Result<Vec<u8>, TransportError> {
        let body = Some(("application/json", document));
        let response = self.send_as(Method::PUT, "/v1/setting", body, true)?;
        read(response, MAX_SETTING).map(|answer| answer.body)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        message: Option<&[u8]>,
        authorized: bool,
    ) -> Result<Response<Body>, TransportError> {
        let body = message.map(|message| (MEDIA_TYPE, message));
        self.send_as(method, path, body, authorized)
    }

    /// Sends a body of a media type.
    fn send_as(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &[u8])>,
        authorized: bool,
    ) -> Result<Response<Body>, TransportError> {
        let mut request = Request::builder()
            .method(method)
            .uri(std::format!("{}{path}", self.endpoint.url));
        if let (true, Some(credential)) = (authorized, &self.endpoint.credential) {
            let header = Zeroizing::new(std::format!("Bearer {}", credential.as_str()));
            request = request.header("authorization", header.as_str());
        }
        let body = match body {
            Some((media_type, bytes)) => {
                request = request
                    .header("content-type", media_type)
                    .header("content-length", bytes.len());
                SendBody::from_owned_reader(std::io::Cursor::new(bytes.to_vec()))
            }
            None => SendBody::none(),
        };
        let request = request
            .body(body)
            .map_err(|_| TransportError::Configuration("the service's URL isn't one"))?;
        let response = self.agent.run(request)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(TransportError::Refused(Problem::read(response)))
    }
}

fn read(response: Response<Body>, limit: u64) -> Result<Answer, TransportError> {
    let quota = QuotaState::read(response.headers());
    let mut body = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(limit.saturating_add(1))
        .read_to_end(&mut body)
        .map_err(|error| TransportError::Unreachable(error.to_string()))?;
    if body.len() as u64 > limit {
        return Err(TransportError::BadAnswer("an answer longer than it can be"));
    }
    Ok(Answer { body, quota })
}

fn hex(id: &[u8; 32]) -> String {
    id.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

fn authorities(pem: &[u8]) -> Result<RootCerts, TransportError> {
    let unreadable = TransportError::Configuration("the authorities' certificates aren't PEM");
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(unreadable),
        }
    }
    if certificates.is_empty() {
        return Err(unreadable);
    }
    Ok(RootCerts::Specific(Arc::new(
        certificates.iter().map(Certificate::to_owned).collect(),
    )))
}
