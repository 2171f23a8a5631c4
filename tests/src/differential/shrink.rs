//! From a case that fails to a small one that fails in the same way.

use alloy_primitives::{Bytes, U256};

use super::case::{Case, Kind, Sent, Step, StoreKind};
use super::{Difference, Fault, check};

/// Runs that are made at most.
const MAX_RUNS: usize = 4_000;

/// A case that fails, made smaller and smaller.
struct Shrinking {
    case: Case,
    difference: Difference,
    fault: Fault,
    runs: usize,
}

/// Makes a case that fails with `difference` as small as it gets while the same field still differs.
#[must_use]
pub fn shrink(case: &Case, difference: &Difference, fault: Fault) -> (Case, Difference) {
    let mut shrinking = Shrinking { case: case.clone(), difference: difference.clone(), fault, runs: 0 };
    shrinking.try_change(|case| case.steps.truncate(difference.step + 1));
    loop {
        let before = shrinking.case.clone();
        shrinking.drop_steps();
        shrinking.drop_transactions();
        shrinking.simplify_chain();
        shrinking.drop_accounts();
        shrinking.simplify_transactions();
        shrinking.cut_bytes();
        if shrinking.case == before || shrinking.runs >= MAX_RUNS {
            return (shrinking.case, shrinking.difference);
        }
    }
}

impl Shrinking {
    /// Keeps a change if the same field differs after it.
    fn try_change(&mut self, change: impl FnOnce(&mut Case)) -> bool {
        let mut changed = self.case.clone();
        change(&mut changed);
        if changed == self.case || self.runs >= MAX_RUNS {
            return false;
        }
        self.runs += 1;
        match check(&changed, self.fault) {
            Err(difference) if difference.field == self.difference.field => {
                (self.case, self.difference) = (changed, difference);
                true
            }
            _ => false,
        }
    }

    /// Drops ranges of a list of `length` things, halves first and single ones last.
    fn drop_ranges(&mut self, length: impl Fn(&Case) -> usize, drop: impl Fn(&mut Case, core::ops::Range<usize>)) {
        let mut size = length(&self.case);
        while size > 0 {
            let mut start = 0;
            while start < length(&self.case) {
                let end = (start + size).min(length(&self.case));
                if !self.try_change(|case| drop(case, start..end)) {
                    start = end;
                }
            }
            size /= 2;
        }
    }

    fn drop_steps(&mut self) {
        self.drop_ranges(|case| case.steps.len(), |case, range| drop(case.steps.drain(range)));
    }

    fn drop_transactions(&mut self) {
        for step in 0..self.case.steps.len() {
            self.drop_ranges(
                |case| transactions(case, step).len(),
                |case, range| {
                    if let Some(Step::Send(batch)) = case.steps.get_mut(step) {
                        drop(batch.transactions.drain(range));
                    }
                },
            );
        }
    }

    fn simplify_chain(&mut self) {
        let changes: [fn(&mut Case); 6] = [
            |case| case.upgrade = None,
            |case| case.refuse_tails_one_in = None,
            |case| case.store = StoreKind::Memory,
            |case| case.snapshot_every_blocks = 1_024,
            |case| case.excess_blob_gas = 0,
            |case| case.gas_limit = 30_000_000,
        ];
        for change in changes {
            self.try_change(change);
        }
        for step in 0..self.case.steps.len() {
            self.try_change(|case| {
                if let Some(Step::Send(batch)) = case.steps.get_mut(step) {
                    (batch.crash, batch.beneficiary, batch.seconds) = (None, None, 1);
                }
            });
        }
    }

    fn drop_accounts(&mut self) {
        for address in self.case.accounts.keys().copied().collect::<Vec<_>>() {
            if self.try_change(|case| drop(case.accounts.remove(&address))) {
                continue;
            }
            let mut change = |change: fn(&mut super::case::Allocated)| {
                self.try_change(|case| case.accounts.entry(address).and_modify(change).or_default().nonce += 0);
            };
            change(|account| account.code = Bytes::new());
            change(|account| account.storage.clear());
        }
    }

    fn simplify_transactions(&mut self) {
        let changes: [fn(&mut Sent); 7] = [
            |sent| sent.input = Bytes::new(),
            |sent| sent.value = U256::ZERO,
            |sent| sent.access_list.clear(),
            |sent| sent.authorizations.truncate(1),
            |sent| (sent.premium, sent.tip) = (0, 0),
            |sent| {
                if sent.kind != Kind::SetCode {
                    sent.kind = Kind::Legacy;
                }
            },
            |sent| sent.gas = 1_000_000,
        ];
        for (step, index) in self.places() {
            for change in changes {
                self.try_change(|case| with_transaction(case, step, index, change));
            }
        }
    }

    fn places(&self) -> Vec<(usize, usize)> {
        let steps = 0..self.case.steps.len();
        steps.flat_map(|step| (0..transactions(&self.case, step).len()).map(move |index| (step, index))).collect()
    }

    /// Cuts codes and inputs, piece by piece.
    fn cut_bytes(&mut self) {
        for address in self.case.accounts.keys().copied().collect::<Vec<_>>() {
            self.drop_ranges(
                |case| case.accounts.get(&address).map_or(0, |account| account.code.len()),
                |case, range| {
                    if let Some(account) = case.accounts.get_mut(&address) {
                        account.code = cut(&account.code, range);
                    }
                },
            );
        }
        for (step, index) in self.places() {
            self.drop_ranges(
                |case| transactions(case, step).get(index).map_or(0, |sent| sent.input.len()),
                |case, range| with_transaction(case, step, index, |sent| sent.input = cut(&sent.input, range)),
            );
        }
    }
}

fn cut(bytes: &Bytes, range: core::ops::Range<usize>) -> Bytes {
    [&bytes[..range.start], &bytes[range.end..]].concat().into()
}

fn transactions(case: &Case, step: usize) -> &[Sent] {
    match case.steps.get(step) {
        Some(Step::Send(batch)) => &batch.transactions,
        _ => &[],
    }
}

fn with_transaction(case: &mut Case, step: usize, index: usize, change: impl FnOnce(&mut Sent)) {
    if let Some(Step::Send(batch)) = case.steps.get_mut(step)
        && let Some(sent) = batch.transactions.get_mut(index)
    {
        change(sent);
    }
}
