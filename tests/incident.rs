//! An incident in both stores, and what its report says.

#[path = "incident/bound.rs"]
mod bound;
#[path = "support/ledger.rs"]
#[allow(unused, reason = "only sealing is wanted")]
mod ledger;
#[path = "incident/report.rs"]
mod report;
#[path = "support/roles.rs"]
mod roles;

use std::{collections::BTreeSet, num::NonZeroU32};

use blindbook::{
    Timestamp,
    label::Label,
    oprf::{Epoch, UnblindedElement},
    server::{
        EvaluationKey,
        directory::{Change, EVIDENCE_RETENTION, MemberBatch, Residence, Setting},
        incident::{HandOut, Incident, Lease, Notice, NoticeId, Step, Suspects, Tally, Terms},
        policy::Policy,
        quota::{AccountKey, Charge, Origin, Quota, Scope},
    },
    store::{MemoryStore, Store},
};
use roles::{now, random_source};

const T0: u64 = 1_800_000_000;
const EPOCH: Epoch = Epoch::new(3);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(T0 + seconds)
}

fn opened(accounts: &[u8], seconds: u64) -> Incident {
    let accounts = accounts.iter().map(|number| AccountKey::new([*number; 32]));
    let terms = Terms {
        aware_at: at(seconds),
        since: at(0),
        until: None,
        suspects: Suspects {
            accounts: accounts.collect(),
            ..Suspects::default()
        },
    };
    Incident::open(0, [7; 16], terms, EPOCH, at(seconds)).unwrap()
}

fn lease(holder: u64, until: u64) -> Lease {
    Lease {
        holder,
        until: at(until),
    }
}

fn labels(notices: &[Notice]) -> BTreeSet<String> {
    let text = |notice: &Notice| String::from_utf8(notice.label.as_bytes().to_vec()).unwrap();
    notices.iter().map(text).collect()
}

fn notices(incident: &Incident, handles: impl IntoIterator<Item = u32>) -> Vec<Notice> {
    let handles = handles.into_iter();
    handles
        .map(|handle| incident.notice(Label::new(format!("handle-{handle}").as_bytes()).unwrap()))
        .collect()
}

async fn hand_out<S: Store>(
    store: &S,
    incident: &Incident,
    lease: Lease,
    seconds: u64,
    after: Option<NoticeId>,
    limit: usize,
) -> HandOut {
    let handed = store.hand_out_notices(incident.id(), lease, at(seconds), after, limit);
    handed.await.unwrap()
}

/// Whoever doesn't hear that an incident was opened opens it once more.
async fn opening_twice_is_opening_once<S: Store>(store: S) {
    let first = store.open_incident(opened(&[1, 2], 10)).await.unwrap();
    let again = store.open_incident(opened(&[2, 1], 20)).await.unwrap();
    assert_eq!(again, first);
    let other = store.open_incident(opened(&[1], 20)).await.unwrap();
    assert_eq!((first.id(), other.id()), (1, 2));
    assert_eq!(
        store.incidents().await.unwrap(),
        [first.clone(), other.clone()]
    );
    // Two operators at once: the one who was later has to look again.
    let mut contained = first.clone();
    contained.contain(at(30)).unwrap();
    let mut later = first.clone();
    later.contain(at(31)).unwrap();
    assert!(
        store
            .replace_incident(first.clone(), contained.clone())
            .await
            .unwrap()
    );
    assert!(!store.replace_incident(first.clone(), later).await.unwrap());
    assert!(!store.replace_incident(other, contained).await.unwrap());
    // Once it is closed, the same terms are a new incident.
    let mut closed = first_contained(&store).await;
    let before = closed.clone();
    closed.close(true, &Tally::default(), at(35)).unwrap();
    assert!(store.replace_incident(before, closed).await.unwrap());
    let third = store.open_incident(opened(&[1, 2], 40)).await.unwrap();
    assert_eq!(third.id(), 3);
}

async fn first_contained<S: Store>(store: &S) -> Incident {
    let first = store.incidents().await.unwrap().remove(0);
    assert!(
        first
            .steps()
            .iter()
            .any(|(step, when)| { *step == Step::Contained && *when == at(30) })
    );
    first
}

/// A list that is made again after a crash in the middle has everybody once; a handle with two numbers, too.
async fn a_list_is_the_same_however_often_it_is_made<S: Store>(store: S) {
    let incident = store.open_incident(opened(&[1], 10)).await.unwrap();
    let id = incident.id();
    let page = |handles| store.enlist_notices(id, notices(&incident, handles));
    page(0..10).await.unwrap();
    page(5..20).await.unwrap();
    page(3..4).await.unwrap();
    let all = Tally {
        waiting: 20,
        ..Tally::default()
    };
    assert_eq!(store.notice_tally(id).await.unwrap(), all);
    // Another incident has a list and names of its own.
    let salted = Incident::open(0, [8; 16], incident.terms().clone(), EPOCH, at(10)).unwrap();
    let other = store.open_incident(opened(&[9], 10)).await.unwrap();
    assert_ne!(notices(&salted, [1])[0].id, notices(&incident, [1])[0].id);
    store
        .enlist_notices(other.id(), notices(&other, [1]))
        .await
        .unwrap();
    assert_eq!(store.notice_tally(id).await.unwrap(), all);
    // One who is told stays told, whatever is listed again.
    let told: Vec<NoticeId> = notices(&incident, 0..3).iter().map(|n| n.id).collect();
    let tally = store.confirm_notices(id, told.clone(), lease(1, 0), at(20));
    assert_eq!(tally.await.unwrap().told, 3);
    page(0..20).await.unwrap();
    let tally = store.confirm_notices(id, told, lease(1, 0), at(21));
    let tally = tally.await.unwrap();
    assert_eq!((tally.waiting, tally.in_flight, tally.told), (17, 0, 3));
    // Somebody who isn't on the list can't be confirmed into it.
    let stranger = vec![NoticeId::new([1; 16])];
    let tally = store.confirm_notices(id, stranger, lease(1, 0), at(22));
    assert_eq!(tally.await.unwrap().all(), 20);
}

