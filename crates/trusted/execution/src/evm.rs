//! Our own EVM type: revm's mainnet EVM with a guard before every frame.

use core::fmt;
use std::sync::Arc;

use alloy_evm::{Database, Evm, EvmEnv, EvmFactory};
use alloy_primitives::{Address, Bytes};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, ResultAndState};
use revm::context::{
    BlockEnv, CfgEnv, Context, ContextError, ContextTr, DBErrorMarker, Evm as RevmEvm, FrameStack, Journal, JournalTr,
    TxEnv,
};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::handler::evm::{ContextDbError, FrameInitResult};
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, EvmTr, FrameInitOrResult, FrameResult, Handler, ItemOrResult, SystemCallTx};
use revm::inspector::{InspectorEvmTr, InspectorHandler, NoOpInspector};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::{
    CallInputs, CallOutcome, CallScheme, CreateInputs, CreateScheme, FrameInput, Gas, InstructionResult,
    InterpreterResult,
};
use revm::primitives::hardfork::SpecId;
use revm::{Inspector, MainContext};

use cloister_primitives::{GasSchedule, Protection};

use crate::collision::uncreated;
use crate::flat_gas;
use crate::frames::run_without_steps;
use crate::guard::{Admission, FrameFacts, FrameGuard, FrameKind};
use crate::handler::{Conduct, Run, failed};
use crate::precompiles::{Moves, Precompiles};
use crate::unseen;

/// What inspectors see of an execution on a database `DB`.
pub type EvmContext<DB> = Context<BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, Arc<dyn FrameGuard>>;

pub(crate) type Inner<DB, I> =
    RevmEvm<EvmContext<DB>, I, EthInstructions<EthInterpreter, EvmContext<DB>>, Precompiles, EthFrame>;

/// An EVM that asks a [`FrameGuard`] before every frame.
pub struct CloisterEvm<DB: Database, I> {
    inner: Inner<DB, I>,
    conduct: Conduct,
    inspects: bool,
    detail: Detail,
}

/// What an inspector is told of an execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Frames, logs and self-destructs. Instructions run as fast as without an inspector, which hears
    /// neither `step` nor `step_end`.
    Frames,
    /// Every instruction as well.
    #[default]
    Steps,
}

impl<DB: Database, I> fmt::Debug for CloisterEvm<DB, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloisterEvm")
            .field("guard", &self.inner.ctx.chain)
            .field("inspects", &self.inspects)
            .finish_non_exhaustive()
    }
}

impl<DB: Database, I> CloisterEvm<DB, I> {
    fn new(db: DB, mut env: EvmEnv, inspector: I, factory: &CloisterEvmFactory) -> Self {
        let spec = env.cfg_env.spec;
        let mut instructions = EthInstructions::new_mainnet_with_spec(spec);
        if factory.gas_schedule == GasSchedule::Flat && Protection::FlatGas.holds() {
            flat_gas::charge(&mut env.cfg_env, &mut instructions);
        }
        if factory.guard.conceals() {
            unseen::conceal(&mut instructions);
        }
        let context = Context::mainnet()
            .with_chain(Arc::clone(&factory.guard))
            .with_db(db)
            .with_cfg(env.cfg_env)
            .with_block(env.block_env);
        // Frames are made as calls need them: most are one or two deep.
        let frame_stack = FrameStack::new();
        Self {
            inner: RevmEvm {
                ctx: context,
                inspector,
                instruction: instructions,
                precompiles: Precompiles::new(spec),
                frame_stack,
            },
            conduct: factory.conduct,
            inspects: false,
            detail: Detail::default(),
        }
    }

    /// Tells the inspector no more than this.
    #[must_use]
    pub const fn with_detail(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }

    pub(crate) fn inner_mut(&mut self) -> &mut Inner<DB, I> {
        &mut self.inner
    }

    pub(crate) fn context_mut(&mut self) -> &mut EvmContext<DB> {
        &mut self.inner.ctx
    }

