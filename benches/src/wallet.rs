//! Keys of the accounts that send, and parallel signing.

use std::num::NonZeroUsize;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use eyre::{Result, WrapErr};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};

/// Keys of the accounts that every development node funds: `m/44'/60'/0'/0/0` to `…/9` of the
/// mnemonic `test test test test test test test test test test test junk` (BIP-39, BIP-44).
const DEVELOPMENT_KEYS: [[u8; 32]; 10] = [
    alloy_primitives::hex!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    alloy_primitives::hex!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
    alloy_primitives::hex!("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
    alloy_primitives::hex!("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"),
    alloy_primitives::hex!("47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a"),
    alloy_primitives::hex!("8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba"),
    alloy_primitives::hex!("92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e"),
    alloy_primitives::hex!("4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356"),
    alloy_primitives::hex!("dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97"),
    alloy_primitives::hex!("2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6"),
];

/// A key and its address.
#[derive(Clone)]
pub struct Account {
    key: SecretKey,
    /// keccak256 of the public key, last 20 bytes.
    pub address: Address,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

/// A signed transaction, ready to be sent.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Transaction hash.
    pub hash: B256,
    /// EIP-2718 encoding as `0x` hex.
    pub raw_hex: Box<str>,
}

impl Signed {
    /// The EIP-2718 encoding.
    #[must_use]
    pub fn raw(&self) -> Bytes {
        hex::decode(&*self.raw_hex).unwrap_or_default().into()
    }
}

/// What a transaction says; fees and chain id come from [`Fees`].
#[derive(Clone, Debug)]
pub struct Draft {
    /// Sender's nonce.
    pub nonce: u64,
    /// Recipient, or a creation.
    pub to: TxKind,
    /// Wei to move.
    pub value: U256,
    /// Calldata or creation code.
    pub input: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
}

/// Chain id and EIP-1559 fees that all transactions of a run share.
#[derive(Clone, Copy, Debug)]
pub struct Fees {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Most wei per gas.
    pub max_fee: u128,
    /// Most wei per gas above the base fee.
    pub max_priority_fee: u128,
}

impl Account {
    /// The account of a secret key.
    ///
    /// # Errors
    /// When the bytes are no valid key (zero, or not below the group order).
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self> {
        let key = SecretKey::from_secret_bytes(bytes).wrap_err("not a secp256k1 key")?;
        let public = key.public_key().serialize_uncompressed();
        Ok(Self { key, address: Address::from_slice(&keccak256(&public[1..])[12..]) })
    }

    /// Its secret key in hexadecimal.
    #[must_use]
    pub fn secret_hex(&self) -> String {
        hex::encode(self.key.to_secret_bytes())
    }

    /// The ten accounts that every development node funds.
    ///
    /// # Errors
    /// Never: the keys are valid.
    pub fn development() -> Result<Vec<Self>> {
        DEVELOPMENT_KEYS.into_iter().map(Self::from_bytes).collect()
    }

    /// The `index`-th account of a run: its key is keccak256 of seed and index.
    ///
    /// # Errors
    /// When the hash is no valid key, which happens once in 2¹²⁸.
    pub fn derived(seed: u64, index: u64) -> Result<Self> {
        let mut preimage = *b"cloister bench key  seed....index...";
        preimage[20..28].copy_from_slice(&seed.to_be_bytes());
        preimage[28..].copy_from_slice(&index.to_be_bytes());
        Self::from_bytes(keccak256(preimage).0)
    }

    /// Signs an EIP-1559 transaction.
    #[must_use]
    pub fn sign(&self, draft: Draft, fees: Fees) -> Signed {
        let transaction = TxEip1559 {
            chain_id: fees.chain_id,
            nonce: draft.nonce,
            gas_limit: draft.gas_limit,
            max_fee_per_gas: fees.max_fee,
            max_priority_fee_per_gas: fees.max_priority_fee,
            to: draft.to,
            value: draft.value,
            access_list: Default::default(),
            input: draft.input,
        };
        let digest = Message::from_digest(transaction.signature_hash().0);
        let (recovery_id, compact) =
            RecoverableSignature::sign_ecdsa_recoverable(digest, &self.key).serialize_compact();
        let signature = Signature::from_bytes_and_parity(&compact, recovery_id.to_u8() & 1 == 1);
        let envelope: TxEnvelope = transaction.into_signed(signature).into();
        Signed { hash: *envelope.tx_hash(), raw_hex: hex::encode_prefixed(envelope.encoded_2718()).into() }
    }
}

/// Signs lanes of drafts on all cores; lane `i` belongs to `accounts[i]`. Order is kept.
#[must_use]
pub fn sign_lanes(accounts: &[Account], lanes: Vec<Vec<Draft>>, fees: Fees) -> Vec<Vec<Signed>> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut work: Vec<(&Account, Vec<Draft>)> = accounts.iter().zip(lanes).collect();
    let share = work.len().div_ceil(cores).max(1);
    let mut parts = Vec::new();
    while !work.is_empty() {
        let rest = work.split_off(work.len().min(share));
        parts.push(std::mem::replace(&mut work, rest));
    }
    let sign_part = |part: Vec<(&Account, Vec<Draft>)>| -> Vec<Vec<Signed>> {
        part.into_iter().map(|(account, drafts)| drafts.into_iter().map(|d| account.sign(d, fees)).collect()).collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || sign_part(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::Transaction;
    use alloy_eips::eip2718::Decodable2718;
    use alloy_primitives::address;

    use super::*;

    #[test]
    fn the_development_accounts_are_the_well_known_ones() {
        let accounts = Account::development().unwrap();
        assert_eq!(accounts[0].address, address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(accounts[9].address, address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"));
        assert!(Account::from_bytes([0; 32]).is_err());
    }

    #[test]
    fn derived_accounts_differ_by_seed_and_index() {
        let base = Account::derived(1, 2).unwrap().address;
        assert_eq!(base, Account::derived(1, 2).unwrap().address);
        assert_ne!(base, Account::derived(2, 2).unwrap().address);
        assert_ne!(base, Account::derived(1, 3).unwrap().address);
    }

    #[test]
    fn lanes_are_signed_in_order_by_their_own_account() {
        let fees = Fees { chain_id: 31337, max_fee: 9, max_priority_fee: 1 };
        let accounts: Vec<_> = (0..5).map(|i| Account::derived(0, i).unwrap()).collect();
        let draft = |nonce| Draft {
            nonce,
            to: TxKind::Call(Address::ZERO),
            value: U256::from(7),
            input: Bytes::new(),
            gas_limit: 21_000,
        };
        let lanes = vec![vec![draft(0), draft(1)]; 5];
        let signed = sign_lanes(&accounts, lanes, fees);
        assert_eq!(signed.len(), 5);
        for (account, lane) in accounts.iter().zip(&signed) {
            for (nonce, transaction) in lane.iter().enumerate() {
                let raw = transaction.raw();
                let decoded = TxEnvelope::decode_2718(&mut &raw[..]).unwrap();
                assert_eq!(decoded.nonce(), nonce as u64);
                assert_eq!(*decoded.tx_hash(), transaction.hash);
                let sender = crate::floor::recover(&decoded).unwrap();
                assert_eq!(sender, account.address);
            }
        }
    }
}
