//! Rotating the key of a running service: nobody is refused by a soft one, and a hard one leaves nothing of the old epoch.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use blindbook::{
    Timestamp,
    client::{Identifier, OprfClient, SyncState},
    http::RotationStatus,
    http_client::{Answer, Transport, TransportError},
    label::Label,
    oprf::{Epoch, PublicKey},
    server::{policy::Policy, rotation::RotationKind},
    snapshot::{Manifest, SignedManifest},
    wire::{EnrolRequest, Enrolment, EvaluateRequest, EvaluateResponse, Message, Setting},
};

use crate::{raw, service::*};

const NEXT: Epoch = Epoch::new(8);

/// A quota that the load doesn't run into.
fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.account.capacity = 10_000_000;
    policy.account.refill_per_day = 300;
    policy.account.request_burst = 1_000_000;
    policy.registrar.request_burst = 1_000_000;
    policy.registrar.requests_per_minute = 1_000_000;
    policy.service.floor_per_day = 1_000_000_000;
    policy
}

fn start(folder: &Path, keeper: &Arc<MemoryKeeper>) -> Running {
    let setup = Setup {
        policy: policy(),
        keeper: Some(Arc::clone(keeper)),
        ..Setup::default()
    };
    Running::start(folder, setup)
}

fn manifest(transport: &Transport) -> Manifest {
    let signed = SignedManifest::decode(&transport.manifest().unwrap()).unwrap();
    signed.verify(&snapshot_key().public_key()).unwrap()
}

