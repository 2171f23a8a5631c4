//! Random programs that run deep: every instruction finds what it takes on the stack, jumps land, loops end, and calls
//! go to a few addresses that everybody uses. What is wrong on purpose is rare.

use alloy_primitives::{Address, Bytes, U256};
use revm::bytecode::opcode as op;

use super::case::Fork;
use super::precompiles;
use crate::fuzz::Random;

/// Depth of creations within creations.
const MAX_NESTING: u8 = 2;
/// Slots that are written and read.
const SLOTS: usize = 6;

/// Instructions that take one, two or three words and give one.
const UNARY: [u8; 2] = [op::ISZERO, op::NOT];
const BINARY: [u8; 20] = [
    op::ADD,
    op::MUL,
    op::SUB,
    op::DIV,
    op::SDIV,
    op::MOD,
    op::SMOD,
    op::EXP,
    op::SIGNEXTEND,
    op::LT,
    op::GT,
    op::SLT,
    op::SGT,
    op::EQ,
    op::AND,
    op::OR,
    op::XOR,
    op::BYTE,
    op::SHL,
    op::SAR,
];
const TERNARY: [u8; 2] = [op::ADDMOD, op::MULMOD];
/// Instructions that give a word about where they run.
const SURROUNDINGS: [u8; 18] = [
    op::ADDRESS,
    op::ORIGIN,
    op::CALLER,
    op::CALLVALUE,
    op::CALLDATASIZE,
    op::CODESIZE,
    op::GASPRICE,
    op::RETURNDATASIZE,
    op::COINBASE,
    op::TIMESTAMP,
    op::NUMBER,
    op::DIFFICULTY,
    op::GASLIMIT,
    op::CHAINID,
    op::SELFBALANCE,
    op::MSIZE,
    op::GAS,
    op::PC,
];

/// What programs are made with.
pub(super) struct Programs<'a> {
    pub(super) random: &'a mut Random,
    /// Newest fork that the chain comes to; instructions of later ones are rare.
    pub(super) fork: Fork,
    /// Addresses that everybody uses.
    pub(super) hot: &'a [Address],
}

/// A program in the making.
#[derive(Default)]
struct Program {
    code: Vec<u8>,
    /// Words on the stack.
    depth: usize,
}

impl Program {
    fn op(&mut self, op: u8, takes: usize, gives: usize) {
        self.code.push(op);
        self.depth = self.depth.saturating_sub(takes) + gives;
    }

    fn push(&mut self, word: U256) {
        let bytes = word.to_be_bytes::<32>();
        let significant = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(31)..];
        self.code.push(op::PUSH1 + significant.len() as u8 - 1);
        self.code.extend(significant);
        self.depth += 1;
    }

    fn push_small(&mut self, number: usize) {
        self.push(U256::from(number));
    }

    fn push_address(&mut self, address: Address) {
        self.code.push(op::PUSH20);
        self.code.extend(address);
        self.depth += 1;
    }

    /// A jump to a place that is not known yet; returns where it is to be written.
    fn push_label(&mut self) -> usize {
        self.code.extend([op::PUSH2, 0, 0]);
        self.depth += 1;
        self.code.len() - 2
    }

    fn land(&mut self, label: usize) {
        let here = self.code.len() as u16;
        self.code[label..label + 2].copy_from_slice(&here.to_be_bytes());
        self.code.push(op::JUMPDEST);
    }

    /// Writes bytes to memory, word by word.
    fn write_memory(&mut self, bytes: &[u8], at: usize) {
        for (index, chunk) in bytes.chunks(32).enumerate() {
            let mut word = [0; 32];
            word[..chunk.len()].copy_from_slice(chunk);
            self.push(U256::from_be_bytes(word));
            self.push_small(at + 32 * index);
            self.op(op::MSTORE, 2, 0);
        }
    }
}

