//! What a development network adds: waiting that ends, snapshots of everything, blocks taken back.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use alloy_primitives::{Address, U256};
use cloister_core::{AnswerAt, CoreError, CoreOptions, DevelopmentRequest, RequestBody, RequestId, Response};
use cloister_ordering::Pace;
use cloister_primitives::Height;
use support::{Account, Disk, Node, genesis, options};

const TO: Address = Address::repeat_byte(0x55);
/// Far above what the accounts' transactions offer, wei.
const HIGH_FEE: u64 = 1_000_000_000_000;

fn start(alice: &Account, pace: Pace) -> Node {
    Node::start(&genesis(&[alice]), CoreOptions { pace, ..options() }, 1, Disk::default())
}

fn ask(node: &mut Node, request: DevelopmentRequest) -> Result<Response, CoreError> {
    let ids = node.request(vec![RequestBody::Development(request)]);
    node.run();
    node.heard.replies.remove(&ids[0]).unwrap()
}

fn submit(node: &mut Node, alice: &Account, nonce: u64, answer_at: AnswerAt) -> RequestId {
    let ids = node.submit(vec![alice.transfer(nonce, TO, 1)], answer_at);
    node.run();
    ids[0]
}

fn snapshot(node: &mut Node) -> u64 {
    match ask(node, DevelopmentRequest::Snapshot) {
        Ok(Response::Number(id)) => id,
        other => panic!("no snapshot: {other:?}"),
    }
}

#[test]
fn a_transaction_that_no_block_takes_is_answered_as_admitted() {
    let alice = Account::new(1);
    let mut node = start(&alice, Pace::Instant);
    ask(&mut node, DevelopmentRequest::SetNextBaseFee { base_fee_per_gas: HIGH_FEE }).unwrap();
    let sent = submit(&mut node, &alice, 0, AnswerAt::CommitIfInstant);
    assert!(matches!(node.heard.replies[&sent], Ok(Response::Admitted { .. })), "it would wait for ever");
    let patient = submit(&mut node, &alice, 1, AnswerAt::Commit);
    assert!(!node.heard.replies.contains_key(&patient), "who asked for a commit waits for it");
    ask(&mut node, DevelopmentRequest::SetNextBaseFee { base_fee_per_gas: 7 }).unwrap();
    ask(&mut node, DevelopmentRequest::Mine { blocks: 1, interval_s: None, timestamp: None }).unwrap();
    assert!(matches!(node.heard.replies[&patient], Ok(Response::Included { .. })));
    assert_eq!(node.balance(TO), U256::from(2));
}

#[test]
fn who_waits_for_a_transaction_that_left_the_pool_is_told() {
    let alice = Account::new(1);
    let mut node = start(&alice, Pace::Instant);
    let gapped = submit(&mut node, &alice, 5, AnswerAt::Commit);
    assert!(!node.heard.replies.contains_key(&gapped));
    ask(&mut node, DevelopmentRequest::DropAll).unwrap();
    assert!(matches!(node.heard.replies[&gapped], Err(CoreError::Unavailable(_))));
}

#[test]
fn a_snapshot_brings_back_waiting_transactions_and_what_was_set() {
    let alice = Account::new(1);
    let mut node = start(&alice, Pace::Manual);
    let mine = || DevelopmentRequest::Mine { blocks: 1, interval_s: None, timestamp: None };
    submit(&mut node, &alice, 0, AnswerAt::Admission);
    ask(&mut node, DevelopmentRequest::SetBlockGasLimit { gas_limit: 7_000_000 }).unwrap();
    ask(&mut node, DevelopmentRequest::SetNextTimestamp { timestamp: 2_000_000_000 }).unwrap();
    let id = snapshot(&mut node);
    ask(&mut node, DevelopmentRequest::SetBlockGasLimit { gas_limit: 9_000_000 }).unwrap();
    ask(&mut node, mine()).unwrap();
    assert_eq!(node.balance(TO), U256::from(1));
    assert!(matches!(ask(&mut node, DevelopmentRequest::Revert { id }), Ok(Response::Flag(true))));
    assert_eq!((node.head(), node.balance(TO)), (Height(0), U256::ZERO));
    ask(&mut node, mine()).unwrap();
    assert_eq!(node.balance(TO), U256::from(1), "it waited again");
    let ledger = node.ledger.clone().unwrap();
    let head = ledger.reader(&cloister_access::Caller::Development).head().unwrap();
    assert_eq!((head.header().gas_limit, head.header().timestamp), (7_000_000, 2_000_000_000));
    assert!(matches!(ask(&mut node, DevelopmentRequest::Revert { id }), Ok(Response::Flag(false))), "once only");
}

#[test]
fn blocks_taken_back_take_their_snapshots_with_them() {
    let alice = Account::new(1);
    let mut node = start(&alice, Pace::Instant);
    let low = snapshot(&mut node);
    for nonce in 0..4 {
        submit(&mut node, &alice, nonce, AnswerAt::Admission);
    }
    let high = snapshot(&mut node);
    ask(&mut node, DevelopmentRequest::Rollback { blocks: 3 }).unwrap();
    assert_eq!((node.head(), node.balance(TO)), (Height(1), U256::from(1)));
    assert!(ask(&mut node, DevelopmentRequest::Rollback { blocks: 2 }).is_err());
    assert!(matches!(ask(&mut node, DevelopmentRequest::Revert { id: high }), Ok(Response::Flag(false))));
    submit(&mut node, &alice, 1, AnswerAt::Admission);
    assert_eq!(node.balance(TO), U256::from(2));
    assert!(matches!(ask(&mut node, DevelopmentRequest::Revert { id: low }), Ok(Response::Flag(true))));
    assert_eq!(node.head(), Height(0));
}

#[test]
fn the_pending_block_holds_what_waits_and_changes_nothing() {
    let alice = Account::new(1);
    let mut node = start(&alice, Pace::Manual);
    for nonce in 0..3 {
        submit(&mut node, &alice, nonce, AnswerAt::Admission);
    }
    let Ok(Response::Pending(job)) = ask(&mut node, DevelopmentRequest::Pending) else {
        panic!("no pending block");
    };
    let pending = job.run().unwrap();
    assert_eq!(pending.block.height(), Height(1));
    assert_eq!(pending.overrides[&TO].balance, Some(U256::from(3)));
    assert_eq!((node.head(), node.balance(TO)), (Height(0), U256::ZERO));
    let ledger = node.ledger.clone().unwrap();
    let block = ledger.reader(&cloister_access::Caller::Development).open(&pending.block);
    assert_eq!(block.transaction_count(), 3);
}
