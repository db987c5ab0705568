//! A store that fails when it's told to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use blindbook::{
    Timestamp,
    label::Label,
    oprf::{Encoding, Epoch, UnblindedElement},
    server::{
        detect::Signal,
        directory::{BatchOutcome, Choice, ChoiceOutcome, Identity, MemberBatch, Window},
        incident::{HandOut, Incident, Lease, Notice, NoticeId, Tally},
        ledger::{Entry, Head, LedgerKey, Month, Sealed, Sealing, Suspension, Topic},
        quota::{
            AccountKey, Activity, ChargeOutcome, Debit, Hour, NetworkActivity, NetworkKey,
            QuotaStore,
        },
        rotation::{self, Rotation, RotationKind},
    },
    store::{
        AffectedPage, Canaries, CanaryStore, Changed, DroppedClaims, EvidenceStore, Findable,
        IncidentStore, LabelledPage, LedgerStore, MemoryStore, Progress, Rekeyed, RotationStore,
        SettingStore, Settled, SignalStore, Store, StoreError, StoredManifest, SweepKey, Swept,
        Switched,
    },
};

#[derive(Default)]
pub struct Failing {
    inner: MemoryStore,
    append: AtomicBool,
    read: AtomicBool,
    /// Pages of members read since it was last told when to fail, and at which to.
    pages: AtomicUsize,
    fail_at: AtomicUsize,
}

fn failure() -> StoreError {
    StoreError::Io("told to".to_owned())
}

impl Failing {
    pub fn fail_next_append(&self) {
        self.append.store(true, Ordering::SeqCst);
    }

    pub fn fail_next_read(&self) {
        self.read.store(true, Ordering::SeqCst);
    }

    /// Fails at the page with this number, from 1.
    pub fn fail_findable_at(&self, page: usize) {
        self.pages.store(0, Ordering::SeqCst);
        self.fail_at.store(page, Ordering::SeqCst);
    }

    /// Pages asked for since; counts anew.
    pub fn pages(&self) -> usize {
        self.pages.swap(0, Ordering::SeqCst)
    }
}

impl QuotaStore for Failing {
    type Error = StoreError;

    async fn charge(&self, debit: Debit) -> Result<ChargeOutcome, StoreError> {
        self.inner.charge(debit).await
    }
}

impl SignalStore for Failing {
    async fn signals(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Signal)>, StoreError> {
        self.inner.signals(before, limit).await
    }

    async fn note_signal(
        &self,
        signal: Signal,
        key: Arc<LedgerKey>,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        self.inner.note_signal(signal, key, at).await
    }
}

impl CanaryStore for Failing {
    async fn add_canaries(&self, labels: Vec<Label>, at: Timestamp) -> Result<usize, StoreError> {
        self.inner.add_canaries(labels, at).await
    }

    async fn canaries(&self) -> Result<Canaries, StoreError> {
        self.inner.canaries().await
    }
}

impl LedgerStore for Failing {
    async fn begin_ledger(&self, service: [u8; 32]) -> Result<(), StoreError> {
        self.inner.begin_ledger(service).await
    }

    async fn ledger_head(&self) -> Result<Head, StoreError> {
        self.inner.ledger_head().await
    }

    async fn kept_since(&self) -> Result<Hour, StoreError> {
        self.inner.kept_since().await
    }

    async fn ledger(&self, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.ledger(from, limit).await
    }

    async fn ledger_about(
        &self,
        from: (Topic, u64),
        last: Topic,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.inner.ledger_about(from, last, limit).await
    }

    async fn seal(&self, sealing: Sealing, at: Timestamp) -> Result<Sealed, StoreError> {
        self.inner.seal(sealing, at).await
    }

    async fn note_destroyed(&self, month: Month, at: Timestamp) -> Result<bool, StoreError> {
        self.inner.note_destroyed(month, at).await
    }

    async fn latest_charge(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.latest_charge().await
    }

    async fn oldest_open(&self) -> Result<Option<Hour>, StoreError> {
        self.inner.oldest_open().await
    }

    async fn open_activity(
        &self,
        hour: Hour,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<Vec<(AccountKey, Activity)>, StoreError> {
        self.inner.open_activity(hour, after, limit).await
    }

    async fn open_network_activity(
        &self,
        hour: Hour,
        after: Option<NetworkKey>,
        limit: usize,
    ) -> Result<Vec<(NetworkKey, NetworkActivity)>, StoreError> {
        self.inner.open_network_activity(hour, after, limit).await
    }
}

impl RotationStore for Failing {
    async fn rotation(&self) -> Result<Option<Rotation>, StoreError> {
        self.inner.rotation().await
    }

    async fn begin_rotation(&self, from: Epoch, kind: RotationKind) -> Result<bool, StoreError> {
        self.inner.begin_rotation(from, kind).await
    }

    async fn harden_rotation(&self) -> Result<bool, StoreError> {
        self.inner.harden_rotation().await
    }

