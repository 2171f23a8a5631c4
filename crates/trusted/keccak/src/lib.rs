//! Keccak-256 of many messages: four at a time on processors with AVX2, one by one on others.
//!
//! Tries and transactions are hashed in great numbers, and one message cannot use the width of today's registers. The
//! digests are those of [`alloy_primitives::keccak256`], whichever way they are computed.

#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod queue;

use alloy_primitives::{B256, keccak256};

/// Hashes `messages`; `each` is told the position of one, counted from zero, and its digest. Shorter messages may be
/// told of before longer ones.
pub fn keccak256_each<'a>(messages: impl IntoIterator<Item = &'a [u8]>, each: impl FnMut(usize, B256)) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function is compiled for, and it asks for nothing else.
        #[allow(unsafe_code)]
        return unsafe { queue::keccak256_each(messages, each) };
    }
    one_by_one(messages, each);
}

fn one_by_one<'a>(messages: impl IntoIterator<Item = &'a [u8]>, mut each: impl FnMut(usize, B256)) {
    for (index, message) in messages.into_iter().enumerate() {
        each(index, keccak256(message));
    }
}

/// The digests of `messages`, in their order.
#[must_use]
pub fn keccak256_all<T: AsRef<[u8]>>(messages: &[T]) -> Vec<B256> {
    let mut digests = vec![B256::ZERO; messages.len()];
    keccak256_each(messages.iter().map(AsRef::as_ref), |index, digest| digests[index] = digest);
    digests
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(messages: &[Vec<u8>]) {
        let expected: Vec<_> = messages.iter().map(keccak256).collect();
        assert_eq!(keccak256_all(messages), expected);
        let mut told = Vec::new();
        keccak256_each(messages.iter().map(Vec::as_slice), |index, _| told.push(index));
        told.sort_unstable();
        assert_eq!(told, (0..messages.len()).collect::<Vec<_>>(), "each is told once");
        let mut slowly = vec![B256::ZERO; messages.len()];
        one_by_one(messages.iter().map(Vec::as_slice), |index, digest| slowly[index] = digest);
        assert_eq!(slowly, expected);
    }

    #[test]
    fn every_length_around_the_ends_of_blocks() {
        for count in 1..=9 {
            check(&vec![Vec::new(); count]);
        }
        let of = |length: usize| (0..length).map(|at| (at * 7 + length) as u8).collect::<Vec<_>>();
        check(&(0..=700).map(of).collect::<Vec<_>>());
        check(&(0..=700).rev().map(of).collect::<Vec<_>>());
        check(&[of(5_000), of(1), of(136), of(135), of(272), of(3), of(0)]);
    }

    #[test]
    fn known_digests() {
        // Keccak's padding, not that of SHA-3: the hash of nothing is Ethereum's.
        let digests = keccak256_all(&["", "abc", "", "abc", ""]);
        for digest in digests.iter().step_by(2) {
            assert_eq!(*digest, alloy_primitives::KECCAK256_EMPTY);
        }
        let abc = alloy_primitives::b256!("4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45");
        assert_eq!([digests[1], digests[3]], [abc; 2]);
    }

    proptest! {
        #[test]
        fn any_messages(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..40)) {
            check(&messages);
        }
    }
}