    /// Rules in force, to change between two executions.
    pub(crate) fn cfg_mut(&mut self) -> &mut CfgEnv {
        &mut self.inner.ctx.cfg
    }

    /// The block, to change between two executions.
    pub(crate) fn block_mut(&mut self) -> &mut BlockEnv {
        &mut self.inner.ctx.block
    }

    /// Puts precompiles elsewhere.
    pub(crate) fn move_precompiles(&mut self, moves: Moves) {
        self.inner.precompiles.set_moves(moves);
    }

    pub(crate) fn admission(&self, init: &FrameInit) -> Admission {
        let context = &self.inner.ctx;
        match &init.frame_input {
            FrameInput::Call(inputs) => {
                let input = inputs.input.as_bytes(context);
                context.chain.admit(&call_facts(inputs, &context.tx, init.depth, &input))
            }
            FrameInput::Create(inputs) => context.chain.admit(&create_facts(inputs, &context.tx, init.depth)),
            // revm never starts an empty frame.
            FrameInput::Empty => Admission::Refused,
        }
    }

    /// The outcome of a frame that never ran: a revert with empty data and all gas unspent.
    pub(crate) fn refuse(&mut self, init: FrameInit) -> Result<FrameResult, ContextDbError<EvmContext<DB>>> {
        let reverted = |gas_limit, reservoir| InterpreterResult {
            result: InstructionResult::Revert,
            output: Bytes::new(),
            gas: Gas::new_with_regular_gas_and_reservoir(gas_limit, reservoir),
        };
        Ok(match init.frame_input {
            FrameInput::Create(inputs) => {
                if init.depth == 0 {
                    // revm bumps the sender's nonce when the creation starts; one that never starts
                    // must not leave its transaction free to be replayed.
                    self.inner.ctx.journal_mut().load_account_mut(inputs.caller())?.bump_nonce();
                }
                uncreated(&inputs, InstructionResult::Revert)
            }
            FrameInput::Call(inputs) => {
                let mut outcome =
                    CallOutcome::new(reverted(inputs.gas_limit, inputs.reservoir), inputs.return_memory_offset.clone());
                outcome.charged_new_account_state_gas = inputs.charged_new_account_state_gas;
                FrameResult::Call(outcome)
            }
            FrameInput::Empty => FrameResult::Call(CallOutcome::new(reverted(0, 0), 0..0)),
        })
    }
}

/// Why an execution failed that nobody could tell whether to allow.
pub(crate) const UNREADABLE_RULES: &str = "the rules of a contract could not be read";

fn call_facts<'a>(inputs: &CallInputs, tx: &'a TxEnv, depth: usize, input: &'a [u8]) -> FrameFacts<'a> {
    FrameFacts {
        kind: match inputs.scheme {
            CallScheme::Call => FrameKind::Call,
            CallScheme::CallCode => FrameKind::CallCode,
            CallScheme::DelegateCall => FrameKind::DelegateCall,
            CallScheme::StaticCall => FrameKind::StaticCall,
        },
        depth,
        caller: inputs.caller,
        origin: tx.caller,
        recipient: tx.kind.to().copied(),
        transaction_input: &tx.data,
        storage_address: Some(inputs.target_address),
        code_address: Some(inputs.bytecode_address),
        value: inputs.value.get(),
        is_static: inputs.is_static,
        input,
    }
}

fn create_facts<'a>(inputs: &'a CreateInputs, tx: &'a TxEnv, depth: usize) -> FrameFacts<'a> {
    FrameFacts {
        kind: match inputs.scheme() {
            CreateScheme::Create2 { .. } => FrameKind::Create2,
            CreateScheme::Create | CreateScheme::Custom { .. } => FrameKind::Create,
        },
        depth,
        caller: inputs.caller(),
        origin: tx.caller,
        recipient: tx.kind.to().copied(),
        transaction_input: &tx.data,
        storage_address: None,
        code_address: None,
        value: inputs.value(),
        is_static: false,
        input: inputs.init_code(),
    }
}

