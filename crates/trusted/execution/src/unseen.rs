//! What an account has, told only to code that may see it.
//!
//! To other code an account has no balance and no code. What the instruction costs is as ever. Whether an account without
//! code was ever used, its hash does not tell either. What a transaction creates, the transaction sees.

use alloy_evm::Database;
use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use cloister_primitives::Protection;
use revm::bytecode::opcode::{BALANCE, EXTCODECOPY, EXTCODEHASH, EXTCODESIZE};
use revm::context::ContextError;
use revm::handler::instructions::EthInstructions;
use revm::interpreter::instructions::host;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::InputsTr;
use revm::interpreter::{Instruction, InstructionContext, InstructionExecResult, InstructionResult};
use revm::state::Account;

use crate::evm::{EvmContext, UNREADABLE_RULES};
use crate::guard::{AccountFact, Admission};

/// An account without code, and never with any.
const NOBODY: U256 = U256::ZERO;

/// Makes the instructions ask the guard.
pub(crate) fn conceal<DB: Database>(instructions: &mut EthInstructions<EthInterpreter, EvmContext<DB>>) {
    let mut replace = |opcode: u8, instruction| {
        let gas = instructions.gas_table()[usize::from(opcode)];
        instructions.insert_instruction(opcode, Instruction::new(instruction), gas);
    };
    replace(BALANCE, balance::<DB>);
    replace(EXTCODESIZE, extcodesize::<DB>);
    replace(EXTCODEHASH, extcodehash::<DB>);
    replace(EXTCODECOPY, extcodecopy::<DB>);
}

type Asked<'a, DB> = InstructionContext<'a, EvmContext<DB>, EthInterpreter>;

fn balance<DB: Database>(asked: Asked<'_, DB>) -> InstructionExecResult {
    word(asked, AccountFact::Balance, host::balance)
}

fn extcodesize<DB: Database>(asked: Asked<'_, DB>) -> InstructionExecResult {
    word(asked, AccountFact::Code, host::extcodesize)
}

fn extcodehash<DB: Database>(asked: Asked<'_, DB>) -> InstructionExecResult {
    word(asked, AccountFact::Code, extcodehash_of_code)
}

/// Zero where there is no code, which EIP-1052 says of accounts that are not there.
fn extcodehash_of_code<DB: Database>(asked: Asked<'_, DB>) -> InstructionExecResult {
    host::extcodehash(InstructionContext { host: &mut *asked.host, interpreter: &mut *asked.interpreter })?;
    let top = asked.interpreter.stack.top().ok_or(InstructionResult::StackUnderflow)?;
    if *top == U256::from_be_bytes(KECCAK256_EMPTY.0) {
        *top = U256::ZERO;
    }
    Ok(())
}

/// Answers in one word: zero where nothing is shown.
fn word<DB: Database>(
    mut asked: Asked<'_, DB>,
    fact: fn(Address) -> AccountFact,
    shown: fn(Asked<'_, DB>) -> InstructionExecResult,
) -> InstructionExecResult {
    if sees(&mut asked, fact)? {
        return shown(asked);
    }
    let top = asked.interpreter.stack.top().ok_or(InstructionResult::StackUnderflow)?;
    *top = U256::ZERO;
    Ok(())
}

fn extcodecopy<DB: Database>(mut asked: Asked<'_, DB>) -> InstructionExecResult {
    if !sees(&mut asked, AccountFact::Code)? {
        *asked.interpreter.stack.top().ok_or(InstructionResult::StackUnderflow)? = NOBODY;
    }
    host::extcodecopy(asked)
}

/// Whether the frame sees this of the account on top of the stack.
fn sees<DB: Database>(asked: &mut Asked<'_, DB>, fact: fn(Address) -> AccountFact) -> Result<bool, InstructionResult> {
    let top = asked.interpreter.stack.data().last().ok_or(InstructionResult::StackUnderflow)?;
    let account = Address::from_word((*top).into());
    let fact = fact(account);
    let known = asked.host.journaled_state.state.get(&account);
    let is_own = matches!(fact, AccountFact::Code(_)) && known.is_some_and(Account::is_created_locally);
    if is_own || !Protection::UnseenAccounts.holds() {
        return Ok(true);
    }
    match asked.host.chain.show(asked.interpreter.input.target_address(), fact) {
        Admission::Admitted => Ok(true),
        // What an account has is nothing to ask anybody about.
        Admission::Refused | Admission::Asks(_) => Ok(false),
        Admission::Unknown => {
            asked.host.error = Err(ContextError::Custom(UNREADABLE_RULES.to_owned()));
            Err(InstructionResult::FatalExternalError)
        }
    }
}
