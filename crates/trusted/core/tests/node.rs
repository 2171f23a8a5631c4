//! The whole core against a host in memory: commits, restarts, refused tails, full disks, damage.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeSet;

use alloy_primitives::{Address, Bytes, U256};
use cloister_boundary::{HaltCode, StorageFault, ToEnclave};
use cloister_core::{
    AnswerAt, Archive, CoreError, CoreMessage, CoreOptions, DevelopmentRequest, PatchChange, RefuseTails, RequestBody,
    ResidentLimits, Response, StatePatch,
};
use cloister_ordering::Pace;
use cloister_primitives::{Height, Seq};
use cloister_state::HistoryLimits;
use support::{Account, Answers, Disk, Node, genesis, options};

const TO: Address = Address::repeat_byte(0x55);

fn transfers(account: &Account, nonces: std::ops::Range<u64>) -> Vec<Bytes> {
    nonces.map(|nonce| account.transfer(nonce, TO, 1)).collect()
}

fn development(request: DevelopmentRequest) -> Vec<RequestBody> {
    vec![RequestBody::Development(request)]
}

#[test]
fn a_transaction_is_visible_once_its_block_is_durable_and_not_before() {
    let alice = Account::new(1);
    let mut node = Node::start(&genesis(&[&alice]), options(), 1, Disk::default());
    assert_eq!(node.head(), Height(0));
    node.answers = Answers::Never;
    let raws = transfers(&alice, 0..1);
    let ids = node.submit(raws.clone(), AnswerAt::CommitIfInstant);
    node.run();
    assert_eq!(node.unanswered.len(), 1, "the block waits for the disk");
    assert!(!node.sees(&raws[0]));
    assert_eq!(node.balance(TO), U256::ZERO);
    assert!(node.heard.replies.is_empty());
    node.answers = Answers::AtOnce;
    node.run();
    assert!(node.sees(&raws[0]));
    assert_eq!(node.balance(TO), U256::from(1));
    assert!(matches!(node.heard.replies[&ids[0]], Ok(Response::Included { height: Height(1), index: 0, .. })));
}

#[test]
fn blocks_are_built_while_earlier_ones_wait_for_the_disk() {
    let alice = Account::new(1);
    let mut node = Node::start(&genesis(&[&alice]), options(), 1, Disk::default());
    node.answers = Answers::Never;
    for nonce in 0..6 {
        node.submit(vec![alice.transfer(nonce, TO, 1)], AnswerAt::Admission);
        node.run();
    }
    assert!(node.unanswered.len() >= 2, "at least two blocks deep");
    assert_eq!(node.head(), Height(0));
    node.answers = Answers::AtOnce;
    node.run();
    assert_eq!(node.balance(TO), U256::from(6));
}

#[test]
fn what_an_authorization_makes_executable_does_not_wait_for_another_transaction() {
    let (alice, bob) = (Account::new(1), Account::new(2));
    let genesis = genesis(&[&alice, &bob]).replace(r#""cancunTime":0"#, r#""cancunTime":0,"pragueTime":0"#);
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    let behind_a_gap = bob.transfer(1, TO, 7);
    node.submit(vec![behind_a_gap.clone()], AnswerAt::Admission);
    node.run();
    assert!(!node.sees(&behind_a_gap));
    node.submit(vec![alice.delegate(0, &bob, 0, TO)], AnswerAt::Admission);
    node.run();
    assert!(node.sees(&behind_a_gap), "the authorization used up the nonce before it");
    assert_eq!(node.balance(TO), U256::from(7));
}

#[test]
fn a_restart_brings_back_what_was_committed() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    let raws = transfers(&alice, 0..40);
    for chunk in raws.chunks(7) {
        node.submit(chunk.to_vec(), AnswerAt::Admission);
        node.run();
    }
    let head = node.head();
    let again = Node::start(&genesis, options(), 2, node.disk.clone());
    assert_eq!(again.head(), head);
    assert!(raws.iter().all(|raw| again.sees(raw)));
    assert_eq!(again.balance(TO), U256::from(40));
}

