//! The client role in a program of one's own, with a transport of its own: the few lines of HTTP/1.1 below stand for
//! whatever an app has. `cargo run --example server` prints how to start it.

use std::{
    env,
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    time::UNIX_EPOCH,
};

use blindbook::{
    Timestamp,
    client::{Identifier, OprfClient, SyncState},
    label::Label,
    oprf::{ServiceId, UnblindedElement},
    snapshot::{ChainState, Manifest, Segment, SignedManifest, SnapshotPublicKey, cheapest_path},
    wire::{
        Consent, EnrolRequest, Enrolment, EvaluateRequest, EvaluateResponse, MEDIA_TYPE,
        MembersResponse, Message, Setting,
    },
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [public, operator, snapshot_key] = arguments.as_slice() else {
        return Err("arguments: PUBLIC_ADDRESS OPERATOR_ADDRESS SNAPSHOT_KEY".into());
    };
    let snapshot_key = SnapshotPublicKey::decode(&from_hex(snapshot_key)?)?;

    let registrar = Server {
        address: public,
        token: env::var("ENROL_TOKEN")?,
    };
    enrol(
        &registrar,
        &manifest(&registrar, &snapshot_key)?,
        "+447700900123",
        "user-17",
    )?;
    Server {
        address: operator,
        token: String::new(),
    }
    .send("POST", "/publish?now", &[])?;

    let phone = Server {
        address: public,
        token: env::var("DISCOVER_TOKEN")?,
    };
    discover(&phone, &snapshot_key, &["+447700900456", "+447700900123"])
}

/// A registrar's side: evaluates a number that it has verified, and enrols the element.
fn enrol(server: &Server<'_>, manifest: &Manifest, number: &str, handle: &str) -> Result<()> {
    let chain = ChainState::start(manifest, now())?; // refuses one that has expired
    let identifier = Identifier::phone_e164(number)?;
    let client = OprfClient::new(chain.public_key().clone());
    let expect = client.blind(&[identifier.as_input()], 0, &mut UnwrapErr(SysRng))?;
    let request = EvaluateRequest {
        epoch: chain.epoch(),
        blinded: expect.request().clone(),
    };
    let answer = server.send("POST", "/v1/evaluate", &request.encode())?;
    let response = EvaluateResponse::decode(&answer)?;
    let unblinded: Vec<UnblindedElement> = expect.finalize(&response.evaluated, &response.proof)?;

    let consent = Consent::new(Timestamp::from_secs(now()), "2026-11", "example")?;
    let enrolments = unblinded.into_iter().map(|unblinded| {
        let label = Label::new(handle.as_bytes())?;
        Ok(Enrolment {
            unblinded,
            label,
            setting: Setting::Everyone(consent.clone()),
            region: Some("GB".parse()?), // where the person lives, if you know
        })
    });
    let enrolments = enrolments.collect::<Result<Vec<_>>>()?;
    let request = EnrolRequest::new(chain.epoch(), manifest.claims().label_length, enrolments)?;
    let answer = server.send("PUT", "/v1/members", &request.encode())?;
    println!("enrolled: {}", MembersResponse::decode(&answer)?.changed);
    Ok(())
}

/// A phone's side. An app stores `state.encode()` and goes on with `SyncState::decode` the next time.
fn discover(server: &Server<'_>, key: &SnapshotPublicKey, numbers: &[&str]) -> Result<()> {
    let mut rng = UnwrapErr(SysRng);
    let contacts = numbers
        .iter()
        .map(|number| Identifier::phone_e164(number))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let manifest = manifest(server, key)?;
    let mut state = SyncState::new(&ServiceId::new("chat.example")?, &mut rng);
    let followed = state.follow(&manifest, now())?;
    if followed.other_normalisation.is_some() {
        eprintln!("the service normalises otherwise: update the app");
    }
    while let Some(expect) = state.next_request(&contacts, usize::MAX, now(), &mut rng)? {
        let answer = server.send("POST", "/v1/evaluate", &expect.message())?;
        let evaluated = state.finish(expect, &answer)?;
        println!("evaluated: {evaluated}");
    }
    // A base, then what changes it. An app that keeps them says 0 for what it has, and fetches only the rest.
    let claims = manifest.claims();
    let path = cheapest_path(&claims.segments, claims.newest(), |segment| segment.size);
    let mut search = state.search(&contacts);
    for entry in path.unwrap_or_default() {
        let id: String = entry.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = server.send("GET", &format!("/v1/segments/{id}"), &[])?;
        search.read_all(&mut Segment::open(&bytes, &manifest)?)?;
    }
    for found in state.matches(search, &contacts) {
        let label = found.label.as_bytes().escape_ascii();
        println!("found: {} is {label}", numbers[found.identifier]);
    }
    Ok(())
}

/// The newest manifest, verified with the key that the app was built with.
fn manifest(server: &Server<'_>, key: &SnapshotPublicKey) -> Result<Manifest> {
    let bytes = server.send("GET", "/v1/manifest", &[])?;
    Ok(SignedManifest::decode(&bytes)?.verify(key)?)
}

/// A transport. Yours has TLS, time-outs, and looks at `RateLimit` and `Retry-After`.
struct Server<'a> {
    address: &'a str,
    token: String,
}

impl Server<'_> {
    fn send(&self, method: &str, path: &str, message: &[u8]) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.token,
            message.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(message)?;
        let mut answer = Vec::new();
        stream.take(64 << 20).read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let body = answer.split_off(end.ok_or("no answer")? + 4);
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&body).into());
        }
        Ok(body)
    }
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

fn from_hex(digits: &str) -> Result<[u8; 32]> {
    let pairs = digits.as_bytes().chunks_exact(2);
    let bytes: std::result::Result<Vec<u8>, _> = pairs
        .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16))
        .collect();
    bytes?
        .try_into()
        .map_err(|_| "64 hexadecimal digits".into())
}
