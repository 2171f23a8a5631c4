//! All rules at one height.

use std::sync::{Arc, LazyLock};

use alloy_primitives::{Address, B256, U256, keccak256};
use cloister_primitives::{Height, VISIBILITY_ADDRESS};
use cloister_state::{StateError, StateView};

use crate::audit::{Audit, AuditUse};
use crate::cache::{Key, Known};
use crate::layout::{Mapping, REVISION, element, pair, value};
use crate::rule::{EventRule, FunctionKey, FunctionRule, Rule, Term};

/// More versions than the contract lets an event have.
const MAX_EVENT_VERSIONS: u64 = 64;

static CONTRACT: LazyLock<B256> = LazyLock::new(|| keccak256(VISIBILITY_ADDRESS));

/// The rules of one account apart from those of its functions and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whose functions, events, roles and judges count: the account's own, or those of the template that it adopted.
    pub rules_of: Address,
    /// Who sets them.
    pub owner: Address,
    /// Who sees its storage.
    pub storage: Option<Term>,
    /// Who sees its code.
    pub code: Option<Term>,
    /// Who sees its balance.
    pub balance: Option<Term>,
}

impl Policy {
    const RULED: usize = 248;
    const ADOPTED: usize = 250;

    /// `None` while it has an owner at most.
    fn from_word(rules_of: Address, word: U256) -> Option<Self> {
        let bytes = word.to_be_bytes::<32>();
        let term = |index: usize| Term::from_bytes([bytes[index - 1], bytes[index]]);
        word.bit(Self::RULED).then(|| Self {
            rules_of,
            owner: Address::from_slice(&bytes[12..]),
            storage: term(11),
            code: term(9),
            balance: term(7),
        })
    }
}

/// The rules of an event that decide about one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRules {
    /// At the log's block; `None` where there was none.
    pub then: Option<Rule>,
    /// In the newest block; `None` where there is none.
    pub now: Option<Rule>,
}

/// The rules at one height. Each is read from the state the first time it is asked for, by whoever has a table of the
/// same rules.
#[derive(Debug)]
pub struct RuleTable {
    view: StateView,
    known: Arc<Known>,
}

impl RuleTable {
    /// The rules that `view` holds. In blocks they hold from the next one on.
    pub(crate) const fn new(view: StateView, known: Arc<Known>) -> Self {
        Self { view, known }
    }

    /// What stands for all rules in `view`.
    pub(crate) fn revision(view: &StateView) -> Result<B256, StateError> {
        view.storage_of_hashed(*CONTRACT, REVISION.into()).map(Into::into)
    }

    /// The rules of an account; `None` where it has none.
    ///
    /// # Errors
    /// [`StateError::HistoryUnavailable`] once the height has left the history; so do all others here.
    pub fn policy(&self, account: Address) -> Result<Option<Policy>, StateError> {
        let head = self.head(account)?;
        if !head.bit(Policy::ADOPTED) {
            return Ok(Policy::from_word(account, head));
        }
        let template = Address::from_word(
            self.known(Key::Template(account), || self.word(value(Mapping::Templates, account)))?.into(),
        );
        Ok(Policy::from_word(template, self.head(template)?))
    }

    /// The rules of a function; `None` where it is not on the list of `rules_of`.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn function(&self, rules_of: Address, key: FunctionKey) -> Result<Option<FunctionRule>, StateError> {
        let word =
            self.known(Key::Function(rules_of, key), || self.word(pair(Mapping::Functions, rules_of, key.word())))?;
        Ok(FunctionRule::from_word(word.into()))
    }

    /// What decides about a log of the block at `height`.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn event(&self, rules_of: Address, topic0: B256, height: Height) -> Result<EventRules, StateError> {
        let versions = match self.known.versions(rules_of, topic0) {
            Some(versions) => versions,
            None => self.known.learn_versions(rules_of, topic0, self.versions(rules_of, topic0)?),
        };
        let then = versions.iter().rev().find(|version| version.since <= height.0);
        Ok(EventRules {
            then: then.and_then(|version| version.rule),
            now: versions.last().and_then(|version| version.rule),
        })
    }

    /// Whether a member has a role.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn has_role(&self, rules_of: Address, member: Address, role: u8) -> Result<bool, StateError> {
        let roles =
            self.known(Key::Roles(rules_of, member), || self.word(pair(Mapping::Roles, rules_of, member.into_word())))?;
        Ok(roles.bit(usize::from(role)))
    }

    /// Whether a proxy may delegate to the account's code also where that is denied to others.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn is_listed_proxy(&self, account: Address, proxy: Address) -> Result<bool, StateError> {
        let listed = self.known(Key::Delegation(account, proxy), || {
            self.word(pair(Mapping::Delegations, account, proxy.into_word()))
        })?;
        Ok(!listed.is_zero())
    }

    /// The contract that a custom term means; `None` where there is none of this number.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn judge(&self, rules_of: Address, number: u8) -> Result<Option<Address>, StateError> {
        let judge = self.known(Key::Judge(rules_of, number), || {
            self.word(pair(Mapping::Judges, rules_of, B256::with_last_byte(number)))
        })?;
        Ok(Some(Address::from_word(judge.into())).filter(|judge| !judge.is_zero()))
    }

    /// What an auditor may ask about an account, whose rules may be a template's.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn audit(&self, account: Address, auditor: Address) -> Result<Audit, StateError> {
        let rules_of = self.policy(account)?.map_or(account, |policy| policy.rules_of);
        let audit = self
            .known(Key::Audit(rules_of, auditor), || self.word(pair(Mapping::Audits, rules_of, auditor.into_word())))?;
        Ok(Audit::from_word(audit))
    }

    /// What an auditor last said that he is going to ask about an account. That is no rule, and changes without any.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn audit_use(&self, account: Address, auditor: Address) -> Result<AuditUse, StateError> {
        self.word(pair(Mapping::Uses, account, auditor.into_word())).map(AuditUse::from_word)
    }

    /// Whether an account is a member of the network.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn is_member(&self, account: Address) -> Result<bool, StateError> {
        let member = self.known(Key::Member(account), || self.word(value(Mapping::Members, account)))?;
        Ok(!member.is_zero())
    }

    /// The hash of an account's code at this height.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn code_hash(&self, account: Address) -> Result<Option<B256>, StateError> {
        Ok(self.view.account(account)?.map(|account| account.code_hash))
    }

    fn head(&self, account: Address) -> Result<U256, StateError> {
        self.known(Key::Head(account), || self.word(value(Mapping::Heads, account)))
    }

    fn versions(&self, rules_of: Address, topic0: B256) -> Result<Vec<EventRule>, StateError> {
        let array = pair(Mapping::Events, rules_of, topic0);
        let count = self.word(array)?.saturating_to::<u64>().min(MAX_EVENT_VERSIONS);
        (0..count).map(|index| Ok(EventRule::from_word(self.word(element(array, index))?.into()))).collect()
    }

    fn known(&self, key: Key, read: impl FnOnce() -> Result<U256, StateError>) -> Result<U256, StateError> {
        if let Some(word) = self.known.word(key) {
            return Ok(word);
        }
        let word = read()?;
        self.known.learn_word(key, word);
        Ok(word)
    }

    fn word(&self, slot: B256) -> Result<U256, StateError> {
        self.view.storage_of_hashed(*CONTRACT, slot.into())
    }
}
