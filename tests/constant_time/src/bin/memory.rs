//! Secrets as undefined memory: memcheck then reports each branch and each address that depends on one.
//!
//! Run under valgrind, in a build with `--cfg memcheck`, see `.ci/constant-time`. Valgrind shows a CPU without
//! AVX-512, so this is the portable backend.

use std::{cell::Cell, hint::black_box, process::ExitCode};

use blindbook::{
    client::OprfClient,
    label::{Label, LabelLength},
    oprf::{ContactKey, ServiceId, UnblindedElement, digest_inputs},
    server::{EvaluationKey, Evaluator},
};
use blindbook_constant_time::{EPOCH, Grants, Verdicts};
use rand::{SeedableRng, TryCryptoRng, TryRng, rand_core::Infallible, rngs::StdRng};

/// Valgrind's client requests, from its public headers `valgrind.h` and `memcheck.h`.
mod request {
    use std::{arch::asm, hint::black_box};

    const RUNNING_ON_VALGRIND: usize = 0x1001;
    const COUNT_ERRORS: usize = 0x1201;
    const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
    const MAKE_UNDEFINED: usize = MEMCHECK + 1;
    const MAKE_DEFINED: usize = MEMCHECK + 2;
    const GET_DEFINEDNESS: usize = MEMCHECK + 8;

    /// Rotations that add up to nothing, and an exchange with itself: valgrind takes this for a request.
    fn request(arguments: [usize; 6]) -> usize {
        let mut answer = 0;
        // SAFETY: outside valgrind it does nothing; inside, no request made here touches memory.
        unsafe {
            asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") arguments.as_ptr(),
                inout("rdx") answer,
                options(nostack),
            );
        }
        answer
    }

    pub fn running() -> bool {
        request([RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0]) > 0
    }

    /// Errors reported so far, suppressed ones apart.
    pub fn errors() -> usize {
        request([COUNT_ERRORS, 0, 0, 0, 0, 0])
    }

    pub fn make_undefined<T: ?Sized>(value: &T) {
        let address = std::ptr::from_ref(value).cast::<u8>() as usize;
        request([MAKE_UNDEFINED, address, size_of_val(value), 0, 0, 0]);
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn blindbook_declassify(address: *mut u8, length: usize) {
        request([MAKE_DEFINED, address as usize, length, 0, 0, 0]);
    }

    pub fn make_defined<T: ?Sized>(value: &T) {
        blindbook_declassify(
            std::ptr::from_ref(value).cast_mut().cast(),
            size_of_val(value),
        );
    }

    /// Whether any bit of the bytes depends on a secret.
    pub fn is_secret(bytes: &[u8]) -> bool {
        let mut undefined = vec![0_u8; bytes.len()];
        let (from, to) = (bytes.as_ptr() as usize, undefined.as_mut_ptr() as usize);
        request([GET_DEFINEDNESS, from, to, bytes.len(), 0, 0]);
        black_box(&mut undefined).iter().any(|byte| *byte != 0)
    }
}

/// A random source whose output is secret.
struct SecretSource(StdRng);

