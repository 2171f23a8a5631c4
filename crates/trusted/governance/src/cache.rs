//! What is known of rules, shared by all tables that hold the same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use alloy_primitives::{Address, B256, U256};
use cloister_state::StateView;

use crate::rule::{EventRule, FunctionKey};
use crate::table::RuleTable;

/// Revisions whose rules stay known. Readers ask by today's and by those of the height they look at.
const KEPT_REVISIONS: usize = 16;

/// Words that are known of one revision at most. Where strangers ask for more, all are read again.
const MAX_WORDS: usize = 1 << 16;

/// Event's versions that are known of one revision at most.
const MAX_EVENTS: usize = 1 << 12;

/// Tables of rules: those of the same revision share what was read of them, so that a rule is read from the state once
/// until some rule changes, not in each block and for each question.
#[derive(Clone, Debug, Default)]
pub struct RuleCache(Arc<Mutex<VecDeque<Revision>>>);

#[derive(Debug)]
struct Revision {
    revision: B256,
    known: Arc<Known>,
}

impl RuleCache {
    /// The rules that `view` holds. In blocks they hold from the next one on.
    #[must_use]
    pub fn table(&self, view: StateView) -> RuleTable {
        match RuleTable::revision(&view) {
            Ok(revision) => RuleTable::new(view, self.of(revision)),
            // A table whose view has nothing more to say, as whoever asks it will hear.
            Err(_) => RuleTable::new(view, Arc::default()),
        }
    }

    fn of(&self, revision: B256) -> Arc<Known> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.iter().find(|kept| kept.revision == revision) {
            return Arc::clone(&kept.known);
        }
        let known = Arc::<Known>::default();
        kept.push_front(Revision { revision, known: Arc::clone(&known) });
        kept.truncate(KEPT_REVISIONS);
        known
    }
}

/// What a word of the contract's storage is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Head(Address),
    Function(Address, FunctionKey),
    Roles(Address, Address),
    Delegation(Address, Address),
    Judge(Address, u8),
    Template(Address),
    Audit(Address, Address),
    Member(Address),
}

/// All rules that an event had.
type Versions = Arc<[EventRule]>;

/// What was read of one revision's rules.
#[derive(Debug, Default)]
pub(crate) struct Known {
    words: RwLock<BTreeMap<Key, U256>>,
    versions: RwLock<BTreeMap<(Address, B256), Versions>>,
}

impl Known {
    // Entries are written whole: what a panic left behind a lock is as good as ever.

    pub(crate) fn word(&self, key: Key) -> Option<U256> {
        self.words.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    pub(crate) fn learn_word(&self, key: Key, word: U256) {
        let mut words = self.words.write().unwrap_or_else(PoisonError::into_inner);
        if words.len() >= MAX_WORDS {
            words.clear();
        }
        words.insert(key, word);
    }

    pub(crate) fn versions(&self, account: Address, topic0: B256) -> Option<Versions> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner).get(&(account, topic0)).cloned()
    }

    pub(crate) fn learn_versions(&self, account: Address, topic0: B256, read: Vec<EventRule>) -> Versions {
        let read: Versions = read.into();
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        if versions.len() >= MAX_EVENTS {
            versions.clear();
        }
        versions.insert((account, topic0), Arc::clone(&read));
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_share_what_is_known_until_too_many_came_after_them() {
        let cache = RuleCache::default();
        let revision = |number: usize| B256::from(U256::from(number));
        let first = cache.of(revision(0));
        first.learn_word(Key::Head(Address::ZERO), U256::from(7));
        assert_eq!(cache.of(revision(0)).word(Key::Head(Address::ZERO)), Some(U256::from(7)));
        assert_eq!(cache.of(revision(1)).word(Key::Head(Address::ZERO)), None, "other rules");
        for number in 2..=KEPT_REVISIONS {
            let _ = cache.of(revision(number));
        }
        assert_eq!(cache.of(revision(0)).word(Key::Head(Address::ZERO)), None, "forgotten");
    }

    #[test]
    fn strangers_cannot_make_it_grow() {
        let known = Known::default();
        for number in 0..=MAX_WORDS {
            known.learn_word(Key::Head(Address::from_word(U256::from(number).into())), U256::ZERO);
        }
        assert!(known.words.read().expect("no panic").len() <= MAX_WORDS);
        for number in 0..=MAX_EVENTS {
            let _ = known.learn_versions(Address::ZERO, B256::from(U256::from(number)), Vec::new());
        }
        assert!(known.versions.read().expect("no panic").len() <= MAX_EVENTS);
    }
}