fn rotate(running: &Running, how: &str) -> RotationStatus {
    let request = format!("POST /rotate{how} HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n");
    let answer = raw::exchange(running.operator, request.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

fn status(running: &Running) -> RotationStatus {
    let answer = raw::get(running.operator, "/rotate");
    assert_eq!(answer.status, 200);
    serde_json::from_str(&answer.text()).unwrap()
}

/// What somebody needs to know of an epoch to evaluate in it.
#[derive(Clone)]
struct Known(Epoch, PublicKey);

impl Known {
    fn of(transport: &Transport) -> Self {
        let manifest = manifest(transport);
        Self(
            manifest.claims().epoch,
            manifest.claims().public_key.clone(),
        )
    }

    fn evaluate(
        &self,
        transport: &Transport,
        members: &[Identifier],
    ) -> Result<Vec<blindbook::oprf::UnblindedElement>, TransportError> {
        let inputs: Vec<&[u8]> = members.iter().map(Identifier::as_input).collect();
        let client = OprfClient::new(self.1.clone());
        let expect = client.blind(&inputs, 0, &mut system_random()).unwrap();
        let request = EvaluateRequest {
            epoch: self.0,
            blinded: expect.request().clone(),
        };
        let answer = transport.evaluate(&request.encode())?;
        let response = EvaluateResponse::decode(&answer.body).unwrap();
        let finalized = expect.finalize(&response.evaluated, &response.proof);
        Ok(finalized.unwrap())
    }

    fn enrol(
        &self,
        transport: &Transport,
        members: &[Identifier],
        setting: &Setting,
    ) -> Result<Answer, TransportError> {
        let elements = self.evaluate(transport, members)?;
        let enrolments = elements
            .into_iter()
            .zip(members)
            .map(|(unblinded, member)| {
                let input = member.as_input();
                Enrolment {
                    unblinded,
                    label: Label::new(&input[input.len() - 3..]).unwrap(),
                    setting: setting.clone(),
                    region: None,
                }
            });
        let request = EnrolRequest::new(self.0, LABELS, enrolments.collect()).unwrap();
        transport.enrol(&request.encode())
    }
}

/// Carries over all that a phone has learned; how many contacts that were.
fn carry_over(state: &mut SyncState, transport: &Transport) -> Result<usize, TransportError> {
    let mut carried = 0;
    while let Some(expect) = state
        .next_carry_over(usize::MAX, NOW, &mut system_random())
        .unwrap()
    {
        let answer = transport.carry_over(&expect.message())?;
        carried += state.finish_carry_over(expect, &answer.body).unwrap();
    }
    Ok(carried)
}

fn follow(state: &mut SyncState, transport: &Transport) -> usize {
    let followed = state.follow(&manifest(transport), NOW).unwrap();
    followed.to_carry_over
}

fn problem<T: std::fmt::Debug>(answer: Result<T, TransportError>) -> String {
    match answer.unwrap_err() {
        TransportError::Refused(problem) => problem.type_uri.rsplit(':').next().unwrap().to_owned(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_phone_finds_the_same_people_and_pays_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = MemoryKeeper::new();
    let running = start(folder.path(), &keeper);
    running.publish();
    let registrar = running.transport(Some(&enrol()));
    let old = Known::of(&registrar);
    old.enrol(&registrar, &numbers(0..20), &everyone(NOW - 60))
        .unwrap();
    old.enrol(&registrar, &numbers(20..25), &Setting::Nobody)
        .unwrap();
    running.publish();
    let app = running.transport(Some(&discover("ada")));
    let mut state = SyncState::new(&service_id(), &mut random(1));
    let contacts = numbers(15..40);
    let names = ["015", "016", "017", "018", "019"];
    assert_eq!(sync(&mut state, &app, &contacts).unwrap(), names);
    let charged = running.charged();
    assert_eq!(status(&running).phase, "none");

    let done = rotate(&running, "");
    assert_eq!((done.epoch, done.phase.as_str()), (NEXT.get(), "window"));
    assert_eq!(keeper.keeps(), (true, true));
    assert_eq!(running.metric("blindbook_rotation_phase"), 2);
    assert_eq!(raw::get(running.operator, "/readyz").status, 200);
    assert_eq!(follow(&mut state, &app), 25);
    assert_eq!(carry_over(&mut state, &app).unwrap(), 25);
    assert_eq!(sync(&mut state, &app, &contacts).unwrap(), names);
    assert_eq!(running.charged(), charged);
    assert_eq!(
        running.metric("blindbook_elements_total{kind=\"carried\"}"),
        64
    );

    // Started anew, it is all the same; and a phone that was away for a month finds what it knew.
    running.stop();
    let running = start(folder.path(), &keeper);
    let app = running.transport(Some(&discover("ada")));
    assert_eq!(sync(&mut state, &app, &contacts).unwrap(), names);
    running.publish();
    assert_eq!(sync(&mut state, &app, &contacts).unwrap(), names);
    // An account that evaluated nothing before has nothing to carry over, whoever did.
    let eve = running.transport(Some(&discover("eve")));
    let other = blindbook::wire::CarryOverRequest {
        from: EPOCH,
        to: NEXT,
        blinded: EvaluateRequest::decode(&request_of(16, 3)).unwrap().blinded,
    };
    assert_eq!(
        problem(eve.carry_over(&other.encode())),
        "carry-over-exhausted"
    );
    assert_eq!(
        problem(registrar_of(&running).carry_over(&other.encode())),
        "wrong-scope"
    );
    for (from, to) in [
        (NEXT, EPOCH),
        (EPOCH, Epoch::new(9)),
        (Epoch::new(6), EPOCH),
    ] {
        let other = blindbook::wire::CarryOverRequest {
            from,
            to,
            blinded: other.blinded.clone(),
        };
        assert_eq!(problem(app.carry_over(&other.encode())), "no-carry-over");
    }
    running.stop();
}

fn registrar_of(running: &Running) -> Transport {
    running.transport(Some(&enrol()))
}

/// Phones with yesterday's manifest, phones that follow, and registrars of both epochs, before, during and after the switch.
#[test]
fn nobody_is_refused_while_the_key_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = MemoryKeeper::new();
    let running = start(folder.path(), &keeper);
    running.publish();
    let registrar = registrar_of(&running);
    let old = Known::of(&registrar);
    old.enrol(&registrar, &numbers(0..400), &everyone(NOW - 60))
        .unwrap();
    running.publish();
    let stop = Arc::new(AtomicBool::new(false));
    let work = |mut once: Box<dyn FnMut(u32) + Send>| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let mut times = 0;
            while !stop.load(Ordering::Relaxed) {
                once(times);
                times += 1;
            }
            times
        })
    };
    let mut threads = Vec::new();
    {
        let (app, old) = (running.transport(Some(&discover("old phone"))), old.clone());
        threads.push(work(Box::new(move |_| {
            old.evaluate(&app, &numbers(0..16)).unwrap();
        })));
        let app = running.transport(Some(&discover("phone")));
        let mut state = SyncState::new(&service_id(), &mut random(2));
        threads.push(work(Box::new(move |_| {
            // The manifest may be another one by the time that it is fetched again.
            let found = loop {
                follow(&mut state, &app);
                carry_over(&mut state, &app).unwrap();
                let found = sync(&mut state, &app, &numbers(0..3)).unwrap();
                if state.to_carry_over() == 0 {
                    break found.len();
                }
            };
            assert_eq!(found, 3);
        })));
    }
    // Each changes members of its own: hides them, one after the other, and enrols new ones.
    let hidden: Arc<Mutex<Vec<u32>>> = Arc::default();
    let enrolled: Arc<Mutex<Vec<u32>>> = Arc::default();
    for (part, follows) in [(0, false), (1, true)] {
        let registrar = registrar_of(&running);
        let old = old.clone();
        let (hidden, enrolled) = (Arc::clone(&hidden), Arc::clone(&enrolled));
        threads.push(work(Box::new(move |times| {
            let known = match follows {
                true => Known::of(&registrar),
                false => old.clone(),
            };
            let number = 10 + 190 * part + times;
            if times < 150 {
                let who = numbers(number..number + 1);
                known.enrol(&registrar, &who, &Setting::Nobody).unwrap();
                hidden.lock().unwrap().push(number);
                let number = 400 + 300 * part + times;
                let who = numbers(number..number + 1);
                known.enrol(&registrar, &who, &everyone(NOW - 60)).unwrap();
                enrolled.lock().unwrap().push(number);
            }
        })));
    }
    thread::sleep(Duration::from_millis(300));
    let done = rotate(&running, "");
    assert_eq!(done.phase, "window");
    thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        assert!(thread.join().unwrap() > 3, "a thread has done nothing");
    }
    running.publish();
    let app = running.transport(Some(&discover("witness")));
    let mut state = SyncState::new(&service_id(), &mut random(3));
    let found = sync(&mut state, &app, &numbers(0..999)).unwrap();
    let (hidden, enrolled) = (hidden.lock().unwrap(), enrolled.lock().unwrap());
    assert!(hidden.len() > 5, "{}", hidden.len());
    let mut expected: Vec<u32> = (0..400).filter(|number| !hidden.contains(number)).collect();
    expected.extend(enrolled.iter());
    expected.sort_unstable();
    let expected: Vec<String> = expected
        .iter()
        .map(|number| format!("{number:03}"))
        .collect();
    assert_eq!(found, expected);
    running.stop();
}

