//! Arithmetic on its own threads, with a queue that ends somewhere.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::problem::Problem;

/// Threads that do nothing else, and how many elements may wait for them.
#[derive(Debug)]
pub(super) struct Compute {
    pool: ThreadPool,
    queue: Arc<Semaphore>,
    capacity: u32,
}

/// A place in the queue. Taken before the quota is charged, so that who is turned away pays nothing.
#[derive(Debug)]
pub(super) struct Place(OwnedSemaphorePermit);

impl Compute {
    pub(super) fn new(threads: usize, capacity: u32) -> Result<Self, ThreadPoolBuildError> {
        Ok(Self {
            pool: ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|index| std::format!("blindbook-compute-{index}"))
                .build()?,
            queue: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
        })
    }

    /// Takes places for so many elements.
    pub(super) fn enter(&self, elements: usize) -> Result<Place, Problem> {
        // A batch beyond the whole queue gets in when nobody else is there.
        let elements = u32::try_from(elements)
            .unwrap_or(u32::MAX)
            .min(self.capacity);
        Arc::clone(&self.queue)
            .try_acquire_many_owned(elements)
            .map(Place)
            .map_err(|_| Problem::overloaded(Duration::from_secs(2)))
    }

    /// How many elements wait or are worked on.
    pub(super) fn occupied(&self) -> usize {
        self.capacity as usize - self.queue.available_permits()
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (sender, receiver) = oneshot::channel();
        self.pool.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            drop(place.0);
            // Whoever asked may have gone; the debit stands, and the same bytes are answered later.
            let _gone = result.map(|result| sender.send(result));
        });
        receiver.await.map_err(|_| {
            tracing::error!("arithmetic broke off");
            Problem::internal()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_ends_its_own_request_only() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let compute = Compute::new(1, 16).unwrap();
        for _ in 0..3 {
            let place = compute.enter(16).unwrap();
            assert_eq!(compute.enter(1).unwrap_err().name, "overloaded");
            let broken: Result<(), Problem> =
                runtime.block_on(compute.run(place, || panic!("a defect")));
            assert_eq!(broken.unwrap_err().name, "internal");
            assert_eq!(compute.occupied(), 0);
        }
        let place = compute.enter(1_000_000).unwrap();
        assert_eq!(compute.occupied(), 16);
        assert_eq!(runtime.block_on(compute.run(place, || 7)).unwrap(), 7);
    }
}
