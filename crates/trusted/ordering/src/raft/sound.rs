//! What an engine can have said.
//!
//! The engine below believes its peers, and fails where one says what no engine says: it takes the term of an entry that it does not
//! have for zero, counts on from any term, and has no answer to members that contradict each other.

use std::collections::BTreeSet;

use raft::eraftpb::{Message, MessageType};

use super::codec::CodecError;
use super::types::Members;

/// Highest term and index that is taken. No network counts that far.
const MAX_NUMBER: u64 = 1 << 62;

/// Refuses terms and indexes from which there is no counting on.
pub(super) fn check_numbers(numbers: impl IntoIterator<Item = u64>) -> Result<(), CodecError> {
    if numbers.into_iter().any(|number| number > MAX_NUMBER) { Err(CodecError::Number) } else { Ok(()) }
}

/// Refuses places in a log that there are in none.
pub(super) fn check_places(message: &Message) -> Result<(), CodecError> {
    let is_sound = match message.get_msg_type() {
        MessageType::MsgAppend => {
            let begins = (message.index == 0) == (message.log_term == 0);
            let terms = || message.entries.iter().map(|entry| entry.term);
            let before = [message.log_term.max(1)].into_iter().chain(terms());
            begins && before.zip(terms()).all(|(before, term)| before <= term)
        }
        MessageType::MsgSnapshot => {
            let term = message.get_snapshot().get_metadata().term;
            (1..=message.term).contains(&term)
        }
        _ => true,
    };
    if is_sound { Ok(()) } else { Err(CodecError::Kind) }
}

/// Whether there can be such members: nobody is two things at one time, and who is leaving was there.
pub(super) fn are_members(members: &Members) -> bool {
    let Members { voters, learners, outgoing, learners_next, auto_leave } = members;
    let set = |nodes: &[u64]| {
        let set: BTreeSet<u64> = nodes.iter().copied().collect();
        (set.len() == nodes.len() && !set.contains(&0)).then_some(set)
    };
    let (Some(voters), Some(learners), Some(outgoing), Some(next)) =
        (set(voters), set(learners), set(outgoing), set(learners_next))
    else {
        return false;
    };
    let is_joint = !outgoing.is_empty();
    learners.is_disjoint(&voters)
        && learners.is_disjoint(&outgoing)
        && next.is_subset(&outgoing)
        && next.is_disjoint(&voters)
        && (is_joint || !auto_leave)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_contradict_each_other_are_none() {
        let joint = Members {
            voters: vec![1, 2, 4],
            learners: vec![5],
            outgoing: vec![1, 2, 3],
            learners_next: vec![3],
            auto_leave: true,
        };
        assert!(are_members(&joint) && are_members(&Members { voters: vec![1], ..Members::default() }));
        for contradiction in [
            Members { voters: vec![1, 1], ..joint.clone() },
            Members { voters: vec![0, 1], ..joint.clone() },
            Members { learners: vec![2], ..joint.clone() },
            Members { learners_next: vec![6], ..joint.clone() },
            Members { outgoing: Vec::new(), learners_next: Vec::new(), ..joint.clone() },
        ] {
            assert!(!are_members(&contradiction), "{contradiction:?}");
        }
    }
}
