//! What changes in the network, as events in the log. Their names are stable.

use std::collections::BTreeSet;

use cloister_boundary::{NodeRole, PublicNetwork, PublicStatus};
use prometheus_client::metrics::counter::Counter;

/// Something that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Another node leads, as far as this one knows.
    LeaderChanged { leader: u64, term: u64 },
    /// No leader is known any more.
    LeaderLost { term: u64 },
    /// This node does something else than before.
    RoleChanged { role: NodeRole },
    /// Another node can be spoken to.
    PeerLinked { node: u64 },
    /// Another node cannot be spoken to any more.
    PeerLost { node: u64 },
    /// This node fetches the blocks that it lacks.
    CatchingUp { head: u64, committed: u64 },
    /// It has them.
    CaughtUp { head: u64 },
}

/// Follows the public status of a node of a network.
#[derive(Debug)]
pub(crate) struct NetworkEvents {
    known: Option<PublicNetwork>,
    leader_changes: Counter,
}

impl NetworkEvents {
    pub(crate) const fn new(leader_changes: Counter) -> Self {
        Self { known: None, leader_changes }
    }

    /// Logs what has changed since the last one.
    pub(crate) fn follow(&mut self, status: &PublicStatus) {
        let Some(network) = &status.network else { return };
        for change in changes(self.known.as_ref(), network, status.head.0) {
            if matches!(change, Change::LeaderChanged { .. }) {
                self.leader_changes.inc();
            }
            log(change);
        }
        self.known = Some(network.clone());
    }
}

fn changes(before: Option<&PublicNetwork>, now: &PublicNetwork, head: u64) -> Vec<Change> {
    let mut changes = Vec::new();
    match (before.and_then(|before| before.leader), now.leader) {
        (was, Some(leader)) if was != Some(leader) => changes.push(Change::LeaderChanged { leader, term: now.term }),
        (Some(_), None) => changes.push(Change::LeaderLost { term: now.term }),
        _ => {}
    }
    let connected: BTreeSet<_> = now.connected.iter().copied().collect();
    let known: BTreeSet<_> = before.iter().flat_map(|before| &before.connected).copied().collect();
    changes.extend(connected.difference(&known).map(|&node| Change::PeerLinked { node }));
    changes.extend(known.difference(&connected).map(|&node| Change::PeerLost { node }));
    let was = before.map(|before| before.role);
    if was != Some(now.role) {
        if was == Some(NodeRole::CatchingUp) && now.role != NodeRole::Out {
            changes.push(Change::CaughtUp { head });
        }
        changes.push(match now.role {
            NodeRole::CatchingUp => Change::CatchingUp { head, committed: now.committed.0 },
            role => Change::RoleChanged { role },
        });
    }
    changes
}

fn log(change: Change) {
    match change {
        Change::LeaderChanged { leader, term } => {
            tracing::info!(event = "leader-changed", leader, term, "the network has another leader");
        }
        Change::LeaderLost { term } => tracing::warn!(event = "leader-lost", term, "no node leads"),
        Change::RoleChanged { role: NodeRole::Out } => {
            tracing::error!(event = "role-changed", role = "out", "this node takes no part in its network any more");
        }
        Change::RoleChanged { role: NodeRole::Waiting } => {
            tracing::info!(
                event = "role-changed",
                role = "waiting",
                "this node waits for the others to say how far they are; where most of them are lost for good, members have it \
                 go on with `cloister recover`"
            );
        }
        Change::RoleChanged { role } => {
            tracing::info!(event = "role-changed", role = role.name(), "this node has another role");
        }
        Change::PeerLinked { node } => tracing::info!(event = "peer-linked", node, "a node is connected"),
        Change::PeerLost { node } => tracing::warn!(event = "peer-lost", node, "a node is not connected any more"),
        Change::CatchingUp { head, committed } => {
            tracing::info!(event = "catching-up", head, committed, "this node fetches the blocks that it lacks");
        }
        Change::CaughtUp { head } => tracing::info!(event = "caught-up", head, "this node has the blocks it lacked"),
    }
}

#[cfg(test)]
mod tests {
    use cloister_primitives::Height;

    use super::*;

    fn network(role: NodeRole, leader: Option<u64>, connected: &[u64]) -> PublicNetwork {
        let connected = connected.to_vec();
        PublicNetwork { role, term: 5, leader, committed: Height(40), voters: 3, learners: 0, connected }
    }

    #[test]
    fn each_change_is_told_once() {
        let follower = network(NodeRole::Follower, Some(2), &[2, 3]);
        let role = |role| Change::RoleChanged { role };
        let first = [
            Change::LeaderChanged { leader: 2, term: 5 },
            Change::PeerLinked { node: 2 },
            Change::PeerLinked { node: 3 },
            role(NodeRole::Follower),
        ];
        assert_eq!(changes(None, &follower, 1), first);
        assert_eq!(changes(Some(&follower), &follower, 2), []);

        let alone = network(NodeRole::Follower, None, &[3]);
        let lost = [Change::LeaderLost { term: 5 }, Change::PeerLost { node: 2 }];
        assert_eq!(changes(Some(&follower), &alone, 2), lost);
        let leader = network(NodeRole::Leader, Some(1), &[3]);
        let elected = [Change::LeaderChanged { leader: 1, term: 5 }, role(NodeRole::Leader)];
        assert_eq!(changes(Some(&alone), &leader, 2), elected);
    }

    #[test]
    fn catching_up_has_a_beginning_and_an_end() {
        let follower = network(NodeRole::Follower, Some(2), &[]);
        let fetching = network(NodeRole::CatchingUp, Some(2), &[]);
        let begun = [Change::CatchingUp { head: 7, committed: 40 }];
        assert_eq!(changes(Some(&follower), &fetching, 7), begun);
        let done = [Change::CaughtUp { head: 40 }, Change::RoleChanged { role: NodeRole::Follower }];
        assert_eq!(changes(Some(&fetching), &follower, 40), done);
        let out = network(NodeRole::Out, Some(2), &[]);
        assert_eq!(changes(Some(&fetching), &out, 9), [Change::RoleChanged { role: NodeRole::Out }]);
    }

    #[test]
    fn a_leader_that_follows_another_is_counted() {
        let counter = Counter::default();
        let mut events = NetworkEvents::new(counter.clone());
        for leader in [Some(2), Some(2), None, Some(3)] {
            let network = Some(network(NodeRole::Follower, leader, &[]));
            events.follow(&PublicStatus { network, ..PublicStatus::default() });
        }
        events.follow(&PublicStatus::default());
        assert_eq!(counter.get(), 2);
    }
}
