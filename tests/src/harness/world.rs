//! One run: the real core, the real methods over it, and a host that writes down all that reaches it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;

use alloy_primitives::B256;
use cloister_access::{Caller, Development};
use cloister_boundary::{FromEnclave, Record, StartInfo, ToEnclave};
use cloister_core::{
    Archive, Core, CoreEffect, CoreError, CoreMessage, CoreOptions, Opened, Request, RequestId, Response, Tick, WorkId,
    work::{Work, WorkResult},
};
use cloister_crypto::simulation::SeededEntropy;
use cloister_primitives::Declassified;
use cloister_rpc::{CoreHandle, Envelope, Events, RpcContext, RpcLimits, Served};
use cloister_storage::{BlobStore, MemoryStore};
use futures_util::future::join_all;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{mpsc, oneshot};

use super::workload::{GENESIS_TIME, Workload};

/// The key of the machine under test.
pub(super) const PLATFORM_KEY: [u8; 32] = [7; 32];
/// Requests that the core takes at one time.
const REQUEST_BURST: usize = 512;
/// Turns that tasks get to hear of what happened.
const TURNS: usize = 40;
/// Notifications that wait to be looked at.
const NOTIFICATIONS: usize = 4_096;

/// Marks a section of the log index among the facts about heights.
pub(super) const SECTION: u64 = 1 << 63;

