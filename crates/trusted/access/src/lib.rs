//! Who may see what: the one choke point for every read.
//!
//! **Duty.** [`Access::view`] answers, for a [`Caller`] and a [`Resource`], whether the answer is
//! shown in full, shown without some of its parts, or is indistinguishable from something that
//! never existed.
//!
//! **Trusts.** The caller's identity as the shell established it.
//!
//! **Invariants.** The decision is taken from facts named in the resource alone, before any lookup
//! whose time or outcome depends on whether the resource exists. No read path has another way to
//! data: the readers in `core` hand out nothing that has not passed here. For frames inside the EVM it is [`Ruled`]
//! that decides, by the same rules.
//!
//! **Not here.** Signing in, and policies' storage.

mod batch;
mod caller;
mod facts;
mod ruled;
mod ruling;

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use cloister_execution::{FrameGuard, Open};
use cloister_governance::RuleTable;
use cloister_primitives::{Height, Protection};

pub use caller::{AuditScope, Auditor, Caller};
use ruled::Asker;
pub use ruled::{Ruled, RulesInForce, Shown};

/// Facts about a transaction that decide who participates in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionFacts {
    /// The recovered sender.
    pub sender: Address,
    /// The recipient; `None` for a creation.
    pub recipient: Option<Address>,
    /// The block it stands in.
    pub height: Height,
}

/// What is asked for, with the facts that decide about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A public block header, its transaction hashes and its transaction count.
    Header,
    /// The body of one transaction.
    Transaction(TransactionFacts),
    /// The receipt of one transaction, without its logs.
    Receipt(TransactionFacts),
    /// One log of a block.
    Log {
        /// The contract that emitted it.
        address: Address,
        /// Its topics.
        topics: &'a [B256],
        /// Its data.
        data: &'a [u8],
        /// The block it stands in.
        height: Height,
    },
    /// Balance and nonce of an account.
    Account(Address),
    /// An account's code.
    Code(Address),
    /// One storage slot of a contract.
    Storage(Address),
    /// A slot that says where a proxy finds its code, and who may change that (EIP-1967).
    ProxySlot(Address),
    /// A Merkle proof, whose sibling hashes say something about every account.
    Proof(Address),
    /// The outcome of executing a call without a transaction.
    Call {
        /// The account the call is made as.
        from: Address,
        /// The callee; `None` for a creation.
        to: Option<Address>,
    },
    /// How a transaction or a call executes, step by step: everything that it reads and writes on its way.
    Trace(TransactionFacts),
    /// Pending transactions of one sender.
    Pool {
        /// The sender.
        sender: Address,
    },
    /// Methods that change time, state or mining of a development network.
    Development,
}

/// How an answer may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// As it is.
    Full,
    /// Without the parts that belong to the sender alone: nonce, gas and fees.
    Redacted,
    /// Exactly as if it had never existed.
    Absent,
}

impl Visibility {
    /// Whether anything may be shown at all.
    #[must_use]
    pub const fn is_visible(self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// The rules in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Policy {
    /// Confidentiality is off: everyone sees what everyone would see on Ethereum.
    #[default]
    Open,
    /// Everyone sees what concerns the accounts that he proved to control, and what is declassified.
    Confidential,
}

/// Rules that contracts have.
#[derive(Clone, Debug, Default)]
enum Tables {
    /// None has any.
    #[default]
    None,
    /// What all of these allow, of which the first one is of today, and the block that is asked about.
    All(Vec<Arc<RuleTable>>, Height),
    /// They cannot be read: nothing is shown that a rule could be about.
    Unreadable,
}

/// The choke point.
#[derive(Clone, Debug, Default)]
pub struct Access {
    policy: Policy,
    development: Development,
    tables: Tables,
    /// Accounts with published code.
    published: Option<Arc<[Address]>>,
}

/// Whether the development namespaces exist on this network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Development {
    /// They do not; a consortium genesis never allows them.
    #[default]
    Refused,
    /// They do, for a caller that is the network's own developer.
    Allowed,
}

impl Access {
    /// Rules of a chain whose confidentiality is off.
    #[must_use]
    pub const fn open(development: Development) -> Self {
        Self { policy: Policy::Open, development, tables: Tables::None, published: None }
    }

    /// Rules of a chain whose confidentiality is on. It has no development methods: they would show, or change,
    /// everything.
    #[must_use]
    pub const fn confidential() -> Self {
        let development = Development::Refused;
        Self { policy: Policy::Confidential, development, tables: Tables::None, published: None }
    }

