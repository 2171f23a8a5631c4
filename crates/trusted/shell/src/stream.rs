//! One client connection as a byte stream over boundary messages.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use cloister_boundary::{ConnId, FromEnclave, MAX_DATA, ReceiveWindow, SendWindow, WindowError};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
};

use crate::outbound::Outbound;

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

/// The multiplexer's side of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionHandle(Arc<Mutex<Inner>>);

impl ConnectionHandle {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
    }

    /// The client took bytes.
    pub(crate) fn credited(&self, bytes: u32) -> Result<(), WindowError> {
        let mut inner = self.lock();
        inner.send.credit(bytes)?;
        wake(inner.writer.take());
        Ok(())
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The server's side: reads what the client sent, writes within the host's credit.
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
        let mut inner = self.handle.lock();
        let Some(front) = inner.received.front() else {
            if inner.ended {
                return Poll::Ready(Ok(()));
            }
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let rest = &front[inner.offset..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        if count == rest.len() {
            inner.received.pop_front();
            inner.offset = 0;
        } else {
            inner.offset += count;
        }
        let credit = inner.receive.consume(count);
        drop(inner);
        if let Some(bytes) = credit {
            let conn = self.conn;
            let _ = self.outbound.send(FromEnclave::Credit { conn, bytes });
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ConnectionStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut inner = self.handle.lock();
        let count = inner.send.take(buf.len().min(MAX_DATA));
        if count == 0 {
            inner.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(inner);
        let message = FromEnclave::Data { conn: self.conn, bytes: buf[..count].to_vec() };
        if self.outbound.send(message).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Poll::Ready(Ok(count))
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

    #[test]
    fn a_host_that_sends_beyond_its_credit_is_found_out() {
        let (handle, _stream, _sent, _ends) = connection();
        handle.received(vec![0; INITIAL_WINDOW as usize]).unwrap();
        assert!(handle.received(vec![0]).is_err());
    }
}
