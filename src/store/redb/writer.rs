//! The thread that writes, in groups.

use std::{
    boxed::Box,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    string::ToString,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
    vec::Vec,
};

use redb::{Database, Durability};
use tokio::sync::oneshot;

use super::{pending::Pending, store_error, tables::Tables, witness::Witness};
use crate::store::StoreError;

/// Most rows that one transaction changes, roughly; more waits for the next one.
pub(super) const GROUP: usize = 8_192;
/// Most steps that wait; what comes then is turned away.
const QUEUE: usize = 4_096;
/// The weight of a step that changes nothing.
const LOOK: usize = 0;
/// How long nobody has to have changed anything until what is pending is folded.
const QUIET: Duration = Duration::from_millis(200);
/// Rows that are folded then, in one transaction.
const FOLDED: usize = 1_024;

type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Runs a step. What comes back tells the one who waits, once the transaction has ended.
type Step = Box<dyn FnOnce(&mut Tables<'_>) -> (Reply, Result<(), StoreError>) + Send>;

struct Job {
    weight: usize,
    step: Step,
}

/// A queue of steps and the thread that takes them. Dropping it lets the thread finish what waits.
pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    open: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(
        database: Arc<Database>,
        pending: Pending,
        witness: Option<Witness>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let open = Arc::new(AtomicBool::new(true));
        let still_open = Arc::clone(&open);
        let thread = thread::Builder::new()
            .name("blindbook-store".into())
            .spawn(move || run(&database, pending, witness, &jobs, &still_open))
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self {
            queue: Some(queue),
            thread: Mutex::new(Some(thread)),
            open,
        })
    }

    /// Whether nothing has failed yet.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Has a step taken that changes nothing, and sees what is pending, too. If nobody changes anything beside it, nothing is written.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.send(LOOK, step).await
    }

    /// Has a step taken; ready once it is durable.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        weight: usize,
        step: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.send(weight.max(LOOK + 1), step).await
    }

    async fn send<T: Send + 'static>(
        &self,
        weight: usize,
        step: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let step: Step = Box::new(move |tables| match step(tables) {
            Ok(value) => {
                let reply = move |committed: Result<(), StoreError>| {
                    // Nobody waits any more: the step is durable all the same.
                    let _gone = sender.send(committed.map(|()| value));
                };
                (Box::new(reply), Ok(()))
            }
            Err(error) => {
                let reply = move |committed: Result<(), StoreError>| {
                    let _gone = sender.send(Err(committed.err().unwrap_or(StoreError::Closed)));
                };
                (Box::new(reply), Err(error))
            }
        });
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue
            .try_send(Job { weight, step })
            .map_err(|error| match error {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => StoreError::Closed,
            })?;
        let outcome = receiver.await.unwrap_or(Err(StoreError::Closed));
        if outcome.is_err() {
            // Whoever hears of a failure finds the store closed; the thread may not have got so far.
            self.open.store(false, Ordering::Release);
        }
        outcome
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        let thread = self.thread.get_mut().map_or(None, |thread| thread.take());
        if let Some(thread) = thread {
            // It has told everybody who waited; a panic of its own has nobody else to hear it.
            let _panicked = thread.join();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// One transaction: durable when it returns, or undone. If it fails, what is pending isn't known any more, and has to be read anew.
pub(super) fn transact<T>(
    database: &Database,
    pending: &mut Pending,
    work: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut transaction = database.begin_write().map_err(store_error)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(store_error)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    let value = {
        let mut tables = Tables::open(&transaction, pending).map_err(store_error)?;
        let value = work(&mut tables)?;
        tables.finish()?;
        value
    };
    transaction.commit().map_err(store_error)?;
    Ok(value)
}

/// The next step; one that folds, if something is pending and nobody has changed anything for a while.
fn next(jobs: &Receiver<Job>, pending: &Pending, changed: Instant) -> Option<Job> {
    if pending.is_settled() {
        return jobs.recv().ok();
    }
    match jobs.recv_timeout(QUIET.saturating_sub(changed.elapsed())) {
        Ok(job) => Some(job),
        Err(RecvTimeoutError::Timeout) => Some(Job {
            weight: FOLDED,
            step: Box::new(|tables| (Box::new(drop), tables.fold_next(FOLDED))),
        }),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

/// A transaction that is undone, of steps that change nothing.
fn look<T>(
    database: &Database,
    pending: &mut Pending,
    work: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = database.begin_write().map_err(store_error)?;
    let value = work(&mut Tables::open(&transaction, pending).map_err(store_error)?)?;
    transaction.abort().map_err(store_error)?;
    Ok(value)
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long nothing was changed, which no decision depends on"
)]
fn run(
    database: &Database,
    mut pending: Pending,
    mut witness: Option<Witness>,
    jobs: &Receiver<Job>,
    open: &AtomicBool,
) {
    let mut changed = Instant::now();
    while let Some(first) = next(jobs, &pending, changed) {
        let mut weight = first.weight;
        let mut group = Vec::from([first.step]);
        while weight < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            weight = weight.saturating_add(job.weight);
            group.push(job.step);
        }
        let mut replies: Vec<Reply> = Vec::with_capacity(group.len());
        // A panic in a step must not leave the others without an answer, or half a step on the disk.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let take = |tables: &mut Tables<'_>| {
                group.into_iter().try_for_each(|step| {
                    let (reply, outcome) = step(tables);
                    replies.push(reply);
                    outcome
                })
            };
            if weight == LOOK {
                return look(database, &mut pending, take).map(|()| None);
            }
            transact(database, &mut pending, |tables| {
                take(tables)?;
                tables.count().map(Some)
            })
        }))
        .unwrap_or(Err(StoreError::Closed));
        // Nobody is answered before it is seen how far the store is.
        let outcome = outcome.and_then(|seen| match (&mut witness, seen) {
            (Some(witness), Some(seen)) => witness.see(seen),
            _ => Ok(()),
        });
        if weight > LOOK {
            changed = Instant::now();
        }
        let failed = outcome.is_err();
        open.store(!failed, Ordering::Release);
        for reply in replies {
            reply(outcome.clone());
        }
        if failed {
            // Whatever waits is told that the store is closed, when its sender is dropped.
            return;
        }
    }
}
