//! From raw bytes to a transaction with its sender.

use std::sync::Arc;

use crate::blobs::BLOB_TYPE;
use alloy_consensus::Header;
use alloy_consensus::transaction::Recovered;
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Signature, U256, keccak256, uint};
use cloister_primitives::{ChainSpec, Code, EthereumHardfork, RecoveredTransaction, Rejected, Transaction};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

/// Half the order of secp256k1: a larger `s` has a smaller twin (EIP-2).
const HALF_ORDER: U256 = uint!(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0_U256);

/// Bytes of a public key: two coordinates.
pub(crate) const PUBLIC_KEY_LEN: usize = 64;

/// Largest type byte; a larger first byte begins a legacy transaction (EIP-2718).
const MAX_TYPE: u8 = 0x7f;

/// Decodes a raw transaction (EIP-2718) and recovers its sender.
///
/// `max_bytes` is the chain's limit on one transaction.
///
/// # Errors
/// [`Code::OversizedData`], [`Code::BlobTransactionsNotSupported`], [`Code::TransactionTypeNotSupported`],
/// [`Code::MalformedTransaction`] for anything but the one canonical encoding, and [`Code::InvalidSender`].
pub fn recover(raw: &[u8], max_bytes: usize) -> Result<RecoveredTransaction, Rejected> {
    recover_transaction(decode(raw, max_bytes)?)
}

/// Decodes a raw transaction (EIP-2718) without looking at its signature. Fast enough to run in place;
/// recovery is what is worth handing to other cores.
///
/// # Errors
/// As [`recover`], except [`Code::InvalidSender`].
pub fn decode(raw: &[u8], max_bytes: usize) -> Result<Transaction, Rejected> {
    if raw.len() > max_bytes {
        return Err(Rejected::with_detail(
            Code::OversizedData,
            format!("transaction size {}, limit {max_bytes}", raw.len()),
        ));
    }
    match raw.first() {
        None => return Err(Rejected::with_detail(Code::MalformedTransaction, "no bytes")),
        Some(&BLOB_TYPE) => return Err(Code::BlobTransactionsNotSupported.into()),
        Some(&kind) if kind <= MAX_TYPE && !matches!(kind, 1 | 2 | 4) => {
            return Err(Rejected::with_detail(Code::TransactionTypeNotSupported, format!("type {kind:#04x}")));
        }
        Some(_) => {}
    }
    let transaction = Transaction::decode_2718_exact(raw)
        .map_err(|error| Rejected::with_detail(Code::MalformedTransaction, error.to_string()))?;
    // The hash is that of the bytes sent only if they are what this transaction encodes to.
    if transaction.encoded_2718() != raw {
        return Err(Rejected::with_detail(Code::MalformedTransaction, "not the canonical encoding"));
    }
    Ok(transaction)
}

/// Recovers the sender of a transaction, and computes its hash on the way.
///
/// # Errors
/// [`Code::InvalidSender`] if `s` is high (EIP-2) or no key fits the signature.
pub fn recover_transaction(transaction: Transaction) -> Result<RecoveredTransaction, Rejected> {
    let sender = recover_signer(transaction.signature(), transaction.signature_hash())?;
    // Cached inside: whoever asks later need not wait for it.
    let _ = transaction.tx_hash();
    Ok(Arc::new(Recovered::new_unchecked(transaction, sender)))
}

/// Recovers many senders. Each result is independent; the order is that of the input.
#[must_use]
pub fn recover_batch(transactions: Vec<Transaction>) -> Vec<Result<RecoveredTransaction, Rejected>> {
    transactions.into_iter().map(recover_transaction).collect()
}

/// Recovers the sender of a transaction in a block of Ethereum's, by the rules of its height.
///
/// # Errors
/// [`Code::InvalidSender`] if no key fits the signature, or from Homestead on if `s` is high (EIP-2);
/// [`Code::TransactionTypeNotSupported`] if it names a chain before that was known of (EIP-155).
pub fn recover_included(
    transaction: Transaction,
    spec: &ChainSpec,
    header: &Header,
) -> Result<RecoveredTransaction, Rejected> {
    let active = |fork| spec.is_active(fork, header.number, header.timestamp);
    if let Transaction::Legacy(legacy) = &transaction
        && legacy.tx().chain_id.is_some()
        && !active(EthereumHardfork::SpuriousDragon)
    {
        return Err(Rejected::with_detail(Code::TransactionTypeNotSupported, "a chain id before EIP-155"));
    }
    if active(EthereumHardfork::Homestead) {
        return recover_transaction(transaction);
    }
    let sender = signer_of(transaction.signature(), transaction.signature_hash())?;
    let _ = transaction.tx_hash();
    Ok(Arc::new(Recovered::new_unchecked(transaction, sender)))
}

/// Recovers the address that signed `digest`.
///
/// # Errors
/// [`Code::InvalidSender`] if `s` is high (EIP-2) or no key fits the signature.
pub fn recover_signer(signature: &Signature, digest: B256) -> Result<Address, Rejected> {
    refuse_high_s(signature)?;
    signer_of(signature, digest)
}

/// Refuses the larger of two twin signatures (EIP-2).
pub(crate) fn refuse_high_s(signature: &Signature) -> Result<(), Rejected> {
    if signature.s() > HALF_ORDER {
        return Err(invalid_signature());
    }
    Ok(())
}

fn invalid_signature() -> Rejected {
    Rejected::with_detail(Code::InvalidSender, "invalid transaction v, r, s values")
}

/// The address that signed `digest`, with either of two twin signatures.
fn signer_of(signature: &Signature, digest: B256) -> Result<Address, Rejected> {
    Ok(Address::from_word(keccak256(public_key(signature, digest)?)))
}

/// The key that signed `digest`, with either of two twin signatures: its two coordinates.
pub(crate) fn public_key(signature: &Signature, digest: B256) -> Result<[u8; PUBLIC_KEY_LEN], Rejected> {
    let invalid = invalid_signature;
    let parity = if signature.v() { RecoveryId::One } else { RecoveryId::Zero };
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    compact[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let signature = RecoverableSignature::from_compact(&compact, parity).map_err(|_| invalid())?;
    let key = signature.recover(Message::from_digest(digest.0)).map_err(|_| invalid())?;
    // Behind a byte that says they are both there.
    let [_, coordinates @ ..] = key.serialize_uncompressed();
    Ok(coordinates)
}

/// A transaction from a sender whose key nobody has, for development networks.
///
/// The signature's `r` is the sender's address and `s` is 1, so that equal transactions of different senders
/// have different hashes. It recovers to nobody in particular: keep the sender beside the transaction.
#[must_use]
pub fn impersonate<T>(unsigned: T, sender: Address) -> RecoveredTransaction
where
    T: alloy_consensus::SignableTransaction<Signature>,
    Transaction: From<alloy_consensus::Signed<T>>,
{
    let r = U256::from_be_bytes(sender.into_word().0).max(U256::ONE);
    let signature = Signature::new(r, U256::ONE, false);
    let transaction = Transaction::from(unsigned.into_signed(signature));
    let _ = transaction.tx_hash();
    Arc::new(Recovered::new_unchecked(transaction, sender))
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
