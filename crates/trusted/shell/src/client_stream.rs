//! A client's bytes in the clear: after TLS, where there is any.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{frames::Frames, stream::ConnectionHandle};

/// Bytes of WebSocket frames that are read at one time.
const STEP: usize = 16 << 10;

/// What the HTTP server reads and writes. It reads nothing while too many requests are answered, and shows a
/// WebSocket's bytes in an order that does its parser no harm.
#[derive(Debug)]
pub(crate) struct ClientStream<S> {
    transport: S,
    handle: ConnectionHandle,
    /// What came since the connection became a WebSocket.
    frames: Option<Frames>,
}

impl<S> ClientStream<S> {
    pub(crate) const fn new(transport: S, handle: ConnectionHandle) -> Self {
        Self { transport, handle, frames: None }
    }
}

impl<S: AsyncRead + Unpin> ClientStream<S> {
    fn poll_frames(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(frames) = &mut self.frames else {
            return Pin::new(&mut self.transport).poll_read(cx, buf);
        };
        while frames.readable().is_empty() {
            if let Some(refusal) = frames.refusal() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
            }
            let mut step = [MaybeUninit::uninit(); STEP];
            let mut read = ReadBuf::uninit(&mut step);
            ready!(Pin::new(&mut self.transport).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            frames.receive(read.filled());
        }
        let count = frames.readable().len().min(buf.remaining());
        buf.put_slice(&frames.readable()[..count]);
        frames.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let upgraded = ready!(self.handle.poll_turn(cx));
        if let Some(limit) = upgraded {
            self.frames = Some(Frames::new(limit));
        }
        self.poll_frames(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.transport).poll_write(cx, buf))?;
        self.handle.backlog().remove(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.transport).poll_write_vectored(cx, bufs))?;
        self.handle.backlog().remove(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{future::Future as _, task::Waker};

    use cloister_boundary::{ConnId, FromEnclave};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::mpsc,
    };

    use super::*;
    use crate::{
        outbound::Outbound,
        stream::{ConnectionStream, Load, MAX_BYTES_IN_FLIGHT, MAX_REQUESTS_IN_FLIGHT},
    };

    fn connection() -> (ConnectionHandle, ClientStream<ConnectionStream>, mpsc::UnboundedReceiver<FromEnclave>) {
        let handle = ConnectionHandle::default();
        let (outbound, sent) = Outbound::to_test();
        let (finished, _) = mpsc::unbounded_channel();
        let stream = ConnectionStream::new(ConnId(7), handle.clone(), outbound, finished);
        (handle.clone(), ClientStream::new(stream, handle), sent)
    }

    #[tokio::test]
    async fn nothing_is_read_while_too_many_requests_are_answered() {
        let (handle, mut stream, _sent) = connection();
        let many = Load { requests: MAX_REQUESTS_IN_FLIGHT, bytes: 0 };
        let long = Load { requests: 1, bytes: MAX_BYTES_IN_FLIGHT };
        for load in [many, long] {
            handle.received(b"next".to_vec()).unwrap();
            let answering = handle.in_flight(load);
            let mut next = [0; 4];
            let mut reading = Box::pin(stream.read_exact(&mut next));
            assert!(reading.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(answering);
            reading.await.unwrap();
            assert_eq!(&next, b"next");
        }
        assert_eq!(handle.load(), Load::default());
        // The last words of a client that leaves are read.
        let _answering = handle.in_flight(many);
        handle.received(b"bye".to_vec()).unwrap();
        let mut rest = String::new();
        let mut reading = Box::pin(stream.read_to_string(&mut rest));
        assert!(reading.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        handle.ended();
        reading.await.unwrap();
        assert_eq!(rest, "bye");
    }

    #[tokio::test]
    async fn a_websocket_message_that_is_too_long_ends_the_reading() {
        let (handle, mut stream, mut sent) = connection();
        handle.received(b"GET".to_vec()).unwrap();
        stream.read_exact(&mut [0; 3]).await.unwrap();
        handle.upgraded(100);
        let ping = [0x89, 0x80, 0, 0, 0, 0];
        handle.received([ping.as_slice(), &[0x81, 0x80 | 101]].concat()).unwrap();
        handle.received(vec![0; 105]).unwrap();
        let mut read = [0; 6];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(read, ping);
        let error = stream.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(sent.try_recv().is_err(), "no more is asked for");
    }

    #[tokio::test]
    async fn what_is_written_leaves_the_backlog() {
        let (handle, mut stream, mut sent) = connection();
        handle.backlog().add(20);
        stream.write_all(b"seven b").await.unwrap();
        assert_eq!(handle.backlog().bytes(), 13);
        assert!(matches!(sent.recv().await, Some(FromEnclave::Data { bytes, .. }) if bytes == b"seven b"));
        let parts = [b"and".as_slice(), b" more"].map(IoSlice::new);
        assert_eq!(stream.write_vectored(&parts).await.unwrap(), 8);
        assert_eq!(handle.backlog().bytes(), 5);
        let together = sent.recv().await;
        assert!(matches!(together, Some(FromEnclave::Data { bytes, .. }) if bytes == b"and more"));
    }
}
