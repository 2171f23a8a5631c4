//! A workload in both worlds, and what comes of comparing them.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};
use cloister_access::Caller;
use cloister_boundary::{FromEnclave, Record};
use cloister_core::LOG_SECTION_BLOCKS;
use cloister_primitives::{Declassified, Height};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::cast::{Observer, PARTIES, Who, everybody};
use super::ideal::{Oracle, incarnation};
use super::observe::{Chain, filters, own_questions, questions, subscriptions};
use super::ruled::preparations;
use super::wire::{self, Crossing, Wire};
use super::workload::{Item, Sent, Step, Way, Workload, World};
use super::world::{Node, PLATFORM_KEY, Question, SECTION};

/// Which of the [`subscriptions`] is to new blocks.
const NEW_HEADS: usize = 0;
/// A client asks for sealing keys again after so long, seconds.
const KEYS_FOR_S: u64 = 600;

/// Something an observer saw.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// What it was about.
    about: String,
    /// Its bytes, with names for what is random.
    bytes: String,
}

/// All that was seen in one world.
#[derive(Debug)]
struct Run {
    observers: BTreeMap<Observer, Vec<Seen>>,
    /// What the parties see of their own.
    own: Vec<Seen>,
    /// What of that crosses the network.
    crossings: Vec<Crossing>,
    declassified: BTreeMap<(Declassified, u64), u64>,
    /// Requests refused before anything was in a block.
    refused: Vec<u64>,
    /// Which of the transactions that strangers handed on are in a block.
    relayed: Vec<bool>,
}

/// How two worlds can be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// By whom.
    pub observer: Observer,
    /// What he asked, or was told.
    pub about: String,
    /// What he saw in the first world, from shortly before it differs.
    pub first: String,
    /// And in the second.
    pub second: String,
}

impl core::fmt::Display for Difference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}, {}: {} | {}", self.observer, self.about, self.first, self.second)
    }
}

/// A declassified fact that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Which.
    pub moved: Declassified,
    /// At which height.
    pub height: u64,
    /// Its values in both worlds.
    pub values: [Option<u64>; 2],
}

/// What comes of comparing two worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody who is not entitled saw a difference, and somebody who is did.
    Same {
        /// How many bytes were compared.
        bytes: usize,
        /// Size classes that differ, of single answers and envelopes on the network: what they are of was not compared there.
        moved: Vec<Declassified>,
        /// Sections of the log index and snapshots among what the host has.
        kept: Kept,
    },
    /// Nobody saw any difference.
    Vacuous,
    /// A declassified fact moved.
    Invalid(Invalid),
    /// Somebody who is not entitled can tell the worlds apart.
    Distinguishing(Box<Difference>),
}

/// What a host has beside blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Sections of the log index.
    pub log_sections: u64,
    /// Snapshots.
    pub snapshots: u64,
}

fn kept(run: &Run) -> Kept {
    let count = |of: fn(Declassified, u64) -> bool| {
        run.declassified.keys().filter(|(fact, place)| of(*fact, *place)).count() as u64
    };
    Kept {
        log_sections: count(|_, place| place & SECTION != 0),
        snapshots: count(|fact, _| fact == Declassified::SnapshotSize),
    }
}

/// How much must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cryptography {
    /// Every byte: both worlds draw from one seed, and ciphertext has names.
    Ideal,
    /// Lengths, counts and order: each world draws its own nonces.
    Real,
}

/// Runs a workload in both worlds and compares what is seen.
///
/// # Errors
/// What went wrong with a run itself.
pub fn compare(workload: &Workload, cryptography: Cryptography) -> Result<Verdict, String> {
    let other_seed = match cryptography {
        Cryptography::Ideal => workload.seed,
        Cryptography::Real => !workload.seed,
    };
    let first = run(workload, World::A, workload.seed)?;
    let second = run(workload, World::B, other_seed)?;
    if let Some(invalid) = invalid(&first, &second) {
        return Ok(Verdict::Invalid(invalid));
    }
    let mut bytes = 0;
    for (observer, seen) in &first.observers {
        let other = &second.observers[observer];
        if let Some(difference) = difference(*observer, seen, other, cryptography) {
            return Ok(Verdict::Distinguishing(Box::new(difference)));
        }
        bytes += seen.iter().map(|seen| seen.bytes.len()).sum::<usize>();
    }
    match wire::compare(&first.crossings, &second.crossings) {
        Err(difference) => Ok(Verdict::Distinguishing(Box::new(difference))),
        Ok(_) if first.own == second.own => Ok(Verdict::Vacuous),
        Ok(moved) => Ok(Verdict::Same { bytes, moved, kept: kept(&first) }),
    }
}

