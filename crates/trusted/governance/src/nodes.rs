//! Who the nodes of the network are, as `Nodes` (`contracts/system/Nodes.sol`) has it.

use alloy_primitives::{Address, B256, U256, keccak256};
use cloister_primitives::NODES_ADDRESS;
use cloister_state::{StateError, StateView};

use crate::layout::element;

/// Slot of the mapping of members; how many they are stands in the next one.
const MEMBERS: B256 = B256::ZERO;
const MEMBER_COUNT: U256 = U256::ONE;
/// Slot of the mapping of nodes.
const NODES: B256 = B256::with_last_byte(2);
/// Slot of the array of their numbers.
const NUMBERS: B256 = B256::with_last_byte(3);

/// More nodes than members decide about in the life of a network; the contract's array has no bound of its own.
const MAX_NODES_EVER: u64 = 4_096;

/// What a node is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeStanding {
    /// It takes no part any more.
    Gone,
    /// It follows and does not vote.
    Learner,
    /// It votes.
    Voter,
}

/// A node that members decided about, or that genesis named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredNode {
    /// What consensus calls it; never zero.
    pub number: u64,
    /// SHA-256 of the `SubjectPublicKeyInfo` of its identity key.
    pub identity: B256,
    /// What people call it, filled up with zeros.
    pub name: B256,
    /// What it is.
    pub standing: NodeStanding,
}

impl RegisteredNode {
    /// Its name; what is no printable ASCII is left out.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
    }
}

/// All nodes that there ever were, in the order in which they came; none where the chain has no such contract.
///
/// # Errors
/// [`StateError::HistoryUnavailable`] once the height has left the history.
pub fn nodes(view: &StateView) -> Result<Vec<RegisteredNode>, StateError> {
    let contract = keccak256(NODES_ADDRESS);
    let word = |slot: U256| view.storage_of_hashed(contract, slot);
    let count = word(NUMBERS.into())?.saturating_to::<u64>().min(MAX_NODES_EVER);
    let mut nodes = Vec::new();
    for index in 0..count {
        let number = word(element(NUMBERS, index).into())?;
        let place: U256 = keccak256([B256::from(number), NODES].concat()).into();
        let standing = match word(place.wrapping_add(U256::from(2)))?.saturating_to::<u64>() {
            1 => NodeStanding::Learner,
            2 => NodeStanding::Voter,
            _ => NodeStanding::Gone,
        };
        nodes.push(RegisteredNode {
            number: number.saturating_to(),
            identity: word(place)?.into(),
            name: word(place.wrapping_add(U256::ONE))?.into(),
            standing,
        });
    }
    Ok(nodes)
}

/// How many members decide about nodes.
pub(crate) fn member_count(view: &StateView) -> Result<u64, StateError> {
    Ok(view.storage(NODES_ADDRESS, MEMBER_COUNT)?.saturating_to())
}

/// Whether an account is one of them.
pub(crate) fn is_member(view: &StateView, account: Address) -> Result<bool, StateError> {
    let slot = keccak256([account.into_word(), MEMBERS].concat());
    Ok(!view.storage(NODES_ADDRESS, slot.into())?.is_zero())
}
