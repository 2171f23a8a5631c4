use cloister_primitives::Height;

use super::super::codec::MAX_ENTRIES;
use super::super::{Input, LogLimits, ReadId, Standing};
use super::network::{Faults, Network, id, seeds};

#[test]
fn three_nodes_elect_one_leader_and_commit_the_same_blocks() {
    let mut network = Network::new(1, 3);
    network.run(5_000);
    assert!(network.leader().is_some());
    let lowest = network.nodes.keys().map(|node| network.committed(*node)).min().unwrap();
    assert!(lowest > Height(50), "followers commit what the leader does, and it does: {lowest}");
}

#[test]
fn one_node_is_a_network_of_its_own() {
    let mut network = Network::new(1, 1);
    network.run(3_000);
    assert!(network.committed(id(1)) > Height(50));
}

#[test]
fn a_leader_alone_commits_nothing_and_discards_it_when_it_returns() {
    let mut network = Network::new(2, 3);
    network.run(3_000);
    let deposed = network.leader().unwrap();
    network.isolate(deposed);
    let before = network.committed(deposed);
    network.run(400);
    let built = network.nodes[&deposed].engine.as_ref().unwrap().status().built;
    assert!(built > network.committed(deposed), "it builds on, speculatively");
    network.run(3_000);
    let leader = network.leader().unwrap();
    assert_ne!(leader, deposed, "the majority has another leader");
    assert!(network.committed(leader) > before.next(), "and goes on");
    let reached = network.committed(leader);
    network.heal();
    network.run(2_000);
    assert!(network.committed(deposed) > reached, "the deposed leader follows; no block of it was decided twice");
}

#[test]
fn a_leader_that_stops_is_replaced_within_two_seconds() {
    for seed in 0..20 {
        let mut network = Network::new(seed, 3);
        network.run(3_000);
        let stopped = network.leader().unwrap();
        network.crash(stopped);
        let before = network.decided.len();
        network.run(2_000);
        assert!(network.decided.len() > before, "seed {seed}: blocks are committed again");
    }
}

#[test]
fn whatever_happens_there_is_one_chain_and_it_goes_on_afterwards() {
    for seed in seeds(40) {
        let size = if seed % 3 == 0 { 5 } else { 3 };
        let play = || {
            let mut network = Network::new(seed, size);
            network.faults = Faults { loss: 12, repetition: 10, crash: 4_000, partition: 1_500, rolled_back: None };
            network.run(12_000);
            network.heal();
            network.run(6_000);
            let reached = Height(network.decided.len() as u64);
            network.run(4_000);
            for (node, state) in &network.nodes {
                assert_eq!(state.fault, None, "seed {seed}, {node:?}");
                assert!(
                    state.committed > reached,
                    "seed {seed}: {node:?} is at {}, {reached} were decided",
                    state.committed
                );
            }
            (network.trace, network.decided.len())
        };
        let first = play();
        if seed % 10 == 0 {
            assert_eq!(first, play(), "seed {seed} replays exactly");
        }
    }
}

#[test]
fn a_node_joins_as_learner_becomes_a_voter_and_another_leaves() {
    let mut network = Network::new(3, 3);
    network.run(3_000);
    let members = network.members.clone();
    network.add(id(4), members);
    let leader = network.leader().unwrap();
    network.input(leader, Input::Reconfigure(vec![(id(4), Standing::Learner)]));
    network.run(2_000);
    assert_eq!(network.members.learners, [4]);
    assert!(network.committed(id(4)) > Height(20), "a learner hears of everything");
    let leader = network.leader().unwrap();
    let gone = if leader == id(1) { id(2) } else { id(1) };
    network.input(leader, Input::Reconfigure(vec![(id(4), Standing::Voter), (gone, Standing::Gone)]));
    network.run(2_000);
    assert!(network.members.voters.contains(&4) && !network.members.contains(gone));
    assert!(network.members.outgoing.is_empty(), "the joint configuration has been left");
    network.crash(gone);
    let before = network.decided.len();
    network.run(2_000);
    assert!(network.decided.len() > before);
}

#[test]
fn a_leader_that_commits_its_own_leaving_steps_down() {
    for seed in 0..20 {
        let mut network = Network::new(seed, 4);
        network.run(3_000);
        let stopped = network.leader().unwrap();
        let mut others = network.members.voters.clone().into_iter().map(id).filter(|node| *node != stopped);
        let gone = others.next().unwrap();
        // Only the one that is to leave hears of it, so that no other can be elected.
        for other in others {
            network.cut.extend([(stopped, other), (other, stopped)]);
        }
        network.input(stopped, Input::Reconfigure(vec![(gone, Standing::Gone)]));
        network.run(60);
        network.crash(stopped);
        network.run(4_000);
        assert!(!network.members.contains(gone), "seed {seed}: it has left");
        assert_ne!(network.leader(), Some(gone), "seed {seed}");
        let before = network.decided.len();
        network.run(2_000);
        assert!(network.decided.len() > before, "seed {seed}: blocks are committed again");
    }
}

#[test]
fn a_follower_that_is_too_far_behind_catches_up_with_the_state() {
    let mut network = Network::new(4, 3);
    network.run(3_000);
    let behind = *network.nodes.keys().find(|node| Some(**node) != network.leader()).unwrap();
    network.crash(behind);
    let at = network.committed(behind);
    network.run(60_000);
    assert!(network.decided.len() as u64 > at.0 + 1_000, "the log has begun anew in the meantime");
    network.restart(behind);
    network.run(4_000);
    assert!(network.committed(behind).0 > at.0 + 1_000);
    assert_eq!(network.nodes[&behind].fault, None);
}