/// The first declassified fact that differs. How many transactions a block has is one only where a transaction did not
/// come as far as any block: what becomes of one that was taken is nobody's to know.
fn invalid(first: &Run, second: &Run) -> Option<Invalid> {
    let taken_alike = first.refused == second.refused && first.relayed == second.relayed;
    let keys = first.declassified.keys().chain(second.declassified.keys());
    let moved = keys.filter(|key| first.declassified.get(*key) != second.declassified.get(*key));
    // A record of more transactions is longer: the count comes first.
    let counts_differ = moved.clone().any(|(fact, _)| *fact == Declassified::TransactionCount) && taken_alike;
    if counts_differ {
        return None;
    }
    let (moved, height) = *moved.min()?;
    let value = |run: &Run| run.declassified.get(&(moved, height)).copied();
    Some(Invalid { moved, height, values: [value(first), value(second)] })
}

fn difference(observer: Observer, first: &[Seen], second: &[Seen], cryptography: Cryptography) -> Option<Difference> {
    let nothing = Seen { about: "the end".to_owned(), bytes: String::new() };
    (0..first.len().max(second.len())).find_map(|index| {
        let [one, other] = [first, second].map(|seen| seen.get(index).unwrap_or(&nothing));
        let same = match cryptography {
            Cryptography::Ideal => one == other,
            Cryptography::Real => one.about.len() == other.about.len() && one.bytes.len() == other.bytes.len(),
        };
        if same {
            return None;
        }
        let about =
            if one.about == other.about { one.about.clone() } else { format!("{} / {}", one.about, other.about) };
        let at = one.bytes.bytes().zip(other.bytes.bytes()).take_while(|(one, other)| one == other).count();
        let excerpt = |text: &str| {
            let start = at.saturating_sub(60);
            text.bytes().skip(start).take(160).map(char::from).collect::<String>()
        };
        Some(Difference { observer, about, first: excerpt(&one.bytes), second: excerpt(&other.bytes) })
    })
}

fn run(workload: &Workload, world: World, entropy_seed: u64) -> Result<Run, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut running = Running::start(workload, world, entropy_seed).await?;
        for step in &workload.steps {
            running.step(step).await?;
        }
        running.ask().await?;
        running.finish()
    })
}

/// Something that is sent to the node.
struct Post {
    by: Who,
    raw: Bytes,
}

type Listening = Vec<mpsc::Receiver<Box<RawValue>>>;

/// One world in progress.
struct Running<'a> {
    workload: &'a Workload,
    world: World,
    node: Node,
    /// As they were seen, before names are given.
    seen: BTreeMap<Observer, Vec<Seen>>,
    own: Vec<Seen>,
    wire: Wire,
    /// Filters of each observer, and of a party last.
    filters: BTreeMap<Observer, Vec<String>>,
    listening: BTreeMap<Observer, Listening>,
    /// The party's own.
    partys: Listening,
    asked_up_to: u64,
    relayed: Vec<B256>,
}

impl<'a> Running<'a> {
    async fn start(workload: &'a Workload, world: World, entropy_seed: u64) -> Result<Self, String> {
        let mut running = Self {
            workload,
            world,
            node: Node::start(workload, entropy_seed)?,
            seen: BTreeMap::new(),
            own: Vec::new(),
            wire: Wire::default(),
            filters: BTreeMap::new(),
            listening: BTreeMap::new(),
            partys: Vec::new(),
            asked_up_to: 0,
            relayed: Vec::new(),
        };
        running.prepare().await?;
        running.settle_in().await?;
        Ok(running)
    }

