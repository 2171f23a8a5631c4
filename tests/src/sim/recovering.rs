//! A network that stops at once, of which one disk counts from then on: its member says so. The other disks come back later,
//! and another node takes their places.

use std::collections::VecDeque;

use cloister_boundary::ToEnclave;
use cloister_core::{CoreMessage, NodeId, RecoveryRequest};
use cloister_primitives::{RecoveryStatement, SignedRecovery};

use super::{
    Outcome,
    client::{Decision, VOTER, member_signs},
    node::{Node, Wish},
    world::{Event, Luck, Plan, World},
};

/// How many nodes there are before.
const NODES: u64 = 3;

pub(super) fn play(seed: u64) -> Outcome {
    let faults_ms = 2_000 + seed.wrapping_mul(7_919) % 3_000;
    let plan = Plan { seed, nodes: NODES, luck: Luck::Anything, faults_ms, recovery_ms: 20_000 };
    let mut world = World::new(&plan);
    world.begin();
    let stops_at_us = faults_ms * 1_000;
    world.play_until(stops_at_us);
    let survivor = world.stop_all();
    if let Err(violation) = world.recover_from(survivor) {
        world.violations.push(violation);
    }
    world.nodes.extend(NodeId::new(NODES + 1).map(Node::new));
    let comes = Decision { at_us: stops_at_us + 2_000_000, number: NODES + 1, standing: VOTER };
    world.clients.decide(VecDeque::from([comes]));
    for node in 0..world.nodes.len() {
        let delay_us = world.dice.between(0, 1_000_000);
        world.after(delay_us, node, Event::Start);
    }
    world.recover();
    world.finish()
}

impl World {
    /// All machines stop. Returns the node with the newest block on its disk; the disks of the others do not count any more.
    fn stop_all(&mut self) -> usize {
        (0..self.nodes.len()).for_each(|node| self.stop(node));
        let newest = |node: &usize| self.nodes[*node].disk.kept.bounds().last;
        let survivor = (0..self.nodes.len()).max_by_key(newest).unwrap_or_default();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.lost = index != survivor;
        }
        survivor
    }

    fn recover_from(&mut self, node: usize) -> Result<(), String> {
        let statement = self.answer(node, RecoveryRequest::Propose)?;
        let signatures = vec![member_signs(&statement.text())];
        let applied = self.answer(node, RecoveryRequest::Apply(SignedRecovery { statement, signatures }))?;
        if applied == statement { Ok(()) } else { Err(format!("signed {statement:?}, applied {applied:?}")) }
    }

    /// Starts a node for one answer.
    fn answer(&mut self, node: usize, request: RecoveryRequest) -> Result<RecoveryStatement, String> {
        let (seed, time_us) = (self.plan.seed, self.time_us);
        let start = self.nodes[node].start_for(request, seed, &self.genesis, time_us);
        let mut messages = VecDeque::from([start]);
        while let Some(message) = messages.pop_front() {
            for wish in self.nodes[node].give(message, time_us) {
                match wish {
                    Wish::Answer(answer) => messages.push_back(CoreMessage::Host(answer)),
                    Wish::Written(seq) => {
                        self.nodes[node].disk.sync(seq);
                        messages.push_back(CoreMessage::Host(ToEnclave::Persisted { seq }));
                    }
                    _ => {}
                }
            }
        }
        self.nodes[node].stop(0);
        let answered = self.nodes[node].recovery.take();
        answered.ok_or_else(|| format!("no recovery: {:?}", self.nodes[node].halted))
    }
}
