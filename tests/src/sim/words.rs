//! What nodes say to each other, and a network in which one of them hears it garbled.

use cloister_core::{CoreMessage, PeerEvent};

use super::{
    node::Node,
    world::{Luck, Plan, World},
};

/// Time in which a network opens and commits blocks, microseconds.
const BEGINNING_US: u64 = 3_000_000;
/// Time that passes after something garbled, microseconds.
const STEP_US: u64 = 1_000;
/// What a node says that cannot read what another one said.
const NOT_UNDERSTOOD: &str = "another node said something that this version does not understand";

/// A network under way without faults.
#[allow(missing_debug_implementations)]
pub struct Words {
    world: World,
}

impl Words {
    /// A network that has opened and goes on.
    #[must_use]
    pub fn begin(seed: u64) -> Self {
        let mut world = World::new(&Plan { seed, nodes: 3, luck: Luck::Anything, faults_ms: 0, recovery_ms: 0 });
        world.said = Some(Vec::new());
        world.begin();
        world.play_until(BEGINNING_US);
        Self { world }
    }

    /// What was said since the last time: from which node to which, counted from zero, and the message.
    pub fn take_said(&mut self) -> Vec<(usize, usize, Vec<u8>)> {
        let said = self.world.said.replace(Vec::new()).unwrap_or_default();
        let place = |id| self.world.nodes.iter().position(|node| node.id == id);
        said.into_iter().filter_map(|(from, to, message)| Some((from, place(to)?, message.to_vec()))).collect()
    }

    /// A node hears this from another one, and the network goes on for a moment.
    pub fn hear(&mut self, from: usize, to: usize, message: &[u8]) {
        let speaker = self.world.nodes[from].id;
        self.world.give(to, CoreMessage::Peer(speaker, PeerEvent::Said(message.to_vec())));
        let until_us = self.world.time_us + STEP_US;
        self.world.play_until(until_us);
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.world.nodes.len()
    }

    /// How often a node said that it does not understand another.
    #[must_use]
    pub fn not_understood(&self) -> u64 {
        self.world.nodes.iter().filter_map(|node| node.warned.get(NOT_UNDERSTOOD)).sum()
    }

    /// Whether all nodes are still there; they are believed, so that what they say may make one stop, with a reason.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.world.violations.is_empty() && self.world.nodes.iter().all(Node::is_up)
    }

    /// Bytes that are on their way.
    #[must_use]
    pub fn bytes_said(&self) -> usize {
        self.world.said.iter().flatten().map(|(_, _, message)| message.len()).sum()
    }
}
