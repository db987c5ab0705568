//! Canaries: nothing that is published tells them from members, and whoever meets one is noticed.

use std::{collections::BTreeSet, path::Path};

use blindbook::{
    http_client::Transport,
    server::{detect::Subject, ledger::Body},
    store::{LedgerStore, RedbStore},
};
use serde_json::Value;

use crate::{
    raw::{self, Response},
    service::*,
    shared::order,
    signals::{now, pseudonym},
};

fn canaries(running: &Running, labels: &str) -> Response {
    order(running, "/canary", &format!("{{\"labels\":{labels}}}"))
}

fn document(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

/// Ten members, of whom the labels say which; published.
fn enrolled(folder: &Path, labels: Option<&str>) -> Running {
    let running = Running::start(folder, Setup::default());
    if let Some(labels) = labels {
        assert_eq!(canaries(&running, labels).status, 200);
    }
    let registrar: Transport = running.transport(Some(&enrol()));
    let message = enrolment(&registrar, EPOCH, &numbers(0..10), &everyone(NOW - 1));
    assert_eq!(changed(&registrar.enrol(&message).unwrap()), (10, 0));
    running.publish();
    running
}

/// All that anybody can fetch.
fn published(running: &Running, folder: &Path) -> BTreeSet<Vec<u8>> {
    let manifest = running.transport(None).manifest().unwrap();
    let files = segments(folder).into_iter();
    let mut all: BTreeSet<_> = files.map(|path| std::fs::read(path).unwrap()).collect();
    all.insert(manifest);
    all
}

#[test]
fn nothing_that_is_published_tells_canaries_from_members() {
    let [with, without] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let aware = enrolled(with.path(), Some(r#"["007","008"]"#));
    let unaware = enrolled(without.path(), None);
    let published = published(&aware, with.path());
    assert!(published.len() > 1);
    assert_eq!(published, self::published(&unaware, without.path()));
    // A later publication, too.
    let registrar = aware.transport(Some(&enrol()));
    let message = enrolment(&registrar, EPOCH, &numbers(10..12), &everyone(NOW - 1));
    registrar.enrol(&message).unwrap();
    unaware.transport(Some(&enrol())).enrol(&message).unwrap();
    aware.publish();
    unaware.publish();
    let published = self::published(&aware, with.path());
    assert_eq!(published, self::published(&unaware, without.path()));
}

#[test]
fn whoever_meets_a_canary_raises_a_signal_and_can_be_suspended_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let running = enrolled(folder.path(), Some(r#"["007"]"#));
    let touched = |text: &str| order(&running, "/canary/touched", text);
    let by = document(&touched(r#"{"label":"007","account":"eve"}"#));
    assert_eq!(by["signal"], 1);
    let somebody = document(&touched(r#"{"label":"007"}"#));
    assert_eq!(somebody["signal"], 2);
    let listed = raw::get(running.operator, "/signals");
    let listed: Vec<Value> = serde_json::from_str(&listed.text()).unwrap();
    assert_eq!(listed[0]["kind"], "canary");
    assert!(listed[0]["suspect"].is_null() && listed[1]["suspect"].is_string());
    assert_eq!(
        running.metric("blindbook_signals_total{kind=\"canary\"}"),
        2
    );
    assert_eq!(order(&running, "/suspend", r#"{"signal":1}"#).status, 200);
    let asked = raw::Request::evaluate(&discover("eve"), request_of(16, 1));
    assert_eq!(asked.send(running.public).problem(), "account-suspended");
    // A member is none, and neither is nobody.
    assert_eq!(touched(r#"{"label":"006","account":"eve"}"#).status, 404);
    for bad in ["{}", r#"{"label":""}"#, r#"{"label":"longer than 8"}"#] {
        assert_eq!(touched(bad).status, 400, "{bad}");
    }
    for bad in [
        r#"[""]"#,
        r#"["longer than 8"]"#,
        r#"[7]"#,
        "[\"a\\u0000\"]",
    ] {
        assert_eq!(canaries(&running, bad).status, 400, "{bad}");
    }
    assert_eq!(
        running.metric("blindbook_signals_total{kind=\"canary\"}"),
        2
    );
    // Only operators know.
    for path in ["/canary", "/canary/touched"] {
        let outside = raw::Request::new("POST", path, &enrol(), Vec::new());
        assert_eq!(outside.send(running.public).problem(), "not-found");
    }

    // Both are evidence: the account under its name of the month, which isn't the one that it is suspended by.
    drop(running);
    let store = RedbStore::open(&folder.path().join("store")).unwrap();
    let entries = now(store.ledger(0, 100)).unwrap();
    let noted = entries.iter().filter_map(|entry| match entry.body() {
        Ok(Body::Signal(signal)) => Some(signal.subject),
        _ => None,
    });
    let noted: Vec<_> = noted.collect();
    let [
        Subject::Canary {
            account: Some(name),
        },
        Subject::Canary { account: None },
    ] = noted[..]
    else {
        panic!("{noted:?}");
    };
    assert_ne!(name, pseudonym("eve"));
}

#[test]
fn canaries_are_neither_told_of_an_incident_nor_counted_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let running = enrolled(folder.path(), Some(r#"["007","008"]"#));
    let step = |path: &str, text: &str| document(&order(&running, path, text));
    let since = NOW - 3_600;
    step(
        "/incident/open",
        &format!("{{\"since\":{since},\"unknown\":true}}"),
    );
    step("/incident/contain", "{}");
    let report = step("/incident/report", "{}");
    assert_eq!(report["regions"][0]["members"], 8, "{report}");
    let listed = step("/incident/list", r#"{"without_rotation":true}"#);
    assert_eq!(listed["status"]["notices"]["waiting"], 8, "{listed}");
    let handed = step(
        "/incident/notices",
        r#"{"incident":1,"holder":7,"lease_seconds":60,"after":null,"limit":64}"#,
    );
    let notices = handed["notices"].as_array().unwrap();
    let handles: BTreeSet<_> = notices
        .iter()
        .map(|one| one["handle"].as_str().unwrap())
        .collect();
    assert_eq!(handles.len(), 8);
    assert!(!handles.contains("007") && !handles.contains("008"));
}
