//! A network that members have go on from one disk: what they sign, what is refused, and that it is carried out once and
//! whole.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use alloy_primitives::{Address, B256, Bytes};
use cloister_boundary::{HaltCode, StorageFault, ToEnclave};
use cloister_core::{AnswerAt, CoreMessage, CoreOptions, RecoveryRequest};
use cloister_primitives::{Height, RecoveryStatement, SignedRecovery};
use support::{Account, Answers, CHAIN_ID, Disk, Node, options};

const TO: Address = Address::repeat_byte(0x55);

fn members() -> [Account; 3] {
    [11, 12, 13].map(Account::new)
}

fn genesis(members: &[Account]) -> String {
    let identity = B256::repeat_byte(1);
    let members: Vec<_> = members.iter().map(|member| format!("\"{}\"", member.address)).collect();
    let network = format!(
        r#""confidentiality":"off","gasSchedule":"ethereum","allowEqualTimestamps":true,"members":[{}],
        "raft":{{"nodes":[{{"id":1,"name":"alpha","identity":"{identity}"}}]}}"#,
        members.join(",")
    );
    support::genesis(&[&Account::new(1)]).replace(r#""development":true"#, &network)
}

/// A node of a network of one, on a disk, which leads.
fn start(disk: Disk) -> Node {
    let mut node = Node::start_as(Some(1), &genesis(&members()), options(), 1, disk);
    for _ in 0..200 {
        node.wait(50);
    }
    assert_eq!(node.heard.halted, None);
    node
}

/// A chain of three blocks.
fn chain() -> Disk {
    let mut node = start(Disk::default());
    for nonce in 0..3 {
        node.submit(vec![Account::new(1).transfer(nonce, TO, 1)], AnswerAt::Admission);
        node.run();
    }
    assert_eq!(node.head(), Height(3));
    node.disk
}

fn asked(request: RecoveryRequest, disk: &Disk) -> Node {
    let options = CoreOptions { recovery: Some(request), ..options() };
    Node::start_as(Some(1), &genesis(&members()), options, 2, disk.clone())
}

fn proposed(disk: &Disk) -> RecoveryStatement {
    let node = asked(RecoveryRequest::Propose, disk);
    assert_eq!((&node.heard.halted, &node.disk.consensus), (&None, &disk.consensus));
    node.heard.recovery.unwrap()
}

fn signed(statement: RecoveryStatement, signers: &[Account]) -> SignedRecovery {
    SignedRecovery { statement, signatures: signers.iter().map(|signer| signer.sign_text(&statement.text())).collect() }
}

fn refusal(signed: SignedRecovery, disk: &Disk) -> &'static str {
    let node = asked(RecoveryRequest::Apply(signed), disk);
    let fatal = node.heard.halted.unwrap();
    assert_eq!((fatal.code, node.heard.recovery), (HaltCode::RecoveryRefused, None), "{}", fatal.detail);
    assert_eq!(node.disk.consensus, disk.consensus, "nothing is stored");
    fatal.detail.split(':').next().unwrap()
}

#[test]
fn members_sign_what_the_node_says_of_itself_and_the_chain_goes_on() {
    let disk = chain();
    let statement = proposed(&disk);
    let RecoveryStatement { chain_id, node, height, recovery, .. } = statement;
    assert_eq!((chain_id, node, height, recovery), (CHAIN_ID, 1, Height(3), 1));
    let [one, two, _] = members();
    let mut recovering = asked(RecoveryRequest::Apply(signed(statement, &[two, one])), &disk);
    assert_eq!(recovering.heard.recovery, Some(statement));
    assert_eq!(recovering.disk.consensus.len(), 1, "one record takes the place of all");
    recovering.give(CoreMessage::Host(ToEnclave::Shutdown));
    assert_eq!(recovering.heard.halted.unwrap().code, HaltCode::ShutDown);

    let mut node = start(recovering.disk);
    assert_eq!(node.head(), Height(3), "nothing on the disk is given up");
    node.submit(vec![Account::new(1).transfer(3, TO, 1)], AnswerAt::Admission);
    node.run();
    assert_eq!(node.head(), Height(4));
    // The next one has a number of its own, and the statement of the first fits nothing any more.
    assert_eq!(proposed(&node.disk).recovery, 2);
    let [one, two, _] = members();
    assert_eq!(refusal(signed(statement, &[one, two]), &node.disk), "already-used");
}

