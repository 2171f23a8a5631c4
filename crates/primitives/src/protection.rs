//! The protections of a confidential chain, by name, and how the harness takes one away to see that it is missed.
//!
//! A proof that nobody sees what he must not is worth as much as its ability to fail. So each protection asks [`Protection::holds`]
//! where it acts, and the tests of this workspace, and nobody else, take one away at a time ([`canary`]). No option, environment
//! variable, genesis or message reaches that switch: only a call of [`canary::take_away`], and a test reads all sources of programs
//! and libraries to see that there is none.

use core::sync::atomic::{AtomicU64, Ordering};

/// One bit for each protection that is taken away: none, in every program.
static TAKEN_AWAY: AtomicU64 = AtomicU64::new(0);

/// Something that keeps a fact from those who are not entitled to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// Transactions and receipts are shown to those who take part in them.
    Participation,
    /// Who receives a transaction does not see its nonce, gas and fees.
    Redaction,
    /// Logs are shown to the accounts that they name.
    LogFiltering,
    /// Numbers of logs say nothing about logs of others.
    LogNumbers,
    /// A receipt's cumulative gas says nothing about what ran before.
    CumulativeGas,
    /// Balance and nonce are shown to their account.
    AccountHiding,
    /// Code is shown to its account.
    CodeHiding,
    /// Audits are about their contract and their blocks.
    AuditScope,
    /// Nothing is told under an audit before its use stands on the ledger.
    AuditUses,
    /// Traces leave out frames of contracts that answer their reader nothing.
    TraceFrames,
    /// Roots of simulated blocks are constants.
    SimulatedRoots,
    /// Storage is shown to nobody.
    StorageHiding,
    /// Calls run between accounts of their caller.
    QueryGuard,
    /// Methods about everybody do not exist.
    WithheldMethods,
    /// Pending transactions are shown to their sender.
    PoolHiding,
    /// What the pool makes of a transaction is told to its sender.
    PoolErrors,
    /// A filter answers to who installed it.
    FilterOwnership,
    /// What a subscriber is told follows from who he is.
    SubscriptionsByCaller,
    /// The header hides its roots behind salts.
    HeaderCommitments,
    /// The header's gas follows from the number of transactions.
    HeaderGas,
    /// The header's filter never misses.
    HeaderBloom,
    /// Fees and their history follow from nothing that was used.
    FeeConstants,
    /// Code sees balance and code of others where their rules say so.
    UnseenAccounts,
    /// What an instruction costs says nothing about the state.
    FlatGas,
    /// What fits into a block follows from what transactions declare.
    DeclaredGas,
    /// Transactions are in a block in the order of their arrival, not of their fees.
    ArrivalOrder,
    /// Nobody has in his balance what others paid for gas.
    TipsUnpaid,
    /// What cannot be executed in its place is in the block as a failure.
    FailuresIncluded,
    /// What frames of blocks may run, and what they learn, follows from the rules of the contract that they work on.
    FrameGuard,
    /// What is wrong with an envelope is told to nobody.
    EnvelopeRefusals,
    /// Answers and notifications are padded to size classes.
    AnswerPadding,
    /// Records are padded to size classes.
    Padding,
    /// Records are encrypted.
    Sealing,
    /// Transactions are padded to size classes on their way to the leader.
    ForwardedSizes,
}

impl Protection {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::Participation,
        Self::Redaction,
        Self::LogFiltering,
        Self::LogNumbers,
        Self::CumulativeGas,
        Self::AccountHiding,
        Self::CodeHiding,
        Self::AuditScope,
        Self::AuditUses,
        Self::TraceFrames,
        Self::SimulatedRoots,
        Self::StorageHiding,
        Self::QueryGuard,
        Self::WithheldMethods,
        Self::PoolHiding,
        Self::PoolErrors,
        Self::FilterOwnership,
        Self::SubscriptionsByCaller,
        Self::HeaderCommitments,
        Self::HeaderGas,
        Self::HeaderBloom,
        Self::FeeConstants,
        Self::UnseenAccounts,
        Self::FlatGas,
        Self::DeclaredGas,
        Self::ArrivalOrder,
        Self::TipsUnpaid,
        Self::FailuresIncluded,
        Self::FrameGuard,
        Self::EnvelopeRefusals,
        Self::AnswerPadding,
        Self::Padding,
        Self::Sealing,
        Self::ForwardedSizes,
    ];

    /// Whether it is there: always, but in the harness.
    #[inline]
    #[must_use]
    pub fn holds(self) -> bool {
        TAKEN_AWAY.load(Ordering::Relaxed) & self.bit() == 0
    }

    const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// For the harness only.
pub mod canary {
    use super::{Ordering, Protection, TAKEN_AWAY};

    /// A protection that is missing until this is dropped.
    #[derive(Debug)]
    #[must_use]
    pub struct Missing(Protection);

    /// Takes a protection away, for the whole process.
    pub fn take_away(protection: Protection) -> Missing {
        TAKEN_AWAY.fetch_or(protection.bit(), Ordering::SeqCst);
        Missing(protection)
    }

    impl Drop for Missing {
        fn drop(&mut self) {
            TAKEN_AWAY.fetch_and(!self.0.bit(), Ordering::SeqCst);
        }
    }
}
