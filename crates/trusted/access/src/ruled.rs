//! The frame guard of confidential chains: contracts' own rules.

use std::sync::Arc;

use alloy_primitives::Address;
use cloister_execution::{AccountFact, Admission, BlockRules, FrameFacts, FrameGuard, is_precompile};
use cloister_governance::{FunctionKey, FunctionRule, Operand, Policy, Rule, RuleTable, Term};
use cloister_primitives::VISIBILITY_ADDRESS;
use cloister_state::{StateError, StateView};

/// Admits frames as the rules of the contract say whose storage they work on.
///
/// Several tables must agree: a query about an older state follows the rules that held then and those of today.
#[derive(Clone, Debug)]
pub struct Ruled {
    tables: Vec<Arc<RuleTable>>,
    purpose: Purpose,
}

/// What frames are part of.
#[derive(Clone, Debug)]
enum Purpose {
    /// A block.
    Block,
    /// A question, in the name of who proved to control these accounts.
    Query(Arc<[Address]>),
}

/// Rules of blocks: those that the state before them holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RulesInForce;

impl BlockRules for RulesInForce {
    fn guard(&self, parent: &StateView) -> Arc<dyn FrameGuard> {
        Arc::new(Ruled { tables: vec![Arc::new(RuleTable::new(parent.clone()))], purpose: Purpose::Block })
    }
}

impl Ruled {
    /// The guard of a query in a session of these accounts.
    #[must_use]
    pub(crate) const fn query(tables: Vec<Arc<RuleTable>>, accounts: Arc<[Address]>) -> Self {
        Self { tables, purpose: Purpose::Query(accounts) }
    }

    fn every(&self, allows: impl Fn(&RuleTable) -> Result<bool, StateError>) -> Admission {
        for table in &self.tables {
            match allows(table) {
                Ok(true) => {}
                Ok(false) => return Admission::Refused,
                Err(_) => return Admission::Unknown,
            }
        }
        if self.tables.is_empty() { Admission::Refused } else { Admission::Admitted }
    }

    fn allows(&self, table: &RuleTable, frame: &FrameFacts<'_>) -> Result<bool, StateError> {
        // Whatever a creation runs, each frame it starts is asked about, and its own storage is new.
        let (Some(storage), Some(code)) = (frame.storage_address, frame.code_address) else { return Ok(true) };
        // They compute from what they are given and nothing else.
        if is_precompile(&code) {
            return Ok(true);
        }
        // Also where an account delegates as a whole (EIP-7702).
        if code != storage && !may_delegate(table, code, storage)? {
            return Ok(false);
        }
        match table.policy(storage)? {
            Some(policy) => Ruling { table, policy, frame, storage }.admits(&self.purpose),
            None => Ok(self.without_rules(frame, storage)),
        }
    }

    /// Anybody's transaction runs it; nobody is answered what it says, but about his own account and, by the contract
    /// of rules, about his own rules: it asks itself who the owner is.
    fn without_rules(&self, frame: &FrameFacts<'_>, storage: Address) -> bool {
        match &self.purpose {
            Purpose::Block => true,
            // The frame that started this one runs on the same storage, and was admitted.
            Purpose::Query(_) if frame.kind.is_delegated() => true,
            Purpose::Query(accounts) => {
                frame.depth == 0 && (storage == VISIBILITY_ADDRESS || accounts.contains(&storage))
            }
        }
    }

    fn shows(&self, table: &RuleTable, viewer: Address, fact: AccountFact) -> Result<bool, StateError> {
        let (account, is_code) = match fact {
            AccountFact::Balance(account) => (account, false),
            AccountFact::Code(account) => (account, true),
        };
        if account == viewer {
            return Ok(true);
        }
        match table.policy(account)? {
            Some(policy) => {
                let term = if is_code { policy.code } else { policy.balance };
                admits_account(table, &policy, account, term, viewer)
            }
            // What anybody's transaction can run is there for all transactions to see.
            None => Ok(is_code && matches!(self.purpose, Purpose::Block)),
        }
    }
}

