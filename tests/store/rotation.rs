//! Rotating the directory from one epoch to the next: everybody moves, as they are at the switch, wherever it was
//! interrupted.

use std::{collections::BTreeMap, time::Duration};

use blindbook::{
    Timestamp,
    label::Label,
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        Delta,
        directory::{Change, Member, MemberBatch, Residence, Setting, Window as Findable},
        policy::Policy,
        quota::Quota,
        rotation::{Phase, Rotation, RotationKind, Window},
    },
    store::{
        MemoryStore, RedbStore, Rekeyed, RunEnd, Settled, Store, StoreError, StoredManifest,
        Switched,
    },
};

use crate::{
    at, charge, everyone,
    roles::{EPOCH, now, random_source},
    who,
};

const NEXT: Epoch = Epoch::new(8);
const MEMBERS: u8 = 20;

fn label(number: u8) -> Label {
    Label::new(&[b'a' + number]).unwrap()
}

fn enrol(number: u8, setting: Setting) -> (u8, Change) {
    let change = Change::Enrol {
        label: label(number),
        setting,
        residence: Residence::default(),
    };
    (number, change)
}

fn batch(epoch: Epoch, seconds: u64, changes: Vec<(UnblindedElement, Change)>) -> MemberBatch {
    MemberBatch {
        epoch,
        changes,
        at: at(seconds),
    }
}

fn change(store: &impl Store, seconds: u64, changes: impl IntoIterator<Item = (u8, Change)>) {
    let changes = changes
        .into_iter()
        .map(|(number, change)| (who(number), change));
    let changed = now(store.change_members(batch(EPOCH, seconds, changes.collect()))).unwrap();
    assert_eq!(changed.refused, []);
}

/// All that is known of whoever has a label, by epoch.
fn known(store: &impl Store, number: u8) -> BTreeMap<u64, Member> {
    let page = now(store.labelled(&label(number), None, 10)).unwrap();
    let members = page.members.into_iter();
    members
        .map(|(epoch, member)| (epoch.get(), member))
        .collect()
}

fn shown(store: &impl Store, epoch: Epoch) -> Vec<(Encoding, Vec<u8>)> {
    let found = now(store.findable(epoch, None, 1_000)).unwrap();
    found
        .iter()
        .map(|one| (*one.unblinded.expose(), one.label.as_bytes().to_vec()))
        .collect()
}

fn rekeyed(delta: &Delta, members: Vec<UnblindedElement>) -> Rekeyed {
    let old: Vec<Encoding> = members.iter().map(|member| *member.expose()).collect();
    let new = delta.multiply(&old).unwrap();
    let new = new.iter().map(|new| UnblindedElement::decode(new).unwrap());
    Rekeyed {
        members: members.into_iter().zip(new).collect(),
        ..Rekeyed::default()
    }
}

/// Moves one page; whether there is another one.
fn page(store: &impl Store, delta: &Delta, size: usize) -> bool {
    let Some(Rotation {
        phase: Phase::Rekeying {
            after, complete, ..
        },
        ..
    }) = now(store.rotation()).unwrap()
    else {
        panic!("members aren't being rekeyed");
    };
    if complete {
        return false;
    }
    let members = now(store.to_rekey(after, size)).unwrap();
    let complete = members.len() < size;
    let end = RunEnd {
        after: members.last().map(|last| *last.expose()).or(after),
        members: members.len() as u64,
        complete,
    };
    let page = Rekeyed {
        end: Some(end),
        ..rekeyed(delta, members)
    };
    now(store.rekey(page)).unwrap();
    !complete
}

fn rekey_again(store: &impl Store, delta: &Delta) {
    let members = now(store.to_rekey_again(100)).unwrap();
    let page = Rekeyed {
        again: true,
        ..rekeyed(delta, members)
    };
    now(store.rekey(page)).unwrap();
}

fn switch(store: &impl Store, sequence: u64, window: Option<Window>) -> Switched {
    let manifest = StoredManifest {
        sequence,
        bytes: vec![1, 2, 3],
    };
    let settled = Settled {
        changes: now(store.progress()).unwrap().changes,
        decoys: (0, 0),
    };
    now(store.switch_epoch(manifest, settled, window)).unwrap()
}

fn window() -> Window {
    Window {
        evaluate_until: at(1_000),
        carry_until: at(2_000),
    }
}

/// A directory of people who are found, are not, have been, or are gone.
fn directory(store: &impl Store) {
    let found = (0..MEMBERS).map(|number| enrol(number, everyone(1)));
    change(store, 10, found);
    let hidden = (0..MEMBERS).filter(|number| number % 4 == 1);
    change(
        store,
        20,
        hidden.map(|number| enrol(number, Setting::Nobody)),
    );
    let back = (0..MEMBERS).filter(|number| number % 8 == 1);
    change(store, 30, back.map(|number| enrol(number, everyone(25))));
    let gone = (0..MEMBERS).filter(|number| number % 10 == 7);
    change(store, 40, gone.map(|number| (number, Change::Remove)));
}

