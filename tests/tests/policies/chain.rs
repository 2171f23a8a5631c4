//! A confidential chain without a node around it, contracts on it, and their policies.

#![allow(unreachable_pub)]

use std::sync::Arc;

use alloy::sol_types::SolValue as _;
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, TxKind, U256, hex, keccak256};
use cloister_access::{Access, AuditScope, Caller, Resource, RulesInForce};
use cloister_execution::{
    BlockAttributes, BlockOverrides, CallEnv, CallOutcome, CallRequest, ExecutionError, Executor, NoBlockHashes, Open,
    Parent, StateOverrides, genesis_block, genesis_delta, impersonate,
};
use cloister_governance::RuleCache;
use cloister_primitives::{Block, ChainSpec, Confidentiality, DevChain, GenesisAccount, Height, VISIBILITY_ADDRESS};
use cloister_state::{HistoryLimits, State, StateView};

pub const ALICE: Address = Address::repeat_byte(0xa1);
pub const BOB: Address = Address::repeat_byte(0xb0);
pub const CAROL: Address = Address::repeat_byte(0xca);

/// A contract that nobody owns and that does what it is told, by the instruction that it uses for that.
pub const fn forwarder(opcode: u8) -> Address {
    Address::repeat_byte(opcode)
}

/// Tells balance, size and hash of the code of the account in the first word, and the code's first word.
pub const PROBE: Address = Address::repeat_byte(0xbb);
pub const PROBE_CODE: [u8; 29] = hex!("5f35315f525f353b6020525f353f60405260205f60605f353c60805ff3");

/// Calls the address in the first word of its input with the rest, and ends as that does.
pub fn forwarder_code(opcode: u8) -> Vec<u8> {
    let value: &[u8] = if matches!(opcode, 0xf1 | 0xf2) { &[0x5f] } else { &[] };
    let mut code = hex!("6020360360205f37" "5f5f602036035f").to_vec();
    code.extend(value);
    code.extend(hex!("5f355a"));
    code.push(opcode);
    code.extend(hex!("3d5f5f3e"));
    let to = u8::try_from(code.len() + 6).expect("short code");
    code.extend([0x60, to, 0x57, 0x3d, 0x5f, 0xfd, 0x5b, 0x3d, 0x5f, 0xf3]);
    code
}

pub fn forwarded(to: Address, input: &[u8]) -> Bytes {
    [to.into_word().as_slice(), input].concat().into()
}

/// Initcode of a contract with this code.
pub fn initcode(code: &[u8]) -> Bytes {
    let size = u8::try_from(code.len()).expect("short code");
    [&[0x60, size, 0x80, 0x60, 0x09, 0x5f, 0x39, 0x5f, 0xf3][..], code].concat().into()
}

pub fn input(signature: &str, arguments: &[B256]) -> Bytes {
    let selector = keccak256(signature);
    selector[..4].iter().copied().chain(arguments.iter().flat_map(|word| word.0)).collect()
}

pub fn balance_of(account: Address) -> Bytes {
    input("balanceOf(address)", &[account.into_word()])
}

pub const PUBLIC: [u8; 2] = [1, 0];
pub const SESSION: [u8; 2] = [2, 0];
pub const OWNER: [u8; 2] = [4, 0];

pub const fn argument(number: u8) -> [u8; 2] {
    [3, number]
}

pub const fn role(number: u8) -> [u8; 2] {
    [5, number]
}

pub const AUDITOR: [u8; 2] = [7, 0];

pub const fn custom(number: u8) -> [u8; 2] {
    [6, number]
}

pub const RECEIVE: B256 = B256::with_last_byte(1);
pub const FALLBACK: B256 = B256::with_last_byte(2);

/// A change of a policy in the making.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub facts: [u8; 6],
    pub functions: Vec<(B256, B256)>,
    pub events: Vec<(B256, B256)>,
    pub grants: Vec<(Address, U256)>,
    pub delegations: Vec<(Address, bool)>,
    pub judges: Vec<(u8, Address)>,
    /// First and last block, and end.
    pub audits: Vec<(Address, [u64; 3])>,
}

impl Change {
    pub fn function(mut self, key: B256, query: &[[u8; 2]], execute: &[[u8; 2]]) -> Self {
        let mut word = B256::ZERO;
        word[..2 * query.len()].copy_from_slice(query.as_flattened());
        word[14..14 + 2 * execute.len()].copy_from_slice(execute.as_flattened());
        word[28] = 1;
        self.functions.push((key, word));
        self
    }

    pub fn named(self, signature: &str, query: &[[u8; 2]], execute: &[[u8; 2]]) -> Self {
        self.function(B256::right_padding_from(&keccak256(signature)[..4]), query, execute)
    }

    pub fn event(mut self, signature: &str, terms: &[[u8; 2]]) -> Self {
        let mut word = B256::ZERO;
        word[..2 * terms.len()].copy_from_slice(terms.as_flattened());
        word[14] = 1;
        self.events.push((keccak256(signature), word));
        self
    }

