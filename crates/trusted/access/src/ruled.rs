//! The frame guard of confidential chains: contracts' own rules.

use std::sync::Arc;

use alloy_primitives::Address;
use cloister_execution::{
    AccountFact, Admission, BlockRules, FrameFacts, FrameGuard, Inquiry, SYSTEM_ADDRESS, is_precompile,
};
use cloister_governance::{Policy, RuleCache, RuleTable, Term};
use cloister_primitives::{Height, NODES_ADDRESS, Protection, VISIBILITY_ADDRESS};
use cloister_state::{StateError, StateView};

use crate::ruling::{Ruling, Verdict};
use crate::{AuditScope, batch};

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
pub(crate) enum Purpose {
    /// A block.
    Block,
    /// A question.
    Query(Asker),
    /// The trace of a transaction or of a question, as far as somebody sees it.
    Trace(Asker),
}

impl Purpose {
    /// Who asks, where somebody does.
    pub(crate) const fn asker(&self) -> Option<&Asker> {
        match self {
            Self::Block => None,
            Self::Query(asker) | Self::Trace(asker) => Some(asker),
        }
    }
}

/// In whose name something is asked, and about what.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// What he proved to control.
    pub(crate) accounts: Arc<[Address]>,
    /// What he audits.
    pub(crate) scope: Option<AuditScope>,
    /// The block that is asked about.
    pub(crate) asked: Height,
}

impl Asker {
    pub(crate) fn audits(&self, contract: Address) -> bool {
        self.scope.is_some_and(|scope| scope.covers(contract, self.asked))
    }

    fn audits_all(&self) -> bool {
        self.scope.is_some_and(|scope| scope.covers_all(self.asked))
    }
}

/// Which frames of a trace somebody sees: those that he could ask for himself, by the rules about queries.
#[derive(Clone, Debug)]
pub struct Shown(Ruled);

impl Shown {
    pub(crate) const fn new(tables: Vec<Arc<RuleTable>>, asker: Asker) -> Self {
        Self(Ruled { tables, purpose: Purpose::Trace(asker) })
    }

    /// Whether a frame is shown, given that the one that started it is. No contract is asked about that.
    #[must_use]
    pub fn shows(&self, frame: &FrameFacts<'_>) -> bool {
        self.0.every(|table| self.0.allows(table, frame)) == Admission::Admitted
    }
}

/// Rules of blocks: those that the state before them holds.
#[derive(Clone, Debug, Default)]
pub struct RulesInForce(RuleCache);

impl RulesInForce {
    /// With what is known of rules.
    #[must_use]
    pub const fn new(cache: RuleCache) -> Self {
        Self(cache)
    }
}

impl BlockRules for RulesInForce {
    fn guard(&self, parent: &StateView) -> Arc<dyn FrameGuard> {
        Arc::new(Ruled { tables: vec![Arc::new(self.0.table(parent.clone()))], purpose: Purpose::Block })
    }
}

impl Ruled {
    /// The guard of a query.
    #[must_use]
    pub(crate) const fn query(tables: Vec<Arc<RuleTable>>, asker: Asker) -> Self {
        Self { tables, purpose: Purpose::Query(asker) }
    }

    fn every(&self, allows: impl Fn(&RuleTable) -> Result<Verdict, StateError>) -> Admission {
        let mut inquiry = Vec::new();
        for table in &self.tables {
            match allows(table) {
                Ok(Verdict::Admitted) => {}
                Ok(Verdict::Refused) => return Admission::Refused,
                Ok(Verdict::Asks(judges)) => inquiry.push(judges),
                Err(_) => return Admission::Unknown,
            }
        }
        match (self.tables.is_empty(), inquiry.is_empty()) {
            (true, _) => Admission::Refused,
            (false, true) => Admission::Admitted,
            (false, false) => {
                // The same contract is asked once.
                inquiry.dedup();
                Admission::Asks(Inquiry(inquiry))
            }
        }
    }

    fn allows(&self, table: &RuleTable, frame: &FrameFacts<'_>) -> Result<Verdict, StateError> {
        // Simulated blocks begin and end with calls of Ethereum's own, in whose name nobody asks.
        if self.purpose.asker().is_some_and(|asker| asker.audits_all() || frame.origin == SYSTEM_ADDRESS) {
            return Ok(Verdict::Admitted);
        }
        // Whatever a creation runs, each frame it starts is asked about, and its own storage is new.
        let (Some(storage), Some(code)) = (frame.storage_address, frame.code_address) else {
            return Ok(Verdict::Admitted);
        };
        // They compute from what they are given and nothing else.
        if is_precompile(&code) {
            return Ok(Verdict::Admitted);
        }
        // Also where an account delegates as a whole (EIP-7702).
        if code != storage && !may_delegate(table, code, storage)? {
            return Ok(Verdict::Refused);
        }
        match table.policy(storage)? {
            Some(policy) => {
                let viewers = self.viewers(table, frame)?;
                Ruling { table, policy, frame, purpose: &self.purpose, viewers }.decides()
            }
            None => self.without_rules(table, frame, storage).map(Verdict::from),
        }
    }