    /// The same, with contracts' own rules, which all must allow what is shown: those of today first, and those of the
    /// height that is `asked` about. `None` where they cannot be read.
    #[must_use]
    pub fn with_rules(mut self, tables: Option<Vec<Arc<RuleTable>>>, asked: Height) -> Self {
        self.tables = tables.map_or(Tables::Unreadable, |tables| Tables::All(tables, asked));
        self
    }

    /// The same, with accounts whose code everybody may see: genesis has put there what is published, and is at the same
    /// address on other chains. Tools look for it before they use it.
    #[must_use]
    pub fn with_published_code(mut self, accounts: Arc<[Address]>) -> Self {
        self.published = Some(accounts);
        self
    }

    /// What decides about the frames of a call that [`Resource::Call`] lets `caller` make.
    #[must_use]
    pub fn guard(&self, caller: &Caller) -> Arc<dyn FrameGuard> {
        match self.policy {
            Policy::Open => Arc::new(Open),
            Policy::Confidential if !Protection::QueryGuard.holds() => Arc::new(Open),
            Policy::Confidential => {
                let (tables, asker) = self.asker(caller);
                Arc::new(Ruled::query(tables, asker))
            }
        }
    }

    /// What decides about the frames that a trace which [`Resource::Trace`] lets `caller` have shows, of the block that is
    /// `asked` about; `None` where it shows all of them.
    #[must_use]
    pub fn shown(&self, caller: &Caller, asked: Height) -> Option<Shown> {
        if !self.is_confidential() || !Protection::TraceFrames.holds() {
            return None;
        }
        let (tables, asker) = self.asker(caller);
        Some(Shown::new(tables, Asker { asked, ..asker }))
    }

    fn asker(&self, caller: &Caller) -> (Vec<Arc<RuleTable>>, Asker) {
        let (tables, asked) = match &self.tables {
            Tables::All(tables, asked) => (tables.clone(), *asked),
            Tables::None | Tables::Unreadable => (Vec::new(), Height::GENESIS),
        };
        (tables, Asker { accounts: caller.shared_accounts(), scope: caller.scope(), asked })
    }

    /// Whether there is anything that some may see and others not.
    #[must_use]
    pub const fn is_confidential(&self) -> bool {
        matches!(self.policy, Policy::Confidential)
    }

    /// Whether `caller` may have a call made in the name of `from`: where answers depend on who asks, only an account
    /// that signed in may be named, or nobody.
    #[must_use]
    pub fn may_call_as(&self, caller: &Caller, from: Address) -> bool {
        !self.is_confidential() || from.is_zero() || caller.controls(from) || !Protection::QueryGuard.holds()
    }

    /// Whether there is no log that `caller` may not see, so that an index over all logs may decide which blocks are
    /// read for a query of his. Otherwise what is read, and how long it takes, would tell where logs match that he may
    /// not see.
    #[must_use]
    pub const fn sees_every_log(&self, _caller: &Caller) -> bool {
        match self.policy {
            Policy::Open => true,
            Policy::Confidential => false,
        }
    }

    fn is_published(&self, account: Address) -> bool {
        self.published.as_ref().is_some_and(|published| published.contains(&account))
    }

    /// Decides how `resource` is shown to `caller`.
    #[must_use]
    pub fn view(&self, caller: &Caller, resource: Resource<'_>) -> Visibility {
        match (self.policy, resource) {
            (_, Resource::Development) => match (self.development, caller) {
                (Development::Allowed, Caller::Development) => Visibility::Full,
                _ => Visibility::Absent,
            },
            (Policy::Open, _) => Visibility::Full,
            (Policy::Confidential, Resource::Code(account)) if self.is_published(account) => Visibility::Full,
            (Policy::Confidential, resource) if !protection_of(resource).holds() => Visibility::Full,
            (Policy::Confidential, resource) => match facts::by_rules(&self.tables, caller, resource) {
                Some(visibility) => visibility,
                None => concerning(caller, resource, self.asked()),
            },
        }
    }

    /// The block whose state is asked about.
    const fn asked(&self) -> Option<Height> {
        match &self.tables {
            Tables::All(_, asked) => Some(*asked),
            Tables::None | Tables::Unreadable => None,
        }
    }
}

/// What keeps a resource from those whom it does not concern.
const fn protection_of(resource: Resource<'_>) -> Protection {
    match resource {
        Resource::Header | Resource::Transaction(_) | Resource::Receipt(_) => Protection::Participation,
        Resource::Log { .. } => Protection::LogFiltering,
        Resource::Account(_) => Protection::AccountHiding,
        Resource::Code(_) => Protection::CodeHiding,
        Resource::Storage(_) | Resource::ProxySlot(_) => Protection::StorageHiding,
        Resource::Call { .. } => Protection::QueryGuard,
        Resource::Pool { .. } => Protection::PoolHiding,
        Resource::Proof(_) | Resource::Trace(_) | Resource::Development => Protection::WithheldMethods,
    }
}

