//! AES-256-GCM-SIV (RFC 8452), in place, with a bound on the number of seals.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce as LcNonce, UnboundKey};

use crate::{CryptoError, Key};

#[cfg(test)]
mod tests;

/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;

/// Length of an authentication tag in bytes.
pub const TAG_LEN: usize = 16;

/// How often one key may seal. With random 96-bit nonces, 2^32 seals repeat one with probability 2^-33.
pub const MAX_SEALS_PER_KEY: u64 = 1 << 32;

/// A nonce: random, and used for one seal.
pub type Nonce = [u8; NONCE_LEN];

/// An authentication tag.
pub type Tag = [u8; TAG_LEN];

/// A key that seals and opens. Shared between threads; aws-lc wipes its own copy when the key is dropped.
pub struct AeadKey {
    key: LessSafeKey,
    seals: AtomicU64,
}

impl AeadKey {
    /// A key that has not sealed anything yet.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, key.expose())
            .expect("invariant: the key has the length of the algorithm");
        Self { key: LessSafeKey::new(unbound), seals: AtomicU64::new(0) }
    }

    /// Replaces `in_out` by its ciphertext and returns the tag; the lengths are equal.
    ///
    /// # Errors
    /// [`CryptoError::KeyExhausted`] after [`MAX_SEALS_PER_KEY`] seals, [`CryptoError::TooLong`] beyond the 2^36 bytes of
    /// RFC 8452. Either way nothing was sealed, and `in_out` must not be let out.
    pub fn seal_in_place(&self, nonce: Nonce, aad: &[u8], in_out: &mut [u8]) -> Result<Tag, CryptoError> {
        // Counted before sealing, so that threads cannot pass the bound together. 2^64 attempts are out of reach.
        if self.seals.fetch_add(1, Ordering::Relaxed) >= MAX_SEALS_PER_KEY {
            return Err(CryptoError::KeyExhausted);
        }
        let nonce = LcNonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out);
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(sealed.map_err(|_| CryptoError::TooLong)?.as_ref());
        Ok(tag)
    }

    /// Opens `in_out[start..]` = ciphertext ‖ tag and moves the plaintext to the beginning of `in_out`, over whatever
    /// stood there; returns the plaintext.
    ///
    /// # Errors
    /// [`CryptoError::Authentication`] if anything does not belong together; `in_out` is then unusable.
    pub fn open_in_place<'a>(
        &self,
        nonce: Nonce,
        aad: &[u8],
        in_out: &'a mut [u8],
        start: usize,
    ) -> Result<&'a mut [u8], CryptoError> {
        let nonce = LcNonce::assume_unique_for_key(nonce);
        self.key.open_within(nonce, Aad::from(aad), in_out, start..).map_err(|_| CryptoError::Authentication)
    }

    /// How often this key has sealed, counting refused attempts.
    #[must_use]
    pub fn seals(&self) -> u64 {
        self.seals.load(Ordering::Relaxed)
    }
}
