//! Why a request isn't answered: RFC 9457 problem documents.
//!
//! | `urn:blindbook:problem:` | status | |
//! |---|---|---|
//! | `bad-credential` | 401 | none, not one of this service, or damaged |
//! | `expired-credential` | 401 | its time is over |
//! | `wrong-scope` | 403 | a credential for something else |
//! | `bad-handle` | 403 | a credential for settings without a handle, or with one that can't be a label of this service |
//! | `wrong-media-type` | 415 | |
//! | `malformed-message` | 400 | the bytes aren't the message; `detail` says why |
//! | `bad-element` | 400 | an encoding isn't a group element; an evaluation is charged nevertheless |
//! | `body-too-large` | 413 | |
//! | `body-timeout` | 408 | the body didn't come in time |
//! | `wrong-epoch` | 409 | the key was rotated: fetch the manifest |
//! | `no-carry-over` | 409 | nothing is carried over between these epochs, or not any more: evaluate again |
//! | `wrong-label-length` | 409 | not the length of the service's labels |
//! | `not-enrolled` | 404 | no identifier has the credential's handle |
//! | `consent-needed` | 409 | by the region, or after a decision not to be found |
//! | `stale-consent` | 409 | not younger than the last decision not to be found |
//! | `consent-in-future` | 409 | dated more than five minutes ahead |
//! | `quota-exhausted` | 429 | `Retry-After` says when the same request can succeed |
//! | `carry-over-exhausted` | 429 | fewer elements were evaluated in the epoch before; `RateLimit` says how many are left |
//! | `request-rate` | 429 | `Retry-After` |
//! | `request-too-large` | 413 | more elements than one request may have |
//! | `network-exhausted` | 429 | new accounts of this network have used what they may; `Retry-After` |
//! | `new-accounts-exhausted` | 503 | all new accounts together have used the day's; `Retry-After` |
//! | `service-exhausted` | 503 | all accounts together have used the day's; `Retry-After` |
//! | `account-suspended` | 403 | by the operator; `Retry-After` if it ends by itself |
//! | `network-suspended` | 403 | likewise |
//! | `new-accounts-suspended` | 403 | likewise |
//! | `key-exhausted` | 503 | the key has to be rotated |
//! | `clock` | 503 | the service's clock can't be believed |
//! | `overloaded` | 503 | `Retry-After`; nothing was charged |
//! | `store-unavailable` | 503 | nothing was evaluated |
//! | `nothing-published` | 404 | no manifest yet |
//! | `not-found` | 404 | no such route, or no such segment |
//! | `method-not-allowed` | 405 | |
//! | `timeout` | 504 | took too long; send the same bytes again |
//! | `internal` | 500 | a defect of ours |

use std::{
    format,
    string::{String, ToString},
    time::Duration,
};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::answer::{carry_over_limit, rate_limit};
use crate::{
    server::{
        directory::ChangeError,
        quota::{AdmitError, QuotaStatus, Refusal, RefusalReason},
    },
    store::StoreError,
    wire::DecodeError,
};

/// What stands before each problem's name.
pub const NAMESPACE: &str = "urn:blindbook:problem:";

/// A problem, before it is written down.
#[derive(Debug, Clone)]
#[must_use]
pub(super) struct Problem {
    pub(super) name: &'static str,
    status: StatusCode,
    title: &'static str,
    detail: Option<String>,
    retry_after: Option<Duration>,
    quota: Option<QuotaStatus>,
    carry_over_left: Option<u32>,
}

impl Problem {
    const fn new(name: &'static str, status: StatusCode, title: &'static str) -> Self {
        Self {
            name,
            status,
            title,
            detail: None,
            retry_after: None,
            quota: None,
            carry_over_left: None,
        }
    }

    fn detail(mut self, detail: impl ToString) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    /// Tells what the account has left.
    pub(super) fn quota(mut self, status: QuotaStatus) -> Self {
        self.quota = Some(status);
        self
    }

    /// Tells how much the account can still carry over, in the place of what it has left.
    pub(super) fn carry_over_left(mut self, left: u32) -> Self {
        self.quota = None;
        self.carry_over_left = Some(left);
        self
    }

