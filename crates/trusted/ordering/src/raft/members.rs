//! Who takes part: changes the leader proposes, and how it makes way for its own.

use super::Raft;
use super::codec::change_of;
use super::types::{NodeId, Standing};

impl Raft {
    /// How many entries a node is behind, as far as the leader knows; `None` on others, and of who takes no part.
    #[must_use]
    pub fn lag(&self, node: NodeId) -> Option<u64> {
        let raft = &self.node.raft;
        let progress = raft.prs().get(node.get()).filter(|_| self.leads())?;
        Some(raft.raft_log.last_index().saturating_sub(progress.matched))
    }

    /// Hands the lead to the voter that has most of the log.
    fn step_aside(&mut self) {
        let raft = &self.node.raft;
        let voters = raft.prs().conf().to_conf_state().voters;
        let others = voters.into_iter().filter(|voter| *voter != self.options.id.get());
        let matched = |voter: &u64| raft.prs().get(*voter).map(|progress| progress.matched);
        if let Some(next) = others.max_by_key(matched) {
            self.node.transfer_leader(next);
        }
    }

    /// A leader may find its own leaving in what another one left behind. It could propose nothing any more, and nobody else would
    /// stand for election as long as it is heard.
    pub(super) fn step_down_if_gone(&mut self) {
        if self.leads() && !self.node.raft.promotable() {
            self.step_aside();
            let raft = &mut self.node.raft;
            raft.become_follower(raft.term, raft::INVALID_ID);
        }
    }

    pub(super) fn reconfigure(&mut self, nodes: &[(NodeId, Standing)]) {
        if self.leads() && nodes.iter().any(|(node, standing)| *node == self.options.id && *standing != Standing::Voter)
        {
            // A leader does not count itself out: its successor does.
            self.step_aside();
            return;
        }
        // A change while another is under way is dropped by the engine below; who wants it asks again.
        if self.leads()
            && let Ok(change) = change_of(nodes)
        {
            let _ = self.node.propose_conf_change(Vec::new(), change);
        }
    }
}
