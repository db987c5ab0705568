//! The record of an incident, and the order of its steps.
//!
//! Each step can be taken again: it changes nothing then, so whoever didn't hear the answer asks once more.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::time::Duration;

use super::{OperatorWords, Tally, WordsError};
use crate::{
    oprf::Epoch,
    server::{
        detect::Signal,
        quota::{AccountKey, NetworkKey, Suspect},
    },
    timestamp::Timestamp,
};

/// GDPR Art. 33(1).
const NOTIFY_WITHIN: Duration = Duration::from_secs(72 * 3_600);

/// A period, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its begin.
    pub since: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

/// Whose requests an incident is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suspects {
    /// Accounts, and registrars whose credential was abused.
    pub accounts: Vec<AccountKey>,
    /// Networks.
    pub networks: Vec<NetworkKey>,
    /// All accounts that are young.
    pub new_accounts: bool,
    /// Nobody knows: it may have been any account of an app.
    pub unknown: bool,
}

impl Suspects {
    /// Most accounts, and most networks, of one incident.
    pub const MOST: usize = 100_000;

    /// Whom containing suspends. Where accounts can't be named, new ones are stopped: it's they who can be made at will.
    pub fn to_suspend(&self) -> impl Iterator<Item = Suspect> {
        let accounts = self.accounts.iter().copied().map(Suspect::Account);
        let networks = self.networks.iter().copied().map(Suspect::Network);
        let young = (self.new_accounts || self.unknown).then_some(Suspect::YoungAccounts);
        accounts.chain(networks).chain(young)
    }

    /// Adds whom a signal points at, if at anybody.
    pub fn add(&mut self, signal: &Signal) {
        match signal.suspect() {
            Some(Suspect::Account(account)) => self.accounts.push(account),
            Some(Suspect::Network(network)) => self.networks.push(network),
            Some(Suspect::YoungAccounts) => self.new_accounts = true,
            None => {}
        }
    }

    fn sort(&mut self) {
        self.accounts.sort_unstable();
        self.accounts.dedup();
        self.networks.sort_unstable();
        self.networks.dedup();
    }

    fn nobody(&self) -> bool {
        self.accounts.is_empty() && self.networks.is_empty() && !self.new_accounts && !self.unknown
    }
}

/// What an incident is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// When the operator became aware: the 72 hours of GDPR Art. 33(1) begin here.
    pub aware_at: Timestamp,
    /// From when on the suspects may have harvested.
    pub since: Timestamp,
    /// Until when; `None` for until they are contained.
    pub until: Option<Timestamp>,
    /// Whose requests it is about.
    pub suspects: Suspects,
}

/// Terms that no incident can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The window ends before it begins.
    #[error("the window ends before it begins")]
    EmptyWindow,
    /// The window begins in the future, or the operator is going to become aware.
    #[error("the window's begin, its end and the moment of becoming aware can't be in the future")]
    Future,
    /// The window begins before anything is kept of it.
    #[error("the window begins more than two years ago: nothing is kept of that")]
    TooLongAgo,
    /// Nobody is suspected.
    #[error("name accounts, networks or new accounts, or say that the suspects are unknown")]
    NoSuspects,
    /// Too many to name.
    #[error(
        "at most {} accounts and as many networks can be named",
        Suspects::MOST
    )]
    TooManySuspects,
}

/// A step that isn't taken now, and what has to be done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// It is over.
    #[error("the incident is closed")]
    Closed,
    /// What the suspects learn still grows.
    #[error("contain it first: what the suspects can learn still grows")]
    NotContained,
    /// Nobody has read what people are to be told.
    #[error("write the report first: it holds the words that people will get")]
    NotReported,
    /// What was harvested stays good.
    #[error(
        "rotate the key hard first: until then what was harvested finds also who joins after the list is made; \
         or say that it is to be done without"
    )]
    NotRotated,
    /// It isn't known yet who has to be told.
    #[error("nobody has been told: notify first, or close it as unfounded")]
    NotNotified,
    /// Somebody waits.
    #[error("{0} people haven't been told yet: go on notifying")]
    Untold(u64),
    /// People have been told that it happened.
    #[error("people are being told: it can't be closed as unfounded any more")]
    Told,
}

/// Who has to be told, as it was found out once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// When members could have been learned of.
    pub exposed: Period,
    /// When listing began.
    pub at: Timestamp,
    /// Whether the list is whole.
    pub complete: bool,
    /// Members who were exposed and have no handle to be told by: the service's labels have no bytes.
    pub nameless: u64,
}

/// How an incident ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// When.
    pub at: Timestamp,
    /// It turned out that nothing had happened.
    pub unfounded: bool,
}

