//! The network between a node and the others, as its operator configures it.

use std::{
    collections::BTreeSet,
    fmt,
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use cloister_network::{NetworkSettings, Peer, TransportKey};
use thiserror::Error;

/// Most other nodes that can be configured.
pub const MAX_PEERS: usize = 63;
/// Longest name of a host, in bytes (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// Lengths of a libp2p peer id in base58: those of its multihashes, from an inlined Ed25519 key to a SHA-256.
const PEER_ID_LENGTHS: core::ops::RangeInclusive<usize> = 46..=52;

/// How a node takes part in the network between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// What consensus calls this node.
    pub node_id: u64,
    /// Where others reach it.
    pub listen: SocketAddr,
    /// Virtual platform: the file with the key that seals the network's ledger, the same for all nodes.
    pub key_file: PathBuf,
    /// The other nodes.
    pub peers: Vec<PeerConfig>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// What consensus calls it.
    pub id: u64,
    /// Where it is reached.
    pub address: PeerAddress,
    /// Its transport's id, in base58.
    pub peer_id: String,
}

/// The text names no other node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("want the node's id, its address and its peer id, such as 2=beta.example:30303/12D3KooW…")]
pub struct NotAPeer;

impl FromStr for PeerConfig {
    type Err = NotAPeer;

    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        let (id, place) = text.split_once('=').ok_or(NotAPeer)?;
        let (address, peer_id) = place.split_once('/').ok_or(NotAPeer)?;
        let id = id.parse().map_err(|_| NotAPeer)?;
        let address = address.parse().map_err(|_| NotAPeer)?;
        Ok(Self { id, address, peer_id: peer_id.to_owned() })
    }
}

/// A host, by name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddress {
    host: String,
    port: u16,
}

impl PeerAddress {
    /// The name or IP address, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// The text names no host and port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("want a host and a port, such as beta.example:30303, 10.0.0.2:30303 or [fd00::2]:30303")]
pub struct NotAnAddress;

impl FromStr for PeerAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(NotAnAddress)?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match inner {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        let host = inner.unwrap_or(host).to_owned();
        if is_host { Ok(Self { host, port }) } else { Err(NotAnAddress) }
    }
}

/// A DNS name or an IPv4 address.
fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (1..=MAX_HOST_BYTES).contains(&host.len()) && host.split('.').all(label)
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What is wrong with a network's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NetworkConfigError {
    /// Consensus has no node 0.
    #[error("node_id is 0: the ids that the genesis gives to nodes are above zero")]
    NodeId,
    /// More than [`MAX_PEERS`].
    #[error("{count} peers, which is more than {MAX_PEERS}: leave some out")]
    TooManyPeers {
        /// How many there are.
        count: usize,
    },
    /// One of the peers is wrong, by itself or beside the others.
    #[error("peer {id}: {fault}")]
    Peer {
        /// Its place in the list, from 0.
        index: usize,
        /// Its id.
        id: u64,
        /// What is wrong.
        fault: PeerFault,
    },
}

/// What is wrong with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// Consensus has no node 0.
    #[error("the ids that the genesis gives to nodes are above zero")]
    Zero,
    /// It is this node.
    #[error("that is this node's own node_id; list the other nodes only")]
    Own,
    /// Another peer has the id.
    #[error("the id is listed twice; leave one out, or correct it")]
    IdTwice,
    /// Another peer has the address.
    #[error("another peer has the same address; correct one of them")]
    AddressTwice,
    /// Another peer has the transport's id.
    #[error("another peer has the same peer_id; correct one of them")]
    PeerIdTwice,
    /// Not a transport's id.
    #[error("peer_id is none: want the one that the node's operator was shown, which begins with 12D3KooW")]
    PeerId,
}

