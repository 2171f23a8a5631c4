//! The contracts of the workload, written down as instructions.

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use revm::bytecode::opcode as op;

use super::cast::Who;

/// Contract of the parties with secrets.
pub(super) const LEDGER: Address = address!("0x00000000000000000000000000000000005ec4e7");

/// Contract of a stranger.
pub(super) fn probe() -> Address {
    Who::Mallory.address().create(1)
}

/// The parties' token: an unmodified ERC-20 of OpenZeppelin's, with the policy that is shipped for it.
pub(super) fn token() -> Address {
    Who::Issuer.address().create(1)
}

/// Last byte of the address of an account that [`LEDGER`] tells what it is asked to: nobody's, and no precompile's.
const TOLD: u8 = 0xf7;

/// What the first word of a call to [`LEDGER`] asks for, bit by bit. The second and third word are a key and a value.
pub(super) mod ask {
    /// Writes the value at the key.
    pub(crate) const STORE: u8 = 1;
    /// Emits an event that names the caller and the key as accounts.
    pub(crate) const LOG: u8 = 2;
    /// Writes the value at the next key as well: another branch.
    pub(crate) const BRANCH: u8 = 4;
    /// Sends the value to the key as an account.
    pub(crate) const PAY: u8 = 8;
    /// Reverts with the value.
    pub(crate) const REVERT: u8 = 16;
    /// Runs until the gas is gone.
    pub(crate) const BURN: u8 = 32;
    /// Tells another account what is at the key.
    pub(crate) const TELL: u8 = 64;
}

/// What the first word of a call to [`probe`](fn@probe) asks for.
pub(super) mod prompt {
    /// Measures the gas that paying one wei to the account in the second word costs.
    pub(crate) const PAY: u8 = 1;
    /// Reads balance, code hash and code size of that account, and calls it statically.
    pub(crate) const LOOK: u8 = 2;
    /// Reads the balance of the block's beneficiary.
    pub(crate) const COINBASE: u8 = 4;
    /// Asks the parties' token for the balance of the account in the second word, and measures what the answer costs.
    pub(crate) const ASK: u8 = 8;
}

/// Instructions in the making; labels are two bytes long.
#[derive(Default)]
struct Assembly {
    code: Vec<u8>,
}

impl Assembly {
    fn op(&mut self, bytes: &[u8]) -> &mut Self {
        self.code.extend_from_slice(bytes);
        self
    }

    fn push(&mut self, byte: u8) -> &mut Self {
        self.op(&[op::PUSH1, byte])
    }

    fn push_word(&mut self, word: &[u8; 32]) -> &mut Self {
        self.op(&[op::PUSH32]).op(word)
    }

    /// Word `index` of the calldata.
    fn argument(&mut self, index: u8) -> &mut Self {
        self.push(32 * index).op(&[op::CALLDATALOAD])
    }

    /// Does `body` if this bit of the first word is set.
    fn when(&mut self, bit: u8, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.argument(0).push(bit).op(&[op::AND, op::ISZERO, op::PUSH2, 0, 0]);
        let hole = self.code.len() - 2;
        self.op(&[op::JUMPI]);
        body(self);
        let end = u16::try_from(self.code.len()).expect("a short program").to_be_bytes();
        self.code[hole..hole + 2].copy_from_slice(&end);
        self.op(&[op::JUMPDEST])
    }

    /// Puts the word on the stack into memory, at word `index`.
    fn keep(&mut self, index: u16) -> &mut Self {
        let [high, low] = (32 * index).to_be_bytes();
        self.op(&[op::PUSH2, high, low, op::MSTORE])
    }
}

/// The topic of the events of both contracts.
pub(super) fn topic() -> [u8; 32] {
    keccak256("Happened(address,address,uint256)").0
}

/// Code of [`LEDGER`].
pub(super) fn ledger() -> Bytes {
    let mut code = Assembly::default();
    code.when(ask::STORE, |code| {
        code.argument(2).argument(1).op(&[op::SSTORE]);
    });
    code.when(ask::BRANCH, |code| {
        code.argument(2).push(1).argument(1).op(&[op::ADD, op::SSTORE]);
    });
    code.when(ask::LOG, |code| {
        code.argument(2).keep(0);
        code.argument(1).op(&[op::CALLER]).push_word(&topic()).push(32).push(0).op(&[op::LOG3]);
    });
    code.when(ask::PAY, |code| {
        code.push(0).push(0).push(0).push(0).argument(2).argument(1).op(&[op::GAS, op::CALL, op::POP]);
    });
    code.when(ask::TELL, |code| {
        code.argument(1).op(&[op::SLOAD]).keep(0);
        code.push(0).push(0).push(32).push(0).push(0).push(TOLD).op(&[op::GAS, op::CALL, op::POP]);
    });
    code.when(ask::REVERT, |code| {
        code.argument(2).keep(0).push(32).push(0).op(&[op::REVERT]);
    });
    code.when(ask::BURN, |code| {
        let start = u8::try_from(code.code.len()).expect("a short program");
        code.op(&[op::JUMPDEST]).push(start).op(&[op::JUMP]);
    });
    code.op(&[op::STOP]);
    code.code.into()
}

