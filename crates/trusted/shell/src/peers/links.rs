//! The links that live: what the core says goes out on them, what comes in goes to the core.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::Bytes;
use cloister_core::{MAX_PEER_MESSAGE_BYTES, NodeId, PeerEvent};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter, ReadHalf, WriteHalf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};

use super::{LinkError, frames};
use crate::core_thread::CoreInput;

/// Messages that wait to be written to one node; more are lost.
const MAX_QUEUED: usize = 4_096;
/// Bytes of them, likewise: the longest message, and as much of short ones as a follower asks for at one time.
const MAX_QUEUED_BYTES: usize = MAX_PEER_MESSAGE_BYTES + (16 << 20);
/// Bytes that came from one node and that the core has not taken yet. No more is read until it does.
const MAX_UNREAD_BYTES: usize = MAX_PEER_MESSAGE_BYTES + (4 << 20);
/// Bytes that are gathered before they are written: a record of TLS.
const GATHERED: usize = 16 << 10;

/// One message on its way out, and the room it takes.
struct Queued {
    message: Bytes,
    _room: OwnedSemaphorePermit,
}

/// A link that lives.
struct Live {
    number: u64,
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    /// Dropped when a newer link takes its place, or none.
    _in_place: oneshot::Sender<()>,
}

#[derive(Default)]
struct Table {
    next: u64,
    live: BTreeMap<NodeId, Live>,
    /// Room for what comes, by node: that of a link counts for the next one, too.
    unread: BTreeMap<NodeId, Arc<Semaphore>>,
}

/// What a link's task holds of its place in the table.
struct Place {
    number: u64,
    queued: mpsc::Receiver<Queued>,
    replaced: oneshot::Receiver<()>,
}

/// All links, at most one for each of the other nodes.
pub(super) struct Links {
    core: mpsc::UnboundedSender<CoreInput>,
    table: Mutex<Table>,
}

impl Links {
    pub(super) fn new(core: mpsc::UnboundedSender<CoreInput>) -> Self {
        Self { core, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message, if there is a link with room for it.
    pub(super) fn send(&self, to: NodeId, message: Bytes) {
        // The other end would take the link down for it.
        if message.is_empty() || message.len() > MAX_PEER_MESSAGE_BYTES {
            tracing::error!(bytes = message.len(), "a message to a node is dropped: none has that length");
            return;
        }
        let table = self.table();
        let Some(live) = table.live.get(&to) else { return };
        let bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let room = live.room.clone().try_acquire_many_owned(bytes);
        let queued = room.is_ok_and(|room| live.queue.try_send(Queued { message, _room: room }).is_ok());
        if !queued {
            // Consensus says again what matters.
            tracing::debug!(node = to.get(), bytes, "a message to a node is dropped: it does not keep up");
        }
    }

    /// Carries messages on a link whose other end has proved to be `node`, until it ends.
    ///
    /// # Errors
    /// What the other end must not do, and how the link broke.
    pub(super) async fn run<S>(&self, node: NodeId, stream: S) -> Result<(), LinkError>
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let Place { number, queued, replaced } = self.enter(node);
        let (read, write) = tokio::io::split(stream);
        let ended = tokio::select! {
            ended = self.hear(node, number, read) => ended,
            ended = speak(write, queued) => ended,
            // A newer link has taken the place, or none may.
            _ = replaced => Ok(()),
        };
        self.leave(node, number);
        ended
    }

    /// Puts a link into the table. What the core hears is in the order of the table's changes: the lock is held.
    fn enter(&self, node: NodeId) -> Place {
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        let (in_place, replaced) = oneshot::channel();
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        let room = Arc::new(Semaphore::new(MAX_QUEUED_BYTES));
        if table.live.insert(node, Live { number, queue, room, _in_place: in_place }).is_some() {
            self.tell(node, PeerEvent::Gone, None);
        }
        self.tell(node, PeerEvent::Connected, None);
        drop(table);
        tracing::info!(node = node.get(), "a link to a node is up");
        Place { number, queued, replaced }
    }

    /// Ends the link with a node, if there is one.
    pub(super) fn close(&self, node: NodeId) {
        let mut table = self.table();
        if table.live.remove(&node).is_some() {
            self.tell(node, PeerEvent::Gone, None);
            drop(table);
            tracing::info!(node = node.get(), "a link is closed: this is no node of the network any more");
        }
    }

    fn leave(&self, node: NodeId, number: u64) {
        let mut table = self.table();
        if table.live.get(&node).is_some_and(|live| live.number == number) {
            table.live.remove(&node);
            self.tell(node, PeerEvent::Gone, None);
            drop(table);
            tracing::info!(node = node.get(), "a link to a node is down");
        }
    }

    fn tell(&self, node: NodeId, event: PeerEvent, room: Option<OwnedSemaphorePermit>) {
        // A core that is gone needs no news.
        let _ = self.core.send(CoreInput::Peer { node, event, room });
    }

    async fn hear<S: AsyncRead>(&self, node: NodeId, number: u64, mut from: ReadHalf<S>) -> Result<(), LinkError> {
        let new = || Arc::new(Semaphore::new(MAX_UNREAD_BYTES));
        let unread = self.table().unread.entry(node).or_insert_with(new).clone();
        while let Some(bytes) = frames::read_length(&mut from).await? {
            let Ok(room) = unread.clone().acquire_many_owned(bytes).await else { return Ok(()) };
            let message = frames::read_message(&mut from, bytes).await?;
            let table = self.table();
            // Nothing is heard of a link after the core was told that it is gone.
            if table.live.get(&node).is_none_or(|live| live.number != number) {
                return Ok(());
            }
            self.tell(node, PeerEvent::Said(message), Some(room));
        }
        Ok(())
    }
}

/// Writes what is queued.
async fn speak<S: AsyncWrite>(to: WriteHalf<S>, mut queued: mpsc::Receiver<Queued>) -> Result<(), LinkError> {
    let mut to = BufWriter::with_capacity(GATHERED, to);
    while let Some(first) = queued.recv().await {
        let mut next = Some(first);
        while let Some(Queued { message, _room }) = next {
            frames::write_message(&mut to, &message).await?;
            next = queued.try_recv().ok();
        }
        to.flush().await?;
    }
    Ok(())
}
