//! Two processes with one identity.

use cloister_primitives::Height;

use super::super::Fault;
use super::network::{Faults, Network, id, seeds};

/// The process that is made of node 1's disk.
const COPY: u64 = 101;

fn fault(network: &Network, process: u64) -> Option<&Fault> {
    network.nodes[&id(process)].fault.as_ref()
}

/// Two groups of processes that do not hear each other.
fn part(network: &mut Network, one: &[u64], other: &[u64]) {
    network.cut.clear();
    for (a, b) in one.iter().flat_map(|a| other.iter().map(|b| (id(*a), id(*b)))) {
        network.cut.extend([(a, b), (b, a)]);
    }
}

/// Three nodes: another one than the leader, which is to be started twice, the leader, and the third.
fn cast(network: &Network) -> (u64, u64, u64) {
    let leader = network.leader().unwrap().get();
    if leader == 1 { (2, leader, 3) } else { (1, leader, 5 - leader) }
}

fn goes_on(network: &mut Network, seed: u64) {
    let reached = network.decided.len();
    network.run(2_000);
    assert!(network.decided.len() > reached, "seed {seed}: the network goes on");
}

#[test]
fn of_two_processes_with_one_identity_one_stops_and_says_why() {
    for seed in 0..30 {
        let mut network = Network::new(seed, 3);
        network.run(3_000);
        network.start_twice(id(1), id(COPY));
        network.run(10_000);
        let stopped = [1, COPY].map(|process| fault(&network, process).cloned());
        assert!(matches!(stopped, [Some(Fault::Twice), None] | [None, Some(Fault::Twice)]), "seed {seed}: {stopped:?}");
        goes_on(&mut network, seed);
    }
}

/// The leader hears one of the two, and the third node the other.
#[test]
fn a_network_cut_between_two_processes_with_one_identity_has_one_chain() {
    for seed in 0..30 {
        let mut network = Network::new(seed, 3);
        network.run(3_000);
        let (twin, leader, third) = cast(&network);
        network.start_twice(id(twin), id(COPY));
        part(&mut network, &[twin, third], &[leader, COPY]);
        network.run(4_000);
        let copy = network.nodes[&id(COPY)].engine.as_ref().unwrap().status();
        assert!(copy.is_waiting, "seed {seed}: it takes no part while the one who knows better does not hear it");
        assert!(
            copy.last_index > 0 && network.committed(id(COPY)) > Height(0),
            "seed {seed}: it has the log all the same"
        );
        assert_ne!(network.leader(), Some(id(leader)), "seed {seed}: the leader has no majority");
        network.heal();
        network.run(10_000);
        goes_on(&mut network, seed);
    }
}

/// A copy takes part while the other one is not heard of; then that one comes back.
#[test]
fn who_comes_back_after_its_identity_was_taken_says_nothing_that_counts() {
    for seed in 0..30 {
        let mut network = Network::new(seed, 3);
        network.run(3_000);
        let (twin, leader, third) = cast(&network);
        part(&mut network, &[twin], &[leader, third, COPY]);
        network.start_twice(id(twin), id(COPY));
        network.run(2_000);
        assert!(
            !network.nodes[&id(COPY)].engine.as_ref().unwrap().status().is_waiting,
            "seed {seed}: it is the newest"
        );
        part(&mut network, &[twin, third], &[leader, COPY]);
        network.run(5_000);
        network.heal();
        network.run(10_000);
        goes_on(&mut network, seed);
    }
}

/// Each link of the one ends that of the other, as on real sockets.
#[test]
fn two_processes_that_take_turns_find_each_other_out() {
    for seed in 0..20 {
        let mut network = Network::new(seed, 3);
        network.run(3_000);
        network.start_twice(id(1), id(COPY));
        for turn in 0..40 {
            let (heard, unheard) = if turn % 2 == 0 { (COPY, 1) } else { (1, COPY) };
            part(&mut network, &[unheard], &[2, 3, heard]);
            network.run(2_000);
        }
        let ended = [1, COPY].into_iter().filter(|process| fault(&network, *process) == Some(&Fault::Twice)).count();
        assert_eq!(ended, 1, "seed {seed}: {:?} {:?}", fault(&network, 1), fault(&network, COPY));
    }
}

#[test]
fn whatever_happens_there_is_one_chain_with_two_processes_of_one_identity() {
    for seed in seeds(30) {
        let size = if seed % 2 == 0 { 5 } else { 3 };
        let mut network = Network::new(seed, size);
        // Processes may stop for good here, so that a lost disk is one loss more than a majority bears.
        network.faults = Faults { loss: 20, repetition: 20, crash: 2_000, partition: 300, rolled_back: None };
        network.run(4_000);
        network.start_twice(id(1), id(COPY));
        network.run(12_000);
        network.heal();
        network.run(10_000);
        goes_on(&mut network, seed);
        for (process, state) in &network.nodes {
            assert!(state.fault.is_none() || state.identity == id(1), "seed {seed}: {process:?} {:?}", state.fault);
        }
    }
}