    pub(super) const fn bad_credential() -> Self {
        Self::new(
            "bad-credential",
            StatusCode::UNAUTHORIZED,
            "no credential of this service",
        )
    }

    pub(super) const fn expired_credential() -> Self {
        Self::new(
            "expired-credential",
            StatusCode::UNAUTHORIZED,
            "the credential has expired",
        )
    }

    pub(super) const fn wrong_scope() -> Self {
        Self::new(
            "wrong-scope",
            StatusCode::FORBIDDEN,
            "the credential is for something else",
        )
    }

    pub(super) const fn bad_handle() -> Self {
        Self::new(
            "bad-handle",
            StatusCode::FORBIDDEN,
            "the credential doesn't say whose setting, in hexadecimal digits of a label of this service",
        )
    }

    pub(super) const fn not_enrolled() -> Self {
        Self::new(
            "not-enrolled",
            StatusCode::NOT_FOUND,
            "no identifier has this handle",
        )
    }

    /// `why` says where the bytes aren't what they should be, and nothing of what they are.
    pub(super) fn malformed(why: &'static str) -> Self {
        Self::new(
            "malformed-message",
            StatusCode::BAD_REQUEST,
            "the body isn't the message that was expected",
        )
        .detail(why)
    }

    pub(super) const fn not_json() -> Self {
        Self::new(
            "wrong-media-type",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body isn't declared as application/json",
        )
    }

    pub(super) const fn wrong_media_type() -> Self {
        Self::new(
            "wrong-media-type",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body isn't declared as a message of this version",
        )
    }

    pub(super) const fn bad_element() -> Self {
        Self::new(
            "bad-element",
            StatusCode::BAD_REQUEST,
            "an encoding isn't a group element",
        )
    }

    pub(super) const fn body_too_large() -> Self {
        Self::new(
            "body-too-large",
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is longer than any message can be",
        )
    }

    pub(super) const fn body_timeout() -> Self {
        Self::new(
            "body-timeout",
            StatusCode::REQUEST_TIMEOUT,
            "the body didn't arrive, or not in time",
        )
    }

    pub(super) const fn wrong_epoch() -> Self {
        Self::new(
            "wrong-epoch",
            StatusCode::CONFLICT,
            "the epoch isn't the current one; fetch the manifest",
        )
    }

    pub(super) const fn no_carry_over() -> Self {
        Self::new(
            "no-carry-over",
            StatusCode::CONFLICT,
            "nothing is carried over between these epochs",
        )
    }

    pub(super) const fn wrong_label_length() -> Self {
        Self::new(
            "wrong-label-length",
            StatusCode::CONFLICT,
            "labels of this service have another length",
        )
    }

    pub(super) fn overloaded(after: Duration) -> Self {
        Self::new(
            "overloaded",
            StatusCode::SERVICE_UNAVAILABLE,
            "too much to do; nothing was charged",
        )
        .retry_after(Some(after))
    }

    pub(super) fn too_many_at_once(after: Duration) -> Self {
        Self::new(
            "request-rate",
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests at once",
        )
        .retry_after(Some(after))
    }

    pub(super) const fn nothing_published() -> Self {
        Self::new(
            "nothing-published",
            StatusCode::NOT_FOUND,
            "nothing is published yet",
        )
    }

    pub(super) const fn not_found() -> Self {
        Self::new("not-found", StatusCode::NOT_FOUND, "there is nothing here")
    }

    pub(super) const fn method_not_allowed() -> Self {
        Self::new(
            "method-not-allowed",
            StatusCode::METHOD_NOT_ALLOWED,
            "not with this method",
        )
    }

    pub(super) const fn timeout() -> Self {
        Self::new(
            "timeout",
            StatusCode::GATEWAY_TIMEOUT,
            "took too long; the same bytes can be sent again",
        )
    }

