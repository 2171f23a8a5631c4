//! The ordering engine of this node: one that decides alone, or one of a network's.

use cloister_ordering::{Input, Ordering, Pace, Status};

use super::network::Network;

/// Who decides about the order of blocks.
pub(super) enum Engine {
    /// This node.
    Alone(Box<dyn Ordering>),
    /// A majority of the network.
    Network(Box<Network>),
}

impl Engine {
    pub(super) fn pace(&self) -> Pace {
        match self {
            Self::Alone(ordering) => ordering.status().pace,
            Self::Network(network) => network.pace,
        }
    }

    /// Where the engine of a node that decides alone stands.
    pub(super) fn status_alone(&self) -> Option<Status> {
        match self {
            Self::Alone(ordering) => Some(ordering.status()),
            Self::Network(_) => None,
        }
    }

    /// Whether this node is the one that decides.
    pub(super) fn leads(&self) -> bool {
        match self {
            Self::Alone(_) => true,
            Self::Network(network) => network.leads(),
        }
    }

    pub(super) fn network(&mut self) -> Option<&mut Network> {
        match self {
            Self::Alone(_) => None,
            Self::Network(network) => Some(network),
        }
    }
}

/// What an engine of one node is told, in the words of a network's. A development network's rewinding has none.
pub(super) fn of_network(input: Input) -> Option<cloister_ordering::raft::Input> {
    use cloister_ordering::raft::Input as Raft;
    Some(match input {
        Input::Demand => Raft::Demand,
        Input::Force => Raft::Force,
        Input::Timer => Raft::Timer,
        Input::Built(slot) => Raft::Built(slot),
        Input::Nothing(slot) => Raft::Nothing(slot),
        Input::Persisted(seq) => Raft::Persisted(seq),
        Input::SetPace(pace) => Raft::SetPace(pace),
        Input::Reset(_) => return None,
    })
}
