//! Credentials that somebody made up, stole, kept or bent.

use std::sync::atomic::{AtomicU64, Ordering};

use blindbook::{
    Timestamp,
    http::credential::{CredentialKeyError, Credentials, mint},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{
    raw::{Request, Response},
    service::*,
};

fn send(running: &Running, credential: &str) -> Response {
    Request::evaluate(credential, request_of(16, 1)).send(running.public)
}

/// Refused by name, told what scheme to use, and nothing charged.
fn refused(running: &Running, credential: &str, status: u16, name: &str) {
    let answer = send(running, credential);
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (status, name),
        "{credential}"
    );
    if status == 401 {
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(running.charged(), 0);
}

fn good() -> Value {
    json!({
        "sub": "ada", "aud": SERVICE, "scope": "discover", "exp": NOW + 300,
        "account_created": NOW - 100 * 86_400,
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = good();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..=chunk.len() {
            text.push(DIGITS[(bits >> (18 - 6 * place)) as usize & 63] as char);
        }
    }
    text
}

fn start(setup: Setup) -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), setup);
    (folder, running)
}

#[test]
fn what_is_no_credential_of_this_service_is_refused() {
    let (_folder, running) = start(Setup::default());
    let token = signed(&good());
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let stranger = EncodingKey::from_secret(b"a secret that nobody else knows.");
    let strange = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good(), &stranger).unwrap();
    let same_secret = EncodingKey::from_secret(SECRET);
    let stronger =
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &good(), &same_secret).unwrap();
    let other_body = base64url(with("sub", json!("eve")).to_string().as_bytes());
    let unsigned = base64url(br#"{"alg":"none","typ":"JWT"}"#);
    for credential in [
        "",
        ".",
        "..",
        "not a token",
        &strange,
        &stronger,
        &format!("{head}.{body}."),
        &format!("{head}.{body}"),
        &format!("{head}.{other_body}.{signature}"),
        &format!("{unsigned}.{body}."),
        &format!("{unsigned}.{body}.{signature}"),
        &format!("{token}{token}"),
        &format!("{token}="),
        &"a".repeat(4_097),
        &format!("{token}{}", "a".repeat(5_000)),
    ] {
        refused(&running, credential, 401, "bad-credential");
    }
    let bare = Request::evaluate("", request_of(16, 1)).without("authorization");
    for request in [
        bare.clone(),
        bare.clone().with("Authorization", &token),
        bare.clone()
            .with("Authorization", &format!("Basic {token}")),
        bare.clone().with("Authorization", "Bearer"),
        bare.clone()
            .with("Authorization", &format!("Bearer {token}"))
            .with("Authorization", &format!("Bearer {token}")),
        bare.clone()
            .with("X-Authorization", &format!("Bearer {token}")),
        bare.with("Cookie", &format!("authorization=Bearer {token}")),
    ] {
        let answer = request.send(running.public);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "bad-credential")
        );
    }
    assert_eq!(running.charged(), 0);
    assert_eq!(send(&running, &token).status, 200);
}

#[test]
fn claims_that_are_missing_or_mean_something_else_are_refused() {
    let (_folder, running) = start(Setup::default());
    for claims in [
        without("sub"),
        without("aud"),
        without("scope"),
        without("exp"),
        with("sub", json!("")),
        with("sub", json!("a".repeat(256))),
        with("sub", json!(17)),
        with("sub", Value::Null),
        with("aud", json!("other.example")),
        with("aud", json!("")),
        with("aud", json!("chat.example.evil.example")),
        with("exp", json!("tomorrow")),
        with("exp", json!(-1)),
        with("exp", json!(1e300)),
        with("exp", Value::Null),
        with("account_created", json!("long ago")),
        with("account_created", json!(-1)),
        with("nbf", json!("soon")),
        json!([]),
        json!("ada"),
    ] {
        refused(&running, &signed(&claims), 401, "bad-credential");
    }
    for scope in ["", "Discover", "discover enrol", "admin", "enrol\0"] {
        refused(
            &running,
            &signed(&with("scope", json!(scope))),
            403,
            "wrong-scope",
        );
    }
    // What isn't known isn't minded, and the longest name is a name.
    assert_eq!(
        send(&running, &signed(&with("role", json!("admin")))).status,
        200
    );
    let longest = with("sub", json!("a".repeat(255)));
    assert_eq!(send(&running, &signed(&longest)).status, 200);
}

