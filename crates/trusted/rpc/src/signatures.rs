//! Whether an account signed something: with its key, or, where it is a contract, by its own word (EIP-1271).

use alloy_primitives::{Address, B256, Bytes, FixedBytes, Signature, U256, fixed_bytes};
use cloister_access::Caller;
use cloister_execution::{BlockOverrides, CallEnv, CallOutcome, CallRequest, StateOverrides, recover_signer};

use crate::{
    RpcContext,
    calls::{block_hash, on_blocking_thread},
    errors::{self, RpcResult},
};

/// Longest signature that is looked at, in bytes: a contract's may consist of many.
pub const MAX_SIGNATURE_BYTES: usize = 16 * 1024;

/// Gas that a contract may use to say yes or no.
pub const CONTRACT_SIGNATURE_GAS: u64 = 2_000_000;

/// `isValidSignature(bytes32,bytes)`: its selector, and what it returns for yes (EIP-1271).
const MAGIC: FixedBytes<4> = fixed_bytes!("1626ba7e");

/// Order of secp256k1.
const ORDER: U256 = alloy_primitives::uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    /// Longer than [`MAX_SIGNATURE_BYTES`].
    TooLong,
    /// The account's own, but with the upper of the two values of `s` (EIP-2): anybody can make one from the other.
    Malleable,
    /// Not made by the account's key, and no contract there says that it is good. Which of the two is not said: it would
    /// tell where contracts are.
    NotOfAccount,
}

/// Recovers who signed `digest`.
fn signer(signature: &[u8], digest: B256) -> Option<Result<Address, SignatureFault>> {
    let (v, rest) = signature.split_last().filter(|(_, rest)| rest.len() == 64)?;
    let odd = match v {
        0 | 27 => false,
        1 | 28 => true,
        _ => return None,
    };
    let (r, s) = (U256::from_be_slice(&rest[..32]), U256::from_be_slice(&rest[32..]));
    if let Ok(signer) = recover_signer(&Signature::new(r, s, odd), digest) {
        return Some(Ok(signer));
    }
    let twin = Signature::new(r, ORDER.checked_sub(s)?, !odd);
    recover_signer(&twin, digest).ok().map(|_| Err(SignatureFault::Malleable))
}

/// Checks that `account` signed `digest`.
///
/// A contract is asked in the committed state, with [`CONTRACT_SIGNATURE_GAS`] and in its own name, so that it sees no
/// more than it may see anyway; what it changes is discarded.
///
/// # Errors
/// A JSON-RPC error if the node cannot look now. The inner one says why the signature proves nothing.
pub async fn check(
    context: &RpcContext,
    account: Address,
    digest: B256,
    signature: Bytes,
) -> RpcResult<Result<(), SignatureFault>> {
    if signature.len() > MAX_SIGNATURE_BYTES {
        return Ok(Err(SignatureFault::TooLong));
    }
    let by_key = signer(&signature, digest);
    if by_key == Some(Ok(account)) {
        return Ok(Ok(()));
    }
    if by_contract(context, account, digest, &signature).await? {
        return Ok(Ok(()));
    }
    Ok(Err(match by_key {
        Some(Err(fault)) => fault,
        _ => SignatureFault::NotOfAccount,
    }))
}

/// Calldata of `isValidSignature`.
fn question(digest: B256, signature: &[u8]) -> Bytes {
    let mut input = MAGIC.to_vec();
    input.extend_from_slice(digest.as_slice());
    input.extend_from_slice(&U256::from(64).to_be_bytes::<32>());
    input.extend_from_slice(&U256::from(signature.len()).to_be_bytes::<32>());
    input.extend_from_slice(signature);
    let arguments = input.len() - MAGIC.len();
    input.resize(MAGIC.len() + arguments.next_multiple_of(32), 0);
    input.into()
}

/// The whole first word counts: `bytes4` is padded with zeros on the right.
fn is_yes(output: &[u8]) -> bool {
    output.get(..32).is_some_and(|word| word[..4] == MAGIC && word[4..].iter().all(|byte| *byte == 0))
}

