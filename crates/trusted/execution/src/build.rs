//! Building a block from candidates.

use std::borrow::Cow;
use std::sync::Arc;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Header, Transaction as _, TxType};
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_evm::block::{BlockExecutionError, BlockExecutor, BlockValidationError};
use alloy_evm::eth::{EthBlockExecutionCtx, EthBlockExecutor, EthTxResult};
use alloy_evm::{Evm as _, EvmFactory as _};
use alloy_primitives::{Address, Bytes, Log};
use cloister_primitives::{
    ChainSpec, Code, Confidentiality, EthereumHardfork, Protection, RecoveredTransaction, Rejected, Transaction,
};
use cloister_state::StateView;
use revm::Inspector;
use revm::context::result::HaltReason;
use revm::inspector::NoOpInspector;

use crate::block::{BlockAttributes, Built, Mismatch, Parent};
use crate::database::{BlockDatabase, BlockHashes, CodeCache, Designators, ViewDatabase};
use crate::environment::{ExecutorSpec, block_environment};
use crate::error::ExecutionError;
use crate::evm::{CloisterEvm, CloisterEvmFactory, EvmContext};
use crate::guard::{BlockRules, FrameGuard};
use crate::handler::Conduct;
use crate::receipt::{Receipts, fill_blooms};
use crate::transaction::{rejection, transaction_environment};
use crate::validate::ValidTx;
use crate::within::BlockState;

/// Executes blocks and calls of one chain. Cheap to clone; share it between threads.
#[derive(Clone, Debug)]
pub struct Executor {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) factory: CloisterEvmFactory,
    /// Of the transactions of blocks; calls are nobody's business but the caller's.
    conduct: Conduct,
    /// Whose guard the frames of blocks ask, where that is not the same for all blocks.
    rules: Option<Arc<dyn BlockRules>>,
    pub(crate) codes: Arc<CodeCache>,
}

pub(crate) type Blocks<'a, I> = EthBlockExecutor<'a, CloisterEvm<BlockDatabase<'a>, I>, ExecutorSpec, Receipts>;

/// What transactions take in the record of their block, in bytes, estimated from above.
struct RecordBytes;

impl RecordBytes {
    /// Beside the transaction itself: sender, receipt, changed accounts.
    const AROUND: u64 = 512;
    /// Data of logs is what costs least gas for a byte.
    const LOG_GAS_PER_BYTE: u64 = 8;
    /// A changed slot takes 66 bytes and costs 2,900 gas, of which a fifth may be refunded.
    const CHANGE_GAS_PER_BYTE: u64 = 32;

    /// Whatever the transaction does.
    fn at_most(candidate: &ValidTx) -> u64 {
        candidate.encoded_len() as u64 + Self::AROUND + candidate.gas_limit() / Self::LOG_GAS_PER_BYTE
    }

    /// Having done what it does.
    fn of(candidate: &ValidTx, gas_used: u64, logged: u64) -> u64 {
        candidate.encoded_len() as u64 + Self::AROUND + logged + gas_used / Self::CHANGE_GAS_PER_BYTE
    }

    /// Of a log: address, topics, data, and the heads of their lists.
    fn of_log(log: &Log) -> u64 {
        (64 + 33 * log.topics().len() + log.data.data.len()) as u64
    }
}

/// What became of a candidate.
enum Fate {
    /// With the gas it used, and what its logs take in a record.
    Included(u64, u64),
    Deferred,
    Evicted(Rejected),
}

impl Executor {
    /// An executor of the chain `spec` whose frames `guard` admits.
    #[must_use]
    pub fn new(spec: Arc<ChainSpec>, guard: Arc<dyn FrameGuard>) -> Self {
        let factory = CloisterEvmFactory::new(guard, spec.gas_schedule());
        let conduct = match spec.confidentiality() {
            Confidentiality::On => Conduct::Confidential,
            Confidentiality::Off => Conduct::Ethereum,
        };
        Self { spec, factory, conduct, rules: None, codes: Arc::default() }
    }

