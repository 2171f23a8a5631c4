//! One client's connection: a task that moves bytes between its socket and the link.
//!
//! ```text
//!             socket readable, credit left          Close
//!   reading ──────────────── Data ──▶ enclave    closing ── flushed ──▶ FIN, linger, end
//!      │ FIN, error                                 ▲
//!      └──────── Closed ──▶ enclave                 │ from any state
//!
//!   writing ◀─────────────── Data ─── enclave
//!      │ error, or nothing taken for `write_stall`
//!      └──▶ dead: what still comes is discarded and its credit returned, until Close
//! ```

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use bytes::BufMut as _;
use cloister_boundary::link::{LinkClosed, Sender};
use cloister_boundary::{ConnId, PeerOrigin, SendWindow, ToEnclave};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep_until, timeout};

use crate::config::ConnectionLimits;
use crate::error::Violation;
use crate::table::{Event, Outgoing, Registration, lock};

/// Bytes read at a time: from the first, doubling while the client fills them, up to the second.
const MIN_READ: usize = 4 << 10;
const MAX_READ: usize = 64 << 10;

/// Bytes of a closing client that are read and thrown away at most.
const MAX_DISCARD: usize = 4 << 20;

/// What may still be written to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// Bytes that the enclave sends.
    Open,
    /// What is queued, then no more.
    Closing,
    /// Nothing; the socket failed or stalled.
    Dead,
}

/// Why the task goes on or ends.
enum Flow {
    Continue,
    End,
}

/// One connection's task.
#[derive(Debug)]
pub(crate) struct Connection {
    conn: ConnId,
    stream: TcpStream,
    link: Sender<ToEnclave>,
    events: UnboundedReceiver<Event>,
    outgoing: Outgoing,
    violations: UnboundedSender<Violation>,
    limits: ConnectionLimits,
    /// Credit for bytes towards the enclave.
    credit: SendWindow,
    /// Whether `Closed` is still to be said.
    reading: bool,
    read_len: usize,
    writing: Writing,
    /// The enclave said `Close`.
    released: bool,
    /// Bytes for the client; of the first, `written` are out already.
    queue: VecDeque<Vec<u8>>,
    written: usize,
    /// When a client that takes nothing is given up.
    stalled_at: Instant,
}

impl Connection {
    pub(crate) fn new(
        registration: Registration,
        stream: TcpStream,
        link: Sender<ToEnclave>,
        violations: UnboundedSender<Violation>,
        limits: ConnectionLimits,
    ) -> Self {
        let Registration { conn, events, outgoing } = registration;
        Self {
            conn,
            stream,
            link,
            events,
            outgoing,
            violations,
            limits,
            credit: SendWindow::default(),
            reading: true,
            read_len: MIN_READ,
            writing: Writing::Open,
            released: false,
            queue: VecDeque::new(),
            written: 0,
            stalled_at: Instant::now(),
        }
    }

    /// Tells the enclave of the connection.
    ///
    /// # Errors
    /// The link is at its end, which is the dispatcher's to report.
    pub(crate) async fn open(&self, peer: PeerOrigin) -> Result<(), LinkClosed> {
        self.link.send(ToEnclave::Open { conn: self.conn, peer }).await
    }

