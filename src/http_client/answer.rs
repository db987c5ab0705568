//! What came back, when it wasn't what was asked for: problems, and the state of the quota.

use std::{
    io::Read,
    string::{String, ToString},
    vec::Vec,
};

use serde::Deserialize;
use ureq::{
    Body,
    http::{HeaderMap, Response},
};

/// Longest problem document that is read, in bytes.
const MAX_PROBLEM: u64 = 16 * 1024;

/// An exchange that brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The caller is to blame: a URL or certificates that can't be used.
    #[error("{0}")]
    Configuration(&'static str),
    /// Nobody answered, or not to the end. Whether the service got the request is open.
    #[error("the service can't be reached: {0}")]
    Unreachable(String),
    /// The service answered that it won't.
    #[error("the service refused: {0}")]
    Refused(Problem),
    /// The service is to blame: what it sent isn't an answer.
    #[error("the service sent {0}")]
    BadAnswer(&'static str),
}

impl From<ureq::Error> for TransportError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => {
                Self::Configuration("the service's URL isn't one that can be used")
            }
            ureq::Error::LargeResponseHeader(..) => Self::BadAnswer("headers that are too long"),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// Why the service refused: an RFC 9457 problem document, or what can be said without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The stable name of the problem; `about:blank` if there was no document.
    pub type_uri: String,
    /// The HTTP status.
    pub status: u16,
    /// The problem in a few words.
    pub title: String,
    /// What to know about this occurrence.
    pub detail: Option<String>,
    /// In how many seconds to come back.
    pub retry_after: Option<u64>,
    /// The account's quota, where that is what it's about.
    pub quota: Option<QuotaState>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "type", default)]
    type_uri: String,
    #[serde(default)]
    title: String,
    detail: Option<String>,
}

impl Problem {
    pub(super) fn read(response: Response<Body>) -> Self {
        let status = response.status();
        let retry_after = header(response.headers(), "retry-after")
            .and_then(|seconds| seconds.trim().parse().ok());
        let quota = QuotaState::read(response.headers());
        let mut body = Vec::new();
        let read = response
            .into_body()
            .into_reader()
            .take(MAX_PROBLEM)
            .read_to_end(&mut body);
        let document = read
            .ok()
            .and_then(|_| serde_json::from_slice::<Document>(&body).ok());
        let (type_uri, title, detail) = match document {
            Some(document) if !document.type_uri.is_empty() => {
                (document.type_uri, document.title, document.detail)
            }
            _ => (
                String::from("about:blank"),
                status.canonical_reason().unwrap_or("refused").to_string(),
                None,
            ),
        };
        Self {
            type_uri,
            status: status.as_u16(),
            title,
            detail,
            retry_after,
            quota,
        }
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.title)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(seconds) = self.retry_after {
            write!(f, " (come back in {seconds} s)")?;
        }
        Ok(())
    }
}

/// The account's quota as the headers `RateLimit` and `RateLimit-Policy` tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaState {
    /// Elements that can be evaluated now.
    pub remaining: u64,
    /// Elements that can be evaluated at once when the bucket is full.
    pub capacity: Option<u64>,
}

impl QuotaState {
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        Some(Self {
            remaining: parameter(header(headers, "ratelimit")?, "r")?,
            capacity: header(headers, "ratelimit-policy").and_then(|policy| parameter(policy, "q")),
        })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The integer parameter `key` of the first item of a structured list (RFC 9651).
fn parameter(list: &str, key: &str) -> Option<u64> {
    let item = list.split(',').next()?;
    item.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        (name == key).then(|| value.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_is_read_from_the_first_item_of_the_headers() {
        let mut headers = HeaderMap::new();
        assert_eq!(QuotaState::read(&headers), None);
        let value = "\"account\";r=960;t=15, \"requests\";r=9";
        headers.insert("ratelimit", value.parse().unwrap());
        let policy = "\"account\";q=1024;w=86400, \"requests\";q=10";
        headers.insert("ratelimit-policy", policy.parse().unwrap());
        let expected = QuotaState {
            remaining: 960,
            capacity: Some(1024),
        };
        assert_eq!(QuotaState::read(&headers), Some(expected));
        headers.insert("ratelimit", "nonsense".parse().unwrap());
        assert_eq!(QuotaState::read(&headers), None);
    }
}
