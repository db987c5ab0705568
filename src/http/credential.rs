//! Credentials: short-lived JWTs (RFC 7519) that the operator's own backend mints.
//!
//! ```json
//! { "sub": "user 17", "aud": "chat.example", "scope": "discover", "exp": 1800000300,
//!   "account_created": 1790000000, "attested": true }
//! ```
//!
//! `sub` names the account in 1 to 255 bytes and leaves this module only as a keyed hash. `scope` is `discover`,
//! `enrol` or `setting`. `account_created` is in seconds since 1970-01-01T00:00:00Z; without it the account counts as new.
//!
//! `setting` is a scope of its own: whoever gets hold of a credential that looks contacts up shows and hides nobody with it. It
//! wants `handle`, the account's own handle (the label that its identifiers are enrolled with) in hexadecimal digits, and
//! reads no other. An empty one is refused: it would stand for all who are enrolled without a handle.
//!
//! One algorithm, one audience and an expiry are demanded; `nbf` counts if it is there. Everything is verified offline, so
//! nothing but its expiry ends a credential that was stolen: one that lives longer than a day is refused.

use std::{fmt, string::String, time::Duration, vec::Vec};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::problem::Problem;
use crate::{
    label::{Label, LabelLength},
    oprf::ServiceId,
    secret::SecretBytes,
    server::quota::{AccountKey, Scope},
    timestamp::Timestamp,
};

/// Longest credential, in bytes.
const MAX_CREDENTIAL: usize = 4_096;
/// How far clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// How far ahead a credential may expire.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
/// An account of unknown age counts as one that isn't made yet: new, and nobody can tell that it is.
const UNKNOWN_AGE: Duration = Duration::from_secs(86_400);

/// What a credential says.
#[derive(Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The account.
    pub sub: String,
    /// The service.
    pub aud: String,
    /// `discover`, `enrol` or `setting`.
    pub scope: String,
    /// When it expires, in seconds since 1970-01-01T00:00:00Z; at most a day ahead.
    pub exp: u64,
    /// When the account was made, in seconds since 1970-01-01T00:00:00Z; absent counts as just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_created: Option<u64>,
    /// Whether the device was attested. Carried for later limits.
    #[serde(default)]
    pub attested: bool,
    /// For the scope `setting`: the account's own handle, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
}

/// [`Claims`] and what is only ever checked.
#[derive(Deserialize)]
struct Presented {
    #[serde(flatten)]
    claims: Claims,
    #[serde(default)]
    nbf: Option<u64>,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("scope", &self.scope)
            .field("exp", &self.exp)
            .finish_non_exhaustive()
    }
}

/// A key that isn't one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialKeyError {
    /// Not an Ed25519 public key in PEM.
    #[error("not an Ed25519 public key in PEM")]
    Pem,
    /// A shared secret of fewer than 32 bytes can be guessed from one credential.
    #[error("a shared secret has at least 32 bytes")]
    ShortSecret,
    /// A credential can't be signed with the key.
    #[error("the credential can't be signed")]
    Sign,
}

/// How credentials are verified: one key, one algorithm, one audience.
#[derive(Clone)]
pub struct Credentials {
    key: DecodingKey,
    validation: Validation,
}

impl Credentials {
    /// Verifies EdDSA signatures with a public key in PEM.
    ///
    /// # Errors
    ///
    /// [`CredentialKeyError::Pem`].
    pub fn ed25519(service: &ServiceId, public_key_pem: &[u8]) -> Result<Self, CredentialKeyError> {
        let key = DecodingKey::from_ed_pem(public_key_pem).map_err(|_| CredentialKeyError::Pem)?;
        Ok(Self::new(service, key, Algorithm::EdDSA))
    }

    /// Verifies HS256 with a secret that the operator's backend shares.
    ///
    /// # Errors
    ///
    /// [`CredentialKeyError::ShortSecret`].
    pub fn shared_secret(service: &ServiceId, secret: &[u8]) -> Result<Self, CredentialKeyError> {
        if secret.len() < 32 {
            return Err(CredentialKeyError::ShortSecret);
        }
        let key = DecodingKey::from_secret(secret);
        Ok(Self::new(service, key, Algorithm::HS256))
    }

    fn new(service: &ServiceId, key: DecodingKey, algorithm: Algorithm) -> Self {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[service.as_str()]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        // It would read the system's clock; `read` compares with the time that it is given.
        validation.validate_exp = false;
        Self { key, validation }
    }

