//! Whoever has a handle sees and chooses who can find them, with their own credential and by whatever else is refused to them.

use std::io::Write;

use blindbook::{
    client::SyncState,
    http::{
        SettingStatus,
        credential::{Claims, mint},
    },
    label::Label,
    server::{directory::Regions, publish::Sealer},
    snapshot::SignedManifest,
    wire::{EnrolRequest, Enrolment, Message, Setting},
};
use serde_json::{Value, json};

use crate::{
    raw::{Request, Response, connect, exchange},
    service::*,
};

const DAY: u64 = 86_400;

fn start(setup: Setup) -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), setup);
    (folder, running)
}

/// Two people: 000 and 001 are Ada's identifiers, 002 is Bob's.
fn enrol_two(running: &Running, regions: [Option<&str>; 3], setting: &Setting) {
    let registrar = running.transport(Some(&enrol()));
    let unblinded = evaluate(&registrar, EPOCH, &numbers(0..3));
    let people = unblinded.into_iter().zip(["ada", "ada", "bob"]);
    let enrolments = people.zip(regions).map(|((unblinded, handle), region)| {
        let label = Label::new(handle.as_bytes()).unwrap();
        Enrolment {
            unblinded,
            label,
            setting: setting.clone(),
            region: region.map(|region| region.parse().unwrap()),
        }
    });
    let request = EnrolRequest::new(EPOCH, LABELS, enrolments.collect()).unwrap();
    assert_eq!(
        changed(&registrar.enrol(&request.encode()).unwrap()),
        (3, 0)
    );
}

fn show(credential: &str) -> Request {
    Request::new("GET", "/v1/setting", credential, Vec::new())
        .without("content-type")
        .without("content-length")
}

fn put(credential: &str, document: &Value) -> Request {
    Request::new(
        "PUT",
        "/v1/setting",
        credential,
        document.to_string().into(),
    )
    .without("content-type")
    .with("Content-Type", "application/json; charset=utf-8")
}

fn nobody() -> Value {
    json!({ "audience": "nobody" })
}

fn agreed(at: u64) -> Value {
    json!({
        "audience": "everyone",
        "consent": { "at": at, "text_version": "2026-11", "surface": "ios/settings" },
    })
}