    /// In whose name a frame asks: its `msg.sender`; the accounts of the session, where it stands in a batch of theirs.
    fn viewers<'a>(&'a self, table: &RuleTable, frame: &'a FrameFacts<'_>) -> Result<&'a [Address], StateError> {
        let own = std::slice::from_ref(&frame.caller);
        Ok(match &self.purpose {
            Purpose::Trace(asker) => &asker.accounts,
            Purpose::Query(asker) if batch::is_part(table, frame)? => &asker.accounts,
            // The zero address is nobody: who is not signed in asks in its name.
            Purpose::Query(_) if frame.caller.is_zero() => &[],
            Purpose::Query(_) | Purpose::Block => own,
        })
    }

    /// Anybody's transaction runs it; nobody is answered what it says, but about his own account and, by the contract
    /// of rules, about his own rules: it asks itself who the owner is. Who is signed in may know the nodes.
    fn without_rules(&self, table: &RuleTable, frame: &FrameFacts<'_>, storage: Address) -> Result<bool, StateError> {
        let Some(asker) = self.purpose.asker() else { return Ok(true) };
        let accounts = &asker.accounts;
        // The frame that started this one runs on the same storage, and was admitted.
        if frame.kind.is_delegated() {
            return Ok(true);
        }
        // The members' word stands where there is no rule.
        if asker.scope.is_some_and(|scope| scope.is_governed) && asker.audits(storage) {
            return Ok(true);
        }
        if matches!(self.purpose, Purpose::Trace(_)) {
            return Ok(accounts.contains(&storage));
        }
        // Nobody in particular has no batches, and does not own what has no owner.
        if !accounts.is_empty() && batch::is_whole(table, frame)? {
            return Ok(true);
        }
        let is_about_rules = [VISIBILITY_ADDRESS, NODES_ADDRESS].contains(&storage) && !frame.caller.is_zero();
        let is_asked = frame.depth == 0 || batch::is_part(table, frame)?;
        Ok(is_asked && (is_about_rules || accounts.contains(&storage)))
    }

    fn shows(&self, table: &RuleTable, viewer: Address, fact: AccountFact) -> Result<bool, StateError> {
        let (account, is_code) = match fact {
            AccountFact::Balance(account) => (account, false),
            AccountFact::Code(account) => (account, true),
        };
        if account == viewer || self.purpose.asker().is_some_and(Asker::audits_all) {
            return Ok(true);
        }
        match table.policy(account)? {
            Some(policy) => {
                let term = if is_code { policy.code } else { policy.balance };
                let is_auditor = |asker: &Asker| asker.accounts.contains(&viewer) && asker.audits(account);
                match term {
                    Some(Term::Auditor) => Ok(self.purpose.asker().is_some_and(is_auditor)),
                    term => admits_account(table, &policy, term, viewer),
                }
            }
            // What anybody's transaction can run is there for all transactions to see.
            None => Ok(is_code && matches!(self.purpose, Purpose::Block)),
        }
    }
}

impl FrameGuard for Ruled {
    fn admit(&self, frame: &FrameFacts<'_>) -> Admission {
        let holds = match self.purpose {
            Purpose::Block => Protection::FrameGuard.holds(),
            Purpose::Query(_) => Protection::QueryGuard.holds(),
            Purpose::Trace(_) => true,
        };
        if !holds {
            return Admission::Admitted;
        }
        self.every(|table| self.allows(table, frame))
    }

    fn conceals(&self) -> bool {
        true
    }

    fn show(&self, viewer: Address, fact: AccountFact) -> Admission {
        self.every(|table| self.shows(table, viewer, fact).map(Verdict::from))
    }
}

/// Code that is denied to everyone runs nowhere but at home, and for the proxies that its owner lists.
fn may_delegate(table: &RuleTable, code: Address, storage: Address) -> Result<bool, StateError> {
    match table.policy(code)? {
        Some(policy @ Policy { code: None, .. }) => table.is_listed_proxy(policy.rules_of, storage),
        Some(_) | None => Ok(true),
    }
}

/// Whether the rule about one of an account's facts admits `viewer` for what he is.
pub(crate) fn admits_account(
    table: &RuleTable,
    policy: &Policy,
    term: Option<Term>,
    viewer: Address,
) -> Result<bool, StateError> {
    match term {
        Some(Term::Public) => Ok(true),
        Some(Term::Owner) => Ok(policy.owner == viewer),
        Some(Term::Role(role)) => table.has_role(policy.rules_of, viewer, role),
        // An account's facts have neither arguments nor somebody who signs, and no contract is asked about them. Who audits
        // does so for as long as a request.
        Some(Term::Session | Term::Argument(_) | Term::Custom(_) | Term::Auditor) | None => Ok(false),
    }
}
