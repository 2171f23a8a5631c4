//! What one client has not taken yet.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// Bytes that may wait for one client before nothing more is made for it.
const MAX_BYTES: usize = 16 << 20;

/// Bytes that were made for one client and are not written to it yet; clones share them. The shell puts it into the
/// extensions of each request. What frames a message on the wire is not counted, so that it is an estimate.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    less: Notify,
}

impl Backlog {
    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Bytes were made for the client.
    pub fn add(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes were written to the client.
    pub fn remove(&self, bytes: usize) {
        let less = |waiting: usize| Some(waiting.saturating_sub(bytes));
        let before = self.0.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if before.is_ok_and(|before| before >= MAX_BYTES) {
            self.0.less.notify_waiters();
        }
    }

    /// Waits until the client has taken enough for more to be made.
    pub async fn room(&self) {
        while self.bytes() >= MAX_BYTES {
            let less = self.0.less.notified();
            if self.bytes() < MAX_BYTES {
                return;
            }
            less.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[tokio::test]
    async fn there_is_room_until_too_much_waits_and_again_when_some_was_taken() {
        let backlog = Backlog::default();
        backlog.add(MAX_BYTES - 1);
        backlog.room().await;
        backlog.add(5);
        let mut room = pin!(backlog.room());
        let mut context = Context::from_waker(Waker::noop());
        assert!(room.as_mut().poll(&mut context).is_pending());
        backlog.remove(4);
        assert!(room.as_mut().poll(&mut context).is_pending(), "{} bytes", backlog.bytes());
        backlog.remove(1);
        room.await;
        // Frames add bytes that were not counted.
        backlog.remove(usize::MAX);
        assert_eq!(backlog.bytes(), 0);
    }
}