impl NetworkConfig {
    /// Checks the values, each by itself and against each other.
    ///
    /// # Errors
    /// [`NetworkConfigError`] for the first that is wrong.
    pub fn check(&self) -> Result<(), NetworkConfigError> {
        if self.node_id == 0 {
            return Err(NetworkConfigError::NodeId);
        }
        if self.peers.len() > MAX_PEERS {
            return Err(NetworkConfigError::TooManyPeers { count: self.peers.len() });
        }
        let (mut ids, mut addresses, mut peer_ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (index, peer) in self.peers.iter().enumerate() {
            let faults = [
                (peer.id == 0, PeerFault::Zero),
                (peer.id == self.node_id, PeerFault::Own),
                (!ids.insert(peer.id), PeerFault::IdTwice),
                (!is_peer_id(&peer.peer_id), PeerFault::PeerId),
                (!addresses.insert(&peer.address), PeerFault::AddressTwice),
                (!peer_ids.insert(&peer.peer_id), PeerFault::PeerIdTwice),
            ];
            if let Some((_, fault)) = faults.into_iter().find(|(wrong, _)| *wrong) {
                return Err(NetworkConfigError::Peer { index, id: peer.id, fault });
            }
        }
        Ok(())
    }
}

impl NetworkConfig {
    /// What the network between hosts is started with, once its transport has a key.
    ///
    /// # Errors
    /// As [`Self::check`]; and a peer id that only looks like one.
    pub fn settings(&self, key: TransportKey) -> Result<NetworkSettings, NetworkConfigError> {
        self.check()?;
        let peers = self.peers.iter().enumerate().map(|(index, peer)| {
            let wrong = |_| NetworkConfigError::Peer { index, id: peer.id, fault: PeerFault::PeerId };
            let peer_id = peer.peer_id.parse().map_err(wrong)?;
            let PeerAddress { host, port } = peer.address.clone();
            Ok(Peer { node: peer.id, host, port, peer_id })
        });
        let peers = peers.collect::<Result<_, _>>()?;
        Ok(NetworkSettings { node: self.node_id, listen: self.listen, key, peers })
    }
}

/// Whether a text has the form of a peer id; that it is one is for the transport to say.
fn is_peer_id(text: &str) -> bool {
    let base58 = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
    PEER_ID_LENGTHS.contains(&text.len()) && text.bytes().all(base58)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn peer(id: u64) -> PeerConfig {
        let digit = char::from_digit(u32::try_from(id % 9).unwrap() + 1, 10).unwrap();
        PeerConfig {
            id,
            address: format!("node{id}.example:30303").parse().unwrap(),
            peer_id: format!("12D3KooW{}", digit.to_string().repeat(44)),
        }
    }

    fn config(peers: Vec<PeerConfig>) -> NetworkConfig {
        let listen = SocketAddr::from(([0, 0, 0, 0], 30303));
        NetworkConfig { node_id: 1, listen, key_file: "network.key".into(), peers }
    }

    #[test]
    fn addresses_read_back_as_they_are_written() {
        for text in ["beta.example:30303", "10.0.0.2:1", "localhost:65535", "[fd00::2]:30303", "node_2:80"] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
        let six: PeerAddress = "[::1]:9".parse().unwrap();
        assert_eq!((six.host(), six.port()), ("::1", 9));
        for wrong in [
            "",
            "beta",
            "beta:",
            ":30303",
            "beta:0",
            "beta:65536",
            "a b:1",
            "fd00::2:30303",
            "[beta]:1",
            "a..b:1",
            "/a:1",
        ] {
            assert_eq!(wrong.parse::<PeerAddress>(), Err(NotAnAddress), "{wrong}");
        }
    }

    #[test]
    fn peers_are_read_from_one_word_and_their_ids_in_the_end_by_the_transport() {
        let key = |byte| TransportKey::from_seed([byte; 32]).unwrap();
        let word = format!("2=[::1]:30303/{}", key(2).peer_id());
        let mut config = config(vec![word.parse().unwrap()]);
        let settings = config.settings(key(1)).unwrap();
        let expected = Peer { node: 2, host: "::1".to_owned(), port: 30303, peer_id: key(2).peer_id() };
        assert_eq!((settings.node, settings.listen, settings.peers), (1, config.listen, vec![expected]));
        config.peers[0] = peer(2);
        let wrong = NetworkConfigError::Peer { index: 0, id: 2, fault: PeerFault::PeerId };
        assert_eq!(config.settings(key(1)).unwrap_err(), wrong);
        for wrong in ["", "2", "2=a:1", "a=a:1/b", "2=a/b", "=a:1/b"] {
            assert_eq!(wrong.parse::<PeerConfig>(), Err(NotAPeer), "{wrong}");
        }
    }

    #[test]
    fn a_network_has_other_nodes_or_none_yet() {
        assert_eq!(config(vec![peer(2), peer(3)]).check(), Ok(()));
        assert_eq!(config(Vec::new()).check(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let fault = |change: fn(&mut PeerConfig)| {
            let mut peers = vec![peer(2), peer(3)];
            change(&mut peers[1]);
            match config(peers).check() {
                Err(NetworkConfigError::Peer { index: 1, fault, .. }) => fault,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(fault(|peer| peer.id = 0), PeerFault::Zero);
        assert_eq!(fault(|peer| peer.id = 1), PeerFault::Own);
        assert_eq!(fault(|peer| peer.id = 2), PeerFault::IdTwice);
        assert_eq!(fault(|peer| peer.address = "node2.example:30303".parse().unwrap()), PeerFault::AddressTwice);
        assert_eq!(fault(|other| other.peer_id = peer(2).peer_id), PeerFault::PeerIdTwice);
        assert_eq!(fault(|peer| peer.peer_id = "12D3KooW…".to_owned()), PeerFault::PeerId);
        assert_eq!(fault(|peer| peer.peer_id = peer.peer_id.replace('1', "0")), PeerFault::PeerId);
        assert_eq!(NetworkConfig { node_id: 0, ..config(Vec::new()) }.check(), Err(NetworkConfigError::NodeId));
        let many = vec![peer(2); MAX_PEERS + 1];
        assert_eq!(config(many).check(), Err(NetworkConfigError::TooManyPeers { count: 64 }));
    }
}
