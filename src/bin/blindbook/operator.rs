//! Asking the operators' listener of a running service.

use std::{io::Read, net::SocketAddr, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
};

use crate::{failure::Failure, text::printable};

/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 8 << 20;
/// A large set takes minutes, and so do millions of members.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// The listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator(pub(crate) SocketAddr);

impl Operator {
    pub(crate) fn get<T: DeserializeOwned>(self, path: &str) -> Result<T, Failure> {
        self.ask(path, |agent, url| agent.get(url).call())
    }

    /// Without a document.
    pub(crate) fn order<T: DeserializeOwned>(self, path: &str) -> Result<T, Failure> {
        self.ask(path, |agent, url| agent.post(url).send_empty())
    }

    /// With a document.
    pub(crate) fn post<T: DeserializeOwned>(
        self,
        path: &str,
        document: &impl Serialize,
    ) -> Result<T, Failure> {
        let document = serde_json::to_vec(document).map_err(Failure::defect)?;
        self.ask(path, |agent, url| agent.post(url).send(&document[..]))
    }

    /// With a document, for an answer that says nothing but that it is done.
    pub(crate) fn tell(self, path: &str, document: &impl Serialize) -> Result<(), Failure> {
        let document = serde_json::to_vec(document).map_err(Failure::defect)?;
        let response = self.send(path, |agent, url| agent.post(url).send(&document[..]))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(refusal(status, &answer(response)?)),
        }
    }

    /// An answer that isn't a document, of any length.
    pub(crate) fn stream(self, path: &str) -> Result<impl Read + use<>, Failure> {
        let response = self.send(path, |agent, url| agent.get(url).call())?;
        if response.status().is_success() {
            return Ok(response.into_body().into_reader());
        }
        Err(refusal(response.status(), &answer(response)?))
    }

    fn ask<T: DeserializeOwned>(
        self,
        path: &str,
        send: impl FnOnce(&Agent, &str) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        let response = self.send(path, send)?;
        let status = response.status();
        let answer = answer(response)?;
        if !status.is_success() {
            return Err(refusal(status, &answer));
        }
        serde_json::from_slice(&answer).map_err(Failure::defect)
    }

    fn send(
        self,
        path: &str,
        send: impl FnOnce(&Agent, &str) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // The operators' listener is near; a proxy from the environment isn't on the way.
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build()
            .new_agent();
        let address = self.0;
        send(&agent, &format!("http://{address}{path}")).map_err(|error| {
            Failure::Unreachable(format!(
                "the operators' listener at {address}: {error}; does `serve` run?"
            ))
        })
    }
}

fn answer(response: Response<Body>) -> Result<Vec<u8>, Failure> {
    let mut answer = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(MAX_ANSWER)
        .read_to_end(&mut answer)
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    Ok(answer)
}

fn refusal(status: StatusCode, answer: &[u8]) -> Failure {
    let said: Option<serde_json::Value> = serde_json::from_slice(answer).ok();
    let said = said.unwrap_or_default();
    let why = said.get("error").and_then(|why| why.as_str());
    let why = printable(why.unwrap_or("it doesn't say why"));
    let message = format!("the service refused: {why}");
    match status.as_u16() {
        400 => Failure::BadInput(message),
        _ => Failure::Refused {
            message,
            retry_after: said.get("retry_after").and_then(|wait| wait.as_u64()),
        },
    }
}
