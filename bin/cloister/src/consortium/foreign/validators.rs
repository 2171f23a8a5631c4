//! Whom a consensus named in `extraData` of its first block.

use alloy_primitives::Address;
use alloy_rlp::{Decodable as _, Header};

/// Bytes for anything before the signers.
const VANITY_BYTES: usize = 32;
/// Bytes of a clique header's own signature.
const SEAL_BYTES: usize = 65;

/// The validators that `extraData` names for the consensus of this key; `None` if it names none.
pub(super) fn validators(consensus: &str, extra: &[u8]) -> Option<Vec<Address>> {
    let listed = if consensus == "clique" { clique(extra) } else { qbft(extra).or_else(|| istanbul(extra)) };
    listed.filter(|listed| !listed.is_empty())
}

/// RLP of vanity, validators, vote, round and seals: QBFT, and Besu's IBFT 2.
fn qbft(mut extra: &[u8]) -> Option<Vec<Address>> {
    let mut fields = Header::decode_bytes(&mut extra, true).ok()?;
    Header::decode_bytes(&mut fields, false).ok()?;
    Vec::decode(&mut fields).ok()
}

/// Vanity, then RLP of validators, seal and committed seals: GoQuorum's IBFT.
fn istanbul(extra: &[u8]) -> Option<Vec<Address>> {
    let mut rest = extra.get(VANITY_BYTES..)?;
    let mut fields = Header::decode_bytes(&mut rest, true).ok()?;
    Vec::decode(&mut fields).ok()
}

/// Vanity, signers and seal one after the other (EIP-225).
fn clique(extra: &[u8]) -> Option<Vec<Address>> {
    let signers = extra.get(VANITY_BYTES..extra.len().checked_sub(SEAL_BYTES)?)?;
    let (signers, rest) = signers.as_chunks::<20>();
    rest.is_empty().then(|| signers.iter().map(Address::from).collect())
}