async fn by_contract(context: &RpcContext, account: Address, digest: B256, signature: &[u8]) -> RpcResult<bool> {
    let caller = Caller::Session([account].into());
    let request = CallRequest {
        from: Some(account),
        to: Some(account),
        gas: Some(CONTRACT_SIGNATURE_GAS),
        input: question(digest, signature),
        ..CallRequest::default()
    };
    let (ledger, executor) = (context.ledger.clone(), context.executor.clone());
    on_blocking_thread(context, move || {
        let reader = ledger.reader(&caller);
        let block = reader.head().map_err(|error| errors::state(&error))?;
        let state = reader.state(block.height()).map_err(|error| errors::state(&error))?;
        let Some(view) = state.call_view(account, Some(account)) else {
            return Ok(false);
        };
        let hashes = |height| block_hash(&ledger, &caller, height);
        let guard = state.guard();
        let (state_overrides, block_overrides) = (StateOverrides::new(), BlockOverrides::default());
        let env = CallEnv {
            header: block.header(),
            hashes: &hashes,
            state_overrides: &state_overrides,
            block_overrides: &block_overrides,
            guard: &guard,
            gas_cap: CONTRACT_SIGNATURE_GAS,
        };
        Ok(match executor.call(view, &env, &request) {
            Ok(CallOutcome::Success { output, .. }) => is_yes(&output),
            Ok(CallOutcome::Revert { .. } | CallOutcome::Halt { .. }) | Err(_) => false,
        })
    })
    .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_primitives::{address, b256, bytes, hex};

    use super::*;

    /// Signature of the digest of EIP-191 "hello" by the first test account of Hardhat and anvil, made with cast.
    const DIGEST: B256 = b256!("50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750");
    const SIGNER: Address = address!("f39fd6e51aad88f6f4ce6ab8827279cfffb92266");

    #[test]
    fn questions_are_encoded_as_the_abi_says() {
        let expected = hex!(
            "1626ba7e50b2c43fd39106bafbba0da34fc430e1f91e3c96ea2acee2bc34119f92b37750"
            "0000000000000000000000000000000000000000000000000000000000000040"
            "0000000000000000000000000000000000000000000000000000000000000003"
            "0102030000000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(question(DIGEST, &[1, 2, 3]), Bytes::from(expected.to_vec()));
        assert_eq!(question(DIGEST, &[]).len(), 4 + 3 * 32);
        assert_eq!(question(DIGEST, &[7; 32]).len(), 4 + 4 * 32);
    }

    #[test]
    fn only_the_magic_word_is_a_yes() {
        let yes = bytes!("1626ba7e00000000000000000000000000000000000000000000000000000000");
        assert!(is_yes(&yes));
        assert!(is_yes(&[&yes[..], &[1; 32]].concat()));
        for no in [&yes[..31], &[], &[0; 32], &[0xff; 32], &[&MAGIC[..], &[1; 28]].concat()] {
            assert!(!is_yes(no), "{no:?}");
        }
    }

    #[test]
    fn keys_sign_in_one_way_only() {
        let good = SIGNATURE_OF_HELLO;
        assert_eq!(signer(&good, DIGEST), Some(Ok(SIGNER)));
        let mut other_v = good;
        other_v[64] -= 27;
        assert_eq!(signer(&other_v, DIGEST), Some(Ok(SIGNER)));
        let mut high = good;
        high[32..64].copy_from_slice(&(ORDER - U256::from_be_slice(&good[32..64])).to_be_bytes::<32>());
        high[64] = 27 + 28 - high[64];
        assert_eq!(signer(&high, DIGEST), Some(Err(SignatureFault::Malleable)));
        assert_ne!(signer(&good, B256::ZERO), Some(Ok(SIGNER)));
        let mut wrong_v = good;
        wrong_v[64] = 37;
        for wrong in [&wrong_v[..], &good[..64], &[], &[0; 65], &[0xff; 65]] {
            assert!(!matches!(signer(wrong, DIGEST), Some(Ok(_))), "{wrong:?}");
        }
    }

    const SIGNATURE_OF_HELLO: [u8; 65] = hex!(
        "f16ea9a3478698f695fd1401bfe27e9e4a7e8e3da94aa72b021125e31fa899cc573c48ea3fe1d4ab61a9db10c19032026e3ed2dbccba5a178235ac27f94504311c"
    );
}