#[test]
fn a_restart_goes_on_from_the_newest_snapshot() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let options = CoreOptions { snapshot_every_blocks: 4, ..options() };
    let mut node = Node::start(&genesis, options.clone(), 1, Disk::default());
    for nonce in 0..18 {
        node.submit(vec![alice.transfer(nonce, TO, 1)], AnswerAt::Admission);
        node.run();
    }
    let kept: Vec<_> = node.disk.snapshots.keys().copied().collect();
    assert_eq!(kept, [Height(12), Height(16)], "the newest two");
    let mut again = Node::start(&genesis, options.clone(), 2, node.disk.clone());
    assert_eq!(again.heard.halted, None);
    assert_eq!(again.balance(TO), U256::from(18));
    again.submit(vec![alice.transfer(18, TO, 1)], AnswerAt::Admission);
    again.run();
    assert_eq!(again.balance(TO), U256::from(19));

    let mut damaged = node.disk.clone();
    damaged.chunks.get_mut(&(Height(16), 0)).unwrap()[500] ^= 1;
    let refused = Node::start(&genesis, options, 3, damaged);
    let fatal = refused.heard.halted.unwrap();
    assert_eq!((fatal.code, fatal.height), (HaltCode::DamagedLog, Some(16)));
}

#[test]
fn refused_tails_lose_nothing_and_show_nothing_early() {
    for seed in 0..30 {
        let alice = Account::new(1);
        let bob = Account::new(2);
        let options = CoreOptions { refuse_tails: Some(RefuseTails { seed, one_in: 3 }), ..options() };
        let genesis = genesis(&[&alice, &bob]);
        let mut node = Node::start(&genesis, options, seed, Disk::default());
        let mut raws = Vec::new();
        for round in 0..20_u64 {
            node.answers = if round.is_multiple_of(3) { Answers::Never } else { Answers::AtOnce };
            let mut batch = transfers(&alice, round * 3..round * 3 + 3);
            batch.extend(transfers(&bob, round..round + 1));
            raws.extend(batch.clone());
            node.submit(batch, AnswerAt::Admission);
            node.run();
        }
        node.answers = Answers::AtOnce;
        node.run();
        assert_eq!(node.heard.halted, None);
        assert!(raws.iter().all(|raw| node.sees(raw)), "seed {seed}");
        assert_eq!(node.balance(TO), U256::from(80));
        assert!(node.heard.committed.is_sorted());
        let again = Node::start(&genesis, support::options(), 99, node.disk.clone());
        assert_eq!(again.heard.halted, None, "seed {seed}: what is stored is one chain");
        assert_eq!(again.balance(TO), U256::from(80));
    }
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let run = || {
        let alice = Account::new(1);
        let options = CoreOptions {
            snapshot_every_blocks: 2,
            refuse_tails: Some(RefuseTails { seed: 5, one_in: 4 }),
            ..options()
        };
        let mut node = Node::start(&genesis(&[&alice]), options, 42, Disk::default());
        for nonce in 0..25 {
            node.submit(vec![alice.transfer(nonce, TO, 1)], AnswerAt::Commit);
            node.run();
            node.wait(10);
        }
        node.heard.digest
    };
    assert_eq!(run(), run());
}

#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_recovers() {
    let alice = Account::new(1);
    let mut node = Node::start(&genesis(&[&alice]), options(), 1, Disk::default());
    node.answers = Answers::Failing(StorageFault::NoSpace);
    let first = node.submit(transfers(&alice, 0..1), AnswerAt::Commit);
    node.run();
    assert!(!node.heard.replies.contains_key(&first[0]), "not acknowledged");
    let second = node.submit(transfers(&alice, 1..2), AnswerAt::Commit);
    node.run();
    assert!(matches!(
        node.heard.replies[&second[0]],
        Err(CoreError::Unavailable(text)) if text.contains("disk is full")
    ));
    node.wait(600);
    assert_eq!(node.head(), Height(0), "still full");
    node.answers = Answers::AtOnce;
    node.wait(600);
    assert!(matches!(node.heard.replies[&first[0]], Ok(Response::Included { .. })));
    let third = node.submit(transfers(&alice, 1..2), AnswerAt::Commit);
    node.run();
    assert!(matches!(node.heard.replies[&third[0]], Ok(Response::Included { .. })));
}

