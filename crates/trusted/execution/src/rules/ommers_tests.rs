#![allow(clippy::unwrap_used)]

use alloy_primitives::{B256, U256};
use cloister_primitives::{Commitments, DevBaseFee, DevChain, Height};

use super::*;
use crate::rules::difficulty;

/// A mined chain, oldest first, and its rules.
struct Mined {
    spec: ChainSpec,
    blocks: Vec<Arc<Block>>,
}

impl Mined {
    fn new(length: u64) -> Self {
        let base_fee = DevBaseFee::Initial(0);
        let hardfork = "byzantium".parse().unwrap();
        let spec = ChainSpec::development(DevChain { hardfork, base_fee, ..DevChain::default() }).unwrap();
        let genesis = Header { difficulty: U256::from(1_000_000), ..spec.genesis_header(B256::ZERO) };
        let mut chain = Self { spec, blocks: vec![block(genesis, Vec::new())] };
        for height in 1..=length {
            let header = chain.child(Height(height - 1), 10);
            chain.blocks.push(block(header, Vec::new()));
        }
        chain
    }

    /// A right header on top of a block, so many seconds later.
    fn child(&self, parent: Height, later_s: u64) -> Header {
        let parent = &self.blocks[usize::try_from(parent.0).unwrap()];
        let (number, timestamp) = (parent.header.number + 1, parent.header.timestamp + later_s);
        Header {
            parent_hash: parent.hash,
            number,
            timestamp,
            gas_limit: parent.header.gas_limit,
            difficulty: difficulty::next(&self.spec, &parent.header, number, timestamp),
            ..Header::default()
        }
    }

    /// Checks a block on top of the chain with these ommers.
    fn check(&self, ommers: &[Header]) -> Result<(), Mismatch> {
        let header = Header { ommers_hash: calculate_ommers_root(ommers), ..self.child(Height(self.height()), 10) };
        let newest_first: Vec<_> = self.blocks.iter().rev().cloned().collect();
        check_ommers(&self.spec, &newest_first, &header, ommers)
    }

    fn height(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }
}

fn block(header: Header, ommers: Vec<Header>) -> Arc<Block> {
    Arc::new(Block {
        hash: header.hash_slow(),
        header,
        commitments: Commitments::open(B256::ZERO, B256::ZERO, B256::ZERO),
        transactions: Vec::new(),
        receipts: Vec::new(),
        ommers,
        withdrawals: None,
    })
}

#[test]
fn brothers_of_the_last_six_ancestors_are_ommers() {
    let chain = Mined::new(10);
    assert_eq!(chain.check(&[]), Ok(()));
    // The next block has height 11: its ommers' parents have heights 4 to 9.
    for parent in 4..=9 {
        assert_eq!(chain.check(&[chain.child(Height(parent), 11)]), Ok(()), "{parent}");
    }
    assert_eq!(chain.check(&[chain.child(Height(9), 11), chain.child(Height(8), 11)]), Ok(()));
    for parent in [3, 10] {
        let mismatch = chain.check(&[chain.child(Height(parent), 11)]).unwrap_err();
        assert_eq!((mismatch.field.as_ref(), mismatch.height), ("uncles[0]", 11), "{parent}");
    }
}

#[test]
fn an_ommer_counts_once_and_no_ancestor_does() {
    let mut chain = Mined::new(10);
    let ommer = chain.child(Height(8), 11);
    let twice = chain.check(&[ommer.clone(), ommer.clone()]).unwrap_err();
    assert_eq!(twice.field, "uncles[1]");
    assert_eq!(chain.check(&[chain.blocks[9].header.clone()]).unwrap_err().field, "uncles[0]");
    let three: Vec<_> = (6..9).map(|parent| chain.child(Height(parent), 11)).collect();
    assert_eq!(chain.check(&three).unwrap_err().field, "uncles");
    // In an ancestor already.
    let header =
        Header { ommers_hash: calculate_ommers_root(std::slice::from_ref(&ommer)), ..chain.child(Height(10), 10) };
    chain.blocks.push(block(header, vec![ommer.clone()]));
    assert_eq!(chain.check(&[ommer]).unwrap_err().field, "uncles[0]");
}

#[test]
fn an_ommers_own_header_has_to_be_right() {
    let chain = Mined::new(10);
    let mut ommer = chain.child(Height(8), 11);
    ommer.difficulty += U256::from(1);
    assert_eq!(chain.check(&[ommer.clone()]).unwrap_err().field, "uncles[0].difficulty");
    let header = chain.child(Height(10), 10);
    let newest_first: Vec<_> = chain.blocks.iter().rev().cloned().collect();
    let other = check_ommers(&chain.spec, &newest_first, &header, &[ommer]).unwrap_err();
    assert_eq!(other.field, "sha3Uncles");
}
