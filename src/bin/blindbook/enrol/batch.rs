//! Lines of an enrolment file, as what a registrar sends.

use std::{
    fmt,
    io::{self, BufRead},
};

use blindbook::{
    Timestamp,
    client::{
        Identifier,
        contacts::{EnrolmentReader, EnrolmentRecord, Position},
    },
    label::{Label, LabelLength},
    wire::{Consent, Region, Setting},
};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{failure::Failure, registrar::NewMember};

/// What the people in a file agreed to, if any of them did.
#[derive(Debug, Clone)]
pub(crate) struct Consents(Option<(String, String)>);

impl Consents {
    pub(crate) fn new(text: Option<&str>, surface: Option<&str>) -> Result<Self, Failure> {
        let Some((text, surface)) = text.zip(surface) else {
            return Ok(Self(None));
        };
        // Any date will do to find out whether the two names can be used.
        Consent::new(Timestamp::from_secs(1), text, surface).map_err(Failure::bad_input)?;
        Ok(Self(Some((text.to_owned(), surface.to_owned()))))
    }

    fn setting(&self, record: &EnrolmentRecord) -> Result<Setting, &'static str> {
        match record.audience.as_deref() {
            None | Some("nobody") => return Ok(Setting::Nobody),
            Some("everyone") => {}
            Some(_) => return Err("the audience is neither everyone nor nobody"),
        }
        if record.consented_at.is_none() && record.region.is_some() {
            // Whether that can be is for the service's table of regions to say.
            return Ok(Setting::EveryoneByDefault);
        }
        let (text, surface) = self.0.as_ref().ok_or(
            "an audience of everyone needs a consent: give --consent-text and --consent-surface",
        )?;
        let at = record
            .consented_at
            .as_deref()
            .ok_or("an audience of everyone needs the time of the consent in the fourth column, or a region in the fifth that needs none")?;
        let at = timestamp(at).ok_or("the time of the consent isn't one")?;
        Consent::new(at, text, surface)
            .map(Setting::Everyone)
            .map_err(|_| "the time of the consent isn't one")
    }
}

/// RFC 3339, or seconds since 1970.
fn timestamp(text: &str) -> Option<Timestamp> {
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            u64::try_from(time.unix_timestamp()).ok()?
        }
    };
    Some(Timestamp::from_secs(seconds)).filter(|at| *at < Timestamp::MAX)
}

/// A line that isn't enrolled. Holds nothing of its content.
#[derive(Debug, Serialize)]
pub(crate) struct Rejection {
    pub(crate) line: u64,
    reason: String,
}