#[test]
fn a_follower_that_lacks_more_entries_than_a_message_names_gets_them() {
    // The log never begins anew: entries are all that can help.
    let mut network = Network::with_log(4, 3, LogLimits { kept_entries: 100_000, rebase_every: 100_000 });
    network.run(3_000);
    let behind = *network.nodes.keys().find(|node| Some(**node) != network.leader()).unwrap();
    network.crash(behind);
    let at = network.committed(behind);
    network.run(60_000);
    let missed = network.decided.len() as u64 - at.0;
    assert!(missed > 2 * MAX_ENTRIES as u64, "{missed} blocks");
    network.restart(behind);
    network.run(30_000);
    assert!(network.committed(behind).0 >= at.0 + missed);
    assert_eq!(network.nodes[&behind].fault, None);
}

#[test]
fn reads_are_confirmed_by_a_majority_or_given_back() {
    let mut network = Network::new(5, 3);
    network.run(3_000);
    let leader = network.leader().unwrap();
    let follower = *network.nodes.keys().find(|node| **node != leader).unwrap();
    let asked_at = Height(network.decided.len() as u64);
    network.input(leader, Input::Read(ReadId(7)));
    network.input(follower, Input::Read(ReadId(7)));
    network.run(1_000);
    for node in [leader, follower] {
        let [(read, height)] = network.nodes[&node].reads[..] else {
            panic!("{node:?} was not answered once: {:?}", network.nodes[&node].reads);
        };
        assert_eq!(read, ReadId(7));
        assert!(height >= asked_at, "{node:?} would read {height}, but {asked_at} was decided before it asked");
    }
    network.isolate(leader);
    network.input(leader, Input::Read(ReadId(8)));
    network.run(5_000);
    assert_eq!(network.nodes[&leader].unconfirmed, [ReadId(8)], "who hears nobody cannot tell what is newest");
    assert_eq!(network.nodes[&leader].reads.len(), 1);
}

#[test]
fn a_node_that_lost_its_disk_never_votes_as_if_it_had_not() {
    let mut network = Network::new(6, 3);
    network.run(3_000);
    let leader = network.leader().unwrap();
    let [wiped, other] = *network.nodes.keys().filter(|node| **node != leader).copied().collect::<Vec<_>>() else {
        panic!("three nodes");
    };
    // The leader and the node that is wiped have committed what the third has not.
    network.isolate(other);
    network.run(1_000);
    let decided = network.decided.len();
    network.crash(leader);
    network.run(100);
    network.wipe(wiped);
    network.cut.clear();
    network.run(5_000);
    assert_eq!(network.decided.len(), decided, "two nodes without the newest blocks must not go on");
    network.restart(leader);
    network.run(5_000);
    assert!(network.decided.len() > decided, "with the leader's log they do");
}

#[test]
fn a_node_whose_log_the_leader_counts_on_loses_it_and_catches_up() {
    for seed in seeds(20) {
        let mut network = Network::new(seed, 3);
        network.run(3_000);
        let leader = network.leader().unwrap();
        let wiped = *network.nodes.keys().find(|node| **node != leader).unwrap();
        network.wipe(wiped);
        network.run(3_000);
        let before = network.decided.len();
        assert_eq!(network.leader(), Some(leader), "seed {seed}: nobody else has to take over");
        let behind = before - usize::try_from(network.nodes[&wiped].committed.0).unwrap();
        assert!(behind < 20, "seed {seed}: it lacks {behind} of {before}");
        // From here on only the two of them can decide.
        let other = *network.nodes.keys().find(|node| ![leader, wiped].contains(node)).unwrap();
        network.crash(other);
        network.run(1_000);
        assert!(network.decided.len() > before, "seed {seed}: it is counted again");
    }
}

#[test]
fn all_may_stop_at_once_and_go_on() {
    let mut network = Network::new(7, 5);
    network.run(3_000);
    for node in (1..=5).map(id) {
        network.crash(node);
    }
    let decided = network.decided.len();
    network.heal();
    network.run(3_000);
    assert!(network.decided.len() > decided);
    for node in (1..=5).map(id) {
        network.crash(node);
    }
    let decided = network.decided.len();
    for node in (1..=4).map(id) {
        network.restart(node);
    }
    network.run(3_000);
    assert_eq!(network.decided.len(), decided, "the fifth may know better than they do");
    network.restart(id(5));
    network.run(3_000);
    assert!(network.decided.len() > decided);
}

#[test]
fn a_disk_that_is_rolled_back_loses_nothing_that_was_committed() {
    for seed in seeds(40) {
        let size = if seed % 2 == 0 { 5 } else { 3 };
        let mut network = Network::new(seed, size);
        network.faults =
            Faults { loss: 20, repetition: 20, crash: 1_500, partition: 3_000, rolled_back: Some(1 + seed % size) };
        network.run(12_000);
        network.heal();
        network.run(6_000);
        let reached = network.decided.len();
        network.run(4_000);
        assert!(network.decided.len() > reached, "seed {seed}: the others go on");
        for (node, state) in &network.nodes {
            assert_eq!(state.fault, None, "seed {seed}, node {}", node.get());
        }
    }
}
