//! Who the nodes of the network are: by its genesis, and then by what members decided.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use alloy_primitives::B256;
use cloister_attestation::{Manifest, PeerId, Policy, Role};
use cloister_boundary::HaltCode;
use cloister_core::{NodeId, chain_of};

use super::LinkError;
use crate::tls::Subject;

/// The nodes of the network, and which of them this is.
#[derive(Debug)]
pub(super) struct Roster {
    node: NodeId,
    /// The others' identities.
    others: RwLock<BTreeMap<NodeId, B256>>,
    /// What is asked of any node's evidence.
    policy: Policy,
    subject: Subject,
}

/// What the other end of a link has to prove.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its number.
    pub(super) node: NodeId,
    /// The SHA-256 of the `SubjectPublicKeyInfo` of its identity key.
    pub(super) identity: B256,
    /// What its evidence must say.
    pub(super) policy: Policy,
}

impl Roster {
    /// Reads them out of a genesis file, as the node with this number and identity.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn read(genesis: &[u8], node: u64, identity: &B256) -> Result<Self, (HaltCode, &'static str)> {
        let (spec, genesis_hash) = chain_of(genesis).map_err(|fatal| (fatal.code, fatal.detail))?;
        let raft = spec.raft().ok_or((
            HaltCode::BadGenesis,
            "the node has a number among others, and the genesis names no nodes (config.cloister.raft)",
        ))?;
        let listed = raft.nodes.iter().filter_map(|listed| Some((NodeId::new(listed.id)?, listed.identity)));
        let mut others: BTreeMap<_, _> = listed.collect();
        let node = NodeId::new(node).ok_or((HaltCode::BadOptions, "a node's number is not zero"))?;
        match others.remove(&node) {
            Some(listed) if listed != *identity => {
                return Err((
                    HaltCode::BadGenesis,
                    "the genesis lists another identity for this node: the sealing key or the node's number is another's",
                ));
            }
            Some(_) => {}
            // The others decide whether there is such a node.
            None => tracing::info!(
                node = node.get(),
                "genesis does not name this node: it takes part once members approve of it"
            ),
        }
        let policy = Policy { role: Role::Peer, ..Manifest::of_genesis(&spec, genesis_hash).policy() };
        let ledger_binding = policy.ledger_binding;
        let subject = Subject { chain_id: spec.chain_id(), genesis_hash, ledger_binding };
        Ok(Self { node, others: RwLock::new(others), policy, subject })
    }

    /// This node.
    pub(super) const fn node(&self) -> NodeId {
        self.node
    }

    /// From now on these are the nodes, this one among them or not. Returns who is none of them any more.
    pub(super) fn replace(&self, nodes: &[(NodeId, B256)]) -> Vec<NodeId> {
        let now: BTreeMap<_, _> = nodes.iter().copied().filter(|(node, _)| *node != self.node).collect();
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        let gone = others.iter().filter(|(node, identity)| now.get(node) != Some(identity)).map(|(node, _)| *node);
        let gone = gone.collect();
        *others = now;
        gone
    }

    /// What evidence of this node says of the network.
    pub(super) const fn subject(&self) -> Subject {
        self.subject
    }

    /// What whoever is said to be the node `number` has to prove.
    ///
    /// # Errors
    /// There is no such other node.
    pub(super) fn expected(&self, number: u64) -> Result<Expected, LinkError> {
        if number == self.node.get() {
            return Err(LinkError::Itself);
        }
        let node = NodeId::new(number).ok_or(LinkError::Unlisted)?;
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let identity = *others.get(&node).ok_or(LinkError::Unlisted)?;
        let policy = Policy { peer: Some(PeerId(identity.0)), ..self.policy.clone() };
        Ok(Expected { node, identity, policy })
    }
}
