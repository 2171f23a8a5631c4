//! Links: how the messages travel between two tasks ([`pair`]) or two processes ([`Link::over`]).
//!
//! Both shapes look the same to their users: a [`Sender`], of which there may be many clones, and
//! one [`Receiver`]. Both are bounded by a number of messages; a full link makes senders wait. The
//! sum of bytes is bounded by what the messages are: connection data by its credit, reads by
//! [`MAX_READS_IN_FLIGHT`](crate::limits::MAX_READS_IN_FLIGHT).
//!
//! The host always goes on reading, whatever the enclave does, so the enclave may simply wait when
//! the link is full; the other way round the host's tasks wait one by one.
//!
//! A receiver may [`Receiver::divert`] messages that need no order among all others, such as the bytes
//! of one connection: they are handled by whoever brings them, on its task, without waiting in the
//! queue for the receiver's turn.

use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::codec::{Decoder, FrameError, Message, encode};
use crate::message::{FromEnclave, ToEnclave};

/// Messages a link holds in each direction when nothing else is said.
pub const DEFAULT_CAPACITY: usize = 1_024;

/// Bytes read from a stream at a time.
const READ_LEN: usize = 256 << 10;

/// Encoded bytes gathered before they are written out.
const WRITE_LEN: usize = 1 << 20;

/// Most messages taken from the queue at a time.
const BATCH: usize = 256;

/// Why a link is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LinkClosed {
    /// The other side is gone; everything it had said whole was delivered.
    #[error("the other side closed the link")]
    PeerGone,
    /// The other side wrote what is no message.
    #[error("the other side broke the protocol: {0}")]
    BadFrame(FrameError),
    /// This side tried to send a message over its limits.
    #[error("a message could not be sent: {0}")]
    BadMessage(FrameError),
    /// The stream failed.
    #[error("the link failed: {0:?}")]
    Io(std::io::ErrorKind),
}

/// Takes a message, or gives it back to be queued.
type Diversion<M> = Box<dyn Fn(M) -> Option<M> + Send + Sync>;

/// What both ends of one direction share besides the queue.
struct Shared<M> {
    /// Set once, by whoever sees the end first. Common to both directions of a stream.
    reason: Arc<OnceLock<LinkClosed>>,
    /// Gone with the receiver.
    diversion: RwLock<Option<Diversion<M>>>,
}

impl<M> core::fmt::Debug for Shared<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<M> Shared<M> {
    fn reason(&self) -> LinkClosed {
        self.reason.get().copied().unwrap_or(LinkClosed::PeerGone)
    }

    fn divert(&self, message: M) -> Option<M> {
        let diversion = self.diversion.read().unwrap_or_else(PoisonError::into_inner);
        match &*diversion {
            Some(take) => take(message),
            None => Some(message),
        }
    }

    fn set_diversion(&self, diversion: Option<Diversion<M>>) {
        *self.diversion.write().unwrap_or_else(PoisonError::into_inner) = diversion;
    }
}

/// The sending half of a link. Clones send into the same link, each in its own order.
#[derive(Debug)]
pub struct Sender<M> {
    queue: mpsc::Sender<M>,
    shared: Arc<Shared<M>>,
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), shared: Arc::clone(&self.shared) }
    }
}

/// Why a message was not sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrySendError {
    /// The link is full just now.
    #[error("the link is full")]
    Full,
    /// The link is at its end.
    #[error(transparent)]
    Closed(#[from] LinkClosed),
}

impl<M> Sender<M> {
    /// Sends one message, waiting for room. Cancel-safe: a cancelled call sent nothing.
    ///
    /// # Errors
    /// Why the link is at its end.
    pub async fn send(&self, message: M) -> Result<(), LinkClosed> {
        match self.divert(message) {
            Some(message) => self.queue.send(message).await.map_err(|_| self.shared.reason()),
            None => Ok(()),
        }
    }

    /// Gives the message to what the receiver diverts messages to; returns it if that does not take
    /// it, or if the receiver is another process.
    #[must_use]
    pub fn divert(&self, message: M) -> Option<M> {
        self.shared.divert(message)
    }

