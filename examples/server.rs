//! The server role in a program of one's own, with the embedded store, on loopback:
//!
//! ```sh
//! cargo run --features http --example server        # prints how to start the other one
//! cargo run --features http --example client -- ...
//! ```

use std::{error::Error, net::TcpListener, sync::Arc, time::Duration};

use blindbook::{
    SecretBytes, Timestamp,
    client::NormalisationProfile,
    http::{
        Limits, Listeners, Parts, Proxies, Service,
        credential::{Claims, Credentials, mint},
        serve,
    },
    label::LabelLength,
    oprf::{Epoch, ServiceId},
    server::{EvaluationKey, Evaluator, directory::Regions, policy::Policy, publish::Terms},
    snapshot::SnapshotKey,
    store::{DerivedLedgerKeys, NoKeeper, Pace, Publisher, RedbStore, SegmentFolder},
};
use rand::{Rng, rand_core::UnwrapErr, rngs::SysRng};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut rng = UnwrapErr(SysRng);
    let folder = std::env::temp_dir().join(format!("blindbook-example-{}", rng.next_u64()));
    std::fs::create_dir(&folder)?;

    // In production: keys from where you keep secrets (never drawn at start), the same on every start.
    let service = ServiceId::new("chat.example")?;
    let evaluator = Evaluator::new(Epoch::new(1), EvaluationKey::random(&mut rng));
    let snapshot_key = SnapshotKey::random(&mut rng);
    let (mut secret, mut pepper) = ([0; 32], [0; 32]);
    rng.fill_bytes(&mut secret);
    rng.fill_bytes(&mut pepper);

    println!("in another terminal:\n");
    for scope in ["enrol", "discover"] {
        println!(
            "export {}_TOKEN={}",
            scope.to_uppercase(),
            *token(scope, &service, &secret)?
        );
    }
    let snapshot_public = snapshot_key.public_key().encode();
    let digits: String = snapshot_public
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!(
        "cargo run --features http --example client -- 127.0.0.1:8080 127.0.0.1:9090 {digits}\n"
    );

    let terms = Terms {
        service: service.clone(),
        normalisation: NormalisationProfile::CURRENT.id(),
        label_length: LabelLength::default(),
        epoch: evaluator.epoch(),
        public_key: evaluator.public_key().clone(),
        valid_for: Duration::from_secs(3 * 86_400),
    };
    let segments = SegmentFolder::open(&folder.join("segments"))?;
    let service = Service::new(Parts {
        store: RedbStore::open(&folder.join("blindbook.redb"))?,
        publisher: Publisher::new(terms, snapshot_key, segments),
        evaluator,
        keeper: Arc::new(NoKeeper), // the key of this example isn't rotated
        carry_for: Duration::ZERO,
        ledger_keys: Arc::new(DerivedLedgerKeys::new(&mut rand::random())),
        checkpoints: None,
        policy: Policy::default(),
        credentials: Credentials::shared_secret(&service, &secret)?,
        regions: Regions::default(),
        pepper: SecretBytes::new(&mut pepper),
        limits: Limits::default(),
        proxies: Proxies::default(),
        clock,
    })
    .await?;
    service.publish(Pace::Now).await?; // an empty set: registrars need a manifest to verify against

    let listeners = Listeners {
        public: listen("127.0.0.1:8080")?,
        operator: listen("127.0.0.1:9090")?,
        tls: None, // a certificate chain and its key, in production
    };
    let stop = async {
        let _stopped = tokio::signal::ctrl_c().await;
    };
    serve(service, listeners, stop).await?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// What your own backend does in one line of whatever language it is in: any library for JWTs will do.
fn token(
    scope: &str,
    service: &ServiceId,
    secret: &[u8; 32],
) -> Result<impl std::ops::Deref<Target = String>, Box<dyn Error>> {
    let now = clock().as_micros() / 1_000_000;
    let claims = Claims {
        sub: format!("an account that may {scope}"),
        aud: service.as_str().to_owned(),
        scope: scope.to_owned(),
        exp: now + 3_600,
        account_created: Some(now),
        attested: false,
        handle: None,
    };
    Ok(mint(&claims, secret)?)
}

fn listen(address: &str) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn clock() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::from_secs(since.as_secs())
}
