//! What contracts' rules say about resources.

use std::sync::Arc;

use alloy_primitives::{Address, B256, b256};
use cloister_governance::{Operand, Policy, Rule, RuleTable, Term};
use cloister_primitives::{Height, NODES_ADDRESS, VISIBILITY_ADDRESS};
use cloister_state::StateError;

use crate::ruled::admits_account;
use crate::{AuditScope, Caller, Resource, Tables, Visibility, concerning};

/// `AuditGrantUsed(uint256)` of `Visibility`: that an audit was used. Declassified to members, since who grants an audit
/// must see that the record is kept.
const AUDIT_GRANT_USED: B256 = b256!("0xc550a4f29353a81cfa0eb095c88aabcc33f5df0f0390fafacda640222d9f14c5");

/// `AuditApproved(address,address,address,uint64,uint64,uint64)` of `Visibility`: what members vote about is theirs to know.
const AUDIT_APPROVED: B256 = b256!("0xd24fa4b97e2a7b95ec13ba73ae75de7a2a51b8ed6d866d45e74770e8384d1dd1");

/// What the rules decide; `None` where they have nothing to say.
pub(crate) fn by_rules(tables: &Tables, caller: &Caller, resource: Resource<'_>) -> Option<Visibility> {
    let (tables, asked) = match (tables, resource) {
        (Tables::None, _) => return None,
        (
            Tables::Unreadable,
            Resource::Log { .. }
            | Resource::Account(_)
            | Resource::Code(_)
            | Resource::Storage(_)
            | Resource::Call { .. },
        ) => {
            return Some(Visibility::Absent);
        }
        (Tables::Unreadable, _) => return None,
        (Tables::All(tables, asked), _) => (tables, *asked),
    };
    let decided = match resource {
        Resource::Log { address, topics, data, height } => {
            // A log is of its own block, whatever state is read.
            LogFacts { address, topics, data, height }.decided(tables.first()?, caller, resource)
        }
        Resource::Account(account) => fact(tables, asked, caller, account, |policy| policy.balance),
        Resource::Code(account) => fact(tables, asked, caller, account, |policy| policy.code),
        Resource::Storage(account) => fact(tables, asked, caller, account, |policy| policy.storage),
        _ => return None,
    };
    // What cannot be read is not shown.
    decided.unwrap_or(Some(Visibility::Absent))
}

/// Whether all tables allow it; `None` where today's has no rules of the account.
fn fact(
    tables: &[Arc<RuleTable>],
    asked: Height,
    caller: &Caller,
    account: Address,
    term: impl Fn(&Policy) -> Option<Term>,
) -> Result<Option<Visibility>, StateError> {
    if caller.controls(account) || caller.audits_all(asked) {
        return Ok(None);
    }
    let is_audited = caller.audits(account, asked);
    for table in tables {
        let Some(policy) = table.policy(account)? else { return Ok(None) };
        let term = term(&policy);
        let admitted = match term {
            Some(Term::Public) => true,
            Some(Term::Auditor) => is_audited,
            term => any(caller.accounts(), |viewer| admits_account(table, &policy, term, viewer))?,
        };
        if !admitted {
            return Ok(Some(Visibility::Absent));
        }
    }
    Ok(Some(Visibility::Full))
}

fn any(accounts: &[Address], admits: impl Fn(Address) -> Result<bool, StateError>) -> Result<bool, StateError> {
    for account in accounts {
        if admits(*account)? {
            return Ok(true);
        }
    }
    Ok(false)
}

struct LogFacts<'a> {
    address: Address,
    topics: &'a [B256],
    data: &'a [u8],
    height: Height,
}

impl LogFacts<'_> {
    /// Shown if the rule at its block and today's both allow it.
    fn decided(
        &self,
        today: &RuleTable,
        caller: &Caller,
        resource: Resource<'_>,
    ) -> Result<Option<Visibility>, StateError> {
        if caller.audits_all(self.height) {
            return Ok(None);
        }
        // What the members granted is about what no rule spoke of, too.
        let is_governed = |scope: AuditScope| scope.is_governed && scope.covers(self.address, self.height);
        let is_opened = caller.scope().is_some_and(is_governed);
        // Without a first topic there is no event to have a rule.
        let Some(topic0) = self.topics.first() else { return Ok(is_opened.then_some(Visibility::Full)) };
        if self.is_for_members(*topic0) && any(caller.accounts(), |account| today.is_member(account))? {
            return Ok(Some(Visibility::Full));
        }
        let policy = today.policy(self.address)?;
        // Rules of events hold as soon as they are set, whatever else has any.
        let rules_of = policy.map_or(self.address, |policy| policy.rules_of);
        let rules = today.event(rules_of, *topic0, self.height)?;
        if rules.then.is_none() && rules.now.is_none() && !is_opened {
            return Ok(None);
        }
        let then = if is_opened { None } else { Some(rules.then) };
        for rule in then.into_iter().chain([rules.now]) {
            let admitted = match rule {
                Some(rule) => self.admits(today, policy, &rule, caller)?,
                None => is_opened || concerning(caller, resource, None).is_visible(),
            };
            if !admitted {
                return Ok(Some(Visibility::Absent));
            }
        }
        Ok(Some(Visibility::Full))
    }

    fn admits(
        &self,
        table: &RuleTable,
        policy: Option<Policy>,
        rule: &Rule,
        caller: &Caller,
    ) -> Result<bool, StateError> {
        let accounts = caller.accounts();
        let rules_of = policy.map_or(self.address, |policy| policy.rules_of);
        for term in rule.terms() {
            let admitted = match term {
                Term::Public => true,
                Term::Session => !accounts.is_empty(),
                Term::Argument(operand) => accounts.iter().any(|account| self.names(operand, *account)),
                Term::Owner => policy.is_some_and(|policy| accounts.contains(&policy.owner)),
                Term::Role(role) => any(accounts, |member| table.has_role(rules_of, member, role))?,
                Term::Auditor => caller.audits(self.address, self.height),
                // No contract is asked about logs.
                Term::Custom(_) => false,
            };
            if admitted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_for_members(&self, topic0: B256) -> bool {
        let is_vote = self.address == VISIBILITY_ADDRESS && [AUDIT_GRANT_USED, AUDIT_APPROVED].contains(&topic0);
        // Who the nodes are is every member's to know and to decide.
        is_vote || self.address == NODES_ADDRESS
    }

    fn names(&self, operand: Operand, account: Address) -> bool {
        let word = match operand {
            Operand::Topic(number) => self.topics.get(usize::from(number)).map(B256::as_slice),
            Operand::Word(number) => {
                let start = 32 * usize::from(number);
                self.data.get(start..start + 32)
            }
        };
        word == Some(account.into_word().as_slice())
    }
}