#[test]
fn what_is_not_decided_by_the_members_about_this_very_disk_is_refused() {
    let disk = chain();
    let statement = proposed(&disk);
    let [one, two, three] = members();
    let all = |statement| signed(statement, &members());
    for (other, code) in [
        (RecoveryStatement { chain_id: 1, ..statement }, "wrong-chain"),
        (RecoveryStatement { genesis_hash: B256::ZERO, ..statement }, "wrong-chain"),
        (RecoveryStatement { node: 2, ..statement }, "other-node"),
        (RecoveryStatement { height: Height(2), ..statement }, "other-block"),
        (RecoveryStatement { block_hash: B256::ZERO, ..statement }, "other-block"),
        (RecoveryStatement { recovery: 2, ..statement }, "other-recovery"),
        (RecoveryStatement { recovery: 0, ..statement }, "already-used"),
    ] {
        assert_eq!(refusal(all(other), &disk), code);
    }
    assert_eq!(refusal(signed(statement, &[one]), &disk), "too-few-signatures");
    assert_eq!(refusal(signed(statement, &[]), &disk), "too-few-signatures");
    assert_eq!(refusal(signed(statement, &[two, Account::new(1)]), &disk), "not-a-member");
    let [one, two, _] = members();
    let mut twice = signed(statement, &[one, two]);
    twice.signatures.push(twice.signatures[0].clone());
    assert_eq!(refusal(twice.clone(), &disk), "signed-twice");
    twice.signatures[2] = Bytes::from(vec![1; 64]);
    assert_eq!(refusal(twice.clone(), &disk), "malformed-signature");
    // Signatures of members under another statement are nobody's under this one.
    let borrowed = signed(RecoveryStatement { height: Height(2), ..statement }, &[three]);
    twice.signatures[2].clone_from(&borrowed.signatures[0]);
    assert_eq!(refusal(twice, &disk), "not-a-member");
}

#[test]
fn a_chain_that_went_on_makes_a_statement_void() {
    let disk = chain();
    let statement = proposed(&disk);
    let mut node = start(disk);
    node.submit(vec![Account::new(1).transfer(3, TO, 1)], AnswerAt::Admission);
    node.run();
    assert_eq!(refusal(signed(statement, &members()), &node.disk), "other-block");
}

#[test]
fn a_machine_that_dies_has_recovered_or_has_not() {
    let disk = chain();
    let statement = proposed(&disk);
    let apply = |answers| {
        let request = RecoveryRequest::Apply(signed(statement, &members()));
        let options = CoreOptions { recovery: Some(request), ..options() };
        Node::start_answered(answers, Some(1), &genesis(&members()), options, 2, disk.clone())
    };
    let before = apply(Answers::Never);
    assert_eq!(before.heard.recovery, None, "nothing is said before it is durable");
    assert_eq!(proposed(&before.disk), statement, "it has not happened");
    let after = apply(Answers::DiesAfter(1));
    assert_eq!(after.heard.recovery, None);
    assert_eq!(proposed(&after.disk).recovery, 2, "it has happened, although nobody was told");
    assert_eq!(start(after.disk).head(), Height(3));
    let failed = apply(Answers::Failing(StorageFault::NoSpace));
    assert_eq!(failed.heard.halted.unwrap().code, HaltCode::StorageFailed);
    assert_eq!(proposed(&failed.disk), statement);
}

#[test]
fn where_there_is_nothing_to_decide_or_nobody_who_could_it_is_said() {
    let propose = |number, genesis: &str, disk| {
        let options = CoreOptions { recovery: Some(RecoveryRequest::Propose), ..options() };
        let node = Node::start_as(number, genesis, options, 1, disk);
        node.heard.halted.map(|fatal| (fatal.code, fatal.detail.split(':').next().unwrap()))
    };
    let no = |code| Some((HaltCode::RecoveryRefused, code));
    let (alone, network) = (support::genesis(&[&Account::new(1)]), genesis(&members()));
    assert_eq!(propose(None, &alone, Disk::default()), no("no-network"));
    assert_eq!(propose(Some(1), &network, Disk::default()), no("nothing-to-recover"));
    assert_eq!(propose(Some(1), &network, start(Disk::default()).disk), no("nothing-to-recover"));
    let ungoverned = genesis(&[]);
    let mut node = Node::start_as(Some(1), &ungoverned, options(), 1, Disk::default());
    for _ in 0..200 {
        node.wait(50);
    }
    node.submit(vec![Account::new(1).transfer(0, TO, 1)], AnswerAt::Admission);
    node.run();
    assert_eq!(propose(Some(1), &ungoverned, node.disk), no("no-members"));
}