impl Rejection {
    pub(crate) fn new(line: u64, reason: &dyn fmt::Display) -> Self {
        Self {
            line,
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// So many lines.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) identifiers: Vec<Identifier>,
    /// Of the same length.
    pub(crate) members: Vec<NewMember>,
    /// Of the same length: the numbers of the lines.
    pub(crate) lines: Vec<u64>,
    pub(crate) rejected: Vec<Rejection>,
    /// Where the next batch begins.
    pub(crate) next: Position,
}

impl Batch {
    /// Reads up to `limit` lines; `None` at the end of the file.
    pub(crate) fn read<R: BufRead>(
        reader: &mut EnrolmentReader<R>,
        limit: usize,
        label_length: LabelLength,
        consents: &Consents,
    ) -> io::Result<Option<Self>> {
        let mut batch = Self {
            identifiers: Vec::with_capacity(limit),
            members: Vec::with_capacity(limit),
            lines: Vec::with_capacity(limit),
            rejected: Vec::new(),
            next: EnrolmentReader::position(reader),
        };
        let mut read = 0;
        for line in reader.by_ref().take(limit) {
            let line = line?;
            read += 1;
            batch.next = line.next;
            let outcome = line.outcome.map_err(|reason| reason.to_string());
            match outcome.and_then(|record| {
                let member = member(&record, label_length, consents)?;
                Ok((record.identifier, member))
            }) {
                Ok((identifier, member)) => {
                    batch.identifiers.push(identifier);
                    batch.members.push(member);
                    batch.lines.push(line.line);
                }
                Err(reason) => batch.rejected.push(Rejection::new(line.line, &reason)),
            }
        }
        Ok((read > 0).then_some(batch))
    }
}

fn member(
    record: &EnrolmentRecord,
    label_length: LabelLength,
    consents: &Consents,
) -> Result<NewMember, String> {
    if record.handle.is_empty() && label_length.get() > 0 {
        return Err("no handle in the second column".into());
    }
    let label = Label::new(record.handle.as_bytes()).map_err(|error| error.to_string())?;
    if label.as_bytes().len() > usize::from(label_length.get()) {
        return Err(format!(
            "the handle is longer than the service's {} bytes",
            label_length.get()
        ));
    }
    let region = record.region.as_deref().map(Region::new).transpose();
    Ok(NewMember {
        label,
        setting: consents.setting(record)?,
        region: region.map_err(|error| error.to_string())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, consents: &Consents) -> Batch {
        let mut reader = EnrolmentReader::new(text.as_bytes(), "GB".parse().ok());
        Batch::read(&mut reader, 100, LabelLength::default(), consents)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn every_line_is_enrolled_or_rejected_with_its_reason() {
        let consents = Consents::new(Some("2026-11"), Some("import")).unwrap();
        let batch = read(
            "phone,handle,audience,consented_at\n\
             07700 900001,a,everyone,2026-11-01T12:00:00Z\n\
             07700 900002,b,everyone,1793534400\n\
             07700 900003,c\n\
             07700 900004,,nobody\n\
             07700 900005,a handle that is too long,nobody\n\
             07700 900006,f,friends\n\
             07700 900007,g,everyone\n\
             07700 900008,h,everyone,yesterday\n\
             hello,i\n\
             07700 900010,k,everyone,1793534400,GB\n\
             07700 900011,l,everyone,,US\n\
             07700 900012,m,,,United Kingdom\n\
             07700 900013,n,,,GB\n",
            &consents,
        );
        assert_eq!(batch.lines, [2, 3, 4, 11, 12, 14]);
        let rejected: Vec<u64> = batch.rejected.iter().map(|one| one.line).collect();
        assert_eq!(rejected, [5, 6, 7, 8, 9, 10, 13]);
        let times: Vec<Option<Timestamp>> = batch
            .members
            .iter()
            .map(|member| match &member.setting {
                Setting::Everyone(consent) => Some(consent.at()),
                _ => None,
            })
            .collect();
        let noon = Timestamp::from_secs(1_793_534_400);
        assert_eq!(
            times,
            [Some(noon), Some(noon), None, Some(noon), None, None]
        );
        let unasked = batch.members.get(4).map(|member| &member.setting);
        assert_eq!(unasked, Some(&Setting::EveryoneByDefault));
        let regions: Vec<Option<Region>> =
            batch.members.iter().map(|member| member.region).collect();
        let region = |code| Some(Region::new(code).unwrap());
        let expected = [None, None, None, region("GB"), region("US"), region("GB")];
        assert_eq!(regions, expected);
    }

    /// A service whose labels have no bytes tells who is there and nothing more. Its registrars couldn't enrol anybody:
    /// a line without a handle had none, and one with a handle had one that is too long.
    #[test]
    fn a_service_without_labels_has_members_too() {
        let lines = "07700 900001\n07700 900002,b\n";
        let mut reader = EnrolmentReader::new(lines.as_bytes(), "GB".parse().ok());
        let none = LabelLength::new(0).unwrap();
        let consents = Consents::new(None, None).unwrap();
        let batch = Batch::read(&mut reader, 100, none, &consents)
            .unwrap()
            .unwrap();
        assert_eq!(batch.lines, [1]);
        assert_eq!(batch.rejected.len(), 1);
    }

    #[test]
    fn nobody_is_made_findable_without_a_consent() {
        let batch = read(
            "07700 900001,a,everyone,1793534400\n",
            &Consents::new(None, None).unwrap(),
        );
        assert!(batch.members.is_empty());
        assert_eq!(batch.rejected.len(), 1);
    }
}