/// A step, as it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "http", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "http", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Step {
    /// Evidence is frozen.
    Opened,
    /// Suspects are suspended.
    Contained,
    /// A hard rotation has made what was harvested worthless for the future.
    Rotated,
    /// A report was written.
    Reported,
    /// It is being found out who has to be told.
    Listing,
    /// It is known.
    Listed,
    /// It is over.
    Closed,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Opened,
        Self::Contained,
        Self::Rotated,
        Self::Reported,
        Self::Listing,
        Self::Listed,
        Self::Closed,
    ];

    /// What an entry of a ledger has for it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Opened => 1,
            Self::Contained => 2,
            Self::Rotated => 3,
            Self::Reported => 4,
            Self::Listing => 5,
            Self::Listed => 6,
            Self::Closed => 7,
        }
    }

    /// The step that [`Self::number`] gives this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.number() == number)
    }
}

/// An incident: what a store keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    pub(super) id: u64,
    pub(super) salt: [u8; 16],
    pub(super) terms: Terms,
    pub(super) epoch: Epoch,
    pub(super) opened_at: Timestamp,
    pub(super) contained_at: Option<Timestamp>,
    pub(super) rotated_at: Option<Timestamp>,
    pub(super) reports: u32,
    pub(super) reported_at: Option<Timestamp>,
    pub(super) listing: Option<Listing>,
    pub(super) closing: Option<Closing>,
    pub(super) words: OperatorWords,
}

impl Incident {
    /// Opens an incident.
    ///
    /// `salt` is 16 random bytes, under which [notices get their names](super::NoticeId).
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(
        id: u64,
        salt: [u8; 16],
        mut terms: Terms,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        if terms.until.is_some_and(|until| until < terms.since) {
            return Err(OpenError::EmptyWindow);
        }
        if terms.since > now || terms.aware_at > now || terms.until.is_some_and(|until| until > now)
        {
            return Err(OpenError::Future);
        }
        if now.saturating_since(terms.since) > crate::server::directory::EVIDENCE_RETENTION {
            return Err(OpenError::TooLongAgo);
        }
        if terms.suspects.nobody() {
            return Err(OpenError::NoSuspects);
        }
        terms.suspects.sort();
        if terms
            .suspects
            .accounts
            .len()
            .max(terms.suspects.networks.len())
            > Suspects::MOST
        {
            return Err(OpenError::TooManySuspects);
        }
        Ok(Self {
            id,
            salt,
            terms,
            epoch,
            opened_at: now,
            contained_at: None,
            rotated_at: None,
            reports: 0,
            reported_at: None,
            listing: None,
            closing: None,
            words: OperatorWords::default(),
        })
    }

