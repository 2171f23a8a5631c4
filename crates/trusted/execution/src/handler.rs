//! What happens around the frames of a transaction: revm's mainnet rules, and those of a confidential chain.

use core::marker::PhantomData;

use alloy_evm::Database;
use alloy_primitives::Bytes;
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
            Conduct::Ethereum => post_execution::reward_beneficiary(evm.ctx(), result.gas()).map_err(From::from),
            Conduct::Confidential => Ok(()),
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
