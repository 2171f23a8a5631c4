//! Keys, and transactions signed with them.

use alloy_consensus::{
    EthereumTxEnvelope, SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256, uint};
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, SecretKey};

use super::case::{Authorized, CHAIN_ID, Kind, Sent};

/// Keys there are.
pub(super) const KEYS: u8 = 6;

/// Order of secp256k1.
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// Ethereum's system contracts, which every genesis has.
pub(super) fn system_contracts() -> [(Address, Bytes); 4] {
    [
        (eip4788::BEACON_ROOTS_ADDRESS, eip4788::BEACON_ROOTS_CODE.clone()),
        (eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone()),
        (eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE.clone()),
        (eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE.clone()),
    ]
}

/// The secret key with an index, and its address.
struct Key {
    secret: SecretKey,
    address: Address,
}

/// All keys.
pub(super) struct Wallet(Vec<Key>);

/// A signed transaction, as a client sends it and as the reference runs it.
#[derive(Clone, Debug)]
pub(super) struct SignedTransaction {
    pub(super) raw: Bytes,
    pub(super) hash: B256,
    pub(super) environment: TxEnv,
}

/// The address of the key with an index.
pub(super) fn address_of(index: u8) -> Address {
    key(index).address
}

fn key(index: u8) -> Key {
    let secret = SecretKey::from_secret_bytes([index % KEYS + 1; 32]).expect("small numbers are keys");
    let public = secret.public_key().serialize_uncompressed();
    Key { secret, address: Address::from_slice(&keccak256(&public[1..])[12..]) }
}

impl Wallet {
    pub(super) fn new() -> Self {
        Self((0..KEYS).map(key).collect())
    }

    pub(super) fn address(&self, index: u8) -> Address {
        self.key(index).address
    }

    fn key(&self, index: u8) -> &Key {
        &self.0[usize::from(index % KEYS)]
    }

    fn signature(&self, by: u8, digest: B256) -> Signature {
        let signature =
            RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &self.key(by).secret);
        let (parity, bytes) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, parity.to_u8() == 1)
    }

    /// Signs a transaction with this nonce and fee cap; authorizations get their authority's nonce from `nonce_of`.
    pub(super) fn sign(
        &self,
        sent: &Sent,
        nonce: u64,
        base_fee: u64,
        nonce_of: impl Fn(Address) -> u64,
    ) -> SignedTransaction {
        let kind = sent.to.map_or(TxKind::Create, TxKind::Call);
        let mut environment = self.environment(sent, nonce, u128::from(base_fee) + u128::from(sent.premium));
        let (gas_price, tip) = (environment.gas_price, u128::from(sent.tip));
        let (gas_limit, value, input) = (sent.gas, sent.value, sent.input.clone());
        let access_list = access_list(sent);
        let (raw, hash) = match sent.kind {
            Kind::Legacy => self.seal(
                sent.from,
                TxLegacy { chain_id: Some(CHAIN_ID), nonce, gas_price, gas_limit, to: kind, value, input },
            ),
            Kind::AccessList => self.seal(
                sent.from,
                TxEip2930 { chain_id: CHAIN_ID, nonce, gas_price, gas_limit, to: kind, value, access_list, input },
            ),
            Kind::DynamicFee => self.seal(
                sent.from,
                TxEip1559 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: gas_price,
                    max_priority_fee_per_gas: tip,
                    to: kind,
                    value,
                    access_list,
                    input,
                },
            ),
            Kind::SetCode => {
                let to = sent.to.unwrap_or_default();
                let (list, recovered) = sent
                    .authorizations
                    .iter()
                    .map(|authorized| self.authorize(authorized, nonce_of(self.address(authorized.by))))
                    .unzip();
                environment.authorization_list = recovered;
                self.seal(
                    sent.from,
                    TxEip7702 {
                        chain_id: CHAIN_ID,
                        nonce,
                        gas_limit,
                        max_fee_per_gas: gas_price,
                        max_priority_fee_per_gas: tip,
                        to,
                        value,
                        access_list,
                        authorization_list: list,
                        input,
                    },
                )
            }
        };
        SignedTransaction { raw, hash, environment }
    }

    /// What the reference runs, but for authorizations.
    fn environment(&self, sent: &Sent, nonce: u64, gas_price: u128) -> TxEnv {
        let to = if sent.kind == Kind::SetCode { Some(sent.to.unwrap_or_default()) } else { sent.to };
        TxEnv {
            tx_type: sent.kind as u8,
            caller: self.address(sent.from),
            gas_limit: sent.gas,
            gas_price,
            gas_priority_fee: (sent.kind >= Kind::DynamicFee).then(|| u128::from(sent.tip)),
            kind: to.map_or(TxKind::Create, TxKind::Call),
            value: sent.value,
            data: sent.input.clone(),
            nonce,
            chain_id: Some(CHAIN_ID),
            access_list: if sent.kind == Kind::Legacy { AccessList::default() } else { access_list(sent) },
            ..TxEnv::default()
        }
    }

    fn seal<T: SignableTransaction<Signature>>(&self, by: u8, transaction: T) -> (Bytes, B256)
    where
        EthereumTxEnvelope<TxEip4844>: From<Signed<T>>,
    {
        let signature = self.signature(by, transaction.signature_hash());
        let raw = EthereumTxEnvelope::<TxEip4844>::from(transaction.into_signed(signature)).encoded_2718();
        let hash = keccak256(&raw);
        (raw.into(), hash)
    }

    fn authorize(
        &self,
        authorized: &Authorized,
        nonce: u64,
    ) -> (SignedAuthorization, Either<SignedAuthorization, RecoveredAuthorization>) {
        let authorization = Authorization {
            chain_id: U256::from(authorized.chain_id),
            address: authorized.to,
            nonce: nonce.saturating_add_signed(i64::from(authorized.nonce_offset)),
        };
        let signature = self.signature(authorized.by, authorization.signature_hash());
        let (mut s, mut parity) = (signature.s(), u8::from(signature.v()));
        let mut authority = RecoveredAuthority::Valid(self.address(authorized.by));
        if authorized.high_s {
            (s, parity) = (ORDER - s, 1 - parity);
            authority = RecoveredAuthority::Invalid;
        }
        let recovered = RecoveredAuthorization::new_unchecked(authorization.clone(), authority);
        (SignedAuthorization::new_unchecked(authorization, parity, signature.r(), s), Either::Right(recovered))
    }
}

fn access_list(sent: &Sent) -> AccessList {
    let item = |(address, storage_keys): &(Address, Vec<B256>)| AccessListItem {
        address: *address,
        storage_keys: storage_keys.clone(),
    };
    AccessList(sent.access_list.iter().map(item).collect())
}
