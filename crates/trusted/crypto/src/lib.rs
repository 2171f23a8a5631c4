//! AEAD, key derivation, hashes, secrets and the entropy trait: the only crate that names a cipher.
//!
//! **Duty.** Wraps aws-lc in a handful of types that are hard to use wrongly: [`AeadKey`] (AES-256-GCM-SIV, RFC 8452),
//! [`hkdf_sha256`] (RFC 5869), [`hmac_sha256`] (RFC 2104), [`sha256`] and [`sha512`] (FIPS 180-4), [`siphash_2_4`],
//! [`HpkePrivateKey`] and [`hpke_seal`] (RFC 9180), [`Ed25519Key`] (RFC 8032), [`Secret`].
//!
//! **Trusts.** aws-lc, and whoever implements [`EntropySource`]: nonces are handed in, and that they never repeat rests
//! on the entropy they were drawn from.
//!
//! **Invariants.** Secrets are wiped when dropped and implement neither `Clone`, `Debug` nor any serialization. One key seals
//! at most [`MAX_SEALS_PER_KEY`] times. Failed authentication says nothing beyond that it failed, and yields no plaintext.
//!
//! **Not here.** Which key is used for what (`cloister-keys`), any source of randomness, signatures of transactions.

mod aead;
mod ed25519;
mod entropy;
mod hash;
mod hpke;
mod kdf;
mod secret;
pub mod simulation;
mod sip;

pub use aead::{AeadKey, MAX_SEALS_PER_KEY, NONCE_LEN, Nonce, TAG_LEN, Tag};
pub use ed25519::Ed25519Key;
pub use entropy::{EntropySource, draw_nonce};
pub use hash::{sha256, sha512};
pub use hpke::{ContextKey, HpkeKem, HpkeOpened, HpkePrivateKey, HpkeSealed, HpkeTerms, hpke_seal};
pub use kdf::{KEY_LEN, Key, hkdf_sha256, hmac_sha256, is_hmac_sha256};
pub use secret::Secret;
pub use sip::siphash_2_4;

/// What a cryptographic operation can fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// The key has sealed [`MAX_SEALS_PER_KEY`] times; another key is needed. Unavailable until the caller has one.
    #[error("the key has sealed as often as it may")]
    KeyExhausted,
    /// Ciphertext, tag, nonce, additional data and key do not belong together.
    #[error("authentication failed")]
    Authentication,
    /// The input is longer than the algorithm takes, or the output longer than it gives.
    #[error("too long for the algorithm")]
    TooLong,
}
