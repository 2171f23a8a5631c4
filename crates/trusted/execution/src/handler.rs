//! What happens around the frames of a transaction: revm's mainnet rules, and those of a confidential chain.

use core::marker::PhantomData;

use alloy_evm::Database;
use alloy_primitives::Bytes;
use cloister_primitives::Protection;
use revm::Inspector;
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultGas};
use revm::context::{ContextTr, JournalTr, Transaction as _};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::handler::{EvmTr, FrameResult, Handler, post_execution};
use revm::inspector::InspectorHandler;
use revm::interpreter::interpreter::EthInterpreter;

use crate::evm::{CloisterEvm, EvmContext};

/// What becomes of tips, and of transactions that cannot be executed in their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conduct {
    /// As on Ethereum: tips go to the block's beneficiary, and what cannot be executed is in no block.
    #[default]
    Ethereum,
    /// Tips go nowhere, since whoever had them would see in his balance what others paid for gas. A transaction that
    /// cannot be paid for in its place, or whose nonce was used up before it, is in the block as one that failed: from
    /// the number of transactions nobody learns what those before it did.
    Confidential,
}

/// One run of a transaction.
pub(crate) struct Run<DB, I> {
    conduct: Conduct,
    evm: PhantomData<(DB, I)>,
}

impl<DB, I> Run<DB, I> {
    pub(crate) const fn new(conduct: Conduct) -> Self {
        Self { conduct, evm: PhantomData }
    }
}

impl<DB: Database, I: Inspector<EvmContext<DB>>> Handler for Run<DB, I> {
    type Evm = CloisterEvm<DB, I>;
    type Error = EVMError<DB::Error>;
    type HaltReason = HaltReason;

    fn reward_beneficiary(&self, evm: &mut Self::Evm, result: &mut FrameResult) -> Result<(), Self::Error> {
        match self.conduct {
            Conduct::Confidential if Protection::TipsUnpaid.holds() => Ok(()),
            Conduct::Confidential | Conduct::Ethereum => {
                post_execution::reward_beneficiary(evm.ctx(), result.gas()).map_err(From::from)
            }
        }
    }
}

impl<DB: Database, I: Inspector<EvmContext<DB>>> InspectorHandler for Run<DB, I> {
    type IT = EthInterpreter;
}

/// What is in the block in place of a transaction that was refused there: a failure that cost nothing. Its nonce is used up.
pub(crate) fn failed<DB: Database>(
    context: &mut EvmContext<DB>,
    refused: InvalidTransaction,
) -> Result<ExecutionResult, EVMError<DB::Error>> {
    match refused {
        InvalidTransaction::LackOfFundForMaxFee { .. } => {
            let sender = context.tx().caller();
            context.journal_mut().load_account_mut(sender).map_err(EVMError::Database)?.bump_nonce();
        }
        // It is used up already.
        InvalidTransaction::NonceTooLow { .. } => {}
        other => return Err(EVMError::Transaction(other)),
    }
    Ok(ExecutionResult::Revert { gas: ResultGas::default(), logs: Vec::new(), output: Bytes::new() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use alloy_consensus::TxEip1559;
    use alloy_primitives::{Address, TxKind, U256};
    use cloister_primitives::{Confidentiality, DevChain};

    use crate::Open;
    use crate::testing::{ETHER, World, address, dynamic, legacy, recovered};

    fn confidential() -> World {
        World::with(DevChain { confidentiality: Confidentiality::On, ..DevChain::default() }, Arc::new(Open))
    }

    #[test]
    fn what_cannot_be_executed_in_its_place_is_in_the_block_as_a_failure() {
        let mut world = confidential();
        let to = Address::repeat_byte(0x77);
        let spends = |nonce| TxEip1559 { to: TxKind::Call(to), value: U256::from(60 * ETHER), ..dynamic(nonce) };
        let executed = world.mine(vec![
            recovered(1, spends(0)),
            // More than is left, and a nonce that is used up: neither was so when they were taken.
            recovered(1, spends(1)),
            recovered(1, legacy(0)),
            recovered(1, dynamic(2)),
        ]);
        let succeeded: Vec<bool> = executed.receipts.iter().map(|receipt| receipt.status()).collect();
        assert_eq!(succeeded, [true, false, false, true]);
        let used: Vec<u64> = executed.receipts.iter().map(|receipt| receipt.cumulative_gas_used()).collect();
        assert_eq!(used, [21_000, 21_000, 21_000, 42_000]);
        assert_eq!(world.balance(to), U256::from(60 * ETHER));
        assert_eq!(world.view().account(address(1)).unwrap().unwrap().nonce, 3);
    }

    #[test]
    fn tips_are_nobodys() {
        let beneficiary = Address::repeat_byte(0xbe);
        let paid = |mut world: World| {
            world.mine(vec![recovered(1, dynamic(0))]);
            (world.balance(beneficiary), world.balance(address(1)))
        };
        let (tips, rest) = paid(confidential());
        assert_eq!(tips, U256::ZERO);
        assert!(rest < U256::from(100 * ETHER) - U256::from(7), "they are paid all the same");
        assert!(paid(World::new()).0 > U256::ZERO);
    }
}
