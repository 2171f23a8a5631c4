//! Audits, and what is said of their use.

use alloy_primitives::U256;
use cloister_primitives::Height;

/// What an auditor may ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The first block.
    pub first: Height,
    /// The last block.
    pub last: Height,
    /// Whether the members granted it, and not the owner of rules.
    pub is_governed: bool,
    until_s: u64,
}

impl Audit {
    const GOVERNED: usize = 192;

    pub(crate) const fn from_word(word: U256) -> Self {
        let is_governed = word.bit(Self::GOVERNED);
        let [first, last, until_s, _] = word.into_limbs();
        Self { first: Height(first), last: Height(last), is_governed, until_s }
    }

    /// Whether it is about any block, and lasts.
    #[must_use]
    pub const fn lasts(&self, now_s: u64) -> bool {
        now_s < self.until_s
    }
}

/// What an auditor said, on the ledger, that he is going to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditUse {
    /// The first block that he asks about.
    pub first: Height,
    /// The last block that he asks about.
    pub last: Height,
    /// The block in which he said so.
    pub said: Height,
    /// How many requests he makes.
    pub reads: u32,
    /// How often he has said something; zero where he never did.
    pub number: u32,
}

impl AuditUse {
    /// So many blocks after the one in which it was said, it has ended.
    pub const BLOCKS: u64 = 1_024;

    pub(crate) const fn from_word(word: U256) -> Self {
        let [first, last, said, rest] = word.into_limbs();
        // The lower half, and the upper one.
        let (reads, number) = (rest as u32, (rest >> 32) as u32);
        Self { first: Height(first), last: Height(last), said: Height(said), reads, number }
    }

    /// Whether it has been said and goes on at this height.
    #[must_use]
    pub const fn goes_on(&self, head: Height) -> bool {
        self.number != 0 && head.0 < self.said.0.saturating_add(Self::BLOCKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_ends_and_none_never_began() {
        let audit = Audit::from_word(U256::from_limbs([3, 5, 100, 0]));
        assert_eq!((audit.first, audit.last, audit.is_governed), (Height(3), Height(5), false));
        assert!(audit.lasts(99) && !audit.lasts(100));
        assert!(!Audit::from_word(U256::ZERO).lasts(0));
        assert!(Audit::from_word(U256::from_limbs([3, 5, 100, 1])).is_governed);
    }

    #[test]
    fn a_use_goes_on_for_some_blocks() {
        let said = AuditUse::from_word(U256::from_limbs([3, 5, 7, (2 << 32) | 9]));
        assert_eq!((said.first, said.last, said.said), (Height(3), Height(5), Height(7)));
        assert_eq!((said.reads, said.number), (9, 2));
        assert!(said.goes_on(Height(7)) && said.goes_on(Height(6 + AuditUse::BLOCKS)));
        assert!(!said.goes_on(Height(7 + AuditUse::BLOCKS)));
        assert!(!AuditUse::from_word(U256::ZERO).goes_on(Height(0)), "nothing was said");
    }
}
