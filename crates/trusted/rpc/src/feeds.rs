//! What subscribers are told about new blocks, worked out once for all who listen to the same thing as the
//! same caller: a thousand of them cost one search through the logs and one serialisation, and those whom a
//! block does not concern are not even woken.

use std::{collections::HashMap, sync::Arc};

use cloister_access::Caller;
use cloister_core::{BlockLogs, CommittedBlock, Event, Ledger, LogPlaces};
use cloister_primitives::Protection;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc, oneshot,
};

use crate::{
    convert::{HeaderJson, Written},
    logs::LogFilter,
};

/// Blocks a subscriber may be behind before it loses some.
const FEED_BACKLOG: usize = 256;

/// Feeds worked out and listeners told before other tasks get their turn: all of them at once would keep a thread from
/// everything else for as long as it takes to write to each.
const PER_TURN: usize = 64;

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

/// Hears what is to be said about each block that is committed from now on. Its end means that blocks were lost.
pub(crate) type Hearing = broadcast::Receiver<Texts>;

#[derive(Debug)]
struct Join {
    key: Key,
    hearing: oneshot::Sender<Hearing>,
}

/// A line to the task that works the feeds out.
#[derive(Clone, Debug)]
pub(crate) struct Feeds {
    joins: mpsc::UnboundedSender<Join>,
}

impl Feeds {
    /// Starts the task; it ends with the node.
    pub(crate) fn start(ledger: Ledger, events: broadcast::Receiver<Event>) -> Self {
        let (joins, joining) = mpsc::unbounded_channel();
        tokio::spawn(Table { ledger, feeds: HashMap::new() }.serve(events, joining));
        Self { joins }
    }

    /// Joins the feed of this subject for this caller; `None` when the node is stopping.
    pub(crate) async fn join(&self, caller: &Caller, subject: Subject) -> Option<Hearing> {
        let (hearing, joined) = oneshot::channel();
        let key = Key { caller: caller.clone(), subject };
        self.joins.send(Join { key, hearing }).ok()?;
        joined.await.ok()
    }
}

/// One feed's listeners.
#[derive(Debug)]
struct Feed {
    /// Each of no more listeners than are told in one turn.
    parts: Vec<broadcast::Sender<Texts>>,
    /// What the log index knows the subject by, if it is about logs.
    places: Option<LogPlaces>,
}

impl Feed {
    /// One listener more.
    fn listen(&mut self) -> Hearing {
        match self.parts.iter().find(|part| part.receiver_count() < PER_TURN) {
            Some(part) => part.subscribe(),
            None => {
                let (part, hearing) = broadcast::channel(FEED_BACKLOG);
                self.parts.push(part);
                hearing
            }
        }
    }

    /// Forgets parts that nobody is left in. Returns whether anybody listens.
    fn has_listeners(&mut self) -> bool {
        self.parts.retain(|part| part.receiver_count() > 0);
        !self.parts.is_empty()
    }

    /// Tells all listeners, and lets others have their turn in between.
    async fn tell(&self, texts: &Texts, turn: &mut Turn) {
        for part in &self.parts {
            // The last listener may just have left.
            turn.take(part.send(texts.clone()).unwrap_or_default()).await;
        }
    }
}

/// What was done since other tasks had their turn.
#[derive(Debug, Default)]
struct Turn {
    done: usize,
}

impl Turn {
    /// Counts what was just done, and yields where that fills a turn.
    async fn take(&mut self, count: usize) {
        self.done += count;
        if self.done >= PER_TURN {
            self.done = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[derive(Debug)]
struct Table {
    ledger: Ledger,
    feeds: HashMap<Key, Feed>,
}

impl Table {
    async fn serve(mut self, mut events: broadcast::Receiver<Event>, mut joining: mpsc::UnboundedReceiver<Join>) {
        loop {
            tokio::select! {
                // What was committed before somebody asked to join is not told to him.
                biased;
                event = events.recv() => match event {
                    Ok(Event::Committed(block)) => self.tell(&block).await,
                    Ok(Event::Admitted(_) | Event::Reverted(_)) => {}
                    // Nobody must believe that he heard of all blocks: every feed ends.
                    Err(RecvError::Lagged(_)) => self.feeds.clear(),
                    Err(RecvError::Closed) => return,
                },
                join = joining.recv() => match join {
                    Some(join) => self.join(join),
                    None => return,
                },
            }
        }
    }

    fn join(&mut self, Join { mut key, hearing }: Join) {
        let ledger = &self.ledger;
        if !Protection::SubscriptionsByCaller.holds()
            && let Some(other) = self.feeds.keys().find(|other| other.subject == key.subject)
        {
            key = other.clone();
        }
        let feed = self.feeds.entry(key).or_insert_with_key(|key| Feed {
            parts: Vec::new(),
            places: match &key.subject {
                Subject::NewHeads => None,
                Subject::Logs(filter) => {
                    Some(ledger.reader(&key.caller).log_places(filter.addresses(), filter.topics()))
                }
            },
        });
        // The client may have gone away.
        let _ = hearing.send(feed.listen());
    }

    async fn tell(&mut self, block: &CommittedBlock) {
        self.feeds.retain(|_, feed| feed.has_listeners());
        let (mut logs, mut turn) = (None, Turn::default());
        for (key, feed) in &self.feeds {
            let texts = about(&self.ledger, key, feed.places.as_ref(), block, &mut logs);
            if !texts.is_empty() {
                feed.tell(&texts.into(), &mut turn).await;
            }
            turn.take(1).await;
        }
    }
}

/// What to say about a block, with the eyes of the caller whose feed this is. `logs` is filled for the first feed that
/// is about logs.
fn about(
    ledger: &Ledger,
    key: &Key,
    places: Option<&LogPlaces>,
    block: &CommittedBlock,
    logs: &mut Option<BlockLogs>,
) -> Vec<Box<RawValue>> {
    let (reader, stored) = (ledger.reader(&key.caller), block.stored());
    match (&key.subject, places) {
        (Subject::Logs(filter), Some(places)) => {
            let logs = logs.get_or_insert_with(|| ledger.block_logs(&stored));
            let candidates = reader.log_candidates(logs, places);
            if candidates.is_empty() {
                return Vec::new();
            }
            let found = filter.of_transactions(&reader.open(&stored), candidates);
            found.into_iter().map(Written).filter_map(|log| text(&log)).collect()
        }
        _ => text(&HeaderJson(reader.open(&stored))).into_iter().collect(),
    }
}

fn text(value: &impl Serialize) -> Option<Box<RawValue>> {
    // Headers and logs have no value that JSON cannot say.
    to_raw_value(value).ok()
}
