//! A private key and its account.

use core::fmt;

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, eip191_hash_message, hex, keccak256};
use secp256k1::{Message, SecretKey, ecdsa::RecoverableSignature};

use crate::ClientError;

/// An account whose key the client holds.
#[derive(Clone)]
pub struct Account {
    key: SecretKey,
    address: Address,
}

/// Shows the address, no key.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Account {
    /// The account of a private key in hexadecimal, with or without `0x`, white space around it ignored.
    ///
    /// # Errors
    /// [`ClientError::Key`].
    pub fn from_hex(key: &str) -> Result<Self, ClientError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(key.trim(), &mut bytes).map_err(|_| ClientError::Key)?;
        let key = SecretKey::from_secret_bytes(bytes).map_err(|_| ClientError::Key)?;
        let public = secp256k1::PublicKey::from_secret_key(&key).serialize_uncompressed();
        let address = Address::from_slice(&keccak256(&public[1..])[12..]);
        Ok(Self { key, address })
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a personal message (EIP-191, version 0x45): 65 bytes, `r ‖ s ‖ v`.
    #[must_use]
    pub fn sign(&self, message: &str) -> Bytes {
        let (compact, parity) = self.sign_hash(eip191_hash_message(message));
        let mut bytes = compact.to_vec();
        bytes.push(27 + u8::from(parity));
        bytes.into()
    }

    /// Signs a transaction; answers its encoding (EIP-2718).
    pub(crate) fn sign_transaction(&self, transaction: TxEip1559) -> Bytes {
        let (compact, parity) = self.sign_hash(transaction.signature_hash());
        let signature = Signature::from_bytes_and_parity(&compact, parity);
        transaction.into_signed(signature).encoded_2718().into()
    }

    fn sign_hash(&self, hash: B256) -> ([u8; 64], bool) {
        let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(hash.0), &self.key);
        let (recovery, compact) = signature.serialize_compact();
        (compact, recovery.to_u8() & 1 == 1)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// First test account of Hardhat and anvil; the signature is that of `cast wallet sign hello`.
    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn addresses_and_signatures_are_those_of_cast() {
        let account = Account::from_hex(&format!(" {KEY}\n")).unwrap();
        assert_eq!(account.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert_eq!(
            account.sign("hello").to_string(),
            "0xf16ea9a3478698f695fd1401bfe27e9e4a7e8e3da94aa72b021125e31fa899cc573c48ea3fe1d4ab61a9db10c19032026e3ed2dbccba5a178235ac27f94504311c"
        );
    }

    /// As `cast mktx` of Foundry 1 writes it.
    #[test]
    fn transactions_are_those_of_cast() {
        let transaction = TxEip1559 {
            chain_id: 31_337,
            nonce: 5,
            gas_limit: 21_000,
            max_fee_per_gas: 7,
            max_priority_fee_per_gas: 1,
            to: alloy_primitives::TxKind::Call(Address::repeat_byte(0x11)),
            value: alloy_primitives::U256::from(9),
            ..TxEip1559::default()
        };
        let signed = Account::from_hex(KEY).unwrap().sign_transaction(transaction);
        assert_eq!(
            signed.to_string(),
            "0x02f864827a690501078252089411111111111111111111111111111111111111110980c080a0f4e585d25c3ecf619259129770cf655e8a7106350f05d07476e9f9d9ddffc386a0719adbbbba1afd6e90de72ec0a7b4d6a76591c4bbebdd4a1fefd6a9fcce02088"
        );
    }

    #[test]
    fn wrong_keys_are_refused_and_no_key_is_shown() {
        for wrong in ["", "0x", "ab", &"0".repeat(64), &"f".repeat(64), &format!("{KEY}00")] {
            assert!(matches!(Account::from_hex(wrong), Err(ClientError::Key)), "{wrong}");
        }
        let shown = format!("{:?}", Account::from_hex(KEY).unwrap());
        assert!(!shown.contains("ac0974"), "{shown}");
    }
}
