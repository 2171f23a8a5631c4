//! Asking contracts whether a frame may run.

use core::mem;

use alloy_evm::Database;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::context::{ContextError, ContextTr, JournalTr};
use revm::handler::evm::ContextDbError;
use revm::handler::{EvmTr, FrameResult, ItemOrResult};
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::{CallInput, CallInputs, CallScheme, CallValue, FrameInput};

use crate::evm::{CloisterEvm, EvmContext, UNREADABLE_RULES};
use crate::guard::{Admission, Inquiry};

/// First four bytes of `keccak256("canSee(address,bytes4,bytes)")`.
const CAN_SEE: [u8; 4] = [0x62, 0xb6, 0xdf, 0x26];

impl<DB: Database, I> CloisterEvm<DB, I> {
    /// Whether the contracts admit the frame, which pays for asking them.
    pub(crate) fn inquire(
        &mut self,
        inquiry: &Inquiry,
        init: &mut FrameInit,
    ) -> Result<bool, ContextDbError<EvmContext<DB>>> {
        let FrameInput::Call(inputs) = &mut init.frame_input else {
            return Ok(false);
        };
        let Some(left) = inputs.gas_limit.checked_sub(inquiry.gas()) else {
            return Ok(false);
        };
        inputs.gas_limit = left;
        let input = inputs.input.as_bytes(self.context_mut()).to_vec();
        let question = question(inputs.caller, &input);
        let asker = inputs.target_address;
        let mut is_admitted = true;
        for judges in &inquiry.0 {
            let mut is_admitted_here = false;
            for judge in judges {
                // All are asked, so that it takes as long whoever says yes.
                is_admitted_here |= self.ask(asker, *judge, question.clone(), init)?;
            }
            is_admitted &= is_admitted_here;
        }
        Ok(is_admitted)
    }

    /// Asks one contract, in memory above that of the frame.
    fn ask(
        &mut self,
        asker: Address,
        judge: Address,
        question: Bytes,
        frame: &mut FrameInit,
    ) -> Result<bool, ContextDbError<EvmContext<DB>>> {
        let known_bytecode = {
            let account = &self.context_mut().journal_mut().load_account_with_code(judge)?.info;
            (account.code_hash, account.code.clone().unwrap_or_default())
        };
        let inputs = CallInputs {
            input: CallInput::Bytes(question),
            return_memory_offset: 0..0,
            gas_limit: Inquiry::GAS_OF_EACH,
            reservoir: 0,
            bytecode_address: judge,
            known_bytecode,
            target_address: judge,
            caller: asker,
            value: CallValue::Transfer(U256::ZERO),
            scheme: CallScheme::StaticCall,
            is_static: true,
            charged_new_account_state_gas: false,
        };
        let init = FrameInit {
            depth: frame.depth + 1,
            memory: frame.memory.new_child_context(),
            frame_input: FrameInput::Call(Box::new(inputs)),
        };
        // The frames of the execution wait; nothing of what is asked stays, as nothing of it can change anything.
        let waiting = mem::take(&mut self.inner_mut().frame_stack);
        let answer = self.run_alone(init);
        self.inner_mut().frame_stack = waiting;
        frame.memory.free_child_context();
        Ok(is_yes(&answer?))
    }

    /// Runs a frame with others waiting. Frames that it starts ask in its own name, and no further contracts about that.
    fn run_alone(&mut self, init: FrameInit) -> Result<FrameResult, ContextDbError<EvmContext<DB>>> {
        if let ItemOrResult::Result(result) = self.inner_mut().frame_init(init)? {
            return Ok(result);
        }
        loop {
            let result = match self.inner_mut().frame_run()? {
                ItemOrResult::Result(result) => result,
                ItemOrResult::Item(init) => match self.admission(&init) {
                    Admission::Admitted => match self.inner_mut().frame_init(init)? {
                        ItemOrResult::Result(result) => result,
                        ItemOrResult::Item(_) => continue,
                    },
                    Admission::Refused | Admission::Asks(_) => self.refuse(init)?,
                    Admission::Unknown => return Err(ContextError::Custom(UNREADABLE_RULES.to_owned())),
                },
            };
            if let Some(result) = self.inner_mut().frame_return_result(result)? {
                return Ok(result);
            }
        }
    }
}

/// Calldata of `canSee`, as the ABI encodes it. Missing bytes of the selector are zero.
fn question(viewer: Address, input: &[u8]) -> Bytes {
    let (selector, arguments) = input.split_at(input.len().min(4));
    let mut bytes = CAN_SEE.to_vec();
    bytes.extend(viewer.into_word());
    bytes.extend(B256::right_padding_from(selector));
    bytes.extend(U256::from(96).to_be_bytes::<32>());
    bytes.extend(U256::from(arguments.len()).to_be_bytes::<32>());
    bytes.extend(arguments);
    bytes.resize(bytes.len() + arguments.len().next_multiple_of(32) - arguments.len(), 0);
    bytes.into()
}

/// `true`, and nothing else.
fn is_yes(answer: &FrameResult) -> bool {
    let result = answer.interpreter_result();
    result.is_ok() && result.output[..] == U256::ONE.to_be_bytes::<32>()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{hex, keccak256};

    use super::*;

    #[test]
    fn questions_are_encoded_as_the_abi_says() {
        assert_eq!(CAN_SEE, keccak256("canSee(address,bytes4,bytes)")[..4]);
        let asked = question(Address::repeat_byte(0xa1), &hex!("0102030405"));
        let expected = hex!(
            "000000000000000000000000a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"
            "0102030400000000000000000000000000000000000000000000000000000000"
            "0000000000000000000000000000000000000000000000000000000000000060"
            "0000000000000000000000000000000000000000000000000000000000000001"
            "0500000000000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(asked[4..], expected);
        assert_eq!(question(Address::ZERO, &[]).len(), 4 + 4 * 32);
        assert_eq!(question(Address::ZERO, &[1, 2]).len(), 4 + 4 * 32);
    }
}
