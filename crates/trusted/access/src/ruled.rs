//! The frame guard of confidential chains: contracts' own rules.

use std::sync::Arc;

use alloy_primitives::Address;
use cloister_execution::{AccountFact, Admission, BlockRules, FrameFacts, FrameGuard, Inquiry, is_precompile};
use cloister_governance::{Policy, RuleCache, RuleTable, Term};
use cloister_primitives::{Protection, VISIBILITY_ADDRESS};
use cloister_state::{StateError, StateView};

use crate::ruling::{Ruling, Verdict};
use crate::{Moment, batch};

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
    /// A question, in the name of who proved to control these accounts.
    Query(Arc<[Address]>, Moment),
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
    /// The guard of a query in a session of these accounts.
    #[must_use]
    pub(crate) const fn query(tables: Vec<Arc<RuleTable>>, accounts: Arc<[Address]>, moment: Moment) -> Self {
        Self { tables, purpose: Purpose::Query(accounts, moment) }
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
                Ruling { table, today: self.today(table), policy, frame, purpose: &self.purpose, viewers }.decides()
            }
            None => self.without_rules(table, frame, storage).map(Verdict::from),
        }
    }

    /// The rules of today, whatever state is read: what was granted then, may have ended.
    fn today<'a>(&'a self, table: &'a RuleTable) -> &'a RuleTable {
        self.tables.first().map_or(table, |today| today)
    }

    /// In whose name a frame asks: its `msg.sender`; the accounts of the session, where it stands in a batch of theirs.
    fn viewers<'a>(&'a self, table: &RuleTable, frame: &'a FrameFacts<'_>) -> Result<&'a [Address], StateError> {
        let own = std::slice::from_ref(&frame.caller);
        Ok(match &self.purpose {
            Purpose::Query(accounts, _) if batch::is_part(table, frame)? => accounts,
            // The zero address is nobody: who is not signed in asks in its name.
            Purpose::Query(..) if frame.caller.is_zero() => &[],
            Purpose::Query(..) | Purpose::Block => own,
        })
    }

    /// Anybody's transaction runs it; nobody is answered what it says, but about his own account and, by the contract
    /// of rules, about his own rules: it asks itself who the owner is.
    fn without_rules(&self, table: &RuleTable, frame: &FrameFacts<'_>, storage: Address) -> Result<bool, StateError> {
        let Purpose::Query(accounts, _) = &self.purpose else { return Ok(true) };
        // The frame that started this one runs on the same storage, and was admitted.
        if frame.kind.is_delegated() {
            return Ok(true);
        }
        // Nobody in particular has no batches, and does not own what has no owner.
        if !accounts.is_empty() && batch::is_whole(table, frame)? {
            return Ok(true);
        }
        let is_about_rules = storage == VISIBILITY_ADDRESS && !frame.caller.is_zero();
        let is_asked = frame.depth == 0 || batch::is_part(table, frame)?;
        Ok(is_asked && (is_about_rules || accounts.contains(&storage)))
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
                let moment = match self.purpose {
                    Purpose::Query(_, moment) => Some(moment),
                    Purpose::Block => None,
                };
                let audited = moment.map(|moment| (self.today(table), moment));
                admits_account(table, &policy, term, viewer, audited)
            }
            // What anybody's transaction can run is there for all transactions to see.
            None => Ok(is_code && matches!(self.purpose, Purpose::Block)),
        }
    }
}

impl FrameGuard for Ruled {
    fn admit(&self, frame: &FrameFacts<'_>) -> Admission {
        let protection = match self.purpose {
            Purpose::Block => Protection::FrameGuard,
            Purpose::Query(..) => Protection::QueryGuard,
        };
        if !protection.holds() {
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

/// Whether the rule about one of an account's facts admits `viewer`. Audits are those of today's table; in transactions
/// there are none.
pub(crate) fn admits_account(
    table: &RuleTable,
    policy: &Policy,
    term: Option<Term>,
    viewer: Address,
    audited: Option<(&RuleTable, Moment)>,
) -> Result<bool, StateError> {
    match term {
        Some(Term::Public) => Ok(true),
        Some(Term::Owner) => Ok(policy.owner == viewer),
        Some(Term::Role(role)) => table.has_role(policy.rules_of, viewer, role),
        Some(Term::Auditor) => match audited {
            Some((today, moment)) => audits(today, policy.rules_of, viewer, moment),
            None => Ok(false),
        },
        // An account's facts have neither arguments nor somebody who signs, and no contract is asked about them.
        Some(Term::Session | Term::Argument(_) | Term::Custom(_)) | None => Ok(false),
    }
}

/// Whether somebody is an auditor of what is asked about.
pub(crate) fn audits(
    today: &RuleTable,
    rules_of: Address,
    viewer: Address,
    Moment { asked, now_s }: Moment,
) -> Result<bool, StateError> {
    Ok(today.audit(rules_of, viewer)?.covers(asked, now_s))
}
