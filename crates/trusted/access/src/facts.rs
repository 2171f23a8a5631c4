//! What contracts' rules say about resources.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use cloister_governance::{Operand, Policy, Rule, RuleTable, Term};
use cloister_state::StateError;

use crate::ruled::{admits_account, audits};
use crate::{Caller, Moment, Resource, Tables, Visibility, concerning};

/// What the rules decide; `None` where they have nothing to say.
pub(crate) fn by_rules(tables: &Tables, caller: &Caller, resource: Resource<'_>) -> Option<Visibility> {
    let (tables, moment) = match (tables, resource) {
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
        (Tables::All(tables, moment), _) => (tables, *moment),
    };
    let decided = match resource {
        Resource::Log { address, topics, data, height } => {
            let log = LogFacts { address, topics, data };
            // A log is of its own block, whatever state is read.
            let moment = Moment { asked: height, ..moment };
            log.decided(tables.first()?, caller, moment, resource)
        }
        Resource::Account(account) => fact(tables, moment, caller, account, |policy| policy.balance),
        Resource::Code(account) => fact(tables, moment, caller, account, |policy| policy.code),
        Resource::Storage(account) => fact(tables, moment, caller, account, |policy| policy.storage),
        _ => return None,
    };
    // What cannot be read is not shown.
    decided.unwrap_or(Some(Visibility::Absent))
}

/// Whether all tables allow it; `None` where today's has no rules of the account.
fn fact(
    tables: &[Arc<RuleTable>],
    moment: Moment,
    caller: &Caller,
    account: Address,
    term: impl Fn(&Policy) -> Option<Term>,
) -> Result<Option<Visibility>, StateError> {
    if caller.controls(account) {
        return Ok(None);
    }
    let audited = tables.first().map(|today| (&**today, moment));
    for table in tables {
        let Some(policy) = table.policy(account)? else { return Ok(None) };
        let term = term(&policy);
        let admitted = match (term, caller) {
            (Some(Term::Public), _) => true,
            (_, Caller::Session(accounts)) => {
                any(accounts, |viewer| admits_account(table, &policy, term, viewer, audited))?
            }
            (_, Caller::Anonymous | Caller::Development) => false,
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
}

impl LogFacts<'_> {
    /// Shown if the rule at its block and today's both allow it.
    fn decided(
        &self,
        today: &RuleTable,
        caller: &Caller,
        moment: Moment,
        resource: Resource<'_>,
    ) -> Result<Option<Visibility>, StateError> {
        // Without a first topic there is no event to have a rule.
        let Some(topic0) = self.topics.first() else { return Ok(None) };
        let policy = today.policy(self.address)?;
        // Rules of events hold as soon as they are set, whatever else has any.
        let rules_of = policy.map_or(self.address, |policy| policy.rules_of);
        let rules = today.event(rules_of, *topic0, moment.asked)?;
        if rules.then.is_none() && rules.now.is_none() {
            return Ok(None);
        }
        for rule in [rules.then, rules.now] {
            let admitted = match rule {
                Some(rule) => self.admits(today, policy, &rule, caller, moment)?,
                None => concerning(caller, resource).is_visible(),
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
        moment: Moment,
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
                Term::Auditor => any(accounts, |viewer| audits(table, rules_of, viewer, moment))?,
                // No contract is asked about logs.
                Term::Custom(_) => false,
            };
            if admitted {
                return Ok(true);
            }
        }
        Ok(false)
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
