//! HPKE (RFC 9180) in base mode with HKDF-SHA256 and AES-256-GCM, and keys exported from its contexts.
//!
//! A set-up costs a few exchanges on the curve; whoever sends much goes on with an exported key ([`ContextKey`], RFC 9180 §5.3)
//! and counts. §5.2's own sequence would demand that messages arrive in order, which requests over HTTP do not.

use core::convert::Infallible;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce as LcNonce, UnboundKey};
use hpke::{
    Deserializable as _, Kem as KemTrait, OpModeR, OpModeS, Serializable as _,
    aead::AesGcm256,
    kdf::HkdfSha256,
    kem::{X25519HkdfSha256, XWing},
    rand_core::{TryCryptoRng, TryRng},
    setup_receiver, setup_sender_with_rng,
};

use crate::{CryptoError, EntropySource, Key, Secret};

#[cfg(test)]
mod tests;

/// Length of an AES-GCM nonce, bytes.
const GCM_NONCE_BYTES: usize = 12;

/// How a key is encapsulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HpkeKem {
    /// DHKEM(X25519, HKDF-SHA256), RFC 9180 §4.1.
    X25519,
    /// X-Wing: X25519 and ML-KEM-768, either of which suffices to keep the secret.
    XWing,
}

/// The half that opens. The crate that implements it wipes it when dropped.
pub struct HpkePrivateKey(Private);

enum Private {
    X25519(<X25519HkdfSha256 as KemTrait>::PrivateKey),
    XWing(Box<<XWing as KemTrait>::PrivateKey>),
}

/// A context's key: seals and opens with AES-256-GCM under sequence numbers of the caller's.
pub struct ContextKey(LessSafeKey);

/// What an opened message holds.
pub struct HpkeOpened {
    /// The message.
    pub plaintext: Vec<u8>,
    /// What the context goes on with.
    pub context: ContextKey,
}

/// What a sealed message consists of.
pub struct HpkeSealed {
    /// The encapsulated key (`enc`).
    pub encapsulated: Vec<u8>,
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
    /// What the context goes on with.
    pub context: ContextKey,
}

/// What both sides of a context agree on without saying it.
#[derive(Clone, Copy, Debug)]
pub struct HpkeTerms<'a> {
    /// HPKE's `info`.
    pub info: &'a [u8],
    /// What the context's key is exported for.
    pub export_label: &'a [u8],
}

impl HpkePrivateKey {
    /// The key pair that follows from 32 random bytes (RFC 9180 §7.1.3), and its public half.
    #[must_use]
    pub fn derive(kem: HpkeKem, seed: &Key) -> (Self, Vec<u8>) {
        match kem {
            HpkeKem::X25519 => {
                let (private, public) = X25519HkdfSha256::derive_keypair(seed.expose());
                (Self(Private::X25519(private)), public.to_bytes().to_vec())
            }
            HpkeKem::XWing => {
                let (private, public) = XWing::derive_keypair(seed.expose());
                (Self(Private::XWing(Box::new(private))), public.to_bytes().to_vec())
            }
        }
    }