    /// Whether opening it with these terms asks for this incident once more: the same window and suspects, not closed.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let window = |incident: &Self| (incident.terms.since, incident.terms.until);
        self.closing.is_none()
            && window(self) == window(other)
            && self.terms.suspects == other.terms.suspects
    }

    /// Records that the suspects are suspended.
    ///
    /// # Errors
    ///
    /// [`OrderError::Closed`].
    pub fn contain(&mut self, now: Timestamp) -> Result<(), OrderError> {
        self.unclosed()?;
        self.contained_at.get_or_insert(now);
        Ok(())
    }

    /// Records when the key was last rotated hard; what was before the end of the harvest counts for nothing.
    pub fn learn_of_rotation(&mut self, at: Timestamp) {
        // A manifest, which tells when, has whole seconds.
        let end = at.saturating_add(Duration::from_secs(1));
        let late_enough = self.contained_at.is_some_and(|contained| end > contained);
        if self.closing.is_none() && self.listing.is_none() && late_enough {
            self.rotated_at.get_or_insert(at);
        }
    }

    /// Takes what only the operator can say; what isn't said leaves what was said before.
    ///
    /// # Errors
    ///
    /// [`WordsError`] if it is too long.
    pub fn say(&mut self, words: OperatorWords) -> Result<(), WordsError> {
        let said = self.words.clone().or(words)?;
        self.words = said;
        Ok(())
    }

    /// What the operator has said.
    #[must_use]
    pub fn words(&self) -> &OperatorWords {
        &self.words
    }

    /// Records that a report was written.
    ///
    /// # Errors
    ///
    /// [`OrderError::NotContained`]. A closed incident can be reported on: its steps don't change any more.
    pub fn report(&mut self, now: Timestamp) -> Result<(), OrderError> {
        if self.closing.is_some() {
            return Ok(());
        }
        if self.contained_at.is_none() {
            return Err(OrderError::NotContained);
        }
        self.reports = self.reports.saturating_add(1);
        self.reported_at.get_or_insert(now);
        Ok(())
    }

    /// Begins to find out who has to be told, or says what was found out.
    ///
    /// # Errors
    ///
    /// [`OrderError::Closed`], [`OrderError::NotContained`], [`OrderError::NotReported`]; [`OrderError::NotRotated`] unless
    /// it is to be done `without_rotation`.
    pub fn list(
        &mut self,
        without_rotation: bool,
        now: Timestamp,
    ) -> Result<&mut Listing, OrderError> {
        self.unclosed()?;
        if self.contained_at.is_none() {
            return Err(OrderError::NotContained);
        }
        if self.reported_at.is_none() {
            return Err(OrderError::NotReported);
        }
        if self.rotated_at.is_none() && !without_rotation && self.listing.is_none() {
            return Err(OrderError::NotRotated);
        }
        let exposed = self.exposed(now);
        Ok(self.listing.get_or_insert(Listing {
            exposed,
            at: now,
            complete: false,
            nameless: 0,
        }))
    }

    /// Closes it.
    ///
    /// # Errors
    ///
    /// [`OrderError::NotNotified`] or [`OrderError::Untold`] while somebody isn't told; [`OrderError::Told`] if it
    /// is `unfounded` and people are told.
    pub fn close(
        &mut self,
        unfounded: bool,
        tally: &Tally,
        now: Timestamp,
    ) -> Result<(), OrderError> {
        if self.closing.is_some() {
            return Ok(());
        }
        match (unfounded, self.listing) {
            (true, Some(_)) => return Err(OrderError::Told),
            (false, Some(Listing { complete: true, .. })) if tally.untold() > 0 => {
                return Err(OrderError::Untold(tally.untold()));
            }
            (true, None) | (false, Some(Listing { complete: true, .. })) => {}
            (false, _) => return Err(OrderError::NotNotified),
        }
        self.closing = Some(Closing { at: now, unfounded });
        Ok(())
    }

    fn unclosed(&self) -> Result<(), OrderError> {
        match self.closing {
            Some(_) => Err(OrderError::Closed),
            None => Ok(()),
        }
    }

    /// Since when nothing is forgotten that was known then: since it was opened; once it is closed, what is known `now` counts.
    #[must_use]
    pub fn frozen_at(&self, now: Timestamp) -> Timestamp {
        self.closing.map_or(self.opened_at, |_| now)
    }

    /// When the suspects may have harvested.
    #[must_use]
    pub fn harvest(&self, now: Timestamp) -> Period {
        let since = self.terms.since;
        let until = self.terms.until.or(self.contained_at).unwrap_or(now);
        Period {
            since,
            until: until.max(since),
        }
    }

    /// When members could have been learned of: from the begin of the harvest until it became worthless, or until now.
    #[must_use]
    pub fn exposed(&self, now: Timestamp) -> Period {
        if let Some(listing) = self.listing {
            return listing.exposed;
        }
        let harvest = self.harvest(now);
        let until = self.rotated_at.or(self.closing.map(|closing| closing.at));
        Period {
            until: until.unwrap_or(now).max(harvest.until),
            ..harvest
        }
    }

    /// When the supervisory authority has to be told: 72 hours after the operator became aware (GDPR Art. 33(1)).
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        self.terms.aware_at.saturating_add(NOTIFY_WITHIN)
    }

    /// How long until then; zero once it is late.
    #[must_use]
    pub fn time_left(&self, now: Timestamp) -> Duration {
        self.due_at().saturating_since(now)
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it was opened with.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The epoch in which it was opened.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Who has to be told, as far as it is known.
    #[must_use]
    pub fn listing(&self) -> Option<&Listing> {
        self.listing.as_ref()
    }

    /// How it ended.
    #[must_use]
    pub fn closing(&self) -> Option<&Closing> {
        self.closing.as_ref()
    }

    /// How many reports were written.
    #[must_use]
    pub fn reports(&self) -> u32 {
        self.reports
    }

    /// The steps that it has taken since it was `before`; each report is one.
    #[must_use]
    pub fn taken_since(&self, before: Option<&Self>) -> Vec<Step> {
        let earlier = before.map(Self::steps).unwrap_or_default();
        let earlier: Vec<Step> = earlier.into_iter().map(|(step, _)| step).collect();
        let again = before.is_some_and(|before| before.reports < self.reports);
        let steps = self.steps().into_iter().map(|(step, _)| step);
        steps
            .filter(|step| !earlier.contains(step) || (again && *step == Step::Reported))
            .collect()
    }

    /// The steps that were taken, in their order, each with when it was taken first.
    #[must_use]
    pub fn steps(&self) -> Vec<(Step, Timestamp)> {
        let listed = self.listing.filter(|listing| listing.complete);
        [
            (Step::Opened, Some(self.opened_at)),
            (Step::Contained, self.contained_at),
            (Step::Rotated, self.rotated_at),
            (Step::Reported, self.reported_at),
            (Step::Listing, self.listing.map(|listing| listing.at)),
            (Step::Listed, listed.map(|listing| listing.at)),
            (Step::Closed, self.closing.map(|closing| closing.at)),
        ]
        .into_iter()
        .filter_map(|(step, at)| Some((step, at?)))
        .collect()
    }
}
