//! Who takes part: parties with secrets, and those from whom they are kept.

use alloy::consensus::SignableTransaction;
use alloy::eips::eip7702::{Authorization, SignedAuthorization};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, Signature, U256};
use cloister_access::Caller;

use crate::transactions::signer;

/// An account of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// Has secrets.
    Alice,
    /// Has secrets.
    Bob,
    /// Has secrets.
    Carol,
    /// Has secrets and little money.
    Dave,
    /// Receives transactions of the others: sees them without what belongs to their senders alone.
    Rita,
    /// A stranger who sends transactions of his own in the same blocks.
    Eve,
    /// A stranger with a contract of his own, called in the same blocks: he owns its rules.
    Mallory,
    /// Has a grant to audit the parties' token, for blocks that never come.
    Ada,
    /// Had one, which is over.
    Zed,
    /// Created the parties' token, owns its rules, and does nothing after that.
    Issuer,
}

/// Somebody who must not see a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observer {
    /// The operator of the machine: every message over the boundary, every record, order and size.
    Host,
    /// A client who has not signed in.
    Anonymous,
    /// Who carries what parties send and are answered: sizes, counts and order.
    Network,
    /// A client who has signed in with this account.
    Session(Who),
    /// Auditors of the parties' token, in one session: none of their grants is about any block there is.
    Auditors,
}

/// Parties whose secrets a workload is about.
pub(super) const PARTIES: [Who; 4] = [Who::Alice, Who::Bob, Who::Carol, Who::Dave];

impl Who {
    /// All accounts.
    pub const ALL: [Self; 10] = [
        Self::Alice,
        Self::Bob,
        Self::Carol,
        Self::Dave,
        Self::Rita,
        Self::Eve,
        Self::Mallory,
        Self::Ada,
        Self::Zed,
        Self::Issuer,
    ];

    /// Its key.
    pub(super) fn signer(self) -> PrivateKeySigner {
        signer(self as usize)
    }

    /// Its address.
    #[must_use]
    pub fn address(self) -> Address {
        thread_local! {
            static ADDRESSES: [Address; 10] = Who::ALL.map(|who| who.signer().address());
        }
        ADDRESSES.with(|addresses| addresses[self as usize])
    }

    /// A session signed in with it.
    pub(super) fn session(self) -> Caller {
        Caller::Session([self.address()].into())
    }

    /// Signs a transaction.
    pub(super) fn sign<T: SignableTransaction<Signature>>(self, transaction: T) -> alloy::consensus::Signed<T> {
        let signature = self.signer().sign_hash_sync(&transaction.signature_hash()).expect("a local key signs");
        transaction.into_signed(signature)
    }

    /// Lets its account run the code at `code`.
    pub(super) fn delegate(self, chain_id: u64, code: Address, nonce: u64) -> SignedAuthorization {
        let authorization = Authorization { chain_id: U256::from(chain_id), address: code, nonce };
        let signature = self.signer().sign_hash_sync(&authorization.signature_hash()).expect("a local key signs");
        authorization.into_signed(signature)
    }

    /// Wei at the start.
    pub(super) const fn balance(self) -> u128 {
        match self {
            Self::Dave => 1_000_000_000_000_000,
            _ => 1_000_000_000_000_000_000_000_000,
        }
    }
}

impl Observer {
    /// Everyone but the host who asks questions.
    pub(super) const ASKING: [Self; 5] = [
        Self::Anonymous,
        Self::Session(Who::Eve),
        Self::Session(Who::Mallory),
        Self::Session(Who::Rita),
        Self::Auditors,
    ];

    /// Who asks, as the methods know it.
    pub(super) fn caller(self) -> Caller {
        match self {
            Self::Host | Self::Network | Self::Anonymous => Caller::Anonymous,
            Self::Auditors => Caller::Session([Who::Ada.address(), Who::Zed.address()].into()),
            Self::Session(who) => who.session(),
        }
    }
}

/// Everybody in one session: who sees all there is, to check what others were shown.
pub(super) fn everybody() -> Caller {
    Caller::Session(Who::ALL.map(Who::address).as_slice().into())
}
