//! What members decided about nodes: read from the state, told to the shell, and carried out by the leader.

use alloy_primitives::{Address, B256};
use cloister_governance::{NodeStanding, RegisteredNode};
use cloister_ordering::raft::{Input, NodeId, Standing};
use cloister_primitives::NODES_ADDRESS;

use super::{Network, Running};
use crate::{CoreEffect, machine::Step};

/// A learner that is so many entries behind at most may vote.
const MAX_LAG_OF_VOTER: u64 = 64;

/// Time between two proposals of a change at least, milliseconds: the engine drops one that comes while another is under way.
const LOOK_EVERY_MS: u64 = 500;

/// What members decided, and when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Governed {
    nodes: Vec<(NodeId, NodeStanding)>,
    /// Whether it has to be read again.
    is_unread: bool,
    looked_at_ms: u64,
}

impl Running {
    /// Reads who the nodes are, as the newest committed state has it.
    pub(in crate::running) fn read_nodes(&mut self, step: &mut Step<'_>) {
        let height = self.ledger.head();
        let Some(network) = self.engine.network() else { return };
        network.governed.is_unread = true;
        let read = self.ledger.state.view(height).and_then(|view| cloister_governance::nodes(&view));
        // A state that cannot be read yet can be after the next block.
        let Ok(nodes) = read else { return };
        step.out.push(CoreEffect::Nodes(nodes.iter().filter_map(listed).collect()));
        if let Some(network) = self.engine.network() {
            let decided = nodes.iter().filter_map(|node| Some((NodeId::new(node.number)?, node.standing)));
            network.governed.nodes = decided.collect();
            network.governed.is_unread = false;
        }
    }

    /// The same after a block that changed these accounts, if it may say something else.
    pub(in crate::running) fn read_changed_nodes(
        &mut self,
        mut changed: impl Iterator<Item = Address>,
        step: &mut Step<'_>,
    ) {
        let Some(network) = self.engine.network() else { return };
        if network.governed.is_unread || changed.any(|address| address == NODES_ADDRESS) {
            self.read_nodes(step);
        }
    }

    /// Has the engine take the next step towards what members decided, if this node leads.
    pub(super) fn carry_out(&mut self, now_ms: u64) {
        let Some(network) = self.engine.network() else { return };
        if !network.leads() || now_ms < network.governed.looked_at_ms.saturating_add(LOOK_EVERY_MS) {
            return;
        }
        network.governed.looked_at_ms = now_ms;
        if let Some(change) = network.next_change() {
            network.push(Input::Reconfigure(vec![change]));
        }
    }
}

/// Whom links are held with.
fn listed(node: &RegisteredNode) -> Option<(NodeId, B256)> {
    let number = NodeId::new(node.number).filter(|_| node.standing != NodeStanding::Gone)?;
    Some((number, node.identity))
}

impl Network {
    /// The first node that is not what members decided, and what it becomes next: a voter is a learner first.
    fn next_change(&self) -> Option<(NodeId, Standing)> {
        let members = &self.members;
        if !members.outgoing.is_empty() {
            return None;
        }
        // The contract goes on naming who was left behind when the network was recovered, until members say that they
        // are gone. And the one voter there may be then need not be what it calls it: there is nobody to take over.
        let is_last = |node: NodeId| members.voters == [node.get()];
        let nodes = self.governed.nodes.iter();
        let mut nodes = nodes.filter(|(node, _)| !self.raft.is_left_behind(*node) && !is_last(*node));
        nodes.find_map(|(node, decided)| {
            let (votes, learns) = (members.voters.contains(&node.get()), members.learners.contains(&node.get()));
            let next = match decided {
                NodeStanding::Gone if votes || learns => Standing::Gone,
                NodeStanding::Learner if !learns => Standing::Learner,
                NodeStanding::Voter if votes => return None,
                NodeStanding::Voter if !learns => Standing::Learner,
                NodeStanding::Voter => {
                    self.raft.lag(*node).filter(|lag| *lag <= MAX_LAG_OF_VOTER)?;
                    Standing::Voter
                }
                NodeStanding::Gone | NodeStanding::Learner => return None,
            };
            Some((*node, next))
        })
    }
}