impl TryRng for SecretSource {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)?;
        request::make_undefined(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SecretSource {}

/// Counts the reports that belong to each operation.
struct Check {
    verdicts: Verdicts,
    seen: Cell<usize>,
}

impl Check {
    fn new_reports(&self) -> usize {
        let errors = request::errors();
        errors - self.seen.replace(errors)
    }

    /// `reached` tells that the secret arrived at what came out: otherwise nothing was checked.
    fn operation(&mut self, name: &str, reached: bool) {
        let reports = self.new_reports();
        let details = if reached {
            format!("{reports} reports")
        } else {
            "the secret didn't arrive at the end".to_owned()
        };
        self.verdicts.line(name, reports == 0 && reached, &details);
    }

    fn planted(&mut self, name: &str) {
        let reports = self.new_reports();
        let details = format!("{reports} reports, wanted at least 1");
        self.verdicts.line(name, reports > 0, &details);
    }
}

/// Two batch sizes: products are shared from some number on.
const SIZES: [usize; 2] = [2, 9];
const PADDING: usize = 2;

fn main() -> ExitCode {
    if !request::running() {
        eprintln!("this program only tells something under valgrind: see .ci/constant-time");
        return ExitCode::FAILURE;
    }
    blindbook::force_portable_backend(true);
    let mut check = Check {
        verdicts: Verdicts::default(),
        seen: Cell::new(0),
    };
    check.new_reports();
    for count in SIZES {
        protocol(&mut check, count);
    }
    labels(&mut check);
    plants(&mut check);
    check.verdicts.exit_code()
}

fn evaluation_key(source: &mut SecretSource) -> EvaluationKey {
    let key = EvaluationKey::random(source);
    let mut bytes = *key.expose().expose();
    let key = EvaluationKey::from_bytes(&mut bytes).expect("a key");
    // It is in the manifest.
    request::make_defined(key.public_key());
    key
}

fn protocol(check: &mut Check, count: usize) {
    let mut source = SecretSource(StdRng::from_seed([1; 32]));
    let grants = Grants::default();

    let key = EvaluationKey::random(&mut source);
    let secret = request::is_secret(&key.public_key().encode());
    check.operation("draw a key", secret);
    let key = {
        drop(key);
        evaluation_key(&mut source)
    };
    check.operation("decode a key", request::is_secret(key.expose().expose()));
    let derived = EvaluationKey::derive(key.expose().expose(), b"info").expect("a key");
    let secret = request::is_secret(&derived.public_key().encode());
    check.operation("derive a key", secret);
    let evaluator = Evaluator::new(EPOCH, key);

    let owned: Vec<[u8; 16]> = (0..count)
        .map(|input| {
            *format!("tel:+1555550{input:04}")
                .as_bytes()
                .as_array()
                .expect("16")
        })
        .collect();
    request::make_undefined(owned.as_slice());
    let inputs: Vec<&[u8]> = owned.iter().map(<[u8; 16]>::as_slice).collect();
    let client = OprfClient::new(evaluator.public_key().clone());
    let expect = client
        .blind(&inputs, PADDING, &mut source)
        .expect("a batch");
    let secret = request::is_secret(expect.request().encodings().as_flattened());
    check.operation(&format!("blind {count}"), secret);

    // It is sent.
    request::make_defined(expect.request().encodings());
    let request = expect.request().clone();
    let permit = grants.permit(request.len(), request.digest());
    let evaluation = evaluator
        .blind_evaluate(permit, &request, &mut source)
        .expect("elements");
    let proof = evaluation.proof.encode();
    let secret = request::is_secret(&proof);
    check.operation(&format!("evaluate {count} with proof"), secret);

    // So is the answer; the evaluated elements are public before that, since the proof weighs them.
    request::make_defined(&evaluation.proof);
    let unblinded = expect
        .finalize(&evaluation.elements, &evaluation.proof)
        .expect("an honest answer");
    let secret = unblinded.iter().all(|one| request::is_secret(one.expose()));
    check.operation(&format!("finalize {count}"), secret);

    let digest = digest_inputs(&inputs);
    request::make_defined(&digest);
    let permit = grants.permit(count, digest);
    let direct = evaluator.evaluate(permit, &inputs).expect("short inputs");
    let secret = direct.iter().all(|one| request::is_secret(one.expose()));
    check.operation(&format!("evaluate {count} inputs directly"), secret);
}

fn labels(check: &mut Check) {
    let element = {
        let mut source = SecretSource(StdRng::from_seed([2; 32]));
        let element = EvaluationKey::random(&mut source).public_key().encode();
        request::make_defined(&element);
        let element = UnblindedElement::decode(&element).expect("an element");
        check.new_reports();
        request::make_undefined(element.expose());
        element
    };
    let service = ServiceId::new("chat.example").expect("a name").hash();
    let key = ContactKey::derive(&service, EPOCH, &element);
    let tag = key.tag().get().to_be_bytes();
    check.operation("derive a contact key", request::is_secret(&tag));

    let mut sealed = Vec::new();
    Label::new(b"user-17")
        .expect("a handle")
        .seal_into(&key, EPOCH, LabelLength::default(), &mut sealed)
        .expect("a short handle");
    check.operation("seal a label", request::is_secret(&sealed));

    // It is published.
    request::make_defined(sealed.as_slice());
    let label = Label::open(&sealed, &key, EPOCH).expect("the same key");
    check.operation("open a label", label.as_bytes() == b"user-17");
    sealed[0] ^= 1;
    let refused = Label::open(&sealed, &key, EPOCH).is_err();
    check.operation("refuse a forged label", refused);
}

/// What this program is to find: if one of these isn't reported, nothing above means anything.
fn plants(check: &mut Check) {
    let secret = [3_u8; 32];
    request::make_undefined(&secret);
    let table: [u8; 256] = std::array::from_fn(|index| index as u8);

    if black_box(&secret)[0] & 1 == 1 {
        black_box(planted_work());
    }
    check.planted("planted branch on a secret");

    black_box(black_box(&table)[usize::from(black_box(&secret)[1])]);
    check.planted("planted index by a secret");

    black_box(black_box(secret.as_slice()) == black_box([3; 32].as_slice()));
    check.planted("planted early exit from a comparison");
}

#[inline(never)]
fn planted_work() -> u64 {
    black_box(17)
}