fn status(answer: &Response) -> SettingStatus {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

fn refused(running: &Running, request: &Request, status: u16, name: &str) {
    let answer = request.send(running.public);
    let refusal = (answer.status, answer.problem());
    assert_eq!(refusal, (status, name.to_owned()), "{}", answer.text());
}

fn found(running: &Running) -> Vec<String> {
    let app = running.transport(Some(&discover("somebody")));
    let mut state = SyncState::new(&service_id(), &mut random(1));
    sync(&mut state, &app, &numbers(0..3)).unwrap()
}

/// The sealed labels of the three identifiers, in order.
fn sealed_labels(running: &Running) -> Vec<Vec<u8>> {
    let registrar = running.transport(Some(&enrol()));
    let unblinded = evaluate(&registrar, EPOCH, &numbers(0..3));
    let people = unblinded.iter().zip(["ada", "ada", "bob"]);
    let folder = tempfile::tempdir().unwrap();
    let sealer = Sealer::new(publisher(folder.path(), EPOCH).terms());
    let sealed = people.map(|(unblinded, handle)| {
        let label = Label::new(handle.as_bytes()).unwrap();
        sealer.seal(unblinded, &label).unwrap().1
    });
    sealed.collect()
}

/// What the newest manifest lists, as anybody gets it.
fn listed(running: &Running) -> Vec<Vec<u8>> {
    let anybody = running.transport(None);
    let signed = SignedManifest::decode(&anybody.manifest().unwrap()).unwrap();
    let manifest = signed.verify(&snapshot_key().public_key()).unwrap();
    let segments = manifest.claims().segments.iter();
    segments
        .map(|entry| anybody.segment(&entry.id, entry.size).unwrap())
        .collect()
}

#[test]
fn whoever_has_a_handle_sees_it_and_is_gone_from_the_next_publication_on() {
    let (_folder, running) = start(Setup::default());
    enrol_two(&running, [Some("GB"), None, None], &everyone(NOW - 60));
    running.publish();
    assert_eq!(found(&running), ["ada", "ada", "bob"]);
    let ada = setting_of("account of ada", "ada");

    let before = status(&show(&ada).send(running.public));
    let text = show(&ada).send(running.public).text();
    // The whole of it, so that nothing gets in that tells more.
    let one = |region: Option<&str>| {
        json!({
            "audience": "everyone", "since": NOW, "region": region,
            "consent": { "at": NOW - 60, "text_version": "2026-11", "surface": "ios/settings" },
        })
    };
    let expected = json!({
        "audience": "everyone", "now": NOW, "next_publication": NOW.next_multiple_of(DAY),
        "identifiers": [one(None), one(Some("GB"))],
    });
    let got: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(got, expected);
    assert_eq!(before.identifiers.len(), 2);

    let after = status(&put(&ada, &nobody()).send(running.public));
    let hidden = after.identifiers.iter();
    assert!(hidden.clone().all(|one| one.audience == "nobody"));
    assert!(hidden.clone().all(|one| one.consent.is_none()));
    assert_eq!(
        (after.audience.as_str(), after.identifiers.len()),
        ("nobody", 2)
    );
    // Again: the same answer.
    assert_eq!(status(&put(&ada, &nobody()).send(running.public)), after);
    assert_eq!(status(&show(&ada).send(running.public)), after);
    assert_eq!(running.metric("blindbook_setting_changes_total"), 2);

    // Her sealed labels are in no file that is listed now, and were in one before.
    let sealed = sealed_labels(&running);
    let has = |files: &[Vec<u8>], label: &[u8]| {
        let found = |file: &Vec<u8>| file.windows(label.len()).any(|there| there == label);
        files.iter().any(found)
    };
    let files = listed(&running);
    assert!(sealed.iter().all(|label| has(&files, label)));
    running.publish();
    let files = listed(&running);
    let left: Vec<bool> = sealed.iter().map(|label| has(&files, label)).collect();
    assert_eq!(left, [false, false, true]);
    assert_eq!(found(&running), ["bob"]);

    // And back, with a consent of now.
    let back = status(&put(&ada, &agreed(NOW + 1)).send(running.public));
    assert_eq!(back.audience, "everyone");
    running.publish();
    assert_eq!(found(&running), ["ada", "ada", "bob"]);
}

#[test]
fn a_consent_is_asked_for_by_region_and_has_to_be_younger_than_the_last_no() {
    let (_folder, running) = start(Setup {
        regions: Regions::parse("US,waived").unwrap(),
        ..Setup::default()
    });
    enrol_two(
        &running,
        [Some("US"), Some("GB"), Some("US")],
        &Setting::Nobody,
    );
    let (ada, bob) = (setting_of("ada", "ada"), setting_of("bob", "bob"));
    let everyone = json!({ "audience": "everyone" });
    // One of hers lives where a consent is needed; nothing is waived for the others either, once they have said no.
    refused(&running, &put(&ada, &everyone), 409, "consent-needed");
    refused(&running, &put(&bob, &everyone), 409, "consent-needed");
    assert_eq!(status(&show(&bob).send(running.public)).audience, "nobody");
    for (at, name) in [
        (NOW - 1, "stale-consent"),
        (NOW, "stale-consent"),
        (NOW + 301, "consent-in-future"),
        (u64::MAX, "consent-in-future"),
    ] {
        refused(&running, &put(&bob, &agreed(at)), 409, name);
    }
    assert_eq!(
        status(&put(&bob, &agreed(NOW + 1)).send(running.public)).audience,
        "everyone"
    );
    // A no isn't outranked by not having been asked, also when there was a yes since.
    refused(&running, &put(&bob, &everyone), 409, "consent-needed");
    assert_eq!(status(&show(&ada).send(running.public)).audience, "nobody");
}

#[test]
fn where_no_consent_is_needed_none_is_asked_for() {
    let (_folder, running) = start(Setup {
        regions: Regions::parse("US,waived").unwrap(),
        ..Setup::default()
    });
    enrol_two(&running, [Some("US"); 3], &Setting::EveryoneByDefault);
    let bob = setting_of("bob", "bob");
    let everyone = json!({ "audience": "everyone" });
    let by_default = status(&put(&bob, &everyone).send(running.public));
    assert_eq!(by_default.audience, "everyone");
    assert_eq!(by_default.identifiers[0].consent, None);
    assert_eq!(by_default.identifiers[0].region.as_deref(), Some("US"));
}

/// The handle is what was signed: nothing in the request can name another one.
#[test]
fn nobody_reaches_another_handle() {
    let (_folder, running) = start(Setup::default());
    enrol_two(&running, [None; 3], &everyone(NOW - 60));
    // Enrolled without a handle, as many are who need none.
    let registrar = running.transport(Some(&enrol()));
    let unblinded = evaluate(&registrar, EPOCH, &numbers(5..6)).remove(0);
    let anonymous = Enrolment {
        unblinded,
        label: Label::new(b"").unwrap(),
        setting: everyone(NOW - 60),
        region: None,
    };
    let anonymous = EnrolRequest::new(EPOCH, LABELS, vec![anonymous]).unwrap();
    registrar.enrol(&anonymous.encode()).unwrap();

    let of = |handle: Option<&str>| {
        let claims = Claims {
            handle: handle.map(str::to_owned),
            ..claims("mallory", "setting")
        };
        mint(&claims, SECRET).unwrap()
    };
    // None, the empty one that stands for all who have none, and what no label of this service can be.
    for handle in [
        None,
        Some(""),
        Some("6"),
        Some("ada"),
        Some("0x616461"),
        Some("61646100"),
        Some("616461 "),
        Some("+6+4+1"),
        Some("616461616461616461"),
    ] {
        refused(&running, &show(&of(handle)), 403, "bad-handle");
        refused(&running, &put(&of(handle), &nobody()), 403, "bad-handle");
    }
    // Her own, which nobody has, and names of others wherever one could put them.
    let own = of(Some("6d616c"));
    refused(&running, &put(&own, &nobody()), 404, "not-enrolled");
    refused(&running, &show(&own), 404, "not-enrolled");
    let mut document = nobody();
    document["handle"] = json!("616461");
    refused(&running, &put(&own, &document), 400, "malformed-message");
    let mut elsewhere = put(&own, &nobody());
    elsewhere.path = "/v1/setting?handle=616461".to_owned();
    refused(&running, &elsewhere, 404, "not-enrolled");
    // A credential for something else, with the right handle in it.
    for scope in ["discover", "enrol", "settings", "setting discover", ""] {
        let claims = Claims {
            handle: Some("616461".to_owned()),
            ..claims("ada", scope)
        };
        let other = mint(&claims, SECRET).unwrap();
        refused(&running, &show(&other), 403, "wrong-scope");
        refused(&running, &put(&other, &nobody()), 403, "wrong-scope");
    }
    // And this one is for nothing else.
    let ada = setting_of("ada", "ADA".to_lowercase().as_str());
    for (method, path) in [
        ("POST", "/v1/evaluate"),
        ("POST", "/v1/carry-over"),
        ("PUT", "/v1/members"),
    ] {
        let request = Request::new(method, path, &ada, request_of(16, 1));
        refused(&running, &request, 403, "wrong-scope");
    }
    running.publish();
    assert_eq!(found(&running), ["ada", "ada", "bob"]);
    assert_eq!(running.metric("blindbook_setting_changes_total"), 0);
}

#[test]
fn a_document_that_is_none_changes_nothing_and_is_not_quoted() {
    let (_folder, running) = start(Setup::default());
    enrol_two(&running, [None; 3], &everyone(NOW - 60));
    let ada = setting_of("ada", "ada");
    let mut long = agreed(NOW);
    long["consent"]["surface"] = json!("+447700900000".repeat(8));
    let mut undated = agreed(NOW);
    undated["consent"]["at"] = json!(0);
    let mut unnamed = agreed(NOW);
    unnamed["consent"]
        .as_object_mut()
        .unwrap()
        .remove("text_version");
    for document in [
        json!({}),
        json!("nobody"),
        json!({ "audience": "+447700900000" }),
        json!({ "audience": null }),
        json!({ "audience": "nobody", "+447700900000": 1 }),
        long,
        undated,
        unnamed,
    ] {
        let answer = put(&ada, &document).send(running.public);
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "malformed-message".to_owned())
        );
        assert!(!answer.text().contains("447700"), "{}", answer.text());
    }
    let bytes = put(&ada, &nobody());
    for body in [&b"{"[..], b"", b"\xff", b"{\"audience\":\"nobody\"}x"] {
        let request = Request {
            body: body.to_vec(),
            ..bytes.clone()
        }
        .without("content-length")
        .with("Content-Length", &body.len().to_string());
        refused(&running, &request, 400, "malformed-message");
    }
    let other = bytes.clone().without("content-type");
    refused(&running, &other, 415, "wrong-media-type");
    let other = other.with("Content-Type", blindbook::wire::MEDIA_TYPE);
    refused(&running, &other, 415, "wrong-media-type");
    let endless = bytes
        .without("content-length")
        .with("Content-Length", "2049");
    refused(&running, &endless, 413, "body-too-large");
    assert_eq!(
        status(&show(&ada).send(running.public)).audience,
        "everyone"
    );
}

