//! What the enclave says to its host.

use cloister_boundary::{FromEnclave, HaltCode, link::Sender};
use tokio::{sync::mpsc, task::JoinHandle};

/// A line to the host that never makes its users wait: what goes over it is bounded by what it is,
/// connection bytes by their credit and records by the depth of the pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    link: Sender<FromEnclave>,
    queue: mpsc::UnboundedSender<FromEnclave>,
}

impl Outbound {
    /// A line over `link`, and the task that writes to it. The task ends with the link, or after a
    /// [`FromEnclave::Halt`], whose code it returns.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn over(link: Sender<FromEnclave>) -> (Self, JoinHandle<Option<HaltCode>>) {
        let (queue, queued) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write(link.clone(), queued));
        (Self { link, queue }, writer)
    }

    /// A line whose other end is in a test.
    #[cfg(test)]
    pub(crate) fn to_test() -> (Self, mpsc::UnboundedReceiver<FromEnclave>) {
        let (_, enclave) = cloister_boundary::link::pair(1);
        let (queue, queued) = mpsc::unbounded_channel();
        (Self { link: enclave.send, queue }, queued)
    }

    /// Says something. Words on one connection keep their order, and so do all others among themselves.
    ///
    /// # Errors
    /// The link is at its end.
    pub(crate) fn send(&self, message: FromEnclave) -> Result<(), LinkEnded> {
        match self.link.divert(message) {
            Some(message) => self.queue.send(message).map_err(|_| LinkEnded),
            None => Ok(()),
        }
    }

    /// Waits for the end of the link.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }
}

/// Nobody listens any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkEnded;

async fn write(link: Sender<FromEnclave>, mut queued: mpsc::UnboundedReceiver<FromEnclave>) -> Option<HaltCode> {
    while let Some(message) = queued.recv().await {
        let halted = match &message {
            FromEnclave::Halt { code, .. } => Some(*code),
            _ => None,
        };
        if let Err(closed) = link.send(message).await {
            tracing::error!(%closed, "nothing more can be said to the host");
            return halted;
        }
        if halted.is_some() {
            return halted;
        }
    }
    None
}