    /// The same executor, with rules of blocks that each block's parent state holds.
    #[must_use]
    pub fn with_block_rules(mut self, rules: Arc<dyn BlockRules>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Makes EVMs for the block after the one that `parent` is the state of.
    pub(crate) fn on(&self, parent: &StateView) -> CloisterEvmFactory {
        let factory = self.factory.clone().with_conduct(self.conduct);
        match &self.rules {
            Some(rules) => factory.guarded_by(rules.guard(parent)),
            None => factory,
        }
    }

    /// The chain.
    #[must_use]
    pub const fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Executes candidates in order on the state after `parent` and makes a block of those that fit.
    ///
    /// A candidate fits if its gas limit fits what the gas limits before it left of the block's, and if the
    /// block has room for one more transaction. One that is refused changes nothing. On development networks
    /// it is the gas used before it that counts, as on Ethereum: their tools declare far more than they use.
    /// Whatever a candidate may come to log must fit into the block's record, too.
    ///
    /// # Errors
    /// [`ExecutionError`] if the attributes contradict the parent or the state cannot be read. Candidates
    /// never cause an error.
    pub fn build(
        &self,
        parent: Parent<'_>,
        attributes: BlockAttributes,
        view: &StateView,
        hashes: &dyn BlockHashes,
        candidates: Vec<ValidTx>,
    ) -> Result<Built, ExecutionError> {
        let withdrawals = attributes.withdrawals.clone();
        let header = self.draft(parent, attributes)?;
        let body = Body { ommers: &[], withdrawals: &withdrawals, transactions: candidates.len() };
        let mut run = self.start(&header, body, view, hashes)?;
        let mut built = Included::default();
        let mut gas_left = header.gas_limit;
        let mut bytes_left = self.spec.limits().max_block_record_bytes;
        let blobs = self.spec.blob_params_at(header.timestamp);
        let mut blob_gas_left = blobs.map_or(0, |blobs| blobs.max_blob_gas_per_block());
        let mut evicted = Vec::new();
        let mut deferred = Vec::new();
        for candidate in candidates {
            let gas = candidate.gas_limit();
            let full = built.0.len() >= self.spec.limits().max_transactions_per_block;
            let blob_gas = candidate.transaction().blob_gas_used().unwrap_or(0);
            let fits = gas <= gas_left && blob_gas <= blob_gas_left && RecordBytes::at_most(&candidate) <= bytes_left;
            if full || !fits {
                deferred.push(candidate);
                continue;
            }
            match include(&mut run, candidate.transaction())? {
                Fate::Included(used, logged) => {
                    let (taken, bytes) = match self.spec.confidentiality() {
                        Confidentiality::Off => {
                            let taken = if self.spec.is_development() { used } else { gas };
                            (taken, RecordBytes::of(&candidate, used, logged))
                        }
                        // Which transactions are in a block says nothing about what those before them did.
                        Confidentiality::On if Protection::DeclaredGas.holds() => {
                            (gas, RecordBytes::at_most(&candidate))
                        }
                        Confidentiality::On => (used, RecordBytes::of(&candidate, used, logged)),
                    };
                    gas_left -= taken;
                    blob_gas_left -= blob_gas;
                    bytes_left = bytes_left.saturating_sub(bytes);
                    built.0.push(candidate.into_transaction());
                }
                Fate::Deferred => deferred.push(candidate),
                Fate::Evicted(reason) => evicted.push((candidate.into_transaction(), reason)),
            }
        }
        let mut built = self.finish(run, header, built, &withdrawals)?;
        built.evicted = evicted;
        built.deferred = deferred;
        Ok(built)
    }

    /// Makes a block of exactly these transactions, in this order.
    ///
    /// # Errors
    /// [`ExecutionError::Rejected`] if the attributes contradict the parent or a transaction cannot be in
    /// its place.
    pub fn assemble(
        &self,
        parent: Parent<'_>,
        attributes: BlockAttributes,
        view: &StateView,
        hashes: &dyn BlockHashes,
        transactions: Vec<RecoveredTransaction>,
    ) -> Result<Built, ExecutionError> {
        let withdrawals = attributes.withdrawals.clone();
        let header = self.draft(parent, attributes)?;
        let body = Body { ommers: &[], withdrawals: &withdrawals, transactions: transactions.len() };
        let mut run = self.start(&header, body, view, hashes)?;
        for transaction in &transactions {
            match execute(&mut run, transaction) {
                Ok(output) => run.commit_transaction(output),
                Err(error) => return Err(refusal(error, transaction.signer())?.into()),
            };
        }
        self.finish(run, header, Included(transactions), &withdrawals)
    }

    /// The header of the block after `parent`, as far as it is known before execution.
    pub(crate) fn draft(&self, parent: Parent<'_>, attributes: BlockAttributes) -> Result<Header, ExecutionError> {
        let spec = &self.spec;
        let timestamp = attributes.timestamp;
        if !spec.timestamp_may_follow(parent.header.timestamp, timestamp) {
            return Err(invalid(format!(
                "timestamp {timestamp} does not follow the parent's {}",
                parent.header.timestamp
            )));
        }
        let Some(number) = parent.header.number.checked_add(1) else {
            return Err(ExecutionError::Fatal("the chain has no next height".to_owned()));
        };
        let active = |fork| spec.is_active(fork, number, timestamp);
        if !active(EthereumHardfork::Shanghai) && !attributes.withdrawals.is_empty() {
            return Err(invalid("withdrawals before Shanghai".to_owned()));
        }
        let overridden = attributes.base_fee_override.filter(|_| spec.is_development());
        let base_fee = spec.next_base_fee(parent.header, timestamp);
        Ok(Header {
            parent_hash: parent.hash,
            beneficiary: attributes.beneficiary,
            number,
            gas_limit: attributes.gas_limit,
            timestamp,
            extra_data: attributes.extra_data,
            mix_hash: attributes.prev_randao,
            base_fee_per_gas: base_fee.map(|fee| overridden.unwrap_or(fee)),
            excess_blob_gas: spec.next_excess_blob_gas(parent.header, timestamp),
            blob_gas_used: active(EthereumHardfork::Cancun).then_some(0),
            parent_beacon_block_root: active(EthereumHardfork::Cancun)
                .then(|| attributes.parent_beacon_block_root.unwrap_or_default()),
            ..Header::default()
        })
    }

    /// An executor for the block with this header, past its system calls.
    pub(crate) fn start<'a>(
        &'a self,
        header: &Header,
        body: Body<'a>,
        view: &'a StateView,
        hashes: &'a dyn BlockHashes,
    ) -> Result<Blocks<'a, NoOpInspector>, ExecutionError> {
        let evm =
            self.on(view).create_evm(self.block_database(view, hashes, header), block_environment(&self.spec, header));
        self.start_with(evm, header, body)
    }

    /// What the block with this header executes on.
    pub(crate) fn block_database<'a>(
        &'a self,
        view: &'a StateView,
        hashes: &'a dyn BlockHashes,
        header: &Header,
    ) -> BlockDatabase<'a> {
        let database = ViewDatabase::new(view, hashes, &self.codes).with_designators(self.designators(header));
        BlockState::new(database)
    }

    /// Whether delegations are known in the block with this header (EIP-7702).
    pub(crate) fn designators(&self, header: &Header) -> Designators {
        if self.spec.is_active(EthereumHardfork::Prague, header.number, header.timestamp) {
            Designators::Delegate
        } else {
            Designators::Ordinary
        }
    }

    pub(crate) fn start_with<'a, I: Inspector<EvmContext<BlockDatabase<'a>>>>(
        &self,
        evm: CloisterEvm<BlockDatabase<'a>, I>,
        header: &Header,
        body: Body<'a>,
    ) -> Result<Blocks<'a, I>, ExecutionError> {
        let context = EthBlockExecutionCtx {
            parent_hash: header.parent_hash,
            parent_beacon_block_root: header.parent_beacon_block_root,
            ommers: body.ommers,
            withdrawals: Some(Cow::Owned(body.withdrawals.to_vec())),
            extra_data: Bytes::new(),
            tx_count_hint: Some(body.transactions),
            slot_number: None,
        };
        let spec = ExecutorSpec::new(Arc::clone(&self.spec), header);
        let mut run = EthBlockExecutor::new(evm, context, spec, Receipts);
        run.apply_pre_execution_changes().map_err(|error| failed(header.number, error))?;
        Ok(run)
    }

    /// Closes the block: system calls, withdrawals, delta.
    pub(crate) fn finish<'a, I: Inspector<EvmContext<BlockDatabase<'a>>>>(
        &self,
        run: Blocks<'a, I>,
        mut header: Header,
        included: Included,
        withdrawals: &[Withdrawal],
    ) -> Result<Built, ExecutionError> {
        let active = |fork| self.spec.is_active(fork, header.number, header.timestamp);
        let (evm, mut result) = run.finish().map_err(|error| failed(header.number, error))?;
        fill_blooms(&mut result.receipts);
        let delta = evm.into_db().delta();
        let requests = active(EthereumHardfork::Prague).then_some(result.requests);
        let withdrawals = active(EthereumHardfork::Shanghai).then(|| Withdrawals::new(withdrawals.to_vec()));
        header.gas_used = result.gas_used;
        header.blob_gas_used = header.blob_gas_used.map(|_| result.blob_gas_used);
        Ok(Built {
            header_draft: header,
            transactions: included.0,
            receipts: result.receipts,
            delta,
            requests,
            ommers: Vec::new(),
            withdrawals,
            evicted: Vec::new(),
            deferred: Vec::new(),
        })
    }
}

