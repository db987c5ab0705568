//! A segment, or a part of one, as it comes: a stream that goes on where it broke off.

use std::{
    fmt, format,
    io::{self, Read},
    ops::Range,
    string::ToString,
};

use ureq::{
    Body, BodyReader,
    http::{Request, Response, StatusCode, header},
};

use super::{Problem, Transport, TransportError, hex};

/// The bytes of a segment, read as they come.
///
/// A connection that breaks after some bytes is made anew, and asked for the rest. Nobody has to be quick:
/// [`Endpoint::timeout`](super::Endpoint::timeout) is how long nothing may come.
#[must_use]
pub struct Download {
    transport: Transport,
    id: [u8; 32],
    /// Bytes of the whole segment.
    size: u64,
    /// What is still to be read.
    rest: Range<u64>,
    body: Option<BodyReader<'static>>,
    /// Whether something came since it was asked for last.
    came: bool,
}

impl Download {
    pub(super) fn new(transport: Transport, id: [u8; 32], size: u64, range: Range<u64>) -> Self {
        Self {
            transport,
            id,
            size,
            rest: range,
            body: None,
            came: false,
        }
    }

    /// Asks for the rest.
    fn ask(&self) -> Result<BodyReader<'static>, TransportError> {
        let id = hex(&self.id);
        let url = &self.transport.endpoint.url;
        let mut request = Request::builder().uri(format!("{url}/v1/segments/{id}"));
        let whole = self.rest == (0..self.size);
        if !whole {
            let range = format!("bytes={}-{}", self.rest.start, self.rest.end - 1);
            request = request
                .header(header::RANGE, range)
                .header(header::IF_RANGE, format!("\"{id}\""));
        }
        let request = request
            .body(())
            .map_err(|_| TransportError::Configuration("the service's URL isn't one"))?;
        let limit = Some(self.transport.endpoint.timeout);
        let request = self
            .transport
            .agent
            .configure_request(request)
            .timeout_global(None)
            .timeout_connect(limit)
            .timeout_recv_response(limit)
            .timeout_per_read(limit)
            .build();
        let response = self.transport.agent.run(request)?;
        let from = match response.status() {
            StatusCode::PARTIAL_CONTENT if !whole => {
                let expected = format!(
                    "bytes {}-{}/{}",
                    self.rest.start,
                    self.rest.end - 1,
                    self.size
                );
                if text(&response, header::CONTENT_RANGE) != Some(&expected) {
                    return Err(TransportError::BadAnswer("another part of the segment"));
                }
                self.rest.start
            }
            // All of it, from a server that doesn't know ranges.
            StatusCode::OK => {
                let length = text(&response, header::CONTENT_LENGTH);
                if length.is_some_and(|length| length.parse() != Ok(self.size)) {
                    return Err(TransportError::BadAnswer("a segment of another size"));
                }
                0
            }
            status if status.is_success() => {
                return Err(TransportError::BadAnswer("another part of the segment"));
            }
            _ => return Err(TransportError::Refused(Problem::read(response))),
        };
        let mut body = response.into_body().into_reader();
        let skipped = self.rest.start - from;
        if io::copy(&mut body.by_ref().take(skipped), &mut io::sink())
            .map_err(|error| unreachable(&error))?
            != skipped
        {
            return Err(TransportError::Unreachable(ENDED.into()));
        }
        Ok(body)
    }
}

const ENDED: &str = "the connection ended before the segment did";

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.body.is_none() {
                self.body = Some(self.ask().map_err(io::Error::other)?);
                self.came = false;
            }
            let read = match &mut self.body {
                Some(body) => body.read(buffer),
                None => Ok(0),
            };
            match read {
                Ok(count @ 1..) => {
                    self.rest.start += count as u64;
                    self.came = true;
                    return Ok(count);
                }
                // What is left is asked for, as long as that helps.
                _ if self.came => self.body = None,
                Ok(_) => {
                    self.body = None;
                    let ended = TransportError::Unreachable(ENDED.into());
                    return Err(io::Error::other(ended));
                }
                Err(error) => {
                    self.body = None;
                    return Err(io::Error::other(unreachable(&error)));
                }
            }
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("rest", &self.rest)
            .finish_non_exhaustive()
    }
}

impl TransportError {
    /// What a [`Download`] failed with; another error is the network's.
    #[must_use]
    pub fn from_read(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(|error| unreachable(&error))
    }
}

fn unreachable(error: &io::Error) -> TransportError {
    TransportError::Unreachable(error.to_string())
}

fn text(response: &Response<Body>, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}
