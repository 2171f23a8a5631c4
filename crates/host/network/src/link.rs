//! Streams between two hosts.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{AsyncRead as _, AsyncWrite as _, StreamExt as _};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::IncomingStreams;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, mpsc},
};

use crate::{Listed, Side};

/// What is spoken in a stream.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/cloister/peer/1");

/// A new stream to another host.
#[derive(Debug)]
pub struct Link {
    /// The number of its node, by this host's configuration.
    pub node: u64,
    /// Who opened it.
    pub opened_by: Side,
    /// The bytes.
    pub stream: LinkStream,
}

/// The bytes of a link. Dropping it ends the link.
#[derive(Debug)]
pub struct LinkStream {
    stream: Stream,
    _place: OwnedSemaphorePermit,
}

impl LinkStream {
    pub(crate) const fn new(stream: Stream, place: OwnedSemaphorePermit) -> Self {
        Self { stream, _place: place }
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(Pin::new(&mut self.stream).poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Takes the streams that hosts with lower numbers open. What is not taken here is reset.
pub(crate) async fn accept(mut incoming: IncomingStreams, below: BTreeMap<PeerId, Listed>, links: mpsc::Sender<Link>) {
    while let Some((peer, stream)) = incoming.next().await {
        let Some(Listed { peer, places }) = below.get(&peer) else {
            tracing::debug!(%peer, "a host that is not to dial opened a stream: refused");
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::debug!(node = peer.node, "a host opened more streams than it may: refused");
            continue;
        };
        let link = Link { node: peer.node, opened_by: Side::There, stream: LinkStream::new(stream, place) };
        if links.send(link).await.is_err() {
            return;
        }
    }
}
