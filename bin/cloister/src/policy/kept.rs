//! Rules as a node answers them to their owner.

use alloy_primitives::{Address, U256, hex};
use alloy_sol_types::{SolCall, sol};
use cloister_client::Node;
use cloister_node::ExitCode;
use cloister_primitives::VISIBILITY_ADDRESS;
use serde_json::json;

use super::{CUSTOM, FunctionRules, Interface, Policy, Term};
use crate::failure::Failure;

sol! {
    function headOf(address account) returns (uint256 head);
    function templateOf(address account) returns (address template);
    function judgeOf(address account, uint8 number) returns (address judge);
    function functionRules(address account, bytes32[] keys) returns (bytes32[] rules);
    function eventRules(address account, bytes32 topic0) returns (bytes32[] versions);
}

/// What `Visibility` holds of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) owner: Address,
    /// Whose rules it has, where they are not its own.
    pub(crate) template: Option<Address>,
    pub(crate) timelock_s: u32,
    pub(crate) is_frozen: bool,
    /// `None` where it has an owner only.
    pub(crate) policy: Option<Policy>,
}

/// Bits of a head, and where the terms of storage, code and balance are in it.
const RULED: usize = 248;
const FROZEN: usize = 249;
const ADOPTED: usize = 250;
const FACTS: [usize; 3] = [160, 176, 192];
const TIMELOCK: usize = 208;

const LISTED_FUNCTION: usize = 28;
const LISTED_EVENT: usize = 14;

/// Asks a node for the rules of an account, as far as its interface names them.
pub(crate) async fn read_rules(
    node: &Node,
    token: Option<&str>,
    account: Address,
    interface: &Interface,
) -> Result<Kept, Failure> {
    let node = Asked { node, token };
    let mut head = node.ask(headOfCall { account }).await?;
    let mut template = None;
    if head.bit(ADOPTED) {
        let adopted = node.ask(templateOfCall { account }).await?;
        head = node.ask(headOfCall { account: adopted }).await?;
        template = Some(adopted);
    }
    let policy =
        if head.bit(RULED) { Some(node.policy(template.unwrap_or(account), head, interface).await?) } else { None };
    Ok(Kept {
        owner: Address::from_word(head.into()),
        template,
        timelock_s: (head >> TIMELOCK).wrapping_to::<u32>(),
        is_frozen: head.bit(FROZEN),
        policy,
    })
}

struct Asked<'a> {
    node: &'a Node,
    token: Option<&'a str>,
}

impl Asked<'_> {
    async fn policy(&self, account: Address, head: U256, interface: &Interface) -> Result<Policy, Failure> {
        let keys = interface.functions.iter().map(|function| function.key).collect();
        let rules = self.ask(functionRulesCall { account, keys }).await?;
        let functions: Vec<_> = interface
            .functions
            .iter()
            .zip(rules)
            // What is not on the list is refused, as what nobody is admitted to.
            .map(|(function, rule)| FunctionRules {
                function: function.clone(),
                query: terms(&rule[..LISTED_FUNCTION / 2]),
                execute: terms(&rule[LISTED_FUNCTION / 2..LISTED_FUNCTION]),
            })
            .collect();
        let mut events = Vec::new();
        for event in &interface.events {
            let versions = self.ask(eventRulesCall { account, topic0: event.topic0 }).await?;
            match versions.last() {
                Some(rule) if rule[LISTED_EVENT] != 0 => events.push((event.clone(), terms(&rule[..LISTED_EVENT]))),
                _ => {}
            }
        }
        let numbers = functions.iter().flat_map(|rules| rules.query.iter().chain(&rules.execute));
        let last = numbers.filter(|term| term[0] == CUSTOM).map(|term| term[1]).max();
        let mut judges = Vec::new();
        for number in last.map_or(0..0, |last| 0..u16::from(last) + 1) {
            let number = u8::try_from(number).map_err(|_| not_understood())?;
            judges.push(self.ask(judgeOfCall { account, number }).await?);
        }
        let fact = |at: usize| (head >> at).wrapping_to::<u16>().to_be_bytes();
        Ok(Policy { functions, events, facts: FACTS.map(fact), judges })
    }

    /// Asks the contract of rules.
    async fn ask<C: SolCall>(&self, call: C) -> Result<C::Return, Failure> {
        let params = json!([{ "to": VISIBILITY_ADDRESS, "data": hex::encode_prefixed(call.abi_encode()) }, "latest"]);
        let answer = self.node.call(self.token, "eth_call", &params).await.map_err(|error| match error {
            cloister_client::ClientError::Refused { code: 3, .. } => {
                Failure::new(ExitCode::Failure, "rules are shown to their owner alone, and this session is not his")
            }
            other => other.into(),
        })?;
        let bytes = answer.as_str().and_then(|text| hex::decode(text).ok()).ok_or_else(not_understood)?;
        C::abi_decode_returns(&bytes).map_err(|_| not_understood())
    }
}

fn not_understood() -> Failure {
    Failure::new(ExitCode::Failure, "the node answers what this version does not understand")
}

fn terms(bytes: &[u8]) -> Vec<Term> {
    bytes.as_chunks::<2>().0.iter().copied().filter(|term| term[0] != 0).collect()
}
