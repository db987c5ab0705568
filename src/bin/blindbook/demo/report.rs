//! What the demonstration shows in the end.

use std::fmt;

use serde::Serialize;

use super::service::Saw;
use crate::{
    connection::Step,
    discover, enrol, publish,
    text::{bytes, count, elapsed, table},
};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) enrolled: enrol::Report,
    pub(super) published: publish::Report,
    pub(super) discovery: discover::Report,
    pub(super) saw: Saw,
    /// The first bytes of the first element that the service saw.
    pub(super) an_element: String,
    pub(super) steps: Vec<Step>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lookup = &self.discovery.lookup;
        writeln!(f, "{}\n", self.discovery)?;

        let row = |cells: [String; 2]| cells.to_vec();
        let seen = [
            row([
                "what the server saw".into(),
                "what the client learned".into(),
            ]),
            row([
                format!(
                    "{} request of {} group elements, such as {}...",
                    self.saw.evaluate_requests,
                    count(self.saw.elements),
                    self.an_element
                ),
                format!(
                    "{} handles of contacts who can be found",
                    self.discovery.found.len()
                ),
            ]),
            row([
                format!(
                    "which of them are the {} contacts and which are padding: no",
                    lookup.evaluated
                ),
                "that the server's key is the published one: proved".into(),
            ]),
            row([
                "numbers, names, who was found: no".into(),
                "about anybody else: nothing".into(),
            ]),
        ];
        writeln!(f, "{}", table(&seen, &[]))?;

        let mut steps = vec![
            ["step", "sent", "received", "time"]
                .map(String::from)
                .to_vec(),
        ];
        let total = self.steps.iter().fold((0, 0, 0.0), |sum, step| {
            let Step {
                bytes_sent,
                bytes_received,
                seconds,
                ..
            } = step;
            (sum.0 + bytes_sent, sum.1 + bytes_received, sum.2 + seconds)
        });
        steps.extend(self.steps.iter().map(|step| {
            let cells = [
                bytes(step.bytes_sent),
                bytes(step.bytes_received),
                elapsed(step.seconds),
            ];
            [step.name.to_owned()].into_iter().chain(cells).collect()
        }));
        let cells = [bytes(total.0), bytes(total.1), elapsed(total.2)];
        steps.push(["together".to_owned()].into_iter().chain(cells).collect());
        f.write_str(table(&steps, &[1, 2, 3]).trim_end())
    }
}
