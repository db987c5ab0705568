//! What every store promises to whoever has a handle, and to whoever has to find out who was findable.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use blindbook::{
    Timestamp,
    label::Label,
    oprf::Epoch,
    server::directory::{
        Change, ChangeError, Choice, ChoiceOutcome, Consent, Identity, MemberBatch, Region,
        Regions, Setting, Standing, Window,
    },
    store::{Affected, Store, exposed_by_region},
};

use super::{EPOCH, at, everyone, findable, now, who};

const NEXT: Epoch = Epoch::new(EPOCH.get() + 1);

fn label(handle: &str) -> Label {
    Label::new(handle.as_bytes()).unwrap()
}

fn enrol(store: &impl Store, epoch: Epoch, number: u8, handle: &str, setting: Setting, time: u64) {
    enrol_in(store, (epoch, number), handle, setting, "GB", time);
}

fn enrol_in(
    store: &impl Store,
    (epoch, number): (Epoch, u8),
    handle: &str,
    setting: Setting,
    region: &str,
    time: u64,
) {
    let change = Change::Enrol {
        label: label(handle),
        setting,
        residence: Regions::default().residence(Region::new(region).ok()),
    };
    make(store, epoch, number, change, time);
}

fn make(store: &impl Store, epoch: Epoch, number: u8, change: Change, time: u64) {
    let batch = MemberBatch {
        epoch,
        changes: vec![(who(number), change)],
        at: at(time),
    };
    assert_eq!(now(store.change_members(batch)).unwrap().refused, []);
}

/// Chooses page by page, as a service does.
fn choose(
    store: &impl Store,
    handle: &str,
    consented: Option<u64>,
    time: u64,
    page: usize,
) -> Result<u32, ChangeError> {
    let consent = |time| Consent::new(at(time), "2026-11", "ios/settings").unwrap();
    let setting = consented.map_or(Setting::Nobody, |at| Setting::Everyone(consent(at)));
    choose_in(store, handle, setting, &Regions::default(), time, page)
}

fn choose_in(
    store: &impl Store,
    handle: &str,
    setting: Setting,
    regions: &Regions,
    time: u64,
    page: usize,
) -> Result<u32, ChangeError> {
    let choice = Choice {
        label: label(handle),
        setting,
        regions: Arc::new(regions.clone()),
        at: at(time),
    };
    let mut changed = 0;
    let mut after = None;
    loop {
        let outcome = now(store.choose(choice.clone(), after, page)).unwrap();
        changed += outcome.changed?;
        after = outcome.last;
        if after.is_none() {
            return Ok(changed);
        }
    }
}

fn standing(store: &impl Store, handle: &str) -> Standing {
    let all = now(store.labelled(&label(handle), None, 100)).unwrap();
    assert_eq!(all.last, None);
    // Page by page it is the same.
    let mut paged = Vec::new();
    let mut after: Option<Identity> = None;
    loop {
        let page = now(store.labelled(&label(handle), after, 1)).unwrap();
        paged.extend(page.members);
        after = page.last;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.members);
    Standing::of(&all.members)
}

fn findable_numbers(store: &impl Store, epoch: Epoch) -> Vec<u8> {
    let found = findable(store, epoch);
    let numbers = 1..=20;
    numbers
        .filter(|number| found.contains(who(*number).expose()))
        .collect()
}

/// One person with three identifiers in one epoch and one in the next; others whose handles begin alike, or are empty.
fn people(store: &impl Store) {
    for number in 1..=3 {
        enrol(store, EPOCH, number, "ada", everyone(1), 10);
    }
    enrol(store, NEXT, 4, "ada", everyone(1), 10);
    for (number, handle) in [(5, "ad"), (6, "ada2"), (7, ""), (8, "bob")] {
        enrol(store, EPOCH, number, handle, everyone(1), 10);
    }
}

pub(super) fn a_handle_stands_for_all_its_identifiers_in_all_epochs(store: &impl Store) {
    people(store);
    for page in [1, 2, 100] {
        let since = page as u64 * 100;
        let before = standing(store, "ada");
        assert_eq!((before.identifiers, before.findable), (3, 3));
        assert_eq!(choose(store, "ada", None, since, page), Ok(4));
        let after = standing(store, "ada");
        assert_eq!((after.identifiers, after.findable), (3, 0));
        assert_eq!((after.consent, after.hidden_at), (None, Some(at(since))));
        assert_eq!(findable_numbers(store, EPOCH), [5, 6, 7, 8]);
        assert_eq!(findable_numbers(store, NEXT), [0; 0]);
        // Again: nothing but a later date.
        assert_eq!(choose(store, "ada", None, since + 1, page), Ok(0));
        assert_eq!(standing(store, "ada").hidden_at, Some(at(since + 1)));
        assert_eq!(
            choose(store, "ada", Some(since + 2), since + 3, page),
            Ok(4)
        );
        assert_eq!(findable_numbers(store, EPOCH), [1, 2, 3, 5, 6, 7, 8]);
        assert_eq!(findable_numbers(store, NEXT), [4]);
    }
    // What is chosen is published, or isn't any more, like any other change.
    let changes = now(store.progress()).unwrap().changes;
    choose(store, "bob", None, 2_000, 10).unwrap();
    assert_eq!(now(store.progress()).unwrap().changes, changes + 1);
    // Nobody has this handle: nothing is chosen for anybody.
    assert_eq!(choose(store, "adam", None, 2_000, 10), Ok(0));
    assert_eq!(standing(store, "adam"), Standing::default());
}