#[test]
fn a_host_that_answers_wrongly_twice_or_late_is_named_and_survived() {
    let alice = Account::new(1);
    let mut node = Node::start(&genesis(&[&alice]), options(), 1, Disk::default());
    for message in [
        ToEnclave::Persisted { seq: Seq(0) },
        ToEnclave::Persisted { seq: Seq(77) },
        ToEnclave::PersistFailed { seq: Seq(0), fault: StorageFault::Io },
        ToEnclave::Blocks { id: cloister_boundary::ReadId(9), blocks: vec![None] },
        ToEnclave::Chunk { id: cloister_boundary::ReadId(9), bytes: None },
    ] {
        let before = node.heard.warnings.len();
        node.give(CoreMessage::Host(message));
        assert_eq!(node.heard.warnings.len(), before + 1, "each is named");
    }
    node.submit(transfers(&alice, 0..1), AnswerAt::Admission);
    node.run();
    assert_eq!(node.balance(TO), U256::from(1));
    let fault = StorageFault::Corrupt;
    node.answers = Answers::Failing(fault);
    node.submit(transfers(&alice, 1..2), AnswerAt::Admission);
    node.run();
    assert_eq!(node.heard.halted.unwrap().code, HaltCode::StorageFailed);
}

#[test]
fn damage_to_a_stored_block_is_named_with_its_height_and_never_served() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    for nonce in 0..5 {
        node.submit(vec![alice.transfer(nonce, TO, 1)], AnswerAt::Admission);
        node.run();
    }
    let sound = node.disk.clone();
    let blob = |height| sound.blocks[&Height(height)].clone();
    let mut flipped = blob(3);
    flipped[200] ^= 4;
    let cases: [(&str, Option<Vec<u8>>); 5] = [
        ("flipped", Some(flipped)),
        ("truncated", Some(blob(3)[..100].to_vec())),
        ("torn", Some([&blob(3)[..600], &[0; 476]].concat())),
        ("swapped", Some(blob(4))),
        ("missing", None),
    ];
    for (name, replacement) in cases {
        let mut disk = sound.clone();
        match replacement {
            Some(bytes) => disk.blocks.insert(Height(3), bytes),
            None => disk.blocks.remove(&Height(3)),
        };
        let refused = Node::start(&genesis, options(), 2, disk);
        let fatal = refused.heard.halted.unwrap_or_else(|| panic!("{name} was accepted"));
        assert_eq!((fatal.code, fatal.height), (HaltCode::DamagedLog, Some(3)), "{name}");
        assert!(refused.ledger.is_none(), "{name}: nothing is served");
    }
    let mallory = Account::new(9);
    let foreign = Node::start(&support::genesis(&[&mallory]), options(), 2, sound);
    assert_eq!(foreign.heard.halted.unwrap().code, HaltCode::ForeignLog);
}

#[test]
fn a_snapshot_is_reverted_to_over_restarts_of_the_same_chain() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    node.submit(transfers(&alice, 0..2), AnswerAt::Admission);
    node.run();
    let taken = node.request(development(DevelopmentRequest::Snapshot));
    node.run();
    let Ok(Response::Number(id)) = node.heard.replies[&taken[0]] else {
        panic!("no snapshot");
    };
    let head = node.head();
    node.submit(transfers(&alice, 2..7), AnswerAt::Admission);
    node.run();
    assert_eq!(node.balance(TO), U256::from(7));
    let reverted = node.request(development(DevelopmentRequest::Revert { id }));
    node.run();
    assert!(matches!(node.heard.replies[&reverted[0]], Ok(Response::Flag(true))));
    assert_eq!((node.head(), node.balance(TO)), (head, U256::from(2)));
    node.submit(vec![alice.transfer(2, TO, 9)], AnswerAt::Admission);
    node.run();
    let again = Node::start(&genesis, options(), 2, node.disk.clone());
    assert_eq!(again.heard.halted, None);
    assert_eq!(again.balance(TO), U256::from(11));
}