/// Who may not evaluate anything any more can opt out all the same, and so can everybody while others fill all rooms.
#[test]
fn nothing_that_an_evaluation_needs_keeps_anybody_from_opting_out() {
    let (_folder, running) = start(Setup {
        limits: blindbook::http::Limits {
            requests: 2,
            requests_per_account: 2,
            queued_elements: 1,
            ..Setup::default().limits
        },
        ..Setup::default()
    });
    enrol_two(&running, [None; 3], &everyone(NOW - 60));
    for order in [
        json!({ "account": "ada" }),
        json!({ "network": "127.0.0.0/24" }),
        json!({ "new_accounts": true }),
    ] {
        let order = order.to_string();
        let head = format!(
            "POST /suspend HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n",
            order.len()
        );
        assert_eq!(
            exchange(running.operator, (head + &order).as_bytes()).status,
            200
        );
    }
    let evaluation = Request::evaluate(&discover("ada"), request_of(16, 1));
    refused(&running, &evaluation, 403, "account-suspended");
    // Somebody fills all room that there is for requests, and doesn't go on.
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(running.public);
            stream.write_all(&evaluation.head()).unwrap();
            stream
        })
        .collect();
    loop {
        let answer = Request::evaluate(&discover("bob"), request_of(16, 2)).send(running.public);
        if answer.problem() == "overloaded" {
            break;
        }
    }
    let charged = running.charged();
    let claims = Claims {
        account_created: None,
        handle: Some("616461".to_owned()),
        ..claims("ada", "setting")
    };
    let ada = mint(&claims, SECRET).unwrap();
    assert_eq!(
        status(&put(&ada, &nobody()).send(running.public)).audience,
        "nobody"
    );
    assert_eq!(status(&show(&ada).send(running.public)).audience, "nobody");
    assert_eq!(running.charged(), charged);
    drop(slow);
}

