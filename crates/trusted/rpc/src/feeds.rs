//! What subscribers are told about a block, worked out once for all who listen to the same thing as the
//! same caller: a thousand of them cost one search through the logs and one serialisation.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use alloy_primitives::B256;
use cloister_access::Caller;
use cloister_core::{CommittedBlock, Reader};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{convert::HeaderJson, logs::LogFilter};

/// Blocks whose texts are kept for subscribers that are a little behind. Those further behind work them out again.
const KEPT_BLOCKS: usize = 16;

/// Feeds there may be before those are swept out that nobody listens to.
const SWEEP_FROM: usize = 64;

/// What a feed is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    NewHeads,
    Logs(LogFilter),
}

/// Who listens to what. Different callers never share a feed: what they may see can differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    caller: Caller,
    subject: Subject,
}

/// The texts of one block's notifications, in order.
pub(crate) type Texts = Arc<[Box<RawValue>]>;

/// One subject for one caller.
#[derive(Debug)]
pub(crate) struct Feed {
    subject: Subject,
    recent: Mutex<VecDeque<(B256, Texts)>>,
}

/// All feeds that somebody listens to.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    live: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    feeds: HashMap<Key, Weak<Feed>>,
    sweep_at: usize,
}

impl Default for Live {
    fn default() -> Self {
        Self { feeds: HashMap::new(), sweep_at: SWEEP_FROM }
    }
}

/// A panic while one of these locks was held leaves what is behind it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feeds {
    /// The feed of this subject for this caller; it lives as long as somebody holds it.
    pub(crate) fn join(&self, caller: &Caller, subject: Subject) -> Arc<Feed> {
        let mut live = lock(&self.live);
        let key = Key { caller: caller.clone(), subject };
        if let Some(feed) = live.feeds.get(&key).and_then(Weak::upgrade) {
            return feed;
        }
        if live.feeds.len() >= live.sweep_at {
            live.feeds.retain(|_, feed| feed.strong_count() > 0);
            live.sweep_at = SWEEP_FROM.max(2 * live.feeds.len());
        }
        let feed = Arc::new(Feed { subject: key.subject.clone(), recent: Mutex::default() });
        live.feeds.insert(key, Arc::downgrade(&feed));
        feed
    }
}

impl Feed {
    /// What to say about a block, with the eyes of the caller whose feed this is.
    pub(crate) fn about(&self, reader: Reader<'_>, block: &CommittedBlock) -> Texts {
        let hash = block.hash();
        let mut recent = lock(&self.recent);
        if let Some((_, texts)) = recent.iter().find(|(known, _)| *known == hash) {
            return texts.clone();
        }
        let seen = reader.open(&block.stored());
        let texts: Texts = match &self.subject {
            Subject::NewHeads => text(&HeaderJson(seen)).into_iter().collect(),
            Subject::Logs(filter) => filter.of_block(&seen).iter().filter_map(text).collect(),
        };
        if recent.len() >= KEPT_BLOCKS {
            recent.pop_front();
        }
        recent.push_back((hash, texts.clone()));
        texts
    }
}

fn text(value: &impl Serialize) -> Option<Box<RawValue>> {
    // Headers and logs have no value that JSON cannot say.
    to_raw_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_caller_and_subject_share_a_feed_and_others_do_not() {
        let feeds = Feeds::default();
        let filter = |topic: u8| Subject::Logs(LogFilter::of_topic(B256::repeat_byte(topic)));
        let one = feeds.join(&Caller::Anonymous, filter(1));
        assert!(Arc::ptr_eq(&one, &feeds.join(&Caller::Anonymous, filter(1))));
        for (caller, subject) in
            [(Caller::Anonymous, filter(2)), (Caller::Anonymous, Subject::NewHeads), (Caller::Development, filter(1))]
        {
            assert!(!Arc::ptr_eq(&one, &feeds.join(&caller, subject)));
        }
    }

    #[test]
    fn feeds_that_nobody_listens_to_are_swept_out() {
        let feeds = Feeds::default();
        let held = feeds.join(&Caller::Anonymous, Subject::NewHeads);
        for number in 0..10 * SWEEP_FROM as u64 {
            let topic = B256::from(alloy_primitives::U256::from(number));
            drop(feeds.join(&Caller::Anonymous, Subject::Logs(LogFilter::of_topic(topic))));
        }
        assert!(lock(&feeds.live).feeds.len() <= SWEEP_FROM);
        assert!(Arc::ptr_eq(&held, &feeds.join(&Caller::Anonymous, Subject::NewHeads)));
    }
}
