//! Chains that `tests/tools/spec` made with the executable specification, imported into the real core, and blocks that the
//! specification refuses to follow them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alloy_primitives::{B256, Bytes};
use serde::Deserialize;

use crate::import::{Stop, import};
use crate::repository;

/// The file of chains.
#[must_use]
pub fn file() -> PathBuf {
    repository().join("tests/vectors/chains.jsonl")
}

/// A chain, and what must not follow it.
#[derive(Debug, Deserialize)]
pub struct Chain {
    /// The fork that it ends in, and its number.
    pub name: String,
    genesis: String,
    blocks: Bytes,
    /// The block after them.
    last: Bytes,
    /// Its hash.
    hash: B256,
    /// Blocks that differ from it in one thing each, which names them.
    refused: BTreeMap<String, Bytes>,
}

impl Chain {
    /// Imports the chain, and tries every block that must be refused. One outcome for the chain and for each block.
    #[must_use]
    pub fn check(&self) -> Vec<Result<(), String>> {
        let named =
            |what: &str, outcome: Result<(), String>| outcome.map_err(|why| format!("{} {what}: {why}", self.name));
        let mut outcomes = vec![named("as a whole", self.check_good())];
        outcomes.extend(self.refused.iter().map(|(what, block)| named(what, self.check_refused(what, block))));
        outcomes
    }

    fn followed_by(&self, block: &[u8]) -> Vec<u8> {
        [self.blocks.as_ref(), block].concat()
    }

    fn check_good(&self) -> Result<(), String> {
        match import(&self.genesis, &self.followed_by(&self.last)) {
            (Some(chain), None) if chain.hash == self.hash => Ok(()),
            (chain, stop) => Err(format!("must end with {}, is {chain:?}, stopped by {stop:?}", self.hash)),
        }
    }

    fn check_refused(&self, what: &str, block: &Bytes) -> Result<(), String> {
        let (before, _) = import(&self.genesis, &self.blocks);
        let (after, stop) = import(&self.genesis, &self.followed_by(block));
        let Some(Stop::Block(refusal)) = stop else {
            return Err(format!("must be refused, is {after:?}, stopped by {stop:?}"));
        };
        if before != after || before.is_none() {
            return Err(format!("the blocks before must stay: {before:?} became {after:?}"));
        }
        let named = fields_of(what);
        if named.iter().any(|field| refusal.field.starts_with(field)) {
            return Ok(());
        }
        Err(format!("one of {named:?} must be wrong, is: {refusal}"))
    }
}

/// The fields that may be named when a block differs from a good one in this.
fn fields_of(what: &str) -> Vec<&str> {
    match what {
        // Nothing else in the header says who is paid, or what the contract of EIP-4788 is told.
        "miner" | "parentBeaconBlockRoot" => vec!["gasUsed", "receiptsRoot", "stateRoot"],
        "transactions" => vec!["transactions[", "transactionsRoot", "gasUsed"],
        "transactions twice" => vec!["transactions["],
        "withdrawals" => vec!["withdrawalsRoot"],
        "uncles" => vec!["sha3Uncles", "uncles"],
        field => vec![field],
    }
}