/// A consent that was given before the last no, and arrives after it, brings none of the identifiers back: not those
/// either that the no didn't concern.
pub(super) fn an_old_consent_is_refused_for_all_of_a_handle(store: &impl Store) {
    people(store);
    assert_eq!(choose(store, "ada", Some(20), 21, 10), Ok(4));
    // A registrar hides one of them alone.
    enrol(store, EPOCH, 2, "ada", Setting::Nobody, 30);
    for consented in [20, 29, 30] {
        let refused = choose(store, "ada", Some(consented), 31, 10);
        assert_eq!(refused, Err(ChangeError::StaleConsent));
    }
    assert_eq!(findable_numbers(store, EPOCH), [1, 3, 5, 6, 7, 8]);
    let ahead = choose(store, "ada", Some(31 + 301), 31, 10);
    assert_eq!(ahead, Err(ChangeError::ConsentInFuture));
    let before = standing(store, "ada");
    assert_eq!((before.identifiers, before.findable), (3, 2));
    assert_eq!(choose(store, "ada", Some(31), 32, 10), Ok(4));
    assert_eq!(standing(store, "ada").findable, 3);
    // An older one than that changes nothing and is no error: what it asks for is so.
    let newest = standing(store, "ada").consent;
    assert_eq!(choose(store, "ada", Some(31), 33, 10), Ok(0));
    assert_eq!(standing(store, "ada").consent, newest);
    // The last no stands against whatever was sent before, in whatever order it comes.
    choose(store, "ada", None, 40, 1).unwrap();
    for consented in [20, 31, 40] {
        let refused = choose(store, "ada", Some(consented), 41, 10);
        assert_eq!(refused, Err(ChangeError::StaleConsent));
    }
}

/// Without a consent it is as for a registrar: only where the table waives it, and never after a no.
pub(super) fn a_choice_without_consent_is_for_regions_that_waive_it(store: &impl Store) {
    let regions = Regions::parse("US,waived").unwrap();
    for (number, handle, region, setting) in [
        (1, "ada", "US", Setting::EveryoneByDefault),
        (2, "ada", "US", Setting::EveryoneByDefault),
        (3, "bob", "GB", Setting::Nobody),
    ] {
        let change = Change::Enrol {
            label: label(handle),
            setting,
            residence: regions.residence(Region::new(region).ok()),
        };
        make(store, EPOCH, number, change, 10);
    }
    let by_default = |handle, time| {
        let setting = Setting::EveryoneByDefault;
        choose_in(store, handle, setting, &regions, time, 10)
    };
    assert_eq!(by_default("ada", 20), Ok(0));
    assert_eq!(by_default("bob", 20), Err(ChangeError::ConsentNeeded));
    // Another table since then, in which nothing is waived.
    let strict = Regions::default();
    let setting = Setting::EveryoneByDefault;
    let refused = choose_in(store, "ada", setting, &strict, 20, 10);
    assert_eq!(refused, Err(ChangeError::ConsentNeeded));
    choose(store, "ada", None, 30, 10).unwrap();
    assert_eq!(by_default("ada", 40), Err(ChangeError::ConsentNeeded));
    assert_eq!(findable_numbers(store, EPOCH), [0; 0]);
    assert_eq!(choose(store, "ada", Some(41), 42, 10), Ok(2));
}

pub(super) fn an_identifier_goes_with_its_handle(store: &impl Store) {
    people(store);
    // Ada's second number is Bob's now, and her third is nobody's.
    enrol(store, EPOCH, 2, "bob", everyone(15), 20);
    make(store, EPOCH, 3, Change::Remove, 20);
    let (ada, bob) = (standing(store, "ada"), standing(store, "bob"));
    assert_eq!((ada.identifiers, bob.identifiers), (1, 2));
    choose(store, "ada", None, 30, 10).unwrap();
    assert_eq!(findable_numbers(store, EPOCH), [2, 5, 6, 7, 8]);
    // What is deleted isn't brought back by a choice.
    choose(store, "ada", Some(31), 32, 10).unwrap();
    assert_eq!(findable_numbers(store, EPOCH), [1, 2, 5, 6, 7, 8]);
    // Forgotten, it is in no index either.
    let forgotten = now(store.forget(at(200_000_000), 100)).unwrap();
    assert!(forgotten > 0);
    assert_eq!(standing(store, "bob").identifiers, 2);
}

