//! Signed transactions of every type, from the well-known development accounts.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip2930::AccessList;
use alloy::eips::eip7702::{Authorization, SignedAuthorization};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use serde_json::{Value, json};

use crate::node::CHAIN_ID;

/// The keys of the first ten accounts of [`crate::node::MNEMONIC`]; every development node of the field funds them.
pub const KEYS: [&str; 10] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
];

/// The signer of development account `index`.
///
/// # Panics
/// If there is no such account.
#[must_use]
pub fn signer(index: usize) -> PrivateKeySigner {
    KEYS[index].parse().expect("the development keys are valid")
}

/// A development account and its next nonce.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its key.
    pub signer: PrivateKeySigner,
    /// The nonce its next transaction gets.
    pub nonce: u64,
}

impl Account {
    /// Development account `index`, which has sent nothing yet.
    #[must_use]
    pub fn new(index: usize) -> Self {
        Self { signer: signer(index), nonce: 0 }
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.signer.address()
    }

    /// Signs whatever it is given; the nonce is the caller's.
    ///
    /// # Panics
    /// If signing fails, which it cannot.
    pub fn sign<T: SignableTransaction<Signature>>(&self, transaction: T) -> alloy::consensus::Signed<T> {
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash()).expect("a local key signs");
        transaction.into_signed(signature)
    }

    /// A plain EIP-1559 transfer with the next nonce, raw.
    pub fn transfer(&mut self, to: Address, value: u64) -> Bytes {
        let transaction = TxEip1559 { nonce: self.nonce, ..eip1559(to, value) };
        self.nonce += 1;
        raw(self.sign(transaction))
    }
}

/// A transfer with fees that any development chain accepts and nonce 0.
#[must_use]
pub fn eip1559(to: Address, value: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        access_list: AccessList::default(),
        input: Bytes::new(),
    }
}

/// The same before EIP-2718.
#[must_use]
pub fn legacy(to: Address, value: u64) -> TxLegacy {
    TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: 0,
        gas_price: 3_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        input: Bytes::new(),
    }
}

/// The same with an access list.
#[must_use]
pub fn eip2930(to: Address, value: u64, access_list: AccessList) -> TxEip2930 {
    TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_price: 3_000_000_000,
        gas_limit: 60_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        access_list,
        input: Bytes::new(),
    }
}

/// The same with delegations.
#[must_use]
pub fn eip7702(to: Address, authorization_list: Vec<SignedAuthorization>) -> TxEip7702 {
    TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 200_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to,
        value: U256::ZERO,
        access_list: AccessList::default(),
        authorization_list,
        input: Bytes::new(),
    }
}

/// `account`'s permission that it runs the code at `code`, valid at `nonce`.
///
/// # Panics
/// If signing fails, which it cannot.
#[must_use]
pub fn authorize(account: &PrivateKeySigner, code: Address, nonce: u64) -> SignedAuthorization {
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: code, nonce };
    let signature = account.sign_hash_sync(&authorization.signature_hash()).expect("a local key signs");
    authorization.into_signed(signature)
}

/// The bytes that `eth_sendRawTransaction` takes.
pub fn raw(transaction: impl Into<TxEnvelope>) -> Bytes {
    transaction.into().encoded_2718().into()
}

/// Parameters of `eth_sendRawTransaction`.
#[must_use]
pub fn send_params(raw: &Bytes) -> Value {
    json!([raw])
}
