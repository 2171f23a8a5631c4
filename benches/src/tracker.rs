//! Follows the chain: tells each connection which of its transactions are in a block.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use eyre::Result;

use crate::http::Endpoint;
use crate::rpc::Client;

/// Numbers of transactions that have been seen in a block and not yet been taken.
#[derive(Debug, Default)]
pub struct Inbox {
    numbers: Mutex<Vec<u32>>,
    filled: Condvar,
}

impl Inbox {
    fn put(&self, number: u32) {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }

    /// Takes everything there is; when empty and `wait` is not zero, waits that long for something.
    pub fn take(&self, wait: Duration) -> Vec<u32> {
        let guard = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = if guard.is_empty() && !wait.is_zero() {
            self.filled.wait_timeout(guard, wait).unwrap_or_else(PoisonError::into_inner).0
        } else {
            guard
        };
        std::mem::take(&mut guard)
    }
}

/// What was seen in blocks.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// Blocks that held at least one of our transactions.
    pub blocks: u64,
    /// Transactions that were in more than one block, or twice in one.
    pub duplicates: u64,
    /// Transactions of the fullest block.
    pub fullest: u64,
}

/// Whose transaction a hash is.
pub type Owners = HashMap<B256, Owner>;

/// A transaction's number and the connection that sends it.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Number in the run.
    pub number: u32,
    /// Number of the connection.
    pub connection: u32,
}

/// Reads one block after the other from `height` on until `done`, and fills the inboxes.
///
/// # Errors
/// When the node cannot be asked.
pub fn follow(
    endpoint: &Endpoint,
    mut height: u64,
    owners: &Owners,
    inboxes: &[Inbox],
    poll: Duration,
    done: &AtomicBool,
) -> Result<Sightings> {
    let mut client = Client::connect(endpoint)?;
    let mut seen = vec![false; owners.len()];
    let mut sightings = Sightings::default();
    while !done.load(Ordering::Acquire) {
        let Some(hashes) = client.block_hashes(height)? else {
            std::thread::sleep(poll);
            continue;
        };
        height += 1;
        let mut ours = 0;
        for hash in hashes {
            let Some(owner) = owners.get(&hash) else {
                continue;
            };
            ours += 1;
            if std::mem::replace(&mut seen[owner.number as usize], true) {
                sightings.duplicates += 1;
            } else {
                inboxes[owner.connection as usize].put(owner.number);
            }
        }
        sightings.blocks += u64::from(ours > 0);
        sightings.fullest = sightings.fullest.max(ours);
        for inbox in inboxes {
            inbox.filled.notify_all();
        }
    }
    Ok(sightings)
}
