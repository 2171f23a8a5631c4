//! Who asks.

use std::sync::Arc;

use alloy_primitives::Address;
use cloister_primitives::{Height, Protection};

/// Who asks. Established once per connection or request by the shell, never by the request's body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Nothing is known about the caller.
    Anonymous,
    /// The caller proved control of these accounts.
    Session(Arc<[Address]>),
    /// The caller proved control of an account, and makes one request of a use of an audit that stands on the ledger.
    Auditor(Auditor),
    /// A development network's only user: it has no secrets from itself.
    Development,
}

/// An account that asks under an audit, which it does no longer than for one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Auditor {
    account: Arc<[Address]>,
    scope: AuditScope,
}

/// What a request under an audit may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuditScope {
    /// The contract; `None` for the whole ledger.
    pub contract: Option<Address>,
    /// The first block.
    pub first: Height,
    /// The last block.
    pub last: Height,
    /// Whether the members granted it: then it is about blocks in which no rule spoke of audits, too.
    pub is_governed: bool,
}

impl AuditScope {
    /// Whether it is about a contract at a height.
    #[must_use]
    pub fn covers(&self, contract: Address, height: Height) -> bool {
        if !Protection::AuditScope.holds() {
            return true;
        }
        self.contract.is_none_or(|covered| covered == contract) && self.spans(height)
    }

    /// Whether it is about everything at a height.
    #[must_use]
    pub fn covers_all(&self, height: Height) -> bool {
        self.contract.is_none() && self.spans(height)
    }

    fn spans(&self, height: Height) -> bool {
        (self.first..=self.last).contains(&height)
    }
}

impl Caller {
    /// Somebody who asks as `account` about what `scope` says.
    #[must_use]
    pub fn auditor(account: Address, scope: AuditScope) -> Self {
        Self::Auditor(Auditor { account: [account].into(), scope })
    }

    /// The accounts of a session, in the order in which they signed in; none for anybody else.
    #[must_use]
    pub fn accounts(&self) -> &[Address] {
        match self {
            Self::Session(accounts) => accounts,
            Self::Auditor(auditor) => &auditor.account,
            Self::Anonymous | Self::Development => &[],
        }
    }

    /// The same, shared.
    pub(crate) fn shared_accounts(&self) -> Arc<[Address]> {
        match self {
            Self::Session(accounts) => accounts.clone(),
            Self::Auditor(auditor) => auditor.account.clone(),
            Self::Anonymous | Self::Development => Arc::default(),
        }
    }

    /// What the caller asks about as an auditor.
    #[must_use]
    pub const fn scope(&self) -> Option<AuditScope> {
        match self {
            Self::Auditor(auditor) => Some(auditor.scope),
            Self::Session(_) | Self::Anonymous | Self::Development => None,
        }
    }

    /// Whether the caller audits a contract at a height.
    pub(crate) fn audits(&self, contract: Address, height: Height) -> bool {
        self.scope().is_some_and(|scope| scope.covers(contract, height))
    }

    /// Whether the caller audits everything at a height.
    pub(crate) fn audits_all(&self, height: Height) -> bool {
        self.scope().is_some_and(|scope| scope.covers_all(height))
    }

    /// Whether the caller proved to control this account.
    #[must_use]
    pub fn controls(&self, account: Address) -> bool {
        self.accounts().contains(&account)
    }

    /// Who a call is made as: the account it names, or else the session's first. The zero address names nobody: Foundry
    /// sends it where it was told of no sender.
    #[must_use]
    pub fn from_or_first(&self, given: Option<Address>) -> Option<Address> {
        given.filter(|from| !from.is_zero()).or_else(|| self.accounts().first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_about_its_contract_and_its_blocks() {
        let [one, other] = [1, 2].map(Address::repeat_byte);
        let scope = AuditScope { contract: Some(one), first: Height(3), last: Height(5), is_governed: false };
        let covered: Vec<u64> = (0..9).filter(|height| scope.covers(one, Height(*height))).collect();
        assert_eq!(covered, [3, 4, 5]);
        assert!(!scope.covers(other, Height(4)) && !scope.covers_all(Height(4)));
        let whole = AuditScope { contract: None, ..scope };
        assert!(whole.covers(other, Height(4)) && whole.covers_all(Height(5)) && !whole.covers_all(Height(6)));
    }
}
