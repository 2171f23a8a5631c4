//! Single-use nonces that cost nothing until they are used.
//!
//! A nonce carries when it was issued and an authenticator under a key of this process: nothing is kept of nonces that are
//! only asked for, so asking for many fills nothing. Those that were used are kept until they expire.

use std::collections::BTreeSet;

use alloy_primitives::hex;
use cloister_crypto::{EntropySource, Key, Secret, hmac_sha256, is_hmac_sha256};

use super::refusal::Refusal;

/// How long a nonce can be used, in seconds.
pub(crate) const NONCE_SECONDS: u64 = 5 * 60;
/// Used nonces that are kept. More than the limits on sign-ins let through in the life of a nonce.
const MAX_USED: usize = 1 << 18;

const TIME_BYTES: usize = 8;
const RANDOM_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
const BODY_BYTES: usize = TIME_BYTES + RANDOM_BYTES;
const NONCE_BYTES: usize = BODY_BYTES + MAC_BYTES;

type Random = [u8; RANDOM_BYTES];

/// The nonces of one process.
pub(crate) struct Nonces {
    key: Key,
    used: BTreeSet<(u64, Random)>,
    most_used: usize,
    /// Time does not go back here, not even where a development network's does: what expired stays expired.
    now_s: u64,
}

fn draw_key(entropy: &mut dyn EntropySource) -> Key {
    Secret::init(|key| entropy.fill(key))
}

impl Nonces {
    pub(crate) fn new(entropy: &mut dyn EntropySource) -> Self {
        Self { key: draw_key(entropy), used: BTreeSet::new(), most_used: MAX_USED, now_s: 0 }
    }

    /// A new nonce: letters and digits, as EIP-4361 wants.
    pub(crate) fn issue(&mut self, now_s: u64, entropy: &mut dyn EntropySource) -> String {
        self.now_s = self.now_s.max(now_s);
        let mut nonce = [0; NONCE_BYTES];
        nonce[..TIME_BYTES].copy_from_slice(&self.now_s.to_be_bytes());
        entropy.fill(&mut nonce[TIME_BYTES..BODY_BYTES]);
        let mac = hmac_sha256(&self.key, &[&nonce[..BODY_BYTES]]);
        nonce[BODY_BYTES..].copy_from_slice(&mac);
        hex::encode(nonce)
    }

    /// Uses a nonce up.
    ///
    /// # Errors
    /// [`Refusal::NonceUnknown`], [`Refusal::NonceExpired`] or [`Refusal::NonceUsed`].
    pub(crate) fn redeem(&mut self, nonce: &str, now_s: u64, entropy: &mut dyn EntropySource) -> Result<(), Refusal> {
        self.now_s = self.now_s.max(now_s);
        let (issued_s, random) = self.open(nonce).ok_or(Refusal::NonceUnknown)?;
        let oldest_s = self.now_s.saturating_sub(NONCE_SECONDS);
        if issued_s < oldest_s {
            return Err(Refusal::NonceExpired);
        }
        self.used = self.used.split_off(&(oldest_s, Random::default()));
        if self.used.len() >= self.most_used {
            // No nonce that was issued so far is good any more, so none needs to be remembered.
            self.key = draw_key(entropy);
            self.used.clear();
            return Err(Refusal::NonceUnknown);
        }
        if self.used.insert((issued_s, random)) { Ok(()) } else { Err(Refusal::NonceUsed) }
    }

    fn open(&self, nonce: &str) -> Option<(u64, Random)> {
        // One spelling only: the same nonce in capitals is another one.
        if nonce.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; NONCE_BYTES];
        hex::decode_to_slice(nonce, &mut bytes).ok()?;
        let (body, mac) = bytes.split_at(BODY_BYTES);
        if !is_hmac_sha256(&self.key, &[body], mac) {
            return None;
        }
        let (time, random) = body.split_at(TIME_BYTES);
        Some((u64::from_be_bytes(time.try_into().ok()?), random.try_into().ok()?))
    }
}

impl core::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Nonces").field("used", &self.used.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use cloister_crypto::simulation::SeededEntropy;

    use super::*;

    fn nonces() -> (Nonces, SeededEntropy) {
        let mut entropy = SeededEntropy::new(7);
        (Nonces::new(&mut entropy), entropy)
    }

    #[test]
    fn a_nonce_is_good_once_and_for_five_minutes() {
        let (mut nonces, mut entropy) = nonces();
        let (first, second) = (nonces.issue(1_000, &mut entropy), nonces.issue(1_000, &mut entropy));
        assert_ne!(first, second);
        assert_eq!(nonces.redeem(&first, 1_000 + NONCE_SECONDS, &mut entropy), Ok(()));
        assert_eq!(nonces.redeem(&first, 1_000 + NONCE_SECONDS, &mut entropy), Err(Refusal::NonceUsed));
        assert_eq!(nonces.redeem(&second, 1_001 + NONCE_SECONDS, &mut entropy), Err(Refusal::NonceExpired));
        // What is not remembered any more is expired for good, whatever the chain's time does.
        assert_eq!(nonces.redeem(&first, 1_000, &mut entropy), Err(Refusal::NonceExpired));
    }

    #[test]
    fn only_what_this_process_issued_is_known() {
        let (mut nonces, mut entropy) = nonces();
        let nonce = nonces.issue(1_000, &mut entropy);
        for position in [0, 17, 50, nonce.len() - 1] {
            let mut forged = nonce.clone().into_bytes();
            forged[position] = if forged[position] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8_lossy(&forged).into_owned();
            assert_eq!(nonces.redeem(&forged, 1_000, &mut entropy), Err(Refusal::NonceUnknown), "{position}");
        }
        for wrong in ["", "12345678", &nonce[1..], &format!("{nonce}00"), &nonce.to_uppercase()] {
            assert_eq!(nonces.redeem(wrong, 1_000, &mut entropy), Err(Refusal::NonceUnknown), "{wrong}");
        }
        let mut other = Nonces::new(&mut entropy);
        assert_eq!(other.redeem(&nonce, 1_000, &mut entropy), Err(Refusal::NonceUnknown));
        assert_eq!(nonces.redeem(&nonce, 1_000, &mut entropy), Ok(()));
    }

    #[test]
    fn asking_for_many_keeps_nothing_and_using_many_is_bounded() {
        let (mut nonces, mut entropy) = nonces();
        nonces.most_used = 10;
        let issued: Vec<_> = (0..1_000).map(|_| nonces.issue(1_000, &mut entropy)).collect();
        assert_eq!(nonces.used.len(), 0);
        for nonce in &issued[..10] {
            assert_eq!(nonces.redeem(nonce, 1_000, &mut entropy), Ok(()));
        }
        // A flood makes everybody ask again, but lets nobody in twice.
        for nonce in &issued {
            assert_eq!(nonces.redeem(nonce, 1_000, &mut entropy), Err(Refusal::NonceUnknown));
        }
        assert_eq!(nonces.used.len(), 0);
        let fresh = nonces.issue(1_000, &mut entropy);
        assert_eq!(nonces.redeem(&fresh, 1_000, &mut entropy), Ok(()));
    }
}