#[test]
fn patches_are_part_of_the_next_block_and_survive_a_restart() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    let patch = StatePatch { address: TO, change: PatchChange::Balance(U256::from(1_000)) };
    node.request(development(DevelopmentRequest::Patch(patch)));
    node.run();
    assert_eq!(node.balance(TO), U256::from(1_000));
    node.submit(transfers(&alice, 0..1), AnswerAt::Admission);
    node.run();
    let again = Node::start(&genesis, options(), 2, node.disk.clone());
    assert_eq!(again.heard.halted, None);
    assert_eq!(again.balance(TO), U256::from(1_001));
}

#[test]
fn a_revert_undoes_patches_made_after_the_snapshot_and_keeps_those_before() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    let set = |balance: u64| {
        development(DevelopmentRequest::Patch(StatePatch {
            address: TO,
            change: PatchChange::Balance(U256::from(balance)),
        }))
    };
    node.request(set(100));
    let taken = node.request(development(DevelopmentRequest::Snapshot));
    node.run();
    node.request(set(200));
    node.run();
    node.submit(transfers(&alice, 0..1), AnswerAt::Admission);
    node.run();
    node.request(set(300));
    node.run();
    assert_eq!(node.balance(TO), U256::from(300));
    let Ok(Response::Number(id)) = node.heard.replies[&taken[0]] else {
        panic!("no snapshot");
    };
    node.request(development(DevelopmentRequest::Revert { id }));
    node.run();
    assert_eq!((node.head(), node.balance(TO)), (Height(0), U256::from(100)));
    node.submit(transfers(&alice, 0..1), AnswerAt::Admission);
    node.run();
    assert_eq!(node.balance(TO), U256::from(101));
    let again = Node::start(&genesis, options(), 2, node.disk.clone());
    assert_eq!(again.heard.halted, None);
    assert_eq!(again.balance(TO), U256::from(101), "the next block carries the first patch");
    node.request(development(DevelopmentRequest::Reset));
    node.run();
    assert_eq!((node.head(), node.balance(TO)), (Height(0), U256::ZERO));
}

#[test]
fn mining_on_demand_makes_as_many_blocks_as_asked_with_their_times() {
    let alice = Account::new(1);
    let options = CoreOptions { pace: Pace::Manual, ..options() };
    let mut node = Node::start(&genesis(&[&alice]), options, 1, Disk::default());
    let ids = node.submit(transfers(&alice, 0..1), AnswerAt::CommitIfInstant);
    node.run();
    assert!(matches!(node.heard.replies[&ids[0]], Ok(Response::Admitted { .. })));
    assert_eq!(node.head(), Height(0));
    let mined = node.request(development(DevelopmentRequest::Mine {
        blocks: 10,
        interval_s: Some(60),
        timestamp: Some(1_800_000_000),
    }));
    node.run();
    assert!(matches!(node.heard.replies[&mined[0]], Ok(Response::Done)));
    assert_eq!(node.head(), Height(10));
    let ledger = node.ledger.clone().unwrap();
    let caller = cloister_access::Caller::Development;
    let head = ledger.reader(&caller).head().unwrap();
    assert_eq!(head.header().timestamp, 1_800_000_000 + 9 * 60);
    assert_eq!(node.balance(TO), U256::from(1));
}