    /// Storage, code and balance.
    pub fn facts(mut self, facts: [[u8; 2]; 3]) -> Self {
        self.facts.copy_from_slice(facts.as_flattened());
        self
    }

    #[allow(clippy::type_complexity)]
    fn fields(
        &self,
    ) -> (
        FixedBytes<6>,
        Vec<(B256, B256)>,
        Vec<(B256, B256)>,
        Vec<(Address, U256)>,
        Vec<(Address, bool)>,
        Vec<(U256, Address)>,
        Vec<(Address, u64, u64, u64)>,
    ) {
        let Self { facts, functions, events, grants, delegations, judges, audits } = self.clone();
        let judges = judges.into_iter().map(|(number, judge)| (U256::from(number), judge)).collect();
        let audits = audits.into_iter().map(|(auditor, [first, last, until])| (auditor, first, last, until)).collect();
        (FixedBytes::from(facts), functions, events, grants, delegations, judges, audits)
    }

    /// What is announced of it.
    pub fn digest(&self) -> B256 {
        keccak256((self.fields(),).abi_encode_params())
    }

    pub fn input(&self, account: Address) -> Bytes {
        call("change(address,", (account, self.fields()).abi_encode_params())
    }

    pub fn prepare(&self, nonce: u32) -> Bytes {
        call("prepare(uint32,", (nonce, self.fields()).abi_encode_params())
    }

    pub fn prepare_salted(&self, deployer: Address, salt: B256, initcode_hash: B256) -> Bytes {
        let arguments = (deployer, salt, initcode_hash, self.fields()).abi_encode_params();
        call("prepareSalted(address,bytes32,bytes32,", arguments)
    }
}

/// Calldata of a function whose last parameter is a change.
fn call(function: &str, arguments: Vec<u8>) -> Bytes {
    let change = "(bytes6,(bytes32,bytes32)[],(bytes32,bytes32)[],(address,uint256)[],(address,bool)[],(uint8,address)[],(address,uint64,uint64,uint64)[])";
    [&keccak256(format!("{function}{change})"))[..4], &arguments].concat().into()
}

/// A confidential chain without a node around it.
pub struct Chain {
    pub executor: Executor,
    pub state: State,
    pub blocks: Vec<Block>,
    pub nonces: std::collections::BTreeMap<Address, u64>,
    rules: RuleCache,
    waited_s: u64,
}

impl Chain {
    pub fn new() -> Self {
        Self::with_members(&[])
    }

    /// A chain that these accounts govern.
    pub fn with_members(members: &[Address]) -> Self {
        let mut chain = DevChain { confidentiality: Confidentiality::On, ..DevChain::default() };
        let rich = GenesisAccount { balance: U256::from(10).pow(U256::from(20)), ..GenesisAccount::default() };
        for account in [ALICE, BOB, CAROL] {
            chain.alloc.insert(account, rich.clone());
        }
        let code = |code: Vec<u8>| GenesisAccount { nonce: 1, code: code.into(), ..GenesisAccount::default() };
        for opcode in [0xf1, 0xf2, 0xf4, 0xfa] {
            chain.alloc.insert(forwarder(opcode), code(forwarder_code(opcode)));
        }
        chain.alloc.insert(PROBE, code(PROBE_CODE.to_vec()));
        let mut genesis = ChainSpec::development(chain).expect("a development chain").genesis().clone();
        genesis.alloc.remove(&VISIBILITY_ADDRESS);
        genesis.config.members = members.to_vec();
        let spec = Arc::new(ChainSpec::new(genesis).expect("a specification"));
        let state = State::new(HistoryLimits::default());
        let root = state.apply(Height(0), &genesis_delta(&spec)).expect("a genesis state");
        let blocks = vec![genesis_block(&spec, root)];
        let executor = Executor::new(spec, Arc::new(Open)).with_block_rules(Arc::new(RulesInForce::default()));
        Self { executor, state, blocks, nonces: Default::default(), rules: RuleCache::default(), waited_s: 0 }
    }

    pub fn head(&self) -> &Block {
        self.blocks.last().expect("there is a genesis block")
    }

    pub fn view(&self) -> StateView {
        self.state.view(self.head().height()).expect("the head's state")
    }

