//! A small chain for tests: keys, signing, blocks.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use cloister_primitives::{
    Block, ChainSpec, DevChain, GenesisAccount, Height, RecoveredTransaction, Rejected, Transaction,
};
use cloister_state::{HistoryLimits, State, StateView};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};

use crate::overrides::{BlockOverrides, StateOverrides};
use crate::{
    BlockAttributes, Built, CallEnv, CallRequest, Executed, Executor, FrameGuard, HeadFacts, NoBlockHashes, Open,
    Origin, Parent, SenderFacts, ValidTx, genesis_block, genesis_delta, recover_transaction, validate,
};

pub(crate) const GWEI: u128 = 1_000_000_000;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;

/// Where the test token lives.
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);

/// A token with `transfer(to, amount)` at any selector: balances in a mapping at slot 0, a Transfer log.
pub(crate) fn token_code() -> Bytes {
    let mut code = Vec::new();
    // Balance of the caller, and a jump to the revert (patched below) if the amount is more.
    code.extend(hex!("335f5260405f2080546024358082106000"));
    let jump = code.len() - 1;
    code.extend(hex!("57809103909155"));
    // Balance of the recipient.
    code.extend(hex!("6004355f5260405f20805482019055" "5f52"));
    code.extend(hex!("600435337f"));
    code.extend(keccak256("Transfer(address,address,uint256)"));
    code.extend(hex!("60205fa3" "60015f5260205ff3"));
    code[jump] = u8::try_from(code.len()).unwrap();
    code.extend(hex!("5b5f5ffd"));
    code.into()
}

/// Calldata of the token's `transfer`.
pub(crate) fn transfer_input(to: Address, amount: u64) -> Bytes {
    let mut input = hex!("a9059cbb").to_vec();
    input.extend(to.into_word());
    input.extend(U256::from(amount).to_be_bytes::<32>());
    input.into()
}

/// The token's slot of `owner`.
pub(crate) fn balance_slot(owner: Address) -> U256 {
    let mut key = [0; 64];
    key[12..32].copy_from_slice(owner.as_slice());
    keccak256(key).into()
}

/// Initcode that deploys `runtime`.
pub(crate) fn initcode(runtime: &[u8]) -> Bytes {
    let length = u8::try_from(runtime.len()).unwrap();
    let mut code = vec![0x60, length, 0x80, 0x60, 0x09, 0x5f, 0x39, 0x5f, 0xf3];
    code.extend(runtime);
    code.into()
}

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_secret_bytes([number; 32]).unwrap()
}

pub(crate) fn address(number: u8) -> Address {
    let public = PublicKey::from_secret_key(&key(number));
    let hash = keccak256(&public.serialize_uncompressed()[1..]);
    Address::from_slice(&hash[12..])
}

pub(crate) fn sign_digest(number: u8, digest: B256) -> Signature {
    let signature = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest.0), &key(number));
    let (parity, bytes) = signature.serialize_compact();
    Signature::from_bytes_and_parity(&bytes, parity.to_u8() == 1)
}

pub(crate) fn signed<T>(number: u8, tx: T) -> Transaction
where
    T: SignableTransaction<Signature>,
    Transaction: From<Signed<T>>,
{
    let signature = sign_digest(number, tx.signature_hash());
    Transaction::from(tx.into_signed(signature))
}

pub(crate) fn recovered<T>(number: u8, tx: T) -> RecoveredTransaction
where
    T: SignableTransaction<Signature>,
    Transaction: From<Signed<T>>,
{
    recover_transaction(signed(number, tx)).unwrap()
}

pub(crate) fn legacy(nonce: u64) -> TxLegacy {
    TxLegacy {
        chain_id: Some(31337),
        nonce,
        gas_price: 10 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(Address::repeat_byte(0xaa)),
        value: U256::from(7),
        input: Bytes::new(),
    }
}

pub(crate) fn access_list_tx(nonce: u64) -> TxEip2930 {
    TxEip2930 {
        chain_id: 31337,
        nonce,
        gas_price: 10 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(Address::repeat_byte(0xaa)),
        value: U256::from(7),
        ..TxEip2930::default()
    }
}

pub(crate) fn dynamic(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: 31337,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(Address::repeat_byte(0xaa)),
        value: U256::from(7),
        ..TxEip1559::default()
    }
}

pub(crate) fn set_code(nonce: u64, list: Vec<SignedAuthorization>) -> TxEip7702 {
    TxEip7702 {
        chain_id: 31337,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: Address::repeat_byte(0xaa),
        authorization_list: list,
        ..TxEip7702::default()
    }
}

pub(crate) fn authorization(number: u8, nonce: u64, target: Address) -> SignedAuthorization {
    let authorization = Authorization { chain_id: U256::from(31337), address: target, nonce };
    let signature = sign_digest(number, authorization.signature_hash());
    authorization.into_signed(signature)
}