#[test]
fn with_full_history_every_old_state_can_be_read_and_without_it_recent_ones() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let options = CoreOptions {
        archive: Archive::Full,
        snapshot_every_blocks: 60,
        history: HistoryLimits { blocks: 128, bytes: 0 },
        ..options()
    };
    let mut node = Node::start(&genesis, options.clone(), 1, Disk::default());
    for nonce in 0..300 {
        node.submit(vec![alice.transfer(nonce, TO, 1)], AnswerAt::Admission);
        node.run();
    }
    assert_eq!(node.head(), Height(300));
    assert_eq!(node.disk.snapshots.len(), 5, "no snapshot is dropped");
    for height in [300, 250, 1, 60, 61, 0, 130, 59, 131] {
        let height = Height(height);
        let ids = node.request(vec![RequestBody::Replay { height }]);
        node.run();
        let Ok(Response::Replayed(view)) = &node.heard.replies[&ids[0]] else {
            panic!("no state at {height}: {:?}", node.heard.replies[&ids[0]]);
        };
        let ledger = node.ledger.clone().unwrap();
        let caller = cloister_access::Caller::Development;
        let state = ledger.reader(&caller).replayed(view.clone());
        assert_eq!(state.account(TO).unwrap().balance, U256::from(height.0), "at {height}");
    }
    let recent = CoreOptions { archive: Archive::Recent, ..options };
    let mut node = Node::start(&genesis, recent, 2, node.disk.clone());
    let ids = node.request(vec![RequestBody::Replay { height: Height(1) }]);
    node.run();
    assert!(matches!(&node.heard.replies[&ids[0]], Err(CoreError::Rejected(_))));
}

#[test]
fn old_blocks_come_back_in_whole_sections() {
    let alice = Account::new(1);
    let options = CoreOptions { resident: ResidentLimits { bytes: 0, ..ResidentLimits::default() }, ..options() };
    let mut node = Node::start(&genesis(&[&alice]), options, 1, Disk::default());
    let raws = transfers(&alice, 0..340);
    for raw in &raws {
        node.submit(vec![raw.clone()], AnswerAt::Admission);
        node.run();
    }
    assert!(!node.sees(&raws[9]), "no longer resident");
    let ids = node.request(vec![RequestBody::Load { height: Height(10) }]);
    node.run();
    let Ok(Response::Stored(blocks)) = &node.heard.replies[&ids[0]] else {
        panic!("not loaded");
    };
    assert_eq!(blocks.len(), 32);
    let ledger = node.ledger.clone().unwrap();
    let caller = cloister_access::Caller::Development;
    let block = ledger.reader(&caller).open(&blocks[10]);
    assert_eq!(block.height(), Height(10));
    assert!(block.transaction_hashes().eq([alloy_primitives::keccak256(&raws[9])]));
    node.disk.blocks.get_mut(&Height(5)).unwrap()[99] ^= 1;
    let ids = node.request(vec![RequestBody::Load { height: Height(10) }]);
    node.run();
    assert!(matches!(&node.heard.replies[&ids[0]], Err(CoreError::Unavailable(_))));
}

#[test]
fn a_crash_at_any_persist_point_loses_nothing_that_was_answered() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let options = CoreOptions { snapshot_every_blocks: 3, ..options() };
    let mut died = 0;
    for point in 1..60 {
        let mut node = Node::start(&genesis, options.clone(), point, Disk::default());
        node.answers = Answers::DiesAfter(u32::try_from(point).unwrap());
        let raws = transfers(&alice, 0..20);
        let mut answered = Vec::new();
        for raw in &raws {
            let ids = node.submit(vec![raw.clone()], AnswerAt::Commit);
            node.run();
            if node.heard.replies.contains_key(&ids[0]) {
                answered.push(raw.clone());
            }
        }
        died += u32::from(node.answers == Answers::DiesAfter(0));
        let mut again = Node::start(&genesis, options.clone(), 1_000 + point, node.disk.clone());
        assert_eq!(again.heard.halted, None, "persist point {point}");
        assert!(answered.iter().all(|raw| again.sees(raw)), "persist point {point}");
        let next = again.balance(TO).to::<u64>();
        assert!(next >= answered.len() as u64);
        again.submit(vec![alice.transfer(next, TO, 1)], AnswerAt::Commit);
        again.run();
        assert_eq!(again.balance(TO), U256::from(next + 1), "persist point {point}: it goes on");
    }
    assert!(died > 30, "most points lie within the run");
}

