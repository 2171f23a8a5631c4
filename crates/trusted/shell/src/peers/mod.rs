//! Links to the other nodes of the network.
//!
//! A link is a connection like a client's: the host moves its bytes and says whose host is at the other end. What it
//! says is believed only once that node's enclave has proved it ([`tls`]): it shows the identity that genesis lists for
//! the number, and evidence that the network takes. Then each end says its version and its number, and after that what
//! their cores have to say to each other ([`frames`]).

mod frames;
mod fuzz;
mod links;
mod roster;
mod tls;

use std::{io, sync::Arc, time::Duration};

use alloy_primitives::B256;
use cloister_attestation::Attester;
use cloister_boundary::{HaltCode, Side, StartInfo};
use cloister_core::{MAX_PEER_MESSAGE_BYTES, NodeId};
use cloister_keys::{KeyError, NodeIdentity, PlatformKey};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};

use crate::{core_thread::CoreInput, offered::HostTime, stream::ConnectionStream};
pub use fuzz::fuzz_link;
use links::Links;
use roster::Roster;
use tls::PeerTls;

/// Time for a handshake and for the first words.
const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes under way at one time. Genesis names at most 31 nodes.
const MAX_HANDSHAKES: usize = 64;

/// What genesis lists of the node with this platform key.
///
/// # Errors
/// [`KeyError`] if the bytes are no platform key.
pub fn node_identity(platform_key: &[u8]) -> Result<B256, KeyError> {
    Ok(NodeIdentity::derive(&PlatformKey::from_bytes(platform_key)?).spki_sha256())
}

/// Why a link to another node comes to nothing. It is told to the operator, never to the other end.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    #[error("this node was started as one by itself, without --node-id")]
    Alone,
    #[error("the host names this node itself as the other end")]
    Itself,
    #[error("neither genesis nor its members know such a node")]
    Unlisted,
    #[error("too many links are being opened at one time")]
    TooMany,
    #[error("the other end did not prove itself in time")]
    Silent,
    #[error("there is no certificate to show: {0}")]
    NoCertificate(String),
    #[error("TLS is not configured: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the handshake failed: {0}")]
    Handshake(String),
    #[error("it speaks another protocol than the one between nodes")]
    Protocol,
    #[error("it speaks version {found} of the protocol between nodes, this node version {}", frames::VERSION)]
    Version { found: u16 },
    #[error("it calls itself node {found}")]
    OtherNode { found: u64 },
    #[error("it sends a message of {bytes} bytes; 1 to {MAX_PEER_MESSAGE_BYTES} are taken")]
    Length { bytes: u32 },
    /// No event beyond the end of the link.
    #[error("the link broke: {0}")]
    Broken(#[from] io::Error),
}

/// What is known of the network so far.
#[derive(Clone)]
enum Surroundings {
    /// The start is not worked through. What members decided may be read from the chain before.
    NotYet(Option<Vec<(NodeId, B256)>>),
    Alone,
    Network(Arc<Network>),
}

/// The other nodes, from the time on that the enclave is started. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers {
    surroundings: Arc<watch::Sender<Surroundings>>,
    host_time: HostTime,
}

impl core::fmt::Debug for Peers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

impl Peers {
    pub(crate) fn new(host_time: HostTime) -> Self {
        Self { surroundings: Arc::new(watch::channel(Surroundings::NotYet(None)).0), host_time }
    }

    /// Finds out from what the host starts the enclave with who the others are. Links that came before wait for it.
    ///
    /// # Errors
    /// What keeps this enclave from being one of them.
    pub(crate) async fn begin(
        &self,
        start: Beginning,
        attester: Option<Attester>,
        core: mpsc::UnboundedSender<CoreInput>,
    ) -> Result<(), (HaltCode, &'static str)> {
        let Some(member) = start.member else {
            self.surroundings.send_replace(Surroundings::Alone);
            return Ok(());
        };
        // The hash of a genesis block takes its time.
        let roster = tokio::task::spawn_blocking(move || Roster::read(&member.genesis, member.node, &member.identity));
        let (roster, identity) = match roster.await {
            Ok(roster) => (roster?, start.identity),
            Err(_) => return Err((HaltCode::Invariant, "the genesis could not be read")),
        };
        let (Some(attester), Some(identity)) = (attester, identity) else {
            return Err((HaltCode::BadOptions, "this enclave has nothing to vouch for a node's identity"));
        };
        let links = Links::new(core);
        let tls = PeerTls::new(attester, identity, roster.subject(), self.host_time.clone())
            .map_err(|_| (HaltCode::Invariant, "the identity of this node cannot be used for TLS"))?;
        let network = Network { roster, tls, links, handshakes: Semaphore::new(MAX_HANDSHAKES) };
        self.surroundings.send_modify(|surroundings| {
            if let Surroundings::NotYet(Some(nodes)) = surroundings {
                network.roster.replace(nodes);
            }
            *surroundings = Surroundings::Network(Arc::new(network));
        });
        Ok(())
    }