/// A question: who asks, which method, with what.
pub(super) type Question = (Caller, &'static str, Value);

fn is_about_many_heights((_, method, params): &Question) -> bool {
    let under_audit = || params[1].as_str().is_some_and(|method| method.starts_with("debug_trace"));
    method.starts_with("debug_trace") || (*method == "cloister_audit" && under_audit())
}

/// A node in memory, over its restarts.
pub(super) struct Node {
    core: Core,
    options: CoreOptions,
    entropy: SeededEntropy,
    entropy_seed: u64,
    store: MemoryStore,
    work: VecDeque<(WorkId, Work)>,
    answers: VecDeque<ToEnclave>,
    replies: HashMap<RequestId, oneshot::Sender<Result<Response, CoreError>>>,
    next_request: u64,
    now_s: u64,
    deadline_ms: Option<u64>,
    events: Events,
    requests: mpsc::Sender<Envelope>,
    queue: mpsc::Receiver<Envelope>,
    opened: Option<Opened>,
    served: Option<Served>,
    /// All that the host was told, in order.
    pub(super) told: Vec<FromEnclave>,
    /// Requests that were refused before anything was in a block, counted from the start.
    pub(super) refused: Vec<u64>,
    fault: Option<String>,
}

impl Node {
    /// Starts a node on a new chain, within a runtime.
    pub(super) fn start(workload: &Workload, entropy_seed: u64) -> Result<Self, String> {
        let options = CoreOptions {
            archive: Archive::Full,
            snapshot_every_blocks: workload.snapshot_every_blocks,
            development: Development::Refused,
            ..CoreOptions::default()
        };
        let (requests, queue) = mpsc::channel(NOTIFICATIONS);
        let mut node = Self {
            core: Core::new(options.clone()),
            options,
            entropy: SeededEntropy::new(entropy_seed),
            entropy_seed,
            store: MemoryStore::new(),
            work: VecDeque::new(),
            answers: VecDeque::new(),
            replies: HashMap::new(),
            next_request: 0,
            now_s: GENESIS_TIME,
            deadline_ms: None,
            events: Events::new(NOTIFICATIONS),
            requests,
            queue,
            opened: None,
            served: None,
            told: Vec::new(),
            refused: Vec::new(),
            fault: None,
        };
        node.boot()?;
        Ok(node)
    }

    /// Ends the core, and starts another one from what is stored.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.core = Core::new(self.options.clone());
        self.entropy_seed = self.entropy_seed.wrapping_add(1 << 32);
        self.entropy = SeededEntropy::new(self.entropy_seed);
        (self.opened, self.served, self.deadline_ms) = (None, None, None);
        self.work.clear();
        self.answers.clear();
        self.replies.clear();
        self.events = Events::new(NOTIFICATIONS);
        (self.requests, self.queue) = mpsc::channel(NOTIFICATIONS);
        self.boot()
    }

    fn boot(&mut self) -> Result<(), String> {
        let info = StartInfo {
            now_ms: self.now_s * 1_000,
            genesis: Workload::genesis().into_bytes(),
            options: Vec::new(),
            log: self.store.bounds(),
            snapshots: self.store.snapshots(),
            meta: self.store.kept().map_err(|error| error.to_string())?.meta,
            platform_key: PLATFORM_KEY.to_vec(),
            ..StartInfo::default()
        };
        self.give(CoreMessage::Host(ToEnclave::Start(info)));
        self.settle()?;
        let opened = self.opened.clone().ok_or("the node did not open its chain")?;
        let context = RpcContext::new(
            opened.ledger,
            CoreHandle::new(self.requests.clone()),
            opened.executor,
            self.events.clone(),
            RpcLimits::default(),
        );
        self.served = Some(cloister_rpc::methods(context).map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Time goes on.
    pub(super) fn wait(&mut self, seconds: u64) -> Result<(), String> {
        self.now_s += seconds;
        self.give(CoreMessage::Host(ToEnclave::Tick { now_ms: self.now_s * 1_000 }));
        self.settle()
    }

    pub(super) fn opened(&self) -> Result<&Opened, String> {
        self.opened.as_ref().ok_or_else(|| "the node is not open".to_owned())
    }

    fn give(&mut self, message: CoreMessage) {
        let recovered = matches!(message, CoreMessage::Done(_, WorkResult::Recovered(_)));
        let mut effects = Vec::new();
        self.core.handle(Tick { now_ms: self.now_s * 1_000 }, &mut self.entropy, message, &mut effects);
        for effect in effects {
            match effect {
                CoreEffect::Work(id, work) => self.work.push_back((id, work)),
                CoreEffect::Reply(id, reply) => {
                    if recovered && reply.is_err() {
                        self.refused.push(id.0);
                    }
                    if let Some(waiting) = self.replies.remove(&id) {
                        // Nobody may wait for it any more.
                        let _ = waiting.send(reply);
                    }
                }
                CoreEffect::Host(message) => {
                    if let Err(fault) = self.on_host_message(&message) {
                        self.fault = Some(fault);
                    }
                    self.told.push(message);
                }
                CoreEffect::Event(event) => {
                    // Nobody may listen.
                    self.events.send(event);
                }
                CoreEffect::Opened(opened) => self.opened = Some(opened),
                CoreEffect::Arm { deadline_ms } => self.deadline_ms = Some(deadline_ms),
                CoreEffect::Disarm => self.deadline_ms = None,
                CoreEffect::Nodes(_) => {}
                CoreEffect::Halt(fatal) => self.fault = Some(format!("the node halted: {fatal:?}")),
                CoreEffect::Peer { to, .. } => self.fault = Some(format!("the node speaks to node {}", to.get())),
                CoreEffect::Warn(text) => self.fault = Some(format!("the node warned: {text}")),
                CoreEffect::WarnAt(text, height) => {
                    self.fault = Some(format!("the node warned at {height:?}: {text}"));
                }
            }
        }
    }

    fn on_host_message(&mut self, message: &FromEnclave) -> Result<(), String> {
        let said = |error: cloister_storage::StoreError| error.to_string();
        let answer = match message {
            FromEnclave::Persist { seq, record } => {
                self.store.append(std::slice::from_ref(record)).map_err(said)?;
                ToEnclave::Persisted { seq: *seq }
            }
            FromEnclave::ReadBlocks { id, from, count } => {
                ToEnclave::Blocks { id: *id, blocks: self.store.blocks(*from, *count).map_err(said)? }
            }
            FromEnclave::ReadLogSection { id, last } => {
                ToEnclave::LogSection { id: *id, bytes: self.store.log_section(*last).map_err(said)? }
            }
            FromEnclave::ReadChunk { id, snapshot, index } => {
                ToEnclave::Chunk { id: *id, bytes: self.store.chunk(*snapshot, *index).map_err(said)? }
            }
            _ => return Ok(()),
        };
        self.answers.push_back(answer);
        Ok(())
    }

    /// Does all work, and then answers what is asked of the host, until nothing moves.
    fn settle(&mut self) -> Result<(), String> {
        while self.fault.is_none() {
            if let Some((id, work)) = self.work.pop_front() {
                let result = work.run();
                self.give(CoreMessage::Done(id, result));
            } else if let Some(answer) = self.answers.pop_front() {
                self.give(CoreMessage::Host(answer));
            } else if self.deadline_ms.is_some_and(|at_ms| at_ms <= self.now_s * 1_000) {
                self.deadline_ms = None;
                self.give(CoreMessage::Wake);
            } else {
                break;
            }
        }
        self.fault.take().map_or(Ok(()), Err)
    }

    fn take(&mut self, burst: Vec<Envelope>) -> Result<(), String> {
        let mut requests: Vec<(RequestId, Request)> = Vec::with_capacity(burst.len());
        for envelope in burst {
            let id = RequestId(self.next_request);
            self.next_request += 1;
            self.replies.insert(id, envelope.reply);
            requests.push((id, envelope.request));
        }
        self.give(CoreMessage::Requests(requests));
        self.settle()
    }

    /// Asks all of these; one text each, of an answer or an error. At one time, but those about states of many heights, which
    /// are rebuilt one after the other: threads decide in which order requests arrive, and what is read from the host for
    /// a state depends on the one before.
    pub(super) async fn ask(&mut self, questions: &[Question]) -> Result<Vec<String>, String> {
        let (alone, together): (Vec<_>, Vec<_>) =
            (0..).zip(questions.iter().cloned()).partition(|(_, question)| is_about_many_heights(question));
        let (places, asked): (Vec<usize>, Vec<_>) = together.into_iter().unzip();
        let mut answers: Vec<_> = places.into_iter().zip(self.ask_together(&asked).await?).collect();
        for (place, question) in alone {
            answers.push((place, self.ask_together(&[question]).await?.remove(0)));
        }
        answers.sort_by_key(|(place, _)| *place);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    async fn ask_together(&mut self, questions: &[Question]) -> Result<Vec<String>, String> {
        let served = self.served.clone().ok_or("the node is not open")?;
        let answers = join_all(questions.iter().map(|(caller, method, params)| {
            let params = to_raw_value(params).ok();
            let answer = served.call(method, caller, params.as_deref());
            async move {
                match answer {
                    Some(answer) => match answer.await {
                        Ok(json) => String::from_utf8_lossy(&json).into_owned(),
                        Err(error) => serde_json::to_string(&error).unwrap_or_default(),
                    },
                    None => "no such method".to_owned(),
                }
            }
        }));
        let mut answers = pin!(answers);
        loop {
            let mut burst = Vec::new();
            tokio::select! {
                biased;
                answers = &mut answers => return Ok(answers),
                _ = self.queue.recv_many(&mut burst, REQUEST_BURST) => self.take(burst)?,
            }
        }
    }

    /// Lets tasks hear of what happened, and answers what they ask.
    pub(super) async fn listen(&mut self) -> Result<(), String> {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            let mut burst = Vec::new();
            while let Ok(envelope) = self.queue.try_recv() {
                burst.push(envelope);
            }
            if !burst.is_empty() {
                self.take(burst)?;
            }
        }
        Ok(())
    }

    /// Subscribes; what comes is the notifications' texts.
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        params: &Value,
    ) -> Result<mpsc::Receiver<Box<RawValue>>, String> {
        let mut methods = self.served.as_ref().ok_or("the node is not open")?.methods().clone();
        methods.extensions_mut().insert(caller.clone());
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":{params}}}"#);
        let (answer, notifications) =
            methods.raw_json_request(&request, NOTIFICATIONS).await.map_err(|error| error.to_string())?;
        if answer.get().contains("\"error\"") {
            return Err(format!("eth_subscribe {params}: {answer}"));
        }
        Ok(notifications)
    }

    /// Hashes of the transactions in the block at a height.
    pub(super) fn hashes(&self, height: u64) -> Result<Vec<B256>, String> {
        let reader = self.opened()?.ledger.reader(&Caller::Anonymous);
        match reader.block(cloister_primitives::Height(height)) {
            cloister_core::Lookup::Found(block) => Ok(block.transaction_hashes().collect()),
            _ => Err(format!("block {height} is not at hand")),
        }
    }

    /// The hash of the block at a height.
    pub(super) fn block_hash(&self, height: u64) -> Result<B256, String> {
        let reader = self.opened()?.ledger.reader(&Caller::Anonymous);
        reader.hash_at(cloister_primitives::Height(height)).ok_or_else(|| format!("there is no block {height}"))
    }

    /// Facts that everybody may know, by where they are.
    pub(super) fn declassified(&self) -> Result<BTreeMap<(Declassified, u64), u64>, String> {
        let mut facts = BTreeMap::new();
        for message in &self.told {
            let FromEnclave::Persist { record, .. } = message else { continue };
            match record {
                Record::Block { height, sealed } => {
                    facts.insert((Declassified::BlobSize, height.0), class_of(sealed));
                }
                Record::SnapshotDone { snapshot, chunks } => {
                    facts.insert((Declassified::SnapshotSize, snapshot.0), u64::from(*chunks));
                }
                Record::LogSection { last, sealed } => {
                    // Beside the record of the block that ends it.
                    facts.insert((Declassified::BlobSize, last.0 | SECTION), class_of(sealed));
                }
                _ => {}
            }
        }
        for height in 1..=self.opened()?.ledger.head().0 {
            facts.insert((Declassified::TransactionCount, height), self.hashes(height)?.len() as u64);
        }
        Ok(facts)
    }
}

/// The size class in the clear header of a blob.
fn class_of(sealed: &[u8]) -> u64 {
    sealed.get(2..4).map_or(0, |class| u64::from(class[0]) << 8 | u64::from(class[1]))
}
