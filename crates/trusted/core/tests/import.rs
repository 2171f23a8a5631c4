//! Blocks of another node, imported: what is committed, what is refused, and what a restart finds.

#![allow(clippy::unwrap_used)]

mod support;

use alloy_consensus::{BlockBody, Header};
use alloy_primitives::{B256, Bytes};
use cloister_access::Caller;
use cloister_core::{
    AnswerAt, CoreOptions, DevelopmentRequest, ImportCode, Imported, Ledger, Lookup, RefuseTails, RequestBody,
    RequestId, Response,
};
use cloister_primitives::{Height, mark_imported};
use support::{Account, Disk, Node, genesis, options};

/// Blocks that a development node made, and the genesis to import them on.
struct Chain {
    genesis: String,
    blocks: Vec<alloy_consensus::Block<cloister_primitives::Transaction>>,
    hashes: Vec<B256>,
}

fn made(blocks: u64) -> Chain {
    let (alice, bob) = (Account::new(1), Account::new(2));
    let own = genesis(&[&alice]);
    let mut node = Node::start(&own, options(), 1, Disk::default());
    for nonce in 0..blocks {
        node.submit(vec![alice.transfer(nonce, bob.address, nonce + 1)], AnswerAt::Admission);
        node.run();
    }
    assert_eq!(node.head(), Height(blocks));
    let ledger = node.ledger.unwrap();
    let hashes = (1..=blocks).map(|height| hash_at(&ledger, height).unwrap()).collect();
    let blocks = (1..=blocks).map(|height| exported(&ledger, Height(height))).collect();
    let unmarked = own.replace(r#""cloister":{"development":true}"#, r#""cloister":{}"#);
    Chain { genesis: mark_imported(&unmarked).unwrap(), blocks, hashes }
}

fn hash_at(ledger: &Ledger, height: u64) -> Option<B256> {
    ledger.reader(&Caller::Development).hash_at(Height(height))
}

fn exported(ledger: &Ledger, height: Height) -> alloy_consensus::Block<cloister_primitives::Transaction> {
    let Lookup::Found(seen) = ledger.reader(&Caller::Development).block(height) else {
        panic!("block {height} is not resident");
    };
    let block = seen.whole().unwrap();
    alloy_consensus::Block {
        header: block.header.clone(),
        body: BlockBody {
            transactions: block.transactions.iter().map(|transaction| transaction.inner().clone()).collect(),
            ommers: Vec::new(),
            withdrawals: block.withdrawals.clone(),
        },
    }
}

impl Chain {
    fn raw(&self, index: usize) -> Bytes {
        alloy_rlp::encode(&self.blocks[index]).into()
    }

    fn changed(&self, index: usize, change: impl FnOnce(&mut Header)) -> Bytes {
        let mut block = self.blocks[index].clone();
        change(&mut block.header);
        alloy_rlp::encode(&block).into()
    }

    fn node(&self, options: CoreOptions, disk: Disk) -> Node {
        Node::start(&self.genesis, options, 2, disk)
    }
}

fn import(node: &mut Node, blocks: impl IntoIterator<Item = Bytes>) -> Vec<RequestId> {
    let ids = node.request(blocks.into_iter().map(|block| RequestBody::Import { block }).collect());
    node.run();
    ids
}

fn answer(node: &Node, id: RequestId) -> &Imported {
    match &node.heard.replies[&id] {
        Ok(Response::Imported(imported)) => imported,
        other => panic!("{other:?}"),
    }
}

fn refusal(node: &Node, id: RequestId) -> (ImportCode, String) {
    match answer(node, id) {
        Imported::Refused(refusal) => (refusal.code, refusal.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn blocks_that_arrive_together_are_committed_in_order() {
    let chain = made(20);
    let mut node = chain.node(options(), Disk::default());
    let ids = import(&mut node, (0..20).map(|index| chain.raw(index)));
    for (id, hash) in ids.iter().zip(&chain.hashes) {
        assert!(matches!(answer(&node, *id), Imported::Committed(block) if block.hash == *hash));
    }
    assert_eq!(node.heard.committed, (1..=20).map(Height).collect::<Vec<_>>());
    // What is there is there.
    let again = import(&mut node, [chain.raw(3)]);
    assert!(matches!(answer(&node, again[0]), Imported::Present(block) if block.height == Height(4)));
    // And is there after a restart, with the rest to follow.
    let mut node = chain.node(options(), node.disk.clone());
    assert_eq!(node.head(), Height(20));
    assert_eq!(hash_at(node.ledger.as_ref().unwrap(), 20), Some(chain.hashes[19]));
    let id = import(&mut node, [chain.raw(19)])[0];
    assert!(matches!(answer(&node, id), Imported::Present(_)));
}

#[test]
fn a_restart_loads_the_snapshot_of_an_imported_chain() {
    let chain = made(300);
    let cutting = || CoreOptions { snapshot_every_blocks: 64, ..options() };
    let mut node = chain.node(cutting(), Disk::default());
    for first in (0..300).step_by(50) {
        import(&mut node, (first..first + 50).map(|index| chain.raw(index)));
    }
    assert!(!node.disk.snapshots.is_empty() && node.disk.log_sections.contains_key(&Height(255)));
    let again = chain.node(cutting(), node.disk.clone());
    assert_eq!((again.head(), again.heard.halted.is_none()), (Height(300), true));
    assert_eq!(again.balance(Account::new(2).address), node.balance(Account::new(2).address));
}

#[test]
fn tails_that_are_refused_are_imported_again() {
    let chain = made(30);
    for seed in 1..10 {
        let refusing = CoreOptions { refuse_tails: Some(RefuseTails { seed, one_in: 3 }), ..options() };
        let mut node = chain.node(refusing, Disk::default());
        let ids = import(&mut node, (0..30).map(|index| chain.raw(index)));
        assert!(ids.iter().all(|id| matches!(answer(&node, *id), Imported::Committed(_))), "seed {seed}");
        assert_eq!(node.head(), Height(30), "seed {seed}");
        assert_eq!(hash_at(node.ledger.as_ref().unwrap(), 30), Some(chain.hashes[29]), "seed {seed}");
    }
}

#[test]
fn a_wrong_block_changes_nothing_and_the_right_one_can_follow() {
    let chain = made(6);
    let mut node = chain.node(options(), Disk::default());
    let wrong: [(ImportCode, Bytes); 6] = [
        (ImportCode::Invalid, chain.changed(3, |header| header.state_root = B256::ZERO)),
        (ImportCode::Invalid, chain.changed(3, |header| header.gas_used += 1)),
        (ImportCode::OutOfOrder, chain.raw(4)),
        (ImportCode::Forked, chain.changed(3, |header| header.parent_hash = B256::ZERO)),
        (ImportCode::Forked, chain.changed(1, |header| header.extra_data = Bytes::from_static(b"x"))),
        (ImportCode::Malformed, Bytes::from_static(&[0xc0])),
    ];
    import(&mut node, (0..3).map(|index| chain.raw(index)));
    for (code, block) in wrong {
        let id = import(&mut node, [block])[0];
        assert_eq!(refusal(&node, id).0, code);
        assert_eq!(node.head(), Height(3));
    }
    let oversized = import(&mut node, [Bytes::from(vec![0xc0; (16 << 20) + 1])])[0];
    assert_eq!(refusal(&node, oversized).0, ImportCode::Oversized);
    let ids = import(&mut node, (3..6).map(|index| chain.raw(index)));
    assert!(ids.iter().all(|id| matches!(answer(&node, *id), Imported::Committed(_))));
}

#[test]
fn what_stands_behind_a_wrong_block_is_refused_too() {
    let chain = made(5);
    let mut node = chain.node(options(), Disk::default());
    let wrong = chain.changed(2, |header| header.receipts_root = B256::ZERO);
    let ids = import(&mut node, [chain.raw(0), chain.raw(1), wrong, chain.raw(3), chain.raw(4)]);
    let (code, text) = refusal(&node, ids[2]);
    assert_eq!(code, ImportCode::Invalid);
    assert!(text.starts_with("block 3: receiptsRoot: expected 0x") && text.contains("found 0x000"), "{text}");
    assert!(ids[3..].iter().all(|id| refusal(&node, *id).0 == ImportCode::OutOfOrder));
    assert_eq!(node.head(), Height(2));
}

#[test]
fn only_a_genesis_that_says_so_takes_blocks() {
    let chain = made(1);
    let mut node = Node::start(&genesis(&[&Account::new(1)]), options(), 1, Disk::default());
    let id = import(&mut node, [chain.raw(0)])[0];
    assert_eq!(refusal(&node, id).0, ImportCode::NotImported);
}

#[test]
fn transactions_wait_on_an_imported_chain_until_a_block_is_asked_for() {
    let chain = made(2);
    let mut node = chain.node(options(), Disk::default());
    import(&mut node, (0..2).map(|index| chain.raw(index)));
    let id = node.submit(vec![Account::new(1).transfer(2, Account::new(3).address, 1)], AnswerAt::CommitIfInstant)[0];
    node.run();
    assert!(matches!(node.heard.replies[&id], Ok(Response::Admitted { .. })));
    assert_eq!(node.head(), Height(2));
    let mine = DevelopmentRequest::Mine { blocks: 1, interval_s: None, timestamp: None };
    node.request(vec![RequestBody::Development(mine)]);
    node.run();
    assert_eq!(node.head(), Height(3));
}
