//! Threads that keep the service busy until it is gone, and write down what it confirmed.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

use blindbook::{
    http_client::{Endpoint, Transport, TransportError},
    label::Label,
    oprf::{BlindedElements, UnblindedElement},
    server::{directory::Consent, policy::Policy},
    snapshot::{SegmentEntry, cheapest_path},
    wire::{
        EnrolRequest, Enrolment, EvaluateRequest, MembersResponse, Message, RemoveRequest, Setting,
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use zeroize::Zeroizing;

use crate::{
    account::{self, Accounts},
    check::{Members, Truth},
    service::{EPOCH, LABELS, enrol},
};

const EVALUATORS: usize = 3;
const REGISTRARS: usize = 2;

/// A quota that the load doesn't run into, and that doesn't fill up by an element while the test lasts.
pub fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.account.capacity = 10_000_000;
    policy.account.refill_per_day = 300;
    policy.account.request_burst = 1_000_000;
    policy
}

/// An evaluation request, with who sent it.
#[derive(Clone)]
pub struct Sent {
    pub account: usize,
    pub elements: usize,
    pub digest: [u8; 32],
    pub message: Vec<u8>,
}

/// What a thread learnt in one life of the service.
#[derive(Default)]
pub struct News {
    /// Requests answered, and what was told to be left of the quota.
    pub answered: Vec<(Sent, u64)>,
    /// A request whose answer didn't come.
    pub in_doubt: Option<Sent>,
    /// The newest publication that was confirmed.
    pub sequence: u64,
    pub enrolled: usize,
    pub hidden: usize,
    pub published: usize,
}

/// How much was confirmed in all lives.
#[derive(Debug, Default)]
pub struct Confirmed {
    answered: usize,
    enrolled: usize,
    hidden: usize,
    published: usize,
    in_doubt: usize,
}

impl Confirmed {
    pub fn add(&mut self, news: &[News]) {
        for one in news {
            self.answered += one.answered.len();
            self.enrolled += one.enrolled;
            self.hidden += one.hidden;
            self.published += one.published;
            self.in_doubt += usize::from(one.in_doubt.is_some());
        }
    }

    /// So that a load which does nothing is noticed.
    pub fn is_enough(&self) -> bool {
        self.answered >= 50 && self.enrolled >= 20 && self.hidden >= 20 && self.published >= 5
    }
}

pub struct Load(Vec<JoinHandle<News>>);

impl Load {
    pub fn start(
        public: SocketAddr,
        operator: SocketAddr,
        accounts: &Arc<Accounts>,
        truth: &Truth,
        seed: [u8; 32],
    ) -> Self {
        let mut random = StdRng::from_seed(seed);
        let mut threads = Vec::new();
        let mut again = truth.in_doubt().into_iter();
        for _ in 0..EVALUATORS {
            let (accounts, random) = (Arc::clone(accounts), StdRng::from_seed(random.random()));
            // What is in doubt is asked for again, with the same bytes.
            let first: Vec<Sent> = again.by_ref().take(1).collect();
            let pool = truth.elements();
            threads.push(thread::spawn(move || {
                evaluate(public, &accounts, random, first, &pool)
            }));
        }
        for part in 0..REGISTRARS {
            let (members, random) = (truth.members(), StdRng::from_seed(random.random()));
            threads.push(thread::spawn(move || {
                register(public, &members, part, random)
            }));
        }
        let members = truth.members();
        threads.push(thread::spawn(move || publish(public, operator, &members)));
        Self(threads)
    }

    /// Waits for the threads, which end when nobody answers any more.
    pub fn end(self) -> Vec<News> {
        let join = |thread: JoinHandle<News>| thread.join().unwrap();
        self.0.into_iter().map(join).collect()
    }
}

fn transport(public: SocketAddr, credential: &str) -> Transport {
    let mut endpoint = Endpoint::new(&format!("http://{public}"));
    endpoint.allow_plaintext = true;
    endpoint.credential = Some(Zeroizing::new(credential.to_owned()));
    Transport::new(endpoint).unwrap()
}

fn evaluate(
    public: SocketAddr,
    accounts: &Accounts,
    mut random: StdRng,
    mut first: Vec<Sent>,
    pool: &[[u8; 32]],
) -> News {
    let transports: Vec<Transport> = (0..account::COUNT)
        .map(|number| transport(public, &accounts.get(number).credential))
        .collect();
    let mut news = News::default();
    loop {
        let sent = first.pop().unwrap_or_else(|| {
            let elements = [16, 64][random.random_range(0..2)];
            let encodings = (0..elements).map(|_| pool[random.random_range(0..pool.len())]);
            let blinded = BlindedElements::new(encodings.collect()).unwrap();
            Sent {
                account: random.random_range(0..account::COUNT),
                elements,
                digest: blinded.digest(),
                message: EvaluateRequest {
                    epoch: EPOCH,
                    blinded,
                }
                .encode(),
            }
        });
        match transports[sent.account].evaluate(&sent.message) {
            Ok(answer) => {
                let left = answer.quota.unwrap().remaining;
                news.answered.push((sent, left));
            }
            Err(TransportError::Unreachable(_)) => {
                news.in_doubt = Some(sent);
                return news;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Changes those members whose number leaves this remainder, so that each one is changed by one thread alone.
fn register(public: SocketAddr, members: &Members, part: usize, mut random: StdRng) -> News {
    let transport = transport(public, &enrol());
    let mut news = News::default();
    loop {
        let number = random.random_range(0..members.len() / REGISTRARS) * REGISTRARS + part;
        let unblinded = || UnblindedElement::decode(&members.element(number)).unwrap();
        let enrolment = |setting| {
            let label = Label::new(&[1 + u8::try_from(number).unwrap()]).unwrap();
            let enrolment = Enrolment {
                unblinded: unblinded(),
                label,
                setting,
                region: None,
            };
            let request = EnrolRequest::new(EPOCH, LABELS, vec![enrolment]);
            request.unwrap().encode()
        };
        let kind = random.random_range(0..5);
        let (sent, findable) = match kind {
            0 | 1 => {
                let at = members.next_consent(number);
                let consent = Consent::new(at, "2026-11", "ios/settings").unwrap();
                let message = enrolment(Setting::Everyone(consent));
                members.keep_enrolment(number, &message);
                members.begin(number);
                (transport.enrol(&message), true)
            }
            2 => {
                let message = enrolment(Setting::Nobody);
                members.begin(number);
                (transport.enrol(&message), false)
            }
            3 => {
                let message = RemoveRequest {
                    epoch: EPOCH,
                    unblinded: vec![unblinded()],
                };
                members.begin(number);
                (transport.remove(&message.encode()), false)
            }
            _ => {
                // An enrolment that was under way for long must not bring anybody back.
                let (Some(old), Some(false)) =
                    (members.revoked_enrolment(number), members.findable(number))
                else {
                    continue;
                };
                match transport.enrol(&old) {
                    Ok(answer) => {
                        let response = MembersResponse::decode(&answer.body).unwrap();
                        assert_eq!(response.refused.len(), 1, "somebody was brought back");
                        continue;
                    }
                    Err(_) => return news,
                }
            }
        };
        match sent {
            Ok(answer) => {
                let response = MembersResponse::decode(&answer.body).unwrap();
                assert_eq!(response.refused, []);
                members.confirm(number, findable);
                news.enrolled += usize::from(findable);
                news.hidden += usize::from(!findable);
            }
            Err(TransportError::Unreachable(_)) => return news,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Publishes, and looks whether somebody is in it who had been told not to be.
fn publish(public: SocketAddr, operator: SocketAddr, members: &Members) -> News {
    let transport = transport(public, "-");
    let mut news = News::default();
    loop {
        let hidden = members.hidden();
        let Some(sequence) = publish_once(operator) else {
            return news;
        };
        news.sequence = sequence;
        news.published += 1;
        let Ok(bytes) = transport.manifest() else {
            return news;
        };
        let manifest = crate::check::verified(&bytes);
        assert_eq!(manifest.claims().sequence, sequence);
        let claims = manifest.claims();
        let path = cheapest_path(&claims.segments, claims.newest(), |entry| entry.size);
        let fetch = |entry: &SegmentEntry| transport.segment(&entry.id, entry.size);
        let Ok(path) = path
            .unwrap()
            .into_iter()
            .map(fetch)
            .collect::<Result<Vec<_>, _>>()
        else {
            return news;
        };
        members.check_published(&manifest, &path, &hidden);
    }
}

fn publish_once(operator: SocketAddr) -> Option<u64> {
    let mut stream = TcpStream::connect(operator).ok()?;
    let request = b"POST /publish?now HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    if body.len() < length.parse().ok()? {
        return None;
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let report: serde_json::Value = serde_json::from_str(body).unwrap();
    report["sequence"].as_u64()
}
