//! Both roles in one process, no network: `cargo run --example quickstart`.

use std::{
    error::Error,
    future::Future,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{SystemTime, UNIX_EPOCH},
};

use blindbook::{
    Timestamp,
    client::{Identifier, OprfClient},
    label::{Label, LabelLength},
    oprf::{ContactKey, Epoch, ServiceId, UnblindedElement},
    server::{
        EvaluationKey, Evaluator,
        policy::Policy,
        quota::{AccountKey, Charge, Quota, Scope},
    },
    store::MemoryStore,
};
use rand::{
    rand_core::{CryptoRng, UnwrapErr},
    rngs::SysRng,
};

const EPOCH: Epoch = Epoch::new(1);

struct Service {
    evaluator: Evaluator,
    quota: Quota<MemoryStore>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut rng = UnwrapErr(SysRng);
    let service_id = ServiceId::new("chat.example")?.hash();
    let service = Service {
        evaluator: Evaluator::new(EPOCH, EvaluationKey::random(&mut rng)),
        quota: Quota::new(Policy::default(), MemoryStore::new())?,
    };
    let client = OprfClient::new(service.evaluator.public_key().clone());

    // A registrar has verified Ada's number, and seals her handle under what the number evaluates to.
    let ada = Identifier::phone_e164("+447700900123")?;
    let evaluated = discover(&service, &client, Scope::Enrol, &[ada], &mut rng)?;
    let key = ContactKey::derive(&service_id, EPOCH, evaluated.first().ok_or("no element")?);
    let mut sealed = Vec::new();
    Label::new(b"user-17")?.seal_into(&key, EPOCH, LabelLength::default(), &mut sealed)?;
    let published = [(key.tag(), sealed)];

    // Somebody else has two contacts. The service sees sixteen uniform group elements.
    let contacts = [
        Identifier::phone_e164("+447700900456")?,
        Identifier::phone_e164("+447700900123")?,
    ];
    let evaluated = discover(&service, &client, Scope::Discover, &contacts, &mut rng)?;
    for (contact, unblinded) in evaluated.iter().enumerate() {
        let key = ContactKey::derive(&service_id, EPOCH, unblinded);
        match published.iter().find(|(tag, _)| *tag == key.tag()) {
            Some((_, sealed)) => {
                let label = Label::open(sealed, &key, EPOCH)?;
                println!(
                    "contact {contact}: found, {}",
                    label.as_bytes().escape_ascii()
                );
            }
            None => println!("contact {contact}: not on the service"),
        }
    }
    Ok(())
}

/// Blinds, pays, has it evaluated, verifies and unblinds.
fn discover<R: CryptoRng>(
    service: &Service,
    client: &OprfClient,
    scope: Scope,
    identifiers: &[Identifier],
    rng: &mut R,
) -> Result<Vec<UnblindedElement>, Box<dyn Error>> {
    let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_input).collect();
    let expect = client.blind(&inputs, 16 - inputs.len(), rng)?;

    let request = expect.request();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let at = Timestamp::from_secs(since_epoch.as_secs());
    let charge = Charge {
        account: AccountKey::new([7; 32]),
        scope,
        account_created: at,
        elements: NonZeroU32::try_from(u32::try_from(request.len())?)?,
        request_digest: request.digest(),
        epoch: EPOCH,
        at,
    };
    let admission = finished(service.quota.admit(charge))??;
    println!("{} elements left", admission.receipt.status.remaining);
    let evaluation = service
        .evaluator
        .blind_evaluate(admission.permit, request, rng)?;

    Ok(expect.finalize(&evaluation.elements, &evaluation.proof)?)
}

/// The memory store never waits, so its futures are finished at once.
fn finished<F: Future>(future: F) -> Result<F::Output, &'static str> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err("the store isn't in memory"),
    }
}