/// A development chain with funded keys 1 to 9 and the token, of which they have 1,000,000 each.
pub(crate) struct World {
    pub(crate) executor: Executor,
    guard: Arc<dyn FrameGuard>,
    pub(crate) state: State,
    pub(crate) blocks: Vec<Block>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(DevChain::default(), Arc::new(Open))
    }

    pub(crate) fn on(fork: &str) -> Self {
        let chain = DevChain { hardfork: fork.parse().unwrap(), ..DevChain::default() };
        Self::with(chain, Arc::new(Open))
    }

    pub(crate) fn with(mut chain: DevChain, guard: Arc<dyn FrameGuard>) -> Self {
        let mut storage = BTreeMap::new();
        for number in 1..10 {
            let account = GenesisAccount { balance: U256::from(100 * ETHER), ..GenesisAccount::default() };
            chain.alloc.insert(address(number), account);
            storage.insert(balance_slot(address(number)), U256::from(1_000_000));
        }
        let token = GenesisAccount { nonce: 1, code: token_code(), storage, ..GenesisAccount::default() };
        chain.alloc.insert(TOKEN, token);
        let spec = Arc::new(ChainSpec::development(chain).unwrap());
        let state = State::new(HistoryLimits::default());
        let root = state.apply(Height(0), &genesis_delta(&spec)).unwrap();
        let genesis = genesis_block(&spec, root);
        Self { executor: Executor::new(spec, Arc::clone(&guard)), guard, state, blocks: vec![genesis] }
    }

    pub(crate) fn spec(&self) -> &Arc<ChainSpec> {
        self.executor.spec()
    }

    pub(crate) fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    pub(crate) fn view(&self) -> StateView {
        self.state.view(self.head().height()).unwrap()
    }

    pub(crate) fn facts(&self) -> HeadFacts {
        let parent = &self.head().header;
        let timestamp = parent.timestamp + 12;
        HeadFacts {
            height: parent.number + 1,
            timestamp,
            base_fee: self.spec().next_base_fee(parent, timestamp).unwrap_or_default(),
            gas_limit: parent.gas_limit,
        }
    }

    pub(crate) fn validate(&self, tx: RecoveredTransaction) -> Result<ValidTx, Rejected> {
        let sender = SenderFacts::read(&self.view(), tx.signer()).unwrap();
        validate(tx, Origin::External, self.spec(), &self.facts(), &sender)
    }

    pub(crate) fn attributes(&self) -> BlockAttributes {
        BlockAttributes {
            timestamp: self.facts().timestamp,
            beneficiary: Address::repeat_byte(0xbe),
            prev_randao: B256::repeat_byte(0x11),
            gas_limit: self.spec().gas_limit(),
            ..BlockAttributes::default()
        }
    }

    pub(crate) fn build_with(&self, attributes: BlockAttributes, candidates: Vec<ValidTx>) -> Built {
        let parent = Parent { header: &self.head().header, hash: self.head().hash };
        self.executor.build(parent, attributes, &self.view(), &NoBlockHashes, candidates).unwrap()
    }

    pub(crate) fn build(&self, transactions: Vec<RecoveredTransaction>) -> Built {
        let candidates = transactions.into_iter().map(|tx| self.validate(tx).unwrap()).collect();
        self.build_with(self.attributes(), candidates)
    }

    pub(crate) fn commit(&mut self, built: Built) -> Executed {
        let height = Height(built.header_draft.number);
        let root = self.state.apply(height, &built.delta).unwrap();
        let executed = built.seal(root);
        self.blocks.push(executed.clone().into_block().0);
        executed
    }

    pub(crate) fn mine(&mut self, transactions: Vec<RecoveredTransaction>) -> Executed {
        let built = self.build(transactions);
        assert_eq!(built.evicted, vec![]);
        assert_eq!(built.deferred, vec![]);
        self.commit(built)
    }

    pub(crate) fn storage(&self, address: Address, slot: U256) -> U256 {
        self.view().storage(address, slot).unwrap()
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        let account = self.view().account(address).unwrap();
        account.map_or(U256::ZERO, |account| account.balance)
    }

    /// Puts code at an address before the first block, as a block of its own.
    pub(crate) fn deploy(&mut self, at: Address, code: &[u8]) {
        let mut delta = cloister_state::StateDelta::default();
        delta.codes.push(Bytes::copy_from_slice(code));
        delta.accounts.push(cloister_state::AccountDelta {
            address: at,
            account: Some(cloister_state::Account { nonce: 1, balance: U256::from(ETHER), code_hash: keccak256(code) }),
            storage_cleared: cloister_state::StorageCleared::No,
            storage: vec![],
        });
        self.state.patch(&delta).unwrap();
    }

    pub(crate) fn env<'a>(&'a self, state: &'a StateOverrides, block: &'a BlockOverrides) -> CallEnv<'a> {
        CallEnv {
            header: &self.head().header,
            hashes: &NoBlockHashes,
            state_overrides: state,
            block_overrides: block,
            guard: &self.guard,
            gas_cap: crate::DEFAULT_CALL_GAS_CAP,
        }
    }

    pub(crate) fn call(&self, request: &CallRequest) -> Result<crate::CallOutcome, crate::ExecutionError> {
        let (state, block) = (StateOverrides::new(), BlockOverrides::default());
        self.executor.call(&self.view(), &self.env(&state, &block), request)
    }
}
