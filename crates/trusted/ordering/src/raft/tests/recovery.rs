use alloy_primitives::B256;
use cloister_primitives::Height;

use super::super::{BlockRef, Fault, Input, Members, NodeId, Recovery, Standing, StoredLog};
use super::network::{Network, id};

/// A network of three that has stopped for good: its leader is back, the other two are not.
fn stopped(seed: u64) -> (Network, NodeId, [NodeId; 2]) {
    let mut network = Network::new(seed, 3);
    network.run(3_000);
    let survivor = network.leader().unwrap();
    let [one, other] = *network.nodes.keys().filter(|node| **node != survivor).copied().collect::<Vec<_>>() else {
        panic!("three nodes");
    };
    for node in [survivor, one, other] {
        network.crash(node);
    }
    let decided = network.decided.len();
    network.restart(survivor);
    network.run(5_000);
    assert_eq!(network.decided.len(), decided, "one of three decides nothing");
    assert!(network.nodes[&survivor].engine.as_ref().unwrap().status().is_waiting, "and says what for");
    (network, survivor, [one, other])
}

fn fault(network: &Network, node: NodeId) -> Option<Fault> {
    network.nodes[&node].fault.clone()
}

/// Makes a node that was never here a voter.
fn take_in(network: &mut Network, newcomer: NodeId) {
    network.add(newcomer, Members::of_voters((1..=3).map(id)));
    for standing in [Standing::Learner, Standing::Voter] {
        let leader = network.leader().unwrap();
        network.input(leader, Input::Reconfigure(vec![(newcomer, standing)]));
        network.run(2_000);
    }
    assert!(network.members.voters.contains(&newcomer.get()), "{:?}", network.members);
}

#[test]
fn a_network_goes_on_from_one_disk_and_grows_again() {
    for seed in 0..10 {
        let (mut network, survivor, lost) = stopped(seed);
        network.recover(survivor);
        let head = network.decided.len();
        network.run(3_000);
        assert_eq!(network.members, Members::of_voters([survivor]));
        assert!(network.decided.len() > head, "seed {seed}: blocks are decided again");

        // The others come with disks that are as good as they were.
        for node in lost {
            network.restart(node);
        }
        network.run(2_000);
        for node in lost {
            assert_eq!(fault(&network, node), Some(Fault::LeftBehind { known: 0 }), "seed {seed}");
        }
        take_in(&mut network, id(4));
        take_in(&mut network, id(5));
        let leader = network.leader().unwrap();
        network.crash(leader);
        let decided = network.decided.len();
        network.run(3_000);
        assert!(network.decided.len() > decided, "seed {seed}: newcomers are a majority");
        network.restart(leader);
        network.run(2_000);
        for node in [survivor, id(4), id(5)] {
            assert_eq!(fault(&network, node), None, "seed {seed}");
            assert!(network.committed(node).0 + 20 > network.decided.len() as u64, "seed {seed}: all follow");
        }
    }
}

#[test]
fn who_was_left_behind_stays_out_with_an_empty_disk_as_well() {
    let (mut network, survivor, [wiped, _]) = stopped(3);
    network.recover(survivor);
    network.run(1_000);
    let genesis = Members::of_voters((1..=3).map(id));
    let members = core::mem::replace(&mut network.members, genesis);
    network.wipe(wiped);
    network.members = members;
    network.run(2_000);
    assert_eq!(fault(&network, wiped), Some(Fault::LeftBehind { known: 0 }));
    assert_eq!(fault(&network, survivor), None);
}

#[test]
fn two_recoveries_of_one_network_that_meet_stop_both() {
    let (mut network, one, [other, _]) = stopped(4);
    network.isolate(other);
    network.recover(one);
    network.run(1_000);
    // What it decides would be another chain.
    network.crash(one);
    network.recover(other);
    network.cut.clear();
    network.restart(one);
    network.input(one, Input::Connected(other));
    network.input(other, Input::Connected(one));
    network.run(100);
    for node in [one, other] {
        assert_eq!(fault(&network, node), Some(Fault::LeftBehind { known: 1 }));
    }
}

#[test]
fn a_log_begins_anew_beyond_all_that_it_was_and_remembers_whom_it_left() {
    let head = BlockRef { height: Height(9), digest: B256::repeat_byte(1) };
    let first = StoredLog::new(Members::of_voters((1..=3).map(id))).recovered(id(2), head);
    assert_eq!(first.base().recovery, Some(Recovery { number: 1, left_behind: vec![1, 3] }));
    assert_eq!(first.base().members, Members::of_voters([id(2)]));
    assert_eq!((first.base().index, first.base().term, first.newest()), (1, 1, Some(head)));

    let mut grown = first;
    grown.base.members.voters.push(4);
    grown.base.members.learners.push(5);
    grown.vote.term = 30;
    let second = grown.recovered(id(4), head);
    assert_eq!(second.base().recovery, Some(Recovery { number: 2, left_behind: vec![1, 2, 3, 5] }));
    assert!(second.base().index > grown.base().index && second.base().term > 30);
}
