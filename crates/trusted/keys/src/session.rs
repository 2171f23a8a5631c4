//! The key that makes session tokens unforgeable.

use core::fmt;

use cloister_crypto::{Key, hmac_sha256, is_hmac_sha256};

/// Length of a token's authenticator in bytes.
pub const SESSION_MAC_LEN: usize = 32;

/// Authenticates session tokens: whoever has the ledger's keys can check a token that another node made.
pub struct SessionKey(Key);

impl SessionKey {
    pub(crate) const fn new(key: Key) -> Self {
        Self(key)
    }

    /// HMAC-SHA256 over the concatenation of `parts`.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; SESSION_MAC_LEN] {
        hmac_sha256(&self.0, parts)
    }

    /// Whether `mac` is that of `parts`, in a time that does not depend on where they differ.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        is_hmac_sha256(&self.0, parts, mac)
    }
}

/// Shows no key.
impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}
