//! Room in memory for the bodies of requests: so much for all, and not all of it for one.
//!
//! What isn't there yet can't be charged. So an account that sends slowly keeps its room for nothing, and would
//! otherwise keep everybody's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::server::quota::AccountKey;

/// The room of one service.
#[derive(Debug)]
pub(super) struct Rooms {
    all: Arc<Semaphore>,
    /// Requests of each account that has any.
    taken: Arc<Mutex<HashMap<AccountKey, usize>>>,
    per_account: usize,
}

/// Room for one request, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    _one_of_all: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<AccountKey, usize>>>,
    account: AccountKey,
}

impl Rooms {
    pub(super) fn new(requests: usize, per_account: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(requests)),
            taken: Arc::default(),
            per_account,
        }
    }

    /// Takes room for a request of an account.
    pub(super) fn enter(&self, account: AccountKey) -> Result<Room, Problem> {
        let soon = Duration::from_secs(1);
        let one_of_all = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| Problem::overloaded(soon))?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(account).or_insert(0);
        if *count >= self.per_account {
            return Err(Problem::too_many_at_once(soon));
        }
        *count += 1;
        drop(taken);
        Ok(Room {
            _one_of_all: one_of_all,
            taken: Arc::clone(&self.taken),
            account,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.account);
            }
        }
    }
}
