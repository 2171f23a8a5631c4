//! Who a node is among those of its network.

use alloy_primitives::B256;
use cloister_crypto::{Ed25519Key, Secret, sha256};

use crate::{
    PlatformKey,
    derive::{IDENTITY, derive},
};

/// The key that a node shows to the other nodes of its network. It follows from the platform key alone, so a node keeps
/// it for as long as it keeps its disk, on every chain.
#[derive(Debug)]
pub struct NodeIdentity(Ed25519Key);

impl NodeIdentity {
    /// The identity of the machine with this key.
    #[must_use]
    pub fn derive(platform_key: &PlatformKey) -> Self {
        Self(Ed25519Key::from_seed(&derive(platform_key.key(), IDENTITY, &[])))
    }

    /// What genesis lists: the SHA-256 of the public half's `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_sha256(&self) -> B256 {
        B256::new(sha256(&self.0.spki_der()))
    }

    /// Both halves in PKCS #8, for the TLS library inside the enclave. They must go nowhere else.
    #[must_use]
    pub fn pkcs8_der(&self) -> Secret<Vec<u8>> {
        self.0.pkcs8_der()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A changed derivation would make every listed node a stranger.
    #[test]
    fn the_identity_of_a_known_key_is_pinned() {
        let identity = |byte| NodeIdentity::derive(&PlatformKey::from_bytes(&[byte; 32]).unwrap()).spki_sha256();
        assert_eq!(hex::encode(identity(7)), "4d695c166184e637b1cbb3efc8f5bd4187780c66bfd5a1992c0ec190f8d0d909");
        assert_ne!(identity(8), identity(7));
    }
}
