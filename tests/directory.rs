//! What may never happen to a member, whatever is sent in whatever order: to be found after having said no.

#[path = "directory/regions.rs"]
mod regions;
#[path = "support/roles.rs"]
#[allow(unused, reason = "only its executor is wanted")]
mod roles;

use std::time::Duration;

use blindbook::{
    Timestamp,
    label::Label,
    oprf::UnblindedElement,
    server::{
        EvaluationKey,
        directory::{
            Audience, CONSENT_AHEAD, Change, ChangeError, Consent, MAX_INTERVALS, Member,
            MemberBatch, Residence, Setting, apply,
        },
    },
    store::{MemoryStore, Store},
    wire::RefusedChange,
};
use proptest::{
    collection::vec,
    prelude::{
        Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
    },
};
use roles::{EPOCH, now, random_source};

const BEGINNING: u64 = 1_800_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(BEGINNING + seconds)
}

/// A change as it is sent; the same one can be sent again.
#[derive(Debug, Clone)]
enum Sent {
    Everyone { consented: u64, text: u8 },
    Nobody,
    Remove,
}

impl Sent {
    fn change(&self) -> Change {
        let label = Label::new(b"handle").unwrap();
        match self {
            Self::Everyone { consented, text } => {
                let text = format!("text {text}");
                let consent = Consent::new(at(*consented), &text, "ios/settings").unwrap();
                Change::Enrol {
                    label,
                    setting: Setting::Everyone(consent),
                    residence: Residence::default(),
                }
            }
            Self::Nobody => Change::Enrol {
                label,
                setting: Setting::Nobody,
                residence: Residence::default(),
            },
            Self::Remove => Change::Remove,
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        3 => (0_u64..2_000, 0_u8..3).prop_map(|(consented, text)| Sent::Everyone { consented, text }),
        1 => Just(Sent::Nobody),
        1 => Just(Sent::Remove),
    ]
}

/// What one would say of a member without knowing how it is kept.
#[derive(Debug, Default)]
struct Model {
    /// No consent until then counts.
    said_no: Option<Timestamp>,
    /// Findable since, under this consent.
    open: Option<(Timestamp, Timestamp)>,
    /// Findable from, until.
    periods: Vec<(Timestamp, Timestamp)>,
}

impl Model {
    fn change(&mut self, sent: &Sent, now: Timestamp) -> Result<(), ChangeError> {
        let Sent::Everyone { consented, .. } = sent else {
            // A no comes after the yes that it revokes, whatever the clocks say.
            let mut no = now.max(self.said_no.unwrap_or(now));
            if let Some((since, consented)) = self.open.take() {
                no = no.max(since).max(consented);
                self.periods.push((since, no));
            }
            self.said_no = Some(no);
            return Ok(());
        };
        let consented = at(*consented);
        if self.said_no.is_some_and(|no| consented <= no) {
            return Err(ChangeError::StaleConsent);
        }
        if consented > now.saturating_add(CONSENT_AHEAD) {
            return Err(ChangeError::ConsentInFuture);
        }
        let (since, before) = self.open.unwrap_or((now, consented));
        self.open = Some((since, consented.max(before)));
        Ok(())
    }
}

/// Every period is covered by evidence, which is in order and of bounded size.
fn evidence_is_sound(
    member: &Member,
    model: &Model,
) -> Result<(), proptest::test_runner::TestCaseError> {
    let intervals = member.intervals();
    prop_assert!(intervals.len() <= MAX_INTERVALS);
    for pair in intervals.windows(2) {
        prop_assert!(pair[0].until.is_some_and(|until| until <= pair[1].since));
    }
    for interval in intervals {
        prop_assert!(interval.until.is_none_or(|until| interval.since <= until));
    }
    let covered = |moment: Timestamp| {
        intervals.iter().any(|interval| {
            interval.since <= moment && interval.until.is_none_or(|until| moment <= until)
        })
    };
    for &(since, until) in &model.periods {
        prop_assert!(covered(since) && covered(until));
    }
    prop_assert!(model.open.is_none_or(|(since, _)| covered(since)));
    Ok(())
}

/// A consent that arrived late replaced a newer one. If clocks differed a little, the decision not to be found was
/// then dated by the older one, and the newer one, sent again, brought the member back.
#[test]
fn an_older_consent_does_not_replace_a_newer_one() {
    let yes = |consented, text| Sent::Everyone { consented, text }.change();
    let found = apply(None, yes(200, 1), at(0)).unwrap();
    let still = apply(Some(found.clone()), yes(100, 2), at(1)).unwrap();
    assert_eq!(still, found);
    let hidden = apply(Some(still), Change::Remove, at(2)).unwrap();
    let (_, error) = apply(Some(hidden), yes(200, 1), at(3)).unwrap_err();
    assert_eq!(error, ChangeError::StaleConsent);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_no_outranks_every_yes_before_it(
        changes in vec((sent(), 0_u64..60), 1..150),
    ) {
        let mut clock = 0;
        let mut model = Model::default();
        let mut member = None;
        for (sent, pause) in &changes {
            clock += pause;
            let expected = model.change(sent, at(clock));
            let before = member.clone();
            match apply(member, sent.change(), at(clock)) {
                Ok(after) => {
                    prop_assert_eq!(expected, Ok(()));
                    member = Some(after);
                }
                Err((unchanged, error)) => {
                    prop_assert_eq!(expected, Err(error));
                    prop_assert_eq!(&unchanged, &before);
                    member = unchanged;
                }
            }
            let audience = member.as_ref().map_or(Audience::Nobody, Member::audience);
            prop_assert_eq!(audience == Audience::Everyone, model.open.is_some());
            if let Some(member) = &member {
                evidence_is_sound(member, &model)?;
                // What is stored can be read again.
                let parts = Member::from_parts(
                    member.label().cloned(),
                    member.region(),
                    member.intervals().to_vec(),
                    member.hidden_at(),
                );
                prop_assert_eq!(parts.as_ref(), Some(member));
            }
        }
    }

    /// Also when the clock does what it wants: nobody comes back by a consent older than a no.
    #[test]
    fn no_clock_brings_anybody_back(
        changes in vec((sent(), any::<u32>()), 1..60),
    ) {
        let mut member: Option<Member> = None;
        let mut youngest_consent_before_a_no = None;
        for (sent, clock) in &changes {
            let clock = Timestamp::from_secs(u64::from(*clock));
            let accepted = match apply(member, sent.change(), clock) {
                Ok(after) => {
                    member = Some(after);
                    true
                }
                Err((unchanged, _)) => {
                    member = unchanged;
                    false
                }
            };
            match sent {
                Sent::Everyone { consented, .. } if accepted => {
                    let stale = youngest_consent_before_a_no.is_some_and(|old| *consented <= old);
                    prop_assert!(!stale);
                }
                Sent::Everyone { .. } => {}
                Sent::Nobody | Sent::Remove => {
                    let revoked = member.iter().flat_map(Member::intervals);
                    let consents = revoked.map(|interval| {
                        interval.consent.as_ref().unwrap().at().as_micros() / 1_000_000 - BEGINNING
                    });
                    youngest_consent_before_a_no = consents.max().max(youngest_consent_before_a_no);
                    prop_assert_eq!(member.as_ref().map(Member::audience), Some(Audience::Nobody));
                }
            }
        }
    }

    /// A registrar that sends a whole history again, later, in another order or twice, changes nobody for the
    /// better: who can be found then, could be found before.
    #[test]
    fn an_old_history_sent_again_brings_nobody_back(
        history in vec((0_u8..3, sent(), 0_u64..60), 1..40),
        again in vec(any::<proptest::sample::Index>(), 1..60),
    ) {
        let store = MemoryStore::new();
        let who = |number: u8| {
            let key = EvaluationKey::random(&mut random_source(number));
            UnblindedElement::decode(&key.public_key().encode()).unwrap()
        };
        let mut clock = 0;
        let mut refused_when_new = Vec::new();
        for (number, sent, pause) in &history {
            clock += pause;
            let batch = MemberBatch {
                epoch: EPOCH,
                changes: vec![(who(*number), sent.change())],
                at: at(clock),
            };
            let outcome = now(store.change_members(batch)).unwrap();
            // A consent from the future is good later on: that is no old history.
            let future = |refused: &RefusedChange| refused.error == ChangeError::ConsentInFuture;
            refused_when_new.push(outcome.refused.iter().any(future));
        }
        let findable = || -> Vec<[u8; 32]> {
            let found = now(store.findable(EPOCH, None, 10)).unwrap();
            found.iter().map(|one| *one.unblinded.expose()).collect()
        };
        let before = findable();
        for index in again {
            let place = index.index(history.len());
            if refused_when_new[place] {
                continue;
            }
            let (number, sent, _) = &history[place];
            let batch = MemberBatch {
                epoch: EPOCH,
                changes: vec![(who(*number), sent.change())],
                at: at(clock).saturating_add(Duration::from_secs(3_600)),
            };
            now(store.change_members(batch)).unwrap();
            prop_assert!(findable().iter().all(|one| before.contains(one)));
        }
    }
}