    /// Sets up what has rules, in a block of its own.
    async fn prepare(&mut self) -> Result<(), String> {
        let mut nonces: BTreeMap<Who, u64> = BTreeMap::new();
        let mut asked = Vec::new();
        for sent in preparations(self.workload.creations) {
            let nonce = nonces.entry(sent.from).or_default();
            asked.push((sent.from.session(), "eth_sendRawTransaction", serde_json::json!([sent.signed(*nonce)])));
            *nonce += 1;
        }
        self.node.ask(&asked).await?;
        let receipts = self.node.ask(&[(everybody(), "eth_getBlockReceipts", serde_json::json!(["0x1"]))]).await?;
        let succeeded = receipts[0].matches(r#""status":"0x1""#).count();
        if succeeded == asked.len() { Ok(()) } else { Err(format!("{succeeded} of {}: {receipts:?}", asked.len())) }
    }

    /// Who asks questions.
    fn observers(&self) -> impl Iterator<Item = Observer> + use<> {
        let rita = self.workload.rita_observes;
        Observer::ASKING.into_iter().filter(move |observer| rita || *observer != Observer::Session(Who::Rita))
    }

    /// Filters and subscriptions of everybody, a party first.
    async fn settle_in(&mut self) -> Result<(), String> {
        let caller = Who::Alice.session();
        let partys_filters = self.install(&filters(&caller)).await?;
        if self.world == World::B
            && let Some(filter) = partys_filters.last()
        {
            self.node.ask(&[(caller.clone(), "eth_uninstallFilter", serde_json::json!([filter]))]).await?;
        }
        self.partys.clear();
        for params in subscriptions() {
            self.partys.push(self.node.subscribe(&caller, &params).await?);
        }
        for observer in self.observers() {
            let caller = observer.caller();
            let mut installed = self.install(&filters(&caller)).await?;
            installed.extend_from_slice(&partys_filters);
            self.filters.insert(observer, installed);
            let mut listening = Vec::new();
            for params in subscriptions() {
                listening.push(self.node.subscribe(&caller, &params).await?);
            }
            self.listening.insert(observer, listening);
        }
        Ok(())
    }

    async fn install(&mut self, asked: &[Question]) -> Result<Vec<String>, String> {
        let answers = self.node.ask(asked).await?;
        answers.iter().map(|id| serde_json::from_str(id).map_err(|_| format!("no filter: {id}"))).collect()
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Batch(items) => self.batch(items).await?,
            Step::Wait { seconds } => {
                self.node.wait(*seconds)?;
                // As a client does whose keys are of an epoch that is over.
                if *seconds > KEYS_FOR_S {
                    self.wire.forget_keys();
                }
            }
            Step::FillSection => self.fill_section().await?,
            Step::Ask => return self.ask().await,
            Step::Restart => {
                self.node.restart()?;
                self.wire.forget_keys();
                return self.settle_in().await;
            }
        }
        self.hear().await
    }

    async fn batch(&mut self, items: &[Item]) -> Result<(), String> {
        let mut nonces: BTreeMap<Who, u64> = BTreeMap::new();
        let mut posts = Vec::new();
        if !self.wire.has_keys() && items.iter().any(|item| self.seals(item)) {
            let answers = self.node.ask(&[(Caller::Anonymous, "cloister_sealingKeys", serde_json::json!([]))]).await?;
            self.wire.take_keys(&answers[0])?;
        }
        for item in items {
            match item.of(self.world) {
                Some((sent, Some(nonce))) => {
                    let raw = sent.signed(nonce);
                    self.relayed.push(alloy_primitives::keccak256(&raw));
                    posts.push(Post { by: Who::Eve, raw });
                }
                Some((sent, None)) => {
                    let nonce = self.next_nonce(&mut nonces, sent)?;
                    self.post(sent, sent.signed(nonce), &mut posts)?;
                }
                None => {
                    if let Item::Unreadable([first, second]) = item {
                        let bytes = if self.world == World::A { first } else { second };
                        posts.push(Post { by: Who::Eve, raw: self.wire.seal_unreadable(bytes)? });
                    }
                }
            }
        }
        let asked: Vec<Question> = posts
            .iter()
            .map(|post| (post.by.session(), "eth_sendRawTransaction", serde_json::json!([post.raw])))
            .collect();
        let answers = self.node.ask(&asked).await?;
        self.wire.settled();
        for (post, answer) in posts.iter().zip(answers) {
            let about = "eth_sendRawTransaction".to_owned();
            if matches!(post.by, Who::Eve | Who::Mallory) {
                self.seen.entry(Observer::Session(post.by)).or_default().push(Seen { about, bytes: answer });
            } else {
                self.wire.answered(&about, &answer);
                self.own.push(Seen { about, bytes: answer });
            }
        }
        Ok(())
    }

