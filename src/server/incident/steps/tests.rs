//! Steps in every order.

use super::*;

const HOUR: u64 = 3_600;

fn at(hours: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + hours * HOUR)
}

fn terms() -> Terms {
    Terms {
        aware_at: at(9),
        since: at(1),
        until: None,
        suspects: Suspects {
            accounts: [2, 1, 2].map(|n| AccountKey::new([n; 32])).into(),
            new_accounts: true,
            ..Suspects::default()
        },
    }
}

fn open(terms: Terms) -> Result<Incident, OpenError> {
    Incident::open(1, [0; 16], terms, Epoch::new(3), at(10))
}

fn tally(waiting: u64) -> Tally {
    Tally {
        waiting,
        ..Tally::default()
    }
}

#[test]
fn terms_that_mean_nothing_are_refused() {
    let with = |change: fn(&mut Terms)| {
        let mut terms = terms();
        change(&mut terms);
        open(terms).unwrap_err()
    };
    assert_eq!(with(|t| t.until = Some(at(0))), OpenError::EmptyWindow);
    assert_eq!(with(|t| t.since = at(11)), OpenError::Future);
    assert_eq!(with(|t| t.until = Some(at(11))), OpenError::Future);
    assert_eq!(with(|t| t.aware_at = at(11)), OpenError::Future);
    let ancient = with(|t| t.since = Timestamp::from_secs(1_700_000_000));
    assert_eq!(ancient, OpenError::TooLongAgo);
    let nobody = with(|t| t.suspects = Suspects::default());
    assert_eq!(nobody, OpenError::NoSuspects);
    let many = with(|t| {
        let key = |n: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            AccountKey::new(key)
        };
        t.suspects.accounts = (0..=100_000).map(key).collect();
    });
    assert_eq!(many, OpenError::TooManySuspects);
}

#[test]
fn the_same_accounts_are_the_same_incident_in_whatever_order_they_are_named() {
    let first = open(terms()).unwrap();
    let mut again = terms();
    again.suspects.accounts.reverse();
    again.aware_at = at(10);
    assert!(first.is_same(&open(again.clone()).unwrap()));
    assert_eq!(first.terms().suspects.accounts.len(), 2);
    again.suspects.unknown = true;
    assert!(!first.is_same(&open(again).unwrap()));
    let mut closed = first.clone();
    closed.close(true, &Tally::default(), at(11)).unwrap();
    assert!(!closed.is_same(&first));
}

#[test]
fn steps_out_of_order_are_refused_and_say_what_is_missing() {
    let mut incident = open(terms()).unwrap();
    assert_eq!(incident.report(at(10)), Err(OrderError::NotContained));
    assert_eq!(
        incident.list(true, at(10)).unwrap_err(),
        OrderError::NotContained
    );
    let none = Tally::default();
    assert_eq!(
        incident.close(false, &none, at(10)),
        Err(OrderError::NotNotified)
    );
    incident.contain(at(11)).unwrap();
    assert_eq!(
        incident.list(true, at(11)).unwrap_err(),
        OrderError::NotReported
    );
    incident.report(at(12)).unwrap();
    assert_eq!(
        incident.list(false, at(12)).unwrap_err(),
        OrderError::NotRotated
    );
    incident.learn_of_rotation(at(13));
    incident.list(false, at(14)).unwrap();
    // The list isn't whole: nobody knows yet whether somebody is left.
    assert_eq!(
        incident.close(false, &none, at(15)),
        Err(OrderError::NotNotified)
    );
    assert_eq!(incident.close(true, &none, at(15)), Err(OrderError::Told));
    incident.list(false, at(15)).unwrap().complete = true;
    assert_eq!(
        incident.close(false, &tally(3), at(16)),
        Err(OrderError::Untold(3))
    );
    incident.close(false, &none, at(17)).unwrap();
    assert_eq!(incident.contain(at(18)), Err(OrderError::Closed));
    assert_eq!(incident.list(true, at(18)), Err(OrderError::Closed));
    let steps: Vec<Step> = incident.steps().into_iter().map(|(step, _)| step).collect();
    assert!(steps.is_sorted() && steps.len() == 7, "{steps:?}");
}

#[test]
fn a_step_taken_again_changes_nothing_but_the_number_of_reports() {
    let mut incident = open(terms()).unwrap();
    incident.contain(at(11)).unwrap();
    let once = incident.clone();
    incident.contain(at(12)).unwrap();
    assert_eq!(incident, once);
    assert_eq!(incident.taken_since(None), [Step::Opened, Step::Contained]);
    assert_eq!(incident.taken_since(Some(&once)), []);
    incident.report(at(12)).unwrap();
    incident.report(at(13)).unwrap();
    assert_eq!((incident.reports, incident.reported_at), (2, Some(at(12))));
    assert_eq!(incident.taken_since(Some(&once)), [Step::Reported]);
    let first = *incident.list(true, at(14)).unwrap();
    assert_eq!(*incident.list(false, at(20)).unwrap(), first);
    // A rotation that comes after the list was made doesn't change who is on it.
    incident.learn_of_rotation(at(21));
    assert_eq!(incident.rotated_at, None);
    assert_eq!(incident.exposed(at(22)), first.exposed);
    incident.list(true, at(22)).unwrap().complete = true;
    incident.close(false, &Tally::default(), at(23)).unwrap();
    let closed = incident.clone();
    incident.close(false, &tally(9), at(24)).unwrap();
    incident.report(at(24)).unwrap();
    assert_eq!(incident, closed);
}

/// A tag that was learned is good in every set of its epoch: whoever joins before the key is rotated can be found
/// with it, long after the attacker was stopped.
#[test]
fn members_are_exposed_until_the_rotation_and_not_only_while_it_was_harvested() {
    let mut incident = open(terms()).unwrap();
    assert_eq!(incident.harvest(at(10)).until, at(10));
    // A rotation before it was contained: the harvest went on under the new key.
    incident.learn_of_rotation(at(10));
    incident.contain(at(11)).unwrap();
    incident.learn_of_rotation(at(10));
    assert_eq!(incident.exposed(at(20)).until, at(20));
    incident.learn_of_rotation(at(15));
    incident.learn_of_rotation(at(18));
    assert_eq!(incident.harvest(at(20)).until, at(11));
    let exposed = incident.exposed(at(20));
    assert_eq!((exposed.since, exposed.until), (at(1), at(15)));
}

#[test]
fn containing_stops_new_accounts_where_nobody_can_be_named() {
    let mut suspects = Suspects {
        unknown: true,
        ..Suspects::default()
    };
    assert_eq!(
        suspects.to_suspend().collect::<Vec<_>>(),
        [Suspect::YoungAccounts]
    );
    suspects.unknown = false;
    suspects.accounts.push(AccountKey::new([1; 32]));
    assert_eq!(suspects.to_suspend().count(), 1);
}
