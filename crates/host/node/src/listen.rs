//! The listening socket and its clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cloister_boundary::link::Sender;
use cloister_boundary::{PeerOrigin, ToEnclave};
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::ConnectionLimits;
use crate::connection::{Connection, linger};
use crate::error::Violation;
use crate::host::Ready;
use crate::metrics::{Metrics, Open};
use crate::table::Table;

/// Connections that the system may hold ready before they are accepted.
const BACKLOG: u32 = 4_096;

/// Refusals that are written out at one time; beyond that a connection is just closed.
const MAX_REFUSALS: usize = 256;

/// Time for writing a refusal.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

/// Pause after the system could not accept, such as for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a client is told that is not served.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain\r\ncontent-length: 21\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    too many connections\n";
const NOT_READY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain\r\ncontent-length: 44\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
    the node is not ready: its log says why not\n";

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another program listens there.
    #[error("port {} is taken by another program; stop it, or choose another port", .address.port())]
    PortTaken {
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024 need a privilege.
    #[error("port {} may not be used by this user; choose one above 1023", .address.port())]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// The machine has no such address.
    #[error("{} is not an address of this machine", .address.ip())]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {error}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
}

/// A bound socket. Clients may connect from now on; they are served once the enclave is ready, and are not kept waiting for
/// that for long: a node may wait for others.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 means any free one.
    ///
    /// # Errors
    /// See [`ListenError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        bind(address).map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => ListenError::PortTaken { address },
            std::io::ErrorKind::PermissionDenied => ListenError::Denied { address },
            std::io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress { address },
            _ => ListenError::Io { address, error },
        })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, and where it comes from. Forgets none when it is dropped.
    pub(crate) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<Listener> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restarted node gets its port back although old connections linger in the system.
    socket.set_reuseaddr(true)?;
    // Inherited by accepted sockets: finds out about clients that vanished.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    let socket = socket.listen(BACKLOG)?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// What accepted connections need.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) table: Arc<Table>,
    pub(crate) link: Sender<ToEnclave>,
    pub(crate) violations: UnboundedSender<Violation>,
    pub(crate) limits: ConnectionLimits,
    pub(crate) metrics: Metrics,
}

/// What a client may wait for before it is served.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) ready: watch::Receiver<Option<Ready>>,
    pub(crate) stop: watch::Receiver<()>,
}

impl Opening {
    /// Whether the enclave is ready before `patience` or the host ends.
    async fn comes(mut self, patience: Duration) -> bool {
        tokio::select! {
            ready = timeout(patience, self.ready.wait_for(Option::is_some)) => matches!(ready, Ok(Ok(_))),
            _ = self.stop.changed() => false,
        }
    }
}

/// Accepts until `stop` changes or its sender is gone, then waits for the connections to end.
/// Dropping the future ends them at once.
pub(crate) async fn accept(listener: Listener, serving: Serving, opening: Opening) {
    let mut stop = opening.stop.clone();
    let connections = Arc::new(Semaphore::new(serving.limits.max_connections));
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut tasks = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
        };
        let clients = &serving.metrics.clients;
        if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
            let place = (permit, clients.open());
            if opening.ready.borrow().is_none() {
                tasks.spawn(serve_later(stream, origin(peer), serving.clone(), opening.clone(), place));
                continue;
            }
            // Here, so that the enclave hears of clients in the order in which they came: where too many are half open, the oldest
            // have to go, and tasks begin in any order.
            let connection = serving.connection(stream);
            tokio::select! {
                opened = connection.open(origin(peer)) => if opened.is_ok() {
                    tasks.spawn(serve(connection, place));
                },
                _ = stop.changed() => break,
            }
            continue;
        }
        clients.refused.inc();
        if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            tasks.spawn(refuse(stream, TOO_MANY, permit));
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

impl Serving {
    fn connection(&self, stream: TcpStream) -> Connection {
        // Only costs latency if refused.
        let _ = stream.set_nodelay(true);
        let (link, violations, limits) = (self.link.clone(), self.violations.clone(), self.limits);
        Connection::new(self.table.register(), stream, link, violations, limits)
    }
}

/// What a client takes up as long as it is connected.
type Place = (OwnedSemaphorePermit, Open);

async fn serve(connection: Connection, _place: Place) {
    connection.run().await;
}

/// Serves a client that came before the enclave was ready.
async fn serve_later(stream: TcpStream, peer: PeerOrigin, serving: Serving, opening: Opening, place: Place) {
    if !opening.comes(serving.limits.opening).await {
        serving.metrics.clients.refused.inc();
        return refuse(stream, NOT_READY, place.0).await;
    }
    let connection = serving.connection(stream);
    if connection.open(peer).await.is_ok() {
        serve(connection, place).await;
    }
}

async fn refuse(mut stream: TcpStream, answer: &'static [u8], _permit: OwnedSemaphorePermit) {
    let written = async {
        stream.write_all(answer).await?;
        stream.shutdown().await
    };
    if let Ok(Ok(())) = timeout(REFUSAL_PATIENCE, written).await {
        linger(&stream, REFUSAL_PATIENCE).await;
    }
}

fn origin(peer: SocketAddr) -> PeerOrigin {
    if peer.ip().to_canonical().is_loopback() { PeerOrigin::Loopback } else { PeerOrigin::Remote }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_lengths_they_state() {
        for refusal in [TOO_MANY, NOT_READY] {
            let text = std::str::from_utf8(refusal).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
        }
    }

    #[test]
    fn loopback_is_told_from_the_rest_of_the_world() {
        for (peer, expected) in [
            ("127.0.0.1:1", PeerOrigin::Loopback),
            ("127.9.9.9:1", PeerOrigin::Loopback),
            ("[::1]:1", PeerOrigin::Loopback),
            ("[::ffff:127.0.0.1]:1", PeerOrigin::Loopback),
            ("10.0.0.1:1", PeerOrigin::Remote),
            ("[::ffff:10.0.0.1]:1", PeerOrigin::Remote),
            ("[2001:db8::1]:1", PeerOrigin::Remote),
        ] {
            assert_eq!(origin(peer.parse().unwrap()), expected, "{peer}");
        }
    }
}
