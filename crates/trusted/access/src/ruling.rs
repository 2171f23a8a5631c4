//! What the rules of a contract say about one frame on its storage.

use alloy_primitives::Address;
use cloister_execution::FrameFacts;
use cloister_governance::{FunctionKey, FunctionRule, Operand, Policy, Rule, RuleTable, Term};
use cloister_state::StateError;

use crate::ruled::Purpose;

/// What one table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    Refused,
    /// Any of these contracts may admit it.
    Asks(Vec<Address>),
}

impl From<bool> for Verdict {
    fn from(is_admitted: bool) -> Self {
        if is_admitted { Self::Admitted } else { Self::Refused }
    }
}

impl Verdict {
    /// What both say together. A contract is asked in the place of one of them only: where both ask, nobody is admitted
    /// without either having said yes, and that takes two inquiries; no such pair of rules is worth them.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Admitted, verdict) | (verdict, Self::Admitted) => verdict,
            (Self::Asks(_), Self::Asks(_)) => Self::Refused,
        }
    }
}

/// One frame on ruled storage.
pub(crate) struct Ruling<'a> {
    pub(crate) table: &'a RuleTable,
    pub(crate) policy: Policy,
    pub(crate) frame: &'a FrameFacts<'a>,
    pub(crate) purpose: &'a Purpose,
    /// In whose name it asks.
    pub(crate) viewers: &'a [Address],
}

impl Ruling<'_> {
    pub(crate) fn decides(&self) -> Result<Verdict, StateError> {
        let frame = self.frame;
        let is_delegated = frame.kind.is_delegated();
        // Who calls himself has been admitted already.
        if !is_delegated && frame.depth > 0 && Some(frame.caller) == frame.storage_address {
            return Ok(Verdict::Admitted);
        }
        // Code may read a selector out of fewer bytes: what is missing reads as zero.
        let mut selector = [0; 4];
        let given = frame.input.len().min(4);
        selector[..given].copy_from_slice(&frame.input[..given]);
        let named = match self.function(FunctionKey::Selector(selector))? {
            Some(rule) => Some(self.by_rule(&rule)?),
            None => None,
        };
        match named {
            // The frame that started this one was admitted.
            None if is_delegated => Ok(Verdict::Admitted),
            Some(verdict) if is_delegated || given == 4 => Ok(verdict),
            // Whatever the code takes it for, that rule holds.
            Some(verdict) => Ok(verdict.and(self.unnamed(given)?)),
            None => self.unnamed(given),
        }
    }

    /// What is said of calls that name no function on the list.
    fn unnamed(&self, given: usize) -> Result<Verdict, StateError> {
        let receive = if given == 0 { self.function(FunctionKey::Receive)? } else { None };
        match receive.map_or_else(|| self.function(FunctionKey::Fallback), |rule| Ok(Some(rule)))? {
            Some(rule) => self.by_rule(&rule),
            None => Ok(Verdict::Refused),
        }
    }

    fn function(&self, key: FunctionKey) -> Result<Option<FunctionRule>, StateError> {
        self.table.function(self.policy.rules_of, key)
    }

    fn by_rule(&self, rule: &FunctionRule) -> Result<Verdict, StateError> {
        let rule: &Rule = match self.purpose {
            Purpose::Block => &rule.execute,
            Purpose::Query(_) | Purpose::Trace(_) => &rule.query,
        };
        let mut judges = Vec::new();
        for term in rule.terms() {
            if let Term::Custom(number) = term {
                judges.extend(self.table.judge(self.policy.rules_of, number)?);
            } else if self.admitted_as(term)? {
                return Ok(Verdict::Admitted);
            }
        }
        Ok(if judges.is_empty() { Verdict::Refused } else { Verdict::Asks(judges) })
    }

    fn admitted_as(&self, term: Term) -> Result<bool, StateError> {
        let viewers = self.viewers;
        Ok(match term {
            Term::Public => true,
            Term::Session => self.is_signed(),
            Term::Owner => viewers.contains(&self.policy.owner),
            Term::Role(role) => {
                for viewer in viewers {
                    if self.table.has_role(self.policy.rules_of, *viewer, role)? {
                        return Ok(true);
                    }
                }
                false
            }
            Term::Argument(Operand::Word(number)) => {
                let start = 4 + 32 * usize::from(number);
                let word = self.frame.input.get(start..start + 32);
                viewers.iter().any(|viewer| word == Some(viewer.into_word().as_slice()))
            }
            // A contract in between asks as itself, and audits nothing.
            Term::Auditor => self.purpose.asker().is_some_and(|asker| {
                let asks = viewers.iter().any(|viewer| asker.accounts.contains(viewer));
                asks && self.frame.storage_address.is_some_and(|storage| asker.audits(storage))
            }),
            Term::Argument(Operand::Topic(_)) | Term::Custom(_) => false,
        })
    }

    /// Whether an account asks that somebody has proved to control: who signed the transaction, or who signed in.
    fn is_signed(&self) -> bool {
        match self.purpose {
            Purpose::Block => self.viewers.contains(&self.frame.origin),
            Purpose::Query(asker) | Purpose::Trace(asker) => {
                self.viewers.iter().any(|viewer| asker.accounts.contains(viewer))
            }
        }
    }
}
