//! Sections in memory, within a budget.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use cloister_primitives::Height;

use super::Section;

/// Sections at hand. The one that came first goes first: readers change nothing, so the order depends on what the
/// core was told and on nothing else.
#[derive(Debug, Default)]
pub(crate) struct ResidentSections {
    by_last: BTreeMap<Height, Arc<Section>>,
    order: VecDeque<Height>,
    bytes: usize,
}

impl ResidentSections {
    pub(crate) fn get(&self, last: Height) -> Option<&Arc<Section>> {
        self.by_last.get(&last)
    }

    /// Adds a section and lets older ones go until the budget is kept; the new one stays in any case.
    pub(crate) fn insert(&mut self, section: Arc<Section>, budget: usize) {
        let last = section.last();
        self.remove(last);
        self.bytes += section.resident_bytes();
        self.order.push_back(last);
        self.by_last.insert(last, section);
        while self.bytes > budget && self.order.len() > 1 {
            if let Some(oldest) = self.order.front().copied() {
                self.remove(oldest);
            }
        }
    }

    /// Forgets sections that reach beyond `height`.
    pub(crate) fn truncate(&mut self, height: Height) {
        let gone: Vec<_> = self.by_last.range(height.next()..).map(|(last, _)| *last).collect();
        gone.into_iter().for_each(|last| self.remove(last));
    }

    fn remove(&mut self, last: Height) {
        if let Some(section) = self.by_last.remove(&last) {
            self.bytes = self.bytes.saturating_sub(section.resident_bytes());
            self.order.retain(|other| *other != last);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::log_index::SectionDraft;

    fn section(last: u64) -> Arc<Section> {
        Arc::new(SectionDraft::default().finish(Height(last), B256::ZERO))
    }

    fn kept(sections: &ResidentSections) -> Vec<u64> {
        sections.by_last.keys().map(|last| last.0).collect()
    }

    #[test]
    fn what_came_first_goes_first_and_the_newest_stays() {
        let size = section(0).resident_bytes();
        let mut sections = ResidentSections::default();
        for last in [9, 1, 5] {
            sections.insert(section(last), 2 * size);
        }
        assert_eq!(kept(&sections), [1, 5]);
        sections.insert(section(1), 2 * size);
        sections.insert(section(7), 2 * size);
        assert_eq!(kept(&sections), [1, 7], "a section that came again counts from then");
        sections.insert(section(8), 0);
        assert_eq!((kept(&sections), sections.bytes), (vec![8], size));
    }

    #[test]
    fn going_back_forgets_what_reaches_beyond() {
        let mut sections = ResidentSections::default();
        for last in [1, 5, 9] {
            sections.insert(section(last), usize::MAX);
        }
        sections.truncate(Height(5));
        assert_eq!(kept(&sections), [1, 5]);
        assert_eq!(sections.bytes, 2 * section(0).resident_bytes());
        assert_eq!(sections.order.len(), 2);
    }
}
