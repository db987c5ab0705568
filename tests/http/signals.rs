//! Signals, as an operator gets and uses them.

use blindbook::{
    Timestamp,
    server::{
        detect::{Signal, Subject},
        ledger::Month,
        quota::{AccountKey, Hour, Meter},
    },
    store::{DerivedLedgerKeys, LedgerKeys, RedbStore, SignalStore},
};
use serde_json::Value;

use crate::{
    raw::{self, Request},
    service::*,
    shared::order,
};

/// The pseudonym of an account: HMAC-SHA-256 under the pepper.
pub(crate) fn pseudonym(account: &str) -> AccountKey {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &PEPPER);
    let tag = hmac::sign(&key, account.as_bytes());
    AccountKey::new(tag.as_ref().try_into().unwrap())
}

/// A service whose detection has found something.
fn alarmed() -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&folder.path().join("store")).unwrap();
    let saturated = |account, days| Subject::SaturatedAccount {
        account: pseudonym(account),
        days,
        emptied: days == 9,
    };
    let unusual = Subject::UnusualDay {
        meter: Meter::SeenYoung,
        counted: 70_000,
        usual: 20_000,
    };
    for (hours, subject) in [
        (90, saturated("ada", 8)),
        (3, unusual),
        (2, saturated("eve", 9)),
    ] {
        let at = Timestamp::from_secs(NOW - hours * 3_600);
        let hour = Hour::of(at);
        let key = DerivedLedgerKeys::new(&mut [1; 32]).key(Month::of(at));
        now(store.note_signal(Signal { hour, subject }, key.unwrap(), at)).unwrap();
    }
    drop(store);
    let running = Running::start(folder.path(), Setup::default());
    (folder, running)
}

/// A future that a store answers from another thread.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn list(running: &Running, query: &str) -> Vec<Value> {
    let answer = raw::get(running.operator, &format!("/signals{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

#[test]
fn signals_are_listed_newest_first_with_what_they_mean() {
    let (_folder, running) = alarmed();
    let all = list(&running, "");
    let numbers: Vec<_> = all.iter().map(|one| one["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(2), Some(1)]);
    let newest = &all[0];
    assert_eq!(newest["kind"], "saturated-account");
    assert_eq!(
        newest["seen"],
        "has used up its refill on 9 of 14 days, after it had emptied its bucket"
    );
    let suspect = newest["suspect"].as_str().unwrap();
    assert_eq!(suspect.len(), "account 01234567".len(), "{suspect}");
    assert!(all[1]["suspect"].is_null());
    for one in &all {
        assert!(one["meaning"].is_string() && one["advice"].is_string());
    }
    assert_eq!(list(&running, "?before=3&limit=1"), all[1..2]);
    assert_eq!(list(&running, "?before=1"), all[3..]);
    assert_eq!(raw::get(running.operator, "/signals?limit=x").status, 400);
    let public = raw::get(running.public, "/signals");
    assert_eq!(public.problem(), "not-found");
}

#[test]
fn whom_a_signal_points_at_is_suspended_by_its_number() {
    let (_folder, running) = alarmed();
    assert_eq!(order(&running, "/suspend", r#"{"signal":3}"#).status, 200);
    let ask = |account| Request::evaluate(&discover(account), request_of(16, 1));
    assert_eq!(
        ask("eve").send(running.public).problem(),
        "account-suspended"
    );
    assert_eq!(ask("ada").send(running.public).status, 200);
    assert_eq!(order(&running, "/lift", r#"{"signal":3}"#).status, 200);
    assert_eq!(ask("eve").send(running.public).status, 200);
    // Nobody in particular, and none.
    for bad in [
        r#"{"signal":2}"#,
        r#"{"signal":4}"#,
        r#"{"signal":3,"account":"a"}"#,
    ] {
        assert_eq!(order(&running, "/suspend", bad).status, 400, "{bad}");
    }
}

#[test]
fn an_incident_is_opened_on_whom_signals_point_at() {
    let open = |running: &Running, with: &str| {
        let since = NOW - 24 * 3_600;
        let document = format!("{{\"since\":{since},{with}}}");
        order(running, "/incident/open", &document)
    };
    for (with, accounts) in [
        (r#""signals":[1,3]"#, 2),
        // The first one was before the window.
        (r#""all_signals":true"#, 1),
        (r#""signals":[3,1],"all_signals":true"#, 2),
    ] {
        let (_folder, running) = alarmed();
        let answer = open(&running, with);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let status: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(status["suspects"]["accounts"], accounts, "{with}");
    }
    let (_folder, running) = alarmed();
    assert_eq!(open(&running, r#""signals":[7]"#).status, 404);
    let nobody = open(&running, r#""signals":[2]"#);
    assert_eq!(nobody.status, 400, "{}", nobody.text());
}

/// What a dashboard shows before anything has happened, and after.
#[test]
fn signals_are_counted_by_their_kind() {
    let (_folder, running) = alarmed();
    let counter =
        |kind: &str| running.metric(&format!("blindbook_signals_total{{kind=\"{kind}\"}}"));
    assert!(
        running
            .metrics()
            .contains("blindbook_signals_total{kind=\"canary\"} 0")
    );
    let signal = Signal {
        hour: Hour::new(1),
        subject: Subject::Canary { account: None },
    };
    running.service.signalled(&[signal, signal]);
    assert_eq!(counter("canary"), 2);
    assert_eq!(counter("young-cluster"), 0);
}
