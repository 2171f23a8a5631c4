//! One client connection as a byte stream over boundary messages.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use cloister_boundary::{ConnId, FromEnclave, MAX_DATA, ReceiveWindow, SendWindow, WindowError};
use cloister_rpc::Backlog;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};

use crate::outbound::Outbound;

/// Requests of one connection that are answered at one time, those of a batch counted singly. No more is read from a
/// client that has so many: over HTTP it waits for an answer anyway, over WebSocket nothing else would stop it.
pub(crate) const MAX_REQUESTS_IN_FLIGHT: usize = 1_024;

/// Bytes of parameters in those requests, likewise.
pub(crate) const MAX_BYTES_IN_FLIGHT: usize = 30 << 20;

#[derive(Debug, Default)]
struct Inner {
    received: VecDeque<Vec<u8>>,
    /// Bytes of the first buffer that were read.
    offset: usize,
    ended: bool,
    receive: ReceiveWindow,
    send: SendWindow,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What the server knows of the client besides its bytes.
#[derive(Debug, Default)]
struct Flow {
    in_flight: Load,
    /// The connection has just become a WebSocket, with messages of up to so many bytes.
    upgraded: Option<u64>,
    reader: Option<Waker>,
}

/// What requests hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// How many there are.
    pub(crate) requests: usize,
    /// Bytes of their parameters.
    pub(crate) bytes: usize,
}

impl Load {
    /// This and another's.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self { requests: self.requests + other.requests, bytes: self.bytes + other.bytes }
    }
}

impl Inner {
    /// Copies what may be read now; returns how many bytes that were.
    fn read_into(&mut self, buf: &mut ReadBuf<'_>) -> usize {
        let Some(front) = self.received.front() else {
            return 0;
        };
        let rest = &front[self.offset..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.offset += count;
        if self.offset == front.len() {
            self.received.pop_front();
            self.offset = 0;
        }
        count
    }
}

/// The multiplexer's side of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionHandle {
    inner: Arc<Mutex<Inner>>,
    flow: Arc<Mutex<Flow>>,
    backlog: Backlog,
}

impl ConnectionHandle {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was made for the client and is not written yet.
    pub(crate) const fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Bytes came from the client.
    pub(crate) fn received(&self, bytes: Vec<u8>) -> Result<(), WindowError> {
        let mut inner = self.lock();
        inner.receive.receive(bytes.len())?;
        inner.received.push_back(bytes);
        wake(inner.reader.take());
        Ok(())
    }

    /// The client will send no more.
    pub(crate) fn ended(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        wake(inner.reader.take());
        drop(inner);
        wake(self.flow().reader.take());
    }

    /// The first byte that came and was not read; `None` at the end.
    pub(crate) async fn first_byte(&self) -> Option<u8> {
        poll_fn(|cx| {
            let mut inner = self.lock();
            let first = inner.received.front().and_then(|front| front.get(inner.offset)).copied();
            if first.is_none() && !inner.ended {
                inner.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(first)
        })
        .await
    }

    /// The client took bytes.
    pub(crate) fn credited(&self, bytes: u32) -> Result<(), WindowError> {
        let mut inner = self.lock();
        inner.send.credit(bytes)?;
        wake(inner.writer.take());
        Ok(())
    }

    /// From here on the client sends WebSocket frames, in messages of up to `limit` bytes.
    pub(crate) fn upgraded(&self, limit: u64) {
        self.flow().upgraded = Some(limit);
    }

    /// Waits until more may be read of the client, which first waits for answers if it has asked for too much. One that
    /// has said its last is read to the end, which is a window of bytes at most. Says once that the connection became a
    /// WebSocket.
    pub(crate) fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        let mut flow = self.flow();
        let Load { requests, bytes } = flow.in_flight;
        if (requests >= MAX_REQUESTS_IN_FLIGHT || bytes >= MAX_BYTES_IN_FLIGHT) && !self.lock().ended {
            flow.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(flow.upgraded.take())
    }

    /// What is being answered.
    #[cfg(test)]
    pub(crate) fn load(&self) -> Load {
        self.flow().in_flight
    }

    /// Requests are being answered until what this returns is dropped.
    pub(crate) fn in_flight(&self, load: Load) -> InFlight {
        let mut flow = self.flow();
        flow.in_flight.requests += load.requests;
        flow.in_flight.bytes += load.bytes;
        drop(flow);
        InFlight { handle: self.clone(), load }
    }
}

/// Requests that are being answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    handle: ConnectionHandle,
    load: Load,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut flow = self.handle.flow();
        flow.in_flight.requests -= self.load.requests;
        flow.in_flight.bytes -= self.load.bytes;
        wake(flow.reader.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The enclave's side of the bytes that the host carries: reads what came, writes within the host's credit.
#[derive(Debug)]
pub(crate) struct ConnectionStream {
    conn: ConnId,
    handle: ConnectionHandle,
    outbound: Outbound,
    finished: mpsc::UnboundedSender<ConnId>,
    closed: bool,
}

impl ConnectionStream {
    pub(crate) const fn new(
        conn: ConnId,
        handle: ConnectionHandle,
        outbound: Outbound,
        finished: mpsc::UnboundedSender<ConnId>,
    ) -> Self {
        Self { conn, handle, outbound, finished, closed: false }
    }

    /// Its connection.
    pub(crate) const fn handle(&self) -> &ConnectionHandle {
        &self.handle
    }

    fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            let _ = self.outbound.send(FromEnclave::Close { conn: self.conn });
        }
    }
}