    /// Opens the first message of a context.
    ///
    /// # Errors
    /// [`CryptoError::Authentication`] if key, message, terms and additional data do not belong together.
    pub fn open(
        &self,
        encapsulated: &[u8],
        terms: HpkeTerms<'_>,
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<HpkeOpened, CryptoError> {
        match &self.0 {
            Private::X25519(key) => open::<X25519HkdfSha256>(key, encapsulated, terms, aad, ciphertext),
            Private::XWing(key) => open::<XWing>(key, encapsulated, terms, aad, ciphertext),
        }
    }
}

fn open<Kem: KemTrait>(
    key: &Kem::PrivateKey,
    encapsulated: &[u8],
    terms: HpkeTerms<'_>,
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<HpkeOpened, CryptoError> {
    let refused = |_| CryptoError::Authentication;
    let encapsulated = Kem::EncappedKey::from_bytes(encapsulated).map_err(refused)?;
    let mut context = setup_receiver::<AesGcm256, HkdfSha256, Kem>(&OpModeR::Base, key, &encapsulated, terms.info)
        .map_err(refused)?;
    let plaintext = context.open(ciphertext, aad).map_err(refused)?;
    let context = ContextKey::exported(|out| context.export(terms.export_label, out).is_ok())?;
    Ok(HpkeOpened { plaintext, context })
}

/// Seals the first message of a context for whoever has the private half of `public_key`.
///
/// # Errors
/// [`CryptoError::Authentication`] if those bytes are no public key, [`CryptoError::TooLong`] if the message is beyond AES-GCM.
pub fn hpke_seal(
    kem: HpkeKem,
    public_key: &[u8],
    terms: HpkeTerms<'_>,
    aad: &[u8],
    plaintext: &[u8],
    entropy: &mut dyn EntropySource,
) -> Result<HpkeSealed, CryptoError> {
    match kem {
        HpkeKem::X25519 => seal::<X25519HkdfSha256>(public_key, terms, aad, plaintext, entropy),
        HpkeKem::XWing => seal::<XWing>(public_key, terms, aad, plaintext, entropy),
    }
}

fn seal<Kem: KemTrait>(
    public_key: &[u8],
    terms: HpkeTerms<'_>,
    aad: &[u8],
    plaintext: &[u8],
    entropy: &mut dyn EntropySource,
) -> Result<HpkeSealed, CryptoError> {
    let public = Kem::PublicKey::from_bytes(public_key).map_err(|_| CryptoError::Authentication)?;
    let mut source = Drawn(entropy);
    let (encapsulated, mut context) =
        setup_sender_with_rng::<AesGcm256, HkdfSha256, Kem>(&OpModeS::Base, &public, terms.info, &mut source)
            .map_err(|_| CryptoError::Authentication)?;
    let ciphertext = context.seal(plaintext, aad).map_err(|_| CryptoError::TooLong)?;
    let context = ContextKey::exported(|out| context.export(terms.export_label, out).is_ok())?;
    Ok(HpkeSealed { encapsulated: encapsulated.to_bytes().to_vec(), ciphertext, context })
}

impl ContextKey {
    fn exported(export: impl FnOnce(&mut [u8]) -> bool) -> Result<Self, CryptoError> {
        let mut done = false;
        let key: Key = Secret::init(|bytes| done = export(bytes));
        if !done {
            return Err(CryptoError::TooLong);
        }
        let key =
            UnboundKey::new(&AES_256_GCM, key.expose()).expect("invariant: the key has the length of the algorithm");
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals under a sequence number. Never the same one twice: who repeats one gives away both messages.
    ///
    /// # Errors
    /// [`CryptoError::TooLong`] beyond 2³⁶ bytes.
    pub fn seal(&self, sequence: u64, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut sealed = plaintext.to_vec();
        self.0
            .seal_in_place_append_tag(nonce(sequence), Aad::from(aad), &mut sealed)
            .map_err(|_| CryptoError::TooLong)?;
        Ok(sealed)
    }

    /// Opens what was sealed under a sequence number.
    ///
    /// # Errors
    /// [`CryptoError::Authentication`] if anything does not belong together.
    pub fn open(&self, sequence: u64, aad: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut opened = ciphertext.to_vec();
        let length = self
            .0
            .open_in_place(nonce(sequence), Aad::from(aad), &mut opened)
            .map_err(|_| CryptoError::Authentication)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}

fn nonce(sequence: u64) -> LcNonce {
    let mut nonce = [0; GCM_NONCE_BYTES];
    nonce[GCM_NONCE_BYTES - 8..].copy_from_slice(&sequence.to_be_bytes());
    LcNonce::assume_unique_for_key(nonce)
}

/// Show no key.
impl core::fmt::Debug for HpkePrivateKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HpkePrivateKey")
    }
}

impl core::fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ContextKey")
    }
}

/// Entropy as the HPKE crate wants it.
struct Drawn<'a>(&'a mut dyn EntropySource);

impl TryRng for Drawn<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Drawn<'_> {}