/// What a block brings besides transactions.
#[derive(Clone, Copy, Default)]
pub(crate) struct Body<'a> {
    pub(crate) ommers: &'a [Header],
    pub(crate) withdrawals: &'a [Withdrawal],
    /// How many transactions to expect.
    pub(crate) transactions: usize,
}

/// Transactions of a block in the making.
#[derive(Default)]
pub(crate) struct Included(pub(crate) Vec<RecoveredTransaction>);

/// Executes one candidate and commits it if it is valid.
fn include(run: &mut Blocks<'_, NoOpInspector>, transaction: &RecoveredTransaction) -> Result<Fate, ExecutionError> {
    match execute(run, transaction) {
        Ok(output) => {
            let used = output.result.result.tx_gas_used();
            let logged = output.result.result.logs().iter().map(RecordBytes::of_log).sum();
            run.commit_transaction(output);
            Ok(Fate::Included(used, logged))
        }
        Err(error) => {
            let reason = refusal(error, transaction.signer())?;
            Ok(match reason.code() {
                Code::NonceTooHigh | Code::FeeCapTooLow | Code::ExceedsBlockGasLimit => Fate::Deferred,
                _ => Fate::Evicted(reason),
            })
        }
    }
}

/// Why a transaction cannot be in this place of the block.
fn refusal(error: BlockExecutionError, sender: Address) -> Result<Rejected, ExecutionError> {
    match error {
        BlockExecutionError::Validation(BlockValidationError::InvalidTx { error, .. }) => {
            Ok(match error.as_invalid_tx_err() {
                Some(invalid) => rejection(invalid, sender),
                None => Rejected::with_detail(Code::MalformedTransaction, error.to_string()),
            })
        }
        BlockExecutionError::Validation(BlockValidationError::TransactionGasLimitMoreThanAvailableBlockGas {
            ..
        }) => Ok(Code::ExceedsBlockGasLimit.into()),
        error => Err(fatal(error)),
    }
}

pub(crate) type Output = EthTxResult<HaltReason, TxType>;

/// Executes one transaction on the block so far, without committing it.
pub(crate) fn execute<'a, I: Inspector<EvmContext<BlockDatabase<'a>>>>(
    run: &mut Blocks<'a, I>,
    transaction: &RecoveredTransaction,
) -> Result<Output, BlockExecutionError> {
    let recovered: &Recovered<Transaction> = transaction;
    let environment = transaction_environment(recovered.inner(), recovered.signer());
    run.execute_transaction_without_commit((environment, recovered))
}

fn invalid(detail: String) -> ExecutionError {
    Rejected::with_detail(Code::InvalidParams, detail).into()
}

/// What goes around a block's transactions, system calls above all, cannot be done.
fn failed(height: u64, error: BlockExecutionError) -> ExecutionError {
    match error {
        BlockExecutionError::Validation(error) => {
            Mismatch::new(height, "systemCalls", "calls that succeed", error).into()
        }
        error => fatal(error),
    }
}

pub(crate) fn fatal(error: BlockExecutionError) -> ExecutionError {
    ExecutionError::Fatal(error.to_string())
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