    /// A block of these transactions; whether each succeeded.
    pub fn mine(&mut self, transactions: &[(Address, TxKind, Bytes)]) -> Vec<bool> {
        let signed = |(from, to, input): &(Address, TxKind, Bytes)| {
            let nonce = self.nonces.entry(*from).or_default();
            *nonce += 1;
            let chain_id = self.executor.spec().chain_id();
            let (nonce, gas_limit, to, input) = (*nonce - 1, 3_000_000, *to, input.clone());
            impersonate(TxEip1559 { chain_id, nonce, gas_limit, to, input, ..TxEip1559::default() }, *from)
        };
        let transactions: Vec<_> = transactions.iter().map(signed).collect();
        let waited_s = std::mem::take(&mut self.waited_s);
        let head = self.head();
        let attributes = BlockAttributes {
            timestamp: head.header.timestamp + 1 + waited_s,
            gas_limit: self.executor.spec().gas_limit(),
            ..BlockAttributes::default()
        };
        let parent = Parent { header: &head.header, hash: head.hash };
        let built = self.executor.assemble(parent, attributes, &self.view(), &NoBlockHashes, transactions);
        let built = built.expect("the transactions are valid");
        let root = self.state.apply(Height(built.header_draft.number), &built.delta).expect("the next state");
        let block = built.seal(root).into_block().0;
        let statuses = block.receipts.iter().map(|receipt| receipt.status()).collect();
        self.blocks.push(block);
        statuses
    }

    /// Lets time pass until the next block.
    pub const fn wait_s(&mut self, seconds: u64) {
        self.waited_s = seconds;
    }

    pub fn send(&mut self, from: Address, to: Address, input: Bytes) -> bool {
        self.mine(&[(from, TxKind::Call(to), input)])[0]
    }

    /// Creates a contract of Alice's.
    pub fn create(&mut self, initcode: Bytes) -> Address {
        let nonce = self.nonces.get(&ALICE).copied().unwrap_or_default();
        assert_eq!(self.mine(&[(ALICE, TxKind::Create, initcode)]), [true]);
        ALICE.create(nonce)
    }

    /// Makes Alice the owner of what she created, with these rules.
    pub fn rule(&mut self, account: Address, change: &Change) {
        let nonce = (0..).find(|nonce| ALICE.create(*nonce) == account).expect("one of Alice's");
        let claim = input("claim(uint32)", &[U256::from(nonce).into()]);
        // Claimed already, it is hers already.
        self.send(ALICE, VISIBILITY_ADDRESS, claim);
        assert!(self.send(ALICE, VISIBILITY_ADDRESS, change.input(account)), "the change was refused");
    }

    pub fn access(&self, view: &StateView) -> Access {
        let table = |view: &StateView| Arc::new(self.rules.table(view.clone()));
        Access::confidential().with_rules(Some(vec![table(&self.view()), table(view)]), view.height())
    }

    /// Somebody who asks under the audit that he has of a contract; in his session where he has none.
    pub fn auditor(&self, who: Address, contract: Address) -> Caller {
        let table = self.rules.table(self.view());
        let audit = table.audit(contract, who).expect("the state is kept");
        if !audit.lasts(self.head().header.timestamp) {
            return Caller::Session([who].into());
        }
        let (first, last, is_governed) = (audit.first, audit.last, audit.is_governed);
        let contract = Some(contract).filter(|contract| !contract.is_zero());
        Caller::auditor(who, AuditScope { contract, first, last, is_governed })
    }

    /// What a call answers in a session of `from`; `None` where it reverts without a word, as what is refused does.
    pub fn ask_at(&self, height: Height, from: Address, to: Option<Address>, input: Bytes) -> Option<Bytes> {
        self.ask_as(&Caller::Session([from].into()), height, to, input)
    }

    /// The same of any caller with an account.
    pub fn ask_as(&self, caller: &Caller, height: Height, to: Option<Address>, input: Bytes) -> Option<Bytes> {
        let view = self.state.view(height).expect("the state is kept");
        let guard = self.access(&view).guard(caller);
        let from = caller.accounts()[0];
        let env = CallEnv {
            header: &self.head().header,
            hashes: &NoBlockHashes,
            state_overrides: &StateOverrides::new(),
            block_overrides: &BlockOverrides::default(),
            guard: &guard,
            gas_cap: 10_000_000,
        };
        let request = CallRequest { from: Some(from), to, input, ..CallRequest::default() };
        match self.executor.call(&view, &env, &request).map(CallOutcome::into_output) {
            Ok(Ok(output)) => Some(output),
            Ok(Err(ExecutionError::Reverted { output })) if output.is_empty() => None,
            other => panic!("{other:?}"),
        }
    }

    pub fn ask(&self, from: Address, to: Address, input: Bytes) -> Option<Bytes> {
        self.ask_at(self.head().height(), from, Some(to), input)
    }

    /// Whether somebody sees the log of the last transaction of the block at a height.
    pub fn sees_log(&self, caller: &Caller, height: u64) -> bool {
        let block = &self.blocks[usize::try_from(height).expect("a small height")];
        let log = &block.receipts.last().expect("a transaction").logs()[0];
        let (address, topics) = (log.address, log.topics());
        let resource = Resource::Log { address, topics, data: &log.data.data, height: Height(height) };
        self.access(&self.view()).view(caller, resource).is_visible()
    }

    /// Which of Alice, Bob and Carol do.
    pub fn see_log(&self, height: u64) -> Vec<Address> {
        let sees = |who: &Address| self.sees_log(&Caller::Session([*who].into()), height);
        [ALICE, BOB, CAROL].into_iter().filter(sees).collect()
    }
}