/// The time is the one that the service is given, not the machine's: these tests run years before it.
#[test]
fn a_credential_lives_from_nbf_to_exp_and_for_a_day_at_most() {
    static CLOCK: AtomicU64 = AtomicU64::new(NOW);
    let (_folder, running) = start(Setup {
        clock: || Timestamp::from_secs(CLOCK.load(Ordering::SeqCst)),
        ..Setup::default()
    });
    let expires = |at: u64| signed(&with("exp", json!(at)));
    for at in [0, 1, NOW - 86_400, NOW - 31, NOW - 30] {
        refused(&running, &expires(at), 401, "expired-credential");
    }
    for at in [NOW + 86_431, 4_102_444_800, u64::MAX / 1_000_000, u64::MAX] {
        refused(&running, &expires(at), 401, "bad-credential");
    }
    for at in [NOW + 31, u64::MAX] {
        let early = signed(&with("nbf", json!(at)));
        refused(&running, &early, 401, "bad-credential");
    }
    // Clocks may differ by half a minute.
    for good in [
        expires(NOW - 29),
        expires(NOW + 86_430),
        signed(&with("nbf", json!(NOW + 30))),
        signed(&with("nbf", json!(0))),
    ] {
        assert_eq!(send(&running, &good).status, 200);
    }
    CLOCK.store(NOW + 330, Ordering::SeqCst);
    let answer = send(&running, &signed(&good()));
    assert_eq!(answer.problem(), "expired-credential");
}

/// An account that isn't older than it says, and one that says nothing or something from the future, is new.
#[test]
fn an_account_without_an_age_is_new() {
    let (_folder, running) = start(Setup::default());
    for (name, claims, capacity) in [
        (
            "a",
            with("account_created", json!(NOW - 14 * 86_400)),
            5_120,
        ),
        ("b", with("account_created", json!(NOW)), 1_024),
        ("c", without("account_created"), 1_024),
        ("d", with("account_created", json!(u64::MAX)), 1_024),
        ("e", with("account_created", json!(0)), 5_120),
    ] {
        let mut claims = claims;
        claims["sub"] = json!(name);
        let answer = send(&running, &signed(&claims));
        let policy = answer.header("ratelimit-policy").unwrap();
        assert!(
            policy.contains(&format!("q={capacity};")),
            "{name}: {policy}"
        );
        // A second request doesn't start anew.
        let answer = Request::evaluate(&signed(&claims), request_of(16, 2)).send(running.public);
        let left = format!("r={};", capacity - 32);
        assert!(
            answer.header("ratelimit").unwrap().contains(&left),
            "{name}"
        );
    }
}

#[test]
fn with_a_public_key_nothing_but_its_signature_counts() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let pem = pair.public_key_pem();
    let (_folder, running) = start(Setup {
        credentials: Credentials::ed25519(&service_id(), pem.as_bytes()).unwrap(),
        ..Setup::default()
    });
    // The public key isn't a secret: with it as one, anybody could sign HS256.
    for secret in [
        pem.as_bytes(),
        pair.public_key_raw(),
        pem.trim().as_bytes(),
        SECRET,
    ] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let key = EncodingKey::from_secret(secret);
            let forged = jsonwebtoken::encode(&Header::new(algorithm), &good(), &key).unwrap();
            refused(&running, &forged, 401, "bad-credential");
            // And the other way round: an HMAC that claims to be a signature.
            let (_, rest) = forged.split_once('.').unwrap();
            let head = base64url(br#"{"alg":"EdDSA","typ":"JWT"}"#);
            refused(&running, &format!("{head}.{rest}"), 401, "bad-credential");
        }
    }
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let sign = |pair: &rcgen::KeyPair, claims: &Value| {
        let key = EncodingKey::from_ed_der(&pair.serialize_der());
        // A key that the token brings along is nobody's key.
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("../../etc/passwd".to_owned());
        header.jku = Some("http://127.0.0.1:1/keys".to_owned());
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    };
    refused(&running, &sign(&other, &good()), 401, "bad-credential");
    let expired = with("exp", json!(NOW - 300));
    refused(&running, &sign(&pair, &expired), 401, "expired-credential");
    assert_eq!(send(&running, &sign(&pair, &good())).status, 200);
}

#[test]
fn what_is_no_key_is_refused_when_the_service_is_set_up() {
    let elliptic = rcgen::KeyPair::generate().unwrap();
    let private = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    for pem in [
        elliptic.public_key_pem(),
        private.serialize_pem(),
        String::new(),
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n".to_owned(),
    ] {
        let error = Credentials::ed25519(&service_id(), pem.as_bytes()).unwrap_err();
        assert_eq!(error, CredentialKeyError::Pem, "{pem}");
    }
    let short = [7; 31];
    let error = Credentials::shared_secret(&service_id(), &short).unwrap_err();
    assert_eq!(error, CredentialKeyError::ShortSecret);
    let error = mint(&claims("ada", "discover"), &short).unwrap_err();
    assert_eq!(error, CredentialKeyError::ShortSecret);
    let shown = format!(
        "{:?} {:?}",
        Credentials::shared_secret(&service_id(), SECRET).unwrap(),
        claims("ada lovelace", "discover"),
    );
    assert!(!shown.contains("share") && !shown.contains("ada"));
}
