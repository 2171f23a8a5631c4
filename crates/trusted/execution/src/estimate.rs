//! The least gas limit with which a call succeeds.

use alloy_primitives::{TxKind, U256};
use cloister_primitives::{Code, Rejected};
use cloister_state::StateView;
use revm::Database as _;
use revm::context::result::{ExecutionResult, HaltReason};

use crate::build::Executor;
use crate::call::{CallEnv, CallRequest, Fees, Prepared};
use crate::error::ExecutionError;
use crate::revert::halt_message;

/// Gas of a plain transfer, and the least that any transaction takes.
const TRANSFER_GAS: u64 = 21_000;
/// Gas that a transfer of value adds to the callee's own; a callee may test for it and fail without.
const CALL_STIPEND: u64 = 2_300;
/// The search ends when what is left to search is this fraction of the answer, as in geth: 15/1000.
const TOLERANCE_PER_MILLE: u64 = 15;

impl Executor {
    /// Estimates the gas limit that `request` needs, in the way geth does.
    ///
    /// The answer is one that was seen to succeed; it may exceed the least such by 1.5 %. A plain transfer
    /// is exactly 21,000.
    ///
    /// # Errors
    /// [`ExecutionError::Reverted`] with the data, [`ExecutionError::Halted`], or
    /// [`Code::GasRequiredExceedsAllowance`] where no limit within the allowance (block gas limit or
    /// `request.gas`, what the sender can pay, `env.gas_cap`) succeeds.
    pub fn estimate_gas(
        &self,
        view: &StateView,
        env: &CallEnv<'_>,
        request: &CallRequest,
    ) -> Result<u64, ExecutionError> {
        let prepared = self.prepare(env, request)?;
        let allowance = self.allowance(view, env, request, &prepared)?;
        let attempt = |gas| self.attempt(view, env, &prepared, gas);
        if self.is_plain_transfer(view, env, &prepared)? && matches!(attempt(TRANSFER_GAS)?, Attempt::Success { .. }) {
            return Ok(TRANSFER_GAS);
        }
        let (used, used_without_refund) = match attempt(allowance)? {
            Attempt::Success { used, peak } => (used, peak),
            Attempt::OutOfGas => return Err(exceeds(allowance)),
            Attempt::Failed(error) => return Err(error),
        };
        let mut low = used.saturating_sub(1);
        let mut high = allowance;
        // What the call needed, and what the 63/64 rule (EIP-150) may have held back from its callees.
        let likely = used_without_refund.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
        if likely < high {
            match attempt(likely)? {
                Attempt::Success { .. } => high = likely,
                _ => low = likely,
            }
        }
        while low + 1 < high {
            if (high - low).saturating_mul(1000) < high.saturating_mul(TOLERANCE_PER_MILLE) {
                break;
            }
            // Most calls need little more than they use: look near the bottom first.
            let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(low + 1));
            match attempt(middle)? {
                Attempt::Success { .. } => high = middle,
                _ => low = middle,
            }
        }
        Ok(high)
    }

    /// The highest gas limit worth trying.
    fn allowance(
        &self,
        view: &StateView,
        env: &CallEnv<'_>,
        request: &CallRequest,
        prepared: &Prepared,
    ) -> Result<u64, ExecutionError> {
        let mut most = match request.gas {
            Some(gas) if gas >= TRANSFER_GAS => gas,
            _ => prepared.environment.block_env.gas_limit,
        };
        let block = &prepared.environment.block_env;
        let (height, time) = (block.number.saturating_to(), block.timestamp.saturating_to());
        if let Some(cap) = self.spec.transaction_gas_cap_at(height, time) {
            most = most.min(cap);
        }
        let fees = Fees::of(request)?;
        if fees.cap > 0 {
            let mut database = self.call_database(view, env)?;
            let sender = prepared.transaction.caller;
            let balance = database
                .basic(sender)
                .map_err(|error| ExecutionError::State(error.0))?
                .map_or(U256::ZERO, |account| account.balance);
            let value = prepared.transaction.value;
            if !value.is_zero() && value >= balance {
                return Err(Rejected::new(Code::InsufficientFundsForTransfer).into());
            }
            let affordable = (balance - value) / U256::from(fees.cap);
            most = most.min(affordable.saturating_to());
        }
        if env.gas_cap > 0 {
            most = most.min(env.gas_cap);
        }
        Ok(most)
    }

    fn is_plain_transfer(
        &self,
        view: &StateView,
        env: &CallEnv<'_>,
        prepared: &Prepared,
    ) -> Result<bool, ExecutionError> {
        let TxKind::Call(to) = prepared.transaction.kind else {
            return Ok(false);
        };
        if !prepared.transaction.data.is_empty() {
            return Ok(false);
        }
        let account = self.call_database(view, env)?.basic(to).map_err(|error| ExecutionError::State(error.0))?;
        Ok(account.is_none_or(|account| account.is_empty_code_hash()))
    }

    fn attempt(
        &self,
        view: &StateView,
        env: &CallEnv<'_>,
        prepared: &Prepared,
        gas: u64,
    ) -> Result<Attempt, ExecutionError> {
        let result = match self.run(view, env, prepared, gas) {
            Ok(result) => result.result,
            Err(error) => {
                return match error.code() {
                    Code::IntrinsicGasTooLow | Code::FloorDataGasTooLow => Ok(Attempt::OutOfGas),
                    _ => Err(error),
                };
            }
        };
        Ok(match result {
            ExecutionResult::Success { gas, .. } => {
                Attempt::Success { used: gas.tx_gas_used(), peak: gas.total_gas_spent().max(gas.tx_gas_used()) }
            }
            ExecutionResult::Revert { output, .. } => Attempt::Failed(ExecutionError::Reverted { output }),
            ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => Attempt::OutOfGas,
            ExecutionResult::Halt { reason, .. } => {
                Attempt::Failed(ExecutionError::Halted { reason: halt_message(&reason) })
            }
        })
    }
}

/// How one gas limit fared.
enum Attempt {
    Success {
        /// Gas used, refunds deducted.
        used: u64,
        /// Gas used before refunds.
        peak: u64,
    },
    OutOfGas,
    Failed(ExecutionError),
}

fn exceeds(allowance: u64) -> ExecutionError {
    Rejected::with_detail(Code::GasRequiredExceedsAllowance, allowance.to_string()).into()
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
