//! Rules as their words of storage say them.

use alloy_primitives::B256;

/// Terms that one rule has room for.
pub const MAX_TERMS: usize = 7;

const TERMS_BYTES: usize = 2 * MAX_TERMS;

/// One way to be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// Everyone.
    Public,
    /// Any account that somebody has proved to control: who signed the transaction, or in whose session is asked.
    Session,
    /// Whoever stands in this place.
    Argument(Operand),
    /// The owner of the rules.
    Owner,
    /// Members with this role.
    Role(u8),
    /// Whom the judge of this number admits.
    Custom(u8),
    /// Who audits the block that is asked about.
    Auditor,
}

/// Where an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// In this 32-byte word of a function's arguments, or of an event's data.
    Word(u8),
    /// In this topic of an event.
    Topic(u8),
}

impl Operand {
    const TOPIC: u8 = 0x80;

    const fn from_byte(byte: u8) -> Self {
        if byte & Self::TOPIC == 0 { Self::Word(byte) } else { Self::Topic(byte & !Self::TOPIC) }
    }
}

impl Term {
    /// `None` where nobody is meant, also by what is not understood.
    pub(crate) const fn from_bytes([kind, operand]: [u8; 2]) -> Option<Self> {
        match kind {
            1 => Some(Self::Public),
            2 => Some(Self::Session),
            3 => Some(Self::Argument(Operand::from_byte(operand))),
            4 => Some(Self::Owner),
            5 => Some(Self::Role(operand)),
            6 => Some(Self::Custom(operand)),
            7 => Some(Self::Auditor),
            _ => None,
        }
    }
}

/// Who is admitted: whom any of the terms admits; nobody if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule([Option<Term>; MAX_TERMS]);

impl Rule {
    /// The terms.
    pub fn terms(&self) -> impl Iterator<Item = Term> {
        self.0.iter().copied().flatten()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut terms = [None; MAX_TERMS];
        for (term, pair) in terms.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *term = Term::from_bytes(*pair);
        }
        Self(terms)
    }
}

/// What names a function in a contract's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionKey {
    /// Its selector.
    Selector([u8; 4]),
    /// Calls without calldata.
    Receive,
    /// Calls that no other function answers.
    Fallback,
}

impl FunctionKey {
    pub(crate) fn word(self) -> B256 {
        match self {
            Self::Selector(selector) => B256::right_padding_from(&selector),
            Self::Receive => B256::with_last_byte(1),
            Self::Fallback => B256::with_last_byte(2),
        }
    }
}

/// The rules of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRule {
    /// Outside transactions.
    pub query: Rule,
    /// In frames of transactions.
    pub execute: Rule,
}

impl FunctionRule {
    const LISTED: usize = 28;

    /// `None` where the function is not on the list.
    pub(crate) fn from_word(word: B256) -> Option<Self> {
        (word[Self::LISTED] != 0).then(|| Self {
            query: Rule::from_bytes(&word[..TERMS_BYTES]),
            execute: Rule::from_bytes(&word[TERMS_BYTES..2 * TERMS_BYTES]),
        })
    }
}

/// A rule that an event had from a block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRule {
    /// The first block it held in.
    pub since: u64,
    /// `None` where the event was taken off the list.
    pub rule: Option<Rule>,
}

impl EventRule {
    const LISTED: usize = 14;

    pub(crate) fn from_word(word: B256) -> Self {
        let mut since = [0; 8];
        since.copy_from_slice(&word[24..]);
        Self {
            since: u64::from_be_bytes(since),
            rule: (word[Self::LISTED] != 0).then(|| Rule::from_bytes(&word[..TERMS_BYTES])),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    #[test]
    fn a_word_says_both_rules_of_a_function() {
        let word = b256!("0x0300050000000000000000000000010000000000000000000000000001000000");
        let rule = FunctionRule::from_word(word).expect("it is listed");
        let terms: Vec<_> = rule.query.terms().collect();
        assert_eq!(terms, [Term::Argument(Operand::Word(0)), Term::Role(0)]);
        assert_eq!(rule.execute.terms().collect::<Vec<_>>(), [Term::Public]);
        assert_eq!(FunctionRule::from_word(B256::ZERO), None);
    }

    #[test]
    fn what_is_not_understood_admits_nobody() {
        for kind in [0, 8, 0x7f, 0xff] {
            assert_eq!(Term::from_bytes([kind, 1]), None);
        }
        let rule = FunctionRule::from_word(B256::with_last_byte(0));
        assert_eq!(rule, None);
    }

    #[test]
    fn an_event_rule_says_since_when() {
        let word = b256!("0x0381020000000000000000000000010000000000000000000000000000000009");
        let event = EventRule::from_word(word);
        assert_eq!(event.since, 9);
        let terms: Vec<_> = event.rule.iter().flat_map(Rule::terms).collect();
        assert_eq!(terms, [Term::Argument(Operand::Topic(1)), Term::Session]);
        assert_eq!(EventRule::from_word(B256::with_last_byte(9)), EventRule { since: 9, rule: None });
    }
}