    /// Whether something of an item goes into an envelope.
    fn seals(&self, item: &Item) -> bool {
        item.of(self.world).is_none_or(|(sent, _)| sent.way != Way::Open)
    }

    fn next_nonce(&self, nonces: &mut BTreeMap<Who, u64>, sent: &Sent) -> Result<u64, String> {
        let next = match nonces.get(&sent.from) {
            Some(next) => *next,
            None => self.nonce(sent.from)?,
        };
        if sent.nonce_gap == 0 {
            nonces.insert(sent.from, next + 1);
        }
        Ok(next)
    }

    /// Posts a transaction the way it goes.
    fn post(&mut self, sent: &Sent, raw: Bytes, posts: &mut Vec<Post>) -> Result<(), String> {
        if sent.way == Way::Open {
            posts.push(Post { by: sent.from, raw });
            return Ok(());
        }
        let raw = self.wire.seal(&raw)?;
        posts.push(Post { by: sent.from, raw: raw.clone() });
        if sent.way == Way::SealedAndReplayed {
            posts.push(Post { by: Who::Eve, raw });
        }
        Ok(())
    }

    /// Blocks of a stranger's, as many as the section has left.
    async fn fill_section(&mut self) -> Result<(), String> {
        loop {
            let head = self.node.opened()?.ledger.head().0;
            if head > LOG_SECTION_BLOCKS {
                // Nobody asks about each of these.
                self.asked_up_to = head;
                return Ok(());
            }
            let raw = Sent::transfer(Who::Eve, Who::Eve.address(), 1).signed(self.nonce(Who::Eve)?);
            self.node.ask(&[(Who::Eve.session(), "eth_sendRawTransaction", serde_json::json!([raw]))]).await?;
            if self.node.opened()?.ledger.head().0 == head {
                return Err(format!("no block after {head}"));
            }
            self.hear().await?;
        }
    }

    fn nonce(&self, who: Who) -> Result<u64, String> {
        let ledger = &self.node.opened()?.ledger;
        let caller = who.session();
        let state = ledger.reader(&caller).state(ledger.head()).map_err(|error| error.to_string())?;
        state.account(who.address()).map(|account| account.nonce).map_err(|error| error.to_string())
    }

    /// Takes down what subscribers are told.
    async fn hear(&mut self) -> Result<(), String> {
        self.node.listen().await?;
        for (observer, listening) in &mut self.listening {
            for (number, notifications) in listening.iter_mut().enumerate() {
                while let Ok(notification) = notifications.try_recv() {
                    let about = format!("subscription {number}");
                    let seen = Seen { about, bytes: result_of(notification.get()) };
                    self.seen.entry(*observer).or_default().push(seen);
                }
            }
        }
        for (number, notifications) in self.partys.iter_mut().enumerate() {
            while let Ok(notification) = notifications.try_recv() {
                // That others of them come is for the network to see, as it is when a client asks.
                if number == NEW_HEADS {
                    self.wire.notified(notification.get());
                }
                self.own.push(Seen { about: format!("subscription {number}"), bytes: result_of(notification.get()) });
            }
        }
        Ok(())
    }

    /// Everybody asks everything.
    async fn ask(&mut self) -> Result<(), String> {
        let head = self.node.opened()?.ledger.head().0;
        let mut blocks = Vec::new();
        for height in self.asked_up_to + 1..=head {
            blocks.push((height, self.node.hashes(height)?));
        }
        self.asked_up_to = head;
        for observer in self.observers() {
            let filters = self.filters.get(&observer).cloned().unwrap_or_default();
            let chain = Chain { blocks: &blocks, touched: &self.workload.touched, filters: &filters };
            let asked = questions(&observer.caller(), &chain);
            let answers = self.node.ask(&asked).await?;
            let seen = asked.iter().zip(answers).map(|((_, method, params), bytes)| {
                let mut about = format!("{method} {params}");
                for (number, filter) in filters.iter().enumerate() {
                    about = about.replace(filter, &format!("filter {number}"));
                }
                Seen { about, bytes }
            });
            self.seen.entry(observer).or_default().extend(seen);
        }
        for who in PARTIES {
            let chain = Chain { blocks: &blocks, touched: &[], filters: &[] };
            let asked = own_questions(who, &chain);
            let answers = self.node.ask(&asked).await?;
            for ((_, method, _), answer) in asked.iter().zip(&answers) {
                self.wire.answered(method, answer);
            }
            let seen = asked.iter().zip(answers);
            self.own.extend(seen.map(|((_, method, _), bytes)| Seen { about: (*method).to_owned(), bytes }));
        }
        Ok(())
    }

