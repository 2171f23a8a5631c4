//! A development chain in memory, up to the block executor: no pool, no sealing, no network.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use cloister_access::RulesInForce;
use cloister_execution::{
    BlockAttributes, Built, Executor, HeadFacts, NoBlockHashes, Open, Origin, Parent, SenderFacts, ValidTx,
    genesis_block, genesis_delta, recover, validate,
};
use cloister_primitives::{Block, ChainSpec, DevChain, GenesisAccount, Height, VISIBILITY_ADDRESS};
use cloister_state::{HistoryLimits, State, StateView};
use eyre::{Result, ensure, eyre};

use crate::floor::Floor;
use crate::token;
use crate::wallet::Account;

/// Gas limit of the chain's blocks.
const GAS_LIMIT: u64 = 4_000_000_000;
/// Most bytes of one transaction.
const MAX_TRANSACTION_BYTES: usize = 128 << 10;

/// The chain: a token with filled balances, funded senders, nothing but a genesis block.
#[derive(Debug)]
pub struct Chain {
    executor: Executor,
    state: State,
    genesis: Block,
}

impl Chain {
    /// A chain on which `floor`'s transactions are valid, with `slots` more balances.
    ///
    /// # Errors
    /// When the genesis is refused.
    pub fn new(floor: &mut Floor, senders: u64, slots: u64) -> Result<Self> {
        Self::with(floor, senders, slots, BTreeMap::new())
    }

    /// The same chain, on which rules of the token are asked before every frame. They let everybody transfer.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn ruled(floor: &mut Floor, senders: u64, slots: u64) -> Result<Self> {
        let rules = token::rules(floor.token);
        let mut chain = Self::with(floor, senders, slots, BTreeMap::from([(VISIBILITY_ADDRESS, rules)]))?;
        chain.executor = chain.executor.with_block_rules(Arc::new(RulesInForce::default()));
        Ok(chain)
    }

    fn with(floor: &mut Floor, senders: u64, slots: u64, mut alloc: BTreeMap<Address, GenesisAccount>) -> Result<Self> {
        let mut storage = BTreeMap::new();
        for index in 0..slots {
            let slot = token::balance_slot(token::filled_holder(index));
            storage.insert(slot, U256::from(1));
        }
        for index in 0..senders {
            let sender = Account::derived(0, index)?.address;
            storage.insert(token::balance_slot(sender), U256::from(1_000_000_000));
            let account =
                GenesisAccount { balance: U256::from(1_000_000_000_000_000_000_000_u128), ..GenesisAccount::default() };
            alloc.insert(sender, account);
        }
        let contract = GenesisAccount { nonce: 1, code: floor.runtime_code()?, storage, ..GenesisAccount::default() };
        alloc.insert(floor.token, contract);
        let chain = DevChain { gas_limit: GAS_LIMIT, alloc, ..DevChain::default() };
        let spec = Arc::new(ChainSpec::development(chain)?);
        let state = State::new(HistoryLimits::default());
        let root = state.apply(Height::GENESIS, &genesis_delta(&spec))?;
        state.set_committed(Height::GENESIS);
        let genesis = genesis_block(&spec, root);
        Ok(Self { executor: Executor::new(spec, Arc::new(Open)), state, genesis })
    }

    /// Decodes, recovers and validates raw transactions.
    ///
    /// # Errors
    /// When one of them is refused.
    pub fn admit(&self, raw: &[Bytes]) -> Result<Vec<ValidTx>> {
        let head =
            HeadFacts { height: 1, timestamp: self.genesis.header.timestamp + 1, base_fee: 7, gas_limit: GAS_LIMIT };
        let view = self.view()?;
        raw.iter()
            .map(|bytes| {
                let transaction = recover(bytes, MAX_TRANSACTION_BYTES)?;
                let sender = SenderFacts::read(&view, transaction.signer())?;
                let spec = self.executor.spec();
                Ok(validate(transaction, Origin::External, spec, &head, &sender)?)
            })
            .collect()
    }

    /// The state after genesis.
    ///
    /// # Errors
    /// Never, while no block is applied.
    pub fn view(&self) -> Result<StateView> {
        Ok(self.state.view(Height::GENESIS)?)
    }

    /// Executes candidates as the first block, with receipts and delta, and leaves the state as it
    /// is.
    ///
    /// # Errors
    /// When a candidate does not make it into the block.
    pub fn build(&self, view: &StateView, candidates: Vec<ValidTx>) -> Result<Built> {
        let expected = candidates.len();
        let parent = Parent { header: &self.genesis.header, hash: self.genesis.hash };
        let attributes = BlockAttributes {
            timestamp: self.genesis.header.timestamp + 1,
            beneficiary: Address::ZERO,
            prev_randao: B256::ZERO,
            gas_limit: GAS_LIMIT,
            base_fee_override: Some(7),
            ..BlockAttributes::default()
        };
        let built = self.executor.build(parent, attributes, view, &NoBlockHashes, candidates)?;
        if let Some((_, reason)) = built.evicted.first() {
            return Err(eyre!("a transfer was refused: {reason}"));
        }
        ensure!(built.transactions.len() == expected, "the block is too small");
        Ok(built)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_executor_and_the_floor_agree_on_receipts() {
        let mut floor = Floor::new(4, 10).unwrap();
        let raw = floor.sign_transfers(9);
        let chain = Chain::new(&mut floor, 4, 10).unwrap();
        let view = chain.view().unwrap();
        let built = chain.build(&view, chain.admit(&raw).unwrap()).unwrap();
        let ruled = Chain::ruled(&mut Floor::new(4, 10).unwrap(), 4, 10).unwrap();
        let with_rules = ruled.build(&ruled.view().unwrap(), ruled.admit(&raw).unwrap()).unwrap();
        assert!(built.receipts == with_rules.receipts, "rules that let everybody transfer change nothing");
        let (_, receipts) = floor.measure(&raw).unwrap();
        assert_eq!(built.receipts.len(), 9);
        for (ours, floor) in built.receipts.iter().zip(&receipts) {
            assert!(ours.is_success());
            assert_eq!(ours.cumulative_gas_used(), floor.receipt.cumulative_gas_used);
            assert_eq!(ours.logs(), floor.receipt.logs);
        }
    }
}