impl Drop for ConnectionStream {
    fn drop(&mut self) {
        self.close();
        let _ = self.finished.send(self.conn);
    }
}

impl AsyncRead for ConnectionStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut inner = self.handle.lock();
        let used = inner.read_into(buf);
        let has_read = used > 0;
        let is_over = inner.ended && inner.received.is_empty();
        if !has_read && !is_over {
            inner.reader = Some(cx.waker().clone());
        }
        let credit = inner.receive.consume(used);
        drop(inner);
        if let Some(bytes) = credit {
            let conn = self.conn;
            let _ = self.outbound.send(FromEnclave::Credit { conn, bytes });
        }
        if has_read || is_over { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for ConnectionStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let offered = bufs.iter().fold(0, |sum: usize, buf| sum.saturating_add(buf.len())).min(MAX_DATA);
        if offered == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut inner = self.handle.lock();
        let count = inner.send.take(offered);
        if count == 0 {
            inner.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(inner);
        let mut bytes = Vec::with_capacity(count);
        for buf in bufs {
            bytes.extend_from_slice(&buf[..buf.len().min(count - bytes.len())]);
        }
        if self.outbound.send(FromEnclave::Data { conn: self.conn, bytes }).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Poll::Ready(Ok(count))
    }

    /// What is written is copied once, from wherever it is.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cloister_boundary::INITIAL_WINDOW;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn connection()
    -> (ConnectionHandle, ConnectionStream, mpsc::UnboundedReceiver<FromEnclave>, mpsc::UnboundedReceiver<ConnId>) {
        let handle = ConnectionHandle::default();
        let (outbound, sent) = Outbound::to_test();
        let (finished, ends) = mpsc::unbounded_channel();
        let stream = ConnectionStream::new(ConnId(7), handle.clone(), outbound, finished);
        (handle, stream, sent, ends)
    }

    #[tokio::test]
    async fn reads_what_came_and_then_the_end() {
        let (handle, mut stream, _sent, _ends) = connection();
        handle.received(b"he".to_vec()).unwrap();
        handle.received(b"llo".to_vec()).unwrap();
        handle.ended();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn what_is_written_in_parts_is_sent_as_one_up_to_the_longest_message() {
        let (_handle, mut stream, mut sent, _ends) = connection();
        let long = vec![b'x'; MAX_DATA];
        let parts = [b"he" as &[u8], b"", b"llo ", &long, b"never"].map(IoSlice::new);
        assert_eq!(stream.write_vectored(&parts).await.unwrap(), MAX_DATA);
        let FromEnclave::Data { conn: ConnId(7), bytes } = sent.recv().await.unwrap() else { panic!("no data") };
        assert_eq!(bytes, [b"hello ", &long[6..]].concat());
        assert_eq!(stream.write_vectored(&[]).await.unwrap(), 0);
        assert!(sent.try_recv().is_err(), "nothing is no message");
    }

    #[tokio::test]
    async fn writes_stop_without_credit_and_go_on_with_it() {
        let (handle, mut stream, mut sent, _ends) = connection();
        let window = INITIAL_WINDOW as usize;
        stream.write_all(&vec![1; window]).await.unwrap();
        let blocked = tokio::spawn(async move {
            stream.write_all(b"more").await.unwrap();
            stream
        });
        assert!(matches!(sent.recv().await, Some(FromEnclave::Data { bytes, .. }) if bytes.len() == window));
        assert!(sent.try_recv().is_err());
        handle.credited(10).unwrap();
        let stream = blocked.await.unwrap();
        assert!(matches!(sent.recv().await, Some(FromEnclave::Data { bytes, .. }) if bytes == b"more"));
        assert!(handle.credited(INITIAL_WINDOW).is_err(), "credit that was never spent");
        drop(stream);
        assert!(matches!(sent.recv().await, Some(FromEnclave::Close { conn: ConnId(7) })));
    }

    #[tokio::test]
    async fn the_first_byte_is_looked_at_and_left() {
        let (handle, mut stream, _sent, _ends) = connection();
        let looking = tokio::spawn({
            let handle = handle.clone();
            async move { handle.first_byte().await }
        });
        tokio::task::yield_now().await;
        handle.received(b"hi".to_vec()).unwrap();
        assert_eq!(looking.await.unwrap(), Some(b'h'));
        stream.read_exact(&mut [0; 1]).await.unwrap();
        assert_eq!(handle.first_byte().await, Some(b'i'));
        stream.read_exact(&mut [0; 1]).await.unwrap();
        handle.ended();
        assert_eq!(handle.first_byte().await, None);
    }

    #[test]
    fn a_host_that_sends_beyond_its_credit_is_found_out() {
        let (handle, _stream, _sent, _ends) = connection();
        handle.received(vec![0; INITIAL_WINDOW as usize]).unwrap();
        assert!(handle.received(vec![0]).is_err());
    }
}
