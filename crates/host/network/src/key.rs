//! The key of a host's transport.

use core::fmt;

use libp2p::{PeerId, identity::Keypair};

/// Length of a transport's key in bytes.
pub const TRANSPORT_KEY_LEN: usize = 32;

/// The Ed25519 key of a host's transport. It protects nothing of the ledger: it lets the hosts of a network recognize
/// each other.
#[derive(Clone)]
pub struct TransportKey(Keypair);

impl TransportKey {
    /// The key of a seed; `None` where libp2p does not take it.
    #[must_use]
    pub fn from_seed(mut seed: [u8; TRANSPORT_KEY_LEN]) -> Option<Self> {
        Keypair::ed25519_from_bytes(&mut seed).ok().map(Self)
    }

    /// What others know this host by: `12D3KooW…`.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.0.public().to_peer_id()
    }

    pub(crate) fn into_keypair(self) -> Keypair {
        self.0
    }
}

/// Shows no key.
impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransportKey({})", self.peer_id())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_follows_from_the_key_and_reads_back() {
        let id = TransportKey::from_seed([7; 32]).unwrap().peer_id();
        assert!(id.to_string().starts_with("12D3KooW"), "{id}");
        assert_eq!(id.to_string().parse::<PeerId>().unwrap(), id);
        assert_ne!(TransportKey::from_seed([8; 32]).unwrap().peer_id(), id);
    }
}