    /// Reads the credential of a request that draws on the quota or enrols; the account's name becomes a pseudonym.
    pub(super) fn read(
        &self,
        headers: &HeaderMap,
        pepper: &SecretBytes<32>,
        now: Timestamp,
    ) -> Result<Credential, Problem> {
        let claims = self.claims(headers, now)?;
        let scope = match claims.scope.as_str() {
            "discover" => Scope::Discover,
            "enrol" => Scope::Enrol,
            _ => return Err(Problem::wrong_scope()),
        };
        Ok(Credential {
            account: account(pepper, claims.sub)?,
            scope,
            account_created: claims
                .account_created
                .map_or(now.saturating_add(UNKNOWN_AGE), Timestamp::from_secs),
        })
    }

    /// Reads the credential of a request about whoever has its handle, which is a label of at most this length.
    pub(super) fn read_holder(
        &self,
        headers: &HeaderMap,
        pepper: &SecretBytes<32>,
        length: LabelLength,
        now: Timestamp,
    ) -> Result<Holder, Problem> {
        let claims = self.claims(headers, now)?;
        if claims.scope != "setting" {
            return Err(Problem::wrong_scope());
        }
        let handle = Zeroizing::new(claims.handle.unwrap_or_default());
        let label = label(&handle).filter(|label| {
            let bytes = label.as_bytes().len();
            (1..=usize::from(length.get())).contains(&bytes)
        });
        Ok(Holder {
            account: account(pepper, claims.sub)?,
            label: label.ok_or(Problem::bad_handle())?,
        })
    }

    /// What a credential of this service says that is valid now.
    fn claims(&self, headers: &HeaderMap, now: Timestamp) -> Result<Claims, Problem> {
        let token = only(headers, header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| token.len() <= MAX_CREDENTIAL)
            .ok_or(Problem::bad_credential())?;
        let Presented { claims, nbf } = decode::<Presented>(token, &self.key, &self.validation)
            .map_err(|_| Problem::bad_credential())?
            .claims;
        let expires = Timestamp::from_secs(claims.exp);
        if now >= expires.saturating_add(LEEWAY) {
            return Err(Problem::expired_credential());
        }
        let too_early =
            nbf.is_some_and(|nbf| Timestamp::from_secs(nbf) > now.saturating_add(LEEWAY));
        if too_early || expires > now.saturating_add(LONGEST_LIFE + LEEWAY) {
            return Err(Problem::bad_credential());
        }
        Ok(claims)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("algorithms", &self.validation.algorithms)
            .finish_non_exhaustive()
    }
}

/// A verified credential.
#[derive(Debug, Clone, Copy)]
pub(super) struct Credential {
    pub(super) account: AccountKey,
    pub(super) scope: Scope,
    pub(super) account_created: Timestamp,
}

/// A verified credential of whoever has a handle. The handle comes from what was signed and from nowhere else.
pub(super) struct Holder {
    pub(super) account: AccountKey,
    pub(super) label: Label,
}

/// Mints a credential under a shared secret (HS256): what the operator's backend does in one line, for tests and
/// for trying things out.
///
/// # Errors
///
/// [`CredentialKeyError::ShortSecret`] or [`CredentialKeyError::Sign`].
pub fn mint(claims: &Claims, secret: &[u8]) -> Result<Zeroizing<String>, CredentialKeyError> {
    if secret.len() < 32 {
        return Err(CredentialKeyError::ShortSecret);
    }
    encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret),
    )
    .map(Zeroizing::new)
    .map_err(|_| CredentialKeyError::Sign)
}

/// The one value of a header. Of two, a proxy in front may have looked at the other one.
pub(super) fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The pseudonym of an account, if its name can be one.
fn account(pepper: &SecretBytes<32>, name: String) -> Result<AccountKey, Problem> {
    let name = Zeroizing::new(name);
    if name.is_empty() || name.len() > 255 {
        return Err(Problem::bad_credential());
    }
    Ok(pseudonym(pepper, &name))
}

/// A label in hexadecimal digits of either case.
fn label(digits: &str) -> Option<Label> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok();
    let bytes: Option<Zeroizing<Vec<u8>>> = pairs
        .iter()
        .map(byte)
        .collect::<Option<Vec<u8>>>()
        .map(Zeroizing::new);
    Label::new(&bytes?).ok()
}

/// HMAC-SHA-256 under the pepper.
pub(super) fn pseudonym(pepper: &SecretBytes<32>, account: &str) -> AccountKey {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, pepper.expose());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(&key, account.as_bytes()).as_ref());
    AccountKey::new(bytes)
}
