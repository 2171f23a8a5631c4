//! **For tests and the simulator only**: entropy that repeats.
//!
//! Nothing that seals real data may use this module. Whoever knows the seed knows every nonce and every key drawn from it,
//! and two processes with one seed repeat each other's nonces.

use crate::{EntropySource, Key, Secret, kdf::hmac_with};

/// Entropy computed from a seed: HMAC-SHA256 in counter mode. The same seed gives the same bytes, however they are
/// divided among calls. Simulation only.
pub struct SeededEntropy {
    key: Key,
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl SeededEntropy {
    /// A source that starts over from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let key = Secret::init(|key| *key = hmac_with(b"cloister simulation entropy", &[&seed.to_be_bytes()]));
        Self { key, counter: 0, block: [0; 32], used: 32 }
    }
}

impl EntropySource for SeededEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                self.block = hmac_with(self.key.expose(), &[&self.counter.to_be_bytes()]);
                // Wrapping is out of reach (2^69 bytes) and would only repeat a simulation.
                self.counter = self.counter.wrapping_add(1);
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw<const N: usize>(entropy: &mut SeededEntropy) -> [u8; N] {
        let mut bytes = [0; N];
        entropy.fill(&mut bytes);
        bytes
    }

    #[test]
    fn one_seed_gives_one_stream_however_divided() {
        let whole: [u8; 100] = draw(&mut SeededEntropy::new(7));
        let mut entropy = SeededEntropy::new(7);
        let (first, second): ([u8; 33], [u8; 67]) = (draw(&mut entropy), draw(&mut entropy));
        assert_eq!(whole[..33], first);
        assert_eq!(whole[33..], second);
    }

    #[test]
    fn seeds_and_blocks_differ() {
        let one: [u8; 64] = draw(&mut SeededEntropy::new(1));
        let two: [u8; 64] = draw(&mut SeededEntropy::new(2));
        assert_ne!(one, two);
        assert_ne!(one[..32], one[32..]);
    }
}
