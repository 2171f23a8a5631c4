//! Whether members have a network go on from one node's disk.
//!
//! The statement has to be the one that this node would make of itself now, so that it fits no other disk and no other
//! state of this one; and more than half of the members, as the newest block knows them, have to have signed it.

use alloy_primitives::Address;
use cloister_primitives::{Height, MAX_RECOVERY_SIGNATURES, RecoveryStatement};
use cloister_state::{StateError, StateView};

use crate::nodes::{NodeStanding, is_member, member_count, nodes};

/// Why a network is not recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryRefusal {
    /// The genesis names no nodes.
    NoNetwork,
    /// Nothing but the genesis block is there.
    NothingToRecover,
    /// The genesis names no members.
    NoMembers,
    /// Members sent the node away.
    NodeIsGone,
    /// Another chain id or genesis.
    WrongChain,
    /// Another node's disk.
    OtherNode,
    /// The recovery has been.
    AlreadyUsed,
    /// A recovery that is not the next one.
    OtherRecovery,
    /// Another newest block.
    OtherBlock,
    /// More signatures than there can be members.
    TooManySignatures,
    /// Bytes that nobody signed anything with.
    MalformedSignature,
    /// A signature of somebody else; also what one looks like that is about another text.
    NotAMember,
    /// A member counts once.
    SignedTwice,
    /// Not more than half of the members.
    TooFewSignatures,
    /// The state cannot be read.
    UnreadableState,
}

impl From<StateError> for RecoveryRefusal {
    fn from(_: StateError) -> Self {
        Self::UnreadableState
    }
}

impl core::fmt::Display for RecoveryRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.told())
    }
}

impl core::error::Error for RecoveryRefusal {}

impl RecoveryRefusal {
    /// A stable code and a sentence, constant so that it may leave the enclave.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::NoNetwork => "no-network: this is a node by itself; it needs nobody's consent to go on",
            Self::NothingToRecover => {
                "nothing-to-recover: the node has no block after genesis; begin the network anew instead"
            }
            Self::NoMembers => "no-members: the genesis names no members, so that nobody can decide this",
            Self::NodeIsGone => "node-is-gone: the newest block says that this node is not one of the network's",
            Self::WrongChain => "wrong-chain: the statement is about another chain",
            Self::OtherNode => "other-node: the statement is about another node",
            Self::AlreadyUsed => "already-used: the network has been recovered since the statement was made",
            Self::OtherRecovery => "other-recovery: the statement counts recoveries that this node knows nothing of",
            Self::OtherBlock => "other-block: the newest block of the node is another one; make a new statement",
            Self::TooManySignatures => "too-many-signatures: no network has as many members",
            Self::MalformedSignature => {
                "malformed-signature: one of the signatures is none of this statement: 65 bytes, r, s and v, are needed"
            }
            Self::NotAMember => "not-a-member: who signed is no member, or signed something else",
            Self::SignedTwice => "signed-twice: a member signed twice; give each member's signature once",
            Self::TooFewSignatures => "too-few-signatures: more than half of the members have to sign",
            Self::UnreadableState => "unreadable-state: the newest state of the node cannot be read",
        }
    }
}

/// What this node would have members sign now.
///
/// # Errors
/// There is nothing that members could decide.
pub fn propose_recovery(view: &StateView, present: RecoveryStatement) -> Result<RecoveryStatement, RecoveryRefusal> {
    if present.height == Height::GENESIS {
        return Err(RecoveryRefusal::NothingToRecover);
    }
    if member_count(view)? == 0 {
        return Err(RecoveryRefusal::NoMembers);
    }
    let is_here = |node: &crate::RegisteredNode| node.number == present.node && node.standing != NodeStanding::Gone;
    if !nodes(view)?.iter().any(is_here) {
        return Err(RecoveryRefusal::NodeIsGone);
    }
    Ok(present)
}

/// Whether the members, as this view has them, decided on what this node would propose now. `signers` are those of the
/// statement `given`, where a signature is one.
///
/// # Errors
/// They did not.
pub fn approve_recovery(
    view: &StateView,
    present: RecoveryStatement,
    given: &RecoveryStatement,
    signers: &[Option<Address>],
) -> Result<(), RecoveryRefusal> {
    let present = propose_recovery(view, present)?;
    is_about(&present, given)?;
    let signers = distinct(signers)?;
    let is_member = |signer: &Address| is_member(view, *signer);
    let standings = signers.iter().map(is_member).collect::<Result<Vec<_>, _>>()?;
    decides(&standings, member_count(view)?)
}

