//! What honest people do: enrol, publish, find; and what an eavesdropper sees of it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use blindbook::{
    client::SyncState,
    http_client::{Endpoint, Transport, TransportError},
    wire::Setting,
};

use crate::{raw, service::*};

fn enrol_publish_find(setup: Setup) {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), setup);
    let registrar = running.transport(Some(&enrol()));

    // 20 members, three of whom can be found by nobody.
    let open = enrolment(&registrar, EPOCH, &numbers(0..17), &everyone(NOW - 60));
    assert_eq!(changed(&registrar.enrol(&open).unwrap()), (17, 0));
    let closed = enrolment(&registrar, EPOCH, &numbers(17..20), &Setting::Nobody);
    assert_eq!(changed(&registrar.enrol(&closed).unwrap()), (3, 0));
    assert_eq!(changed(&registrar.enrol(&open).unwrap()), (0, 17));
    running.publish();

    let app = running.transport(Some(&discover("ada")));
    let mut state = SyncState::new(&service_id(), &mut random(1));
    let contacts = numbers(15..40);
    let found = sync(&mut state, &app, &contacts).unwrap();
    assert_eq!(found, ["015", "016"]);
    let charged = running.charged();

    // One opts out, one is deleted, and one agrees to be found. The app spends nothing to notice.
    let leaving = removal(&registrar, EPOCH, &numbers(15..16));
    assert_eq!(changed(&registrar.remove(&leaving).unwrap()), (1, 0));
    let hiding = enrolment(&registrar, EPOCH, &numbers(16..17), &Setting::Nobody);
    assert_eq!(changed(&registrar.enrol(&hiding).unwrap()), (1, 0));
    let joining = enrolment(&registrar, EPOCH, &numbers(18..19), &everyone(NOW + 60));
    assert_eq!(changed(&registrar.enrol(&joining).unwrap()), (1, 0));
    running.publish();
    let by_registrar = running.charged() - charged;
    assert_eq!(by_registrar, 3);
    assert_eq!(sync(&mut state, &app, &contacts).unwrap(), ["018"]);
    assert_eq!(running.charged() - charged, by_registrar);
    running.stop();

    // All of it is still there.
    let running = Running::start(folder.path(), Setup::default());
    let app = running.transport(Some(&discover("ada")));
    assert_eq!(sync(&mut state, &app, &contacts).unwrap(), ["018"]);
    running.stop();
}

#[test]
fn a_member_is_enrolled_published_and_found() {
    enrol_publish_find(Setup::default());
}

#[test]
fn a_member_is_enrolled_published_and_found_over_tls() {
    enrol_publish_find(Setup {
        tls: Some(Tls::new()),
        ..Setup::default()
    });
}

#[test]
fn a_client_that_does_not_trust_the_certificate_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::new();
    let setup = Setup {
        tls: Some(tls),
        ..Setup::default()
    };
    let running = Running::start(folder.path(), setup);
    let mut endpoint = Endpoint::new(&format!("https://localhost:{}", running.public.port()));
    endpoint.authorities = Some(Tls::new().certificate_pem.into_bytes());
    let stranger = Transport::new(endpoint).unwrap();
    assert!(matches!(
        stranger.manifest().unwrap_err(),
        TransportError::Unreachable(_)
    ));
    running.stop();
}

/// Passes bytes on in both directions and counts them.
fn counting_proxy(to: SocketAddr) -> (SocketAddr, Arc<AtomicU64>, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (up, down) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counters = (Arc::clone(&up), Arc::clone(&down));
    thread::spawn(move || {
        for client in listener.incoming().take(8) {
            let client = client.unwrap();
            let server = TcpStream::connect(to).unwrap();
            let (client_too, server_too) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            let (up, down) = (Arc::clone(&up), Arc::clone(&down));
            thread::spawn(move || pass_on(client, server, &up));
            thread::spawn(move || pass_on(server_too, client_too, &down));
        }
    });
    (address, counters.0, counters.1)
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64) {
    let mut buffer = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(count as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _closed_already = to.shutdown(Shutdown::Write);
}

#[test]
fn seventeen_and_sixty_four_contacts_are_the_same_number_of_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), Setup::default());
    let registrar = running.transport(Some(&enrol()));
    let member = enrolment(&registrar, EPOCH, &numbers(0..1), &everyone(NOW - 60));
    registrar.enrol(&member).unwrap();
    running.publish();

    let mut seen = Vec::new();
    for (account, count) in [("account-a", 17), ("account-b", 64)] {
        let (address, up, down) = counting_proxy(running.public);
        let mut endpoint = Endpoint::new(&format!("http://127.0.0.1:{:05}", address.port()));
        endpoint.allow_plaintext = true;
        endpoint.credential = Some(discover(account));
        let app = Transport::new(endpoint).unwrap();
        let mut state = SyncState::new(&service_id(), &mut random(2));
        let found = sync(&mut state, &app, &numbers(0..count)).unwrap();
        assert_eq!(found, ["000"]);
        drop(app);
        seen.push((up.load(Ordering::SeqCst), down.load(Ordering::SeqCst)));
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].0 > 64 * 32 && seen[0].1 > 64 * 32);
}

#[test]
fn answers_tell_what_is_left_of_the_quota() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), Setup::default());
    let answer = raw::Request::evaluate(&discover("ada"), request_of(16, 1)).send(running.public);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some(blindbook::wire::MEDIA_TYPE)
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // Of 5,120 elements, 96 of which come back in a day.
    assert_eq!(
        answer.header("ratelimit"),
        Some("\"account\";r=5104;t=14400")
    );
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some("\"account\";q=5120;w=4608000")
    );
    running.stop();
}
