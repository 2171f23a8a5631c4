//! What is in the pool, for those who may see it.

use alloy_primitives::Address;
use cloister_execution::ValidTx;

use crate::Pool;

/// The transactions of one account, by nonce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountContent<'a> {
    /// The sender.
    pub address: Address,
    /// Those that could be executed one after the other, in flight included.
    pub pending: Vec<&'a ValidTx>,
    /// Those behind a gap.
    pub queued: Vec<&'a ValidTx>,
}

impl Pool {
    /// Everything here, by address.
    #[must_use]
    pub fn content(&self) -> Vec<AccountContent<'_>> {
        let mut accounts: Vec<_> = self.lanes().map(crate::lane::Lane::content).collect();
        accounts.sort_unstable_by_key(|account| account.address);
        accounts
    }

    /// What one account has here.
    #[must_use]
    pub fn content_from(&self, address: Address) -> AccountContent<'_> {
        let lane = self.lane_of(address).and_then(|lane| self.lane(lane));
        let nothing = || AccountContent { address, ..AccountContent::default() };
        lane.map_or_else(nothing, crate::lane::Lane::content)
    }
}
