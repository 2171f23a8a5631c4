//! The pairs of the execution-apis suite, for tests.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use alloy_consensus::Block as AlloyBlock;
use alloy_rlp::Decodable as _;
use cloister_primitives::Transaction;
use serde_json::Value;

pub(crate) type Block = AlloyBlock<Transaction>;

/// Where the suite is; `None` where it may be missing and is.
pub(crate) fn suite() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/vectors");
    let root = std::env::var("CLOISTER_VECTORS").unwrap_or_else(|_| beside.to_owned());
    let suite = PathBuf::from(root).join("execution-apis");
    if suite.is_dir() {
        return Some(suite);
    }
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!required, "no vectors at {}", suite.display());
    #[allow(clippy::print_stderr)]
    {
        eprintln!("skipped: no vectors at {}", suite.display());
    }
    None
}

/// The chain that the suite's answers are about, without its genesis block.
pub(crate) fn blocks(suite: &Path) -> Vec<Block> {
    let bytes = fs::read(suite.join("chain.rlp")).unwrap();
    let mut rest = bytes.as_slice();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        blocks.push(Block::decode(&mut rest).unwrap());
    }
    blocks
}

/// A method's pairs of request and response, with the name of their file.
pub(crate) fn pairs(suite: &Path, method: &str) -> Vec<(String, Value, Value)> {
    let mut pairs = Vec::new();
    for entry in fs::read_dir(suite.join(method)).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read_to_string(entry.path()).unwrap();
        let lines = |prefix| text.lines().filter_map(move |line| line.strip_prefix(prefix));
        for (request, response) in lines(">> ").zip(lines("<< ")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            pairs.push((name, serde_json::from_str(request).unwrap(), serde_json::from_str(response).unwrap()));
        }
    }
    assert!(!pairs.is_empty(), "{method}");
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs
}
