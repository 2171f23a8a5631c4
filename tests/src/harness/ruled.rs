//! Contracts with rules, set up by transactions before anything is compared: the parties' token, the stranger's contract, and what
//! parties are going to create.

use std::sync::LazyLock;

use alloy::sol_types::SolValue as _;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256};
use cloister_primitives::VISIBILITY_ADDRESS;
use serde_json::Value;

use super::cast::Who;
use super::code::{self, token, token_call};
use super::workload::{Creations, Sent};
use crate::node::run_cloister;
use crate::repository;
use crate::tools::{test_artifact, test_artifact_path};

/// What each party and each stranger holds of the token.
const HELD: u64 = 1_000;
/// Contracts of Alice and of Bob that have rules before they exist, from the next nonce on.
pub(super) const PREPARED: u64 = 4;
/// Gas limits: of the policy and of the token, and of everything else.
const LARGE_GAS: u64 = 4_000_000;
const GAS: u64 = 500_000;
/// Wei that the stranger's contract has to pay others with.
const CHANGE: u128 = 1_000_000;
/// Grants: the blocks, and the time until which they hold.
const NEVER_IN_RANGE: &str = "1000000..2000000@99999999999";
const OVER: &str = "2..1000000@1600000000";

/// What is the same in all worlds, and takes the command line and the compiler to make.
struct Issue {
    policy: Bytes,
    token: Bytes,
}

static ISSUE: LazyLock<Issue> =
    LazyLock::new(|| Issue { policy: shipped_policy(), token: test_artifact("Standards", "Coin").bytecode.into() });

/// The shipped policy for tokens, as the command line puts it in force for what the issuer creates next.
fn shipped_policy() -> Bytes {
    let file = repository().join("contracts/policies/erc20.json").display().to_string();
    let interface = test_artifact_path("Standards", "Coin").display().to_string();
    let address = token().to_string();
    let audit = |(who, grant): (Who, &str)| format!("{}={grant}", who.address());
    let [ada, zed] = [(Who::Ada, NEVER_IN_RANGE), (Who::Zed, OVER)].map(audit);
    let contract = ["policy", "apply", &file, "--abi", &interface, "--contract", &address, "--nonce", "1"];
    let said = run_cloister(&[&contract[..], &["--audit", &ada, "--audit", &zed]].concat());
    let said = said.unwrap_or_else(|failure| panic!("{failure:?}"));
    let transaction: Value = serde_json::from_str(&said).expect("a transaction");
    transaction["data"].as_str().and_then(|data| data.parse().ok()).expect("its data")
}

/// Transactions of the first block, each sender's with nonces from zero.
pub(super) fn preparations(creations: Creations) -> Vec<Sent> {
    let call = |from, to, input| Sent { input, gas: GAS, ..Sent::transfer(from, to, 0) };
    let supply = U256::from(1_000_000);
    let initialize = token_call("initialize(address,uint256)", &[Who::Issuer.address().into_word(), supply.into()]);
    let mut sent = vec![
        Sent { gas: LARGE_GAS, ..call(Who::Issuer, VISIBILITY_ADDRESS, ISSUE.policy.clone()) },
        Sent { to: None, gas: LARGE_GAS, ..call(Who::Issuer, Address::ZERO, ISSUE.token.clone()) },
        call(Who::Issuer, token(), initialize),
    ];
    for who in [Who::Alice, Who::Bob, Who::Carol, Who::Dave, Who::Rita, Who::Eve, Who::Mallory] {
        let words = [who.address().into_word(), U256::from(HELD).into()];
        sent.push(call(Who::Issuer, token(), token_call("transfer(address,uint256)", &words)));
    }
    // He sees all there is of his own, and everybody may run it.
    sent.push(call(Who::Mallory, VISIBILITY_ADDRESS, prepare(1, Runs::Everybody)));
    let probe = code::deploying(&code::prober());
    sent.push(Sent { to: None, value: CHANGE, ..call(Who::Mallory, Address::ZERO, probe) });
    if creations == Creations::Ruled {
        for who in [Who::Alice, Who::Bob] {
            let nonces = PREPARED..2 * PREPARED;
            sent.extend(nonces.map(|nonce| call(who, VISIBILITY_ADDRESS, prepare(nonce, Runs::Owner))));
        }
    }
    sent
}

/// The first nonce at which a party may create something.
pub(super) const fn first_nonce(creations: Creations) -> u64 {
    match creations {
        Creations::Ruled => PREPARED,
        Creations::WithoutRules => 0,
    }
}

/// Who may run a contract in transactions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    Everybody,
    Owner,
}

/// Rules by which the owner alone is told anything of what he creates at a nonce.
fn prepare(nonce: u64, runs: Runs) -> Bytes {
    const OWNER: u8 = 4;
    const PUBLIC: u8 = 1;
    let (execute, fact) = match runs {
        Runs::Everybody => (PUBLIC, OWNER),
        Runs::Owner => (OWNER, 0),
    };
    let mut rule = B256::ZERO;
    (rule[0], rule[14], rule[28]) = (OWNER, execute, 1);
    // `receive` and `fallback`.
    let functions = [1, 2].map(|key| (B256::with_last_byte(key), rule)).to_vec();
    let facts = FixedBytes::<6>::from([fact, 0, fact, 0, fact, 0]);
    let events = Vec::<(B256, B256)>::new();
    let (roles, proxies) = (Vec::<(Address, U256)>::new(), Vec::<(Address, bool)>::new());
    let (judges, audits) = (Vec::<(U256, Address)>::new(), Vec::<(Address, u64, u64, u64)>::new());
    let change = (facts, functions, events, roles, proxies, judges, audits);
    let signature = "prepare(uint32,(bytes6,(bytes32,bytes32)[],(bytes32,bytes32)[],(address,uint256)[],(address,bool)[],\
                     (uint8,address)[],(address,uint64,uint64,uint64)[]))";
    [&keccak256(signature)[..4], &(U256::from(nonce), change).abi_encode_params()].concat().into()
}
