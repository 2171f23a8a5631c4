//! Ids of filters and subscriptions: unguessable, in the form geth gives them.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::atomic::{AtomicU64, Ordering},
};

use jsonrpsee::{core::traits::IdProvider, types::SubscriptionId};

/// Gives ids as `0x` and up to 32 hex digits.
///
/// An id is a keyed hash of a counter under keys from the operating system's randomness, so that
/// nobody guesses another client's filter. Nothing secret rests on it: filters also have an owner.
#[derive(Debug, Default)]
pub struct HexIdProvider {
    keys: [RandomState; 2],
    next: AtomicU64,
}

impl HexIdProvider {
    /// The next id.
    #[must_use]
    pub fn next_hex(&self) -> String {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let [high, low] = self.keys.each_ref().map(|keys| keys.hash_one(count));
        format!("{:#x}", u128::from(high) << 64 | u128::from(low))
    }
}

impl IdProvider for HexIdProvider {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(self.next_hex().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_and_differ() {
        let ids = HexIdProvider::default();
        let (first, second) = (ids.next_hex(), ids.next_hex());
        assert_ne!(first, second);
        assert!(first.starts_with("0x") && first.len() > 20 && first.len() <= 34, "{first}");
        assert_ne!(HexIdProvider::default().next_hex(), first);
    }
}
