//! A confidential node, sessions of its accounts, and contracts whose policies the command line puts in force.

#![allow(unreachable_pub)]

use std::path::Path;
use std::time::Duration;

use alloy::consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, TxKind};
use cloister_primitives::system_contracts;
use cloister_tests::node::{CHAIN_ID, Node, NodeOptions, Target, eventually, run_cloister};
use cloister_tests::repository;
use cloister_tests::rpc::RpcError;
use cloister_tests::sign_in::{call_as, sign_in, token};
use cloister_tests::transactions::{Account, raw, send_params, signer};
use serde_json::{Value, json};

pub const ALICE: usize = 0;
pub const BOB: usize = 1;
pub const AUDITOR: usize = 2;
pub const CAROL: usize = 3;
pub const EVERYBODY: [usize; 4] = [ALICE, BOB, AUDITOR, CAROL];

/// What a call that policy refuses answers: code 3 and the selector of `NotAuthorized()`.
pub const NOT_AUTHORIZED: &str = "0xea8e4eb5";

/// Enough for any contract of these tests.
const GAS: u64 = 8_000_000;

/// A node and sessions of four accounts.
pub struct Ledger {
    pub node: Node,
    pub accounts: [Account; 4],
    pub tokens: [String; 4],
}

impl Ledger {
    pub fn start(target: Target) -> Self {
        Self::with(target, vec!["--confidential".into()])
    }

    /// Of a chain that Alice, Bob and Carol govern.
    pub fn governed(target: Target, folder: &Path) -> Self {
        let genesis = folder.join("genesis.json");
        let members = [ALICE, BOB, CAROL].map(|who| signer(who).address());
        std::fs::write(&genesis, genesis_of(&members).to_string()).expect("the genesis is written");
        Self::with(target, vec!["--genesis".into(), path(&genesis).to_owned()])
    }

    /// With these arguments, of a confidential chain.
    pub fn with(target: Target, extra: Vec<String>) -> Self {
        let node = Node::start(target, &NodeOptions { extra, ..NodeOptions::default() });
        let tokens = EVERYBODY.map(|who| token(&sign_in(node.address(), &signer(who), None)));
        Self { node, accounts: EVERYBODY.map(Account::new), tokens }
    }

    /// The same accounts, signed in to another node.
    pub fn moves_to(&mut self, node: Node) {
        self.tokens = EVERYBODY.map(|who| token(&sign_in(node.address(), &signer(who), None)));
        self.node = node;
    }

    pub fn address(&self, who: usize) -> Address {
        self.accounts[who].address()
    }

    pub fn call(&self, who: usize, method: &str, params: &Value) -> Result<Value, RpcError> {
        call_as(self.node.address(), &self.tokens[who], method, params)
    }