#[test]
fn a_hard_rotation_leaves_nothing_of_the_old_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = MemoryKeeper::new();
    let running = start(folder.path(), &keeper);
    running.publish();
    let registrar = registrar_of(&running);
    let old = Known::of(&registrar);
    old.enrol(&registrar, &numbers(0..20), &everyone(NOW - 60))
        .unwrap();
    running.publish();
    let app = running.transport(Some(&discover("ada")));
    let mut state = SyncState::new(&service_id(), &mut random(1));
    let contacts = numbers(15..40);
    assert_eq!(sync(&mut state, &app, &contacts).unwrap().len(), 5);
    let charged = running.charged();

    // In the middle of the window of a soft one, for which a soft one waits.
    rotate(&running, "");
    let busy = b"POST /rotate HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n";
    let busy = raw::exchange(running.operator, busy);
    assert_eq!(busy.status, 409, "{}", busy.text());
    let middle = Known::of(&registrar);
    let done = rotate(&running, "?hard");
    assert_eq!((done.epoch, done.phase.as_str()), (9, "none"));
    assert_eq!(keeper.keeps(), (false, false));
    assert_eq!(keeper.in_use().epoch(), Epoch::new(9));
    for known in [&old, &middle] {
        assert_eq!(problem(known.evaluate(&app, &contacts)), "wrong-epoch");
        let elements = blindbook::wire::RemoveRequest {
            epoch: known.0,
            unblinded: Known::of(&registrar)
                .evaluate(&registrar, &numbers(0..1))
                .unwrap(),
        };
        assert_eq!(problem(registrar.remove(&elements.encode())), "wrong-epoch");
    }
    // The phone at the old epoch can't carry over two rotations, and one at the middle can't either.
    assert_eq!(follow(&mut state, &app), 0);
    let other = blindbook::wire::CarryOverRequest {
        from: NEXT,
        to: Epoch::new(9),
        blinded: EvaluateRequest::decode(&request_of(16, 3)).unwrap().blinded,
    };
    assert_eq!(problem(app.carry_over(&other.encode())), "no-carry-over");
    // Everybody is still there, and phones pay for it.
    let before = running.charged();
    assert_eq!(sync(&mut state, &app, &contacts).unwrap().len(), 5);
    assert_eq!(running.charged() - before, 64);
    assert!(before >= charged);
    running.stop();
    let running = start(folder.path(), &keeper);
    let app = running.transport(Some(&discover("ada")));
    assert_eq!(sync(&mut state, &app, &contacts).unwrap().len(), 5);
    assert_eq!(status(&running).phase, "none");
    running.stop();
}

