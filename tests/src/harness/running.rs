//! One world, from its start to what everybody saw of it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes};
use cloister_access::Caller;
use cloister_core::LOG_SECTION_BLOCKS;
use cloister_primitives::Declassified;
use cloister_primitives::envelope::padded_bytes;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::cast::{Observer, PARTIES, Who, everybody};
use super::host;
use super::ideal::Oracle;
use super::nodes::{ALONE, Nodes};
use super::observe::{Chain, filters, own_questions, questions, subscriptions};
use super::pair::{Run, Seen};
use super::ruled::preparations;
use super::wire::Wire;
use super::workload::{Item, Sent, Step, Way, Workload, World};
use super::world::{LEDGER_KEY, Question};

/// Which of the [`subscriptions`] is to new blocks.
const NEW_HEADS: usize = 0;
/// A client asks for sealing keys again after so long, seconds.
const KEYS_FOR_S: u64 = 600;
/// A node of a network is held back during one batch in so many.
const BEHIND_ONE_IN: usize = 3;

/// Runs one world.
pub(super) fn run(workload: &Workload, world: World, entropy_seed: u64) -> Result<Run, String> {
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

/// What belongs to one node.
#[derive(Default)]
struct Desk {
    wire: Wire,
    /// Filters of each observer, and of a party last.
    filters: BTreeMap<Observer, Vec<String>>,
    listening: BTreeMap<Observer, Listening>,
    /// The party's own.
    partys: Listening,
}

/// One world in progress.
struct Running<'a> {
    workload: &'a Workload,
    world: World,
    nodes: Nodes,
    /// One for each node.
    desks: Vec<Desk>,
    /// As they were seen, before names are given.
    seen: BTreeMap<Observer, Vec<Seen>>,
    own: Vec<Seen>,
    asked_up_to: u64,
    relayed: Vec<B256>,
    /// Size classes of what was sent to a network, in order.
    payloads: Vec<usize>,
    /// Batches so far.
    batches: usize,
}

impl<'a> Running<'a> {
    async fn start(workload: &'a Workload, world: World, entropy_seed: u64) -> Result<Self, String> {
        let nodes = Nodes::start(workload, entropy_seed)?;
        let mut running = Self {
            workload,
            world,
            desks: (0..nodes.count()).map(|_| Desk::default()).collect(),
            nodes,
            seen: BTreeMap::new(),
            own: Vec::new(),
            asked_up_to: 0,
            relayed: Vec::new(),
            payloads: Vec::new(),
            batches: 0,
        };
        running.prepare().await?;
        for at in 0..running.nodes.count() {
            running.settle_in(at).await?;
        }
        Ok(running)
    }

    /// A number that differs from workload to workload.
    fn draw(&self) -> usize {
        usize::try_from(self.workload.seed % 1_000).unwrap_or_default()
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
        self.nodes.ask(ALONE, &asked).await?;
        self.nodes.go_on()?;
        let receipts =
            self.nodes.ask(ALONE, &[(everybody(), "eth_getBlockReceipts", serde_json::json!(["0x1"]))]).await?;
        let succeeded = receipts[0].matches(r#""status":"0x1""#).count();
        if succeeded == asked.len() { Ok(()) } else { Err(format!("{succeeded} of {}: {receipts:?}", asked.len())) }
    }

    /// Who asks questions.
    fn observers(&self) -> impl Iterator<Item = Observer> + use<> {
        let rita = self.workload.rita_observes;
        Observer::ASKING.into_iter().filter(move |observer| rita || *observer != Observer::Session(Who::Rita))
    }

    /// Filters and subscriptions of everybody at one node, a party first.
    async fn settle_in(&mut self, at: usize) -> Result<(), String> {
        let caller = Who::Alice.session();
        let partys_filters = self.install(at, &filters(&caller)).await?;
        if self.world == World::B
            && let Some(filter) = partys_filters.last()
        {
            self.nodes.ask(at, &[(caller.clone(), "eth_uninstallFilter", serde_json::json!([filter]))]).await?;
        }
        self.desks[at].partys = self.subscribe(at, &caller).await?;
        for observer in self.observers() {
            let caller = observer.caller();
            let mut installed = self.install(at, &filters(&caller)).await?;
            installed.extend_from_slice(&partys_filters);
            self.desks[at].filters.insert(observer, installed);
            let listening = self.subscribe(at, &caller).await?;
            self.desks[at].listening.insert(observer, listening);
        }
        Ok(())
    }

    async fn install(&mut self, at: usize, asked: &[Question]) -> Result<Vec<String>, String> {
        let answers = self.nodes.ask(at, asked).await?;
        answers.iter().map(|id| serde_json::from_str(id).map_err(|_| format!("no filter: {id}"))).collect()
    }

    async fn subscribe(&self, at: usize, caller: &Caller) -> Result<Listening, String> {
        let mut listening = Vec::new();
        for params in subscriptions() {
            listening.push(self.nodes.subscribe(at, caller, &params).await?);
        }
        Ok(listening)
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Batch(items) => return self.batch(items).await,
            Step::Wait { seconds } => {
                self.nodes.wait(*seconds)?;
                // As a client does whose keys are of an epoch that is over.
                if *seconds > KEYS_FOR_S {
                    self.desks.iter_mut().for_each(|desk| desk.wire.forget_keys());
                }
            }
            Step::FillSection => self.fill_section().await?,
            Step::Ask => return self.ask().await,
            Step::Restart => {
                let at = self.draw() % self.nodes.count();
                self.nodes.restart(at)?;
                self.desks[at].wire.forget_keys();
                return self.settle_in(at).await;
            }
        }
        self.hear().await
    }