    pub(super) const fn internal() -> Self {
        Self::new(
            "internal",
            StatusCode::INTERNAL_SERVER_ERROR,
            "a defect of the service",
        )
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::BadElement(_) => Self::bad_element(),
            other => Self::new(
                "malformed-message",
                StatusCode::BAD_REQUEST,
                "the body isn't the message that was expected",
            )
            .detail(other),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let (name, title) = match error {
            ChangeError::StaleConsent => (
                "stale-consent",
                "the consent isn't younger than the decision not to be found",
            ),
            ChangeError::ConsentInFuture => {
                ("consent-in-future", "the consent is dated in the future")
            }
            ChangeError::ConsentNeeded => ("consent-needed", "a consent is needed"),
        };
        Self::new(name, StatusCode::CONFLICT, title).detail(error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error == StoreError::EpochOver {
            return Self::wrong_epoch();
        }
        if error == StoreError::Overloaded {
            return Self::overloaded(Duration::from_secs(1));
        }
        // What is wrong with the disk is the operator's business and in the log.
        tracing::error!(%error, "the store can't answer");
        Self::new(
            "store-unavailable",
            StatusCode::SERVICE_UNAVAILABLE,
            "the store can't answer; nothing was evaluated",
        )
        .retry_after(Some(Duration::from_secs(10)))
    }
}

impl From<AdmitError<StoreError>> for Problem {
    fn from(error: AdmitError<StoreError>) -> Self {
        match error {
            AdmitError::Store(error) => error.into(),
            AdmitError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (name, status, title) = match refusal.reason {
            RefusalReason::RequestRate => (
                "request-rate",
                StatusCode::TOO_MANY_REQUESTS,
                "too many requests",
            ),
            RefusalReason::Elements => (
                "quota-exhausted",
                StatusCode::TOO_MANY_REQUESTS,
                "the quota is exhausted",
            ),
            RefusalReason::CarryOver => (
                "carry-over-exhausted",
                StatusCode::TOO_MANY_REQUESTS,
                "fewer elements can be carried over",
            ),
            RefusalReason::NetworkElements => (
                "network-exhausted",
                StatusCode::TOO_MANY_REQUESTS,
                "new accounts of this network have to wait",
            ),
            RefusalReason::YoungElements => (
                "new-accounts-exhausted",
                StatusCode::SERVICE_UNAVAILABLE,
                "new accounts have to wait",
            ),
            RefusalReason::ServiceElements => (
                "service-exhausted",
                StatusCode::SERVICE_UNAVAILABLE,
                "everybody has to wait",
            ),
            RefusalReason::AccountSuspended => (
                "account-suspended",
                StatusCode::FORBIDDEN,
                "the account is suspended",
            ),
            RefusalReason::NetworkSuspended => (
                "network-suspended",
                StatusCode::FORBIDDEN,
                "the network is suspended",
            ),
            RefusalReason::YoungSuspended => (
                "new-accounts-suspended",
                StatusCode::FORBIDDEN,
                "new accounts are suspended",
            ),
            RefusalReason::RequestTooLarge { .. } => (
                "request-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "more elements than one request may have",
            ),
            RefusalReason::KeyBudget => (
                "key-exhausted",
                StatusCode::SERVICE_UNAVAILABLE,
                "the key has to be rotated",
            ),
            RefusalReason::LedgerBehind => (
                "ledger-behind",
                StatusCode::SERVICE_UNAVAILABLE,
                "the service can't write down what is done",
            ),
            RefusalReason::ClockWentBack | RefusalReason::ClockJumpedAhead => (
                "clock",
                StatusCode::SERVICE_UNAVAILABLE,
                "the service's clock can't be believed",
            ),
        };
        Self::new(name, status, title)
            .detail(refusal.reason)
            .retry_after(refusal.retry_after)
            .quota(refusal.status)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = serde_json::json!({
            "type": format!("{NAMESPACE}{}", self.name),
            "title": self.title,
            "status": self.status.as_u16(),
        });
        if let (Some(detail), Some(document)) = (self.detail, document.as_object_mut()) {
            document.insert("detail".into(), detail.into());
        }
        let mut response = (self.status, document.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            // Rounded up: coming back a moment too early would be refused again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(quota) = self.quota {
            rate_limit(&quota, headers);
        }
        if let Some(left) = self.carry_over_left {
            carry_over_limit(left, headers);
        }
        response.extensions_mut().insert(Name(self.name));
        response
    }
}

/// The name of the problem in a response, for the metrics.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name(pub(super) &'static str);