impl FrameGuard for Ruled {
    fn admit(&self, frame: &FrameFacts<'_>) -> Admission {
        self.every(|table| self.allows(table, frame))
    }

    fn conceals(&self) -> bool {
        true
    }

    fn show(&self, viewer: Address, fact: AccountFact) -> Admission {
        self.every(|table| self.shows(table, viewer, fact))
    }
}

/// Code that is denied to everyone runs nowhere but at home, and for the proxies that its owner lists.
fn may_delegate(table: &RuleTable, code: Address, storage: Address) -> Result<bool, StateError> {
    match table.policy(code)? {
        Some(Policy { code: None, .. }) => table.is_listed_proxy(code, storage),
        Some(_) | None => Ok(true),
    }
}

/// Whether the rule about one of an account's facts admits `viewer`.
pub(crate) fn admits_account(
    table: &RuleTable,
    policy: &Policy,
    account: Address,
    term: Option<Term>,
    viewer: Address,
) -> Result<bool, StateError> {
    match term {
        Some(Term::Public) => Ok(true),
        Some(Term::Owner) => Ok(policy.owner == viewer),
        Some(Term::Role(role)) => table.has_role(account, viewer, role),
        // An account's facts have neither arguments nor somebody who signs.
        Some(Term::Session | Term::Argument(_)) | None => Ok(false),
    }
}

/// One frame on ruled storage.
struct Ruling<'a> {
    table: &'a RuleTable,
    policy: Policy,
    frame: &'a FrameFacts<'a>,
    storage: Address,
}

impl Ruling<'_> {
    fn admits(&self, purpose: &Purpose) -> Result<bool, StateError> {
        let Self { frame, storage, .. } = self;
        let delegated = frame.kind.is_delegated();
        // Who calls himself has been admitted already.
        if !delegated && frame.depth > 0 && frame.caller == *storage {
            return Ok(true);
        }
        // Code may read a selector out of fewer bytes: what is missing reads as zero.
        let mut selector = [0; 4];
        let given = frame.input.len().min(4);
        selector[..given].copy_from_slice(&frame.input[..given]);
        let named = self.function(FunctionKey::Selector(selector))?;
        let named = named.map(|rule| self.admitted_by(&rule, purpose)).transpose()?;
        if delegated {
            // The frame that started this one was admitted.
            return Ok(named.unwrap_or(true));
        }
        match (named, given) {
            (Some(admitted), 4) => Ok(admitted),
            (Some(false), _) => Ok(false),
            (Some(true) | None, _) => match self.unnamed(given)? {
                Some(rule) => self.admitted_by(&rule, purpose),
                None => Ok(false),
            },
        }
    }

    /// What answers calls that name no function on the list.
    fn unnamed(&self, given: usize) -> Result<Option<FunctionRule>, StateError> {
        if given == 0
            && let Some(receive) = self.function(FunctionKey::Receive)?
        {
            return Ok(Some(receive));
        }
        self.function(FunctionKey::Fallback)
    }

    fn function(&self, key: FunctionKey) -> Result<Option<FunctionRule>, StateError> {
        self.table.function(self.storage, key)
    }

    fn admitted_by(&self, rule: &FunctionRule, purpose: &Purpose) -> Result<bool, StateError> {
        let rule: &Rule = match purpose {
            Purpose::Block => &rule.execute,
            Purpose::Query(_) => &rule.query,
        };
        for term in rule.terms() {
            if self.admitted_as(term)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn admitted_as(&self, term: Term) -> Result<bool, StateError> {
        let caller = self.frame.caller;
        Ok(match term {
            Term::Public => true,
            Term::Session => caller == self.frame.origin,
            Term::Owner => caller == self.policy.owner,
            Term::Role(role) => self.table.has_role(self.storage, caller, role)?,
            Term::Argument(Operand::Word(number)) => {
                let start = 4 + 32 * usize::from(number);
                self.frame.input.get(start..start + 32) == Some(caller.into_word().as_slice())
            }
            Term::Argument(Operand::Topic(_)) => false,
        })
    }
}