    /// Gives names to what is random.
    fn finish(self) -> Result<Run, String> {
        let ledger = self.node.opened()?.ledger.clone();
        let oracle = Oracle::new(&PLATFORM_KEY, ledger.clone())?;
        let names = oracle.names()?;
        let renamed = |seen: Vec<Seen>| -> Vec<Seen> {
            let rename = |seen: Seen| Seen { about: names.rename(&seen.about), bytes: names.rename(&seen.bytes) };
            seen.into_iter().map(rename).collect()
        };
        let mut observers: BTreeMap<_, _> = self.seen.into_iter().map(|(who, seen)| (who, renamed(seen))).collect();
        observers.insert(Observer::Host, renamed(host_view(&self.node.told, &oracle)));
        let reader_of = everybody();
        let reader = ledger.reader(&reader_of);
        let in_chain = |hash: &B256| matches!(reader.transaction(hash), cloister_core::Lookup::Found(_));
        Ok(Run {
            observers,
            own: renamed(self.own),
            crossings: self.wire.into_crossings(),
            declassified: self.node.declassified()?,
            refused: self.node.refused.clone(),
            relayed: self.relayed.iter().map(in_chain).collect(),
        })
    }
}

/// What a notification says, without the subscription's id, which is random.
fn result_of(notification: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(notification).unwrap_or_default();
    parsed["params"]["result"].to_string()
}

/// Every message to the host, as an ideal cipher would show it.
fn host_view(told: &[FromEnclave], oracle: &Oracle) -> Vec<Seen> {
    let mut chunks: BTreeMap<Height, [u8; 16]> = BTreeMap::new();
    told.iter()
        .map(|message| match message {
            FromEnclave::Persist { seq, record } => {
                let mut first = None;
                let place = match record {
                    Record::Block { height, .. } => format!("block {height}"),
                    Record::SnapshotChunk { snapshot, index, sealed } => {
                        if let Some(own) = incarnation(sealed) {
                            first = Some(*chunks.entry(*snapshot).or_insert(own));
                        }
                        format!("chunk {index} of the snapshot of {snapshot}")
                    }
                    Record::SnapshotDone { snapshot, chunks } => {
                        format!("{chunks} chunks of the snapshot of {snapshot}")
                    }
                    Record::DropSnapshot { snapshot } => format!("no snapshot of {snapshot} any more"),
                    Record::LogSection { last, .. } => format!("log section up to {last}"),
                    Record::Truncate { last } => format!("nothing above {last} any more"),
                    Record::Meta { .. } => "metadata".to_owned(),
                    Record::Consensus { number, .. } => format!("consensus record {number}"),
                };
                Seen { about: format!("persist {seq:?}: {place}"), bytes: oracle.sealed(record, first) }
            }
            FromEnclave::Ready { chain_id, genesis_hash, head } => {
                Seen { about: "ready".to_owned(), bytes: format!("{chain_id} {} {head}", hex::encode(genesis_hash)) }
            }
            FromEnclave::Status(status) => Seen { about: "status".to_owned(), bytes: format!("{status:?}") },
            FromEnclave::ReadBlocks { id, from, count } => {
                Seen { about: "read blocks".to_owned(), bytes: format!("{id} {from} {count}") }
            }
            FromEnclave::ReadChunk { id, snapshot, index } => {
                Seen { about: "read chunk".to_owned(), bytes: format!("{id} {snapshot} {index}") }
            }
            FromEnclave::ReadLogSection { id, last } => {
                Seen { about: "read log section".to_owned(), bytes: format!("{id} {last}") }
            }
            other => Seen { about: "message".to_owned(), bytes: format!("{other:?}") },
        })
        .collect()
}
