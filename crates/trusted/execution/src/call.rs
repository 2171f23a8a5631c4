//! Calls: executions that leave no trace.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_evm::{Evm as _, EvmEnv, EvmFactory as _};
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use cloister_primitives::{Code, Rejected};
use cloister_state::StateView;
use revm::Inspector;
use revm::context::TxEnv;
use revm::context::result::{EVMError, ExecutionResult, HaltReason, Output, ResultAndState};

use crate::build::Executor;
use crate::database::{BlockHashes, CallDatabase, ViewDatabase, ViewError};
use crate::environment::call_environment;
use crate::error::ExecutionError;
use crate::evm::EvmContext;
use crate::guard::FrameGuard;
use crate::overrides::{BlockOverrides, StateOverrides};
use crate::precompiles::Moves;
use crate::revert::halt_message;
use crate::transaction::{authorizations, rejection};

/// Gas that a call may use unless told otherwise; geth's `--rpc.gascap`. Bounds its time as well.
pub const DEFAULT_CALL_GAS_CAP: u64 = 50_000_000;

/// What a call asks for. All fields are optional, as in `eth_call`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// Sender; the zero address if absent.
    pub from: Option<Address>,
    /// Recipient; absent creates a contract from `input`.
    pub to: Option<Address>,
    /// Gas limit; the cap if absent or above it.
    pub gas: Option<u64>,
    /// Gas price in wei; excludes the two below.
    pub gas_price: Option<u128>,
    /// EIP-1559 fee cap in wei per gas.
    pub max_fee_per_gas: Option<u128>,
    /// EIP-1559 tip cap in wei per gas.
    pub max_priority_fee_per_gas: Option<u128>,
    /// Value in wei.
    pub value: Option<U256>,
    /// Calldata or initcode.
    pub input: Bytes,
    /// Nonce; has no effect on a call.
    pub nonce: Option<u64>,
    /// Chain id; must be ours if present.
    pub chain_id: Option<u64>,
    /// EIP-2930 access list.
    pub access_list: Option<AccessList>,
    /// EIP-7702 authorizations.
    pub authorization_list: Vec<SignedAuthorization>,
    /// EIP-4844 blob fee cap in wei per gas.
    pub max_fee_per_blob_gas: Option<u128>,
    /// EIP-4844 blob hashes.
    pub blob_versioned_hashes: Vec<B256>,
}

/// Where a call takes place.
#[derive(Clone, Copy)]
pub struct CallEnv<'a> {
    /// The block whose context the call sees; its state is the view's.
    pub header: &'a Header,
    /// Hashes for BLOCKHASH.
    pub hashes: &'a dyn BlockHashes,
    /// Accounts that the call sees differently.
    pub state_overrides: &'a StateOverrides,
    /// The block, as the call sees it differently.
    pub block_overrides: &'a BlockOverrides,
    /// Decides about the call's frames.
    pub guard: &'a Arc<dyn FrameGuard>,
    /// Gas that the call may use at most.
    pub gas_cap: u64,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It ran to its end.
    Success {
        /// Returned data, or the code of the created contract.
        output: Bytes,
        /// Gas used, refunds deducted.
        gas_used: u64,
        /// Logs in order.
        logs: Vec<Log>,
        /// Address of the created contract.
        created: Option<Address>,
    },
    /// It reverted.
    Revert {
        /// Returned data; see [`revert_reason`](crate::revert_reason).
        output: Bytes,
        /// Gas used.
        gas_used: u64,
    },
    /// It ended in an exceptional halt.
    Halt {
        /// Why; see [`halt_message`].
        reason: HaltReason,
        /// Gas used.
        gas_used: u64,
    },
}

impl CallOutcome {
    pub(crate) fn new(result: ExecutionResult) -> Self {
        match result {
            ExecutionResult::Success { gas, logs, output, .. } => {
                let (output, created) = match output {
                    Output::Call(output) => (output, None),
                    Output::Create(code, address) => (code, address),
                };
                Self::Success { output, gas_used: gas.tx_gas_used(), logs, created }
            }
            ExecutionResult::Revert { gas, output, .. } => Self::Revert { output, gas_used: gas.tx_gas_used() },
            ExecutionResult::Halt { reason, gas, .. } => Self::Halt { reason, gas_used: gas.tx_gas_used() },
        }
    }

    /// Gas used, refunds deducted.
    #[must_use]
    pub const fn gas_used(&self) -> u64 {
        match self {
            Self::Success { gas_used, .. } | Self::Revert { gas_used, .. } | Self::Halt { gas_used, .. } => *gas_used,
        }
    }

    /// The output of a success.
    ///
    /// # Errors
    /// [`ExecutionError::Reverted`] or [`ExecutionError::Halted`], as `eth_call` answers them.
    pub fn into_output(self) -> Result<Bytes, ExecutionError> {
        match self {
            Self::Success { output, .. } => Ok(output),
            Self::Revert { output, .. } => Err(ExecutionError::Reverted { output }),
            Self::Halt { reason, .. } => Err(ExecutionError::Halted { reason: halt_message(&reason) }),
        }
    }
}

impl Executor {
    /// Executes a call on `view`, in the context of `env.header`.
    ///
    /// As in geth, a call without fees pays none and sees a base fee of zero; nonce, block gas limit and
    /// EIP-3607 do not apply to calls.
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if the call is invalid, [`ExecutionError::State`] if the view is gone.
    /// Reverts and halts are outcomes, not errors.
    pub fn call(
        &self,
        view: &StateView,
        env: &CallEnv<'_>,
        request: &CallRequest,
    ) -> Result<CallOutcome, ExecutionError> {
        let prepared = self.prepare(env, request)?;
        let result = self.run(view, env, &prepared, prepared.transaction.gas_limit)?;
        Ok(CallOutcome::new(result.result))
    }

