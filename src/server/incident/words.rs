//! What only the operator can say about an incident.

use alloc::{string::String, vec::Vec};

/// Longest text, in bytes.
const MAX_TEXT: usize = 4_096;
/// Most measures.
const MAX_MEASURES: usize = 64;

/// What only the operator can say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "http", serde(default, deny_unknown_fields))]
pub struct OperatorWords {
    /// Who is responsible: name and address.
    pub controller: Option<String>,
    /// The data protection officer or another contact point.
    pub contact: Option<String>,
    /// What else was done or is planned.
    pub measures: Vec<String>,
    /// Why the authority hears of it later than 72 hours after.
    pub delay_reason: Option<String>,
}

/// More than is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a text has at most {MAX_TEXT} bytes, and there are at most {MAX_MEASURES} measures")]
pub struct WordsError;

impl OperatorWords {
    /// What `later` says, and where it says nothing, what this says.
    pub(super) fn or(self, later: Self) -> Result<Self, WordsError> {
        let said = Self {
            controller: later.controller.or(self.controller),
            contact: later.contact.or(self.contact),
            measures: if later.measures.is_empty() {
                self.measures
            } else {
                later.measures
            },
            delay_reason: later.delay_reason.or(self.delay_reason),
        };
        let texts = [&said.controller, &said.contact, &said.delay_reason];
        let texts = texts.into_iter().flatten().chain(&said.measures);
        let longest = texts.map(String::len).max().unwrap_or(0);
        if longest > MAX_TEXT || said.measures.len() > MAX_MEASURES {
            return Err(WordsError);
        }
        Ok(said)
    }

    /// `[controller] [contact] [delay reason] measures u8, [measure]...`, each text behind its length u16; all ones for none.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for text in [&self.controller, &self.contact, &self.delay_reason] {
            put(text.as_deref(), out);
        }
        out.push(u8::try_from(self.measures.len()).unwrap_or(u8::MAX));
        for measure in &self.measures {
            put(Some(measure), out);
        }
    }

    pub(super) fn decode(rest: &mut &[u8]) -> Option<Self> {
        let controller = take(rest)?;
        let contact = take(rest)?;
        let delay_reason = take(rest)?;
        let (count, left) = rest.split_first()?;
        *rest = left;
        let mut measures = Vec::new();
        for _ in 0..*count {
            measures.push(take(rest)??);
        }
        // The same limits as where it came in.
        let words = Self {
            controller,
            contact,
            measures,
            delay_reason,
        };
        Self::default().or(words).ok()
    }
}

const NONE: u16 = u16::MAX;

/// Texts are shorter than [`NONE`] bytes by [`MAX_TEXT`].
fn put(text: Option<&str>, out: &mut Vec<u8>) {
    let length = text.map_or(NONE, |text| u16::try_from(text.len()).unwrap_or(NONE));
    out.extend(length.to_be_bytes());
    out.extend(text.unwrap_or_default().as_bytes());
}

fn take(rest: &mut &[u8]) -> Option<Option<String>> {
    let (length, left) = rest.split_first_chunk()?;
    let length = u16::from_be_bytes(*length);
    *rest = left;
    if length == NONE {
        return Some(None);
    }
    let (text, left) = rest.split_at_checked(usize::from(length))?;
    *rest = left;
    let text = core::str::from_utf8(text).ok()?;
    Some(Some(text.into()))
}