    /// Sends one message from a thread outside the runtime, waiting for room.
    ///
    /// # Errors
    /// Why the link is at its end.
    ///
    /// # Panics
    /// When called from an asynchronous task.
    pub fn blocking_send(&self, message: M) -> Result<(), LinkClosed> {
        match self.divert(message) {
            Some(message) => self.queue.blocking_send(message).map_err(|_| self.shared.reason()),
            None => Ok(()),
        }
    }

    /// Sends one message if there is room; drops it otherwise.
    ///
    /// # Errors
    /// Whether the link is full or at its end.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError> {
        let Some(message) = self.divert(message) else {
            return Ok(());
        };
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => TrySendError::Full,
            mpsc::error::TrySendError::Closed(_) => TrySendError::Closed(self.shared.reason()),
        })
    }

    /// Waits until nobody receives any more.
    pub async fn closed(&self) -> LinkClosed {
        self.queue.closed().await;
        self.shared.reason()
    }
}

/// The receiving half of a link.
#[derive(Debug)]
pub struct Receiver<M> {
    queue: mpsc::Receiver<M>,
    shared: Arc<Shared<M>>,
}

impl<M> Drop for Receiver<M> {
    fn drop(&mut self) {
        // From here on senders learn that nobody listens, and what was captured goes.
        self.shared.set_diversion(None);
    }
}

impl<M> Receiver<M> {
    /// From now on `take` gets each message first, on the task that brings it; what it gives back is
    /// queued. It must not block, and must not send into this direction of the link.
    pub fn divert(&self, take: impl Fn(M) -> Option<M> + Send + Sync + 'static) {
        self.shared.set_diversion(Some(Box::new(take)));
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// Why the link is at its end; messages that came before the end are delivered first.
    pub async fn recv(&mut self) -> Result<M, LinkClosed> {
        self.queue.recv().await.ok_or_else(|| self.shared.reason())
    }

    /// Waits for at least one message, then appends up to `limit` of those that are there to
    /// `batch`. Returns how many. Cancel-safe.
    ///
    /// # Errors
    /// Why the link is at its end.
    pub async fn recv_many(&mut self, batch: &mut Vec<M>, limit: usize) -> Result<usize, LinkClosed> {
        match self.queue.recv_many(batch, limit.max(1)).await {
            0 => Err(self.shared.reason()),
            count => Ok(count),
        }
    }

    /// The next message if one is there.
    ///
    /// # Errors
    /// Why the link is at its end.
    pub fn try_recv(&mut self) -> Result<Option<M>, LinkClosed> {
        match self.queue.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(self.shared.reason()),
        }
    }

    /// The next message, for a thread outside the runtime.
    ///
    /// # Errors
    /// Why the link is at its end.
    ///
    /// # Panics
    /// When called from an asynchronous task.
    pub fn blocking_recv(&mut self) -> Result<M, LinkClosed> {
        self.queue.blocking_recv().ok_or_else(|| self.shared.reason())
    }
}

/// One end of a link: sends `S`, receives `R`. Take it apart to own the halves.
#[derive(Debug)]
pub struct Link<S, R> {
    /// What this side says.
    pub send: Sender<S>,
    /// What this side hears.
    pub recv: Receiver<R>,
}

/// The host's end.
pub type HostLink = Link<ToEnclave, FromEnclave>;

/// The enclave's end.
pub type EnclaveLink = Link<FromEnclave, ToEnclave>;

/// Both ends of a link inside one process. Messages pass as they are, without encoding.
/// `capacity` counts messages in each direction and is at least 1.
#[must_use]
pub fn pair(capacity: usize) -> (HostLink, EnclaveLink) {
    let (to_send, to_recv) = queue(capacity, Arc::default());
    let (from_send, from_recv) = queue(capacity, Arc::default());
    (Link { send: to_send, recv: from_recv }, Link { send: from_send, recv: to_recv })
}

fn queue<M>(capacity: usize, reason: Arc<OnceLock<LinkClosed>>) -> (Sender<M>, Receiver<M>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let shared = Arc::new(Shared { reason, diversion: RwLock::default() });
    (Sender { queue: sender, shared: Arc::clone(&shared) }, Receiver { queue: receiver, shared })
}