fn is_about(present: &RecoveryStatement, given: &RecoveryStatement) -> Result<(), RecoveryRefusal> {
    if (given.chain_id, given.genesis_hash) != (present.chain_id, present.genesis_hash) {
        return Err(RecoveryRefusal::WrongChain);
    }
    if given.node != present.node {
        return Err(RecoveryRefusal::OtherNode);
    }
    if given.recovery != present.recovery {
        let is_past = given.recovery < present.recovery;
        return Err(if is_past { RecoveryRefusal::AlreadyUsed } else { RecoveryRefusal::OtherRecovery });
    }
    if (given.height, given.block_hash) != (present.height, present.block_hash) {
        return Err(RecoveryRefusal::OtherBlock);
    }
    Ok(())
}

fn distinct(signers: &[Option<Address>]) -> Result<Vec<Address>, RecoveryRefusal> {
    if signers.len() > MAX_RECOVERY_SIGNATURES {
        return Err(RecoveryRefusal::TooManySignatures);
    }
    let mut known = Vec::new();
    for signer in signers {
        let signer = signer.ok_or(RecoveryRefusal::MalformedSignature)?;
        if known.contains(&signer) {
            return Err(RecoveryRefusal::SignedTwice);
        }
        known.push(signer);
    }
    Ok(known)
}

/// Whether distinct signers, each of them a member or not, are more than half of the members.
fn decides(are_members: &[bool], members: u64) -> Result<(), RecoveryRefusal> {
    if are_members.contains(&false) {
        return Err(RecoveryRefusal::NotAMember);
    }
    let signed = are_members.len() as u64;
    if signed.saturating_mul(2) > members { Ok(()) } else { Err(RecoveryRefusal::TooFewSignatures) }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    fn present() -> RecoveryStatement {
        RecoveryStatement {
            chain_id: 4242,
            genesis_hash: B256::repeat_byte(1),
            node: 2,
            height: Height(17),
            block_hash: B256::repeat_byte(3),
            recovery: 2,
        }
    }

    #[test]
    fn a_statement_fits_one_disk_in_one_state() {
        use RecoveryRefusal as No;
        let refusals = [
            (present(), Ok(())),
            (RecoveryStatement { chain_id: 4243, ..present() }, Err(No::WrongChain)),
            (RecoveryStatement { genesis_hash: B256::ZERO, ..present() }, Err(No::WrongChain)),
            (RecoveryStatement { node: 3, ..present() }, Err(No::OtherNode)),
            (RecoveryStatement { recovery: 1, height: Height(9), ..present() }, Err(No::AlreadyUsed)),
            (RecoveryStatement { recovery: 3, ..present() }, Err(No::OtherRecovery)),
            (RecoveryStatement { height: Height(16), ..present() }, Err(No::OtherBlock)),
            (RecoveryStatement { block_hash: B256::ZERO, ..present() }, Err(No::OtherBlock)),
        ];
        for (given, expected) in refusals {
            assert_eq!(is_about(&present(), &given), expected, "{given:?}");
        }
    }

    #[test]
    fn more_than_half_of_the_members_decide_and_nobody_twice() {
        let member = |number| Some(Address::repeat_byte(number));
        assert_eq!(distinct(&[member(1), member(2)]).map(|signers| signers.len()), Ok(2));
        assert_eq!(distinct(&[member(1), member(2), member(1)]), Err(RecoveryRefusal::SignedTwice));
        assert_eq!(distinct(&[member(1), None]), Err(RecoveryRefusal::MalformedSignature));
        assert_eq!(distinct(&vec![None; MAX_RECOVERY_SIGNATURES + 1]), Err(RecoveryRefusal::TooManySignatures));
        assert_eq!(decides(&[true, true], 3), Ok(()));
        assert_eq!(decides(&[true], 3), Err(RecoveryRefusal::TooFewSignatures));
        assert_eq!(decides(&[true, true], 4), Err(RecoveryRefusal::TooFewSignatures), "half is not more than half");
        assert_eq!(decides(&[true, false, true], 3), Err(RecoveryRefusal::NotAMember));
        assert_eq!(decides(&[], 1), Err(RecoveryRefusal::TooFewSignatures));
    }
}
