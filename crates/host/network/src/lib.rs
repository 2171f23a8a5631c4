//! Moves opaque bytes between the hosts of a network's nodes, on libp2p.
//!
//! **Duty.** Listens for the hosts of other nodes and dials them; hands out one byte stream per pair of nodes
//! ([`Network::next_link`]), and a new one when that has ended. Of two nodes the one with the lower number dials, and goes on
//! dialling with pauses that grow to two seconds.
//!
//! **Trusts.** libp2p with who is at the other end of a connection (Noise), which matters for availability only: whether a
//! node is one, and what it says, is between the enclaves.
//!
//! **Invariants.** Hosts that are not configured are refused once their key is known, before a stream is opened. Each
//! pair has [`MAX_LINKS_PER_PEER`] streams at most. A stream that nobody reads fills its window and no more. A connection
//! whose other end does not answer for a few seconds is given up, so its streams end.
//!
//! **Not here.** What the bytes mean (the shell's `peers`), which nodes there are (genesis, for the enclave; the operator's
//! configuration, for this crate), key files (`host/node`).
#![forbid(unsafe_code)]

mod dial;
mod key;
mod link;
mod swarm;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use thiserror::Error;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

pub use cloister_boundary::Side;
pub use key::{TRANSPORT_KEY_LEN, TransportKey};
pub use libp2p::PeerId;
pub use link::{Link, LinkStream};

/// Streams with one other host that may be open at one time: one, and the one that takes its place.
pub const MAX_LINKS_PER_PEER: usize = 2;

/// Where a host is, and who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The number that genesis gives its node.
    pub node: u64,
    /// Its name or IP address. A name is looked up whenever the host is dialled.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What its key is known by.
    pub peer_id: PeerId,
}

/// What a host needs to know to take part.
#[derive(Clone, Debug)]
pub struct NetworkSettings {
    /// The number that genesis gives this node.
    pub node: u64,
    /// Where to listen; port 0 means any free one.
    pub listen: SocketAddr,
    /// This host's own key.
    pub key: TransportKey,
    /// The other hosts.
    pub peers: Vec<Peer>,
}

/// Why the network cannot be taken part in.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// Two nodes of one number, or two hosts with one key, this one included.
    #[error("node {node} is configured twice, or its peer id is another's or this node's own")]
    Twice {
        /// The number.
        node: u64,
    },
    /// The address cannot be listened on.
    #[error("cannot listen for other nodes on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// libp2p does not start.
    #[error("the network cannot be set up: {0}")]
    Setup(String),
}

/// Another host, while the network runs.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) peer: Peer,
    /// One permit for each stream that is open.
    pub(crate) places: Arc<Semaphore>,
}

/// The running network. Dropping it ends all links.
#[derive(Debug)]
pub struct Network {
    address: SocketAddr,
    links: mpsc::Receiver<Link>,
    _tasks: JoinSet<()>,
}

impl Network {
    /// Listens, and begins to dial.
    ///
    /// # Errors
    /// [`NetworkError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(settings: NetworkSettings) -> Result<Self, NetworkError> {
        let NetworkSettings { node, listen, key, peers } = settings;
        let listed = list(node, &key, peers)?;
        let allowed: Vec<_> = listed.keys().copied().collect();
        let mut tasks = JoinSet::new();
        let swarm::Started { address, control, dials } = swarm::start(listen, key, &allowed, &mut tasks).await?;
        let (sender, links) = mpsc::channel(listed.len().max(1));
        let incoming =
            control.clone().accept(link::PROTOCOL).map_err(|error| NetworkError::Setup(error.to_string()))?;
        let (above, below): (BTreeMap<_, _>, BTreeMap<_, _>) =
            listed.into_iter().partition(|(_, listed)| listed.peer.node > node);
        tasks.spawn(link::accept(incoming, below, sender.clone()));
        for (_, listed) in above {
            tasks.spawn(dial::keep(listed, dials.clone(), control.clone(), sender.clone()));
        }
        Ok(Self { address, links, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next stream to another host; `None` when the network has ended.
    pub async fn next_link(&mut self) -> Option<Link> {
        self.links.recv().await
    }
}

/// The other hosts by their keys.
fn list(node: u64, key: &TransportKey, peers: Vec<Peer>) -> Result<BTreeMap<PeerId, Listed>, NetworkError> {
    let mut numbers = BTreeSet::from([node]);
    let mut ids = BTreeSet::from([key.peer_id()]);
    let mut listed = BTreeMap::new();
    for peer in peers {
        if !numbers.insert(peer.node) || !ids.insert(peer.peer_id) {
            return Err(NetworkError::Twice { node: peer.node });
        }
        let places = Arc::new(Semaphore::new(MAX_LINKS_PER_PEER));
        listed.insert(peer.peer_id, Listed { peer, places });
    }
    Ok(listed)
}