impl<S, R> Link<S, R>
where
    S: Message + Send + 'static,
    R: Message + Send + 'static,
{
    /// A link over any stream of bytes, such as a Unix socket, with [`DEFAULT_CAPACITY`].
    ///
    /// Spawns two tasks on the current runtime. The writer ends, after writing out everything that
    /// was sent, when all senders are dropped; the reader when the stream ends, when it carries
    /// anything but whole frames, or when the receiver is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn over<T>(stream: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + 'static,
    {
        let reason = Arc::default();
        let (send, outgoing) = queue(DEFAULT_CAPACITY, Arc::clone(&reason));
        let (incoming, recv) = queue(DEFAULT_CAPACITY, reason);
        let (read_half, write_half) = tokio::io::split(stream);
        tokio::spawn(write_frames(write_half, outgoing));
        tokio::spawn(read_frames(read_half, incoming));
        Self { send, recv }
    }
}

impl EnclaveLink {
    /// The link of a process that the host started with one end of a Unix socket pair as its
    /// standard input. No path leads to that socket, so nobody else can speak to the enclave.
    ///
    /// # Errors
    /// When standard input is not such a socket: the program was started by hand.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn inherited() -> std::io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        // Asking for the peer's name fails on whatever is no connected socket.
        stream.peer_addr()?;
        stream.set_nonblocking(true)?;
        Ok(Self::over(tokio::net::UnixStream::from_std(stream)?))
    }
}

/// Encodes what is queued, writes it in one piece, and flushes when the queue is empty.
async fn write_frames<S, W>(mut stream: W, mut outgoing: Receiver<S>)
where
    S: Message,
    W: AsyncWrite + Unpin,
{
    let mut batch = Vec::with_capacity(BATCH);
    let mut bytes = Vec::new();
    let end = 'link: loop {
        if outgoing.queue.recv_many(&mut batch, BATCH).await == 0 {
            break None;
        }
        let mut messages = batch.drain(..).peekable();
        while let Some(message) = messages.next() {
            if let Err(error) = encode(&message, &mut bytes) {
                break 'link Some(LinkClosed::BadMessage(error));
            }
            if bytes.len() < WRITE_LEN && messages.peek().is_some() {
                continue;
            }
            if let Err(error) = stream.write_all(&bytes).await {
                break 'link Some(io_reason(error));
            }
            bytes.clear();
            bytes.shrink_to(2 * WRITE_LEN);
        }
        if let Err(error) = stream.flush().await {
            break Some(io_reason(error));
        }
    };
    if let Some(end) = end {
        // Fails only when the reader has named an end already.
        let _ = outgoing.shared.reason.set(end);
    }
    // The other side learns of the end even while our reader still holds the stream. If that fails
    // the stream is gone, and the other side knows.
    let _ = stream.shutdown().await;
}

/// Reads frames and queues their messages.
async fn read_frames<R, T>(mut stream: T, incoming: Sender<R>)
where
    R: Message,
    T: AsyncRead + Unpin,
{
    let mut decoder = Decoder::<R>::new();
    let mut bytes = vec![0; READ_LEN];
    let end = 'link: loop {
        let received = tokio::select! {
            received = stream.read(&mut bytes) => received,
            _ = incoming.closed() => return,
        };
        match received {
            Ok(0) => {
                break decoder.finish().map_or_else(LinkClosed::BadFrame, |()| LinkClosed::PeerGone);
            }
            Ok(len) => decoder.push(&bytes[..len]),
            Err(error) => break io_reason(error),
        }
        loop {
            match decoder.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    if incoming.send(message).await.is_err() {
                        return;
                    }
                }
                Err(error) => break 'link LinkClosed::BadFrame(error),
            }
        }
    };
    // Set before the queue is dropped, so that the receiver finds it.
    let _ = incoming.shared.reason.set(end);
}

fn io_reason(error: std::io::Error) -> LinkClosed {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => LinkClosed::PeerGone,
        kind => LinkClosed::Io(kind),
    }
}
