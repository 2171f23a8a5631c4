//! Requests under an audit: only where what will be asked stands on the ledger, and no more than was said there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use alloy_primitives::Address;
use cloister_access::{AuditScope, Caller};
use cloister_governance::{Audit, AuditUse};
use cloister_primitives::{Height, Protection};

use crate::{CoreError, Reader};

/// Uses whose requests are counted at one time. Who finds no room has to say again what he asks.
const MAX_COUNTED: usize = 1 << 16;

/// Why a request is not answered under an audit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditRefusal {
    /// No audit of this contract was granted to the caller, or it is over.
    #[error("no audit of this contract is granted to the caller")]
    NotGranted,
    /// The ledger does not say that the caller is going to ask, or said so too long ago.
    #[error("the audit is not in use: say on the ledger what will be asked, with useAudit of the contract of rules")]
    NotInUse,
    /// As many requests as were said have been made.
    #[error("all reads of this use of the audit have been made: say on the ledger what else will be asked")]
    UsedUp,
    /// It cannot be told now.
    #[error(transparent)]
    Core(#[from] CoreError),
}

/// How many requests were made of each use.
///
/// A count is this node's and this process's. So that a restart does not begin to count again, only what was said since
/// the chain was loaded can be made use of.
#[derive(Debug, Default)]
pub(crate) struct Reads(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The head when the chain was loaded.
    since: Option<Height>,
    made: BTreeMap<(Address, Address), Made>,
}

#[derive(Clone, Copy, Debug)]
struct Made {
    number: u32,
    reads: u32,
    ends: Height,
}

impl Reads {
    pub(crate) fn begin(&self, head: Height) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).since = Some(head);
    }

    /// Counts one request.
    fn take(&self, contract: Address, auditor: Address, said: AuditUse, head: Height) -> Result<(), AuditRefusal> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.goes_on(head) || counts.since.is_none_or(|since| said.said <= since) {
            return Err(AuditRefusal::NotInUse);
        }
        let ends = Height(said.said.0.saturating_add(AuditUse::BLOCKS));
        if counts.made.len() >= MAX_COUNTED && !counts.made.contains_key(&(contract, auditor)) {
            counts.made.retain(|_, made| made.ends > head);
            if counts.made.len() >= MAX_COUNTED {
                return Err(CoreError::Unavailable("too many audits are in use").into());
            }
        }
        let made = counts.made.entry((contract, auditor)).or_insert(Made { number: 0, reads: 0, ends });
        if made.number != said.number {
            *made = Made { number: said.number, reads: 0, ends };
        }
        if made.reads >= said.reads {
            return Err(AuditRefusal::UsedUp);
        }
        made.reads += 1;
        Ok(())
    }
}

impl Reader<'_> {
    /// The caller as an auditor of a contract, or of the whole ledger at address zero, for one request. Nothing is looked
    /// up but what the ledger says of the audit itself: whether there is anything to see makes no difference.
    ///
    /// # Errors
    /// [`AuditRefusal`].
    pub fn audit(&self, contract: Address) -> Result<Caller, AuditRefusal> {
        let head = self.ledger.head();
        let view = self.ledger.state.view(head).map_err(CoreError::from)?;
        let table = self.ledger.rules().table(view);
        for account in self.caller.accounts() {
            let audit = table.audit(contract, *account).map_err(CoreError::from)?;
            if !audit.lasts(self.ledger.head_time_s()) {
                continue;
            }
            let said = table.audit_use(contract, *account).map_err(CoreError::from)?;
            if !Protection::AuditUses.holds() {
                return Ok(Caller::auditor(*account, scope(contract, &audit, audit.first, audit.last)));
            }
            self.ledger.audits.take(contract, *account, said, head)?;
            // What was said may have been said under an audit that is another one now.
            let (first, last) = (audit.first.max(said.first), audit.last.min(said.last));
            return Ok(Caller::auditor(*account, scope(contract, &audit, first, last)));
        }
        Err(AuditRefusal::NotGranted)
    }
}

fn scope(contract: Address, audit: &Audit, first: Height, last: Height) -> AuditScope {
    let contract = Some(contract).filter(|contract| !contract.is_zero());
    AuditScope { contract, first, last, is_governed: audit.is_governed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: (Address, Address) = (Address::repeat_byte(1), Address::repeat_byte(2));

    fn said(number: u32, reads: u32) -> AuditUse {
        AuditUse { first: Height(1), last: Height(9), said: Height(5 + u64::from(number)), reads, number }
    }

    fn takes(reads: &Reads, said: AuditUse, head: u64) -> Result<(), AuditRefusal> {
        reads.take(WHO.0, WHO.1, said, Height(head))
    }

    #[test]
    fn as_many_requests_are_made_as_were_said() {
        let reads = Reads::default();
        assert_eq!(takes(&reads, said(1, 2), 6), Err(AuditRefusal::NotInUse), "the chain is not loaded");
        reads.begin(Height(5));
        assert_eq!([6, 7, 8].map(|head| takes(&reads, said(1, 2), head).is_ok()), [true, true, false]);
        assert_eq!(takes(&reads, said(1, 2), 8), Err(AuditRefusal::UsedUp));
        assert_eq!(takes(&reads, said(2, 1), 8), Ok(()), "it was said again");
        assert_eq!(takes(&reads, said(2, 1), 8), Err(AuditRefusal::UsedUp));
        assert_eq!(takes(&reads, said(3, 1), 8 + AuditUse::BLOCKS), Err(AuditRefusal::NotInUse));
        assert_eq!(takes(&reads, AuditUse { number: 0, ..said(3, 1) }, 8), Err(AuditRefusal::NotInUse));
    }

    #[test]
    fn what_was_said_before_a_restart_does_not_count_again() {
        let reads = Reads::default();
        reads.begin(Height(6));
        assert_eq!(takes(&reads, said(1, 2), 6), Err(AuditRefusal::NotInUse));
        assert_eq!(takes(&reads, said(2, 2), 7), Ok(()));
    }
}
