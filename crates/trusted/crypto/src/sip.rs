//! SipHash-2-4 (Aumasson, Bernstein 2012): a fast keyed function with short outputs, for tables and filters.

use siphasher::sip::SipHasher24;

use crate::Key;

/// Bytes of a SipHash key.
const SIP_KEY_LEN: usize = 16;

/// SipHash-2-4 of `input` under the first 16 bytes of `key`: unpredictable without the key, and too short to authenticate
/// anything.
#[must_use]
pub fn siphash_2_4(key: &Key, input: &[u8]) -> u64 {
    let (key, _) = key.expose().split_first_chunk::<SIP_KEY_LEN>().expect("invariant: a key is longer");
    SipHasher24::new_with_key(key).hash(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    /// The example in appendix A of the paper.
    #[test]
    fn the_papers_example() {
        let counting = core::array::from_fn(|index| index as u8);
        let key = Secret::new(counting);
        assert_eq!(siphash_2_4(&key, &counting[..15]), 0xa129_ca61_49be_45e5);
    }
}