    /// Sends a batch to one node. Where there are more, now and then one of the others is held back meanwhile, and asked.
    async fn batch(&mut self, items: &[Item]) -> Result<(), String> {
        let turn = self.draw() + self.batches;
        self.batches += 1;
        let at = turn % self.nodes.count();
        let behind = if turn.is_multiple_of(BEHIND_ONE_IN) { self.nodes.follower_beside(at) } else { None };
        if let Some(behind) = behind {
            self.nodes.hold(behind);
        }
        self.send(at, items).await?;
        if let Some(behind) = behind {
            let blocks = self.new_blocks()?;
            self.ask_at(behind, &blocks).await?;
            self.nodes.let_go()?;
        }
        self.nodes.go_on()?;
        self.hear().await
    }

    async fn send(&mut self, at: usize, items: &[Item]) -> Result<(), String> {
        let mut nonces: BTreeMap<Who, u64> = BTreeMap::new();
        let mut posts = Vec::new();
        if !self.desks[at].wire.has_keys() && items.iter().any(|item| self.seals(item)) {
            let asked = [(Caller::Anonymous, "cloister_sealingKeys", serde_json::json!([]))];
            let answers = self.nodes.ask(at, &asked).await?;
            self.desks[at].wire.take_keys(&answers[0])?;
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
                    self.post(at, sent, sent.signed(nonce), &mut posts)?;
                }
                None => {
                    if let Item::Unreadable([first, second]) = item {
                        let bytes = if self.world == World::A { first } else { second };
                        posts.push(Post { by: Who::Eve, raw: self.desks[at].wire.seal_unreadable(bytes)? });
                    }
                }
            }
        }
        let asked: Vec<Question> = posts
            .iter()
            .map(|post| (post.by.session(), "eth_sendRawTransaction", serde_json::json!([post.raw])))
            .collect();
        let answers = self.nodes.ask(at, &asked).await?;
        self.desks[at].wire.settled();
        for (post, answer) in posts.iter().zip(answers) {
            let about = self.about(at, "eth_sendRawTransaction");
            if matches!(post.by, Who::Eve | Who::Mallory) {
                self.seen.entry(Observer::Session(post.by)).or_default().push(Seen { about, bytes: answer });
            } else {
                self.desks[at].wire.answered(&about, &answer);
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
    fn post(&mut self, at: usize, sent: &Sent, raw: Bytes, posts: &mut Vec<Post>) -> Result<(), String> {
        if self.nodes.count() > 1 {
            self.payloads.push(padded_bytes(raw.len()));
        }
        if sent.way == Way::Open {
            posts.push(Post { by: sent.from, raw });
            return Ok(());
        }
        let raw = self.desks[at].wire.seal(&raw)?;
        posts.push(Post { by: sent.from, raw: raw.clone() });
        if sent.way == Way::SealedAndReplayed {
            posts.push(Post { by: Who::Eve, raw });
        }
        Ok(())
    }

    /// Blocks of a stranger's, as many as the section has left.
    async fn fill_section(&mut self) -> Result<(), String> {
        loop {
            let head = self.nodes.ahead().head();
            if head > LOG_SECTION_BLOCKS {
                // Nobody asks about each of these.
                self.asked_up_to = head;
                return Ok(());
            }
            let raw = Sent::transfer(Who::Eve, Who::Eve.address(), 1).signed(self.nonce(Who::Eve)?);
            let asked = [(Who::Eve.session(), "eth_sendRawTransaction", serde_json::json!([raw]))];
            self.nodes.ask(ALONE, &asked).await?;
            if self.nodes.ahead().head() == head {
                return Err(format!("no block after {head}"));
            }
            self.hear().await?;
        }
    }

    fn nonce(&self, who: Who) -> Result<u64, String> {
        let ledger = &self.nodes.ahead().opened()?.ledger;
        let caller = who.session();
        let state = ledger.reader(&caller).state(ledger.head()).map_err(|error| error.to_string())?;
        state.account(who.address()).map(|account| account.nonce).map_err(|error| error.to_string())
    }

    /// Takes down what subscribers are told.
    async fn hear(&mut self) -> Result<(), String> {
        self.nodes.listen().await?;
        for at in 0..self.nodes.count() {
            self.hear_at(at);
        }
        Ok(())
    }

    fn hear_at(&mut self, at: usize) {
        let abouts = [0, 1, 2, 3].map(|number| self.about(at, &format!("subscription {number}")));
        let desk = &mut self.desks[at];
        for (observer, listening) in &mut desk.listening {
            for (notifications, about) in listening.iter_mut().zip(&abouts) {
                while let Ok(notification) = notifications.try_recv() {
                    let seen = Seen { about: about.clone(), bytes: result_of(notification.get()) };
                    self.seen.entry(*observer).or_default().push(seen);
                }
            }
        }
        for (number, (notifications, about)) in desk.partys.iter_mut().zip(&abouts).enumerate() {
            while let Ok(notification) = notifications.try_recv() {
                // That others of them come is for the network to see, as it is when a client asks.
                if number == NEW_HEADS {
                    desk.wire.notified(notification.get());
                }
                self.own.push(Seen { about: about.clone(), bytes: result_of(notification.get()) });
            }
        }
    }

    /// What something is about, and at which node where there are more.
    fn about(&self, at: usize, what: &str) -> String {
        if self.nodes.count() == 1 { what.to_owned() } else { format!("node {}: {what}", at + 1) }
    }

    /// Blocks that nobody asked about yet, as the node has them that has most.
    fn new_blocks(&self) -> Result<Vec<(u64, Vec<B256>)>, String> {
        let ahead = self.nodes.ahead();
        (self.asked_up_to + 1..=ahead.head()).map(|height| Ok((height, ahead.hashes(height)?))).collect()
    }

    /// Everybody asks everything, everywhere.
    async fn ask(&mut self) -> Result<(), String> {
        let blocks = self.new_blocks()?;
        for at in 0..self.nodes.count() {
            self.ask_at(at, &blocks).await?;
        }
        self.asked_up_to = self.nodes.ahead().head();
        Ok(())
    }

    async fn ask_at(&mut self, at: usize, blocks: &[(u64, Vec<B256>)]) -> Result<(), String> {
        for observer in self.observers() {
            let filters = self.desks[at].filters.get(&observer).cloned().unwrap_or_default();
            let chain = Chain { blocks, touched: &self.workload.touched, filters: &filters };
            let asked = questions(&observer.caller(), &chain);
            let answers = self.nodes.ask(at, &asked).await?;
            let seen: Vec<_> = asked
                .iter()
                .zip(answers)
                .map(|((_, method, params), bytes)| {
                    let mut about = self.about(at, &format!("{method} {params}"));
                    for (number, filter) in filters.iter().enumerate() {
                        about = about.replace(filter, &format!("filter {number}"));
                    }
                    Seen { about, bytes }
                })
                .collect();
            self.seen.entry(observer).or_default().extend(seen);
        }
        for who in PARTIES {
            let chain = Chain { blocks, touched: &[], filters: &[] };
            let asked = own_questions(who, &chain);
            let answers = self.nodes.ask(at, &asked).await?;
            for ((_, method, _), answer) in asked.iter().zip(&answers) {
                self.desks[at].wire.answered(method, answer);
            }
            let seen = asked.iter().zip(answers);
            self.own.extend(seen.map(|((_, method, _), bytes)| Seen { about: (*method).to_owned(), bytes }));
        }
        Ok(())
    }

    /// Gives names to what is random.
    fn finish(self) -> Result<Run, String> {
        let ledger = self.nodes.ahead().opened()?.ledger.clone();
        let oracle = Oracle::new(&LEDGER_KEY, ledger.clone())?;
        let names = oracle.names()?;
        let renamed = |seen: Vec<Seen>| -> Vec<Seen> {
            let rename = |seen: Seen| Seen { about: names.rename(&seen.about), bytes: names.rename(&seen.bytes) };
            seen.into_iter().map(rename).collect()
        };
        let mut observers: BTreeMap<_, _> = self.seen.into_iter().map(|(who, seen)| (who, renamed(seen))).collect();
        observers.insert(Observer::Host, renamed(host::view(&self.nodes, &oracle)));
        let reader_of = everybody();
        let reader = ledger.reader(&reader_of);
        let in_chain = |hash: &B256| matches!(reader.transaction(hash), cloister_core::Lookup::Found(_));
        let frames = host::frames(&self.nodes);
        let mut declassified = BTreeMap::new();
        for at in 0..self.nodes.count() {
            declassified.extend(self.nodes.at(at).declassified()?);
        }
        let payloads =
            (0..).zip(&self.payloads).map(|(place, class)| ((Declassified::PayloadSize, place), *class as u64));
        declassified.extend(payloads);
        Ok(Run {
            observers,
            own: renamed(self.own),
            crossings: self.desks.into_iter().flat_map(|desk| desk.wire.into_crossings()).collect(),
            declassified,
            refused: (0..self.nodes.count()).map(|at| self.nodes.at(at).refused.clone()).collect(),
            relayed: self.relayed.iter().map(in_chain).collect(),
            frames,
        })
    }
}

/// What a notification says, without the subscription's id, which is random.
fn result_of(notification: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(notification).unwrap_or_default();
    parsed["params"]["result"].to_string()
}
