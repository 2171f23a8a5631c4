//! What a leader does for a node that waits: it has the log, and nothing that it answers counts.
//!
//! Who waits may not be the only one that lives under its identity ([`super::incarnation`]). Were what it acknowledges counted
//! before R others know of it, an entry could be committed with it on one side of a cut, and a leader without that entry elected with the other one on
//! the other side. Neither may it confirm a read, or keep a leader in office.
//!
//! It gets what it needs all the same. It may be far behind, and learn only from the log whom to ask.

use raft::ProgressState;
use raft::eraftpb::{Message, MessageType};

use super::Raft;

/// Whether a message is one that adds to a majority.
pub(super) fn is_answer(message: &Message) -> bool {
    let kinds = [
        MessageType::MsgAppendResponse,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgRequestPreVoteResponse,
    ];
    !message.reject && kinds.contains(&message.get_msg_type())
}

impl Raft {
    /// Goes on with the log of a follower that waits, and counts nothing.
    pub(super) fn feed(&mut self, answer: &Message) {
        let raft = &mut self.node.raft;
        let last = raft.raft_log.last_index();
        let is_append = answer.get_msg_type() == MessageType::MsgAppendResponse;
        let is_heartbeat = answer.get_msg_type() == MessageType::MsgHeartbeatResponse;
        if answer.term > raft.term && (is_append || is_heartbeat) {
            // There may be a leader of that term.
            raft.become_follower(answer.term, raft::INVALID_ID);
        }
        if !self.leads() || answer.term < self.node.raft.term || answer.index > last {
            return;
        }
        let raft = &mut self.node.raft;
        let Some(progress) = raft.mut_prs().get_mut(answer.from) else { return };
        if is_append {
            match progress.state {
                ProgressState::Probe => {
                    progress.optimistic_update(answer.index.max(progress.next_idx.saturating_sub(1)))
                }
                ProgressState::Replicate => progress.ins.free_to(answer.index),
                ProgressState::Snapshot if answer.index >= progress.pending_snapshot => progress.become_probe(),
                ProgressState::Snapshot => {}
            }
        }
        progress.resume();
        if is_heartbeat && progress.ins.full() {
            progress.ins.free_first_one();
        }
        // A heartbeat asks where the follower's log ends, in case that what was sent is lost.
        if progress.next_idx <= last && is_append || progress.matched < last && is_heartbeat {
            raft.send_append(answer.from);
        }
    }
}