impl<DB: Database, I> EvmTr for CloisterEvm<DB, I> {
    type Context = EvmContext<DB>;
    type Instructions = EthInstructions<EthInterpreter, EvmContext<DB>>;
    type Precompiles = Precompiles;
    type Frame = EthFrame;

    fn all(&self) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>) {
        self.inner.all()
    }

    fn all_mut(
        &mut self,
    ) -> (&mut Self::Context, &mut Self::Instructions, &mut Self::Precompiles, &mut FrameStack<Self::Frame>) {
        self.inner.all_mut()
    }

    fn frame_init(
        &mut self,
        mut init: FrameInit,
    ) -> Result<FrameInitResult<'_, Self::Frame>, ContextDbError<Self::Context>> {
        let admitted = match self.admission(&init) {
            Admission::Admitted => true,
            Admission::Refused => false,
            Admission::Asks(inquiry) => self.inquire(&inquiry, &mut init)?,
            Admission::Unknown => return Err(ContextError::Custom(UNREADABLE_RULES.to_owned())),
        };
        if !admitted {
            return self.refuse(init).map(ItemOrResult::Result);
        }
        match self.collision(&init)? {
            Some(outcome) => Ok(ItemOrResult::Result(outcome)),
            None => self.inner.frame_init(init),
        }
    }

    // As revm's own, but part of the loop that runs it: called from there, its outcome goes through memory, which costs
    // some 50 ns a frame, more than half of what the guard may.
    #[inline(always)]
    fn frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        let frame = self.inner.frame_stack.get();
        let (context, instructions) = (&mut self.inner.ctx, &self.inner.instruction);
        let action = frame.interpreter.run_plain(instructions.instruction_table(), instructions.gas_table(), context);
        frame.process_next_action(context, action).inspect(|next| {
            if next.is_result() {
                frame.set_finished(true);
            }
        })
    }

    fn frame_return_result(
        &mut self,
        result: FrameResult,
    ) -> Result<Option<FrameResult>, ContextDbError<Self::Context>> {
        self.inner.frame_return_result(result)
    }
}

impl<DB: Database, I: Inspector<EvmContext<DB>>> InspectorEvmTr for CloisterEvm<DB, I> {
    type Inspector = I;

    fn all_inspector(
        &self,
    ) -> (&Self::Context, &Self::Instructions, &Self::Precompiles, &FrameStack<Self::Frame>, &Self::Inspector) {
        self.inner.all_inspector()
    }

    fn all_mut_inspector(
        &mut self,
    ) -> (
        &mut Self::Context,
        &mut Self::Instructions,
        &mut Self::Precompiles,
        &mut FrameStack<Self::Frame>,
        &mut Self::Inspector,
    ) {
        self.inner.all_mut_inspector()
    }

    fn inspect_frame_run(&mut self) -> Result<FrameInitOrResult<Self::Frame>, ContextDbError<Self::Context>> {
        match self.detail {
            Detail::Steps => self.inner.inspect_frame_run(),
            Detail::Frames => run_without_steps(&mut self.inner),
        }
    }
}

impl<DB: Database, I: Inspector<EvmContext<DB>>> CloisterEvm<DB, I> {
    /// Takes the changes out of the journal, which is cleared also when the run failed.
    fn finalized(
        &mut self,
        outcome: Result<ExecutionResult, EVMError<DB::Error>>,
    ) -> Result<ResultAndState, EVMError<DB::Error>> {
        let state = self.inner.ctx.journal_mut().finalize();
        Ok(ResultAndState::new(outcome?, state))
    }
}

impl<DB: Database, I: Inspector<EvmContext<DB>>> Evm for CloisterEvm<DB, I> {
    type DB = DB;
    type Tx = TxEnv;
    type Error = EVMError<DB::Error>;
    type HaltReason = HaltReason;
    type Spec = SpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = Precompiles;
    type Inspector = I;

    fn block(&self) -> &BlockEnv {
        &self.inner.ctx.block
    }