    pub fn expect(&self, who: usize, method: &str, params: &Value) -> Value {
        self.call(who, method, params).unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// The receipt of a transaction, as its sender sees it.
    pub fn send(&mut self, who: usize, to: TxKind, input: Bytes) -> Value {
        let account = &mut self.accounts[who];
        let nonce = account.nonce;
        account.nonce += 1;
        let transaction = TxEip1559 { chain_id: CHAIN_ID, nonce, gas_limit: GAS, to, input, ..TxEip1559::default() };
        let signed = raw(account.sign(transaction));
        let hash = self.expect(who, "eth_sendRawTransaction", &send_params(&signed));
        eventually("a receipt", Duration::from_secs(20), || {
            let receipt = self.expect(who, "eth_getTransactionReceipt", &json!([hash]));
            (!receipt.is_null()).then_some(receipt)
        })
    }

    /// Whether a transaction to a contract succeeded.
    pub fn run(&mut self, who: usize, to: Address, input: Bytes) -> bool {
        self.send(who, TxKind::Call(to), input)["status"] == "0x1"
    }

    /// Creates a contract of Alice's, which has the policy of a file before it exists; the auditor has role 0.
    pub fn create(&mut self, code: Bytes, file: &str, interface: &Path) -> Address {
        let nonce = self.accounts[ALICE].nonce + 1;
        let at = self.address(ALICE).create(nonce);
        let grant = format!("{}=0", self.address(AUDITOR));
        let nonce = nonce.to_string();
        self.apply(file, interface, at, &["--nonce", &nonce, "--grant", &grant]);
        assert_eq!(self.deploy(code), at);
        at
    }

    /// Creates a contract of Alice's, without rules.
    pub fn deploy(&mut self, code: Bytes) -> Address {
        let at = self.address(ALICE).create(self.accounts[ALICE].nonce);
        assert_eq!(self.send(ALICE, TxKind::Create, code)["status"], "0x1");
        at
    }

    /// Has Alice send what `cloister policy apply` prints.
    pub fn apply(&mut self, file: &str, interface: &Path, contract: Address, more: &[&str]) {
        let file = repository().join("contracts/policies").join(file);
        let contract = contract.to_string();
        let files = ["policy", "apply", path(&file), "--abi", path(interface), "--contract", &contract];
        let said = run_cloister(&[&files, more].concat()).unwrap_or_else(|failure| panic!("{failure:?}"));
        let transaction: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let field = |name: &str| transaction[name].as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
        let (to, data) = (field("to").parse().expect("an address"), field("data").parse().expect("bytes"));
        assert!(self.run(ALICE, to, data), "the policy was refused");
    }

    /// What a call answers; `None` where policy refuses it.
    pub fn ask(&self, who: usize, to: Address, input: &Bytes) -> Option<Bytes> {
        match self.call(who, "eth_call", &json!([{ "to": to, "data": input }, "latest"])) {
            Ok(answer) => Some(answer.as_str().expect("bytes").parse().expect("bytes")),
            Err(error) => {
                assert_eq!((error.code, error.data), (3, Some(json!(NOT_AUTHORIZED))), "{}", error.message);
                None
            }
        }
    }

    /// Who is answered.
    pub fn answered(&self, to: Address, input: &Bytes) -> Vec<usize> {
        EVERYBODY.into_iter().filter(|who| self.ask(*who, to, input).is_some()).collect()
    }

    /// Who sees at least one log of a contract since a block.
    pub fn shown(&self, contract: Address, from_block: &Value) -> Vec<usize> {
        let filter = json!([{ "address": contract, "fromBlock": from_block }]);
        let sees = |who: &usize| self.expect(*who, "eth_getLogs", &filter) != json!([]);
        EVERYBODY.into_iter().filter(sees).collect()
    }

    /// That nobody reads storage or balance of a contract; everybody reads its code.
    pub fn conceals(&self, contract: Address) {
        for who in EVERYBODY {
            let error = self.call(who, "eth_getStorageAt", &json!([contract, "0x0", "latest"])).expect_err("refused");
            assert_eq!(error.code, -32001);
            assert_eq!(self.expect(who, "eth_getBalance", &json!([contract, "latest"])), "0x0");
            assert_ne!(self.expect(who, "eth_getCode", &json!([contract, "latest"])), "0x");
        }
    }
}

fn genesis_of(members: &[Address]) -> Value {
    const BLOCKS: [&str; 11] = [
        "homesteadBlock",
        "eip150Block",
        "eip155Block",
        "eip158Block",
        "byzantiumBlock",
        "constantinopleBlock",
        "petersburgBlock",
        "istanbulBlock",
        "berlinBlock",
        "londonBlock",
        "terminalTotalDifficulty",
    ];
    let mut config = json!({
        "chainId": CHAIN_ID,
        "cloister": {
            "confidentiality": "on", "allowEqualTimestamps": true, "development": true, "members": members,
        },
    });
    for key in BLOCKS.into_iter().chain(["shanghaiTime", "cancunTime", "pragueTime", "osakaTime"]) {
        config[key] = json!(0);
    }
    let rich = EVERYBODY.map(|who| (signer(who).address().to_string(), json!({ "balance": "0xde0b6b3a7640000" })));
    let alloc: serde_json::Map<_, _> = rich.into_iter().chain(ethereum()).collect();
    json!({ "config": config, "gasLimit": "0x1c9c380", "difficulty": "0x0", "alloc": alloc })
}

/// What Ethereum's own system calls need.
fn ethereum() -> [(String, Value); 4] {
    system_contracts().map(|(address, account)| {
        (address.to_string(), json!({ "nonce": "0x1", "balance": "0x0", "code": account.code }))
    })
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
