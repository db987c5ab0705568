//! What was confirmed, and whether the files agree.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use blindbook::{
    Timestamp,
    client::{Identifier, OprfClient},
    oprf::{ContactKey, UnblindedElement, digest_inputs},
    server::{
        Evaluator,
        quota::{Charge, Origin, Quota, Scope},
    },
    snapshot::{ChainState, Manifest, Search, Segment, SignedManifest},
    store::{RedbStore, SegmentFolder, Store},
};

use crate::{
    account::Accounts,
    clock::clock,
    load::{self, News, Sent},
    roles::{Grants, now},
    service::{EPOCH, NOW, evaluation_key, numbers, random, service_id, snapshot_key},
};

const MEMBERS: u32 = 24;
/// Answers of one life that are looked up one by one.
const LOOKED_UP: usize = 6;

/// What is known of each member, shared by the threads of the load.
pub struct Members(Vec<Mutex<Known>>);

struct Known {
    element: [u8; 32],
    /// Whether it can be found; `None` while that is in doubt.
    findable: Option<bool>,
    /// Counts the changes that were begun.
    begun: u64,
    consent: Timestamp,
    enrolment: Option<Vec<u8>>,
    /// An enrolment that a confirmed decision not to be found came after.
    revoked: Option<Vec<u8>>,
}

impl Members {
    fn new() -> Self {
        let identifiers = numbers(0..MEMBERS);
        let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_input).collect();
        let permit = Grants::new().permit_for(inputs.len(), digest_inputs(&inputs));
        let evaluator = Evaluator::new(EPOCH, evaluation_key(EPOCH));
        let elements = evaluator.evaluate(permit, &inputs).unwrap();
        let known = elements.iter().map(|element| {
            Mutex::new(Known {
                element: *element.expose(),
                findable: Some(false),
                begun: 0,
                consent: clock(),
                enrolment: None,
                revoked: None,
            })
        });
        Self(known.collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn with<T>(&self, number: usize, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0[number].lock().unwrap())
    }

    pub fn element(&self, number: usize) -> [u8; 32] {
        self.with(number, |known| known.element)
    }

    pub fn findable(&self, number: usize) -> Option<bool> {
        self.with(number, |known| known.findable)
    }

    /// Later than every consent and every decision that was confirmed.
    pub fn next_consent(&self, number: usize) -> Timestamp {
        let later = |at: Timestamp| at.saturating_add(Duration::from_micros(1));
        self.with(number, |known| {
            known.consent = later(clock().max(known.consent));
            known.consent
        })
    }

    pub fn keep_enrolment(&self, number: usize, message: &[u8]) {
        self.with(number, |known| known.enrolment = Some(message.to_vec()));
    }

    pub fn revoked_enrolment(&self, number: usize) -> Option<Vec<u8>> {
        self.with(number, |known| known.revoked.clone())
    }

    /// A change is about to be sent.
    pub fn begin(&self, number: usize) {
        self.with(number, |known| {
            known.findable = None;
            known.begun += 1;
        });
    }

    pub fn confirm(&self, number: usize, findable: bool) {
        self.with(number, |known| {
            known.findable = Some(findable);
            if !findable {
                known.revoked = known.enrolment.clone().or(known.revoked.take());
            }
        });
    }

    /// A change of which it was open whether it was made. If it was an enrolment that wasn't, it may still be.
    pub fn settle(&self, number: usize, findable: bool) {
        self.with(number, |known| known.findable = Some(findable));
    }

    /// Those who certainly can't be found now, with the number of changes begun.
    pub fn hidden(&self) -> Vec<(usize, u64)> {
        let hidden = |number| {
            self.with(number, |known| {
                (known.findable == Some(false)).then_some((number, known.begun))
            })
        };
        (0..self.len()).filter_map(hidden).collect()
    }

    /// Nobody is in what was published who was hidden before it began, and of whom nothing has changed since.
    pub fn check_published(&self, manifest: &Manifest, path: &[Vec<u8>], hidden: &[(usize, u64)]) {
        for &(number, begun) in hidden {
            let (element, unchanged) =
                self.with(number, |known| (known.element, known.begun == begun));
            let element = UnblindedElement::decode(&element).unwrap();
            let tag = ContactKey::derive(&service_id().hash(), EPOCH, &element).tag();
            let mut search = Search::new(&[tag]);
            for segment in path {
                search
                    .read(&mut Segment::open(segment, manifest).unwrap())
                    .unwrap();
            }
            assert!(
                !unchanged || search.found().is_empty(),
                "somebody hidden was published"
            );
        }
    }
}

/// Everything that was confirmed in any life.
pub struct Truth {
    members: Arc<Members>,
    elements: Arc<Vec<[u8; 32]>>,
    /// Elements of each request that was answered, and of each that was sent.
    answered: HashMap<(usize, [u8; 32]), usize>,
    sent: HashMap<(usize, [u8; 32]), usize>,
    /// The least that each account was told to have left.
    left: HashMap<usize, u64>,
    in_doubt: Vec<Sent>,
    recent: Vec<Sent>,
    sequence: u64,
    chain: Option<ChainState>,
}