/// What a caller sees on a confidential chain where no rule says more, of the state after the block that is `asked` about.
fn concerning(caller: &Caller, resource: Resource<'_>, asked: Option<Height>) -> Visibility {
    let audits_all = asked.is_some_and(|asked| caller.audits_all(asked));
    let when = |is_visible: bool| if is_visible { Visibility::Full } else { Visibility::Absent };
    let if_controlled = |account| when(caller.controls(account));
    match resource {
        // Declassified: tools that verify and upgrade contracts tell proxies by these slots.
        Resource::Header | Resource::ProxySlot(_) => Visibility::Full,
        Resource::Transaction(facts) | Resource::Receipt(facts) => participation(caller, facts),
        Resource::Log { topics, height, .. } => {
            let concerned = topics.iter().skip(1).filter_map(address_of).any(|account| caller.controls(account));
            when(concerned || caller.audits_all(height))
        }
        Resource::Account(account) | Resource::Code(account) => when(audits_all || caller.controls(account)),
        // Contracts' rules decide about each of its frames, the first one included. Nobody in particular may ask what
        // everybody may, but not have code of his own run.
        Resource::Call { from, to } if from.is_zero() && to.is_some() => Visibility::Full,
        Resource::Call { from, .. } => if_controlled(from),
        Resource::Pool { sender } => if_controlled(sender),
        // What a proof's neighbours hash to concerns everybody.
        Resource::Storage(_) | Resource::Proof(_) => when(audits_all),
        // Of what runs on the way to a result, frames that concern others are left out.
        Resource::Trace(facts) => when(participation(caller, facts) == Visibility::Full || traces(caller, facts)),
        Resource::Development => Visibility::Absent,
    }
}

/// Whether somebody sees how a transaction of others executes: who audits its recipient.
fn traces(caller: &Caller, facts: TransactionFacts) -> bool {
    facts.recipient.is_some_and(|recipient| caller.audits(recipient, facts.height)) || caller.audits_all(facts.height)
}

/// Senders see all of their transactions, recipients and auditors all but what belongs to the sender alone.
fn participation(caller: &Caller, facts: TransactionFacts) -> Visibility {
    if caller.controls(facts.sender) || caller.audits_all(facts.height) {
        return Visibility::Full;
    }
    match facts.recipient {
        Some(recipient) if caller.audits(recipient, facts.height) => Visibility::Redacted,
        Some(recipient) if caller.controls(recipient) && !Protection::Redaction.holds() => Visibility::Full,
        Some(recipient) if caller.controls(recipient) => Visibility::Redacted,
        _ => Visibility::Absent,
    }
}