    /// As [`call`](Self::call), with an inspector that sees every step; returns the touched state, too.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn inspect_call<'a, I: Inspector<EvmContext<CallDatabase<'a>>>>(
        &'a self,
        view: &'a StateView,
        env: &CallEnv<'a>,
        request: &CallRequest,
        inspector: &mut I,
    ) -> Result<ResultAndState, ExecutionError> {
        let prepared = self.prepare(env, request)?;
        let database = self.call_database(view, env)?;
        let sender = prepared.transaction.caller;
        let mut evm = self.factory.guarded_by(Arc::clone(env.guard)).create_evm_with_inspector(
            database,
            prepared.environment,
            inspector,
        );
        if let Some(moves) = prepared.moves {
            evm.move_precompiles(moves);
        }
        evm.transact_raw(prepared.transaction).map_err(|error| failure(error, sender))
    }

    pub(crate) fn call_database<'a>(
        &'a self,
        view: &'a StateView,
        env: &CallEnv<'a>,
    ) -> Result<CallDatabase<'a>, ExecutionError> {
        let base = ViewDatabase::new(view, env.hashes, &self.codes).with_designators(self.designators(env.header));
        Ok(CallDatabase::new(base, env.state_overrides, env.block_overrides)?)
    }

    /// Runs a prepared call with another gas limit.
    pub(crate) fn run(
        &self,
        view: &StateView,
        env: &CallEnv<'_>,
        prepared: &Prepared,
        gas_limit: u64,
    ) -> Result<ResultAndState, ExecutionError> {
        let database = self.call_database(view, env)?;
        let mut transaction = prepared.transaction.clone();
        transaction.gas_limit = gas_limit;
        let sender = transaction.caller;
        let mut evm = self.factory.guarded_by(Arc::clone(env.guard)).create_evm(database, prepared.environment.clone());
        if let Some(moves) = &prepared.moves {
            evm.move_precompiles(moves.clone());
        }
        evm.transact_raw(transaction).map_err(|error| failure(error, sender))
    }

    /// From a request to what the EVM runs.
    pub(crate) fn prepare(&self, env: &CallEnv<'_>, request: &CallRequest) -> Result<Prepared, ExecutionError> {
        let chain_id = self.spec.chain_id();
        if let Some(id) = request.chain_id
            && id != chain_id
        {
            return Err(Rejected::with_detail(Code::InvalidChainId, format!("have {id} want {chain_id}")).into());
        }
        let mut environment = call_environment(&self.spec, env.header, env.block_overrides);
        let fees = Fees::of(request)?;
        if fees.cap == 0 {
            // Who pays nothing must not be refused for the base fee, and must not see one (as in geth).
            environment.block_env.basefee = 0;
        }
        if request.max_fee_per_blob_gas.unwrap_or(0) == 0
            && let Some(blob) = environment.block_env.blob_excess_gas_and_price.as_mut()
            && !request.blob_versioned_hashes.is_empty()
        {
            blob.blob_gasprice = 0;
        }
        let gas_cap = if env.gas_cap == 0 { u64::MAX } else { env.gas_cap };
        Ok(Prepared {
            moves: Moves::of(env.state_overrides, environment.cfg_env.spec)?,
            transaction: TxEnv {
                tx_type: transaction_type(request, &fees),
                caller: request.from.unwrap_or_default(),
                gas_limit: request.gas.unwrap_or(gas_cap).min(gas_cap),
                gas_price: fees.cap,
                kind: request.to.map_or(TxKind::Create, TxKind::Call),
                value: request.value.unwrap_or_default(),
                data: request.input.clone(),
                nonce: 0,
                chain_id: Some(chain_id),
                access_list: request.access_list.clone().unwrap_or_default(),
                gas_priority_fee: fees.tip,
                blob_hashes: request.blob_versioned_hashes.clone(),
                max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or(0),
                authorization_list: authorizations(&request.authorization_list),
            },
            environment,
        })
    }
}

/// A call, ready to run any number of times.
pub(crate) struct Prepared {
    pub(crate) moves: Option<Moves>,
    pub(crate) transaction: TxEnv,
    pub(crate) environment: EvmEnv,
}

/// Fees of a call in wei per gas.
pub(crate) struct Fees {
    pub(crate) cap: u128,
    tip: Option<u128>,
}

impl Fees {
    pub(crate) fn of(request: &CallRequest) -> Result<Self, Rejected> {
        let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
        match request.gas_price {
            Some(_) if dynamic => Err(Rejected::with_detail(
                Code::InvalidParams,
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
            )),
            Some(price) => Ok(Self { cap: price, tip: None }),
            None => {
                let cap = request.max_fee_per_gas.unwrap_or(0);
                let tip = request.max_priority_fee_per_gas;
                match tip {
                    Some(tip) if tip > cap => Err(Rejected::with_detail(
                        Code::TipAboveFeeCap,
                        format!("maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"),
                    )),
                    _ => Ok(Self { cap, tip: dynamic.then(|| tip.unwrap_or(0)) }),
                }
            }
        }
    }
}

/// The oldest EIP-2718 type that can carry what the request has.
fn transaction_type(request: &CallRequest, fees: &Fees) -> u8 {
    if !request.authorization_list.is_empty() {
        4
    } else if !request.blob_versioned_hashes.is_empty() {
        3
    } else if fees.tip.is_some() {
        2
    } else if request.access_list.is_some() {
        1
    } else {
        0
    }
}

fn failure(error: EVMError<ViewError>, sender: Address) -> ExecutionError {
    match error {
        EVMError::Transaction(invalid) => rejection(&invalid, sender).into(),
        EVMError::Database(ViewError(error)) => error.into(),
        other => ExecutionError::Fatal(other.to_string()),
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
