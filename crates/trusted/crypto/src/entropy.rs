//! The door through which randomness comes in.

use crate::{NONCE_LEN, Nonce};

/// A source of uniformly random bytes.
///
/// In an enclave this is the platform's own generator, fresh at each call: never the host's, and never a generator whose
/// state is stored, since machines get cloned and rolled back. Tests and the simulator use
/// [`SeededEntropy`](crate::simulation::SeededEntropy).
///
/// Infallible: an implementation whose generator fails ends the process rather than returning weak bytes.
pub trait EntropySource {
    /// Overwrites all of `bytes` with random ones.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// A fresh nonce for one seal.
#[must_use]
pub fn draw_nonce(entropy: &mut dyn EntropySource) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts upward, to see which bytes go where.
    struct Counting(u8);

    impl EntropySource for Counting {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0;
                self.0 = self.0.wrapping_add(1);
            }
        }
    }

    #[test]
    fn a_nonce_takes_twelve_bytes() {
        let mut entropy = Counting(0);
        assert_eq!(draw_nonce(&mut entropy), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(draw_nonce(&mut entropy)[0], 12);
    }
}
