//! Signatures of development accounts.

use alloy_consensus::{EthereumTypedTransaction, SignableTransaction as _, TxEip4844};
use alloy_dyn_abi::TypedData;
use alloy_primitives::{B256, Signature, eip191_hash_message};
use cloister_primitives::Transaction;
use secp256k1::{
    Message,
    ecdsa::{RecoverableSignature, RecoveryId},
};
use thiserror::Error;

use super::DevAccount;

/// Why something could not be signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SigningError {
    /// The typed data contradicts itself.
    #[error("invalid typed data: {0}")]
    TypedData(String),
}

impl DevAccount {
    /// Signs a hash; deterministic (RFC 6979), `s` in the lower half (EIP-2).
    #[must_use]
    pub fn sign_hash(&self, hash: &B256) -> Signature {
        let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(hash.0), &self.key);
        let (recovery, compact) = signature.serialize_compact();
        let y_is_odd = matches!(recovery, RecoveryId::One | RecoveryId::Three);
        Signature::from_bytes_and_parity(&compact, y_is_odd)
    }

    /// Signs a transaction of any type that carries no blobs.
    #[must_use]
    pub fn sign_transaction(&self, transaction: EthereumTypedTransaction<TxEip4844>) -> Transaction {
        let signature = self.sign_hash(&transaction.signature_hash());
        transaction.into_envelope(signature)
    }
}

/// The hash that `personal_sign` and `eth_sign` sign (EIP-191, version `0x45`).
#[must_use]
pub fn personal_hash(message: &[u8]) -> B256 {
    eip191_hash_message(message)
}

/// The hash that `eth_signTypedData_v4` signs (EIP-712).
///
/// # Errors
/// [`SigningError::TypedData`] if types and message do not fit.
pub fn typed_data_hash(data: &TypedData) -> Result<B256, SigningError> {
    data.eip712_signing_hash().map_err(|error| SigningError::TypedData(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::accounts::{DevAccounts, TEST_MNEMONIC};
    use alloy_consensus::{TxEip1559, TxLegacy};
    use alloy_primitives::{Address, TxKind, U256, hex};

    fn first() -> DevAccount {
        DevAccounts::from_mnemonic(TEST_MNEMONIC, 1).unwrap().all()[0].clone()
    }

    /// The address whose key made the signature.
    fn recover(signature: &Signature, hash: &B256) -> Address {
        let id = if signature.v() { RecoveryId::One } else { RecoveryId::Zero };
        let key = RecoverableSignature::from_compact(&signature.as_bytes()[..64], id)
            .and_then(|signature| signature.recover_ecdsa(Message::from_digest(hash.0)))
            .unwrap();
        Address::from_raw_public_key(&key.serialize_uncompressed()[1..])
    }

    fn legacy(nonce: u64) -> EthereumTypedTransaction<TxEip4844> {
        EthereumTypedTransaction::Legacy(TxLegacy {
            chain_id: Some(31337),
            nonce,
            gas_price: 2_000_000_000,
            gas_limit: 21_000,
            to: TxKind::Call(Address::repeat_byte(9)),
            value: U256::from(5),
            input: Default::default(),
        })
    }

    #[test]
    fn a_personal_signature_recovers_to_its_signer() {
        let account = first();
        let signature = account.sign_hash(&personal_hash(b"hello"));
        assert_eq!(recover(&signature, &personal_hash(b"hello")), account.address());
        assert!(signature.normalize_s().is_none(), "s must be low");
        assert_eq!(account.sign_hash(&personal_hash(b"hello")), signature);
    }

    #[test]
    fn a_known_personal_signature() {
        // The same message signed by ethers 6 with the same key.
        let signature = first().sign_hash(&personal_hash(b"hello world"));
        assert_eq!(
            hex::encode(signature.as_bytes()),
            "a461f509887bd19e312c0c58467ce8ff8e300d3c1a90b608a760c5b80318eaf15fe57c96f9175d6cd4daad4663763baa7e78836e067d0163e9a2ccf2ff753f5b1b"
        );
    }

    #[test]
    fn signed_transactions_recover_whatever_their_type() {
        let account = first();
        let dynamic = EthereumTypedTransaction::Eip1559(TxEip1559 {
            chain_id: 31337,
            nonce: 1,
            gas_limit: 50_000,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
            to: TxKind::Create,
            value: U256::ZERO,
            access_list: Default::default(),
            input: hex!("6001").into(),
        });
        for transaction in [legacy(0), dynamic] {
            let signed = account.sign_transaction(transaction);
            let signer = recover(signed.signature(), &signed.signature_hash());
            assert_eq!(signer, account.address());
        }
    }

    #[test]
    fn the_example_of_eip_712() {
        let data: TypedData = serde_json::from_str(include_str!("typed_data_example.json")).unwrap();
        let hash = typed_data_hash(&data).unwrap();
        assert_eq!(hex::encode(hash), "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
    }
}