static CLOCK: AtomicU64 = AtomicU64::new(NOW);

#[test]
fn delta_and_the_old_key_are_destroyed_when_their_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = MemoryKeeper::new();
    let start = || {
        let setup = Setup {
            policy: policy(),
            keeper: Some(Arc::clone(&keeper)),
            clock: || Timestamp::from_secs(CLOCK.load(Ordering::SeqCst)),
            ..Setup::default()
        };
        Running::start(folder.path(), setup)
    };
    let credential = || {
        let claims = blindbook::http::credential::Claims {
            exp: CLOCK.load(Ordering::SeqCst) + 300,
            ..claims("ada", "discover")
        };
        blindbook::http::credential::mint(&claims, SECRET).unwrap()
    };
    let running = start();
    running.publish();
    let registrar = registrar_of(&running);
    let old = Known::of(&registrar);
    old.enrol(&registrar, &numbers(0..5), &everyone(NOW - 60))
        .unwrap();
    let app = |running: &Running| running.transport(Some(&credential()));
    old.evaluate(&app(&running), &numbers(0..16)).unwrap();
    rotate(&running, "");
    let carry = |app: &Transport| {
        let other = blindbook::wire::CarryOverRequest {
            from: EPOCH,
            to: NEXT,
            blinded: EvaluateRequest::decode(&request_of(16, 3)).unwrap().blinded,
        };
        app.carry_over(&other.encode())
    };
    // Yesterday's manifest is valid for three days, results are carried over for thirty.
    CLOCK.store(NOW + 3 * 86_400 - 10, Ordering::SeqCst);
    old.evaluate(&app(&running), &numbers(0..16)).unwrap();
    CLOCK.store(NOW + 3 * 86_400 + 1, Ordering::SeqCst);
    assert_eq!(
        problem(old.evaluate(&app(&running), &numbers(0..16))),
        "wrong-epoch"
    );
    CLOCK.store(NOW + 30 * 86_400 - 10, Ordering::SeqCst);
    carry(&app(&running)).unwrap();
    CLOCK.store(NOW + 30 * 86_400 + 1, Ordering::SeqCst);
    assert_eq!(problem(carry(&app(&running))), "no-carry-over");
    assert_eq!(keeper.keeps(), (true, true));
    // Once an hour, and at the start, it is looked what is due; but not by a clock that nothing else has confirmed.
    running.stop();
    let running = start();
    assert_eq!(status(&running).phase, "window");
    let app = app(&running);
    Known::of(&app).evaluate(&app, &numbers(0..16)).unwrap();
    running.stop();
    let running = start();
    for _ in 0..100 {
        if status(&running).phase == "none" {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(status(&running).phase, "none");
    assert_eq!(keeper.keeps(), (false, false));
    assert_eq!(keeper.in_use().epoch(), NEXT);
    running.stop();
}

/// A service that has ended in the middle goes on by itself with what it was doing, and as what it was begun.
#[test]
fn a_rotation_goes_on_when_the_service_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = MemoryKeeper::new();
    let running = start(folder.path(), &keeper);
    running.publish();
    let registrar = registrar_of(&running);
    let old = Known::of(&registrar);
    old.enrol(&registrar, &numbers(0..50), &everyone(NOW - 60))
        .unwrap();
    running.publish();
    running.stop();
    // As far as the first steps: the keys are kept, and the store knows.
    {
        use blindbook::store::{RedbStore, Rotator};
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = RedbStore::open(&folder.path().join("store")).unwrap();
        let rotator = Rotator::new(&store, &*keeper);
        let (current, mut random) = (keeper.in_use(), random(9));
        let begun = rotator.begin(&current, RotationKind::Hard, &mut random);
        runtime.block_on(begun).unwrap();
    }
    let running = start(folder.path(), &keeper);
    for _ in 0..200 {
        if status(&running).epoch == NEXT.get() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let app = running.transport(Some(&discover("ada")));
    let mut state = SyncState::new(&service_id(), &mut random(1));
    assert_eq!(sync(&mut state, &app, &numbers(0..60)).unwrap().len(), 50);
    assert_eq!(problem(old.evaluate(&app, &numbers(0..16))), "wrong-epoch");
    running.stop();
}