fn window(since: u64, until: u64) -> Window {
    Window {
        since: at(since),
        until: at(until),
        slot: Duration::from_secs(10),
    }
}

fn affected(store: &impl Store, since: u64, until: u64) -> Vec<String> {
    let mut labels = Vec::new();
    for size in [1, 3, 100] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let window = window(since, until);
            let page = now(store.members_between(EPOCH, window, after, size)).unwrap();
            for Affected { labels, .. } in page.affected {
                let text = |label: &Label| String::from_utf8(label.as_bytes().to_vec()).unwrap();
                seen.extend(labels.iter().map(text));
            }
            after = page.last;
            if after.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        assert!(labels.is_empty() || labels == seen);
        labels = seen;
    }
    labels
}

/// Who could be found in a window, or was still published then, by the handle of that time.
pub(super) fn the_findable_of_a_window_are_known(store: &impl Store) {
    let place = |number| (EPOCH, number);
    enrol_in(store, place(1), "stays", everyone(99), "GB", 100);
    enrol_in(store, place(2), "hides", everyone(99), "DE", 100);
    enrol_in(store, place(2), "hides", Setting::Nobody, "DE", 200);
    enrol_in(store, place(3), "leaves", everyone(99), "DE", 100);
    make(store, EPOCH, 3, Change::Remove, 200);
    enrol_in(store, place(4), "first", everyone(99), "BR", 100);
    enrol_in(store, place(4), "second", everyone(199), "BR", 200);
    enrol_in(store, place(5), "never", Setting::Nobody, "GB", 100);
    // In another epoch.
    enrol(store, NEXT, 6, "elsewhere", everyone(99), 100);

    assert_eq!(affected(store, 0, 99), [""; 0]);
    let everybody = ["first", "hides", "leaves", "stays"];
    assert_eq!(affected(store, 0, 100), everybody);
    assert_eq!(affected(store, 150, 160), everybody);
    // A slot longer than the decision: until then it was published.
    let handed_on = ["first", "hides", "leaves", "second", "stays"];
    assert_eq!(affected(store, 200, 300), handed_on);
    assert_eq!(affected(store, 210, 300), handed_on);
    assert_eq!(affected(store, 211, 300), ["second", "stays"]);

    let count = |since, until| -> BTreeMap<_, _> {
        let counts = now(exposed_by_region(store, EPOCH, window(since, until))).unwrap();
        let counts = counts.into_iter();
        counts
            .map(|one| (one.region.unwrap(), one.members))
            .collect()
    };
    let region = String::from;
    // Each member once, under however many handles.
    let expected = BTreeMap::from([(region("BR"), 1), (region("DE"), 2), (region("GB"), 1)]);
    assert_eq!(count(200, 300), expected);
    let expected = BTreeMap::from([(region("BR"), 1), (region("GB"), 1)]);
    assert_eq!(count(211, 300), expected);
    assert_eq!(count(0, 99), BTreeMap::new());
    // Whoever doesn't exist isn't counted.
    let canaries = ["stays", "elsewhere"].map(|label| Label::new(label.as_bytes()).unwrap());
    assert_eq!(now(store.add_canaries(canaries.into(), at(1))).unwrap(), 2);
    let again = vec![Label::new(b"stays").unwrap()];
    assert_eq!(now(store.add_canaries(again, at(2))).unwrap(), 0);
    assert_eq!(now(store.canaries()).unwrap().count(), 2);
    assert_eq!(count(211, 300), BTreeMap::from([(region("BR"), 1)]));
}

/// What is chosen is as durable as what a registrar does.
#[cfg(feature = "store")]
#[test]
fn a_choice_is_there_after_a_restart() {
    use blindbook::store::{RedbStore, SettingStore};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = RedbStore::open(&path).unwrap();
    people(&store);
    choose(&store, "ada", None, 50, 2).unwrap();
    drop(store);
    let store = RedbStore::open(&path).unwrap();
    assert_eq!(findable_numbers(&store, EPOCH), [5, 6, 7, 8]);
    assert_eq!(standing(&store, "ada").hidden_at, Some(at(50)));
    let choice = Choice {
        label: label("bob"),
        setting: Setting::Nobody,
        regions: Arc::default(),
        at: Timestamp::from_micros(0),
    };
    let expected = ChoiceOutcome {
        changed: Ok(1),
        last: None,
    };
    assert_eq!(now(store.choose(choice, None, 2)), Ok(expected));
}
