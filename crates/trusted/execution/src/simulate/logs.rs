//! Logs of simulated calls as they come up, transfers of ether among them if wanted.

use alloy_primitives::{Address, B256, Log, U256, address, b256};
use revm::Inspector;
use revm::context_interface::{ContextTr, JournalTr};
use revm::interpreter::{CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, InterpreterTypes};

use super::Transfers;

/// Whom a transfer of ether seems to come from (ERC-7528).
const ETHER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// `keccak256("Transfer(address,address,uint256)")`
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// A log of a simulated call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedLog {
    /// The log.
    pub log: Log,
    /// Its index in the block, transfers counted where they are logged.
    pub index: u64,
}

/// Collects the logs of a block's calls, one call after the other.
#[derive(Debug)]
pub(super) struct LogCollector {
    transfers: Transfers,
    /// Logs of the frames that are open, the innermost last.
    open: Vec<Vec<SimulatedLog>>,
    /// Logs of the call that just ended.
    done: Vec<SimulatedLog>,
    next_index: u64,
}

impl LogCollector {
    pub(super) const fn new(transfers: Transfers) -> Self {
        Self { transfers, open: Vec::new(), done: Vec::new(), next_index: 0 }
    }

    /// Hands over the logs of the call that just ended.
    pub(super) fn take(&mut self) -> Vec<SimulatedLog> {
        self.open.clear();
        core::mem::take(&mut self.done)
    }

    fn begin(&mut self) {
        self.open.push(Vec::new());
    }

    fn end(&mut self, succeeded: bool) {
        let Some(mut logs) = self.open.pop() else {
            return;
        };
        if succeeded {
            self.open.last_mut().unwrap_or(&mut self.done).append(&mut logs);
        } else {
            // They are the latest, so their indices are free again.
            self.next_index -= logs.len() as u64;
        }
    }

    fn push(&mut self, log: Log) {
        if let Some(frame) = self.open.last_mut() {
            frame.push(SimulatedLog { log, index: self.next_index });
            self.next_index += 1;
        }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.transfers == Transfers::Logged && !value.is_zero() {
            let topics = vec![TRANSFER, from.into_word(), to.into_word()];
            let data = value.to_be_bytes_vec().into();
            self.push(Log::new_unchecked(ETHER, topics, data));
        }
    }
}

impl<CTX: ContextTr, INTR: InterpreterTypes> Inspector<CTX, INTR> for LogCollector {
    fn log(&mut self, _: &mut CTX, log: Log) {
        self.push(log);
    }

    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.begin();
        // CALLCODE moves ether from an account to itself.
        if inputs.scheme != CallScheme::CallCode
            && let Some(value) = inputs.transfer_value()
        {
            self.transfer(inputs.transfer_from(), inputs.transfer_to(), value);
        }
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(outcome.result.is_ok());
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.begin();
        if let Ok(creator) = context.journal_mut().load_account(inputs.caller()) {
            let address = inputs.created_address(creator.data.info.nonce);
            self.transfer(inputs.caller(), address, inputs.value());
        }
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(outcome.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}