/// What was handed out and not confirmed is handed out again, by the same name; what was confirmed never.
async fn what_was_in_flight_is_handed_over_again_under_the_same_name<S: Store>(store: S) {
    let incident = store.open_incident(opened(&[1], 10)).await.unwrap();
    let id = incident.id();
    store
        .enlist_notices(id, notices(&incident, 0..50))
        .await
        .unwrap();
    let HandOut::Notices(first) = hand_out(&store, &incident, lease(1, 60), 0, None, 20).await
    else {
        panic!("nobody else has it");
    };
    let confirmed: Vec<NoticeId> = first.iter().take(5).map(|notice| notice.id).collect();
    let tally = store.confirm_notices(id, confirmed.clone(), lease(1, 70), at(5));
    let tally = tally.await.unwrap();
    assert_eq!((tally.waiting, tally.in_flight, tally.told), (30, 15, 5));
    // Killed; somebody else begins anew once the lease, which was renewed, is over.
    let other = hand_out(&store, &incident, lease(2, 90), 65, None, 20).await;
    assert_eq!(other, HandOut::Leased(at(70)));
    let mut seen = labels(&first[..5]);
    let mut after = None;
    loop {
        let page = hand_out(&store, &incident, lease(2, 200), 70, after, 7).await;
        let HandOut::Notices(page) = page else {
            panic!("the lease was over");
        };
        for notice in &page {
            assert!(!confirmed.contains(&notice.id));
            assert_eq!(*notice, incident.notice(notice.label.clone()));
        }
        let ids = page.iter().map(|notice| notice.id).collect();
        let named = labels(&page);
        assert!(seen.is_disjoint(&named));
        seen.extend(named);
        let confirming = store.confirm_notices(id, ids, lease(2, 200), at(71));
        confirming.await.unwrap();
        after = page.last().map(|notice| notice.id).or(after);
        if page.len() < 7 {
            break;
        }
    }
    assert_eq!(seen.len(), 50);
    let tally = store.notice_tally(id).await.unwrap();
    assert_eq!((tally.untold(), tally.told), (0, 50));
    // Who was late with a confirmation changes nothing, and doesn't get the lease back.
    let late = store.confirm_notices(id, confirmed, lease(1, 500), at(72));
    assert_eq!(late.await.unwrap(), tally);
    let leased = hand_out(&store, &incident, lease(3, 300), 100, None, 1).await;
    assert_eq!(leased, HandOut::Leased(at(200)));
}

/// Two years later, in the middle of an incident, the evidence is still there; after it, it goes as it would have.
async fn nothing_is_forgotten_while_an_incident_is_open<S: Store>(store: S) {
    let key = EvaluationKey::random(&mut random_source(5));
    let member = UnblindedElement::decode(&key.public_key().encode()).unwrap();
    let change = |change| MemberBatch {
        epoch: EPOCH,
        changes: vec![(UnblindedElement::decode(member.expose()).unwrap(), change)],
        at: at(1),
    };
    let enrol = Change::Enrol {
        label: Label::new(b"handle").unwrap(),
        setting: Setting::Nobody,
        residence: Residence::default(),
    };
    store.change_members(change(enrol)).await.unwrap();
    store.change_members(change(Change::Remove)).await.unwrap();
    let first = store.open_incident(opened(&[1], 10)).await.unwrap();
    let second = store.open_incident(opened(&[2], 10)).await.unwrap();
    let late = at(10).saturating_add(EVIDENCE_RETENTION * 2);
    let mut policy = Policy::default();
    policy.clock.ahead_days = 10_000;
    let asked = |seconds| Charge {
        account: AccountKey::new([1; 32]),
        scope: Scope::Discover,
        account_created: at(0),
        origin: Origin::Unknown,
        elements: NonZeroU32::MIN,
        request_digest: [1; 32],
        epoch: EPOCH,
        at: at(seconds),
    };
    let quota = Quota::new(policy, &store).unwrap();
    quota.admit(asked(10)).await.unwrap();
    ledger::seal(&store, at(100 * 86_400)).await;
    quota.admit(asked(100 * 86_400)).await.unwrap();
    assert_eq!(store.forget(late, 10).await.unwrap(), 0);
    for (incident, forgotten) in [(first, 0), (second, 1)] {
        let mut closed = incident.clone();
        closed.close(true, &Tally::default(), at(20)).unwrap();
        assert!(store.replace_incident(incident, closed).await.unwrap());
        assert_eq!(store.forget(late, 10).await.unwrap(), forgotten);
    }
}

fn conforms<S: Store>(fresh: impl Fn() -> S) {
    now(opening_twice_is_opening_once(fresh()));
    now(a_list_is_the_same_however_often_it_is_made(fresh()));
    now(what_was_in_flight_is_handed_over_again_under_the_same_name(
        fresh(),
    ));
    now(nothing_is_forgotten_while_an_incident_is_open(fresh()));
}

#[test]
fn the_store_in_memory_conforms() {
    conforms(MemoryStore::new);
}

#[cfg(feature = "store")]
#[test]
fn the_embedded_store_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    conforms(|| {
        number.set(number.get() + 1);
        let path = folder.path().join(number.get().to_string());
        blindbook::store::RedbStore::open(&path).unwrap()
    });
}