#[test]
fn a_piece_of_a_snapshot_that_was_given_up_never_enters_a_later_one() {
    let alice = Account::new(1);
    let genesis = genesis(&[&alice]);
    let options = CoreOptions { snapshot_every_blocks: 2, ..options() };
    let mut node = Node::start(&genesis, options.clone(), 1, Disk::default());
    let taken = node.request(development(DevelopmentRequest::Snapshot));
    node.run();
    let Ok(Response::Number(id)) = node.heard.replies[&taken[0]] else {
        panic!("no snapshot");
    };
    node.holds_cuts = true;
    for round in 0..2 {
        for nonce in 0..2 {
            node.submit(vec![alice.transfer(nonce, TO, round + 1)], AnswerAt::Admission);
            node.run();
        }
        if round == 0 {
            node.request(development(DevelopmentRequest::Revert { id }));
            node.run();
        }
    }
    node.release_cuts();
    assert_eq!(node.disk.snapshots.len(), 1);
    let again = Node::start(&genesis, options, 2, node.disk.clone());
    assert_eq!(again.heard.halted, None);
    assert_eq!(again.balance(TO), U256::from(4));
}

#[test]
fn no_block_outgrows_its_record() {
    const CALLDATA: usize = 127 << 10;
    const GAS: u64 = 21_000 + 4 * CALLDATA as u64;
    let alice = Account::new(1);
    // Room for fifty mebibytes of zeros in one block, as far as its gas limit goes.
    let genesis = genesis(&[&alice]).replace("\"gasLimit\":\"0x1c9c380\"", "\"gasLimit\":\"0xee6b2800\"");
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    let input = Bytes::from(vec![0; CALLDATA]);
    let raws: Vec<_> = (0..400).map(|nonce| alice.send(nonce, TO, 1, input.clone(), GAS)).collect();
    node.submit(raws, AnswerAt::Admission);
    node.run();
    assert_eq!(node.heard.halted, None);
    assert_eq!(node.balance(TO), U256::from(400));
    assert_eq!(Node::start(&genesis, options(), 2, node.disk.clone()).balance(TO), U256::from(400));
}

#[test]
fn no_block_logs_more_than_its_record_holds() {
    const LOGGER: Address = Address::repeat_byte(0x77);
    let alice = Account::new(1);
    // LOG0 of a mebibyte of memory: forty of them are within the block's gas limit.
    let code = format!("\"alloc\":{{\"{LOGGER}\":{{\"balance\":\"0x0\",\"code\":\"0x621000005fa0\"}},");
    let genesis = genesis(&[&alice])
        .replace("\"gasLimit\":\"0x1c9c380\"", "\"gasLimit\":\"0xee6b2800\"")
        .replace("\"alloc\":{", &code);
    let mut node = Node::start(&genesis, options(), 1, Disk::default());
    let raws: Vec<_> = (0..40).map(|nonce| alice.send(nonce, LOGGER, 0, Bytes::new(), 12_000_000)).collect();
    let ids = node.submit(raws, AnswerAt::Commit);
    node.run();
    assert_eq!(node.heard.halted, None);
    let answers: Vec<_> = ids.iter().map(|id| node.heard.replies[id].clone()).collect();
    let heights: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Ok(Response::Included { height, .. }) => height,
            other => panic!("not included: {other:?}"),
        })
        .collect();
    assert!(heights.len() >= 2, "more than one record holds: {heights:?}");
    assert!(node.disk.blocks.values().any(|sealed| sealed.len() > 16 << 20), "and blocks are filled");
    assert_eq!(Node::start(&genesis, options(), 2, node.disk.clone()).head(), node.head());
}

#[test]
fn changes_without_a_block_are_bounded() {
    let mut node = Node::start(&genesis(&[]), options(), 1, Disk::default());
    let mut set_code = |seed: u8| {
        let code = Bytes::from(vec![seed; 1 << 20]);
        let patch = StatePatch { address: Address::repeat_byte(seed), change: PatchChange::Code(code) };
        let ids = node.request(development(DevelopmentRequest::Patch(patch)));
        node.run();
        node.heard.replies[&ids[0]].clone()
    };
    for seed in 1..=5 {
        set_code(seed).unwrap();
    }
    let error = set_code(6).unwrap_err().to_string();
    assert!(error.contains("mine one"), "{error}");
}
