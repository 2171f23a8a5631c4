//! What is sent to the system contract.

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256};
use alloy_sol_types::SolValue as _;

use super::{Policy, Term};

/// A change of an account's rules.
pub(crate) struct Change<'a>(pub(crate) &'a Policy);

/// Terms, and a 1 behind the place for them.
const TRANSACTION_TERMS: usize = 14;
const LISTED_FUNCTION: usize = 28;
const LISTED_EVENT: usize = 14;

impl Change<'_> {
    /// Calldata of `change`.
    pub(crate) fn calldata(&self, account: Address) -> Bytes {
        let facts = FixedBytes::<6>::from_slice(self.0.facts.as_flattened());
        let functions: Vec<(B256, B256)> = self
            .0
            .functions
            .iter()
            .map(|rules| {
                let mut word = B256::ZERO;
                put(&mut word, 0, &rules.query);
                put(&mut word, TRANSACTION_TERMS, &rules.execute);
                word[LISTED_FUNCTION] = 1;
                (rules.function.key, word)
            })
            .collect();
        let events: Vec<(B256, B256)> = self
            .0
            .events
            .iter()
            .map(|(event, rule)| {
                let mut word = B256::ZERO;
                put(&mut word, 0, rule);
                word[LISTED_EVENT] = 1;
                (event.topic0, word)
            })
            .collect();
        let nothing = (Vec::<(Address, U256)>::new(), Vec::<(Address, bool)>::new());
        let arguments = (account, (facts, functions, events, nothing.0, nothing.1));
        let signature = "change(address,(bytes6,(bytes32,bytes32)[],(bytes32,bytes32)[],(address,uint256)[],\
                         (address,bool)[]))";
        call(signature, arguments.abi_encode_params())
    }
}

/// Calldata of `claim`: the sender created, or is going to create, an account at this nonce.
pub(crate) fn claim(nonce: u32) -> Bytes {
    call("claim(uint32)", U256::from(nonce).abi_encode())
}

fn put(word: &mut B256, at: usize, terms: &[Term]) {
    for (place, term) in word[at..].as_chunks_mut::<2>().0.iter_mut().zip(terms) {
        *place = *term;
    }
}

fn call(signature: &str, arguments: Vec<u8>) -> Bytes {
    [&keccak256(signature)[..4], &arguments].concat().into()
}
