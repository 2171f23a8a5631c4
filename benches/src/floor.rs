//! The floor: what a transfer costs when there is no node around it.
//!
//! One core, no I/O, no trie, no JSON: decode the raw bytes, hash, recover the sender with
//! libsecp256k1, execute on plain revm over an in-memory database, build the receipt. It uses none
//! of the node's own crates, so that a slower node cannot raise its own floor.

use std::time::Duration;

use alloy_consensus::{Eip658Value, Receipt, ReceiptWithBloom, Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use eyre::{Result, ensure, eyre};
use revm::context::result::ExecutionResult;
use revm::context::{BlockEnv, CfgEnv, Journal, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::MainnetContext;
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{Context, ExecuteCommitEvm, MainBuilder, MainContext, MainnetEvm};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use crate::probe::thread_cpu;
use crate::token;
use crate::wallet::{Account, Draft, Fees, Signed, sign_lanes};
use crate::workload::fresh_recipient;

/// Chain id of the floor's transactions.
const CHAIN_ID: u64 = 31337;
/// Wei that each account of the floor starts with.
const ENDOWMENT: u128 = 1_000_000_000_000_000_000_000;

/// A receipt with its bloom filter, as a block would hold it.
pub type FloorReceipt = ReceiptWithBloom<Receipt>;

/// Recovers the sender of a transaction.
///
/// # Errors
/// When the signature is malformed or recovers to no point.
pub fn recover(transaction: &TxEnvelope) -> Result<Address> {
    let signature = transaction.signature();
    let mut compact = [0u8; 64];
    compact[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    compact[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let parity = RecoveryId::from_u8_masked(u8::from(signature.v()));
    let digest = Message::from_digest(transaction.signature_hash().0);
    let public = RecoverableSignature::from_compact(&compact, parity)?.recover(digest)?;
    Ok(Address::from_slice(&keccak256(&public.serialize_uncompressed()[1..])[12..]))
}

/// A chain without a chain: revm over maps in memory.
#[derive(Debug)]
pub struct Floor {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
    /// The token contract.
    pub token: Address,
    senders: Vec<Account>,
}

/// CPU time per transaction, in microseconds, by part.
#[derive(Clone, Copy, Debug)]
pub struct FloorCost {
    /// Decoding, hashing, recovery.
    pub recover_us: f64,
    /// Execution, commit to the maps, receipt with bloom.
    pub execute_us: f64,
}

impl FloorCost {
    /// The whole floor.
    #[must_use]
    pub fn total_us(&self) -> f64 {
        self.recover_us + self.execute_us
    }
}

impl Floor {
    /// Deploys the token in memory, gives `senders` accounts tokens, and fills `slots` balances.
    ///
    /// # Errors
    /// When the deployment fails.
    pub fn new(senders: u64, slots: u64) -> Result<Self> {
        let senders = (0..senders).map(|index| Account::derived(0, index)).collect::<Result<Vec<_>>>()?;
        let deployer = Account::derived(1, 0)?;
        let token = deployer.address.create(0);
        let mut database = CacheDB::new(EmptyDB::default());
        for account in senders.iter().chain([&deployer]) {
            database.insert_account_info(account.address, AccountInfo::from_balance(U256::from(ENDOWMENT)));
        }
        let block = BlockEnv {
            number: U256::from(1),
            timestamp: U256::from(1_700_000_000),
            gas_limit: u64::MAX,
            basefee: 7,
            ..BlockEnv::default()
        };
        let mut cfg = CfgEnv::new_with_spec(SpecId::OSAKA);
        cfg.chain_id = CHAIN_ID;
        let mut evm = Context::mainnet().with_db(database).with_block(block).with_cfg(cfg).build_mainnet();
        let creation = TxEnv {
            caller: deployer.address,
            kind: TxKind::Create,
            data: token::creation_code(),
            gas_limit: 2_000_000,
            gas_price: 1_000,
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        };
        let result = evm.transact_commit(creation)?;
        ensure!(result.is_success(), "the deployment failed: {result:?}");
        let mut floor = Self { evm, token, senders };
        for index in 0..floor.senders.len() {
            floor.give(floor.senders[index].address, 1_000_000_000)?;
        }
        for index in 0..slots {
            floor.give(token::filled_holder(index), 1)?;
        }
        Ok(floor)
    }

    /// The token's deployed code.
    ///
    /// # Errors
    /// When it is not there.
    pub fn runtime_code(&mut self) -> Result<Bytes> {
        let Journal { database, .. } = &mut self.evm.ctx.journaled_state;
        let account = database.load_account(self.token)?;
        let code = account.info.code.as_ref();
        code.map(|code| code.original_bytes()).ok_or_else(|| eyre!("the token has no code"))
    }

    fn give(&mut self, holder: Address, amount: u64) -> Result<()> {
        let Journal { database, .. } = &mut self.evm.ctx.journaled_state;
        database.insert_account_storage(self.token, token::balance_slot(holder), U256::from(amount))?;
        Ok(())
    }

    /// Signs `count` transfers to fresh recipients, in an order in which nonces ascend.
    #[must_use]
    pub fn sign_transfers(&self, count: u64) -> Vec<Bytes> {
        let fees = Fees { chain_id: CHAIN_ID, max_fee: 1_000, max_priority_fee: 1 };
        let senders = self.senders.len() as u64;
        let mut lanes = vec![Vec::new(); self.senders.len()];
        for index in 0..count {
            lanes[(index % senders) as usize].push(Draft {
                nonce: index / senders,
                to: TxKind::Call(self.token),
                value: U256::ZERO,
                input: token::transfer(fresh_recipient(0, index), 1),
                gas_limit: token::TRANSFER_GAS_LIMIT,
            });
        }
        let signed = sign_lanes(&self.senders, lanes, fees);
        (0..count)
            .map(|index| {
                let lane = &signed[(index % senders) as usize];
                Signed::raw(&lane[(index / senders) as usize])
            })
            .collect()
    }

    /// Executes one transaction from `caller` and keeps its effects.
    ///
    /// # Errors
    /// When the transaction is invalid (a revert is not an error).
    pub fn execute(&mut self, transaction: &TxEnvelope, caller: Address) -> Result<ExecutionResult> {
        let environment = TxEnv {
            tx_type: transaction.tx_type() as u8,
            caller,
            gas_limit: transaction.gas_limit(),
            gas_price: transaction.max_fee_per_gas(),
            gas_priority_fee: transaction.max_priority_fee_per_gas(),
            kind: transaction.kind(),
            value: transaction.value(),
            data: transaction.input().clone(),
            nonce: transaction.nonce(),
            chain_id: transaction.chain_id(),
            ..TxEnv::default()
        };
        Ok(self.evm.transact_commit(environment)?)
    }

    /// Runs the transactions through the whole floor and measures the thread's CPU time.
    ///
    /// # Errors
    /// When a transaction is malformed, invalid or reverts.
    pub fn measure(&mut self, raw: &[Bytes]) -> Result<(FloorCost, Vec<FloorReceipt>)> {
        let start = thread_cpu()?;
        let mut recovered = Vec::with_capacity(raw.len());
        for bytes in raw {
            let transaction = TxEnvelope::decode_2718(&mut &bytes[..])?;
            std::hint::black_box(transaction.tx_hash());
            let sender = recover(&transaction)?;
            recovered.push((transaction, sender));
        }
        let middle = thread_cpu()?;
        let mut receipts = Vec::with_capacity(raw.len());
        let mut cumulative_gas_used = 0;
        for (transaction, sender) in &recovered {
            let result = self.execute(transaction, *sender)?;
            ensure!(result.is_success(), "a transfer failed: {result:?}");
            cumulative_gas_used += result.tx_gas_used();
            let receipt = Receipt { status: Eip658Value::Eip658(true), cumulative_gas_used, logs: result.into_logs() };
            receipts.push(receipt.with_bloom());
        }
        let end = thread_cpu()?;
        let per_transaction = |time: Duration| time.as_secs_f64() * 1e6 / raw.len().max(1) as f64;
        let cost = FloorCost { recover_us: per_transaction(middle - start), execute_us: per_transaction(end - middle) };
        Ok((cost, receipts))
    }

    /// The token balance of `holder`, through the contract's `balanceOf`.
    ///
    /// # Errors
    /// When the call fails.
    pub fn token_balance(&mut self, holder: Address) -> Result<U256> {
        let result = self.call(Address::ZERO, token::balance_of(holder))?;
        result.output().map(|output| U256::from_be_slice(output)).ok_or_else(|| eyre!("no output"))
    }

    /// Calls the token without a signature, with effects; for tests and balances.
    ///
    /// # Errors
    /// When the call is invalid.
    pub fn call(&mut self, caller: Address, data: Bytes) -> Result<ExecutionResult> {
        let nonce = {
            let Journal { database, .. } = &mut self.evm.ctx.journaled_state;
            let nonce = database.load_account(caller)?.info.nonce;
            let mut funded = AccountInfo::from_balance(U256::from(ENDOWMENT));
            funded.nonce = nonce;
            database.insert_account_info(caller, funded);
            nonce
        };
        Ok(self.evm.transact_commit(TxEnv {
            caller,
            kind: TxKind::Call(self.token),
            data,
            nonce,
            gas_limit: token::FILL_GAS_LIMIT,
            gas_price: 1_000,
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        })?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
