//! What the operator may know of a running enclave, and how it is written into a frame.

use cloister_primitives::Height;

use crate::codec::FrameError;
use crate::limits::MAX_MEMBERS;
use crate::wire::{Reader, Writer};

/// What the operator may know: declassified facts only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicStatus {
    /// Newest committed block.
    pub head: Height,
    /// Its timestamp: seconds since the Unix epoch.
    pub head_time_s: u64,
    /// Transactions committed since genesis.
    pub transactions: u64,
    /// In a network of several nodes: where this one stands.
    pub network: Option<PublicNetwork>,
}

/// Where a node of a network stands. The host can tell most of it from what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicNetwork {
    /// What it does.
    pub role: NodeRole,
    /// The term (Raft §5.1).
    pub term: u64,
    /// Number of the node that leads, as far as this one knows.
    pub leader: Option<u64>,
    /// The newest block that the network has committed, as far as this node knows. It is behind by what it has not applied.
    pub committed: Height,
    /// Number of nodes that vote.
    pub voters: u32,
    /// Number of nodes that only listen.
    pub learners: u32,
    /// Numbers of the nodes that this one can speak to, ascending.
    pub connected: Vec<u64>,
}

impl PublicStatus {
    /// Blocks that the network has committed and this node has not applied yet.
    #[must_use]
    pub fn lag_blocks(&self) -> u64 {
        self.network.as_ref().map_or(0, |network| network.committed.0.saturating_sub(self.head.0))
    }
}

/// What a node of a network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeRole {
    /// It orders the blocks.
    Leader,
    /// It votes.
    Follower,
    /// It only listens.
    Learner,
    /// It fetches blocks that the others' logs do not reach back to any more.
    CatchingUp,
    /// It takes no part any more.
    Out,
    /// After a start: it asks the others how far they are, and neither votes nor leads before it knows.
    Waiting,
}

impl NodeRole {
    /// All roles, in order of their wire values.
    pub const ALL: [Self; 6] =
        [Self::Leader, Self::Follower, Self::Learner, Self::CatchingUp, Self::Out, Self::Waiting];

    /// Stable name, as shown in answers, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::CatchingUp => "catching up",
            Self::Out => "out",
            Self::Waiting => "waiting",
        }
    }

    const fn wire(self) -> u8 {
        match self {
            Self::Leader => 0,
            Self::Follower => 1,
            Self::Learner => 2,
            Self::CatchingUp => 3,
            Self::Out => 4,
            Self::Waiting => 5,
        }
    }
}

/// Longest body of the frame.
pub(crate) const MAX_STATUS: usize = 3 * 8 + 1 + 1 + 8 + 9 + 8 + 4 + 4 + 4 + 8 * MAX_MEMBERS;

pub(crate) fn write(w: &mut Writer<'_>, status: &PublicStatus) -> Result<(), FrameError> {
    w.u64(status.head.0);
    w.u64(status.head_time_s);
    w.u64(status.transactions);
    w.u8(u8::from(status.network.is_some()));
    let Some(network) = &status.network else { return Ok(()) };
    w.u8(network.role.wire());
    w.u64(network.term);
    w.optional_u64(network.leader);
    w.u64(network.committed.0);
    w.u32(network.voters);
    w.u32(network.learners);
    w.count("connected nodes", network.connected.len(), MAX_MEMBERS)?;
    network.connected.iter().for_each(|node| w.u64(*node));
    Ok(())
}

pub(crate) fn read(r: &mut Reader<'_>) -> Result<PublicStatus, FrameError> {
    Ok(PublicStatus {
        head: Height(r.u64("head")?),
        head_time_s: r.u64("head time")?,
        transactions: r.u64("transactions")?,
        network: if r.present("network")? { Some(read_network(r)?) } else { None },
    })
}

fn read_network(r: &mut Reader<'_>) -> Result<PublicNetwork, FrameError> {
    let role = NodeRole::ALL.get(usize::from(r.u8("role")?)).ok_or(FrameError::BadValue { what: "role" })?;
    let (term, leader, committed) = (r.u64("term")?, r.optional_u64("leader")?, Height(r.u64("committed")?));
    let (voters, learners) = (r.u32("voters")?, r.u32("learners")?);
    let count = r.count("connected nodes", MAX_MEMBERS, 8)?;
    let connected = (0..count).map(|_| r.u64("connected node")).collect::<Result<_, _>>()?;
    Ok(PublicNetwork { role: *role, term, leader, committed, voters, learners, connected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_where_their_wire_values_say() {
        for (at, role) in NodeRole::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(role.wire()), at);
        }
    }

    #[test]
    fn a_node_is_behind_by_what_it_has_not_applied() {
        let network = PublicNetwork {
            role: NodeRole::Follower,
            term: 1,
            leader: Some(2),
            committed: Height(9),
            voters: 3,
            learners: 0,
            connected: vec![2, 3],
        };
        let status = PublicStatus { head: Height(7), network: Some(network), ..PublicStatus::default() };
        assert_eq!(status.lag_blocks(), 2);
        let ahead = PublicStatus { head: Height(10), ..status };
        assert_eq!(ahead.lag_blocks(), 0, "a head may be told before the commit that it follows");
        assert_eq!(PublicStatus { network: None, ..ahead }.lag_blocks(), 0);
    }
}