/// A whole rotation; `reopen` is called after every step.
fn everybody_moves<S: Store>(mut store: S, reopen: impl Fn(S) -> S) {
    let delta = Delta::random(&mut random_source(200));
    let moved = |number: u8| delta.multiply(&[*who(number).expose()]).unwrap()[0];
    directory(&store);
    assert!(now(store.begin_rotation(EPOCH, RotationKind::Soft)).unwrap());
    store = reopen(store);
    assert!(!now(store.begin_rotation(EPOCH, RotationKind::Hard)).unwrap());
    // Too early for everything that comes later.
    assert_eq!(switch(&store, 1, Some(window())), Switched::Conflict);
    assert!(!now(store.end_window(None)).unwrap());
    assert_eq!(now(store.drop_old(10)).unwrap(), 0);
    now(store.finish_rotation()).unwrap();

    let mut pages = 0;
    while page(&store, &delta, 3) {
        pages += 1;
        store = reopen(store);
        // Somebody changes in each way, whether its turn has come or not; nobody is refused.
        change(
            &store,
            100 + pages,
            match pages {
                1 => vec![enrol(0, Setting::Nobody), enrol(19, Setting::Nobody)],
                2 => vec![enrol(2, everyone(50)), (3, Change::Remove)],
                3 => vec![enrol(20, everyone(50)), enrol(1, Setting::Nobody)],
                4 => vec![enrol(5, everyone(60))],
                _ => Vec::new(),
            },
        );
        store = reopen(store);
    }
    assert!(pages >= 5);
    // Who has changed is moved before the switch, however late that is.
    assert_eq!(switch(&store, 1, Some(window())), Switched::MembersChanged);
    assert_eq!(now(store.latest_manifest()).unwrap(), None);
    store = reopen(store);
    rekey_again(&store, &delta);
    store = reopen(store);
    change(&store, 120, [enrol(4, Setting::Nobody)]);
    assert_eq!(switch(&store, 1, Some(window())), Switched::MembersChanged);
    rekey_again(&store, &delta);
    // What is known of somebody is known under the new key, and nothing else.
    let before: Vec<_> = (0..=MEMBERS).map(|number| known(&store, number)).collect();
    for (number, known) in before.iter().enumerate() {
        assert_eq!(known.get(&EPOCH.get()), known.get(&NEXT.get()), "{number}");
    }
    let everybody = Findable {
        since: at(0),
        until: at(1_000),
        slot: Duration::from_secs(86_400),
    };
    let evidence = |store: &S, epoch| {
        let page = now(store.members_between(epoch, everybody, None, 100)).unwrap();
        let mut affected = page.affected;
        affected.sort_by(|a, b| a.labels[0].as_bytes().cmp(b.labels[0].as_bytes()));
        affected
    };
    let recorded = evidence(&store, EPOCH);
    assert!(recorded.len() > usize::from(MEMBERS) - 3);
    let mut expected: Vec<_> = shown(&store, EPOCH)
        .into_iter()
        .map(|(old, label)| (delta.multiply(&[old]).unwrap()[0], label))
        .collect();
    expected.sort_unstable();
    // Another one's manifest, a hard rotation's switch: not this.
    assert_eq!(switch(&store, 2, Some(window())), Switched::Conflict);
    assert_eq!(switch(&store, 1, None), Switched::Conflict);
    assert_eq!(switch(&store, 1, Some(window())), Switched::Done);
    store = reopen(store);
    let rotation = now(store.rotation()).unwrap().unwrap();
    assert_eq!(rotation.phase, Phase::Window(window()));
    assert_eq!((rotation.from, rotation.to), (EPOCH, NEXT));
    assert_eq!(now(store.latest_manifest()).unwrap().unwrap().sequence, 1);
    assert_eq!(shown(&store, NEXT), expected);
    // Nobody changes in the old epoch any more; under the new key somebody does.
    let late = vec![(who(6), Change::Remove)];
    let late = now(store.change_members(batch(EPOCH, 130, late))).unwrap_err();
    assert_eq!(late, StoreError::EpochOver);
    let (_, setting) = enrol(6, Setting::Nobody);
    let six = UnblindedElement::decode(&moved(6)).unwrap();
    now(store.change_members(batch(NEXT, 130, vec![(six, setting)]))).unwrap();
    expected.retain(|(who, _)| *who != moved(6));
    // A page or a member that comes late moves nobody back.
    now(store.rekey(rekeyed(&delta, vec![who(6), who(0)]))).unwrap();
    now(store.rekey(Rekeyed {
        again: true,
        ..rekeyed(&delta, vec![who(6)])
    }))
    .unwrap();
    assert_eq!(shown(&store, NEXT), expected);
    assert!(now(store.to_rekey(None, 10)).unwrap().is_empty());
    assert!(!now(store.harden_rotation()).unwrap());

    while now(store.drop_old(3)).unwrap() > 0 {
        store = reopen(store);
    }
    assert!(shown(&store, EPOCH).is_empty());
    assert!(now(store.changed(EPOCH, None, 10)).unwrap().is_empty());
    for number in 0..=MEMBERS {
        assert!(!known(&store, number).contains_key(&EPOCH.get()));
    }
    assert!(evidence(&store, EPOCH).is_empty());
    assert_eq!(evidence(&store, NEXT).len(), recorded.len());
    assert_eq!(shown(&store, NEXT), expected);
    // Nobody's decision is forgotten.
    let stale = vec![(
        UnblindedElement::decode(&moved(0)).unwrap(),
        enrol(0, everyone(60)).1,
    )];
    let stale = now(store.change_members(batch(NEXT, 140, stale))).unwrap();
    assert_eq!(stale.refused.len(), 1);

    // Neither too early nor by a clock that no charge has confirmed.
    let quota = Quota::new(Policy::default(), &store).unwrap();
    let _admitted = now(quota.admit(charge(16, 1, 150))).unwrap();
    assert!(!now(store.end_window(Some(at(1_999)))).unwrap());
    assert!(!now(store.end_window(Some(at(1_000_000)))).unwrap());
    let _admitted = now(quota.admit(charge(16, 2, 2_000))).unwrap();
    now(store.finish_rotation()).unwrap();
    assert!(now(store.rotation()).unwrap().is_some());
    assert!(now(store.end_window(Some(at(2_001)))).unwrap());
    store = reopen(store);
    assert!(now(store.end_window(Some(at(0)))).unwrap());
    // Who hasn't asked since has nothing to carry over any more.
    assert_eq!(now(store.drop_claims(None, 100)).unwrap().dropped, 1);
    now(store.finish_rotation()).unwrap();
    store = reopen(store);
    assert_eq!(now(store.rotation()).unwrap(), None);
    assert_eq!(shown(&store, NEXT), expected);
    let late = vec![(who(6), Change::Remove)];
    let late = now(store.change_members(batch(EPOCH, 160, late))).unwrap_err();
    assert_eq!(late, StoreError::EpochOver);
    // And once more, hard, with somebody who waits for being published.
    assert!(now(store.begin_rotation(NEXT, RotationKind::Soft)).unwrap());
    assert!(now(store.harden_rotation()).unwrap());
    store = reopen(store);
    while page(&store, &delta, 7) {}
    assert_eq!(switch(&store, 2, Some(window())), Switched::Conflict);
    assert_eq!(switch(&store, 2, None), Switched::Done);
    assert_eq!(now(store.rotation()).unwrap().unwrap().phase, Phase::Ending);
    assert_eq!(shown(&store, Epoch::new(9)).len(), expected.len());
    while now(store.drop_old(100)).unwrap() > 0 {}
    now(store.finish_rotation()).unwrap();
    assert_eq!(now(store.rotation()).unwrap(), None);
}

