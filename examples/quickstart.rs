//! Both roles in one process, no network: `cargo run --example quickstart`.
//!
//! The bytes that would go over a connection are `Vec<u8>` here; everything else is as in production, but for the
//! store, which forgets.

use std::{
    error::Error,
    future::Future,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use blindbook::{
    Timestamp,
    client::{Identifier, NormalisationProfile, OprfClient, SyncState},
    label::{Label, LabelLength},
    oprf::{Epoch, ServiceId},
    server::{
        EvaluationKey, Evaluator,
        directory::{Change, Consent, MemberBatch, Residence, Setting},
        policy::Policy,
        publish::{FindableSet, Terms},
        quota::{AccountKey, Charge, Origin, Quota, Scope},
    },
    snapshot::{Segment, SignedManifest, SnapshotKey},
    store::{MemoryStore, Store},
    wire::{EvaluateRequest, EvaluateResponse, Message},
};
use rand::{rand_core::UnwrapErr, rngs::SysRng};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut rng = UnwrapErr(SysRng);
    let epoch = Epoch::new(1);

    // The operator: a key for evaluating, another one for signing, a quota, a store.
    let service = ServiceId::new("chat.example")?;
    let server = Server {
        evaluator: Evaluator::new(epoch, EvaluationKey::random(&mut rng)),
        quota: Quota::new(Policy::default(), MemoryStore::new())?,
    };
    let snapshot_key = SnapshotKey::random(&mut rng);
    let terms = Terms {
        service: service.clone(),
        normalisation: NormalisationProfile::CURRENT.id(),
        label_length: LabelLength::default(),
        epoch,
        public_key: server.evaluator.public_key().clone(),
        valid_for: Duration::from_secs(3 * 86_400),
    };

    // A registrar has verified Ada's number. It is a client: the server sees no number, not even now.
    let ada = Identifier::phone_e164("+447700900123")?;
    let registrar = OprfClient::new(terms.public_key.clone());
    let expect = registrar.blind(&[ada.as_input()], 0, &mut rng)?;
    let request = EvaluateRequest {
        epoch,
        blinded: expect.request().clone(),
    };
    let answer = EvaluateResponse::decode(&server.evaluate(Scope::Enrol, &request.encode())?)?;
    let unblinded = expect.finalize(&answer.evaluated, &answer.proof)?;
    let ada = unblinded
        .into_iter()
        .next()
        .ok_or("one identifier, one element")?;
    let consent = Consent::new(now()?, "2026-11", "ios/settings")?;
    finished(server.quota.store().change_members(MemberBatch {
        epoch,
        changes: vec![(
            ada,
            Change::Enrol {
                label: Label::new(b"user-17")?,
                setting: Setting::Everyone(consent), // the default is Nobody
                residence: Residence::default(),
            },
        )],
        at: now()?,
    }))??;

    // Once a day, who can be found is published: a set of tags and sealed labels, named by a signed manifest.
    let mut set = FindableSet::new(&terms);
    for member in finished(server.quota.store().findable(epoch, None, 1_000))?? {
        set.add(&member.unblinded, &member.label)?;
    }
    let built = set.build()?;
    let mut draft = terms.draft(None, now()?)?;
    draft.segments = vec![built.summary.entry(draft.sequence)];
    let manifest = snapshot_key.sign(&draft)?;
    println!(
        "published: {} bytes, and a manifest of {}",
        built.bytes.len(),
        manifest.len()
    );

    // Somebody's phone. It knows the service's name and snapshot key, and what it stored after its last sync.
    let contacts = [
        Identifier::phone_e164("+447700900456")?,
        Identifier::phone_e164("+447700900123")?,
    ];
    let manifest = SignedManifest::decode(&manifest)?.verify(&snapshot_key.public_key())?;
    let mut state = SyncState::new(&service, &mut rng);
    let seconds = now()?.as_micros() / 1_000_000;
    let followed = state.follow(&manifest, seconds)?;
    assert_eq!(followed.other_normalisation, None);
    while let Some(expect) = state.next_request(&contacts, usize::MAX, seconds, &mut rng)? {
        println!(
            "asking for {} contacts as {} elements",
            expect.contacts(),
            expect.elements()
        );
        let answer = server.evaluate(Scope::Discover, &expect.message())?;
        state.finish(expect, &answer)?; // verified before anything is kept
    }
    let segment = Segment::open(&built.bytes, &manifest)?;
    for found in state.find(&mut [segment], &contacts)? {
        let label = found.label.as_bytes().escape_ascii();
        println!("contact {}: found, {label}", found.identifier);
    }
    Ok(())
}

struct Server {
    evaluator: Evaluator,
    quota: Quota<MemoryStore>,
}

impl Server {
    /// What a service does with a request: decode, charge, evaluate, encode.
    fn evaluate(&self, scope: Scope, request: &[u8]) -> Result<Vec<u8>> {
        let EvaluateRequest { epoch, blinded } = EvaluateRequest::decode(request)?;
        let at = now()?;
        let admission = finished(self.quota.admit(Charge {
            account: AccountKey::new([7; 32]),
            scope,
            account_created: at,
            origin: Origin::Unknown,
            elements: NonZeroU32::try_from(u32::try_from(blinded.len())?)?,
            request_digest: blinded.digest(),
            epoch,
            at,
        }))??;
        println!(
            "charged, {} elements left",
            admission.receipt.status.remaining
        );
        // Without the permit this doesn't compile, and a permit can't be used twice.
        let evaluation =
            self.evaluator
                .blind_evaluate(admission.permit, &blinded, &mut UnwrapErr(SysRng))?;
        let response = EvaluateResponse {
            epoch,
            evaluated: evaluation.elements,
            proof: evaluation.proof,
        };
        Ok(response.encode())
    }
}

fn now() -> Result<Timestamp> {
    let since = UNIX_EPOCH.elapsed()?;
    Ok(Timestamp::from_secs(since.as_secs()))
}

/// The memory store never waits, so its futures are finished at once.
fn finished<F: Future>(future: F) -> Result<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err("the store isn't in memory".into()),
    }
}