    /// Serves a link to its end.
    pub(crate) fn serve(&self, stream: ConnectionStream, node: u64, opened_by: Side) {
        let peers = self.clone();
        tokio::spawn(async move {
            match peers.link(stream, node, opened_by).await {
                Ok(()) => {}
                Err(LinkError::Broken(error)) => tracing::debug!(node, "a link to a node broke: {error}"),
                Err(error) => tracing::warn!(event = "peer-refused", node, "a link to a node is closed: {error}"),
            }
        });
    }

    async fn link<S>(&self, stream: S, node: u64, opened_by: Side) -> Result<(), LinkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut surroundings = self.surroundings.subscribe();
        let known = surroundings.wait_for(|surroundings| !matches!(surroundings, Surroundings::NotYet(_))).await;
        // The guard must not be held while the link lives.
        let known = known.map(|known| known.clone());
        match known {
            Ok(Surroundings::Network(network)) => network.link(stream, node, opened_by).await,
            _ => Err(LinkError::Alone),
        }
    }

    /// Holds links with these nodes alone from now on.
    pub(crate) fn restrict(&self, nodes: &[(NodeId, B256)]) {
        self.surroundings.send_if_modified(|surroundings| {
            match surroundings {
                Surroundings::NotYet(decided) => *decided = Some(nodes.to_vec()),
                Surroundings::Network(network) => {
                    for gone in network.roster.replace(nodes) {
                        network.links.close(gone);
                    }
                }
                Surroundings::Alone => {}
            }
            // Who waits for the start is not there yet, or need not hear of it.
            false
        });
    }

    /// Says something to another node, if it is connected and takes it; what cannot be said is lost.
    pub(crate) fn send(&self, to: NodeId, message: alloy_primitives::Bytes) {
        if let Surroundings::Network(network) = &*self.surroundings.borrow() {
            network.links.send(to, message);
        }
    }
}

/// What is kept of the host's start for the links.
pub(crate) struct Beginning {
    identity: Option<NodeIdentity>,
    member: Option<Member>,
}

struct Member {
    genesis: Vec<u8>,
    node: u64,
    identity: B256,
}

impl Beginning {
    /// # Errors
    /// The platform key is none.
    pub(crate) fn of(info: &StartInfo) -> Result<Self, (HaltCode, &'static str)> {
        let Some(membership) = &info.membership else {
            return Ok(Self { identity: None, member: None });
        };
        let key = PlatformKey::from_bytes(&info.platform_key)
            .map_err(|_| (HaltCode::WrongKey, "the sealing key is damaged"))?;
        let identity = NodeIdentity::derive(&key);
        let member = Member { genesis: info.genesis.clone(), node: membership.node, identity: identity.spki_sha256() };
        Ok(Self { identity: Some(identity), member: Some(member) })
    }
}

/// The network as this node knows it.
struct Network {
    roster: Roster,
    tls: PeerTls,
    links: Links,
    handshakes: Semaphore,
}

impl Network {
    async fn link<S>(&self, stream: S, number: u64, opened_by: Side) -> Result<(), LinkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let peer = self.roster.expected(number)?;
        let handshake = self.handshakes.try_acquire().map_err(|_| LinkError::TooMany)?;
        let node = peer.node;
        let proved = async {
            let mut stream = self.tls.shake_hands(stream, peer, opened_by).await?;
            frames::greet(&mut stream, self.roster.node(), node).await?;
            Ok::<_, LinkError>(stream)
        };
        let stream = timeout(PATIENCE, proved).await.map_err(|_| LinkError::Silent)??;
        drop(handshake);
        self.links.run(node, stream).await
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
