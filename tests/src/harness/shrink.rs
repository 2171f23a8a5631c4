//! From a pair that can be told apart to a small one that the same observer can tell apart.

use super::pair::{Cryptography, Difference, Verdict, compare};
use super::workload::{Item, Step, Workload};

/// Pairs that are run at most.
const MAX_RUNS: usize = 300;

struct Shrinking {
    workload: Workload,
    difference: Difference,
    runs: usize,
}

/// Makes a workload as small as it gets while the same observer sees a difference.
#[must_use]
pub(super) fn shrink(workload: &Workload, difference: &Difference) -> (Workload, Difference) {
    let mut shrinking = Shrinking { workload: workload.clone(), difference: difference.clone(), runs: 0 };
    loop {
        let before = shrinking.workload.clone();
        shrinking.drop_steps();
        shrinking.drop_items();
        shrinking.make_alike();
        if shrinking.workload == before || shrinking.runs >= MAX_RUNS {
            return (shrinking.workload, shrinking.difference);
        }
    }
}

impl Shrinking {
    /// Keeps a change if the same observer still sees a difference.
    fn try_change(&mut self, change: impl FnOnce(&mut Workload)) -> bool {
        let mut changed = self.workload.clone();
        change(&mut changed);
        if changed == self.workload || self.runs >= MAX_RUNS {
            return false;
        }
        self.runs += 1;
        for cryptography in [Cryptography::Ideal, Cryptography::Real] {
            if let Ok(Verdict::Distinguishing(difference)) = compare(&changed, cryptography)
                && difference.observer == self.difference.observer
            {
                (self.workload, self.difference) = (changed, *difference);
                return true;
            }
        }
        false
    }

    fn drop_steps(&mut self) {
        let mut at = 0;
        while at < self.workload.steps.len() {
            if !self.try_change(|workload| drop(workload.steps.remove(at))) {
                at += 1;
            }
        }
    }

    fn drop_items(&mut self) {
        for step in 0..self.workload.steps.len() {
            let mut at = 0;
            while at < items(&self.workload, step) {
                let dropped = self.try_change(|workload| {
                    if let Some(Step::Batch(items)) = workload.steps.get_mut(step) {
                        items.remove(at);
                    }
                });
                if !dropped {
                    at += 1;
                }
            }
        }
    }

    /// What is the same in both worlds is not what tells them apart.
    fn make_alike(&mut self) {
        for step in 0..self.workload.steps.len() {
            for at in 0..items(&self.workload, step) {
                self.try_change(|workload| {
                    if let Some(Step::Batch(items)) = workload.steps.get_mut(step)
                        && let Some(Item::Secret(first, second)) = items.get_mut(at)
                    {
                        *second = first.clone();
                    }
                });
            }
        }
    }
}

fn items(workload: &Workload, step: usize) -> usize {
    match workload.steps.get(step) {
        Some(Step::Batch(items)) => items.len(),
        _ => 0,
    }
}