    /// Runs the connection to its end, once it is open. Ends early when the host gives it up or the link ends.
    pub(crate) async fn run(mut self) {
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> Result<(), LinkClosed> {
        loop {
            if self.released && (self.queue.is_empty() || self.writing == Writing::Dead) {
                return self.finish().await;
            }
            let may_read = self.reading && !self.released && self.credit.available() > 0;
            let may_write = !self.queue.is_empty();
            tokio::select! {
                event = self.events.recv(), if !self.released => {
                    let Some(event) = event else { return Ok(()) };
                    if let Flow::End = self.handle(event).await? {
                        return Ok(());
                    }
                }
                ready = self.stream.readable(), if may_read => match ready {
                    Ok(()) => self.read().await?,
                    Err(_) => self.fail().await?,
                },
                ready = self.stream.writable(), if may_write => match ready {
                    Ok(()) => self.write().await?,
                    Err(_) => self.fail().await?,
                },
                () = sleep_until(self.stalled_at), if may_write => {
                    tracing::debug!(conn = %self.conn, "client takes no bytes, dropped");
                    self.fail().await?;
                }
            }
        }
    }

    /// Takes this event and all that wait behind it, then writes as far as the socket goes.
    async fn handle(&mut self, first: Event) -> Result<Flow, LinkClosed> {
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                Event::Data(bytes) if self.writing == Writing::Dead => {
                    self.consumed(bytes.len()).await?;
                }
                Event::Data(bytes) => {
                    if self.queue.is_empty() {
                        self.stalled_at = Instant::now() + self.limits.write_stall;
                    }
                    if !bytes.is_empty() {
                        self.queue.push_back(bytes);
                    }
                }
                Event::Close => {
                    self.released = true;
                    if self.writing == Writing::Open {
                        self.writing = Writing::Closing;
                    }
                }
                Event::Credit(bytes) => {
                    if let Err(error) = self.credit.credit(bytes) {
                        let conn = self.conn;
                        // Nobody listens only when the host is ending anyway.
                        let _ = self.violations.send(Violation::Window { conn, error });
                        return Ok(Flow::End);
                    }
                }
            }
            next = self.events.try_recv().ok();
        }
        if !self.queue.is_empty() {
            self.write().await?;
        }
        Ok(Flow::Continue)
    }

    /// Reads once and passes the bytes on.
    async fn read(&mut self) -> Result<(), LinkClosed> {
        let want = self.read_len.min(self.credit.available() as usize);
        let mut bytes = Vec::with_capacity(want).limit(want);
        match self.stream.try_read_buf(&mut bytes) {
            Ok(0) => self.end_reading().await,
            Ok(len) => {
                let mut bytes = bytes.into_inner();
                if len == self.read_len {
                    self.read_len = (2 * self.read_len).min(MAX_READ);
                } else if len < want / 2 {
                    // Many small messages may wait in the link: they must not hold large buffers.
                    bytes.shrink_to_fit();
                    self.read_len = (self.read_len / 2).max(MIN_READ);
                }
                self.credit.take(len);
                let conn = self.conn;
                self.link.send(ToEnclave::Data { conn, bytes }).await
            }
            Err(error) if is_transient(&error) => Ok(()),
            Err(_) => self.fail().await,
        }
    }

    /// Writes what is queued until the socket takes no more.
    async fn write(&mut self) -> Result<(), LinkClosed> {
        let mut taken = 0;
        let mut failed = false;
        while let Some(front) = self.queue.front() {
            match self.stream.try_write(&front[self.written..]) {
                Ok(0) => {
                    failed = true;
                    break;
                }
                Ok(len) => {
                    taken += len;
                    self.written += len;
                    if self.written == front.len() {
                        self.queue.pop_front();
                        self.written = 0;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        if taken > 0 {
            self.stalled_at = Instant::now() + self.limits.write_stall;
            self.consumed(taken).await?;
        }
        if failed {
            self.fail().await?;
        }
        Ok(())
    }

    /// Bytes from the enclave are out of our hands.
    async fn consumed(&mut self, len: usize) -> Result<(), LinkClosed> {
        let credit = lock(&self.outgoing).consume(len);
        match credit {
            Some(bytes) if !self.released => {
                let conn = self.conn;
                self.link.send(ToEnclave::Credit { conn, bytes }).await
            }
            _ => Ok(()),
        }
    }

    /// Says `Closed`, once.
    async fn end_reading(&mut self) -> Result<(), LinkClosed> {
        if !std::mem::replace(&mut self.reading, false) {
            return Ok(());
        }
        let conn = self.conn;
        self.link.send(ToEnclave::Closed { conn }).await
    }

    /// Gives the socket up, in both directions.
    async fn fail(&mut self) -> Result<(), LinkClosed> {
        self.writing = Writing::Dead;
        let queued: usize = self.queue.iter().map(Vec::len).sum();
        let left = queued - self.written;
        self.queue.clear();
        self.written = 0;
        // The client is to see the end now, not when the enclave has heard of it.
        let _ = self.stream.shutdown().await;
        self.consumed(left).await?;
        self.end_reading().await
    }

    /// Everything is written: closes the socket, so that the client gets the last bytes.
    async fn finish(&mut self) -> Result<(), LinkClosed> {
        let clean = self.writing == Writing::Closing && self.stream.shutdown().await.is_ok();
        let unread = self.reading;
        // Said before lingering: the enclave needs not wait for that.
        self.end_reading().await?;
        if clean && unread {
            linger(&self.stream, self.limits.linger).await;
        }
        Ok(())
    }
}

/// Reads and throws away until the client closes its side. Closing a socket with unread bytes would
/// reset the connection, and the client might never see the answer that is on its way.
pub(crate) async fn linger(stream: &TcpStream, patience: Duration) {
    let drain = async {
        let mut scratch = [0; 4 << 10];
        let mut discarded = 0;
        while discarded < MAX_DISCARD && stream.readable().await.is_ok() {
            match stream.try_read(&mut scratch) {
                Ok(0) => return,
                Ok(len) => discarded += len,
                Err(error) if is_transient(&error) => {}
                Err(_) => return,
            }
        }
    };
    // A client that does not close in time is cut off, which is what the time is for.
    let _ = timeout(patience, drain).await;
}

fn is_transient(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
