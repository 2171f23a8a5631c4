//! What a node says of its network: numbers and roles, nothing of what is in the blocks.

use cloister_primitives::Confidentiality;

use super::super::Running;
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
            last_index: status.last_index,
            voters: network.members.voters.clone(),
            learners: network.members.learners.clone(),
            connected: network.connected.iter().copied().collect(),
            is_catching_up: network.catch_up.is_some(),
            pending,
            fault: network.fault,
        })
    }
}
