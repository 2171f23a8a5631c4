//! What a node says of its network: numbers and roles, nothing of what is in the blocks.

use cloister_boundary::PublicNetwork;
use cloister_primitives::Confidentiality;

use super::{super::Running, Network};
use crate::NetworkStatus;

impl Running {
    /// Where this node and its network stand; `None` for a node that decides alone.
    pub(in crate::running) fn network_status(&mut self) -> Option<NetworkStatus> {
        let head = self.ledger.head();
        // How much others wait for is theirs to know.
        let pending = (self.spec.confidentiality() == Confidentiality::Off).then(|| self.pool.len());
        let network = self.engine.network()?;
        let status = network.raft.status();
        Some(NetworkStatus {
            node: network.id,
            term: status.term,
            leader: status.leader,
            head,
            committed: network.newest_known().max(head),
            last_index: status.last_index,
            voters: network.members.voters.clone(),
            learners: network.members.learners.clone(),
            connected: network.connected.iter().copied().collect(),
            is_catching_up: network.catch_up.is_some(),
            is_waiting: status.is_waiting,
            pending,
            fault: network.fault,
        })
    }

    /// The same, as far as the operator is told.
    pub(in crate::running) fn public_network(&mut self) -> Option<PublicNetwork> {
        let status = self.network_status()?;
        let count = |nodes: &[u64]| u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        Some(PublicNetwork {
            role: status.role(),
            term: status.term,
            leader: status.leader.map(|leader| leader.get()),
            committed: status.committed,
            voters: count(&status.voters),
            learners: count(&status.learners),
            connected: status.connected.iter().map(|node| node.get()).collect(),
        })
    }
}

impl Network {
    /// The newest block that is known to be committed, whether it is here or not.
    fn newest_known(&self) -> cloister_primitives::Height {
        self.catch_up.as_ref().map_or(self.committed, |running| running.target().max(self.committed))
    }
}