    fn cfg_env(&self) -> &CfgEnv {
        &self.inner.ctx.cfg
    }

    fn chain_id(&self) -> u64 {
        self.inner.ctx.cfg.chain_id
    }

    fn transact_raw(&mut self, tx: TxEnv) -> Result<ResultAndState, Self::Error> {
        self.inner.ctx.tx = tx;
        let mut handler = Run::new(self.conduct);
        let outcome = if self.inspects { handler.inspect_run(self) } else { handler.run(self) };
        let outcome = match outcome {
            Err(EVMError::Transaction(refused))
                if self.conduct == Conduct::Confidential && Protection::FailuresIncluded.holds() =>
            {
                failed(&mut self.inner.ctx, refused)
            }
            outcome => outcome,
        };
        self.finalized(outcome)
    }

    fn transact_system_call(
        &mut self,
        caller: Address,
        contract: Address,
        data: Bytes,
    ) -> Result<ResultAndState, Self::Error> {
        self.inner.ctx.tx = TxEnv::new_system_tx_with_caller(caller, contract, data);
        let outcome = Run::new(self.conduct).run_system_call(self);
        self.finalized(outcome)
    }

    fn finish(self) -> (DB, EvmEnv) {
        let Context { block: block_env, cfg: cfg_env, journaled_state, .. } = self.inner.ctx;
        (journaled_state.database, EvmEnv { cfg_env, block_env })
    }

    fn set_inspector_enabled(&mut self, enabled: bool) {
        self.inspects = enabled;
    }

    fn components(&self) -> (&DB, &I, &Precompiles) {
        (&self.inner.ctx.journaled_state.database, &self.inner.inspector, &self.inner.precompiles)
    }

    fn components_mut(&mut self) -> (&mut DB, &mut I, &mut Precompiles) {
        (&mut self.inner.ctx.journaled_state.database, &mut self.inner.inspector, &mut self.inner.precompiles)
    }
}

/// Makes [`CloisterEvm`]s that share a guard and a gas schedule.
#[derive(Clone, Debug)]
pub struct CloisterEvmFactory {
    guard: Arc<dyn FrameGuard>,
    gas_schedule: GasSchedule,
    conduct: Conduct,
}

impl CloisterEvmFactory {
    /// A factory of EVMs that ask `guard`.
    #[must_use]
    pub const fn new(guard: Arc<dyn FrameGuard>, gas_schedule: GasSchedule) -> Self {
        Self { guard, gas_schedule, conduct: Conduct::Ethereum }
    }

    /// The same, for transactions of blocks with these rules.
    #[must_use]
    pub const fn with_conduct(mut self, conduct: Conduct) -> Self {
        self.conduct = conduct;
        self
    }

    /// The same, of EVMs that ask another guard.
    #[must_use]
    pub fn guarded_by(&self, guard: Arc<dyn FrameGuard>) -> Self {
        Self { guard, ..self.clone() }
    }
}

impl EvmFactory for CloisterEvmFactory {
    type Evm<DB: Database, I: Inspector<EvmContext<DB>>> = CloisterEvm<DB, I>;
    type Context<DB: Database> = EvmContext<DB>;
    type Tx = TxEnv;
    type Error<DBError: DBErrorMarker> = EVMError<DBError>;
    type HaltReason = HaltReason;
    type Spec = SpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = Precompiles;

    fn create_evm<DB: Database>(&self, db: DB, env: EvmEnv) -> CloisterEvm<DB, NoOpInspector> {
        CloisterEvm::new(db, env, NoOpInspector, self)
    }

    fn create_evm_with_inspector<DB: Database, I: Inspector<EvmContext<DB>>>(
        &self,
        db: DB,
        env: EvmEnv,
        inspector: I,
    ) -> CloisterEvm<DB, I> {
        let mut evm = CloisterEvm::new(db, env, inspector, self);
        evm.inspects = true;
        evm
    }
}

#[cfg(test)]
#[path = "evm_tests.rs"]
mod tests;
