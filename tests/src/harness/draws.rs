//! What a node draws at random, over its starts.
//!
//! Two worlds with cryptography of their own draw different nonces and keys. But which of two starts of a node counts as the newer
//! one is a coin, and what nodes say to each other next depends on it: that one falls alike in both worlds, or they would differ
//! by a coin and not by a secret.

use cloister_crypto::EntropySource;
use cloister_crypto::simulation::SeededEntropy;
use cloister_keys::INCARNATION_LEN;

/// So far from each other are the seeds of a node's starts.
const NEXT_START: u64 = 1 << 32;
/// What of an incarnation decides which of two starts is the newer one.
const COIN_BYTES: usize = 8;

/// Where the draws of one start come from.
pub(super) struct Draws {
    coins_seed: u64,
    own_seed: u64,
    coins: SeededEntropy,
    own: SeededEntropy,
}

impl Draws {
    /// `coins_seed` is that of both worlds, and `own_seed` that of one.
    pub(super) fn new(coins_seed: u64, own_seed: u64) -> Self {
        Self { coins_seed, own_seed, coins: SeededEntropy::new(coins_seed), own: SeededEntropy::new(own_seed) }
    }

    /// Those of the node's next start.
    pub(super) fn of_next_start(&self) -> Self {
        Self::new(self.coins_seed.wrapping_add(NEXT_START), self.own_seed.wrapping_add(NEXT_START))
    }
}

impl EntropySource for Draws {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.own.fill(bytes);
        if bytes.len() == INCARNATION_LEN {
            self.coins.fill(&mut bytes[..COIN_BYTES]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn<const N: usize>(draws: &mut Draws) -> [u8; N] {
        let mut bytes = [0; N];
        draws.fill(&mut bytes);
        bytes
    }

    #[test]
    fn which_start_is_newer_falls_alike_in_both_worlds_and_all_else_is_each_ones_own() {
        let (mut first, mut second) = (Draws::new(1, 2), Draws::new(1, 3));
        let mut coins = Vec::new();
        for _ in 0..2 {
            assert_ne!(drawn::<32>(&mut first), drawn::<32>(&mut second), "keys");
            let incarnations = [&mut first, &mut second].map(drawn::<INCARNATION_LEN>);
            let [(coin, nonce), (other_coin, other_nonce)] =
                incarnations.each_ref().map(|incarnation| incarnation.split_at(COIN_BYTES));
            assert_eq!(coin, other_coin);
            assert_ne!(nonce, other_nonce);
            coins.push(coin.to_vec());
            (first, second) = (first.of_next_start(), second.of_next_start());
        }
        assert_ne!(coins[0], coins[1], "each start draws anew");
    }
}