impl Programs<'_> {
    fn chance(&mut self, one_in: usize) -> bool {
        self.random.below(one_in) == 0
    }

    fn address(&mut self) -> Address {
        self.hot[self.random.below(self.hot.len())]
    }

    /// A word at the edges of arithmetic, or a small one.
    fn word(&mut self) -> U256 {
        match self.random.below(10) {
            0 => U256::MAX,
            1 => U256::ONE << 255,
            2 => U256::MAX >> 1,
            3 => U256::from(self.random.next()),
            4 => U256::from_be_bytes(self.address().into_word().0),
            5 => U256::from(u64::MAX),
            _ => U256::from(self.random.below(70)),
        }
    }

    /// Makes sure that so many words are there.
    fn need(&mut self, program: &mut Program, words: usize) {
        while program.depth < words {
            let word = self.word();
            program.push(word);
        }
    }

    /// Runtime code.
    pub(super) fn runtime(&mut self) -> Bytes {
        let statements = 3 + self.random.below(22);
        self.program(statements, 0).into()
    }

    /// Initcode, which mostly returns runtime code.
    pub(super) fn initcode(&mut self) -> Bytes {
        self.creation(0).into()
    }

    fn creation(&mut self, nesting: u8) -> Vec<u8> {
        if self.chance(8) {
            let statements = self.random.below(6);
            return self.program(statements, nesting + 1);
        }
        let mut program = Program::default();
        for _ in 0..self.random.below(4) {
            self.statement(&mut program, nesting + 1);
        }
        let statements = 1 + self.random.below(6);
        let mut runtime = self.program(statements, nesting + 1);
        match self.random.below(20) {
            // EIP-3541, EIP-7702.
            0 => runtime = [&[0xef, 0x01, 0x00], self.address().as_slice()].concat(),
            1 => runtime.clear(),
            _ => {}
        }
        // PUSH2 length, DUP1, PUSH2 start, PUSH1 0, CODECOPY, PUSH1 0, RETURN
        let start = program.code.len() + 13;
        program.code.push(op::PUSH2);
        program.code.extend((runtime.len() as u16).to_be_bytes());
        program.code.push(op::DUP1);
        program.code.push(op::PUSH2);
        program.code.extend((start as u16).to_be_bytes());
        program.code.extend([op::PUSH1, 0, op::CODECOPY, op::PUSH1, 0, op::RETURN]);
        program.code.extend(runtime);
        program.code
    }

    fn program(&mut self, statements: usize, nesting: u8) -> Vec<u8> {
        let mut program = Program::default();
        for _ in 0..statements {
            self.statement(&mut program, nesting);
        }
        self.ending(&mut program);
        program.code
    }

    fn ending(&mut self, program: &mut Program) {
        match self.random.below(16) {
            0..=3 => program.op(op::STOP, 0, 0),
            4 | 5 => {
                let address = self.address();
                program.push_address(address);
                program.op(op::SELFDESTRUCT, 1, 0);
            }
            6 | 7 => {
                self.range(program);
                program.op(op::REVERT, 2, 0);
            }
            8 => program.op(op::INVALID, 0, 0),
            9 => {}
            _ => {
                self.range(program);
                program.op(op::RETURN, 2, 0);
            }
        }
    }

    /// Pushes a length and an offset in memory: small, but for a few.
    fn range(&mut self, program: &mut Program) {
        let length = if self.chance(40) { 5_000 } else { self.random.below(80) };
        let offset = if self.chance(60) { 100_000 } else { self.random.below(100) };
        program.push_small(length);
        program.push_small(offset);
    }

    fn statement(&mut self, program: &mut Program, nesting: u8) {
        match self.random.below(100) {
            0..=13 => self.arithmetic(program),
            14..=33 => self.storage(program),
            34..=41 => self.memory(program),
            42..=48 => self.surroundings(program),
            49..=53 => self.accounts(program),
            54..=58 => self.log(program),
            59..=74 => self.call(program),
            75..=78 => self.precompile(program),
            79..=84 if nesting < MAX_NESTING => self.create(program, nesting),
            85..=88 => self.branch(program, nesting),
            89..=91 if nesting == 0 => self.repeat(program),
            92..=95 => self.shuffle(program),
            96 => program.code.push(self.random.next().to_le_bytes()[0]),
            _ => self.arithmetic(program),
        }
        // The stack has an end, and what is deep in it is of no interest.
        while program.depth > 12 {
            program.op(op::POP, 1, 0);
        }
    }

    fn arithmetic(&mut self, program: &mut Program) {
        match self.random.below(8) {
            0 => {
                self.need(program, 1);
                program.op(UNARY[self.random.below(UNARY.len())], 1, 1);
            }
            1 => {
                self.need(program, 3);
                program.op(TERNARY[self.random.below(TERNARY.len())], 3, 1);
            }
            2 if self.fork >= Fork::Osaka || self.chance(20) => {
                self.need(program, 1);
                program.op(op::CLZ, 1, 1);
            }
            3 if self.fork >= Fork::Shanghai || self.chance(20) => program.op(op::PUSH0, 0, 1),
            _ => {
                let word = self.word();
                program.push(word);
                self.need(program, 2);
                program.op(BINARY[self.random.below(BINARY.len())], 2, 1);
            }
        }
    }

    /// Few slots and few values, so that slots are set, changed, cleared and restored.
    fn storage(&mut self, program: &mut Program) {
        let transient = self.random.below(4) == 0 && (self.fork >= Fork::Cancun || self.chance(20));
        let slot = self.random.below(SLOTS);
        if self.random.below(3) == 0 {
            program.push_small(slot);
            program.op(if transient { op::TLOAD } else { op::SLOAD }, 1, 1);
            return;
        }
        if self.chance(4) {
            self.need(program, 1);
        } else {
            let value = self.random.below(3);
            program.push_small(value);
        }
        program.push_small(slot);
        program.op(if transient { op::TSTORE } else { op::SSTORE }, 2, 0);
    }

    fn memory(&mut self, program: &mut Program) {
        match self.random.below(7) {
            0 => {
                program.push_small(self.random.below(200));
                program.op(op::MLOAD, 1, 1);
            }
            1 => {
                self.range(program);
                program.op(op::KECCAK256, 2, 1);
            }
            2 => {
                program.push_small(self.random.below(64));
                self.range(program);
                // Beyond what was returned, there is nothing to copy but an end.
                let copy = if self.chance(12) {
                    op::RETURNDATACOPY
                } else {
                    [op::CALLDATACOPY, op::CODECOPY][self.random.below(2)]
                };
                program.op(copy, 3, 0);
            }
            3 if self.fork >= Fork::Cancun || self.chance(20) => {
                program.push_small(self.random.below(64));
                self.range(program);
                program.op(op::MCOPY, 3, 0);
            }
            4 => {
                program.push_small(self.random.below(64));
                program.op(op::CALLDATALOAD, 1, 1);
            }
            kind => {
                self.need(program, 1);
                program.push_small(self.random.below(200));
                program.op(if kind == 5 { op::MSTORE8 } else { op::MSTORE }, 2, 0);
            }
        }
    }

    fn surroundings(&mut self, program: &mut Program) {
        match self.random.below(12) {
            0 => {
                program.push_small(1 + self.random.below(5));
                program.op(op::NUMBER, 0, 1);
                program.op(op::SUB, 2, 1);
                program.op(op::BLOCKHASH, 1, 1);
            }
            1 if self.fork >= Fork::London || self.chance(20) => program.op(op::BASEFEE, 0, 1),
            2 if self.fork >= Fork::Cancun || self.chance(20) => program.op(op::BLOBBASEFEE, 0, 1),
            3 if self.fork >= Fork::Cancun || self.chance(20) => {
                program.push_small(0);
                program.op(op::BLOBHASH, 1, 1);
            }
            _ => program.op(SURROUNDINGS[self.random.below(SURROUNDINGS.len())], 0, 1),
        }
    }

    fn accounts(&mut self, program: &mut Program) {
        let address = self.address();
        if self.chance(4) {
            program.push_small(self.random.below(60));
            self.range(program);
            program.push_address(address);
            program.op(op::EXTCODECOPY, 4, 0);
        } else {
            program.push_address(address);
            program.op([op::BALANCE, op::EXTCODESIZE, op::EXTCODEHASH][self.random.below(3)], 1, 1);
        }
    }

    fn log(&mut self, program: &mut Program) {
        let topics = self.random.below(5);
        for _ in 0..topics {
            let word = self.word();
            program.push(word);
        }
        self.range(program);
        program.op(op::LOG0 + topics as u8, 2 + topics, 0);
    }

    /// Pushes the gas of a call: all, or some.
    fn gas(&mut self, program: &mut Program) {
        match self.random.below(4) {
            0 => program.push_small(self.random.below(60_000)),
            1 => {
                let word = self.word();
                program.push(word);
            }
            _ => program.op(op::GAS, 0, 1),
        }
    }

    fn call(&mut self, program: &mut Program) {
        let address = self.address();
        self.call_of(program, address);
        if self.chance(3) {
            // What a call says decides what happens next.
            self.need(program, 1);
            program.push_small(self.random.below(SLOTS));
            program.op(op::SSTORE, 2, 0);
        }
    }

    fn call_of(&mut self, program: &mut Program, address: Address) {
        self.range(program);
        self.range(program);
        let kind = [op::CALL, op::CALL, op::CALLCODE, op::DELEGATECALL, op::STATICCALL][self.random.below(5)];
        let has_value = matches!(kind, op::CALL | op::CALLCODE);
        if has_value {
            let value = if self.chance(20) { 1 << 62 } else { [0, 0, 0, 1, 2][self.random.below(5)] };
            program.push_small(value);
        }
        program.push_address(address);
        self.gas(program);
        program.op(kind, 6 + usize::from(has_value), 1);
    }

    fn precompile(&mut self, program: &mut Program) {
        let number = if self.chance(12) {
            precompiles::P256
        } else {
            1 + self.random.below(usize::from(precompiles::LAST)) as u16
        };
        let input = precompiles::input(number, self.random);
        // Programs stay short; transactions bring the long inputs.
        if input.len() > 300 {
            return;
        }
        program.write_memory(&input, 0);
        program.push_small(64);
        program.push_small(0);
        program.push_small(input.len());
        program.push_small(0);
        program.push_small(usize::from(number));
        self.gas(program);
        program.op(op::STATICCALL, 6, 1);
    }

    fn create(&mut self, program: &mut Program, nesting: u8) {
        let initcode = self.creation(nesting);
        if initcode.len() > 400 {
            return;
        }
        program.write_memory(&initcode, 0);
        let second = self.random.below(2) == 0;
        if second {
            // Few salts, so that an address is wanted again.
            program.push_small(self.random.below(2));
        }
        program.push_small(initcode.len());
        program.push_small(0);
        program.push_small([0, 0, 1][self.random.below(3)]);
        program.op(if second { op::CREATE2 } else { op::CREATE }, 3 + usize::from(second), 1);
        if self.chance(2) {
            // Call what was created, where it still can be.
            self.range(program);
            self.range(program);
            program.push_small(self.random.below(2));
            program.op(op::DUP1 + 5, 0, 1);
            self.gas(program);
            program.op(op::CALL, 7, 1);
        }
    }

    fn branch(&mut self, program: &mut Program, nesting: u8) {
        self.need(program, 1);
        let label = program.push_label();
        program.op(op::JUMPI, 2, 0);
        let depth = program.depth;
        for _ in 0..1 + self.random.below(3) {
            self.statement(program, nesting.max(1));
        }
        if self.chance(4) {
            self.ending(program);
        }
        program.depth = depth.min(program.depth);
        program.land(label);
        // One of the two ways may have left less.
        program.depth = 0;
    }

    /// A loop with a counter that ends.
    fn repeat(&mut self, program: &mut Program) {
        program.push_small(2 + self.random.below(6));
        let start = program.code.len();
        program.code.push(op::JUMPDEST);
        match self.random.below(3) {
            0 => {
                // The counter is the slot and the value.
                program.op(op::DUP1, 0, 1);
                program.op(op::DUP1, 0, 1);
                program.op(op::SSTORE, 2, 0);
            }
            1 => {
                let address = self.address();
                self.call_of(program, address);
                program.op(op::POP, 1, 0);
            }
            _ => {
                program.op(op::DUP1, 0, 1);
                program.push_small(0);
                program.op(op::MSTORE, 2, 0);
            }
        }
        program.push_small(1);
        program.op(op::SWAP1, 2, 2);
        program.op(op::SUB, 2, 1);
        program.op(op::DUP1, 0, 1);
        program.push_small(start);
        program.op(op::JUMPI, 2, 0);
        program.op(op::POP, 1, 0);
    }

    fn shuffle(&mut self, program: &mut Program) {
        self.need(program, 2);
        let deep = program.depth.min(16);
        if self.chance(2) {
            program.op(op::DUP1 + self.random.below(deep) as u8, 0, 1);
        } else {
            program.op(op::SWAP1 + self.random.below(deep - 1) as u8, 0, 0);
        }
    }
}