/// Words of data in an event of [`probe`](fn@probe).
const PROBED: u16 = 14;
/// The word of memory where the question to the token stands.
const ASKED: u16 = 16;
/// And the one for its answer.
const ANSWERED: u16 = 20;

/// Code of [`probe`](fn@probe): an event that names its caller and holds all that a contract can see.
pub(super) fn prober() -> Bytes {
    let mut code = Assembly::default();
    for (index, what) in (0..).zip([
        op::TIMESTAMP,
        op::NUMBER,
        op::DIFFICULTY,
        op::GASLIMIT,
        op::COINBASE,
        op::BASEFEE,
        op::GASPRICE,
        op::SELFBALANCE,
    ]) {
        code.op(&[what]).keep(index);
    }
    code.push(1).op(&[op::NUMBER, op::SUB, op::BLOCKHASH]).keep(8);
    code.when(prompt::PAY, |code| {
        // What is left before is below what is left after: their difference is what it cost.
        code.op(&[op::GAS]);
        code.push(0).push(0).push(0).push(0).push(1).argument(1).op(&[op::PUSH2, 0xff, 0xff, op::CALL]).keep(9);
        code.op(&[op::GAS, op::SWAP1, op::SUB]).keep(10);
    });
    code.when(prompt::LOOK, |code| {
        code.argument(1).op(&[op::BALANCE]).keep(11);
        code.argument(1).op(&[op::EXTCODEHASH]).keep(12);
        code.push(0).push(0).push(0).push(0).argument(1).op(&[op::PUSH2, 0xff, 0xff, op::STATICCALL]);
        code.argument(1).op(&[op::EXTCODESIZE, op::ADD]).keep(13);
    });
    code.when(prompt::COINBASE, |code| {
        code.op(&[op::COINBASE, op::BALANCE]).keep(11);
    });
    code.when(prompt::ASK, |code| {
        let mut selector = [0; 32];
        selector[..4].copy_from_slice(&keccak256("balanceOf(address)")[..4]);
        // Behind the words of the event: the question, and what is answered.
        code.push_word(&selector).keep(ASKED);
        code.argument(1).op(&[op::PUSH2]).op(&(32 * ASKED + 4).to_be_bytes()).op(&[op::MSTORE, op::GAS]);
        code.push(32).op(&[op::PUSH2]).op(&(32 * ANSWERED).to_be_bytes());
        code.push(36).op(&[op::PUSH2]).op(&(32 * ASKED).to_be_bytes());
        code.op(&[op::PUSH20]).op(token().as_slice()).op(&[op::PUSH2, 0xff, 0xff, op::STATICCALL]).keep(11);
        code.op(&[op::GAS, op::SWAP1, op::SUB]).keep(10);
        code.op(&[op::PUSH2]).op(&(32 * ANSWERED).to_be_bytes()).op(&[op::MLOAD]).keep(12);
        code.op(&[op::RETURNDATASIZE]).keep(13);
    });
    // How often it was called.
    code.push(1).push(0).op(&[op::SLOAD, op::ADD]).push(0).op(&[op::SSTORE]);
    let [high, low] = (32 * PROBED).to_be_bytes();
    code.op(&[op::CALLER]).push_word(&topic()).op(&[op::PUSH2, high, low]).push(0).op(&[op::LOG2, op::STOP]);
    code.code.into()
}

/// A contract that makes secrets of its own from the word it is called with: hashes that nobody sent. The first is stored, the
/// second logged; where the word is odd it reverts with a third.
pub(super) fn secretive() -> Bytes {
    let mut code = Assembly::default();
    let hash = |code: &mut Assembly, number: u8| {
        code.argument(0).keep(0).push(number).keep(1).push(64).push(0).op(&[op::KECCAK256]);
    };
    code.when(1, |code| {
        hash(code, 2);
        code.keep(2).push(32).push(64).op(&[op::REVERT]);
    });
    hash(&mut code, 0);
    code.argument(0).op(&[op::SSTORE]);
    hash(&mut code, 1);
    code.keep(2).push(32).push(64).op(&[op::LOG0, op::STOP]);
    code.code.into()
}

/// Initcode of a contract with this runtime code.
pub(super) fn deploying(runtime: &[u8]) -> Bytes {
    let length = u16::try_from(runtime.len()).expect("short code").to_be_bytes();
    let mut code = vec![op::PUSH2, length[0], length[1], op::DUP1, op::PUSH1, 12, op::PUSH1, 0];
    code.extend([op::CODECOPY, op::PUSH1, 0, op::RETURN]);
    code.extend_from_slice(runtime);
    code.into()
}

/// Calldata of a function of the token.
pub(super) fn token_call(signature: &str, words: &[B256]) -> Bytes {
    let words = words.iter().flat_map(|word| word.0);
    keccak256(signature)[..4].iter().copied().chain(words).collect()
}

/// Calldata of three words.
pub(super) fn call(asks: u8, key: U256, value: U256) -> Bytes {
    [U256::from(asks), key, value].iter().flat_map(|word| word.to_be_bytes::<32>()).collect()
}
