//! All rules at one height.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Address, B256, U256, keccak256};
use cloister_primitives::{Height, VISIBILITY_ADDRESS};
use cloister_state::{StateError, StateView};

use crate::layout::{Mapping, element, pair, value};
use crate::rule::{EventRule, FunctionKey, FunctionRule, Rule, Term};

/// More versions than the contract lets an event have.
const MAX_EVENT_VERSIONS: u64 = 64;

static CONTRACT: LazyLock<B256> = LazyLock::new(|| keccak256(VISIBILITY_ADDRESS));

/// The rules of one account apart from those of its functions and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
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

    /// `None` while it has an owner at most.
    fn from_word(word: U256) -> Option<Self> {
        let bytes = word.to_be_bytes::<32>();
        let term = |index: usize| Term::from_bytes([bytes[index - 1], bytes[index]]);
        word.bit(Self::RULED).then(|| Self {
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

/// The rules at one height. Each is read from the state the first time it is asked for.
#[derive(Debug)]
pub struct RuleTable {
    view: StateView,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    policies: BTreeMap<Address, Option<Policy>>,
    functions: BTreeMap<(Address, FunctionKey), Option<FunctionRule>>,
}

impl RuleTable {
    /// The rules that `view` holds. In blocks they hold from the next one on.
    #[must_use]
    pub fn new(view: StateView) -> Self {
        Self { view, read: Mutex::default() }
    }

    /// The rules of an account; `None` where it has none.
    ///
    /// # Errors
    /// [`StateError::HistoryUnavailable`] once the height has left the history; so do all others here.
    pub fn policy(&self, account: Address) -> Result<Option<Policy>, StateError> {
        if let Some(known) = self.read().policies.get(&account) {
            return Ok(*known);
        }
        let policy = Policy::from_word(self.word(value(Mapping::Heads, account))?);
        self.read().policies.insert(account, policy);
        Ok(policy)
    }

    /// The rules of a function; `None` where it is not on the account's list.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn function(&self, account: Address, key: FunctionKey) -> Result<Option<FunctionRule>, StateError> {
        if let Some(known) = self.read().functions.get(&(account, key)) {
            return Ok(*known);
        }
        let word = self.word(pair(Mapping::Functions, account, key.word()))?;
        let rule = FunctionRule::from_word(word.into());
        self.read().functions.insert((account, key), rule);
        Ok(rule)
    }

    /// What decides about a log of the block at `height`.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn event(&self, account: Address, topic0: B256, height: Height) -> Result<EventRules, StateError> {
        let array = pair(Mapping::Events, account, topic0);
        let count = self.word(array)?.saturating_to::<u64>().min(MAX_EVENT_VERSIONS);
        let mut rules = EventRules { then: None, now: None };
        for index in (0..count).rev() {
            let version = EventRule::from_word(self.word(element(array, index))?.into());
            if index + 1 == count {
                rules.now = version.rule;
            }
            if version.since <= height.0 {
                rules.then = version.rule;
                break;
            }
        }
        Ok(rules)
    }

    /// Whether a member has a role.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn has_role(&self, account: Address, member: Address, role: u8) -> Result<bool, StateError> {
        Ok(self.word(pair(Mapping::Roles, account, member.into_word()))?.bit(usize::from(role)))
    }

    /// Whether a proxy may delegate to the account's code also where that is denied to others.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn is_listed_proxy(&self, account: Address, proxy: Address) -> Result<bool, StateError> {
        Ok(!self.word(pair(Mapping::Delegations, account, proxy.into_word()))?.is_zero())
    }

    fn word(&self, slot: B256) -> Result<U256, StateError> {
        self.view.storage_of_hashed(*CONTRACT, slot.into())
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        // Entries are written whole.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