/// What isn't published in the old epoch isn't taken for published in the new one.
fn who_waits_goes_on_waiting(store: &impl Store) {
    let delta = Delta::random(&mut random_source(201));
    change(store, 10, (0..3).map(|number| enrol(number, everyone(1))));
    let manifest = StoredManifest {
        sequence: 1,
        bytes: vec![0],
    };
    let settled = Settled {
        changes: now(store.progress()).unwrap().changes,
        decoys: (0, 0),
    };
    assert!(now(store.append_manifest(manifest, settled)).unwrap());
    change(store, 20, [enrol(3, everyone(1)), enrol(4, everyone(1))]);
    assert!(now(store.begin_rotation(EPOCH, RotationKind::Soft)).unwrap());
    while page(store, &delta, 2) {}
    let waiting = |epoch| {
        let changed = now(store.changed(epoch, None, 10)).unwrap();
        let since = |one: blindbook::store::Changed| (one.number, one.shown.unwrap().1);
        let mut waiting: Vec<(u64, Timestamp)> = changed.into_iter().map(since).collect();
        waiting.sort_unstable();
        waiting
    };
    assert_eq!(waiting(NEXT).len(), 2);
    assert_eq!(waiting(NEXT), waiting(EPOCH));
}

#[test]
fn everybody_moves_in_memory() {
    everybody_moves(MemoryStore::new(), |store| store);
    who_waits_goes_on_waiting(&MemoryStore::new());
}

#[test]
fn everybody_moves_in_a_store_that_is_opened_anew_after_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    everybody_moves(RedbStore::open(&path).unwrap(), |store| {
        drop(store);
        RedbStore::open(&path).unwrap()
    });
    let waiting = RedbStore::open(&folder.path().join("waiting")).unwrap();
    who_waits_goes_on_waiting(&waiting);
}