pub fn verified(manifest: &[u8]) -> Manifest {
    let signed = SignedManifest::decode(manifest).unwrap();
    signed.verify(&snapshot_key().public_key()).unwrap()
}

impl Truth {
    pub fn new() -> Self {
        let client = OprfClient::new(evaluation_key(EPOCH).public_key().clone());
        let expect = client.blind(&[], 1_024, &mut random(1)).unwrap();
        Self {
            members: Arc::new(Members::new()),
            elements: Arc::new(expect.request().encodings().to_vec()),
            answered: HashMap::new(),
            sent: HashMap::new(),
            left: HashMap::new(),
            in_doubt: Vec::new(),
            recent: Vec::new(),
            sequence: 0,
            chain: None,
        }
    }

    pub fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members)
    }

    /// Elements to make requests of.
    pub fn elements(&self) -> Arc<Vec<[u8; 32]>> {
        Arc::clone(&self.elements)
    }

    pub fn in_doubt(&self) -> Vec<Sent> {
        self.in_doubt.clone()
    }

    pub fn learn(&mut self, news: Vec<News>) {
        self.recent.clear();
        self.in_doubt.clear();
        for one in news {
            self.sequence = self.sequence.max(one.sequence);
            for (sent, left) in one.answered {
                let key = (sent.account, sent.digest);
                self.answered.insert(key, sent.elements);
                self.sent.insert(key, sent.elements);
                let least = self.left.entry(sent.account).or_insert(left);
                *least = left.min(*least);
                self.recent.push(sent);
            }
            if let Some(sent) = one.in_doubt {
                self.sent.insert((sent.account, sent.digest), sent.elements);
                self.in_doubt.push(sent);
            }
        }
    }

    /// Compares everything with the files, and settles what was in doubt.
    pub fn check(&mut self, folder: &Path, accounts: &Accounts) {
        let store = RedbStore::open(&folder.join("store")).unwrap();
        self.check_debits(&store, accounts);
        self.check_members(&store);
        self.check_chain(&store, folder);
    }

    fn check_debits(&self, store: &RedbStore, accounts: &Accounts) {
        let durable = now(store.key_evaluations(EPOCH)).unwrap();
        let answered: usize = self.answered.values().sum();
        let sent: usize = self.sent.values().sum();
        assert!(
            durable >= answered as u64,
            "{answered} answered, {durable} debited"
        );
        assert!(durable <= sent as u64, "{sent} sent, {durable} debited");
        let quota = Quota::new(load::policy(), store).unwrap();
        for sent in self.recent.iter().rev().take(LOOKED_UP) {
            let charge = Charge {
                account: accounts.get(sent.account).key,
                scope: Scope::Discover,
                account_created: Timestamp::from_secs(NOW - 100 * 86_400),
                origin: Origin::Unknown,
                elements: NonZeroU32::new(u32::try_from(sent.elements).unwrap()).unwrap(),
                request_digest: sent.digest,
                epoch: EPOCH,
                at: clock(),
            };
            let receipt = now(quota.admit(charge)).unwrap().receipt;
            assert!(receipt.replayed, "an answer without a debit");
            assert!(u64::from(receipt.status.remaining) <= self.left[&sent.account] + 1);
        }
    }

    fn check_members(&self, store: &RedbStore) {
        let found = now(store.findable(EPOCH, None, 1_000)).unwrap();
        for number in 0..self.members.len() {
            let element = self.members.element(number);
            let there = found.iter().any(|one| *one.unblinded.expose() == element);
            match self.members.findable(number) {
                Some(expected) => assert_eq!(there, expected, "member {number}"),
                None => self.members.settle(number, there),
            }
        }
        assert!(found.len() <= self.members.len());
    }

    fn check_chain(&mut self, store: &RedbStore, folder: &Path) {
        let Some(stored) = now(store.latest_manifest()).unwrap() else {
            assert_eq!(self.sequence, 0, "a confirmed publication is gone");
            return;
        };
        assert!(stored.sequence >= self.sequence, "the chain went back");
        self.sequence = stored.sequence;
        let manifest = verified(&stored.bytes);
        assert_eq!(manifest.claims().sequence, stored.sequence);
        self.chain = Some(match &self.chain {
            None => ChainState::start(&manifest, NOW).unwrap(),
            Some(chain) => chain.advance(&manifest, NOW).unwrap().0,
        });
        // What it names is there, whole.
        let segments = SegmentFolder::open(&folder.join("segments")).unwrap();
        for entry in &manifest.claims().segments {
            let bytes = std::fs::read(segments.path(&entry.id)).unwrap();
            assert_eq!(bytes.len() as u64, entry.size);
            let mut segment = Segment::open(&bytes, &manifest).unwrap();
            segment.verify().unwrap();
        }
        // The folder is never ahead of the store, and what is in it belongs to the chain.
        let Ok(latest) = std::fs::read(segments.latest()) else {
            return;
        };
        let latest = verified(&latest);
        let sequence = latest.claims().sequence;
        assert!(sequence == stored.sequence || sequence + 1 == stored.sequence);
        let same = latest.hash() == manifest.hash();
        assert!(same || *latest.hash() == manifest.claims().previous);
    }
}