/// A registrar changes anybody's by `/v1/members`, as always, and the account sees that.
#[test]
fn a_registrar_changes_the_setting_of_anybody() {
    let (_folder, running) = start(Setup::default());
    enrol_two(&running, [None; 3], &everyone(NOW - 60));
    let registrar = running.transport(Some(&enrol()));
    let unblinded = evaluate(&registrar, EPOCH, &numbers(0..1)).remove(0);
    let hidden = Enrolment {
        unblinded,
        label: Label::new(b"ada").unwrap(),
        setting: Setting::Nobody,
        region: None,
    };
    let hidden = EnrolRequest::new(EPOCH, LABELS, vec![hidden]).unwrap();
    registrar.enrol(&hidden.encode()).unwrap();
    let ada = status(&show(&setting_of("ada", "ada")).send(running.public));
    let audiences: Vec<&str> = ada
        .identifiers
        .iter()
        .map(|one| one.audience.as_str())
        .collect();
    assert_eq!(
        (audiences, ada.audience.as_str()),
        (vec!["everyone", "nobody"], "everyone")
    );
    registrar
        .remove(&removal(&registrar, EPOCH, &numbers(0..2)))
        .unwrap();
    refused(
        &running,
        &show(&setting_of("ada", "ada")),
        404,
        "not-enrolled",
    );
}