/// The account that an indexed topic of type `address` names (ABI: twelve zero bytes before it).
fn address_of(topic: &B256) -> Option<Address> {
    let (padding, address) = topic.split_at(12);
    padding.iter().all(|byte| *byte == 0).then(|| Address::from_slice(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_rules_show_everything_but_development_methods_to_everyone() {
        let access = Access::open(Development::Refused);
        let facts = TransactionFacts { sender: Address::ZERO, recipient: None, height: Height(1) };
        for caller in [Caller::Anonymous, Caller::Development] {
            for resource in [
                Resource::Header,
                Resource::Transaction(facts),
                Resource::Receipt(facts),
                Resource::Account(Address::ZERO),
                Resource::Storage(Address::ZERO),
                Resource::Trace(facts),
            ] {
                assert_eq!(access.view(&caller, resource), Visibility::Full);
            }
            assert_eq!(access.view(&caller, Resource::Development), Visibility::Absent);
        }
    }

    fn session(accounts: &[Address]) -> Caller {
        Caller::Session(accounts.into())
    }

    const ALICE: Address = Address::repeat_byte(0xa1);
    const BOB: Address = Address::repeat_byte(0xb0);
    const CAROL: Address = Address::repeat_byte(0xca);

    #[test]
    fn participants_see_their_transactions_and_only_senders_what_is_the_senders() {
        let access = Access::confidential();
        let facts = TransactionFacts { sender: ALICE, recipient: Some(BOB), height: Height(1) };
        for resource in [Resource::Transaction(facts), Resource::Receipt(facts)] {
            assert_eq!(access.view(&session(&[ALICE]), resource), Visibility::Full);
            assert_eq!(access.view(&session(&[CAROL, ALICE]), resource), Visibility::Full);
            assert_eq!(access.view(&session(&[BOB]), resource), Visibility::Redacted);
            for caller in [session(&[CAROL]), session(&[]), Caller::Anonymous, Caller::Development] {
                assert_eq!(access.view(&caller, resource), Visibility::Absent);
            }
        }
        let creation = TransactionFacts { sender: ALICE, recipient: None, height: Height(1) };
        assert_eq!(access.view(&session(&[Address::ZERO]), Resource::Receipt(creation)), Visibility::Absent);
    }

    #[test]
    fn logs_concern_the_accounts_in_their_indexed_topics() {
        fn log(topics: &[B256]) -> Resource<'_> {
            Resource::Log { address: CAROL, topics, data: &[], height: Height(3) }
        }
        let access = Access::confidential();
        let kind = B256::repeat_byte(7);
        let topics = [kind, ALICE.into_word(), BOB.into_word()];
        assert_eq!(access.view(&session(&[BOB]), log(&topics)), Visibility::Full);
        assert_eq!(access.view(&session(&[CAROL]), log(&topics)), Visibility::Absent, "the contract itself");
        assert_eq!(access.view(&Caller::Anonymous, log(&topics)), Visibility::Absent);
        // The first topic names the event, whatever it looks like; longer words are no addresses.
        let anonymous = [ALICE.into_word()];
        assert_eq!(access.view(&session(&[ALICE]), log(&anonymous)), Visibility::Absent);
        let mut word = ALICE.into_word();
        word.0[0] = 1;
        let other = [kind, word];
        assert_eq!(access.view(&session(&[ALICE]), log(&other)), Visibility::Absent);
    }

    #[test]
    fn accounts_calls_and_pool_are_their_owners_and_the_rest_is_nobodys() {
        let access = Access::confidential();
        let (alice, bob) = (session(&[ALICE]), session(&[BOB]));
        for resource in [
            Resource::Account(ALICE),
            Resource::Code(ALICE),
            Resource::Pool { sender: ALICE },
            Resource::Call { from: ALICE, to: Some(ALICE) },
            Resource::Call { from: ALICE, to: Some(BOB) },
            Resource::Call { from: ALICE, to: None },
        ] {
            assert_eq!(access.view(&alice, resource), Visibility::Full);
            for other in [&bob, &Caller::Anonymous] {
                assert_eq!(access.view(other, resource), Visibility::Absent);
            }
        }
        // Rules say what nobody in particular may ask of a contract; code of his own he has none run.
        let nobody = |to| access.view(&Caller::Anonymous, Resource::Call { from: Address::ZERO, to });
        assert_eq!([nobody(Some(BOB)), nobody(None)], [Visibility::Full, Visibility::Absent]);
        let facts = TransactionFacts { sender: ALICE, recipient: None, height: Height(1) };
        for resource in [Resource::Storage(ALICE), Resource::Proof(ALICE), Resource::Development] {
            assert_eq!(access.view(&alice, resource), Visibility::Absent);
        }
        let traced = [&alice, &bob, &Caller::Anonymous].map(|caller| access.view(caller, Resource::Trace(facts)));
        assert_eq!(traced, [Visibility::Full, Visibility::Absent, Visibility::Absent]);
        for resource in [Resource::Header, Resource::ProxySlot(BOB)] {
            assert_eq!(access.view(&Caller::Anonymous, resource), Visibility::Full);
        }
    }

    #[test]
    fn published_code_is_shown_to_everybody_and_nothing_else_of_its_account() {
        let access = Access::confidential().with_published_code([BOB].into());
        let sees = |resource| access.view(&Caller::Anonymous, resource).is_visible();
        assert!(sees(Resource::Code(BOB)));
        for resource in [Resource::Code(CAROL), Resource::Account(BOB), Resource::Storage(BOB)] {
            assert!(!sees(resource), "{resource:?}");
        }
    }

    #[test]
    fn a_call_without_sender_is_made_as_the_first_account_of_the_session() {
        let [first, second, other] = [1, 2, 3].map(Address::repeat_byte);
        let session = Caller::Session([first, second].into());
        assert_eq!(session.from_or_first(None), Some(first));
        assert_eq!(session.from_or_first(Some(Address::ZERO)), Some(first));
        assert_eq!(session.from_or_first(Some(other)), Some(other));
        assert_eq!(Caller::Anonymous.from_or_first(None), None);
        assert_eq!(Caller::Development.from_or_first(Some(first)), Some(first));
        assert!(Access::open(Development::Refused).may_call_as(&session, other));
        let allowed = [second, other, Address::ZERO].map(|from| Access::confidential().may_call_as(&session, from));
        assert_eq!(allowed, [true, false, true]);
    }

    #[test]
    fn development_methods_need_both_the_network_and_the_caller() {
        let access = Access::open(Development::Allowed);
        assert_eq!(access.view(&Caller::Development, Resource::Development), Visibility::Full);
        assert_eq!(access.view(&Caller::Anonymous, Resource::Development), Visibility::Absent);
    }
}
