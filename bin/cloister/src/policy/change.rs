//! What is sent to the system contract.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, sol};

use super::{Policy, Term};

sol! {
    struct FunctionRule { bytes32 key; bytes32 rule; }
    struct EventRule { bytes32 topic0; bytes32 rule; }
    struct Grant { address member; uint256 roles; }
    struct Delegation { address proxy; bool allowed; }
    struct Judge { uint8 number; address judge; }
    #[derive(Debug, PartialEq, Eq)]
    struct Audit { address auditor; uint64 first; uint64 last; uint64 until; }
    struct Rules {
        bytes6 facts;
        FunctionRule[] functions;
        EventRule[] events;
        Grant[] grants;
        Delegation[] delegations;
        Judge[] judges;
        Audit[] audits;
    }
    function change(address account, Rules what);
    function prepare(uint32 nonce, Rules what);
    function prepareSalted(address deployer, bytes32 salt, bytes32 initcodeHash, Rules what);
}

/// Where the terms of the second rule of a function begin, and the marks behind those of one and of two rules.
const TRANSACTION_TERMS: usize = 14;
const LISTED_FUNCTION: usize = 28;
const LISTED_EVENT: usize = 14;

/// Whose rules are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The sender is their owner already.
    Claimed,
    /// The sender created it with CREATE at this nonce, or is going to.
    Nonce(u32),
    /// It was created with CREATE2, or is going to be.
    Salted { deployer: Address, salt: B256, initcode_hash: B256 },
}

/// A change of an account's rules.
#[derive(Clone, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) policy: &'a Policy,
    /// Members and all the roles that each is to have.
    pub(crate) grants: Vec<(Address, Vec<u8>)>,
    /// Proxies that may delegate to denied code.
    pub(crate) proxies: Vec<Address>,
    /// What auditors may ask about.
    pub(crate) audits: Vec<Audit>,
}

impl Change<'_> {
    /// Calldata of the transaction that puts it in force.
    pub(crate) fn calldata(&self, account: Address, creation: Creation) -> Bytes {
        let what = self.rules();
        match creation {
            Creation::Claimed => changeCall { account, what }.abi_encode(),
            Creation::Nonce(nonce) => prepareCall { nonce, what }.abi_encode(),
            Creation::Salted { deployer, salt, initcode_hash } => {
                prepareSaltedCall { deployer, salt, initcodeHash: initcode_hash, what }.abi_encode()
            }
        }
        .into()
    }

    fn rules(&self) -> Rules {
        let function = |rules: &super::FunctionRules| {
            let mut rule = B256::ZERO;
            put(&mut rule, 0, &rules.query);
            put(&mut rule, TRANSACTION_TERMS, &rules.execute);
            rule[LISTED_FUNCTION] = 1;
            FunctionRule { key: rules.function.key, rule }
        };
        let event = |(event, terms): &(super::Event, Vec<Term>)| {
            let mut rule = B256::ZERO;
            put(&mut rule, 0, terms);
            rule[LISTED_EVENT] = 1;
            EventRule { topic0: event.topic0, rule }
        };
        let grant = |(member, roles): &(Address, Vec<u8>)| {
            let bits = roles.iter().fold(U256::ZERO, |bits, role| bits | (U256::ONE << usize::from(*role)));
            Grant { member: *member, roles: bits }
        };
        Rules {
            facts: alloy_primitives::FixedBytes::from_slice(self.policy.facts.as_flattened()),
            functions: self.policy.functions.iter().map(function).collect(),
            events: self.policy.events.iter().map(event).collect(),
            grants: self.grants.iter().map(grant).collect(),
            delegations: self.proxies.iter().map(|proxy| Delegation { proxy: *proxy, allowed: true }).collect(),
            judges: (0..=u8::MAX)
                .zip(&self.policy.judges)
                .map(|(number, judge)| Judge { number, judge: *judge })
                .collect(),
            audits: self.audits.clone(),
        }
    }
}

fn put(word: &mut B256, at: usize, terms: &[Term]) {
    for (place, term) in word[at..].as_chunks_mut::<2>().0.iter_mut().zip(terms) {
        *place = *term;
    }
}
