//! How much the console may say: everything while a person can read along, sums under load.

/// Lines that may come in one burst.
const BURST_LINES: u64 = 200;
/// Lines for each second after that.
const LINES_PER_SECOND: u64 = 50;
/// Blocks with more transactions are never shown one transaction at a time.
pub(super) const MAX_DETAILED_TRANSACTIONS: usize = 100;

/// How a block is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// The block and each of its transactions.
    Transactions,
    /// The block alone.
    Block,
    /// Not by itself: it is counted into the next summary.
    Counted,
}

/// A bucket of lines that refills over time.
#[derive(Debug)]
pub(super) struct Budget {
    /// Thousandths of a line.
    tokens_milli: u64,
    last_ms: u64,
}

impl Budget {
    pub(super) const fn new(now_ms: u64) -> Self {
        Self { tokens_milli: BURST_LINES * 1_000, last_ms: now_ms }
    }

    /// Decides about a block with so many transactions, and pays for its lines.
    pub(super) fn spend(&mut self, now_ms: u64, transactions: usize) -> Detail {
        let elapsed_ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = self.last_ms.max(now_ms);
        self.tokens_milli =
            self.tokens_milli.saturating_add(elapsed_ms.saturating_mul(LINES_PER_SECOND)).min(BURST_LINES * 1_000);
        let all = 1 + transactions as u64;
        if transactions <= MAX_DETAILED_TRANSACTIONS && self.take(all) {
            Detail::Transactions
        } else if self.take(1) {
            Detail::Block
        } else {
            Detail::Counted
        }
    }

    const fn take(&mut self, lines: u64) -> bool {
        match self.tokens_milli.checked_sub(lines * 1_000) {
            Some(rest) => {
                self.tokens_milli = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_node_shows_everything() {
        let mut budget = Budget::new(0);
        for second in 0..1_000 {
            assert_eq!(budget.spend(second * 1_000, 20), Detail::Transactions);
        }
    }

    #[test]
    fn large_blocks_show_one_line() {
        let mut budget = Budget::new(0);
        assert_eq!(budget.spend(0, 101), Detail::Block);
        assert_eq!(budget.spend(0, 10_000), Detail::Block);
        assert_eq!(budget.spend(0, 100), Detail::Transactions);
    }

    #[test]
    fn under_load_lines_stay_bounded_and_come_back_afterwards() {
        let mut budget = Budget::new(0);
        // A thousand blocks of one transaction in a second.
        let shown = (0..1_000).map(|ms| budget.spend(ms, 1)).filter(|detail| *detail != Detail::Counted).count();
        assert!(shown <= 250, "{shown}");
        // A line is earned every 20 ms; the last one went to the block at 1 s.
        assert_eq!(budget.spend(1_000, 1), Detail::Block);
        assert_eq!(budget.spend(1_001, 1), Detail::Counted);
        assert_eq!(budget.spend(3_000, 1), Detail::Transactions);
        // A clock that goes back neither helps nor harms.
        assert_eq!(budget.spend(0, 1), Detail::Transactions);
    }
}