    async fn to_rekey(
        &self,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<UnblindedElement>, StoreError> {
        self.inner.to_rekey(after, limit).await
    }

    async fn to_rekey_again(&self, limit: usize) -> Result<Vec<UnblindedElement>, StoreError> {
        self.inner.to_rekey_again(limit).await
    }

    async fn rekey(&self, members: Rekeyed) -> Result<(), StoreError> {
        self.inner.rekey(members).await
    }

    async fn switch_epoch(
        &self,
        manifest: StoredManifest,
        settled: Settled,
        window: Option<rotation::Window>,
    ) -> Result<Switched, StoreError> {
        self.inner.switch_epoch(manifest, settled, window).await
    }

    async fn end_window(&self, at: Option<Timestamp>) -> Result<bool, StoreError> {
        self.inner.end_window(at).await
    }

    async fn drop_old(&self, limit: usize) -> Result<usize, StoreError> {
        self.inner.drop_old(limit).await
    }

    async fn drop_claims(
        &self,
        after: Option<AccountKey>,
        limit: usize,
    ) -> Result<DroppedClaims, StoreError> {
        self.inner.drop_claims(after, limit).await
    }

    async fn finish_rotation(&self) -> Result<(), StoreError> {
        self.inner.finish_rotation().await
    }
}

impl SettingStore for Failing {
    async fn labelled(
        &self,
        label: &Label,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<LabelledPage, StoreError> {
        self.inner.labelled(label, after, limit).await
    }

    async fn choose(
        &self,
        choice: Choice,
        after: Option<Identity>,
        limit: usize,
    ) -> Result<ChoiceOutcome, StoreError> {
        self.inner.choose(choice, after, limit).await
    }
}

impl EvidenceStore for Failing {
    async fn lost(&self) -> Result<Option<blindbook::server::incident::Period>, StoreError> {
        self.inner.lost().await
    }

    async fn members_between(
        &self,
        epoch: Epoch,
        window: Window,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<AffectedPage, StoreError> {
        self.inner
            .members_between(epoch, window, after, limit)
            .await
    }
}

impl IncidentStore for Failing {
    async fn open_incident(&self, incident: Incident) -> Result<Incident, StoreError> {
        self.inner.open_incident(incident).await
    }

    async fn incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.inner.incidents().await
    }

    async fn replace_incident(
        &self,
        before: Incident,
        after: Incident,
    ) -> Result<bool, StoreError> {
        self.inner.replace_incident(before, after).await
    }

    async fn enlist_notices(&self, incident: u64, notices: Vec<Notice>) -> Result<(), StoreError> {
        self.inner.enlist_notices(incident, notices).await
    }

    async fn hand_out_notices(
        &self,
        incident: u64,
        lease: Lease,
        now: Timestamp,
        after: Option<NoticeId>,
        limit: usize,
    ) -> Result<HandOut, StoreError> {
        let handed = self
            .inner
            .hand_out_notices(incident, lease, now, after, limit);
        handed.await
    }

    async fn confirm_notices(
        &self,
        incident: u64,
        ids: Vec<NoticeId>,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Tally, StoreError> {
        self.inner.confirm_notices(incident, ids, lease, now).await
    }

    async fn notice_tally(&self, incident: u64) -> Result<Tally, StoreError> {
        self.inner.notice_tally(incident).await
    }
}

impl Store for Failing {
    async fn change_members(&self, batch: MemberBatch) -> Result<BatchOutcome, StoreError> {
        self.inner.change_members(batch).await
    }

    async fn findable(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<Findable>, StoreError> {
        let page = self.pages.fetch_add(1, Ordering::SeqCst) + 1;
        if page == self.fail_at.load(Ordering::SeqCst) {
            self.fail_at.store(0, Ordering::SeqCst);
            return Err(failure());
        }
        self.inner.findable(epoch, after, limit).await
    }

    async fn progress(&self) -> Result<Progress, StoreError> {
        self.inner.progress().await
    }

    async fn changed(
        &self,
        epoch: Epoch,
        after: Option<Encoding>,
        limit: usize,
    ) -> Result<Vec<Changed>, StoreError> {
        if self.read.swap(false, Ordering::SeqCst) {
            return Err(failure());
        }
        self.inner.changed(epoch, after, limit).await
    }

    async fn drop_settled(&self, limit: usize) -> Result<usize, StoreError> {
        self.inner.drop_settled(limit).await
    }

    async fn forget(&self, at: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.forget(at, limit).await
    }

    async fn suspend(&self, suspension: Suspension) -> Result<(), StoreError> {
        self.inner.suspend(suspension).await
    }

    async fn sweep(
        &self,
        at: Timestamp,
        after: Option<SweepKey>,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.inner.sweep(at, after, limit).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn key_evaluations(&self, epoch: Epoch) -> Result<u64, StoreError> {
        self.inner.key_evaluations(epoch).await
    }

    async fn latest_manifest(&self) -> Result<Option<StoredManifest>, StoreError> {
        self.inner.latest_manifest().await
    }

    async fn append_manifest(
        &self,
        manifest: StoredManifest,
        settled: Settled,
    ) -> Result<bool, StoreError> {
        if self.append.swap(false, Ordering::SeqCst) {
            return Err(failure());
        }
        self.inner.append_manifest(manifest, settled).await
    }
}
