//! Randomness of the platform.

use cloister_crypto::EntropySource;

/// Fresh randomness of the platform: never from the host, never stored.
pub(crate) struct PlatformEntropy;

impl EntropySource for PlatformEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without entropy nothing can be sealed safely: stopping at once is the only right answer.
        getrandom::fill(bytes).expect("the platform gives entropy");
    }
}
